//! One task a connection: bytes from the socket to the machine, the machine's output to the socket.

use super::input::Input;
use crate::amqp::Connection;
use crate::clock::Now;
use crate::engine::Outbox;
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

/// Drives `connection` until either side is done.
pub async fn drive(stream: TcpStream, connection: Connection, stop: CancellationToken) {
    tracing::info!(connection = %connection.name(), "accepted");
    let mut driver = Driver { stream, connection, input: Input::default() };
    let end = driver.run(&stop).await;
    driver.connection.on_disconnect();
    tell(&driver.connection, &end, stop.is_cancelled());
    if matches!(end, Ok(End::Orderly)) {
        driver.linger().await;
    }
}

/// Logs how a connection ended. While the node stops, clients that fail are expected.
fn tell(connection: &Connection, end: &Result<End, Gone>, stopping: bool) {
    let name = connection.name();
    match (connection.stranger(), connection.fault()) {
        (Some(stranger), _) => tracing::info!(connection = %name, "closed: {stranger} on the AMQP port"),
        (None, Some(reason)) if stopping => tracing::info!(connection = %name, reason, "closed"),
        (None, Some(reason)) => tracing::warn!(connection = %name, reason, "closed because of an error"),
        (None, None) if end.is_ok() => tracing::info!(connection = %name, "closed"),
        (None, None) => tracing::info!(connection = %name, "the client went without closing"),
    }
}

/// The peer has gone.
struct Gone;

/// Our end of a connection.
enum End {
    /// The last output is written.
    Orderly,
    /// A deadline came: nobody waits for what was not written or read.
    Expired,
}

struct Driver {
    stream: TcpStream,
    connection: Connection,
    input: Input,
}

impl Driver {
    async fn run(&mut self, stop: &CancellationToken) -> Result<End, Gone> {
        let mut alarm = Box::pin(tokio::time::sleep(NO_DEADLINE));
        let mut stopping = false;
        loop {
            self.write()?;
            if self.input.is_stalled() && self.connection.wants_read() {
                self.input.offer(&mut self.connection);
                continue;
            }
            if self.connection.is_finished() && self.connection.output().is_empty() {
                return Ok(End::Orderly);
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
                        if self.connection.is_finished() {
                            return Ok(End::Expired);
                        }
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

    fn read(&mut self) -> Result<(), Gone> {
        if !self.connection.wants_read() {
            return Ok(());
        }
        match self.input.read(&self.stream, &mut self.connection) {
            Ok(0) => Err(Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Gone),
        }
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
