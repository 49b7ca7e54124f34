//! rpc, dead-letter, ttl, limits, priorities, sac, quorum, consumer-timeout, permissions.

use crate::run::*;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::*,
    types::{AMQPValue, FieldTable, ShortString},
};
use std::time::Duration;
use tokio::time::sleep;

pub fn int(value: i32) -> AMQPValue {
    AMQPValue::LongInt(value)
}

/// Publishes to a queue.
async fn put(channel: &Channel, queue: &ShortString, body: &str, properties: BasicProperties) -> Outcome {
    publish(channel, &"".into(), queue, body, properties).await
}

/// Publishes plain messages to a queue.
async fn put_all(channel: &Channel, queue: &ShortString, texts: &[String]) -> Outcome {
    for body in texts {
        put(channel, queue, body, BasicProperties::default()).await?;
    }
    Ok(())
}

/// A fanout exchange for dead letters, as an argument, and a consumer of all of them.
async fn dead_letters(run: &mut Run, channel: &Channel) -> Result<(FieldTable, Consumer), Trouble> {
    let exchange = run.declared_exchange(channel, "dlx", ExchangeKind::Fanout).await?;
    let dead = run.declared(channel, "dead").await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(dead.clone(), exchange.clone(), "".into(), options, table([])).await?;
    Ok((table([("x-dead-letter-exchange", text(exchange.as_str()))]), consume(channel, &dead, NO_ACK).await?))
}

fn with<const N: usize>(arguments: &FieldTable, more: [(&str, AMQPValue); N]) -> FieldTable {
    let mut arguments = arguments.clone();
    for (key, value) in more {
        arguments.insert(key.into(), value);
    }
    arguments
}

/// The latest death that a dead letter tells of.
#[track_caller]
fn death(letter: &Delivery) -> Result<FieldTable, Trouble> {
    let headers = letter.properties.headers().clone().unwrap_or_default();
    match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(death)) => Ok(death.clone()),
            _ => Err(fail("an empty x-death")),
        },
        _ => Err(fail("no x-death")),
    }
}

/// Reasons and bodies of the next dead letters.
async fn letters(inbox: &mut Consumer, wanted: &[(&str, &str)]) -> Outcome {
    for (letter, (reason, body)) in take(inbox, wanted.len()).await?.iter().zip(wanted) {
        equal(death(letter)?.inner().get("reason"), Some(&text(reason)))?;
        equal(&letter.data[..], body.as_bytes())?;
    }
    Ok(())
}

async fn passive(channel: &Channel, queue: &ShortString) -> lapin::Result<lapin::Queue> {
    channel.queue_declare(queue.clone(), PASSIVE, table([])).await
}

/// A publish that closes its channel. It waits for the confirm: another call might come after the close and not see its code.
async fn publish_error(
    connection: &Connection,
    wanted: u16,
    exchange: &ShortString,
    key: &ShortString,
    properties: BasicProperties,
) -> Outcome {
    channel_error(connection, wanted, async |ch| {
        ch.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions::default();
        ch.basic_publish(exchange.clone(), key.clone(), options, b"x", properties).await?.await
    })
    .await
}

pub async fn rpc(run: &mut Run) -> Outcome {
    let (client, connection) = (run.channel().await?, run.connect().await?);
    let server = connection.create_channel().await?;
    let queue = run.declared(&server, "q").await?;
    let reply_to = ShortString::from("amq.rabbitmq.reply-to");
    let mut replies = consume(&client, &reply_to, NO_ACK).await?;
    let mut requests = consume(&server, &queue, NO_ACK).await?;
    let question = BasicProperties::default().with_reply_to(reply_to).with_correlation_id("7".into());
    put(&client, &queue, "ask", question.clone()).await?;
    let asked = take(&mut requests, 1).await?.remove(0);
    let address = asked.properties.reply_to().clone().unwrap_or_default();
    equal(address.as_str().starts_with("amq.rabbitmq.reply-to."), true)?;
    let probed = passive(&server, &address).await?;
    equal((probed.message_count(), probed.consumer_count()), (0, 1))?;
    let id = asked.properties.correlation_id().clone().unwrap_or_default();
    put(&server, &address, "asked", BasicProperties::default().with_correlation_id(id)).await?;
    let answer = take(&mut replies, 1).await?.remove(0);
    equal(answer.properties.correlation_id(), &Some("7".into()))?;
    equal(answer.data, b"asked")?;
    client.close(200, "done".into()).await?;
    channel_error(&connection, 404, async |ch| passive(ch, &address).await).await?;
    publish_error(&connection, 406, &"".into(), &queue, question).await
}

