//! The thread that carries what the broker itself publishes: events (see [`super::events`]), and dead letters (compat.md 2.5) from the queue that let them go to the queues that the dead-letter
//! exchange leads to. A dead letter is settled at its source when its targets have it on disk: a crash in between may
//! double it, never lose it.

use super::Epoch;
use super::broker::Broker;
use super::publish::Batch;
use super::queue_handle::QueueHandle;
use crate::broker::dead_letter::{Death, Letter};
use crate::broker::message::{Parts, Record, Run};
use crate::broker::queue::{Dead, DeadLetters};
use crate::clock::Now;
use crate::store::committer::Waiter;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
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
}

#[derive(Debug, Default)]
struct Inbox {
    dead: VecDeque<(Arc<QueueHandle>, Vec<Dead>)>,
    /// An epoch that somebody waited for is done.
    rung: bool,
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
    /// Takes dead letters of a queue.
    pub fn send(&self, queue: Arc<QueueHandle>, dead: Vec<Dead>) {
        self.inbox.lock().dead.push_back((queue, dead));
        self.bell.notify_one();
    }

    /// Runs the thread until the broker is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(broker: &Arc<Broker>) -> std::io::Result<JoinHandle<()>> {
        let (relay, broker) = (broker.relay().clone(), Arc::downgrade(broker));
        let carrier = Carrier { relay, batch: Batch::default(), arriving: VecDeque::new(), stranded: Vec::new() };
        std::thread::Builder::new().name("relay".into()).spawn(move || carrier.run(&broker))
    }
}

impl Carrier {
    fn run(mut self, broker: &Weak<Broker>) {
        loop {
            let dead = {
                let mut inbox = self.relay.inbox.lock();
                if inbox.dead.is_empty() && !inbox.rung {
                    self.relay.bell.wait_for(&mut inbox, LOOK);
                }
                inbox.rung = false;
                std::mem::take(&mut inbox.dead)
            };
            let Some(broker) = broker.upgrade() else { return };
            for (queue, dead) in dead {
                self.carry(&broker, &queue, dead);
            }
            broker.publish_events(&mut self.batch);
            self.retry(&broker);
            self.arrive(&broker);
        }
    }

    fn carry(&mut self, broker: &Arc<Broker>, queue: &Arc<QueueHandle>, dead: Vec<Dead>) {
        let settings = queue.settings();
        let mut spans = Vec::new();
        for dead in dead {
            let found = settings.dead_letters.as_ref().map(|letters| self.publish(broker, queue, letters, &dead));
            let at_least_once = settings.dead_letters.as_ref().is_some_and(|letters| letters.at_least_once);
            if at_least_once && dead.waits && found == Some(false) {
                self.stranded.push((Now::read().monotonic + RETRY, queue.clone(), dead));
            } else if dead.waits {
                spans.push((dead.run.first(), dead.run.count));
            }
        }
        let epoch = self.batch.flush(broker);
        match epoch {
            _ if spans.is_empty() => {}
            Some(epoch) => {
                self.arriving.push_back((epoch, queue.clone(), spans));
                broker.committer().wake_at(epoch, self.relay.clone());
            }
            None => queue.bury(broker, spans),
        }
    }

    /// Publishes the messages of a run to the dead-letter exchange. Whether all found a queue that took them.
    fn publish(&mut self, broker: &Arc<Broker>, queue: &Arc<QueueHandle>, letters: &DeadLetters, dead: &Dead) -> bool {
        let Run { chunk, index, count, .. } = &dead.run;
        let death = Death {
            queue: queue.name().as_str(),
            reason: dead.reason,
            exchange: letters.exchange.as_str(),
            routing_key: letters.routing_key.as_ref().map(|key| key.as_str()),
            time: Now::unix_seconds(),
        };
        let mut all = true;
        for record in (*index..*index + *count).filter_map(|at| chunk.record(at)) {
            all &= self.publish_one(broker, queue, letters, &record, &death);
        }
        all
    }

    fn publish_one(
        &mut self,
        broker: &Broker,
        queue: &QueueHandle,
        letters: &DeadLetters,
        record: &Record<'_>,
        death: &Death<'_>,
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
        };
        self.batch.push(broker, &route, &parts, None);
        !route.is_empty()
    }

    fn retry(&mut self, broker: &Arc<Broker>) {
        let now = Now::read().monotonic;
        let due: Vec<_> = self.stranded.extract_if(.., |(due, _, _)| *due <= now).collect();
        for (_, queue, dead) in due {
            self.carry(broker, &queue, vec![dead]);
        }
    }

    /// What is on disk at its targets is settled at its source.
    fn arrive(&mut self, broker: &Arc<Broker>) {
        let done = broker.committer().done_epoch();
        while let Some((_, queue, spans)) = self.arriving.pop_front_if(|(epoch, _, _)| *epoch <= done) {
            queue.bury(broker, spans);
        }
    }
}
