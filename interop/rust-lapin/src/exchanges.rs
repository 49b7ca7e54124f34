//! delayed, deduplication, consistent-hash.

use crate::queues::int;
use crate::run::*;
use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::*,
    types::{AMQPValue, FieldTable, ShortString},
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

async fn declared(run: &mut Run, channel: &Channel, kind: &str, arguments: FieldTable) -> Result<ShortString, Trouble> {
    let (exchange, kind) = (run.exchange("x"), ExchangeKind::Custom(kind.into()));
    channel.exchange_declare(exchange.clone(), kind, DURABLE_EXCHANGE, arguments).await?;
    Ok(exchange)
}

async fn bind(channel: &Channel, queue: &ShortString, exchange: &ShortString, key: &str) -> lapin::Result<()> {
    channel.queue_bind(queue.clone(), exchange.clone(), key.into(), QueueBindOptions::default(), table([])).await
}

pub async fn delayed(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let arguments = table([("x-delayed-type", text("direct"))]);
    let exchange = declared(run, &channel, "x-delayed-message", arguments).await?;
    bind(&channel, &queue, &exchange, "k").await?;
    let (mut inbox, sent) = (consume(&channel, &queue, NO_ACK).await?, Instant::now());
    let delayed = |ms: i32| persistent().with_headers(table([("x-delay", int(ms))]));
    for (body, properties) in [("last", delayed(600)), ("second", delayed(200)), ("first", persistent())] {
        publish(&channel, &exchange, &"k".into(), body, properties).await?;
    }
    equal(bodies(&take(&mut inbox, 3).await?), ["first", "second", "last"])?;
    equal(sent.elapsed() >= Duration::from_millis(600), true)
}

pub async fn deduplication(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let exchange = declared(run, &channel, "x-message-deduplication", table([("x-cache-size", int(100))])).await?;
    let behind = run.declared(&channel, "behind").await?;
    bind(&channel, &behind, &exchange, "").await?;
    let arguments = table([("x-message-deduplication", AMQPValue::Boolean(true))]);
    let once = run.declared_as(&channel, "once", DURABLE, arguments).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let publish = async |target: &ShortString, queue: &ShortString, identity: &str, body: &str| {
        let properties = match identity {
            "" => persistent(),
            identity => persistent().with_headers(table([("x-deduplication-header", text(identity))])),
        };
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(target.clone(), queue.clone(), options, body.as_bytes(), properties).await?;
        equal(sent.await?.is_ack(), true)
    };
    for (target, queue) in [(&exchange, &behind), (&"".into(), &once)] {
        for (identity, body) in [("a", "m0"), ("b", "m1"), ("a", "again"), ("", "m2"), ("", "m3")] {
            publish(target, queue, identity, body).await?;
        }
        equal(drain(&channel, queue).await?, numbered(0, 3))?;
        publish(target, queue, "a", "again").await?;
        equal(drain(&channel, queue).await?, Vec::<String>::new())?;
    }
    Ok(())
}

pub async fn consistent_hash(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let exchange = declared(run, &channel, "x-consistent-hash", table([])).await?;
    let (light, heavy) = (run.declared(&channel, "light").await?, run.declared(&channel, "heavy").await?);
    bind(&channel, &light, &exchange, "1").await?;
    bind(&channel, &heavy, &exchange, "3").await?;
    let mut keys = [numbered(0, 199), numbered(0, 199)].concat();
    for key in &keys {
        publish(&channel, &exchange, &key.as_str().into(), key, BasicProperties::default()).await?;
    }
    while count(&channel, &light).await? + count(&channel, &heavy).await? < 400 {
        sleep(Duration::from_millis(10)).await;
    }
    let came = [drain(&channel, &light).await?, drain(&channel, &heavy).await?];
    for got in &came {
        let (first, second) = got.split_at(got.len() / 2);
        equal(first, second)?;
    }
    equal(!came[0].is_empty() && came[0].len() < came[1].len(), true)?;
    let mut all = came.concat();
    all.sort();
    keys.sort();
    equal(all, keys)?;
    channel_error(&run.connect().await?, 406, async |ch| bind(ch, &light, &exchange, "heavy").await).await
}
