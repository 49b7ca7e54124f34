//! Samples: what was counted, looked at every few seconds, so that listings can say how fast it grows. Only what has changed
//! is looked at, and it is kept no longer than listings reach back.
//!
//! A queue says once that it was asked for something ([`Samples::stir`]); from then on it is looked at until nothing of it
//! has changed for as long as samples are kept. The sums over queues follow from the differences, so that nobody adds up all
//! queues.

use super::broker::Broker;
use super::channels::ChannelRecord;
use super::connections::{Churn, ConnectionRecord, TrafficTotals};
use super::queue_handle::QueueHandle;
use super::sessions::VhostTotals;
use super::sums::Sums;
use crate::broker::count::{Throughput, Totals};
use crate::limits::{SERIES_MAX, SERIES_SAMPLES, SERIES_SAMPLES_NODE};
use crate::name::Name;
use crate::store::figures::IoTotals;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Values at times, the oldest first.
#[derive(Clone, Debug)]
pub struct Series<T>(VecDeque<(u64, T)>);

/// Without samples.
impl<T> Default for Series<T> {
    fn default() -> Self {
        Series(VecDeque::new())
    }
}

impl<T: Copy + PartialEq> Series<T> {
    fn push(&mut self, at: u64, value: T, keep: usize) {
        while self.0.len() >= keep.max(2) {
            self.0.pop_front();
        }
        self.0.push_back((at, value));
    }

    /// Whether it says nothing that its last value does not.
    fn is_flat(&self, keep: usize) -> bool {
        let same = self.0.front().is_some_and(|(_, first)| self.0.iter().all(|(_, value)| value == first));
        same && self.0.len() >= keep.max(2)
    }

    /// One number of each value, with its time in wall clock ms.
    pub fn of(&self, number: impl Fn(&T) -> u64) -> Vec<(u64, u64)> {
        self.0.iter().map(|(at, value)| (*at, number(value))).collect()
    }
}

/// What is sampled of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSample {
    /// Ready messages.
    pub ready: u64,
    /// Messages in consumers' hands.
    pub unacknowledged: u64,
    /// What was done with its messages.
    pub totals: Totals,
}

/// What the process uses, as whoever takes samples knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// Bytes of memory in use.
    pub memory: u64,
    /// Open files.
    pub files: u64,
    /// Connections of clients.
    pub sockets: u64,
    /// Threads.
    pub threads: u64,
    /// Bytes free on the data directory's disk.
    pub disk_free: u64,
    /// How often a thread gave a processor to another.
    pub switches: u64,
}

/// What is sampled of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSample {
    /// What the process uses.
    pub process: ProcessSample,
    /// Messages in all queues.
    pub lengths: Lengths,
    /// What all channels have done.
    pub totals: Totals,
    /// What began and ended.
    pub churn: ChurnTotals,
    /// What was read from and written to the disk.
    pub io: IoTotals,
}

/// What is sampled of a virtual host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostSample {
    /// Messages in its queues.
    pub lengths: Lengths,
    /// What its channels and connections have done.
    pub done: VhostTotals,
}

impl VhostSample {
    /// Of two virtual hosts together.
    fn with(self, other: VhostSample) -> VhostSample {
        let ready = self.lengths.ready + other.lengths.ready;
        let unacknowledged = self.lengths.unacknowledged + other.lengths.unacknowledged;
        let mut done = self.done;
        done.totals += other.done.totals;
        done.traffic += other.done.traffic;
        VhostSample { lengths: Lengths { ready, unacknowledged }, done }
    }
}

/// Messages in queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Ready messages.
    pub ready: u64,
    /// Messages in consumers' hands.
    pub unacknowledged: u64,
}

impl Lengths {
    /// All of them.
    pub fn messages(self) -> u64 {
        self.ready + self.unacknowledged
    }

    fn follow(&mut self, before: Lengths, now: Lengths) {
        self.ready = (self.ready + now.ready).saturating_sub(before.ready);
        self.unacknowledged = (self.unacknowledged + now.unacknowledged).saturating_sub(before.unacknowledged);
    }
}

