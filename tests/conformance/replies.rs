//! Direct reply-to (compat.md 2.2).

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

fn asks() -> BasicProperties {
    BasicProperties::default().with_reply_to(REPLY_TO.into()).with_correlation_id("1".into())
}

fn declare(name: &str) -> queue::Declare {
    queue::Declare { queue: name.into(), ..Default::default() }
}

/// A client that has asked and takes answers, the server that has its question, and the name to answer to.
fn asked() -> (Client, Client, String) {
    let (mut client, mut server) = (open(), open());
    let requests = queue(&mut server);
    client.consume(CH, REPLY_TO, "", true).unwrap();
    publish_with(&mut client, &requests, asks(), "question");
    let request = await_message(&mut server, &requests);
    let reply_to = request.parsed_properties().reply_to().clone().unwrap().to_string();
    (client, server, reply_to)
}

#[test]
fn an_answer_comes_straight_back() {
    let (mut client, mut server) = (open(), open());
    let requests = queue(&mut server);
    server.consume(CH, &requests, "", true).unwrap();
    client.consume(CH, REPLY_TO, "answers", true).unwrap();
    for round in 0..3 {
        publish_with(&mut client, &requests, asks(), "question");
        let request = server.delivery().unwrap();
        let properties = request.parsed_properties();
        let reply_to = properties.reply_to().clone().unwrap().to_string();
        assert!(reply_to.starts_with("amq.rabbitmq.reply-to.") && reply_to.len() > 40, "{reply_to}");
        assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "1");
        publish(&mut server, &reply_to, &format!("answer {round}"));
        let answer = client.delivery().unwrap();
        assert_eq!((answer.text(), answer.consumer_tag.as_str()), (format!("answer {round}"), "answers"));
        assert_eq!((answer.exchange.as_str(), answer.routing_key.as_str()), ("", reply_to.as_str()));
    }
}

#[test]
fn the_name_tells_whether_the_requester_is_there() {
    let (mut client, mut server, reply_to) = asked();
    let ok = server.declare(CH, declare(&reply_to)).unwrap();
    assert_eq!((ok.queue.as_str(), ok.message_count, ok.consumer_count), (reply_to.as_str(), 0, 1));
    assert_eq!(counts(&mut server, &reply_to), (0, 1));
    client.close().unwrap();
    let text = format!("NOT_FOUND - no queue '{reply_to}' in vhost '/'");
    channel_refuses(&mut server, |server| server.declare(CH, declare(&reply_to)), (404, &text), QUEUE_DECLARE);
    // An answer that comes too late counts as routed all the same; a name that is nobody's does not.
    server.publish_mandatory(CH, "", &reply_to, &BasicProperties::default(), b"late").unwrap();
    let nobody = format!("{REPLY_TO}.nobody");
    server.publish_mandatory(CH, "", &nobody, &BasicProperties::default(), b"lost").unwrap();
    let returned = server.returned().unwrap();
    assert_eq!((returned.code, returned.text.as_str(), returned.body.as_slice()), (312, "NO_ROUTE", &b"lost"[..]));
    assert_eq!(server.leftovers(CH).unwrap(), []);
}

#[test]
fn a_copy_may_be_an_answer() {
    let (mut client, mut server, reply_to) = asked();
    let audit = queue(&mut server);
    for (key, copy) in [(&reply_to, &audit), (&audit, &reply_to)] {
        let headers = table(&[("BCC", AMQPValue::FieldArray(vec![text(copy)].into()))]);
        let properties = BasicProperties::default().with_headers(headers);
        server.publish_mandatory(CH, "", key, &properties, b"answer").unwrap();
        assert_eq!(client.delivery().unwrap().text(), "answer");
        assert_eq!(await_message(&mut server, &audit).text(), "answer");
    }
    assert_eq!(server.leftovers(CH).unwrap(), []);
}

