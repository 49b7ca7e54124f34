//! Transitions of the queue features where they meet the disk, and each other.

use super::*;
use crate::broker::message::Returns;
use crate::name::Name;

/// Messages of such a size are more than a chunk that stays in memory has.
const LARGE: usize = 2000;

fn letters() -> Option<DeadLetters> {
    Some(DeadLetters { exchange: Name::new("dlx").unwrap(), routing_key: None, at_least_once: false })
}

impl Stage {
    fn commit(&mut self, epoch: u64) -> Collected {
        self.queue.collect(epoch, Some(0), &mut usize::MAX.clone())
    }

    fn configure(&mut self, settings: QueueSettings) -> Effects<Journal> {
        self.apply(Command::Configure(Arc::new(settings)))
    }

    /// The stored state of a queue with one level.
    fn state(&mut self, epoch: u64) -> QueueState {
        self.commit(epoch).states.first().unwrap().1
    }

    /// Four large messages in a consumer's hands, their records on disk only: two chunks of two.
    fn absent(settings: QueueSettings) -> (Stage, Vec<Arc<Chunk>>) {
        let mut stage = Stage::with(true, settings);
        stage.consume(ConsumerSpec { prefetch: Some(4), ..stage.spec(1) });
        stage.enqueue(2, LARGE, true);
        stage.enqueue(2, LARGE, true);
        let puts = stage.commit(1).puts;
        stage.queue.evict(1, 0);
        (stage, puts)
    }

    /// Reads what the queue asks for, out of what was put.
    fn read(&mut self, puts: &[Arc<Chunk>]) -> Effects<Journal> {
        let request = self.queue.load_request(1).expect("something to read");
        let wanted = puts.iter().filter(|chunk| (request.first..request.end).contains(&chunk.first()));
        let chunks = wanted.map(|chunk| self.stored(chunk, Vec::new())).collect();
        self.apply(Command::Loaded { first: request.first, chunks, end: request.end })
    }

    fn stored(&self, chunk: &Chunk, returns: Vec<(u64, Returns)>) -> StoredChunk {
        let chunk = Chunk::load_plain(chunk.first(), true, chunk.bytes().to_vec(), &self.ledger).unwrap();
        StoredChunk { chunk, settled: Settled::default(), returns }
    }

    fn dead(effects: &Effects<Journal>) -> Vec<(u64, u32, Reason)> {
        effects.dead.iter().map(|dead| (dead.run.first(), dead.run.count, dead.reason)).collect()
    }
}

#[test]
fn every_piece_of_a_commit_writes_the_state_of_the_priorities_it_touches() {
    let mut stage = Stage::with(true, QueueSettings { max_priority: Some(1), ..QueueSettings::default() });
    stage.enqueue_at(1, 0, (1, 100, true));
    stage.enqueue_at(1, 0, (2, 100, true));
    let stored = |collected: &Collected| collected.states.iter().map(|(_, state)| state.messages).sum::<u64>();
    let piece = stage.queue.collect(1, None, &mut 1);
    assert_eq!((piece.more, stored(&piece)), (true, 1));
    let piece = stage.queue.collect(1, None, &mut usize::MAX.clone());
    assert_eq!((piece.puts.len(), stored(&piece)), (1, 3));
}

#[test]
fn stored_bytes_are_those_of_the_records_that_are_left() {
    let mut stage = Stage::new(true);
    stage.consume(stage.spec(1));
    stage.enqueue(4, 100, true);
    stage.settle(&[(0, 1)], 1);
    let three = stage.state(1).bytes;
    stage.settle(&[(1, 2)], 1);
    assert_eq!(stage.state(2).bytes * 3, three);
    stage.settle(&[(3, 1)], 1);
    assert_eq!(stage.state(3).bytes, 0);
}

#[test]
fn a_queue_whose_last_messages_are_on_their_way_to_the_dead_letter_exchange_still_knows_that_they_have_deadlines() {
    let mut stage = Stage::with(true, QueueSettings { dead_letters: letters(), ..QueueSettings::default() });
    stage.enqueue_at(0, 10, (1, 100, true));
    stage.now = 10;
    assert_eq!(Stage::dead(&stage.apply(Command::Tick)), [(0, 1, Reason::Expired)]);
    let state = stage.state(1);
    assert_eq!((state.messages, state.timed), (1, true), "after a crash it is ready, and expires again");
    let mut recovered = Queue::<Journal>::recover(false, stage.queue.settings().clone(), &[(0, state)]);
    let mut effects = Effects::default();
    recovered.apply(Command::Tick, 20, &mut effects);
    assert!(effects.load, "nobody has to ask for it");
}