/// [`Churn`] at one time, in the order of [`ChurnTotals::NAMES`].
pub type ChurnNumbers = [u64; 7];

/// [`Churn`] at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChurnTotals(pub ChurnNumbers);

impl ChurnTotals {
    /// RabbitMQ's names.
    pub const NAMES: [&str; 7] = [
        "connection_created",
        "connection_closed",
        "channel_created",
        "channel_closed",
        "queue_declared",
        "queue_created",
        "queue_deleted",
    ];

    /// The numbers as they are.
    pub fn of(churn: &Churn) -> ChurnTotals {
        let numbers = [
            &churn.connections_opened,
            &churn.connections_closed,
            &churn.channels_opened,
            &churn.channels_closed,
            &churn.queues_declared,
            &churn.queues_created,
            &churn.queues_deleted,
        ];
        ChurnTotals(numbers.map(|number: &AtomicU64| number.load(Ordering::Relaxed)))
    }
}

/// What a queue has of samples.
#[derive(Debug, Default)]
pub(super) struct QueueSamples {
    lengths: Lengths,
    series: Option<Box<Series<QueueSample>>>,
    /// When it was last seen to have been asked for something, or was made, wall clock ms; 0: not since the start.
    active_at: u64,
}

/// A series that some object carries, if it has changed lately.
pub(super) type Carried<T> = Mutex<Option<Box<Series<T>>>>;

/// An exchange that messages went through lately.
type WatchedExchange = (Arc<Throughput>, Series<Totals>);

/// All samples.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Queues that were asked for something since the last look.
    stirred: Mutex<Vec<Arc<QueueHandle>>>,
    /// Queues that are looked at.
    watched: Mutex<Vec<Weak<QueueHandle>>>,
    /// Messages in the queues of each virtual host, as of the last look.
    lengths: Mutex<HashMap<Name, Lengths>>,
    /// What else all queues have together.
    sums: Sums,
    exchanges: Mutex<HashMap<usize, WatchedExchange>>,
    node: Mutex<Series<NodeSample>>,
    /// Virtual hosts in which something was done lately.
    vhosts: Mutex<HashMap<Name, Series<VhostSample>>>,
    /// Long series that there are.
    series: AtomicUsize,
    /// Held while samples are taken.
    looking: Mutex<()>,
}

impl Samples {
    /// A queue was asked for something, for the first time since it was last looked at.
    pub fn stir(&self, queue: &Arc<QueueHandle>) {
        self.stirred.lock().push(queue.clone());
    }

    /// Messages went through an exchange.
    pub fn stir_exchange(&self, throughput: &Arc<Throughput>) {
        let key = Arc::as_ptr(throughput) as usize;
        self.exchanges.lock().entry(key).or_insert_with(|| (throughput.clone(), Series::default()));
    }

    /// A virtual host was deleted.
    pub fn forget_vhost(&self, vhost: &Name) {
        self.lengths.lock().remove(vhost);
        self.vhosts.lock().remove(vhost);
    }