#[test]
fn what_is_refused() {
    let mut client = open();
    let name = queue(&mut client);
    let text = "PRECONDITION_FAILED - fast reply consumer does not exist";
    channel_refuses(&mut client, |client| client.publish(CH, "", &name, &asks(), b"m"), (406, text), BASIC_PUBLISH);
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    channel_refuses(&mut client, |client| client.consume(CH, REPLY_TO, "", false), (406, text), BASIC_CONSUME);
    client.consume(CH, REPLY_TO, "", true).unwrap();
    // Whether or not there is one.
    channel_refuses(&mut client, |client| client.consume(CH, REPLY_TO, "", false), (406, text), BASIC_CONSUME);
    client.consume(CH, REPLY_TO, "", true).unwrap();
    let text = "PRECONDITION_FAILED - reply consumer already set";
    channel_refuses(&mut client, |client| client.consume(CH, REPLY_TO, "", true), (406, text), BASIC_CONSUME);
    let text = "ACCESS_REFUSED - cannot bind or unbind to a volatile (direct reply-to) queue";
    channel_refuses(&mut client, |client| client.bind(CH, REPLY_TO, "amq.direct", "k"), (403, text), QUEUE_BIND);
    channel_refuses(&mut client, |client| client.unbind(CH, REPLY_TO, "amq.direct", "k"), (403, text), QUEUE_UNBIND);
}

#[test]
fn a_consumer_that_cancels_can_begin_again() {
    let mut client = open();
    client.consume(CH, REPLY_TO, "a", true).unwrap();
    client.cancel(CH, "a").unwrap();
    client.consume(CH, REPLY_TO, "b", true).unwrap();
    let name = queue(&mut client);
    publish_with(&mut client, &name, asks(), "to itself");
    let request = await_message(&mut client, &name);
    let reply_to = request.parsed_properties().reply_to().clone().unwrap().to_string();
    publish(&mut client, &reply_to, "answer");
    assert_eq!(client.delivery().unwrap().consumer_tag, "b");
}

#[test]
fn one_that_does_not_read_loses_answers_and_nothing_else() {
    let (mut client, mut server, reply_to) = asked();
    let body = "x".repeat(100_000);
    (0..500).for_each(|_| publish(&mut server, &reply_to, &body));
    server.sync(CH).unwrap();
    assert_eq!(client.delivery().unwrap().body.len(), body.len());
}

#[test]
fn copies_go_to_more_keys() {
    let mut client = open();
    let names: Vec<_> = (0..4).map(|_| queue(&mut client)).collect();
    let keys = |names: &[String]| AMQPValue::FieldArray(names.iter().map(|name| text(name)).collect::<Vec<_>>().into());
    let headers = table(&[("CC", keys(&names[1..3])), ("BCC", keys(&names[2..4])), ("k", number(1))]);
    publish_with(&mut client, &names[0], BasicProperties::default().with_headers(headers), "m");
    for name in &names {
        let got = take(&mut client, name);
        assert_eq!((got.text(), got.routing_key.as_str()), ("m".to_owned(), names[0].as_str()));
        assert_eq!(header(&got, "CC"), Some(keys(&names[1..3])));
        assert_eq!((header(&got, "BCC"), header(&got, "k")), (None, Some(number(1))));
        assert_eq!(counts(&mut client, name), (0, 0), "one copy each");
    }
    // The next message without them goes to its own key only.
    publish(&mut client, &names[0], "alone");
    assert_eq!(counts(&mut client, &names[1]), (0, 0));
    for key in ["CC", "BCC"] {
        let headers = table(&[(key, text(&names[1]))]);
        let properties = BasicProperties::default().with_headers(headers);
        let refusal =
            format!("PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,\"{key}\",longstr}}");
        channel_refuses(
            &mut client,
            |client| client.publish(CH, "", &names[0], &properties, b"m"),
            (406, &refusal),
            BASIC_PUBLISH,
        );
    }
}

#[test]
fn a_copys_key_alone_is_a_route() {
    let mut client = open();
    let name = queue(&mut client);
    let headers = table(&[("BCC", AMQPValue::FieldArray(vec![text(&name)].into()))]);
    let properties = BasicProperties::default().with_headers(headers);
    client.publish_mandatory(CH, "", "no-such-queue", &properties, b"m").unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(drain(&mut client, &name), ["m"]);
}
