//! Queues larger than the memory budget: on disk, and nobody can tell.

use crate::stage::*;
use crate::support::*;
use std::path::Path;

/// The budget, in MiB.
const BUDGET: u64 = 32;
const BODY: usize = 2000;

fn broker(dir: &Path) -> Broker {
    broker_with(dir, &format!("[memory]\nhigh_watermark = \"{BUDGET}MiB\"\n"))
}

fn body(number: u32) -> Vec<u8> {
    let mut body = vec![b'x'; BODY];
    body[..4].copy_from_slice(&number.to_be_bytes());
    body
}

fn number(delivery: &Delivery) -> u32 {
    assert_eq!(delivery.body.len(), BODY);
    u32::from_be_bytes(delivery.body[..4].try_into().unwrap())
}

/// Publishes these numbers, confirmed.
fn fill(client: &mut Client, queue: &str, numbers: std::ops::Range<u32>, persistent: bool) {
    let properties = BasicProperties::default().with_delivery_mode(if persistent { 2 } else { 1 });
    client.confirm_select(CH).unwrap();
    for number in numbers {
        client.publish(CH, "", queue, &properties, &body(number)).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
}

fn resident_mib(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("a Linux process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its resident memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("kilobytes") / 1024
}

#[test]
fn a_long_queue_is_kept_on_disk_and_comes_back_in_order() {
    for durable in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let mut client = open_at(broker.addr);
        client.declare_queue(CH, "q", durable).unwrap();
        let before = resident_mib(&broker);
        fill(&mut client, "q", 0..75_000, durable);
        let after = resident_mib(&broker);
        // 150 MB are queued. The budget, and 64 MB for everything else.
        assert!(after < before + BUDGET + 64, "{before} MiB before, {after} MiB after; durable: {durable}");
        assert_eq!(counts(&mut client, "q"), (75_000, 0));
        client.qos(CH, 100, false).unwrap();
        client.consume(CH, "q", "c", false).unwrap();
        for expected in 0..75_000 {
            let delivery = client.delivery().unwrap();
            assert_eq!((number(&delivery), delivery.redelivered), (expected, false));
            if expected % 50 == 49 {
                client.ack(CH, delivery.delivery_tag, true).unwrap();
            }
        }
        client.cancel(CH, "c").unwrap();
        client.ack(CH, 0, true).unwrap();
        assert_eq!(counts(&mut client, "q"), (0, 0));
    }
}

#[test]
fn get_finds_what_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", false).unwrap();
    fill(&mut client, "q", 0..30_000, false);
    // Many at once: the replies keep their order, and so does what comes behind them.
    for first in (0..30_000).step_by(1000) {
        let get = basic::Get { queue: "q".into(), no_ack: true };
        let gets: Vec<u8> =
            (0..1000).flat_map(|_| encode_method(CH, AMQPClass::Basic(basic::AMQPMethod::Get(get.clone())))).collect();
        client.send_bytes(&gets).unwrap();
        for expected in first..first + 1000 {
            let delivery = client.recv().unwrap().delivery().expect("get-ok");
            assert_eq!((number(&delivery), delivery.left), (expected, Some(29_999 - expected)));
        }
    }
    assert_eq!(client.get(CH, "q", true), Ok(None));
}

#[test]
fn what_returns_to_a_queue_on_disk_finds_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", true).unwrap();
    fill(&mut client, "q", 0..30_000, true);
    client.qos(CH, 2000, false).unwrap();
    client.consume(CH, "q", "c", false).unwrap();
    let held = client.deliveries(2000).unwrap();
    client.cancel(CH, "c").unwrap();
    fill(&mut client, "q", 30_000..40_000, true);
    for delivery in held.iter().rev() {
        match delivery.delivery_tag % 4 {
            0 => client.ack(CH, delivery.delivery_tag, false).unwrap(),
            _ => client.nack(CH, delivery.delivery_tag, false, true).unwrap(),
        }
    }
    assert_eq!(counts(&mut client, "q"), (39_500, 0));
    client.consume(CH, "q", "", true).unwrap();
    for expected in (0..40_000).filter(|number| *number >= 2000 || (number + 1) % 4 != 0) {
        let delivery = client.delivery().unwrap();
        assert_eq!((number(&delivery), delivery.redelivered), (expected, expected < 2000));
    }
    assert_eq!(client.leftovers(CH).unwrap(), []);
}

