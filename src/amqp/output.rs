//! Bytes that wait for the socket.

use crate::wire::method::write_method;
use amq_protocol::protocol::AMQPClass;

/// What a connection has written and the socket has not yet taken.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` the socket has taken.
    taken: usize,
}

impl Output {
    /// Where to append frames.
    #[inline]
    pub fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a method frame.
    pub fn method(&mut self, channel: u16, method: &AMQPClass) {
        write_method(&mut self.bytes, channel, method);
    }

    /// What the socket has not taken.
    pub fn waiting(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// How many bytes the socket has not taken.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// The socket has taken `count` bytes.
    pub fn written(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Gives memory back that is not in use.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_gone_and_the_rest_keeps_its_order() {
        let mut output = Output::default();
        output.frames().extend_from_slice(b"abcdefgh");
        output.written(3);
        assert_eq!(output.waiting(), b"defgh");
        output.frames().push(b'i');
        output.written(3);
        assert_eq!(output.waiting(), b"ghi");
        output.written(100);
        assert_eq!((output.waiting(), output.len()), (&b""[..], 0));
    }
}
