//! basic.get.

use crate::stage::*;

#[test]
fn get_tells_how_many_are_left() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    let got: Vec<_> = (0..3)
        .map(|_| {
            let got = take(&mut client, &name);
            (got.text(), got.delivery_tag, got.redelivered, got.exchange, got.routing_key, got.left)
        })
        .collect();
    let expected = |body: &str, tag, left| (body.to_owned(), tag, false, String::new(), name.clone(), Some(left));
    assert_eq!(got, [expected("a", 1, 2), expected("b", 2, 1), expected("c", 3, 0)]);
    assert_eq!(client.get(CH, &name, false), Ok(None));
}

#[test]
fn an_unknown_queue_is_refused() {
    let mut client = open();
    let text = "NOT_FOUND - no queue 'none of these' in vhost '/'";
    channel_refuses(&mut client, |client| client.get(CH, "none of these", true), (404, text), BASIC_GET);
}

#[test]
fn what_needs_no_ack_is_gone_but_has_a_tag() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b"]);
    assert_eq!(client.get(CH, &name, true).unwrap().unwrap().delivery_tag, 1);
    assert_eq!(take(&mut client, &name).delivery_tag, 2);
    client.ack(CH, 2, false).unwrap();
    let text = "PRECONDITION_FAILED - unknown delivery tag 1";
    channel_refuses(&mut client, |client| client.ack(CH, 1, false), (406, text), BASIC_ACK);
    assert_eq!(counts(&mut client, &name), (0, 0));
}

#[test]
fn prefetch_does_not_limit_it() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    client.qos(CH, 1, false).unwrap();
    client.qos(CH, 1, true).unwrap();
    let got = [take(&mut client, &name).text(), take(&mut client, &name).text(), take(&mut client, &name).text()];
    assert_eq!(got, ["a", "b", "c"]);
}

#[test]
fn it_works_beside_consumers_and_shares_their_tags() {
    let mut client = open();
    let name = queue_of(&mut client, &["a", "b", "c"]);
    client.qos(CH, 1, false).unwrap();
    client.consume(CH, &name, "", false).unwrap();
    let delivered = client.delivery().unwrap();
    let got = take(&mut client, &name);
    assert_eq!((delivered.text().as_str(), delivered.delivery_tag), ("a", 1));
    assert_eq!((got.text().as_str(), got.delivery_tag, got.left), ("b", 2, Some(1)));
    client.ack(CH, delivered.delivery_tag, false).unwrap();
    let next = client.delivery().unwrap();
    assert_eq!((next.text().as_str(), next.delivery_tag), ("c", 3));
}
