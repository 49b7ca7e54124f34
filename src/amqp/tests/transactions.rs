//! A commit that waits for the disk (compat.md 1.4, 1.10).

use super::*;
use amq_protocol::protocol::tx::{self, AMQPMethod::Commit, AMQPMethod::Select};

/// A client on channel 1 whose commit of a persistent message for "q" waits for a disk without room.
fn committing(node: &Node) -> Client {
    let mut client = node.channel();
    client.queue("q", true);
    client.method(1, AMQPClass::Tx(Select(tx::Select {})));
    client.only();
    node.storage.fail_at(1, Fault::Full);
    client.persist("", "q", b"m");
    client.method(1, AMQPClass::Tx(Commit(tx::Commit {})));
    client.nothing();
    client
}

#[test]
fn no_command_may_follow_a_commit_before_its_answer() {
    let passive = queue::Declare { queue: "q".into(), passive: true, ..Default::default() };
    let commands = [
        (AMQPClass::Tx(Commit(tx::Commit {})), (90, 20)),
        (AMQPClass::Queue(queue::AMQPMethod::Declare(passive)), (50, 10)),
        (AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get { queue: "q".into(), no_ack: true })), (60, 70)),
        (AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 0, multiple: true })), (60, 80)),
        (AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish::default())), (60, 40)),
        (AMQPClass::Channel(channel::AMQPMethod::Flow(channel::Flow { active: true })), (20, 20)),
    ];
    for (command, (class, method)) in commands {
        let node = node();
        let mut client = committing(&node);
        client.method(1, command);
        let text = "CHANNEL_ERROR - unexpected command while processing 'tx.commit'";
        assert_eq!(client.closed(), (504, text.into(), class, method));
        node.storage.heal();
        // It was committed all the same.
        assert_eq!(node.channel().ready("q"), 1);
    }
}

#[test]
fn other_channels_go_on_and_the_commit_is_answered_when_it_is_on_disk() {
    let node = node();
    let mut client = committing(&node);
    client.open_channel(2);
    node.storage.heal();
    assert_eq!(client.only(), (1, AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {}))));
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn a_channel_may_be_closed_while_it_commits() {
    let node = node();
    let mut client = committing(&node);
    let close = channel::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    assert_eq!(client.only(), (1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))));
    client.open_channel(1);
    node.storage.heal();
    assert_eq!(client.ready("q"), 1);
    client.nothing();
}

#[test]
fn what_follows_a_commit_of_acknowledgements_alone_waits_behind_it() {
    let node = node();
    let mut client = node.channel();
    client.queue("q", true);
    client.persist("", "q", b"m");
    client.get("q", false);
    client.read_until(|seen| seen.len() == 3);
    client.method(1, AMQPClass::Tx(Select(tx::Select {})));
    client.only();
    client.ack(1, false);
    client.method(1, AMQPClass::Tx(Commit(tx::Commit {})));
    client.get("q", true);
    let seen = client.read_until(|seen| seen.len() >= 2);
    let empty = AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {}));
    let expected = [AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {})), empty];
    assert_eq!(seen, expected.map(|method| Seen::Method(1, method)));
}
