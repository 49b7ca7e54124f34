//! Exchanges of type `x-message-deduplication`: their windows, shared between publishers, and how messages pass them.
//!
//! A publisher looks whether the window knows a message, hands it to its queues and notes it, all under the window's lock.
//! So whoever finds an entry there knows that its message is in its queues, and may confirm the duplicate when it would confirm
//! the message. On disk an entry comes after its message: it carries an epoch that was open after the message was appended, goes
//! into no commit before that one, and there behind everything else ([`Source::is_late`]).
//!
//! Locks: windows in the order of their addresses, then a queue. Nothing takes a window's lock while it holds another.

use super::Epoch;
use super::broker::Broker;
use super::history::SharedHistory;
use super::publish::Delayed;
use super::queue_handle::QueueHandle;
use crate::broker::identity::QueueId;
use crate::broker::message::Parts;
use crate::broker::queue::Collected;
use crate::broker::window::{Mark, Stored, Window};
use crate::store::committer::{Piece, Source};
use crate::store::{Change, Family, keys};
use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The window of one exchange.
#[derive(Debug)]
pub(super) struct Gate {
    /// Its number, among those of queues.
    id: QueueId,
    /// Whether it is kept on disk.
    stored: bool,
    /// The exchange is gone.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    window: Window,
    /// Entries below a number belong to messages of that epoch, or of an earlier one.
    epochs: VecDeque<(Epoch, u64)>,
    /// The last epoch that was told that there is something to write.
    announced: Epoch,
}

/// A gate on a route, and what is behind it.
#[derive(Clone, Debug)]
pub(super) struct GateRoute {
    pub gate: Arc<Gate>,
    /// Whether it is reached without passing another gate.
    pub open: bool,
    pub targets: SmallVec<[Arc<QueueHandle>; 1]>,
    pub histories: Vec<Arc<SharedHistory>>,
    /// Exchanges behind it at which the message waits.
    pub delays: Vec<Delayed>,
    /// Gates behind it, by their places on the route.
    pub gates: Vec<usize>,
}

/// What came of a message's way through gates.
#[derive(Debug, Default)]
pub(super) struct Passed<'r> {
    /// The queues behind the gates that it passed, each once.
    pub targets: Vec<&'r Arc<QueueHandle>>,
    pub histories: Vec<&'r Arc<SharedHistory>>,
    /// The exchanges behind them at which it waits.
    pub delays: Vec<&'r Delayed>,
    /// A gate knew the message, and its entry is durable: the duplicate's confirm has to wait for it.
    pub known_durably: bool,
    /// Gates that have to remember it, by their places on the route.
    fresh: Vec<(usize, Mark)>,
}

impl Gate {
    pub fn new(id: QueueId, window: Window, stored: bool) -> Arc<Gate> {
        let state = State { window, epochs: VecDeque::new(), announced: 0 };
        Arc::new(Gate { id, stored, closed: AtomicBool::new(false), state: Mutex::new(state) })
    }

    pub fn id(&self) -> QueueId {
        self.id
    }

    pub fn is_stored(&self) -> bool {
        self.stored
    }

    /// Its exchange is gone: nothing of it is written any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Time alone makes it forget.
    pub fn pass_time(self: &Arc<Self>, broker: &Broker, now: u64) {
        let mut state = self.state.lock();
        state.window.pass_time(now);
        self.announce(broker, &mut state);
    }

    fn announce(self: &Arc<Self>, broker: &Broker, state: &mut State) {
        // Again for every epoch: what is noted while one is written belongs to the next.
        let epoch = broker.committer().open_epoch();
        if self.stored && state.window.has_changed() && state.announced < epoch {
            state.announced = epoch;
            broker.committer().dirty(self.clone());
        }
    }
}

/// The locks of all gates of a route, each at its place.
pub(super) type Locked<'r> = SmallVec<[Option<MutexGuard<'r, State>>; 1]>;

/// Locks the gates of a route.
pub(super) fn lock(gates: &[GateRoute]) -> Locked<'_> {
    let mut order: SmallVec<[usize; 4]> = (0..gates.len()).collect();
    order.sort_unstable_by_key(|at| gates.get(*at).map(|route| Arc::as_ptr(&route.gate)));
    let mut locked: Locked<'_> = gates.iter().map(|_| None).collect();
    for at in order {
        if let (Some(route), Some(place)) = (gates.get(at), locked.get_mut(at)) {
            *place = Some(route.gate.state.lock());
        }
    }
    locked
}

/// Finds out which gates a message passes. Dead letters pass all, and leave no trace: the broker moves them.
pub(super) fn pass<'r>(gates: &'r [GateRoute], locked: &Locked<'_>, parts: &Parts<'_>, now: u64) -> Passed<'r> {
    let mut passed = Passed::default();
    let mut reached: Vec<usize> = (0..gates.len()).filter(|at| gates.get(*at).is_some_and(|gate| gate.open)).collect();
    let mut next = 0;
    while let Some(at) = reached.get(next).copied() {
        next += 1;
        let (Some(route), Some(Some(state))) = (gates.get(at), locked.get(at)) else { continue };
        let mark = if parts.died { None } else { Mark::of(parts.header, state.window.header()) };
        if let Some(mark) = mark {
            if state.window.knows(mark.identity, now) {
                passed.known_durably |= route.gate.stored && state.window.knows_durably(mark.identity);
                continue;
            }
            passed.fresh.push((at, mark));
        }
        for target in &route.targets {
            if !passed.targets.iter().any(|other| Arc::ptr_eq(other, target)) {
                passed.targets.push(target);
            }
        }
        passed.histories.extend(&route.histories);
        passed.delays.extend(&route.delays);
        for behind in &route.gates {
            if !reached.contains(behind) {
                reached.push(*behind);
            }
        }
    }
    passed
}

/// Notes a message that its queues have taken; `durable`: it will be on disk. The epoch is read here, after the append.
pub(super) fn note(
    broker: &Broker,
    gates: &[GateRoute],
    mut locked: Locked<'_>,
    passed: &Passed<'_>,
    durable: bool,
    now: u64,
) {
    for (at, mark) in &passed.fresh {
        let (Some(route), Some(Some(state))) = (gates.get(*at), locked.get_mut(*at)) else { continue };
        let durable = durable && route.gate.stored;
        state.window.remember(*mark, now, durable);
        if durable {
            let (epoch, end) = (broker.committer().open_epoch(), state.window.next());
            match state.epochs.back_mut() {
                Some((last, noted)) if *last >= epoch => *noted = end,
                _ => state.epochs.push_back((epoch, end)),
            }
        }
        route.gate.announce(broker, state);
    }
}

impl Source for Gate {
    fn collect(&self, epoch: Epoch, _spill: bool, _room: &mut usize, piece: &mut Piece) -> bool {
        let mut state = self.state.lock();
        let mut end = 0;
        while let Some((_, noted)) = state.epochs.pop_front_if(|(at, _)| *at <= epoch) {
            end = noted;
        }
        let identities = state.window.collect(end);
        let identities = if self.closed.load(Ordering::Acquire) { Stored::default() } else { identities };
        piece.add_queue(self.id, Collected { identities, ..Collected::default() })
    }

    fn evict(&self, _done: Epoch) {}

    fn is_late(&self) -> bool {
        true
    }
}

/// Removes a deduplication window from disk.
pub(super) fn forget_identities(owner: QueueId) -> Change {
    let [from, to] = [owner, QueueId(owner.0 + 1)].map(|owner| keys::chunk(owner, 0).to_vec());
    Change::DeleteRange(Family::Identities, from, to)
}
