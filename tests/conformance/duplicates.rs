//! Deduplication (compat.md 2.11, 7 row 9): the exchange type and the queue argument.

use crate::featured::*;
use crate::stage::*;
use crate::support::*;
use std::path::Path;

fn identified(identity: &str) -> BasicProperties {
    with_headers(&[("x-deduplication-header", text(identity))])
}

fn with_headers(headers: &[(&str, AMQPValue)]) -> BasicProperties {
    BasicProperties::default().with_headers(table(headers)).with_delivery_mode(2)
}

fn declare(name: &str, durable: bool, arguments: &[(&str, AMQPValue)]) -> exchange::Declare {
    exchange::Declare {
        exchange: name.into(),
        kind: "x-message-deduplication".into(),
        durable,
        arguments: table(arguments),
        ..Default::default()
    }
}

/// A deduplicating exchange and a queue behind it.
fn scene(client: &mut Client, arguments: &[(&str, AMQPValue)]) -> (String, String) {
    let name = unique("x");
    client.declare_exchange(CH, declare(&name, false, arguments)).unwrap();
    let queue = queue(client);
    client.bind(CH, &queue, &name, "ignored").unwrap();
    (name, queue)
}

fn publish_as(client: &mut Client, exchange: &str, key: &str, identity: &str, body: &str) {
    client.publish(CH, exchange, key, &identified(identity), body.as_bytes()).unwrap();
}

const SIZE: (&str, AMQPValue) = ("x-cache-size", AMQPValue::LongInt(100));

#[test]
fn an_exchange_lets_each_message_through_once() {
    let mut client = open();
    let (name, queue) = scene(&mut client, &[SIZE]);
    client.confirm_select(CH).unwrap();
    for (identity, body) in [("a", "1"), ("b", "2"), ("a", "again"), ("c", "3"), ("b", "again")] {
        publish_as(&mut client, &name, "k", identity, body);
    }
    publish_to(&mut client, &name, "k", "without identity");
    publish_to(&mut client, &name, "k", "without identity");
    assert_eq!(client.wait_confirms(CH), Ok(vec![]), "duplicates are acknowledged");
    let expected = ["1", "2", "3", "without identity", "without identity"];
    assert_eq!(drain(&mut client, &queue), expected);
    publish_as(&mut client, &name, "other key", "a", "after consumption");
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    assert_eq!(drain(&mut client, &queue), Vec::<String>::new());
}

#[test]
fn a_duplicate_is_not_returned_and_what_led_nowhere_is_no_duplicate() {
    let mut client = open();
    let name = unique("x");
    client.declare_exchange(CH, declare(&name, false, &[SIZE])).unwrap();
    client.confirm_select(CH).unwrap();
    let publish = |client: &mut Client| {
        client.publish_mandatory(CH, &name, "k", &identified("a"), b"m").unwrap();
    };
    publish(&mut client);
    assert_eq!(client.returned().unwrap().code, 312);
    let queue = queue(&mut client);
    client.bind(CH, &queue, &name, "").unwrap();
    publish(&mut client);
    publish(&mut client);
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(drain(&mut client, &queue), ["m"]);
}

#[test]
fn a_window_has_a_size_and_a_time() {
    let mut client = open();
    let (name, queue) = scene(&mut client, &[("x-cache-size", number(2))]);
    for identity in ["a", "b", "c", "b", "c", "a"] {
        publish_as(&mut client, &name, "", identity, identity);
    }
    assert_eq!(drain(&mut client, &queue), ["a", "b", "c", "a"]);
    let (name, queue) = scene(&mut client, &[SIZE, ("x-cache-ttl", number(1))]);
    let long = with_headers(&[("x-deduplication-header", text("long")), ("x-cache-ttl", number(3_600_000))]);
    client.publish(CH, &name, "", &long, b"long").unwrap();
    eventually("it may come again", || {
        publish_as(&mut client, &name, "", "short", "short");
        client.publish(CH, &name, "", &long, b"long").unwrap();
        client.sync(CH).unwrap();
        counts(&mut client, &queue).0 >= 3
    });
    let bodies = drain(&mut client, &queue);
    assert_eq!(bodies.iter().filter(|body| *body == "long").count(), 1);
}

