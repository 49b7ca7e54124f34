//! Tests of declarations' arguments.

use super::*;
use crate::name::Name;

fn queue() -> Resource {
    Resource::queue(&Name::new("/").unwrap(), &Name::new("q").unwrap())
}

fn table(entries: &[(&'static str, Value)]) -> Table {
    entries.iter().cloned().collect()
}

fn difference(existing: &[(&'static str, Value)], received: &[(&'static str, Value)]) -> Result<(), String> {
    equivalent_queue(&queue(), &table(existing), &table(received)).map_err(|refusal| refusal.to_string())
}

#[test]
fn known_arguments_are_compared_by_value_and_unknown_ones_not() {
    let ttl = |value| [("x-message-ttl", value)];
    assert_eq!(difference(&[], &[]), Ok(()));
    assert_eq!(difference(&ttl(Value::I32(5)), &ttl(Value::I64(5))), Ok(()));
    assert_eq!(difference(&[("x-mine", 1.into())], &[("x-mine", "other".into()), ("x-more", 2.into())]), Ok(()));
    let prefix = "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': ";
    let cases = [
        (&[][..], &ttl(Value::I32(5))[..], "received the value '5' of type 'signedint' but current is none"),
        (&ttl(Value::I32(5)), &[], "received none but current is the value '5' of type 'signedint'"),
        (&ttl(Value::I32(5)), &ttl(Value::I32(6)), "received '6' but current is '5'"),
        (&ttl(Value::I32(5)), &ttl("6".into()), "received '6' but current is '5'"),
    ];
    for (existing, received, expected) in cases {
        assert_eq!(difference(existing, received), Err(format!("{prefix}{expected}")));
    }
    assert_eq!(
        difference(&[], &[("x-dead-letter-exchange", "dlx".into())]),
        Err("inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received the value 'dlx' of type \
             'longstr' but current is none"
            .to_owned())
    );
}

#[test]
fn classic_equals_no_type() {
    let kind = |name: &str| [("x-queue-type", Value::from(name))];
    assert_eq!(difference(&kind("classic"), &[]), Ok(()));
    assert_eq!(difference(&[], &kind("classic")), Ok(()));
    assert_eq!(
        difference(&kind("classic"), &kind("quorum")),
        Err("inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'"
            .to_owned())
    );
    assert_eq!(
        difference(&[], &kind("quorum")),
        Err("inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' \
             but current is none"
            .to_owned())
    );
}

#[test]
fn only_the_keys_asked_for_are_compared() {
    let (existing, received) = (table(&[("a", 1.into())]), table(&[("a", 2.into()), ("b", 1.into())]));
    assert_eq!(equivalent_arguments(&queue(), &existing, &received, &[]), Ok(()));
    assert_eq!(equivalent_arguments(&queue(), &existing, &existing, &["a", "b"]), Ok(()));
    assert!(equivalent_arguments(&queue(), &existing, &received, &["b"]).is_err());
}

const DURABLE: QueueFlags = QueueFlags { durable: true, exclusive: false, auto_delete: false };

fn check(entries: &[(&'static str, Value)], flags: QueueFlags) -> Result<QueueKind, String> {
    check_queue(&table(entries), flags, &queue()).map_err(|refusal| refusal.to_string())
}

#[test]
fn queue_types() {
    let check = |kind: Value| check(&[("x-mine", 7.into()), ("x-queue-type", kind)], DURABLE);
    let invalid = |reason: &str| Err(format!("invalid arg 'x-queue-type' for queue 'q' in vhost '/': {reason}"));
    assert_eq!(check("classic".into()), Ok(QueueKind::Classic));
    assert_eq!(check("quorum".into()), Ok(QueueKind::Quorum));
    let streams =
        "cannot declare queue 'q' in vhost '/': queue type 'stream' is not supported, use 'classic' or 'quorum'";
    assert_eq!(check("stream".into()), Err(streams.to_owned()));
    assert_eq!(check("odd".into()), invalid("\"unsupported queue type 'odd'\""));
    assert_eq!(check(5.into()), invalid("{unacceptable_type,long}"));
}

#[test]
fn values() {
    for (key, value, reason) in [
        ("x-expires", 0.into(), "{value_zero,0}"),
        ("x-expires", (-1).into(), "{value_negative,-1}"),
        ("x-expires", "5".into(), "\"expected integer, got longstr\""),
        ("x-expires", (TIME_MAX + 1).into(), "{value_too_big,315360000001}"),
        ("x-message-ttl", (-1).into(), "{value_negative,-1}"),
        ("x-max-length", (-5).into(), "{value_negative,-5}"),
        ("x-max-length-bytes", Value::Bool(true), "\"expected integer, got bool\""),
        ("x-max-priority", 256.into(), "{max_value_exceeded,256}"),
        ("x-overflow", "drop".into(), "invalid_overflow"),
        ("x-overflow", 1.into(), "{unacceptable_type,long}"),
        ("x-dead-letter-exchange", 1.into(), "{unacceptable_type,long}"),
        ("x-dead-letter-routing-key", "k".into(), "routing_key_but_no_dlx_defined"),
        ("x-single-active-consumer", "true".into(), "{unacceptable_type,longstr}"),
        ("x-queue-version", 1.into(), "invalid_queue_version"),
        ("x-queue-leader-locator", "here".into(), "invalid_queue_locator_arg"),
    ] {
        let expected = format!("invalid arg '{key}' for queue 'q' in vhost '/': {reason}");
        assert_eq!(check(&[(key, value)], DURABLE), Err(expected));
    }
    let accepted = [
        ("x-expires", 1.into()),
        ("x-message-ttl", 0.into()),
        ("x-max-priority", 255.into()),
        ("x-dead-letter-exchange", "".into()),
        ("x-dead-letter-routing-key", "k".into()),
        ("x-overflow", "reject-publish-dlx".into()),
        ("x-queue-mode", "lazy".into()),
        ("x-queue-version", 2.into()),
        ("x-anything", Value::Void),
    ];
    assert_eq!(check(&accepted, DURABLE), Ok(QueueKind::Classic));
}

#[test]
fn what_a_type_does_not_take() {
    let quorum = ("x-queue-type", Value::from("quorum"));
    let foreign = |key: &str, kind: &str| {
        Err(format!("invalid arg '{key}' for queue 'q' in vhost '/' of queue type rabbit_{kind}_queue"))
    };
    let with = |key, value: i64| [quorum.clone(), (key, value.into())];
    assert_eq!(check(&with("x-max-priority", 5), DURABLE), foreign("x-max-priority", "quorum"));
    assert_eq!(check(&[("x-delivery-limit", 5.into())], DURABLE), foreign("x-delivery-limit", "classic"));
    assert_eq!(check(&[("x-max-age", "1D".into())], DURABLE), foreign("x-max-age", "classic"));
    assert_eq!(check(&with("x-delivery-limit", -1), DURABLE), Ok(QueueKind::Quorum));
    for (flags, text) in [
        (QueueFlags { durable: false, ..DURABLE }, "invalid property 'non-durable' for queue 'q' in vhost '/'"),
        (QueueFlags { auto_delete: true, ..DURABLE }, "invalid property 'auto-delete' for queue 'q' in vhost '/'"),
        (QueueFlags { exclusive: true, ..DURABLE }, "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"),
    ] {
        assert_eq!(check(std::slice::from_ref(&quorum), flags), Err(text.to_owned()));
        assert_eq!(check(&[], flags), Ok(QueueKind::Classic));
    }
    let named = check_server_named(&table(&[quorum]), &queue()).map_err(|refusal| refusal.to_string());
    assert_eq!(named, Err("Cannot declare a server-named queue for type quorum".to_owned()));
    assert_eq!(check_server_named(&table(&[("x-queue-type", "odd".into())]), &queue()), Ok(()));
}

#[test]
fn of_several_faults_the_one_that_rabbitmq_sees_first_is_said() {
    let wrong = [("x-queue-type", Value::from("quorum")), ("x-max-age", "1D".into()), ("x-max-priority", 5.into())];
    let flags = QueueFlags { durable: false, exclusive: true, auto_delete: true };
    let fault = |entries: &[(&'static str, Value)], flags| check(entries, flags).unwrap_err();
    let with_value = [&wrong[..], &[("x-expires", 0.into())]].concat();
    let prefix = "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}";
    assert_eq!(fault(&with_value, flags), prefix, "values of what the type takes");
    let foreign = "invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue";
    assert_eq!(fault(&wrong, flags), foreign, "then the first of what it does not take");
    let property = |name: &str| format!("invalid property '{name}' for queue 'q' in vhost '/'");
    assert_eq!(fault(&wrong[..1], flags), property("auto-delete"));
    assert_eq!(fault(&wrong[..1], QueueFlags { auto_delete: false, ..flags }), property("exclusive-owner"));
}

#[test]
fn consumers() {
    let check = |kind, entries: &[(&'static str, Value)]| {
        check_consumer(&table(entries), kind, &queue()).map_err(|refusal| refusal.to_string())
    };
    let entries = [("x-priority", Value::from(-7)), ("x-consumer-timeout", 500.into()), ("x-mine", "any".into())];
    let expected = ConsumerArguments { priority: -7, timeout: Some(500) };
    for (kind, name) in [(QueueKind::Classic, "classic"), (QueueKind::Quorum, "quorum")] {
        assert_eq!(check(kind, &entries), Ok(expected));
        assert_eq!(check(kind, &[]), Ok(ConsumerArguments::default()));
        let foreign =
            format!("invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_{name}_queue");
        assert_eq!(check(kind, &[("x-stream-offset", "first".into())]), Err(foreign));
        let invalid = "invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"";
        let both = [("x-stream-offset", Value::from("first")), ("x-priority", "high".into())];
        assert_eq!(check(kind, &both), Err(invalid.to_owned()));
    }
}
