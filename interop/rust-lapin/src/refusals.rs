//! channel-errors, connection-errors, login, exclusive-consumer.

use crate::run::*;
use futures_lite::StreamExt;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind, options::*, types::ShortString};

pub async fn channel_errors(run: &mut Run) -> Outcome {
    let (connection, other) = (run.connect().await?, run.channel().await?);
    let channel = connection.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let exchange = run.declared_exchange(&channel, "x", ExchangeKind::Direct).await?;
    let locked = run.declared_as(&other, "locked", EXCLUSIVE, table([])).await?;
    let missing = ShortString::from(format!("{queue}.missing"));
    let (queue, exchange, locked, missing) = (&queue, &exchange, &locked, &missing);
    let connection = &connection;

    let declare = async |code: u16, name: &str, options: QueueDeclareOptions| {
        channel_error(connection, code, async |ch| ch.queue_declare(name.into(), options, table([])).await).await
    };
    declare(404, missing.as_str(), PASSIVE).await?;
    declare(405, locked.as_str(), PASSIVE).await?;
    declare(406, queue.as_str(), QueueDeclareOptions { auto_delete: true, ..DURABLE }).await?;
    declare(403, &format!("amq.{queue}"), DURABLE).await?;
    channel_error(connection, 406, async |ch| {
        ch.queue_declare(queue.clone(), DURABLE, table([("x-max-length", 5.into())])).await
    })
    .await?;

    let declare_exchange = async |code: u16, name: &str, kind: ExchangeKind, options: ExchangeDeclareOptions| {
        channel_error(connection, code, async |ch| ch.exchange_declare(name.into(), kind, options, table([])).await)
            .await
    };
    declare_exchange(404, missing.as_str(), ExchangeKind::Direct, PASSIVE_EXCHANGE).await?;
    declare_exchange(406, exchange.as_str(), ExchangeKind::Fanout, DURABLE_EXCHANGE).await?;
    declare_exchange(403, &format!("amq.{exchange}"), ExchangeKind::Direct, DURABLE_EXCHANGE).await?;

    for (code, name) in [(404, missing), (405, locked)] {
        channel_error(connection, code, async |ch| ch.basic_consume(name.clone(), "".into(), MANUAL, table([])).await)
            .await?;
    }
    for (code, source) in [(404, missing.as_str()), (403, "")] {
        channel_error(connection, code, async |ch| {
            ch.queue_bind(queue.clone(), source.into(), "k".into(), QueueBindOptions::default(), table([])).await
        })
        .await?;
    }
    channel_error(connection, 404, async |ch| ch.basic_get(missing.clone(), BasicGetOptions::default()).await).await?;
    channel_error(connection, 404, async |ch| {
        ch.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = BasicPublishOptions::default();
        ch.basic_publish(missing.clone(), "k".into(), options, b"x", BasicProperties::default()).await?.await
    })
    .await?;
    // The broker's close may come before another call could be made: a consumer hears of it either way.
    let refused = connection.create_channel().await?;
    let mut consumer = refused.basic_consume(queue.clone(), "".into(), MANUAL, table([])).await?;
    refused.basic_ack(99, BasicAckOptions::default()).await?;
    let closed = consumer.next().await.ok_or_else(|| fail("the consumer ended without an error"))?;
    equal(code(&closed), 406)?;
    equal(count(&channel, queue).await?, 0)
}

async fn connection_error<T>(
    run: &Run,
    wanted: u16,
    action: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
) -> Outcome {
    let connection = run.connect().await?;
    let channel = connection.create_channel().await?;
    equal(code(&action(&channel).await), wanted)?;
    equal(connection.status().connected(), false)
}

pub async fn connection_errors(run: &mut Run) -> Outcome {
    let bystander = run.channel().await?;
    let queue = run.declared(&bystander, "q").await?;
    connection_error(run, 540, async |ch| {
        let options = BasicPublishOptions { mandatory: false, immediate: true };
        ch.basic_publish("".into(), queue.clone(), options, b"x", BasicProperties::default()).await?;
        ch.queue_declare(queue.clone(), PASSIVE, table([])).await
    })
    .await?;
    connection_error(run, 530, async |ch| {
        let first = ch.basic_consume(queue.clone(), "twice".into(), MANUAL, table([])).await?;
        let second = ch.basic_consume(queue.clone(), "twice".into(), MANUAL, table([])).await;
        drop(first);
        second
    })
    .await?;
    equal(count(&bystander, &queue).await?, 0)
}

pub async fn login(run: &mut Run) -> Outcome {
    let (mut vhost, mut password) = (uri()?, uri()?);
    vhost.vhost = "no-such-vhost".into();
    password.authority.userinfo.password = "wrong".into();
    let refused = Connection::connect_uri(vhost, ConnectionProperties::default()).await;
    equal(code(&refused), 530)?;
    let refused = Connection::connect_uri(password, ConnectionProperties::default()).await;
    equal(code(&refused), 403)?;
    run.channel().await?;
    Ok(())
}

pub async fn exclusive_consumer(run: &mut Run) -> Outcome {
    let (connection, other) = (run.connect().await?, run.connect().await?);
    let channel = connection.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let exclusive = BasicConsumeOptions { exclusive: true, ..MANUAL };
    let refused = async |connection: &Connection, options: BasicConsumeOptions| {
        channel_error(connection, 403, async |ch| ch.basic_consume(queue.clone(), "".into(), options, table([])).await)
            .await
    };
    let sole = consume(&channel, &queue, exclusive).await?;
    refused(&connection, MANUAL).await?;
    refused(&other, MANUAL).await?;
    channel.basic_cancel(sole.tag(), BasicCancelOptions::default()).await?;
    let mut shared = consume(&channel, &queue, MANUAL).await?;
    refused(&connection, exclusive).await?;
    publish(&channel, &"".into(), &queue, "m", BasicProperties::default()).await?;
    equal(bodies(&take(&mut shared, 1).await?), ["m"])
}
