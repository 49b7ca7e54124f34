//! Publishing a message and getting some, as a client would: the same checks, the same confirm.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::queues;
use super::request::Request;
use super::route::{Needs, Route, Type, post};
use crate::broker::content::Content;
use crate::broker::count::{Count, Publishes, Totals};
use crate::broker::message::{Parts, Run};
use crate::broker::queue::{QueueKind, Taken};
use crate::clock::Now;
use crate::definitions::export;
use crate::engine::{Batch, Epoch, Item, PublishTag, QueueHandle, Route as Way, Session};
use crate::name::Name;
use crate::value::{Reader, Table, Value};
use crate::wire::properties::{PERSISTENT, Properties, PropertiesBuilder, read_content_header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) const ROUTES: &[Route] = &[
    post(
        "/exchanges/{vhost}/{exchange}/publish",
        Needs::Member,
        publish,
        "Publishes a message and waits for its confirm",
    )
    .takes(&[
        ("properties", Type::Object, true),
        ("routing_key", Type::Text, true),
        ("payload", Type::Text, true),
        ("payload_encoding", Type::Text, true),
    ]),
    post("/queues/{vhost}/{queue}/get", Needs::Member, get, "Gets messages, and says what becomes of them").takes(&[
        ("count", Type::Integer, true),
        ("ackmode", Type::Text, true),
        ("encoding", Type::Text, true),
        ("truncate", Type::Integer, false),
    ]),
];

/// Most messages that one request gets.
const GET_MAX: u64 = 10_000;
/// Bytes of messages after which a request gets no more: an answer is in memory as a whole.
const GET_BYTES: usize = 64 * 1024 * 1024;
/// How long a message is waited for that has to be read from disk.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// A message to be published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The exchange.
    pub exchange: &'a str,
    /// The routing key.
    pub key: &'a str,
    /// The payload of its content header.
    pub header: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

/// A content header without properties.
pub(super) fn plain_header(size: u64) -> Vec<u8> {
    PropertiesBuilder::default().content_header(size)
}

/// What became of a publish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    /// It reached a queue.
    pub routed: bool,
    /// A full queue refused it.
    pub refused: bool,
    /// It is on disk with this epoch.
    pub epoch: Option<Epoch>,
}

/// Publishes a message.
///
/// # Errors
/// As a client's publish.
pub(super) fn publish_one(request: &Request, session: &Session, message: &Message<'_>) -> Result<Published, Failure> {
    let Message { exchange, key, header, body } = *message;
    if body.len() as u64 > request.place.max_message_size {
        let (size, max) = (body.len(), request.place.max_message_size);
        return Err(Failure::bad_request(format!("message size {size} is larger than configured max size {max}")));
    }
    if let Some(alarm) = session.alarm() {
        return Err(Failure::unavailable(format!("publishers are held: {alarm}")));
    }
    let parsed = read_content_header(header).and_then(|header| Properties::parse(header.properties));
    let properties = parsed.map_err(|fault| Failure::bad_request(fault.to_string()))?;
    let user = session.identity().user.as_str();
    if let Some(given) = properties.user_id()
        && given != user.as_bytes()
        && !session.identity().has_tag("impersonator")
    {
        let given = String::from_utf8_lossy(given);
        let reason = format!("user_id property set to '{given}' but authenticated user was '{user}'");
        return Err(Failure::bad_request(reason));
    }
    let deadline_ms = match properties.expiration() {
        None => 0,
        Some(text) => {
            let ms = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
            let invalid = || Failure::bad_request(format!("invalid expiration '{}'", String::from_utf8_lossy(text)));
            Now::read().wall_ms.saturating_add(ms.ok_or_else(invalid)?).max(1)
        }
    };
    let (more, mut rewritten) = copies(header)?;
    if let Some(stamps) = &request.place.stamps {
        let written = stamps.write(rewritten.as_deref().unwrap_or(header), Now::read().wall_ms);
        rewritten = written.or(rewritten);
    }
    let keys: Vec<&[u8]> = std::iter::once(key.as_bytes()).chain(more.iter().map(Vec::as_slice)).collect();
    let way: Way = session.route_keys(exchange, &keys, header)?;
    session.authorize_keys(exchange, &keys)?;
    let mut exchange_and_key = Vec::with_capacity(2 + exchange.len() + key.len());
    for text in [exchange, key] {
        let too_long = |_| Failure::bad_request("longer than 255 bytes");
        exchange_and_key.push(u8::try_from(text.len()).map_err(too_long)?);
        exchange_and_key.extend_from_slice(text.as_bytes());
    }
    let parts = Parts {
        exchange_and_key: &exchange_and_key,
        header: rewritten.as_deref().unwrap_or(header),
        body,
        persistent: properties.delivery_mode() == Some(PERSISTENT),
        priority: properties.priority().unwrap_or(0),
        deadline_ms,
        died: false,
        detached: None,
    };
    let mut batch = Batch::default();
    if !way.is_idle() {
        batch.push(session.broker(), &way, &parts, Some(PublishTag { channel: 1, sequence: 1 }));
    }
    let epoch = batch.flush(session.broker());
    let refused = !batch.take_refused().is_empty();
    count_publish(session, &way, body.len(), refused);
    Ok(Published { routed: !way.is_empty(), refused, epoch })
}

