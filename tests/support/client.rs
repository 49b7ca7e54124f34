//! The client's socket: handshake step by step, frames in and out, events in order.

use super::confirms::ConfirmTracker;
use super::event::{Closed, Content, Error, Event, Frame, Scope, close_of, encode_method, encode_raw, parse_method};
use amq_protocol::protocol::{AMQPClass, basic, channel, connection};
use amq_protocol::types::{AMQPValue, FieldTable};
use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How to log in; `default()` is guest on `/` with every capability, no heartbeats, the broker's own limits.
#[derive(Clone, Debug)]
pub struct Options {
    pub user: String,
    pub password: String,
    pub vhost: String,
    /// Seconds; 0 = none. The client sends no heartbeats by itself.
    pub heartbeat: u16,
    /// `None` = what the broker proposes.
    pub frame_max: Option<u32>,
    pub channel_max: Option<u16>,
    pub properties: FieldTable,
    /// How long a wait lasts before it is [`Error::Timeout`].
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let mut capabilities = FieldTable::default();
        for name in [
            "authentication_failure_close",
            "basic.nack",
            "connection.blocked",
            "consumer_cancel_notify",
            "exchange_exchange_bindings",
            "publisher_confirms",
        ] {
            capabilities.insert(name.into(), AMQPValue::Boolean(true));
        }
        let mut properties = FieldTable::default();
        properties.insert("product".into(), AMQPValue::LongString("warren tests".into()));
        properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
        Self {
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            heartbeat: 0,
            frame_max: None,
            channel_max: None,
            properties,
            timeout: Duration::from_secs(10),
        }
    }
}

/// A content that is still arriving.
struct Assembly {
    method: AMQPClass,
    content: Option<Content>,
    size: u64,
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    taken: usize,
    pub(super) pending: VecDeque<Event>,
    assemblies: HashMap<u16, Assembly>,
    pub(super) confirms: HashMap<u16, ConfirmTracker>,
    answer_closes: bool,
    pub frame_max: u32,
    pub channel_max: u16,
    pub server_properties: FieldTable,
    pub timeout: Duration,
}

impl Client {
    /// Logs in as guest and opens `/`.
    pub fn connect(addr: SocketAddr) -> Result<Self, Error> {
        Self::open(addr, &Options::default())
    }

    pub fn open(addr: SocketAddr, options: &Options) -> Result<Self, Error> {
        let mut client = Self::raw(addr)?;
        client.timeout = options.timeout;
        client.send_bytes(b"AMQP\0\0\x09\x01")?;
        client.start()?;
        client.start_ok(options)?;
        let tune = client.tune()?;
        client.tune_ok(&tune, options)?;
        client.open_vhost(&options.vhost)?;
        Ok(client)
    }

    /// A socket on which nothing was said yet.
    pub fn raw(addr: SocketAddr) -> Result<Self, Error> {
        Self::on(TcpStream::connect_timeout(&addr, Duration::from_secs(10))?)
    }

