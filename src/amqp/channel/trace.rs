//! The firehose (compat.md 5): a copy of every message that is published or delivered goes to `amq.rabbitmq.trace`, under
//! `publish.` and its exchange, or `deliver.` and its queue. The headers say what happened to it; the body is its own.
//! Copies of copies are not made. Of a delivery's routing keys those of BCC are not known any more.

use super::{Channel, Link};
use crate::broker::content::Content;
use crate::broker::message::{Parts, Record};
use crate::engine::{Route, TRACE_EXCHANGE};
use crate::name::Name;
use crate::value::{Reader, Table, Value};
use crate::wire::hot::text;
use crate::wire::properties::{Properties, PropertiesBuilder, read_content_header};

/// Longest routing key, in bytes.
const KEY_MAX: usize = 255;

impl Channel {
    /// A message was published and found this route. `more`: its routing keys beside its own.
    pub(super) fn trace_publish(
        &self,
        link: &mut Link,
        route: &Route,
        more: &[Vec<u8>],
        exchange_and_key: &[u8],
        (header, body): (&[u8], &[u8]),
    ) {
        let Some(source) = Source::of(exchange_and_key) else { return };
        let Some(copies) = link.session.trace_route(&routing_key("publish.", source.exchange)) else { return };
        let queues = route.queues().map(|queue| Value::from(queue.as_str())).collect::<Vec<_>>();
        let mut extra = self.traced_here(link);
        extra.push(("routed_queues", Value::from(queues)));
        let more = more.iter().map(Vec::as_slice);
        let headers = headers(link, &source, more, header, extra);
        send(link, &copies, "publish.", source.exchange, headers, body);
    }

    /// A message of `queue` is being delivered.
    pub(super) fn trace_delivery(&self, link: &mut Link, queue: &Name, redelivered: bool, record: &Record<'_>) {
        let Some(source) = Source::of(record.exchange_and_key) else { return };
        let Some(copies) = link.session.trace_route(&routing_key("deliver.", queue.as_str())) else { return };
        let mut extra = vec![("redelivered", Value::I32(redelivered.into()))];
        extra.extend(self.traced_here(link));
        let copied = Content::parse(record.header).and_then(|content| content.header("CC"));
        let copied = copied.as_ref().and_then(Value::as_array).unwrap_or_default();
        let more = copied.iter().filter_map(Value::as_long_string);
        let headers = headers(link, &source, more, record.header, extra);
        send(link, &copies, "deliver.", queue.as_str(), headers, record.body);
    }

    fn traced_here(&self, link: &Link) -> Vec<(&'static str, Value)> {
        vec![
            ("vhost", Value::from(link.session.vhost().as_str())),
            ("connection", Value::from(&*link.name)),
            ("channel", Value::I32(self.number.into())),
            ("user", Value::from(link.session.identity().user.as_str())),
        ]
    }
}

/// Where a message was published to. None for what is a copy itself.
struct Source<'a> {
    exchange: &'a str,
    key: &'a [u8],
}

impl<'a> Source<'a> {
    fn of(exchange_and_key: &'a [u8]) -> Option<Source<'a>> {
        let mut names = Reader::new(exchange_and_key);
        let (exchange, key) = (text(names.short_string()?).ok()?, names.short_string()?);
        (exchange != TRACE_EXCHANGE).then_some(Source { exchange, key })
    }
}

fn routing_key(prefix: &str, name: &str) -> Vec<u8> {
    let mut key = [prefix.as_bytes(), name.as_bytes()].concat();
    key.truncate(KEY_MAX);
    key
}

/// The headers of a copy, in RabbitMQ's order.
fn headers<'a>(
    link: &Link,
    source: &Source<'_>,
    more: impl Iterator<Item = &'a [u8]>,
    header: &[u8],
    extra: Vec<(&'static str, Value)>,
) -> Table {
    let mut keys = vec![Value::LongString(source.key.to_vec())];
    keys.extend(more.map(|key| Value::LongString(key.to_vec())));
    let properties = read_content_header(header).ok().and_then(|header| Properties::parse(header.properties).ok());
    let mut headers = Table::new();
    headers.push("exchange_name", source.exchange);
    headers.push("routing_keys", Value::Array(keys));
    headers.push("properties", properties.map(|properties| listed(&properties)).unwrap_or_default());
    headers.push("node", link.session.broker().node_name());
    extra.into_iter().for_each(|(key, value)| headers.push(key, value));
    headers
}

/// Properties as a table, the last one first, as RabbitMQ lists them.
fn listed(properties: &Properties<'_>) -> Table {
    let text = |value: Option<&[u8]>| value.map(|value| Value::LongString(value.to_vec()));
    let number = |value: u64| i32::try_from(value).map_or(Value::I64(value as i64), Value::I32);
    let headers = properties.headers().and_then(|headers| Table::decode(headers).ok());
    let all = [
        ("cluster_id", text(properties.cluster_id())),
        ("app_id", text(properties.app_id())),
        ("user_id", text(properties.user_id())),
        ("type", text(properties.message_type())),
        ("timestamp", properties.timestamp().map(number)),
        ("message_id", text(properties.message_id())),
        ("expiration", text(properties.expiration())),
        ("reply_to", text(properties.reply_to())),
        ("correlation_id", text(properties.correlation_id())),
        ("priority", properties.priority().map(|priority| Value::I32(priority.into()))),
        ("delivery_mode", properties.delivery_mode().map(|mode| Value::I32(mode.into()))),
        ("headers", headers.map(Value::Table)),
        ("content_encoding", text(properties.content_encoding())),
        ("content_type", text(properties.content_type())),
    ];
    let mut table = Table::new();
    for (key, value) in all {
        if let Some(value) = value {
            table.push(key, value);
        }
    }
    table
}

/// Puts a copy into the turn's batch.
fn send(link: &mut Link, route: &Route, prefix: &str, name: &str, headers: Table, body: &[u8]) {
    let key = routing_key(prefix, name);
    let mut exchange_and_key = vec![TRACE_EXCHANGE.len() as u8];
    exchange_and_key.extend_from_slice(TRACE_EXCHANGE.as_bytes());
    exchange_and_key.push(key.len() as u8);
    exchange_and_key.extend_from_slice(&key);
    let properties = PropertiesBuilder { headers: Some(headers), ..PropertiesBuilder::default() };
    let parts = Parts {
        exchange_and_key: &exchange_and_key,
        header: &properties.content_header(body.len() as u64),
        body,
        persistent: false,
        priority: 0,
        deadline_ms: 0,
        died: false,
        detached: None,
    };
    link.batch.push(link.session.broker(), route, &parts, None);
}
