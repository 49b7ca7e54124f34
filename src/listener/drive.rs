//! One task a connection: bytes from the socket to the machine, the machine's output to the socket.

use super::input::Input;
use super::socket::Socket;
use crate::amqp::Connection;
use crate::auth::Denied;
use crate::broker::access::Identity;
use crate::clock::Now;
use crate::engine::Outbox;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// Where the alarm clock stands while the machine has no deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// Drives `connection` until either side is done.
pub(super) async fn drive(socket: Socket, connection: Connection, stop: CancellationToken) {
    tracing::info!(connection = %connection.name(), "accepted");
    let mut driver = Driver { socket, connection, input: Input::default(), asked: None };
    let end = driver.run(&stop).await;
    driver.connection.on_disconnect();
    tell(&driver.connection, &end, stop.is_cancelled());
    if matches!(end, Ok(End::Orderly)) {
        if driver.connection.was_closed_by_client() {
            // It was answered, and closes the socket itself. Clients take an end of the stream that comes together with
            // the answer for the loss of the connection; RabbitMQ waits too.
            tokio::select! {
                () = driver.socket.await_end() => {}
                () = stop.cancelled() => {}
            }
        }
        driver.socket.linger().await;
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

/// A login that is being decided.
type Asked = Pin<Box<dyn Future<Output = Result<Identity, Denied>> + Send>>;

struct Driver {
    socket: Socket,
    connection: Connection,
    input: Input,
    asked: Option<Asked>,
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
            if let Some(request) = self.connection.take_question() {
                self.asked = Some(Box::pin(self.connection.authenticator().clone().judge(request)));
            }
            let outbox = self.connection.outbox().cloned();
            if outbox.as_ref().is_some_and(|outbox| !outbox.rest()) {
                self.wake();
                continue;
            }
            set_alarm(&mut alarm, self.connection.deadline());
            let reads = self.connection.wants_read();
            let writes = !self.connection.output().is_empty() || self.socket.waits();
            tokio::select! {
                ready = self.socket.readable(), if reads => {
                    ready.map_err(|_| Gone)?;
                    rise(outbox.as_deref()).then(|| self.wake());
                    self.read()?;
                }
                () = rung(outbox.as_ref()) => {
                    rise(outbox.as_deref());
                    self.wake();
                }
                ready = self.socket.writable(), if writes => {
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
                verdict = decided(&mut self.asked) => {
                    self.asked = None;
                    rise(outbox.as_deref()).then(|| self.wake());
                    self.connection.on_verdict(verdict, Now::read());
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
        match self.input.read(&mut self.socket, &mut self.connection) {
            Ok(0) => Err(Gone),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(_) => Err(Gone),
        }
    }

    fn write(&mut self) -> Result<(), Gone> {
        self.socket.flush().map_err(|_| Gone)?;
        while !self.connection.output().is_empty() {
            match self.socket.write(self.connection.output()) {
                Ok(written) => self.connection.written(written, Now::read()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Gone),
            }
        }
        Ok(())
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

async fn decided(asked: &mut Option<Asked>) -> Result<Identity, Denied> {
    match asked {
        Some(asked) => asked.await,
        None => std::future::pending().await,
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
