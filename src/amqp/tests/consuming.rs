//! Consumers, acknowledgements, prefetch, get (compat.md 1.9).

use super::*;
use crate::limits::{CONSUMER_WINDOW_BYTES, OUTPUT_BYTES};

fn filled(node: &Node, count: u32) -> Client {
    let mut client = node.channel();
    client.queue("q", false);
    for number in 1..=count {
        client.publish("", "q", number.to_string().as_bytes());
    }
    client
}

fn numbers(deliveries: &[Delivery]) -> Vec<(u64, bool, String)> {
    let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
    deliveries.iter().map(|(tag, redelivered, body)| (*tag, *redelivered, text(body))).collect()
}

fn fresh(tag: u64, body: u64) -> (u64, bool, String) {
    (tag, false, body.to_string())
}

fn again(tag: u64, body: u64) -> (u64, bool, String) {
    (tag, true, body.to_string())
}

#[test]
fn consume_ok_precedes_deliveries() {
    let node = node();
    let mut client = filled(&node, 2);
    let consume = basic::Consume { queue: "q".into(), ..Default::default() };
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    let seen = client.read();
    let Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok))) = &seen[0] else { panic!("{seen:?}") };
    let tag = ok.consumer_tag.as_str();
    assert!(tag.starts_with("amq.ctag-") && tag.len() == 31, "{tag}");
    assert_eq!(numbers(&deliveries(&seen)), [fresh(1, 1), fresh(2, 2)]);
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn prefetch_frees_the_next_message_in_the_same_turn() {
    let node = node();
    let mut client = filled(&node, 3);
    client.qos(1, false);
    client.consume("q", "c", false);
    assert_eq!(numbers(&client.deliveries()), [fresh(1, 1)]);
    client.ack(1, false);
    assert_eq!(numbers(&client.deliveries()), [fresh(2, 2)]);
    client.nack(2, false, true);
    assert_eq!(numbers(&client.deliveries()), [again(3, 2)]);
    client.nack(3, false, false);
    assert_eq!(numbers(&client.deliveries()), [fresh(4, 3)]);
}

#[test]
fn a_shared_limit_counts_all_consumers_of_the_channel() {
    let node = node();
    let mut client = filled(&node, 6);
    client.queue("p", false);
    (7..=9).for_each(|number: u32| client.publish("", "p", number.to_string().as_bytes()));
    client.consume("q", "before", false);
    assert_eq!(client.deliveries().len(), 6);
    client.qos(3, true);
    client.consume("p", "after", false);
    assert_eq!(client.deliveries(), [], "six are unsettled, three are allowed");
    client.ack(3, true);
    assert_eq!(client.deliveries(), []);
    client.ack(5, true);
    assert_eq!(numbers(&client.deliveries()), [fresh(7, 7), fresh(8, 8)]);
    let without_limit = basic::Qos { prefetch_count: 0, global: true };
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Qos(without_limit)));
    let seen = client.read();
    assert!(matches!(seen[0], Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::QosOk(_)))));
    assert_eq!(numbers(&deliveries(&seen)), [fresh(9, 9)]);
}

#[test]
fn unknown_tags_close_the_channel_and_its_messages_come_back_in_order() {
    let node = node();
    let mut client = filled(&node, 4);
    client.consume("q", "c", false);
    assert_eq!(client.deliveries().len(), 4);
    client.ack(2, false);
    client.ack(2, false);
    assert_eq!(client.channel_closed(1), (406, "PRECONDITION_FAILED - unknown delivery tag 2".to_owned()));
    client.open_channel(1);
    assert_eq!(client.ready("q"), 3);
    client.consume("q", "c", false);
    assert_eq!(numbers(&client.deliveries()), [again(1, 1), again(2, 3), again(3, 4)]);
    client.ack(0, false);
    assert_eq!(client.channel_closed(1), (406, "PRECONDITION_FAILED - unknown delivery tag 0".to_owned()));
}

#[test]
fn recover_gives_everything_back() {
    let node = node();
    let mut client = filled(&node, 3);
    client.qos(2, false);
    client.consume("q", "c", false);
    assert_eq!(client.deliveries().len(), 2);
    client.method(1, AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: true })));
    let seen = client.read();
    assert!(matches!(seen[0], Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::RecoverOk(_)))));
    assert_eq!(numbers(&deliveries(&seen)), [again(3, 1), again(4, 2)]);
    client.ack(0, true);
    assert_eq!(numbers(&client.deliveries()), [fresh(5, 3)]);
}

#[test]
fn get_takes_one_and_says_how_many_are_left() {
    let node = node();
    let mut client = filled(&node, 2);
    client.get("", true);
    let seen = client.read();
    let Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::GetOk(ok))) = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((ok.delivery_tag, ok.redelivered, ok.message_count, ok.routing_key.as_str()), (1, false, 1, "q"));
    client.get("q", false);
    client.read();
    client.get("q", false);
    assert!(matches!(client.only(), (1, AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)))));
    client.nack(2, false, true);
    assert_eq!(client.ready("q"), 1);
    client.ack(1, false);
    assert_eq!(client.channel_closed(1).0, 406, "a no-ack delivery has a tag and is not remembered");
}

