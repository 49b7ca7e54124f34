//! The queue machine against a naive queue: random commands, commits, evictions, reads, crashes; what must hold is checked
//! after each. The disk is the store's own, in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod bench;
mod naive;

use bench::{Bench, Op};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    let prefetch = prop_oneof![Just(None), (1..20u32).prop_map(Some)];
    prop_oneof![
        8 => (1..50u32, any::<bool>()).prop_map(|(messages, durable)| Op::Enqueue { messages, durable }),
        3 => (prefetch, any::<bool>(), -1..2i32)
            .prop_map(|(prefetch, no_ack, priority)| Op::Consume { prefetch, no_ack, priority }),
        2 => any::<prop::sample::Index>().prop_map(Op::Cancel),
        8 => (any::<prop::sample::Index>(), 1..40u32).prop_map(|(at, count)| Op::Settle { at, count }),
        5 => (any::<prop::sample::Index>(), 1..40u32).prop_map(|(at, count)| Op::Requeue { at, count }),
        4 => any::<bool>().prop_map(|no_ack| Op::Take { no_ack }),
        1 => Just(Op::Purge),
        5 => any::<bool>().prop_map(|short| Op::Commit { short }),
        5 => (0..4000usize).prop_map(|keep| Op::Evict { keep }),
        6 => Just(Op::Load),
        1 => (0..4usize).prop_map(|pieces| Op::Crash { pieces }),
        1 => Just(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40_000, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_a_naive_queue_does(ops in prop::collection::vec(op(), 1..120)) {
        let mut bench = Bench::new();
        for op in ops {
            bench.run(op);
            bench.check();
        }
        bench.finish();
    }
}
