//! Alarms: who is told, what is held, what goes on (compat.md 1.5.8 and 7.1).

use super::*;

fn blocked(reason: &str) -> connection::AMQPMethod {
    connection::AMQPMethod::Blocked(connection::Blocked { reason: reason.into() })
}

fn unblocked() -> Seen {
    Seen::Method(0, AMQPClass::Connection(connection::AMQPMethod::Unblocked(connection::Unblocked {})))
}

/// A client on channel 1 that understands connection.blocked.
fn client(node: &Node) -> Client {
    let mut client = node.open_with(&["connection.blocked", "consumer_cancel_notify"]);
    client.open_channel(1);
    client
}

fn plain(channel: u16, key: &str, body: &[u8]) -> Vec<u8> {
    message(channel, "", key, false, &PropertiesBuilder::default(), body)
}

fn method(channel: u16, method: AMQPClass) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_method(&mut bytes, channel, &method);
    bytes
}

fn bodies(seen: &[Seen]) -> Vec<Vec<u8>> {
    seen.iter().filter_map(|seen| if let Seen::Body(_, body) = seen { Some(body.clone()) } else { None }).collect()
}

/// All messages of a queue, as another connection finds them.
fn contents(node: &Node, queue: &str) -> Vec<Vec<u8>> {
    let mut other = node.channel();
    let count = other.ready(queue) as usize;
    other.consume(queue, "all", true);
    bodies(&other.read_until(|seen| bodies(seen).len() >= count))
}

fn is_method(seen: &Seen, class: u16, id: u16) -> bool {
    let Seen::Method(channel, method) = seen else { return false };
    let mut bytes = Vec::new();
    write_method(&mut bytes, *channel, method);
    bytes.get(7..11) == Some(&[class.to_be_bytes(), id.to_be_bytes()].concat()[..])
}

#[test]
fn acks_and_consumers_go_on_while_publishes_are_held_and_taken_in_order_afterwards() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    client.queue("out", false);
    client.confirms();
    client.qos(1, false);
    client.publish("", "q", b"1");
    client.publish("", "q", b"2");
    client.read_until(|seen| acks(seen).iter().any(|(tag, _)| *tag == 2));
    client.consume("q", "c", false);
    assert_eq!(client.deliveries(), [(1, false, b"1".to_vec())]);

    node.broker.set_disk_low(true);
    client.send(&plain(1, "out", b"a"));
    assert_eq!(client.connection_method(), blocked("low on disk"));
    client.send(&message(1, "", "out", false, &PropertiesBuilder::default(), &[b'b'; 20_000]));
    client.ack(1, false);
    // The ack is read: the next delivery comes. Nothing is confirmed.
    assert_eq!(client.read(), client_delivery(2, b"2"));
    assert_eq!((client.unsent.len(), client.connection.wants_read()), (0, true));
    client.send(&plain(1, "out", b"c"));
    client.nothing();
    assert_eq!(node.channel().ready("out"), 0);

    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    let seen = client.read();
    assert!(seen.contains(&unblocked()), "{seen:?}");
    assert_eq!(acks(&seen), [(5, true)]);
    assert_eq!(contents(&node, "out"), [b"a".to_vec(), vec![b'b'; 20_000], b"c".to_vec()]);
}

fn client_delivery(tag: u64, body: &[u8]) -> Vec<Seen> {
    let deliver = basic::Deliver {
        consumer_tag: "c".into(),
        delivery_tag: tag,
        redelivered: false,
        exchange: "".into(),
        routing_key: "q".into(),
    };
    let header = PropertiesBuilder::default().content_header(body.len() as u64);
    let deliver = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
    vec![Seen::Method(1, deliver), Seen::Header(1, header), Seen::Body(1, body.to_vec())]
}

