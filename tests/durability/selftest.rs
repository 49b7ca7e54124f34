//! The checker checked: each broken history must be found, each good one must pass.

use crate::checker::{Checker, Rule, Rules, SessionId};
use crate::message::Id;
use crate::places::Places;

fn id(seq: u64) -> Id {
    Id { producer: 0, seq }
}

/// Messages whose number ends in 9 have no queue; those that end in 8 go to queue 0, which may pass them on to queue 1; all
/// others go to queue 0.
fn route(id: Id) -> Places {
    match id.seq % 10 {
        9 => Places::default(),
        8 => Places { each: 0, any: 0b11 },
        _ => Places { each: 0b01, any: 0 },
    }
}

/// `count` messages published and confirmed by producer 0.
fn published(count: u64) -> Checker {
    published_to(count, 0)
}

/// The same; the queues `once` take each message once.
fn published_to(count: u64, once: u16) -> Checker {
    let mut checker = Checker::new(2, Rules { route, rank: |_, _| 0, unordered: 0b10, once });
    checker.publisher_session(0);
    for _ in 0..count {
        let id = checker.invoke(0);
        checker.confirmed(id, false);
    }
    checker
}

fn consumer(checker: &mut Checker, solo: Option<u64>) -> SessionId {
    let life = checker.life();
    checker.consumer_session(0, life, solo)
}

fn deliver(checker: &mut Checker, session: SessionId, seqs: &[u64]) {
    seqs.iter().for_each(|seq| checker.delivered(session, id(*seq), false));
}

fn rules(mut checker: Checker) -> Vec<Rule> {
    checker.finish().iter().map(|violation| violation.rule).collect()
}

#[test]
fn a_good_history_passes() {
    let mut checker = published(6);
    let session = consumer(&mut checker, Some(10));
    deliver(&mut checker, session, &[0, 1, 2]);
    checker.settled(session, &[id(0)]);
    checker.requeued(session, &[id(1), id(2)]);
    deliver(&mut checker, session, &[3]);
    checker.delivered(session, id(1), true);
    checker.delivered(session, id(2), true);
    checker.crashed();
    let session = consumer(&mut checker, Some(10));
    deliver(&mut checker, session, &[0, 1, 2, 3, 4, 5]);
    assert_eq!((checker.stats.after_ack, checker.stats.duplicates_unflagged), (1, 4));
    assert_eq!(checker.stats.duplicates_flagged, 2);
    assert_eq!(rules(checker), []);
}

#[test]
fn loss_is_found() {
    let mut checker = published(3);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0, 2]);
    assert_eq!(rules(checker), [Rule::Loss]);
}

#[test]
fn an_unconfirmed_or_nacked_publish_may_be_gone_or_not() {
    let mut checker = published(0);
    (0..3).for_each(|_| {
        checker.invoke(0);
    });
    checker.confirmed(id(1), true);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[1]);
    assert!(checker.finish().is_empty());
    assert_eq!(checker.stats.recovered, 1);
}

#[test]
fn phantoms_are_found() {
    let mut checker = published(3);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0, 1, 2, 3]);
    assert_eq!(rules(checker), [Rule::Phantom]);

    let mut checker = published(1);
    let wrong_queue = checker.consumer_session(1, 0, None);
    checker.delivered(wrong_queue, id(0), false);
    assert_eq!(rules(checker), [Rule::Phantom, Rule::Loss]);

    let mut checker = published(1);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    checker.corrupt(session, "changed byte".to_owned());
    assert_eq!(rules(checker), [Rule::Phantom]);
}

#[test]
fn swapped_order_is_found() {
    for solo in [None, Some(10)] {
        let mut checker = published(4);
        let session = consumer(&mut checker, solo);
        deliver(&mut checker, session, &[0, 2, 1, 3]);
        assert_eq!(rules(checker), [Rule::Order]);
    }
}

#[test]
fn order_holds_for_each_channel_of_a_producer_only() {
    let mut checker = published(2);
    checker.publisher_session(0);
    (2..4).for_each(|_| {
        checker.invoke(0);
    });
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[2, 0, 3, 1]);
    assert_eq!(rules(checker), []);
}

#[test]
fn a_missing_redelivered_flag_is_found() {
    let mut checker = published(1);
    let (first, second) = (consumer(&mut checker, None), consumer(&mut checker, None));
    deliver(&mut checker, first, &[0]);
    deliver(&mut checker, second, &[0]);
    assert_eq!(rules(checker), [Rule::Unflagged]);
}

