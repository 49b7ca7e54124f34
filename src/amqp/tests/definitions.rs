//! Exchanges, queues and bindings, and what waits behind them (compat.md 1.7, 1.8).

use super::*;

#[test]
fn a_durable_definition_is_answered_when_it_is_on_disk_and_the_channel_keeps_its_order() {
    let node = node();
    let mut client = node.channel();
    let mut bytes = Vec::new();
    let declare = queue::Declare { queue: "q".into(), durable: true, ..Default::default() };
    write_method(&mut bytes, 1, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    let properties = PropertiesBuilder::default();
    (0..3).for_each(|_| bytes.extend(message(1, "", "q", false, &properties, b"behind it")));
    let get = basic::Get { queue: "".into(), no_ack: true };
    write_method(&mut bytes, 1, &AMQPClass::Basic(basic::AMQPMethod::Get(get)));
    client.send(&bytes);
    assert_eq!(client.unsent.len(), 0);
    let seen = client.read_until(|seen| seen.len() >= 4);
    assert!(matches!(seen[0], Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))));
    let Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok))) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!(ok.message_count, 2);
    assert!(node.storage.writes() > 0);
}

#[test]
fn an_error_among_deferred_frames_drops_those_behind_it() {
    let node = node();
    let mut client = node.channel();
    let mut bytes = Vec::new();
    write_method(&mut bytes, 1, &exchange("x", "topic"));
    write_method(&mut bytes, 1, &exchange("x", "fanout"));
    write_method(&mut bytes, 1, &exchange("y", "fanout"));
    client.send(&bytes);
    let seen = client.read_until(|seen| seen.len() >= 2);
    assert!(matches!(seen[0], Seen::Method(1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)))));
    let Seen::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close))) = &seen[1] else { panic!("{seen:?}") };
    let text = "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but \
                current is 'topic'";
    assert_eq!(close.reply_text.as_str(), text);
    client.method(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    client.open_channel(1);
    client.publish("y", "k", b"");
    assert_eq!(client.channel_closed(1).0, 404);
}

#[test]
fn the_empty_name_is_the_last_declared_queue_of_the_channel() {
    let node = node();
    let mut client = node.channel();
    client.get("", true);
    assert_eq!(client.channel_closed(1), (404, "NOT_FOUND - no previously declared queue".to_owned()));
    client.open_channel(1);
    let name = client.declare(1, queue::Declare { exclusive: true, ..Default::default() }).queue;
    assert!(name.as_str().starts_with("amq.gen-") && name.as_str().len() == 30, "{name}");
    client.bind("", "amq.direct", "");
    client.publish("amq.direct", name.as_str(), b"the key is the name too");
    assert_eq!(client.ready(name.as_str()), 1);
    let purge = queue::Purge::default();
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Purge(purge)));
    let ok = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: 1 });
    assert_eq!(client.only(), (1, AMQPClass::Queue(ok)));
}

#[test]
fn line_ends_are_stripped_from_names_and_nowait_is_silent() {
    let node = node();
    let mut client = node.channel();
    let declare = queue::Declare { queue: "a\r\nb\n".into(), durable: true, nowait: true, ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    assert_eq!(client.ready("ab"), 0);
    client.nothing();
}

#[test]
fn exchange_errors() {
    let node = node();
    let mut client = node.channel();
    let passive = exchange::Declare { exchange: "no".into(), passive: true, ..Default::default() };
    let delete = exchange::Delete { exchange: "amq.topic".into(), ..Default::default() };
    for (method, code, text) in [
        (exchange("x", "sideways"), 406, "PRECONDITION_FAILED - unknown exchange type 'sideways'"),
        (
            exchange("amq.mine", "topic"),
            403,
            "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
        (exchange("", "direct"), 403, "ACCESS_REFUSED - operation not permitted on the default exchange"),
        (AMQPClass::Exchange(exchange::AMQPMethod::Declare(passive)), 404, "NOT_FOUND - no exchange 'no' in vhost '/'"),
        (
            AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)),
            403,
            "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed",
        ),
    ] {
        client.method(1, method);
        assert_eq!(client.channel_closed(1), (code, text.to_owned()));
        client.open_channel(1);
    }
}

