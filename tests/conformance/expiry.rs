//! Messages that expire, and queues that nobody uses (compat.md 2.3).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;
use std::time::{Duration, Instant};

#[test]
fn a_queues_messages_expire_without_being_asked_for() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-message-ttl", number(100))]);
    let begun = Instant::now();
    (0..5).for_each(|_| publish(&mut client, &name, "m"));
    eventually("all have expired", || counts(&mut client, &name).0 == 0);
    assert!(begun.elapsed() >= Duration::from_millis(100), "not before their time");
}

#[test]
fn the_shorter_of_the_queues_time_and_the_messages_own_counts() {
    let mut client = open();
    let short = queue_with(&mut client, &[("x-message-ttl", number(50))]);
    publish_with(&mut client, &short, expiring(600_000), "m");
    let long = queue_with(&mut client, &[("x-message-ttl", number(600_000))]);
    publish_with(&mut client, &long, expiring(50), "m");
    let none = queue(&mut client);
    publish_with(&mut client, &none, expiring(50), "m");
    publish(&mut client, &none, "stays");
    for (name, left) in [(&short, 0), (&long, 0), (&none, 1)] {
        eventually("it has expired", || counts(&mut client, name).0 == left);
    }
    assert_eq!(drain(&mut client, &none), ["stays"]);
}

#[test]
fn a_message_behind_a_live_one_stays_until_it_is_at_the_head() {
    let mut client = open();
    let name = queue(&mut client);
    publish(&mut client, &name, "live");
    publish_with(&mut client, &name, expiring(1), "expired");
    publish(&mut client, &name, "behind");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(counts(&mut client, &name), (3, 0), "it is still counted");
    assert_eq!(drain(&mut client, &name), ["live", "behind"]);
}

#[test]
fn what_has_no_time_reaches_only_a_consumer_that_waits() {
    let mut client = open();
    for arguments in [&[("x-message-ttl", number(0))][..], &[]] {
        let name = queue_with(&mut client, arguments);
        publish_with(&mut client, &name, expiring(0), "lost");
        assert_eq!(counts(&mut client, &name).0, 0);
        client.consume(CH, &name, "", true).unwrap();
        publish_with(&mut client, &name, expiring(0), "taken");
        assert_eq!(client.delivery().unwrap().text(), "taken");
    }
}

#[test]
fn a_requeued_message_keeps_its_deadline() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-message-ttl", number(150))]);
    publish(&mut client, &name, "m");
    let held = take(&mut client, &name);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(counts(&mut client, &name).0, 0, "what is held does not expire");
    client.nack(CH, held.delivery_tag, false, true).unwrap();
    eventually("it expires when it is back", || counts(&mut client, &name).0 == 0);
    assert!(client.get(CH, &name, true).unwrap().is_none());
}

#[test]
fn deadlines_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    let persistent =
        |expiration: &str| BasicProperties::default().with_delivery_mode(2).with_expiration(expiration.into());
    publish_with(&mut client, "q", persistent("300"), "expires");
    publish_with(&mut client, "q", persistent("600000"), "stays");
    client.wait_confirms(CH).unwrap();
    first.kill9();
    let second = Broker::start(dir.path(), &[]);
    let mut client = open_at(second.addr);
    eventually("it has expired though nobody asked", || counts(&mut client, "q").0 == 1);
    assert_eq!(drain(&mut client, "q"), ["stays"]);
}

/// Whether a queue has gone, without using it: a message to it comes back.
fn gone(client: &mut Client, name: &str) -> bool {
    client.publish_mandatory(CH, "", name, &BasicProperties::default(), b"?").unwrap();
    client.sync(CH).unwrap();
    client.take_pending(|event| event.returned().is_some()).is_some()
}

#[test]
fn declaring_again_is_use_of_a_classic_queue_and_none_of_a_quorum_queue() {
    let mut client = open();
    let lease = [("x-expires", number(2000))];
    let classic = queue_with(&mut client, &lease);
    let quorum = quorum_with(&mut client, &lease);
    publish(&mut client, &quorum, "m");
    let again = || featured(&classic, false, &lease);
    let quorum_again = || featured(&quorum, true, &[lease[0].clone(), ("x-queue-type", text("quorum"))]);
    let mut rounds = 0;
    eventually("the quorum queue goes though it is declared again and again", || {
        rounds += 1;
        if rounds % 2 == 0 {
            client.declare(CH, again()).unwrap();
        } else {
            client.declare_passive(CH, &classic).expect("the classic queue was asked for a moment ago");
        }
        client.declare(CH, quorum_again()).unwrap().message_count == 0
    });
    eventually("nobody asks any more", || gone(&mut client, &classic));
}

#[test]
fn an_unused_queue_goes() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-expires", number(100))]);
    eventually("nobody used it", || gone(&mut client, &name));

    let consumed = queue_with(&mut client, &[("x-expires", number(100))]);
    let tag = client.consume(CH, &consumed, "", true).unwrap();
    let got = queue_with(&mut client, &[("x-expires", number(250))]);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(50));
        assert!(client.get(CH, &got, true).unwrap().is_none());
    }
    assert!(!gone(&mut client, &consumed), "a queue with a consumer is used");
    assert!(!gone(&mut client, &got), "asking for messages is use");
    client.cancel(CH, &tag).unwrap();
    eventually("its consumer has gone", || gone(&mut client, &consumed));
}
