//! queue.declare: what makes a queue, and when a second declaration is the same.

use crate::stage::*;
use crate::support::*;
use std::collections::HashSet;

fn declare(name: &str) -> queue::Declare {
    queue::Declare { queue: name.into(), ..Default::default() }
}

fn with_argument(name: &str, key: &str, value: AMQPValue) -> queue::Declare {
    let mut arguments = FieldTable::default();
    arguments.insert(key.into(), value);
    queue::Declare { arguments, ..declare(name) }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[test]
fn a_declaration_tells_name_messages_and_consumers() {
    let mut client = open();
    let name = unique("q");
    let ok = client.declare(CH, declare(&name)).unwrap();
    assert_eq!((ok.queue.as_str(), ok.message_count, ok.consumer_count), (name.as_str(), 0, 0));
    ["a", "b", "c"].iter().for_each(|body| publish(&mut client, &name, body));
    take(&mut client, &name);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    // One was got, one delivered: only what is ready counts.
    let ok = client.declare(CH, declare(&name)).unwrap();
    assert_eq!((ok.queue.as_str(), ok.message_count, ok.consumer_count), (name.as_str(), 1, 1));
    assert_eq!(counts(&mut client, &name), (1, 1));
}

#[test]
fn the_broker_names_a_queue_without_a_name() {
    let mut client = open();
    let names: HashSet<String> = (0..20).map(|_| client.declare(CH, declare("")).unwrap().queue.to_string()).collect();
    assert_eq!(names.len(), 20);
    for name in &names {
        let random = name.strip_prefix("amq.gen-").unwrap_or_else(|| panic!("{name}"));
        let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(random.len() == 22 && random.chars().all(base64url), "{name}");
    }
    // Such a name cannot be asked for, not even when it is there.
    let name = names.iter().next().unwrap();
    let text = format!("ACCESS_REFUSED - queue name '{name}' contains reserved prefix 'amq.*'");
    channel_refuses(&mut client, |client| client.declare(CH, declare(name)), (403, &text), QUEUE_DECLARE);
    assert_eq!(counts(&mut client, name), (0, 0));
}

#[test]
fn names_that_begin_with_amq_are_ours() {
    let mut client = open();
    let text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    let mine = declare("amq.mine");
    channel_refuses(&mut client, |client| client.declare(CH, mine), (403, text), QUEUE_DECLARE);
    let text = "NOT_FOUND - no queue 'amq.mine' in vhost '/'";
    let ask = |client: &mut Client| client.declare_passive(CH, "amq.mine");
    channel_refuses(&mut client, ask, (404, text), QUEUE_DECLARE);
}

#[test]
fn passive_asks_for_existence_only() {
    let mut client = open();
    let name = queue(&mut client);
    let other = queue::Declare { passive: true, durable: true, auto_delete: true, ..declare(&name) };
    client.declare(CH, other).unwrap();
    let missing = unique("q");
    let text = format!("NOT_FOUND - no queue '{missing}' in vhost '/'");
    channel_refuses(&mut client, |client| client.declare_passive(CH, &missing), (404, &text), QUEUE_DECLARE);
}

#[test]
fn a_queue_is_declared_again_alike() {
    let mut client = open();
    for bits in 0..8 {
        let one = queue::Declare {
            durable: bits & 1 != 0,
            auto_delete: bits & 2 != 0,
            exclusive: bits & 4 != 0,
            ..declare(&unique("q"))
        };
        client.declare(CH, one.clone()).unwrap();
        client.declare(CH, one).unwrap();
    }
}

#[test]
fn a_queue_is_not_declared_again_otherwise() {
    let mut client = open();
    let name = queue(&mut client);
    let durable = || queue::Declare { durable: true, ..declare(&name) };
    let others = [
        ("durable", durable()),
        ("auto_delete", queue::Declare { auto_delete: true, ..declare(&name) }),
        ("durable", queue::Declare { auto_delete: true, ..durable() }),
    ];
    for (arg, other) in others {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{arg}' for queue '{name}' in vhost '/': received 'true' but \
             current is 'false'"
        );
        channel_refuses(&mut client, |client| client.declare(CH, other), (406, &text), QUEUE_DECLARE);
    }
    let name = unique("q");
    client.declare_queue(CH, &name, true).unwrap();
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{name}' in vhost '/': received 'false' but \
         current is 'true'"
    );
    channel_refuses(&mut client, |client| client.declare(CH, declare(&name)), (406, &text), QUEUE_DECLARE);
}

