//! A thread that drives many connections: epoll's edges, deadlines by a timer file, one read buffer for all.

use super::connection::Connection;
use super::link::{Link, READ_BYTES};
use super::shared::Shared;
use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// All roles are asked this often, so that they see the end of a run.
const TICK: Duration = Duration::from_millis(20);

/// Events taken from epoll at once.
const EVENTS: usize = 256;

/// The timer's place among the events.
const TIMER: u64 = u64::MAX;

/// When a role wants to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// After the others.
    Again,
    /// When its socket has bytes or room, or at the next tick.
    Wait,
    /// As [`Wait`](Self::Wait), but at this time since the run's start at the latest.
    At(Duration),
    /// Never.
    Done,
}

/// What a connection does under load.
pub(super) trait Role: Send + 'static {
    /// What is left of it.
    type Outcome: Send + 'static;

    /// Walks the whole frames among the bytes that have come; how many bytes they took.
    fn input(&mut self, bytes: &[u8], shared: &Shared) -> Result<usize, String>;

    /// Whether it wants input now.
    fn may_read(&self, _now: Duration) -> bool {
        true
    }

    /// Does what is to be done now.
    fn turn(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String>;

    fn outcome(self) -> Self::Outcome;
}

struct Client<R> {
    link: Link,
    role: R,
    /// It is in the list of those to be asked.
    ready: bool,
    deadline: Option<Duration>,
    done: bool,
}

/// Connections of one kind and the thread's own things.
pub(super) struct Worker<R> {
    clients: Vec<Client<R>>,
    left: usize,
    ready: Vec<usize>,
    deadlines: BinaryHeap<Reverse<(Duration, usize)>>,
    epoll: OwnedFd,
    timer: OwnedFd,
    armed: Option<Duration>,
    buffer: Vec<u8>,
}

impl<R: Role> Worker<R> {
    pub(super) fn new(roles: Vec<(Connection, R)>) -> Result<Self, String> {
        let failed = |error: rustix::io::Errno| format!("epoll: {error}");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map_err(failed)?;
        let edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), edges).map_err(failed)?;
        let mut clients = Vec::with_capacity(roles.len());
        for (index, (connection, role)) in roles.into_iter().enumerate() {
            let link = Link::new(connection)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, link.stream(), data, edges | epoll::EventFlags::OUT).map_err(failed)?;
            clients.push(Client { link, role, ready: true, deadline: None, done: false });
        }
        Ok(Self {
            left: clients.len(),
            ready: (0..clients.len()).collect(),
            clients,
            deadlines: BinaryHeap::new(),
            epoll,
            timer,
            armed: None,
            buffer: vec![0; 2 * READ_BYTES],
        })
    }

    /// Works until every role is done; what is left of each, and its connection.
    pub(super) fn run(mut self, shared: &Shared) -> Result<Vec<(Connection, R::Outcome)>, String> {
        let mut tick = shared.elapsed() + TICK;
        while self.left > 0 {
            self.wait()?;
            let now = shared.elapsed();
            self.wake_due(now);
            if now >= tick {
                tick = now + TICK;
                (0..self.clients.len()).for_each(|index| self.wake(index));
            }
            let ready = std::mem::take(&mut self.ready);
            for index in &ready {
                self.step(*index, shared)?;
            }
            if self.ready.is_empty() {
                self.ready = ready;
                self.ready.clear();
            }
            self.arm(shared.elapsed())?;
        }
        self.clients.into_iter().map(|client| Ok((client.link.into_connection()?, client.role.outcome()))).collect()
    }

    fn wait(&mut self) -> Result<(), String> {
        let timeout = if self.ready.is_empty() { TICK } else { Duration::ZERO };
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS];
        let count = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(format!("epoll: {error}")),
        };
        for event in events.iter().take(count) {
            let (flags, data) = (event.flags, event.data);
            let index = data.u64();
            if index == TIMER {
                self.armed = None;
                continue;
            }
            if let Some(client) = self.clients.get_mut(index as usize) {
                client.link.readable |= flags.intersects(
                    epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR | epoll::EventFlags::RDHUP,
                );
                client.link.writable |= flags.contains(epoll::EventFlags::OUT);
            }
            self.wake(index as usize);
        }
        Ok(())
    }

    fn wake(&mut self, index: usize) {
        if let Some(client) = self.clients.get_mut(index).filter(|client| !client.ready && !client.done) {
            client.ready = true;
            self.ready.push(index);
        }
    }

    fn wake_due(&mut self, now: Duration) {
        while let Some(Reverse((at, index))) = self.deadlines.peek().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop();
            if self.clients.get(index).is_some_and(|client| client.deadline == Some(at)) {
                self.wake(index);
            }
        }
    }

    /// Sets the timer to the next deadline. It wakes within microseconds, where a wait's own timeout has milliseconds.
    fn arm(&mut self, now: Duration) -> Result<(), String> {
        let Some(Reverse((at, _))) = self.deadlines.peek().copied() else { return Ok(()) };
        if self.armed.is_some_and(|armed| armed <= at) {
            return Ok(());
        }
        let pause = at.saturating_sub(now).max(Duration::from_nanos(1));
        let value = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: pause.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: Timespec::default(), it_value: value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .map_err(|error| format!("timer: {error}"))?;
        self.armed = Some(at);
        Ok(())
    }

    fn step(&mut self, index: usize, shared: &Shared) -> Result<(), String> {
        let Some(client) = self.clients.get_mut(index).filter(|client| !client.done) else { return Ok(()) };
        client.ready = false;
        client.deadline = None;
        client.link.pump()?;
        if client.role.may_read(shared.elapsed()) {
            client.read(&mut self.buffer, shared)?;
        }
        let turn = client.role.turn(&mut client.link, shared)?;
        let again = match turn {
            Turn::Done => {
                client.done = true;
                self.left -= 1;
                return epoll::delete(&self.epoll, client.link.stream()).map_err(|error| format!("epoll: {error}"));
            }
            Turn::Again => true,
            Turn::At(at) => {
                client.deadline = Some(at);
                self.deadlines.push(Reverse((at, index)));
                false
            }
            Turn::Wait => false,
        };
        // More than one read's worth has come: the others first.
        if again || client.link.readable && client.role.may_read(shared.elapsed()) {
            self.wake(index);
        }
        Ok(())
    }
}

impl<R: Role> Client<R> {
    fn read(&mut self, buffer: &mut [u8], shared: &Shared) -> Result<(), String> {
        if !self.link.readable && !self.link.has_left() {
            return Ok(());
        }
        let mut end = self.link.take_left(buffer);
        if self.link.readable && end < READ_BYTES {
            end += self.link.read(buffer.get_mut(end..end + READ_BYTES).unwrap_or_default())?;
        }
        let bytes = buffer.get(..end).unwrap_or_default();
        let used = if bytes.is_empty() { 0 } else { self.role.input(bytes, shared)? };
        self.link.keep_left(bytes.get(used..).unwrap_or_default());
        Ok(())
    }
}
