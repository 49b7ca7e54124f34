//! Prefetch: basic.qos (compat.md 1.9).

use super::Channel;
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::queue::SharedCredit;
use crate::wire::method::qos_prefetch_size;
use amq_protocol::protocol::{AMQPClass, basic};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Shared credit of a channel that has no limit: more than can be unsettled.
const LIMITLESS: i64 = 1 << 48;

/// The limit that all consumers of a channel share. The credit is there without a limit too: it knows how much is
/// unsettled when a limit comes.
#[derive(Debug)]
pub(super) struct SharedLimit {
    credit: Arc<SharedCredit>,
    limit: Option<u32>,
}

impl Default for SharedLimit {
    fn default() -> Self {
        SharedLimit { credit: Arc::new(SharedCredit::new(LIMITLESS)), limit: None }
    }
}

impl SharedLimit {
    /// What consumers take their credit from.
    pub fn credit(&self) -> Arc<SharedCredit> {
        self.credit.clone()
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    fn set(&mut self, limit: Option<u32>) {
        let value = |limit: Option<u32>| limit.map_or(LIMITLESS, i64::from);
        self.credit.add(value(limit) - value(self.limit));
        self.limit = limit;
    }
}

impl Channel {
    /// basic.qos
    ///
    /// # Errors
    /// A prefetch size other than 0.
    pub(super) fn on_qos(&mut self, link: &mut Link, payload: &[u8], qos: &basic::Qos) -> Result<(), AmqpError> {
        let size = qos_prefetch_size(payload).unwrap_or(0);
        if size != 0 {
            return Err(AmqpError::new(Code::NotImplemented, format_args!("prefetch_size!=0 ({size})")));
        }
        let limit = (qos.prefetch_count > 0).then_some(u32::from(qos.prefetch_count));
        let gauges = &self.record.gauges;
        let gauge = if qos.global { &gauges.global_prefetch } else { &gauges.prefetch };
        gauge.store(limit.unwrap_or(0), Ordering::Relaxed);
        if qos.global {
            self.shared.set(limit);
            link.sharers.push(self.number);
        } else {
            self.prefetch = limit;
        }
        self.reply(link, false, AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})));
        Ok(())
    }

    /// Messages that count against the shared limit were settled.
    #[inline]
    pub(super) fn give_back(&mut self, link: &mut Link, messages: i64) {
        if messages == 0 {
            return;
        }
        self.shared.credit.add(messages);
        if self.shared.limit.is_some() && link.sharers.last() != Some(&self.number) {
            link.sharers.push(self.number);
        }
    }

    /// The shared credit has grown: every consumer looks whether it can go on.
    pub fn poke_consumers(&self, link: &Link) {
        for (id, consumer) in self.consumers.iter().filter(|(_, consumer)| !consumer.no_ack) {
            if let Some(queue) = consumer.queue() {
                link.session.credit(queue, *id, 0);
            }
        }
    }
}
