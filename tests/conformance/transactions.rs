//! tx (compat.md 1.10).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

const TX_COMMIT: (u16, u16) = (90, 20);
const TX_SELECT: (u16, u16) = (90, 10);
const TX_ROLLBACK: (u16, u16) = (90, 30);
const CONFIRM_SELECT: (u16, u16) = (85, 10);

#[test]
fn publishes_arrive_with_the_commit() {
    let mut client = open();
    let name = queue(&mut client);
    client.tx_select(CH).unwrap();
    client.tx_select(CH).unwrap();
    ["a", "b"].iter().for_each(|body| publish(&mut client, &name, body));
    assert_eq!(counts(&mut client, &name), (0, 0));
    client.tx_commit(CH).unwrap();
    assert_eq!(counts(&mut client, &name), (2, 0));
    publish(&mut client, &name, "c");
    client.tx_rollback(CH).unwrap();
    client.tx_commit(CH).unwrap();
    assert_eq!(drain(&mut client, &name), ["a", "b"]);
}

#[test]
fn acknowledgements_wait_for_the_commit_and_come_back_with_a_rollback() {
    let mut client = open();
    let name = queue(&mut client);
    (0..6).for_each(|at| publish(&mut client, &name, &at.to_string()));
    client.tx_select(CH).unwrap();
    let held: Vec<_> = (0..6).map(|_| take(&mut client, &name).delivery_tag).collect();
    client.ack(CH, held[1], false).unwrap();
    client.nack(CH, held[3], false, true).unwrap();
    client.reject(CH, held[4], false).unwrap();
    assert_eq!(counts(&mut client, &name), (0, 0));
    client.tx_rollback(CH).unwrap();
    // No redelivery: they are with the channel as before.
    assert_eq!(counts(&mut client, &name), (0, 0));
    client.ack(CH, held[1], true).unwrap();
    client.nack(CH, held[3], false, true).unwrap();
    client.reject(CH, held[4], false).unwrap();
    client.tx_commit(CH).unwrap();
    assert_eq!(drain_marked(&mut client, &name), [("3".to_owned(), true)]);
    client.tx_commit(CH).unwrap();
    // 2 and 5 are still unacknowledged.
    client.close_channel(CH).unwrap();
    client.open_channel(CH).unwrap();
    assert_eq!(drain(&mut client, &name), ["2", "5"]);
}

#[test]
fn a_tag_is_acknowledged_once() {
    let mut client = open();
    let name = queue_of(&mut client, &["m"]);
    client.tx_select(CH).unwrap();
    let held = take(&mut client, &name);
    client.ack(CH, held.delivery_tag, false).unwrap();
    let text = format!("PRECONDITION_FAILED - unknown delivery tag {}", held.delivery_tag);
    channel_refuses(&mut client, |client| client.ack(CH, held.delivery_tag, false), (406, &text), BASIC_ACK);
    assert_eq!(drain(&mut client, &name), ["m"], "a channel that ends rolls back");
}

#[test]
fn unroutable_messages_are_returned_at_the_commit() {
    let mut client = open();
    client.tx_select(CH).unwrap();
    client.publish_mandatory(CH, "", "no-such-queue", &BasicProperties::default(), b"m").unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.tx_commit(CH).unwrap();
    let returned = client.returned().unwrap();
    assert_eq!((returned.code, returned.text.as_str(), returned.body.as_slice()), (312, "NO_ROUTE", &b"m"[..]));
}

#[test]
fn the_way_is_found_at_the_publish_and_the_place_taken_at_the_commit() {
    let mut client = open();
    let mut other = open();
    let (name, early, late) = (exchange(&mut client, "fanout"), queue(&mut client), queue(&mut client));
    client.bind(CH, &early, &name, "").unwrap();
    client.tx_select(CH).unwrap();
    publish_to(&mut client, &name, "", "committed later");
    client.sync(CH).unwrap();
    other.unbind(CH, &early, &name, "").unwrap();
    other.bind(CH, &late, &name, "").unwrap();
    publish(&mut other, &early, "published later");
    other.sync(CH).unwrap();
    client.tx_commit(CH).unwrap();
    assert_eq!(drain(&mut other, &early), ["published later", "committed later"]);
    assert_eq!(drain(&mut other, &late), Vec::<String>::new());
}