    /// The same, from an address of this machine.
    pub fn raw_from(source: &str, addr: SocketAddr) -> Result<Self, Error> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source.parse().expect("an address"), 0).into())?;
        socket.connect(&addr.into())?;
        Self::on(socket.into())
    }

    fn on(stream: TcpStream) -> Result<Self, Error> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            taken: 0,
            pending: VecDeque::new(),
            assemblies: HashMap::new(),
            confirms: HashMap::new(),
            answer_closes: true,
            frame_max: 4096,
            channel_max: 0,
            server_properties: FieldTable::default(),
            timeout: Duration::from_secs(10),
        })
    }

    /// Whether the broker's closes are answered with close-ok at once (they are, unless a test says no).
    pub fn answer_closes(&mut self, answer: bool) {
        self.answer_closes = answer;
    }

    pub fn start(&mut self) -> Result<connection::Start, Error> {
        let start = self.expect(|event| match event.method() {
            Some(AMQPClass::Connection(connection::AMQPMethod::Start(start))) => Some(start.clone()),
            _ => None,
        })?;
        self.server_properties = start.server_properties.clone();
        Ok(start)
    }

    pub fn start_ok(&mut self, options: &Options) -> Result<(), Error> {
        let response = format!("\0{}\0{}", options.user, options.password);
        let start_ok = connection::StartOk {
            client_properties: options.properties.clone(),
            mechanism: "PLAIN".into(),
            response: response.into(),
            locale: "en_US".into(),
        };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)))
    }

    pub fn tune(&mut self) -> Result<connection::Tune, Error> {
        self.expect(|event| match event.method() {
            Some(AMQPClass::Connection(connection::AMQPMethod::Tune(tune))) => Some(tune.clone()),
            _ => None,
        })
    }

    pub fn tune_ok(&mut self, tune: &connection::Tune, options: &Options) -> Result<(), Error> {
        let frame_max = options.frame_max.unwrap_or(tune.frame_max);
        let channel_max = options.channel_max.unwrap_or(tune.channel_max);
        self.frame_max = if frame_max == 0 { 131_072 } else { frame_max };
        self.channel_max = channel_max;
        let tune_ok = connection::TuneOk { channel_max, frame_max, heartbeat: options.heartbeat };
        self.send(0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)))
    }

    pub fn open_vhost(&mut self, vhost: &str) -> Result<(), Error> {
        let open = connection::Open { virtual_host: vhost.into() };
        self.call(0, AMQPClass::Connection(connection::AMQPMethod::Open(open)), |method| {
            matches!(method, AMQPClass::Connection(connection::AMQPMethod::OpenOk(_))).then_some(())
        })
    }

    pub fn send(&mut self, channel: u16, method: AMQPClass) -> Result<(), Error> {
        self.send_bytes(&encode_method(channel, method))
    }

    pub fn send_frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<(), Error> {
        self.send_bytes(&encode_raw(kind, channel, payload))
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.stream.write_all(bytes)?)
    }

    pub fn send_heartbeat(&mut self) -> Result<(), Error> {
        self.send_frame(8, 0, &[])
    }

    /// The next frame, whatever it is; nothing else is done with it.
    pub fn recv_frame(&mut self, deadline: Instant) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.fill(deadline)?;
        }
    }

    /// The next bytes that are not frames (a protocol header of refusal); empty at the end of the stream.
    pub fn recv_bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let deadline = Instant::now() + self.timeout;
        while self.input.len() - self.taken < count {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Error::Gone) => break,
                Err(error) => return Err(error),
            }
        }
        let end = self.input.len().min(self.taken + count);
        let bytes = self.input[self.taken..end].to_vec();
        self.taken = end;
        Ok(bytes)
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Error> {
        if self.taken > 0 {
            self.input.drain(..self.taken);
            self.taken = 0;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 65536];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(Error::Gone),
            Ok(n) => {
                self.input.extend_from_slice(&chunk[..n]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, Error> {
        let input = &self.input[self.taken..];
        if input.len() < 7 {
            return Ok(None);
        }
        let size = u32::from_be_bytes([input[3], input[4], input[5], input[6]]) as usize;
        if size > 64 << 20 || !matches!(input[0], 1..=3 | 8) {
            return Err(Error::Unexpected(format!("not a frame: {:02x?}", &input[..7])));
        }
        if input.len() < size + 8 {
            return Ok(None);
        }
        if input[7 + size] != 0xCE {
            return Err(Error::Unexpected(format!("frame ends with {:#04x}", input[7 + size])));
        }
        let channel = u16::from_be_bytes([input[1], input[2]]);
        let frame = Frame { kind: input[0], channel, payload: input[7..7 + size].to_vec() };
        self.taken += size + 8;
        Ok(Some(frame))
    }

    /// The next event, heartbeats included; waits `self.timeout`.
    pub fn recv_any(&mut self) -> Result<Event, Error> {
        match self.pending.pop_front() {
            Some(event) => Ok(event),
            None => self.read_event(Instant::now() + self.timeout),
        }
    }

    /// The next event that is no heartbeat.
    pub fn recv(&mut self) -> Result<Event, Error> {
        self.recv_until(Instant::now() + self.timeout)
    }

    /// As [`Self::recv`], with a deadline.
    pub fn recv_until(&mut self, deadline: Instant) -> Result<Event, Error> {
        loop {
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None => self.read_event(deadline)?,
            };
            if !matches!(event, Event::Heartbeat { .. }) {
                return Ok(event);
            }
        }
    }

    /// Reads one event from the socket, past those already read.
    pub(super) fn read_event(&mut self, deadline: Instant) -> Result<Event, Error> {
        loop {
            let frame = match self.recv_frame(deadline) {
                Ok(frame) => frame,
                Err(Error::Gone) => return Ok(Event::Gone),
                Err(error) => return Err(error),
            };
            if let Some(event) = self.on_frame(frame)? {
                return Ok(event);
            }
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Result<Option<Event>, Error> {
        let channel = frame.channel;
        match frame.kind {
            1 => {
                let method = parse_method(channel, &frame.payload)?;
                self.on_method(channel, method)
            }
            2 => self.on_header(channel, &frame.payload),
            3 => self.on_body(channel, &frame.payload),
            _ => Ok(Some(Event::Heartbeat { channel })),
        }
    }

    fn on_method(&mut self, channel: u16, method: AMQPClass) -> Result<Option<Event>, Error> {
        use basic::AMQPMethod::{Deliver, GetOk, Return};
        if self.assemblies.contains_key(&channel) {
            return Err(Error::Unexpected(format!("{method:?} inside a content")));
        }
        if let Some(closed) = close_of(channel, &method) {
            self.on_close(&closed);
            return Ok(Some(Event::Closed(closed)));
        }
        if matches!(&method, AMQPClass::Basic(Deliver(_) | GetOk(_) | Return(_))) {
            self.assemblies.insert(channel, Assembly { method, content: None, size: 0 });
            return Ok(None);
        }
        let event = Event::Method { channel, method };
        if let (Some(tracker), Some((tag, multiple, nack))) = (self.confirms.get_mut(&channel), event.confirm()) {
            tracker.settle(tag, multiple, nack).map_err(Error::Unexpected)?;
        }
        Ok(Some(event))
    }

    fn on_close(&mut self, closed: &Closed) {
        let answer = match closed.scope {
            Scope::Connection => AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})),
            Scope::Channel => AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})),
        };
        self.confirms.remove(&closed.channel);
        if self.answer_closes {
            // A broker that is already gone shows as `Gone` on the next read.
            let _ = self.send(closed.channel, answer);
        }
    }

    fn on_header(&mut self, channel: u16, payload: &[u8]) -> Result<Option<Event>, Error> {
        let assembly = self.assemblies.get_mut(&channel).filter(|assembly| assembly.content.is_none());
        let (Some(assembly), true) = (assembly, payload.len() >= 14) else {
            return Err(Error::Unexpected(format!("content header {payload:02x?} on channel {channel}")));
        };
        assembly.size = u64::from_be_bytes(payload[4..12].try_into().expect("eight bytes"));
        assembly.content = Some(Content {
            class: u16::from_be_bytes([payload[0], payload[1]]),
            properties: payload[12..].to_vec(),
            body: Vec::new(),
            frames: Vec::new(),
        });
        self.finish_content(channel)
    }

    fn on_body(&mut self, channel: u16, payload: &[u8]) -> Result<Option<Event>, Error> {
        let content = self.assemblies.get_mut(&channel).and_then(|assembly| assembly.content.as_mut());
        let Some(content) = content else {
            return Err(Error::Unexpected(format!("body frame on channel {channel}")));
        };
        content.body.extend_from_slice(payload);
        content.frames.push(payload.len());
        self.finish_content(channel)
    }

    fn finish_content(&mut self, channel: u16) -> Result<Option<Event>, Error> {
        let Some(assembly) = self.assemblies.remove(&channel) else { return Ok(None) };
        let Assembly { method, content: Some(content), size } = assembly else { return Ok(None) };
        let length = content.body.len() as u64;
        if length > size {
            return Err(Error::Unexpected(format!("body of {length} bytes, {size} announced")));
        }
        if length < size {
            self.assemblies.insert(channel, Assembly { method, content: Some(content), size });
            return Ok(None);
        }
        Ok(Some(Event::Content { channel, method, content }))
    }

    /// The next event (heartbeats skipped) must be what `pick` takes.
    pub fn expect<T>(&mut self, pick: impl FnOnce(&Event) -> Option<T>) -> Result<T, Error> {
        let event = self.recv()?;
        match pick(&event) {
            Some(value) => Ok(value),
            None => Err(match event {
                Event::Closed(closed) => Error::Closed(closed),
                Event::Gone => Error::Gone,
                other => Error::Unexpected(format!("{other:?}")),
            }),
        }
    }

    /// Waits for what `pick` takes; other events stay for later reads, in order. A close of `channel` (`None`: of any)
    /// or of the connection ends the wait.
    pub fn find<T>(&mut self, channel: Option<u16>, mut pick: impl FnMut(&Event) -> Option<T>) -> Result<T, Error> {
        let deadline = Instant::now() + self.timeout;
        for index in 0..self.pending.len() {
            if let Some(value) = pick(&self.pending[index]) {
                self.pending.remove(index);
                return Ok(value);
            }
        }
        self.fail_if_closed(channel)?;
        loop {
            let event = self.read_event(deadline)?;
            if let Some(value) = pick(&event) {
                return Ok(value);
            }
            self.keep(event);
            self.fail_if_closed(channel)?;
        }
    }

    /// Sends a method and waits for its reply; see [`Self::find`] for what else arrives.
    pub fn call<T>(
        &mut self,
        channel: u16,
        method: AMQPClass,
        mut pick: impl FnMut(&AMQPClass) -> Option<T>,
    ) -> Result<T, Error> {
        self.fail_if_closed(Some(channel))?;
        self.send(channel, method)?;
        self.reply(channel, |event| match event {
            Event::Method { channel: on, method } if *on == channel => pick(method),
            _ => None,
        })
    }

    /// The reply to what was sent on `channel`: as [`Self::find`], but never an event read before.
    pub fn reply<T>(&mut self, channel: u16, mut pick: impl FnMut(&Event) -> Option<T>) -> Result<T, Error> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let event = self.read_event(deadline)?;
            if let Some(value) = pick(&event) {
                return Ok(value);
            }
            self.keep(event);
            self.fail_if_closed(Some(channel))?;
        }
    }

    pub(super) fn keep(&mut self, event: Event) {
        if !matches!(event, Event::Heartbeat { .. }) {
            self.pending.push_back(event);
        }
    }

    /// Takes a close of this channel (`None`: of any) or of the connection out of the events read so far.
    pub(super) fn fail_if_closed(&mut self, channel: Option<u16>) -> Result<(), Error> {
        let found = self.pending.iter().position(|event| match event {
            Event::Closed(closed) => {
                closed.scope == Scope::Connection || channel.is_none_or(|channel| closed.channel == channel)
            }
            Event::Gone => true,
            _ => false,
        });
        match found.and_then(|index| self.pending.remove(index)) {
            Some(Event::Closed(closed)) => Err(Error::Closed(closed)),
            Some(_) => Err(Error::Gone),
            None => Ok(()),
        }
    }

    /// Closes the write side only: the broker reads the end of the stream.
    pub fn half_close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Drops the socket as a crashed client does: what was not read is lost.
    pub fn break_off(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.pending.clear();
        self.input.clear();
        self.taken = 0;
    }

    /// The first event read and not yet asked for that `wanted` takes.
    pub fn take_pending(&mut self, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let index = self.pending.iter().position(wanted)?;
        self.pending.remove(index)
    }
}
