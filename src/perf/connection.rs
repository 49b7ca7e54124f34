//! One blocking AMQP connection with one channel: login, calls, and the raw socket for the load.

use super::args::Login;
use super::frames::{Filled, FrameBuffer};
use super::template::append;
use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use std::io::{self, ErrorKind, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Class and method id.
pub(super) type MethodId = (u16, u16);

pub(super) const CONNECTION_CLOSE: MethodId = (10, 50);
pub(super) const CHANNEL_CLOSE: MethodId = (20, 40);
pub(super) const DELIVER: MethodId = (60, 60);
pub(super) const ACK: MethodId = (60, 80);
pub(super) const NACK: MethodId = (60, 120);

/// Longest wait for the reply to a call.
const REPLY_TIME: Duration = Duration::from_secs(30);

/// A read waits at most this long, so that a worker sees the end of the run.
const READ_TIME: Duration = Duration::from_millis(20);

/// A write waits at most this long before the worker looks at what the broker says: neither side may wait for ever
/// for the other to read.
const WRITE_TIME: Duration = Duration::from_millis(20);

/// Frame size used where the broker sets no limit.
const FRAME_MAX: u32 = 131_072;

/// Logged in, channel 1 open.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) input: FrameBuffer,
    pub(super) frame_max: u32,
}

impl Connection {
    pub(super) fn open(login: &Login) -> Result<Self, String> {
        let place = format!("{}:{}", login.host, login.port);
        let failed = |error: io::Error| format!("connect to {place}: {error}");
        let mut addrs = (login.host.as_str(), login.port).to_socket_addrs().map_err(failed)?;
        let addr = addrs.next().ok_or_else(|| format!("connect to {place}: no address"))?;
        let stream = TcpStream::connect_timeout(&addr, REPLY_TIME).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(READ_TIME)).map_err(failed)?;
        stream.set_write_timeout(Some(WRITE_TIME)).map_err(failed)?;
        let mut connection = Self { stream, input: FrameBuffer::new(FRAME_MAX), frame_max: FRAME_MAX };
        connection.log_in(login)?;
        connection.call(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})), (20, 11))?;
        Ok(connection)
    }

    fn log_in(&mut self, login: &Login) -> Result<(), String> {
        self.write(b"AMQP\0\0\x09\x01")?;
        self.wait_for((10, 10))?;
        let start_ok = connection::StartOk {
            client_properties: client_properties(),
            mechanism: "PLAIN".into(),
            response: format!("\0{}\0{}", login.user, login.password).into(),
            locale: "en_US".into(),
        };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)))?;
        let tune = self.wait_for((10, 30)).map_err(|error| format!("log in: {error}"))?;
        let (channel_max, frame_max) = limits_of(&tune).ok_or("log in: malformed connection.tune")?;
        if frame_max != 0 {
            self.frame_max = frame_max.clamp(crate::limits::FRAME_MAX_MIN, FRAME_MAX);
        }
        let tune_ok = connection::TuneOk { channel_max, frame_max: self.frame_max, heartbeat: 0 };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)))?;
        let vhost = amq_protocol::types::ShortString::try_new(login.vhost.as_str());
        let open = connection::Open { virtual_host: vhost.map_err(|error| format!("vhost: {error}"))? };
        self.call(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)), (10, 41))?;
        Ok(())
    }

    pub(super) fn declare(&mut self, name: &str, durable: bool) -> Result<(), String> {
        let declare = queue::Declare { queue: name.into(), durable, ..Default::default() };
        let reply = self.call(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)), (50, 11));
        let hint = if durable { "" } else { " (transient queues refused? try --durable)" };
        reply.map(|_| ()).map_err(|error| format!("declare {name}: {error}{hint}"))
    }

    pub(super) fn purge(&mut self, name: &str) -> Result<(), String> {
        let purge = queue::Purge { queue: name.into(), nowait: false };
        self.call(1, AMQPClass::Queue(queue::AMQPMethod::Purge(purge)), (50, 31)).map(|_| ())
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), String> {
        let delete = queue::Delete { queue: name.into(), ..Default::default() };
        self.call(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)), (50, 41)).map(|_| ())
    }

    pub(super) fn confirm_select(&mut self) -> Result<(), String> {
        let select = confirm::Select { nowait: false };
        self.call(1, AMQPClass::Confirm(confirm::AMQPMethod::Select(select)), (85, 11)).map(|_| ())
    }

    pub(super) fn qos(&mut self, prefetch_count: u16) -> Result<(), String> {
        let qos = basic::Qos { prefetch_count, global: false };
        self.call(1, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)), (60, 11)).map(|_| ())
    }

    /// Starts a consumer without waiting for its `-ok`: deliveries may come first.
    pub(super) fn consume(&mut self, name: &str, no_ack: bool) -> Result<(), String> {
        let consume = basic::Consume { queue: name.into(), no_ack, ..Default::default() };
        self.send(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))
    }

    /// Closes the channel: its `-ok` says that the broker has handled everything sent before.
    pub(super) fn close_channel(&mut self) -> Result<(), String> {
        let close = channel::Close { reply_code: 200, ..Default::default() };
        self.call(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)), (20, 41)).map(|_| ())
    }

    pub(super) fn close(&mut self) -> Result<(), String> {
        let close = connection::Close { reply_code: 200, ..Default::default() };
        self.call(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)), (10, 51)).map(|_| ())
    }

    fn send(&mut self, channel: u16, method: AMQPClass) -> Result<(), String> {
        let mut bytes = Vec::new();
        append(&mut bytes, &AMQPFrame::Method(channel, method))?;
        self.write(&bytes)
    }

    /// Sends a method and gives the payload of its reply. Other frames are dropped.
    fn call(&mut self, channel: u16, method: AMQPClass, reply: MethodId) -> Result<Vec<u8>, String> {
        self.send(channel, method)?;
        self.wait_for(reply)
    }

    fn wait_for(&mut self, reply: MethodId) -> Result<Vec<u8>, String> {
        let deadline = Instant::now() + REPLY_TIME;
        while Instant::now() < deadline {
            while let Some(frame) = self.input.next() {
                match frame.method() {
                    Some(method) if method == reply => return Ok(frame.payload.to_vec()),
                    Some(CONNECTION_CLOSE | CHANNEL_CLOSE) => return Err(close_text(frame.payload)),
                    _ => {}
                }
            }
            self.fill()?;
        }
        Err(format!("no reply within {} s", REPLY_TIME.as_secs()))
    }

    /// Reads once, for at most [`READ_TIME`]. The end of the stream is an error.
    pub(super) fn fill(&mut self) -> Result<Filled, String> {
        let filled = self.input.fill(&mut self.stream);
        open_still(filled)
    }

    /// Reads what is there without waiting.
    pub(super) fn fill_now(&mut self) -> Result<Filled, String> {
        let failed = |error: io::Error| format!("socket: {error}");
        self.stream.set_nonblocking(true).map_err(failed)?;
        let filled = self.input.fill(&mut self.stream);
        self.stream.set_nonblocking(false).map_err(failed)?;
        open_still(filled)
    }

    /// Writes once, for at most [`WRITE_TIME`]; how many bytes were taken, 0 if the broker does not read.
    pub(super) fn write_some(&mut self, bytes: &[u8]) -> Result<usize, String> {
        match self.stream.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(0),
                _ => Err(self.reason(&error)),
            },
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let deadline = Instant::now() + REPLY_TIME;
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.write_some(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0 && Instant::now() >= deadline {
                return Err(format!("the broker reads nothing for {} s", REPLY_TIME.as_secs()));
            }
        }
        Ok(())
    }

    /// Why a write failed: the broker's close frame, if it is still to be read.
    fn reason(&mut self, error: &io::Error) -> String {
        while matches!(self.input.fill(&mut self.stream), Ok(Filled::Bytes)) {
            while let Some(frame) = self.input.next() {
                if matches!(frame.method(), Some(CONNECTION_CLOSE | CHANNEL_CLOSE)) {
                    return close_text(frame.payload);
                }
            }
        }
        format!("write: {error}")
    }
}

