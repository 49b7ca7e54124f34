//! Figures of single objects: queues, exchanges, channels, connections.

use crate::broker::count::{Count, Totals};
use crate::broker::queue::Status;
use crate::engine::{ChannelRecord, ConnectionRecord, ExchangeRecord, QueueHandle, TrafficTotals};
use crate::http::answer::Failure;
use crate::http::request::Request;
use crate::metrics::text::{Exposition, Kind};
use fancy_regex::Regex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Which objects are asked for.
#[derive(Debug)]
pub struct Chosen {
    vhosts: Vec<String>,
    queues: Option<Regex>,
}

impl Chosen {
    /// By a request's query: `vhost` as often as wanted, `queue` a regular expression.
    ///
    /// # Errors
    /// It is none.
    pub fn of(request: &Request) -> Result<Chosen, Failure> {
        let vhosts = request.query.iter().filter(|(key, _)| key == "vhost").map(|(_, value)| value.clone());
        let regex = request.query("queue").map(Regex::new).transpose();
        let queues = regex.map_err(|fault| Failure::bad_request(format!("queue: no regular expression: {fault}")))?;
        Ok(Chosen { vhosts: vhosts.collect(), queues })
    }

    /// Whether a virtual host is.
    pub fn vhost(&self, name: &str) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|vhost| vhost == name)
    }

    fn queues(&self, request: &Request) -> Vec<Arc<QueueHandle>> {
        let vhosts = request.broker.vhost_names().into_iter().filter(|name| self.vhost(name.as_str()));
        let all = vhosts.flat_map(|name| request.broker.queues_in(name.as_str()));
        let fits = |queue: &Arc<QueueHandle>| {
            self.queues.as_ref().is_none_or(|regex| regex.is_match(queue.name().as_str()).unwrap_or(false))
        };
        all.filter(fits).collect()
    }
}

/// A figure: its name, what it is, what it says, and the number of an object.
type Figure<T> = (&'static str, Kind, &'static str, fn(&T) -> f64);

fn write<K, T>(
    out: &mut Exposition,
    objects: &[(K, T)],
    labels: impl Fn(&K) -> Vec<(&str, &str)>,
    figures: &[Figure<T>],
) {
    for (name, kind, help, number) in figures {
        out.family(name, *kind, help);
        for (key, object) in objects {
            out.sample(&labels(key), number(object));
        }
    }
}

fn queue_labels(queue: &Arc<QueueHandle>) -> Vec<(&str, &str)> {
    let definition = queue.definition();
    vec![("vhost", definition.vhost.as_str()), ("queue", definition.name.as_str())]
}

fn queues<T>(request: &Request, chosen: &Chosen, look: impl Fn(&Arc<QueueHandle>) -> T) -> Vec<(Arc<QueueHandle>, T)> {
    chosen
        .queues(request)
        .into_iter()
        .map(|queue| {
            let seen = look(&queue);
            (queue, seen)
        })
        .collect()
}

pub(super) fn queue_coarse(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = queues(request, chosen, |queue| queue.counts());
    write(
        out,
        &all,
        queue_labels,
        &[
            ("queue_messages_ready", Kind::Gauge, "Messages ready to be delivered to consumers", |counts| {
                counts.ready as f64
            }),
            (
                "queue_messages_unacked",
                Kind::Gauge,
                "Messages delivered to consumers but not yet acknowledged",
                |counts| counts.unsettled as f64,
            ),
            ("queue_messages", Kind::Gauge, "Sum of ready and unacknowledged messages - total queue depth", |counts| {
                (counts.ready + counts.unsettled) as f64
            }),
        ],
    );
}

pub(super) fn queue_consumers(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = queues(request, chosen, |queue| queue.counts());
    write(
        out,
        &all,
        queue_labels,
        &[("queue_consumers", Kind::Gauge, "Consumers on a queue", |counts| counts.consumers as f64)],
    );
}

fn capacity(status: &Status) -> f64 {
    f64::from(u8::from(status.counts.consumers > 0 && (status.able > 0 || status.counts.ready == 0)))
}

