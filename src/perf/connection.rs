//! One blocking AMQP connection with one channel: login and calls. Under load its socket is a [`Link`](super::link::Link).

use super::frames::{MethodId, next};
use super::plan::{Login, Topology};
use super::socket::Socket;
use super::template::append_method;
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection, exchange, queue};
use amq_protocol::types::{AMQPValue, FieldTable};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Longest wait for the broker to take or give bytes.
const REPLY_TIME: Duration = Duration::from_secs(60);

/// Frame size used where the broker sets no limit.
const FRAME_MAX: u32 = 131_072;

/// Bytes read at once while calling.
const READ_BYTES: usize = 4096;

/// Logged in, channel 1 open.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// Read and not yet walked.
    pub(super) input: Vec<u8>,
    pub(super) frame_max: u32,
}

impl Connection {
    pub(super) fn open(login: &Login) -> Result<Self, String> {
        let mut connection = Self::log_in(login)?;
        connection.call(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})), (20, 11))?;
        Ok(connection)
    }

    fn log_in(login: &Login) -> Result<Self, String> {
        let place = format!("{}:{}", login.host, login.port);
        let failed = |error: io::Error| format!("connect to {place}: {error}");
        let mut addrs = (login.host.as_str(), login.port).to_socket_addrs().map_err(failed)?;
        let addr = addrs.next().ok_or_else(|| format!("connect to {place}: no address"))?;
        let stream = TcpStream::connect_timeout(&addr, REPLY_TIME).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(REPLY_TIME)).map_err(failed)?;
        stream.set_write_timeout(Some(REPLY_TIME)).map_err(failed)?;
        let socket = match &login.trust {
            Some(trust) => Socket::tls(stream, &login.host, trust)?,
            None => Socket::Plain(stream),
        };
        let mut connection = Self { socket, input: Vec::new(), frame_max: FRAME_MAX };
        connection.shake_hands(login)?;
        Ok(connection)
    }

    fn shake_hands(&mut self, login: &Login) -> Result<(), String> {
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

    /// Declares what a load needs, and empties the queues unless they hold what shall be consumed.
    pub(super) fn prepare(&mut self, topology: &Topology, purge: bool) -> Result<(), String> {
        for (name, kind) in &topology.exchanges {
            self.declare_exchange(name, kind, topology.durable)?;
        }
        for name in &topology.queues {
            self.declare(name, topology)?;
            if purge {
                let purge = queue::Purge { queue: name.as_str().into(), nowait: false };
                self.call(1, AMQPClass::Queue(queue::AMQPMethod::Purge(purge)), (50, 31))?;
            }
        }
        for (name, to) in &topology.bindings {
            let bind = queue::Bind {
                queue: name.as_str().into(),
                exchange: to.exchange.as_str().into(),
                routing_key: to.key.as_str().into(),
                ..Default::default()
            };
            self.call(1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)), (50, 21))?;
        }
        Ok(())
    }

    /// Deletes what [`prepare`](Self::prepare) declared.
    pub(super) fn clear(&mut self, topology: &Topology) -> Result<(), String> {
        for name in &topology.queues {
            let delete = queue::Delete { queue: name.as_str().into(), ..Default::default() };
            self.call(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)), (50, 41))?;
        }
        topology.exchanges.iter().try_for_each(|(name, _)| self.delete_exchange(name))
    }

    pub(super) fn delete_exchange(&mut self, name: &str) -> Result<(), String> {
        let delete = exchange::Delete { exchange: name.into(), ..Default::default() };
        self.call(1, AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)), (40, 21)).map(|_| ())
    }

    fn declare(&mut self, name: &str, topology: &Topology) -> Result<(), String> {
        let declare = queue::Declare {
            queue: name.into(),
            durable: topology.durable,
            arguments: topology.arguments.clone(),
            ..Default::default()
        };
        let reply = self.call(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)), (50, 11));
        let hint = if topology.durable { "" } else { " (transient queues refused? try --durable)" };
        reply.map(|_| ()).map_err(|error| format!("declare {name}: {error}{hint}"))
    }

    pub(super) fn declare_exchange(&mut self, name: &str, kind: &str, durable: bool) -> Result<(), String> {
        let declare = exchange::Declare { exchange: name.into(), kind: kind.into(), durable, ..Default::default() };
        let reply = self.call(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)), (40, 11));
        reply.map(|_| ()).map_err(|error| format!("declare exchange {name}: {error}"))
    }

    pub(super) fn confirm_select(&mut self) -> Result<(), String> {
        let select = confirm::Select { nowait: false };
        self.call(1, AMQPClass::Confirm(confirm::AMQPMethod::Select(select)), (85, 11)).map(|_| ())
    }

    pub(super) fn qos(&mut self, prefetch_count: u16) -> Result<(), String> {
        let qos = basic::Qos { prefetch_count, global: false };
        self.call(1, AMQPClass::Basic(basic::AMQPMethod::Qos(qos)), (60, 11)).map(|_| ())
    }

    pub(super) fn close(mut self) -> Result<(), String> {
        let close = connection::Close { reply_code: 200, ..Default::default() };
        self.call(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)), (10, 51)).map(|_| ())
    }

    fn send(&mut self, channel: u16, method: AMQPClass) -> Result<(), String> {
        let mut bytes = Vec::new();
        append_method(&mut bytes, channel, method)?;
        self.write(&bytes)
    }

    /// Sends a method and gives the payload of its reply. Other frames are dropped.
    fn call(&mut self, channel: u16, method: AMQPClass, reply: MethodId) -> Result<Vec<u8>, String> {
        self.send(channel, method)?;
        self.wait_for(reply)
    }

    fn wait_for(&mut self, reply: MethodId) -> Result<Vec<u8>, String> {
        loop {
            while let Some(frame) = next(&self.input) {
                let length = frame.len();
                if let Some(refusal) = frame.refusal() {
                    return Err(refusal);
                }
                let found = (frame.method() == Some(reply)).then(|| frame.payload.to_vec());
                self.input.drain(..length);
                if let Some(payload) = found {
                    return Ok(payload);
                }
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut room = [0; READ_BYTES];
        match self.socket.read(&mut room) {
            Ok(0) => Err("the broker closed the connection".to_owned()),
            Ok(count) => {
                self.input.extend_from_slice(room.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(format!("no reply within {} s", REPLY_TIME.as_secs()))
            }
            Err(error) => Err(format!("read: {error}")),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.socket.write_all(bytes).map_err(|error| match self.wait_for((0, 0)) {
            // Nothing answers to that id: what comes is the broker's reason, if it gave one.
            Err(reason) if reason.starts_with("the broker refused") => reason,
            _ => format!("write: {error}"),
        })
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

/// Channel-max and frame-max of `connection.tune`.
fn limits_of(payload: &[u8]) -> Option<(u16, u32)> {
    let rest = payload.get(4..)?;
    let (channel_max, rest) = rest.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*channel_max), u32::from_be_bytes(*rest.first_chunk::<4>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tune_is_read() {
        assert_eq!(limits_of(&[0, 10, 0, 30, 7, 255, 0, 2, 0, 0, 0, 60]), Some((2047, 131_072)));
        assert_eq!(limits_of(&[0, 10, 0, 30, 7]), None);
    }
}
