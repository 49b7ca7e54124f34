//! The committed corpus, made by hand: every method and table tag, publishes of several shapes, conversations, and one
//! input for each class of advisory that brokers have had (all their names begin with `cve-`).

use crate::connection::operations::Op;
use crate::connection::{OPEN_RAW, OPERATIONS, RAW};
use warren::value::{Table, Value};
use warren::wire::frame::{FrameKind, PROTOCOL_HEADER};
use warren::wire::output::{write_content, write_frame};
use warren::wire::properties::PropertiesBuilder;

type Seeds = Vec<(String, Vec<u8>)>;

const FRAMES: u8 = 0;
const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;
const TABLE: u8 = 3;

/// Every method: class, method, and its fields (see [`fields`]).
#[rustfmt::skip]
const METHODS: &[(u16, u16, &str)] = &[
    (10, 10, "ooFTT"), (10, 11, "FtTt"), (10, 20, "T"), (10, 21, "T"), (10, 30, "sls"), (10, 31, "sls"), (10, 40, "vto"),
    (10, 41, "t"), (10, 50, "stss"), (10, 51, ""), (10, 60, "t"), (10, 61, ""), (10, 70, "Tt"), (10, 71, ""),
    (20, 10, "t"), (20, 11, "T"), (20, 20, "o"), (20, 21, "o"), (20, 40, "stss"), (20, 41, ""),
    (30, 10, "to"), (30, 11, "s"),
    (40, 10, "sttoF"), (40, 11, ""), (40, 20, "sto"), (40, 21, ""), (40, 30, "stttoF"), (40, 31, ""),
    (40, 40, "stttoF"), (40, 51, ""),
    (50, 10, "stoF"), (50, 11, "tll"), (50, 20, "stttoF"), (50, 21, ""), (50, 30, "sto"), (50, 31, "l"),
    (50, 40, "sto"), (50, 41, "l"), (50, 50, "stttF"), (50, 51, ""),
    (60, 10, "lso"), (60, 11, ""), (60, 20, "sttoF"), (60, 21, "t"), (60, 30, "to"), (60, 31, "t"), (60, 40, "stto"),
    (60, 50, "sttt"), (60, 60, "tLott"), (60, 70, "sto"), (60, 71, "Lottl"), (60, 72, "t"), (60, 80, "Lo"),
    (60, 90, "Lo"), (60, 100, "o"), (60, 110, "o"), (60, 111, ""), (60, 120, "Lo"),
    (85, 10, "o"), (85, 11, ""),
    (90, 10, ""), (90, 11, ""), (90, 20, ""), (90, 21, ""), (90, 30, ""), (90, 31, ""),
];

/// Fields with values: o, s, l, L octet to long long; t, v short string; T long string; F table.
fn fields(kinds: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for kind in kinds.chars() {
        match kind {
            'o' => out.push(1),
            's' => out.extend_from_slice(&[0, 10]),
            'l' => out.extend_from_slice(&[0, 0, 0, 10]),
            'L' => out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 10]),
            't' => out.extend_from_slice(b"\x02q0"),
            'v' => out.extend_from_slice(b"\x01/"),
            'T' => out.extend_from_slice(b"\0\0\0\x04text"),
            _ => tags().encode(&mut out),
        }
    }
    out
}

/// A table with every tag.
fn tags() -> Table {
    let inner: Table = [("n", Value::U8(1))].into_iter().collect();
    let values = vec![
        ("t", Value::Bool(true)),
        ("b", Value::I8(-1)),
        ("B", Value::U8(255)),
        ("s", Value::I16(-2)),
        ("u", Value::U16(65_535)),
        ("I", Value::I32(-3)),
        ("i", Value::U32(u32::MAX)),
        ("l", Value::I64(i64::MIN)),
        ("f", Value::F32(0.5)),
        ("d", Value::F64(f64::NAN)),
        ("D", Value::Decimal { scale: 2, value: 12_345 }),
        ("S", Value::LongString(b"text".to_vec())),
        ("A", Value::Array(vec![Value::Void, Value::Array(Vec::new()), Value::Table(inner.clone())])),
        ("T", Value::Timestamp(1_700_000_000)),
        ("F", Value::Table(inner)),
        ("V", Value::Void),
        ("x", Value::Bytes(vec![0, 255])),
        ("x", Value::Bytes(Vec::new())),
    ];
    values.into_iter().collect()
}