#[test]
fn a_refused_message_fails_the_commit_but_not_the_others() {
    let mut client = open();
    let full = queue_with(&mut client, &[("x-max-length", number(0)), ("x-overflow", text("reject-publish"))]);
    let name = queue(&mut client);
    client.tx_select(CH).unwrap();
    publish(&mut client, &name, "in");
    publish(&mut client, &full, "refused");
    let text = "PRECONDITION_FAILED - partial tx completion";
    channel_refuses(&mut client, |client| client.tx_commit(CH), (406, text), TX_COMMIT);
    assert_eq!(drain(&mut client, &name), ["in"]);
}

#[test]
fn what_does_not_go_together() {
    let mut client = open();
    let text = "PRECONDITION_FAILED - channel is not transactional";
    channel_refuses(&mut client, |client| client.tx_commit(CH), (406, text), TX_COMMIT);
    channel_refuses(&mut client, |client| client.tx_rollback(CH), (406, text), TX_ROLLBACK);
    client.tx_select(CH).unwrap();
    let text = "PRECONDITION_FAILED - cannot switch from tx to confirm mode";
    channel_refuses(&mut client, |client| client.confirm_select(CH), (406, text), CONFIRM_SELECT);
    client.confirm_select(CH).unwrap();
    let text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode";
    channel_refuses(&mut client, |client| client.tx_select(CH), (406, text), TX_SELECT);
}

/// The frames of a method.
fn frames(method: AMQPClass) -> Vec<u8> {
    encode_method(CH, method)
}

#[test]
fn nothing_may_be_sent_between_a_commit_and_its_answer() {
    let text = "CHANNEL_ERROR - unexpected command while processing 'tx.commit'";
    let refused = (0..100).any(|_| {
        let mut client = open();
        let name = unique("q");
        client.declare_queue(CH, &name, true).unwrap();
        client.tx_select(CH).unwrap();
        publish_with(&mut client, &name, BasicProperties::default().with_delivery_mode(2), "m");
        let passive = queue::Declare { queue: name.as_str().into(), passive: true, ..Default::default() };
        let commit = frames(AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})));
        let both = [commit, frames(AMQPClass::Queue(queue::AMQPMethod::Declare(passive)))].concat();
        client.send_bytes(&both).unwrap();
        let refused = match client.recv().unwrap() {
            Event::Closed(closed) => {
                let method = (closed.class, closed.method);
                assert_eq!((closed.scope, closed.code, closed.text.as_str()), (Scope::Connection, 504, text));
                assert_eq!(method, QUEUE_DECLARE);
                true
            }
            // The disk was faster than the second frame.
            first => {
                assert!(matches!(method_of(first), AMQPClass::Tx(tx::AMQPMethod::CommitOk(_))));
                false
            }
        };
        let mut other = open();
        assert_eq!(drain(&mut other, &name), ["m"], "committed all the same");
        other.delete_queue(CH, &name).unwrap();
        refused
    });
    assert!(refused, "every commit was answered before the next frame was read");
}

#[test]
fn what_was_committed_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.tx_select(CH).unwrap();
    let persistent = || BasicProperties::default().with_delivery_mode(2);
    ["a", "b"].iter().for_each(|body| publish_with(&mut client, "q", persistent(), body));
    client.tx_commit(CH).unwrap();
    let held = take(&mut client, "q");
    client.ack(CH, held.delivery_tag, false).unwrap();
    publish_with(&mut client, "q", persistent(), "c");
    client.tx_commit(CH).unwrap();
    publish_with(&mut client, "q", persistent(), "d");
    client.sync(CH).unwrap();
    first.kill9();
    let second = Broker::start(dir.path(), &[]);
    assert_eq!(drain(&mut open_at(second.addr), "q"), ["b", "c"]);
}
