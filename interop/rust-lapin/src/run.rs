//! One scenario's connections and names, and the checks the scenarios share.

use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind,
    message::Delivery,
    options::*,
    types::{AMQPValue, FieldTable, ShortString},
    uri::AMQPUri,
};
use std::{
    fmt::{Debug, Display},
    panic::Location,
    process::Stdio,
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a scenario may take.
pub const TIMEOUT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(8);

pub const DURABLE: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: true, exclusive: false, auto_delete: false, nowait: false };
pub const PASSIVE: QueueDeclareOptions = QueueDeclareOptions { passive: true, ..DURABLE };
pub const EXCLUSIVE: QueueDeclareOptions = QueueDeclareOptions { exclusive: true, durable: false, ..DURABLE };
pub const DURABLE_EXCHANGE: ExchangeDeclareOptions =
    ExchangeDeclareOptions { passive: false, durable: true, auto_delete: false, internal: false, nowait: false };
pub const PASSIVE_EXCHANGE: ExchangeDeclareOptions = ExchangeDeclareOptions { passive: true, ..DURABLE_EXCHANGE };
pub const MANUAL: BasicConsumeOptions =
    BasicConsumeOptions { no_local: false, no_ack: false, exclusive: false, nowait: false };
pub const NO_ACK: BasicConsumeOptions = BasicConsumeOptions { no_ack: true, ..MANUAL };

/// Why a scenario did not end well.
#[derive(Debug)]
pub enum Trouble {
    /// The library or the setting cannot run it.
    Skip(String),
    Fail(String),
}

pub type Outcome = Result<(), Trouble>;

impl<E: std::error::Error> From<E> for Trouble {
    #[track_caller]
    fn from(error: E) -> Self {
        fail(error)
    }
}

#[track_caller]
pub fn fail(reason: impl Display) -> Trouble {
    let at = Location::caller();
    Trouble::Fail(format!("{} line {}: {reason}", at.file(), at.line()))
}

#[track_caller]
pub fn equal<T: PartialEq<U> + Debug, U: Debug>(got: T, wanted: U) -> Outcome {
    if got == wanted { Ok(()) } else { Err(fail(format!("got {got:?}, wanted {wanted:?}"))) }
}

/// Everything a scenario made is closed and deleted by `clean`.
pub struct Run {
    prefix: String,
    connections: Vec<Connection>,
    /// Keeps lapin from closing channels when a scenario drops them: it does so in the background, takes the failure of that
    /// in a connection that is being closed for an error of the connection, and `Connection::close` may then wait for ever.
    channels: Vec<Channel>,
    queues: Vec<ShortString>,
    exchanges: Vec<ShortString>,
}

impl Run {
    pub fn new(prefix: String) -> Self {
        let (connections, channels) = (Vec::new(), Vec::new());
        Self { prefix, connections, channels, queues: Vec::new(), exchanges: Vec::new() }
    }

    /// A connection that `clean` does not close; `Run::channel` serves most scenarios.
    pub async fn connect(&self) -> Result<Connection, Trouble> {
        Ok(Connection::connect_uri(uri()?, ConnectionProperties::default()).await?)
    }

    /// A channel on a connection of its own.
    pub async fn channel(&mut self) -> Result<Channel, Trouble> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        self.connections.push(connection);
        self.channels.push(channel.clone());
        Ok(channel)
    }

    pub fn queue(&mut self, name: &str) -> ShortString {
        self.queues.push(format!("{}.{name}", self.prefix).into());
        format!("{}.{name}", self.prefix).into()
    }

    pub fn exchange(&mut self, name: &str) -> ShortString {
        self.exchanges.push(format!("{}.{name}", self.prefix).into());
        format!("{}.{name}", self.prefix).into()
    }

    pub async fn declared(&mut self, channel: &Channel, name: &str) -> Result<ShortString, Trouble> {
        self.declared_as(channel, name, DURABLE, table([])).await
    }

    pub async fn declared_as(
        &mut self,
        channel: &Channel,
        name: &str,
        options: QueueDeclareOptions,
        arguments: FieldTable,
    ) -> Result<ShortString, Trouble> {
        let queue = self.queue(name);
        channel.queue_declare(queue.clone(), options, arguments).await?;
        Ok(queue)
    }

    pub async fn declared_exchange(
        &mut self,
        channel: &Channel,
        name: &str,
        kind: ExchangeKind,
    ) -> Result<ShortString, Trouble> {
        let exchange = self.exchange(name);
        channel.exchange_declare(exchange.clone(), kind, DURABLE_EXCHANGE, table([])).await?;
        Ok(exchange)
    }

    pub async fn clean(&mut self) -> Outcome {
        for connection in self.connections.drain(..) {
            let _ = connection.close(200, "done".into()).await; // the broker may have closed it
        }
        self.channels.clear();
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        for queue in self.queues.drain(..) {
            channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
        }
        for exchange in self.exchanges.drain(..) {
            channel.exchange_delete(exchange, ExchangeDeleteOptions::default()).await?;
        }
        Ok(connection.close(200, "done".into()).await?)
    }
}

