//! What an operator does to a node: copies its data, takes it out of service, changes its limits, has it looked at.

use crate::stage::*;
use crate::support::*;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The program with these words: its exit code, and what it has printed.
fn warren(words: &[&str]) -> (i32, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_warren")).args(words).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.code().unwrap(), text)
}

/// One of RabbitMQ's tools, for a node with its data in `dir/data`.
fn tool(dir: &Path, name: &str, words: &[&str]) -> (i32, String) {
    let link = dir.join(name);
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_warren"), &link).unwrap();
    }
    let run = Command::new(link).args(words).env("WARREN_DATA_DIR", dir.join("data")).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.code().unwrap(), text)
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

/// Publishes numbered messages in confirmed batches until it is told to end; `confirmed` says how many are. Bodies of more than
/// 4 KB are kept once for both queues.
fn load(addr: std::net::SocketAddr, confirmed: &AtomicU64, end: &AtomicBool) {
    let mut client = open_at(addr);
    client.confirm_select(CH).unwrap();
    let mut number = 0;
    while !end.load(Ordering::SeqCst) {
        for _ in 0..50 {
            let body = format!("{number:08}{}", "x".repeat(number % 7000));
            client.publish(CH, "amq.fanout", "", &persistent(), body.as_bytes()).unwrap();
            number += 1;
        }
        assert_eq!(client.wait_confirms(CH), Ok(vec![]));
        confirmed.store(number as u64, Ordering::SeqCst);
    }
}

#[test]
fn a_backup_under_load_holds_every_message_confirmed_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let broker = broker_with(dir.path(), "");
    let mut client = open_at(broker.addr);
    for queue in ["q", "r"] {
        client.declare_queue(CH, queue, true).unwrap();
        client.bind(CH, queue, "amq.fanout", "").unwrap();
    }
    let (confirmed, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        scope.spawn(|| load(broker.addr, &confirmed, &end));
        eventually("something is confirmed", || confirmed.load(Ordering::SeqCst) > 1000);
        let before = confirmed.load(Ordering::SeqCst);
        let (status, text) = warren(&["backup", "--data-dir", &path("data"), &path("copies/a")]);
        assert_eq!(status, 0, "{text}");
        eventually("the load goes on", || confirmed.load(Ordering::SeqCst) > before + 200);
        end.store(true, Ordering::SeqCst);
        before
    });
    let (status, text) = warren(&["backup", "--data-dir", &path("data"), &path("copies/a")]);
    let said = format!("warren: {}: it is there already: a backup makes a directory of its own", path("copies/a"));
    assert_eq!((status, text.trim()), (70, said.as_str()));
    let (status, text) = warren(&["restore", &path("copies/a"), &path("data")]);
    assert!(status == 70 && text.contains("not empty"), "{status} {text}");
    drop(broker);
    assert_eq!(warren(&["backup", "--data-dir", &path("data"), &path("copies/b")]).0, 69, "nobody is there");
    let (status, text) = warren(&["restore", &path("copies/a"), &path("restored")]);
    assert!(status == 0 && text.contains("2 queues, "), "{status} {text}");
    let broker = Broker::start(&dir.path().join("restored"), &[]);
    let mut client = open_at(broker.addr);
    for queue in ["q", "r"] {
        let tag = client.consume(CH, queue, "", true).unwrap();
        for number in 0..before {
            let body = client.delivery().unwrap().text();
            let whole = body.len() as u64 == 8 + number % 7000 && body.starts_with(&format!("{number:08}"));
            assert!(whole, "message {number} of {before} is missing in {queue}");
        }
        client.cancel(CH, &tag).unwrap();
        client.leftovers(CH).unwrap();
    }
}

