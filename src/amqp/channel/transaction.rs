//! Transactions (compat.md 1.10): publishes and acknowledgements of a channel that take effect together, when the client
//! commits. What is published is routed at once and kept here until then.

use super::publish::Admitted;
use super::settle::{Fate, Returned};
use super::unacked::UnackedRun;
use super::{Channel, Link, Waiting};
use crate::amqp::error::{AmqpError, Code};
use crate::broker::count::Count;
use crate::broker::message::Parts;
use crate::broker::queue::QueueKind;
use crate::engine::{PublishTag, Route};
use crate::limits::TRANSACTION_BYTES;
use crate::wire::hot::write_return;
use crate::wire::output::write_content;
use amq_protocol::protocol::{AMQPClass, tx};
use std::sync::atomic::Ordering;

/// What a channel has done since the last commit.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    publishes: Vec<Kept>,
    bytes: u64,
    settlements: Vec<(UnackedRun, Option<Fate>)>,
}

/// A publish that waits for the commit.
#[derive(Debug)]
struct Kept {
    route: Route,
    exchange_and_key: Vec<u8>,
    mandatory: bool,
    header: Vec<u8>,
    body: Vec<u8>,
    admitted: Admitted,
}

impl Transaction {
    /// Keeps a publish.
    ///
    /// # Errors
    /// The transaction is too large.
    pub fn publish(
        &mut self,
        route: &Route,
        exchange_and_key: &[u8],
        mandatory: bool,
        (header, body): (&[u8], &[u8]),
        admitted: Admitted,
    ) -> Result<(), AmqpError> {
        self.bytes += (exchange_and_key.len() + header.len() + body.len()) as u64;
        if self.bytes > TRANSACTION_BYTES {
            let explanation = format!("transaction is larger than {TRANSACTION_BYTES} bytes");
            return Err(AmqpError::new(Code::ResourceError, explanation));
        }
        self.publishes.push(Kept {
            route: route.clone(),
            exchange_and_key: exchange_and_key.to_vec(),
            mandatory,
            header: header.to_vec(),
            body: body.to_vec(),
            admitted,
        });
        Ok(())
    }

    /// Keeps an acknowledgement (None), or a refusal.
    pub fn settle(&mut self, run: UnackedRun, fate: Option<Fate>) {
        self.settlements.push((run, fate));
    }
}

impl Channel {
    pub(super) fn on_tx(&mut self, link: &mut Link, method: tx::AMQPMethod) -> Result<(), AmqpError> {
        match method {
            tx::AMQPMethod::Select(_) if self.confirms.is_some() => {
                Err(AmqpError::new(Code::PreconditionFailed, "cannot switch from confirm to tx mode"))
            }
            tx::AMQPMethod::Select(_) => {
                self.transaction.get_or_insert_default();
                self.record.gauges.transactional.store(1, Ordering::Relaxed);
                self.reply(link, false, AMQPClass::Tx(tx::AMQPMethod::SelectOk(tx::SelectOk {})));
                Ok(())
            }
            tx::AMQPMethod::Commit(_) => self.commit_transaction(link),
            tx::AMQPMethod::Rollback(_) => {
                self.begun()?;
                self.roll_back();
                self.reply(link, false, AMQPClass::Tx(tx::AMQPMethod::RollbackOk(tx::RollbackOk {})));
                Ok(())
            }
            _ => Err(super::unimplemented_method()),
        }
    }

    fn begun(&mut self) -> Result<&mut Transaction, AmqpError> {
        let none = || AmqpError::new(Code::PreconditionFailed, "channel is not transactional");
        self.transaction.as_mut().ok_or_else(none)
    }

