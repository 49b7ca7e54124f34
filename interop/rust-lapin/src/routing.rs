//! hello, topology, declare.

use crate::run::*;
use lapin::{
    BasicProperties, Channel, ExchangeKind,
    options::*,
    types::{AMQPValue, FieldTable, ShortString},
};

pub async fn hello(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    publish(&channel, &"".into(), &queue, "hello", BasicProperties::default()).await?;
    let mut consumer = consume(&channel, &queue, MANUAL).await?;
    let got = take(&mut consumer, 1).await?.remove(0);
    equal(
        (got.data.as_slice(), got.exchange.as_str(), &got.routing_key, got.redelivered),
        (&b"hello"[..], "", &queue, false),
    )?;
    got.ack(BasicAckOptions::default()).await?;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    equal(count(&channel, &queue).await?, 0)
}

/// Publishes and requires that exactly the queues numbered `wanted` get the message.
async fn routed(
    channel: &Channel,
    queues: &[ShortString],
    exchange: &ShortString,
    key: &str,
    headers: Option<FieldTable>,
    wanted: &[usize],
) -> Outcome {
    let properties =
        headers.map_or_else(BasicProperties::default, |table| BasicProperties::default().with_headers(table));
    publish(channel, exchange, &key.into(), key, properties).await?;
    let mut reached = Vec::new();
    for (i, queue) in queues.iter().enumerate() {
        if drain(channel, queue).await? == [key] {
            reached.push(i);
        }
    }
    equal(reached, wanted)
}

pub async fn topology(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let ch = &channel;
    let direct = run.declared_exchange(ch, "direct", ExchangeKind::Direct).await?;
    let fanout = run.declared_exchange(ch, "fanout", ExchangeKind::Fanout).await?;
    let topic = run.declared_exchange(ch, "topic", ExchangeKind::Topic).await?;
    let headers = run.declared_exchange(ch, "headers", ExchangeKind::Headers).await?;
    for name in [&direct, &fanout, &topic, &headers] {
        ch.exchange_declare(name.clone(), ExchangeKind::Direct, PASSIVE_EXCHANGE, table([])).await?;
    }
    let q = [run.declared(ch, "q0").await?, run.declared(ch, "q1").await?, run.declared(ch, "q2").await?];
    let bind = async |i: usize, exchange: &ShortString, key: &str, arguments: FieldTable| {
        ch.queue_bind(q[i].clone(), exchange.clone(), key.into(), QueueBindOptions::default(), arguments).await
    };

    bind(0, &direct, "red", table([])).await?;
    bind(0, &direct, "red", table([])).await?;
    routed(ch, &q, &direct, "red", None, &[0]).await?;
    routed(ch, &q, &direct, "blue", None, &[]).await?;
    ch.queue_unbind(q[0].clone(), direct.clone(), "red".into(), table([])).await?;
    ch.queue_unbind(q[0].clone(), direct.clone(), "red".into(), table([])).await?;
    routed(ch, &q, &direct, "red", None, &[]).await?;

    bind(0, &fanout, "any", table([])).await?;
    bind(1, &fanout, "", table([])).await?;
    routed(ch, &q, &fanout, "other", None, &[0, 1]).await?;
    let e2e = || (fanout.clone(), direct.clone(), ShortString::from("e2e"));
    let (destination, source, key) = e2e();
    ch.exchange_bind(destination, source, key, ExchangeBindOptions::default(), table([])).await?;
    routed(ch, &q, &direct, "e2e", None, &[0, 1]).await?;
    let (destination, source, key) = e2e();
    ch.exchange_unbind(destination, source, key, ExchangeUnbindOptions::default(), table([])).await?;
    routed(ch, &q, &direct, "e2e", None, &[]).await?;

    bind(0, &topic, "a.*.c", table([])).await?;
    bind(1, &topic, "a.#", table([])).await?;
    bind(2, &topic, "*", table([])).await?;
    for (key, wanted) in TOPIC_ROUTES {
        routed(ch, &q, &topic, key, None, wanted).await?;
    }

    let report = |n: i32| table([("type", text("report")), ("n", AMQPValue::LongInt(n))]);
    let binding = |x_match: &str| {
        let mut table = report(1);
        table.insert("x-match".into(), text(x_match));
        table
    };
    bind(0, &headers, "", binding("all")).await?;
    bind(1, &headers, "", binding("any")).await?;
    routed(ch, &q, &headers, "h", Some(report(1)), &[0, 1]).await?;
    routed(ch, &q, &headers, "h", Some(table([("type", text("report"))])), &[1]).await?;
    routed(ch, &q, &headers, "h", Some(report(2)), &[1]).await?;
    routed(ch, &q, &headers, "h", Some(table([("type", text("other"))])), &[]).await?;
    routed(ch, &q, &headers, "h", None, &[]).await?;
    ch.queue_unbind(q[1].clone(), headers.clone(), "".into(), binding("any")).await?;
    routed(ch, &q, &headers, "h", Some(report(1)), &[0]).await?;

    for name in [&direct, &fanout, &topic, &headers, &direct] {
        ch.exchange_delete(name.clone(), ExchangeDeleteOptions::default()).await?;
    }
    channel_error(&run.connect().await?, 404, async |ch| {
        ch.exchange_declare(direct.clone(), ExchangeKind::Direct, PASSIVE_EXCHANGE, table([])).await
    })
    .await
}

const TOPIC_ROUTES: [(&str, &[usize]); 6] =
    [("a.b.c", &[0, 1]), ("a", &[1, 2]), ("a.b", &[1]), ("b", &[2]), ("a..c", &[0, 1]), ("b.a.c", &[])];

pub async fn declare(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    let channel = connection.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    run.declared(&channel, "q").await?;
    send(&channel, &queue, &numbered(0, 2)).await?;
    let holder = connection.create_channel().await?;
    let mut consumer = consume(&holder, &queue, MANUAL).await?;
    take(&mut consumer, 3).await?;
    let state = channel.queue_declare(queue.clone(), PASSIVE, table([])).await?;
    equal((state.name(), state.message_count(), state.consumer_count()), (&queue, 0, 1))?;
    let if_unused = QueueDeleteOptions { if_unused: true, ..Default::default() };
    let if_empty = QueueDeleteOptions { if_empty: true, ..Default::default() };
    channel_error(&connection, 406, async |ch| ch.queue_delete(queue.clone(), if_unused).await).await?;
    holder.close(200, "done".into()).await?;
    await_count(&channel, &queue, 3).await?;
    channel_error(&connection, 406, async |ch| ch.queue_delete(queue.clone(), if_empty).await).await?;
    equal(channel.queue_purge(queue.clone(), QueuePurgeOptions::default()).await?, 3)?;
    let both = QueueDeleteOptions { if_empty: true, ..if_unused };
    equal(channel.queue_delete(queue.clone(), both).await?, 0)?;
    equal(channel.queue_delete(queue.clone(), QueueDeleteOptions::default()).await?, 0)?;
    let named = channel.queue_declare("".into(), EXCLUSIVE, table([])).await?.name().clone();
    equal(named.as_str().starts_with("amq.gen-"), true)?;
    let exchange = run.declared_exchange(&channel, "x", ExchangeKind::Fanout).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(named.clone(), exchange.clone(), "".into(), options, table([])).await?;
    let unused = ExchangeDeleteOptions { if_unused: true, nowait: false };
    channel_error(&connection, 406, async |ch| ch.exchange_delete(exchange.clone(), unused).await).await?;
    channel.queue_unbind(named, exchange.clone(), "".into(), table([])).await?;
    Ok(channel.exchange_delete(exchange, unused).await?)
}
