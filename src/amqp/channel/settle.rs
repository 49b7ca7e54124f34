//! Acknowledgements of a consumer: ack, nack, reject, recover.

use super::Channel;
use super::consume::{Consumer, queue_timeout};
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::count::Count;
use crate::broker::identity::ConsumerId;
use crate::broker::message::Span;
use crate::broker::queue::QueueKind;
use crate::engine::{QueueHandle, Session};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Channel {
    /// Messages are acknowledged.
    ///
    /// # Errors
    /// The tag is not unsettled.
    #[inline]
    pub fn on_ack(&mut self, link: &mut Link, tag: u64, multiple: bool) -> Result<(), AmqpError> {
        if let Some(transaction) = &mut self.transaction {
            let known = self.unacked.take(tag, multiple, |held, skip, count| {
                transaction.settle(held.part(skip, count), None);
            });
            self.count_unacked();
            self.record.gauges.acks_uncommitted.fetch_add(u64::from(known), Ordering::Relaxed);
            return if known { Ok(()) } else { Err(unknown_tag(tag)) };
        }
        let mut freed = 0;
        let (settlements, session) = (&mut link.settlements, &link.session);
        let (record, queues) = (&self.record, &mut self.queues);
        let known = self.unacked.take(tag, multiple, |held, skip, count| {
            super::count(record, queues, &held.queue, &[(Count::Ack, u64::from(count))]);
            settlements.add(session, &held.queue, held.consumer, held.span, (skip, count));
            freed += if held.consumer.is_some() { i64::from(count) } else { 0 };
        });
        self.count_unacked();
        self.give_back(link, freed);
        if known { Ok(()) } else { Err(unknown_tag(tag)) }
    }

    /// basic.nack: back to their queue, or discarded.
    ///
    /// # Errors
    /// The tag is not unsettled.
    pub fn on_nack(&mut self, link: &mut Link, tag: u64, multiple: bool, requeue: bool) -> Result<(), AmqpError> {
        self.refuse(link, tag, multiple, if requeue { Fate::Returned } else { Fate::Discarded })
    }

    /// basic.reject: as nack, but a requeued message has failed (compat.md 2.8).
    ///
    /// # Errors
    /// The tag is not unsettled.
    pub fn on_reject(&mut self, link: &mut Link, tag: u64, requeue: bool) -> Result<(), AmqpError> {
        self.refuse(link, tag, false, if requeue { Fate::Failed } else { Fate::Discarded })
    }

    fn refuse(&mut self, link: &mut Link, tag: u64, multiple: bool, fate: Fate) -> Result<(), AmqpError> {
        if let Some(transaction) = &mut self.transaction {
            let known = self.unacked.take(tag, multiple, |held, skip, count| {
                transaction.settle(held.part(skip, count), Some(fate));
            });
            self.count_unacked();
            return if known { Ok(()) } else { Err(unknown_tag(tag)) };
        }
        let mut returned = Returned::new(fate);
        let known = self.unacked.take(tag, multiple, |held, skip, count| {
            returned.add(&held.queue, held.consumer, held.span.part(skip, count));
        });
        self.requeue(link, returned);
        if known { Ok(()) } else { Err(unknown_tag(tag)) }
    }

    /// Looks for deliveries that have waited for their acknowledgement for too long (compat.md 2.7): by their consumer's own
    /// word, their queue's, or the node's. A quorum queue takes them back and cancels the consumer, if the client
    /// understands that.
    ///
    /// # Errors
    /// The oldest for which the channel has to close.
    pub fn check_acks(&mut self, link: &mut Link, now: Instant) -> Result<(), AmqpError> {
        let node = link.settings.consumer_timeout;
        let mut cancelled = Vec::new();
        for run in self.unacked.iter() {
            if run.consumer.is_some_and(|id| cancelled.contains(&id)) {
                continue;
            }
            let consumer = run.consumer.and_then(|id| Some((id, self.consumers.get(id)?)));
            let own = consumer.and_then(|(_, consumer)| consumer.timeout);
            let settings = run.queue.settings();
            let timeout = own.or_else(|| queue_timeout(&settings)).unwrap_or(node);
            if timeout.is_zero() || now.saturating_duration_since(run.since) < timeout {
                continue;
            }
            match consumer {
                Some((id, _)) if settings.kind == QueueKind::Quorum && link.capabilities.consumer_cancel_notify => {
                    cancelled.push(id);
                }
                _ => return Err(too_late(self.number, timeout)),
            }
        }
        cancelled.into_iter().for_each(|id| self.cancel_late(link, id));
        Ok(())
    }

    /// Cancels a consumer that is late. What it holds goes back; its tags stay good, to no effect.
    fn cancel_late(&mut self, link: &mut Link, id: ConsumerId) {
        let mut returned = Returned::new(Fate::Returned);
        for run in self.stop_consumer(link, id) {
            if let Some(queue) = self.consumers.get(id).and_then(Consumer::queue) {
                returned.add(queue, Some(id), run.span());
            }
        }
        self.unacked.revoke(id, |run| returned.add(&run.queue, Some(id), run.span));
        self.requeue(link, returned);
        self.on_queue_gone(link, id);
    }

    /// basic.recover: all that is unsettled goes back.
    ///
    /// # Errors
    /// Without requeue, which RabbitMQ does not have either.
    pub(super) fn on_recover(&mut self, link: &mut Link, requeue: bool) -> Result<(), AmqpError> {
        if !requeue {
            return Err(AmqpError::new(Code::NotImplemented, "requeue=false"));
        }
        let mut returned = Returned::new(Fate::Returned);
        for held in self.unacked.drain() {
            returned.add(&held.queue, held.consumer, held.span);
        }
        self.requeue(link, returned);
        Ok(())
    }

    pub(super) fn requeue(&mut self, link: &mut Link, returned: Returned) {
        self.count_unacked();
        link.settlements.flush(&link.session);
        self.give_back(link, returned.consumed());
        returned.hand_over(&link.session);
    }
}

