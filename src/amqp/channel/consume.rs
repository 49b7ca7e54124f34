//! Consumers of a channel, and their deliveries (compat.md 1.9).

use super::Channel;
use super::settle::{Fate, Returned};
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::access::Operation;
use crate::broker::arguments::{ConsumerArguments, check_consumer};
use crate::broker::content::with_headers;
use crate::broker::count::Count;
use crate::broker::identity::ConsumerId;
use crate::broker::message::{Returns, Run};
use crate::broker::queue::QueueSettings;
use crate::broker::refusal::Resource;
use crate::engine::{ConsumeSpec, ConsumerRecord, Item, QueueHandle, REPLY_TO, ReplyTarget, listed};
use crate::limits::CONSUMER_WINDOW_BYTES;
use crate::value::{Table, Value};
use crate::wire::hot::write_deliver;
use crate::wire::method::table_from_amq;
use crate::wire::output::write_content;
use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::ShortString;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Where a consumer's deliveries come from.
#[derive(Debug)]
enum Source {
    Queue(Arc<QueueHandle>),
    /// Direct replies to this channel.
    Replies(Arc<ReplyTarget>),
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    tag: ShortString,
    source: Source,
    pub no_ack: bool,
    /// How long it may hold a message, by its own wish.
    pub timeout: Option<Duration>,
    /// Bytes written to the output that the queue does not know of yet.
    taken: u64,
}

impl Consumer {
    /// Its queue, if it has one.
    pub fn queue(&self) -> Option<&Arc<QueueHandle>> {
        match &self.source {
            Source::Queue(queue) => Some(queue),
            Source::Replies(_) => None,
        }
    }

    /// It gets nothing more.
    pub fn stop(&self, link: &Link, id: ConsumerId) {
        match &self.source {
            Source::Queue(queue) => link.session.cancel(queue, id),
            Source::Replies(target) => link.session.close_replies(target),
        }
    }

    /// Its connection has taken bytes.
    fn credit(&self, link: &Link, id: ConsumerId, bytes: u64) {
        match &self.source {
            Source::Queue(queue) => link.session.credit(queue, id, bytes),
            Source::Replies(target) => target.taken(bytes),
        }
    }
}

/// All consumers of a channel.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_id: BTreeMap<ConsumerId, Consumer>,
    by_tag: HashMap<String, ConsumerId>,
}

impl Consumers {
    pub fn iter(&self) -> impl Iterator<Item = (&ConsumerId, &Consumer)> {
        self.by_id.iter()
    }

    pub fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.by_id.get(&id)
    }

    /// Where direct replies to this channel arrive.
    pub fn replies(&self) -> Option<&Arc<ReplyTarget>> {
        self.by_id.values().find_map(|consumer| match &consumer.source {
            Source::Replies(target) => Some(target),
            Source::Queue(_) => None,
        })
    }

    fn insert(&mut self, id: ConsumerId, consumer: Consumer) {
        self.by_tag.insert(consumer.tag.as_str().to_owned(), id);
        self.by_id.insert(id, consumer);
    }

    fn remove(&mut self, id: ConsumerId) -> Option<Consumer> {
        let consumer = self.by_id.remove(&id)?;
        self.by_tag.remove(consumer.tag.as_str());
        Some(consumer)
    }
}

