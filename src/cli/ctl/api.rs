//! The running node's management API, through its local socket: whoever may open the socket's file is an administrator.

use crate::cli::progress::Clock;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES: u64 = 1 << 30;

/// How a question is answered.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Answer {
    /// 2xx: the body, or null.
    Done(Value),
    /// 404.
    NotFound,
    /// Anything else: the status, and the reason in the body.
    Refused(u16, String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Silence {
    /// Nobody is there.
    Down(String),
    /// The socket is another user's.
    Forbidden(String),
    /// It takes too long.
    Late,
}

/// The way to a node.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Api {
    pub socket: PathBuf,
    pub timeout: Option<Duration>,
}

impl Api {
    pub fn get(&self, path: &str) -> Result<Answer, Silence> {
        self.ask("GET", path, None)
    }

    /// Asks. `path`: below `/api/`, encoded.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Silence> {
        self.ask_with(method, path, body, None)
    }

    /// Asks with one more header.
    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<Answer, Silence> {
        let down = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Silence::Late,
            std::io::ErrorKind::PermissionDenied => Silence::Forbidden(format!("{}: {error}", self.socket.display())),
            _ => Silence::Down(format!("{}: {error}", self.socket.display())),
        };
        let mut stream = UnixStream::connect(&self.socket).map_err(down)?;
        stream.set_read_timeout(self.timeout).map_err(down)?;
        stream.set_write_timeout(self.timeout).map_err(down)?;
        let _clock = Clock::start(&format!("{method} {}", path.split('?').next().unwrap_or(path)));
        let body = body.map(Value::to_string).unwrap_or_default();
        // With 1.0 the answer is neither cut in chunks nor kept open.
        let more = header.map(|(name, value)| format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
        let head = format!(
            "{method} /api/{path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n{}\
             Content-Length: {}\r\n\r\n",
            more.unwrap_or_default(),
            body.len()
        );
        let written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        let mut answer = Vec::new();
        let heard = stream.take(ANSWER_BYTES).read_to_end(&mut answer);
        // What is refused by its head is answered before its body is read.
        if answer.is_empty() {
            written.map_err(down)?;
            heard.map_err(down)?;
        }
        read(&answer).ok_or_else(|| Silence::Down(format!("{}: no HTTP", self.socket.display())))
    }
}

/// Reads an answer.
fn read(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    let body = bytes.get(end + 4..)?;
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    Some(match status {
        200..300 => Answer::Done(value),
        404 => Answer::NotFound,
        _ => {
            let reason = value.get("reason").and_then(Value::as_str).map(str::to_owned);
            Answer::Refused(status, reason.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
        }
    })
}

/// A part of a path: a name as it stands in one.
pub(super) fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers() {
        let done = read(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!(done, Answer::Done(json!({"a": 1})));
        assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(Answer::Done(Value::Null)));
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\n{}"), Some(Answer::NotFound));
        let refused = read(b"HTTP/1.1 400 Bad Request\r\n\r\n{\"error\":\"bad_request\",\"reason\":\"why\"}");
        assert_eq!(refused, Some(Answer::Refused(400, "why".into())));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn names_in_paths() {
        assert_eq!(encoded("/"), "%2F");
        assert_eq!(encoded("a b+\u{e9}~"), "a%20b%2B%C3%A9~");
    }

    #[test]
    fn what_is_refused_before_it_is_read_has_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let node = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 64];
            stream.read_exact(&mut head).unwrap();
            stream.write_all(b"HTTP/1.0 413 Too Large\r\n\r\n{\"reason\":\"too large\"}").unwrap();
        });
        let api = Api { socket, timeout: None };
        let body = Value::String("x".repeat(8 * 1024 * 1024));
        let answer = api.ask("POST", "definitions", Some(&body)).unwrap();
        assert_eq!(answer, Answer::Refused(413, "too large".into()));
        node.join().unwrap();
    }

    #[test]
    fn nobody_there_is_told() {
        let api = Api { socket: "/nowhere/socket".into(), timeout: None };
        assert!(matches!(api.get("overview"), Err(Silence::Down(_))));
    }
}
