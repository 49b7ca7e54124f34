//! Ways from exchange to exchange (compat.md 1.7, 2.2): bindings in circles, exchanges that go with their last binding,
//! alternates, copies.

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

fn declared(client: &mut Client, declare: exchange::Declare) -> String {
    let name = unique("x");
    client.declare_exchange(CH, exchange::Declare { exchange: name.as_str().into(), ..declare }).expect("an exchange");
    name
}

fn with_alternate(kind: &str, alternate: &str) -> exchange::Declare {
    let arguments = table(&[("alternate-exchange", text(alternate))]);
    exchange::Declare { kind: kind.into(), arguments, ..Default::default() }
}

fn is_gone(client: &mut Client, name: &str) {
    let text = format!("NOT_FOUND - no exchange '{name}' in vhost '/'");
    channel_refuses(client, |client| client.exchange_passive(CH, name), (404, &text), EXCHANGE_DECLARE);
}

#[test]
fn bindings_in_a_circle_deliver_once() {
    let mut client = open();
    let names: Vec<String> = (0..3).map(|_| exchange(&mut client, "fanout")).collect();
    let queues: Vec<String> = (0..3).map(|_| queue(&mut client)).collect();
    for at in 0..3 {
        client.bind_exchange(CH, &names[(at + 1) % 3], &names[at], "").unwrap();
        client.bind_exchange(CH, &names[at], &names[at], "itself").unwrap();
        client.bind(CH, &queues[at], &names[at], "").unwrap();
        client.bind(CH, &queues[0], &names[at], "once more").unwrap();
    }
    for name in &names {
        publish_to(&mut client, name, "k", name);
    }
    for queue in &queues {
        assert_eq!(drain(&mut client, queue), *names);
    }
}

#[test]
fn the_key_stays_and_each_exchange_reads_it_its_own_way() {
    let mut client = open();
    let (topic, direct, queue) = (exchange(&mut client, "topic"), exchange(&mut client, "direct"), queue(&mut client));
    client.bind_exchange(CH, &direct, &topic, "a.*").unwrap();
    client.bind(CH, &queue, &direct, "a.b").unwrap();
    for key in ["a.b", "a.c", "b"] {
        publish_to(&mut client, &topic, key, key);
    }
    let got = take(&mut client, &queue);
    assert_eq!((got.exchange, got.routing_key, got.body), (topic, "a.b".to_owned(), b"a.b".to_vec()));
    client.ack(CH, got.delivery_tag, false).unwrap();
    assert_eq!(drain(&mut client, &queue), Vec::<String>::new());
}

#[test]
fn auto_delete_exchanges_go_one_after_the_other() {
    let mut client = open();
    let auto = || exchange::Declare { kind: "fanout".into(), auto_delete: true, ..Default::default() };
    let (first, second, third) =
        (declared(&mut client, auto()), declared(&mut client, auto()), declared(&mut client, auto()));
    let queue = queue(&mut client);
    client.bind_exchange(CH, &second, &first, "").unwrap();
    client.bind_exchange(CH, &third, &second, "").unwrap();
    client.bind(CH, &queue, &third, "").unwrap();
    publish_to(&mut client, &first, "", "m");
    assert_eq!(drain(&mut client, &queue), ["m"]);
    client.delete_queue(CH, &queue).unwrap();
    // The third lost its last binding, with it the second its last one, and so on.
    [third, second, first].iter().for_each(|name| is_gone(&mut client, name));
}

