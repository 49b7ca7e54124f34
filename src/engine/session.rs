//! One connection's presence in a virtual host: what the connection machine calls.

use super::Epoch;
use super::broker::Broker;
use super::channels::ChannelRecord;
use super::connections::{Churn, ConnectionInfo, ConnectionRecord};
use super::events::By;
use super::outbox::{Outbox, Outlet};
use super::publish::Route;
use super::queue_handle::QueueHandle;
use super::replies::{self, REPLY_TO, ReplyTarget};
use super::vhost::{TRACE_EXCHANGE, Vhost};
use crate::broker::access::{Identity, Operation, Rights, authorize};
use crate::broker::identity::{ConnectionId, ConsumerId};
use crate::broker::message::Span;
use crate::broker::queue::{Command, ConsumerSpec, QueueKind, SharedCredit, Taken};
use crate::broker::refusal::Refusal;
use crate::broker::topology::{Binding, ExchangeSpec};
use crate::name::Name;
use crate::value::Table;
use std::sync::Arc;

/// A queue as a client declares it.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Its name; None for one that the broker invents.
    pub name: Option<Name>,
    /// Survives a restart.
    pub durable: bool,
    /// Only this connection may use it, and takes it along when it ends.
    pub exclusive: bool,
    /// Deleted when its last consumer goes.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: Table,
}

/// A queue as the answer to a declaration describes it.
#[derive(Clone, Debug)]
pub struct DeclaredQueue {
    /// Its name.
    pub name: Name,
    /// Ready messages.
    pub messages: u64,
    /// Consumers.
    pub consumers: usize,
    /// The answer waits for this epoch.
    pub epoch: Option<Epoch>,
}

/// What a consumer asks for.
#[derive(Clone, Debug)]
pub struct ConsumeSpec {
    /// Its channel.
    pub channel: u16,
    /// Deliveries count as acknowledged.
    pub no_ack: bool,
    /// No other consumer beside it.
    pub exclusive: bool,
    /// Higher ones are served first.
    pub priority: i32,
    /// Messages it may hold unsettled; None = without limit.
    pub prefetch: Option<u32>,
    /// The channel's limit for all its consumers.
    pub shared: Option<Arc<SharedCredit>>,
}

/// One connection's presence in a virtual host.
#[derive(Debug)]
pub struct Session {
    broker: Arc<Broker>,
    vhost: Arc<Vhost>,
    id: ConnectionId,
    identity: Identity,
    outbox: Arc<Outbox>,
    record: Arc<ConnectionRecord>,
}

impl Session {
    pub(super) fn new(broker: Arc<Broker>, vhost: Arc<Vhost>, id: ConnectionId, identity: Identity) -> Session {
        let record = ConnectionRecord::new(id, identity.user.clone(), vhost.name().clone());
        Session { broker, vhost, id, identity, outbox: Arc::default(), record }
    }

    /// Says what the connection is; from then on it is listed.
    pub fn introduce(&self, info: ConnectionInfo) {
        self.record.introduce(info);
        Churn::note(&self.broker.churn().connections_opened);
    }

    /// What is known of the connection.
    pub fn record(&self) -> &Arc<ConnectionRecord> {
        &self.record
    }

