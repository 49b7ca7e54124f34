//! Detached bodies: a large body that goes to several queues is kept once, in memory and on disk; the records of its
//! messages refer to it (design.md 5.4). Every queue counts it whole.
//!
//! Its bytes begin with a header (u8 version, u32 CRC of the body, little-endian), so that they are written to disk as they are.

use super::message::Ledger;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bodies from this size on are detached when they go to several queues, in bytes.
pub const DETACHED_BYTES: usize = 4096;

/// What stands in a record for its body: number and length.
pub(super) const REFERENCE: usize = 20;

const HEADER: usize = 5;
const VERSION: u8 = 1;
/// What a body costs in memory besides its bytes: the allocation headers, its place among all bodies.
const OVERHEAD: usize = 128;

/// The number of a detached body: never given twice in one data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyId(pub u128);

/// A body that several records share.
#[derive(Debug)]
pub struct Body {
    id: BodyId,
    bytes: Vec<u8>,
    claimed: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.ledger.add(-(self.memory() as i64));
    }
}

impl Body {
    /// A body that has just come.
    pub fn new(id: BodyId, body: &[u8], ledger: &Arc<Ledger>) -> Body {
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        bytes.extend_from_slice(body);
        Body::whole(id, bytes, ledger)
    }

    /// A body from the bytes that were stored. None when they are damaged.
    pub fn load(id: BodyId, bytes: Vec<u8>, ledger: &Arc<Ledger>) -> Option<Body> {
        let ([VERSION, c0, c1, c2, c3], body) = bytes.split_first_chunk::<HEADER>()? else { return None };
        let intact = crc32fast::hash(body) == u32::from_le_bytes([*c0, *c1, *c2, *c3]);
        intact.then(|| Body::whole(id, bytes, ledger))
    }

    fn whole(id: BodyId, bytes: Vec<u8>, ledger: &Arc<Ledger>) -> Body {
        let body = Body { id, bytes, claimed: AtomicBool::new(false), ledger: ledger.clone() };
        ledger.add(body.memory() as i64);
        body
    }

    /// Its number.
    pub fn id(&self) -> BodyId {
        self.id
    }

    /// The body itself.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// Header and body: what is written to disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn memory(&self) -> usize {
        self.bytes.capacity() + OVERHEAD
    }

    /// Its size the first time, 0 afterwards: how much a commit grows by it, at a guess.
    pub fn claim(&self) -> usize {
        if self.claimed.swap(true, Ordering::Relaxed) { 0 } else { self.bytes.len() }
    }
}

/// The bodies that the records of a chunk refer to, in order.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Where the record is among those that are there, the bytes of the bodies before it, and its body.
    list: Vec<(u32, u64, Arc<Body>)>,
    total: u64,
}

impl References {
    /// The record at `at`, behind all others, refers to `body`.
    pub fn push(&mut self, at: u32, body: Arc<Body>) {
        let before = self.total;
        self.total += body.body().len() as u64;
        self.list.push((at, before, body));
    }

    /// Bytes of all the bodies.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Memory that the list takes.
    pub fn memory(&self) -> usize {
        self.list.capacity() * size_of::<(u32, u64, Arc<Body>)>() + size_of::<References>()
    }

    /// The body of the record at `at`.
    pub fn get(&self, at: u32) -> Option<&Arc<Body>> {
        let found = self.list.binary_search_by_key(&at, |(at, _, _)| *at).ok()?;
        self.list.get(found).map(|(_, _, body)| body)
    }

    /// Bytes of the bodies of the records `from..to`.
    pub fn between(&self, from: u32, to: u32) -> u64 {
        let before = |at: u32| {
            let found = self.list.partition_point(|(other, _, _)| *other < at);
            self.list.get(found).map_or(self.total, |(_, before, _)| *before)
        };
        before(to).saturating_sub(before(from))
    }

    /// The bodies, one for each record that has one.
    pub fn bodies(&self) -> impl Iterator<Item = &Arc<Body>> {
        self.list.iter().map(|(_, _, body)| body)
    }
}

/// A reference as bytes.
pub(super) fn reference(body: &Body) -> [u8; REFERENCE] {
    let mut bytes = [0; REFERENCE];
    let (id, length) = bytes.split_at_mut(16);
    id.copy_from_slice(&body.id.0.to_be_bytes());
    length.copy_from_slice(&(body.body().len() as u32).to_le_bytes());
    bytes
}