/// Counts a publish: it is mandatory, and confirmed unless a queue refuses it.
fn count_publish(session: &Session, way: &Way, size: usize, refused: bool) {
    let (mut totals, mut publishes) = (Totals::default(), Publishes::default());
    totals.add(Count::Publish, 1);
    let returned = u64::from(way.is_empty());
    totals.add(Count::PublishOut, way.count(session.broker(), 1, returned));
    totals.add(Count::ReturnUnroutable, returned);
    totals.add(Count::Confirm, u64::from(!refused));
    publishes.add(1, size as u64, true);
    session.broker().note_done(session.vhost(), QueueKind::Classic, totals, publishes);
}

/// Counts a `basic.get`.
fn count_get(session: &Session, (handle, taken): (&QueueHandle, Option<&Run>), no_ack: bool) {
    let mut totals = Totals::default();
    match taken {
        Some(run) => {
            totals.add(if no_ack { Count::GetNoAck } else { Count::Get }, 1);
            totals.add(Count::Redeliver, u64::from(run.redelivered));
        }
        None => totals.add(Count::GetEmpty, 1),
    }
    session.broker().note_done(session.vhost(), handle.kind(), totals, Publishes::default());
}

/// Routing keys beside the message's own, and its header where it is kept as another.
type Copies = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// The keys of CC and BCC, and the header without BCC if it has one (compat.md 2.2).
fn copies(header: &[u8]) -> Result<Copies, Failure> {
    let Some(content) = Content::parse(header) else { return Ok((Vec::new(), None)) };
    let mut keys = Vec::new();
    for name in ["CC", "BCC"] {
        match content.header(name) {
            None => {}
            Some(Value::Array(more)) => keys.extend(more.iter().filter_map(Value::as_long_string).map(<[u8]>::to_vec)),
            Some(_) => return Err(Failure::bad_request(format!("{name}: a list is expected"))),
        }
    }
    let blind = content.header("BCC").is_some();
    let rewritten = blind.then(|| content.rewrite(|key| key != b"BCC", &Table::new(), true)).flatten();
    Ok((keys, rewritten))
}

fn publish(request: &Request) -> Outcome {
    let (vhost, exchange) = (request.vhost()?, request.exchange("exchange")?);
    let body = request.object()?;
    // As a channel of RabbitMQ's plugin is closed with it.
    if !super::exchanges::exists(request, &vhost, &exchange) {
        let reason = format!("404 NOT_FOUND - no exchange '{exchange}' in vhost '{vhost}'");
        return Err(Failure::bad_request(reason));
    }
    json::require(&body, &["properties", "routing_key", "payload", "payload_encoding"])?;
    let payload = json::text(&body, "payload")?;
    let payload = match json::text(&body, "payload_encoding")? {
        "string" => payload.as_bytes().to_vec(),
        "base64" => STANDARD.decode(payload).map_err(|_| Failure::bad_request("not_base64"))?,
        other => return Err(Failure::bad_request(format!("unsupported_encoding: {other}"))),
    };
    let header = header_of(body.get("properties"), payload.len() as u64)?;
    let key = json::text(&body, "routing_key")?;
    let session = request.session(&vhost)?;
    let message = Message { exchange: exchange.as_str(), key, header: &header, body: &payload };
    let published = publish_one(request, &session, &message)?;
    if published.refused {
        return Err(Failure::bad_request("rejected"));
    }
    Ok(Answer::json(&json!({"routed": published.routed})).after(published.epoch))
}

/// The members that a publish's properties may have.
const KNOWN: [&str; 14] = [
    "content_type",
    "content_encoding",
    "headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
];

