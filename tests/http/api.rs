//! A blocking HTTP client that shows every byte, and the broker that it talks to.

use crate::support::{Broker, free_port};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A broker with an API.
pub struct Node {
    pub broker: Broker,
    pub http: SocketAddr,
    dir: tempfile::TempDir,
}

impl Node {
    pub fn start(env: &[(&str, &str)]) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let address = http.to_string();
        let mut all = vec![("WARREN_MANAGEMENT_ADDRESS", address.as_str())];
        all.extend_from_slice(env);
        let broker = Broker::start_with(&dir.path().join("data"), &[], &all);
        Node { broker, http, dir }
    }

    /// Kills the broker and starts it again, without the settings that the first one had.
    pub fn restart(&mut self) {
        self.broker.kill9();
        let address = self.http.to_string();
        let env = [("WARREN_MANAGEMENT_ADDRESS", address.as_str())];
        self.broker = Broker::start_with(&self.dir.path().join("data"), &[], &env);
    }

    pub fn as_guest(&self) -> Api {
        self.login("guest", "guest")
    }

    pub fn login(&self, user: &str, password: &str) -> Api {
        Api { http: self.http, authorization: Some(basic(user, password)) }
    }

    pub fn nobody(&self) -> Api {
        Api { http: self.http, authorization: None }
    }
}

/// The broker that tests share.
pub fn shared() -> &'static Node {
    static NODE: OnceLock<(Node, Child)> = OnceLock::new();
    let start = || {
        let node = Node::start(&[("WARREN_MANAGEMENT_SAMPLE_INTERVAL", "100ms")]);
        // A static is never dropped: a shell waits for the end of this process, whose end of the pipe closes then.
        let command = "cat >/dev/null; kill -KILL $0; rm -rf $1";
        let mut reaper = Command::new("sh");
        reaper.args(["-c", command, &node.broker.pid().to_string()]).arg(node.dir.path());
        let reaper = reaper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        (node, reaper)
    };
    &NODE.get_or_init(start).0
}

/// A client as guest of the shared broker.
pub fn guest() -> Api {
    shared().as_guest()
}

pub fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }
}

/// A client.
#[derive(Clone)]
pub struct Api {
    pub http: SocketAddr,
    pub authorization: Option<String>,
}

impl Api {
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Reply {
        self.send(method, path, body.map(Value::to_string).as_deref().map(str::as_bytes), headers)
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>, headers: &[(&str, &str)]) -> Reply {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(10)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.http);
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("authorization: {authorization}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
            if headers.iter().all(|(name, _)| *name != "content-type") {
                head.push_str("content-type: application/json\r\n");
            }
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A refused client's body is not read: then writing it may fail, and the answer counts.
        let _ = stream.write_all(body.unwrap_or_default());
        read_reply(&mut stream)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None, &[])
    }

    /// The JSON of a GET that succeeds.
    pub fn json(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "GET {path}: {reply:?}");
        reply.json()
    }

    pub fn put(&self, path: &str, body: Value) -> Reply {
        self.call("PUT", path, Some(&body), &[])
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(&body), &[])
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, None, &[])
    }
}

pub fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {read:?} {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Reply { status: status.unwrap_or_else(|| panic!("{head}")), head: head.to_owned(), body: body.to_owned() }
}

/// The members of an object that a test looks at.
pub fn only(object: &Value, keys: &[&str]) -> Value {
    keys.iter()
        .map(|key| ((*key).to_owned(), object.get(*key).cloned().unwrap_or(Value::Null)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Waits until something is so.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
