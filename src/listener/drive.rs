//! One task a connection: bytes from the socket to the machine, the machine's output to the socket.

use super::input::Input;
use super::lanes::{Lanes, Place, Share};
use super::place;
use super::socket::Socket;
use super::trail::Trail;
use crate::amqp::Connection;
use crate::auth::Denied;
use crate::broker::access::Identity;
use crate::clock::Now;
use crate::engine::Outbox;
use crate::limits::READ_BYTES;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// A socket that gives so many bytes at once is likely to have more.
const LONG_READ: usize = READ_BYTES / 2;
/// Where the alarm clock stands while the machine has no deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

/// What a connection is driven with.
pub(super) struct Surroundings {
    pub lanes: Arc<Lanes>,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
    /// Free for another connection when this one is over.
    pub _place: place::Place,
}

/// Drives `connection` until either side is done, or it is to go on elsewhere.
pub(super) fn drive(
    socket: Socket,
    connection: Connection,
    trail: Option<Box<Trail>>,
    surroundings: Surroundings,
) -> impl Future<Output = ()> + Send {
    tracing::info!(connection = %connection.name(), "accepted");
    let (input, share, elsewhere) = (Input::default(), Share::default(), false);
    go_on(Driver { socket, connection, input, asked: None, share, elsewhere, trail }, surroundings)
}

fn go_on(mut driver: Driver, surroundings: Surroundings) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match driver.run(&surroundings).await {
            Ok(End::Moved(place)) => driver.move_to(place, surroundings),
            end => driver.finish(end, &surroundings.stop).await,
        }
    })
}

