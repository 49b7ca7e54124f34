//! Figures of the node as a whole. They cost what has changed, not what there is.

use super::channels;
use super::queues::type_of;
use crate::broker::count::{Count, Totals};
use crate::broker::queue::{QueueKind, Reason};
use crate::engine::{ChurnTotals, STRATEGIES};
use crate::http::request::Request;
use crate::metrics::process;
use crate::metrics::text::{Exposition, Kind};

/// Sums over objects.
pub(super) fn sums(request: &Request, out: &mut Exposition) {
    let lengths = request.broker.lengths(None);
    out.one("queue_messages_ready", Kind::Gauge, "Messages ready to be delivered to consumers", lengths.ready);
    let unacked = lengths.unacknowledged;
    out.one("queue_messages_unacked", Kind::Gauge, "Messages delivered to consumers but not yet acknowledged", unacked);
    out.one(
        "queue_messages",
        Kind::Gauge,
        "Sum of ready and unacknowledged messages - total queue depth",
        lengths.messages(),
    );
    queues_together(request, out);
    channels::together(request, out);
}

/// Sums over queues under the names that single queues have, as of the last sample and what was asked of queues since.
fn queues_together(request: &Request, out: &mut Exposition) {
    let sums = request.broker.queue_sums();
    let channels = request.broker.connections().into_iter().flat_map(|connection| connection.channels());
    let consumers = channels.map(|channel| channel.consumer_count() as u64).sum();
    for (name, help, value) in [
        ("queue_messages_ram", "Ready and unacknowledged messages stored in memory", sums.ram),
        ("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", sums.bytes_ram),
        ("queue_messages_ready_ram", "Ready messages stored in memory", sums.ready_ram),
        (
            "queue_messages_unacked_ram",
            "Unacknowledged messages stored in memory",
            sums.ram.saturating_sub(sums.ready_ram),
        ),
        ("queue_messages_persistent", "Persistent messages", sums.persistent),
        ("queue_messages_persistent_bytes", "Size in bytes of persistent messages", sums.bytes_persistent),
        ("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages", sums.bytes),
        ("queue_messages_ready_bytes", "Size in bytes of ready messages", sums.bytes_ready),
        ("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages", sums.bytes_unsettled),
        ("queue_messages_paged_out", "Messages paged out to disk", sums.paged_out),
        (
            "queue_messages_paged_out_bytes",
            "Size in bytes of messages paged out to disk",
            sums.bytes.saturating_sub(sums.bytes_ram),
        ),
        ("queue_process_memory_bytes", "Memory in bytes used by queues' messages", sums.bytes_ram),
        ("queue_consumers", "Consumers on queues", consumers),
    ] {
        out.one(name, Kind::Gauge, help, value);
    }
    let io = request.broker.io();
    for (name, help, value) in [
        ("queue_disk_reads_total", "Total number of messages that queues read from disk", io.messages_read),
        ("queue_disk_writes_total", "Total number of messages that queues wrote to disk", io.messages_written),
    ] {
        out.one(name, Kind::Counter, help, value);
    }
}

/// The node.
pub(super) fn node(request: &Request, out: &mut Exposition) {
    objects_there_are(request, out);
    churn(request, out);
    global(request, out);
    dead_letters(request, out);
    usage(request, out);
    limits(request, out);
    disk(request, out);
    logins(request, out);
    alarms(request, out);
    let help = "Number of peers in the cluster the current node cannot reach";
    out.one("unreachable_cluster_peers_count", Kind::Gauge, help, 0u64);
}

fn objects_there_are(request: &Request, out: &mut Exposition) {
    let connections = request.broker.connections();
    let channels: Vec<_> = connections.iter().flat_map(|connection| connection.channels()).collect();
    let queues: u64 =
        request.broker.vhost_names().iter().map(|vhost| request.broker.objects_in(vhost.as_str()).queues).sum();
    let consumers: usize = channels.iter().map(|channel| channel.consumer_count()).sum();
    out.one("connections", Kind::Gauge, "Connections currently open", connections.len() as u64);
    out.one("channels", Kind::Gauge, "Channels currently open", channels.len() as u64);
    out.one("consumers", Kind::Gauge, "Consumers currently connected", consumers as u64);
    out.one("queues", Kind::Gauge, "Queues available", queues);
    let protocol = [("protocol", "amqp091")];
    let publishers = channels.iter().filter(|channel| channel.totals().get(Count::Publish) > 0).count();
    out.family("global_publishers", Kind::Gauge, "Publishers currently connected").sample(&protocol, publishers as u64);
    out.family("global_consumers", Kind::Gauge, "Consumers currently connected").sample(&protocol, consumers as u64);
}

