//! The methods that come once a message, read in place and written without `amq-protocol`.

use super::error::{MethodFault, WireError};
use super::frame::{FRAME_END, FrameKind, frame_header};
use crate::limits::{FRAME_OVERHEAD, SHORT_STRING_MAX};
use crate::value::Reader;

/// A method of a client that is read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hot<'a> {
    /// basic.publish. The names are not checked to be UTF-8: see [`text`].
    Publish {
        /// Name of the exchange; empty is the default exchange.
        exchange: &'a [u8],
        /// Routing key.
        routing_key: &'a [u8],
        /// Exchange and routing key as two short strings, as on the wire.
        exchange_and_key: &'a [u8],
        /// Return the message if no queue takes it.
        mandatory: bool,
        /// Never supported by RabbitMQ (540).
        immediate: bool,
    },
    /// basic.ack
    Ack {
        /// Delivery tag.
        tag: u64,
        /// All tags up to this one.
        multiple: bool,
    },
    /// basic.nack
    Nack {
        /// Delivery tag.
        tag: u64,
        /// All tags up to this one.
        multiple: bool,
        /// Put back, or else dead-letter or drop.
        requeue: bool,
    },
    /// basic.reject
    Reject {
        /// Delivery tag.
        tag: u64,
        /// Put back, or else dead-letter or drop.
        requeue: bool,
    },
}

const BASIC: u16 = 60;
const PUBLISH: u16 = 40;
const RETURN: u16 = 50;
const DELIVER: u16 = 60;
const GET_OK: u16 = 71;
const ACK: u16 = 80;
const REJECT: u16 = 90;
const NACK: u16 = 120;

/// Reads the payload of a method frame. None when the method is not one of [`Hot`]: see
/// [`read_method`](super::method::read_method).
///
/// # Errors
/// It is one of them and its fields do not fill the payload exactly.
#[inline]
pub fn read_hot(payload: &[u8]) -> Result<Option<Hot<'_>>, WireError> {
    let Some((&[0, 60, 0, method], fields)) = payload.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let mut fields = Reader::new(fields);
    let hot = match u16::from(method) {
        PUBLISH => publish(&mut fields),
        ACK => settle(&mut fields).map(|(tag, bits)| Hot::Ack { tag, multiple: bits & 1 != 0 }),
        NACK => {
            settle(&mut fields).map(|(tag, bits)| Hot::Nack { tag, multiple: bits & 1 != 0, requeue: bits & 2 != 0 })
        }
        REJECT => settle(&mut fields).map(|(tag, bits)| Hot::Reject { tag, requeue: bits & 1 != 0 }),
        _ => return Ok(None),
    };
    match hot {
        Some(hot) if fields.is_empty() => Ok(Some(hot)),
        Some(_) => Err(malformed(method.into(), MethodFault::Trailing)),
        None => Err(malformed(method.into(), MethodFault::Truncated)),
    }
}

#[inline]
fn publish<'a>(fields: &mut Reader<'a>) -> Option<Hot<'a>> {
    fields.short()?; // the ticket, which nobody uses
    let from_exchange = fields.rest();
    let exchange = fields.short_string()?;
    let routing_key = fields.short_string()?;
    let exchange_and_key = from_exchange.get(..exchange.len() + routing_key.len() + 2)?;
    let bits = fields.octet()?;
    let (mandatory, immediate) = (bits & 1 != 0, bits & 2 != 0);
    Some(Hot::Publish { exchange, routing_key, exchange_and_key, mandatory, immediate })
}

#[inline]
fn settle(fields: &mut Reader<'_>) -> Option<(u64, u8)> {
    fields.long_long().zip(fields.octet())
}

#[cold]
fn malformed(method: u16, fault: MethodFault) -> WireError {
    WireError::MalformedMethod { class: BASIC, method, fault }
}