#[test]
fn only_a_session_that_was_there_may_see_the_first_delivery_late() {
    let flagged_first = |late: fn(&mut Checker, [SessionId; 2]) -> SessionId| {
        let mut checker = published(1);
        let both = [consumer(&mut checker, None), consumer(&mut checker, None)];
        checker.delivered(both[1], id(0), true);
        let session = late(&mut checker, both);
        checker.delivered(session, id(0), false);
        rules(checker)
    };
    assert_eq!(flagged_first(|_, [first, _]| first), []);
    assert_eq!(flagged_first(|_, [_, second]| second), [Rule::Unflagged]);
    assert_eq!(flagged_first(|checker, _| consumer(checker, None)), [Rule::Unflagged]);
}

#[test]
fn the_flag_may_be_lost_with_the_broker() {
    let mut checker = published(1);
    let former = consumer(&mut checker, None);
    deliver(&mut checker, former, &[0]);
    checker.crashed();
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    // A client reads what a dead broker had sent after the next one has started.
    deliver(&mut checker, former, &[]);
    assert_eq!(checker.stats.duplicates_unflagged, 1);
    assert_eq!(rules(checker), []);
}

#[test]
fn a_delivery_after_a_settled_ack_is_found() {
    let mut checker = published(1);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    checker.settled(session, &[id(0)]);
    checker.delivered(session, id(0), true);
    assert_eq!(rules(checker), [Rule::AfterAck]);
}

#[test]
fn a_clean_stop_must_keep_acks() {
    let mut checker = published(1);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    checker.settled(session, &[id(0)]);
    checker.stopped();
    let session = consumer(&mut checker, None);
    checker.delivered(session, id(0), true);
    assert_eq!(rules(checker), [Rule::AfterAck]);
}

#[test]
fn an_ack_heard_of_after_the_crash_is_no_safe_ack() {
    let mut checker = published(1);
    let former = consumer(&mut checker, None);
    deliver(&mut checker, former, &[0]);
    checker.crashed();
    checker.settled(former, &[id(0)]);
    let session = consumer(&mut checker, None);
    checker.delivered(session, id(0), false);
    assert_eq!(checker.stats.after_ack, 1);
    assert_eq!(rules(checker), []);
}

#[test]
fn a_requeued_message_that_stays_behind_is_found() {
    let mut checker = published(8);
    let session = consumer(&mut checker, Some(2));
    deliver(&mut checker, session, &[0, 1]);
    checker.requeued(session, &[id(0)]);
    deliver(&mut checker, session, &[2, 3, 4, 5]);
    assert_eq!(checker.violation_count(), 0);
    deliver(&mut checker, session, &[6, 7]);
    checker.delivered(session, id(0), true);
    assert_eq!(rules(checker), [Rule::RequeueOrder]);
}

#[test]
fn a_returned_message_out_of_place_is_found_at_the_only_consumer() {
    let mut checker = published(3);
    let former = consumer(&mut checker, Some(10));
    deliver(&mut checker, former, &[0, 1]);
    checker.end_session(former);
    let session = consumer(&mut checker, Some(10));
    checker.delivered(session, id(1), true);
    checker.delivered(session, id(0), true);
    deliver(&mut checker, session, &[2]);
    assert_eq!(rules(checker), [Rule::Order]);
}

#[test]
fn double_and_foreign_confirms_are_found() {
    let mut checker = published(0);
    checker.invoke(0);
    checker.confirmed(id(0), true);
    checker.confirmed(id(0), true);
    checker.confirmed(id(7), false);
    assert_eq!(rules(checker), [Rule::Confirm, Rule::Confirm]);

    let mut checker = published(0);
    checker.invoke(0);
    checker.confirmed(id(0), true);
    checker.confirmed(id(0), false);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    assert_eq!(rules(checker), [Rule::Confirm]);
}

#[test]
fn returns_are_checked() {
    let unroutable = id(9);
    let history = |steps: &[fn(&mut Checker)]| {
        let mut checker = published(0);
        (0..10).for_each(|_| {
            checker.invoke(0);
        });
        steps.iter().for_each(|step| step(&mut checker));
        rules(checker)
    };
    assert_eq!(unroutable.seq % 10, 9);
    let give_back: fn(&mut Checker) = |checker| checker.returned(id(9));
    let confirm: fn(&mut Checker) = |checker| checker.confirmed(id(9), false);
    assert_eq!(history(&[give_back, confirm]), []);
    assert_eq!(history(&[confirm]), [Rule::Return]);
    assert_eq!(history(&[confirm, give_back]), [Rule::Return, Rule::Return]);
    assert_eq!(history(&[give_back, give_back, confirm]), [Rule::Return]);
    assert_eq!(history(&[|checker| checker.returned(id(1))]), [Rule::Return]);
}

/// Ten messages, all but number 8 out of the way.
fn passed_on(steps: &[fn(&mut Checker, SessionId, SessionId)]) -> Vec<Rule> {
    let mut checker = published(9);
    let (source, dead) = (consumer(&mut checker, None), checker.consumer_session(1, 0, None));
    deliver(&mut checker, source, &[0, 1, 2, 3, 4, 5, 6, 7]);
    steps.iter().for_each(|step| step(&mut checker, source, dead));
    rules(checker)
}