#[test]
fn an_alternate_is_asked_when_nothing_else_is_found_and_asks_its_own() {
    let mut client = open();
    let last = exchange(&mut client, "fanout");
    let middle = declared(&mut client, with_alternate("direct", &last));
    let first = declared(&mut client, with_alternate("topic", &middle));
    let queues = [queue(&mut client), queue(&mut client), queue(&mut client)];
    client.bind(CH, &queues[0], &first, "first.#").unwrap();
    client.bind(CH, &queues[1], &middle, "middle").unwrap();
    client.bind(CH, &queues[2], &last, "").unwrap();
    for key in ["first.a", "middle", "other"] {
        client.publish_mandatory(CH, &first, key, &BasicProperties::default(), key.as_bytes()).unwrap();
    }
    for (queue, key) in queues.iter().zip(["first.a", "middle", "other"]) {
        assert_eq!(drain(&mut client, queue), [key]);
    }
    assert_eq!(client.leftovers(CH).unwrap(), [], "all were routed");
    client.delete_queue(CH, &queues[2]).unwrap();
    client.publish_mandatory(CH, &first, "other", &BasicProperties::default(), b"x").unwrap();
    assert_eq!(client.returned().unwrap().code, 312);
    // A missing alternate, and alternates in a circle, are the end of the way.
    client.delete_exchange(CH, &middle).unwrap();
    client.publish_mandatory(CH, &first, "other", &BasicProperties::default(), b"x").unwrap();
    assert_eq!(client.returned().unwrap().code, 312);
    let circle = exchange::Declare { exchange: middle.as_str().into(), ..with_alternate("direct", &first) };
    client.declare_exchange(CH, circle).unwrap();
    client.publish_mandatory(CH, &first, "other", &BasicProperties::default(), b"x").unwrap();
    assert_eq!(client.returned().unwrap().code, 312);
}

#[test]
fn an_alternate_is_text_and_part_of_what_is_compared() {
    let mut client = open();
    let name = declared(&mut client, with_alternate("direct", "amq.fanout"));
    let other = exchange::Declare { exchange: name.as_str().into(), ..with_alternate("direct", "amq.topic") };
    let text = format!(
        "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange '{name}' in vhost '/': received \
         'amq.topic' but current is 'amq.fanout'"
    );
    channel_refuses(&mut client, |client| client.declare_exchange(CH, other), (406, &text), EXCHANGE_DECLARE);
    let fresh = unique("x");
    let arguments = table(&[("alternate-exchange", number(5))]);
    let wrong =
        exchange::Declare { exchange: fresh.as_str().into(), kind: "direct".into(), arguments, ..Default::default() };
    let refused = client.declare_exchange(CH, wrong).unwrap_err().closed();
    assert_eq!((refused.code, refused.scope), (406, Scope::Channel));
}

#[test]
fn internal_exchanges_take_alternates_and_dead_letters() {
    let mut client = open();
    let inner =
        declared(&mut client, exchange::Declare { kind: "fanout".into(), internal: true, ..Default::default() });
    let queue = queue(&mut client);
    client.bind(CH, &queue, &inner, "").unwrap();
    let outer = declared(&mut client, with_alternate("direct", &inner));
    publish_to(&mut client, &outer, "none", "alternate");
    let source = queue_with(&mut client, &[("x-dead-letter-exchange", text(&inner)), ("x-max-length", number(0))]);
    publish(&mut client, &source, "dead");
    assert_eq!(await_message(&mut client, &queue).text(), "alternate");
    assert_eq!(await_message(&mut client, &queue).text(), "dead");
}

#[test]
fn copies_count_for_the_alternate_as_one_message() {
    let mut client = open();
    let fallback = queue(&mut client);
    let last = exchange(&mut client, "fanout");
    client.bind(CH, &fallback, &last, "").unwrap();
    let name = declared(&mut client, with_alternate("direct", &last));
    let target = queue(&mut client);
    client.bind(CH, &target, &name, "known").unwrap();
    let copies = |key: &str, more: &str| {
        let keys = AMQPValue::FieldArray(vec![text(more)].into());
        BasicProperties::default().with_headers(table(&[(key, keys)]))
    };
    client.publish(CH, &name, "unknown", &copies("CC", "known"), b"by copy").unwrap();
    client.publish(CH, &name, "unknown", &copies("BCC", "unknown too"), b"nowhere").unwrap();
    assert_eq!(drain(&mut client, &target), ["by copy"]);
    assert_eq!(drain(&mut client, &fallback), ["nowhere"], "once, though two keys led nowhere");
}
