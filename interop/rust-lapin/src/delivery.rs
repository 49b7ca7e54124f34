//! acks, prefetch, get, consumer-cancel, round-robin, unacked-order.

use crate::run::*;
use futures_lite::StreamExt;
use lapin::{BasicProperties, message::Delivery, options::*};
use std::time::Duration;

pub async fn acks(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    let channel = connection.create_channel().await?;
    let queue = run.declared(&channel, "q").await?;
    send(&channel, &queue, &numbered(0, 9)).await?;
    let mut consumer = consume(&channel, &queue, MANUAL).await?;
    let got = take(&mut consumer, 10).await?;
    equal(bodies(&got), numbered(0, 9))?;
    for (tag, delivery) in (1..).zip(&got) {
        equal((delivery.delivery_tag, delivery.redelivered), (tag, false))?;
    }
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    got[0].ack(BasicAckOptions { multiple: false }).await?;
    got[2].ack(BasicAckOptions { multiple: true }).await?;
    got[3].reject(BasicRejectOptions { requeue: false }).await?;
    got[6].nack(BasicNackOptions { multiple: true, requeue: true }).await?;
    await_count(&channel, &queue, 3).await?;
    got[7].reject(BasicRejectOptions { requeue: true }).await?;
    got[8].nack(BasicNackOptions { multiple: false, requeue: true }).await?;
    await_count(&channel, &queue, 5).await?;
    channel.close(200, "done".into()).await?;
    let channel = connection.create_channel().await?;
    let mut consumer = consume(&channel, &queue, MANUAL).await?;
    let again = take(&mut consumer, 6).await?;
    equal(bodies(&again), numbered(4, 9))?;
    equal(again.iter().all(|delivery| delivery.redelivered), true)?;
    again[5].ack(BasicAckOptions { multiple: true }).await?;
    channel.close(200, "done".into()).await?;
    equal(count(&connection.create_channel().await?, &queue).await?, 0)
}

pub async fn prefetch(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    for (name, limit, global, outstanding) in [("each", 3, false, 6), ("all", 4, true, 4)] {
        let channel = connection.create_channel().await?;
        let queue = run.declared(&channel, name).await?;
        send(&channel, &queue, &numbered(0, 9)).await?;
        channel.basic_qos(limit, BasicQosOptions { global }).await?;
        let mut one = consume(&channel, &queue, MANUAL).await?;
        let mut two = consume(&channel, &queue, MANUAL).await?;
        let mut of_one = arrived(&mut one, Duration::from_millis(400)).await?;
        let of_two = arrived(&mut two, Duration::from_millis(400)).await?;
        equal(of_one.len() + of_two.len(), outstanding)?;
        if !global {
            equal(of_one.len(), 3)?;
        }
        of_one.extend(of_two);
        of_one[0].ack(BasicAckOptions::default()).await?;
        let more = arrived(&mut one, Duration::from_millis(300)).await?.len();
        equal(more + arrived(&mut two, Duration::from_millis(300)).await?.len(), 1)?;
        channel.close(200, "done".into()).await?;
    }
    Ok(())
}

pub async fn get(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    send(&channel, &queue, &numbered(0, 2)).await?;
    let next = async |no_ack: bool, body: &str, left: u32, redelivered: bool| -> Result<Delivery, Trouble> {
        let got = channel.basic_get(queue.clone(), BasicGetOptions { no_ack }).await?;
        let got = got.ok_or_else(|| fail("no message"))?;
        let (left_now, got) = (got.message_count, got.delivery);
        equal((&got.data[..], left_now, got.redelivered), (body.as_bytes(), left, redelivered))?;
        equal((got.exchange.as_str(), &got.routing_key), ("", &queue))?;
        Ok(got)
    };
    next(false, "m0", 2, false).await?.ack(BasicAckOptions::default()).await?;
    next(false, "m1", 1, false).await?.nack(BasicNackOptions { multiple: false, requeue: true }).await?;
    await_count(&channel, &queue, 2).await?;
    next(true, "m1", 1, true).await?;
    equal(drain(&channel, &queue).await?, ["m2"])?;
    equal(channel.basic_get(queue.clone(), BasicGetOptions::default()).await?.is_none(), true)
}

pub async fn consumer_cancel(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    send(&channel, &queue, &["later".into()]).await?;
    let state = channel.queue_declare(queue.clone(), PASSIVE, table([])).await?;
    let late = arrived(&mut consumer, Duration::from_millis(50)).await?;
    equal((state.consumer_count(), late.len()), (0, 0))?;
    let mut consumer = consume(&channel, &queue, NO_ACK).await?;
    equal(bodies(&take(&mut consumer, 1).await?), ["later"])?;
    run.channel().await?.queue_delete(queue, QueueDeleteOptions::default()).await?;
    let end = tokio::time::timeout(Duration::from_secs(8), consumer.next()).await?;
    equal((end.is_none(), channel.status().connected()), (true, true))
}

pub async fn round_robin(run: &mut Run) -> Outcome {
    let connection = run.connect().await?;
    let (channel, first, second) =
        (connection.create_channel().await?, connection.create_channel().await?, connection.create_channel().await?);
    let queue = run.declared(&channel, "q").await?;
    let mut one = consume(&first, &queue, NO_ACK).await?;
    let mut two = consume(&second, &queue, NO_ACK).await?;
    for text in numbered(0, 9) {
        publish(&channel, &"".into(), &queue, &text, BasicProperties::default()).await?;
    }
    let mut got = [bodies(&take(&mut one, 5).await?), bodies(&take(&mut two, 5).await?)];
    got.sort();
    equal(got, [["m0", "m2", "m4", "m6", "m8"], ["m1", "m3", "m5", "m7", "m9"]])
}

pub async fn unacked_order(run: &mut Run) -> Outcome {
    let channel = run.channel().await?;
    let queue = run.declared(&channel, "q").await?;
    send(&channel, &queue, &numbered(0, 19)).await?;
    let holder = run.connect().await?;
    let holding = holder.create_channel().await?;
    take(&mut consume(&holding, &queue, MANUAL).await?, 20).await?;
    holder.close(200, "done".into()).await?;
    let mut consumer = consume(&channel, &queue, MANUAL).await?;
    let got = take(&mut consumer, 20).await?;
    equal(bodies(&got), numbered(0, 19))?;
    equal(got.iter().all(|delivery| delivery.redelivered), true)
}
