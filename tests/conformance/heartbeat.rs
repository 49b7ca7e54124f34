//! Heartbeats, with a real second's interval: the shortest there is.

use crate::stage::*;
use crate::support::*;
use std::time::Duration;

fn beating() -> Client {
    open_with(addr(), &Options { heartbeat: 1, ..Default::default() })
}

#[test]
fn a_connection_that_only_consumes_is_sent_heartbeats() {
    let mut client = beating();
    let name = queue(&mut client);
    client.consume(CH, &name, "", true).unwrap();
    for _ in 0..2 {
        assert_eq!(client.recv_any(), Ok(Event::Heartbeat { channel: 0 }));
        client.send_heartbeat().unwrap();
    }
}

#[test]
fn a_silent_client_is_dropped_without_a_close() {
    let mut client = beating();
    loop {
        match client.recv_any().unwrap() {
            Event::Heartbeat { channel: 0 } => {}
            Event::Gone => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn any_traffic_keeps_a_connection() {
    let (mut beats, mut publishes) = (beating(), beating());
    for _ in 0..7 {
        assert_eq!(beats.quiet(Duration::from_millis(500)), Ok(()));
        beats.send_heartbeat().unwrap();
        publish(&mut publishes, "nowhere", "still here");
    }
    beats.sync(CH).unwrap();
    publishes.sync(CH).unwrap();
}

#[test]
fn without_an_interval_no_heartbeat_is_sent() {
    let mut client = open();
    let nothing = client.recv_frame(std::time::Instant::now() + Duration::from_secs(2));
    assert_eq!(nothing, Err(Error::Timeout));
    client.sync(CH).unwrap();
}

#[test]
fn a_lost_client_gives_its_messages_back() {
    let mut lost = beating();
    let name = queue_of(&mut lost, &["one", "two"]);
    assert_eq!(take(&mut lost, &name).text(), "one");
    let mut other = open();
    assert_eq!(counts(&mut other, &name), (1, 0));
    eventually("the silent client's message is back", || counts(&mut other, &name) == (2, 0));
    assert_eq!(drain_marked(&mut other, &name), [("one".to_owned(), true), ("two".to_owned(), false)]);
}