pub async fn dead_letter(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let (dlx, mut inbox) = dead_letters(run, &channel).await?;
    let expiring = run.declared_as(&channel, "expiring", DURABLE, with(&dlx, [("x-message-ttl", int(100))])).await?;
    let rejecting = run.declared_as(&channel, "rejecting", DURABLE, dlx.clone()).await?;
    let mut source = consume(&channel, &rejecting, MANUAL).await?;
    for (queue, reason) in [(&expiring, "expired"), (&rejecting, "rejected")] {
        put(&channel, queue, "dead", persistent()).await?;
        if reason == "rejected" {
            take(&mut source, 1).await?[0].reject(BasicRejectOptions { requeue: false }).await?;
        }
        let got = take(&mut inbox, 1).await?.remove(0);
        equal((&got.data[..], &got.routing_key), (&b"dead"[..], queue))?;
        equal(Some(&text(got.exchange.as_str())), dlx.inner().get("x-dead-letter-exchange"))?;
        let headers = got.properties.headers().clone().unwrap_or_default();
        equal(headers.inner().get("x-first-death-queue"), Some(&text(queue.as_str())))?;
        equal(headers.inner().get("x-first-death-reason"), Some(&text(reason)))?;
        let mut death = death(&got)?.inner().clone();
        let time = death.remove("time");
        equal(matches!(time, Some(AMQPValue::Timestamp(_))), true)?;
        let wanted = table([
            ("queue", text(queue.as_str())),
            ("reason", text(reason)),
            ("count", AMQPValue::LongLongInt(1)),
            ("exchange", text("")),
            ("routing-keys", AMQPValue::FieldArray(vec![text(queue.as_str())].into())),
        ]);
        equal(&death, wanted.inner())?;
    }
    Ok(())
}

pub async fn ttl(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let expiring = run.declared_as(&channel, "expiring", DURABLE, table([("x-message-ttl", int(300))])).await?;
    let plain = run.declared(&channel, "q").await?;
    let lasting = |ms: &str| BasicProperties::default().with_expiration(ms.into());
    put(&channel, &expiring, "of the queue", BasicProperties::default()).await?;
    put(&channel, &expiring, "its own", lasting("60000")).await?;
    put(&channel, &plain, "short", lasting("100")).await?;
    put(&channel, &plain, "none", BasicProperties::default()).await?;
    put(&channel, &plain, "now", lasting("0")).await?;
    await_count(&channel, &expiring, 0).await?;
    while count(&channel, &plain).await? > 2 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(100)).await;
    equal(drain(&channel, &plain).await?, ["none"])?;
    let mut inbox = consume(&channel, &plain, NO_ACK).await?;
    put(&channel, &plain, "now", lasting("0")).await?;
    equal(bodies(&take(&mut inbox, 1).await?), ["now"])?;
    let unused = run.declared_as(&channel, "unused", DURABLE, table([("x-expires", int(300))])).await?;
    sleep(Duration::from_secs(1)).await;
    channel_error(&run.connect().await?, 404, async |ch| passive(ch, &unused).await).await
}