/// Names this program, and asks for refusals as frames rather than closed sockets.
fn client_properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in ["authentication_failure_close", "basic.nack", "publisher_confirms"] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut properties = FieldTable::default();
    properties.insert("product".into(), AMQPValue::LongString("warren perf".into()));
    properties.insert("connection_name".into(), AMQPValue::LongString("warren perf".into()));
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties
}

/// A read's outcome; the end of the stream is an error here.
fn open_still(filled: io::Result<Filled>) -> Result<Filled, String> {
    match filled {
        Ok(Filled::End) => Err("the broker closed the connection".to_owned()),
        Ok(filled) => Ok(filled),
        Err(error) => Err(format!("read: {error}")),
    }
}

/// Channel-max and frame-max of `connection.tune`.
fn limits_of(payload: &[u8]) -> Option<(u16, u32)> {
    let rest = payload.get(4..)?;
    let (channel_max, rest) = rest.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*channel_max), u32::from_be_bytes(*rest.first_chunk::<4>()?)))
}

/// The text of a close method's payload.
pub(super) fn close_text(payload: &[u8]) -> String {
    let text = payload.get(6..).and_then(|rest| {
        let (length, rest) = rest.split_first()?;
        rest.get(..usize::from(*length))
    });
    format!("the broker refused: {}", String::from_utf8_lossy(text.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_are_read() {
        let mut bytes = Vec::new();
        let close = channel::Close { reply_code: 404, reply_text: "NOT_FOUND - q".into(), class_id: 50, method_id: 10 };
        append(&mut bytes, &AMQPFrame::Method(1, AMQPClass::Channel(channel::AMQPMethod::Close(close)))).unwrap();
        assert_eq!(close_text(&bytes[7..bytes.len() - 1]), "the broker refused: NOT_FOUND - q");
        assert_eq!(close_text(&[0, 20]), "the broker refused: ");
    }

    #[test]
    fn tune_is_read() {
        assert_eq!(limits_of(&[0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60]), Some((2047, 131_072)));
        assert_eq!(limits_of(&[0, 10, 0, 30, 7]), None);
    }
}