fn payload(class: u16, method: u16, fields: &[u8]) -> Vec<u8> {
    [&class.to_be_bytes()[..], &method.to_be_bytes(), fields].concat()
}

fn frame(kind: FrameKind, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, kind, channel, payload);
    out
}

fn method(channel: u16, class: u16, method: u16, fields: &[u8]) -> Vec<u8> {
    frame(FrameKind::Method, channel, &payload(class, method, fields))
}

/// `levels` arrays within one another, as the value of a table's one field.
fn nested(levels: u32) -> Vec<u8> {
    let mut out = b"\x01a".to_vec();
    for level in (0..levels).rev() {
        out.push(b'A');
        out.extend_from_slice(&(level * 5).to_be_bytes());
    }
    out
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn start_ok(properties: &[u8]) -> Vec<u8> {
    [&long(properties)[..], b"\x05PLAIN", &long(b"\0guest\0guest"), b"\x05en_US"].concat()
}

/// A publish to `q0` by the default exchange.
fn publish(properties: &PropertiesBuilder<'_>, body: &[u8], frame_max: u32) -> Vec<u8> {
    let mut out = method(1, 60, 40, b"\0\0\0\x02q0\0");
    write_content(&mut out, 1, &properties.content_header(body.len() as u64), body, frame_max);
    out
}

fn all_properties() -> PropertiesBuilder<'static> {
    PropertiesBuilder {
        content_type: Some(b"text/plain"),
        content_encoding: Some(b"utf-8"),
        headers: Some(tags()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: Some(b"c"),
        reply_to: Some(b"amq.rabbitmq.reply-to"),
        expiration: Some(b"60000"),
        message_id: Some(b"m"),
        timestamp: Some(1_700_000_000),
        message_type: Some(b"t"),
        user_id: Some(b"guest"),
        app_id: Some(b"a"),
        cluster_id: Some(b"k"),
    }
}

/// Seeds of the decoder.
pub fn decoder() -> Seeds {
    let mut seeds = Seeds::new();
    let mut add = |name: &str, reader: u8, bytes: &[u8]| seeds.push((name.to_owned(), [&[reader], bytes].concat()));
    let nested_start = |levels| payload(10, 11, &start_ok(&nested(levels)));
    add("00-nested-20000", METHOD, &nested_start(20_000));
    add("cve-nested-32", METHOD, &nested_start(32));
    add("cve-nested-33", METHOD, &nested_start(33));
    add("cve-nested-table-20000", TABLE, &nested(20_000));
    for (class, number, kinds) in METHODS {
        add(&format!("method-{class}-{number}"), METHOD, &payload(*class, *number, &fields(kinds)));
    }
    let mut content = Vec::new();
    tags().encode_content(&mut content);
    add("table-tags", TABLE, &content);
    add("table-tag-L", TABLE, b"\x01LL\0\0\0\0\0\0\0\x01\x01ttT");
    add("table-empty", TABLE, b"");
    add("table-key-not-text", TABLE, b"\x02\xFF\xFEV");
    add("cve-zero-width-array", TABLE, b"\x01aA\0\0\0\x08VVVVVVVV");
    add("cve-long-string-4-gib", TABLE, b"\x01aS\xFF\xFF\xFF\xFFabc");
    add("cve-array-4-gib", TABLE, b"\x01aA\xFF\xFF\xFF\xFFabc");
    add("cve-table-longer-than-outer", TABLE, b"\x01aF\0\0\0\x08\x01bF\0\0\0\xFF");
    add("content-all", CONTENT_HEADER, &all_properties().content_header(5));
    add("content-none", CONTENT_HEADER, &PropertiesBuilder::default().content_header(0));
    add("content-second-flags", CONTENT_HEADER, b"\0\x3C\0\0\0\0\0\0\0\0\0\x05\0\x01\0\0");
    add("cve-body-4-gib", CONTENT_HEADER, b"\0\x3C\0\0\0\0\0\x01\0\0\0\0\0\0");
    add("cve-body-endless", CONTENT_HEADER, b"\0\x3C\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0");
    add("cve-short-string-overflow", METHOD, b"\0\x3C\0\x28\0\0\xFFexchange");
    add("cve-long-string-overflow", METHOD, b"\0\x0A\0\x14\xFF\xFF\xFF\xFFchallenge");
    let stream = [
        publish(&all_properties(), b"hello", 4096),
        publish(&PropertiesBuilder::default(), &[7; 20], 18),
        publish(&PropertiesBuilder::default(), b"", 4096),
        frame(FrameKind::Heartbeat, 0, &[]),
        method(1, 60, 80, b"\0\0\0\0\0\0\0\x01\x01"),
    ];
    add("frames-publish", FRAMES, &stream.concat());
    add("frames-protocol-header", FRAMES, PROTOCOL_HEADER);
    add("frames-protocol-header-0-9", FRAMES, b"AMQP\x01\x01\0\x09");
    add("cve-frame-4-gib", FRAMES, b"\x01\0\x01\xFF\xFF\xFF\xFFabc");
    add("cve-frame-too-large", FRAMES, &frame(FrameKind::Body, 1, &[0; 5000]));
    add("cve-frame-end", FRAMES, b"\x01\0\x01\0\0\0\x04\0\x0A\0\x33\xCD");
    add("cve-frames-empty", FRAMES, &[b"\x01\0\x01\0\0\0\0\xCE", &b"\x03\0\x01\0\0\0\0\xCE".repeat(8)[..]].concat());
    add("cve-frame-kind", FRAMES, b"\x04\0\0\0\0\0\0\xCE");
    add("cve-heartbeat-on-channel", FRAMES, b"\x08\0\x01\0\0\0\0\xCE");
    seeds
}

/// Seeds of the connection.
pub fn connection() -> Seeds {
    let mut seeds = Seeds::new();
    let raw = |bytes: Vec<u8>| [&[RAW, 0, 0][..], &bytes].concat();
    let conversation = [handshake(131_072), conversation()].concat();
    seeds.push(("01-conversation".to_owned(), raw(conversation.clone())));
    seeds.push(("01-conversation-by-bytes".to_owned(), [&[RAW, 0, 1], &conversation[..]].concat()));
    for (name, bytes) in before_login() {
        seeds.push((name.to_owned(), raw(bytes)));
    }
    for (name, bytes) in after_login() {
        seeds.push((name.to_owned(), [&[OPEN_RAW, 0, 0][..], &bytes].concat()));
    }
    for (name, options, operations) in operations() {
        seeds.push((name.to_owned(), [&[OPERATIONS, options][..], &operations.concat()].concat()));
    }
    seeds
}

fn handshake(frame_max: u32) -> Vec<u8> {
    let mut properties = Vec::new();
    let capabilities: Table = [("authentication_failure_close", true)].into_iter().collect();
    [("capabilities", Value::Table(capabilities)), ("connection_name", Value::from("seed"))]
        .into_iter()
        .collect::<Table>()
        .encode_content(&mut properties);
    [
        PROTOCOL_HEADER.to_vec(),
        method(0, 10, 11, &start_ok(&properties)),
        method(0, 10, 31, &[b"\0\x03", &frame_max.to_be_bytes()[..], b"\0\x3C"].concat()),
        method(0, 10, 40, b"\x01/\0\0"),
        method(1, 20, 10, b"\0"),
    ]
    .concat()
}

/// Declare, bind, publish, consume, get, ack, close.
fn conversation() -> Vec<u8> {
    [
        method(1, 85, 10, b"\0"),
        method(1, 40, 10, b"\0\0\x02e0\x05topic\x02\0\0\0\0"),
        method(1, 50, 10, b"\0\0\x02q0\x02\0\0\0\0"),
        method(1, 50, 20, b"\0\0\x02q0\x02e0\x03a.#\0\0\0\0\0"),
        method(1, 60, 10, b"\0\0\0\0\0\x02\0"),
        publish(&all_properties(), b"hello", 4096),
        publish(&PropertiesBuilder { delivery_mode: Some(2), ..Default::default() }, &[1; 9000], 4096),
        publish(&PropertiesBuilder::default(), b"", 4096),
        method(1, 60, 20, b"\0\0\x02q0\x01t\0\0\0\0\0"),
        method(1, 60, 80, b"\0\0\0\0\0\0\0\x01\0"),
        method(1, 60, 120, b"\0\0\0\0\0\0\0\x02\x02"),
        method(1, 60, 30, b"\x01t\0"),
        method(1, 60, 70, b"\0\0\x02q0\0"),
        method(1, 60, 110, b"\x01"),
        method(1, 20, 40, b"\0\xC8\0\0\0\0\0"),
        method(0, 10, 50, b"\0\xC8\0\0\0\0\0"),
    ]
    .concat()
}

/// What a client can do that has not logged in.
fn before_login() -> Vec<(&'static str, Vec<u8>)> {
    let header = PROTOCOL_HEADER.to_vec();
    let after = |bytes: &[u8]| [&header[..], bytes].concat();
    let started = |properties: &[u8]| after(&method(0, 10, 11, &start_ok(properties)));
    vec![
        ("raw-protocol-amqp-1-0", b"AMQP\0\x01\0\0".to_vec()),
        ("raw-protocol-tls", b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03".to_vec()),
        ("raw-protocol-http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("cve-nested-before-login", started(&nested(1600))),
        ("00-nested-20000", started(&nested(20_000))),
        ("cve-frame-4-gib-before-login", after(b"\x01\0\0\xFF\xFF\xFF\xFF")),
        ("cve-long-string-before-login", after(&method(0, 10, 11, b"\xFF\xFF\xFF\xFF\x01a"))),
        ("cve-open-before-login", after(&method(0, 10, 40, b"\x01/\0\0"))),
        ("cve-publish-before-login", after(&publish(&PropertiesBuilder::default(), b"x", 4096))),
        ("cve-tune-before-start", after(&method(0, 10, 31, b"\0\x03\0\x02\0\0\0\x3C"))),
        ("cve-login-twice", [handshake(131_072), method(0, 10, 11, &start_ok(b""))].concat()),
        ("cve-tune-frame-max-1", [&handshake(1)[..], &conversation()].concat()),
        ("cve-tune-unlimited", [&handshake(0)[..], &conversation()].concat()),
        ("cve-wrong-password", after(&method(0, 10, 11, b"\0\0\0\0\x05PLAIN\0\0\0\x0A\0guest\0bad\x05en_US"))),
        ("cve-amqplain-garbage", after(&method(0, 10, 11, b"\0\0\0\0\x08AMQPLAIN\0\0\0\x07\x05LOGINS\xFF\x05en_US"))),
    ]
}

/// What a client can do that has logged in: after a handshake with channel 1 open.
fn after_login() -> Vec<(&'static str, Vec<u8>)> {
    let declare = method(1, 50, 10, b"\0\0\x02q0\0\0\0\0\0");
    let begin = method(1, 60, 40, b"\0\0\0\x02q0\0");
    let header = |size| frame(FrameKind::Header, 1, &PropertiesBuilder::default().content_header(size));
    let body = |bytes: &[u8]| frame(FrameKind::Body, 1, bytes);
    let arguments = |levels| method(1, 50, 10, &[b"\0\0\x02q0\0", &long(&nested(levels))[..]].concat());
    vec![
        ("cve-nested-in-declare", arguments(20_000)),
        ("cve-nested-in-headers", {
            let properties = [b"\x20\0", &long(&nested(20_000))[..]].concat();
            let header = [b"\0\x3C\0\0\0\0\0\0\0\0\0\0", &properties[..]].concat();
            [begin.clone(), frame(FrameKind::Header, 1, &header)].concat()
        }),
        ("cve-frame-too-large", body(&[0; 131_073])),
        ("cve-body-longer-than-announced", [begin.clone(), header(3), body(b"four")].concat()),
        ("cve-body-endless", [begin.clone(), header(u64::MAX), body(&[0; 100])].concat()),
        ("cve-body-4-gib", [begin.clone(), header(1 << 32), body(&[0; 100])].concat()),
        ("cve-body-too-large", [begin.clone(), header(65_537), body(&[0; 100])].concat()),
        ("cve-body-empty-frames", [begin.clone(), header(1), body(b"").repeat(50), body(b"x")].concat()),
        ("cve-body-without-header", [begin.clone(), body(b"x")].concat()),
        ("cve-header-without-publish", header(1)),
        ("cve-header-twice", [begin.clone(), header(1), header(1)].concat()),
        ("cve-publish-within-publish", [begin.clone(), header(1), begin.clone()].concat()),
        ("cve-content-on-channel-0", [frame(FrameKind::Header, 0, &[0; 14]), declare.clone()].concat()),
        ("cve-method-on-channel-0", method(0, 60, 40, b"\0\0\0\x02q0\0")),
        ("cve-channel-not-open", method(2, 60, 70, b"\0\0\x02q0\0")),
        ("cve-channel-open-twice", method(1, 20, 10, b"\0")),
        ("cve-too-many-channels", (2..9).flat_map(|number| method(number, 20, 10, b"\0")).collect()),
        ("cve-server-method", method(1, 60, 60, b"\x01t\0\0\0\0\0\0\0\x01\0\0\x02q0")),
        ("cve-unknown-method", method(1, 60, 255, b"")),
        ("cve-short-string-overflow", method(1, 50, 10, b"\0\0\xFFq0\0\0\0\0\0")),
        ("cve-name-not-text", method(1, 60, 40, b"\0\0\0\x02\xFF\xFE\0")),
        ("cve-qos-size", method(1, 60, 10, b"\xFF\xFF\xFF\xFF\xFF\xFF\x01")),
        ("cve-ack-unknown", method(1, 60, 80, b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")),
        ("cve-wildcards", {
            let key = "#.".repeat(120);
            let bind = [b"\0\0\x02q0\x09amq.topic", &[key.len() as u8][..], key.as_bytes(), b"\0\0\0\0\0"].concat();
            let words = "a.".repeat(120);
            let publish = [b"\0\0\x09amq.topic", &[words.len() as u8][..], words.as_bytes(), b"\0"].concat();
            [declare.clone(), method(1, 50, 20, &bind), method(1, 60, 40, &publish), header(0)].concat()
        }),
        ("cve-exchange-cycle", {
            let exchange =
                |name: &[u8; 2]| method(1, 40, 10, &[b"\0\0\x02", &name[..], b"\x06fanout\0\0\0\0\0"].concat());
            let bind = |to: &[u8; 2], from: &[u8; 2]| {
                method(1, 40, 30, &[b"\0\0\x02", &to[..], b"\x02", from, b"\0\0\0\0\0\0"].concat())
            };
            let publish = method(1, 60, 40, b"\0\0\x02e0\0\x01");
            [exchange(b"e0"), exchange(b"e1"), bind(b"e0", b"e1"), bind(b"e1", b"e0"), publish, header(0)].concat()
        }),
        ("publish-all-properties", [declare.clone(), publish(&all_properties(), b"hello", 4096)].concat()),
        ("publish-in-pieces", [declare, publish(&PropertiesBuilder::default(), &[1; 600], 32)].concat()),
        ("publish-mandatory", [method(1, 60, 40, b"\0\0\0\x04none\x01"), header(0)].concat()),
    ]
}

/// Operations by their numbers; the bytes behind each are those that `operations::write` takes.
fn operations() -> Vec<(&'static str, u8, Vec<Vec<u8>>)> {
    let op = |op: Op, bytes: &[u8]| [&[op as u8], bytes].concat();
    // Channel, queue, durable or transient, no argument.
    let durable = op(Op::DeclareQueue, &[0, 0, 2, 0]);
    let transient = op(Op::DeclareQueue, &[0, 1, 0, 0]);
    let publish = |key: u8, properties: u8| op(Op::Publish, &[0, 0, key, 0, 7, 2, 0, properties, 2]);
    let many = |key: u8, mode: u8, count: u8| op(Op::PublishMany, &[0, 0, key, mode, count]);
    let consume = |queue: u8, bits: u8| op(Op::Consume, &[0, queue, queue, bits, 0]);
    let flush = op(Op::Flush, &[]);
    let work = vec![
        durable.clone(),
        transient.clone(),
        op(Op::Confirm, &[0, 0]),
        op(Op::Qos, &[0, 2, 0]),
        consume(0, 0),
        consume(1, 2),
        publish(0, 64),
        publish(1, 0),
        flush.clone(),
        op(Op::Ack, &[0, 1, 0]),
        op(Op::Nack, &[0, 2, 2]),
        op(Op::Reject, &[0, 3, 1]),
        op(Op::Recover, &[0, 0, 1]),
        flush.clone(),
    ];
    let bindings = vec![
        op(Op::DeclareExchange, &[0, 5, 2, 0, 1, 3]),
        durable.clone(),
        op(Op::BindQueue, &[0, 5, 6, 0, 0, 0]),
        op(Op::BindQueue, &[0, 4, 7, 0, 0, 1]),
        op(Op::BindExchange, &[0, 5, 5, 0, 3, 0]),
        op(Op::Publish, &[0, 5, 3, 1, 7, 3, 0, 170, 0]),
        op(Op::Publish, &[0, 4, 7, 1, 7, 5, 0, 170, 1]),
        flush.clone(),
        op(Op::UnbindExchange, &[0, 5, 5, 0, 3, 0]),
        op(Op::UnbindQueue, &[0, 5, 6, 0, 0, 0]),
        op(Op::DeleteExchange, &[0, 5, 0]),
        op(Op::PurgeQueue, &[0, 0, 0]),
        op(Op::DeleteQueue, &[0, 0, 0]),
    ];
    let slow = vec![
        durable.clone(),
        consume(0, 2),
        op(Op::Deaf, &[1]),
        many(0, 1, 200),
        flush.clone(),
        many(0, 0, 200),
        flush.clone(),
        op(Op::Read, &[255]),
        op(Op::Cancel, &[0, 0, 0]),
        flush.clone(),
        op(Op::Deaf, &[0]),
    ];
    let paged = vec![durable.clone(), transient.clone(), many(0, 1, 255), many(1, 0, 255), flush.clone()];
    let gets = (0..20).map(|number| op(Op::Get, &[0, number % 2, number / 10])).collect::<Vec<_>>();
    let two = vec![
        op(Op::DeclareQueue, &[0, 0, 4, 0]),
        op(Op::DeclareQueue, &[0, 1, 8, 0]),
        consume(1, 0),
        op(Op::Switch, &[]),
        consume(0, 0),
        op(Op::OpenChannel, &[0]),
        consume(1, 0),
        many(1, 0, 10),
        op(Op::Switch, &[]),
        op(Op::Reconnect, &[]),
        op(Op::Get, &[0, 1, 0]),
    ];
    let held = vec![
        durable.clone(),
        op(Op::Confirm, &[0, 0]),
        op(Op::DiskLow, &[1]),
        many(0, 1, 20),
        flush.clone(),
        op(Op::Get, &[0, 0, 0]),
        flush.clone(),
        op(Op::DiskLow, &[0]),
        op(Op::Bell, &[]),
    ];
    let errors = vec![
        op(Op::OpenChannel, &[4]),
        op(Op::DeclareQueue, &[4, 0, 1, 0]),
        op(Op::Get, &[4, 0, 0]),
        op(Op::ChannelCloseOk, &[4]),
        op(Op::OpenChannel, &[4]),
        op(Op::CloseChannel, &[4]),
        op(Op::Other, &[0, 1, 2]),
        op(Op::RawFrame, &[0, 1, 0, 3, 1, 2, 3]),
        op(Op::RawBytes, &[0, 4, 1, 0, 1, 0]),
        op(Op::CloseConnection, &[0]),
    ];
    let large = || [op(Op::Publish, &[0, 0, 0, 0, 7, 5, 0, 0, 2]), flush.clone()].concat();
    let full = [
        vec![op(Op::DeclareQueue, &[0, 0, 0, 0]), op(Op::Switch, &[]), consume(0, 0), op(Op::Switch, &[])],
        vec![large(); 12],
        // The other client settles what takes the memory.
        vec![op(Op::Switch, &[]), op(Op::Ack, &[0, 0, 1]), op(Op::Switch, &[])],
    ]
    .concat();
    let silence = vec![op(Op::Tick, &[12]), op(Op::Tick, &[24]), op(Op::Heartbeat, &[0]), op(Op::Tick, &[255])];
    let pieces = vec![op(Op::Pieces, &[3]), op(Op::Publish, &[0, 0, 0, 0, 7, 4, 0, 64, 1])];
    vec![
        ("op-work", 0, work.clone()),
        ("op-work-restart", 1 << 5, work.clone()),
        ("op-work-small-frames", 1 << 3, work),
        ("op-bindings", 0, bindings),
        ("op-slow-consumer", 0, slow.clone()),
        ("op-slow-consumer-paged", 1 << 1, slow),
        ("op-paged", 1 << 1 | 1 << 5, [paged.clone(), gets.clone()].concat()),
        ("op-paged-consumer", 1 << 1, [paged, vec![consume(0, 0), consume(1, 0), flush.clone()]].concat()),
        ("op-two-clients", 0, two),
        ("op-disk-low", 0, held.clone()),
        ("op-unconfirmed", 1 << 0, held),
        ("op-errors", 0, errors),
        ("bug-held-for-memory-that-is-free", 1 << 1, full),
        ("op-heartbeats", 1 << 4, silence),
        ("op-pieces", 0, [vec![transient], pieces, gets].concat()),
        ("op-shutdown", 0, vec![durable, op(Op::ShutDown, &[0xD0]), op(Op::Tick, &[255])]),
    ]
}