pub async fn priorities(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared_as(&channel, "q", DURABLE, table([("x-max-priority", int(5))])).await?;
    put(&channel, &queue, "m0", BasicProperties::default()).await?;
    for (body, priority) in [("m1", 1), ("m2", 5), ("m3", 3), ("m4", 5), ("m5", 200)] {
        put(&channel, &queue, body, BasicProperties::default().with_priority(priority)).await?;
    }
    await_count(&channel, &queue, 6).await?;
    equal(drain(&channel, &queue).await?, ["m2", "m4", "m5", "m3", "m1", "m0"])?;
    let plain = run.declared(&channel, "consumers").await?;
    channel.basic_qos(2, BasicQosOptions::default()).await?;
    let mut low = consume(&channel, &plain, MANUAL).await?;
    let first = table([("x-priority", int(10))]);
    let mut high = channel.basic_consume(plain.clone(), "".into(), MANUAL, first).await?;
    put_all(&channel, &plain, &numbered(0, 4)).await?;
    let (of_high, of_low) = (take(&mut high, 2).await?, take(&mut low, 2).await?);
    equal((bodies(&of_high), bodies(&of_low)), (numbered(0, 1), numbered(2, 3)))?;
    equal(count(&channel, &plain).await?, 1)
}

pub async fn sac(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let single = table([("x-single-active-consumer", AMQPValue::Boolean(true))]);
    let queue = run.declared_as(&channel, "q", DURABLE, single).await?;
    let mut first = consume(&channel, &queue, NO_ACK).await?;
    let mut second = consume(&channel, &queue, NO_ACK).await?;
    put_all(&channel, &queue, &numbered(0, 3)).await?;
    equal(bodies(&take(&mut first, 4).await?), numbered(0, 3))?;
    equal(arrived(&mut second, Duration::ZERO).await?.len(), 0)?;
    channel.basic_cancel(first.tag(), BasicCancelOptions::default()).await?;
    put_all(&channel, &queue, &numbered(4, 4)).await?;
    equal(bodies(&take(&mut second, 1).await?), ["m4"])?;
    channel_error(&run.connect().await?, 403, async |ch| {
        let exclusive = BasicConsumeOptions { exclusive: true, ..MANUAL };
        ch.basic_consume(queue.clone(), "".into(), exclusive, table([])).await
    })
    .await
}

pub async fn quorum(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let (dlx, mut dead) = dead_letters(run, &channel).await?;
    let quorum = || table([("x-queue-type", text("quorum"))]);
    let arguments = with(&dlx, [("x-queue-type", text("quorum")), ("x-delivery-limit", int(2))]);
    let queue = run.declared_as(&channel, "q", DURABLE, arguments).await?;
    publish_confirmed(&channel, &"".into(), &queue, "poison").await?;
    let mut inbox = consume(&channel, &queue, MANUAL).await?;
    for returns in [None, Some(1), Some(2)] {
        let got = take(&mut inbox, 1).await?.remove(0);
        let headers = got.properties.headers().clone().unwrap_or_default();
        let counted = returns.map(AMQPValue::LongLongInt);
        equal(headers.inner().get("x-delivery-count"), counted.as_ref())?;
        equal((&got.data[..], got.redelivered), (&b"poison"[..], returns.is_some()))?;
        got.reject(BasicRejectOptions { requeue: true }).await?;
    }
    letters(&mut dead, &[("delivery_limit", "poison")]).await?;
    await_count(&channel, &queue, 0).await?;
    let connection = run.connect().await?;
    let other = ShortString::from(format!("{queue}.other"));
    for (queue, options, arguments) in [
        (&queue, DURABLE, table([])),
        (&other, QueueDeclareOptions { durable: false, ..DURABLE }, quorum()),
        (&other, QueueDeclareOptions { exclusive: true, ..DURABLE }, quorum()),
        (&other, QueueDeclareOptions { auto_delete: true, ..DURABLE }, quorum()),
    ] {
        channel_error(&connection, 406, async |ch| ch.queue_declare(queue.clone(), options, arguments).await).await?;
    }
    Ok(())
}