#[test]
fn exchanges_are_bound_to_exchanges() {
    let node = node();
    let mut client = node.channel();
    client.method(1, exchange("outer", "fanout"));
    client.only();
    client.queue("q", false);
    client.bind("q", "amq.direct", "k");
    let bind = exchange::Bind {
        destination: "amq.direct".into(),
        source: "outer".into(),
        routing_key: "".into(),
        ..Default::default()
    };
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind.clone())));
    assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::BindOk(_)))));
    client.publish("outer", "k", b"1");
    let unbind = exchange::Unbind { destination: bind.destination, source: bind.source, ..Default::default() };
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Unbind(unbind)));
    assert!(matches!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::UnbindOk(_)))));
    client.publish("outer", "k", b"2");
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn exclusive_queues_are_locked_for_others() {
    let node = node();
    let mut owner = node.channel();
    owner.declare(1, queue::Declare { queue: "mine".into(), exclusive: true, ..Default::default() });
    let mut other = node.channel();
    other.get("mine", true);
    let (code, text) = other.channel_closed(1);
    assert_eq!(code, 405);
    assert!(text.starts_with("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'."));
}

#[test]
fn a_channel_that_waits_keeps_a_bounded_number_of_frames() {
    let node = node();
    let mut client = node.channel();
    client.confirms();
    client.queue("p", false);
    let mut bytes = Vec::new();
    let declare = queue::Declare { queue: "q".into(), durable: true, ..Default::default() };
    write_method(&mut bytes, 1, &AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    let count = 200;
    (0..count).for_each(|_| bytes.extend(message(1, "", "p", false, &PropertiesBuilder::default(), &[0; 4000])));
    client.send(&bytes);
    let seen = client.read_until(|seen| acks(seen).last().is_some_and(|(tag, _)| *tag == count));
    assert!(matches!(seen[0], Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_)))));
    assert_eq!(client.ready("p"), count as u32);
}

/// RabbitMQ's channel hears of the queue's end only after the queue has answered.
#[test]
fn a_channel_that_deletes_its_own_consumers_queue_is_answered_before_it_is_told() {
    let node = node();
    let mut client = node.open_with(&["consumer_cancel_notify"]);
    client.open_channel(1);
    client.declare(1, queue::Declare { queue: "q".into(), durable: true, ..Default::default() });
    client.consume("q", "c", false);
    let delete = queue::Delete { queue: "q".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
    let seen = client.read_until(|seen| seen.len() >= 2);
    let ok = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 });
    let cancel = basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag: "c".into(), nowait: true });
    assert_eq!(seen, [Seen::Method(1, AMQPClass::Queue(ok)), Seen::Method(1, AMQPClass::Basic(cancel))]);
}

#[test]
fn definitions_sent_at_once_share_commits_and_are_answered_in_order() {
    const QUEUES: usize = 400;
    let node = node();
    let mut client = node.channel();
    let before = node.storage.writes();
    let mut bytes = Vec::new();
    for number in 0..QUEUES {
        let name = format!("q{number}");
        let declare = queue::Declare { queue: name.as_str().into(), durable: true, ..Default::default() };
        let bind = queue::Bind {
            queue: name.as_str().into(),
            exchange: "amq.direct".into(),
            routing_key: "k".into(),
            ..Default::default()
        };
        let purge = queue::Purge { queue: name.as_str().into(), ..Default::default() };
        for method in [
            queue::AMQPMethod::Declare(declare),
            queue::AMQPMethod::Bind(bind),
            // Needs no disk, and is answered behind what does.
            queue::AMQPMethod::Purge(purge),
        ] {
            write_method(&mut bytes, 1, &AMQPClass::Queue(method));
        }
    }
    // The error comes behind all answers.
    let missing = queue::Purge { queue: "missing".into(), ..Default::default() };
    write_method(&mut bytes, 1, &AMQPClass::Queue(queue::AMQPMethod::Purge(missing)));
    client.send(&bytes);
    let seen = client.read_until(|seen| seen.len() > 3 * QUEUES);
    for (number, replies) in seen.chunks(3).take(QUEUES).enumerate() {
        let [
            Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(declared))),
            Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::BindOk(_))),
            Seen::Method(1, AMQPClass::Queue(queue::AMQPMethod::PurgeOk(_))),
        ] = replies
        else {
            panic!("{number}: {replies:?}")
        };
        assert_eq!(declared.queue.as_str(), format!("q{number}"));
    }
    assert!(matches!(seen.last(), Some(Seen::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(_))))));
    let writes = node.storage.writes() - before;
    assert!(writes < 2 * QUEUES as u64, "{writes} writes for {QUEUES} queues and their bindings");
}
