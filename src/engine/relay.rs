//! The thread that carries what the broker itself publishes: events (see [`super::events`]), and dead letters (compat.md 2.5) from the queue that let them go to the queues that the dead-letter
//! exchange leads to. A dead letter is settled at its source when its targets have it on disk: a crash in between may
//! double it, never lose it.

use super::Epoch;
use super::broker::Broker;
use super::letters::LetterCounts;
use super::publish::{Batch, PublishTag};
use super::queue_handle::QueueHandle;
use crate::broker::dead_letter::{Death, Letter};
use crate::broker::message::{Parts, Record, Run};
use crate::broker::queue::{Dead, DeadLetters};
use crate::clock::Now;
use crate::store::committer::Waiter;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often an at-least-once dead letter that found no target is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The thread looks at least so often whether the broker is still there.
const LOOK: Duration = Duration::from_secs(1);

/// The relay's door.
#[derive(Debug, Default)]
pub(super) struct Relay {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    /// Rung when the thread is quiet, and when it has ended.
    quieted: Condvar,
    /// What it has carried.
    letters: LetterCounts,
}

#[derive(Debug, Default)]
struct Inbox {
    dead: VecDeque<(Arc<QueueHandle>, Vec<Dead>)>,
    /// An epoch that somebody waited for is done.
    rung: bool,
    /// Whether there is a thread.
    running: bool,
    /// Nothing more is to be carried.
    closing: bool,
    /// Nothing more is carried: the thread has seen that it is closing.
    quiet: bool,
    /// The last commit is done: the thread is to end.
    ending: bool,
}

impl Waiter for Relay {
    fn wake(&self) {
        self.inbox.lock().rung = true;
        self.bell.notify_one();
    }
}

/// The thread's own side.
struct Carrier {
    relay: Arc<Relay>,
    batch: Batch,
    /// Dead letters whose targets have them in memory, by the epoch that makes them durable there.
    arriving: VecDeque<Arrival>,
    /// At-least-once dead letters that found no target.
    stranded: Vec<(Instant, Arc<QueueHandle>, Dead)>,
}

/// Dead letters of a queue: the epoch that they wait for, and their numbers there.
type Arrival = (Epoch, Arc<QueueHandle>, Vec<(u64, u32)>);

impl Relay {
    /// How many messages it has carried, and why.
    pub fn letters(&self) -> &LetterCounts {
        &self.letters
    }

    /// Takes dead letters of a queue.
    pub fn send(&self, queue: Arc<QueueHandle>, dead: Vec<Dead>) {
        self.inbox.lock().dead.push_back((queue, dead));
        self.bell.notify_one();
    }

    /// Carries nothing any more: what dies from now on stays with its queue. Nothing is on its way to a queue when this
    /// returns.
    pub fn close(&self) {
        self.ask(|inbox| inbox.closing = true, |inbox| inbox.quiet);
    }

    /// Settles at their sources the dead letters that the last commit has taken, and ends the thread. A clean stop would
    /// double them otherwise.
    pub fn end(&self) {
        self.ask(|inbox| inbox.ending = true, |_| false);
    }

    /// Asks something of the thread and waits until it is done, or there is no thread.
    fn ask(&self, ask: impl FnOnce(&mut Inbox), done: impl Fn(&Inbox) -> bool) {
        let mut inbox = self.inbox.lock();
        ask(&mut inbox);
        self.bell.notify_one();
        while inbox.running && !done(&inbox) {
            self.quieted.wait(&mut inbox);
        }
    }

    /// Runs the thread until [`Relay::end`], or until the broker is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(broker: &Arc<Broker>) -> std::io::Result<JoinHandle<()>> {
        let (relay, broker) = (broker.relay().clone(), Arc::downgrade(broker));
        relay.inbox.lock().running = true;
        let carrier = Carrier { relay, batch: Batch::default(), arriving: VecDeque::new(), stranded: Vec::new() };
        std::thread::Builder::new().name("relay".into()).spawn(move || carrier.run(&broker))
    }
}

impl Drop for Carrier {
    /// Nobody waits for a thread that has ended, however it did.
    fn drop(&mut self) {
        self.relay.inbox.lock().running = false;
        self.relay.quieted.notify_all();
    }
}

impl Carrier {
    fn run(mut self, broker: &Weak<Broker>) {
        loop {
            let (dead, closing, ending) = {
                let mut inbox = self.relay.inbox.lock();
                let asked = inbox.closing && !inbox.quiet || inbox.ending;
                if inbox.dead.is_empty() && !inbox.rung && !asked {
                    self.relay.bell.wait_for(&mut inbox, LOOK);
                }
                inbox.rung = false;
                if inbox.closing && !inbox.quiet {
                    inbox.quiet = true;
                    self.relay.quieted.notify_all();
                }
                (std::mem::take(&mut inbox.dead), inbox.closing, inbox.ending)
            };
            let Some(broker) = broker.upgrade() else { return };
            if !closing {
                for (queue, dead) in dead {
                    self.relay.letters.note(&queue, &dead);
                    self.carry(&broker, &queue, dead);
                }
                broker.publish_events(&mut self.batch);
                self.retry(&broker);
            }
            self.arrive(&broker);
            if ending {
                return;
            }
        }
    }

