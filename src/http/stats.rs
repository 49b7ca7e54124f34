//! The statistics in objects (compat.md 3.1, 3.3): counters as they are, and `*_details` with rates made of samples; with
//! `…_age` and `…_incr` in the query, the samples themselves.

use super::answer::Failure;
use super::request::Request;
use crate::broker::count::{Count, Totals};
use crate::engine::{
    ChannelRecord, ChurnTotals, ConnectionRecord, ExchangeRecord, IoTotals, Lengths, NodeSample, ProcessSample,
    QueueHandle, QueueSample, Series, VhostTotals,
};
use crate::name::Name;
use serde_json::{Map, Value as Json, json};

/// Most samples in an answer.
const RANGE_MAX: u64 = 500;

type Members = Map<String, Json>;

/// Which samples are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    age_ms: u64,
    incr_ms: u64,
}

/// What rates are made with.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: u64,
    interval: u64,
    /// Whether objects have `message_stats`.
    counted: bool,
    lengths: Option<Range>,
    messages: Option<Range>,
    data: Option<Range>,
    node: Option<Range>,
}

impl Clock {
    /// For a request.
    ///
    /// # Errors
    /// More samples are asked for than are given at once.
    pub fn of(request: &Request) -> Result<Clock, Failure> {
        let range = |prefix: &str| -> Result<Option<Range>, Failure> {
            let number =
                |part: &str| request.query(&format!("{prefix}_{part}")).and_then(|text| text.parse::<i64>().ok());
            let (Some(age), Some(incr)) = (number("age"), number("incr")) else { return Ok(None) };
            let invalid = || {
                let reason = format!("Invalid range parameters: age {age}, incr {incr}");
                Failure::invalid("invalid_range_parameters", reason)
            };
            let (age, incr) = (u64::try_from(age).map_err(|_| invalid())?, u64::try_from(incr).map_err(|_| invalid())?);
            if age == 0 || incr == 0 || age / incr > RANGE_MAX {
                return Err(invalid());
            }
            Ok(Some(Range { age_ms: age.saturating_mul(1000), incr_ms: incr.saturating_mul(1000) }))
        };
        Ok(Clock {
            now: request.broker.sample_time(),
            interval: request.place.sample_interval_ms.max(1),
            counted: request.place.offer.message_stats,
            lengths: range("lengths")?,
            messages: range("msg_rates")?,
            data: range("data_rates")?,
            node: range("node_stats")?,
        })
    }

    /// Whether a time is longer ago than two samples are apart.
    pub fn is_past(self, at: u64) -> bool {
        self.now.saturating_sub(at) > self.interval.saturating_mul(2)
    }

    /// How fast a number grows: between its last two samples, if they are fresh.
    fn rate(self, history: &[(u64, u64)]) -> f64 {
        let [.., (before, low), (after, high)] = history else { return 0.0 };
        let fresh = self.now.saturating_sub(*after) <= self.interval.saturating_mul(5) / 2;
        let elapsed = after.saturating_sub(*before);
        if !fresh || elapsed == 0 {
            return 0.0;
        }
        let grown = *high as f64 - *low as f64;
        (grown * 1000.0 / elapsed as f64 * 100.0).round() / 100.0
    }

    /// `{rate}`, and what a range adds to it.
    fn details(self, history: &[(u64, u64)], range: Option<Range>) -> Json {
        let rate = self.rate(history);
        let Some(range) = range else { return json!({ "rate": rate }) };
        let mut samples = Vec::new();
        let last = self.now / range.incr_ms * range.incr_ms;
        let mut at = last;
        while at.saturating_add(range.age_ms) >= last {
            // The value at that time is the one of the last sample before it.
            let value = history.iter().rev().find(|(time, _)| *time <= at).map_or(0, |(_, value)| *value);
            samples.push((at, value));
            match at.checked_sub(range.incr_ms) {
                Some(earlier) => at = earlier,
                None => break,
            }
        }
        let sum: u64 = samples.iter().map(|(_, value)| *value).sum();
        let known: Vec<&(u64, u64)> =
            samples.iter().filter(|(at, _)| history.first().is_some_and(|(from, _)| from <= at)).collect();
        let average_rate = match (known.first(), known.last()) {
            (Some((after, high)), Some((before, low))) if after > before => {
                (*high as f64 - *low as f64) * 1000.0 / (after - before) as f64
            }
            _ => 0.0,
        };
        json!({
            "rate": rate,
            "avg": sum as f64 / samples.len().max(1) as f64,
            "avg_rate": average_rate,
            "samples": samples.iter().map(|(at, value)| json!({"timestamp": at, "sample": value})).collect::<Vec<_>>(),
        })
    }
}