impl Channel {
    /// basic.consume. Deliveries reach the outbox at once; they are written after consume-ok.
    ///
    /// # Errors
    /// `NotFound`, `Locked`, `ExclusiveUse`; a tag in use or too many consumers end the connection.
    pub(super) fn on_consume(&mut self, link: &mut Link, consume: &basic::Consume) -> Result<(), AmqpError> {
        let tag = self.consumer_tag(link, &consume.consumer_tag)?;
        let queue = self.queue_name(&consume.queue)?;
        if queue.as_str() == REPLY_TO {
            return self.consume_replies(link, tag, consume);
        }
        let arguments = table_from_amq(&consume.arguments);
        let kind = link.session.check_consumer(&queue, self.shared.is_limited())?;
        let ConsumerArguments { priority, timeout } =
            check_consumer(&arguments, kind, &Resource::queue(link.session.vhost(), &queue))?;
        let timeout = timeout.map(Duration::from_millis);
        let spec = ConsumeSpec {
            channel: self.number,
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            priority: priority.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            prefetch: self.prefetch.filter(|_| !consume.no_ack),
            shared: (!consume.no_ack).then(|| self.shared.credit()),
        };
        let (id, queue) = link.session.consume(&queue, spec)?;
        link.expect_acks_within(timeout.or_else(|| queue_timeout(&queue.settings())));
        link.tell_consumer("consumer.created", (self.number, tag.as_str(), queue.name().as_str()), || {
            vec![
                ("exclusive", Value::Bool(consume.exclusive)),
                ("ack_required", Value::Bool(!consume.no_ack)),
                ("prefetch_count", Value::I64(self.prefetch.unwrap_or(0).into())),
                ("arguments", listed(&arguments)),
            ]
        });
        self.record.add_consumer(ConsumerRecord {
            id,
            tag: tag.as_str().to_owned(),
            queue: queue.name().clone(),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: self.prefetch.unwrap_or(0),
            arguments,
            timeout: timeout.map(|timeout| timeout.as_millis() as u64),
        });
        let source = Source::Queue(queue);
        let no_ack = consume.no_ack;
        self.consumers.insert(id, Consumer { tag: tag.clone(), source, no_ack, timeout, taken: 0 });
        let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag: tag });
        self.reply(link, consume.nowait, AMQPClass::Basic(ok));
        Ok(())
    }

    /// A consumer of direct replies (compat.md 2.2).
    fn consume_replies(
        &mut self,
        link: &mut Link,
        tag: ShortString,
        consume: &basic::Consume,
    ) -> Result<(), AmqpError> {
        if !consume.no_ack {
            return Err(AmqpError::new(Code::PreconditionFailed, "reply consumer cannot acknowledge"));
        }
        if self.consumers.replies().is_some() {
            return Err(AmqpError::new(Code::PreconditionFailed, "reply consumer already set"));
        }
        let none = || AmqpError::new(Code::InternalError, "no random bytes for a reply consumer");
        let (id, target) = link.session.open_replies(self.number).ok_or_else(none)?;
        let source = Source::Replies(target);
        let (no_ack, timeout) = (true, None);
        self.consumers.insert(id, Consumer { tag: tag.clone(), source, no_ack, timeout, taken: 0 });
        let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag: tag });
        self.reply(link, consume.nowait, AMQPClass::Basic(ok));
        Ok(())
    }

    fn consumer_tag(&self, link: &Link, wanted: &ShortString) -> Result<ShortString, AmqpError> {
        let max = link.settings.consumer_max_per_channel as usize;
        if self.consumers.by_tag.contains_key(wanted.as_str()) {
            let explanation = format!("attempt to reuse consumer tag '{wanted}'");
            return Err(AmqpError::new(Code::NotAllowed, explanation));
        }
        if max > 0 && self.consumers.by_id.len() >= max {
            let explanation = format!("reached maximum ({max}) of consumers per channel");
            return Err(AmqpError::new(Code::NotAllowed, explanation));
        }
        if !wanted.as_str().is_empty() {
            return Ok(wanted.clone());
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|fault| AmqpError::new(Code::InternalError, fault))?;
        short(&format!("amq.ctag-{}", URL_SAFE_NO_PAD.encode(random)))
    }

    /// basic.cancel; an unknown tag is no error. Every delivery that the consumer still gets is written before cancel-ok;
    /// if the socket lags, they go back instead, but for those that count as acknowledged.
    pub(super) fn on_cancel(&mut self, link: &mut Link, cancel: basic::Cancel) -> Result<(), AmqpError> {
        if let Some(id) = self.consumers.by_tag.get(cancel.consumer_tag.as_str()).copied()
            && let Some(consumer) = self.consumers.get(id)
        {
            let keep = consumer.no_ack || !link.is_backed_up();
            self.end_consumer(link, id, keep);
            if let Some(consumer) = self.consumers.remove(id) {
                self.record.remove_consumer(id);
                self.tell_consumer_gone(link, &consumer);
            }
        }
        let ok = basic::AMQPMethod::CancelOk(basic::CancelOk { consumer_tag: cancel.consumer_tag });
        self.reply(link, cancel.nowait, AMQPClass::Basic(ok));
        Ok(())
    }

    /// Ends a consumer at its queue. What it was sent that is not written yet is delivered, if `keep`, or goes back.
    fn end_consumer(&mut self, link: &mut Link, id: ConsumerId, keep: bool) {
        let queue = self.consumers.get(id).and_then(Consumer::queue).cloned();
        let mut returned = Returned::new(Fate::Returned);
        for run in self.stop_consumer(link, id) {
            match &queue {
                Some(queue) if !keep => returned.add(queue, Some(id), run.span()),
                _ => self.deliver(link, id, run),
            }
        }
        self.requeue(link, returned);
    }

    /// What the user may do has changed: consumers of queues that it may not read any more are cancelled, as if their queue
    /// had gone. What they hold stays with the channel.
    pub fn check_access(&mut self, link: &mut Link) {
        let may_not = |(id, consumer): (&ConsumerId, &Consumer)| {
            let queue = consumer.queue()?;
            let refused = link.session.authorize(Operation::Consume(queue.name().as_str())).is_err();
            refused.then_some((*id, consumer.no_ack))
        };
        let losers: Vec<_> = self.consumers.iter().filter_map(may_not).collect();
        for (id, no_ack) in losers {
            // What counts as acknowledged is nowhere else any more.
            self.end_consumer(link, id, no_ack);
            self.on_queue_gone(link, id);
        }
    }

    /// Ends a consumer at its queue; it stays known to the channel. Returns what it was sent that is not written yet.
    pub(super) fn stop_consumer(&self, link: &mut Link, id: ConsumerId) -> Vec<Run> {
        let Some(consumer) = self.consumers.get(id) else { return Vec::new() };
        consumer.stop(link, id);
        let number = self.number;
        let unsent = link.extract(|item| match item {
            Item::Run { channel, consumer, .. } | Item::Cancelled { channel, consumer } => {
                *channel == number && *consumer == id
            }
            Item::Loaded { .. } | Item::Acknowledged { .. } => false,
        });
        unsent.into_iter().filter_map(|item| if let Item::Run { run, .. } = item { Some(run) } else { None }).collect()
    }

    /// A consumer has lost its queue: deleted, or kept from it. What it was sent stays unsettled, without effect. A channel
    /// that deleted the queue itself is answered first, as by RabbitMQ.
    pub fn on_queue_gone(&mut self, link: &mut Link, id: ConsumerId) {
        let Some(consumer) = self.consumers.remove(id) else { return };
        self.record.remove_consumer(id);
        self.tell_consumer_gone(link, &consumer);
        if link.capabilities.consumer_cancel_notify {
            let cancel = basic::Cancel { consumer_tag: consumer.tag, nowait: true };
            let cancel = AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel));
            self.reply(link, false, cancel);
        }
    }

    /// Writes a run of deliveries and remembers it. The queue learns of bytes taken when they are half a window, so that
    /// a fast consumer does not lock it for every run.
    #[inline]
    pub fn deliver(&mut self, link: &mut Link, id: ConsumerId, run: Run) {
        if link.traced {
            self.trace_run(link, id, &run);
        }
        let Some(consumer) = self.consumers.by_id.get_mut(&id) else { return };
        let first = self.next_tag;
        self.next_tag += u64::from(run.count);
        let (out, tag) = (link.out.frames(), consumer.tag.as_str().as_bytes());
        let messages = (run.index..run.index + run.count).zip(first..);
        for (index, delivery_tag) in messages {
            let Some(record) = run.chunk.record(index) else { continue };
            write_deliver(out, self.number, tag, delivery_tag, run.redelivered, record.exchange_and_key);
            let counted = (run.returns != Returns::default()).then(|| counted_header(record.header, run.returns));
            let header = counted.as_deref().unwrap_or(record.header);
            write_content(out, self.number, header, record.body, link.tuned.frame_max);
        }
        if let Some(queue) = consumer.queue() {
            let count = if consumer.no_ack { Count::DeliverNoAck } else { Count::Deliver };
            let all = [(count, u64::from(run.count)), (Count::Redeliver, u64::from(run.count))];
            let counted = if run.redelivered { &all[..] } else { &all[..1] };
            super::count(&self.record, &mut self.queues, queue, counted);
        }
        consumer.taken += run.bytes() as u64;
        if consumer.taken >= CONSUMER_WINDOW_BYTES as u64 / 2 {
            let taken = std::mem::take(&mut consumer.taken);
            consumer.credit(link, id, taken);
        }
        if let Some(queue) = consumer.queue().filter(|_| !consumer.no_ack) {
            self.unacked.insert(first, queue.clone(), Some(id), run.span(), link.now.monotonic);
            self.count_unacked();
        }
    }
}

