//! A client and its socket: what a listener does with a connection machine, and what must hold after each step.

use super::replies::Replies;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warren::amqp::Connection;
use warren::clock::Now;
use warren::engine::{Outbox, Session};
use warren::limits::{CONSUMER_WINDOW_BYTES, FRAME_OVERHEAD, OUTPUT_BYTES};
use warren::wire::frame::read_frame;

/// Largest message that the broker under test takes, in bytes.
pub const MESSAGE_MAX: u64 = 64 * 1024;
/// Largest frame that it offers, in bytes.
pub const FRAME_MAX: u32 = 131_072;
/// Largest frame before login.
pub const INITIAL_FRAME_MAX: u32 = 8192;
/// A connection is choked past four times `OUTPUT_BYTES` and a message; one frame more may cancel a consumer, whose
/// window is written then, each small record with a few hundred bytes of frames around it.
const OUTPUT_MAX: usize = 4 * OUTPUT_BYTES + 16 * (CONSUMER_WINDOW_BYTES as usize + MESSAGE_MAX as usize);
/// Longest wait for the committer's thread before it counts as a hang.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for memory: the committer looks for messages that can leave it every 20 ms.
const MEMORY_PATIENCE: Duration = Duration::from_millis(100);

/// One connection with its socket.
pub struct Client {
    connection: Connection,
    /// Bytes that were sent and not used yet.
    unused: Vec<u8>,
    /// Whether the client reads what it is sent.
    pub reads: bool,
    pub replies: Replies,
}

impl Client {
    pub fn new(connection: Connection) -> Client {
        Client { connection, unused: Vec::new(), reads: true, replies: Replies::default() }
    }

    /// Sends bytes in pieces of `piece` bytes; 0 is all at once.
    pub fn send(&mut self, bytes: &[u8], piece: usize, now: Now) {
        let piece = if piece == 0 { bytes.len().max(1) } else { piece };
        for bytes in bytes.chunks(piece) {
            self.unused.extend_from_slice(bytes);
            self.offer(now);
        }
    }

    /// Offers what was sent, if it is wanted.
    fn offer(&mut self, now: Now) {
        if !self.connection.wants_read() || self.unused.is_empty() {
            return;
        }
        let used = self.connection.on_bytes(&self.unused, now);
        assert!(used <= self.unused.len(), "{used} bytes of {} used", self.unused.len());
        self.unused.drain(..used);
        if self.connection.wants_read() && !self.connection.is_finished() {
            self.check_unused();
        }
        self.after(now);
    }

    /// A connection that wants more has left nothing but the beginning of a frame, or it would wait for more for ever.
    fn check_unused(&self) {
        if self.replies.opened {
            assert!(!matches!(read_frame(&self.unused, 0), Ok(Some(_))), "a frame was left: {:?}", self.unused);
        }
        let longest = FRAME_MAX.max(INITIAL_FRAME_MAX) as usize + FRAME_OVERHEAD;
        assert!(self.unused.len() < longest, "{} bytes are kept", self.unused.len());
    }

    fn after(&mut self, now: Now) {
        let length = self.connection.output().len();
        assert!(length <= OUTPUT_MAX, "{length} bytes of output");
        if self.reads {
            self.read(usize::MAX, now);
        }
    }

    /// Reads up to `count` bytes of what the broker has sent.
    pub fn read(&mut self, mut count: usize, now: Now) {
        while count > 0 && !self.connection.output().is_empty() {
            let held = !self.connection.wants_read();
            let output = self.connection.output();
            let taken = output.len().min(count);
            self.replies.feed(&output[..taken]);
            self.connection.written(taken, now);
            count -= taken;
            if held {
                self.offer(now);
            }
        }
        if self.connection.is_finished() && self.connection.output().is_empty() {
            self.replies.end();
        }
    }

    /// Wakes the connection, rung or not.
    pub fn wake(&mut self, now: Now) {
        let held = !self.connection.wants_read();
        self.connection.on_wake(now);
        self.after(now);
        if held {
            self.offer(now);
        }
    }

    /// Does what the outbox was rung for. True when it was.
    pub fn answer_bell(&mut self, now: Now) -> bool {
        let rung = self.connection.outbox().cloned().is_some_and(|outbox| !outbox.rest() || outbox.rise());
        if rung {
            self.wake(now);
        }
        rung
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Now) {
        self.connection.on_deadline(now);
        self.after(now);
    }

    /// The node stops.
    pub fn shut_down(&mut self, now: Now) {
        self.connection.shut_down(now);
        self.after(now);
    }

    pub fn disconnect(&mut self) {
        self.connection.on_disconnect();
    }

    pub fn is_finished(&self) -> bool {
        self.connection.is_finished()
    }

    /// Reads everything, closes, and expects the last word. Not when the client has sent half a frame, or garbage, and not
    /// when it waits for memory that unsettled messages take: `probe` is asked for that.
    pub fn close(&mut self, now: Now, probe: &Session) {
        self.reads = true;
        self.read(usize::MAX, now);
        let mut rest = &self.unused[..];
        while let Ok(Some((_, used))) = read_frame(rest, 0) {
            rest = &rest[used..];
        }
        if !rest.is_empty() || !self.replies.opened {
            return;
        }
        // connection.close, and close-ok in case the broker closes meanwhile.
        self.send(b"\x01\0\0\0\0\0\x0B\0\x0A\0\x32\0\xC8\0\0\0\0\0\xCE\x01\0\0\0\0\0\x04\0\x0A\0\x33\xCE", 0, now);
        let began = Instant::now();
        while !self.connection.is_finished() {
            if !self.answer_bell(now) {
                if began.elapsed() > MEMORY_PATIENCE && probe.must_hold() {
                    return;
                }
                assert!(began.elapsed() < PATIENCE, "the connection hangs: {} bytes unused", self.unused.len());
                std::thread::sleep(Duration::from_micros(20));
            }
            // A broker that has lost the frames' boundaries sees no close-ok: its deadline ends the connection.
            if let Some(due) = self.connection.deadline().filter(|_| self.replies.closing) {
                self.connection.on_deadline(Now { monotonic: due, ..now });
            }
        }
        self.after_the_end(now);
    }

    /// A finished connection says nothing more, whatever comes.
    pub fn after_the_end(&mut self, now: Now) {
        self.reads = true;
        self.read(usize::MAX, now);
        if !self.connection.is_finished() {
            return;
        }
        assert!(!self.connection.wants_read());
        self.connection.on_bytes(b"AMQP\0\0\x09\x01\x01\0\0\0\0\0\x04\0\x0A\0\x32\xCE", now);
        self.connection.on_wake(now);
        self.connection.on_deadline(now.after(Duration::from_secs(3600)));
        self.connection.written(0, now);
        self.connection.shut_down(now);
        assert!(self.connection.output().is_empty(), "output after the end: {:?}", self.connection.output());
        assert!(self.connection.is_finished() && self.connection.outbox().is_none());
    }

    /// What rings when something waits for this connection.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.connection.outbox()
    }
}
