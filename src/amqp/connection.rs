//! The connection machine: bytes and time in, bytes out. It names no socket and no clock.

use super::error::{AmqpError, Code};
use super::handshake::{Login, Pending};
use super::heartbeat::{Beat, Heartbeat};
use super::link::Tuned;
use super::open::{Open, Stop};
use super::output::Output;
use super::settings::{Peer, Settings};
use crate::auth::{Authenticator, Claim, Denied, Request};
use crate::broker::access::Identity;
use crate::clock::Now;
use crate::engine::{Broker, Outbox, Session, Traffic};
use crate::wire::output::write_heartbeat;
use amq_protocol::protocol::AMQPClass;
use std::sync::Arc;
use std::time::Instant;

/// One client connection.
///
/// Inputs are [`on_bytes`](Connection::on_bytes), [`on_wake`](Connection::on_wake),
/// [`on_deadline`](Connection::on_deadline), [`on_verdict`](Connection::on_verdict), [`written`](Connection::written),
/// [`shut_down`](Connection::shut_down) and [`on_disconnect`](Connection::on_disconnect). After each of them the owner asks
/// [`output`](Connection::output), [`wants_read`](Connection::wants_read), [`take_question`](Connection::take_question),
/// [`deadline`](Connection::deadline) and [`is_finished`](Connection::is_finished). When `wants_read` becomes true again, bytes that were left are offered
/// again, even if no new ones have come.
pub struct Connection {
    pub(super) settings: Arc<Settings>,
    pub(super) broker: Arc<Broker>,
    pub(super) auth: Arc<Authenticator>,
    pub(super) peer: Peer,
    pub(super) client_name: Option<String>,
    /// Output while the connection is not open; an open one has its own.
    pub(super) out: Output,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) phase: Phase,
    /// When the phase ends by itself: handshake, refusal, closing, or closed with output that nobody reads. None while it
    /// is open.
    pub(super) deadline: Option<Instant>,
    /// When an open connection's login is over.
    pub(super) expires: Option<Instant>,
    /// A login that has to be decided outside.
    pub(super) question: Option<Request>,
    /// Why it ended, for the log.
    pub(super) fault: Option<String>,
    /// The log has it already.
    pub(super) is_told: bool,
    /// Who it was, if no AMQP client.
    pub(super) stranger: Option<&'static str>,
    pub(super) closed_by_client: bool,
    pub(super) now: Now,
    /// What goes through the socket: counted here until the connection is open, and in its record then.
    pub(super) traffic: Arc<Traffic>,
}

/// ```text
/// ExpectHeader ─► ExpectStartOk ─► ExpectTuneOk ─► ExpectOpen ─► Open ── our close ──► Closing ── close-ok ─► Closed
///       │            │      │  ▲         │             │          └─── client's close, socket lost ─────────────▲
///       │            │ ExpectVerdict     │             │                                                        │
///       │            └── not trusted ────┴─► Refused ──┴─ deadline ─────────────────────────────────────────────┤
///       └── other protocol ─────────────────────────────────────────────────────────────────────────────────────┘
/// ```
pub(super) enum Phase {
    ExpectHeader,
    ExpectStartOk,
    /// The login is decided outside; nothing is read meanwhile.
    ExpectVerdict(Box<Pending>),
    ExpectTuneOk(Login),
    ExpectOpen(Login, Tuned),
    Open(Box<Open>),
    /// We have sent connection.close. `skip`: bytes to drop before the next frame; all there are when frames can no
    /// longer be told apart.
    Closing {
        skip: u64,
    },
    /// Failed before login: the socket stays open until the deadline, and is not listened to.
    Refused,
    Closed,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection whose socket was just accepted.
    pub fn new(
        settings: Arc<Settings>,
        broker: Arc<Broker>,
        auth: Arc<Authenticator>,
        peer: Peer,
        now: Now,
    ) -> Connection {
        let deadline = Some(now.monotonic + settings.handshake_timeout);
        Connection {
            settings,
            broker,
            auth,
            peer,
            client_name: None,
            out: Output::default(),
            heartbeat: None,
            phase: Phase::ExpectHeader,
            deadline,
            expires: None,
            question: None,
            fault: None,
            is_told: false,
            stranger: None,
            closed_by_client: false,
            now,
            traffic: Arc::default(),
        }
    }