    /// How many samples a new series may keep.
    fn keep(&self) -> usize {
        if self.series.load(Ordering::Relaxed) < SERIES_MAX { SERIES_SAMPLES } else { 2 }
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Queues that were asked for something since the last look.
    pub(super) fn stirred_queues(&self) -> Vec<Arc<QueueHandle>> {
        self.stirred.lock().clone()
    }

    /// Looks at a queue. `keep`: whether a sample is kept. Returns how its lengths have changed.
    fn look(&self, queue: &QueueHandle, now: u64) -> (Lengths, Lengths) {
        let mut samples = queue.samples().lock();
        let (counts, totals) = queue.with_queue(|queue| queue.look());
        let lengths = Lengths { ready: counts.ready, unacknowledged: counts.unsettled };
        let sample = QueueSample { ready: counts.ready, unacknowledged: counts.unsettled, totals };
        let keep = self.keep();
        let QueueSamples { lengths: before, series, active_at } = &mut *samples;
        *active_at = now;
        let series = series.get_or_insert_with(|| {
            self.series.fetch_add(1, Ordering::Relaxed);
            Box::default()
        });
        series.push(now, sample, keep);
        (std::mem::replace(before, lengths), lengths)
    }

    fn look_at_queues(&self, now: u64) {
        let stirred = std::mem::take(&mut *self.stirred.lock());
        let watched = std::mem::take(&mut *self.watched.lock());
        let mut next = Vec::with_capacity(stirred.len());
        for queue in &stirred {
            let (before, after) = self.look(queue, now);
            self.lengths.lock().entry(queue.definition().vhost.clone()).or_default().follow(before, after);
            self.sums.look(queue);
            next.push(Arc::downgrade(queue));
        }
        let fresh: std::collections::HashSet<_> = stirred.iter().map(|queue| queue.id()).collect();
        for queue in watched.iter().filter_map(Weak::upgrade).filter(|queue| !fresh.contains(&queue.id())) {
            let keep = self.keep();
            let mut samples = queue.samples().lock();
            let Some(series) = &mut samples.series else { continue };
            if let Some((_, last)) = series.0.back().copied() {
                series.push(now, last, keep);
            }
            if series.is_flat(keep) {
                samples.series = None;
                self.series.fetch_sub(1, Ordering::Relaxed);
            } else {
                next.push(Arc::downgrade(&queue));
            }
        }
        *self.watched.lock() = next;
    }

    fn look_at_vhosts(&self, now: u64, mut all: HashMap<Name, VhostTotals>) {
        let lengths = self.lengths.lock().clone();
        for name in lengths.keys() {
            all.entry(name.clone()).or_default();
        }
        let mut vhosts = self.vhosts.lock();
        let keep = if vhosts.len() < SERIES_MAX { SERIES_SAMPLES } else { 2 };
        for (name, done) in all.into_iter().filter(|(name, _)| !name.as_str().is_empty()) {
            let lengths = lengths.get(&name).copied().unwrap_or_default();
            let sample = VhostSample { lengths, done };
            let series = vhosts.entry(name).or_default();
            // What does not change needs its last sample only.
            if series.is_flat(2) && series.0.back().is_some_and(|(_, last)| *last == sample) {
                series.0.pop_front();
            }
            series.push(now, sample, keep);
        }
    }

    fn look_at_exchanges(&self, now: u64) {
        let mut exchanges = self.exchanges.lock();
        let keep = if exchanges.len() < SERIES_MAX { SERIES_SAMPLES } else { 2 };
        exchanges.retain(|_, (throughput, series)| {
            throughput.settle();
            series.push(now, throughput.totals(), keep);
            // One that nobody else has was deleted.
            let goes = series.is_flat(keep) || Arc::strong_count(throughput) == 1;
            !goes || throughput.is_stirred()
        });
    }
}

/// Samples one thing that is written by its own task.
fn look_at<T: Copy + PartialEq>(carried: &Carried<T>, now: u64, value: T, untouched: bool) {
    let mut carried = carried.lock();
    if carried.is_none() && untouched {
        return;
    }
    let series = carried.get_or_insert_default();
    series.push(now, value, SERIES_SAMPLES);
    if series.is_flat(SERIES_SAMPLES) {
        // Its last sample stays, to see what changes.
        series.0 = series.0.split_off(SERIES_SAMPLES - 1);
    }
}

impl Broker {
    /// Takes samples of what has changed, with what the process uses. To be called every few seconds.
    pub fn sample(&self, process: ProcessSample) {
        let _looking = self.samples().looking.lock();
        let now = self.now();
        self.samples().look_at_queues(now);
        self.samples().look_at_exchanges(now);
        for connection in self.connections() {
            let traffic = connection.traffic().totals();
            look_at(connection.samples(), now, traffic, traffic == TrafficTotals::default());
            for channel in connection.channels() {
                let totals = channel.totals();
                let before = channel.samples().lock().as_ref().and_then(|series| series.0.back().copied());
                if before.is_some_and(|(_, before)| before != totals) || (before.is_none() && !totals.is_empty()) {
                    channel.note_active(now);
                }
                look_at(channel.samples(), now, totals, totals.is_empty());
            }
        }
        self.samples().look_at_vhosts(now, self.totals_by_vhost());
        let [mut totals, quorum] = self.message_totals();
        totals += quorum;
        let (lengths, churn) = (self.lengths(None), ChurnTotals::of(self.churn()));
        let sample = NodeSample { process, lengths, totals, churn, io: self.io() };
        self.samples().node.lock().push(now, sample, SERIES_SAMPLES_NODE);
    }