#[test]
fn a_long_queue_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = broker(dir.path());
    let mut client = open_at(first.addr);
    client.declare_queue(CH, "q", true).unwrap();
    fill(&mut client, "q", 0..40_000, true);
    client.qos(CH, 1000, false).unwrap();
    client.consume(CH, "q", "", false).unwrap();
    // Of the first thousand every second one is acknowledged, for which five hundred more come.
    let held = client.deliveries(1000).unwrap();
    held.iter().filter(|delivery| delivery.delivery_tag % 2 == 0).for_each(|delivery| {
        client.ack(CH, delivery.delivery_tag, false).unwrap();
    });
    client.deliveries(500).unwrap();
    fill(&mut client, "q", 40_000..40_001, true);
    first.kill9();
    let second = broker(dir.path());
    let mut client = open_at(second.addr);
    client.consume(CH, "q", "", true).unwrap();
    for expected in (0..=40_000).filter(|number| *number >= 1000 || number % 2 == 0) {
        let delivery = client.delivery().unwrap();
        assert_eq!(number(&delivery), expected);
        assert!(delivery.redelivered || expected >= 1500, "{expected} was delivered before");
    }
}

#[test]
fn a_long_queue_is_purged_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    for durable in [false, true] {
        client.declare_queue(CH, "q", durable).unwrap();
        fill(&mut client, "q", 0..20_000, durable);
        let held = take(&mut client, "q");
        assert_eq!(client.purge(CH, "q"), Ok(19_999));
        client.nack(CH, held.delivery_tag, false, true).unwrap();
        fill(&mut client, "q", 1..20_000, durable);
        assert_eq!(number(&client.get(CH, "q", true).unwrap().unwrap()), 0);
        assert_eq!(number(&client.get(CH, "q", true).unwrap().unwrap()), 1);
        assert_eq!(client.delete_queue(CH, "q"), Ok(19_998));
    }
}

#[test]
fn many_queues_share_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    let names: Vec<String> = (0..50).map(|number| format!("q{number}")).collect();
    let before = resident_mib(&broker);
    for name in &names {
        client.declare_queue(CH, name, false).unwrap();
        client.bind(CH, name, "amq.fanout", "").unwrap();
    }
    client.confirm_select(CH).unwrap();
    for number in 0..1000 {
        client.publish(CH, "amq.fanout", "", &BasicProperties::default(), &body(number)).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    let after = resident_mib(&broker);
    assert!(after < before + BUDGET + 64, "{before} MiB before, {after} MiB after");
    for name in &names {
        let tag = client.consume(CH, name, "", true).unwrap();
        for expected in 0..1000 {
            assert_eq!(number(&client.delivery().unwrap()), expected, "{name}");
        }
        client.cancel(CH, &tag).unwrap();
    }
}

#[test]
fn small_backlogs_of_many_queues_hold_no_publisher() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    let names: Vec<String> = (0..1500).map(|number| format!("q{number}")).collect();
    for name in &names {
        client.declare_queue(CH, name, false).unwrap();
        client.bind(CH, name, "amq.fanout", "").unwrap();
    }
    client.confirm_select(CH).unwrap();
    for number in 0..12 {
        client.publish(CH, "amq.fanout", "", &BasicProperties::default(), &body(number)).unwrap();
        assert_eq!(client.wait_confirms(CH), Ok(vec![]), "publish {number}");
    }
    for name in &names {
        for expected in 0..12 {
            assert_eq!(number(&client.get(CH, name, true).unwrap().unwrap()), expected, "{name}");
        }
    }
}

