//! What arrives from the broker, as values, and the bytes of what is sent.

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::basic::AMQPMethod as Basic;
use amq_protocol::protocol::{AMQPClass, BasicProperties, channel, connection};
use std::io;

/// One frame as it came: header fields and payload bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub channel: u16,
    pub payload: Vec<u8>,
}

/// A message's content; `properties` are the flag words and values byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub class: u16,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
    /// Payload length of each body frame.
    pub frames: Vec<usize>,
}

/// One thing the broker said.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Method {
        channel: u16,
        method: AMQPClass,
    },
    Content {
        channel: u16,
        method: AMQPClass,
        content: Content,
    },
    Heartbeat {
        channel: u16,
    },
    Closed(Closed),
    /// The broker closed the socket (end of stream or reset).
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Connection,
    Channel,
}

/// A `channel.close` or `connection.close` of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    pub scope: Scope,
    pub channel: u16,
    pub code: u16,
    pub text: String,
    pub class: u16,
    pub method: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    Closed(Closed),
    /// The broker closed the socket without a close frame.
    Gone,
    Timeout,
    /// Not AMQP, or not what was asked for.
    Unexpected(String),
}

impl Error {
    /// The close this error is; panics on anything else. For `assert_eq!` on code and text.
    pub fn closed(self) -> Closed {
        match self {
            Error::Closed(closed) => closed,
            other => panic!("expected a close, got {other:?}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout,
            _ => Error::Gone,
        }
    }
}

/// `basic.deliver` or `basic.get-ok` with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub channel: u16,
    /// Empty for `basic.get-ok`.
    pub consumer_tag: String,
    pub delivery_tag: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    /// Messages left in the queue, only for `basic.get-ok`.
    pub left: Option<u32>,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

impl Delivery {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The properties parsed; panics when the broker sent nonsense.
    pub fn parsed_properties(&self) -> BasicProperties {
        parse_properties(&self.properties)
    }
}

/// `basic.return` with its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    pub channel: u16,
    pub code: u16,
    pub text: String,
    pub exchange: String,
    pub routing_key: String,
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

impl Event {
    pub fn method(&self) -> Option<&AMQPClass> {
        match self {
            Event::Method { method, .. } | Event::Content { method, .. } => Some(method),
            _ => None,
        }
    }

    pub fn channel(&self) -> u16 {
        match self {
            Event::Method { channel, .. } | Event::Content { channel, .. } | Event::Heartbeat { channel } => *channel,
            Event::Closed(closed) => closed.channel,
            Event::Gone => 0,
        }
    }

    pub fn delivery(&self) -> Option<Delivery> {
        let Event::Content { channel, method: AMQPClass::Basic(method), content } = self else { return None };
        let (tag, delivery_tag, redelivered, exchange, routing_key, left) = match method {
            Basic::Deliver(d) => {
                (d.consumer_tag.to_string(), d.delivery_tag, d.redelivered, &d.exchange, &d.routing_key, None)
            }
            Basic::GetOk(g) => {
                (String::new(), g.delivery_tag, g.redelivered, &g.exchange, &g.routing_key, Some(g.message_count))
            }
            _ => return None,
        };
        Some(Delivery {
            channel: *channel,
            consumer_tag: tag,
            delivery_tag,
            redelivered,
            exchange: exchange.to_string(),
            routing_key: routing_key.to_string(),
            left,
            properties: content.properties.clone(),
            body: content.body.clone(),
        })
    }

    pub fn returned(&self) -> Option<Returned> {
        let Event::Content { channel, method: AMQPClass::Basic(Basic::Return(r)), content } = self else { return None };
        Some(Returned {
            channel: *channel,
            code: r.reply_code,
            text: r.reply_text.to_string(),
            exchange: r.exchange.to_string(),
            routing_key: r.routing_key.to_string(),
            properties: content.properties.clone(),
            body: content.body.clone(),
        })
    }

    /// `(tag, multiple, nack)` of a confirm.
    pub fn confirm(&self) -> Option<(u64, bool, bool)> {
        match self.method()? {
            AMQPClass::Basic(Basic::Ack(a)) => Some((a.delivery_tag, a.multiple, false)),
            AMQPClass::Basic(Basic::Nack(n)) => Some((n.delivery_tag, n.multiple, true)),
            _ => None,
        }
    }
}

/// The close in a method, if it is one.
pub fn close_of(channel: u16, method: &AMQPClass) -> Option<Closed> {
    match method {
        AMQPClass::Channel(channel::AMQPMethod::Close(c)) => Some(Closed {
            scope: Scope::Channel,
            channel,
            code: c.reply_code,
            text: c.reply_text.to_string(),
            class: c.class_id,
            method: c.method_id,
        }),
        AMQPClass::Connection(connection::AMQPMethod::Close(c)) => Some(Closed {
            scope: Scope::Connection,
            channel,
            code: c.reply_code,
            text: c.reply_text.to_string(),
            class: c.class_id,
            method: c.method_id,
        }),
        _ => None,
    }
}

/// Bytes of a whole frame.
pub fn encode_frame(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new())).expect("a Vec takes every frame").into_inner().0
}

/// Bytes of a method's frame.
pub fn encode_method(channel: u16, method: AMQPClass) -> Vec<u8> {
    encode_frame(&AMQPFrame::Method(channel, method))
}

/// Flag words and values of properties, as in a content header.
pub fn encode_properties(properties: &BasicProperties) -> Vec<u8> {
    let header = amq_protocol::frame::AMQPContentHeader { class_id: 60, body_size: 0, properties: properties.clone() };
    let frame = encode_frame(&AMQPFrame::Header(1, header));
    frame[7 + 12..frame.len() - 1].to_vec()
}

/// Bytes of a frame from its parts; the end marker is right, the rest is what the test says.
pub fn encode_raw(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(channel.to_be_bytes());
    bytes.extend(u32::try_from(payload.len()).expect("a frame fits 32 bits").to_be_bytes());
    bytes.extend(payload);
    bytes.push(0xCE);
    bytes
}

/// The method in a method frame's payload.
pub fn parse_method(channel: u16, payload: &[u8]) -> Result<AMQPClass, Error> {
    match parse_frame(encode_raw(1, channel, payload).as_slice()) {
        Ok((_, AMQPFrame::Method(_, method))) => Ok(method),
        other => Err(Error::Unexpected(format!("method frame {payload:02x?}: {other:?}"))),
    }
}

fn parse_properties(bytes: &[u8]) -> BasicProperties {
    let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    payload.extend(bytes);
    match parse_frame(encode_raw(2, 1, &payload).as_slice()) {
        Ok((_, AMQPFrame::Header(_, header))) => header.properties,
        other => panic!("properties {bytes:02x?}: {other:?}"),
    }
}