/// A name of a publish as text. A broker that passed on other bytes would break consumers that check them.
///
/// # Errors
/// It is not UTF-8.
#[inline]
pub fn text(name: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(name).map_err(|_| malformed(PUBLISH, MethodFault::NotText))
}

/// Appends a basic.deliver frame. `exchange_and_key` are two short strings, as [`Hot::Publish`] has them. A consumer
/// tag is at most [`SHORT_STRING_MAX`] bytes.
#[inline]
pub fn write_deliver(
    out: &mut Vec<u8>,
    channel: u16,
    consumer_tag: &[u8],
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
) {
    let consumer_tag = short(consumer_tag);
    begin(out, channel, DELIVER, 1 + consumer_tag.len() + 9 + exchange_and_key.len());
    out.push(consumer_tag.len() as u8);
    out.extend_from_slice(consumer_tag);
    out.extend_from_slice(&tag_and_bits(delivery_tag, u8::from(redelivered)));
    out.extend_from_slice(exchange_and_key);
    out.push(FRAME_END);
}

/// Appends a basic.get-ok frame. `message_count` is what is left ready in the queue.
#[inline]
pub fn write_get_ok(
    out: &mut Vec<u8>,
    channel: u16,
    delivery_tag: u64,
    redelivered: bool,
    exchange_and_key: &[u8],
    message_count: u32,
) {
    begin(out, channel, GET_OK, 9 + exchange_and_key.len() + 4);
    out.extend_from_slice(&tag_and_bits(delivery_tag, u8::from(redelivered)));
    out.extend_from_slice(exchange_and_key);
    out.extend_from_slice(&message_count.to_be_bytes());
    out.push(FRAME_END);
}

/// Appends a basic.return frame. A text longer than a short string is cut.
#[inline]
pub fn write_return(out: &mut Vec<u8>, channel: u16, code: u16, text: &str, exchange_and_key: &[u8]) {
    let text = text.as_bytes().get(..text.floor_char_boundary(SHORT_STRING_MAX)).unwrap_or_default();
    begin(out, channel, RETURN, 2 + 1 + text.len() + exchange_and_key.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.push(text.len() as u8);
    out.extend_from_slice(text);
    out.extend_from_slice(exchange_and_key);
    out.push(FRAME_END);
}

/// Appends a basic.ack frame: a publisher's confirm.
#[inline]
pub fn write_ack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    write_settle(out, channel, ACK, tag, u8::from(multiple));
}

/// Appends a basic.nack frame: a publisher's refusal. Its requeue bit means nothing to a publisher and is 0.
#[inline]
pub fn write_nack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    write_settle(out, channel, NACK, tag, u8::from(multiple));
}

#[inline]
fn write_settle(out: &mut Vec<u8>, channel: u16, method: u16, tag: u64, bits: u8) {
    begin(out, channel, method, 9);
    out.extend_from_slice(&tag_and_bits(tag, bits));
    out.push(FRAME_END);
}

/// Room for a whole frame; its header, class and method.
#[inline]
fn begin(out: &mut Vec<u8>, channel: u16, method: u16, fields: usize) {
    let size = 4 + fields;
    out.reserve(size + FRAME_OVERHEAD);
    let [class_high, class_low] = BASIC.to_be_bytes();
    let [method_high, method_low] = method.to_be_bytes();
    out.extend_from_slice(&frame_header(FrameKind::Method, channel, size as u32));
    out.extend_from_slice(&[class_high, class_low, method_high, method_low]);
}

#[inline]
fn tag_and_bits(tag: u64, bits: u8) -> [u8; 9] {
    let [a, b, c, d, e, f, g, h] = tag.to_be_bytes();
    [a, b, c, d, e, f, g, h, bits]
}

/// What of `bytes` fits a short string.
#[inline]
pub(super) fn short(bytes: &[u8]) -> &[u8] {
    bytes.get(..SHORT_STRING_MAX).unwrap_or(bytes)
}
