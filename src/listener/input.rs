//! Bytes on their way from a socket to its connection machine.

use super::socket::Socket;
use crate::amqp::Connection;
use crate::clock::Now;
use crate::limits::READ_BYTES;
use std::cell::RefCell;

/// Unused bytes that are put in front of the next read, in bytes. More than these are kept where they are and what is read
/// is put behind them: a large frame would otherwise be copied with each of its pieces.
const CARRIED_BYTES: usize = 16 * 1024;

/// A buffer larger than this is given back when the frame that needed it is done.
const KEPT_CAPACITY: usize = 2 * READ_BYTES;

thread_local! {
    /// Where sockets are read into: one a thread, of one size, so that an idle connection holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CARRIED_BYTES + READ_BYTES]);
}

/// What was read of a socket and its machine has not used: the start of a frame, or what it does not want yet. The machine
/// bounds it, because it refuses a frame by its header: twice the largest frame, and one read.
#[derive(Debug, Default)]
pub(super) struct Input {
    unused: Vec<u8>,
    /// The machine stopped before the end of what it was offered: it is offered again when it wants to read.
    stalled: bool,
}

impl Input {
    /// Whether the machine is to be offered what is here as soon as it wants to read.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Reads once and gives the machine what came. Returns the bytes read, 0 at the end of the stream.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn read(&mut self, socket: &mut Socket, connection: &mut Connection, now: Now) -> std::io::Result<usize> {
        SCRATCH.with_borrow_mut(|scratch| {
            let carried = if self.is_large() { 0 } else { self.unused.len() };
            let Some((front, back)) = scratch.split_at_mut_checked(carried) else { return Ok(0) };
            let read = socket.read(back.get_mut(..READ_BYTES).unwrap_or_default())?;
            if read == 0 {
                return Ok(0);
            }
            if self.is_large() {
                self.extend(back.get(..read).unwrap_or_default(), |bytes| connection.on_bytes(bytes, now));
            } else {
                front.copy_from_slice(&self.unused);
                let bytes = scratch.get(..carried + read).unwrap_or_default();
                let used = connection.on_bytes(bytes, now);
                self.replace(bytes.get(used..).unwrap_or_default());
            }
            self.stalled = !self.unused.is_empty() && !connection.wants_read();
            Ok(read)
        })
    }

    /// Offers again what the machine did not want before.
    pub fn offer(&mut self, connection: &mut Connection) {
        self.extend(&[], |bytes| connection.on_bytes(bytes, Now::read()));
        self.stalled = !self.unused.is_empty() && !connection.wants_read();
    }

    fn is_large(&self) -> bool {
        self.unused.len() > CARRIED_BYTES
    }

    /// Puts bytes behind the unused ones, offers all, and removes what was used.
    fn extend(&mut self, bytes: &[u8], offer: impl FnOnce(&[u8]) -> usize) {
        self.unused.extend_from_slice(bytes);
        let used = offer(&self.unused).min(self.unused.len());
        if used > 0 && self.unused.capacity() > KEPT_CAPACITY {
            self.unused = self.unused.split_off(used);
        } else {
            self.unused.drain(..used);
        }
        if self.unused.is_empty() {
            self.unused = Vec::new();
        }
    }

    fn replace(&mut self, left: &[u8]) {
        if left.is_empty() {
            self.unused = Vec::new();
        } else {
            self.unused.clear();
            self.unused.extend_from_slice(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_is_collected_with_few_moves_and_its_memory_given_back() {
        const FRAME: usize = 50_000_000;
        let mut input = Input::default();
        let piece = vec![7; 60_000];
        let (mut moves, mut place, mut largest, mut finished) = (0, std::ptr::null(), 0, false);
        while !finished {
            input.extend(&piece, |bytes| {
                moves += usize::from(!std::ptr::eq(bytes.as_ptr(), place));
                place = bytes.as_ptr();
                finished = bytes.len() >= FRAME;
                if finished { FRAME } else { 0 }
            });
            largest = largest.max(input.unused.capacity());
        }
        assert!(moves < 20, "{moves}");
        assert!(largest <= 2 * (FRAME + READ_BYTES), "{largest}");
        assert!(!input.unused.is_empty() && input.unused.capacity() <= KEPT_CAPACITY, "{}", input.unused.capacity());
    }

    #[test]
    fn what_is_not_used_stays_in_order() {
        let mut input = Input::default();
        input.replace(b"abc");
        input.extend(b"defgh", |bytes| {
            assert_eq!(bytes, b"abcdefgh");
            5
        });
        input.extend(b"", |bytes| {
            assert_eq!(bytes, b"fgh");
            3
        });
        assert_eq!(input.unused.capacity(), 0, "nothing left, nothing held");
    }
}
