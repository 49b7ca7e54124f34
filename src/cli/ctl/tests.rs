//! Commands against a node of a few lines: what they ask, print and exit with.

use super::outcome::{DATA, NO_USER, TEMPORARY, UNAVAILABLE};
use super::*;
use crate::cli::Stop;
use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

/// A node that answers by the first of these that a question begins with, and keeps what it was asked.
struct Node {
    _dir: tempfile::TempDir,
    environment: Vec<(String, String)>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn node(answers: &'static [(&'static str, u16, &'static str)]) -> Node {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut header, mut length) = (String::new(), String::new(), 0);
            stream.read_line(&mut line).unwrap();
            while stream.read_line(&mut header).unwrap() > 2 {
                if let Some(value) = header.strip_prefix("Content-Length:") {
                    length = value.trim().parse().unwrap();
                }
                header.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let question = line.trim().trim_end_matches(" HTTP/1.0").replace("/api/", "");
            let answer = answers.iter().find(|(start, ..)| question.starts_with(start));
            let (status, answer) = answer.map_or((404, "{}"), |(_, status, answer)| (*status, *answer));
            seen.lock().push(format!("{question} {}", String::from_utf8(body).unwrap()).trim_end().to_owned());
            write!(stream.get_mut(), "HTTP/1.0 {status} X\r\n\r\n{answer}").unwrap();
        }
    });
    let environment = vec![("WARREN_SOCKET".to_owned(), socket.display().to_string())];
    Node { _dir: dir, environment, asked }
}

