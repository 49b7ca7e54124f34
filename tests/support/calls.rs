//! One method of the client per method of the protocol: send, wait for the `-ok`, give back what it says.

use super::client::Client;
use super::event::{Delivery, Error, Event, Returned, encode_method, encode_properties, encode_raw};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, confirm, connection, exchange, queue, tx};
use amq_protocol::types::FieldTable;
use std::time::{Duration, Instant};

/// `call!(self, channel, Class::Method(value) => Class::ReplyPattern => result)`
macro_rules! call {
    ($client:expr, $channel:expr, $class:ident, $module:ident, $request:expr, $reply:pat => $result:expr) => {{
        use $module::AMQPMethod::*;
        $client.call($channel, AMQPClass::$class($request), |method| match method {
            AMQPClass::$class($reply) => Some($result),
            _ => None,
        })
    }};
}

impl Client {
    pub fn open_channel(&mut self, channel: u16) -> Result<(), Error> {
        call!(self, channel, Channel, channel, Open(channel::Open {}), OpenOk(_) => ())
    }

    pub fn close_channel(&mut self, channel: u16) -> Result<(), Error> {
        let close = channel::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
        let done = call!(self, channel, Channel, channel, Close(close), CloseOk(_) => ());
        self.confirms.remove(&channel);
        done
    }

    /// `connection.close` and its `-ok`.
    pub fn close(&mut self) -> Result<(), Error> {
        let close = connection::Close { reply_code: 200, reply_text: "".into(), class_id: 0, method_id: 0 };
        call!(self, 0, Connection, connection, Close(close), CloseOk(_) => ())
    }

    pub fn declare_queue(&mut self, channel: u16, name: &str, durable: bool) -> Result<queue::DeclareOk, Error> {
        self.declare(channel, queue::Declare { queue: name.into(), durable, ..Default::default() })
    }

    pub fn declare_passive(&mut self, channel: u16, name: &str) -> Result<queue::DeclareOk, Error> {
        self.declare(channel, queue::Declare { queue: name.into(), passive: true, ..Default::default() })
    }

    pub fn declare(&mut self, channel: u16, declare: queue::Declare) -> Result<queue::DeclareOk, Error> {
        call!(self, channel, Queue, queue, Declare(declare), DeclareOk(ok) => ok.clone())
    }

    /// The number of messages that went with the queue.
    pub fn delete_queue(&mut self, channel: u16, name: &str) -> Result<u32, Error> {
        self.delete(channel, queue::Delete { queue: name.into(), ..Default::default() })
    }

    pub fn delete(&mut self, channel: u16, delete: queue::Delete) -> Result<u32, Error> {
        call!(self, channel, Queue, queue, Delete(delete), DeleteOk(ok) => ok.message_count)
    }

    pub fn purge(&mut self, channel: u16, name: &str) -> Result<u32, Error> {
        let purge = queue::Purge { queue: name.into(), ..Default::default() };
        call!(self, channel, Queue, queue, Purge(purge), PurgeOk(ok) => ok.message_count)
    }

    pub fn declare_exchange(&mut self, channel: u16, declare: exchange::Declare) -> Result<(), Error> {
        call!(self, channel, Exchange, exchange, Declare(declare), DeclareOk(_) => ())
    }

    pub fn exchange_passive(&mut self, channel: u16, name: &str) -> Result<(), Error> {
        self.declare_exchange(
            channel,
            exchange::Declare { exchange: name.into(), kind: "direct".into(), passive: true, ..Default::default() },
        )
    }

    pub fn delete_exchange(&mut self, channel: u16, name: &str) -> Result<(), Error> {
        let delete = exchange::Delete { exchange: name.into(), ..Default::default() };
        call!(self, channel, Exchange, exchange, Delete(delete), DeleteOk(_) => ())
    }

    pub fn bind_exchange(&mut self, channel: u16, destination: &str, source: &str, key: &str) -> Result<(), Error> {
        let bind = exchange::Bind {
            destination: destination.into(),
            source: source.into(),
            routing_key: key.into(),
            ..Default::default()
        };
        call!(self, channel, Exchange, exchange, Bind(bind), BindOk(_) => ())
    }