#[test]
fn a_cancelled_consumer_can_still_ack() {
    let node = node();
    let mut client = filled(&node, 2);
    client.consume("q", "c", false);
    assert_eq!(client.deliveries().len(), 2);
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: false };
    for _ in 0..2 {
        client.method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel.clone())));
        assert!(matches!(client.only(), (1, AMQPClass::Basic(basic::AMQPMethod::CancelOk(_)))));
    }
    client.publish("", "q", b"3");
    assert_eq!(client.deliveries(), []);
    client.ack(2, true);
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn tags_are_unique_and_consumers_may_be_limited() {
    let mut node = node();
    node.settings.consumer_max_per_channel = 1;
    let mut client = filled(&node, 0);
    client.consume("q", "c", false);
    client.consume("q", "c", false);
    let text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'";
    assert_eq!(client.closed(), (530, text.to_owned(), 60, 20));
    let mut client = filled(&node, 0);
    client.consume("q", "c", false);
    client.consume("q", "d", false);
    let text = "NOT_ALLOWED - reached maximum (1) of consumers per channel";
    assert_eq!(client.closed(), (530, text.to_owned(), 60, 20));
}

#[test]
fn consumers_are_told_that_their_queue_is_gone_if_they_understand_it() {
    let node = node();
    for (capabilities, told) in [(&["consumer_cancel_notify"][..], true), (&[], false)] {
        let mut consumer = node.open_with(capabilities);
        consumer.open_channel(1);
        consumer.queue("q", false);
        consumer.consume("q", "c", false);
        let mut other = node.channel();
        let delete = queue::Delete { queue: "q".into(), ..Default::default() };
        other.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
        other.only();
        consumer.connection.on_wake(consumer.now);
        let cancel = basic::AMQPMethod::Cancel(basic::Cancel { consumer_tag: "c".into(), nowait: true });
        let expected = if told { vec![Seen::Method(1, AMQPClass::Basic(cancel))] } else { vec![] };
        assert_eq!(consumer.read(), expected);
        consumer.queue("q", false);
        consumer.consume("q", "c", false);
        assert_eq!(consumer.read(), vec![], "the tag is free");
    }
}

#[test]
fn a_lost_connection_gives_back_what_it_held() {
    let node = node();
    let mut client = filled(&node, 5);
    client.declare(1, queue::Declare { queue: "mine".into(), exclusive: true, ..Default::default() });
    client.consume("q", "c", false);
    assert_eq!(client.deliveries().len(), 5);
    client.ack(2, false);
    client.connection.on_disconnect();
    assert!(client.connection.is_finished());
    let mut other = node.channel();
    other.consume("q", "c", false);
    assert_eq!(numbers(&other.deliveries()), [again(1, 1), again(2, 3), again(3, 4), again(4, 5)]);
    other.get("mine", true);
    assert_eq!(other.channel_closed(1), (404, "NOT_FOUND - no queue 'mine' in vhost '/'".to_owned()));
}

#[test]
fn a_consumer_that_does_not_read_is_sent_a_bounded_amount_and_goes_on_when_it_reads() {
    let node = node();
    let mut publisher = node.channel();
    publisher.queue("q", false);
    let (body, count) = (vec![7; 10_000], 600);
    (0..count).for_each(|_| publisher.publish("", "q", &body));
    for no_ack in [false, true] {
        let mut consumer = node.channel();
        consumer.consume("q", "c", no_ack);
        let waiting = consumer.connection.output().len();
        assert!((OUTPUT_BYTES..OUTPUT_BYTES + 300_000).contains(&waiting), "{waiting}");
        let left = publisher.ready("q") as usize;
        let sent = (count - left) * body.len();
        assert!(sent < 2 * CONSUMER_WINDOW_BYTES as usize, "{sent}");
        if no_ack {
            assert_eq!(consumer.delivered(count).last().unwrap().0, count as u64);
        } else {
            let close = channel::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
            consumer.method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)));
            assert_eq!(publisher.ready("q") as usize, count, "unsent ones too");
        }
    }
}

#[test]
fn a_cancel_writes_or_gives_back_what_waits() {
    let node = node();
    let mut publisher = node.channel();
    publisher.queue("q", false);
    (0..100).for_each(|_| publisher.publish("", "q", &[7; 10_000]));
    let mut consumer = node.channel();
    consumer.consume("q", "c", false);
    assert_eq!(publisher.ready("q"), 0);
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: false };
    consumer.method(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    let seen = consumer.read();
    assert!(matches!(seen.last(), Some(Seen::Method(1, AMQPClass::Basic(basic::AMQPMethod::CancelOk(_))))));
    let written = deliveries(&seen).len();
    assert!(written > 0 && written < 100);
    assert_eq!(publisher.ready("q") as usize, 100 - written);
}

#[test]
fn get_waits_for_messages_that_are_on_disk_only() {
    let node = node_with(1 << 20);
    let mut publisher = node.channel();
    publisher.queue("q", true);
    publisher.confirms();
    let count: u32 = 600;
    for number in 0..count {
        let mut body = vec![0; 20_000];
        body[..4].copy_from_slice(&number.to_be_bytes());
        publisher.persist("", "q", &body);
    }
    publisher.read_until(|seen| acks(seen).last().is_some_and(|(tag, _)| *tag == u64::from(count)));
    assert_eq!(publisher.ready("q"), count);
    let mut waited = 0;
    for number in 0..count {
        publisher.get("q", true);
        waited += u32::from(publisher.connection.output().is_empty());
        let seen = publisher.read_until(|seen| seen.len() >= 3);
        let Seen::Body(1, body) = &seen[2] else { panic!("{seen:?}") };
        assert_eq!(body[..4], number.to_be_bytes());
    }
    assert!(waited > 0, "nothing left memory");
}
