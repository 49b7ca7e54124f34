//! Connections, channels and consumers. A management user sees its own, a monitoring one all; it closes its own, an
//! administrator any.

use super::answer::{Answer, Failure, Outcome};
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, delete, get};
use super::stats::{self, Clock};
use crate::broker::identity::ConsumerId;
use crate::definitions::export;
use crate::engine::{ChannelRecord, ConnectionRecord, ConsumerRecord, QueueHandle};
use crate::name::Name;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) const ROUTES: &[Route] = &[
    get("/connections", Needs::Management, connections, "Connections that the caller sees").paged(),
    get("/vhosts/{vhost}/connections", Needs::Sight, connections, "The same in a virtual host").paged(),
    get("/connections/username/{user}", Needs::OwnerOrMonitoring, connections, "The same of a user").paged(),
    delete(
        "/connections/username/{user}",
        Needs::OwnerOrAdministrator,
        close_all,
        "Closes a user's connections; `X-Reason` says why",
    ),
    get("/connections/{connection}", Needs::Management, connection, "A connection"),
    delete("/connections/{connection}", Needs::Management, close, "Closes a connection; `X-Reason` says why"),
    get("/connections/{connection}/channels", Needs::Management, channels, "A connection's channels").paged(),
    get("/connections/{connection}/sessions", Needs::Management, sessions, "Sessions of AMQP 1.0: none"),
    get("/channels", Needs::Management, channels, "Channels that the caller sees").paged(),
    get("/vhosts/{vhost}/channels", Needs::Sight, channels, "The same in a virtual host").paged(),
    get("/channels/{channel}", Needs::Management, channel, "A channel"),
    get("/consumers", Needs::Management, consumers, "Consumers that the caller sees").paged(),
    get("/consumers/{vhost}", Needs::Sight, consumers, "The same in a virtual host").paged(),
];

/// What a connection's end says when nobody gave a reason.
const CLOSED: &str = "Closed via management plugin";

/// Whether the caller may see what belongs to a user.
pub(super) fn may_see(request: &Request, user: &Name) -> bool {
    request.caller.is_monitor() || request.caller.identity.user == *user
}

/// The connections that the request is about.
fn some(request: &Request) -> Result<Vec<Arc<ConnectionRecord>>, Failure> {
    let vhost = request.has_param("vhost").then(|| request.vhost()).transpose()?;
    let user = request.has_param("user").then(|| request.param("user"));
    let mut records = request.broker.connections();
    records.retain(|record| {
        may_see(request, record.user())
            && vhost.as_ref().is_none_or(|vhost| record.vhost() == vhost)
            && user.is_none_or(|user| record.user().as_str() == user)
    });
    Ok(records)
}

fn connections(request: &Request) -> Outcome {
    let clock = Clock::of(request)?;
    list(
        request,
        some(request)?,
        |record| Ident::new(record.vhost().as_str(), record.name()),
        |record| describe(request, clock, record),
    )
}

/// Why publishers of the node are held, as a connection's state.
fn state(request: &Request, record: &ConnectionRecord) -> &'static str {
    match (request.broker.held_because(), record.has_published()) {
        (Some(_), true) => "blocked",
        (Some(_), false) => "blocking",
        _ => "running",
    }
}

fn describe(request: &Request, clock: Clock, record: &ConnectionRecord) -> Json {
    let Some(info) = record.info() else { return Json::Null };
    let certificate = info.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    let shown_certificate = |at: usize| certificate.and_then(|shown| shown.get(at)).map(String::as_str);
    let mut shown = json!({
        "name": info.name,
        "node": request.place.node,
        "vhost": record.vhost().as_str(),
        "user": record.user().as_str(),
        "user_who_performed_action": record.user().as_str(),
        "protocol": "AMQP 0-9-1",
        "type": "network",
        "host": info.host,
        "port": info.port,
        "peer_host": info.peer_host,
        "peer_port": info.peer_port,
        "ssl": info.tls.is_some(),
        "ssl_protocol": info.tls.as_ref().map(|tls| tls.protocol.as_str()),
        "ssl_cipher": info.tls.as_ref().map(|tls| tls.cipher.as_str()),
        "ssl_hash": info.tls.as_ref().map(|tls| tls.hash.as_str()),
        "ssl_key_exchange": info.tls.as_ref().map(|tls| tls.key_exchange.as_str()),
        "peer_cert_subject": shown_certificate(0),
        "peer_cert_issuer": shown_certificate(1),
        "peer_cert_validity": shown_certificate(2),
        "auth_mechanism": info.mechanism,
        "timeout": info.timeout,
        "frame_max": info.frame_max,
        "channel_max": info.channel_max,
        "channels": record.channels().len(),
        "state": state(request, record),
        "client_properties": export::table(&info.client_properties),
        "connected_at": info.connected_at,
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
        "garbage_collection": {},
    });
    if let Json::Object(members) = &mut shown {
        if let Some(name) = &info.user_provided_name {
            members.insert("user_provided_name".to_owned(), Json::from(name.as_str()));
        }
        if request.has_statistics() {
            members.extend(stats::connection(clock, record));
        }
    }
    shown
}

