//! Dead letters that must arrive (compat.md 2.5, at-least-once): what a conversation in pieces cannot show.

use super::*;

fn eventually_ready(client: &mut Client, queue: &str, count: u32) {
    let begun = Instant::now();
    while client.ready(queue) < count {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} in {queue}, not {count}", client.ready(queue));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_has_arrived_is_not_sent_again_with_what_has_not() {
    let node = node();
    let mut client = node.channel();
    for (name, kind) in [("all", "fanout"), ("dead", "direct")] {
        client.method(1, exchange(name, kind));
        client.only();
    }
    let mut arguments = Table::from_iter([
        ("x-queue-type", "quorum"),
        ("x-dead-letter-exchange", "dead"),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ]);
    arguments.insert("x-message-ttl", 0_i64);
    let arguments = table_to_amq(&arguments).unwrap();
    client.declare(1, queue::Declare { queue: "q".into(), durable: true, arguments, ..Default::default() });
    client.queue("here", false);
    client.queue("late", false);
    client.bind("q", "all", "");
    client.bind("here", "dead", "here");
    // In one turn, so that they are one chunk and die together.
    let keys = ["here", "late", "here"];
    let publish = |key: &str| message(1, "all", key, false, &PropertiesBuilder::default(), b"m");
    client.send(&keys.iter().flat_map(|key| publish(key)).collect::<Vec<u8>>());
    eventually_ready(&mut client, "here", 2);
    client.bind("late", "dead", "late");
    // It comes with the next try, and so would the others.
    eventually_ready(&mut client, "late", 1);
    assert_eq!((client.ready("here"), client.ready("late")), (2, 1));
}
