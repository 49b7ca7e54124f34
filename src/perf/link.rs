//! A connection's socket under load: nothing waits, readiness comes from epoll's edges.

use super::connection::Connection;
use super::frames::next;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Bytes asked from the socket at once.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// A non-blocking socket, what was read and not understood yet, and small frames to write.
pub(super) struct Link {
    connection: Connection,
    /// Small frames that wait for the socket.
    output: Vec<u8>,
    /// Whether the socket may have bytes to read; and room to write.
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Link {
    pub(super) fn new(connection: Connection) -> Result<Self, String> {
        connection.socket.stream().set_nonblocking(true).map_err(|error| format!("socket: {error}"))?;
        Ok(Self { connection, output: Vec::new(), readable: true, writable: true })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.connection.socket.stream()
    }

    /// The connection back, to close it.
    pub(super) fn into_connection(self) -> Result<Connection, String> {
        self.connection.socket.stream().set_nonblocking(false).map_err(|error| format!("socket: {error}"))?;
        Ok(self.connection)
    }

    /// What was left of earlier reads, moved to the front of `buffer`; its length.
    pub(super) fn take_left(&mut self, buffer: &mut [u8]) -> usize {
        let left = self.connection.input.len();
        if let Some(room) = buffer.get_mut(..left) {
            room.copy_from_slice(&self.connection.input);
        }
        self.connection.input.clear();
        left
    }

    /// Keeps what was not used of the bytes read.
    pub(super) fn keep_left(&mut self, rest: &[u8]) {
        self.connection.input.extend_from_slice(rest);
    }

    pub(super) fn has_left(&self) -> bool {
        !self.connection.input.is_empty()
    }

    /// Reads once into `room`; how many bytes came. The end of the stream is an error.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<usize, String> {
        match self.connection.socket.read(room) {
            Ok(0) => Err("the broker closed the connection".to_owned()),
            Ok(count) => {
                // What comes after an emptied socket makes an edge.
                self.readable = !self.connection.socket.is_emptied(count, room.len());
                Ok(count)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(0)
                }
                ErrorKind::Interrupted => Ok(0),
                _ => Err(format!("read: {error}")),
            },
        }
    }

    /// Room for small frames. [`flush`](Self::flush) writes them.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Writes the small frames; whether all are gone.
    pub(super) fn flush(&mut self) -> Result<bool, String> {
        if !self.output.is_empty() && self.writable {
            let output = std::mem::take(&mut self.output);
            let taken = self.write(&output);
            self.output = output;
            self.output.drain(..taken?);
        }
        Ok(self.output.is_empty())
    }

    /// Writes what the socket takes: a broker that does not read now may wait for us to read.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut taken = 0;
        while let Some(rest @ [_, ..]) = bytes.get(taken..).filter(|_| self.writable) {
            match self.connection.socket.write(rest) {
                Ok(count) => {
                    taken += count;
                    // Room in a filled socket makes an edge.
                    self.writable = !self.connection.socket.is_filled(count, rest.len());
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => self.writable = false,
                    ErrorKind::Interrupted => {}
                    _ => return Err(self.reason(&error)),
                },
            }
        }
        Ok(taken)
    }

    /// Writes what the socket holds back itself.
    pub(super) fn pump(&mut self) -> Result<(), String> {
        if self.writable {
            self.writable = self.connection.socket.pump().map_err(|error| self.reason(&error))?;
        }
        Ok(())
    }

    /// Why a write failed: the broker's close frame, if it is still to be read.
    fn reason(&mut self, error: &io::Error) -> String {
        let mut bytes = std::mem::take(&mut self.connection.input);
        let mut room = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = self.connection.socket.read(&mut room) {
            bytes.extend_from_slice(room.get(..count).unwrap_or_default());
        }
        let mut rest = &bytes[..];
        while let Some(frame) = next(rest) {
            if let Some(refusal) = frame.refusal() {
                return refusal;
            }
            rest = rest.get(frame.len()..).unwrap_or_default();
        }
        format!("write: {error}")
    }
}