#[test]
fn a_message_that_is_passed_on_must_arrive_and_only_once_without_a_crash() {
    let at_source: fn(&mut Checker, SessionId, SessionId) =
        |checker, source, _| checker.delivered(source, id(8), false);
    let at_end: fn(&mut Checker, SessionId, SessionId) = |checker, _, dead| checker.delivered(dead, id(8), false);
    let acked_at_source: fn(&mut Checker, SessionId, SessionId) = |checker, source, _| {
        checker.acked(source, id(8));
        checker.settled(source, &[id(8)]);
    };
    let acked_at_end: fn(&mut Checker, SessionId, SessionId) = |checker, _, dead| {
        checker.acked(dead, id(8));
        checker.settled(dead, &[id(8)]);
    };
    assert_eq!(passed_on(&[at_source, acked_at_source]), []);
    assert_eq!(passed_on(&[at_source, at_end, acked_at_end]), []);
    assert_eq!(passed_on(&[at_end, acked_at_end]), []);
    assert_eq!(passed_on(&[]), [Rule::Loss]);
    assert_eq!(passed_on(&[at_source]), [Rule::Loss], "it was seen, and then it was gone");
    assert_eq!(passed_on(&[at_source, at_end]), [Rule::Loss]);
    assert_eq!(passed_on(&[at_source, acked_at_source, at_end]), [Rule::AfterAck]);
    assert_eq!(passed_on(&[at_end, at_end, acked_at_end]), [Rule::Unflagged]);
    let crash: fn(&mut Checker, SessionId, SessionId) = |checker, _, _| checker.crashed();
    let twice: fn(&mut Checker, SessionId, SessionId) = |checker, _, _| {
        let dead = checker.consumer_session(1, checker.life(), None);
        (0..2).for_each(|_| checker.delivered(dead, id(8), false));
    };
    assert_eq!(passed_on(&[at_end, acked_at_end, crash, twice]), []);
}

#[test]
fn what_was_rolled_back_must_not_come() {
    let mut checker = published(0);
    let rolled_back = checker.invoke(0);
    checker.rolled_back(&[rolled_back]);
    let session = consumer(&mut checker, None);
    deliver(&mut checker, session, &[0]);
    assert_eq!(rules(checker), [Rule::Rollback]);
}

#[test]
fn a_duplicate_that_is_taken_is_found() {
    let of = |confirm: fn(&mut Checker), redelivered: bool| {
        let mut checker = published_to(0, 0b01);
        checker.invoke(0);
        confirm(&mut checker);
        let session = consumer(&mut checker, None);
        deliver(&mut checker, session, &[0]);
        checker.settled(session, &[id(0)]);
        checker.crashed();
        let session = consumer(&mut checker, None);
        checker.confirmed_double(id(0), false);
        checker.delivered(session, id(0), redelivered);
        rules(checker)
    };
    assert_eq!(of(|checker| checker.confirmed(id(0), false), false), [Rule::Twice]);
    assert_eq!(of(|checker| checker.confirmed_double(id(0), false), false), [Rule::Twice]);
    assert_eq!(of(|checker| checker.confirmed(id(0), false), true), [], "the first one, its ack was lost");
    assert_eq!(of(|_| {}, false), [], "the first one was lost unconfirmed, and its ack with it");
    assert_eq!(of(|checker| checker.confirmed_double(id(0), true), false), [Rule::Confirm]);
}

#[test]
fn what_only_a_duplicate_confirmed_must_come_too() {
    let mut checker = published(0);
    checker.invoke(0);
    checker.crashed();
    checker.confirmed_double(id(0), false);
    assert_eq!(rules(checker), [Rule::Loss]);
}

#[test]
fn a_message_before_its_time_is_found() {
    let of = |now: u64| {
        let mut checker = published(1);
        checker.waits(id(0), 1000);
        checker.came(id(0), now);
        let session = consumer(&mut checker, None);
        deliver(&mut checker, session, &[0]);
        rules(checker)
    };
    assert_eq!((of(1000), of(950), of(800)), (vec![], vec![], vec![Rule::Early]));
}

/// A message and its identity are not always on disk together: what was not confirmed may come with the flag, and again.
#[test]
fn only_what_was_confirmed_is_taken_once_across_a_crash() {
    let of = |confirm: fn(&mut Checker)| {
        let mut checker = published_to(0, 0b01);
        checker.invoke(0);
        confirm(&mut checker);
        checker.crashed();
        let session = consumer(&mut checker, None);
        checker.delivered(session, id(0), true);
        checker.confirmed_double(id(0), false);
        checker.delivered(session, id(0), false);
        rules(checker)
    };
    assert_eq!(of(|_| {}), []);
    assert_eq!(of(|checker| checker.confirmed(id(0), false)), [Rule::Unflagged]);
}