pub(super) fn churn(request: &Request, out: &mut Exposition) {
    let names = [
        ("connections_opened_total", "Total number of connections opened"),
        ("connections_closed_total", "Total number of connections closed or terminated"),
        ("channels_opened_total", "Total number of channels opened"),
        ("channels_closed_total", "Total number of channels closed"),
        ("queues_declared_total", "Total number of queues declared"),
        ("queues_created_total", "Total number of queues created"),
        ("queues_deleted_total", "Total number of queues deleted"),
    ];
    for ((name, help), value) in names.into_iter().zip(ChurnTotals::of(request.broker.churn()).0) {
        out.one(name, Kind::Counter, help, value);
    }
}

/// Dead letters, by the type of their queue, the strategy and the reason.
fn dead_letters(request: &Request, out: &mut Exposition) {
    let letters = request.broker.dead_letters();
    for reason in Reason::ALL {
        let name = format!("global_messages_dead_lettered_{}_total", reason.name());
        let help = match reason {
            Reason::Rejected => "Messages dead-lettered, as a consumer refused them",
            Reason::Expired => "Messages dead-lettered, as their time was over",
            Reason::MaxLen => "Messages dead-lettered, as their queue was full",
            Reason::DeliveryLimit => "Messages dead-lettered, as their delivery failed too often",
        };
        out.family(&name, Kind::Counter, help);
        for ((kind, at_least_once), count) in STRATEGIES.into_iter().zip(letters.of(reason)) {
            // Classic queues do not count deliveries.
            if kind == QueueKind::Quorum || reason != Reason::DeliveryLimit {
                let strategy = if at_least_once { "at_least_once" } else { "at_most_once" };
                out.sample(&[("queue_type", type_of(kind)), ("dead_letter_strategy", strategy)], count);
            }
        }
    }
    let labels = [("queue_type", type_of(QueueKind::Quorum)), ("dead_letter_strategy", "at_least_once")];
    let help = "Messages dead-lettered and confirmed by all their queues";
    out.family("global_messages_dead_lettered_confirmed_total", Kind::Counter, help)
        .sample(&labels, letters.confirmed());
}

/// What is read from and written to the data directory.
pub(super) fn disk(request: &Request, out: &mut Exposition) {
    let io = request.broker.io();
    for (name, help, value) in [
        ("io_read_ops_total", "Total number of reads of the data directory", io.reads),
        ("io_read_bytes_total", "Total number of bytes read from it", io.read_bytes),
        ("io_write_ops_total", "Total number of batches written to it", io.writes),
        ("io_write_bytes_total", "Total number of bytes of messages in them", io.write_bytes),
        ("io_sync_ops_total", "Total number of batches that were synced", io.syncs),
        ("io_seek_ops_total", "Total number of seeks: files are read without", 0),
        ("io_reopen_ops_total", "Total number of times files have been reopened: they stay open", 0),
        ("schema_db_ram_tx_total", "Total number of changes of definitions in memory only: all are on disk", 0),
        ("schema_db_disk_tx_total", "Total number of batches with changes of definitions", io.definitions_written),
        ("msg_store_read_total", "Total number of chunks of messages that were read", io.chunks_read),
        ("msg_store_write_total", "Total number of chunks of messages that were written", io.chunks_written),
        ("queue_index_read_ops_total", "Total number of states of queues that were read", io.states_read),
        ("queue_index_write_ops_total", "Total number of states of queues that were written", io.states_written),
    ] {
        out.one(name, Kind::Counter, help, value);
    }
    for (name, help, us) in [
        ("io_read_time_seconds_total", "Total time of reads", io.read_us),
        ("io_write_time_seconds_total", "Total time of writes, synced ones too", io.write_us),
        ("io_sync_time_seconds_total", "Total time of synced writes", io.sync_us),
        ("io_seek_time_seconds_total", "Total time of seeks", 0),
    ] {
        out.one(name, Kind::Counter, help, us as f64 / 1e6);
    }
}