pub(super) fn queue_metrics(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = queues(request, chosen, |queue| queue.status());
    write(
        out,
        &all,
        queue_labels,
        &[
            ("queue_consumers", Kind::Gauge, "Consumers on a queue", |status| status.counts.consumers as f64),
            ("queue_consumer_capacity", Kind::Gauge, "Consumer capacity", capacity),
            ("queue_consumer_utilisation", Kind::Gauge, "Same as consumer capacity", capacity),
            ("queue_process_memory_bytes", Kind::Gauge, "Memory in bytes used by a queue's messages", |status| {
                status.bytes_ram as f64
            }),
            ("queue_messages_ram", Kind::Gauge, "Ready and unacknowledged messages stored in memory", |status| {
                status.ram as f64
            }),
            (
                "queue_messages_ram_bytes",
                Kind::Gauge,
                "Size of ready and unacknowledged messages stored in memory",
                |status| status.bytes_ram as f64,
            ),
            ("queue_messages_persistent", Kind::Gauge, "Persistent messages", |status| status.persistent as f64),
            ("queue_messages_persistent_bytes", Kind::Gauge, "Size in bytes of persistent messages", |status| {
                status.bytes_persistent as f64
            }),
            ("queue_messages_bytes", Kind::Gauge, "Size in bytes of ready and unacknowledged messages", |status| {
                status.bytes as f64
            }),
            ("queue_messages_paged_out", Kind::Gauge, "Messages paged out to disk", |status| status.paged_out as f64),
            ("queue_messages_paged_out_bytes", Kind::Gauge, "Size in bytes of messages paged out to disk", |status| {
                status.bytes.saturating_sub(status.bytes_ram) as f64
            }),
        ],
    );
}

fn count<const WHICH: usize>(totals: &Totals) -> f64 {
    Count::ALL.get(WHICH).map_or(0.0, |count| totals.get(*count) as f64)
}

const PUBLISH: usize = Count::Publish as usize;
const CONFIRM: usize = Count::Confirm as usize;
const DELIVER: usize = Count::Deliver as usize;
const DELIVER_NO_ACK: usize = Count::DeliverNoAck as usize;
const GET: usize = Count::Get as usize;
const GET_NO_ACK: usize = Count::GetNoAck as usize;
const GET_EMPTY: usize = Count::GetEmpty as usize;
const REDELIVER: usize = Count::Redeliver as usize;
const ACK: usize = Count::Ack as usize;
const RETURNED: usize = Count::ReturnUnroutable as usize;
const DROPPED: usize = Count::DropUnroutable as usize;
const IN: usize = Count::PublishIn as usize;
const OUT: usize = Count::PublishOut as usize;

pub(super) fn queue_deliveries(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = queues(request, chosen, |queue| queue.status().totals);
    write(
        out,
        &all,
        queue_labels,
        &[
            (
                "queue_get_ack_total",
                Kind::Counter,
                "Messages fetched from a queue with basic.get in manual acknowledgement mode",
                count::<GET>,
            ),
            (
                "queue_get_total",
                Kind::Counter,
                "Messages fetched from a queue with basic.get in automatic acknowledgement mode",
                count::<GET_NO_ACK>,
            ),
            (
                "queue_messages_delivered_ack_total",
                Kind::Counter,
                "Messages delivered from a queue to consumers in manual acknowledgement mode",
                count::<DELIVER>,
            ),
            (
                "queue_messages_delivered_total",
                Kind::Counter,
                "Messages delivered from a queue to consumers in automatic acknowledgement mode",
                count::<DELIVER_NO_ACK>,
            ),
            (
                "queue_messages_redelivered_total",
                Kind::Counter,
                "Messages from a queue redelivered to consumers",
                count::<REDELIVER>,
            ),
            (
                "queue_messages_acked_total",
                Kind::Counter,
                "Messages acknowledged by consumers on a queue",
                count::<ACK>,
            ),
            (
                "queue_get_empty_total",
                Kind::Counter,
                "Times basic.get operations fetched no message on a queue",
                count::<GET_EMPTY>,
            ),
        ],
    );
}

pub(super) fn queue_published(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = queues(request, chosen, |queue| queue.status().totals);
    write(
        out,
        &all,
        queue_labels,
        &[("queue_messages_published_total", Kind::Counter, "Messages published into a queue", count::<PUBLISH>)],
    );
}

