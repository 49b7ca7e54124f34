//! One task a connection: bytes from the socket to the machine, the machine's output to the socket.

use crate::amqp::Connection;
use crate::clock::Now;
use crate::engine::Outbox;
use crate::limits::READ_BYTES;
use std::cell::RefCell;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// After the last write: how long, and for how many bytes, the peer's own last words are read and dropped. Closing a
/// socket with unread bytes would reset it, and the peer would lose our close frame.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;
/// Where the alarm clock stands while the machine has no deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

thread_local! {
    /// Where sockets are read into: one a thread, so that an idle connection holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Drives `connection` until either side is done.
pub async fn drive(stream: TcpStream, connection: Connection, stop: CancellationToken) {
    tracing::info!(connection = %connection.name(), "accepted");
    let mut driver = Driver { stream, connection, unused: Vec::new(), stalled: false };
    let orderly = driver.run(&stop).await.is_ok();
    driver.connection.on_disconnect();
    let name = driver.connection.name();
    match driver.connection.fault() {
        Some(reason) => tracing::warn!(connection = %name, reason, "closed because of an error"),
        None if orderly => tracing::info!(connection = %name, "closed"),
        None => tracing::info!(connection = %name, "the client went without closing"),
    }
    if orderly {
        driver.linger().await;
    }
}

/// The peer has gone.
struct Gone;

struct Driver {
    stream: TcpStream,
    connection: Connection,
    /// Bytes read that the machine has not used: the start of a frame, or what it does not want yet.
    unused: Vec<u8>,
    /// The machine stopped before the end of what it was offered: it is offered again when it wants to read.
    stalled: bool,
}

impl Driver {
    async fn run(&mut self, stop: &CancellationToken) -> Result<(), Gone> {
        let mut alarm = Box::pin(tokio::time::sleep(NO_DEADLINE));
        let mut stopping = false;
        loop {
            self.write()?;
            if self.stalled && self.connection.wants_read() {
                self.offer();
                continue;
            }
            if self.connection.is_finished() && self.connection.output().is_empty() {
                return Ok(());
            }
            let outbox = self.connection.outbox().cloned();
            if outbox.as_ref().is_some_and(|outbox| !outbox.rest()) {
                self.wake();
                continue;
            }
            set_alarm(&mut alarm, self.connection.deadline());
            let (reads, writes) = (self.connection.wants_read(), !self.connection.output().is_empty());
            tokio::select! {
                ready = self.stream.readable(), if reads => {
                    ready.map_err(|_| Gone)?;
                    rise(outbox.as_deref()).then(|| self.wake());
                    self.read()?;
                }
                () = rung(outbox.as_ref()) => {
                    rise(outbox.as_deref());
                    self.wake();
                }
                ready = self.stream.writable(), if writes => {
                    ready.map_err(|_| Gone)?;
                    rise(outbox.as_deref()).then(|| self.wake());
                }
                () = alarm.as_mut() => {
                    rise(outbox.as_deref()).then(|| self.wake());
                    alarm.as_mut().reset(tokio::time::Instant::from_std(Now::read().monotonic) + NO_DEADLINE);
                    let now = Now::read();
                    if self.connection.deadline().is_some_and(|deadline| deadline <= now.monotonic) {
                        self.connection.on_deadline(now);
                    }
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    rise(outbox.as_deref());
                    self.connection.shut_down(Now::read());
                }
            }
        }
    }

    /// The outbox was rung.
    fn wake(&mut self) {
        self.connection.on_wake(Now::read());
    }

    /// Offers again what the machine did not want before.
    fn offer(&mut self) {
        let used = self.connection.on_bytes(&self.unused, Now::read());
        self.unused.drain(..used.min(self.unused.len()));
        self.stalled = !self.unused.is_empty() && !self.connection.wants_read();
    }

    fn read(&mut self) -> Result<(), Gone> {
        if !self.connection.wants_read() {
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let before = self.unused.len();
            if scratch.len() < before + READ_BYTES {
                scratch.resize(before + READ_BYTES, 0);
            }
            let Some((front, back)) = scratch.split_at_mut_checked(before) else { return Err(Gone) };
            front.copy_from_slice(&self.unused);
            let read = match self.stream.try_read(back) {
                Ok(0) => return Err(Gone),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Gone),
            };
            let bytes = scratch.get(..before + read).unwrap_or_default();
            let used = self.connection.on_bytes(bytes, Now::read());
            let left = bytes.get(used..).unwrap_or_default();
            if left.is_empty() {
                self.unused = Vec::new();
            } else {
                self.unused.clear();
                self.unused.extend_from_slice(left);
            }
            self.stalled = !self.unused.is_empty() && !self.connection.wants_read();
            Ok(())
        })
    }

    fn write(&mut self) -> Result<(), Gone> {
        while !self.connection.output().is_empty() {
            match self.stream.try_write(self.connection.output()) {
                Ok(written) => self.connection.written(written, Now::read()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    async fn linger(mut self) {
        use tokio::io::AsyncWriteExt;
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            let (mut drained, mut bytes) = (0, [0; 4096]);
            while drained < LINGER_BYTES && self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut bytes) {
                    Ok(0) => return,
                    Ok(read) => drained += read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        // Either way the socket is closed now.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

/// Moves the alarm when the deadline is earlier than it. A later one waits until it goes off: then it is set again.
fn set_alarm(alarm: &mut Pin<Box<Sleep>>, deadline: Option<Instant>) {
    if let Some(deadline) = deadline.map(tokio::time::Instant::from_std)
        && deadline < alarm.deadline()
    {
        alarm.as_mut().reset(deadline);
    }
}

async fn rung(outbox: Option<&Arc<Outbox>>) {
    match outbox {
        Some(outbox) => outbox.rung().await,
        None => std::future::pending().await,
    }
}

fn rise(outbox: Option<&Outbox>) -> bool {
    outbox.is_some_and(Outbox::rise)
}
