//! What waits for a connection: deliveries and notices. Its lock is a leaf: it is taken under a queue's lock and nothing
//! is taken under it.

use crate::broker::identity::ConsumerId;
use crate::broker::message::Run;
use crate::broker::queue;
use crate::store::committer::Waiter;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

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
    /// The head of a queue was read from disk: a waiting `basic.get` is to be repeated.
    Loaded {
        /// The channel that waits.
        channel: u16,
    },
}

const ASLEEP: u8 = 0;
const AWAKE: u8 = 1;
const RUNG: u8 = 2;

/// A connection's outbox and its bell. The bell costs a wake-up only when the connection sleeps.
#[derive(Debug)]
pub struct Outbox {
    items: Mutex<Vec<Item>>,
    state: AtomicU8,
    bell: Notify,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox { items: Mutex::default(), state: AtomicU8::new(AWAKE), bell: Notify::new() }
    }
}

impl Outbox {
    pub(super) fn push(&self, item: Item) {
        self.items.lock().push(item);
    }

    /// Moves all items, in order.
    pub fn take(&self, into: &mut Vec<Item>) {
        into.append(&mut self.items.lock());
    }

    /// Rings: there is an item, an epoch is done, an alarm has changed.
    pub fn ring(&self) {
        if self.state.swap(RUNG, Ordering::SeqCst) == ASLEEP {
            self.bell.notify_one();
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

    /// Waits for the bell.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Waiter for Outbox {
    fn wake(&self) {
        self.ring();
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

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.outbox, &other.outbox)
    }
}