#[test]
fn reasons_are_told_once_to_those_who_publish_and_understand() {
    let node = node();
    let (mut consumer, mut publisher, mut unaware) = (client(&node), client(&node), node.channel());
    publisher.queue("q", false);
    publisher.publish("", "q", b"");
    node.broker.set_disk_low(true);
    assert_eq!(
        {
            publisher.connection.on_wake(publisher.now);
            publisher.connection_method()
        },
        blocked("low on disk")
    );
    consumer.nothing();
    // One that comes during the alarm is told as soon as it publishes.
    let mut newcomer = client(&node);
    newcomer.nothing();
    newcomer.publish("", "q", b"");
    assert_eq!(newcomer.connection_method(), blocked("low on disk"));
    unaware.publish("", "q", b"");
    unaware.nothing();
    newcomer.nothing();
    node.broker.set_disk_low(false);
    for client in [&mut publisher, &mut newcomer] {
        assert_eq!(client.connection_method(), connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        client.nothing();
    }
    unaware.nothing();
    consumer.nothing();
    assert_eq!(consumer.ready("q"), 3);
}

#[test]
fn what_asks_for_no_order_overtakes_held_publishes() {
    let node = node();
    let mut client = client(&node);
    for queue in ["q", "out"] {
        client.queue(queue, false);
    }
    (0..4).for_each(|number| client.publish("", "q", &[number]));
    client.get("q", false);
    client.read();
    node.broker.set_disk_low(true);
    client.send(&plain(1, "out", b"held"));
    assert_eq!(client.connection_method(), blocked("low on disk"));
    client.nack(1, false, true);
    client.qos(1, false);
    client.consume("q", "c", false);
    assert_eq!(client.deliveries(), [(2, true, vec![0])]);
    client.get("q", true);
    assert_eq!(bodies(&client.read()), [vec![1]]);
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: true })));
    let seen = client.read();
    assert!(seen.iter().any(|seen| is_method(seen, 60, 111)), "{seen:?}");
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: false };
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    let seen = client.read();
    assert!(seen.iter().any(|seen| is_method(seen, 60, 31)), "{seen:?}");
    // Another channel of the connection does what it likes, but for publishing.
    client.open_channel(2);
    client.declare(2, queue::Declare { queue: "other".into(), ..Default::default() });
    client.send(&plain(2, "other", b"held too"));
    client.nothing();
    assert_eq!(node.channel().ready("out"), 0);
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    assert_eq!(client.read(), [unblocked()]);
    assert_eq!(contents(&node, "out"), [b"held".to_vec()]);
    assert_eq!(contents(&node, "other"), [b"held too".to_vec()]);
}

#[test]
fn a_declaration_behind_a_held_publish_waits_and_what_answers_waits_behind_it_but_acks_do_not() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    client.qos(1, false);
    [b"1", b"2"].iter().for_each(|body| client.publish("", "q", *body));
    client.consume("q", "c", false);
    assert_eq!(client.deliveries().len(), 1);
    node.broker.set_disk_low(true);
    client.send(&plain(1, "q", b"held"));
    assert_eq!(client.connection_method(), blocked("low on disk"));
    let passive = queue::Declare { queue: "q".into(), passive: true, ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(passive)));
    client.get("q", true);
    client.nothing();
    client.ack(1, false);
    assert_eq!(client.deliveries(), [(2, false, b"2".to_vec())]);
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    let seen = client.read();
    let Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!(ok.message_count, 1, "the publish before it was taken");
    assert!(is_method(&seen[2], 60, 71), "{seen:?}");
    assert_eq!(bodies(&seen), [b"held".to_vec()]);
}

#[test]
fn an_ack_of_everything_waits_for_a_get_before_it() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    [b"1", b"2"].iter().for_each(|body| client.publish("", "q", *body));
    client.get("q", false);
    client.read();
    node.broker.set_disk_low(true);
    client.send(&plain(1, "q", b"held"));
    assert_eq!(client.connection_method(), blocked("low on disk"));
    let passive = queue::Declare { queue: "q".into(), passive: true, ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(passive)));
    client.get("q", false);
    client.ack(0, true);
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    client.read();
    drop(client);
    assert_eq!(contents(&node, "q"), [b"held".to_vec()], "both that were got are acknowledged");
}

#[test]
fn a_commit_waits_with_what_it_commits_and_so_do_acks_behind_it() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    client.publish("", "q", b"1");
    client.get("q", false);
    client.read();
    client.method(1, AMQPClass::Tx(amq_protocol::protocol::tx::AMQPMethod::Select(Default::default())));
    client.only();
    node.broker.set_disk_low(true);
    client.publish("", "q", b"in the transaction");
    assert_eq!(client.connection_method(), blocked("low on disk"));
    client.method(1, AMQPClass::Tx(amq_protocol::protocol::tx::AMQPMethod::Commit(Default::default())));
    // In the next transaction, which is not committed: it goes back with the channel.
    client.ack(1, false);
    client.nothing();
    node.broker.set_disk_low(false);
    let seen = client.read_until(|seen| seen.len() >= 2);
    assert!(seen.iter().any(|seen| is_method(seen, 90, 21)), "{seen:?}");
    assert_eq!(node.channel().ready("q"), 1);
    drop(client);
    assert_eq!(node.channel().ready("q"), 2);
}

