//! A channel: publishes in, deliveries out, and the methods in between.
//!
//! - [`publish`]: basic.publish and its checks; [`repeat`]: messages that differ in their bodies only. [`confirms`]: when publishes are acknowledged.
//! - [`consume`]: consumers and deliveries. [`credit`]: prefetch. [`get`]: basic.get.
//! - [`address`]: CC, BCC, direct reply-to. [`transaction`]: tx.
//! - [`settle`]: ack, nack, reject, recover. [`unacked`]: what they refer to.
//! - [`definitions`]: exchanges, queues, bindings. [`trace`]: copies for the firehose.

mod address;
mod confirms;
mod consume;
mod credit;
mod definitions;
mod get;
mod publish;
mod repeat;
mod settle;
mod trace;
mod transaction;
mod unacked;

pub(super) use publish::{PUBLISH, Publish};

use super::content::{Assembly, Due};
use super::error::{AmqpError, Code};
use super::kept::Kept;
use super::link::Link;
use crate::broker::count::Count;
use crate::broker::queue::QueueKind;
use crate::engine::{ChannelRecord, Epoch, Flushed, Item, Pairs, QueueHandle};
use crate::limits::WAITING_REPLIES;
use crate::name::Name;
use crate::wire::hot::{write_ack, write_nack};
use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm};
use confirms::{Confirm, Confirms};
use consume::Consumers;
use credit::SharedLimit;
use publish::RouteCache;
use repeat::Repeat;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use transaction::{Transaction, commit_ok};
use unacked::Unacked;

/// An open channel.
#[derive(Debug)]
pub(super) struct Channel {
    number: u16,
    record: Arc<ChannelRecord>,
    queues: Pairs<QueueHandle>,
    assembly: Assembly,
    route: RouteCache,
    repeat: Repeat,
    confirms: Option<Confirms>,
    transaction: Option<Transaction>,
    unacked: Unacked,
    next_tag: u64,
    consumers: Consumers,
    /// Prefetch of consumers that start from now on; None = no limit.
    prefetch: Option<u32>,
    shared: SharedLimit,
    /// The queue that an empty name stands for.
    last_queue: Option<Name>,
    waiting: Option<Waiting>,
    /// Frames for later; the connection bounds them.
    pub kept: Option<Box<Kept>>,
}

/// Counts what a channel does with messages of a queue.
#[inline]
fn count(record: &ChannelRecord, queues: &mut Pairs<QueueHandle>, queue: &Arc<QueueHandle>, counted: &[(Count, u64)]) {
    counted.iter().for_each(|(count, by)| record.count(queue.kind(), *count, *by));
    queues.count(&record.queues, queue, || queue.name().clone(), counted);
}

/// What a channel waits for; later frames of the channel wait behind it, but for definitions, whose replies wait too, and
/// behind a commit: there they are refused.
#[derive(Debug)]
enum Waiting {
    /// Definitions that are not on disk yet: their replies, and what is written behind those, each with its epoch.
    Replies(VecDeque<(Epoch, AMQPClass)>),
    /// What a transaction published is not on disk yet: commit-ok waits for this epoch.
    Commit(Epoch),
    /// The head of a queue, for basic.get.
    Message { queue: Name, no_ack: bool },
}

impl Channel {
    /// A channel that was just opened.
    pub fn new(number: u16, record: Arc<ChannelRecord>) -> Channel {
        Channel {
            number,
            route: RouteCache::new(record.clone()),
            record,
            queues: Pairs::default(),
            assembly: Assembly::default(),
            repeat: Repeat::default(),
            confirms: None,
            transaction: None,
            unacked: Unacked::default(),
            next_tag: 1,
            consumers: Consumers::default(),
            prefetch: None,
            shared: SharedLimit::default(),
            last_queue: None,
            waiting: None,
            kept: None,
        }
    }

    /// Which frame of a message is due.
    #[inline]
    pub fn due(&self) -> Due {
        self.assembly.due()
    }