/// Logs how a connection ended. While the node stops, clients that fail are expected; what was told is not told again.
fn tell(connection: &Connection, end: &Result<End, Gone>, stopping: bool) {
    let name = connection.name();
    match (connection.stranger(), connection.fault()) {
        (Some(stranger), _) => tracing::info!(connection = %name, "closed: {stranger} on the AMQP port"),
        (None, Some(reason)) if stopping || connection.fault_is_told() => {
            tracing::info!(connection = %name, reason, "closed")
        }
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
    /// It goes on there.
    Moved(Place),
}

/// A login that is being decided.
type Asked = Pin<Box<dyn Future<Output = Result<Identity, Denied>> + Send>>;

struct Driver {
    socket: Socket,
    connection: Connection,
    input: Input,
    asked: Option<Asked>,
    /// Its part in its lane's load.
    share: Share,
    /// It is driven where it may wait for other machines.
    elsewhere: bool,
    /// What is told of it when it is over.
    trail: Option<Box<Trail>>,
}

/// What a task wakes for.
enum Event {
    Readable,
    Rung,
    Writable,
    Alarm,
    Verdict(Result<Identity, Denied>),
    Stop,
}

impl Driver {
    async fn run(&mut self, surroundings: &Surroundings) -> Result<End, Gone> {
        let Surroundings { lanes, stop, .. } = surroundings;
        let mut alarm = Box::pin(tokio::time::sleep(NO_DEADLINE));
        let mut stopped = pin!(stop.cancelled());
        let (mut stopping, mut begun) = (false, None);
        loop {
            if let Some(trail) = &mut self.trail {
                trail.look(&self.connection);
            }
            self.write()?;
            if self.input.is_stalled() && self.connection.wants_read() {
                self.input.offer(&mut self.connection);
                continue;
            }
            if self.connection.is_finished() && self.connection.output().is_empty() {
                return Ok(End::Orderly);
            }
            if let Some(place) = self.look_around(lanes, begun.take()) {
                return Ok(End::Moved(place));
            }
            if let Some(request) = self.connection.take_question() {
                self.asked = Some(Box::pin(self.connection.authenticator().clone().judge(request)));
            }
            let outbox = self.connection.outbox().cloned();
            if outbox.as_ref().is_some_and(|outbox| !outbox.rest()) {
                self.connection.on_wake(Now::read());
                continue;
            }
            set_alarm(&mut alarm, self.connection.deadline());
            let reads = self.connection.wants_read();
            let writes = !self.connection.output().is_empty() || self.socket.waits();
            let event = poll_fn(|cx| {
                // What is rare comes first: a socket that is always readable must not hide it.
                if alarm.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(Event::Alarm));
                }
                if !stopping && stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ok(Event::Stop));
                }
                self.poll_event(cx, outbox.as_deref(), reads, writes)
            });
            let event = event.await?;
            let now = Now::read();
            begun = Some(now.monotonic);
            if rise(outbox.as_deref()) {
                self.connection.on_wake(now);
            }
            match event {
                Event::Readable if self.read(now)? >= LONG_READ => {
                    // There is likely to be more: others of this thread come first.
                    tokio::task::yield_now().await;
                }
                Event::Readable | Event::Writable | Event::Rung => {}
                Event::Alarm => {
                    alarm.as_mut().reset(tokio::time::Instant::from_std(now.monotonic) + NO_DEADLINE);
                    if self.expires(now) {
                        return Ok(End::Expired);
                    }
                }
                Event::Verdict(verdict) => {
                    self.asked = None;
                    self.connection.on_verdict(verdict, now);
                }
                Event::Stop => {
                    stopping = true;
                    self.connection.shut_down(now);
                }
            }
        }
    }

    /// Does what is to be done at the machine's deadline, if that is here. Whether it ends the connection.
    fn expires(&mut self, now: Now) -> bool {
        let due = self.connection.deadline().is_some_and(|deadline| deadline <= now.monotonic);
        if due {
            self.connection.on_deadline(now);
        }
        due && self.connection.is_finished()
    }

    /// What comes from outside. What waits stays registered from one turn to the next.
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        outbox: Option<&Outbox>,
        reads: bool,
        writes: bool,
    ) -> Poll<Result<Event, Gone>> {
        if let Some(asked) = &mut self.asked
            && let Poll::Ready(verdict) = asked.as_mut().poll(cx)
        {
            return Poll::Ready(Ok(Event::Verdict(verdict)));
        }
        if reads && let Poll::Ready(ready) = self.socket.poll_readable(cx) {
            return Poll::Ready(ready.map(|()| Event::Readable).map_err(|_| Gone));
        }
        if outbox.is_some_and(|outbox| outbox.poll_rung(cx).is_ready()) {
            return Poll::Ready(Ok(Event::Rung));
        }
        if writes && let Poll::Ready(ready) = self.socket.poll_writable(cx) {
            return Poll::Ready(ready.map(|()| Event::Writable).map_err(|_| Gone));
        }
        Poll::Pending
    }

    /// Where the connection is to go on, if not here. `begun`: when its turn did, if it had one.
    fn look_around(&mut self, lanes: &Lanes, begun: Option<Instant>) -> Option<Place> {
        if self.elsewhere || self.asked.is_some() {
            return None;
        }
        if self.connection.waits_for_others() {
            return Some(Place::Elsewhere);
        }
        let (begun, now) = (begun?, Now::read().monotonic);
        lanes.after_turn(&mut self.share, now.saturating_duration_since(begun), now)
    }

    /// Goes on at another place.
    fn move_to(self, place: Place, surroundings: Surroundings) {
        let Driver { socket, connection, input, share, trail, .. } = self;
        // A socket that cannot be moved is lost, and with it the connection.
        let Ok(socket) = socket.loosen() else { return };
        let lanes = surroundings.lanes.clone();
        lanes.spawn(place, async move {
            let Ok(socket) = socket.tie() else { return };
            let elsewhere = place == Place::Elsewhere;
            let lanes = surroundings.lanes.clone();
            let driver = Driver { socket, connection, input, asked: None, share, elsewhere, trail };
            lanes.spawn(place, go_on(driver, surroundings));
        });
    }

    /// The connection is over.
    async fn finish(mut self, end: Result<End, Gone>, stop: &CancellationToken) {
        self.connection.on_disconnect();
        if let Some(trail) = self.trail.take() {
            trail.end(&self.connection);
        }
        tell(&self.connection, &end, stop.is_cancelled());
        if matches!(end, Ok(End::Orderly)) {
            if self.connection.was_closed_by_client() {
                // It was answered, and closes the socket itself. Clients take an end of the stream that comes together with
                // the answer for the loss of the connection; RabbitMQ waits too.
                tokio::select! {
                    () = self.socket.await_end() => {}
                    () = stop.cancelled() => {}
                }
            }
            self.socket.linger().await;
        }
    }

    fn read(&mut self, now: Now) -> Result<usize, Gone> {
        if !self.connection.wants_read() {
            return Ok(0);
        }
        match self.input.read(&mut self.socket, &mut self.connection, now) {
            Ok(0) => Err(Gone),
            Ok(read) => Ok(read),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
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

fn rise(outbox: Option<&Outbox>) -> bool {
    outbox.is_some_and(Outbox::rise)
}