/// The content header that a publish's properties amount to.
fn header_of(properties: Option<&Json>, size: u64) -> Result<Vec<u8>, Failure> {
    let empty = Map::new();
    let given = match properties {
        None | Some(Json::Null) => &empty,
        Some(Json::Array(list)) if list.is_empty() => &empty,
        Some(Json::Object(given)) => given,
        Some(_) => return Err(Failure::bad_request("properties: an object is expected")),
    };
    if let Some(unknown) = given.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(Failure::bad_request(format!("unknown property {unknown}")));
    }
    let text = |key: &str| -> Result<Option<&[u8]>, Failure> {
        let text = json::optional_text(given, key)?;
        match text {
            Some(text) if text.len() > 255 => Err(Failure::bad_request(format!("{key}: longer than 255 bytes"))),
            text => Ok(text.map(str::as_bytes)),
        }
    };
    let number = |key: &str| -> Result<Option<u64>, Failure> {
        match given.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => {
                let wrong = || Failure::bad_request(format!("{key}: a whole number is expected"));
                value.as_u64().ok_or_else(wrong).map(Some)
            }
        }
    };
    let octet = |key: &str| -> Result<Option<u8>, Failure> {
        let large = |_| Failure::bad_request(format!("{key}: at most 255"));
        number(key)?.map(u8::try_from).transpose().map_err(large)
    };
    // Some clients send an expiration as a number.
    let expiration = match given.get("expiration") {
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => json::optional_text(given, "expiration")?.map(str::to_owned),
    };
    let headers = given.get("headers").filter(|headers| !headers.is_null());
    let builder = PropertiesBuilder {
        content_type: text("content_type")?,
        content_encoding: text("content_encoding")?,
        headers: headers.map(|headers| json::to_table(Some(headers))).transpose()?,
        delivery_mode: octet("delivery_mode")?,
        priority: octet("priority")?,
        correlation_id: text("correlation_id")?,
        reply_to: text("reply_to")?,
        expiration: expiration.as_deref().map(str::as_bytes),
        message_id: text("message_id")?,
        timestamp: number("timestamp")?,
        message_type: text("type")?,
        user_id: text("user_id")?,
        app_id: text("app_id")?,
        cluster_id: text("cluster_id")?,
    };
    Ok(builder.content_header(size))
}

/// A message that was taken: its queue, the message, and how many are ready behind it.
type Got = (Arc<QueueHandle>, Run, u64);

/// Takes the next message; None when there is none.
///
/// # Errors
/// As a client's `basic.get`; `Unavailable` when the disk does not give it in time.
pub(super) fn take_one(session: &Session, queue: &Name, no_ack: bool) -> Result<Option<Got>, Failure> {
    loop {
        let (handle, taken) = session.get(queue, no_ack, 1)?;
        match taken {
            Taken::Message(run, left) => {
                count_get(session, (&handle, Some(&run)), no_ack);
                return Ok(Some((handle, run, left)));
            }
            Taken::Empty => {
                count_get(session, (&handle, None), no_ack);
                return Ok(None);
            }
            Taken::OnDisk => wait_for_disk(session)?,
        }
    }
}

/// Waits until what was asked for is in memory. The thread that waits is one for requests, not one of the broker's.
fn wait_for_disk(session: &Session) -> Result<(), Failure> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| Failure::unavailable("no runtime"))?;
    let waiting = async {
        loop {
            let mut items = Vec::new();
            session.outbox().take(&mut items);
            if items.iter().any(|item| matches!(item, Item::Loaded { .. })) {
                return;
            }
            if session.outbox().rest() {
                session.outbox().rung().await;
            }
            session.outbox().rise();
        }
    };
    let waited = runtime.block_on(async { tokio::time::timeout(READ_PATIENCE, waiting).await });
    waited.map_err(|_| Failure::unavailable("the disk is slow"))
}

/// What becomes of messages that are got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckMode {
    Ack,
    Requeue,
    RejectRequeue,
    Reject,
}

fn ack_mode(body: &Map<String, Json>) -> Result<AckMode, Failure> {
    match body.get("ackmode").and_then(Json::as_str) {
        Some("ack_requeue_false") => Ok(AckMode::Ack),
        Some("ack_requeue_true") => Ok(AckMode::Requeue),
        Some("reject_requeue_true") => Ok(AckMode::RejectRequeue),
        Some("reject_requeue_false") => Ok(AckMode::Reject),
        Some(other) => Err(Failure::bad_request(format!("ackmode: unknown {other}"))),
        // Older clients.
        None => match json::flag(body, "requeue", true) {
            Ok(requeue) if body.contains_key("requeue") => Ok(if requeue { AckMode::Requeue } else { AckMode::Ack }),
            _ => Err(json::missing("ackmode")),
        },
    }
}

