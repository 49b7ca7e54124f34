//! A connection's socket, plain or with TLS, for a task that waits until it is readable or writable.

use crate::limits::{READ_BYTES, TLS_HANDSHAKE_BYTES};
use crate::tls::Session;
use socket2::SockRef;
use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Result};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// After the last write: how long, and for how many bytes, the peer's own last words are read and dropped. Closing a
/// socket with unread bytes would reset it, and the peer would lose our close frame. And how long a peer that closed the
/// connection has for closing the socket.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;
/// How long a peer may take for what is encrypted already when the connection ends.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// Memory that an idle session may keep for its next records, in bytes.
const KEPT_CAPACITY: usize = 1024;

thread_local! {
    /// Where encrypted bytes are read into and written from: one of each a thread, so that an idle session holds none.
    static SEALED_IN: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    static SEALED_OUT: RefCell<Vec<u8>> = RefCell::new(vec![0; Session::SEALED_BYTES]);
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<Secure>>,
}

/// TLS on a socket, and what lies between the two.
#[derive(Debug)]
struct Secure {
    session: Session,
    /// The start of a record.
    incomplete: Vec<u8>,
    /// What came behind the handshake, decrypted.
    early: Vec<u8>,
    /// Encrypted bytes that the socket has not taken, from `sent` on.
    waiting: Vec<u8>,
    sent: usize,
}

/// A socket between two event loops.
pub(super) struct Loose {
    stream: std::net::TcpStream,
    tls: Option<Box<Secure>>,
}

impl Loose {
    /// Puts it into the event loop of this thread.
    ///
    /// # Errors
    /// Those of the system.
    pub fn tie(self) -> Result<Socket> {
        Ok(Socket { stream: TcpStream::from_std(self.stream)?, tls: self.tls })
    }
}

impl Socket {
    /// Takes it out of its event loop.
    ///
    /// # Errors
    /// Those of the system.
    pub fn loosen(self) -> Result<Loose> {
        Ok(Loose { stream: self.stream.into_std()?, tls: self.tls })
    }

    /// A socket without TLS.
    pub fn plain(stream: TcpStream) -> Socket {
        Socket { stream, tls: None }
    }