/// A counter of queues' messages: its name, what it says, and the number.
type Counted = (&'static str, &'static str, fn(&Totals) -> u64);

/// What all channels have done, by protocol, and by the type of the queues where there is one.
fn global(request: &Request, out: &mut Exposition) {
    let [classic, quorum] = request.broker.message_totals();
    let mut all = classic;
    all += quorum;
    let publishes = request.broker.publish_sizes();
    let protocol = ("protocol", "amqp091");
    let of_protocol: [(&str, &str, u64); 6] = [
        ("received", "Messages received from publishers", all.get(Count::Publish)),
        ("received_confirm", "Messages received from publishers expecting confirmations", publishes.confirmable),
        ("confirmed", "Messages confirmed to publishers", all.get(Count::Confirm)),
        ("routed", "Messages routed to queues or streams", all.get(Count::PublishOut)),
        (
            "unroutable_dropped",
            "Messages published as non-mandatory into an exchange and dropped as unroutable",
            all.get(Count::DropUnroutable),
        ),
        (
            "unroutable_returned",
            "Messages published as mandatory into an exchange and returned to the publisher as unroutable",
            all.get(Count::ReturnUnroutable),
        ),
    ];
    for (name, help, value) in of_protocol {
        out.family(&format!("global_messages_{name}_total"), Kind::Counter, help).sample(&[protocol], value);
    }
    let of_queues: [Counted; 8] = [
        ("messages_delivered", "Messages delivered to consumers", Totals::deliver_get),
        (
            "messages_delivered_consume_manual_ack",
            "Messages delivered to consumers using basic.consume with manual acknowledgment",
            |totals| totals.get(Count::Deliver),
        ),
        (
            "messages_delivered_consume_auto_ack",
            "Messages delivered to consumers using basic.consume with automatic acknowledgment",
            |totals| totals.get(Count::DeliverNoAck),
        ),
        (
            "messages_delivered_get_manual_ack",
            "Messages delivered to consumers using basic.get with manual acknowledgment",
            |totals| totals.get(Count::Get),
        ),
        (
            "messages_delivered_get_auto_ack",
            "Messages delivered to consumers using basic.get with automatic acknowledgment",
            |totals| totals.get(Count::GetNoAck),
        ),
        ("messages_get_empty", "basic.get operations that fetched no message", |totals| totals.get(Count::GetEmpty)),
        ("messages_redelivered", "Messages redelivered to consumers", |totals| totals.get(Count::Redeliver)),
        ("messages_acknowledged", "Messages acknowledged by consumers", |totals| totals.get(Count::Ack)),
    ];
    for (name, help, number) in of_queues {
        out.family(&format!("global_{name}_total"), Kind::Counter, help);
        for (kind, totals) in [(QueueKind::Classic, &classic), (QueueKind::Quorum, &quorum)] {
            out.sample(&[protocol, ("queue_type", type_of(kind))], number(totals));
        }
    }
    let buckets = whole(&publishes.buckets());
    out.family("message_size_bytes", Kind::Histogram, "Size of messages received from publishers");
    out.histogram(&[protocol], &buckets, publishes.bytes as f64, publishes.count());
}

pub(super) fn usage(request: &Request, out: &mut Exposition) {
    let usage = process::usage();
    out.one("process_open_fds", Kind::Gauge, "Open file descriptors", usage.open_files);
    out.one("process_open_tcp_sockets", Kind::Gauge, "Open TCP sockets", request.broker.connections().len() as u64);
    out.one("process_resident_memory_bytes", Kind::Gauge, "Memory used in bytes", usage.resident);
    out.one(
        "disk_space_available_bytes",
        Kind::Gauge,
        "Disk space available in bytes",
        request.place.disk_free().unwrap_or(0),
    );
    out.one("erlang_processes_used", Kind::Gauge, "Threads used", usage.threads);
    for (name, help, value) in [
        ("erlang_gc_runs_total", "Total number of garbage collector runs: there is none", 0),
        ("erlang_gc_reclaimed_bytes_total", "Total number of bytes reclaimed by a garbage collector", 0),
        (
            "erlang_scheduler_context_switches_total",
            "Total number of times that a thread gave a processor to another",
            request.place.threads.look().switches,
        ),
    ] {
        out.one(name, Kind::Counter, help, value);
    }
}

