//! Declares, binds and deletes at random, and looks after each crash whether every `-ok` was kept.

use crate::checker::Rule;
use crate::support::{BasicProperties, Client, Error, Event, exchange};
use crate::topology::{Expect, Thing, Topology};
use crate::world::{Rng, World};
use std::thread;
use std::time::Duration;

/// Channel for changes, and for looks that a 404 may close.
const CHANGES: u16 = 1;
const LOOKS: u16 = 2;
const PUBLISHES: u16 = 3;

const QUEUES: u64 = 6;
const EXCHANGES: u64 = 3;

pub fn run(world: &World) -> Topology {
    let mut rng = world.rng("topologist", 0);
    let mut topology = Topology::default();
    while world.running() {
        let Some((mut client, life)) = world.connect() else { break };
        if let Err(error) = change_until_stopped(world, &mut client, &mut topology, &mut rng) {
            world.problem("topologist", life, &error);
        }
    }
    topology
}

fn change_until_stopped(
    world: &World,
    client: &mut Client,
    topology: &mut Topology,
    rng: &mut Rng,
) -> Result<(), Error> {
    client.open_channel(CHANGES)?;
    check(world, client, topology)?;
    while world.running() {
        change(world, client, topology, rng)?;
        thread::sleep(Duration::from_millis(rng.between(0, 8)));
    }
    client.close()
}

fn queue(number: u64) -> String {
    format!("topology.q{number}")
}

fn exchange_name(number: u64) -> String {
    format!("topology.x{number}")
}

fn change(world: &World, client: &mut Client, topology: &mut Topology, rng: &mut Rng) -> Result<(), Error> {
    let queue = queue(rng.below(QUEUES));
    let exchange = exchange_name(rng.below(EXCHANGES));
    let (q, x) = (Thing::Queue(queue.clone()), Thing::Exchange(exchange.clone()));
    let binding = Thing::Binding(exchange.clone(), queue.clone());
    let both = topology.present(&q) && topology.present(&x);
    match rng.below(12) {
        0..3 if !topology.present(&q) => {
            let fresh = topology.expect(&q) == Expect::Absent;
            topology.sent(&q);
            let ok = client.declare_queue(CHANGES, &queue, true)?;
            topology.ok(&q, Expect::Present);
            if fresh && ok.message_count > 0 {
                let text = format!("{queue} was deleted, and came back with {} messages", ok.message_count);
                world.checker().violation(Rule::Topology, text);
            }
        }
        0..3 => {
            // A message for the queue to take along when it is deleted.
            let properties = BasicProperties::default().with_delivery_mode(2);
            client.publish(CHANGES, "", &queue, &properties, b"passenger")?;
        }
        3 if topology.present(&q) => {
            topology.sent(&q);
            client.delete_queue(CHANGES, &queue)?;
            topology.ok(&q, Expect::Absent);
        }
        4..6 if !topology.present(&x) => {
            topology.sent(&x);
            declare_exchange(client, &exchange)?;
            topology.ok(&x, Expect::Present);
        }
        6 if topology.present(&x) && rng.below(3) == 0 => {
            topology.sent(&x);
            client.delete_exchange(CHANGES, &exchange)?;
            topology.ok(&x, Expect::Absent);
        }
        7..11 if both && !topology.present(&binding) => {
            topology.sent(&binding);
            client.bind(CHANGES, &queue, &exchange, &queue)?;
            topology.ok(&binding, Expect::Present);
        }
        11 if both && topology.present(&binding) => {
            topology.sent(&binding);
            client.unbind(CHANGES, &queue, &exchange, &queue)?;
            topology.ok(&binding, Expect::Absent);
        }
        _ => {}
    }
    Ok(())
}

fn declare_exchange(client: &mut Client, name: &str) -> Result<(), Error> {
    let declare =
        exchange::Declare { exchange: name.into(), kind: "direct".into(), durable: true, ..Default::default() };
    client.declare_exchange(CHANGES, declare)
}

/// Looks at every definition and holds it against the last `-ok`.
pub fn check(world: &World, client: &mut Client, topology: &mut Topology) -> Result<(), Error> {
    for number in 0..QUEUES {
        let name = queue(number);
        let present = exists(client, |client| client.declare_passive(LOOKS, &name).map(|_| ()))?;
        observe(world, topology, &Thing::Queue(name), present);
    }
    for number in 0..EXCHANGES {
        let name = exchange_name(number);
        let present = exists(client, |client| client.exchange_passive(LOOKS, &name))?;
        observe(world, topology, &Thing::Exchange(name), present);
    }
    client.open_channel(PUBLISHES)?;
    client.confirm_select(PUBLISHES)?;
    for exchange in (0..EXCHANGES).map(exchange_name) {
        for queue in (0..QUEUES).map(queue) {
            let exchange_present = topology.present(&Thing::Exchange(exchange.clone()));
            let present = exchange_present && is_bound(client, &exchange, &queue)?;
            observe(world, topology, &Thing::Binding(exchange.clone(), queue), present);
        }
    }
    client.close_channel(PUBLISHES)
}

fn observe(world: &World, topology: &mut Topology, thing: &Thing, present: bool) {
    if let Err(text) = topology.observed(thing, present) {
        world.checker().violation(Rule::Topology, text);
    }
}

fn exists(client: &mut Client, look: impl FnOnce(&mut Client) -> Result<(), Error>) -> Result<bool, Error> {
    client.open_channel(LOOKS)?;
    match look(client) {
        Ok(()) => client.close_channel(LOOKS).map(|()| true),
        Err(Error::Closed(closed)) if closed.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// A mandatory publish comes back unless the binding exists.
fn is_bound(client: &mut Client, exchange: &str, queue: &str) -> Result<bool, Error> {
    client.publish_mandatory(PUBLISHES, exchange, queue, &BasicProperties::default(), b"look")?;
    client.wait_confirms(PUBLISHES)?;
    let returned = client.take_pending(|event: &Event| event.returned().is_some());
    Ok(returned.is_none())
}
