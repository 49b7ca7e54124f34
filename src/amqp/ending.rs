//! How connections end: by an error, by either side's close, by silence, by a lost socket.

use super::connection::{Connection, Phase};
use super::error::{AmqpError, Code, Scope, short_text};
use super::output::Output;
use crate::clock::Now;
use crate::limits::{CLOSE_FRAME_BYTES, FRAME_OVERHEAD};
use crate::wire::WireError;
use crate::wire::frame::{FrameKind, read_frame};
use crate::wire::method::method_id;
use amq_protocol::protocol::{AMQPClass, connection};
use std::time::{Duration, Instant};

/// Longest wait for close-ok, and for the peer to read the last output (compat.md 1.5.7).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a client that is not logged in, or of which nothing more can be read (compat.md 1.1).
const SHORT_CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The same while the node stops: clients that live answer within a round trip.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// All input is dropped.
const EVERYTHING: u64 = u64::MAX;

impl Connection {
    /// Turns an error into frames: the one place where that happens.
    pub(super) fn fail(&mut self, channel: u16, error: &AmqpError) {
        match &mut self.phase {
            Phase::Open(open) if error.code().scope() == Scope::Channel && channel != 0 => {
                open.fail_channel(channel, error);
                let vhost = open.link.session.vhost().clone();
                let (connection, vhost) = (self.name(), vhost.as_str());
                tracing::warn!(%connection, ?vhost, channel, error = error.text(), "channel closed");
            }
            _ => self.close(error),
        }
    }

    /// Sends connection.close and waits for close-ok. Everything the connection holds is given back before.
    pub(super) fn close(&mut self, error: &AmqpError) {
        self.leave();
        let (class_id, method_id) = error.method();
        self.write(AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: error.code() as u16,
            reply_text: short_text(error.text()),
            class_id,
            method_id,
        })));
        self.deadline = Some(self.end_by(error.is_out_of_sync()));
        self.fault = Some(error.text().to_owned());
        self.phase = Phase::Closing { skip: if error.is_out_of_sync() { EVERYTHING } else { 0 } };
    }

    /// The client closes: everything is given back, exclusive queues are deleted, then it is told.
    pub(super) fn on_client_close(&mut self) {
        self.leave();
        self.write(AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})));
        self.closed_by_client = true;
        self.finish();
    }

    /// Whether the client closed it and was answered: then it is the one to close the socket.
    pub fn was_closed_by_client(&self) -> bool {
        self.closed_by_client
    }

    /// The connection is over as soon as its output is written.
    pub(super) fn finish(&mut self) {
        self.deadline = Some(self.end_by(false));
        self.phase = Phase::Closed;
    }

    /// When an ending that begins now is over, whatever the peer does. `soon`: nothing more can be read from it.
    pub(super) fn end_by(&self, soon: bool) -> Instant {
        // An open connection has no deadline: one that has is still in its handshake, whose deadline stands.
        let longest = if soon || self.deadline.is_some() { SHORT_CLOSE_TIMEOUT } else { CLOSE_TIMEOUT };
        let beat = self.heartbeat.as_ref().map_or(longest, |heartbeat| heartbeat.interval());
        let end = self.now.monotonic + longest.min(beat);
        self.deadline.map_or(end, |deadline| deadline.min(end))
    }

    /// The deadline of the phase has come: the socket is closed without another word.
    pub(super) fn expire(&mut self) {
        let reason = match self.phase {
            Phase::Closing { .. } | Phase::Refused => None,
            Phase::Closed => Some("the client does not read"),
            _ => Some("handshake timeout"),
        };
        self.on_disconnect();
        self.fault = self.fault.take().or(reason.map(str::to_owned));
    }

    /// Bytes after our connection.close: all are dropped but close-ok and a close that crosses ours. Larger frames than
    /// those are not waited for.
    pub(super) fn on_closing(&mut self, bytes: &[u8], skip: u64) -> usize {
        if skip > 0 {
            return self.skip(bytes, skip);
        }
        match read_frame(bytes, CLOSE_FRAME_BYTES) {
            Ok(None) => 0,
            Ok(Some((frame, length))) => {
                if frame.kind == FrameKind::Method && frame.channel == 0 {
                    match method_id(frame.payload) {
                        (10, 51) => self.phase = Phase::Closed,
                        (10, 50) => {
                            self.write(AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})));
                            self.phase = Phase::Closed;
                        }
                        _ => {}
                    }
                }
                length
            }
            Err(WireError::FrameTooLarge { size, .. }) => self.skip(bytes, u64::from(size) + FRAME_OVERHEAD as u64),
            Err(_) => self.skip(bytes, EVERYTHING),
        }
    }

    fn skip(&mut self, bytes: &[u8], skip: u64) -> usize {
        let count = usize::try_from(skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        let left = if skip == EVERYTHING { EVERYTHING } else { skip - count as u64 };
        self.phase = Phase::Closing { skip: left };
        count
    }

    /// The node stops: clients are told.
    pub fn shut_down(&mut self, now: Now) {
        self.now = now;
        match self.phase {
            Phase::Open(_) => {
                let explanation = "broker forced connection closure with reason 'shutdown'";
                self.close(&AmqpError::new(Code::ConnectionForced, explanation));
            }
            Phase::Closing { .. } => {}
            _ => self.finish(),
        }
        let end = now.monotonic + STOP_TIMEOUT;
        self.deadline = self.deadline.map(|deadline| deadline.min(end));
    }

    /// The socket is gone: unsettled messages go back, consumers and exclusive queues go.
    pub fn on_disconnect(&mut self) {
        self.leave();
        self.out = Output::default();
        self.deadline = None;
    }

    /// The peer is silent for too long: the socket is closed without a frame.
    pub(super) fn abandon(&mut self) {
        self.on_disconnect();
        self.fault = Some("missed heartbeats from client".to_owned());
    }

    /// Gives back what an open connection holds. The phase is Closed after it.
    fn leave(&mut self) {
        if let Phase::Open(mut open) = std::mem::replace(&mut self.phase, Phase::Closed) {
            if open.held > 0 {
                let (connection, bytes) = (self.name(), open.held);
                tracing::warn!(%connection, bytes, "publishes that an alarm held went with their connection");
            }
            open.end();
            self.out = std::mem::take(&mut open.link.out);
        }
    }
}
