//! basic.publish: its checks in order, returns, and what arrives.

use crate::stage::*;
use crate::support::*;

fn publish_with(
    client: &mut Client,
    publish: basic::Publish,
    properties: &BasicProperties,
    size: u64,
) -> Result<(), Error> {
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)))?;
    let mut header = vec![0, 60, 0, 0];
    header.extend(size.to_be_bytes());
    header.extend(encode_properties(properties));
    client.send_frame(2, CH, &header)
}

fn to(exchange: &str, key: &str) -> basic::Publish {
    basic::Publish { exchange: exchange.into(), routing_key: key.into(), ..Default::default() }
}

#[test]
fn immediate_is_not_implemented() {
    let mut client = open();
    let immediate = basic::Publish { immediate: true, ..to("none of these", "k") };
    let send = |client: &mut Client| publish_with(client, immediate, &BasicProperties::default(), 0);
    connection_refuses(&mut client, send, (540, "NOT_IMPLEMENTED - immediate=true"), BASIC_PUBLISH);
}

#[test]
fn an_unknown_exchange_is_refused() {
    let mut client = open();
    let text = "NOT_FOUND - no exchange 'none of these' in vhost '/'";
    let send = |client: &mut Client| publish_with(client, to("none of these", "k"), &BasicProperties::default(), 0);
    channel_refuses(&mut client, send, (404, text), BASIC_PUBLISH);
}

#[test]
fn a_message_that_is_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[limits]\nmax_message_size = \"1000B\"\nframe_max = 4096\n");
    let mut client = open_at(broker.addr);
    let name = queue(&mut client);
    publish(&mut client, &name, &"x".repeat(1000));
    let text = "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000";
    let send = |client: &mut Client| client.publish(CH, "", &name, &BasicProperties::default(), &[0; 1001]);
    channel_refuses(&mut client, send, (406, text), BASIC_PUBLISH);
    assert_eq!(drain(&mut client, &name), ["x".repeat(1000)]);
}

#[test]
fn the_default_size_limit_is_16_mib() {
    let mut client = open();
    let text = "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216";
    // The body is not waited for.
    let send = |client: &mut Client| publish_with(client, to("", "k"), &BasicProperties::default(), 16_777_217);
    channel_refuses(&mut client, send, (406, text), BASIC_PUBLISH);
}

#[test]
fn checks_come_in_order() {
    let mut client = open();
    let internal = unique("x");
    let declare = exchange::Declare {
        exchange: internal.as_str().into(),
        kind: "direct".into(),
        internal: true,
        ..Default::default()
    };
    client.declare_exchange(CH, declare).unwrap();
    let faulty = BasicProperties::default().with_expiration("soon".into()).with_user_id("nobody".into());
    let nobody = BasicProperties::default().with_user_id("nobody".into());
    let asks = faulty.clone().with_reply_to("amq.rabbitmq.reply-to".into());
    let mut headers = FieldTable::default();
    headers.insert("CC".into(), AMQPValue::LongString("no list".into()));
    let (copies, expires) = (nobody.clone().with_headers(headers.clone()), faulty.clone().with_headers(headers));
    let too_large = 16_777_217;
    let refusals = [
        (
            to("none of these", "k"),
            &faulty,
            too_large,
            406,
            "PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216".to_owned(),
        ),
        (to("none of these", "k"), &faulty, 0, 404, "NOT_FOUND - no exchange 'none of these' in vhost '/'".to_owned()),
        (
            to(&internal, "k"),
            &faulty,
            0,
            403,
            format!("ACCESS_REFUSED - cannot publish to internal exchange '{internal}' in vhost '/'"),
        ),
        (to("amq.direct", "k"), &asks, 0, 406, "PRECONDITION_FAILED - fast reply consumer does not exist".to_owned()),
        (
            to("amq.direct", "k"),
            &expires,
            0,
            406,
            "PRECONDITION_FAILED - invalid expiration 'soon': no_integer".to_owned(),
        ),
        (
            to("amq.direct", "k"),
            &copies,
            0,
            406,
            "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}".to_owned(),
        ),
        (
            to("amq.direct", "k"),
            &nobody,
            0,
            406,
            "PRECONDITION_FAILED - user_id property set to 'nobody' but authenticated user was 'guest'".to_owned(),
        ),
    ];
    for (publish, properties, size, code, text) in refusals {
        let send = |client: &mut Client| publish_with(client, publish, properties, size);
        channel_refuses(&mut client, send, (code, &text), BASIC_PUBLISH);
    }
}

