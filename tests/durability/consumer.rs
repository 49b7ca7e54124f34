//! A consumer with manual acks in every style, that ends its sessions in every way.

use crate::checker::SessionId;
use crate::message::Id;
use crate::places::{DUE, QUEUES, QUORUM, SHORT, SOLO};
use crate::support::{Client, Delivery, Error, Event, basic};
use crate::world::{Rng, World, wall_ms};
use std::time::{Duration, Instant};

const CHANNEL: u16 = 1;
const TAG: &str = "crash";

/// Nothing arrived for this long: settle what is held, so that it does not stay for ever.
const IDLE: Duration = Duration::from_millis(60);

/// Acks sent between two round trips.
const SETTLE_EVERY: usize = 150;

/// How a consumer treats what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One ack each.
    Single,
    /// One ack for several.
    Multiple,
    /// Acks, nacks and rejects with requeue, single and multiple, out of order; some are held for long.
    Mixed,
    /// No ack at all: all come back when the session ends.
    Hoarder,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    CloseChannel,
    CloseConnection,
    Cancel,
    /// The socket is dropped without a word.
    Abort,
}

pub fn run(world: &World, queue: usize, number: u64) {
    let mut rng = world.rng("consumer", number);
    while world.running() {
        let Some((client, life)) = world.connect() else { return };
        let style = [Style::Single, Style::Multiple, Style::Mixed, Style::Mixed, Style::Hoarder][rng.below(5) as usize];
        let prefetch = rng.between(5, 120);
        let solo = (queue == SOLO).then_some(prefetch);
        let id = world.checker().consumer_session(queue, life, solo);
        let mut session = Session { client, id, queue, style, prefetch, held: Vec::new(), acked: Vec::new() };
        if let Err(error) = session.run(world, &mut rng) {
            world.problem(&format!("consumer of {}", QUEUES[queue]), life, &error);
        }
        world.checker().end_session(id);
    }
}

/// Takes everything out of a queue with a fresh consumer, until it is empty by every account.
pub fn drain(world: &World, queue: usize, deadline: Instant) -> Result<(), Error> {
    let client = Client::connect(world.addr)?;
    let life = world.checker().life();
    let solo = (queue == SOLO).then_some(500);
    let id = world.checker().consumer_session(queue, life, solo);
    let (held, acked) = (Vec::new(), Vec::new());
    let mut session = Session { client, id, queue, style: Style::Multiple, prefetch: 500, held, acked };
    session.start()?;
    let name = QUEUES[queue];
    loop {
        session.take_for(IDLE, world)?;
        session.ack_held(world)?;
        let ready = session.client.declare_passive(CHANNEL, name)?.message_count;
        if ready == 0 {
            match session.client.get(CHANNEL, name, false)? {
                None if session.take_for(IDLE, world).is_ok() && session.held.is_empty() => break,
                None => {}
                Some(delivery) => session.on_delivery(&delivery, world),
            }
        }
        if Instant::now() > deadline {
            return Err(Error::Unexpected(format!("{name} still has {ready} messages at the end of the drain")));
        }
    }
    session.client.close()?;
    world.checker().end_session(id);
    Ok(())
}

struct Session {
    client: Client,
    id: SessionId,
    queue: usize,
    style: Style,
    prefetch: u64,
    /// Delivered and not yet settled, in order of delivery tags.
    held: Vec<(u64, Id)>,
    /// Ack sent, no round trip since.
    acked: Vec<Id>,
}

impl Session {
    fn start(&mut self) -> Result<(), Error> {
        self.client.open_channel(CHANNEL)?;
        self.client.qos(CHANNEL, self.prefetch as u16, false)?;
        let consume = basic::Consume {
            queue: QUEUES[self.queue].into(),
            consumer_tag: TAG.into(),
            exclusive: self.queue == SOLO,
            ..Default::default()
        };
        self.client.consume_with(CHANNEL, consume).map(|_| ())
    }

    fn run(&mut self, world: &World, rng: &mut Rng) -> Result<(), Error> {
        self.start()?;
        let end = Instant::now() + Duration::from_millis(rng.between(20, 2_500));
        while Instant::now() < end && world.running() {
            match self.client.recv_until(Instant::now() + IDLE) {
                Ok(event) => self.on_event(&event, world)?,
                Err(Error::Timeout) if self.style != Style::Hoarder => self.ack_held(world)?,
                Err(Error::Timeout) => {}
                Err(error) => return Err(error),
            }
            self.settle_some(world, rng)?;
        }
        let ends = [End::CloseChannel, End::CloseConnection, End::Cancel, End::Abort];
        // The next exclusive consumer must find the queue free.
        let choices = if self.queue == SOLO { 3 } else { 4 };
        self.end(ends[rng.below(choices) as usize], world)
    }