fn too_late(channel: u16, timeout: Duration) -> AmqpError {
    let timeout = timeout.as_millis();
    let explanation = format!(
        "delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} ms. This timeout value can \
         be configured, see consumers doc guide to learn more"
    );
    AmqpError::new(Code::PreconditionFailed, explanation)
}

fn unknown_tag(tag: u64) -> AmqpError {
    AmqpError::new(Code::PreconditionFailed, format_args!("unknown delivery tag {tag}"))
}

/// What becomes of messages that are not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They go back.
    Returned,
    /// They go back, and a quorum queue counts a failure.
    Failed,
    /// They are dead-lettered, or gone.
    Discarded,
}

/// Messages on their way to their queues, by queue and consumer.
pub(super) struct Returned {
    groups: Vec<(Arc<QueueHandle>, Option<ConsumerId>, Vec<Span>)>,
    fate: Fate,
}

impl Returned {
    pub fn new(fate: Fate) -> Returned {
        Returned { groups: Vec::new(), fate }
    }

    pub fn add(&mut self, queue: &Arc<QueueHandle>, consumer: Option<ConsumerId>, span: Span) {
        let known = self.groups.iter_mut().rev().find(|(held, from, _)| *from == consumer && Arc::ptr_eq(held, queue));
        match known {
            Some((_, _, spans)) => spans.push(span),
            None => self.groups.push((queue.clone(), consumer, vec![span])),
        }
    }

    /// How many of them a consumer had been sent.
    fn consumed(&self) -> i64 {
        let consumed = self.groups.iter().filter(|(_, consumer, _)| consumer.is_some());
        consumed.flat_map(|(_, _, spans)| spans).map(|span| i64::from(span.count)).sum()
    }

    /// Hands them to their queues.
    pub fn hand_over(self, session: &Session) {
        for (queue, consumer, spans) in self.groups {
            match self.fate {
                Fate::Discarded => session.discard(&queue, spans, consumer),
                fate => session.requeue(&queue, spans, consumer, fate == Fate::Failed),
            }
        }
    }
}
