//! Acknowledgements that come too late (compat.md 2.7), by the test's own clock.

use super::*;
use crate::broker::policy::{ApplyTo, Policy};
use crate::value::Value;

const MINUTE: Duration = Duration::from_secs(60);

/// Lets time pass in steps that a heartbeat allows.
fn wait(client: &mut Client, minutes: u32) {
    for _ in 0..minutes * 6 {
        client.send(b"\x08\0\0\0\0\0\0\xce");
        client.pass(MINUTE / 6);
    }
}

fn text(timeout: Duration) -> String {
    format!(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: {} ms. This timeout \
         value can be configured, see consumers doc guide to learn more",
        timeout.as_millis()
    )
}

/// The channel was closed, heartbeats aside.
fn closed(client: &mut Client) -> Option<(u16, String)> {
    client.read().into_iter().find_map(|seen| match seen {
        Seen::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
            Some((close.reply_code, close.reply_text.to_string()))
        }
        _ => None,
    })
}

fn held(client: &mut Client, arguments: Table, queue: &str) {
    let consume =
        basic::Consume { queue: queue.into(), arguments: table_to_amq(&arguments).unwrap(), ..Default::default() };
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    client.publish("", queue, b"m");
    client.read_until(|seen| seen.iter().any(|seen| matches!(seen, Seen::Body(..))));
}

#[test]
fn the_nodes_time_is_half_an_hour() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    held(&mut client, Table::new(), "q");
    wait(&mut client, 29);
    assert_eq!(closed(&mut client), None);
    wait(&mut client, 2);
    assert_eq!(closed(&mut client), Some((406, text(MINUTE * 30))));
    client.method(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    client.open_channel(1);
    assert_eq!(client.ready("q"), 1, "the message is back");
}

#[test]
fn consumers_and_queues_may_have_their_own() {
    let node = node();
    let five_minutes = || Table::from_iter([("x-consumer-timeout", Value::I64(300_000))]);
    let mut client = node.channel();
    client.queue("q", false);
    held(&mut client, five_minutes(), "q");
    wait(&mut client, 4);
    assert_eq!(closed(&mut client), None);
    wait(&mut client, 3);
    assert_eq!(closed(&mut client), Some((406, text(MINUTE * 5))));

    let mut client = node.channel();
    let arguments = table_to_amq(&five_minutes()).unwrap();
    client.declare(1, queue::Declare { queue: "short".into(), arguments, ..Default::default() });
    held(&mut client, Table::new(), "short");
    wait(&mut client, 7);
    assert_eq!(closed(&mut client), Some((406, text(MINUTE * 5))));
}

#[test]
fn what_is_acknowledged_in_time_starts_no_clock() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", false);
    held(&mut client, Table::new(), "q");
    wait(&mut client, 20);
    client.ack(1, false);
    client.publish("", "q", b"m");
    wait(&mut client, 20);
    assert_eq!(closed(&mut client), None);
}

#[test]
fn zero_is_for_ever() {
    let mut node = node();
    node.settings.consumer_timeout = Duration::ZERO;
    let mut client = node.channel();
    client.queue("q", false);
    held(&mut client, Table::new(), "q");
    wait(&mut client, 24 * 60);
    assert_eq!(closed(&mut client), None);
}

/// Sets what a policy of all queues says of the time, or that there is none.
fn policy(node: &Node, timeout: Option<Duration>) {
    let name = Name::new("p").unwrap();
    let Some(timeout) = timeout else {
        node.broker.remove_policy("/", &name, false).unwrap();
        return;
    };
    let definition = Table::from_iter([("consumer-timeout", Value::I64(timeout.as_millis() as i64))]);
    let policy = Policy::new(name, "", ApplyTo::Queues, definition, 0, false).unwrap();
    node.broker.set_policy("/", policy, false).unwrap();
}

#[test]
fn a_policy_counts_at_once_and_the_least_of_it_and_the_queues_own() {
    let mut node = node();
    let seven_minutes = || Table::from_iter([("x-consumer-timeout", Value::I64(420_000))]);
    for (node_timeout, own, expected) in [(30, false, 5), (0, false, 5), (30, true, 5), (1, false, 5), (30, true, 7)] {
        node.settings.consumer_timeout = MINUTE * node_timeout;
        policy(&node, None);
        let mut client = node.channel();
        let queue = format!("q{node_timeout}{own}{expected}");
        let arguments = table_to_amq(&if own { seven_minutes() } else { Table::new() }).unwrap();
        client.declare(1, queue::Declare { queue: queue.as_str().into(), arguments, ..Default::default() });
        held(&mut client, Table::new(), &queue);
        // On a queue that is being consumed from.
        policy(&node, Some(MINUTE * if expected == 7 { 9 } else { 5 }));
        wait(&mut client, expected - 1);
        assert_eq!(closed(&mut client), None, "{queue}");
        wait(&mut client, 3);
        assert_eq!(closed(&mut client), Some((406, text(MINUTE * expected))), "{queue}");
    }
}

#[test]
fn a_consumers_own_time_counts_before_all_others() {
    let node = node();
    policy(&node, Some(MINUTE * 5));
    let mut client = node.channel();
    client.queue("q", false);
    held(&mut client, Table::from_iter([("x-consumer-timeout", Value::I64(600_000))]), "q");
    wait(&mut client, 8);
    assert_eq!(closed(&mut client), None);
    wait(&mut client, 4);
    assert_eq!(closed(&mut client), Some((406, text(MINUTE * 10))));
}

/// The consumers that were cancelled.
fn cancelled(client: &mut Client) -> Vec<String> {
    let cancel = |seen: Seen| match seen {
        Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel))) => Some(cancel.consumer_tag.to_string()),
        _ => None,
    };
    client.read().into_iter().filter_map(cancel).collect()
}

#[test]
fn a_quorum_queue_takes_its_messages_back_and_cancels_the_consumer() {
    let node = node();
    let quorum = || table_to_amq(&Table::from_iter([("x-queue-type", Value::LongString(b"quorum".to_vec()))])).unwrap();
    for (capabilities, cancels) in [(&["consumer_cancel_notify"][..], true), (&[], false)] {
        let mut client = node.open_with(capabilities);
        client.open_channel(1);
        let name = format!("quorum-{cancels}");
        let arguments = quorum();
        client
            .declare(1, queue::Declare { queue: name.as_str().into(), durable: true, arguments, ..Default::default() });
        client.consume(&name, "late", false);
        client.publish("", &name, b"m");
        assert_eq!(client.delivered(1), [(1, false, b"m".to_vec())]);
        wait(&mut client, 29);
        assert_eq!(cancelled(&mut client), [""; 0]);
        wait(&mut client, 2);
        if !cancels {
            assert_eq!(closed(&mut client), Some((406, text(MINUTE * 30))));
            continue;
        }
        assert_eq!(cancelled(&mut client), ["late"]);
        assert_eq!(client.ready(&name), 1, "the message is back");
        // The client learns of it while it works: its acknowledgement is no error, and no longer counts.
        client.ack(1, false);
        assert_eq!(client.ready(&name), 1);
        client.consume(&name, "next", false);
        assert_eq!(client.delivered(1), [(2, true, b"m".to_vec())]);
        client.ack(2, false);
        assert_eq!(client.ready(&name), 0);
        client.ack(1, false);
        assert_eq!(client.channel_closed(1), (406, "PRECONDITION_FAILED - unknown delivery tag 1".to_owned()));
    }
}