pub(super) fn exchanges(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let vhosts = request.broker.vhost_names().into_iter().filter(|name| chosen.vhost(name.as_str()));
    let all = vhosts.flat_map(|name| request.broker.exchanges_in(name.as_str()));
    let all: Vec<(ExchangeRecord, Totals)> = all
        .map(|record| {
            let totals = record.throughput.totals();
            (record, totals)
        })
        .collect();
    let labels = |record: &ExchangeRecord| -> Vec<(&'static str, String)> {
        vec![("vhost", record.vhost.to_string()), ("exchange", record.spec.name.to_string())]
    };
    let all: Vec<(Vec<(&'static str, String)>, Totals)> =
        all.iter().map(|(record, totals)| (labels(record), *totals)).collect();
    write(
        out,
        &all,
        borrowed,
        &[
            ("exchange_messages_published_in_total", Kind::Counter, "Messages published into an exchange", count::<IN>),
            (
                "exchange_messages_published_out_total",
                Kind::Counter,
                "Messages published out of an exchange",
                count::<OUT>,
            ),
        ],
    );
}

/// Labels whose text is their own.
type Owned = Vec<(&'static str, String)>;

fn borrowed(labels: &Owned) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

fn all_channels(request: &Request, chosen: &Chosen) -> Vec<(Owned, Arc<ChannelRecord>)> {
    let connections =
        request.broker.connections().into_iter().filter(|connection| chosen.vhost(connection.vhost().as_str()));
    let of = |connection: Arc<ConnectionRecord>| {
        let channels = connection.channels().into_iter();
        let name = connection.name().to_owned();
        channels.map(move |channel| (vec![("channel", format!("{name} ({})", channel.number()))], channel))
    };
    connections.flat_map(of).collect()
}

fn gauge(number: &std::sync::atomic::AtomicU64) -> f64 {
    number.load(Ordering::Relaxed) as f64
}

pub(super) fn channels(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write(
        out,
        &all_channels(request, chosen),
        borrowed,
        &[
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
            ("consumer_prefetch", Kind::Gauge, "Limit of unacknowledged messages for each consumer", |channel| {
                f64::from(channel.gauges.prefetch.load(Ordering::Relaxed))
            }),
            (
                "channel_prefetch",
                Kind::Gauge,
                "Total limit of unacknowledged messages for all consumers on a channel",
                |channel| f64::from(channel.gauges.global_prefetch.load(Ordering::Relaxed)),
            ),
        ],
    );
}

/// Sums over all channels, under the names that dashboards from before RabbitMQ 3.9 ask for.
pub(super) fn channels_together(request: &Request, out: &mut Exposition, all: &Totals) {
    let connections = request.broker.connections();
    let channels: Vec<_> = connections.iter().flat_map(|connection| connection.channels()).collect();
    let sum = |number: fn(&ChannelRecord) -> f64| channels.iter().map(|channel| number(channel)).sum::<f64>();
    let gauges: [(&str, &str, f64); 3] = [
        ("channel_consumers", "Consumers on a channel", sum(|channel| channel.consumer_count() as f64)),
        (
            "channel_messages_unacked",
            "Delivered but not yet acknowledged messages",
            sum(|channel| gauge(&channel.gauges.unacknowledged)),
        ),
        (
            "channel_messages_unconfirmed",
            "Published but not yet confirmed messages",
            sum(|channel| gauge(&channel.gauges.unconfirmed)),
        ),
    ];
    for (name, help, value) in gauges {
        out.one(name, Kind::Gauge, help, value);
    }
    for (name, help, count) in [
        ("channel_messages_published_total", "Messages published into an exchange on a channel", Count::Publish),
        ("channel_messages_confirmed_total", "Messages published and confirmed on the channel", Count::Confirm),
        ("channel_messages_unroutable_returned_total", "Messages returned as unroutable", Count::ReturnUnroutable),
        ("channel_messages_unroutable_dropped_total", "Messages dropped as unroutable", Count::DropUnroutable),
        ("channel_get_ack_total", "Messages fetched with basic.get, to be acknowledged", Count::Get),
        ("channel_get_total", "Messages fetched with basic.get, acknowledged by that", Count::GetNoAck),
        ("channel_get_empty_total", "basic.get without a message", Count::GetEmpty),
        ("channel_messages_delivered_ack_total", "Messages delivered, to be acknowledged", Count::Deliver),
        ("channel_messages_delivered_total", "Messages delivered, acknowledged by that", Count::DeliverNoAck),
        ("channel_messages_redelivered_total", "Messages redelivered to consumers", Count::Redeliver),
        ("channel_messages_acked_total", "Messages acknowledged by consumers", Count::Ack),
        ("queue_messages_published_total", "Messages published into a queue", Count::PublishOut),
    ] {
        out.one(name, Kind::Counter, help, all.get(count));
    }
}

fn channel_totals(request: &Request, chosen: &Chosen) -> Vec<(Owned, Totals)> {
    all_channels(request, chosen).into_iter().map(|(labels, channel)| (labels, channel.totals())).collect()
}

pub(super) fn channel_publishes(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write(
        out,
        &channel_totals(request, chosen),
        borrowed,
        &[
            (
                "channel_messages_published_total",
                Kind::Counter,
                "Messages published into an exchange on a channel",
                count::<PUBLISH>,
            ),
            (
                "channel_messages_confirmed_total",
                Kind::Counter,
                "Messages published into an exchange and confirmed on the channel",
                count::<CONFIRM>,
            ),
            (
                "channel_messages_unroutable_returned_total",
                Kind::Counter,
                "Messages published as mandatory into an exchange and returned to the publisher as unroutable",
                count::<RETURNED>,
            ),
            (
                "channel_messages_unroutable_dropped_total",
                Kind::Counter,
                "Messages published as non-mandatory into an exchange and dropped as unroutable",
                count::<DROPPED>,
            ),
        ],
    );
}

pub(super) fn channel_deliveries(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write(
        out,
        &channel_totals(request, chosen),
        borrowed,
        &[
            (
                "channel_get_ack_total",
                Kind::Counter,
                "Messages fetched with basic.get in manual acknowledgement mode",
                count::<GET>,
            ),
            (
                "channel_get_total",
                Kind::Counter,
                "Messages fetched with basic.get in automatic acknowledgement mode",
                count::<GET_NO_ACK>,
            ),
            (
                "channel_messages_delivered_ack_total",
                Kind::Counter,
                "Messages delivered to consumers in manual acknowledgement mode",
                count::<DELIVER>,
            ),
            (
                "channel_messages_delivered_total",
                Kind::Counter,
                "Messages delivered to consumers in automatic acknowledgement mode",
                count::<DELIVER_NO_ACK>,
            ),
            (
                "channel_messages_redelivered_total",
                Kind::Counter,
                "Messages redelivered to consumers",
                count::<REDELIVER>,
            ),
            ("channel_messages_acked_total", Kind::Counter, "Messages acknowledged by consumers", count::<ACK>),
            (
                "channel_get_empty_total",
                Kind::Counter,
                "Times basic.get operations fetched no message",
                count::<GET_EMPTY>,
            ),
        ],
    );
}

fn all_connections<T>(request: &Request, chosen: &Chosen, look: impl Fn(&ConnectionRecord) -> T) -> Vec<(Owned, T)> {
    let connections =
        request.broker.connections().into_iter().filter(|connection| chosen.vhost(connection.vhost().as_str()));
    connections.map(|connection| (vec![("connection", connection.name().to_owned())], look(&connection))).collect()
}

pub(super) fn connection_bytes(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all_connections(request, chosen, |connection| connection.traffic().totals());
    write(
        out,
        &all,
        borrowed,
        &[
            (
                "connection_incoming_bytes_total",
                Kind::Counter,
                "Total number of bytes received on a connection",
                |traffic: &TrafficTotals| traffic.recv_oct as f64,
            ),
            (
                "connection_outgoing_bytes_total",
                Kind::Counter,
                "Total number of bytes sent on a connection",
                |traffic| traffic.send_oct as f64,
            ),
        ],
    );
}

pub(super) fn connections(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all =
        all_connections(request, chosen, |connection| (connection.traffic().totals(), connection.channels().len()));
    write(
        out,
        &all,
        borrowed,
        &[
            (
                "connection_incoming_packets_total",
                Kind::Counter,
                "Total number of packets received on a connection",
                |(traffic, _): &(TrafficTotals, usize)| traffic.recv_cnt as f64,
            ),
            (
                "connection_outgoing_packets_total",
                Kind::Counter,
                "Total number of packets sent on a connection",
                |(traffic, _)| traffic.send_cnt as f64,
            ),
            (
                "connection_pending_packets",
                Kind::Gauge,
                "Number of bytes waiting to be sent on a connection",
                |(traffic, _)| traffic.send_pend as f64,
            ),
            ("connection_channels", Kind::Gauge, "Channels on a connection", |(_, channels)| *channels as f64),
        ],
    );
}
