//! A publisher with confirms: bursts, a window, a new channel after each crash. Where duplicates are dropped it publishes
//! as from an outbox: what was not confirmed comes again after a crash, and now and then what was.

use crate::checker::Rule;
use crate::message::Id;
use crate::support::{AMQPClass, Client, ConfirmTracker, Error, Event, basic, confirm};
use crate::world::{PATIENCE, Rng, World, wall_ms};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

const CHANNEL: u16 = 1;
const WINDOW: usize = 300;
/// Messages that may be published twice are the last so many.
const OUTBOX: usize = 200;

/// Publishers wait while the broker holds this many copies: the drain at the end shall be short.
const BACKLOG_MAX: u64 = 20_000;

pub fn run(world: &World, producer: u32) {
    let mut rng = world.rng("publisher", u64::from(producer));
    let mut outbox = Outbox::default();
    while world.publishing() {
        let Some((client, life)) = world.connect() else { return };
        let (tracker, ids, doubles) = (ConfirmTracker::default(), HashMap::new(), HashMap::new());
        let mut channel = Channel { client, producer, tracker, ids, doubles, outbox: &mut outbox };
        match channel.publish_until_stopped(world, &mut rng) {
            Ok(()) => return,
            Err(error) => world.problem("publisher", life, &error),
        }
    }
}

/// Messages that may be published twice.
#[derive(Default)]
struct Outbox {
    /// Those that were not confirmed.
    open: BTreeSet<Id>,
    /// The last ones, confirmed or not.
    last: VecDeque<Id>,
}

/// One publishing channel.
struct Channel<'o> {
    client: Client,
    producer: u32,
    tracker: ConfirmTracker,
    /// Unconfirmed messages by publish tag.
    ids: HashMap<u64, Id>,
    /// The same for duplicates.
    doubles: HashMap<u64, Id>,
    outbox: &'o mut Outbox,
}

impl Channel<'_> {
    fn publish_until_stopped(&mut self, world: &World, rng: &mut Rng) -> Result<(), Error> {
        self.client.open_channel(CHANNEL)?;
        // Not `Client::confirm_select`: a wrong confirm shall reach the checker, not end the connection.
        let select = AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }));
        self.client.call(CHANNEL, select, |method| {
            matches!(method, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))).then_some(())
        })?;
        world.checker().publisher_session(self.producer);
        let again: BTreeSet<Id> = self.outbox.open.iter().chain(&self.outbox.last).copied().collect();
        for id in again {
            self.publish_double(id)?;
            self.wait_below(WINDOW, world)?;
        }
        while world.publishing() {
            for _ in 0..rng.between(1, 40) {
                self.publish(world)?;
            }
            let at = rng.below(4 * OUTBOX as u64) as usize;
            if let Some(id) = self.outbox.last.get(at).copied() {
                self.publish_double(id)?;
            }
            self.read_for(Duration::from_micros(rng.between(100, 6_000)), world)?;
            self.wait_below(WINDOW, world)?;
            while world.checker().backlog() > BACKLOG_MAX && world.publishing() {
                self.read_for(Duration::from_millis(5), world)?;
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.wait_below(0, world)?;
        self.client.close()
    }

    fn publish(&mut self, world: &World) -> Result<(), Error> {
        let id = world.checker().invoke(self.producer);
        self.ids.insert(self.tracker.publish(), id);
        if let Some(delay) = id.delay() {
            world.checker().waits(id, wall_ms() + delay);
        }
        if id.is_once() {
            self.outbox.open.insert(id);
            self.outbox.last.truncate(OUTBOX - 1);
            self.outbox.last.push_front(id);
        }
        self.send(id)
    }

    /// Publishes a message that was published before.
    fn publish_double(&mut self, id: Id) -> Result<(), Error> {
        self.doubles.insert(self.tracker.publish(), id);
        self.send(id)
    }

    fn send(&mut self, id: Id) -> Result<(), Error> {
        let route = id.route();
        let publish = basic::Publish {
            exchange: route.exchange.into(),
            routing_key: route.key.into(),
            mandatory: route.places.is_empty(),
            immediate: false,
        };
        self.client.publish_raw(CHANNEL, publish, &id.properties(), &id.body())
    }

    /// Waits until at most `limit` publishes are unconfirmed.
    fn wait_below(&mut self, limit: usize, world: &World) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.tracker.outstanding() > limit {
            let event = self.client.recv_until(deadline)?;
            self.on_event(&event, world)?;
        }
        Ok(())
    }

    fn read_for(&mut self, time: Duration, world: &World) -> Result<(), Error> {
        let deadline = Instant::now() + time;
        loop {
            match self.client.recv_until(deadline) {
                Ok(event) => self.on_event(&event, world)?,
                Err(Error::Timeout) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn on_event(&mut self, event: &Event, world: &World) -> Result<(), Error> {
        if let Some(returned) = event.returned() {
            match Id::of(&returned.body, &returned.properties) {
                Ok(id) if returned.code == 312 => world.checker().returned(id),
                Ok(id) => world.checker().violation(Rule::Return, format!("{id:?}: code {}", returned.code)),
                Err(text) => world.checker().violation(Rule::Return, text),
            }
            return Ok(());
        }
        if let Some((tag, multiple, nack)) = event.confirm() {
            let settled = self.tracker.settle(tag, multiple, nack);
            let mut checker = world.checker();
            match settled {
                Ok(tags) => {
                    for tag in tags {
                        if let Some(id) = self.ids.remove(&tag) {
                            self.outbox.open.remove(&id);
                            checker.confirmed(id, nack);
                        } else if let Some(id) = self.doubles.remove(&tag) {
                            self.outbox.open.remove(&id);
                            checker.confirmed_double(id, nack);
                        }
                    }
                }
                Err(text) => checker.violation(Rule::Confirm, text),
            }
            return Ok(());
        }
        match event {
            Event::Closed(closed) => Err(Error::Closed(closed.clone())),
            Event::Gone => Err(Error::Gone),
            other => Err(Error::Unexpected(format!("{other:?}"))),
        }
    }
}
