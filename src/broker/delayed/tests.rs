//! The delayed messages of an exchange, with a disk and a clock of the test's own.

use super::*;
use crate::broker::message::{ChunkBuilder, Ledger, Parts};
use proptest::prelude::*;

const WINDOW: usize = 4096;
const EVERYTHING: usize = usize::MAX;

/// A chunk of `count` messages; the body of each says which one it is.
fn chunk(first: u64, count: u64, ledger: &Arc<Ledger>) -> Chunk {
    let mut builder = ChunkBuilder::default();
    for number in first..first + count {
        builder.push(&Parts {
            exchange_and_key: b"\0\0",
            header: b"h",
            body: &number.to_be_bytes(),
            persistent: true,
            priority: 0,
            deadline_ms: 0,
            died: false,
            detached: None,
        });
    }
    builder.finish(true, ledger)
}

fn numbers(chunk: &Chunk) -> Vec<u64> {
    let body = |at| chunk.record(at).unwrap().body.try_into().unwrap();
    (0..chunk.count()).map(|at| u64::from_be_bytes(body(at))).collect()
}

/// A node: the machine, its disk, and a committer that is as slow as the test wants.
#[derive(Default)]
struct Node {
    delays: Delays,
    disk: BTreeMap<Place, Vec<u8>>,
    state: DelayState,
    epoch: u64,
    ledger: Arc<Ledger>,
    sent: u64,
    /// Sent and not committed.
    unconfirmed: Vec<u64>,
    confirmed: Vec<u64>,
    /// What was routed, in order.
    moved: Vec<u64>,
    /// What queues have on disk.
    arrived: Vec<u64>,
    /// Moved with an epoch that is not done.
    flying: Vec<(u64, Vec<u64>)>,
}

impl Node {
    fn send(&mut self, due: u64, count: u64) {
        let chunk = chunk(self.sent, count, &self.ledger);
        self.unconfirmed.extend(self.sent..self.sent + count);
        self.sent += count;
        self.delays.accept(due, chunk, WINDOW);
    }

    /// A whole commit, in pieces of `room` bytes.
    fn commit(&mut self, room: usize) {
        self.epoch += 1;
        loop {
            let mut left = room;
            let collected = self.delays.collect(self.epoch, &mut left).unwrap();
            for (place, chunk) in collected.puts {
                self.disk.insert(place, chunk.bytes().to_vec());
            }
            for place in collected.deletes {
                assert!(self.disk.remove(&place).is_some(), "{place:?} was not on disk");
            }
            self.state = collected.state;
            if !collected.more {
                break;
            }
        }
        let on_disk: u64 = self.disk.values().map(|bytes| u64::from(self.load(bytes).count())).sum();
        assert_eq!(self.state.messages, on_disk);
        assert!(self.disk.keys().all(|place| *place >= self.state.first));
        for (_, numbers) in self.flying.extract_if(.., |(epoch, _)| *epoch <= self.epoch) {
            self.arrived.extend(numbers);
        }
        self.delays.arrived(self.epoch);
        self.confirmed.append(&mut self.unconfirmed);
    }

    fn load(&self, bytes: &[u8]) -> Chunk {
        Chunk::load_plain(0, true, bytes.to_vec(), &self.ledger).unwrap()
    }

    fn read(&self, request: LoadDelayed) -> (Vec<(Place, Chunk)>, Option<Place>) {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        for (place, value) in self.disk.range(request.from..) {
            if bytes >= request.bytes {
                return (chunks, Some(*place));
            }
            bytes += value.len();
            chunks.push((*place, self.load(value)));
        }
        (chunks, None)
    }

