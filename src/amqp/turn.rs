//! What a turn owes at its end: publishes and acks reach their queues, what is on disk is confirmed, deliveries are
//! written, publishers are told of alarms.

use super::error::{AmqpError, Code, short_text};
use super::open::{Open, Slot};
use crate::engine::{Item, Order};
use amq_protocol::protocol::{AMQPClass, connection};

impl Open {
    /// What was published and settled so far reaches the queues.
    pub(super) fn commit(&mut self) {
        let bytes = self.link.batch.bytes();
        // Messages of several channels would have to be told apart.
        let publisher = match self.link.publishers[..] {
            [channel] => Some(self.link.session.outlet(channel)),
            _ => None,
        };
        let flushed = self.link.batch.flush_for(self.link.session.broker(), publisher.as_ref());
        let epoch = flushed.epoch;
        if let Some(epoch) = epoch {
            self.link.flight.add(epoch, bytes);
        }
        for tag in self.link.batch.take_refused() {
            if let Some(Slot::Open(channel)) = self.slots.get_mut(&tag.channel) {
                channel.refused(tag.sequence);
            }
        }
        let mut counting = std::mem::take(&mut self.link.counting);
        for number in counting.drain(..) {
            if let Some(Slot::Open(channel)) = self.slots.get_mut(&number) {
                channel.count_publishes(&self.link);
            }
        }
        self.link.counting = counting;
        let mut publishers = std::mem::take(&mut self.link.publishers);
        let (mut waits, mut patient) = (false, true);
        for number in publishers.drain(..) {
            if let Some(Slot::Open(channel)) = self.slots.get_mut(&number) {
                waits |= epoch.is_some();
                patient &= channel.expects_acks();
                if channel.published(&mut self.link, flushed) {
                    self.unconfirmed.push(number);
                }
            }
        }
        self.link.publishers = publishers;
        if let Some(epoch) = epoch.filter(|_| waits) {
            self.tell_awaited();
            match flushed.receipt.filter(|_| patient) {
                Some(receipt) => self.link.session.wake_soon(epoch, receipt),
                None => self.link.session.wake_at(epoch),
            }
        }
        self.link.settlements.flush(&self.link.session);
        let mut sharers = std::mem::take(&mut self.link.sharers);
        for number in sharers.drain(..) {
            if let Some(Slot::Open(channel)) = self.slots.get(&number) {
                channel.poke_consumers(&self.link);
            }
        }
        self.link.sharers = sharers;
    }

    /// Does what the node wants of the connection. An error is the end of it.
    pub fn obey(&mut self) -> Result<(), AmqpError> {
        for order in self.link.session.outbox().take_orders() {
            match order {
                Order::Close(explanation) => return Err(AmqpError::new(Code::ConnectionForced, explanation)),
                Order::CheckAccess => {
                    for slot in self.slots.values_mut() {
                        if let Slot::Open(channel) = slot {
                            channel.check_access(&mut self.link);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends a turn: what was published and settled reaches the queues, what is on disk is confirmed, deliveries are
    /// written. Returns the first fault; there may be more to do then.
    pub fn settle_up(&mut self) -> Option<(u16, AmqpError)> {
        self.commit();
        self.confirm();
        let fault = self.deliver();
        if self.link.traced {
            // Copies of what was delivered.
            self.commit();
        }
        if self.waits {
            self.waits = self.link.must_still_wait();
        }
        self.held_full = self.held_full && self.link.session.alarm().is_some();
        self.close_waits = self.close_waits && self.has_waiting();
        self.tell_blocked();
        fault
    }

    /// Whether frames were left because something has to happen first that no more bytes can bring about.
    pub fn has_stopped(&self) -> bool {
        self.waits || self.held_full || self.deferred_full || self.close_waits || self.is_asking
    }

    /// Whether the frames that come now are kept ones.
    pub fn set_replaying(&mut self, replaying: bool) {
        self.replaying = replaying;
    }

    fn confirm(&mut self) {
        let done = self.link.session.done_epoch();
        if done == self.last_done {
            return;
        }
        self.last_done = done;
        self.link.flight.release(done);
        let (slots, link) = (&mut self.slots, &mut self.link);
        self.unconfirmed.retain(|number| match slots.get_mut(number) {
            Some(Slot::Open(channel)) => channel.confirm(link, done),
            _ => false,
        });
        self.tell_awaited();
        let (slots, link) = (&mut self.slots, &mut self.link);
        let mut waiting = std::mem::take(&mut link.waiting);
        waiting.retain(|number| match slots.get_mut(number) {
            Some(Slot::Open(channel)) => {
                let resumed = channel.resume(link, done);
                if resumed {
                    self.resumed.push(*number);
                }
                !resumed
            }
            _ => false,
        });
        self.link.waiting = waiting;
    }

    /// Says which receipts are not waited for any more.
    fn tell_awaited(&self) {
        let awaited = self.unconfirmed.iter().filter_map(|number| match self.slots.get(number) {
            Some(Slot::Open(channel)) => channel.awaited(),
            _ => None,
        });
        self.link.session.outbox().await_receipt(awaited.min().unwrap_or(u64::MAX));
    }

    /// Writes deliveries as long as the socket keeps up.
    fn deliver(&mut self) -> Option<(u16, AmqpError)> {
        loop {
            self.link.collect();
            if self.link.backlog.is_empty() {
                return None;
            }
            while !self.link.is_backed_up() {
                let Some(item) = self.link.backlog.pop_front() else { break };
                if let Some(fault) = self.take_item(item) {
                    return Some(fault);
                }
            }
            if self.link.is_backed_up() {
                return None;
            }
        }
    }

    fn take_item(&mut self, item: Item) -> Option<(u16, AmqpError)> {
        let (Item::Run { channel: number, .. }
        | Item::Cancelled { channel: number, .. }
        | Item::Acknowledged { channel: number, .. }
        | Item::Loaded { channel: number }) = item;
        let Some(Slot::Open(channel)) = self.slots.get_mut(&number) else { return None };
        match item {
            Item::Run { consumer, run, .. } => channel.deliver(&mut self.link, consumer, run),
            Item::Cancelled { consumer, .. } => channel.on_queue_gone(&mut self.link, consumer),
            Item::Acknowledged { receipt, .. } => {
                if channel.acknowledged(&mut self.link, receipt) {
                    self.unconfirmed.retain(|unconfirmed| *unconfirmed != number);
                }
                self.tell_awaited();
            }
            Item::Loaded { .. } => match channel.on_loaded(&mut self.link) {
                Ok(true) => self.resumed.push(number),
                Ok(false) => {}
                Err(error) => return Some((number, error)),
            },
        }
        None
    }

    /// Tells a client that publishes, and understands it, when an alarm begins and ends (compat.md 1.5.8).
    fn tell_blocked(&mut self) {
        if !self.link.capabilities.connection_blocked {
            return;
        }
        let method = match (self.link.session.alarm(), self.told_blocked) {
            (Some(reason), false) if self.link.has_published => {
                let reason = short_text(reason);
                connection::AMQPMethod::Blocked(connection::Blocked { reason })
            }
            (None, true) => connection::AMQPMethod::Unblocked(connection::Unblocked {}),
            _ => return,
        };
        self.told_blocked = !self.told_blocked;
        self.link.out.method(0, &AMQPClass::Connection(method));
    }
}
