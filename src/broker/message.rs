//! Messages as bytes: the record, and the chunk of consecutive records that is at once a queue's memory, the value on
//! disk and the source of the frames sent to consumers (design.md 2).
//!
//! A chunk begins with a header (u8 version, u8 flags, u16 0, u32 count, u32 CRC of the records), so that its bytes are
//! written to disk as they are. Record layout, little-endian:
//!
//! ```text
//! u32 length of the whole record   u8 flags   u8 priority   u16 length of exchange and key
//! u32 length of the content header   [u64 deadline, wall ms, if FLAG_DEADLINE]
//! exchange and routing key, two short strings as on the wire
//! content header payload, verbatim (class, weight, body size, property flags, properties)
//! body, or with FLAG_DETACHED what refers to it: u128 number, big-endian, u32 length
//! ```

use super::body::{self, Body, BodyId, References};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

const CHUNK_HEADER: usize = 12;
const CHUNK_VERSION: u8 = 1;
const CHUNK_FLAG_CRC: u8 = 1;
const CHUNK_FLAG_REFERS: u8 = 2;
const FIXED: usize = 12;
const FLAG_PERSISTENT: u8 = 1;
const FLAG_DEADLINE: u8 = 2;
const FLAG_DIED: u8 = 4;
const FLAG_DETACHED: u8 = 8;
/// What a chunk costs in memory besides its records: the allocation headers, the queue's entry.
const CHUNK_OVERHEAD: usize = 160;

/// The parts of a message that is to become a record.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Exchange and routing key: two short strings, contiguous, as on the wire.
    pub exchange_and_key: &'a [u8],
    /// The content header frame's payload.
    pub header: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// Whether the publisher asked for persistence (delivery-mode 2).
    pub persistent: bool,
    /// Priority property, 0 when absent.
    pub priority: u8,
    /// When the message expires, wall clock ms; 0 = never.
    pub deadline_ms: u64,
    /// The broker has dead-lettered it before: its `x-death` header is the broker's, not its publisher's.
    pub died: bool,
    /// The body, if it is kept once for several queues.
    pub detached: Option<&'a Arc<Body>>,
}

impl Parts<'_> {
    /// Bytes that the record will take.
    #[inline]
    pub fn record_len(&self) -> usize {
        let deadline = if self.deadline_ms > 0 { 8 } else { 0 };
        let body = if self.detached.is_some() { body::REFERENCE } else { self.body.len() };
        FIXED + deadline + self.exchange_and_key.len() + self.header.len() + body
    }

    /// The same with a detached body counted whole.
    #[inline]
    pub fn weight(&self) -> usize {
        self.record_len() + self.detached.map_or(0, |_| self.body.len())
    }
}

