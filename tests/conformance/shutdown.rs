//! The end of a broker, and the guard of its data directory.

use crate::stage::*;
use crate::support::*;

#[test]
fn sigterm_tells_every_client_and_exits_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path(), &[]);
    let mut clients: Vec<Client> = (0..5).map(|_| open_at(broker.addr)).collect();
    // One that has not logged in must not keep the broker.
    let mut greeted = Client::raw(broker.addr).unwrap();
    greeted.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    greeted.start().unwrap();
    let ended = std::thread::scope(|scope| {
        let ended = scope.spawn(|| broker.term());
        for client in &mut clients {
            let closed = client.closed(0).unwrap();
            let expected = Closed {
                scope: Scope::Connection,
                channel: 0,
                code: 320,
                text: "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'".to_owned(),
                class: 0,
                method: 0,
            };
            assert_eq!(closed, expected);
            gone(client);
        }
        ended.join().unwrap()
    });
    assert_eq!(ended.unwrap().code(), Some(0), "{}", broker.stderr());
    assert!(Client::raw(broker.addr).is_err());
}

#[test]
fn clients_that_do_not_answer_do_not_keep_the_broker() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "[server]\nshutdown_timeout = \"1s\"\n");
    let mut client = open_at(broker.addr);
    client.answer_closes(false);
    assert_eq!(broker.term().unwrap().code(), Some(0), "{}", broker.stderr());
    assert_eq!(client.closed(0).unwrap().code, 320);
}

#[test]
fn an_idle_client_that_does_not_answer_delays_the_end_by_little() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "");
    let mut clients: Vec<Client> = (0..3).map(|_| open_at(broker.addr)).collect();
    clients.iter_mut().for_each(|client| client.answer_closes(false));
    let asked = std::time::Instant::now();
    assert_eq!(broker.term().unwrap().code(), Some(0), "{}", broker.stderr());
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    let log = broker.stderr();
    assert!(log.contains("CONNECTION_FORCED") && !log.contains("WARN"), "{log}");
}

#[test]
fn a_data_directory_serves_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let Err(refusal) = Broker::try_start(dir.path(), free_port(), &[]) else { panic!("a second broker runs") };
    let path = dir.path().to_str().unwrap();
    assert!(refusal.contains(path) && refusal.contains("another broker"), "{refusal}");
    open_at(first.addr).sync(CH).unwrap();
    assert!(first.term().unwrap().success());
    let mut second = Broker::start(dir.path(), &[]);
    assert!(second.term().unwrap().success());
}

#[test]
fn a_port_that_is_taken_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::thread::spawn(move || taken.incoming().for_each(drop));
    let Err(refusal) = Broker::try_start(dir.path(), port, &[]) else { panic!("two on one port") };
    assert!(refusal.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{refusal}");
}

#[test]
fn a_start_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Broker::start(dir.path(), &[]);
    let mut client = open_at(first.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    client.publish(CH, "", "q", &BasicProperties::default().with_delivery_mode(2), b"m").unwrap();
    client.wait_confirms(CH).unwrap();
    assert!(first.term().unwrap().success());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    std::thread::spawn(move || taken.incoming().for_each(drop));
    assert!(Broker::try_start(dir.path(), port, &[]).is_err());
    let second = Broker::start(dir.path(), &[]);
    let mut client = open_at(second.addr);
    assert!(!take(&mut client, "q").redelivered, "after a clean stop it is known that nobody had it");
}

#[test]
fn a_data_directory_that_is_none_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let Err(refusal) = Broker::try_start(&path, free_port(), &[]) else { panic!("{path:?} is a data directory") };
        assert!(refusal.contains(&format!("cannot open the data directory {}: ", path.display())), "{refusal}");
    }
}

#[test]
fn the_log_tells_the_life_of_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path(), &[]);
    let refused = Client::open(broker.addr, &Options { user: "nobody\n".into(), ..Default::default() });
    assert!(refused.is_err());
    eventually("a refused login is told at once", || broker.stderr().contains("login refused"));
    let mut client = open_at(broker.addr);
    channel_refuses(
        &mut client,
        |client| client.declare_passive(CH, "none"),
        (404, "NOT_FOUND - no queue 'none' in vhost '/'"),
        QUEUE_DECLARE,
    );
    client.close().unwrap();
    assert!(broker.term().unwrap().success());
    let log = broker.stderr();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    for words in [
        &["started", version.as_str(), "sync=\"always\"", "queues=0", "messages=0", "clean_stop=false"][..],
        &["login refused", "user=\"nobody\\n\"", "mechanism=\"PLAIN\""],
        &["opened", "user=\"guest\"", "vhost=\"/\""],
        &["channel closed", "channel=1", "NOT_FOUND - no queue 'none' in vhost '/'"],
        &["stopped"],
    ] {
        assert!(log.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?} in {log}");
    }
}