impl Channel {
    pub(super) fn tell_consumer_gone(&self, link: &Link, consumer: &Consumer) {
        if let Some(queue) = consumer.queue() {
            let names = (self.number, consumer.tag.as_str(), queue.name().as_str());
            link.tell_consumer("consumer.deleted", names, Vec::new);
        }
    }

    #[cold]
    fn trace_run(&self, link: &mut Link, id: ConsumerId, run: &Run) {
        let Some(queue) = self.consumers.get(id).and_then(Consumer::queue) else { return };
        for record in (run.index..run.index + run.count).filter_map(|index| run.chunk.record(index)) {
            self.trace_delivery(link, queue.name(), run.redelivered, &record);
        }
    }
}

/// How long a queue lets consumers hold its messages, if it says so.
pub(super) fn queue_timeout(settings: &QueueSettings) -> Option<Duration> {
    settings.consumer_timeout.map(Duration::from_millis)
}

/// A content header that says how often its message came back (compat.md 2.8).
#[cold]
pub(super) fn counted_header(payload: &[u8], returns: Returns) -> Vec<u8> {
    let mut headers = Table::new();
    if returns.failed > 0 {
        headers.insert("x-delivery-count", Value::I64(returns.failed.into()));
    }
    headers.insert("x-acquired-count", Value::I64(returns.acquired.into()));
    with_headers(payload, &headers).unwrap_or_else(|| payload.to_vec())
}

/// Text as a short string.
pub(super) fn short(text: &str) -> Result<ShortString, AmqpError> {
    ShortString::try_new(text).map_err(|fault| AmqpError::new(Code::InternalError, fault))
}