pub(super) fn limits(request: &Request, out: &mut Exposition) {
    let usage = process::usage();
    out.one("process_max_fds", Kind::Gauge, "Open file descriptors limit", usage.files_max);
    out.one("process_max_tcp_sockets", Kind::Gauge, "Open TCP sockets limit", usage.files_max);
    out.one(
        "resident_memory_limit_bytes",
        Kind::Gauge,
        "Memory high watermark in bytes",
        request.place.control.memory_limit(),
    );
    let disk = request.place.control.disk_free_limit();
    out.one("disk_space_available_limit_bytes", Kind::Gauge, "Free disk space low watermark in bytes", disk);
    out.one("erlang_processes_limit", Kind::Gauge, "Threads limit", usage.threads_max);
    let waiting = request.place.threads.look().runnable;
    out.one("erlang_scheduler_run_queue", Kind::Gauge, "Threads that run or wait for a processor", waiting);
    out.one("erlang_uptime_seconds", Kind::Gauge, "Node uptime", request.place.uptime_ms() as f64 / 1000.0);
}

/// Logins by protocol, of protocols that somebody spoke.
pub(super) fn logins(request: &Request, out: &mut Exposition) {
    let mut logins = request.broker.churn().logins().to_vec();
    logins.retain(|(_, succeeded, failed)| succeeded + failed > 0);
    type Shown = (&'static str, &'static str, fn(u64, u64) -> u64);
    let shown: [Shown; 3] = [
        ("auth_attempts_total", "Total number of authentication attempts", |succeeded, failed| succeeded + failed),
        ("auth_attempts_succeeded_total", "Total number of successful authentication attempts", |succeeded, _| {
            succeeded
        }),
        ("auth_attempts_failed_total", "Total number of failed authentication attempts", |_, failed| failed),
    ];
    for (name, help, number) in shown {
        out.family(name, Kind::Counter, help);
        for (protocol, succeeded, failed) in &logins {
            out.sample(&[("protocol", protocol)], number(*succeeded, *failed));
        }
    }
}

fn alarms(request: &Request, out: &mut Exposition) {
    let held = request.broker.held_because().unwrap_or_default();
    let is = |word: &str| u64::from(held.contains(word));
    out.one("alarms_file_descriptor_limit", Kind::Untyped, "is 1 if file descriptor limit alarm is in effect", 0u64);
    out.one(
        "alarms_free_disk_space_watermark",
        Kind::Untyped,
        "is 1 if free disk space watermark alarm is in effect",
        is("disk"),
    );
    out.one(
        "alarms_memory_used_watermark",
        Kind::Untyped,
        "is 1 if VM memory watermark alarm is in effect",
        is("memory"),
    );
}

/// Bounds that are whole numbers.
fn whole(buckets: &[(u64, u64)]) -> Vec<(f64, u64)> {
    buckets.iter().map(|(bound, below)| (*bound as f64, *below)).collect()
}

/// Figures that RabbitMQ does not have.
pub(super) fn ours(request: &Request, out: &mut Exposition) {
    let commits = request.broker.commits();
    let buckets: Vec<(f64, u64)> = commits.buckets().iter().map(|(us, below)| (*us as f64 / 1e6, *below)).collect();
    out.family("commit_seconds", Kind::Histogram, "Time of commits: an epoch written and synced");
    out.histogram(&[], &buckets, commits.sum_us as f64 / 1e6, commits.count());
    out.one("epochs_total", Kind::Counter, "Epochs that are on disk since the data directory was made", commits.epoch);
    out.one("committed_bytes_total", Kind::Counter, "Bytes of messages appended to epochs", commits.bytes);
    out.one("page_outs_total", Kind::Counter, "How often a queue paged out, as memory was short", commits.page_outs);
    let batches = request.broker.publish_batches();
    out.family("publish_batch_messages", Kind::Histogram, "Messages that a channel took from one read of its socket");
    out.histogram(&[], &whole(&batches.buckets()), batches.messages as f64, batches.count());
    let memory = u64::try_from(request.broker.memory_used()).unwrap_or(0);
    out.one("message_memory_bytes", Kind::Gauge, "Memory that messages take", memory);
}