#[test]
fn an_expiry_that_is_set_anew_begins_then() {
    let expiring = QueueSettings { expires: Some(100), ..QueueSettings::default() };
    let mut stage = Stage::with(true, expiring.clone());
    assert_eq!(stage.apply(Command::Touch).timer, Some(100));
    stage.configure(QueueSettings::default());
    stage.now = 1000;
    let effects = stage.configure(expiring);
    assert_eq!((effects.unused, effects.timer), (false, Some(1100)));
}

#[test]
fn a_message_whose_wait_is_over_goes_to_a_consumer_before_another_is_refused() {
    let retry = Retry { kind: RetryKind::All, min_ms: 10, max_ms: 10 };
    let (max_length, overflow) = (Some(0), Overflow::RejectPublish);
    let quorum = QueueSettings { kind: QueueKind::Quorum, retry, max_length, overflow, ..QueueSettings::default() };
    let mut stage = Stage::with(true, quorum);
    stage.consume(stage.spec(1));
    stage.enqueue(1, 10, true);
    let (_, first, ..) = stage.delivered()[0];
    stage.requeue(first, 1, first + 1);
    assert_eq!(stage.queue.counts().delayed, 1);
    stage.now = 10;
    assert_eq!(stage.enqueue(1, 10, true).refused, None);
    assert_eq!(stage.delivered(), [(1, first, 1, true), (1, first + 1, 1, false)]);
}

#[test]
fn what_is_damaged_is_not_read_again_and_again() {
    let mut stage = Stage::with(true, QueueSettings { dead_letters: letters(), ..QueueSettings::default() });
    for _ in 0..3 {
        stage.enqueue_at(0, 10, (1, LARGE, true));
    }
    stage.commit(1);
    stage.queue.evict(1, 0);
    stage.now = 20;
    assert!(stage.apply(Command::Tick).load);
    assert!(stage.queue.load_request(1).is_some());
    assert!(!stage.apply(Command::Unreadable("torn".into())).load);
    let short = QueueSettings { max_length: Some(0), ..QueueSettings::default() };
    assert!(!stage.configure(short).load);
}

#[test]
fn a_purge_of_what_is_being_read_does_not_hold_up_dead_letters() {
    let (mut stage, puts) = Stage::absent(QueueSettings { dead_letters: letters(), ..QueueSettings::default() });
    stage.apply(Command::Cancel(ConsumerId(1)));
    stage.requeue(0, 2, 2);
    let mut effects = Effects::default();
    assert!(matches!(stage.queue.take(true, 0, &mut effects), Taken::OnDisk) && effects.load);
    let request = stage.queue.load_request(1).unwrap();
    let discarded = stage.apply(Command::Discard { spans: vec![(2, 2)], consumer: None });
    assert!(discarded.dead.is_empty() && !discarded.load, "one read at a time");
    stage.queue.purge(&mut effects);
    let chunks = vec![stage.stored(&puts[0], Vec::new())];
    assert!(stage.apply(Command::Loaded { first: request.first, chunks, end: request.end }).load);
    assert_eq!(Stage::dead(&stage.read(&puts)), [(2, 2, Reason::Rejected)]);
}

#[test]
fn a_returned_message_of_low_priority_is_read_for_its_deadline() {
    let mut stage = Stage::with(true, QueueSettings { max_priority: Some(1), ..QueueSettings::default() });
    stage.consume(stage.spec(1));
    stage.enqueue_at(1, 10, (3, LARGE, true));
    let (_, low, ..) = stage.delivered()[0];
    let puts = stage.commit(1).puts;
    stage.queue.evict(1, 0);
    stage.apply(Command::Cancel(ConsumerId(1)));
    stage.enqueue_at(0, 0, (1, 10, true));
    stage.apply(Command::Requeue {
        spans: vec![Span { first: low, count: 3, chunk_end: low + 3 }],
        consumer: None,
        failed: false,
    });
    assert_eq!(stage.read(&puts).timer, Some(10));
}