    /// Moves what is due, to queues that have it on disk with the next commit. Returns when there is more to do.
    fn pass(&mut self, now: u64) -> Option<u64> {
        loop {
            match self.delays.next(now, WINDOW) {
                Step::Move(chunks) => {
                    let numbers: Vec<u64> = chunks.iter().flat_map(|(_, chunk)| numbers(chunk)).collect();
                    self.moved.extend(&numbers);
                    self.flying.push((self.epoch + 1, numbers));
                    self.delays.moved(Some(self.epoch + 1));
                }
                Step::Load(request) => {
                    let (chunks, end) = self.read(request);
                    self.delays.loaded(request.from, chunks, end, None, WINDOW);
                }
                Step::Wait(due) => return Some(due),
                Step::Full | Step::Idle => return None,
            }
        }
    }

    /// The process dies; what is on disk stays.
    fn crash(&mut self) {
        self.delays = Delays::recover(self.state);
        self.flying.clear();
        self.unconfirmed.clear();
    }

    fn memory(&self) -> usize {
        self.ledger.bytes() as usize
    }
}

#[test]
fn in_order_of_due_time_and_ties_in_order_of_publishing() {
    let mut node = Node::default();
    for due in [300, 100, 200, 100, 300] {
        node.send(due, 2);
    }
    assert_eq!(node.delays.pending(), 10);
    assert_eq!(node.pass(99), Some(100));
    assert_eq!(node.pass(100), Some(200));
    assert_eq!(node.moved, [2, 3, 6, 7]);
    assert_eq!((node.pass(1000), node.delays.pending()), (None, 0));
    assert_eq!(node.moved, [2, 3, 6, 7, 4, 5, 0, 1, 8, 9]);
    node.commit(EVERYTHING);
    assert_eq!(node.disk.len(), 5, "written, because a confirm may wait for it");
    node.commit(EVERYTHING);
    assert_eq!((node.disk.len(), node.state.messages, node.memory()), (0, 0, 0));
}

#[test]
fn the_disk_is_told_once() {
    let mut node = Node::default();
    let one = chunk(0, 1, &node.ledger);
    assert!(node.delays.accept(5, one, WINDOW));
    let one = chunk(1, 1, &node.ledger);
    assert!(!node.delays.accept(5, one, WINDOW));
    node.commit(EVERYTHING);
    assert!(matches!(node.delays.next(5, WINDOW), Step::Move(_)));
    assert!(!node.delays.moved(Some(2)));
    assert_eq!(node.delays.arrived(1), (false, false));
    assert_eq!(node.delays.arrived(2), (true, false));
    assert_eq!(node.delays.arrived(3), (false, false));
}

#[test]
fn what_lasts_nowhere_is_deleted_at_once() {
    let mut node = Node::default();
    node.send(5, 1);
    node.commit(EVERYTHING);
    assert!(matches!(node.delays.next(5, WINDOW), Step::Move(_)));
    assert!(node.delays.moved(None));
    node.commit(EVERYTHING);
    assert!(node.disk.is_empty());
}

#[test]
fn memory_is_bounded_however_many_wait() {
    let mut node = Node::default();
    for round in 0..500 {
        // Neither the order of arrival nor that of due times is the other's.
        (0..20).for_each(|number| node.send(1_000 + (round * 7919 + number * 104_729) % 5000, 1));
        node.commit(EVERYTHING);
        node.delays.forget(node.epoch);
        assert!(node.memory() <= WINDOW, "{} bytes", node.memory());
    }
    assert_eq!(node.delays.pending(), 10_000);
    let mut now = 999;
    while let Some(due) = node.pass(now) {
        assert!(due > now);
        assert!(node.memory() <= WINDOW + DELAYED_LOAD_BYTES.min(WINDOW), "{} bytes", node.memory());
        now = due;
        node.commit(2000);
    }
    assert_eq!(node.moved.len(), 10_000);
    node.commit(EVERYTHING);
    node.commit(EVERYTHING);
    assert_eq!((node.disk.len(), node.memory()), (0, 0));
}

