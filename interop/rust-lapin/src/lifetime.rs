//! heartbeat, lifetimes, channels, blocked, restart, recovery.

use crate::run::*;
use futures_lite::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Event, ExchangeKind, options::*, types::ShortString,
};
use std::{sync::mpsc, time::Duration};
use tokio::time::{Instant, sleep};

pub async fn heartbeat(run: &mut Run) -> Outcome {
    let mut uri = uri()?;
    uri.query.heartbeat = Some(2);
    let idle = Connection::connect_uri(uri.clone(), ConnectionProperties::default()).await?;
    let consuming = Connection::connect_uri(uri, ConnectionProperties::default()).await?;
    equal(idle.configuration().heartbeat(), 2)?;
    let queue = run.declared(&idle.create_channel().await?, "q").await?;
    let channel = consuming.create_channel().await?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    sleep(Duration::from_secs(7)).await;
    publish(&idle.create_channel().await?, &"".into(), &queue, "still here", BasicProperties::default()).await?;
    equal(bodies(&take(&mut consumer, 1).await?), ["still here"])
}

/// Waits until the queue does not exist any more.
async fn gone(connection: &Connection, queue: &ShortString) -> Outcome {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        let channel = connection.create_channel().await?;
        if code(&channel.queue_declare(queue.clone(), PASSIVE, table([])).await) == 404 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(fail(format!("{queue} stays")));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

pub async fn lifetimes(run: &mut Run) -> Outcome {
    let (connection, owner) = (run.connect().await?, run.connect().await?);
    let (channel, owning) = (connection.create_channel().await?, owner.create_channel().await?);
    let exclusive = run.declared_as(&owning, "exclusive", EXCLUSIVE, table([])).await?;
    channel_error(&connection, 405, async |ch| ch.queue_declare(exclusive.clone(), EXCLUSIVE, table([])).await).await?;
    let auto_delete = QueueDeclareOptions { auto_delete: true, ..DURABLE };
    let auto = run.declared_as(&channel, "auto", auto_delete, table([])).await?;
    let first = consume(&owning, &auto, MANUAL).await?;
    let second = consume(&channel, &auto, MANUAL).await?;
    channel.basic_cancel(second.tag(), BasicCancelOptions::default()).await?;
    equal(count(&channel, &auto).await?, 0)?; // still there
    owner.close(200, "done".into()).await?;
    drop(first);
    gone(&connection, &exclusive).await?;
    gone(&connection, &auto).await?;

    let (queue, exchange) = (run.declared(&channel, "q").await?, run.exchange("auto"));
    let auto_delete = ExchangeDeclareOptions { auto_delete: true, ..DURABLE_EXCHANGE };
    channel.exchange_declare(exchange.clone(), ExchangeKind::Fanout, auto_delete, table([])).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.clone(), exchange.clone(), "".into(), options, table([])).await?;
    let check = async |ch: &Channel| {
        ch.exchange_declare(exchange.clone(), ExchangeKind::Fanout, PASSIVE_EXCHANGE, table([])).await
    };
    check(&channel).await?;
    channel.queue_unbind(queue, exchange.clone(), "".into(), table([])).await?;
    channel_error(&connection, 404, check).await
}

pub async fn channels(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    for _ in 0..2 {
        let mut opened = Vec::new();
        for i in 0..100 {
            let channel = connection.create_channel().await?;
            let queue = run.declared_as(&channel, &format!("q{i}"), EXCLUSIVE, table([])).await?;
            publish(&channel, &"".into(), &queue, queue.as_str(), BasicProperties::default()).await?;
            opened.push((channel, queue));
        }
        for (channel, queue) in opened {
            await_count(&channel, &queue, 1).await?;
            equal(drain(&channel, &queue).await?, [queue.as_str()])?;
            channel.close(200, "done".into()).await?;
        }
    }
    Ok(connection.close(200, "done".into()).await?)
}

pub async fn blocked(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    let mut events = connection.events_listener();
    let (sender, notices) = mpsc::channel();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if matches!(event, Event::ConnectionBlocked(_)) && sender.send(()).is_err() {
                break;
            }
        }
    });
    let channel = connection.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    send(&channel, &queue, &["x".into()]).await?;
    sleep(Duration::from_millis(200)).await;
    equal((notices.try_recv().is_ok(), connection.status().blocked()), (false, false))
}

pub async fn restart(run: &mut Run) -> Outcome {
    let command = needs_restart()?;
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let exchange = run.declared_exchange(&channel, "x", ExchangeKind::Direct).await?;
    let in_memory = QueueDeclareOptions { durable: false, ..DURABLE };
    let transient = run.declared_as(&channel, "transient", in_memory, table([])).await?;
    let options = QueueBindOptions::default();
    channel.queue_bind(queue.clone(), exchange.clone(), "k".into(), options, table([])).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for text in numbered(0, 99) {
        publish(&channel, &exchange, &"k".into(), &text, persistent()).await?;
    }
    equal(channel.wait_for_confirms().await?.len(), 0)?;
    restart_broker(&command).await?;
    let connection = run.connect().await?;
    let channel = connection.create_channel().await?;
    equal(count(&channel, &queue).await?, 100)?;
    channel_error(&connection, 404, async |ch| ch.queue_declare(transient.clone(), PASSIVE, table([])).await).await?;
    publish_confirmed(&channel, &exchange, &"k".into(), "m100").await?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    equal(bodies(&take(&mut consumer, 101).await?), numbered(0, 100))
}

pub async fn recovery(run: &mut Run) -> Outcome {
    let command = needs_restart()?;
    let properties = ConnectionProperties::default().enable_auto_recover().configure_backoff(|backoff| {
        let (min, max) = (Duration::from_millis(200), Duration::from_millis(500));
        backoff.with_min_delay(min).with_max_delay(max).with_max_times(40)
    });
    let recovering = Connection::connect_uri(uri()?, properties).await?;
    let channel = recovering.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    let body = async |run: &mut Run, body: &str| -> Outcome {
        let publisher = run.channel().await?;
        publish_confirmed(&publisher, &"".into(), &queue, body).await
    };
    body(run, "before").await?;
    equal(bodies(&take(&mut consumer, 1).await?), ["before"])?;
    restart_broker(&command).await?;
    body(run, "after").await?;
    loop {
        match consumer.next().await {
            Some(Ok(delivery)) => return equal(delivery.data, b"after"),
            Some(Err(error)) => channel.wait_for_recovery(error).await?,
            None => return Err(fail("the consumer ended")),
        }
    }
}