#[test]
fn what_is_published_behind_an_error_is_dropped() {
    let mut client = open();
    client.open_channel(2).unwrap();
    let name = queue(&mut client);
    publish(&mut client, &name, "before");
    publish_to(&mut client, "none of these", "k", "wrong");
    publish(&mut client, &name, "behind");
    assert_eq!(client.closed(CH).unwrap().code, 404);
    client.open_channel(CH).unwrap();
    assert_eq!(drain(&mut client, &name), ["before"]);
}

#[test]
fn what_cannot_be_routed_is_dropped_or_returned() {
    let mut client = open();
    let (exchange, key) = (exchange(&mut client, "direct"), unique("key"));
    let properties = BasicProperties::default().with_message_id("7".into()).with_delivery_mode(2);
    publish_to(&mut client, &exchange, &key, "dropped");
    client.publish_mandatory(CH, &exchange, &key, &properties, b"returned").unwrap();
    client.publish_mandatory(CH, "", &key, &BasicProperties::default(), b"").unwrap();
    let first = client.recv().unwrap().returned().expect("basic.return");
    let expected = Returned {
        channel: CH,
        code: 312,
        text: "NO_ROUTE".to_owned(),
        exchange,
        routing_key: key.clone(),
        properties: encode_properties(&properties),
        body: b"returned".to_vec(),
    };
    assert_eq!(first, expected);
    let second = client.recv().unwrap().returned().expect("basic.return");
    assert_eq!((second.exchange, second.routing_key, second.body), (String::new(), key, Vec::new()));
    assert_eq!(client.leftovers(CH).unwrap(), []);
}

#[test]
fn what_can_be_routed_is_not_returned() {
    let mut client = open();
    let name = queue(&mut client);
    client.publish_mandatory(CH, "", &name, &BasicProperties::default(), b"routed").unwrap();
    assert_eq!(client.leftovers(CH).unwrap(), []);
    assert_eq!(drain(&mut client, &name), ["routed"]);
}

#[test]
fn a_large_message_is_returned_whole() {
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = open_with(addr(), &options);
    let body: Vec<u8> = (0..100_000_u32).map(|i| (i % 253) as u8).collect();
    client.publish_mandatory(CH, "", &unique("key"), &BasicProperties::default(), &body).unwrap();
    assert_eq!(client.returned().unwrap().body, body);
}

/// All fourteen properties, and a header table as no library writes it: a key twice, odd order, every tag of the
/// dialect.
fn rich_properties() -> Vec<u8> {
    let mut table = Vec::new();
    let mut field = |key: &str, bytes: &[u8]| {
        table.push(u8::try_from(key.len()).unwrap());
        table.extend(key.as_bytes());
        table.extend(bytes);
    };
    field("twice", b"S\0\0\0\x05first");
    field("z", b"t\x07");
    field("a", b"b\xff");
    field("u8", b"B\xff");
    field("i16", b"s\xff\xfe");
    field("u16", b"u\xff\xfe");
    field("i32", b"I\xff\xff\xff\xfe");
    field("u32", b"i\xff\xff\xff\xfe");
    field("i64", b"l\xff\xff\xff\xff\xff\xff\xff\xfe");
    field("i64 too", b"L\xff\xff\xff\xff\xff\xff\xff\xfe");
    field("float", b"f\x7f\xc0\x00\x01");
    field("double", b"d\x7f\xf8\0\0\0\0\0\x01");
    field("decimal", b"D\x02\xff\xff\xff\xff");
    field("not text", b"S\0\0\0\x02\xff\xfe");
    field("array", b"A\0\0\0\x08t\x01VS\0\0\0\0");
    field("time", b"T\xff\xff\xff\xff\xff\xff\xff\xff");
    field("table", b"F\0\0\0\x0e\x01kI\0\0\0\x01\x01kI\0\0\0\x02");
    field("void", b"V");
    field("bytes", b"x\0\0\0\x03\0\x01\x02");
    field("", b"S\0\0\0\0");
    field("twice", b"I\0\0\0\x02");
    let mut bytes = vec![0xFF, 0xFC];
    bytes.extend(b"\x0aimage/jpeg\x04gzip");
    bytes.extend(u32::try_from(table.len()).unwrap().to_be_bytes());
    bytes.extend(table);
    // Delivery mode 1, priority 9, an hour to live.
    bytes.extend(b"\x01\x09\x0bcorrelation\x05reply\x073600000");
    bytes.extend(b"\x02id\xff\xff\xff\xff\xff\xff\xff\xff\x04type\x05guest\x03app\x07cluster");
    bytes
}