/// One message read in place from its chunk.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Exchange and routing key as on the wire.
    pub exchange_and_key: &'a [u8],
    /// The content header frame's payload, verbatim.
    pub header: &'a [u8],
    /// The body.
    pub body: &'a [u8],
    /// Priority property, 0 when absent.
    pub priority: u8,
    /// When the message expires, wall clock ms; 0 = never.
    pub deadline_ms: u64,
    /// Whether it survives a restart in a durable queue.
    pub persistent: bool,
    /// Whether its `x-death` header is the broker's.
    pub died: bool,
    /// The body, if it is kept once for several queues.
    pub detached: Option<&'a Arc<Body>>,
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`: its length, and whether what is in place of its body only refers to it.
    /// None when the bytes are not a record (only damage can cause that).
    #[inline]
    fn read(bytes: &'a [u8]) -> Option<(Record<'a>, usize, bool)> {
        let (fixed, _) = bytes.split_first_chunk::<FIXED>()?;
        let [l0, l1, l2, l3, flags, priority, k0, k1, h0, h1, h2, h3] = *fixed;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let rest = bytes.get(FIXED..length)?;
        let (deadline_ms, rest) = if flags & FLAG_DEADLINE != 0 {
            let (deadline, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_le_bytes(*deadline), rest)
        } else {
            (0, rest)
        };
        let (exchange_and_key, rest) = rest.split_at_checked(u16::from_le_bytes([k0, k1]) as usize)?;
        let (header, body) = rest.split_at_checked(u32::from_le_bytes([h0, h1, h2, h3]) as usize)?;
        let (persistent, died) = (flags & FLAG_PERSISTENT != 0, flags & FLAG_DIED != 0);
        let detached = None;
        let record = Record { exchange_and_key, header, body, priority, deadline_ms, persistent, died, detached };
        Some((record, length, flags & FLAG_DETACHED != 0))
    }
}

/// Counts the bytes of all chunks in memory: the node's memory budget is held against it.
#[derive(Debug, Default)]
pub struct Ledger(AtomicI64);

impl Ledger {
    /// Bytes of all chunks that are alive.
    pub fn bytes(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: i64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Consecutive records of one queue, immutable.
#[derive(Debug)]
pub struct Chunk {
    first: u64,
    count: u32,
    durable: bool,
    /// Whether some of its messages expire.
    timed: bool,
    /// Bytes of all its messages' bodies.
    body_bytes: u64,
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    /// The indexes of the records that are there, if not all are.
    kept: Option<Vec<u32>>,
    /// Detached bodies, if some record has or had one.
    references: Option<Box<References>>,
    ledger: Arc<Ledger>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.ledger.add(-(self.memory() as i64));
    }
}

impl Chunk {
    /// The sequence number of its first message.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The sequence number after its last message.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count())
    }

    /// Number of messages, those left out included.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Gives the chunk its place in a queue.
    pub(super) fn number(mut self, first: u64) -> Chunk {
        self.first = first;
        self
    }

    /// Whether the messages are kept on disk until settled.
    pub fn durable(&self) -> bool {
        self.durable
    }

    /// Whether some of its messages expire.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.timed
    }

    /// Bytes of the bodies of `from..to`, by index; what was left out does not count.
    pub fn body_bytes(&self, from: u32, to: u32) -> u64 {
        if (from, to, self.kept.is_none()) == (0, self.count, true) {
            return self.body_bytes;
        }
        (from..to).filter_map(|index| self.record(index)).map(|record| record.body.len() as u64).sum()
    }

    /// Bytes of the bodies of all messages that were in it.
    pub fn all_body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The header and the records, one after the other: what is written to disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Memory that it takes, in bytes, but for detached bodies: those count once for all their queues.
    pub fn memory(&self) -> usize {
        let offsets = self.offsets.capacity() + self.kept.as_ref().map_or(0, Vec::capacity);
        let references = self.references.as_ref().map_or(0, |references| references.memory());
        self.bytes.capacity() + offsets * 4 + references + CHUNK_OVERHEAD
    }

    /// Memory that it keeps in use, detached bodies and all.
    pub fn weight(&self) -> usize {
        self.memory() + self.detached_bytes() as usize
    }

    /// Whether some of its records refer to detached bodies, or did before they were left out.
    pub fn refers(&self) -> bool {
        self.references.is_some()
    }

    /// The detached bodies of its records, one for each record that has one.
    pub fn detached(&self) -> impl Iterator<Item = &Arc<Body>> {
        self.references.iter().flat_map(|references| references.bodies())
    }

    fn detached_bytes(&self) -> u64 {
        self.references.as_ref().map_or(0, |references| references.total())
    }

    /// Bytes that a commit grows by when it stores the chunk.
    pub fn commit_bytes(&self) -> usize {
        self.bytes.len() + self.detached().map(|body| body.claim()).sum::<usize>()
    }

    /// The message at `index`. None past the end, and when it was left out.
    #[inline]
    pub fn record(&self, index: u32) -> Option<Record<'_>> {
        let at = match &self.kept {
            None => index as usize,
            Some(kept) => kept.binary_search(&index).ok()?,
        };
        let offset = *self.offsets.get(at)? as usize;
        let (record, _, detached) = Record::read(self.bytes.get(offset..)?)?;
        if detached { self.with_body(record, at) } else { Some(record) }
    }

    #[cold]
    fn with_body<'a>(&'a self, mut record: Record<'a>, at: usize) -> Option<Record<'a>> {
        let body = self.references.as_ref()?.get(at as u32)?;
        (record.body, record.detached) = (body.body(), Some(body));
        Some(record)
    }

    /// Bytes of the records `from..to`, by index, detached bodies and all.
    #[inline]
    pub fn span_bytes(&self, from: u32, to: u32) -> usize {
        let at = |index: u32| match &self.kept {
            None => index as usize,
            Some(kept) => kept.partition_point(|other| *other < index),
        };
        let (from, to) = (at(from), at(to));
        let offset = |at: usize| self.offsets.get(at).map_or(self.bytes.len(), |offset| *offset as usize);
        let records = offset(to).saturating_sub(offset(from));
        match &self.references {
            None => records,
            Some(references) => records + references.between(from as u32, to as u32) as usize,
        }
    }

    /// A copy that holds only the records at `kept`, in order, under their old numbers: for memory, not for the disk.
    pub(super) fn thin_out(&self, kept: Vec<u32>) -> Option<Chunk> {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::with_capacity(kept.len()));
        let mut references = self.refers().then(Box::<References>::default);
        for (at, index) in (0..).zip(&kept) {
            offsets.push(u32::try_from(bytes.len()).ok()?);
            let offset = *self.offsets.get(*index as usize)? as usize;
            let record = self.bytes.get(offset..)?;
            let (_, length, detached) = Record::read(record)?;
            bytes.extend_from_slice(record.get(..length)?);
            if detached && let (Some(references), Some(all)) = (&mut references, &self.references) {
                references.push(at, all.get(*index)?.clone());
            }
        }
        bytes.shrink_to_fit();
        let contents = (self.timed, self.body_bytes);
        let mut thin = Chunk::new(self.first, self.durable, contents, bytes, offsets, references, &self.ledger);
        thin.count = self.count;
        thin.kept = Some(kept);
        self.ledger.add(thin.kept.as_ref().map_or(0, |kept| kept.capacity() * 4) as i64);
        Some(thin)
    }

    /// A copy of the records `from..to` as a chunk of its own. None when some of them were left out.
    pub(super) fn slice(&self, from: u32, to: u32) -> Option<Chunk> {
        self.pick(from..to)
    }

    /// The same of the records at these indexes, in order.
    pub(super) fn pick(&self, indexes: impl Iterator<Item = u32>) -> Option<Chunk> {
        let mut builder = ChunkBuilder::default();
        for index in indexes {
            let Record { exchange_and_key, header, body, priority, deadline_ms, persistent, died, detached } =
                self.record(index)?;
            builder.push(&Parts { exchange_and_key, header, body, persistent, priority, deadline_ms, died, detached });
        }
        Some(builder.finish(self.durable, &self.ledger))
    }

    /// Whether records were left out of it.
    pub(super) fn is_thin(&self) -> bool {
        self.kept.is_some()
    }

    /// The index before which at most `bytes` lie from `from` on, at least one message and at most `to`.
    pub fn span_end(&self, from: u32, to: u32, bytes: usize) -> u32 {
        if self.span_bytes(from, to) <= bytes {
            return to;
        }
        let (mut fitting, mut beyond) = (from + 1, to);
        while fitting < beyond {
            let middle = fitting + (beyond - fitting).div_ceil(2);
            if self.span_bytes(from, middle) <= bytes {
                fitting = middle;
            } else {
                beyond = middle - 1;
            }
        }
        fitting.min(to)
    }

    /// A chunk from the bytes that were stored; `find` gives detached bodies. None when they are damaged, or a body is
    /// missing.
    pub fn load(
        first: u64,
        durable: bool,
        bytes: Vec<u8>,
        ledger: &Arc<Ledger>,
        mut find: impl FnMut(BodyId) -> Option<Arc<Body>>,
    ) -> Option<Chunk> {
        let (header, records) = bytes.split_first_chunk::<CHUNK_HEADER>()?;
        let [version, flags, _, _, n0, n1, n2, n3, c0, c1, c2, c3] = *header;
        let count = u32::from_le_bytes([n0, n1, n2, n3]) as usize;
        let intact = flags & CHUNK_FLAG_CRC == 0 || crc32fast::hash(records) == u32::from_le_bytes([c0, c1, c2, c3]);
        if version != CHUNK_VERSION || !intact {
            return None;
        }
        let mut offsets = Vec::with_capacity(count.min(records.len() / FIXED));
        let mut references = (flags & CHUNK_FLAG_REFERS != 0).then(Box::<References>::default);
        let (mut at, mut timed, mut body_bytes) = (CHUNK_HEADER, false, 0);
        while at < bytes.len() {
            let (record, length, detached) = Record::read(bytes.get(at..)?)?;
            timed |= record.deadline_ms > 0;
            if detached {
                let (id, length) = body::read_reference(record.body)?;
                let body = find(id).filter(|body| body.body().len() == length as usize)?;
                body_bytes += u64::from(length);
                references.as_mut()?.push(offsets.len() as u32, body);
            } else {
                body_bytes += record.body.len() as u64;
            }
            offsets.push(u32::try_from(at).ok()?);
            at += length;
        }
        let contents = (timed, body_bytes);
        (offsets.len() == count).then(|| Chunk::new(first, durable, contents, bytes, offsets, references, ledger))
    }

    /// The same of a chunk whose records refer to no bodies.
    pub fn load_plain(first: u64, durable: bool, bytes: Vec<u8>, ledger: &Arc<Ledger>) -> Option<Chunk> {
        Chunk::load(first, durable, bytes, ledger, |_| None)
    }

    fn new(
        first: u64,
        durable: bool,
        (timed, body_bytes): (bool, u64),
        bytes: Vec<u8>,
        offsets: Vec<u32>,
        references: Option<Box<References>>,
        ledger: &Arc<Ledger>,
    ) -> Chunk {
        let (count, kept, ledger) = (offsets.len() as u32, None, ledger.clone());
        let chunk = Chunk { first, count, durable, timed, body_bytes, bytes, offsets, kept, references, ledger };
        chunk.ledger.add(chunk.memory() as i64);
        chunk
    }
}

/// Records that a publisher has packed for one queue and not yet handed over.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    persistent: bool,
    timed: bool,
    body_bytes: u64,
    /// Detached bodies.
    references: Option<Box<References>>,
    /// Bytes of these.
    detached_bytes: usize,
    /// Size of the last chunk: the next one's first allocation.
    expected: usize,
}

impl ChunkBuilder {
    /// Appends a message. The caller closes the chunk first when [`ChunkBuilder::fits`] says no.
    #[inline]
    pub fn push(&mut self, parts: &Parts<'_>) {
        let length = parts.record_len();
        if self.bytes.is_empty() {
            self.bytes.reserve(self.expected.max(CHUNK_HEADER + length));
            self.bytes.extend_from_slice(&[0; CHUNK_HEADER]);
        }
        self.offsets.push(self.bytes.len() as u32);
        self.bytes.reserve(length);
        let mut flags = 0;
        flags |= if parts.persistent { FLAG_PERSISTENT } else { 0 };
        flags |= if parts.deadline_ms > 0 { FLAG_DEADLINE } else { 0 };
        flags |= if parts.died { FLAG_DIED } else { 0 };
        flags |= if parts.detached.is_some() { FLAG_DETACHED } else { 0 };
        let [l0, l1, l2, l3] = (length as u32).to_le_bytes();
        let [k0, k1] = (parts.exchange_and_key.len() as u16).to_le_bytes();
        let [h0, h1, h2, h3] = (parts.header.len() as u32).to_le_bytes();
        self.bytes.extend_from_slice(&[l0, l1, l2, l3, flags, parts.priority, k0, k1, h0, h1, h2, h3]);
        if parts.deadline_ms > 0 {
            self.timed = true;
            self.bytes.extend_from_slice(&parts.deadline_ms.to_le_bytes());
        }
        self.bytes.extend_from_slice(parts.exchange_and_key);
        self.bytes.extend_from_slice(parts.header);
        match parts.detached {
            None => self.bytes.extend_from_slice(parts.body),
            Some(body) => self.refer(body),
        }
        self.body_bytes += parts.body.len() as u64;
        self.persistent = parts.persistent;
    }

    /// The body of the record that is being appended is kept elsewhere.
    #[cold]
    fn refer(&mut self, body: &Arc<Body>) {
        self.bytes.extend_from_slice(&body::reference(body));
        self.detached_bytes += body.body().len();
        let at = self.offsets.len().saturating_sub(1) as u32;
        self.references.get_or_insert_default().push(at, body.clone());
    }

    /// Whether the message may join: room in the chunk, and the same persistence as the others in it.
    #[inline]
    pub fn fits(&self, parts: &Parts<'_>) -> bool {
        self.offsets.is_empty()
            || (self.persistent == parts.persistent
                && self.bytes.len() + self.detached_bytes + parts.weight() <= crate::limits::CHUNK_BYTES)
    }

    /// Whether it holds no message.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Number of messages.
    pub fn count(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// Whether its messages are persistent.
    pub fn persistent(&self) -> bool {
        self.persistent
    }

    /// Makes the chunk and leaves the builder empty. The queue numbers it when it takes it.
    pub fn finish(&mut self, durable: bool, ledger: &Arc<Ledger>) -> Chunk {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut offsets = std::mem::take(&mut self.offsets);
        self.expected = bytes.len();
        if bytes.capacity() - bytes.len() > bytes.len() / 4 {
            bytes.shrink_to_fit();
        }
        offsets.shrink_to_fit();
        let [n0, n1, n2, n3] = (offsets.len() as u32).to_le_bytes();
        let (flags, crc) = match bytes.get(CHUNK_HEADER..) {
            Some(records) if durable => (CHUNK_FLAG_CRC, crc32fast::hash(records)),
            _ => (0, 0),
        };
        let (references, [c0, c1, c2, c3]) = (self.references.take(), crc.to_le_bytes());
        self.detached_bytes = 0;
        let flags = flags | if references.is_some() { CHUNK_FLAG_REFERS } else { 0 };
        if let Some(header) = bytes.first_chunk_mut::<CHUNK_HEADER>() {
            *header = [CHUNK_VERSION, flags, 0, 0, n0, n1, n2, n3, c0, c1, c2, c3];
        }
        let contents = (std::mem::take(&mut self.timed), std::mem::take(&mut self.body_bytes));
        Chunk::new(0, durable, contents, bytes, offsets, references, ledger)
    }
}

/// Bytes that the records of a stored chunk take, detached bodies and all, as far as they can be read.
pub fn stored_weight(bytes: &[u8]) -> usize {
    let refers = matches!(bytes, [_, flags, ..] if flags & CHUNK_FLAG_REFERS != 0);
    let (mut at, mut weight) = (if refers { CHUNK_HEADER } else { bytes.len() }, bytes.len());
    while let Some((record, length, detached)) = bytes.get(at..).and_then(Record::read) {
        if detached && let Some((_, length)) = body::read_reference(record.body) {
            weight += length as usize;
        }
        at += length;
    }
    weight
}

/// Consecutive messages of one chunk, handed to one consumer at once.
#[derive(Clone, Debug)]
pub struct Run {
    /// The chunk they are in.
    pub chunk: Arc<Chunk>,
    /// Index of the first in the chunk.
    pub index: u32,
    /// How many.
    pub count: u32,
    /// Whether they may have been delivered before.
    pub redelivered: bool,
    /// How often they came back, where that is counted (quorum queues).
    pub returns: Returns,
}

/// How often a message of a quorum queue came back (compat.md 2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    /// Deliveries that failed: `x-delivery-count`.
    pub failed: u32,
    /// All deliveries that came back: `x-acquired-count`.
    pub acquired: u32,
}

impl Run {
    /// Sequence number of the first message.
    pub fn first(&self) -> u64 {
        self.chunk.first() + u64::from(self.index)
    }

    /// Bytes of its records.
    pub fn bytes(&self) -> usize {
        self.chunk.span_bytes(self.index, self.index + self.count)
    }

    /// The same messages without their bytes.
    pub fn span(&self) -> Span {
        Span { first: self.first(), count: self.count, chunk_end: self.chunk.end() }
    }

    /// The messages `skip..skip + count` of this run.
    pub fn part(&self, skip: u32, count: u32) -> Run {
        Run { index: self.index + skip, count, ..self.clone() }
    }
}

/// Consecutive messages of one chunk, by number: what is remembered of a run, so that it does not pin the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Sequence number of the first message.
    pub first: u64,
    /// How many.
    pub count: u32,
    /// Sequence number after the last message of the chunk.
    pub chunk_end: u64,
}

impl Span {
    /// The messages `skip..skip + count` of this span.
    pub fn part(self, skip: u32, count: u32) -> Span {
        Span { first: self.first + u64::from(skip), count, chunk_end: self.chunk_end }
    }
}
