//! Acknowledgements of a consumer: ack, nack, reject, recover.

use super::Channel;
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::identity::ConsumerId;
use crate::broker::message::Span;
use crate::engine::{QueueHandle, Session};
use std::sync::Arc;

impl Channel {
    /// Messages are done with: acknowledged, or discarded.
    ///
    /// # Errors
    /// The tag is not unsettled.
    #[inline]
    pub fn on_ack(&mut self, link: &mut Link, tag: u64, multiple: bool) -> Result<(), AmqpError> {
        let mut freed = 0;
        let (settlements, session) = (&mut link.settlements, &link.session);
        let known = self.unacked.take(tag, multiple, |held, skip, count| {
            settlements.add(session, &held.queue, held.consumer, held.span, (skip, count));
            freed += if held.consumer.is_some() { i64::from(count) } else { 0 };
        });
        self.give_back(link, freed);
        if known { Ok(()) } else { Err(unknown_tag(tag)) }
    }

    /// Messages are refused: back to their queue, or discarded.
    ///
    /// # Errors
    /// The tag is not unsettled.
    pub fn on_refused(&mut self, link: &mut Link, tag: u64, multiple: bool, requeue: bool) -> Result<(), AmqpError> {
        if !requeue {
            return self.on_ack(link, tag, multiple);
        }
        let mut returned = Returned::default();
        let known = self.unacked.take(tag, multiple, |held, skip, count| {
            returned.add(&held.queue, held.consumer, held.span.part(skip, count));
        });
        self.requeue(link, returned);
        if known { Ok(()) } else { Err(unknown_tag(tag)) }
    }

    /// basic.recover: all that is unsettled goes back.
    ///
    /// # Errors
    /// Without requeue, which RabbitMQ does not have either.
    pub(super) fn on_recover(&mut self, link: &mut Link, requeue: bool) -> Result<(), AmqpError> {
        if !requeue {
            return Err(AmqpError::new(Code::NotImplemented, "requeue=false"));
        }
        let mut returned = Returned::default();
        for held in self.unacked.drain() {
            returned.add(&held.queue, held.consumer, held.span);
        }
        self.requeue(link, returned);
        Ok(())
    }

    pub(super) fn requeue(&mut self, link: &mut Link, returned: Returned) {
        link.settlements.flush(&link.session);
        self.give_back(link, returned.consumed());
        returned.requeue(&link.session);
    }
}

fn unknown_tag(tag: u64) -> AmqpError {
    AmqpError::new(Code::PreconditionFailed, format_args!("unknown delivery tag {tag}"))
}

/// Messages on their way back, by queue and consumer.
#[derive(Default)]
pub(super) struct Returned(Vec<(Arc<QueueHandle>, Option<ConsumerId>, Vec<Span>)>);

impl Returned {
    pub fn add(&mut self, queue: &Arc<QueueHandle>, consumer: Option<ConsumerId>, span: Span) {
        let known = self.0.iter_mut().rev().find(|(held, from, _)| *from == consumer && Arc::ptr_eq(held, queue));
        match known {
            Some((_, _, spans)) => spans.push(span),
            None => self.0.push((queue.clone(), consumer, vec![span])),
        }
    }

    /// How many of them a consumer had been sent.
    fn consumed(&self) -> i64 {
        let consumed = self.0.iter().filter(|(_, consumer, _)| consumer.is_some());
        consumed.flat_map(|(_, _, spans)| spans).map(|span| i64::from(span.count)).sum()
    }

    /// Hands them to their queues.
    pub fn requeue(self, session: &Session) {
        for (queue, consumer, spans) in self.0 {
            session.requeue(&queue, spans, consumer);
        }
    }
}