fn find(request: &Request, name: &str) -> Result<Arc<ConnectionRecord>, Failure> {
    request.broker.connection(name).ok_or_else(Failure::not_found)
}

fn not_yours() -> Failure {
    Failure::not_authorised("User not authorised to access object")
}

/// A connection that the caller may see.
fn visible(request: &Request, name: &str) -> Result<Arc<ConnectionRecord>, Failure> {
    let record = find(request, name)?;
    if may_see(request, record.user()) { Ok(record) } else { Err(not_yours()) }
}

fn connection(request: &Request) -> Outcome {
    let record = visible(request, request.param("connection"))?;
    Ok(object(request, describe(request, Clock::of(request)?, &record)))
}

fn close_one(request: &Request, record: &ConnectionRecord) -> Result<(), Failure> {
    if !request.caller.is_admin() && request.caller.identity.user != *record.user() {
        return Err(not_yours());
    }
    request.broker.close_connection(record.id(), request.header("x-reason").unwrap_or(CLOSED));
    Ok(())
}

fn close(request: &Request) -> Outcome {
    close_one(request, &*find(request, request.param("connection"))?)?;
    Ok(Answer::nothing())
}

fn close_all(request: &Request) -> Outcome {
    for record in some(request)? {
        close_one(request, &record)?;
    }
    Ok(Answer::nothing())
}

fn sessions(request: &Request) -> Outcome {
    visible(request, request.param("connection"))?;
    Ok(Answer::json(&json!([])))
}

type ChannelKey = (Arc<ConnectionRecord>, Arc<ChannelRecord>);

/// A channel's name.
pub(super) fn channel_name(connection: &ConnectionRecord, channel: &ChannelRecord) -> String {
    format!("{} ({})", connection.name(), channel.number())
}

fn channels(request: &Request) -> Outcome {
    let clock = Clock::of(request)?;
    let records = if request.has_param("connection") {
        vec![visible(request, request.param("connection"))?]
    } else {
        some(request)?
    };
    let of = |record: Arc<ConnectionRecord>| {
        let channels = record.channels().into_iter();
        channels.map(move |channel| (record.clone(), channel)).collect::<Vec<ChannelKey>>()
    };
    let keys: Vec<ChannelKey> = records.into_iter().flat_map(of).collect();
    list(
        request,
        keys,
        |(connection, channel)| Ident::new(connection.vhost().as_str(), &channel_name(connection, channel)),
        |(connection, channel)| describe_channel(request, clock, connection, channel),
    )
}

fn describe_channel(request: &Request, clock: Clock, connection: &ConnectionRecord, channel: &ChannelRecord) -> Json {
    let (info, gauges) = (connection.info().cloned().unwrap_or_default(), &channel.gauges);
    let read = |gauge: &std::sync::atomic::AtomicU64| gauge.load(Ordering::Relaxed);
    let small = |gauge: &std::sync::atomic::AtomicU32| gauge.load(Ordering::Relaxed);
    let mut shown = json!({
        "name": channel_name(connection, channel),
        "number": channel.number(),
        "node": request.place.node,
        "vhost": connection.vhost().as_str(),
        "user": connection.user().as_str(),
        "user_who_performed_action": connection.user().as_str(),
        "connection_details": {"name": info.name, "peer_host": info.peer_host, "peer_port": info.peer_port},
        "state": if state(request, connection) == "blocked" { "flow" } else { "running" },
        "transactional": small(&gauges.transactional) == 1,
        "confirm": small(&gauges.confirm) == 1,
        "consumer_count": channel.consumer_count(),
        "messages_unacknowledged": read(&gauges.unacknowledged),
        "messages_unconfirmed": read(&gauges.unconfirmed),
        "messages_uncommitted": read(&gauges.uncommitted),
        "acks_uncommitted": read(&gauges.acks_uncommitted),
        "prefetch_count": small(&gauges.prefetch),
        "global_prefetch_count": small(&gauges.global_prefetch),
        "pending_raft_commands": 0,
        "cached_segments": 0,
        "interceptors": [],
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
        "garbage_collection": {},
    });
    if let Json::Object(members) = &mut shown
        && request.has_statistics()
    {
        let stats = stats::channel(clock, channel);
        members.extend(stats.map(|stats| ("message_stats".to_owned(), stats)));
        let opened = channel.active_at().max(info.connected_at);
        if clock.is_past(opened) {
            members.insert("idle_since".to_owned(), Json::from(super::json::time(opened)));
        }
    }
    shown
}