    fn end(&mut self, end: End, world: &World) -> Result<(), Error> {
        match end {
            End::Abort => {
                self.client.break_off();
                Ok(())
            }
            End::CloseConnection => self.client.close(),
            End::CloseChannel => self.client.close_channel(CHANNEL),
            End::Cancel => {
                self.client.cancel(CHANNEL, TAG)?;
                // What was delivered before cancel-ok is still ours to settle.
                self.take_for(Duration::ZERO, world)?;
                self.ack_held(world)?;
                self.client.close()
            }
        }
    }

    fn on_event(&mut self, event: &Event, world: &World) -> Result<(), Error> {
        match (event.delivery(), event) {
            (Some(delivery), _) => {
                self.on_delivery(&delivery, world);
                Ok(())
            }
            (None, Event::Closed(closed)) => Err(Error::Closed(closed.clone())),
            (None, Event::Gone) => Err(Error::Gone),
            (None, other) => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }

    fn on_delivery(&mut self, delivery: &Delivery, world: &World) {
        match Id::delivered(self.queue, delivery) {
            Ok(id) => {
                if self.queue == DUE {
                    world.checker().came(id, wall_ms());
                }
                world.checker().delivered(self.id, id, delivery.redelivered);
                self.held.push((delivery.delivery_tag, id));
            }
            Err(text) => world.checker().corrupt(self.id, text),
        }
    }

    /// Takes deliveries until none came for `idle`, acknowledging in batches.
    fn take_for(&mut self, idle: Duration, world: &World) -> Result<(), Error> {
        loop {
            match self.client.recv_until(Instant::now() + idle) {
                Ok(event) => self.on_event(&event, world)?,
                Err(Error::Timeout) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.held.len() as u64 >= self.prefetch / 2 {
                self.ack_held(world)?;
            }
        }
    }

    fn settle_some(&mut self, world: &World, rng: &mut Rng) -> Result<(), Error> {
        match self.style {
            Style::Single => {
                while let Some((tag, id)) = self.held.pop() {
                    world.checker().acked(self.id, id);
                    self.client.ack(CHANNEL, tag, false)?;
                    self.acked.push(id);
                }
            }
            Style::Multiple if self.held.len() as u64 >= self.prefetch / 3 => {
                self.ack_up_to(self.held.len(), world)?;
            }
            Style::Mixed => self.settle_mixed(world, rng)?,
            Style::Multiple | Style::Hoarder => {}
        }
        if self.acked.len() >= SETTLE_EVERY {
            self.confirm_acks(world)?;
        }
        Ok(())
    }

    fn settle_mixed(&mut self, world: &World, rng: &mut Rng) -> Result<(), Error> {
        // Hold some, but never so many that the prefetch count stops the queue.
        if self.held.is_empty() || (rng.below(3) == 0 && (self.held.len() as u64) < self.prefetch / 2) {
            return Ok(());
        }
        let at = rng.below(self.held.len() as u64) as usize;
        match rng.below(24) {
            0 => {
                let (tag, id) = self.held.remove(at);
                world.checker().requeued(self.id, &[id]);
                self.client.reject(CHANNEL, tag, true)
            }
            1 => {
                let (tag, id) = self.held.remove(at);
                world.checker().requeued(self.id, &[id]);
                self.client.nack(CHANNEL, tag, false, true)
            }
            2 => {
                let (tag, _) = self.held[at];
                let ids: Vec<Id> = self.held.drain(..=at).map(|(_, id)| id).collect();
                world.checker().requeued(self.id, &ids);
                self.client.nack(CHANNEL, tag, true, true)
            }
            3..6 => self.ack_up_to(at + 1, world),
            6 if self.queue == SHORT || self.queue == QUORUM => {
                // It is a dead letter.
                let (tag, _) = self.held.remove(at);
                self.client.reject(CHANNEL, tag, false)
            }
            _ => {
                let (tag, id) = self.held.remove(at);
                world.checker().acked(self.id, id);
                self.acked.push(id);
                self.client.ack(CHANNEL, tag, false)
            }
        }
    }

    /// One ack for the `count` oldest.
    fn ack_up_to(&mut self, count: usize, world: &World) -> Result<(), Error> {
        let Some((tag, _)) = count.checked_sub(1).and_then(|last| self.held.get(last)).copied() else { return Ok(()) };
        let ids: Vec<Id> = self.held.drain(..count).map(|(_, id)| id).collect();
        ids.iter().for_each(|id| world.checker().acked(self.id, *id));
        self.acked.extend(ids);
        self.client.ack(CHANNEL, tag, true)
    }

    fn ack_held(&mut self, world: &World) -> Result<(), Error> {
        self.ack_up_to(self.held.len(), world)?;
        if self.acked.is_empty() { Ok(()) } else { self.confirm_acks(world) }
    }

    /// A round trip: the acks sent so far have been handled.
    fn confirm_acks(&mut self, world: &World) -> Result<(), Error> {
        self.client.sync(CHANNEL)?;
        world.checker().settled(self.id, &self.acked);
        self.acked.clear();
        Ok(())
    }
}