    /// Messages in the queues of a virtual host, or of all.
    pub fn lengths(&self, vhost: Option<&Name>) -> Lengths {
        let mut lengths = Lengths::default();
        {
            let known = self.samples().lengths.lock();
            for (_, of_vhost) in known.iter().filter(|(name, _)| vhost.is_none_or(|vhost| *name == vhost)) {
                lengths.ready += of_vhost.ready;
                lengths.unacknowledged += of_vhost.unacknowledged;
            }
        }
        // What has changed since the last look is looked at now.
        let stirred = self.samples().stirred_queues();
        for queue in stirred.iter().filter(|queue| vhost.is_none_or(|vhost| queue.definition().vhost == *vhost)) {
            let (before, counts) = (queue.samples().lock().lengths, queue.counts());
            lengths.follow(before, Lengths { ready: counts.ready, unacknowledged: counts.unsettled });
        }
        lengths
    }

    /// Samples of the node.
    pub fn node_series(&self) -> Series<NodeSample> {
        self.samples().node.lock().clone()
    }

    /// Samples of some virtual hosts together.
    pub fn vhost_series(&self, names: &[Name]) -> Series<VhostSample> {
        let vhosts = self.samples().vhosts.lock();
        let all: Vec<&Series<VhostSample>> = names.iter().filter_map(|name| vhosts.get(name)).collect();
        let Some(longest) = all.iter().max_by_key(|series| series.0.len()) else { return Series::default() };
        let at = |series: &Series<VhostSample>, time: u64| {
            let known = series.0.iter().rev().find(|(at, _)| *at <= time).or(series.0.front());
            known.map_or_else(VhostSample::default, |(_, sample)| *sample)
        };
        let sum = |time: u64| all.iter().fold(VhostSample::default(), |sum, series| sum.with(at(series, time)));
        Series(longest.0.iter().map(|(time, _)| (*time, sum(*time))).collect())
    }

    /// Samples of an exchange; none when nothing went through it lately.
    pub fn exchange_series(&self, throughput: &Arc<Throughput>) -> Series<Totals> {
        let key = Arc::as_ptr(throughput) as usize;
        self.samples().exchanges.lock().get(&key).map(|(_, series)| series.clone()).unwrap_or_default()
    }

    /// The time that samples bear: wall clock ms by the steady clock.
    pub fn sample_time(&self) -> u64 {
        self.now()
    }
}

impl QueueHandle {
    /// Since when nothing was asked of it, wall clock ms, as far as samples tell; 0: since the start. None: it is in use.
    pub fn idle_since(&self) -> Option<u64> {
        let active_at = self.samples().lock().active_at;
        (!self.is_stirred()).then_some(active_at)
    }

    /// It was made now, wall clock ms.
    pub(super) fn made_at(&self, now: u64) {
        self.samples().lock().active_at = now;
    }

    /// Its samples; none when nothing was asked of it lately.
    pub fn series(&self) -> Series<QueueSample> {
        self.samples().lock().series.as_deref().cloned().unwrap_or_default()
    }
}

impl ConnectionRecord {
    /// Its samples; none when nothing went through its socket lately.
    pub fn series(&self) -> Series<TrafficTotals> {
        self.samples().lock().as_deref().cloned().unwrap_or_default()
    }
}

impl ChannelRecord {
    /// Its samples; none when it did nothing lately.
    pub fn series(&self) -> Series<Totals> {
        self.samples().lock().as_deref().cloned().unwrap_or_default()
    }
}
