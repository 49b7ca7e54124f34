//! Headers matching.

use super::*;
use crate::value::Value;

/// Whether a binding with these arguments takes a message with these headers.
fn takes(arguments: &[(&'static str, Value)], headers: &[(&'static str, Value)]) -> bool {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    let arguments = arguments.iter().cloned().collect();
    topology.bind(Binding { arguments, ..to_queue("amq.headers", "q", "ignored") }).unwrap();
    let headers = headers.iter().cloned().collect();
    routed_with(&topology, "amq.headers", "any", &headers) == [1]
}

fn form(text: &str) -> (&'static str, Value) {
    ("x-match", text.into())
}

#[test]
fn all_wants_every_condition_and_any_wants_one() {
    let conditions = [("b", Value::from("2")), ("a", Value::from("1"))];
    let both = [("a", Value::from("1")), ("b", Value::from("2")), ("c", Value::from("3"))];
    let one = [("c", Value::from("3")), ("b", Value::from("2")), ("a", Value::from("0"))];
    let none = [("a", Value::from("2")), ("c", Value::from("2"))];
    let with = |x_match: Option<&str>| {
        let mut arguments = conditions.to_vec();
        arguments.extend(x_match.map(form));
        [takes(&arguments, &both), takes(&arguments, &one), takes(&arguments, &none), takes(&arguments, &[])]
    };
    assert_eq!(with(None), [true, false, false, false]);
    assert_eq!(with(Some("all")), [true, false, false, false]);
    assert_eq!(with(Some("all-with-x")), [true, false, false, false]);
    assert_eq!(with(Some("any")), [true, true, false, false]);
    assert_eq!(with(Some("any-with-x")), [true, true, false, false]);
}

#[test]
fn conditions_on_x_names_count_only_in_the_forms_with_x() {
    let condition = ("x-kind", Value::from("k"));
    let met = [("x-kind", Value::from("k"))];
    let unmet = [("x-kind", Value::from("other"))];
    let with = |x_match: &str| {
        let arguments = [form(x_match), condition.clone()];
        [takes(&arguments, &met), takes(&arguments, &unmet), takes(&arguments, &[])]
    };
    assert_eq!(with("all"), [true, true, true]);
    assert_eq!(with("any"), [false, false, false]);
    assert_eq!(with("all-with-x"), [true, false, false]);
    assert_eq!(with("any-with-x"), [true, false, false]);
    // `x-match` itself is never a condition.
    assert!(takes(&[form("all-with-x")], &[]));
    assert!(!takes(&[form("any-with-x")], &[form("any-with-x")]));
}

#[test]
fn without_conditions_all_takes_everything_and_any_nothing() {
    let message = [("a", Value::from("1"))];
    assert!(takes(&[], &message) && takes(&[], &[]) && takes(&[form("all")], &message));
    assert!(!takes(&[form("any")], &message) && !takes(&[form("any")], &[]));
}

#[test]
fn void_means_present() {
    let condition = [("a", Value::Void)];
    assert!(takes(&condition, &[("a", Value::from("whatever"))]));
    assert!(takes(&condition, &[("a", Value::Void)]));
    assert!(!takes(&condition, &[("b", Value::Void)]));
    assert!(!takes(&[("a", Value::from("x"))], &[("a", Value::Void)]));
}

#[test]
fn values_are_compared_decoded() {
    let equal = |left: Value, right: Value| {
        let one_way = takes(&[("a", left.clone())], &[("a", right.clone())]);
        assert_eq!(takes(&[("a", right)], &[("a", left)]), one_way);
        one_way
    };
    assert!(equal(Value::I8(5), Value::I64(5)));
    assert!(equal(Value::U32(5), Value::Timestamp(5)));
    assert!(equal(Value::I16(5), Value::F64(5.0)));
    assert!(equal(Value::F32(0.5), Value::F64(0.5)));
    assert!(equal("x".into(), Value::Bytes(b"x".to_vec())));
    assert!(equal(Value::Array(vec![1.into()]), Value::Array(vec![1.into()])));
    assert!(!equal(Value::I8(5), Value::F64(5.5)));
    assert!(!equal(Value::I64(i64::MAX), Value::F64(9_223_372_036_854_775_808.0)));
    assert!(!equal(Value::I64(-1), Value::Timestamp(u64::MAX)));
    assert!(!equal("5".into(), Value::I8(5)));
    assert!(!equal(Value::Bool(true), Value::I8(1)));
    assert!(!equal("x".into(), "X".into()));
    assert!(!equal(Value::Array(vec![Value::I8(1)]), Value::Array(vec![Value::I64(1)])));
    assert!(!equal(Value::Array(vec![1.into()]), Value::Array(vec![1.into(), 2.into()])));
    let table = |key: &'static str, value: Value| Value::Table([(key, value)].into_iter().collect());
    assert!(equal(table("k", 1.into()), table("k", 1.into())));
    assert!(!equal(table("k", 1.into()), table("l", 1.into())));
    assert!(!equal(table("k", Value::I8(1)), table("k", Value::I16(1))));
}

#[test]
fn a_way_lasts_unless_headers_were_asked_for() {
    let mut topology = topology();
    topology.add_queue(name("q"), QueueId(1), true);
    topology.declare_exchange(spec("second", ExchangeKind::Headers)).unwrap();
    let asked = |topology: &Topology, exchange: &str| {
        let way = way(topology, exchange, &[b"k"], b"damaged", 0);
        (!way.lasts, way.queues.len())
    };
    assert_eq!(asked(&topology, "amq.headers"), (false, 0));
    topology.bind(to_queue("amq.direct", "q", "k")).unwrap();
    assert_eq!(asked(&topology, "amq.direct"), (false, 1));
    topology.bind(to_exchange("amq.headers", "second", "")).unwrap();
    topology.bind(to_queue("second", "q", "")).unwrap();
    assert_eq!(asked(&topology, "amq.headers"), (true, 1));
}
