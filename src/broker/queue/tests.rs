//! Transitions of the queue machine: a state, a command, exactly these deliveries and effects. Histories are the model
//! test's (`tests/model`).

mod features;
mod receipts;

use super::*;
use crate::broker::message::{ChunkBuilder, Ledger, Parts};
use crate::limits::CONSUMER_WINDOW_BYTES;
use std::cell::RefCell;
use std::rc::Rc;

/// Who got which messages, in order: consumer, first sequence number, count, redelivered.
type Deliveries = Vec<(u64, u64, u32, bool)>;

#[derive(Clone, Default)]
struct Journal {
    deliveries: Rc<RefCell<Deliveries>>,
    cancelled: Rc<RefCell<Vec<u64>>>,
    receipts: Rc<RefCell<Vec<u64>>>,
}

impl Outlet for Journal {
    fn deliver(&self, consumer: ConsumerId, run: Run) {
        self.deliveries.borrow_mut().push((consumer.0, run.first(), run.count, run.redelivered));
    }
    fn cancelled(&self, consumer: ConsumerId) {
        self.cancelled.borrow_mut().push(consumer.0);
    }
    fn acknowledged(&self, receipt: u64) {
        self.receipts.borrow_mut().push(receipt);
    }
    fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.deliveries, &other.deliveries)
    }
}

struct Stage {
    queue: Queue<Journal>,
    journal: Journal,
    ledger: Arc<Ledger>,
    now: u64,
}

impl Stage {
    fn new(durable: bool) -> Stage {
        Stage::with(durable, QueueSettings::default())
    }

    fn with(durable: bool, settings: QueueSettings) -> Stage {
        Stage {
            queue: Queue::new(durable, true, Arc::new(settings)),
            journal: Journal::default(),
            ledger: Arc::default(),
            now: 0,
        }
    }

    fn apply(&mut self, command: Command<Journal>) -> Effects<Journal> {
        let mut effects = Effects::default();
        self.queue.apply(command, self.now, &mut effects);
        effects
    }

    fn enqueue(&mut self, count: u32, size: usize, durable: bool) -> Effects<Journal> {
        self.enqueue_at(0, 0, (count, size, durable))
    }

    /// Messages for a level, with a deadline or 0.
    fn enqueue_at(&mut self, level: usize, deadline_ms: u64, messages: (u32, usize, bool)) -> Effects<Journal> {
        let chunk = self.chunk(deadline_ms, messages);
        self.apply(Command::Enqueue(chunk, level, None))
    }

    fn chunk(&self, deadline_ms: u64, (count, size, durable): (u32, usize, bool)) -> Chunk {
        let mut builder = ChunkBuilder::default();
        let body = vec![b'x'; size];
        for _ in 0..count {
            builder.push(&Parts {
                exchange_and_key: b"\0\0",
                header: b"",
                body: &body,
                persistent: durable,
                priority: 0,
                deadline_ms,
                died: false,
                detached: None,
            });
        }
        builder.finish(durable, &self.ledger)
    }

    fn spec(&self, id: u64) -> ConsumerSpec<Journal> {
        let outlet = self.journal.clone();
        ConsumerSpec {
            id: ConsumerId(id),
            outlet,
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: None,
            shared: None,
        }
    }

    fn consume(&mut self, spec: ConsumerSpec<Journal>) {
        self.apply(Command::Consume(spec));
    }

    fn settle(&mut self, spans: &[(u64, u32)], consumer: u64) -> Effects<Journal> {
        self.apply(Command::Settle { spans: spans.to_vec(), consumer: Some(ConsumerId(consumer)) })
    }

    fn requeue(&mut self, first: u64, count: u32, chunk_end: u64) {
        self.apply(Command::Requeue { spans: vec![Span { first, count, chunk_end }], consumer: None, failed: false });
    }

    fn delivered(&self) -> Deliveries {
        std::mem::take(&mut *self.journal.deliveries.borrow_mut())
    }

    fn counts(&self) -> (u64, u64, usize) {
        let counts = self.queue.counts();
        (counts.ready, counts.unsettled, counts.consumers)
    }
}

#[test]
fn one_consumer_takes_a_whole_run_and_is_woken_once() {
    let mut stage = Stage::new(false);
    stage.consume(stage.spec(1));
    let effects = stage.enqueue(5, 10, false);
    assert_eq!(stage.delivered(), [(1, 0, 5, false)]);
    assert_eq!((effects.wake.len(), effects.dirty, effects.load), (1, false, false));
    assert_eq!(stage.counts(), (0, 5, 1));
}