#[test]
fn channels_and_connections_close_behind_what_is_held() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    node.broker.set_disk_low(true);
    client.publish("", "q", b"1");
    assert_eq!(client.connection_method(), blocked("low on disk"));
    let close = channel::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
    client.open_channel(2);
    client.send(&plain(2, "q", b"2"));
    let close = connection::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
    client.method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)));
    client.nothing();
    assert!(!client.connection.wants_read());
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    client.offer();
    let seen = client.read();
    assert!(seen.iter().any(|seen| is_method(seen, 20, 41)), "{seen:?}");
    assert!(is_method(seen.last().unwrap(), 10, 51), "{seen:?}");
    assert!(client.connection.is_finished());
    let mut contents = contents(&node, "q");
    contents.sort();
    assert_eq!(contents, [b"1", b"2"]);
}

#[test]
fn an_error_comes_behind_the_publishes_before_it() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    node.broker.set_disk_low(true);
    client.publish("", "q", b"1");
    assert_eq!(client.connection_method(), blocked("low on disk"));
    client.ack(7, false);
    client.publish("", "q", b"too late");
    client.nothing();
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    let seen = client.read();
    let close = |seen: &Seen| match seen {
        Seen::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close))) => {
            Some((close.reply_code, close.reply_text.as_str().to_owned(), close.class_id, close.method_id))
        }
        _ => None,
    };
    let text = "PRECONDITION_FAILED - unknown delivery tag 7".to_owned();
    assert_eq!(seen.iter().find_map(close), Some((406, text, 60, 80)));
    assert_eq!(contents(&node, "q"), [b"1"]);
}

#[test]
fn a_full_buffer_stops_the_socket_until_the_alarm_is_over() {
    let mut node = node();
    node.settings.held_bytes_max = 1000;
    let mut client = client(&node);
    client.queue("q", false);
    client.confirms();
    node.broker.set_disk_low(true);
    let all: Vec<u8> = (0..50).flat_map(|number| plain(1, "q", &[number; 30])).collect();
    client.send(&all);
    assert_eq!(client.connection_method(), blocked("low on disk"));
    assert!(!client.connection.wants_read());
    assert!(client.unsent.len() >= all.len() - 1000 && client.unsent.len() < all.len() - 900);
    client.nothing();
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    assert!(client.connection.wants_read());
    client.offer();
    assert_eq!(client.unsent.len(), 0);
    let seen = client.read();
    assert_eq!(acks(&seen).last(), Some(&(50, true)), "{seen:?}");
    assert_eq!(contents(&node, "q"), (0..50).map(|number| vec![number; 30]).collect::<Vec<_>>());
}

#[test]
fn without_a_buffer_the_socket_stops_at_the_first_publish() {
    let mut node = node();
    node.settings.held_bytes_max = 0;
    let mut client = client(&node);
    client.queue("q", false);
    node.broker.set_disk_low(true);
    client.publish("", "q", b"1");
    assert!(!client.connection.wants_read() && !client.unsent.is_empty());
    assert_eq!(client.connection_method(), blocked("low on disk"));
}

#[test]
fn all_connections_together_hold_what_the_node_has_room_for() {
    let node = node_of(256 << 20, 1000);
    let (mut first, mut second) = (client(&node), client(&node));
    first.queue("q", false);
    node.broker.set_disk_low(true);
    first.send(&plain(1, "q", &[1; 800]));
    second.send(&plain(1, "q", &[2; 800]));
    assert!(first.connection.wants_read() && !second.connection.wants_read());
    // The first one's room is free again when it goes.
    drop(first);
    let mut third = client(&node);
    third.send(&plain(1, "q", &[3; 100]));
    assert!(third.connection.wants_read());
    node.broker.set_disk_low(false);
    second.connection.on_wake(second.now);
    second.offer();
    third.connection.on_wake(third.now);
    let mut contents = contents(&node, "q");
    contents.sort();
    assert_eq!(contents, [vec![2; 800], vec![3; 100]]);
}

