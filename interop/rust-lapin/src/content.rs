//! confirms, returns, properties, headers, large, tx.

use crate::run::*;
use lapin::{
    BasicProperties, Confirmation,
    options::*,
    types::{AMQPValue, ByteArray, DecimalValue, ShortString},
};

pub async fn confirms(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let texts = numbered(0, 1099);
    let publish = async |text: &str| {
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), queue.clone(), options, text.as_bytes(), persistent()).await
    };
    for batch in texts[..1000].chunks(100) {
        let mut pending = Vec::new();
        for text in batch {
            pending.push(publish(text).await?);
        }
        for confirm in pending {
            equal(confirm.await?, Confirmation::Ack(None))?;
        }
    }
    for text in &texts[1000..] {
        equal(publish(text).await?.await?, Confirmation::Ack(None))?;
    }
    equal(count(&channel, &queue).await?, 1100)?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    equal(bodies(&take(&mut consumer, 1100).await?), texts)
}

pub async fn returns(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let nowhere = ShortString::from(format!("{queue}.none"));
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let publish = async |key: &ShortString, body: &str, mandatory: bool| {
        let options = BasicPublishOptions { mandatory, immediate: false };
        let properties = BasicProperties::default();
        channel.basic_publish("".into(), key.clone(), options, body.as_bytes(), properties).await?.await
    };
    // lapin hands over the return with the ack, so it must have come first
    let Confirmation::Ack(Some(got)) = publish(&nowhere, "lost", true).await? else {
        return Err(fail("not returned"));
    };
    equal((got.reply_code, got.reply_text.as_str(), got.delivery.exchange.as_str()), (312, "NO_ROUTE", ""))?;
    equal((&got.delivery.routing_key, &got.delivery.data[..]), (&nowhere, &b"lost"[..]))?;
    equal(publish(&queue, "kept", true).await?, Confirmation::Ack(None))?;
    equal(publish(&nowhere, "dropped", false).await?, Confirmation::Ack(None))?;
    equal(drain(&channel, &queue).await?, ["kept"])
}

pub async fn properties(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let full = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_content_encoding("utf-8".into())
        .with_headers(table([("k", text("v"))]))
        .with_delivery_mode(2)
        .with_priority(5)
        .with_correlation_id("c-1".into())
        .with_reply_to("r".into())
        .with_expiration("60000".into())
        .with_message_id("id-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("kind".into())
        .with_user_id(uri()?.authority.userinfo.username.into())
        .with_app_id("app".into())
        .with_cluster_id("cl".into());
    for sent in [full, BasicProperties::default()] {
        publish(&channel, &"".into(), &queue, "x", sent.clone()).await?;
        await_count(&channel, &queue, 1).await?;
        let got = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await?;
        equal(got.map(|got| got.delivery.properties.clone()), Some(sent))?;
    }
    Ok(())
}

pub async fn headers(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let deep = table([("c", text("deep")), ("d", AMQPValue::FieldTable(table([])))]);
    let array = vec![
        AMQPValue::LongInt(1),
        text("two"),
        AMQPValue::Void,
        AMQPValue::FieldArray(vec![AMQPValue::Double(3.5), AMQPValue::FieldArray(Vec::new().into())].into()),
        AMQPValue::FieldTable(table([("four", AMQPValue::LongInt(4))])),
    ];
    let sent = table([
        ("true", AMQPValue::Boolean(true)),
        ("false", AMQPValue::Boolean(false)),
        ("i8", AMQPValue::ShortShortInt(-7)),
        ("u8", AMQPValue::ShortShortUInt(255)),
        ("i16", AMQPValue::ShortInt(-300)),
        ("u16", AMQPValue::ShortUInt(65535)),
        ("i32", AMQPValue::LongInt(-70000)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(1 << 40)),
        ("min", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Float(2.5)),
        ("double", AMQPValue::Double(0.1)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("string", text("text")),
        ("unicode", text("žluť ☃")),
        ("empty", text("")),
        ("bytes", AMQPValue::ByteArray(ByteArray::from(&[0, 255][..]))),
        ("time", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("ключ", text("key")),
        ("table", AMQPValue::FieldTable(table([("a", AMQPValue::LongInt(1)), ("b", AMQPValue::FieldTable(deep))]))),
        ("array", AMQPValue::FieldArray(array.into())),
    ]);
    publish(&channel, &"".into(), &queue, "x", BasicProperties::default().with_headers(sent.clone())).await?;
    await_count(&channel, &queue, 1).await?;
    let got = channel.basic_get(queue, BasicGetOptions { no_ack: true }).await?;
    equal(got.and_then(|got| got.delivery.properties.headers().clone()), Some(sent))
}

pub async fn large(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    for size in [10_000_000, 0, 131063, 131064, 131065, 262128] {
        let body: Vec<u8> = (0..size).map(|i: u64| (i * 7 % 251) as u8).collect();
        let options = BasicPublishOptions::default();
        let confirm = channel.basic_publish("".into(), queue.clone(), options, &body, persistent()).await?;
        equal(confirm.await?, Confirmation::Ack(None))?;
        equal(take(&mut consumer, 1).await?[0].data == body, true)?;
    }
    Ok(())
}

pub async fn tx(run: &mut Run) -> Outcome {
    let (channel, watcher) = (run.channel().await?, run.channel().await?);
    let queue = run.declared(&watcher, "q").await?;
    channel.tx_select().await?;
    publish(&channel, &"".into(), &queue, "rolled back", BasicProperties::default()).await?;
    channel.tx_rollback().await?;
    publish(&channel, &"".into(), &queue, "kept", BasicProperties::default()).await?;
    equal(count(&watcher, &queue).await?, 0)?;
    channel.tx_commit().await?;
    equal(count(&watcher, &queue).await?, 1)?;
    let got = channel.basic_get(queue.clone(), BasicGetOptions::default()).await?.ok_or_else(|| fail("no message"))?;
    equal(&got.delivery.data[..], b"kept")?;
    got.delivery.ack(BasicAckOptions::default()).await?;
    channel.tx_rollback().await?;
    channel.close(200, "done".into()).await?;
    await_count(&watcher, &queue, 1).await
}