    /// A socket with TLS, after its handshake.
    ///
    /// # Errors
    /// Those of the socket and of TLS.
    pub async fn secure(stream: TcpStream, session: Session) -> Result<Socket> {
        let (incomplete, early, waiting) = (Vec::new(), Vec::new(), Vec::new());
        let mut secure = Box::new(Secure { session, incomplete, early, waiting, sent: 0 });
        let outcome = loop {
            if let Err(error) = secure.flush(&stream) {
                break Err(error);
            }
            match (secure.session.is_handshaking(), secure.waits()) {
                (false, false) => break Ok(()),
                (_, true) => stream.writable().await?,
                (true, false) => {
                    stream.readable().await?;
                    match secure.shake_hands(&stream) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => break Err(error),
                        Ok(()) => {}
                    }
                }
            }
        };
        if let Err(error) = outcome {
            // The alert, if the socket takes it at once.
            let _ = secure.flush(&stream);
            return Err(error);
        }
        Ok(Socket { stream, tls: Some(secure) })
    }

    /// What TLS agreed on.
    pub fn session(&self) -> Option<&Session> {
        self.tls.as_deref().map(|secure| &secure.session)
    }

    /// Ready when [`Socket::read`] is worth a try; else this task is woken when it is.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &self.tls {
            Some(secure) if !secure.early.is_empty() || secure.session.has_ended() => Poll::Ready(Ok(())),
            _ => self.stream.poll_read_ready(cx),
        }
    }

    /// Ready when [`Socket::write`] or [`Socket::flush`] is worth a try; else this task is woken when it is.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.stream.poll_write_ready(cx)
    }

    /// Reads what is there into `into`, which has [`READ_BYTES`]; 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; those of the socket and of TLS.
    #[inline]
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        match &mut self.tls {
            None => read_once(&self.stream, into),
            Some(secure) => secure.read(&self.stream, into),
        }
    }

    /// Writes some of `bytes`; returns how many were taken. What was taken before is written first.
    ///
    /// # Errors
    /// `WouldBlock` when the socket takes nothing now; those of the socket and of TLS.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match &mut self.tls {
            None => self.stream.try_write(bytes),
            Some(secure) => secure.write(&self.stream, bytes),
        }
    }

    /// Whether encrypted bytes wait for the socket.
    #[inline]
    pub fn waits(&self) -> bool {
        self.tls.as_ref().is_some_and(|secure| secure.waits())
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// Those of the socket.
    #[inline]
    pub fn flush(&mut self) -> Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(secure) => secure.flush(&self.stream),
        }
    }

    /// Says that nothing more comes, then reads what the peer has still to say.
    pub async fn linger(mut self) {
        if let Some(secure) = &mut self.tls {
            secure.session.end(&mut secure.waiting, &mut secure.incomplete);
        }
        self.write_out().await;
        use tokio::io::AsyncWriteExt;
        if self.stream.shutdown().await.is_ok() {
            // Either way the socket is closed now.
            self.drain().await;
        }
    }

    /// Writes what is left, and waits for the peer to close, for a while.
    pub async fn await_end(&mut self) {
        self.write_out().await;
        self.drain().await;
    }

    async fn write_out(&mut self) {
        let write_out = async { while self.flush().is_ok() && self.waits() && self.stream.writable().await.is_ok() {} };
        // Either way nothing more is written.
        let _ = tokio::time::timeout(LAST_WRITE, write_out).await;
    }

    /// Reads and drops what still comes, until the peer closes, for a while.
    async fn drain(&mut self) {
        let drain = async {
            let (mut drained, mut bytes) = (0, [0; 4096]);
            while drained < LINGER_BYTES && self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut bytes) {
                    Ok(0) => return,
                    Ok(read) => drained += read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

impl Secure {
    fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// One step of the handshake, with what is there to read.
    fn shake_hands(&mut self, stream: &TcpStream) -> Result<()> {
        if self.incomplete.len() >= TLS_HANDSHAKE_BYTES {
            return Err(Error::other("the handshake is too large"));
        }
        // Content may come behind the handshake; a record more than is read may be complete then.
        let mut plain = vec![0; 2 * TLS_HANDSHAKE_BYTES];
        let content = self.take(stream, TLS_HANDSHAKE_BYTES, &mut plain)?;
        self.early.extend_from_slice(plain.get(..content).unwrap_or_default());
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream, into: &mut [u8]) -> Result<usize> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            let room = into.get_mut(..early.len()).ok_or_else(|| Error::other("no room for what came early"))?;
            room.copy_from_slice(&early);
            return Ok(early.len());
        }
        if self.session.has_ended() {
            return Ok(0);
        }
        match self.take(stream, READ_BYTES, into)? {
            0 if !self.session.has_ended() => Err(ErrorKind::WouldBlock.into()),
            content => Ok(content),
        }
    }

    /// Reads at most `most` bytes and decrypts what is complete; returns how much came out.
    fn take(&mut self, stream: &TcpStream, most: usize, into: &mut [u8]) -> Result<usize> {
        SEALED_IN.with_borrow_mut(|sealed| {
            let before = self.incomplete.len();
            let end = sealed.len().min(before + most);
            let parts = sealed.get_mut(..end).and_then(|room| room.split_at_mut_checked(before));
            let Some((front, back)) = parts.filter(|(_, back)| !back.is_empty()) else {
                return Err(Error::other("a record is too large"));
            };
            front.copy_from_slice(&self.incomplete);
            let read = stream.try_read(back)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let sealed = sealed.get_mut(..before + read).unwrap_or_default();
            let done = self.session.open(sealed, into, &mut self.waiting).map_err(Error::other)?;
            let rest = sealed.get(done.used..).unwrap_or_default();
            keep(&mut self.incomplete, rest);
            Ok(done.plain)
        })
    }

    fn write(&mut self, stream: &TcpStream, bytes: &[u8]) -> Result<usize> {
        self.flush(stream)?;
        if self.waits() {
            return Err(ErrorKind::WouldBlock.into());
        }
        SEALED_OUT.with_borrow_mut(|sealed| {
            let (taken, length) = self.session.seal(bytes, sealed, &mut self.incomplete).map_err(Error::other)?;
            let sealed = sealed.get(..length).unwrap_or_default();
            // What is encrypted cannot be encrypted again: the rest waits.
            let written = match stream.try_write(sealed) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                other => other?,
            };
            self.waiting.extend_from_slice(sealed.get(written..).unwrap_or_default());
            Ok(taken)
        })
    }

    fn flush(&mut self, stream: &TcpStream) -> Result<()> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        keep(&mut self.waiting, &[]);
        Ok(())
    }
}

/// Replaces what is in a buffer, and gives back memory of busier times.
fn keep(buffer: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() && buffer.capacity() > KEPT_CAPACITY {
        *buffer = Vec::new();
    } else {
        buffer.clear();
        buffer.extend_from_slice(bytes);
    }
}

/// Reads what is there. A read that leaves room in `into` has emptied the socket: it is not ready until more comes, which
/// saves a second read that would only find that out.
fn read_once(stream: &TcpStream, into: &mut [u8]) -> Result<usize> {
    let (room, mut read) = (into.len(), 0);
    let outcome = stream.try_io(Interest::READABLE, || {
        read = (&*SockRef::from(stream)).read(into)?;
        if read > 0 && read < room { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    if read > 0 { Ok(read) } else { outcome.map(|()| 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_socket_that_was_emptied_is_ready_when_more_comes_and_at_its_end() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 8];
        peer.write_all(b"five5").await.unwrap();
        stream.readable().await.unwrap();
        assert_eq!(read_once(&stream, &mut bytes).unwrap(), 5);
        // The kernel is not asked again.
        let asked = stream.try_io(Interest::READABLE, || Ok(()));
        assert_eq!(asked.unwrap_err().kind(), ErrorKind::WouldBlock);
        // More than fits, and then the end.
        peer.write_all(b"thirteen more").await.unwrap();
        drop(peer);
        let mut left = 13;
        loop {
            stream.readable().await.unwrap();
            match read_once(&stream, &mut bytes).unwrap() {
                0 => break,
                read => left -= read,
            }
        }
        assert_eq!(left, 0);
    }
}