impl Node {
    fn run(&self, words: &[&str]) -> (u8, String) {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let Stop { status, text } = run("rabbitmqctl", &words, &self.environment);
        (status, text)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

#[test]
fn lists() {
    let node =
        node(&[("GET queues/%2F", 200, r#"[{"name":"q","messages":3,"consumers":1}]"#), ("GET queues", 404, "")]);
    let told = "Listing queues for vhost / ...\nname\tmessages\nq\t3\n";
    assert_eq!(node.run(&["list_queues"]), (0, told.into()));
    assert_eq!(node.run(&["list_queues", "-q", "name", "consumers"]), (0, "name\tconsumers\nq\t1\n".into()));
    assert_eq!(node.run(&["-s", "list_queues", "name"]), (0, "q\n".into()));
    assert_eq!(node.run(&["list_queues", "--formatter", "json", "name"]), (0, "[\n{\"name\":\"q\"}\n]\n".into()));
    let unknown = "Error (argument validation): Info key(s) oddity,more are not supported\n";
    assert_eq!(node.run(&["list_queues", "oddity", "name", "more"]), (USAGE, unknown.into()));
    assert_eq!(node.run(&["list_queues", "-p", "nowhere"]).0, DATA);
}

#[test]
fn users_and_permissions() {
    let answers = &[
        ("GET users/old", 200, r#"{"name":"old","password_hash":"h","hashing_algorithm":"a","tags":["t"]}"#),
        ("PUT users/", 204, ""),
        ("PUT permissions/", 201, ""),
        ("DELETE users/old", 204, ""),
    ];
    let node = node(answers);
    let (status, text) = node.run(&["add_user", "new", "secret"]);
    assert!(status == 0 && text.starts_with("Adding user \"new\" ...\nDone. Don't forget"), "{text}");
    assert!(!text.contains("secret"));
    assert_eq!(node.asked(), ["GET users/new", r#"PUT users/new {"password":"secret","tags":""}"#]);
    assert_eq!(node.run(&["add_user", "old", "x"]), (SOFTWARE, "Error:\nUser \"old\" already exists\n".into()));
    node.asked();
    assert_eq!(node.run(&["set_user_tags", "old", "administrator", "x"]).0, 0);
    let put = r#"PUT users/old {"hashing_algorithm":"a","password_hash":"h","tags":"administrator,x"}"#;
    assert_eq!(node.asked(), ["GET users/old", put]);
    assert_eq!(node.run(&["change_password", "old", "new"]).0, 0);
    assert_eq!(node.asked()[1], r#"PUT users/old {"password":"new","tags":["t"]}"#);
    assert_eq!(node.run(&["set_permissions", "-p", "v/w", "old", ".*", "^a", ""]).0, 0);
    let put = r#"PUT permissions/v%2Fw/old {"configure":".*","read":"","write":"^a"}"#;
    assert_eq!(node.asked()[1], put);
    let (status, text) = node.run(&["delete_user", "nobody"]);
    assert_eq!((status, &text[..]), (NO_USER, "Error:\nUser \"nobody\" does not exist\n"));
    assert_eq!(node.run(&["set_permissions", "nobody", "", "", ""]).0, NO_USER);
    assert_eq!(node.run(&["delete_user", "old", "-q"]), (0, String::new()));
}

#[test]
fn policies_and_what_is_refused() {
    let answers = &[
        ("PUT policies/%2F/bad", 400, r#"{"error":"bad_request","reason":"why not"}"#),
        ("PUT policies/", 201, ""),
        ("DELETE queues/%2F/q?if-empty=true", 400, r#"{"reason":"queue 'q' in vhost '/' is not empty"}"#),
        ("DELETE queues/%2F/q/contents", 404, ""),
        ("DELETE queues/%2F/q", 204, ""),
        ("GET queues/%2F/q", 200, r#"{"messages_ready":3}"#),
    ];
    let node = node(answers);
    let words = ["set_policy", "p", "^a", r#"{"max-length":1}"#, "--priority", "3", "--apply-to", "queues"];
    assert_eq!(node.run(&words).0, 0);
    let put = r#"PUT policies/%2F/p {"apply-to":"queues","definition":{"max-length":1},"pattern":"^a","priority":3}"#;
    assert_eq!(node.asked(), [put]);
    assert_eq!(node.run(&["set_policy", "bad", "^a", "{}"]), (UNAVAILABLE, "Error:\nwhy not\n".into()));
    assert_eq!(node.run(&["set_policy", "p", "^a", "{"]).0, UNAVAILABLE);
    assert_eq!(node.run(&["set_policy", "p"]).0, USAGE);
    assert_eq!(node.run(&["delete_queue", "q", "--if-empty"]).0, USAGE);
    let deleted = "Deleting queue 'q' on vhost '/' if queue is unused ...\nQueue was successfully deleted with 3 ready messages\n";
    assert_eq!(node.run(&["delete_queue", "q", "--if-unused"]), (0, deleted.into()));
    assert_eq!(node.run(&["delete_queue", "r"]).0, USAGE);
    assert_eq!(node.run(&["purge_queue", "q"]).0, UNAVAILABLE);
}

const RUNNING: &str = r#"{"name":"n","serving":"running","rabbitmq_version":"4.2.0"}"#;
const OVERVIEW: &str = r#"{"node":"n","listeners":[{"node":"n","ip_address":"::","port":5672,"protocol":"amqp"}]}"#;

#[test]
fn probes() {
    let answers = &[
        ("GET nodes", 200, r#"[{"name":"n","mem_alarm":true}]"#),
        ("GET node", 200, RUNNING),
        ("GET overview", 200, OVERVIEW),
        ("GET health/checks/virtual-hosts", 200, "{}"),
        ("GET health/checks/certificate-expiration/4/weeks", 503, r#"{"status":"failed","reason":"expires"}"#),
    ];
    let node = node(answers);
    let ping = "Will ping n. This only checks that its process answers.\nPing succeeded\n";
    assert_eq!(node.run(&["ping"]), (0, ping.into()));
    let running = "RabbitMQ on node n is fully booted and running\n";
    let told = format!("Checking if RabbitMQ is running on node n ...\n{running}");
    assert_eq!(node.run(&["check_running"]), (0, told));
    // What came of it is told to those who want quiet, too.
    assert_eq!(node.run(&["-q", "ping"]), (0, "Ping succeeded\n".into()));
    assert_eq!(node.run(&["-s", "check_running"]), (0, running.into()));
    let (_, text) = node.run(&["check_port_listener", "5672", "-q"]);
    assert_eq!(text, "A listener for port 5672 is running on node n.\n");
    let (status, text) = node.run(&["check_port_listener", "5671"]);
    assert!(status == UNAVAILABLE && text.ends_with("use the following ports: 5672\n"), "{text}");
    assert_eq!(node.run(&["check_port_listener", "x"]).0, DATA);
    assert_eq!(
        (node.run(&["check_protocol_listener", "AMQP"]).0, node.run(&["check_protocol_listener", "mqtt"]).0),
        (0, 69)
    );
    assert_eq!(node.run(&["check_virtual_hosts"]).0, 0);
    assert_eq!(node.run(&["check_certificate_expiration"]), (UNAVAILABLE, "Error:\nexpires\n".into()));
    assert_eq!(node.run(&["check_certificate_expiration", "--unit", "ounces"]).0, USAGE);
    assert_eq!(node.run(&["check_alarms"]), (UNAVAILABLE, "Error:\nMemory alarm on node n\n".into()));
    assert_eq!(node.run(&["-q", "alarms"]), (0, "Memory alarm on node n\n".into()));
    assert_eq!(node.run(&["server_version", "-q"]), (0, "4.2.0\n".into()));
    let listener = "Interface: [::], port: 5672, protocol: amqp, purpose: AMQP 0-9-1\n";
    assert_eq!(node.run(&["listeners", "-q"]), (0, listener.into()));
    assert_eq!(node.run(&["eval", "1."]).0, SOFTWARE);
    assert_eq!(node.run(&["rebalance", "nonsense"]).0, UNAVAILABLE);
}

#[test]
fn what_programs_are_told() {
    let answers = &[
        ("GET nodes/n/memory", 200, r#"{"memory":{"a":1,"b":3,"strategy":"rss","total":{"rss":4}}}"#),
        ("GET nodes", 200, r#"[{"name":"n","mem_alarm":false}]"#),
        ("GET node", 200, RUNNING),
        ("GET overview", 200, OVERVIEW),
        ("PUT users/", 204, ""),
    ];
    let node = node(answers);
    let told = |words: &[&str]| {
        let mut words = words.to_vec();
        words.extend(["--formatter", "json"]);
        let (status, text) = node.run(&words);
        assert_eq!(status, 0, "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    assert_eq!(told(&["ping"]), json!({"message": "Ping succeeded", "node": "n", "result": "ok"}));
    assert_eq!(told(&["add_user", "u", "p"]), json!({"node": "n", "result": "ok"}));
    assert_eq!(told(&["is_running"])["result"], true);
    assert_eq!(told(&["is_booting"])["result"], false);
    assert_eq!(told(&["server_version"]), json!({"result": "ok", "value": "4.2.0"}));
    assert_eq!(told(&["version"])["value"]["version"], RABBITMQ_VERSION);
    assert_eq!(told(&["alarms"]), json!({"alarms": [], "node": "n", "result": "ok"}));
    let amqp = json!([{"node": "n", "interface": "[::]", "port": 5672, "protocol": "amqp", "purpose": "AMQP 0-9-1"}]);
    assert_eq!(told(&["listeners"]), json!({"listeners": amqp, "node": "n", "result": "ok"}));
    let parts = json!({"a": {"bytes": 1, "percentage": 25.0}, "b": {"bytes": 3, "percentage": 75.0}});
    assert_eq!(told(&["memory_breakdown"]), parts);
    assert_eq!(node.run(&["-q", "memory_breakdown", "--unit", "bytes"]).1, "b: 3 bytes (75%)\na: 1 bytes (25%)\n");
    let (status, text) = node.run(&["delete_user", "nobody", "--formatter=json"]);
    assert_eq!(
        (status, &text[..]),
        (NO_USER, "{\"message\":\"User \\\"nobody\\\" does not exist\",\"result\":\"error\"}\n")
    );
}

#[test]
fn a_dry_run_asks_nothing() {
    let node = node(&[("GET node", 200, RUNNING), ("DELETE", 204, "")]);
    assert_eq!(node.run(&["delete_user", "u", "--dry-run"]), (0, String::new()));
    assert_eq!(node.run(&["delete_user", "--dry-run"]).0, USAGE);
    assert_eq!(node.run(&["list_queues", "--dry-run"]), (0, "Listing queues for vhost / ...\n".into()));
    assert!(node.asked().is_empty());
}

#[test]
fn what_is_meant_for_another_machine_does_not_happen_here() {
    let node = node(&[("GET node", 200, RUNNING), ("PUT node/serving", 204, "")]);
    let system = rustix::system::uname();
    let here = format!("rabbit@{}", system.nodename().to_string_lossy());
    for name in ["rabbit@localhost", "rabbit", &here, &format!("{here}.example.org")] {
        assert_eq!(node.run(&["-n", name, "stop_app"]).0, 0, "{name}");
    }
    node.asked();
    for words in [&["-n", "rabbit@elsewhere", "stop_app"][..], &["list_queues", "--node=rabbit@elsewhere.example.org"]]
    {
        let (status, text) = node.run(words);
        assert!(status == UNAVAILABLE && text.contains("is not on this machine"), "{status} {text}");
    }
    assert!(!node.asked().iter().any(|asked| asked.starts_with("PUT")));
}

#[test]
fn limits_of_one_and_of_all() {
    const ALL: &str = r#"[{"vhost":"v","user":"guest","value":{"max-queues":1}}]"#;
    let node = node(&[("GET vhost-limits", 200, ALL), ("GET user-limits", 200, ALL), ("GET vhosts/v", 200, "{}")]);
    let limits = "{\"max-queues\":1}\n";
    let told = format!("Listing limits for vhost \"v\" ...\n{limits}");
    assert_eq!(node.run(&["list_vhost_limits", "-p", "v"]), (0, told));
    assert_eq!(node.run(&["list_vhost_limits", "--global", "-s"]), (0, format!("v\t{limits}")));
    assert_eq!(node.run(&["list_vhost_limits", "-p", "nowhere"]).0, DATA);
    let told = format!("Listing limits for user \"guest\" ...\n{limits}");
    assert_eq!(node.run(&["list_user_limits"]), (0, told));
    assert_eq!(node.run(&["list_user_limits", "--user", "nobody"]).0, NO_USER);
}

#[test]
fn a_node_that_was_stopped() {
    const STOPPED: &str = r#"{"error":"unavailable","reason":"this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'."}"#;
    let node = node(&[
        ("GET nodes", 503, STOPPED),
        ("GET node", 200, r#"{"name":"n","serving":"stopped","os_pid":7}"#),
        ("PUT node/serving", 204, ""),
        ("GET", 503, STOPPED),
        ("PUT", 503, STOPPED),
    ]);
    let told = "Error: this command requires the 'rabbit' app to be running on the target node. Start it with \
                'rabbitmqctl start_app'.\n";
    for words in
        [&["list_queues"][..], &["add_vhost", "v"], &["check_alarms"], &["drain"], &["set_disk_free_limit", "1GB"]]
    {
        assert_eq!(node.run(words), (USAGE, told.into()), "{words:?}");
    }
    assert_eq!(node.run(&["ping", "-q"]).0, 0);
    let (status, text) = node.run(&["check_running"]);
    assert_eq!((status, text.contains("not running or has not fully booted yet")), (UNAVAILABLE, true), "{text}");
    assert_eq!(node.run(&["is_running"]).0, 0);
    assert_eq!(node.run(&["await_startup", "-t", "0.1"]), (UNAVAILABLE, "Error:\nrabbit_is_not_running\n".into()));
    assert_eq!(node.run(&["status"]).0, USAGE);
    node.asked();
    assert_eq!(node.run(&["start_app"]), (0, "Starting node n ...\n".into()));
    assert_eq!(node.asked()[1], r#"PUT node/serving {"serving":"running"}"#);
}

#[test]
fn the_nodes_switches() {
    let node = node(&[("GET node", 200, r#"{"name":"n","serving":"running"}"#), ("PUT node/", 204, "")]);
    let asked = |words: &[&str], begins: &str| {
        node.asked();
        let (status, text) = node.run(words);
        assert!(status == 0 && text.starts_with(begins), "{words:?}: {status} {text}");
        node.asked().pop().unwrap()
    };
    let serving = |state: &str| format!(r#"PUT node/serving {{"serving":"{state}"}}"#);
    assert_eq!(asked(&["stop_app"], "Stopping rabbit application on node n ..."), serving("stopped"));
    assert_eq!(asked(&["drain"], "Will put node n into maintenance mode."), serving("drained"));
    assert_eq!(asked(&["revive"], "Will put node n back into regular"), serving("running"));
    assert_eq!(
        asked(&["suspend_listeners"], "Will suspend client connection listeners on node n."),
        serving("suspended")
    );
    assert_eq!(asked(&["resume_listeners"], "Will resume client connection listeners on node n."), serving("running"));
    let memory = asked(&["set_vm_memory_high_watermark", "0.5"], "Setting memory threshold on n to 0.5 ...");
    assert_eq!(memory, r#"PUT node/memory-limit {"of_memory":0.5}"#);
    let memory =
        asked(&["set_vm_memory_high_watermark", "absolute", "2GB"], "Setting memory threshold on n to 2GB bytes ...");
    assert_eq!(memory, r#"PUT node/memory-limit {"bytes":2000000000}"#);
    let disk = asked(
        &["set_disk_free_limit", "mem_relative", "1.5"],
        "Setting disk free limit on n to 1.5 times the total RAM",
    );
    assert_eq!(disk, r#"PUT node/disk-free-limit {"of_memory":1.5}"#);
    assert_eq!(
        asked(&["set_disk_free_limit", "5MiB"], "Setting disk"),
        r#"PUT node/disk-free-limit {"bytes":5242880}"#
    );
    assert_eq!(
        asked(&["set_log_level", "debug"], "Setting log level to \"debug\" ..."),
        r#"PUT node/log-level {"level":"debug"}"#
    );
    for wrong in [
        &["set_vm_memory_high_watermark", "1.5"][..],
        &["set_vm_memory_high_watermark", "absolute", "x"],
        &["set_disk_free_limit", "1XB"],
    ] {
        assert_eq!(node.run(wrong).0, DATA, "{wrong:?}");
    }
    for wrong in
        [&["set_vm_memory_high_watermark", "absolute"][..], &["set_disk_free_limit", "1", "2"], &["set_log_level"]]
    {
        assert_eq!(node.run(wrong).0, USAGE, "{wrong:?}");
    }
}

#[test]
fn many_connections_are_closed() {
    const TWO: &str = r#"[{"name":"a:1 -> b:2"},{"name":"c"}]"#;
    let node = node(&[
        ("GET vhosts/%2F/connections", 200, TWO),
        ("GET connections", 200, TWO),
        ("GET node", 200, r#"{"name":"n"}"#),
        ("DELETE connections/", 204, ""),
    ]);
    let told = "Closing all connections in vhost /, reason: why...\nClosed 2 connections\n";
    assert_eq!(node.run(&["close_all_connections", "why"]), (0, told.into()));
    assert_eq!(node.asked()[1..], ["DELETE connections/a%3A1%20-%3E%20b%3A2", "DELETE connections/c"]);
    let (_, text) = node.run(&["close_all_connections", "--limit", "1", "--per-connection-delay", "5", "why"]);
    assert!(text.starts_with("Closing 1 connections in vhost /") && text.ends_with("Closed 1 connections\n"), "{text}");
    let (_, text) = node.run(&["close_all_connections", "--global", "why"]);
    assert!(text.starts_with("Closing all connections to node n, reason") && text.contains("Closed 2"), "{text}");
    assert_eq!((node.run(&["close_all_connections"]).0, node.run(&["close_connection", "a"]).0), (USAGE, USAGE));
    assert_eq!(node.run(&["close_all_connections", "--limit", "x", "why"]).0, USAGE);
}

#[test]
fn nobody_there_and_wrong_words() {
    let nowhere = vec![("WARREN_SOCKET".to_owned(), "/nowhere/socket".to_owned())];
    let run = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        run("rabbitmqctl", &words, &nowhere)
    };
    assert_eq!(run(&["ping"]).status, UNAVAILABLE);
    assert_eq!(run(&["list_queues"]).status, UNAVAILABLE);
    assert_eq!(run(&["await_startup", "--timeout", "0.1"]).status, TEMPORARY);
    assert_eq!(run(&["dance"]).status, USAGE);
    assert!(run(&["list_quues"]).text.contains("Did you mean 'list_queues'?"));
    // Options of a command that is refused are not what is wrong with it.
    assert_eq!(run(&["encode", "--cipher", "aes_256_cbc", "secret", "passphrase"]).status, SOFTWARE);
    assert_eq!(run(&[]).status, USAGE);
    assert_eq!(run(&["help"]).status, 0);
    assert_eq!(run(&["list_queues", "--fromatter", "json"]).status, USAGE);
}

#[test]
fn names_of_tools_and_plugins() {
    assert_eq!(
        (tool("/usr/sbin/rabbitmqctl"), tool("warren"), tool("x/rabbitmq-queues")),
        (Some("rabbitmqctl"), None, Some("rabbitmq-queues"))
    );
    let plugins = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        super::run("rabbitmq-plugins", &words, &[])
    };
    assert_eq!(plugins(&["enable", "rabbitmq_management", "--offline"]).status, 0);
    assert!(plugins(&["enable", "rabbitmq_mqtt"]).text.contains("rabbitmq_mqtt"));
    assert_eq!(plugins(&["is_enabled", "rabbitmq_mqtt"]).status, UNAVAILABLE);
    assert_eq!(plugins(&["list", "-m", "-q", "^rabbitmq_prom"]).text, "rabbitmq_prometheus\n");
    assert_eq!(plugins(&["is_enabled", "-q", "rabbitmq_management"]).text, "Plugin rabbitmq_management is enabled\n");
    assert_eq!((plugins(&["is_enabled"]).status, plugins(&["enable"]).status), (USAGE, USAGE));
    let listed: serde_json::Value = serde_json::from_str(&plugins(&["list", "--formatter=json"]).text).unwrap();
    assert_eq!((&listed["format"], &listed["plugins"][0]["running"]), (&json!("normal"), &json!(true)));
}

/// compat.md 4: what operators type every day is carried out, or refused by name.
#[test]
fn the_daily_commands_are_known() {
    const DAILY: &str = "status cluster_status list_queues list_exchanges list_bindings list_connections list_channels \
        list_consumers list_unresponsive_queues list_users list_vhosts list_permissions list_user_permissions \
        list_topic_permissions list_policies list_operator_policies list_parameters list_global_parameters \
        list_feature_flags list_deprecated_features list_user_limits list_vhost_limits add_user delete_user \
        change_password clear_password authenticate_user hash_password set_user_tags set_permissions \
        set_permissions_globally clear_permissions set_topic_permissions add_vhost delete_vhost update_vhost_metadata \
        set_vhost_limits set_vhost_tags enable_vhost_deletion_protection disable_vhost_deletion_protection restart_vhost \
        trace_on trace_off set_policy clear_policy set_operator_policy clear_operator_policy set_parameter \
        clear_parameter set_global_parameter purge_queue delete_queue close_connection close_all_connections \
        close_all_user_connections export_definitions import_definitions enable_feature_flag set_cluster_name \
        join_cluster forget_cluster_node reset force_reset force_boot start_app stop_app stop shutdown await_startup \
        await_online_nodes wait suspend_listeners resume_listeners set_vm_memory_high_watermark set_disk_free_limit \
        set_log_level rotate_logs report environment eval encode decode ping node_health_check check_running \
        check_local_alarms check_alarms check_port_connectivity check_port_listener check_protocol_listener \
        check_virtual_hosts check_certificate_expiration check_if_any_deprecated_features_are_used \
        check_for_quorum_queues_without_an_elected_leader check_if_metadata_store_is_initialized server_version \
        erlang_version listeners memory_breakdown alarms maybe_stuck observer log_tail log_tail_stream log_location \
        consume_event_stream list_policies_that_match tls_versions cipher_suites is_running is_booting \
        runtime_thread_stats message_size_stats metadata_store_status resolve_hostname quorum_status \
        check_if_node_is_quorum_critical add_member delete_member grow grow_to_count shrink rebalance peek \
        transfer_leadership force_checkpoint reclaim_quorum_memory add_replica delete_replica stream_status \
        restart_stream coordinator_status list_stream_connections list_stream_consumers list_stream_publishers drain \
        revive await_online_quorum_plus_one post_upgrade";
    for command in DAILY.split_whitespace() {
        let carried_out = commands().any(|(name, ..)| *name == command) || List::of(command).is_some();
        assert!(carried_out != refused::why(command).is_some(), "{command}");
    }
}

#[test]
fn no_command_is_there_twice() {
    let mut names: Vec<&str> = commands().map(|(name, ..)| *name).collect();
    names.extend(refused::COMMANDS.iter().map(|(name, _)| *name));
    names.extend(lists::LISTS.iter().map(|list| list.command));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