#[test]
fn stop_app_ends_clients_and_start_app_lets_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let [api, figures] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let env = [("WARREN_MANAGEMENT_ADDRESS", api.to_string()), ("WARREN_PROMETHEUS_ADDRESS", figures.to_string())];
    let env = env.each_ref().map(|(key, value)| (*key, value.as_str()));
    let broker = Broker::start_with(&dir.path().join("data"), &[], &env);
    let ctl = |words: &[&str]| tool(dir.path(), "rabbitmqctl", words);
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    client.publish(CH, "", "q", &persistent(), b"kept").unwrap();
    client.wait_confirms(CH).unwrap();
    let served = |path: &str, address: SocketAddr| {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).map(|()| String::from_utf8_lossy(&answer).into_owned())
    };
    let mut kept = TcpStream::connect(api).unwrap();
    write!(kept, "GET /api/auth HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(kept.read(&mut [0; 4096]).unwrap() > 0);
    let (status, text) = ctl(&["stop_app"]);
    assert!(status == 0 && text.starts_with("Stopping rabbit application on node "), "{status} {text}");
    let closed = client.closed(0).unwrap();
    let reason = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!((closed.code, &closed.text[..]), (320, reason));
    gone(&mut client);
    assert!(Client::raw(broker.addr).is_err(), "nobody listens");
    for (path, address) in [("/api/auth", api), ("/metrics", figures)] {
        assert_eq!(served(path, address).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "{path}");
    }
    assert_eq!(kept.read(&mut [0; 4096]).unwrap(), 0, "the API's connections have ended");
    let (status, text) = ctl(&["list_queues"]);
    assert!(status == 64 && text.contains("requires the 'rabbit' app to be running"), "{status} {text}");
    assert_eq!(tool(dir.path(), "rabbitmq-diagnostics", &["check_running"]).0, 69);
    assert_eq!(tool(dir.path(), "rabbitmq-diagnostics", &["ping"]).0, 0);
    assert_eq!(ctl(&["status"]).0, 64, "as RabbitMQ: it is about the application");
    assert_eq!(ctl(&["await_startup", "--timeout", "1"]).0, 69);
    assert_eq!(ctl(&["stop_app"]).0, 0, "again changes nothing");
    let other = TcpListener::bind(figures).unwrap();
    let (status, text) = ctl(&["start_app"]);
    assert!(status != 0 && text.contains(&figures.to_string()), "{status} {text}");
    assert!(served("/api/auth", api).is_err(), "all of them or none");
    drop(other);
    assert_eq!(ctl(&["start_app"]).0, 0);
    for (path, address) in [("/api/auth", api), ("/metrics", figures)] {
        assert_eq!(served(path, address).unwrap(), "HTTP/1.0 200", "{path}");
    }
    assert_eq!(ctl(&["status"]).0, 0);
    assert_eq!(ctl(&["start_app"]).0, 0);
    assert_eq!(tool(dir.path(), "rabbitmq-diagnostics", &["check_running"]).0, 0);
    assert_eq!(drain(&mut open_at(broker.addr), "q"), ["kept"]);
}

#[test]
fn maintenance_closes_connections_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let mut client = open_at(broker.addr);
    let upgrade = |words: &[&str]| tool(dir.path(), "rabbitmq-upgrade", words);
    let check = |words: &[&str]| tool(dir.path(), "rabbitmq-diagnostics", words).0;
    assert_eq!(upgrade(&["drain"]).0, 0);
    assert_eq!(client.closed(0).unwrap().text, "CONNECTION_FORCED - Node was put into maintenance mode");
    assert!(Client::raw(broker.addr).is_err());
    assert_eq!((check(&["check_running"]), check(&["check_protocol_listener", "amqp"])), (0, 69));
    let (status, text) = tool(dir.path(), "rabbitmqctl", &["list_queues"]);
    assert_eq!(status, 0, "tools go on: {text}");
    assert_eq!(upgrade(&["revive"]).0, 0);
    assert_eq!(check(&["check_protocol_listener", "amqp"]), 0);
    let mut client = open_at(broker.addr);
    let ctl = |words: &[&str]| tool(dir.path(), "rabbitmqctl", words).0;
    assert_eq!(ctl(&["suspend_listeners"]), 0);
    assert!(Client::raw(broker.addr).is_err());
    client.sync(CH).unwrap();
    assert_eq!(ctl(&["resume_listeners"]), 0);
    open_at(broker.addr).sync(CH).unwrap();
}