#[test]
fn a_limit_of_bytes_that_is_set_late_counts_what_is_on_disk_only() {
    let (mut stage, puts) = Stage::absent(QueueSettings::default());
    stage.apply(Command::Cancel(ConsumerId(1)));
    stage.requeue(0, 2, 2);
    let room = 2 * LARGE as u64;
    let reject = Overflow::RejectPublish;
    stage.configure(QueueSettings { max_bytes: Some(room), overflow: reject, ..QueueSettings::default() });
    assert_eq!(stage.enqueue(1, 1, true).refused, Some(0), "two are there");
    stage.queue.take(true, 0, &mut Effects::default());
    stage.read(&puts);
    stage.queue.take(true, 0, &mut Effects::default());
    assert_eq!(stage.enqueue(1, LARGE + 1, true).refused, Some(0), "one is there");
    assert_eq!(stage.enqueue(1, LARGE, true).refused, None);
    assert_eq!(stage.state(2).body_bytes, 4 * LARGE as u64);
}

#[test]
fn a_guess_that_was_too_high_is_forgotten_when_the_messages_are_read() {
    let mut first = Stage::new(true);
    first.enqueue(1, 10, true);
    let collected = first.commit(1);
    let state = QueueState { bytes: 5000, ..collected.states.first().unwrap().1 };
    let limited = QueueSettings { max_bytes: Some(100), overflow: Overflow::RejectPublish, ..QueueSettings::default() };
    let mut stage = Stage::with(true, limited);
    stage.queue = Queue::recover(false, stage.queue.settings().clone(), &[(0, state)]);
    assert!(matches!(stage.queue.take(true, 0, &mut Effects::default()), Taken::OnDisk));
    stage.read(&collected.puts);
    assert!(matches!(stage.queue.take(true, 0, &mut Effects::default()), Taken::Message(..)));
    assert_eq!(stage.enqueue(1, 100, true).refused, None, "the queue is empty");
}

#[test]
fn a_quorum_queue_knows_after_a_restart_how_often_a_message_came_back() {
    let quorum = QueueSettings { kind: QueueKind::Quorum, delivery_limit: Some(2), ..QueueSettings::default() };
    let mut stage = Stage::with(true, quorum.clone());
    stage.consume(ConsumerSpec { prefetch: Some(1), ..stage.spec(1) });
    stage.enqueue(3, 10, true);
    let fail = |stage: &mut Stage, first: u64| {
        let spans = vec![Span { first, count: 1, chunk_end: first + 3 }];
        stage.apply(Command::Requeue { spans, consumer: Some(ConsumerId(1)), failed: true })
    };
    let (_, first, ..) = stage.delivered()[0];
    fail(&mut stage, first);
    fail(&mut stage, first);
    let collected = stage.commit(1);
    let twice = Returns { failed: 2, acquired: 2 };
    assert_eq!(collected.returns, [(first, twice)]);

    let states: Vec<_> = collected.states.iter().copied().collect();
    stage.queue = Queue::recover(false, Arc::new(quorum), &states);
    stage.consume(ConsumerSpec { prefetch: Some(1), ..stage.spec(1) });
    let request = stage.queue.load_request(1).unwrap();
    let chunks = vec![stage.stored(&collected.puts[0], collected.returns)];
    stage.journal.deliveries.borrow_mut().clear();
    stage.apply(Command::Loaded { first: request.first, chunks, end: request.end });
    assert_eq!(stage.delivered(), [(1, first, 1, true)]);
    fail(&mut stage, first);
    assert_eq!(stage.counts(), (1, 1, 1), "the third failure was one too many");
    assert_eq!(stage.commit(2).forgotten, [first], "its count goes with it");
}

#[test]
fn an_average_that_was_wrong_at_a_crash_goes_with_the_last_message() {
    let mut first = Stage::new(true);
    first.enqueue(2, 10, true);
    let collected = first.commit(1);
    let exact = collected.states.first().unwrap().1;
    let mut stage = Stage::new(true);
    stage.queue = Queue::recover(false, Arc::default(), &[(0, QueueState { bytes: exact.bytes + 41, ..exact })]);
    assert!(matches!(stage.queue.take(true, 0, &mut Effects::default()), Taken::OnDisk));
    stage.read(&collected.puts);
    assert_eq!(stage.queue.purge(&mut Effects::default()), 2);
    assert_eq!(stage.state(1).bytes, 0);
}
