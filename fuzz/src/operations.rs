//! Frames of a client that knows AMQP and does not care: right and wrong methods in any order.

use super::input::Input;
use warren::value::{Table, Value};
use warren::wire::frame::FrameKind;
use warren::wire::output::write_frame;
use warren::wire::properties::PropertiesBuilder;

/// Names that operations choose from.
pub const QUEUES: [&str; 6] = ["q0", "q1", "q2", "", "amq.q", "q\u{e9}\n"];
const EXCHANGES: [&str; 10] =
    ["", "amq.direct", "amq.topic", "amq.fanout", "amq.headers", "e0", "e1", "amq.rabbitmq.trace", "none", "amq.match"];
const KEYS: [&str; 10] = ["q0", "q1", "q2", "a.b.c", "a.*.c", "#", "#.b.#", "", "*.*", "a.b"];
const KINDS: [&str; 5] = ["direct", "fanout", "topic", "headers", "x-none"];
const TAGS: [&str; 4] = ["", "t0", "t1", "t2"];
const CHANNELS: [u16; 8] = [1, 1, 1, 1, 2, 2, 3, 65_535];

/// What a run does next. The numbers are part of the corpus: append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Op {
    OpenChannel,
    CloseChannel,
    ChannelCloseOk,
    DeclareQueue,
    BindQueue,
    UnbindQueue,
    PurgeQueue,
    DeleteQueue,
    DeclareExchange,
    DeleteExchange,
    BindExchange,
    UnbindExchange,
    Publish,
    PublishMany,
    Qos,
    Consume,
    Cancel,
    Get,
    Ack,
    Nack,
    Reject,
    Recover,
    Confirm,
    Other,
    Heartbeat,
    CloseConnection,
    RawFrame,
    RawBytes,
    // What follows is not a frame: see `connection.rs`.
    Flush,
    Pieces,
    Switch,
    Deaf,
    Read,
    Wake,
    Bell,
    Tick,
    Reconnect,
    DiskLow,
    ShutDown,
}

/// All operations, by their numbers.
pub const OPS: [Op; 39] = [
    Op::OpenChannel,
    Op::CloseChannel,
    Op::ChannelCloseOk,
    Op::DeclareQueue,
    Op::BindQueue,
    Op::UnbindQueue,
    Op::PurgeQueue,
    Op::DeleteQueue,
    Op::DeclareExchange,
    Op::DeleteExchange,
    Op::BindExchange,
    Op::UnbindExchange,
    Op::Publish,
    Op::PublishMany,
    Op::Qos,
    Op::Consume,
    Op::Cancel,
    Op::Get,
    Op::Ack,
    Op::Nack,
    Op::Reject,
    Op::Recover,
    Op::Confirm,
    Op::Other,
    Op::Heartbeat,
    Op::CloseConnection,
    Op::RawFrame,
    Op::RawBytes,
    Op::Flush,
    Op::Pieces,
    Op::Switch,
    Op::Deaf,
    Op::Read,
    Op::Wake,
    Op::Bell,
    Op::Tick,
    Op::Reconnect,
    Op::DiskLow,
    Op::ShutDown,
];