#[test]
fn limits_and_the_log_change_while_the_node_runs() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let ctl = |words: &[&str]| {
        let (status, text) = tool(dir.path(), "rabbitmqctl", words);
        assert_eq!(status, 0, "{words:?}: {text}");
        text
    };
    let alarms = || tool(dir.path(), "rabbitmq-diagnostics", &["check_alarms"]).0;
    assert_eq!(alarms(), 0);
    ctl(&["set_disk_free_limit", "4096TB"]);
    eventually("the disk is low", || alarms() == 69);
    ctl(&["set_disk_free_limit", "1kB"]);
    eventually("it is not", || alarms() == 0);
    ctl(&["set_vm_memory_high_watermark", "0"]);
    eventually("no memory is an alarm", || alarms() == 69);
    ctl(&["set_vm_memory_high_watermark", "absolute", "123MiB"]);
    eventually("there is some", || alarms() == 0);
    assert!(ctl(&["status", "--unit", "bytes"]).contains("high watermark setting: computed to: 128974848 bytes\n"));
    ctl(&["set_log_level", "error"]);
    open_at(broker.addr);
    ctl(&["set_log_level", "info"]);
    open_at(broker.addr);
    eventually("the log is back", || broker.stderr().contains("opened"));
    assert_eq!(broker.stderr().matches("opened").count(), 1, "{}", broker.stderr());
    assert_eq!(tool(dir.path(), "rabbitmqctl", &["set_log_level", "loud"]).0, 69);
    ctl(&["set_cluster_name", "meadow"]);
    let mut greeted = Client::raw(broker.addr).unwrap();
    greeted.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    let told = greeted.start().unwrap().server_properties;
    assert_eq!(told.inner().get("cluster_name"), Some(&AMQPValue::LongString("meadow".into())));
}

#[test]
fn the_doctor_looks_at_a_node_that_runs_and_at_one_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut broker = broker_with(dir.path(), "disk.free_limit = 0\n");
    let listen = broker.addr.to_string();
    let doctor = |data: &Path| {
        let run = Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["doctor", "--data-dir", data.to_str().unwrap(), "--listen", &listen])
            .envs([
                ("WARREN_MANAGEMENT_ADDRESS", ""),
                ("WARREN_PROMETHEUS_ADDRESS", ""),
                ("WARREN_DISK_FREE_LIMIT", "0"),
            ])
            .output()
            .unwrap();
        (run.status.code().unwrap(), String::from_utf8(run.stdout).unwrap())
    };
    let mut client = open_at(broker.addr);
    client.declare_queue(CH, "q", true).unwrap();
    client.confirm_select(CH).unwrap();
    (0..3).for_each(|_| client.publish(CH, "", "q", &persistent(), b"message").unwrap());
    client.wait_confirms(CH).unwrap();
    let (_, text) = doctor(&data);
    for part in
        ["runs, version", &format!("port: {listen} answers"), "fsync: ", " a second", "alarms: none", "open files: "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    client.close().unwrap();
    assert!(broker.term().unwrap().success());
    let (_, text) = doctor(&data);
    for part in ["does not run", "is free", "data: 1 queue, 3 messages", "all checksums right; stopped in order"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A bit of the log changes: the start would refuse, and the doctor says so.
    let logs = std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path());
    let log = logs.filter(|path| path.extension().is_some_and(|end| end == "log"));
    let log = log.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&log, bytes).unwrap();
    let (status, text) = doctor(&data);
    assert!(status == 1 && text.contains("FAIL  data: ") && text.contains("restore a backup"), "{status} {text}");
}

/// The next words of the node to systemd.
fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 1024];
    let length = socket.recv(&mut bytes).expect("the node tells systemd");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn systemd_is_told_when_the_node_serves_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut broker = Broker::start_with(&dir.path().join("data"), &[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert!(heard(&socket).contains("READY=1"));
    open_at(broker.addr).close().unwrap();
    assert!(broker.term().unwrap().success());
    assert!(heard(&socket).contains("STOPPING=1"));
}
