//! What the tests of queue features share: declarations with arguments, and headers of deliveries.

use crate::stage::*;
use crate::support::*;
use std::time::{Duration, Instant};

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub fn number(value: i64) -> AMQPValue {
    AMQPValue::LongLongInt(value)
}

pub fn yes() -> AMQPValue {
    AMQPValue::Boolean(true)
}

pub fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert((*key).into(), value.clone());
    }
    table
}

/// A declaration with these arguments.
pub fn featured(name: &str, durable: bool, arguments: &[(&str, AMQPValue)]) -> queue::Declare {
    queue::Declare { queue: name.into(), durable, arguments: table(arguments), ..Default::default() }
}

/// A transient queue of this test with these arguments.
pub fn queue_with(client: &mut Client, arguments: &[(&str, AMQPValue)]) -> String {
    let name = unique("q");
    client.declare(CH, featured(&name, false, arguments)).expect("a queue");
    name
}

/// A quorum queue of this test.
pub fn quorum_with(client: &mut Client, arguments: &[(&str, AMQPValue)]) -> String {
    let name = unique("q");
    let arguments: Vec<_> = arguments.iter().cloned().chain([("x-queue-type", text("quorum"))]).collect();
    client.declare(CH, featured(&name, true, &arguments)).expect("a quorum queue");
    name
}

pub fn publish_with(client: &mut Client, queue: &str, properties: BasicProperties, body: &str) {
    client.publish(CH, "", queue, &properties, body.as_bytes()).expect("a publish");
}

pub fn expiring(milliseconds: u64) -> BasicProperties {
    BasicProperties::default().with_expiration(milliseconds.to_string().into())
}

pub fn with_priority(priority: u8) -> BasicProperties {
    BasicProperties::default().with_priority(priority)
}

/// Waits for a message in a queue and takes it, acknowledged.
pub fn await_message(client: &mut Client, queue: &str) -> Delivery {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(delivery) = client.get(CH, queue, true).expect("a reply to get") {
            return delivery;
        }
        assert!(Instant::now() < deadline, "no message within ten seconds");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The headers of a delivery; none is an empty table.
pub fn headers(delivery: &Delivery) -> FieldTable {
    delivery.parsed_properties().headers().clone().unwrap_or_default()
}

pub fn header(delivery: &Delivery, key: &str) -> Option<AMQPValue> {
    headers(delivery).inner().get(key).cloned()
}

/// The x-death entries, latest first, as queue, reason and count.
pub fn deaths(delivery: &Delivery) -> Vec<(String, String, i64)> {
    let Some(AMQPValue::FieldArray(deaths)) = header(delivery, "x-death") else { return Vec::new() };
    let entry = |death: &AMQPValue| {
        let AMQPValue::FieldTable(death) = death else { panic!("{death:?}") };
        let text = |key: &str| match death.inner().get(key) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{key}: {other:?}"),
        };
        let Some(AMQPValue::LongLongInt(count)) = death.inner().get("count") else { panic!("{death:?}") };
        (text("queue"), text("reason"), *count)
    };
    deaths.as_slice().iter().map(entry).collect()
}