#[test]
fn what_consumers_hold_leaves_memory_and_comes_back() {
    for durable in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let broker = broker(dir.path());
        let mut client = open_at(broker.addr);
        client.declare_queue(CH, "q", durable).unwrap();
        client.declare_queue(CH, "results", durable).unwrap();
        let before = resident_mib(&broker);
        fill(&mut client, "q", 0..40_000, durable);
        client.consume(CH, "q", "c", false).unwrap();
        let held = client.deliveries(40_000).unwrap();
        // 80 MB are in this consumer's hands, more than the budget: its own publishes must get through all the same.
        fill(&mut client, "results", 0..2_000, durable);
        // What is on its way to the disk comes on top for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while resident_mib(&broker) > before + BUDGET + 64 {
            assert!(std::time::Instant::now() < deadline, "{} MiB; durable: {durable}", resident_mib(&broker));
            client.sync(CH).unwrap();
        }
        client.cancel(CH, "c").unwrap();
        for (number, delivery) in (0..).zip(&held) {
            match number % 2 {
                0 => client.ack(CH, delivery.delivery_tag, false).unwrap(),
                _ => client.nack(CH, delivery.delivery_tag, false, true).unwrap(),
            }
        }
        assert_eq!(counts(&mut client, "q"), (20_000, 0));
        client.consume(CH, "q", "", true).unwrap();
        for expected in (1..40_000).step_by(2) {
            let delivery = client.delivery().unwrap();
            assert_eq!((number(&delivery), delivery.redelivered), (expected, true));
        }
        assert_eq!(counts(&mut client, "results"), (2_000, 0));
    }
}

/// Bytes of the files below a directory.
fn disk_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry"));
    let sizes = entries.map(|entry| match entry.metadata().expect("its size") {
        dir if dir.is_dir() => disk_bytes(&entry.path()),
        // RocksDB reserves space for its log in advance. The broker's socket takes none.
        data => std::os::unix::fs::MetadataExt::blocks(&data).saturating_mul(512).min(data.len()),
    });
    sizes.sum()
}

#[test]
fn a_large_body_for_many_queues_is_kept_once() {
    const QUEUES: usize = 10;
    const MESSAGES: u32 = 300;
    const LARGE: usize = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let mut first = broker(dir.path());
    let mut client = open_at(first.addr);
    for queue in 0..QUEUES {
        client.declare_queue(CH, &format!("q{queue}"), true).unwrap();
        client.bind(CH, &format!("q{queue}"), "amq.fanout", "").unwrap();
    }
    let before = resident_mib(&first);
    client.confirm_select(CH).unwrap();
    let mut body = vec![b'x'; LARGE];
    let properties = BasicProperties::default().with_delivery_mode(2);
    for number in 0..MESSAGES {
        body[..4].copy_from_slice(&number.to_be_bytes());
        client.publish(CH, "amq.fanout", "", &properties, &body).unwrap();
    }
    assert_eq!(client.wait_confirms(CH), Ok(vec![]));
    let (after, once) = (resident_mib(&first), u64::from(MESSAGES) * LARGE as u64);
    // 600 MB for all queues, 60 of them different.
    assert!(after < before + BUDGET + 64, "{before} MiB before, {after} MiB after");
    first.kill9();
    let disk = disk_bytes(dir.path());
    assert!(disk < once * 5 / 2, "{disk} bytes on disk for {once}, once in the log and once in files");
    let broker = broker(dir.path());
    let mut client = open_at(broker.addr);
    client.qos(CH, 20, false).unwrap();
    for queue in (0..QUEUES).step_by(3) {
        let tag = client.consume(CH, &format!("q{queue}"), "", false).unwrap();
        for expected in 0..MESSAGES {
            let delivery = client.delivery().unwrap();
            let number = u32::from_be_bytes(delivery.body[..4].try_into().unwrap());
            assert!(
                number == expected
                    && delivery.body.len() == LARGE
                    && delivery.body[4..].iter().all(|byte| *byte == b'x')
            );
            client.ack(CH, delivery.delivery_tag, false).unwrap();
        }
        client.cancel(CH, &tag).unwrap();
    }
    client.close().unwrap();
}
