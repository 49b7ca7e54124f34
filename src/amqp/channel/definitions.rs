//! Exchanges, queues and bindings. An -ok is sent when the definition is on disk.

use super::consume::short;
use super::{Channel, unimplemented_method};
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::refusal::{Refusal, Resource};
use crate::broker::topology::{Binding, Destination, ExchangeKind, ExchangeSpec};
use crate::engine::{DeclaredQueue, QueueSpec, is_reply_name};
use crate::name::Name;
use crate::wire::method::table_from_amq;
use amq_protocol::protocol::{AMQPClass, exchange, queue};
use amq_protocol::types::{FieldTable, ShortString};

impl Channel {
    pub(super) fn on_exchange(&mut self, link: &mut Link, method: exchange::AMQPMethod) -> Result<(), AmqpError> {
        match method {
            exchange::AMQPMethod::Declare(declare) => self.declare_exchange(link, &declare),
            exchange::AMQPMethod::Delete(delete) => {
                let epoch = link.session.delete_exchange(&stripped(&delete.exchange)?, delete.if_unused)?;
                let ok = exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {});
                self.reply_at(link, epoch, delete.nowait, AMQPClass::Exchange(ok));
                Ok(())
            }
            exchange::AMQPMethod::Bind(bind) => {
                let binding = exchange_binding(&bind.source, &bind.destination, &bind.routing_key, &bind.arguments)?;
                let epoch = link.session.bind(binding)?;
                let ok = exchange::AMQPMethod::BindOk(exchange::BindOk {});
                self.reply_at(link, epoch, bind.nowait, AMQPClass::Exchange(ok));
                Ok(())
            }
            exchange::AMQPMethod::Unbind(unbind) => {
                let (source, destination) = (&unbind.source, &unbind.destination);
                let binding = exchange_binding(source, destination, &unbind.routing_key, &unbind.arguments)?;
                let epoch = link.session.unbind(binding)?;
                let ok = exchange::AMQPMethod::UnbindOk(exchange::UnbindOk {});
                self.reply_at(link, epoch, unbind.nowait, AMQPClass::Exchange(ok));
                Ok(())
            }
            _ => Err(unimplemented_method()),
        }
    }

    fn declare_exchange(&mut self, link: &mut Link, declare: &exchange::Declare) -> Result<(), AmqpError> {
        let name = stripped(&declare.exchange)?;
        let epoch = if declare.passive {
            link.session.check_exchange(&name)?;
            None
        } else {
            // The type before anything else, as RabbitMQ.
            let kind = ExchangeKind::parse(declare.kind.as_str())?;
            link.session.declare_exchange(ExchangeSpec {
                name,
                kind,
                durable: declare.durable,
                auto_delete: declare.auto_delete,
                internal: declare.internal,
                arguments: table_from_amq(&declare.arguments),
            })?
        };
        let ok = exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {});
        self.reply_at(link, epoch, declare.nowait, AMQPClass::Exchange(ok));
        Ok(())
    }

    pub(super) fn on_queue(&mut self, link: &mut Link, method: queue::AMQPMethod) -> Result<(), AmqpError> {
        match method {
            queue::AMQPMethod::Declare(declare) => self.declare_queue(link, &declare),
            queue::AMQPMethod::Delete(delete) => {
                let name = self.queue_name(&delete.queue)?;
                let (messages, epoch) = link.session.delete_queue(&name, delete.if_unused, delete.if_empty)?;
                let ok = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: count(messages) });
                self.reply_at(link, epoch, delete.nowait, AMQPClass::Queue(ok));
                Ok(())
            }
            queue::AMQPMethod::Purge(purge) => {
                let name = self.queue_name(&purge.queue)?;
                let messages = link.session.purge_queue(&name)?;
                let ok = queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count: count(messages) });
                self.reply(link, purge.nowait, AMQPClass::Queue(ok));
                Ok(())
            }
            queue::AMQPMethod::Bind(bind) => {
                let binding = self.queue_binding(&bind.queue, &bind.exchange, &bind.routing_key, &bind.arguments)?;
                let epoch = link.session.bind(binding)?;
                let ok = queue::AMQPMethod::BindOk(queue::BindOk {});
                self.reply_at(link, epoch, bind.nowait, AMQPClass::Queue(ok));
                Ok(())
            }
            queue::AMQPMethod::Unbind(unbind) => {
                let (queue, exchange) = (&unbind.queue, &unbind.exchange);
                let binding = self.queue_binding(queue, exchange, &unbind.routing_key, &unbind.arguments)?;
                let epoch = link.session.unbind(binding)?;
                let ok = queue::AMQPMethod::UnbindOk(queue::UnbindOk {});
                self.reply_at(link, epoch, false, AMQPClass::Queue(ok));
                Ok(())
            }
            _ => Err(unimplemented_method()),
        }
    }

    fn declare_queue(&mut self, link: &mut Link, declare: &queue::Declare) -> Result<(), AmqpError> {
        let name = stripped(&declare.queue)?;
        let declared = if is_reply_name(name.as_str()) {
            // Whatever the flags: it asks whether the requester is still there.
            if !link.session.takes_replies(&name) {
                return Err(Refusal::NotFound(Resource::queue(link.session.vhost(), &name)).into());
            }
            DeclaredQueue { name, messages: 0, consumers: 1, epoch: None }
        } else if declare.passive {
            link.session.check_queue(&name)?
        } else {
            link.session.declare_queue(QueueSpec {
                name: (!name.as_str().is_empty()).then_some(name),
                durable: declare.durable,
                exclusive: declare.exclusive,
                auto_delete: declare.auto_delete,
                arguments: table_from_amq(&declare.arguments),
            })?
        };
        let ok = queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: short(declared.name.as_str())?,
            message_count: count(declared.messages),
            consumer_count: count(declared.consumers as u64),
        });
        self.last_queue = Some(declared.name);
        self.reply_at(link, declared.epoch, declare.nowait, AMQPClass::Queue(ok));
        Ok(())
    }

    /// The name that a client gave, or for an empty one the queue that was last declared on this channel.
    pub(super) fn queue_name(&self, given: &ShortString) -> Result<Name, AmqpError> {
        if given.as_str().is_empty() {
            return Ok(self.last_queue.clone().ok_or(Refusal::NoQueueDeclared)?);
        }
        stripped(given)
    }

    fn queue_binding(
        &self,
        queue: &ShortString,
        exchange: &ShortString,
        routing_key: &ShortString,
        arguments: &FieldTable,
    ) -> Result<Binding, AmqpError> {
        let name = self.queue_name(queue)?;
        if is_reply_name(name.as_str()) {
            let explanation = "cannot bind or unbind to a volatile (direct reply-to) queue";
            return Err(AmqpError::new(Code::AccessRefused, explanation));
        }
        // Both empty: the queue's name is the key too.
        let both_empty = queue.as_str().is_empty() && routing_key.as_str().is_empty();
        let routing_key = if both_empty { name.clone() } else { exact(routing_key.as_str())? };
        Ok(Binding {
            source: stripped(exchange)?,
            destination: Destination::Queue(name),
            routing_key,
            arguments: table_from_amq(arguments),
        })
    }
}

fn exchange_binding(
    source: &ShortString,
    destination: &ShortString,
    routing_key: &ShortString,
    arguments: &FieldTable,
) -> Result<Binding, AmqpError> {
    Ok(Binding {
        source: stripped(source)?,
        destination: Destination::Exchange(stripped(destination)?),
        routing_key: exact(routing_key.as_str())?,
        arguments: table_from_amq(arguments),
    })
}

/// A name without line ends, as RabbitMQ takes it (compat.md 1.7).
fn stripped(given: &ShortString) -> Result<Name, AmqpError> {
    let given = given.as_str();
    if given.contains(['\r', '\n']) { exact(&given.replace(['\r', '\n'], "")) } else { exact(given) }
}

fn exact(given: &str) -> Result<Name, AmqpError> {
    Name::new(given).ok_or_else(|| AmqpError::new(Code::SyntaxError, "name is longer than 255 bytes"))
}

/// A number of messages or consumers as replies can say it.
fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