#[test]
fn a_crash_between_move_and_delete_doubles_and_never_loses() {
    let mut node = Node::default();
    (0..10).for_each(|due| node.send(due, 1));
    node.commit(EVERYTHING);
    node.pass(4);
    node.crash();
    assert_eq!(node.delays.pending(), 10, "the queues had nothing on disk");
    node.pass(4);
    node.commit(EVERYTHING);
    node.crash();
    assert_eq!((node.arrived.as_slice(), node.delays.pending()), (&[0, 1, 2, 3, 4][..], 10));
    node.pass(100);
    node.commit(EVERYTHING);
    node.commit(EVERYTHING);
    node.crash();
    assert_eq!((node.delays.pending(), node.pass(100)), (0, None));
    assert_eq!(node.arrived[5..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn too_much_on_its_way_waits() {
    let mut node = Node::default();
    (0..DELAYED_MOVING_MAX as u64 + 10).for_each(|_| {
        node.send(5, 1);
        if node.sent.is_multiple_of(1000) {
            node.commit(EVERYTHING);
        }
    });
    node.commit(EVERYTHING);
    assert_eq!(node.pass(5), None);
    assert!(node.delays.pending() > 0 && matches!(node.delays.next(5, WINDOW), Step::Full));
    assert_eq!(node.delays.arrived(node.epoch + 1), (true, true));
    node.pass(5);
    assert_eq!(node.delays.pending(), 0);
}

#[test]
fn damage_is_met_again_and_holds_nobody_up() {
    let mut node = Node::default();
    (1..4).for_each(|due| node.send(due, 1));
    node.commit(EVERYTHING);
    node.crash();
    let Step::Load(request) = node.delays.next(9, WINDOW) else { panic!("nothing to read") };
    let (mut chunks, end) = node.read(request);
    let (damaged, _) = chunks.remove(0);
    node.delays.loaded(request.from, chunks, end, Some(damaged), WINDOW);
    node.pass(9);
    node.commit(EVERYTHING);
    node.commit(EVERYTHING);
    assert_eq!((node.arrived.as_slice(), node.delays.pending()), (&[1, 2][..], 1));
    assert_eq!((node.state.messages, node.state.first), (1, damaged));
    node.delays.unreadable(true);
    assert!(matches!(node.delays.next(9, WINDOW), Step::Idle));
}

#[test]
fn nothing_comes_after_the_end() {
    let mut node = Node::default();
    node.send(5, 3);
    node.delays.close();
    node.send(5, 3);
    assert!(node.delays.collect(1, &mut 1000).is_none());
    assert_eq!((node.delays.pending(), node.pass(10), node.memory()), (0, None, 0));
}

#[derive(Clone, Debug)]
enum Do {
    Send { wait: u64, count: u64 },
    Pass(u64),
    Commit(usize),
    Crash,
}

fn doings() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        6 => (0..400_u64, 1..6_u64).prop_map(|(wait, count)| Do::Send { wait, count }),
        3 => (0..60_u64).prop_map(Do::Pass),
        3 => (100..4000_usize).prop_map(Do::Commit),
        1 => Just(Do::Crash),
    ];
    prop::collection::vec(one, 1..200)
}

proptest! {
    #[test]
    fn whatever_happens_nothing_that_was_confirmed_is_lost(doings in doings()) {
        let (mut node, mut now) = (Node::default(), 1000);
        for step in doings {
            match step {
                Do::Send { wait, count } => node.send(now + wait, count),
                Do::Pass(time) => {
                    now += time;
                    if let Some(due) = node.pass(now) {
                        prop_assert!(due > now);
                    }
                }
                Do::Commit(room) => node.commit(room),
                Do::Crash => node.crash(),
            }
        }
        node.pass(u64::MAX - 1);
        prop_assert_eq!(node.delays.pending(), 0);
        node.commit(EVERYTHING);
        let arrived: std::collections::HashSet<u64> = node.arrived.iter().copied().collect();
        let lost: Vec<&u64> = node.confirmed.iter().filter(|number| !arrived.contains(number)).collect();
        prop_assert!(lost.is_empty(), "{lost:?}");
        node.commit(EVERYTHING);
        prop_assert_eq!((node.disk.len(), node.memory()), (0, 0));
    }
}
