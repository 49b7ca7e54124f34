//! Families of queues and exchanges.

use super::objects::{Chosen, Counted, Labels, write, write_counts};
use crate::broker::count::{Count, Totals};
use crate::broker::queue::{QueueKind, Status};
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
    f64::from(u8::from(status.is_able()))
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
                status.ready_ram() as f64
            }),
            ("queue_messages_unacked_ram", Kind::Gauge, "Unacknowledged messages stored in memory", |status| {
                (status.ram - status.ready_ram()) as f64
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
            (
                "queue_disk_reads_total",
                Kind::Counter,
                "Total number of messages that the queue read from disk",
                |status| status.totals.get(Count::DiskReads) as f64,
            ),
            (
                "queue_disk_writes_total",
                Kind::Counter,
                "Total number of messages that the queue wrote to disk",
                |status| status.totals.get(Count::DiskWrites) as f64,
            ),
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
}

/// What queues are. Told with any of the families that say how they are.
pub(super) fn info(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    out.family(
        "queue_info",
        Kind::Gauge,
        "A metric with a constant '1' value and labels that provide some queue details",
    );
    for queue in chosen.queues(request) {
        let definition = queue.definition();
        let labels = [
            ("vhost", definition.vhost.as_str()),
            ("queue", definition.name.as_str()),
            ("queue_type", type_of(queue.kind())),
            ("membership", "leader"),
        ];
        out.sample(&labels, 1u64);
    }
}

/// RabbitMQ's word for a type of queues.
pub(super) fn type_of(kind: QueueKind) -> &'static str {
    match kind {
        QueueKind::Classic => "rabbit_classic_queue",
        QueueKind::Quorum => "rabbit_quorum_queue",
    }
}

/// Deliveries of a queue.
pub(super) const DELIVERIES: &[Counted] = &[
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

/// What is counted of all queues and exchanges together by what channels have done.
pub(super) const TOGETHER: &[Counted] = &[
    ("queue_messages_published_total", "Messages published into queues", Count::PublishOut),
    ("queue_exchange_messages_published_total", "Messages published into queues through exchanges", Count::PublishOut),
    ("exchange_messages_published_total", "Messages published into exchanges", Count::Publish),
    ("exchange_messages_confirmed_total", "Messages published into exchanges and confirmed", Count::Confirm),
    (
        "exchange_messages_unroutable_returned_total",
        "Messages published as mandatory into exchanges and returned to the publisher as unroutable",
        Count::ReturnUnroutable,
    ),
    (
        "exchange_messages_unroutable_dropped_total",
        "Messages published as non-mandatory into exchanges and dropped as unroutable",
        Count::DropUnroutable,
    ),
];

/// Through which exchange a message came is not counted for each queue: the label `exchange` is not there.
pub(super) fn through_exchanges(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let help = "Messages published into a queue, through whichever exchange";
    write_counts(out, &totals(request, chosen), &[("queue_exchange_messages_published_total", help, Count::Publish)]);
}

/// The same under the labels that RabbitMQ tells channel, queue and exchange apart by; channel and exchange are not there.
pub(super) fn published(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let mut totals = totals(request, chosen);
    for (name, _) in totals.iter_mut().flat_map(|(labels, _)| labels).filter(|(name, _)| *name == "vhost") {
        *name = "queue_vhost";
    }
    let help = "Messages published into a queue, on whichever channel";
    write_counts(out, &totals, &[("queue_messages_published_total", help, Count::Publish)]);
}

/// Exchanges. Which exchange a confirmed message went to is not kept: RabbitMQ's `exchange_messages_confirmed_total` is told of all
/// together only.
pub(super) fn exchanges(request: &Request, out: &mut Exposition, chosen: &Chosen) {
    let vhosts = chosen.vhosts(request);
    let records = vhosts.iter().flat_map(|name| request.broker.exchanges_in(name.as_str()));
    let all: Vec<(Labels, Totals)> = records
        .map(|record| {
            let labels = vec![("vhost", record.vhost.to_string()), ("exchange", record.spec.name.to_string())];
            let (mut totals, [returned, dropped]) = (record.throughput.totals(), record.throughput.unroutable());
            totals.add(Count::ReturnUnroutable, returned);
            totals.add(Count::DropUnroutable, dropped);
            (labels, totals)
        })
        .collect();
    let counted = [
        ("exchange_messages_published_total", "Messages published into an exchange", Count::PublishIn),
        (
            "exchange_messages_unroutable_returned_total",
            "Messages published as mandatory into an exchange and returned to the publisher as unroutable",
            Count::ReturnUnroutable,
        ),
        (
            "exchange_messages_unroutable_dropped_total",
            "Messages published as non-mandatory into an exchange and dropped as unroutable",
            Count::DropUnroutable,
        ),
    ];
    write_counts(out, &all, &counted);
}