/// Fields of a method.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn octet(mut self, octet: u8) -> Fields {
        self.0.push(octet);
        self
    }

    fn short(mut self, short: u16) -> Fields {
        self.0.extend_from_slice(&short.to_be_bytes());
        self
    }

    fn long(mut self, long: u32) -> Fields {
        self.0.extend_from_slice(&long.to_be_bytes());
        self
    }

    fn long_long(mut self, long: u64) -> Fields {
        self.0.extend_from_slice(&long.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Fields {
        self.0.push(text.len() as u8);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn table(mut self, table: &Table) -> Fields {
        table.encode(&mut self.0);
        self
    }

    fn write(self, out: &mut Vec<u8>, channel: u16, class: u16, method: u16) {
        let mut payload = Vec::with_capacity(self.0.len() + 4);
        payload.extend_from_slice(&class.to_be_bytes());
        payload.extend_from_slice(&method.to_be_bytes());
        payload.extend_from_slice(&self.0);
        write_frame(out, FrameKind::Method, channel, &payload);
    }
}

/// Appends the frames of an operation; nothing for those that are not frames. `frame_max` is what was negotiated.
pub fn write(op: Op, input: &mut Input<'_>, out: &mut Vec<u8>, frame_max: u32) {
    let channel = input.pick(&CHANNELS);
    let none = Fields::default;
    match op {
        Op::OpenChannel => none().text("").write(out, channel, 20, 10),
        Op::CloseChannel => none().short(200).text("").short(0).short(0).write(out, channel, 20, 40),
        Op::ChannelCloseOk => none().write(out, channel, 20, 41),
        Op::DeclareQueue | Op::PurgeQueue | Op::DeleteQueue => queue(op, input, out, channel),
        Op::BindQueue | Op::UnbindQueue | Op::BindExchange | Op::UnbindExchange => binding(op, input, out, channel),
        Op::DeclareExchange => {
            let (name, kind, bits) = (input.pick(&EXCHANGES), input.pick(&KINDS), input.byte());
            let arguments = exchange_arguments(input);
            none().short(0).text(name).text(kind).octet(bits).table(&arguments).write(out, channel, 40, 10);
        }
        Op::DeleteExchange => {
            none().short(0).text(input.pick(&EXCHANGES)).octet(input.byte()).write(out, channel, 40, 20);
        }
        Op::Publish => publish(input, out, channel, frame_max),
        Op::PublishMany => publish_many(input, out, channel),
        Op::Qos => {
            let (count, bits) = (input.byte(), input.byte());
            // A prefetch size is refused: rarely, or else little would come after it.
            let size = u32::from(bits == 255);
            none().long(size).short(count.into()).octet(bits).write(out, channel, 60, 10);
        }
        Op::Consume => {
            let (name, tag, bits) = (input.pick(&QUEUES), input.pick(&TAGS), input.byte());
            let arguments = consumer_arguments(input);
            none().short(0).text(name).text(tag).octet(bits).table(&arguments).write(out, channel, 60, 20);
        }
        Op::Cancel => none().text(input.pick(&TAGS)).octet(input.byte()).write(out, channel, 60, 30),
        Op::Get => none().short(0).text(input.pick(&QUEUES)).octet(input.byte()).write(out, channel, 60, 70),
        Op::Ack => none().long_long(delivery_tag(input)).octet(input.byte()).write(out, channel, 60, 80),
        Op::Nack => none().long_long(delivery_tag(input)).octet(input.byte()).write(out, channel, 60, 120),
        Op::Reject => none().long_long(delivery_tag(input)).octet(input.byte()).write(out, channel, 60, 90),
        Op::Recover => {
            let method = input.pick(&[110, 110, 100]);
            none().octet(input.byte()).write(out, channel, 60, method);
        }
        Op::Confirm => none().octet(input.byte()).write(out, channel, 85, 10),
        Op::Other => other(input, out, channel),
        Op::Heartbeat => write_frame(out, FrameKind::Heartbeat, 0, &[]),
        Op::CloseConnection => none().short(200).text("").short(0).short(0).write(out, 0, 10, 50),
        Op::RawFrame => {
            let kind = input.pick(&[FrameKind::Method, FrameKind::Header, FrameKind::Body, FrameKind::Heartbeat]);
            let number = input.pick(&[channel, channel, channel, 0]);
            let length = input.byte();
            write_frame(out, kind, number, input.take(length.into()));
        }
        Op::RawBytes => {
            let length = input.byte();
            out.extend_from_slice(input.take(length.into()));
        }
        _ => {}
    }
}

fn queue(op: Op, input: &mut Input<'_>, out: &mut Vec<u8>, channel: u16) {
    let (name, bits) = (input.pick(&QUEUES), input.byte());
    let fields = Fields::default().short(0).text(name).octet(bits);
    match op {
        Op::DeclareQueue => fields.table(&queue_arguments(input)).write(out, channel, 50, 10),
        Op::PurgeQueue => fields.write(out, channel, 50, 30),
        _ => fields.write(out, channel, 50, 40),
    }
}

fn binding(op: Op, input: &mut Input<'_>, out: &mut Vec<u8>, channel: u16) {
    let (source, key, bits) = (input.pick(&EXCHANGES), input.pick(&KEYS), input.byte());
    let end = if matches!(op, Op::BindQueue | Op::UnbindQueue) { input.pick(&QUEUES) } else { input.pick(&EXCHANGES) };
    let arguments = binding_arguments(input);
    let fields = Fields::default().short(0).text(end).text(source).text(key);
    match op {
        Op::BindQueue => fields.octet(bits).table(&arguments).write(out, channel, 50, 20),
        Op::UnbindQueue => fields.table(&arguments).write(out, channel, 50, 50),
        Op::BindExchange => fields.octet(bits).table(&arguments).write(out, channel, 40, 30),
        _ => fields.octet(bits).table(&arguments).write(out, channel, 40, 40),
    }
}

/// Mostly small: those are the tags there are.
fn delivery_tag(input: &mut Input<'_>) -> u64 {
    match input.byte() {
        255 => u64::MAX,
        254 => u64::from(u32::MAX) + 1,
        small => small.into(),
    }
}

fn queue_arguments(input: &mut Input<'_>) -> Table {
    let argument = match input.byte() {
        1 => ("x-message-ttl", Value::I32(60_000)),
        2 => ("x-max-length", Value::U8(input.byte())),
        3 => ("x-queue-type", Value::from("classic")),
        4 => ("x-queue-type", Value::from("quorum")),
        5 => ("x-max-priority", Value::I8(input.byte() as i8)),
        6 => ("x-dead-letter-exchange", Value::from("amq.fanout")),
        7 => ("x-expires", Value::from("text")),
        8 => ("anything", Value::Array(vec![Value::Void, Value::Bool(true)])),
        _ => return Table::new(),
    };
    [argument].into_iter().collect()
}

fn exchange_arguments(input: &mut Input<'_>) -> Table {
    match input.byte() {
        1 => [("alternate-exchange", Value::from(input.pick(&EXCHANGES)))].into_iter().collect(),
        2 => [("alternate-exchange", Value::Void)].into_iter().collect(),
        _ => Table::new(),
    }
}

fn consumer_arguments(input: &mut Input<'_>) -> Table {
    match input.byte() {
        1 => [("x-priority", Value::I8(input.byte() as i8))].into_iter().collect(),
        2 => [("x-priority", Value::I64(i64::MIN))].into_iter().collect(),
        3 => [("x-priority", Value::from("high"))].into_iter().collect(),
        _ => Table::new(),
    }
}

fn binding_arguments(input: &mut Input<'_>) -> Table {
    match input.byte() {
        1 => [("x-match", Value::from("all")), ("h", Value::I32(1))].into_iter().collect(),
        2 => [("x-match", Value::from("any")), ("h", Value::I32(1)), ("g", Value::Void)].into_iter().collect(),
        3 => [("x-match", Value::from("none"))].into_iter().collect(),
        4 => [("h", Value::F64(f64::NAN))].into_iter().collect(),
        _ => Table::new(),
    }
}

/// The properties of a publish, right and wrong.
fn properties(input: &mut Input<'_>, body_size: u64) -> Vec<u8> {
    let mut builder = PropertiesBuilder::default();
    match input.byte() {
        0..=63 => {}
        64..=127 => builder.delivery_mode = Some(2),
        128..=159 => builder.expiration = Some(input.pick(&[b"60000", b"0", b"-1", b"1e3"])),
        160..=191 => builder.headers = Some([("h", Value::I32(1)), ("CC", Value::from("q1"))].into_iter().collect()),
        192..=199 => builder.user_id = Some(input.pick(&[&b"guest"[..], b"mallory"])),
        200..=239 => (builder.priority, builder.content_type) = (Some(input.byte()), Some(&b"text/plain"[..])),
        _ => {
            let mut payload = builder.content_header(body_size);
            payload.truncate(12);
            let length = input.byte() % 32;
            payload.extend_from_slice(input.take(length.into()));
            return payload;
        }
    }
    builder.content_header(body_size)
}

/// A publish of any shape: sizes that do not fit, bodies in pieces, frames of other channels in between.
fn publish(input: &mut Input<'_>, out: &mut Vec<u8>, channel: u16, frame_max: u32) {
    let (exchange, key, bits) = (input.pick(&EXCHANGES), input.pick(&KEYS), input.byte());
    // `immediate` is refused: rarely, for the same reason as a prefetch size.
    let bits = if bits == 255 { 2 } else { bits & 1 };
    Fields::default().short(0).text(exchange).text(key).octet(bits).write(out, channel, 60, 40);
    let body = vec![input.byte(); [0, 1, 16, 300, 5000, 40_000][usize::from(input.byte()) % 6]];
    let announced = match input.byte() {
        240.. => u64::MAX,
        230.. => body.len() as u64 + 1,
        220.. => (body.len() as u64).saturating_sub(1),
        210.. => 10 * super::client::MESSAGE_MAX,
        _ => body.len() as u64,
    };
    let mut header = properties(input, announced);
    let shape = input.byte();
    if shape >= 250 {
        header.truncate(usize::from(shape - 250));
    }
    write_frame(out, FrameKind::Header, channel, &header);
    let fitting = match frame_max {
        0 => usize::MAX,
        limited => limited as usize - 8,
    };
    let piece = match shape % 8 {
        0 => 1 + body.len() / 3,
        1 => 1 + body.len() / 20,
        _ => fitting,
    };
    for piece in body.chunks(piece.min(fitting)) {
        write_frame(out, FrameKind::Body, channel, piece);
        if shape % 16 == 1 {
            write_frame(out, FrameKind::Heartbeat, 0, &[]);
        }
    }
}

/// The same small publish many times.
fn publish_many(input: &mut Input<'_>, out: &mut Vec<u8>, channel: u16) {
    let (exchange, key) = (input.pick(&EXCHANGES), input.pick(&KEYS));
    let delivery_mode = Some(1 + input.byte() % 2);
    let header = PropertiesBuilder { delivery_mode, ..Default::default() }.content_header(4);
    for number in 0..4 * u32::from(input.byte()) {
        Fields::default().short(0).text(exchange).text(key).octet(0).write(out, channel, 60, 40);
        write_frame(out, FrameKind::Header, channel, &header);
        write_frame(out, FrameKind::Body, channel, &number.to_be_bytes());
    }
}

/// Methods that are rare, refused, or not a client's.
fn other(input: &mut Input<'_>, out: &mut Vec<u8>, channel: u16) {
    let bits = input.byte();
    let none = Fields::default;
    match input.byte() % 12 {
        0 => none().octet(bits).write(out, channel, 20, 20),
        1 => none().text("/").octet(bits).write(out, channel, 30, 10),
        2 => none().write(out, channel, 90, 10),
        3 => none().long(3).octet(b'a').octet(b'b').octet(b'c').text("").write(out, 0, 10, 70),
        4 => none().text("t0").write(out, channel, 60, 31),
        5 => none().text("t0").long_long(1).octet(bits).text("").text("q0").write(out, channel, 60, 60),
        6 => none().text("/").text("").octet(0).write(out, input.pick(&[0, channel]), 10, 40),
        7 => none().write(out, channel, bits.into(), 10),
        8 => none().text("").write(out, 0, 20, 10),
        9 => none().write(out, input.pick(&[0, channel]), 10, 51),
        10 => none().octet(1).write(out, channel, 20, 21),
        _ => none().short(0).long(0).short(0).write(out, 0, 10, 31),
    }
}