#[test]
fn several_are_served_message_by_message_the_highest_priority_first() {
    let mut stage = Stage::new(false);
    stage.consume(stage.spec(1));
    stage.consume(stage.spec(2));
    stage.consume(ConsumerSpec { priority: 5, prefetch: Some(1), ..stage.spec(3) });
    stage.enqueue(5, 10, false);
    let turns = [(3, 0, 1, false), (1, 1, 1, false), (2, 2, 1, false), (1, 3, 1, false), (2, 4, 1, false)];
    assert_eq!(stage.delivered(), turns);
    stage.settle(&[(0, 1)], 3);
    stage.enqueue(1, 10, false);
    assert_eq!(stage.delivered(), [(3, 5, 1, false)], "its credit is back, and it comes first");
}

#[test]
fn prefetch_bounds_what_is_unsettled_and_an_ack_brings_the_next() {
    let mut stage = Stage::new(false);
    stage.consume(ConsumerSpec { prefetch: Some(2), ..stage.spec(1) });
    stage.enqueue(5, 10, false);
    assert_eq!(stage.delivered(), [(1, 0, 2, false)]);
    let effects = stage.settle(&[(1, 1)], 1);
    assert_eq!((stage.delivered(), effects.wake.len()), (vec![(1, 2, 1, false)], 1));
    assert_eq!(stage.counts(), (2, 2, 1));
}

#[test]
fn shared_credit_holds_all_consumers_of_a_channel() {
    let mut stage = Stage::new(false);
    let shared = Arc::new(SharedCredit::new(3));
    for id in [1, 2] {
        stage.consume(ConsumerSpec { shared: Some(shared.clone()), ..stage.spec(id) });
    }
    stage.enqueue(6, 10, false);
    assert_eq!(stage.delivered().iter().map(|(_, _, count, _)| count).sum::<u32>(), 3);
    shared.add(1);
    stage.apply(Command::Credit { consumer: ConsumerId(2), bytes: 0 });
    assert_eq!(stage.delivered(), [(2, 3, 1, false)]);
}

#[test]
fn a_consumer_whose_connection_takes_nothing_is_sent_a_window_and_no_more() {
    let mut stage = Stage::new(false);
    stage.consume(ConsumerSpec { no_ack: true, ..stage.spec(1) });
    let size = CONSUMER_WINDOW_BYTES as usize / 4;
    for _ in 0..8 {
        stage.enqueue(1, size, false);
    }
    let sent = stage.delivered().len();
    assert!((3..=5).contains(&sent), "{sent} quarters of a window");
    stage.apply(Command::Credit { consumer: ConsumerId(1), bytes: CONSUMER_WINDOW_BYTES as u64 });
    assert!(stage.delivered().len() >= 3);
}

#[test]
fn without_acks_a_message_is_settled_when_it_is_handed_out() {
    let mut stage = Stage::new(true);
    stage.consume(ConsumerSpec { no_ack: true, ..stage.spec(1) });
    stage.enqueue(3, 10, true);
    assert_eq!(stage.counts(), (0, 0, 1));
    let collected = stage.queue.collect(1, None, &mut usize::MAX.clone());
    assert!(collected.puts.is_empty() && collected.deletes.is_empty(), "it never reaches the disk");
    assert_eq!(collected.states.first().map(|(_, state)| (state.messages, state.next_sequence)), Some((0, 3)));
}

#[test]
fn what_comes_back_goes_to_its_place() {
    let mut stage = Stage::new(false);
    stage.enqueue(4, 10, false);
    stage.enqueue(2, 10, false);
    stage.consume(ConsumerSpec { prefetch: Some(5), ..stage.spec(1) });
    assert_eq!(stage.delivered(), [(1, 0, 4, false), (1, 4, 1, false)]);
    stage.requeue(4, 1, 6);
    stage.requeue(1, 2, 4);
    stage.apply(Command::Cancel(ConsumerId(1)));
    stage.consume(stage.spec(2));
    assert_eq!(stage.delivered(), [(2, 1, 2, true), (2, 4, 1, true), (2, 5, 1, false)]);
}

#[test]
fn a_durable_chunk_is_put_once_its_settlements_follow_and_in_the_end_it_is_deleted() {
    let mut stage = Stage::new(true);
    stage.consume(stage.spec(1));
    assert!(stage.enqueue(4, 10, true).dirty);
    assert!(!stage.enqueue(4, 10, true).dirty, "it is listed already");
    let first = stage.queue.collect(1, None, &mut usize::MAX.clone());
    assert_eq!(first.puts.iter().map(|chunk| chunk.first()).collect::<Vec<_>>(), [0, 4]);
    assert!(stage.settle(&[(1, 2)], 1).dirty);
    let second = stage.queue.collect(2, None, &mut usize::MAX.clone());
    assert_eq!((second.puts.len(), second.settled.len(), second.deletes.len()), (0, 1, 0));
    assert_eq!(second.states.first().map(|(_, state)| state.messages), Some(6));
    stage.settle(&[(0, 1), (3, 1)], 1);
    let third = stage.queue.collect(3, None, &mut usize::MAX.clone());
    assert_eq!(third.deletes, [Deleted { first: 0, durable: true, settled: true, refers: false }]);
}

