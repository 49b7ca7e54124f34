//! What waits for a connection: deliveries and notices. Its lock is a leaf: it is taken under a queue's lock and nothing
//! is taken under it.

use crate::broker::identity::ConsumerId;
use crate::broker::message::Run;
use crate::broker::queue;
use crate::store::committer::Waiter;
use atomic_waker::AtomicWaker;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

/// One thing for a connection.
#[derive(Debug)]
pub enum Item {
    /// Messages for a consumer.
    Run {
        /// The consumer's channel.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
        /// The messages.
        run: Run,
    },
    /// The consumer's queue was deleted.
    Cancelled {
        /// The consumer's channel.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
    },
    /// Consumers have acknowledged what the connection published under this number ([`Batch::flush_for`](super::Batch::flush_for)).
    Acknowledged {
        /// The publishing channel.
        channel: u16,
        /// The number.
        receipt: u64,
    },
    /// The head of a queue was read from disk: a waiting `basic.get` is to be repeated.
    Loaded {
        /// The channel that waits.
        channel: u16,
    },
}

/// What the node wants of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// It is to end, with this explanation (code 320).
    Close(String),
    /// What its user may do has changed: consumers that may not be any more are to end.
    CheckAccess,
}

const ASLEEP: u8 = 0;
const AWAKE: u8 = 1;
const RUNG: u8 = 2;

/// A connection's outbox and its bell. The bell costs a wake-up only when the connection sleeps.
#[derive(Debug)]
pub struct Outbox {
    items: Mutex<Vec<Item>>,
    /// There is an order: looked at once a turn, so that the lock is taken only when there is one.
    ordered: AtomicBool,
    orders: Mutex<Vec<Order>>,
    state: AtomicU8,
    /// Who is woken by the bell: the task that drives the connection.
    sleeper: AtomicWaker,
    /// The oldest receipt that some publish of the connection waits for; 0 when one waits for an epoch.
    awaited: AtomicU64,
}

impl Default for Outbox {
    fn default() -> Self {
        let (ordered, state) = (AtomicBool::new(false), AtomicU8::new(AWAKE));
        Outbox {
            items: Mutex::default(),
            ordered,
            orders: Mutex::default(),
            state,
            sleeper: AtomicWaker::new(),
            awaited: AtomicU64::new(u64::MAX),
        }
    }
}

impl Outbox {
    pub(super) fn push(&self, item: Item) {
        self.items.lock().push(item);
    }

    /// Gives an order, and rings. One that waits already is not given twice.
    pub(super) fn order(&self, order: Order) {
        let mut orders = self.orders.lock();
        if !orders.contains(&order) {
            orders.push(order);
        }
        self.ordered.store(true, Ordering::Release);
        drop(orders);
        self.ring();
    }

    /// Takes all orders.
    #[inline]
    pub fn take_orders(&self) -> Vec<Order> {
        if !self.ordered.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut orders = self.orders.lock();
        self.ordered.store(false, Ordering::Release);
        std::mem::take(&mut orders)
    }

    /// Moves all items, in order.
    pub fn take(&self, into: &mut Vec<Item>) {
        into.append(&mut self.items.lock());
    }

    /// Rings: there is an item, an epoch is done, an alarm has changed.
    pub fn ring(&self) {
        if self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP {
            self.sleeper.wake();
        }
    }

    /// The connection is about to sleep. False when it was rung since it woke: it has to look first.
    pub fn rest(&self) -> bool {
        let slept = self.state.compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !slept {
            self.state.store(AWAKE, Ordering::SeqCst);
        }
        slept
    }

    /// The connection is awake again, for whatever reason. True when it was rung.
    pub fn rise(&self) -> bool {
        self.state.swap(AWAKE, Ordering::SeqCst) == RUNG
    }

    /// The oldest receipt that publishes wait for, 0 for an epoch, `u64::MAX` for nothing: no epoch is closed for what does not
    /// wait any more.
    pub fn await_receipt(&self, oldest: u64) {
        self.awaited.store(oldest, Ordering::Release);
    }

    /// Waits for the bell; to be called after [`rest`](Self::rest). One task at a time is woken.
    pub async fn rung(&self) {
        poll_fn(|cx| self.poll_rung(cx)).await;
    }

    /// Ready when the bell has rung; else this task is woken by it.
    #[inline]
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleeper.register(cx.waker());
        // Whoever rang before the waker was there has woken nobody.
        if self.state.load(Ordering::SeqCst) == RUNG { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Waiter for Outbox {
    fn wake(&self) {
        self.ring();
    }

    fn still_waits(&self, receipt: u64) -> bool {
        self.awaited.load(Ordering::Acquire) <= receipt
    }
}

/// A channel's end of an outbox: where a consumer's messages go.
#[derive(Clone, Debug)]
pub struct Outlet {
    /// The connection's outbox.
    pub outbox: Arc<Outbox>,
    /// The consumer's channel.
    pub channel: u16,
}

impl queue::Outlet for Outlet {
    fn deliver(&self, consumer: ConsumerId, run: Run) {
        self.outbox.push(Item::Run { channel: self.channel, consumer, run });
    }

    fn cancelled(&self, consumer: ConsumerId) {
        self.outbox.push(Item::Cancelled { channel: self.channel, consumer });
    }

    fn acknowledged(&self, receipt: u64) {
        self.outbox.push(Item::Acknowledged { channel: self.channel, receipt });
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outbox, &other.outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_bell_is_heard_whether_it_rings_before_or_after_the_sleeper_lies_down() {
        let (outbox, woken) = (Outbox::default(), Arc::new(Woken::default()));
        let times = || woken.0.load(Ordering::SeqCst);
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        // Between rest and the look, when nobody can be woken yet.
        assert!(outbox.rest());
        outbox.ring();
        assert!(outbox.poll_rung(&mut cx).is_ready() && times() == 0);
        assert!(outbox.rise());
        // While it sleeps: once, however often it rings.
        assert!(outbox.rest() && outbox.poll_rung(&mut cx).is_pending());
        outbox.ring();
        outbox.ring();
        assert!(times() == 1 && outbox.poll_rung(&mut cx).is_ready());
        assert!(outbox.rise());
        // While it is awake: it looks before it sleeps, and nobody is woken.
        outbox.ring();
        assert!(!outbox.rest() && times() == 1);
        assert!(outbox.rest() && outbox.poll_rung(&mut cx).is_pending());
    }
}
