//! Queues with priorities (compat.md 2.6).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

#[test]
fn the_highest_comes_first_and_equals_keep_their_order() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-priority", number(5))]);
    for (priority, body) in [(1, "1a"), (5, "5a"), (3, "3a"), (1, "1b"), (9, "9 is 5"), (3, "3b")] {
        publish_with(&mut client, &name, with_priority(priority), body);
    }
    publish(&mut client, &name, "none is 0");
    assert_eq!(counts(&mut client, &name), (7, 0));
    assert_eq!(drain(&mut client, &name), ["5a", "9 is 5", "3a", "3b", "1a", "1b", "none is 0"]);
}

#[test]
fn what_comes_back_keeps_its_priority_and_place() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-priority", number(2))]);
    for (priority, body) in [(1, "1a"), (1, "1b"), (0, "0a")] {
        publish_with(&mut client, &name, with_priority(priority), body);
    }
    let (first, second) = (take(&mut client, &name), take(&mut client, &name));
    assert_eq!((first.text(), second.text()), ("1a".into(), "1b".into()));
    publish_with(&mut client, &name, with_priority(2), "2a");
    client.nack(CH, second.delivery_tag, true, true).unwrap();
    assert_eq!(drain(&mut client, &name), ["2a", "1a", "1b", "0a"]);
}

#[test]
fn a_full_queue_drops_from_its_highest_level() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-priority", number(2)), ("x-max-length", number(2))]);
    for (priority, body) in [(2, "2a"), (0, "0a"), (0, "0b")] {
        publish_with(&mut client, &name, with_priority(priority), body);
    }
    assert_eq!(drain(&mut client, &name), ["0a", "0b"]);
}

#[test]
fn each_level_expires_at_its_own_head() {
    let mut client = open();
    let name = queue_with(&mut client, &[("x-max-priority", number(1))]);
    publish_with(&mut client, &name, with_priority(1), "live");
    publish_with(&mut client, &name, expiring(20), "low");
    eventually("a head of a lower level expires too", || counts(&mut client, &name).0 == 1);
    assert_eq!(client.purge(CH, &name), Ok(1));
}

#[test]
fn levels_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare(CH, featured("q", true, &[("x-max-priority", number(3))])).unwrap();
    client.confirm_select(CH).unwrap();
    for priority in [0, 3, 1, 2, 3] {
        let properties = with_priority(priority).with_delivery_mode(2);
        publish_with(&mut client, "q", properties, &priority.to_string());
    }
    client.wait_confirms(CH).unwrap();
    let held = take(&mut client, "q");
    client.ack(CH, held.delivery_tag, false).unwrap();
    client.sync(CH).unwrap();
    assert!(first.term().unwrap().success());
    let mut second = Broker::start(dir.path(), &[]);
    let mut client = open_at(second.addr);
    assert_eq!(counts(&mut client, "q"), (4, 0));
    second.kill9();
    let third = Broker::start(dir.path(), &[]);
    let mut client = open_at(third.addr);
    assert_eq!(drain(&mut client, "q"), ["3", "2", "1", "0"]);
    client.delete_queue(CH, "q").unwrap();
    client.declare(CH, featured("q", true, &[("x-max-priority", number(3))])).unwrap();
    assert_eq!(counts(&mut client, "q"), (0, 0));
}
