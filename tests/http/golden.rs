//! Every endpoint's answer beside its golden file (`golden/`): status, headers that say something, and the whole body. What
//! differs from run to run is replaced by its type. `WARREN_GOLDEN=write` writes the files.

use crate::api::{Api, Node, Reply};
use crate::golden_cases::CASES;
use crate::support::{AMQPValue, BasicProperties, Client, Options};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Members that differ from run to run.
const VOLATILE: &[&str] = &[
    "allocated",
    "auth_attempts",
    "auth_attempts_failed",
    "auth_attempts_succeeded",
    "connected_at",
    "context_switches",
    "disk_free",
    "disk_writes",
    "erlang",
    "fd_total",
    "fd_used",
    "idle_since",
    "io_read_avg_time",
    "io_read_bytes",
    "io_read_count",
    "io_sync_avg_time",
    "io_sync_count",
    "io_write_avg_time",
    "io_write_bytes",
    "io_write_count",
    "mem_limit",
    "mem_used",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "ok",
    "os_pid",
    "other_system",
    "peer_port",
    "port",
    "proc_total",
    "proc_used",
    "processors",
    "queue_index_read_count",
    "queue_index_write_count",
    "queue_procs",
    "recv_cnt",
    "recv_oct",
    "rss",
    "run_queue",
    "send_cnt",
    "send_oct",
    "sockets_total",
    "uptime",
];

/// How a hash begins that the broker has made, in base64.
const ARGON2: &str = "JGFyZ29uMmlk";

/// A list that is longer is cut: settings and the like, of which there are more with time.
const LONG: usize = 40;

/// A broker with one of everything, and a client that is connected to it.
struct Stage {
    node: Node,
    _client: Client,
    name: String,
    connection: String,
}

impl Stage {
    fn set() -> Stage {
        // No sample is taken meanwhile: rates are 0.
        let node = Node::start(&[("WARREN_MANAGEMENT_SAMPLE_INTERVAL", "60s")]);
        let api = node.as_guest();
        let done = |reply: Reply| assert!([201, 204].contains(&reply.status), "{reply:?}");
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        done(api.put("/api/vhosts/golden", json!({"description": "of the golden files", "tags": "a,b"})));
        let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        done(api.put("/api/users/ada", json!({"password_hash": hash, "tags": "management"})));
        done(api.put("/api/permissions/golden/ada", all));
        let topic = json!({"exchange": "amq.topic", "write": "^a", "read": ".*"});
        done(api.put("/api/topic-permissions/golden/ada", topic));
        done(api.put("/api/vhost-limits/golden/max-queues", json!({"value": 50})));
        done(api.put("/api/user-limits/ada/max-channels", json!({"value": 9})));
        let policy =
            json!({"pattern": "^orders$", "definition": {"max-length": 100}, "apply-to": "queues", "priority": 1});
        done(api.put("/api/policies/golden/short", policy));
        let policy = json!({"pattern": ".*", "definition": {"max-length-bytes": 100_000}, "apply-to": "queues"});
        done(api.put("/api/operator-policies/golden/small", policy));
        done(api.put("/api/parameters/federation-upstream/golden/far", json!({"value": {"uri": "amqp://far"}})));
        done(api.put("/api/global-parameters/colour", json!({"value": {"sky": "blue"}})));
        done(api.put(
            "/api/exchanges/golden/news",
            json!({"type": "topic", "arguments": {"alternate-exchange": "amq.fanout"}}),
        ));
        done(api.put("/api/queues/golden/orders", json!({"arguments": {"x-max-length": 1000}})));
        done(api.put("/api/queues/golden/votes", json!({"arguments": {"x-queue-type": "quorum"}})));
        done(api.post("/api/bindings/golden/e/news/q/orders", json!({"routing_key": "a.#"})));
        done(api.post("/api/bindings/golden/e/news/e/amq.headers", json!({"routing_key": "", "arguments": {"n": 1}})));
        let mut options = Options { vhost: "golden".to_owned(), ..Options::default() };
        options.properties.insert("connection_name".into(), AMQPValue::LongString("golden".into()));
        let mut client = Client::open(node.broker.addr, &options).unwrap();
        client.open_channel(1).unwrap();
        client.qos(1, 5, false).unwrap();
        client.confirm_select(1).unwrap();
        let properties = BasicProperties::default().with_delivery_mode(2).with_timestamp(1_700_000_000);
        for body in ["one", "three"] {
            client.publish(1, "news", "a.b", &properties, body.as_bytes()).unwrap();
        }
        client.wait_confirms(1).unwrap();
        client.consume(1, "orders", "reader", false).unwrap();
        let first = client.deliveries(2).unwrap()[0].delivery_tag;
        client.ack(1, first, false).unwrap();
        client.sync(1).unwrap();
        let connection = api.json("/api/connections")[0]["name"].as_str().unwrap().to_owned();
        let name = api.json("/api/overview")["node"].as_str().unwrap().to_owned();
        Stage { node, _client: client, name, connection }
    }

    /// A request's address, with what differs from run to run.
    fn target(&self, written: &str) -> String {
        let encoded = |text: &str| text.replace(' ', "%20").replace('>', "%3E");
        written
            .replace("{node}", &self.name)
            .replace("{channel}", &encoded(&format!("{} (1)", self.connection)))
            .replace("{connection}", &encoded(&self.connection))
            .replace("{port}", &self.node.broker.addr.port().to_string())
    }

