//! The hot path allocates nothing for a message: what a turn allocates does not grow with its messages.

use super::{Node, node};
use crate::wire::properties::PropertiesBuilder;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the allocations of each thread; tests beside this one have their own count.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator is unsafe to implement; every call goes to the system's")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no count any more.
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATED.try_with(|count| count.set(count.get() + 1));
        unsafe { System.realloc(place, layout, size) }
    }
}

fn allocated() -> u64 {
    ALLOCATED.with(Cell::get)
}

/// A publisher and a consumer of one queue.
struct Pair {
    publisher: super::Client,
    consumer: super::Client,
    tag: u64,
    ack: Ack,
    message: Vec<u8>,
    _node: Node,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ack {
    None,
    Each,
    Multiple,
}

impl Pair {
    fn new(ack: Ack, durable: bool, size: usize) -> Pair {
        let node = node();
        let (mut publisher, mut consumer) = (node.channel(), node.channel());
        publisher.queue("q", durable);
        consumer.consume("q", "c", ack == Ack::None);
        let delivery_mode = Some(if durable { 2 } else { 1 });
        let properties = PropertiesBuilder { delivery_mode, ..Default::default() };
        let message = super::message(1, "", "q", false, &properties, &vec![7; size]);
        Pair { publisher, consumer, tag: 0, ack, message, _node: node }
    }

    /// Publishes, delivers and acknowledges `count` messages, one turn each; what the machines allocated for it.
    fn turn(&mut self, count: u64) -> u64 {
        let publishes = self.message.repeat(count as usize);
        let acks = self.acks(count);
        let now = self.publisher.now;
        let begun = allocated();
        let used = self.publisher.connection.on_bytes(&publishes, now);
        let mut cost = allocated() - begun;
        assert_eq!(used, publishes.len());
        let mut bytes = 0;
        loop {
            let begun = allocated();
            self.consumer.connection.on_wake(now);
            let length = self.consumer.connection.output().len();
            self.consumer.connection.written(length, now);
            cost += allocated() - begun;
            bytes += length;
            if length == 0 {
                break;
            }
        }
        assert!(bytes as u64 > count * 16, "{count} messages were delivered in {bytes} bytes");
        let begun = allocated();
        let used = self.consumer.connection.on_bytes(&acks, now);
        let cost = cost + allocated() - begun;
        assert_eq!(used, acks.len());
        cost
    }

    fn acks(&mut self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let first = self.tag + 1;
        self.tag += count;
        match self.ack {
            Ack::None => {}
            Ack::Each => (first..=self.tag).for_each(|tag| crate::wire::hot::write_ack(&mut bytes, 1, tag, false)),
            Ack::Multiple => crate::wire::hot::write_ack(&mut bytes, 1, self.tag, true),
        }
        bytes
    }

    /// The least that a turn of so many messages allocates, once its buffers have grown.
    fn settled(&mut self, count: u64) -> u64 {
        (0..20).map(|_| self.turn(count)).min().unwrap()
    }
}

#[test]
fn a_message_allocates_nothing() {
    for ack in [Ack::None, Ack::Each, Ack::Multiple] {
        for durable in [false, true] {
            let mut pair = Pair::new(ack, durable, 16);
            let (many, few, one) = (pair.settled(500), pair.settled(100), pair.settled(1));
            println!("acks {ack:?}, durable {durable}: {one} allocations for 1 message, {few} for 100, {many} for 500");
            // A chunk's buffers double as they grow: a few more for five times the messages, not one for each.
            assert!(many < few + 8, "acks {ack:?}, durable {durable}: {few} for 100 messages, {many} for 500");
        }
    }
}