/// Gives the samples of one of the numbers.
type Histories<'h> = dyn Fn(&dyn Fn(&Totals) -> u64) -> Vec<(u64, u64)> + 'h;

/// A member's name and the number it shows.
type Shown = (&'static str, fn(Lengths) -> u64);

/// Messages in queues as members.
const LENGTHS: [Shown; 3] = [
    ("messages", Lengths::messages),
    ("messages_ready", |lengths| lengths.ready),
    ("messages_unacknowledged", |lengths| lengths.unacknowledged),
];

/// `message_stats`: counters with activity only. `history` gives the samples of one number.
fn message_stats(clock: Clock, totals: &Totals, history: &Histories<'_>) -> Json {
    let mut members = Members::new();
    for count in Count::ALL {
        let total = totals.get(count);
        if total > 0 {
            members.insert(count.name().to_owned(), Json::from(total));
            let history = history(&|totals: &Totals| totals.get(count));
            members.insert(format!("{}_details", count.name()), clock.details(&history, clock.messages));
        }
    }
    if totals.deliver_get() > 0 {
        members.insert("deliver_get".to_owned(), Json::from(totals.deliver_get()));
        let history = history(&|totals: &Totals| totals.deliver_get());
        members.insert("deliver_get_details".to_owned(), clock.details(&history, clock.messages));
    }
    Json::Object(members)
}

fn insert_counted(members: &mut Members, name: &str, value: u64, details: Json) {
    members.insert(name.to_owned(), Json::from(value));
    members.insert(format!("{name}_details"), details);
}

/// Messages in a queue, without rates.
pub fn lengths(lengths: Lengths) -> Members {
    LENGTHS.iter().map(|(name, number)| ((*name).to_owned(), Json::from(number(lengths)))).collect()
}

/// What a queue has: lengths with rates, `message_stats`.
pub fn queue(clock: Clock, queue: &QueueHandle, lengths: Lengths, totals: &Totals) -> Members {
    let series = queue.series();
    let mut members = Members::new();
    for (name, number) in LENGTHS {
        let of = |sample: &QueueSample| Lengths { ready: sample.ready, unacknowledged: sample.unacknowledged };
        let history = series.of(|sample| number(of(sample)));
        insert_counted(&mut members, name, number(lengths), clock.details(&history, clock.lengths));
    }
    if clock.counted && !totals.is_empty() {
        let stats = message_stats(clock, totals, &|number| series.of(|sample| number(&sample.totals)));
        members.insert("message_stats".to_owned(), stats);
    }
    members
}

/// What an exchange has.
pub fn exchange(clock: Clock, request: &Request, exchange: &ExchangeRecord) -> Option<Json> {
    let totals = exchange.throughput.totals();
    if !clock.counted || totals.is_empty() {
        return None;
    }
    let series = request.broker.exchange_series(&exchange.throughput);
    Some(message_stats(clock, &totals, &|number| series.of(|sample| number(sample))))
}

/// What a channel has.
pub fn channel(clock: Clock, channel: &ChannelRecord) -> Option<Json> {
    let totals = channel.totals();
    if !clock.counted || totals.is_empty() {
        return None;
    }
    let series = channel.series();
    Some(message_stats(clock, &totals, &|number| series.of(|sample| number(sample))))
}

/// What goes through a connection.
pub fn connection(clock: Clock, connection: &ConnectionRecord) -> Members {
    let (traffic, series) = (connection.traffic().totals(), connection.series());
    let mut members = Members::new();
    let received = clock.details(&series.of(|sample| sample.recv_oct), clock.data);
    insert_counted(&mut members, "recv_oct", traffic.recv_oct, received);
    let sent = clock.details(&series.of(|sample| sample.send_oct), clock.data);
    insert_counted(&mut members, "send_oct", traffic.send_oct, sent);
    members.insert("recv_cnt".to_owned(), Json::from(traffic.recv_cnt));
    members.insert("send_cnt".to_owned(), Json::from(traffic.send_cnt));
    members.insert("send_pend".to_owned(), Json::from(traffic.send_pend));
    members
}

/// Messages in queues, with rates where the whole node is meant.
fn queue_totals(clock: Clock, lengths: Lengths, history: &[(u64, Lengths)]) -> Members {
    let mut members = Members::new();
    for (name, number) in LENGTHS {
        let history: Vec<(u64, u64)> = history.iter().map(|(at, lengths)| (*at, number(*lengths))).collect();
        insert_counted(&mut members, name, number(lengths), clock.details(&history, clock.lengths));
    }
    members
}

/// What a virtual host has; `done`: what was done in it.
pub fn vhost(clock: Clock, request: &Request, name: &Name, done: VhostTotals) -> Members {
    let series = request.broker.vhost_series(std::slice::from_ref(name));
    let lengths = of_lengths(&series, |sample| sample.lengths);
    let mut members = queue_totals(clock, request.broker.lengths(Some(name)), &lengths);
    if clock.counted && !done.totals.is_empty() {
        let stats = message_stats(clock, &done.totals, &|number| series.of(|sample| number(&sample.done.totals)));
        members.insert("message_stats".to_owned(), stats);
    }
    let details = clock.details(&series.of(|sample| sample.done.traffic.recv_oct), clock.data);
    insert_counted(&mut members, "recv_oct", done.traffic.recv_oct, details);
    let details = clock.details(&series.of(|sample| sample.done.traffic.send_oct), clock.data);
    insert_counted(&mut members, "send_oct", done.traffic.send_oct, details);
    members
}

/// The lengths of samples, with their times.
fn of_lengths<T: Copy + PartialEq>(series: &Series<T>, lengths: impl Fn(&T) -> Lengths) -> Vec<(u64, Lengths)> {
    let ready = series.of(|sample| lengths(sample).ready);
    let unacknowledged = series.of(|sample| lengths(sample).unacknowledged);
    let both = ready.into_iter().zip(unacknowledged);
    both.map(|((at, ready), (_, unacknowledged))| (at, Lengths { ready, unacknowledged })).collect()
}

/// What began and ended on the node.
pub fn churn(request: &Request) -> Members {
    let Ok(clock) = Clock::of(request) else { return Members::new() };
    let (churn, series) = (ChurnTotals::of(request.broker.churn()), request.broker.node_series());
    let mut members = Members::new();
    for (at, (name, value)) in ChurnTotals::NAMES.iter().zip(churn.0).enumerate() {
        let history = series.of(|sample| sample.churn.0.get(at).copied().unwrap_or(0));
        insert_counted(&mut members, name, value, clock.details(&history, clock.messages));
    }
    members
}

/// A member's name and the number of the process that it shows.
type Used = (&'static str, fn(&ProcessSample) -> u64);

/// What the process uses.
pub fn process(request: &Request) -> Members {
    let Ok(clock) = Clock::of(request) else { return Members::new() };
    let (uses, series) = (request.place.uses(&request.broker), request.broker.node_series());
    let mut members = Members::new();
    let used: [Used; 6] = [
        ("mem_used", |uses| uses.memory),
        ("fd_used", |uses| uses.files),
        ("sockets_used", |uses| uses.sockets),
        ("proc_used", |uses| uses.threads),
        ("disk_free", |uses| uses.disk_free),
        ("context_switches", |uses| uses.switches),
    ];
    for (name, number) in used {
        let history = series.of(|sample: &NodeSample| number(&sample.process));
        insert_counted(&mut members, name, number(&uses), clock.details(&history, clock.node));
    }
    for name in NOTHING {
        insert_counted(&mut members, name, 0, json!({ "rate": 0.0 }));
    }
    members
}

/// What never happens here: no garbage is collected, files are read without seeking and stay open, there is no Mnesia that would
/// change something in memory only.
const NOTHING: [&str; 5] = ["gc_num", "gc_bytes_reclaimed", "io_seek_count", "io_reopen_count", "mnesia_ram_tx_count"];

/// A member's name and the number of the disk that it shows.
type Counted = (&'static str, fn(&IoTotals) -> u64);

/// What is read from and written to the disk, by RabbitMQ's names; times are means in milliseconds.
pub fn disk(request: &Request) -> Members {
    let Ok(clock) = Clock::of(request) else { return Members::new() };
    let (io, series) = (request.broker.io(), request.broker.node_series());
    let mut members = Members::new();
    let counted: [Counted; 10] = [
        ("io_read_count", |io| io.reads),
        ("io_read_bytes", |io| io.read_bytes),
        ("io_write_count", |io| io.writes),
        ("io_write_bytes", |io| io.write_bytes),
        ("io_sync_count", |io| io.syncs),
        ("msg_store_read_count", |io| io.chunks_read),
        ("msg_store_write_count", |io| io.chunks_written),
        ("queue_index_read_count", |io| io.states_read),
        ("queue_index_write_count", |io| io.states_written),
        ("mnesia_disk_tx_count", |io| io.definitions_written),
    ];
    for (name, number) in counted {
        let history = series.of(|sample: &NodeSample| number(&sample.io));
        insert_counted(&mut members, name, number(&io), clock.details(&history, clock.node));
    }
    let means = [
        ("io_read_avg_time", io.read_us, io.reads),
        ("io_write_avg_time", io.write_us, io.writes),
        ("io_sync_avg_time", io.sync_us, io.syncs),
        ("io_seek_avg_time", 0, 0),
    ];
    for (name, us, count) in means {
        let mean = if count == 0 { 0.0 } else { us as f64 / 1000.0 / count as f64 };
        members.insert(name.to_owned(), Json::from(mean));
    }
    members
}

/// What the overview has: of the node, or of the virtual hosts that a caller sees who does not see all.
///
/// # Errors
/// As [`Clock::of`].
pub fn overview(request: &Request, vhosts: &[Name]) -> Result<Members, Failure> {
    let clock = Clock::of(request)?;
    let mut members = Members::new();
    if request.caller.is_monitor() {
        let [mut totals, quorum] = request.broker.message_totals();
        totals += quorum;
        let on_disk = |mut totals: Totals, io: &IoTotals| {
            totals.add(Count::DiskReads, io.messages_read);
            totals.add(Count::DiskWrites, io.messages_written);
            totals
        };
        let totals = on_disk(totals, &request.broker.io());
        let series = request.broker.node_series();
        let lengths = of_lengths(&series, |sample: &NodeSample| sample.lengths);
        let queues = queue_totals(clock, request.broker.lengths(None), &lengths);
        members.insert("queue_totals".to_owned(), Json::Object(queues));
        let history = |number: &dyn Fn(&Totals) -> u64| series.of(|sample| number(&on_disk(sample.totals, &sample.io)));
        let stats = message_stats(clock, &totals, &history);
        members.insert("message_stats".to_owned(), stats);
    } else {
        let (mut lengths, mut totals) = (Lengths::default(), Totals::default());
        let done = request.broker.totals_by_vhost();
        for vhost in vhosts {
            let own = request.broker.lengths(Some(vhost));
            lengths.ready += own.ready;
            lengths.unacknowledged += own.unacknowledged;
            totals += done.get(vhost).copied().unwrap_or_default().totals;
        }
        let series = request.broker.vhost_series(vhosts);
        let before = of_lengths(&series, |sample| sample.lengths);
        members.insert("queue_totals".to_owned(), Json::Object(queue_totals(clock, lengths, &before)));
        let stats = message_stats(clock, &totals, &|number| series.of(|sample| number(&sample.done.totals)));
        members.insert("message_stats".to_owned(), stats);
    }
    if !clock.counted {
        members.remove("message_stats");
    }
    members.insert("churn_rates".to_owned(), Json::Object(churn(request)));
    Ok(members)
}