fn get(request: &Request) -> Outcome {
    let queue = queues::find(request).map_err(|_| {
        let (queue, vhost) = (request.param("queue"), request.param("vhost"));
        Failure::missing(format!("NOT_FOUND - no queue '{queue}' in vhost '{vhost}'"))
    })?;
    let body = request.object()?;
    if body.contains_key("requeue") {
        json::require(&body, &["count", "encoding"])?;
    } else {
        json::require(&body, &["count", "ackmode", "encoding"])?;
    }
    let whole = |key: &str| -> Result<Option<u64>, Failure> {
        let Some(value) = body.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let text = value.as_str().and_then(|text| text.parse().ok());
        let wrong = || Failure::bad_request(format!("{key}: a whole number is expected"));
        value.as_u64().or(text).ok_or_else(wrong).map(Some)
    };
    let count = whole("count")?.ok_or_else(|| json::missing("count"))?.min(GET_MAX);
    let mode = ack_mode(&body)?;
    let base64 = match json::text(&body, "encoding")? {
        "auto" => false,
        "base64" => true,
        other => return Err(Failure::bad_request(format!("unsupported_encoding: {other}"))),
    };
    let truncate = whole("truncate")?.and_then(|truncate| usize::try_from(truncate).ok());
    let session = request.session(&queue.definition().vhost)?;
    let (mut got, mut shown, mut bytes) = (Vec::new(), Vec::new(), 0);
    let taken = (|| -> Result<(), Failure> {
        while (got.len() as u64) < count && bytes < GET_BYTES {
            let Some((handle, run, left)) = take_one(&session, queue.name(), false)? else { break };
            bytes += run.bytes();
            shown.push(describe(&run, left, base64, truncate));
            got.push((handle, run));
        }
        Ok(())
    })();
    // Whatever went wrong, nothing stays in nobody's hands.
    for (handle, run) in got {
        match mode {
            AckMode::Ack if taken.is_ok() => {
                let mut totals = Totals::default();
                totals.add(Count::Ack, 1);
                session.broker().note_done(session.vhost(), handle.kind(), totals, Publishes::default());
                session.settle(&handle, vec![(run.first(), run.count)], None);
            }
            AckMode::Reject if taken.is_ok() => session.discard(&handle, vec![run.span()], None),
            AckMode::RejectRequeue => session.requeue(&handle, vec![run.span()], None, true),
            _ => session.requeue(&handle, vec![run.span()], None, false),
        }
    }
    taken?;
    Ok(Answer::json(&Json::Array(shown)))
}

fn describe(run: &Run, left: u64, base64: bool, truncate: Option<usize>) -> Json {
    let Some(record) = run.chunk.record(run.index) else { return Json::Null };
    let mut names = Reader::new(record.exchange_and_key);
    let mut name = || String::from_utf8_lossy(names.short_string().unwrap_or_default()).into_owned();
    let (exchange, routing_key) = (name(), name());
    let shown = truncate.map_or(record.body, |most| record.body.get(..most).unwrap_or(record.body));
    let (payload, encoding) = match std::str::from_utf8(shown) {
        Ok(text) if !base64 => (text.to_owned(), "string"),
        _ => (STANDARD.encode(shown), "base64"),
    };
    json!({
        "payload_bytes": record.body.len(),
        "redelivered": run.redelivered,
        "exchange": exchange,
        "routing_key": routing_key,
        "message_count": left,
        "properties": properties(record.header),
        "payload": payload,
        "payload_encoding": encoding,
    })
}

/// A message's properties; RabbitMQ shows a list when there are none.
fn properties(header: &[u8]) -> Json {
    let mut members = Map::new();
    let Ok(parsed) = read_content_header(header).and_then(|header| Properties::parse(header.properties)) else {
        return json!([]);
    };
    let texts: [(&str, Option<&[u8]>); 10] = [
        ("content_type", parsed.content_type()),
        ("content_encoding", parsed.content_encoding()),
        ("correlation_id", parsed.correlation_id()),
        ("reply_to", parsed.reply_to()),
        ("expiration", parsed.expiration()),
        ("message_id", parsed.message_id()),
        ("type", parsed.message_type()),
        ("user_id", parsed.user_id()),
        ("app_id", parsed.app_id()),
        ("cluster_id", parsed.cluster_id()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            members.insert(key.to_owned(), Json::from(String::from_utf8_lossy(text)));
        }
    }
    if let Some(headers) = parsed.headers().and_then(|headers| Table::decode(headers).ok()) {
        members.insert("headers".to_owned(), export::table(&headers));
    }
    let numbers = [
        ("delivery_mode", parsed.delivery_mode().map(u64::from)),
        ("priority", parsed.priority().map(u64::from)),
        ("timestamp", parsed.timestamp()),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            members.insert(key.to_owned(), Json::from(number));
        }
    }
    if members.is_empty() { json!([]) } else { Json::Object(members) }
}
