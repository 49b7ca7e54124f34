//! A publisher in transactions: what a commit-ok answered is on disk, what was rolled back never comes.

use crate::checker::Rule;
use crate::message::{Id, TRANSACTIONS};
use crate::support::{Client, Error, Event, basic};
use crate::world::{Rng, World, wall_ms};
use std::thread;
use std::time::Duration;

const CHANNEL: u16 = 1;

pub fn run(world: &World) {
    let mut rng = world.rng("transactor", 0);
    while world.publishing() {
        let Some((mut client, life)) = world.connect() else { return };
        match publish_until_stopped(world, &mut client, &mut rng) {
            Ok(()) => return,
            Err(error) => world.problem("transactor", life, &error),
        }
    }
}

fn publish_until_stopped(world: &World, client: &mut Client, rng: &mut Rng) -> Result<(), Error> {
    client.open_channel(CHANNEL)?;
    client.tx_select(CHANNEL)?;
    world.checker().publisher_session(TRANSACTIONS);
    while world.publishing() {
        let mut ids = Vec::new();
        for _ in 0..rng.between(1, 15) {
            ids.push(publish(world, client)?);
        }
        if rng.below(4) == 0 {
            world.checker().rolled_back(&ids);
            client.tx_rollback(CHANNEL)?;
            if client.take_pending(|event: &Event| event.returned().is_some()).is_some() {
                world.checker().violation(Rule::Return, "a message of a rolled back transaction was returned".into());
            }
        } else {
            client.tx_commit(CHANNEL)?;
            while let Some(event) = client.take_pending(|event: &Event| event.returned().is_some()) {
                if let Some(Ok(id)) = event.returned().map(|returned| Id::of(&returned.body, &returned.properties)) {
                    world.checker().returned(id);
                }
            }
            ids.into_iter().for_each(|id| world.checker().confirmed(id, false));
        }
        thread::sleep(Duration::from_millis(rng.between(0, 10)));
    }
    client.close()
}

fn publish(world: &World, client: &mut Client) -> Result<Id, Error> {
    let id = world.checker().invoke(TRANSACTIONS);
    if let Some(delay) = id.delay() {
        world.checker().waits(id, wall_ms() + delay);
    }
    let route = id.route();
    let publish = basic::Publish {
        exchange: route.exchange.into(),
        routing_key: route.key.into(),
        mandatory: route.places.is_empty(),
        immediate: false,
    };
    client.publish_raw(CHANNEL, publish, &id.properties(), &id.body())?;
    Ok(id)
}