#[test]
fn the_exchange_is_met_anywhere_on_the_way() {
    let mut client = open();
    let (name, behind) = scene(&mut client, &[SIZE]);
    let (outer, beside) = (exchange(&mut client, "fanout"), queue(&mut client));
    client.bind(CH, &beside, &outer, "").unwrap();
    client.bind_exchange(CH, &name, &outer, "").unwrap();
    // Reached both ways, one copy each time.
    client.bind(CH, &behind, &outer, "both ways").unwrap();
    for _ in 0..2 {
        publish_as(&mut client, &outer, "", "a", "m");
    }
    assert_eq!(drain(&mut client, &beside), ["m", "m"]);
    assert_eq!(drain(&mut client, &behind), ["m", "m"]);
    client.unbind(CH, &behind, &outer, "both ways").unwrap();
    for identity in ["b", "b"] {
        publish_as(&mut client, &outer, "", identity, "n");
    }
    assert_eq!(drain(&mut client, &behind), ["n"]);

    let alternate = unique("x");
    let arguments = table(&[("alternate-exchange", text(&name))]);
    let first = exchange::Declare {
        exchange: alternate.as_str().into(),
        kind: "direct".into(),
        arguments,
        ..Default::default()
    };
    client.declare_exchange(CH, first).unwrap();
    for _ in 0..2 {
        publish_as(&mut client, &alternate, "none", "c", "as alternate");
    }
    assert_eq!(drain(&mut client, &behind), ["as alternate"]);

    // Dead letters pass: it is the broker that moves them.
    let source = queue_with(&mut client, &[("x-dead-letter-exchange", text(&name)), ("x-max-length", number(0))]);
    for round in ["1", "2"] {
        publish_as(&mut client, "", &source, "d", round);
        assert_eq!(await_message(&mut client, &behind).text(), round);
    }
    // One exchange behind the other: both must not know it.
    let (inner, last) = scene(&mut client, &[SIZE]);
    client.bind_exchange(CH, &inner, &name, "").unwrap();
    publish_as(&mut client, &inner, "", "e", "inner first");
    publish_as(&mut client, &name, "", "e", "then outer");
    assert_eq!(drain(&mut client, &behind), ["then outer"]);
    assert_eq!(drain(&mut client, &last), ["inner first"]);
}

#[test]
fn what_a_full_queue_refuses_may_come_again() {
    let mut client = open();
    let arguments = [("x-max-length", number(1)), ("x-overflow", text("reject-publish"))];
    let name = unique("x");
    client.declare_exchange(CH, declare(&name, false, &[SIZE])).unwrap();
    let by_exchange = queue_with(&mut client, &arguments);
    client.bind(CH, &by_exchange, &name, "").unwrap();
    let mut own: Vec<_> = arguments.to_vec();
    own.push(("x-message-deduplication", yes()));
    let by_queue = queue_with(&mut client, &own);
    client.confirm_select(CH).unwrap();
    for (exchange, queue) in [(name.as_str(), &by_exchange), ("", &by_queue)] {
        publish_as(&mut client, exchange, queue, "a", "a");
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
        publish_as(&mut client, exchange, queue, "b", "b");
        assert_eq!(client.wait_confirms(CH).unwrap().len(), 1, "refused");
        publish_as(&mut client, exchange, queue, "a", "a");
        assert_eq!(client.wait_confirms(CH), Ok(vec![]), "a duplicate, full or not");
        assert_eq!(drain(&mut client, queue), ["a"]);
        publish_as(&mut client, exchange, queue, "b", "b");
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
        assert_eq!(drain(&mut client, queue), ["b"]);
    }
}

#[test]
fn a_queue_takes_each_message_once() {
    let mut client = open();
    let arguments = [("x-message-deduplication", yes()), ("x-cache-size", number(100))];
    for queue in [queue_with(&mut client, &arguments), quorum_with(&mut client, &arguments)] {
        client.confirm_select(CH).unwrap();
        for (identity, body) in [("a", "1"), ("b", "2"), ("a", "again"), ("c", "3"), ("a", "again")] {
            publish_as(&mut client, "", &queue, identity, body);
        }
        publish(&mut client, &queue, "without identity");
        publish(&mut client, &queue, "without identity");
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
        // What comes back is no duplicate of itself.
        let got = take(&mut client, &queue);
        client.reject(CH, got.delivery_tag, true).unwrap();
        let mut bodies = drain(&mut client, &queue);
        bodies.sort();
        assert_eq!(bodies, ["1", "2", "3", "without identity", "without identity"]);
        let mut other = open();
        publish_as(&mut other, "", &queue, "b", "after consumption");
        other.sync(CH).unwrap();
        assert_eq!(counts(&mut client, &queue).0, 0);
        client.delete_queue(CH, &queue).unwrap();
    }
}