fn channel(request: &Request) -> Outcome {
    let wanted = request.param("channel");
    let (name, number) =
        wanted.strip_suffix(')').and_then(|name| name.rsplit_once(" (")).ok_or_else(Failure::not_found)?;
    let connection = visible(request, name)?;
    let mut channels = connection.channels().into_iter();
    let channel = channels.find(|channel| channel.number().to_string() == number).ok_or_else(Failure::not_found)?;
    let mut shown = describe_channel(request, Clock::of(request)?, &connection, &channel);
    if let Json::Object(members) = &mut shown {
        let consumers = channel.consumers().into_iter();
        let keys = consumers.map(|consumer| (connection.clone(), channel.clone(), consumer));
        let consumers = keys.map(|key| describe_consumer(request, &key)).collect();
        members.insert("consumer_details".to_owned(), consumers);
        // RabbitMQ fills them with `rates_mode = detailed` only.
        members.insert("publishes".to_owned(), json!([]));
        members.insert("deliveries".to_owned(), json!([]));
    }
    Ok(object(request, shown))
}

/// A consumer with its channel and connection.
pub(super) type ConsumerKey = (Arc<ConnectionRecord>, Arc<ChannelRecord>, ConsumerRecord);

/// The consumers of some connections.
fn consumers_of(connections: Vec<Arc<ConnectionRecord>>) -> Vec<ConsumerKey> {
    let mut found = Vec::new();
    for connection in connections {
        for channel in connection.channels() {
            found.extend(
                channel.consumers().into_iter().map(|consumer| (connection.clone(), channel.clone(), consumer)),
            );
        }
    }
    found
}

fn consumers(request: &Request) -> Outcome {
    let vhosts = request.vhosts()?;
    let mut connections = request.broker.connections();
    connections.retain(|connection| vhosts.contains(connection.vhost()));
    let ident = |(connection, _, consumer): &ConsumerKey| Ident::new(connection.vhost().as_str(), &consumer.tag);
    list(request, consumers_of(connections), ident, |key| describe_consumer(request, key))
}

/// The consumers of a queue.
fn keys_of_queue(request: &Request, queue: &QueueHandle) -> Vec<ConsumerKey> {
    let mut connections = request.broker.connections();
    connections.retain(|connection| *connection.vhost() == queue.definition().vhost);
    let mut keys = consumers_of(connections);
    keys.retain(|(_, _, consumer)| consumer.queue == *queue.name());
    keys
}

/// The consumers of a queue, as its `consumer_details`.
pub(super) fn consumers_of_queue(request: &Request, queue: &QueueHandle) -> Json {
    keys_of_queue(request, queue).iter().map(|key| describe_consumer(request, key)).collect()
}

/// One consumer of a queue.
pub(super) fn consumer_of_queue(request: &Request, queue: &QueueHandle, id: ConsumerId) -> Option<ConsumerKey> {
    keys_of_queue(request, queue).into_iter().find(|(_, _, consumer)| consumer.id == id)
}

fn describe_consumer(request: &Request, (connection, channel, consumer): &ConsumerKey) -> Json {
    let info = connection.info().cloned().unwrap_or_default();
    let queue = request.broker.queue(connection.vhost().as_str(), consumer.queue.as_str());
    // Where one is served, the others wait.
    let single = queue.filter(|queue| queue.settings().single_active).map(|queue| queue.status().single_active);
    let (active, status) = match single {
        Some(active) if active == Some(consumer.id) => (true, "single_active"),
        Some(_) => (false, "waiting"),
        None => (true, "up"),
    };
    json!({
        "consumer_tag": consumer.tag,
        "queue": {"name": consumer.queue.as_str(), "vhost": connection.vhost().as_str()},
        "channel_details": {
            "name": channel_name(connection, channel),
            "number": channel.number(),
            "user": connection.user().as_str(),
            "connection_name": info.name,
            "peer_host": info.peer_host,
            "peer_port": info.peer_port,
            "node": request.place.node,
        },
        "ack_required": !consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "arguments": export::table(&consumer.arguments),
        "active": active,
        "activity_status": status,
        "consumer_timeout": consumer.timeout.map_or(json!("undefined"), |timeout| json!(timeout)),
    })
}
