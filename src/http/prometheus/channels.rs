//! Families of channels and connections.

use super::objects::{Chosen, Counted, Figure, Labels, write, write_counts};
use super::queues;
use crate::broker::count::{Count, Totals};
use crate::engine::{ChannelRecord, ConnectionRecord, Listed, TrafficTotals};
use crate::http::request::Request;
use crate::metrics::text::{Exposition, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn all_channels(request: &Request, chosen: &Chosen) -> Vec<(Labels, Arc<ChannelRecord>)> {
    let connections = request.broker.connections().into_iter();
    let connections = connections.filter(|connection| chosen.vhost(connection.vhost().as_str()));
    let of = |connection: Arc<ConnectionRecord>| {
        let channels = connection.channels().into_iter();
        let (vhost, name) = (connection.vhost().to_string(), connection.name().to_owned());
        channels.map(move |channel| {
            let labels = vec![("channel", format!("{name} ({})", channel.number())), ("vhost", vhost.clone())];
            (labels, channel)
        })
    };
    connections.flat_map(of).collect()
}

fn gauge(number: &AtomicU64) -> f64 {
    number.load(Ordering::Relaxed) as f64
}

/// What a channel is at the moment.
const GAUGES: &[Figure<Arc<ChannelRecord>>] = &[
    ("channel_consumers", Kind::Gauge, "Consumers on a channel", |channel| channel.consumer_count() as f64),
    ("channel_messages_unacked", Kind::Gauge, "Delivered but not yet acknowledged messages", |channel| {
        gauge(&channel.gauges.unacknowledged)
    }),
    ("channel_messages_unconfirmed", Kind::Gauge, "Published but not yet confirmed messages", |channel| {
        gauge(&channel.gauges.unconfirmed)
    }),
    (
        "channel_messages_uncommitted",
        Kind::Gauge,
        "Messages received in a transaction but not yet committed",
        |channel| gauge(&channel.gauges.uncommitted),
    ),
    (
        "channel_acks_uncommitted",
        Kind::Gauge,
        "Message acknowledgements in a transaction not yet committed",
        |channel| gauge(&channel.gauges.acks_uncommitted),
    ),
];

/// What a channel lets its consumers have: no sum says anything.
const LIMITS: &[Figure<Arc<ChannelRecord>>] = &[
    ("consumer_prefetch", Kind::Gauge, "Limit of unacknowledged messages for each consumer", |channel| {
        f64::from(channel.gauges.prefetch.load(Ordering::Relaxed))
    }),
    (
        "channel_prefetch",
        Kind::Gauge,
        "Total limit of unacknowledged messages for all consumers on a channel",
        |channel| f64::from(channel.gauges.global_prefetch.load(Ordering::Relaxed)),
    ),
];

/// What was published on a channel.
const PUBLISHES: &[Counted] = &[
    ("channel_messages_published_total", "Messages published into an exchange on a channel", Count::Publish),
    (
        "channel_messages_confirmed_total",
        "Messages published into an exchange and confirmed on the channel",
        Count::Confirm,
    ),
    (
        "channel_messages_unroutable_returned_total",
        "Messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Count::ReturnUnroutable,
    ),
    (
        "channel_messages_unroutable_dropped_total",
        "Messages published as non-mandatory into an exchange and dropped as unroutable",
        Count::DropUnroutable,
    ),
];

/// What was delivered on a channel.
const DELIVERIES: &[Counted] = &[
    ("channel_get_ack_total", "Messages fetched with basic.get in manual acknowledgement mode", Count::Get),
    ("channel_get_total", "Messages fetched with basic.get in automatic acknowledgement mode", Count::GetNoAck),
    (
        "channel_messages_delivered_ack_total",
        "Messages delivered to consumers in manual acknowledgement mode",
        Count::Deliver,
    ),
    (
        "channel_messages_delivered_total",
        "Messages delivered to consumers in automatic acknowledgement mode",
        Count::DeliverNoAck,
    ),
    ("channel_messages_redelivered_total", "Messages redelivered to consumers", Count::Redeliver),
    ("channel_messages_acked_total", "Messages acknowledged by consumers", Count::Ack),
    ("channel_get_empty_total", "Times basic.get operations fetched no message", Count::GetEmpty),
];

pub(super) fn channels(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all_channels(request, chosen);
    write(out, &all, GAUGES);
    write(out, &all, LIMITS);
}

/// A channel's numbers by the queues, or the exchanges, that they have to do with (`label`); what is not told apart, or was done
/// with one that is not there any more, comes last, without that label. `all` was read before the parts are: they are never
/// less.
fn told_apart<T>(
    labels: &Labels,
    label: &'static str,
    (all, listed): (Totals, &Listed<T>),
    counted: &[Counted],
    is_there: impl Fn(&str) -> bool,
) -> Vec<(Labels, Totals)> {
    let mut rest = all;
    let mut rows: Vec<(Labels, Totals)> = Vec::new();
    for (name, totals) in listed.totals().into_iter().filter(|(name, _)| is_there(name.as_str())) {
        rest = rest.without(&totals);
        rows.push((labels.iter().cloned().chain([(label, name.to_string())]).collect(), totals));
    }
    // Whoever publishes to one exchange alone has its confirms from there.
    if let [(_, totals)] = &mut rows[..]
        && rest.get(Count::Publish) == 0
    {
        let mut confirms = Totals::default();
        confirms.add(Count::Confirm, rest.get(Count::Confirm));
        *totals += confirms;
        rest = rest.without(&confirms);
    }
    if counted.iter().any(|(_, _, count)| rest.get(*count) > 0) {
        rows.push((labels.clone(), rest));
    }
    rows
}

pub(super) fn publishes(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all_channels(request, chosen);
    let rows = all.iter().flat_map(|(labels, channel)| {
        let is_there = |name: &str| request.broker.exchange(vhost_in(labels), name).is_some();
        told_apart(labels, "exchange", (channel.totals(), &channel.exchanges), PUBLISHES, is_there)
    });
    write_counts(out, &rows.collect::<Vec<_>>(), PUBLISHES);
}

pub(super) fn deliveries(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all_channels(request, chosen);
    let rows = all.iter().flat_map(|(labels, channel)| {
        let is_there = |name: &str| request.broker.queue(vhost_in(labels), name).is_some();
        told_apart(labels, "queue", (channel.totals(), &channel.queues), DELIVERIES, is_there)
    });
    write_counts(out, &rows.collect::<Vec<_>>(), DELIVERIES);
}

fn vhost_in(labels: &Labels) -> &str {
    labels.iter().find(|(label, _)| *label == "vhost").map_or("", |(_, vhost)| vhost.as_str())
}

/// Sums over all channels, those that have ended too, and all connections.
pub(super) fn together(request: &Request, out: &mut Exposition) {
    let connections = request.broker.connections();
    let channels: Vec<_> = connections.iter().flat_map(|connection| connection.channels()).collect();
    for (name, kind, help, number) in GAUGES.iter().chain(LIMITS) {
        out.one(name, *kind, help, channels.iter().map(number).sum::<f64>());
    }
    let [mut all, quorum] = request.broker.message_totals();
    all += quorum;
    let counted = PUBLISHES.iter().chain(DELIVERIES).chain(queues::TOGETHER).chain(queues::DELIVERIES);
    for (name, help, count) in counted {
        out.one(name, Kind::Counter, help, all.get(*count));
    }
    let mut traffic = TrafficTotals::default();
    request.broker.totals_by_vhost().into_values().for_each(|done| traffic += done.traffic);
    for (name, kind, help, number) in BYTES.iter().chain(PACKETS) {
        out.one(name, *kind, help, number(&traffic));
    }
    out.one("connection_channels", Kind::Gauge, "Channels on connections", channels.len() as u64);
}

fn all_connections<T>(request: &Request, chosen: &Chosen, look: impl Fn(&ConnectionRecord) -> T) -> Vec<(Labels, T)> {
    let connections = request.broker.connections().into_iter();
    let connections = connections.filter(|connection| chosen.vhost(connection.vhost().as_str()));
    // RabbitMQ calls the process of a connection `channel`, too.
    let labels = |name: &str| vec![("channel", name.to_owned()), ("connection", name.to_owned())];
    connections.map(|connection| (labels(connection.name()), look(&connection))).collect()
}

/// Bytes through a connection: received, sent.
const BYTES: &[Figure<TrafficTotals>] = &[
    ("connection_incoming_bytes_total", Kind::Counter, "Total number of bytes received on a connection", |traffic| {
        traffic.recv_oct as f64
    }),
    ("connection_outgoing_bytes_total", Kind::Counter, "Total number of bytes sent on a connection", |traffic| {
        traffic.send_oct as f64
    }),
];

/// What a connection's socket was asked to do.
const PACKETS: &[Figure<TrafficTotals>] = &[
    (
        "connection_incoming_packets_total",
        Kind::Counter,
        "Total number of packets received on a connection",
        |traffic| traffic.recv_cnt as f64,
    ),
    ("connection_outgoing_packets_total", Kind::Counter, "Total number of packets sent on a connection", |traffic| {
        traffic.send_cnt as f64
    }),
    ("connection_pending_packets", Kind::Gauge, "Number of bytes waiting to be sent on a connection", |traffic| {
        traffic.send_pend as f64
    }),
];

pub(super) fn connection_bytes(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write(out, &all_connections(request, chosen, |connection| connection.traffic().totals()), BYTES);
}

pub(super) fn connections(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write(out, &all_connections(request, chosen, |connection| connection.traffic().totals()), PACKETS);
    write(
        out,
        &all_connections(request, chosen, |connection| connection.channels().len()),
        &[("connection_channels", Kind::Gauge, "Channels on a connection", |channels| *channels as f64)],
    );
}
