//! A publisher with confirms: bursts, a window, a new channel after each crash.

use crate::checker::Rule;
use crate::message::Id;
use crate::support::{AMQPClass, Client, ConfirmTracker, Error, Event, basic, confirm};
use crate::world::{PATIENCE, Rng, World};
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

const CHANNEL: u16 = 1;
const WINDOW: usize = 300;

/// Publishers wait while the broker holds this many copies: the drain at the end shall be short.
const BACKLOG_MAX: u64 = 20_000;

pub fn run(world: &World, producer: u32) {
    let mut rng = world.rng("publisher", u64::from(producer));
    while world.publishing() {
        let Some((client, life)) = world.connect() else { return };
        let mut channel = Channel { client, producer, tracker: ConfirmTracker::default(), ids: HashMap::new() };
        match channel.publish_until_stopped(world, &mut rng) {
            Ok(()) => return,
            Err(error) => world.problem("publisher", life, &error),
        }
    }
}

/// One publishing channel.
struct Channel {
    client: Client,
    producer: u32,
    tracker: ConfirmTracker,
    /// Unconfirmed messages by publish tag.
    ids: HashMap<u64, Id>,
}

impl Channel {
    fn publish_until_stopped(&mut self, world: &World, rng: &mut Rng) -> Result<(), Error> {
        self.client.open_channel(CHANNEL)?;
        // Not `Client::confirm_select`: a wrong confirm shall reach the checker, not end the connection.
        let select = AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false }));
        self.client.call(CHANNEL, select, |method| {
            matches!(method, AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_))).then_some(())
        })?;
        world.checker().publisher_session(self.producer);
        while world.publishing() {
            for _ in 0..rng.between(1, 40) {
                self.publish(world)?;
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
                    tags.iter().filter_map(|tag| self.ids.remove(tag)).for_each(|id| checker.confirmed(id, nack))
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
