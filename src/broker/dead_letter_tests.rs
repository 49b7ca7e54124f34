//! Histories of dead letters.

use super::super::content::tests::payload;
use super::*;

fn record<'a>(header: &'a [u8], exchange_and_key: &'a [u8], died: bool) -> Record<'a> {
    let (body, priority, deadline_ms, persistent) = (&b"body"[..], 9, 0, true);
    Record { exchange_and_key, header, body, priority, deadline_ms, persistent, died, detached: None }
}

fn death(queue: &'static str, reason: Reason, routing_key: Option<&'static str>) -> Death<'static> {
    Death { queue, reason, exchange: "dlx", routing_key, time: 1000 }
}

fn headers(letter: &Letter) -> Table {
    Table::decode(Content::parse(&letter.header).unwrap().headers()).unwrap()
}

fn text(text: &str) -> Value {
    Value::LongString(text.as_bytes().to_vec())
}

fn entry(fields: &[(&'static str, Value)]) -> Table {
    Table::from_iter(fields.iter().cloned())
}

#[test]
fn the_first_death() {
    let mut table = Vec::new();
    let cc = Value::Array(vec![text("c1"), text("c2")]);
    // A publisher's own x-death means nothing.
    Table::from_iter([("x-death", text("mine")), ("CC", cc.clone()), ("k", Value::Bool(true))])
        .encode_content(&mut table);
    let header = payload(&table, Some("60"));
    let letter = Letter::of(&record(&header, b"\x01x\x01r", false), &death("q", Reason::Expired, None)).unwrap();
    assert_eq!(letter.exchange_and_key, b"\x03dlx\x01r");
    assert_eq!(letter.keys, [b"r".to_vec(), b"c1".to_vec(), b"c2".to_vec()]);
    assert_eq!(Content::parse(&letter.header).unwrap().expiration(), None);
    let first = entry(&[
        ("original-expiration", text("60")),
        ("count", Value::I64(1)),
        ("reason", text("expired")),
        ("queue", text("q")),
        ("time", Value::Timestamp(1000)),
        ("exchange", text("x")),
        ("routing-keys", Value::Array(vec![text("r"), text("c1"), text("c2")])),
    ]);
    let expected = entry(&[
        ("CC", cc),
        ("k", Value::Bool(true)),
        ("x-death", Value::Array(vec![Value::Table(first)])),
        ("x-first-death-reason", text("expired")),
        ("x-first-death-queue", text("q")),
        ("x-first-death-exchange", text("x")),
        ("x-last-death-reason", text("expired")),
        ("x-last-death-queue", text("q")),
        ("x-last-death-exchange", text("x")),
    ]);
    assert_eq!(headers(&letter), expected);
}

#[test]
fn later_deaths_are_counted_by_queue_and_reason() {
    let mut header = payload(b"", None);
    let mut names = b"\x01x\x01r".to_vec();
    let mut letter = None;
    for (queue, reason) in [("q", Reason::Rejected), ("retry", Reason::Expired), ("q", Reason::Rejected)] {
        let next = Letter::of(&record(&header, &names, letter.is_some()), &death(queue, reason, Some("k"))).unwrap();
        (header, names) = (next.header.clone(), next.exchange_and_key.clone());
        letter = Some(next);
    }
    let table = headers(&letter.unwrap());
    let Some(Value::Array(deaths)) = table.get("x-death") else { panic!("{table:?}") };
    let facts: Vec<_> = deaths
        .iter()
        .map(|death| {
            let Value::Table(death) = death else { panic!("{death:?}") };
            let text = |key| death.get(key).and_then(Value::as_str).unwrap().to_owned();
            (text("queue"), text("reason"), death.get("count").unwrap().as_integer().unwrap(), text("exchange"))
        })
        .collect();
    let fact = |queue: &str, reason: &str, count, exchange: &str| {
        (queue.to_owned(), reason.to_owned(), count, exchange.to_owned())
    };
    assert_eq!(facts, [fact("q", "rejected", 2, "x"), fact("retry", "expired", 1, "dlx")]);
    assert_eq!(table.get("x-first-death-exchange"), Some(&text("x")));
    assert_eq!(table.get("x-last-death-exchange"), Some(&text("dlx")));
}

#[test]
fn a_key_for_dead_letters_takes_the_place_of_all_others() {
    let mut table = Vec::new();
    Table::from_iter([("CC", Value::Array(vec![text("c1")]))]).encode_content(&mut table);
    let header = payload(&table, None);
    let letter = Letter::of(&record(&header, b"\x01x\x01r", false), &death("q", Reason::MaxLen, Some("k"))).unwrap();
    assert_eq!((letter.keys, letter.exchange_and_key), (vec![b"k".to_vec()], b"\x03dlx\x01k".to_vec()));
    let content = Content::parse(&letter.header).unwrap();
    assert_eq!(content.header("CC"), None);
}

#[test]
fn a_cycle_without_a_rejection_ends() {
    let header = payload(b"", None);
    let of = |header: &[u8], died, queue, reason| {
        Letter::of(&record(header, b"\0\x01r", died), &death(queue, reason, None)).unwrap()
    };
    let letter = of(&header, false, "q", Reason::Expired);
    assert!(!letter.may_enter("q", Reason::Expired), "back to where it expired");
    assert!(letter.may_enter("other", Reason::Expired));
    let rejected = of(&header, false, "work", Reason::Rejected);
    assert!(rejected.may_enter("work", Reason::Rejected));
    let retried = of(&rejected.header, true, "retry", Reason::Expired);
    assert!(retried.may_enter("work", Reason::Expired), "it was rejected there");
    assert!(!retried.may_enter("retry", Reason::Expired));
}

#[test]
fn damaged_headers_make_no_letter() {
    let header = payload(b"\x01a?", None);
    assert!(Letter::of(&record(&header, b"\0\0", false), &death("q", Reason::Expired, None)).is_none());
}