/// Reads what [`reference`] made: the body's number and length.
pub(super) fn read_reference(bytes: &[u8]) -> Option<(BodyId, u32)> {
    let (id, length) = bytes.split_first_chunk::<16>()?;
    Some((BodyId(u128::from_be_bytes(*id)), u32::from_le_bytes(*length.first_chunk::<4>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::message::{Chunk, ChunkBuilder, Parts, stored_weight};
    use crate::limits::CHUNK_BYTES;

    const SIZE: usize = 50_000;

    fn chunk(count: u8, ledger: &Arc<Ledger>) -> Chunk {
        let mut builder = ChunkBuilder::default();
        for number in 0..count {
            let body = vec![number; SIZE];
            let shared = Arc::new(Body::new(BodyId(number.into()), &body, ledger));
            let parts = Parts {
                exchange_and_key: b"\0\x01k",
                header: b"header",
                body: &body,
                persistent: true,
                priority: 0,
                deadline_ms: 0,
                died: false,
                detached: number.is_multiple_of(2).then_some(&shared),
            };
            assert!(builder.fits(&parts) || builder.count() >= 5, "{number}");
            builder.push(&parts);
        }
        builder.finish(true, ledger)
    }

    fn assert_same(chunk: &Chunk, index: u32) {
        let record = chunk.record(index).unwrap();
        assert!(record.body == vec![index as u8; SIZE] && record.header == b"header", "{index}");
        assert_eq!(record.detached.is_some(), index.is_multiple_of(2));
    }

    #[test]
    fn records_with_detached_bodies_look_like_others() {
        let ledger = Arc::default();
        let chunk = chunk(5, &ledger);
        (0..5).for_each(|index| assert_same(&chunk, index));
        let whole = chunk.span_bytes(0, 5);
        assert_eq!((0..5).map(|index| chunk.span_bytes(index, index + 1)).sum::<usize>(), whole);
        assert!((5 * SIZE..5 * SIZE + 500).contains(&whole), "{whole}");
        assert_eq!((chunk.body_bytes(0, 5), chunk.body_bytes(1, 3)), (5 * SIZE as u64, 2 * SIZE as u64));
        assert!(chunk.bytes().len() < 2 * SIZE + 500 && chunk.refers());
        assert!((whole..whole + 1000).contains(&chunk.weight()));
        let picked = chunk.pick([1, 4].into_iter()).unwrap();
        assert!(picked.record(0).unwrap().body == vec![1; SIZE] && picked.record(1).unwrap().body == vec![4; SIZE]);
        let thin = chunk.thin_out(vec![3, 4]).unwrap();
        [3, 4].into_iter().for_each(|index| assert_same(&thin, index));
        assert_eq!(thin.span_bytes(0, 5), chunk.span_bytes(3, 5));
        assert_eq!(thin.span_bytes(0, 4), chunk.span_bytes(3, 4));
        let empty = thin.thin_out(Vec::new()).unwrap();
        assert!(empty.refers() && empty.detached().count() == 0);
        drop((chunk, picked));
        assert!(
            thin.weight() as i64 <= ledger.bytes() && ledger.bytes() < 2 * SIZE as i64 + 2000,
            "{}",
            ledger.bytes()
        );
        drop((thin, empty));
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn a_chunk_comes_back_from_the_disk_only_with_all_its_bodies() {
        let ledger = Arc::default();
        let chunk = chunk(4, &ledger);
        let weight = stored_weight(chunk.bytes());
        assert!((4 * SIZE..4 * SIZE + 500).contains(&weight), "{weight}");
        let mut bodies: Vec<Arc<Body>> = Vec::new();
        for body in chunk.detached() {
            bodies.push(Arc::new(Body::load(body.id(), body.bytes().to_vec(), &ledger).unwrap()));
        }
        let find = |id| bodies.iter().find(|body| body.id() == id).cloned();
        let again = Chunk::load(0, true, chunk.bytes().to_vec(), &ledger, find).unwrap();
        (0..4).for_each(|index| assert_same(&again, index));
        assert_eq!(again.body_bytes(0, 4), chunk.body_bytes(0, 4));
        let find = |id| bodies.iter().find(|body| body.id() == id && id != BodyId(2)).cloned();
        assert!(Chunk::load(0, true, chunk.bytes().to_vec(), &ledger, find).is_none());
        assert!(Chunk::load_plain(0, true, chunk.bytes().to_vec(), &ledger).is_none());
        let mut damaged = bodies[0].bytes().to_vec();
        damaged[SIZE / 2] ^= 1;
        assert!(Body::load(BodyId(0), damaged, &ledger).is_none());
        assert!(Body::load(BodyId(0), vec![VERSION], &ledger).is_none());
    }

    #[test]
    fn a_chunk_counts_detached_bodies_whole() {
        let (ledger, mut builder, mut count) = (Arc::default(), ChunkBuilder::default(), 0);
        let body = Arc::new(Body::new(BodyId(1), &[7; SIZE], &ledger));
        let parts = Parts {
            exchange_and_key: b"\0\0",
            header: b"",
            body: body.body(),
            persistent: true,
            priority: 0,
            deadline_ms: 0,
            died: false,
            detached: Some(&body),
        };
        while builder.fits(&parts) {
            builder.push(&parts);
            count += 1;
        }
        assert_eq!(count, CHUNK_BYTES / SIZE);
        let chunk = builder.finish(true, &ledger);
        assert!(builder.fits(&parts) && chunk.bytes().len() < 1000);
        assert_eq!(
            (chunk.commit_bytes(), chunk.commit_bytes()),
            (chunk.bytes().len() + body.bytes().len(), chunk.bytes().len())
        );
    }
}