#[test]
fn a_queue_names_its_header_size_and_time() {
    let mut client = open();
    let arguments = [
        ("x-message-deduplication", yes()),
        ("x-deduplication-header", text("id")),
        ("x-cache-size", number(2)),
        ("x-cache-ttl", number(3_600_000)),
        ("x-max-priority", number(5)),
    ];
    let queue = queue_with(&mut client, &arguments);
    for (identity, priority) in [(1, 0), (1, 5), (2, 1), (3, 2), (1, 3)] {
        let properties = with_headers(&[("id", number(identity))]).with_priority(priority);
        client.publish(CH, "", &queue, &properties, identity.to_string().as_bytes()).unwrap();
    }
    publish_as(&mut client, "", &queue, "a", "other header");
    publish_as(&mut client, "", &queue, "a", "other header");
    assert_eq!(drain(&mut client, &queue), ["1", "3", "2", "1", "other header", "other header"]);
    // A message that comes back by dead-lettering is let in.
    let back = queue_with(
        &mut client,
        &[("x-message-deduplication", yes()), ("x-dead-letter-exchange", text("")), ("x-message-ttl", number(1))],
    );
    let waiting = queue_with(&mut client, &[("x-message-deduplication", yes())]);
    let arguments = [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&waiting)),
        ("x-message-ttl", number(1)),
    ];
    let delay = queue_with(&mut client, &arguments);
    publish_as(&mut client, "", &waiting, "a", "job");
    let got = take(&mut client, &waiting);
    client.ack(CH, got.delivery_tag, false).unwrap();
    publish_as(&mut client, "", &delay, "a", "job, later");
    assert_eq!(await_message(&mut client, &waiting).text(), "job, later");
    client.delete_queue(CH, &back).unwrap();
}

#[test]
fn its_arguments_are_checked() {
    let mut client = open();
    for (arguments, explanation) in [
        (vec![], "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"),
        (
            vec![("x-cache-size", number(0))],
            "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
        ),
        (vec![SIZE, ("x-cache-ttl", text("x"))], "Invalid argument, 'x-cache-ttl' must be an integer greater than 0"),
        (
            vec![SIZE, ("x-cache-persistence", text("paper"))],
            "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'",
        ),
    ] {
        let declare = declare(&unique("x"), false, &arguments);
        let text = format!("PRECONDITION_FAILED - {explanation}");
        channel_refuses(&mut client, |client| client.declare_exchange(CH, declare), (406, &text), EXCHANGE_DECLARE);
    }
    let name = unique("q");
    let wrong = featured(&name, false, &[("x-message-deduplication", yes()), ("x-cache-size", number(0))]);
    let text =
        format!("PRECONDITION_FAILED - invalid arg 'x-cache-size' for queue '{name}' in vhost '/': {{value_zero,0}}");
    channel_refuses(&mut client, |client| client.declare(CH, wrong), (406, &text), QUEUE_DECLARE);
}

#[test]
fn a_transaction_publishes_a_message_once() {
    let mut client = open();
    let (name, queue) = scene(&mut client, &[SIZE]);
    client.tx_select(CH).unwrap();
    for _ in 0..3 {
        publish_as(&mut client, &name, "", "a", "m");
    }
    client.tx_rollback(CH).unwrap();
    for _ in 0..3 {
        publish_as(&mut client, &name, "", "a", "m");
    }
    client.tx_commit(CH).unwrap();
    publish_as(&mut client, &name, "", "a", "m");
    client.tx_commit(CH).unwrap();
    assert_eq!(drain(&mut client, &queue), ["m"]);
}

/// A window of a durable exchange or queue is there after a restart, after a kill too, also of what was consumed before.
#[test]
fn a_window_lasts() {
    for kill in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let run = |dir: &Path, first: bool| {
            let mut broker = Broker::start(dir, &[]);
            let mut client = open_at(broker.addr);
            if first {
                client.declare_exchange(CH, declare("x", true, &[SIZE])).unwrap();
                let memory = [SIZE, ("x-cache-persistence", text("memory"))];
                client.declare_exchange(CH, declare("m", true, &memory)).unwrap();
                for queue in ["behind x", "behind m"] {
                    client.declare_queue(CH, queue, true).unwrap();
                    client.bind(CH, queue, &queue[7..], "").unwrap();
                }
                for (queue, kind) in [("classic", "classic"), ("quorum", "quorum")] {
                    let arguments = [("x-message-deduplication", yes()), ("x-queue-type", text(kind))];
                    client.declare(CH, featured(queue, true, &arguments)).unwrap();
                }
            }
            client.confirm_select(CH).unwrap();
            let places =
                [("x", "", "behind x"), ("m", "", "behind m"), ("", "classic", "classic"), ("", "quorum", "quorum")];
            let mut found = Vec::new();
            for (exchange, key, queue) in places {
                for identity in 0..20 {
                    publish_as(&mut client, exchange, key, &identity.to_string(), "m");
                }
                assert_eq!(client.wait_confirms(CH), Ok(vec![]));
                found.push(drain(&mut client, queue).len());
            }
            // The consumption is on disk too.
            let mut last = open_at(broker.addr);
            last.declare_queue(CH, &unique("q"), true).unwrap();
            drop((client, last));
            if kill {
                broker.kill9();
            } else {
                assert!(broker.term().unwrap().success());
            }
            found
        };
        assert_eq!(run(dir.path(), true), [20, 20, 20, 20]);
        assert_eq!(run(dir.path(), false), [0, 20, 0, 0], "kill: {kill}");
    }
}