pub fn uri() -> Result<AMQPUri, Trouble> {
    let url = std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2F".into());
    url.parse().map_err(fail)
}

pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}

pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub async fn consume(
    channel: &Channel,
    queue: &ShortString,
    options: BasicConsumeOptions,
) -> Result<Consumer, Trouble> {
    Ok(channel.basic_consume(queue.clone(), "".into(), options, table([])).await?)
}

/// The next `count` deliveries.
#[track_caller]
pub fn take(consumer: &mut Consumer, count: usize) -> impl Future<Output = Result<Vec<Delivery>, Trouble>> {
    let at = Location::caller();
    async move {
        let mut got = Vec::new();
        while got.len() < count {
            match timeout(PATIENCE, consumer.next()).await {
                Ok(Some(delivery)) => got.push(delivery?),
                _ => {
                    return Err(Trouble::Fail(format!("line {}: {} of {count} deliveries came", at.line(), got.len())));
                }
            }
        }
        Ok(got)
    }
}

/// What comes within `wait`.
pub async fn arrived(consumer: &mut Consumer, wait: Duration) -> Result<Vec<Delivery>, Trouble> {
    let end = Instant::now() + wait;
    let mut got = Vec::new();
    while let Ok(Some(delivery)) = timeout_at(end, consumer.next()).await {
        got.push(delivery?);
    }
    Ok(got)
}

pub fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.data).into_owned()).collect()
}

pub fn numbered(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|i| format!("m{i}")).collect()
}

pub fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Publishes without waiting for a confirm.
pub async fn publish(
    channel: &Channel,
    exchange: &ShortString,
    key: &ShortString,
    body: &str,
    properties: BasicProperties,
) -> Outcome {
    let options = BasicPublishOptions::default();
    channel.basic_publish(exchange.clone(), key.clone(), options, body.as_bytes(), properties).await?;
    Ok(())
}

pub async fn publish_confirmed(channel: &Channel, exchange: &ShortString, key: &ShortString, body: &str) -> Outcome {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish(exchange.clone(), key.clone(), options, body.as_bytes(), persistent()).await?;
    equal(sent.await?.is_ack(), true)
}

pub async fn send(channel: &Channel, queue: &ShortString, texts: &[String]) -> Outcome {
    for text in texts {
        publish(channel, &"".into(), queue, text, BasicProperties::default()).await?;
    }
    await_count(channel, queue, texts.len() as u32).await
}

pub async fn count(channel: &Channel, queue: &ShortString) -> Result<u32, Trouble> {
    Ok(channel.queue_declare(queue.clone(), PASSIVE, table([])).await?.message_count())
}

pub async fn await_count(channel: &Channel, queue: &ShortString, wanted: u32) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while count(channel, queue).await? != wanted {
        if Instant::now() > deadline {
            return Err(fail(format!("never {wanted} messages")));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

pub async fn drain(channel: &Channel, queue: &ShortString) -> Result<Vec<String>, Trouble> {
    let mut texts = Vec::new();
    while let Some(got) = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await? {
        texts.push(String::from_utf8_lossy(&got.delivery.data).into_owned());
    }
    Ok(texts)
}

/// The reply code of an error from the broker, 0 for any other error.
pub fn code<T>(result: &lapin::Result<T>) -> u16 {
    match result.as_ref().err().map(|error| error.kind()) {
        Some(ErrorKind::ProtocolError(error)) => error.get_id(),
        _ => 0,
    }
}

/// `action` fails with `wanted`, which closes its channel and only that.
pub async fn channel_error<T>(
    connection: &Connection,
    wanted: u16,
    action: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
) -> Outcome {
    let channel = connection.create_channel().await?;
    equal(code(&action(&channel).await), wanted)?;
    equal((channel.status().connected(), connection.status().connected()), (false, true))?;
    Ok(connection.create_channel().await?.close(200, "done".into()).await?)
}

pub fn needs_restart() -> Result<String, Trouble> {
    std::env::var("RESTART_BROKER").map_err(|_| Trouble::Skip("RESTART_BROKER is not set".into()))
}

pub async fn restart_broker(command: &str) -> Outcome {
    let status = tokio::process::Command::new("sh").args(["-c", command]).stdout(Stdio::null()).status().await?;
    equal(status.success(), true)
}
