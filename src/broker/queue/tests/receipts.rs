//! Which publishers are told that consumers have acknowledged their messages.

use super::*;
use crate::broker::window::WindowSettings;
use crate::limits::RECEIPTS_MAX;

impl Stage {
    /// Durable messages whose publisher wants to be told under this number.
    fn publish(&mut self, count: u32, number: u64) -> Effects<Journal> {
        let chunk = self.chunk(0, (count, 10, true));
        let receipt = Receipt { outlet: self.journal.clone(), number };
        self.apply(Command::Enqueue(chunk, 0, Some(receipt)))
    }

    fn receipts(&self) -> Vec<u64> {
        std::mem::take(&mut *self.journal.receipts.borrow_mut())
    }
}

#[test]
fn a_publisher_is_told_once_when_all_of_its_messages_are_acknowledged() {
    let mut stage = Stage::new(true);
    stage.consume(stage.spec(1));
    stage.publish(3, 7);
    assert_eq!(stage.settle(&[(0, 1), (2, 1)], 1).wake.len(), 0);
    assert_eq!(stage.receipts(), [0; 0]);
    assert_eq!(stage.settle(&[(1, 1)], 1).wake.len(), 1);
    assert_eq!(stage.receipts(), [7]);
    stage.settle(&[(1, 1)], 1);
    assert_eq!(stage.receipts(), [0; 0]);
}

#[test]
fn what_counts_as_acknowledged_is_told_at_once_and_what_came_back_when_it_is_acknowledged() {
    let mut stage = Stage::new(true);
    stage.consume(ConsumerSpec { no_ack: true, ..stage.spec(1) });
    stage.publish(2, 1);
    assert_eq!(stage.receipts(), [1]);
    stage.apply(Command::Cancel(ConsumerId(1)));
    stage.consume(stage.spec(2));
    stage.publish(1, 2);
    stage.requeue(2, 1, 3);
    assert_eq!(stage.receipts(), [0; 0]);
    stage.settle(&[(2, 1)], 2);
    assert_eq!(stage.receipts(), [2]);
}

#[test]
fn what_waits_in_the_queue_or_leaves_it_otherwise_is_the_disks() {
    let letters =
        DeadLetters { exchange: crate::name::Name::new("dlx").unwrap(), routing_key: None, at_least_once: false };
    for dead_letters in [None, Some(letters)] {
        let mut stage = Stage::with(true, QueueSettings { dead_letters, ..QueueSettings::default() });
        stage.publish(1, 1);
        stage.consume(ConsumerSpec { prefetch: Some(2), ..stage.spec(1) });
        // One is refused, one acknowledged; the next waits for credit.
        stage.publish(1, 2);
        stage.publish(1, 3);
        stage.apply(Command::Discard { spans: vec![(1, 1)], consumer: Some(ConsumerId(1)) });
        stage.apply(Command::Buried(vec![(1, 1)]));
        stage.settle(&[(0, 1), (2, 1)], 1);
        assert_eq!(stage.receipts(), [0; 0]);
        // Part of a chunk is refused.
        stage.publish(2, 4);
        stage.apply(Command::Discard { spans: vec![(3, 1)], consumer: Some(ConsumerId(1)) });
        stage.apply(Command::Buried(vec![(3, 1)]));
        stage.settle(&[(4, 1)], 1);
        assert_eq!(stage.receipts(), [0; 0]);
    }
}

#[test]
fn queues_that_may_refuse_or_remember_leave_it_to_the_disk() {
    let full = QueueSettings { max_length: Some(9), overflow: Overflow::RejectPublish, ..QueueSettings::default() };
    let window = QueueSettings {
        deduplication: Some(WindowSettings { header: "id".to_owned(), size: 10, ttl_ms: None }),
        ..QueueSettings::default()
    };
    for settings in [full, window] {
        let mut stage = Stage::with(true, settings);
        stage.consume(stage.spec(1));
        stage.publish(1, 1);
        stage.settle(&[(0, 1)], 1);
        assert_eq!(stage.receipts(), [0; 0]);
    }
}

#[test]
fn the_oldest_is_forgotten_when_there_are_too_many() {
    let mut stage = Stage::new(true);
    stage.consume(stage.spec(1));
    (0..=RECEIPTS_MAX as u64).for_each(|number| {
        stage.publish(1, number);
    });
    stage.settle(&[(0, 1), (1, 1)], 1);
    assert_eq!(stage.receipts(), [1]);
}
