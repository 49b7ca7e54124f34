//! Messages that leave the queue for its dead-letter exchange (compat.md 2.5). They stay in their chunks, neither ready nor
//! unsettled, until they are where they were to go; a crash in between brings them back.

use super::{Effects, Outlet, Queue};
use crate::broker::identity::ConsumerId;
use crate::broker::message::{Returns, Run};

/// Why a message was dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A consumer refused it.
    Rejected,
    /// Its time was over.
    Expired,
    /// The queue was full.
    MaxLen,
    /// Its delivery failed too often.
    DeliveryLimit,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 4] = [Reason::Rejected, Reason::Expired, Reason::MaxLen, Reason::DeliveryLimit];

    /// As `x-death` has it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Rejected => "rejected",
            Reason::Expired => "expired",
            Reason::MaxLen => "maxlen",
            Reason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// Messages for the dead-letter exchange.
#[derive(Debug)]
pub struct Dead {
    /// The messages.
    pub run: Run,
    /// Why.
    pub reason: Reason,
    /// Whether the queue waits for [`super::Command::Buried`]; false for what it never took.
    pub waits: bool,
}

impl<O: Outlet> Queue<O> {
    /// Takes a run, the front of [`Queue::next_span`], out of the queue.
    pub(super) fn drop_ready(&mut self, run: Run, reason: Reason, effects: &mut Effects<O>) {
        self.take_out(&run);
        self.bury(run, reason, effects);
    }

    pub(super) fn discard(&mut self, spans: &[(u64, u32)], consumer: Option<ConsumerId>, effects: &mut Effects<O>) {
        let count = spans.iter().map(|(_, count)| *count).sum();
        for (first, count) in spans {
            self.unsettled = self.unsettled.saturating_sub(u64::from(*count));
            self.doom(*first, *count, Reason::Rejected, effects);
        }
        self.free_credit(consumer, count);
    }

    /// Messages that are neither ready nor unsettled any more are to go.
    pub(super) fn doom(&mut self, first: u64, count: u32, reason: Reason, effects: &mut Effects<O>) {
        self.forgo_receipt(first);
        if self.settings.dead_letters.is_none() {
            self.settle(first, count);
            return;
        }
        let Some((start, entry)) = self.entries.range(..=first).next_back() else { return };
        if entry.absent.is_some() {
            self.dying += u64::from(count);
            self.doomed.push_back((first, count, reason));
            effects.load |= self.wants_load();
            return;
        }
        let index = (first - start) as u32;
        let returns = Returns::default();
        let run = Run { chunk: entry.chunk.clone(), index, count, redelivered: true, returns };
        self.bury(run, reason, effects);
    }

    /// The records of doomed messages in the chunk at `start` were read.
    pub(super) fn bury_read(&mut self, effects: &mut Effects<O>) {
        for (first, count, reason) in std::mem::take(&mut self.doomed) {
            self.dying = self.dying.saturating_sub(u64::from(count));
            self.doom(first, count, reason, effects);
        }
    }

    fn bury(&mut self, run: Run, reason: Reason, effects: &mut Effects<O>) {
        self.forgo_receipt(run.first());
        if self.settings.dead_letters.is_none() {
            self.settle(run.first(), run.count);
            return;
        }
        self.dying += u64::from(run.count);
        effects.dead.push(Dead { run, reason, waits: true });
    }
}