    /// Changes in this client's name.
    fn by(&self) -> By<'_> {
        By { broker: &self.broker, user: self.identity.user.as_str() }
    }

    /// Tells whoever listens to the node's events that something has happened. `fields` is asked only if somebody does.
    pub fn tell(&self, kind: &'static str, fields: impl FnOnce() -> Table) {
        self.broker.tell(kind, || self.by().signed(fields()));
    }

    /// Who the client is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the virtual host is there and the user may be in it.
    pub(super) fn may_open(&self, vhost: &Vhost) -> Result<(), Refusal> {
        let (user, name) = (&self.identity.user, vhost.name());
        if vhost.is_deleted() {
            return Err(Refusal::VhostNotFound(name.as_str().to_owned()));
        }
        if !self.with_rights(|rights| rights.enters(name)) {
            return Err(Refusal::VhostRefused(name.clone(), user.clone()));
        }
        Ok(())
    }

    /// The client has shown anew who it is, with other rights or for longer. Routes that were found before are judged again.
    ///
    /// # Errors
    /// `VhostRefused`: it may not be in its virtual host any more. Then everything stays as it was.
    pub fn renew(&mut self, identity: Identity) -> Result<(), Refusal> {
        let old = std::mem::replace(&mut self.identity, identity);
        if let Err(refusal) = self.may_open(&self.vhost) {
            self.identity = old;
            return Err(refusal);
        }
        self.vhost.touch();
        Ok(())
    }

    /// Gives `judge` the client's rights in its virtual host.
    fn with_rights<T>(&self, judge: impl FnOnce(Rights<'_>) -> T) -> T {
        match &self.identity.authority {
            Some(authority) => judge(Rights::Told(&**authority)),
            None => {
                let (user, vhost) = (self.identity.user.as_str(), self.vhost.name().as_str());
                judge(Rights::Granted(self.broker.catalog().grants(user, vhost).as_deref()))
            }
        }
    }

    /// A channel is opened; it is to be closed with [`Session::close_channel`].
    ///
    /// # Errors
    /// `LimitReached`: the user has as many as it may have.
    pub fn open_channel(&self, number: u16) -> Result<Arc<ChannelRecord>, Refusal> {
        let user = self.broker.catalog().user(self.identity.user.as_str());
        let limit = user.and_then(|user| user.limits.max_channels);
        let opened = self.broker.sessions().open_channel(self, number, limit)?;
        Churn::note(&self.broker.churn().channels_opened);
        Ok(opened)
    }

    /// A channel has ended.
    pub fn close_channel(&self, number: u16) {
        self.broker.sessions().close_channel(self, number);
        Churn::note(&self.broker.churn().channels_closed);
    }

    /// Whether the client may do this: every entry point asks it here.
    ///
    /// # Errors
    /// As [`authorize`].
    pub fn authorize(&self, operation: Operation<'_>) -> Result<(), Refusal> {
        self.with_rights(|rights| authorize(rights, &self.identity.user, self.vhost.name(), operation))
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The connection's number.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The virtual host's name.
    pub fn vhost(&self) -> &Name {
        self.vhost.name()
    }

    /// Where deliveries and notices arrive.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Ends the session: its exclusive queues are deleted. The channels have cancelled and requeued before.
    pub fn close(&self) {
        self.vhost.delete_owned(self.by(), self.id);
        self.broker.forget_session(self.id);
        if self.record.info().is_some() {
            Churn::note(&self.broker.churn().connections_closed);
        }
    }

    /// Declares an exchange. The answer waits for the epoch.
    ///
    /// # Errors
    /// `AccessRefused`; as [`crate::broker::topology::Topology::declare_exchange`].
    pub fn declare_exchange(&self, spec: ExchangeSpec) -> Result<Option<Epoch>, Refusal> {
        self.vhost.declare_exchange(self.by(), &|operation| self.authorize(operation), spec)
    }

    /// Whether an exchange exists.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `DefaultExchange`.
    pub fn check_exchange(&self, name: &Name) -> Result<(), Refusal> {
        self.authorize(Operation::CheckExchange(name.as_str()))?;
        self.vhost.check_exchange(name)
    }

    /// Deletes an exchange; a missing one is no error.
    ///
    /// # Errors
    /// `AccessRefused`, `InUse`, `SystemExchange`, `DefaultExchange`.
    pub fn delete_exchange(&self, name: &Name, if_unused: bool) -> Result<Option<Epoch>, Refusal> {
        self.authorize(Operation::DeleteExchange(name.as_str()))?;
        self.vhost.delete_exchange(self.by(), name, if_unused)
    }

    /// Declares a queue.
    ///
    /// # Errors
    /// `AccessRefused`, `QueueLimit`, `Inequivalent`, `Locked`, `ReservedName`, `InvalidArgument`, `NotImplemented`.
    pub fn declare_queue(&self, spec: QueueSpec) -> Result<DeclaredQueue, Refusal> {
        self.vhost.declare_queue(self.by(), self.id, &|operation| self.authorize(operation), spec)
    }

    /// Describes a queue (passive declaration).
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `Locked`.
    pub fn check_queue(&self, name: &Name) -> Result<DeclaredQueue, Refusal> {
        self.authorize(Operation::CheckQueue(name.as_str()))?;
        let queue = self.vhost.queue(name, self.id)?;
        queue.asked_for(&self.broker);
        let counts = queue.counts();
        let (messages, consumers) = (counts.ready, counts.consumers);
        Ok(DeclaredQueue { name: queue.name().clone(), messages, consumers, epoch: None })
    }

    /// Deletes a queue; returns its ready messages. A missing queue is no error.
    ///
    /// # Errors
    /// `AccessRefused`, `Locked`, `InUse`, `NotEmpty`; `NotImplemented` for a condition on a quorum queue.
    pub fn delete_queue(&self, name: &Name, if_unused: bool, if_empty: bool) -> Result<(u64, Option<Epoch>), Refusal> {
        self.authorize(Operation::DeleteQueue(name.as_str()))?;
        let queue = match self.vhost.queue(name, self.id) {
            Err(Refusal::NotFound(_)) => return Ok((0, None)),
            other => other?,
        };
        queue.check_deletion(if_unused, if_empty)?;
        self.vhost.delete_queue(self.by(), &queue, if_unused, if_empty)
    }

    /// Drops a queue's ready messages; returns how many.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `Locked`.
    pub fn purge_queue(&self, name: &Name) -> Result<u64, Refusal> {
        self.authorize(Operation::Purge(name.as_str()))?;
        Ok(self.vhost.queue(name, self.id)?.purge(&self.broker))
    }

    /// Binds.
    ///
    /// # Errors
    /// `AccessRefused`, `TopicRefused`, `NotFound`, `Locked`, `DefaultExchange`, `InvalidXMatch`, `Unacceptable`.
    pub fn bind(&self, binding: Binding) -> Result<Option<Epoch>, Refusal> {
        self.authorize_binding(&binding)?;
        self.vhost.bind(self.by(), self.id, binding)
    }

    /// Unbinds; a missing binding is no error.
    ///
    /// # Errors
    /// `AccessRefused`, `TopicRefused`, `Locked`, `DefaultExchange`.
    pub fn unbind(&self, binding: Binding) -> Result<Option<Epoch>, Refusal> {
        self.authorize_binding(&binding)?;
        self.vhost.unbind(self.by(), self.id, binding)
    }

    fn authorize_binding(&self, binding: &Binding) -> Result<(), Refusal> {
        let Binding { source, destination, routing_key, .. } = binding;
        let source = source.as_str();
        self.authorize(Operation::Bind { destination, source })?;
        if self.vhost.is_topic(source) {
            self.authorize(Operation::BindTopic { source, key: routing_key.as_str() })?;
        }
        Ok(())
    }

    /// A route is good while this is unchanged.
    pub fn topology_version(&self) -> u64 {
        self.vhost.version()
    }

    /// Finds a message's queues; the client may write to the exchange: whether it exists is no business of who may not. Its
    /// keys are a question of their own ([`Session::authorize_keys`]). `content` is the payload of its content header.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `InternalExchange`.
    pub fn route(&self, exchange: &str, key: &[u8], content: &[u8]) -> Result<Route, Refusal> {
        self.authorize(Operation::Publish(exchange))?;
        if exchange.is_empty() && replies::is_target(key) {
            let mut route = Route::default();
            route.add_reply(self.requester(key));
            return Ok(route);
        }
        self.vhost.route(exchange, &[key], content)
    }

    fn requester(&self, key: &[u8]) -> Option<Arc<ReplyTarget>> {
        self.broker.replies().find(self.vhost(), std::str::from_utf8(key).ok()?)
    }

    /// As [`Session::route`], with several keys: those of CC and BCC beside the routing key.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `InternalExchange`.
    pub fn route_keys(&self, exchange: &str, keys: &[&[u8]], content: &[u8]) -> Result<Route, Refusal> {
        self.authorize(Operation::Publish(exchange))?;
        let mut route = self.vhost.route(exchange, keys, content)?;
        if exchange.is_empty() {
            for key in keys.iter().filter(|key| replies::is_target(key)) {
                route.add_reply(self.requester(key));
            }
        }
        Ok(route)
    }

    /// Whether the client may publish under these keys, if it is a topic exchange. RabbitMQ asks it after its other checks
    /// of a message but the user's name (compat.md 1.9).
    ///
    /// # Errors
    /// `TopicRefused`.
    pub fn authorize_keys(&self, exchange: &str, keys: &[&[u8]]) -> Result<(), Refusal> {
        let (user, vhost) = (&self.identity.user, self.vhost.name());
        self.with_rights(|rights| {
            let limited = match rights {
                Rights::Granted(grants) => grants.is_some_and(|grants| grants.topics.contains_key(exchange)),
                Rights::Told(_) => true,
            };
            if limited && self.vhost.is_topic(exchange) {
                for key in keys {
                    // What is not text matches no expression that was written for text: the replacement characters say so.
                    let key = String::from_utf8_lossy(key);
                    authorize(rights, user, vhost, Operation::PublishTopic { exchange, key: &key })?;
                }
            }
            Ok(())
        })
    }

    /// Makes a channel one that takes direct replies. None when there is no randomness for its name.
    pub fn open_replies(&self, channel: u16) -> Option<(ConsumerId, Arc<ReplyTarget>)> {
        let id = self.broker.next_consumer();
        let outlet = Outlet { outbox: self.outbox.clone(), channel };
        Some((id, self.broker.replies().open(self.vhost(), outlet, id)?))
    }

    /// Replies to the channel go nowhere from now on.
    pub fn close_replies(&self, target: &ReplyTarget) {
        self.broker.replies().close(target);
    }

    /// Whether somebody takes direct replies under this name.
    pub fn takes_replies(&self, name: &Name) -> bool {
        name.as_str() == REPLY_TO || self.broker.replies().find(self.vhost(), name.as_str()).is_some()
    }

    /// The epoch that takes what was settled or published before this call.
    pub fn open_epoch(&self) -> Epoch {
        self.broker.committer().open_epoch()
    }

    /// The type of a queue that is to get a consumer; `shares`: it is to share its channel's limit.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `Locked`; `NotImplemented` if it cannot share.
    pub fn check_consumer(&self, queue: &Name, shares: bool) -> Result<QueueKind, Refusal> {
        self.authorize(Operation::Consume(queue.as_str()))?;
        let queue = self.vhost.queue(queue, self.id)?;
        if shares {
            queue.check_shared_limit()?;
        }
        Ok(queue.kind())
    }

    /// Starts a consumer.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `Locked`, `ExclusiveUse`, `Damaged`.
    pub fn consume(&self, queue: &Name, spec: ConsumeSpec) -> Result<(ConsumerId, Arc<QueueHandle>), Refusal> {
        self.authorize(Operation::Consume(queue.as_str()))?;
        let queue = self.vhost.queue(queue, self.id)?;
        let id = self.broker.next_consumer();
        let outlet = Outlet { outbox: self.outbox.clone(), channel: spec.channel };
        let ConsumeSpec { no_ack, exclusive, priority, prefetch, shared, .. } = spec;
        queue.consume(&self.broker, ConsumerSpec { id, outlet, no_ack, exclusive, priority, prefetch, shared })?;
        Ok((id, queue))
    }

    /// Ends a consumer. What it holds stays with its channel.
    pub fn cancel(&self, queue: &Arc<QueueHandle>, consumer: ConsumerId) {
        queue.apply(&self.broker, Command::Cancel(consumer));
    }

    /// Takes a message. `Taken::OnDisk`: an `Item::Loaded` comes, then it can be asked again.
    ///
    /// # Errors
    /// `AccessRefused`, `NotFound`, `Locked`, `Damaged`.
    pub fn get(&self, queue: &Name, no_ack: bool, channel: u16) -> Result<(Arc<QueueHandle>, Taken), Refusal> {
        self.authorize(Operation::Get(queue.as_str()))?;
        let queue = self.vhost.queue(queue, self.id)?;
        let taken = queue.take(&self.broker, no_ack, &Outlet { outbox: self.outbox.clone(), channel })?;
        Ok((queue, taken))
    }

    /// Messages are acknowledged.
    pub fn settle(&self, queue: &Arc<QueueHandle>, spans: Vec<(u64, u32)>, consumer: Option<ConsumerId>) {
        queue.apply(&self.broker, Command::Settle { spans, consumer });
    }

    /// Messages go back to their places.
    /// `failed`: their delivery failed, which a quorum queue counts (compat.md 2.8).
    pub fn requeue(&self, queue: &Arc<QueueHandle>, spans: Vec<Span>, consumer: Option<ConsumerId>, failed: bool) {
        queue.apply(&self.broker, Command::Requeue { spans, consumer, failed });
    }

    /// Messages are discarded: dead-lettered, or gone.
    pub fn discard(&self, queue: &Arc<QueueHandle>, spans: Vec<Span>, consumer: Option<ConsumerId>) {
        let spans = spans.into_iter().map(|span| (span.first, span.count)).collect();
        queue.apply(&self.broker, Command::Discard { spans, consumer });
    }

    /// A consumer's bytes were taken from the outbox, or the credit it shares has grown.
    pub fn credit(&self, queue: &Arc<QueueHandle>, consumer: ConsumerId, bytes: u64) {
        queue.apply(&self.broker, Command::Credit { consumer, bytes });
    }

    /// The last epoch that is on disk.
    pub fn done_epoch(&self) -> Epoch {
        self.broker.committer().done_epoch()
    }

    /// Rings the outbox when `epoch` is done.
    pub fn wake_at(&self, epoch: Epoch) {
        self.broker.committer().wake_at(epoch, self.outbox.clone());
    }

    /// As [`Session::wake_at`], but the epoch need not close at once: the receipt is likely to come first.
    pub fn wake_soon(&self, epoch: Epoch, receipt: u64) {
        self.broker.committer().wake_soon(epoch, self.outbox.clone(), receipt);
    }

    /// The way to one of the connection's channels.
    pub fn outlet(&self, channel: u16) -> Outlet {
        Outlet { outbox: self.outbox.clone(), channel }
    }

    /// Why publishers are held, as `connection.blocked` says it. The outbox is rung when it changes.
    pub fn alarm(&self) -> Option<&'static str> {
        self.broker.alarms().reason()
    }

    /// Memory is full: no publish is to be taken now. The outbox is rung when it may go on.
    pub fn must_hold(&self) -> bool {
        self.broker.hold(&self.outbox)
    }

    /// Takes room for publishes that the connection holds while an alarm lasts. False when there is none.
    pub fn reserve_held(&self, bytes: usize) -> bool {
        self.broker.memory().reserve_held(bytes)
    }

    /// Gives such room back.
    pub fn release_held(&self, bytes: usize) {
        self.broker.memory().release_held(bytes);
    }

    /// Whether messages of the virtual host are copied for the firehose.
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.vhost.is_traced()
    }

    /// Where a copy for the firehose goes under a key. None when nobody wants it.
    pub fn trace_route(&self, key: &[u8]) -> Option<Route> {
        let route = self.vhost.route_internally(TRACE_EXCHANGE, &[key], b"")?;
        (!route.is_empty()).then_some(route)
    }
}