    /// Everything takes effect; commit-ok follows when it is on disk.
    fn commit_transaction(&mut self, link: &mut Link) -> Result<(), AmqpError> {
        let Transaction { publishes, bytes, settlements } = std::mem::take(self.begun()?);
        self.record.gauges.uncommitted.store(0, Ordering::Relaxed);
        self.record.gauges.acks_uncommitted.store(0, Ordering::Relaxed);
        let tag = Some(PublishTag { channel: self.number, sequence: 0 });
        for kept in &publishes {
            let (header, body) = (kept.header.as_slice(), kept.body.as_slice());
            if kept.route.is_empty() && kept.mandatory {
                self.record.count(QueueKind::Classic, Count::ReturnUnroutable, 1);
                write_return(link.out.frames(), self.number, 312, "NO_ROUTE", &kept.exchange_and_key);
                write_content(link.out.frames(), self.number, header, body, link.tuned.frame_max);
            }
            if !kept.route.is_idle() {
                let parts = kept.admitted.parts(&kept.exchange_and_key, header, body);
                link.batch.push(link.session.broker(), &kept.route, &parts, tag);
            }
        }
        let published = link.batch.flush(link.session.broker());
        if let Some(epoch) = published {
            link.flight.add(epoch, bytes as usize);
        }
        let refused = !link.batch.take_refused().is_empty();
        let mut epoch = published;
        if !settlements.is_empty() {
            self.settle_all(link, settlements);
            epoch = Some(link.session.open_epoch());
        }
        if refused {
            return Err(AmqpError::new(Code::PreconditionFailed, "partial tx completion"));
        }
        match epoch.filter(|epoch| published.is_some() && !link.is_done(Some(*epoch))) {
            Some(epoch) => {
                link.waiting.push(self.number);
                self.waiting = Some(Waiting::Commit(epoch));
            }
            // RabbitMQ's queues confirm no acknowledgements, so that its commit of those alone is not waited for, and what a
            // client sends behind it is no fault: it waits here.
            None => self.reply_at(link, epoch, false, commit_ok()),
        }
        Ok(())
    }

    fn settle_all(&mut self, link: &mut Link, settlements: Vec<(UnackedRun, Option<Fate>)>) {
        for (run, fate) in settlements {
            let UnackedRun { queue, consumer, span, .. } = run;
            match fate {
                None => {
                    self.count(&queue, &[(Count::Ack, u64::from(span.count))]);
                    link.settlements.add(&link.session, &queue, consumer, span, (0, span.count));
                    self.give_back(link, if consumer.is_some() { i64::from(span.count) } else { 0 });
                }
                Some(fate) => {
                    let mut returned = Returned::new(fate);
                    returned.add(&queue, consumer, span);
                    self.requeue(link, returned);
                }
            }
        }
        link.settlements.flush(&link.session);
    }

    /// Publishes are forgotten, acknowledged deliveries are unacknowledged again.
    pub(super) fn roll_back(&mut self) {
        let Some(transaction) = &mut self.transaction else { return };
        self.record.gauges.uncommitted.store(0, Ordering::Relaxed);
        self.record.gauges.acks_uncommitted.store(0, Ordering::Relaxed);
        for (run, _) in std::mem::take(transaction).settlements {
            self.unacked.restore(run);
        }
    }
}

pub(super) fn commit_ok() -> AMQPClass {
    AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {}))
}

impl Admitted {
    /// A message without anything special.
    pub(super) fn plain(persistent: bool, priority: u8) -> Admitted {
        Admitted { persistent, priority, deadline_ms: 0, header: None, special: false }
    }

    /// Whether only its frames say what becomes of it.
    pub(super) fn is_plain(&self) -> bool {
        self.deadline_ms == 0 && !self.special
    }

    /// The message as queues take it.
    pub(super) fn parts<'a>(&self, exchange_and_key: &'a [u8], header: &'a [u8], body: &'a [u8]) -> Parts<'a> {
        let (persistent, priority, deadline_ms) = (self.persistent, self.priority, self.deadline_ms);
        Parts { exchange_and_key, header, body, persistent, priority, deadline_ms, died: false, detached: None }
    }
}
