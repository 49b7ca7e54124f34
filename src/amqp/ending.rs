//! How connections end: by an error, by either side's close, by silence, by a lost socket.

use super::connection::{Connection, Phase};
use super::error::{AmqpError, Code, Scope, short_text};
use super::output::Output;
use crate::clock::Now;
use crate::wire::frame::{FrameKind, read_frame};
use crate::wire::method::method_id;
use amq_protocol::protocol::{AMQPClass, connection};
use std::time::Duration;

/// Longest wait for close-ok (compat.md 1.5.7).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Wait before the socket is closed when nothing more can be read from it (compat.md 1.1).
const UNREADABLE_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest frame that is waited for while closing, in bytes, if frames have no limit.
const UNLIMITED_READ: u32 = 131_072;

impl Connection {
    /// Turns an error into frames: the one place where that happens.
    pub(super) fn fail(&mut self, channel: u16, error: &AmqpError) {
        match &mut self.phase {
            Phase::Open(open) if error.code().scope() == Scope::Channel && channel != 0 => {
                open.fail_channel(channel, error);
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
        let longest = if error.is_out_of_sync() { UNREADABLE_TIMEOUT } else { CLOSE_TIMEOUT };
        let beat = self.heartbeat.as_ref().map_or(longest, |heartbeat| heartbeat.interval());
        self.deadline = Some(self.now.monotonic + longest.min(beat));
        self.fault = Some(error.text().to_owned());
        self.phase = Phase::Closing { readable: !error.is_out_of_sync() };
    }

    /// The client closes: everything is given back, exclusive queues are deleted, then it is told.
    pub(super) fn on_client_close(&mut self) {
        self.leave();
        self.write_close_ok();
    }

    pub(super) fn write_close_ok(&mut self) {
        self.write(AMQPClass::Connection(connection::AMQPMethod::CloseOk(connection::CloseOk {})));
    }

    /// Bytes after our connection.close: all are ignored but close-ok and a close that crosses ours.
    pub(super) fn on_closing(&mut self, bytes: &[u8], readable: bool) -> usize {
        let limit = if self.settings.frame_max == 0 { UNLIMITED_READ } else { self.settings.frame_max };
        if !readable {
            return bytes.len();
        }
        match read_frame(bytes, limit) {
            Ok(None) => 0,
            Ok(Some((frame, length))) => {
                if frame.kind == FrameKind::Method && frame.channel == 0 {
                    match method_id(frame.payload) {
                        (10, 51) => self.phase = Phase::Closed,
                        (10, 50) => {
                            self.write_close_ok();
                            self.phase = Phase::Closed;
                        }
                        _ => {}
                    }
                }
                length
            }
            Err(_) => {
                self.phase = Phase::Closing { readable: false };
                bytes.len()
            }
        }
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
            _ => self.phase = Phase::Closed,
        }
    }

    /// The socket is gone: unsettled messages go back, consumers and exclusive queues go.
    pub fn on_disconnect(&mut self) {
        self.leave();
        self.out = Output::default();
    }

    /// The peer is silent for too long: the socket is closed without a frame.
    pub(super) fn abandon(&mut self) {
        self.on_disconnect();
        self.fault = Some("missed heartbeats from client".to_owned());
    }

    /// Gives back what an open connection holds. The phase is Closed after it.
    fn leave(&mut self) {
        if let Phase::Open(mut open) = std::mem::replace(&mut self.phase, Phase::Closed) {
            open.end();
            self.out = std::mem::take(&mut open.link.out);
        }
        self.deadline = None;
    }
}
