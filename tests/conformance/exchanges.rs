//! Exchanges: declared, compared, deleted.

use crate::stage::*;
use crate::support::*;

fn declare(name: &str, kind: &str) -> exchange::Declare {
    exchange::Declare { exchange: name.into(), kind: kind.into(), ..Default::default() }
}

const ON_DEFAULT: (u16, &str) = (403, "ACCESS_REFUSED - operation not permitted on the default exchange");

#[test]
fn the_predeclared_exchanges_are_there() {
    let mut client = open();
    for (name, kind) in [
        ("amq.direct", "direct"),
        ("amq.fanout", "fanout"),
        ("amq.topic", "topic"),
        ("amq.headers", "headers"),
        ("amq.match", "headers"),
    ] {
        client.exchange_passive(CH, name).unwrap();
        client.declare_exchange(CH, exchange::Declare { durable: true, ..declare(name, kind) }).unwrap();
    }
    let trace = exchange::Declare { durable: true, internal: true, ..declare("amq.rabbitmq.trace", "topic") };
    client.declare_exchange(CH, trace).unwrap();
}

#[test]
fn an_exchange_is_declared_again_alike() {
    let mut client = open();
    for kind in ["direct", "fanout", "topic", "headers"] {
        for bits in 0..8 {
            let name = unique("x");
            let one = exchange::Declare {
                durable: bits & 1 != 0,
                auto_delete: bits & 2 != 0,
                internal: bits & 4 != 0,
                ..declare(&name, kind)
            };
            client.declare_exchange(CH, one.clone()).unwrap();
            client.declare_exchange(CH, one).unwrap();
            client.exchange_passive(CH, &name).unwrap();
        }
    }
}

#[test]
fn an_exchange_is_not_declared_again_otherwise() {
    let mut client = open();
    let name = unique("x");
    client.declare_exchange(CH, declare(&name, "direct")).unwrap();
    let others = [
        ("type", "'fanout' but current is 'direct'", declare(&name, "fanout")),
        ("durable", "'true' but current is 'false'", exchange::Declare { durable: true, ..declare(&name, "direct") }),
        (
            "auto_delete",
            "'true' but current is 'false'",
            exchange::Declare { auto_delete: true, ..declare(&name, "direct") },
        ),
        ("internal", "'true' but current is 'false'", exchange::Declare { internal: true, ..declare(&name, "direct") }),
        // The first difference is told.
        ("type", "'topic' but current is 'direct'", exchange::Declare { durable: true, ..declare(&name, "topic") }),
    ];
    for (arg, received, other) in others {
        let text = format!(
            "PRECONDITION_FAILED - inequivalent arg '{arg}' for exchange '{name}' in vhost '/': received {received}"
        );
        channel_refuses(&mut client, |client| client.declare_exchange(CH, other), (406, &text), EXCHANGE_DECLARE);
    }
    client.declare_exchange(CH, declare(&name, "direct")).unwrap();
}

#[test]
fn an_unknown_type_is_refused_before_anything_else() {
    let mut client = open();
    for name in [unique("x"), "amq.new".to_owned(), "amq.direct".to_owned()] {
        let text = "PRECONDITION_FAILED - unknown exchange type 'x-none'";
        let wrong = declare(&name, "x-none");
        channel_refuses(&mut client, |client| client.declare_exchange(CH, wrong), (406, text), EXCHANGE_DECLARE);
    }
}

#[test]
fn passive_asks_for_existence_only() {
    let mut client = open();
    let name = exchange(&mut client, "direct");
    let other = exchange::Declare { passive: true, durable: true, auto_delete: true, ..declare(&name, "fanout") };
    client.declare_exchange(CH, other).unwrap();
    let missing = unique("x");
    let text = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    let ask = |client: &mut Client| client.exchange_passive(CH, &missing);
    channel_refuses(&mut client, ask, (404, &text), EXCHANGE_DECLARE);
}

#[test]
fn names_that_begin_with_amq_are_ours() {
    let mut client = open();
    let text = "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'";
    let mine = declare("amq.mine", "direct");
    channel_refuses(&mut client, |client| client.declare_exchange(CH, mine), (403, text), EXCHANGE_DECLARE);
}

#[test]
fn the_predeclared_exchanges_cannot_be_deleted() {
    let mut client = open();
    for name in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match", "amq.rabbitmq.trace"] {
        let text = format!("ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed");
        channel_refuses(&mut client, |client| client.delete_exchange(CH, name), (403, &text), EXCHANGE_DELETE);
    }
}

#[test]
fn the_default_exchange_is_left_alone() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    let direct = declare("", "direct");
    channel_refuses(&mut client, |client| client.declare_exchange(CH, direct), ON_DEFAULT, EXCHANGE_DECLARE);
    channel_refuses(&mut client, |client| client.exchange_passive(CH, ""), ON_DEFAULT, EXCHANGE_DECLARE);
    channel_refuses(&mut client, |client| client.delete_exchange(CH, ""), ON_DEFAULT, EXCHANGE_DELETE);
    channel_refuses(&mut client, |client| client.bind(CH, &queue, "", "k"), ON_DEFAULT, QUEUE_BIND);
    channel_refuses(&mut client, |client| client.unbind(CH, &queue, "", &queue), ON_DEFAULT, QUEUE_UNBIND);
    channel_refuses(&mut client, |client| client.bind_exchange(CH, &name, "", "k"), ON_DEFAULT, EXCHANGE_BIND);
    channel_refuses(&mut client, |client| client.bind_exchange(CH, "", &name, "k"), ON_DEFAULT, EXCHANGE_BIND);
    channel_refuses(&mut client, |client| client.unbind_exchange(CH, "", &name, "k"), ON_DEFAULT, EXCHANGE_UNBIND);
}

