//! RabbitMQ's command line tools against a running node, under their own names.

use crate::stage::*;
use crate::support::*;
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// A tool of this name: its exit code, and what it has printed.
fn tool(dir: &Path, name: &str, words: &[&str]) -> (i32, String) {
    let link = dir.join(name);
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_warren"), &link).unwrap();
    }
    let socket = dir.join("data").join("control.sock");
    let run = Command::new(link).args(words).env("WARREN_SOCKET", socket).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    (run.status.code().unwrap(), text)
}

#[test]
fn a_day_with_rabbitmqctl() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = broker_with(dir.path(), "");
    let ctl = |words: &[&str]| tool(dir.path(), "rabbitmqctl", words);
    let ok = |words: &[&str]| {
        let (status, text) = ctl(words);
        assert_eq!(status, 0, "{words:?}: {text}");
        text
    };
    ok(&["await_startup"]);
    assert!(ok(&["add_user", "app", "secret"]).starts_with("Adding user \"app\" ...\nDone."));
    ok(&["set_user_tags", "app", "monitoring"]);
    ok(&["add_vhost", "v"]);
    ok(&["set_permissions", "-p", "v", "app", ".*", ".*", ".*"]);
    assert_eq!(ok(&["-s", "list_permissions", "-p", "v"]), "app\t.*\t.*\t.*\n");
    assert!(ok(&["-q", "list_users"]).contains("app\t[monitoring]\n"));
    let options = Options { user: "app".into(), password: "secret".into(), vhost: "v".into(), ..Options::default() };
    let mut client = open_with(broker.addr, &options);
    client.declare_queue(CH, "tasks", true).unwrap();
    publish(&mut client, "tasks", "m");
    publish(&mut client, "tasks", "m");
    client.declare_queue(CH, "tasks", true).unwrap();
    assert_eq!(ok(&["list_queues", "-p", "v"]), "Listing queues for vhost v ...\nname\tmessages\ntasks\t2\n");
    let json: Value =
        serde_json::from_str(&ok(&["list_queues", "-p", "v", "name", "durable", "--formatter", "json"])).unwrap();
    assert_eq!(json, serde_json::json!([{"name": "tasks", "durable": true}]));
    assert_eq!(ok(&["-s", "list_connections", "user", "vhost"]), "app\tv\n");
    client.declare(CH, queue::Declare { queue: "own".into(), exclusive: true, ..Default::default() }).unwrap();
    let consume =
        basic::Consume { queue: "own".into(), consumer_tag: "me".into(), exclusive: true, ..Default::default() };
    client.consume_with(CH, consume).unwrap();
    let connection = ok(&["-s", "list_connections", "name"]);
    let owned =
        ok(&["-s", "list_queues", "-p", "v", "name", "owner_pid", "exclusive_consumer_pid", "exclusive_consumer_tag"]);
    let connection = connection.trim();
    assert_eq!(owned, format!("own\t{connection}\t{connection} (1)\tme\ntasks\t\t\t\n"));
    let consumers = ok(&["-s", "list_consumers", "-p", "v", "consumer_tag", "exclusive", "activity_status"]);
    assert_eq!(consumers, "me\ttrue\tup\n");
    client.cancel(CH, "me").unwrap();
    client.delete_queue(CH, "own").unwrap();
    ok(&["set_policy", "-p", "v", "limit", "^t", r#"{"max-length":10}"#, "--apply-to", "queues"]);
    assert!(ok(&["-s", "list_policies", "-p", "v"]).starts_with("v\tlimit\t^t\tqueues\t"));
    ok(&["purge_queue", "-p", "v", "tasks"]);
    assert_eq!(ok(&["-s", "list_queues", "-p", "v", "messages"]), "0\n");
    ok(&["authenticate_user", "app", "secret"]);
    assert_eq!(ctl(&["authenticate_user", "app", "wrong"]).0, 65);
    ok(&["change_password", "app", "other"]);
    ok(&["authenticate_user", "app", "other"]);
    ok(&["close_all_connections", "-p", "v", "enough"]);
    let closed = format!("{:?}", client.recv());
    assert!(closed.contains("CONNECTION_FORCED") && closed.contains("enough"), "{closed}");
    ok(&["delete_queue", "-p", "v", "tasks"]);
    assert_eq!(ctl(&["delete_queue", "-p", "v", "tasks"]).0, 64);
    ok(&["delete_vhost", "v"]);
    ok(&["delete_user", "app"]);
    let (status, text) = ctl(&["delete_user", "app"]);
    assert_eq!((status, &text[..]), (67, "Error:\nUser \"app\" does not exist\n"));
    ok(&["export_definitions", dir.path().join("d.json").to_str().unwrap()]);
    ok(&["import_definitions", dir.path().join("d.json").to_str().unwrap()]);
    // More than the management API takes at once.
    let value = "x".repeat(24_000_000);
    let large = format!(r#"{{"global_parameters": [{{"name": "large", "value": "{value}"}}]}}"#);
    std::fs::write(dir.path().join("large.json"), large).unwrap();
    ok(&["import_definitions", dir.path().join("large.json").to_str().unwrap()]);
    assert!(!broker.stderr().contains("secret"));
    ok(&["shutdown"]);
    assert!(!broker.alive() || broker.term().is_ok());
    assert_eq!(ctl(&["status"]).0, 69);
}

#[test]
fn probes_of_containers() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "");
    let port = broker.addr.port().to_string();
    for words in [
        &["-q", "ping"][..],
        &["check_running"],
        &["check_local_alarms"],
        &["check_port_connectivity"],
        &["check_port_listener", &port],
        &["check_protocol_listener", "amqp"],
        &["check_virtual_hosts"],
        &["status", "--formatter", "json"],
        &["cluster_status"],
        &["listeners"],
        &["memory_breakdown"],
        &["report"],
    ] {
        let (status, text) = tool(dir.path(), "rabbitmq-diagnostics", words);
        assert_eq!(status, 0, "{words:?}: {text}");
    }
    let (_, report) = tool(dir.path(), "rabbitmq-diagnostics", &["report"]);
    assert!(report.contains("guest") && !report.contains("\"password_hash\""), "{report}");
    assert_eq!(tool(dir.path(), "rabbitmq-diagnostics", &["check_port_listener", "1"]).0, 69);
    assert_eq!(tool(dir.path(), "rabbitmq-diagnostics", &["dance"]).0, 64);
    assert_eq!(tool(dir.path(), "rabbitmq-plugins", &["enable", "rabbitmq_management"]).0, 0);
    assert_eq!(tool(dir.path(), "rabbitmqctl", &["eval", "1."]).0, 70);
}

#[test]
fn the_socket_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let _broker = broker_with(dir.path(), "");
    let mode = std::fs::metadata(dir.path().join("data").join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
