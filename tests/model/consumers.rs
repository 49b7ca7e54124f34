//! The consumers of the naive queue: who may be sent a message now.

use std::cmp::Reverse;
use warren::broker::identity::ConsumerId;
use warren::broker::queue::{QueueKind, QueueSettings};

#[derive(Clone, Debug)]
pub struct Holder {
    pub id: ConsumerId,
    pub prefetch: Option<u32>,
    pub no_ack: bool,
    pub priority: i32,
    pub exclusive: bool,
    /// It is on the channel whose consumers share a limit.
    pub shares: bool,
    /// Messages in its hands.
    pub holds: u32,
}

#[derive(Debug)]
pub struct Consumers {
    /// Oldest first.
    all: Vec<Holder>,
    /// What is left of the limit that some of them share.
    pub shared: i64,
    single: bool,
    by_priority: bool,
    /// The single active one, and whether it gives way as soon as it holds nothing.
    active: Option<ConsumerId>,
    leaving: bool,
    /// Who was served last by this command, and how many messages it served.
    last: Option<ConsumerId>,
    served: u32,
}

/// After so many messages of one command a consumer may have to take what is in its outbox first.
const PATIENCE: u32 = 500;

impl Consumers {
    pub fn new(settings: &QueueSettings) -> Consumers {
        let (single, by_priority) = (settings.single_active, settings.kind == QueueKind::Quorum);
        let (active, leaving, last, served) = (None, false, None, 0);
        Consumers { all: Vec::new(), shared: 0, single, by_priority, active, leaving, last, served }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn ids(&self) -> Vec<ConsumerId> {
        self.all.iter().map(|holder| holder.id).collect()
    }

    pub fn sharers(&self) -> Vec<ConsumerId> {
        self.all.iter().filter(|holder| holder.shares).map(|holder| holder.id).collect()
    }

    pub fn get(&self, id: ConsumerId) -> Option<&Holder> {
        self.all.iter().find(|holder| holder.id == id)
    }

    /// Whether another may come (compat.md 1.9, 2.7).
    pub fn may_add(&self, exclusive: bool) -> bool {
        match (self.single, self.by_priority) {
            (true, _) => !exclusive,
            (false, true) => true,
            (false, false) => {
                let alone = self.all.iter().any(|holder| holder.exclusive);
                !alone && (!exclusive || self.all.is_empty())
            }
        }
    }

    pub fn add(&mut self, holder: Holder) {
        self.all.push(holder);
        self.elect();
    }

    pub fn remove(&mut self, id: ConsumerId) {
        self.all.retain(|holder| holder.id != id);
        if self.active == Some(id) {
            self.active = None;
        }
        self.elect();
    }

    /// Chooses the single active consumer: the oldest; of a quorum queue the oldest of the highest priority, for which the
    /// present one gives way when it holds nothing.
    fn elect(&mut self) {
        let rank = |holder: &&Holder| (Reverse(if self.by_priority { holder.priority } else { 0 }), holder.id.0);
        let best = self.all.iter().min_by_key(rank).map(|holder| (holder.id, holder.priority));
        let active = self.active.and_then(|id| self.get(id)).map(|holder| (holder.priority, holder.holds));
        let priority = best.map(|(_, priority)| priority);
        let outranked = self.by_priority && active.zip(priority).is_some_and(|((own, _), best)| best > own);
        self.leaving = outranked && active.is_some_and(|(_, holds)| holds > 0);
        if active.is_none() || (outranked && !self.leaving) {
            self.active = best.map(|(id, _)| id);
        }
    }

    fn can_take(&self, holder: &Holder) -> bool {
        let credit = holder.prefetch.is_none_or(|prefetch| holder.holds < prefetch);
        let turn = !self.single || (self.active == Some(holder.id) && !self.leaving);
        turn && (holder.no_ack || (credit && (!holder.shares || self.shared > 0)))
    }

    /// Whether some consumer could take a message.
    pub fn is_hungry(&self) -> bool {
        self.all.iter().any(|holder| self.can_take(holder))
    }

    /// A command begins to serve.
    pub fn begin(&mut self) {
        (self.last, self.served) = (None, 0);
    }

    /// A consumer is sent a message. Returns whether it need not acknowledge it.
    pub fn takes(&mut self, id: ConsumerId) -> bool {
        let holder = self.get(id).expect("a consumer that exists").clone();
        assert!(self.can_take(&holder), "{holder:?} has no credit, or it is not its turn");
        // One that shares a limit learns late that there is credit again.
        let above = |other: &&Holder| other.priority > holder.priority && !other.shares;
        let passed = self.all.iter().filter(above).find(|other| self.can_take(other));
        assert!(passed.is_none(), "{holder:?} was served before {passed:?}");
        let equal = |other: &&Holder| other.id != id && other.priority == holder.priority && !other.shares;
        let rival = self.all.iter().filter(equal).find(|other| self.can_take(other));
        let again = self.last == Some(id) && self.served < PATIENCE;
        assert!(!again || rival.is_none(), "{holder:?} was served twice running, and {rival:?} waits");
        (self.last, self.served) = (Some(id), self.served + 1);
        if let Some(holder) = self.all.iter_mut().find(|holder| holder.id == id && !holder.no_ack) {
            holder.holds += 1;
            self.shared -= i64::from(holder.shares);
        }
        holder.no_ack
    }

    /// A message leaves its hands.
    pub fn gives_back(&mut self, id: ConsumerId) {
        if let Some(holder) = self.all.iter_mut().find(|holder| holder.id == id) {
            holder.holds -= 1;
        }
        if self.leaving {
            self.elect();
        }
    }
}