#[test]
fn what_is_not_there_is_deleted_too() {
    let mut client = open();
    client.delete_exchange(CH, &unique("x")).unwrap();
}

#[test]
fn a_deleted_exchange_takes_its_bindings_along() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "fanout"), queue(&mut client));
    client.bind(CH, &queue, &name, "").unwrap();
    client.delete_exchange(CH, &name).unwrap();
    client.declare_exchange(CH, declare(&name, "fanout")).unwrap();
    publish_to(&mut client, &name, "", "lost");
    assert_eq!(drain(&mut client, &queue), Vec::<String>::new());
}

#[test]
fn if_unused_spares_a_source_of_bindings() {
    let mut client = open();
    let (name, queue) = (exchange(&mut client, "direct"), queue(&mut client));
    client.bind(CH, &queue, &name, "k").unwrap();
    let delete = |client: &mut Client| {
        let delete = exchange::Delete { exchange: name.as_str().into(), if_unused: true, nowait: false };
        let delete = AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete));
        client.call(CH, delete, |method| {
            matches!(method, AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_))).then_some(())
        })
    };
    let text = format!("PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use");
    channel_refuses(&mut client, delete, (406, &text), EXCHANGE_DELETE);
    client.unbind(CH, &queue, &name, "k").unwrap();
    delete(&mut client).unwrap();
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let mut client = open();
    let (name, first, second) = (unique("x"), queue(&mut client), queue(&mut client));
    let auto = exchange::Declare { auto_delete: true, ..declare(&name, "fanout") };
    client.declare_exchange(CH, auto).unwrap();
    // It is not in a hurry before its first binding.
    client.exchange_passive(CH, &name).unwrap();
    client.bind(CH, &first, &name, "").unwrap();
    client.bind(CH, &second, &name, "").unwrap();
    client.unbind(CH, &first, &name, "").unwrap();
    client.exchange_passive(CH, &name).unwrap();
    client.delete_queue(CH, &second).unwrap();
    let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    channel_refuses(&mut client, |client| client.exchange_passive(CH, &name), (404, &text), EXCHANGE_DECLARE);
}

#[test]
fn nobody_publishes_to_an_internal_exchange() {
    let mut client = open();
    let name = unique("x");
    client.declare_exchange(CH, exchange::Declare { internal: true, ..declare(&name, "fanout") }).unwrap();
    let text = format!("ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'");
    let publish = |client: &mut Client| client.publish(CH, &name, "", &BasicProperties::default(), b"x");
    channel_refuses(&mut client, publish, (403, &text), BASIC_PUBLISH);

    // Other exchanges reach it.
    let (outer, queue) = (exchange(&mut client, "fanout"), queue(&mut client));
    client.bind_exchange(CH, &name, &outer, "").unwrap();
    client.bind(CH, &queue, &name, "").unwrap();
    publish_to(&mut client, &outer, "", "by binding");
    assert_eq!(drain(&mut client, &queue), ["by binding"]);
}

#[test]
fn without_wait_there_is_no_reply() {
    let mut client = open();
    let name = unique("x");
    let send = |client: &mut Client, method| client.send(CH, AMQPClass::Exchange(method)).unwrap();
    let declare = exchange::Declare { nowait: true, ..declare(&name, "direct") };
    send(&mut client, exchange::AMQPMethod::Declare(declare));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.exchange_passive(CH, &name).unwrap();
    let bind = exchange::Bind {
        destination: name.as_str().into(),
        source: "amq.fanout".into(),
        nowait: true,
        ..Default::default()
    };
    send(&mut client, exchange::AMQPMethod::Bind(bind));
    let unbind = exchange::Unbind {
        destination: name.as_str().into(),
        source: "amq.fanout".into(),
        nowait: true,
        ..Default::default()
    };
    send(&mut client, exchange::AMQPMethod::Unbind(unbind));
    let delete = exchange::Delete { exchange: name.as_str().into(), if_unused: false, nowait: true };
    send(&mut client, exchange::AMQPMethod::Delete(delete));
    assert_eq!(client.leftovers(CH).unwrap(), []);
    client.exchange_passive(CH, &name).unwrap_err();
}

#[test]
fn line_ends_are_taken_out_of_names() {
    let mut client = open();
    let name = unique("x");
    let written = format!("\r\n{name}\n");
    client.declare_exchange(CH, declare(&written, "direct")).unwrap();
    client.exchange_passive(CH, &name).unwrap();
}

#[test]
fn a_name_may_have_255_bytes_of_any_language() {
    let mut client = open();
    let mut name = unique("обмен");
    name.push_str(&"x".repeat(255 - name.len()));
    client.declare_exchange(CH, declare(&name, "direct")).unwrap();
    let queue = queue(&mut client);
    client.bind(CH, &queue, &name, &name).unwrap();
    publish_to(&mut client, &name, &name, "arrived");
    let got = take(&mut client, &queue);
    assert_eq!((got.exchange, got.routing_key, got.body), (name.clone(), name, b"arrived".to_vec()));
}