    /// Takes complete frames of `bytes` and does what they ask for; returns how many bytes it used. What is left is to be
    /// offered again with more behind it.
    pub fn on_bytes(&mut self, bytes: &[u8], now: Now) -> usize {
        self.begin(now);
        if let Some(heartbeat) = &mut self.heartbeat
            && !bytes.is_empty()
        {
            heartbeat.received();
        }
        let mut used = 0;
        loop {
            used += self.take(bytes.get(used..).unwrap_or_default());
            let stopped = matches!(&self.phase, Phase::Open(open) if open.has_stopped());
            self.end_turn();
            // What stopped it may have ended meanwhile, and nobody would offer the rest again.
            if !stopped || !self.wants_read() {
                self.traffic.received(used as u64);
                return used;
            }
        }
    }

    /// Takes complete frames, whatever the phase. Returns how many bytes were used.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..)
            && !rest.is_empty()
        {
            let count = match &self.phase {
                Phase::ExpectHeader => self.on_protocol_header(rest),
                Phase::ExpectStartOk | Phase::ExpectTuneOk(_) | Phase::ExpectOpen(..) => self.on_handshake(rest),
                Phase::ExpectVerdict(_) => 0,
                Phase::Open(_) => self.walk(rest),
                Phase::Closing { skip } => self.on_closing(rest, *skip),
                Phase::Refused | Phase::Closed => rest.len(),
            };
            if count == 0 {
                break;
            }
            used += count;
        }
        used
    }

    /// The outbox was rung: deliveries, confirms of what is on disk, answers that waited, alarms.
    pub fn on_wake(&mut self, now: Now) {
        self.begin(now);
        self.end_turn();
    }

    /// A login that has to be decided, by [`Authenticator::judge`] or its like; its outcome is to be given to
    /// [`on_verdict`](Connection::on_verdict).
    pub fn take_question(&mut self) -> Option<Request> {
        if let Phase::Open(open) = &mut self.phase
            && let Some(token) = open.secret.take()
        {
            let name = open.link.session.identity().user.as_str().to_owned();
            let (loopback, peer) = (self.peer.loopback, self.peer.address.clone());
            return Some(Request { claim: Claim::Renewal { name, token }, user: None, loopback, peer });
        }
        self.question.take()
    }

    /// A login has been decided.
    pub fn on_verdict(&mut self, verdict: Result<Identity, Denied>, now: Now) {
        self.begin(now);
        self.judged(verdict);
        self.end_turn();
    }

    /// Who decides about logins.
    pub fn authenticator(&self) -> &Arc<Authenticator> {
        &self.auth
    }

    /// The deadline has come.
    pub fn on_deadline(&mut self, now: Now) {
        self.begin(now);
        if self.deadline.is_some_and(|deadline| now.monotonic >= deadline) {
            self.expire();
        }
        if matches!(self.phase, Phase::Open(_)) && self.expires.is_some_and(|expires| now.monotonic >= expires) {
            self.close(&AmqpError::new(Code::ConnectionForced, "credential expired"));
        }
        if let Phase::Open(open) = &mut self.phase
            && open.ack_deadline().is_some_and(|deadline| now.monotonic >= deadline)
            && let Some((channel, error)) = open.late_ack(now.monotonic)
        {
            self.fail(channel, &error);
        }
        if self.is_finished() {
            return;
        }
        let deaf = !self.wants_read();
        let backed_up = self.output_ref().len() > 0;
        let Some(heartbeat) = &mut self.heartbeat else { return };
        match heartbeat.check(now.monotonic, backed_up, deaf) {
            Beat::Quiet => {}
            Beat::PeerGone => self.abandon(),
            Beat::Send => {
                // Nothing was sent for a while: memory of busier times can go.
                let out = self.output_mut();
                out.shrink();
                write_heartbeat(out.frames());
            }
        }
    }

    /// When [`on_deadline`](Connection::on_deadline) is to be called. A finished connection waits only for its output to be
    /// read.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_finished() {
            return self.deadline.filter(|_| self.out.len() > 0);
        }
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        let (acks, expires) = match &self.phase {
            Phase::Open(open) => (open.ack_deadline(), self.expires),
            _ => (None, None),
        };
        [self.deadline, heartbeat, acks, expires].into_iter().flatten().min()
    }

    /// Bytes for the socket.
    pub fn output(&self) -> &[u8] {
        self.output_ref().waiting()
    }

    /// The socket has taken the first `count` bytes of the output. More deliveries may be written then.
    pub fn written(&mut self, count: usize, now: Now) {
        self.output_mut().written(count);
        self.traffic.sent(count as u64, self.output_ref().len() as u64);
        if let Some(heartbeat) = &mut self.heartbeat
            && count > 0
        {
            heartbeat.sent();
        }
        let goes_on = match &self.phase {
            Phase::Open(open) => {
                let delivers = !open.link.backlog.is_empty() && !open.link.is_backed_up();
                delivers || (open.has_replays() && !open.link.is_choked())
            }
            _ => false,
        };
        if goes_on {
            self.begin(now);
            self.end_turn();
        }
    }

    /// Whether the socket is to be read. False while a publish has to wait, or too much waits for the client or the disk.
    pub fn wants_read(&self) -> bool {
        match &self.phase {
            Phase::Open(open) => open.wants_read(),
            Phase::ExpectVerdict(_) | Phase::Closed => false,
            _ => true,
        }
    }

    /// Whether the socket is to be closed once the output is written.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// What rings for [`on_wake`](Connection::on_wake), once the connection is open.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        match &self.phase {
            Phase::Open(open) => Some(open.link.session.outbox()),
            _ => None,
        }
    }

    /// For logs: `peer -> local`, and the name that the client gave itself.
    pub fn name(&self) -> String {
        let Peer { address, local, .. } = &self.peer;
        match &self.client_name {
            Some(name) => format!("{address} -> {local} ({name:?})"),
            None => format!("{address} -> {local}"),
        }
    }

    /// Whether what its user may do is asked of another machine, in the middle of a turn.
    pub fn waits_for_others(&self) -> bool {
        let identity = match &self.phase {
            Phase::ExpectTuneOk(login) | Phase::ExpectOpen(login, _) => &login.identity,
            Phase::Open(open) => open.link.session.identity(),
            _ => return false,
        };
        identity.authority.as_ref().is_some_and(|authority| authority.waits())
    }

    /// The session, while the connection is open.
    pub fn session(&self) -> Option<&Session> {
        match &self.phase {
            Phase::Open(open) => Some(&open.link.session),
            _ => None,
        }
    }

    /// Whether the client has logged in.
    pub fn is_logged_in(&self) -> bool {
        matches!(self.phase, Phase::ExpectTuneOk(_) | Phase::ExpectOpen(..) | Phase::Open(_))
    }

    /// Why the connection ends, if not by the client's wish: for the log.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether the log has the fault already.
    pub fn fault_is_told(&self) -> bool {
        self.is_told
    }

    /// For the log: what came to the wrong port, such as "an HTTP client".
    pub fn stranger(&self) -> Option<&'static str> {
        self.stranger
    }

    fn begin(&mut self, now: Now) {
        self.now = now;
        if let Phase::Open(open) = &mut self.phase {
            open.begin(now);
        }
    }

    /// Takes frames of an open connection. Returns how many bytes were used.
    fn walk(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Phase::Open(open) = &mut self.phase {
            let (count, stop) = open.walk(bytes.get(used..).unwrap_or_default());
            used += count;
            match stop {
                None => break,
                Some(Stop::Fault(channel, error)) => self.fail(channel, &error),
                Some(Stop::ClientCloses) => self.on_client_close(),
            }
        }
        used
    }

    /// Does what a turn owes, and goes on with frames that waited for it.
    fn end_turn(&mut self) {
        while let Phase::Open(open) = &mut self.phase {
            if let Err(error) = open.obey() {
                self.close(&error);
                return;
            }
            if let Some((channel, error)) = open.settle_up() {
                self.fail(channel, &error);
                continue;
            }
            let Some((channel, frames, taken)) = open.next_replay() else { return };
            open.set_replaying(true);
            let used = self.walk(frames.get(taken..).unwrap_or_default());
            if let Phase::Open(open) = &mut self.phase {
                open.set_replaying(false);
                open.put_back(channel, frames, taken + used);
            }
        }
    }

    pub(super) fn write(&mut self, method: AMQPClass) {
        self.output_mut().method(0, &method);
    }

    fn output_ref(&self) -> &Output {
        match &self.phase {
            Phase::Open(open) => &open.link.out,
            _ => &self.out,
        }
    }

    pub(super) fn output_mut(&mut self) -> &mut Output {
        match &mut self.phase {
            Phase::Open(open) => &mut open.link.out,
            _ => &mut self.out,
        }
    }
}

impl Drop for Connection {
    /// A connection that is dropped, for whatever reason, keeps nothing from others.
    fn drop(&mut self) {
        self.on_disconnect();
    }
}