pub async fn limits(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let (dlx, mut dead) = dead_letters(run, &channel).await?;
    let dropping = run.declared_as(&channel, "dropping", DURABLE, with(&dlx, [("x-max-length", int(2))])).await?;
    put_all(&channel, &dropping, &numbered(0, 3)).await?;
    letters(&mut dead, &[("maxlen", "m0"), ("maxlen", "m1")]).await?;
    equal(drain(&channel, &dropping).await?, ["m2", "m3"])?;
    let small = run.declared_as(&channel, "small", DURABLE, table([("x-max-length-bytes", int(10))])).await?;
    put_all(&channel, &small, &["1234", "5678", "9abc"].map(String::from)).await?;
    await_count(&channel, &small, 2).await?;
    equal(drain(&channel, &small).await?, ["5678", "9abc"])?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for overflow in ["reject-publish", "reject-publish-dlx"] {
        let arguments = with(&dlx, [("x-max-length", int(1)), ("x-overflow", text(overflow))]);
        let full = run.declared_as(&channel, overflow, DURABLE, arguments).await?;
        for (body, accepted) in [(b"m0", true), (b"m1", false)] {
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish("".into(), full.clone(), options, body, persistent()).await?;
            equal(sent.await?.is_ack(), accepted)?;
        }
        equal(drain(&channel, &full).await?, ["m0"])?;
    }
    letters(&mut dead, &[("maxlen", "m1")]).await
}

pub async fn consumer_timeout(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    let (channel, holder) = (connection.create_channel().await?, connection.create_channel().await?);
    let queue = run.declared_as(&channel, "q", DURABLE, table([("x-consumer-timeout", int(300))])).await?;
    let mut inbox = consume(&holder, &queue, MANUAL).await?;
    put_all(&channel, &queue, &numbered(0, 0)).await?;
    take(&mut inbox, 1).await?;
    match take(&mut inbox, 1).await {
        Err(Trouble::Fail(reason)) => equal(reason.contains("delivery acknowledgement"), true)?,
        _ => return Err(fail("the channel stayed open")),
    }
    equal((holder.status().connected(), connection.status().connected()), (false, true))?;
    let got = take(&mut consume(&channel, &queue, NO_ACK).await?, 1).await?.remove(0);
    equal((&got.data[..], got.redelivered), (&b"m0"[..], true))
}

pub async fn permissions(run: &mut Run) -> Outcome {
    let restricted = std::env::var("RESTRICTED_URL");
    let restricted = restricted.map_err(|_| Trouble::Skip("RESTRICTED_URL is not set".into()))?;
    let channel = run.channel().await?;
    let other = run.declared(&channel, "other").await?;
    let exchange = run.declared_exchange(&channel, "x", ExchangeKind::Fanout).await?;
    let limited = Connection::connect(&restricted, ConnectionProperties::default()).await?;
    let own_channel = limited.create_channel().await?;
    let own = run.declared(&own_channel, "own").await?;
    put_all(&own_channel, &own, &numbered(0, 0)).await?;
    equal(bodies(&take(&mut consume(&own_channel, &own, NO_ACK).await?, 1).await?), ["m0"])?;
    let new = |name: &ShortString| ShortString::from(format!("{name}.new"));
    let bind = async |ch: &Channel, queue: &ShortString| {
        let options = QueueBindOptions::default();
        ch.queue_bind(queue.clone(), exchange.clone(), "".into(), options, table([])).await
    };
    channel_error(&limited, 403, async |ch| ch.queue_declare(new(&other), DURABLE, table([])).await).await?;
    channel_error(&limited, 403, async |ch| ch.queue_delete(other.clone(), QueueDeleteOptions::default()).await)
        .await?;
    channel_error(&limited, 403, async |ch| {
        ch.exchange_declare(new(&exchange), ExchangeKind::Fanout, DURABLE_EXCHANGE, table([])).await
    })
    .await?;
    publish_error(&limited, 403, &exchange, &"".into(), BasicProperties::default()).await?;
    channel_error(&limited, 403, async |ch| bind(ch, &own).await).await?;
    channel_error(&limited, 403, async |ch| bind(ch, &other).await).await?;
    channel_error(&limited, 403, async |ch| ch.basic_get(other.clone(), BasicGetOptions::default()).await).await?;
    channel_error(&limited, 403, async |ch| ch.basic_consume(other.clone(), "".into(), MANUAL, table([])).await)
        .await?;
    channel_error(&limited, 403, async |ch| ch.queue_purge(other.clone(), QueuePurgeOptions::default()).await).await?;
    let mut closed: lapin::uri::AMQPUri = restricted.parse().map_err(fail)?;
    closed.vhost = "interop-closed".into();
    equal(code(&Connection::connect_uri(closed, ConnectionProperties::default()).await), 530)
}