    /// Whether later frames have to wait.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a commit waits for the disk: the client may do nothing meanwhile but close the channel (compat.md 1.4).
    pub fn is_committing(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Commit(_)))
    }

    /// Whether frames do not take effect as they come.
    #[inline]
    pub fn is_barred(&self) -> bool {
        self.waiting.is_some() || self.kept.is_some()
    }

    /// A method came that is not read in place. What was published and settled before it is in the queues already.
    ///
    /// # Errors
    /// What the method runs into (compat.md 1.4).
    pub fn on_method(&mut self, link: &mut Link, payload: &[u8], method: AMQPClass) -> Result<(), AmqpError> {
        match method {
            AMQPClass::Basic(method) => self.on_basic(link, payload, method),
            AMQPClass::Exchange(method) => self.on_exchange(link, method),
            AMQPClass::Queue(method) => self.on_queue(link, method),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) if self.transaction.is_some() => {
                Err(AmqpError::new(Code::PreconditionFailed, "cannot switch from tx to confirm mode"))
            }
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                self.confirms.get_or_insert_default();
                self.record.gauges.confirm.store(1, Ordering::Relaxed);
                let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                self.reply(link, select.nowait, AMQPClass::Confirm(ok));
                Ok(())
            }
            AMQPClass::Tx(method) => self.on_tx(link, method),
            AMQPClass::Channel(channel::AMQPMethod::Flow(flow)) if flow.active => {
                let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                self.reply(link, false, AMQPClass::Channel(ok));
                Ok(())
            }
            AMQPClass::Channel(channel::AMQPMethod::Flow(_)) => {
                Err(AmqpError::new(Code::NotImplemented, "active=false"))
            }
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.reply(link, false, AMQPClass::Access(ok));
                Ok(())
            }
            _ => Err(unimplemented_method()),
        }
    }

    fn on_basic(&mut self, link: &mut Link, payload: &[u8], method: basic::AMQPMethod) -> Result<(), AmqpError> {
        match method {
            basic::AMQPMethod::Qos(qos) => self.on_qos(link, payload, &qos),
            basic::AMQPMethod::Consume(consume) => self.on_consume(link, &consume),
            basic::AMQPMethod::Cancel(cancel) => self.on_cancel(link, cancel),
            // The answer to a cancel of ours, which waits for none.
            basic::AMQPMethod::CancelOk(_) => Ok(()),
            basic::AMQPMethod::Get(get) => self.on_get(link, &get),
            basic::AMQPMethod::Recover(recover) => {
                self.on_recover(link, recover.requeue)?;
                self.reply(link, false, AMQPClass::Basic(basic::AMQPMethod::RecoverOk(basic::RecoverOk {})));
                Ok(())
            }
            basic::AMQPMethod::RecoverAsync(recover) => self.on_recover(link, recover.requeue),
            _ => Err(unimplemented_method()),
        }
    }

    /// What this channel published since the last time is in its queues. True when the channel begins to wait for an epoch.
    pub fn published(&mut self, link: &mut Link, flushed: Flushed) -> bool {
        let Some(confirms) = &mut self.confirms else { return false };
        let waited = confirms.is_waiting();
        let due = confirms.note(flushed);
        write_confirms(link, self.number, &due);
        let waits = !waited && confirms.is_waiting();
        self.count_confirms();
        waits
    }

    /// Confirms what is on disk with epoch `done`. True when more is waiting.
    pub fn confirm(&mut self, link: &mut Link, done: Epoch) -> bool {
        let Some(confirms) = &mut self.confirms else { return false };
        let due = confirms.release(done);
        write_confirms(link, self.number, &due);
        let waits = confirms.is_waiting();
        self.count_confirms();
        waits
    }

    /// Whether consumers are likely to acknowledge what is published before the disk has it.
    pub fn expects_acks(&self) -> bool {
        self.confirms.as_ref().is_some_and(Confirms::expects_acks)
    }

    /// See [`Confirms::awaited`].
    pub fn awaited(&self) -> Option<u64> {
        self.confirms.as_ref().and_then(Confirms::awaited)
    }

    /// Consumers have acknowledged all that was published under a receipt. True when nothing waits for an epoch any more.
    pub fn acknowledged(&mut self, link: &mut Link, receipt: u64) -> bool {
        let Some(confirms) = &mut self.confirms else { return false };
        let due = confirms.acknowledged(receipt);
        write_confirms(link, self.number, &due);
        let done = !confirms.is_waiting();
        self.count_confirms();
        done
    }

    /// What was published since the last time is counted.
    pub fn count_publishes(&mut self, link: &Link) {
        let counted = self.route.take_count(link);
        if counted.messages > 0 {
            self.record.count(QueueKind::Classic, Count::Publish, counted.messages);
            self.record.count(QueueKind::Classic, Count::PublishOut, counted.handed_on);
            self.record.count(QueueKind::Classic, Count::DropUnroutable, counted.dropped);
            self.record.add_publishes(counted.sizes);
        }
    }

    fn count_confirms(&mut self) {
        let Some(confirms) = &mut self.confirms else { return };
        self.record.count(QueueKind::Classic, Count::Confirm, confirms.take_accepted());
        self.record.gauges.unconfirmed.store(confirms.outstanding(), Ordering::Relaxed);
    }

    /// Something was done with messages of a queue.
    #[inline]
    fn count(&mut self, queue: &Arc<QueueHandle>, counted: &[(Count, u64)]) {
        count(&self.record, &mut self.queues, queue, counted);
    }

    /// How many deliveries are not settled has changed.
    #[inline]
    fn count_unacked(&self) {
        self.record.gauges.unacknowledged.store(self.unacked.len(), Ordering::Relaxed);
    }

    /// A queue has refused a publish: it will be nacked.
    pub fn refused(&mut self, sequence: u64) {
        if let Some(confirms) = &mut self.confirms {
            confirms.refused(sequence);
        }
    }

    /// Sends the reply that waited for an epoch, if it is done. True when the channel waits no more.
    pub fn resume(&mut self, link: &mut Link, done: Epoch) -> bool {
        let finished = match &mut self.waiting {
            Some(Waiting::Replies(replies)) => {
                while let Some((_, reply)) = replies.pop_front_if(|(epoch, _)| *epoch <= done) {
                    link.out.method(self.number, &reply);
                }
                replies.is_empty()
            }
            Some(Waiting::Commit(epoch)) if *epoch <= done => {
                link.out.method(self.number, &commit_ok());
                true
            }
            _ => false,
        };
        if finished {
            self.waiting = None;
        }
        finished
    }

    /// Whether a definition may take effect though the replies of others still wait: a client that sends many at once does
    /// not wait for the disk once for each.
    pub fn takes_definitions(&self) -> bool {
        let has_room = matches!(&self.waiting, Some(Waiting::Replies(replies)) if replies.len() < WAITING_REPLIES);
        has_room && self.kept.is_none()
    }

    /// The channel ends: its consumers go, and what it holds goes back to the queues.
    pub fn release(&mut self, link: &mut Link) {
        link.unkeep(self.assembly.held());
        link.settlements.flush(&link.session);
        self.roll_back();
        // Consumers first, or else they would be sent what comes back.
        for (id, consumer) in self.consumers.iter() {
            consumer.stop(link, *id);
            self.tell_consumer_gone(link, consumer);
        }
        let number = self.number;
        let unsent = link.extract(|item| match item {
            Item::Run { channel, .. } | Item::Cancelled { channel, .. } | Item::Loaded { channel } => {
                *channel == number
            }
            Item::Acknowledged { .. } => false,
        });
        let mut returned = settle::Returned::new(settle::Fate::Failed);
        for held in self.unacked.drain() {
            returned.add(&held.queue, None, held.span);
        }
        for item in unsent {
            if let Item::Run { consumer, run, .. } = item
                && let Some(consumer) = self.consumers.get(consumer)
                && let Some(queue) = consumer.queue().filter(|_| !consumer.no_ack)
            {
                returned.add(queue, None, run.span());
            }
        }
        returned.hand_over(&link.session);
    }

    /// Sends a reply that needs no disk, unless the client wants none.
    fn reply(&mut self, link: &mut Link, nowait: bool, reply: AMQPClass) {
        self.reply_at(link, None, nowait, reply);
    }

    /// Sends a reply when `epoch` is on disk, unless the client wants none.
    fn reply_at(&mut self, link: &mut Link, epoch: Option<Epoch>, nowait: bool, reply: AMQPClass) {
        if nowait {
            return;
        }
        if let Some(Waiting::Replies(replies)) = &mut self.waiting {
            // Behind those that wait, also if it needs no disk.
            let last = replies.back().map_or(0, |(last, _)| *last);
            let epoch = epoch.unwrap_or(0).max(last);
            replies.push_back((epoch, reply));
            if epoch > last {
                // If it is done already, the connection is rung.
                link.session.wake_at(epoch);
            }
            return;
        }
        match epoch.filter(|epoch| !link.is_done(Some(*epoch))) {
            Some(epoch) => {
                link.waiting.push(self.number);
                self.waiting = Some(Waiting::Replies(VecDeque::from([(epoch, reply)])));
            }
            None => link.out.method(self.number, &reply),
        }
    }
}

fn write_confirms(link: &mut Link, channel: u16, confirms: &[Confirm]) {
    for Confirm { tag, multiple, accepted } in confirms {
        if *accepted {
            write_ack(link.out.frames(), channel, *tag, *multiple);
        } else {
            write_nack(link.out.frames(), channel, *tag, *multiple);
        }
    }
}

fn unimplemented_method() -> AmqpError {
    AmqpError::new(Code::CommandInvalid, "unimplemented method")
}