#[test]
fn the_middle_of_a_long_queue_is_on_disk_and_get_asks_for_it() {
    let mut stage = Stage::new(true);
    for _ in 0..3 {
        stage.enqueue(2, 100, true);
    }
    stage.queue.collect(1, None, &mut usize::MAX.clone());
    stage.queue.evict(0, 0);
    assert!(matches!(stage.queue.take(true, 0, &mut Effects::default()), Taken::Message(..)), "epoch 1 is not done");
    stage.queue.evict(1, 0);
    let mut effects = Effects::default();
    assert!(matches!(stage.queue.take(true, 0, &mut effects), Taken::Message(..)), "a chunk begun stays");
    assert!(matches!(stage.queue.take(true, 0, &mut effects), Taken::OnDisk));
    assert!(effects.load);
    assert_eq!(stage.queue.load_request(1000), Some(LoadRequest { first: 2, end: 6, bytes: 1000 }));
    assert_eq!(stage.queue.load_request(1000), None, "it is being read");
    assert_eq!(stage.counts(), (4, 0, 0));
}

#[test]
fn exclusiveness_and_the_end_of_an_auto_delete_queue() {
    let mut stage = Stage::new(false);
    assert!(stage.queue.may_consume(true));
    stage.consume(ConsumerSpec { exclusive: true, ..stage.spec(1) });
    assert!(!stage.queue.may_consume(false) && !stage.queue.may_consume(true));
    assert!(!stage.apply(Command::Cancel(ConsumerId(9))).unused);
    assert!(stage.apply(Command::Cancel(ConsumerId(1))).unused);
    stage.consume(stage.spec(2));
    assert!(stage.queue.may_consume(false) && !stage.queue.may_consume(true));
    assert_eq!(stage.queue.close().len(), 1);
    assert_eq!(*stage.journal.cancelled.borrow(), [2]);
    stage.enqueue(1, 10, false);
    assert_eq!(stage.counts(), (0, 0, 0), "a closed queue takes nothing");
}

/// A durable queue whose three chunks of two messages are on disk, but for the first.
fn paged(durable: bool) -> Stage {
    let mut stage = Stage::new(true);
    for _ in 0..3 {
        stage.enqueue(2, 100, durable);
    }
    stage.queue.collect(1, Some(0), &mut usize::MAX.clone());
    stage.queue.take(true, 0, &mut Effects::default());
    stage.queue.evict(1, 0);
    stage
}

#[test]
fn what_cannot_be_read_ends_the_consumers_until_it_is_purged() {
    let mut stage = paged(true);
    stage.consume(stage.spec(1));
    assert_eq!(stage.delivered(), [(1, 1, 1, false)]);
    let effects = stage.apply(Command::Unreadable("torn".into()));
    assert_eq!((effects.wake.len(), effects.damage.as_deref()), (1, Some("torn")));
    assert_eq!((stage.queue.damage(), stage.journal.cancelled.borrow().as_slice()), (Some("torn"), &[1][..]));
    stage.enqueue(1, 10, true);
    assert_eq!(stage.queue.purge(&mut Effects::default()), 5);
    assert_eq!(stage.queue.damage(), None);
    stage.consume(stage.spec(2));
    stage.enqueue(1, 10, true);
    assert_eq!(stage.delivered(), [(2, 7, 1, false)]);
}

#[test]
fn missing_messages_are_damage_if_durable_and_a_loss_if_transient() {
    for durable in [true, false] {
        let mut stage = paged(durable);
        let request = stage.queue.load_request(1000).unwrap();
        let effects = stage.apply(Command::Loaded { first: request.first, chunks: Vec::new(), end: request.end });
        assert_eq!((effects.damage.is_some(), effects.lost), if durable { (true, 0) } else { (false, 4) });
        assert_eq!(stage.counts(), (1, 0, 0));
    }
}

#[test]
fn an_epoch_written_in_pieces_does_not_take_what_arrives_meanwhile() {
    let mut stage = Stage::new(true);
    stage.enqueue(1, 100, true);
    stage.enqueue(1, 100, true);
    let firsts = |collected: Collected| collected.puts.iter().map(|chunk| chunk.first()).collect::<Vec<_>>();
    let piece = stage.queue.collect(1, None, &mut 1);
    assert!(piece.more);
    assert_eq!(firsts(piece), [0]);
    assert!(stage.enqueue(1, 100, true).dirty);
    let piece = stage.queue.collect(1, None, &mut usize::MAX.clone());
    assert!(!piece.more);
    assert_eq!(firsts(piece), [1]);
    assert_eq!(firsts(stage.queue.collect(2, None, &mut usize::MAX.clone())), [2]);
}