    /// An answer as golden files have it.
    fn golden(&self, reply: &Reply) -> Value {
        let headers = ["location", "content-disposition", "allow"];
        let headers = headers.iter().filter_map(|name| Some(((*name).to_owned(), json!(reply.header(name)?))));
        let mut golden = json!({"status": reply.status, "headers": headers.collect::<serde_json::Map<_, _>>()});
        let kind = reply.header("content-type").unwrap_or_default();
        golden["body"] = if kind.starts_with("text/plain") {
            families(&reply.body)
        } else if reply.body.is_empty() {
            Value::Null
        } else {
            let mut body = reply.json();
            self.settle(&mut body);
            body
        };
        golden
    }

    /// Replaces what differs from run to run.
    fn settle(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                if let Some(of_node) = members.remove(&self.name) {
                    members.insert("<node>".to_owned(), of_node);
                }
                for (key, member) in members {
                    match member {
                        // Its salt is new each time.
                        Value::String(hash) if key == "password_hash" && hash.starts_with(ARGON2) => {
                            *hash = "<hash>".to_owned()
                        }
                        Value::Number(_) if VOLATILE.contains(&key.as_str()) => *member = json!("<number>"),
                        Value::String(_) if VOLATILE.contains(&key.as_str()) => *member = json!("<text>"),
                        Value::Array(_) if key == "ports" => *member = json!("<list>"),
                        other => self.settle(other),
                    }
                }
            }
            Value::Array(elements) if elements.len() > LONG => {
                elements.truncate(3);
                elements.push(json!("<more>"));
                self.settle(value);
            }
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.settle(element)),
            Value::String(text) => {
                let data = self.node.broker.data_dir.to_string_lossy().into_owned();
                for (found, shown) in [
                    (self.name.as_str(), "<node>"),
                    (self.connection.as_str(), "<connection>"),
                    (data.as_str(), "<data>"),
                    (env!("CARGO_PKG_VERSION"), "<version>"),
                    (&self.node.http.to_string(), "<http>"),
                    (&self.node.broker.addr.to_string(), "<amqp>"),
                ] {
                    *text = text.replace(found, shown);
                }
            }
            _ => {}
        }
    }
}

/// The families of figures, each with its type and the names of its labels.
fn families(text: &str) -> Value {
    let mut found = BTreeSet::new();
    let mut kind = String::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            kind = typed.split(' ').nth(1).unwrap().to_owned();
        } else if !line.starts_with('#') {
            let key = line.rsplit_once(' ').unwrap().0;
            let (name, labels) = key.split_once('{').unwrap_or((key, ""));
            let labels: Vec<&str> = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0)).collect();
            found.insert(format!("{kind} {name} {}", labels.join(",")).trim().to_owned());
        }
    }
    json!(found)
}

fn file_of(verb: &str, route: &str, number: usize) -> PathBuf {
    let words = route.split(['/', '.']).map(|part| part.trim_matches(['{', '}'])).filter(|part| !part.is_empty());
    let mut name = verb.to_lowercase();
    words.for_each(|word| name.push_str(&format!("-{word}")));
    if number > 1 {
        name.push_str(&format!("-{number}"));
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/golden").join(format!("{name}.json"))
}

fn send(api: &Api, verb: &str, target: &str, body: &str) -> Reply {
    let headers: &[(&str, &str)] = match target {
        "/api/login" => &[("content-type", "application/x-www-form-urlencoded")],
        _ => &[],
    };
    api.send(verb, target, (!body.is_empty()).then_some(body.as_bytes()), headers)
}

#[test]
fn every_endpoint_answers_as_its_golden_file() {
    let stage = Stage::set();
    let api = stage.node.as_guest();
    let (write, mut wrong, mut seen) = (std::env::var("WARREN_GOLDEN").is_ok(), Vec::new(), Vec::new());
    for (verb, route, target, body) in CASES {
        seen.push((*verb, *route));
        let number = seen.iter().filter(|case| **case == (*verb, *route)).count();
        let file = file_of(verb, route, number);
        let golden = stage.golden(&send(&api, verb, &stage.target(target), body));
        if write {
            std::fs::write(&file, format!("{golden:#}\n")).unwrap();
            continue;
        }
        let wanted: Value = match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).unwrap(),
            Err(error) => panic!("{}: {error}", file.display()),
        };
        if golden != wanted {
            wrong.push(format!("{verb} {target}:\n{golden:#}\nwanted ({}):\n{wanted:#}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_route_of_the_table_has_a_golden_file() {
    let node = Node::start(&[]);
    let description = node.nobody().json("/api/openapi.json");
    let figures = ["/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown"];
    let mut routes: BTreeSet<(String, String)> =
        figures.iter().map(|path| ("GET".to_owned(), (*path).to_owned())).collect();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|verb| (verb.to_uppercase(), path.clone())));
    }
    let cases: BTreeSet<(String, String)> =
        CASES.iter().map(|(verb, route, ..)| ((*verb).to_owned(), (*route).to_owned())).collect();
    let missing: Vec<_> = routes.difference(&cases).collect();
    assert!(missing.is_empty(), "without a golden file: {missing:?}");
    let unknown: Vec<_> = cases.difference(&routes).collect();
    assert!(unknown.is_empty(), "not in the table: {unknown:?}");
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http/golden")).unwrap();
    assert_eq!(files.count(), CASES.len(), "a file for each case");
}