#[test]
fn properties_arrive_byte_for_byte() {
    let mut client = open();
    let name = queue(&mut client);
    let unusual: [Vec<u8>; 4] = [
        vec![0, 0],
        rich_properties(),
        // A field with a tag that nobody knows.
        b"\x20\0\0\0\0\x08\x03odd?\x01\x02\x03".to_vec(),
        // An empty table; a persistent mode that is none.
        b"\x30\0\0\0\0\0\x07".to_vec(),
    ];
    for properties in unusual {
        for by_consumer in [false, true] {
            client.publish_raw(CH, to("", &name), &properties, b"body").unwrap();
            let delivery = if by_consumer {
                let tag = client.consume(CH, &name, "", true).unwrap();
                let delivery = client.delivery().unwrap();
                client.cancel(CH, &tag).unwrap();
                delivery
            } else {
                client.get(CH, &name, true).unwrap().unwrap()
            };
            assert_eq!((delivery.properties, delivery.body), (properties.clone(), b"body".to_vec()));
        }
    }
}

#[test]
fn messages_of_a_channel_keep_their_order() {
    let (mut publisher, mut consumer) = (open(), open());
    let name = queue(&mut publisher);
    consumer.consume(CH, &name, "", true).unwrap();
    for number in 0..20_000_u32 {
        publisher.publish(CH, "", &name, &BasicProperties::default(), &number.to_be_bytes()).unwrap();
    }
    for number in 0..20_000_u32 {
        let delivery = consumer.delivery().unwrap();
        assert_eq!((delivery.body, delivery.delivery_tag), (number.to_be_bytes().to_vec(), u64::from(number) + 1));
    }
}

#[test]
fn connections_publish_and_consume_at_once() {
    const EACH: u32 = 5000;
    let mut client = open();
    let (there, back) = (queue(&mut client), queue(&mut client));
    let echo = |from: String, to: String, starts: bool| {
        let mut client = open();
        client.qos(CH, 200, false).unwrap();
        client.consume(CH, &from, "", false).unwrap();
        let send = |client: &mut Client, number: u32| {
            client.publish(CH, "", &to, &BasicProperties::default(), &number.to_be_bytes()).unwrap();
        };
        if starts {
            (0..EACH).for_each(|number| send(&mut client, number));
        }
        for number in 0..EACH {
            let delivery = client.delivery().unwrap();
            assert_eq!(delivery.body, number.to_be_bytes());
            client.ack(CH, delivery.delivery_tag, false).unwrap();
            if !starts {
                send(&mut client, number);
            }
        }
        client.sync(CH).unwrap();
        client.close().unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| echo(there.clone(), back.clone(), false));
        scope.spawn(|| echo(back.clone(), there.clone(), true));
    });
    assert_eq!((counts(&mut client, &there), counts(&mut client, &back)), ((0, 0), (0, 0)));
}

#[test]
fn names_that_are_no_text_are_a_syntax_error() {
    let mut client = open();
    let payload = b"\0\x3c\0\x28\0\0\x02\xff\xfe\x01k\0";
    client.send_frame(1, CH, payload).unwrap();
    client.send_frame(2, CH, &crate::framing::content_header(60, 0, 0)).unwrap();
    let closed = client.closed(CH).unwrap();
    assert_eq!((closed.scope, closed.code), (Scope::Connection, 502), "{closed:?}");
}
