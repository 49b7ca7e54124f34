//! Families of queues and exchanges.

use super::objects::{Chosen, Counted, Labels, write, write_counts};
use crate::broker::count::{Count, Totals};
use crate::broker::queue::Status;
use crate::engine::QueueHandle;
use crate::http::request::Request;
use crate::metrics::text::{Exposition, Kind};
use std::sync::Arc;

fn all<T>(request: &Request, chosen: &Chosen, look: impl Fn(&Arc<QueueHandle>) -> T) -> Vec<(Labels, T)> {
    let labels = |queue: &QueueHandle| {
        let definition = queue.definition();
        vec![("vhost", definition.vhost.to_string()), ("queue", definition.name.to_string())]
    };
    chosen.queues(request).iter().map(|queue| (labels(queue), look(queue))).collect()
}

pub(super) fn coarse(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all(request, chosen, |queue| queue.counts());
    write(
        out,
        &all,
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

pub(super) fn consumers(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let all = all(request, chosen, |queue| queue.counts());
    write(out, &all, &[("queue_consumers", Kind::Gauge, "Consumers on a queue", |counts| counts.consumers as f64)]);
}

fn capacity(status: &Status) -> f64 {
    f64::from(u8::from(status.counts.consumers > 0 && (status.able > 0 || status.counts.ready == 0)))
}

/// Ready messages in memory: what is in consumers' hands is in memory first.
fn ready_ram(status: &Status) -> u64 {
    status.ram.saturating_sub(status.counts.unsettled).min(status.counts.ready)
}

pub(super) fn metrics(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let mut all = all(request, chosen, |queue| queue.status());
    write(
        out,
        &all,
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
            ("queue_messages_ready_ram", Kind::Gauge, "Ready messages stored in memory", |status| {
                ready_ram(status) as f64
            }),
            ("queue_messages_unacked_ram", Kind::Gauge, "Unacknowledged messages stored in memory", |status| {
                (status.ram - ready_ram(status)) as f64
            }),
            ("queue_messages_persistent", Kind::Gauge, "Persistent messages", |status| status.persistent as f64),
            ("queue_messages_persistent_bytes", Kind::Gauge, "Size in bytes of persistent messages", |status| {
                status.bytes_persistent as f64
            }),
            ("queue_messages_bytes", Kind::Gauge, "Size in bytes of ready and unacknowledged messages", |status| {
                status.bytes as f64
            }),
            ("queue_messages_ready_bytes", Kind::Gauge, "Size in bytes of ready messages", |status| {
                status.bytes_ready as f64
            }),
            ("queue_messages_unacked_bytes", Kind::Gauge, "Size in bytes of all unacknowledged messages", |status| {
                status.bytes_unsettled as f64
            }),
            ("queue_messages_paged_out", Kind::Gauge, "Messages paged out to disk", |status| status.paged_out as f64),
            ("queue_messages_paged_out_bytes", Kind::Gauge, "Size in bytes of messages paged out to disk", |status| {
                status.bytes.saturating_sub(status.bytes_ram) as f64
            }),
        ],
    );
    // Only of queues whose next message has one.
    all.retain(|(_, status)| status.head_timestamp.is_some());
    write(
        out,
        &all,
        &[("queue_head_message_timestamp", Kind::Gauge, "Timestamp of the first message in the queue", |status| {
            status.head_timestamp.unwrap_or_default() as f64
        })],
    );
    info(request, out, chosen);
}

fn info(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    out.family(
        "queue_info",
        Kind::Gauge,
        "A metric with a constant '1' value and labels that provide some queue details",
    );
    for queue in chosen.queues(request) {
        let definition = queue.definition();
        let (durable, exclusive) = (definition.is_stored(), definition.owner.is_some());
        let labels = [
            ("vhost", definition.vhost.as_str()),
            ("queue", definition.name.as_str()),
            ("queue_type", queue.kind().name()),
            ("durable", if durable { "true" } else { "false" }),
            ("exclusive", if exclusive { "true" } else { "false" }),
            ("membership", "leader"),
        ];
        out.sample(&labels, 1u64);
    }
}

/// Deliveries of a queue.
const DELIVERIES: &[Counted] = &[
    ("queue_get_ack_total", "Messages fetched from a queue with basic.get in manual acknowledgement mode", Count::Get),
    (
        "queue_get_total",
        "Messages fetched from a queue with basic.get in automatic acknowledgement mode",
        Count::GetNoAck,
    ),
    (
        "queue_messages_delivered_ack_total",
        "Messages delivered from a queue to consumers in manual acknowledgement mode",
        Count::Deliver,
    ),
    (
        "queue_messages_delivered_total",
        "Messages delivered from a queue to consumers in automatic acknowledgement mode",
        Count::DeliverNoAck,
    ),
    ("queue_messages_redelivered_total", "Messages from a queue redelivered to consumers", Count::Redeliver),
    ("queue_messages_acked_total", "Messages acknowledged by consumers on a queue", Count::Ack),
    ("queue_get_empty_total", "Times basic.get operations fetched no message on a queue", Count::GetEmpty),
];

fn totals(request: &Request, chosen: &Chosen) -> Vec<(Labels, Totals)> {
    all(request, chosen, |queue| queue.totals())
}

pub(super) fn deliveries(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    write_counts(out, &totals(request, chosen), DELIVERIES);
}

pub(super) fn published(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let counted = [("queue_messages_published_total", "Messages published into a queue", Count::Publish)];
    write_counts(out, &totals(request, chosen), &counted);
}

pub(super) fn exchanges(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let vhosts = chosen.vhosts(request);
    let records = vhosts.iter().flat_map(|name| request.broker.exchanges_in(name.as_str()));
    let all: Vec<(Labels, Totals)> = records
        .map(|record| {
            let labels = vec![("vhost", record.vhost.to_string()), ("exchange", record.spec.name.to_string())];
            (labels, record.throughput.totals())
        })
        .collect();
    let counted = [
        ("exchange_messages_published_in_total", "Messages published into an exchange", Count::PublishIn),
        ("exchange_messages_published_out_total", "Messages published out of an exchange", Count::PublishOut),
    ];
    write_counts(out, &all, &counted);
}