    pub fn unbind_exchange(&mut self, channel: u16, destination: &str, source: &str, key: &str) -> Result<(), Error> {
        let unbind = exchange::Unbind {
            destination: destination.into(),
            source: source.into(),
            routing_key: key.into(),
            ..Default::default()
        };
        call!(self, channel, Exchange, exchange, Unbind(unbind), UnbindOk(_) => ())
    }

    pub fn bind(&mut self, channel: u16, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        self.bind_with(channel, queue, exchange, key, FieldTable::default())
    }

    pub fn bind_with(
        &mut self,
        channel: u16,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: key.into(),
            nowait: false,
            arguments,
        };
        call!(self, channel, Queue, queue, Bind(bind), BindOk(_) => ())
    }

    pub fn unbind(&mut self, channel: u16, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
        self.unbind_with(channel, queue, exchange, key, FieldTable::default())
    }

    pub fn unbind_with(
        &mut self,
        channel: u16,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let unbind =
            queue::Unbind { queue: queue.into(), exchange: exchange.into(), routing_key: key.into(), arguments };
        call!(self, channel, Queue, queue, Unbind(unbind), UnbindOk(_) => ())
    }

    pub fn qos(&mut self, channel: u16, prefetch_count: u16, global: bool) -> Result<(), Error> {
        call!(self, channel, Basic, basic, Qos(basic::Qos { prefetch_count, global }), QosOk(_) => ())
    }

    /// The consumer tag, the broker's own if `tag` is empty.
    pub fn consume(&mut self, channel: u16, queue: &str, tag: &str, no_ack: bool) -> Result<String, Error> {
        self.consume_with(
            channel,
            basic::Consume { queue: queue.into(), consumer_tag: tag.into(), no_ack, ..Default::default() },
        )
    }

    pub fn consume_with(&mut self, channel: u16, consume: basic::Consume) -> Result<String, Error> {
        call!(self, channel, Basic, basic, Consume(consume), ConsumeOk(ok) => ok.consumer_tag.to_string())
    }

    pub fn cancel(&mut self, channel: u16, tag: &str) -> Result<(), Error> {
        let cancel = basic::Cancel { consumer_tag: tag.into(), nowait: false };
        call!(self, channel, Basic, basic, Cancel(cancel), CancelOk(_) => ())
    }

    /// `None` when the queue is empty.
    pub fn get(&mut self, channel: u16, queue: &str, no_ack: bool) -> Result<Option<Delivery>, Error> {
        let get = basic::Get { queue: queue.into(), no_ack };
        self.fail_if_closed(Some(channel))?;
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Get(get)))?;
        self.reply(channel, |event| match event.method() {
            Some(AMQPClass::Basic(basic::AMQPMethod::GetOk(_))) if event.channel() == channel => Some(event.delivery()),
            Some(AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_))) if event.channel() == channel => Some(None),
            _ => None,
        })
    }

    pub fn ack(&mut self, channel: u16, delivery_tag: u64, multiple: bool) -> Result<(), Error> {
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })))
    }

    pub fn nack(&mut self, channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) -> Result<(), Error> {
        let nack = basic::Nack { delivery_tag, multiple, requeue };
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)))
    }

    pub fn reject(&mut self, channel: u16, delivery_tag: u64, requeue: bool) -> Result<(), Error> {
        self.send(channel, AMQPClass::Basic(basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })))
    }

    pub fn recover(&mut self, channel: u16, requeue: bool) -> Result<(), Error> {
        call!(self, channel, Basic, basic, Recover(basic::Recover { requeue }), RecoverOk(_) => ())
    }

    /// A round trip on the channel: what was sent before it has been handled, what the broker said before it is read.
    pub fn sync(&mut self, channel: u16) -> Result<(), Error> {
        self.exchange_passive(channel, "amq.direct")
    }

    pub fn publish(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &BasicProperties,
        body: &[u8],
    ) -> Result<(), Error> {
        let publish = basic::Publish { exchange: exchange.into(), routing_key: key.into(), ..Default::default() };
        self.publish_raw(channel, publish, &encode_properties(properties), body)
    }

    pub fn publish_mandatory(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &BasicProperties,
        body: &[u8],
    ) -> Result<(), Error> {
        let publish = basic::Publish {
            exchange: exchange.into(),
            routing_key: key.into(),
            mandatory: true,
            ..Default::default()
        };
        self.publish_raw(channel, publish, &encode_properties(properties), body)
    }

    /// Publishes with property bytes as given (flag words and values); the body is cut into frames of `frame_max`.
    pub fn publish_raw(
        &mut self,
        channel: u16,
        publish: basic::Publish,
        properties: &[u8],
        body: &[u8],
    ) -> Result<(), Error> {
        if let Some(tracker) = self.confirms.get_mut(&channel) {
            tracker.publish();
        }
        let mut header = vec![0, 60, 0, 0];
        header.extend((body.len() as u64).to_be_bytes());
        header.extend(properties);
        let mut bytes = encode_method(channel, AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        bytes.extend(encode_raw(2, channel, &header));
        for part in body.chunks(self.frame_max as usize - 8) {
            bytes.extend(encode_raw(3, channel, part));
        }
        self.send_bytes(&bytes)
    }

    pub fn confirm_select(&mut self, channel: u16) -> Result<(), Error> {
        let select = confirm::Select { nowait: false };
        call!(self, channel, Confirm, confirm, Select(select), SelectOk(_) => ())?;
        self.confirms.entry(channel).or_default();
        Ok(())
    }

    /// Waits until every publish of the channel is confirmed; the nacked tags. A tag confirmed twice is an error.
    pub fn wait_confirms(&mut self, channel: u16) -> Result<Vec<u64>, Error> {
        let deadline = Instant::now() + self.timeout;
        self.pending.retain(|event| event.channel() != channel || event.confirm().is_none());
        loop {
            self.fail_if_closed(Some(channel))?;
            let Some(tracker) = self.confirms.get_mut(&channel) else {
                return Err(Error::Unexpected(format!("channel {channel} is not in confirm mode")));
            };
            if tracker.outstanding() == 0 {
                return Ok(tracker.take_nacked());
            }
            let event = self.read_event(deadline)?;
            if event.channel() != channel || event.confirm().is_none() {
                self.keep(event);
            }
        }
    }

    /// Publishes of the channel that are not confirmed yet.
    pub fn unconfirmed(&self, channel: u16) -> usize {
        self.confirms.get(&channel).map_or(0, |tracker| tracker.outstanding())
    }

    pub fn tx_select(&mut self, channel: u16) -> Result<(), Error> {
        call!(self, channel, Tx, tx, Select(tx::Select {}), SelectOk(_) => ())
    }

    pub fn tx_commit(&mut self, channel: u16) -> Result<(), Error> {
        call!(self, channel, Tx, tx, Commit(tx::Commit {}), CommitOk(_) => ())
    }

    pub fn tx_rollback(&mut self, channel: u16) -> Result<(), Error> {
        call!(self, channel, Tx, tx, Rollback(tx::Rollback {}), RollbackOk(_) => ())
    }

    /// The next delivery on any channel; other events stay.
    pub fn delivery(&mut self) -> Result<Delivery, Error> {
        self.find(None, |event| event.delivery())
    }

    /// `count` deliveries in the order they came.
    pub fn deliveries(&mut self, count: usize) -> Result<Vec<Delivery>, Error> {
        (0..count).map(|_| self.delivery()).collect()
    }

    /// The next `basic.return`; other events stay.
    pub fn returned(&mut self) -> Result<Returned, Error> {
        self.find(None, |event| event.returned())
    }

    /// The close of this channel or of the connection; other events stay.
    pub fn closed(&mut self, channel: u16) -> Result<super::Closed, Error> {
        match self.find(Some(channel), |_| None::<()>) {
            Err(Error::Closed(closed)) => Ok(closed),
            Err(error) => Err(error),
            Ok(()) => Err(Error::Unexpected("no close".into())),
        }
    }

    /// What arrived and nobody asked for yet, after a round trip on `channel`.
    pub fn leftovers(&mut self, channel: u16) -> Result<Vec<Event>, Error> {
        self.sync(channel)?;
        Ok(self.pending.drain(..).collect())
    }

    /// Nothing but heartbeats arrives for this long; else the event that did.
    pub fn quiet(&mut self, time: Duration) -> Result<(), Box<Event>> {
        match self.recv_until(Instant::now() + time) {
            Ok(event) => Err(Box::new(event)),
            Err(Error::Timeout) => Ok(()),
            Err(error) => panic!("{error:?}"),
        }
    }
}
