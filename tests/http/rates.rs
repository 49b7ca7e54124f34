//! Rates and samples.

use crate::api::{eventually, guest, shared};
use crate::support::{BasicProperties, Client};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A client that publishes to a queue until it is dropped.
struct Stream {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stream {
    fn to(queue: &'static str) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut client = Client::connect(shared().broker.addr).unwrap();
            client.open_channel(1).unwrap();
            client.declare_queue(1, queue, true).unwrap();
            client.consume(1, queue, "t", true).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..10 {
                    client.publish(1, "", queue, &BasicProperties::default(), b"0123456789").unwrap();
                }
                client.deliveries(10).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            client.delete_queue(1, queue).unwrap();
            client.close().unwrap();
        });
        Stream { stop, thread: Some(thread) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }
}

#[test]
fn what_flows_has_a_rate() {
    let api = guest();
    api.put("/api/users/rates-seer", json!({"password": "p", "tags": "management"}));
    api.put("/api/permissions/%2F/rates-seer", json!({"configure": "", "write": "", "read": ""}));
    let seer = shared().login("rates-seer", "p");
    let _stream = Stream::to("rates-q");
    let positive = |value: &serde_json::Value| value["rate"].as_f64().is_some_and(|rate| rate > 0.0);
    let queue = eventually("the queue has rates", || {
        let reply = api.get("/api/queues/%2F/rates-q");
        let queue = (reply.status == 200).then(|| reply.json())?;
        let stats = &queue["message_stats"];
        (positive(&stats["publish_details"])
            && positive(&stats["deliver_no_ack_details"])
            && positive(&stats["deliver_get_details"]))
        .then_some(queue)
    });
    assert!(queue["messages_details"]["rate"].is_number());
    eventually("the overview has rates", || {
        let overview = api.json("/api/overview");
        (positive(&overview["message_stats"]["publish_details"])
            && positive(&overview["message_stats"]["deliver_get_details"]))
        .then_some(())
    });
    eventually("the virtual host has rates", || {
        let vhost = api.json("/api/vhosts/%2F");
        (positive(&vhost["message_stats"]["publish_details"]) && positive(&vhost["recv_oct_details"])).then_some(())
    });
    eventually("so has the overview of who sees one virtual host only", || {
        let overview = seer.json("/api/overview");
        positive(&overview["message_stats"]["publish_details"]).then_some(())
    });
    eventually("the connection has rates", || {
        let all = api.json("/api/connections");
        all.as_array()
            .unwrap()
            .iter()
            .any(|connection| positive(&connection["recv_oct_details"]) && positive(&connection["send_oct_details"]))
            .then_some(())
    });
    eventually("the channel has rates", || {
        let all = api.json("/api/channels");
        all.as_array()
            .unwrap()
            .iter()
            .any(|channel| positive(&channel["message_stats"]["publish_details"]))
            .then_some(())
    });
    eventually("the exchange has rates", || {
        let exchange = api.json("/api/exchanges/%2F/amq.default");
        (positive(&exchange["message_stats"]["publish_in_details"])
            && positive(&exchange["message_stats"]["publish_out_details"]))
        .then_some(())
    });
}

#[test]
fn samples_for_who_asks() {
    let api = guest();
    let _stream = Stream::to("samples-q");
    let query = "lengths_age=5&lengths_incr=1&msg_rates_age=5&msg_rates_incr=1";
    let stats = eventually("the queue has samples", || {
        let reply = api.get(&format!("/api/queues/%2F/samples-q?{query}"));
        let stats = (reply.status == 200).then(|| reply.json()["message_stats"].clone())?;
        stats["publish_details"]["samples"]
            .as_array()
            .filter(|samples| samples.iter().any(|sample| sample["sample"].as_u64() > Some(0)))?;
        Some(stats)
    });
    let samples = stats["publish_details"]["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 6, "as many as the age has steps, and both ends");
    let times: Vec<u64> = samples.iter().map(|sample| sample["timestamp"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|two| two[0] == two[1] + 1000), "newest first, a second apart: {times:?}");
    assert!(stats["publish_details"]["avg"].is_number() && stats["publish_details"]["avg_rate"].is_number());
    let overview = api.json(&format!("/api/overview?{query}"));
    assert_eq!(overview["queue_totals"]["messages_details"]["samples"].as_array().unwrap().len(), 6);
    for wrong in ["lengths_age=0&lengths_incr=1", "lengths_age=60&lengths_incr=0", "msg_rates_age=501&msg_rates_incr=1"]
    {
        let reply = api.get(&format!("/api/queues/%2F/samples-q?{wrong}"));
        assert_eq!((reply.status, reply.json()["error"].clone()), (400, json!("invalid_range_parameters")), "{wrong}");
    }
}