    fn carry(&mut self, broker: &Arc<Broker>, queue: &Arc<QueueHandle>, dead: Vec<Dead>) {
        let settings = queue.settings();
        // Messages that nobody took, by their places among all that are carried.
        let (mut kept, mut place) = (BTreeSet::new(), 0);
        for dead in &dead {
            if let Some(letters) = &settings.dead_letters {
                self.publish(broker, queue, letters, dead, place, &mut kept);
            }
            place += u64::from(dead.run.count);
        }
        let epoch = self.batch.flush(broker);
        kept.extend(self.batch.take_refused().into_iter().map(|tag| tag.sequence));
        let spans = self.sort_out(queue, dead, &kept);
        match epoch {
            _ if spans.is_empty() => {}
            Some(epoch) => {
                self.arriving.push_back((epoch, queue.clone(), spans));
                broker.committer().wake_at(epoch, self.relay.clone());
            }
            None => self.bury(broker, queue, spans),
        }
    }

    /// Keeps the messages that nobody took for later; returns the others that their queue waits for.
    fn sort_out(&mut self, queue: &Arc<QueueHandle>, dead: Vec<Dead>, kept: &BTreeSet<u64>) -> Vec<(u64, u32)> {
        let due = Now::read().monotonic + RETRY;
        let (mut spans, mut place) = (Vec::new(), 0);
        for Dead { run, reason, waits } in dead {
            let places = place..place + u64::from(run.count);
            place = places.end;
            if waits && kept.range(places.clone()).next().is_none() {
                spans.push((run.first(), run.count));
                continue;
            }
            let is_kept = |at: u32| kept.contains(&(places.start + u64::from(at)));
            let mut at = 0;
            while waits && at < run.count {
                let length = (at..run.count).take_while(|other| is_kept(*other) == is_kept(at)).count() as u32;
                let part = run.part(at, length);
                if is_kept(at) {
                    self.stranded.push((due, queue.clone(), Dead { run: part, reason, waits }));
                } else {
                    spans.push((part.first(), length));
                }
                at += length;
            }
        }
        spans
    }

    /// Publishes the messages of a run to the dead-letter exchange. At least once: what no queue takes is said in `kept`, or
    /// by the batch when a queue refuses it; the run's messages are there under the numbers from `place` on.
    fn publish(
        &mut self,
        broker: &Arc<Broker>,
        queue: &Arc<QueueHandle>,
        letters: &DeadLetters,
        dead: &Dead,
        place: u64,
        kept: &mut BTreeSet<u64>,
    ) {
        let Run { chunk, index, count, .. } = &dead.run;
        let death = Death {
            queue: queue.name().as_str(),
            reason: dead.reason,
            exchange: letters.exchange.as_str(),
            routing_key: letters.routing_key.as_ref().map(|key| key.as_str()),
            time: Now::unix_seconds(),
        };
        let strict = letters.at_least_once && dead.waits;
        for (sequence, at) in (place..).zip(*index..*index + *count) {
            let Some(record) = chunk.record(at) else { continue };
            let tag = strict.then_some(PublishTag { channel: 0, sequence });
            if !self.publish_one(broker, queue, letters, &record, &death, tag) && strict {
                kept.insert(sequence);
            }
        }
    }

    /// Whether some queue takes the message; one that refuses it says so under `tag`.
    fn publish_one(
        &mut self,
        broker: &Broker,
        queue: &QueueHandle,
        letters: &DeadLetters,
        record: &Record<'_>,
        death: &Death<'_>,
        tag: Option<PublishTag>,
    ) -> bool {
        let Some(letter) = Letter::of(record, death) else {
            tracing::warn!("{}: a message with damaged properties cannot be dead-lettered", queue.resource());
            return true;
        };
        let keys: Vec<&[u8]> = letter.keys.iter().map(Vec::as_slice).collect();
        let found = broker.dead_letter_route(queue.definition(), &letters.exchange, &keys, &letter.header);
        let mut route = found.unwrap_or_default();
        route.targets.retain(|target| letter.may_enter(target.name().as_str(), death.reason));
        let parts = Parts {
            exchange_and_key: &letter.exchange_and_key,
            header: &letter.header,
            body: record.body,
            persistent: record.persistent,
            priority: record.priority,
            deadline_ms: 0,
            died: true,
            detached: record.detached,
        };
        self.batch.push(broker, &route, &parts, tag);
        !route.is_empty()
    }

    fn retry(&mut self, broker: &Arc<Broker>) {
        let now = Now::read().monotonic;
        let due: Vec<_> = self.stranded.extract_if(.., |(due, _, _)| *due <= now).collect();
        let mut due = due.into_iter().peekable();
        while let Some((_, queue, dead)) = due.next() {
            let mut all = vec![dead];
            while let Some((_, _, dead)) = due.next_if(|(_, other, _)| Arc::ptr_eq(other, &queue)) {
                all.push(dead);
            }
            // A queue that was deleted has taken its messages along.
            if !queue.with_queue(|queue| queue.is_closed()) {
                self.carry(broker, &queue, all);
            }
        }
    }

    /// What is on disk at its targets is settled at its source.
    fn arrive(&mut self, broker: &Arc<Broker>) {
        let done = broker.committer().done_epoch();
        while let Some((_, queue, spans)) = self.arriving.pop_front_if(|(epoch, _, _)| *epoch <= done) {
            self.bury(broker, &queue, spans);
        }
    }

    fn bury(&self, broker: &Broker, queue: &Arc<QueueHandle>, spans: Vec<(u64, u32)>) {
        self.relay.letters.note_arrived(queue, &spans);
        queue.bury(broker, spans);
    }
}