#[test]
fn arguments_that_matter_are_compared() {
    let mut client = open();
    let inequivalent = |name: &str, arg: &str, rest: &str| {
        format!("PRECONDITION_FAILED - inequivalent arg '{arg}' for queue '{name}' in vhost '/': received {rest}")
    };
    let plain = queue(&mut client);
    let cases = [
        (
            with_argument(&plain, "x-max-length", AMQPValue::LongInt(5)),
            inequivalent(&plain, "x-max-length", "the value '5' of type 'signedint' but current is none"),
        ),
        (
            with_argument(&plain, "x-max-length", AMQPValue::LongLongInt(5)),
            inequivalent(&plain, "x-max-length", "the value '5' of type 'long' but current is none"),
        ),
        (
            with_argument(&plain, "x-dead-letter-exchange", text("dlx")),
            inequivalent(&plain, "x-dead-letter-exchange", "the value 'dlx' of type 'longstr' but current is none"),
        ),
    ];
    for (other, text) in cases {
        channel_refuses(&mut client, |client| client.declare(CH, other), (406, &text), QUEUE_DECLARE);
    }
    let limited = unique("q");
    client.declare(CH, with_argument(&limited, "x-max-length", AMQPValue::LongInt(5))).unwrap();
    let text = inequivalent(&limited, "x-max-length", "none but current is the value '5' of type 'signedint'");
    channel_refuses(&mut client, |client| client.declare(CH, declare(&limited)), (406, &text), QUEUE_DECLARE);
    let text = inequivalent(&limited, "x-max-length", "'6' but current is '5'");
    let six = with_argument(&limited, "x-max-length", AMQPValue::LongInt(6));
    channel_refuses(&mut client, |client| client.declare(CH, six), (406, &text), QUEUE_DECLARE);
}

#[test]
fn arguments_that_do_not_matter_are_not_compared() {
    let mut client = open();
    let limited = unique("q");
    client.declare(CH, with_argument(&limited, "x-max-length", AMQPValue::LongInt(5))).unwrap();
    client.declare(CH, with_argument(&limited, "x-max-length", AMQPValue::LongLongInt(5))).unwrap();
    let noted = unique("q");
    client.declare(CH, with_argument(&noted, "x-note-of-mine", text("one"))).unwrap();
    client.declare(CH, with_argument(&noted, "x-note-of-mine", AMQPValue::LongInt(2))).unwrap();
    client.declare(CH, declare(&noted)).unwrap();
    let typed = unique("q");
    client.declare(CH, with_argument(&typed, "x-queue-type", text("classic"))).unwrap();
    client.declare(CH, declare(&typed)).unwrap();
}

#[test]
fn without_wait_there_is_no_reply() {
    let mut client = open();
    let name = unique("q");
    let send = |client: &mut Client, method| client.send(CH, AMQPClass::Queue(method)).unwrap();
    let declare = queue::Declare { nowait: true, ..declare(&name) };
    send(&mut client, queue::AMQPMethod::Declare(declare));
    publish(&mut client, &name, "a");
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(counts(&mut client, &name), (1, 0));
    send(&mut client, queue::AMQPMethod::Purge(queue::Purge { queue: name.as_str().into(), nowait: true }));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(counts(&mut client, &name), (0, 0));
    let delete = queue::Delete { queue: name.as_str().into(), nowait: true, ..Default::default() };
    send(&mut client, queue::AMQPMethod::Delete(delete));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.declare_passive(CH, &name).unwrap_err();
}

#[test]
fn an_error_without_wait_is_told_all_the_same() {
    let mut client = open();
    let name = unique("q");
    let ask = queue::Declare { passive: true, nowait: true, ..declare(&name) };
    let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    let send = |client: &mut Client| client.send(CH, AMQPClass::Queue(queue::AMQPMethod::Declare(ask)));
    channel_refuses(&mut client, send, (404, &text), QUEUE_DECLARE);
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let mut client = open();
    let name = unique("q");
    let ok = client.declare(CH, declare(&format!("{name}\r\n"))).unwrap();
    assert_eq!(ok.queue.as_str(), name);
    publish(&mut client, &name, "arrived");
    assert_eq!(drain(&mut client, &name), ["arrived"]);
}

#[test]
fn a_name_may_have_255_bytes_of_any_language() {
    let mut client = open();
    let mut name = unique("очередь 队列");
    name.push_str(&"x".repeat(255 - name.len()));
    client.declare_queue(CH, &name, false).unwrap();
    publish(&mut client, &name, "arrived");
    assert_eq!(drain(&mut client, &name), ["arrived"]);
}

#[test]
fn other_queue_types_are_not_faked() {
    let mut client = open();
    let closed =
        client.declare(CH, with_argument(&unique("q"), "x-queue-type", text("no-such-type"))).unwrap_err().closed();
    assert_eq!((closed.scope, closed.code, (closed.class, closed.method)), (Scope::Channel, 406, QUEUE_DECLARE));
}