#[test]
fn a_publish_whose_frames_the_alarm_cuts_is_whole_afterwards() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    client.confirms();
    let (cut, held) = (plain(1, "q", &[1; 9000]), plain(1, "q", &[2; 9000]));
    // The alarm comes in the middle of one, and goes in the middle of another.
    client.send(&cut[..5000]);
    node.broker.set_disk_low(true);
    client.send(&cut[5000..]);
    client.send(&held[..5000]);
    node.broker.set_disk_low(false);
    client.connection.on_wake(client.now);
    client.send(&held[5000..]);
    let seen = client.read();
    assert_eq!(acks(&seen).last().map(|(tag, _)| *tag), Some(2), "{seen:?}");
    assert_eq!(contents(&node, "q").concat(), [vec![1; 9000], vec![2; 9000]].concat());
}

#[test]
fn alarms_that_come_and_go_lose_nothing() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    client.confirms();
    for round in 0..20 {
        node.broker.set_disk_low(round % 2 == 0);
        let mut bytes = plain(1, "q", &[round]);
        let declare = queue::Declare { queue: "q".into(), passive: true, ..Default::default() };
        bytes.extend(method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare))));
        client.send(&bytes);
    }
    let seen = client.read();
    assert_eq!(acks(&seen).last().map(|(tag, _)| *tag), Some(20));
    let counts = seen.iter().filter_map(|seen| match seen {
        Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => Some(ok.message_count),
        _ => None,
    });
    assert_eq!(counts.collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!(contents(&node, "q").concat(), (0..20).collect::<Vec<_>>());
}

#[test]
fn heartbeats_go_on_and_a_silent_client_is_noticed_while_its_publishes_are_held() {
    let node = node();
    let mut client = client(&node);
    client.queue("q", false);
    node.broker.set_disk_low(true);
    client.publish("", "q", b"1");
    client.read();
    let mut heartbeats = 0;
    for _ in 0..10 {
        client.send(&[8, 0, 0, 0, 0, 0, 0, 0xCE]);
        client.pass(Duration::from_secs(30));
        heartbeats += client.read().iter().filter(|seen| **seen == Seen::Heartbeat).count();
        assert!(!client.connection.is_finished());
    }
    assert!(heartbeats >= 4, "{heartbeats}");
    (0..3).for_each(|_| client.pass(Duration::from_secs(60)));
    assert!(client.connection.is_finished());
    node.broker.set_disk_low(false);
    assert_eq!(node.channel().ready("q"), 0, "it was not confirmed, and went with its connection");
}

#[test]
fn messages_in_the_hands_of_consumers_who_do_not_read_are_a_memory_alarm() {
    // Chunks may take 6 MiB. Eight consumers are sent a MiB each, and none reads; nothing of that can be paged out.
    let node = node_with(16 << 20);
    let mut publisher = client(&node);
    let mut consumers: Vec<Client> = (0..8)
        .map(|number| {
            let queue = format!("q{number}");
            publisher.queue(&queue, false);
            let mut consumer = node.channel();
            consumer.consume(&queue, "c", true);
            consumer
        })
        .collect();
    publisher.confirms();
    let body = vec![7; 50_000];
    let (mut sent, begun) = (0_u8, Instant::now());
    let reason = loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "{sent} messages and no alarm");
        if publisher.unsent.is_empty() {
            let queue = format!("q{}", sent % 8);
            publisher.publish("", &queue, &body);
            sent = sent.wrapping_add(1);
        }
        consumers.iter_mut().for_each(|consumer| consumer.connection.on_wake(consumer.now));
        publisher.connection.on_wake(publisher.now);
        if !publisher.unsent.is_empty() && publisher.connection.wants_read() {
            publisher.offer();
        }
        let told = publisher.read().into_iter().find_map(|seen| match seen {
            Seen::Method(0, AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked))) => Some(blocked.reason),
            _ => None,
        });
        if let Some(reason) = told {
            break reason;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(reason.as_str(), "low on memory");
    // Once they read, there is room.
    for consumer in &mut consumers {
        while !bodies(&consumer.read()).is_empty() {
            consumer.connection.on_wake(consumer.now);
        }
    }
    let seen = publisher.read_until(|seen| seen.contains(&unblocked()));
    assert!(!seen.is_empty() && publisher.connection.wants_read());
}
