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
    equivalent_arguments(&queue(), &table(existing), &table(received), CLASSIC_QUEUE_ARGUMENTS)
        .map_err(|refusal| refusal.to_string())
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

#[test]
fn queue_types() {
    let parse = |value: Value| {
        let arguments = table(&[("x-mine", 7.into()), ("x-queue-type", value)]);
        QueueArguments::parse(&arguments, &queue()).map(|parsed| assert_eq!(*parsed.raw(), arguments))
    };
    assert_eq!(parse("classic".into()), Ok(()));
    assert_eq!(
        parse("quorum".into()),
        Err(Refusal::NotImplemented(
            "cannot declare queue 'q' in vhost '/': queue type 'quorum' is not supported, use 'classic'".to_owned()
        ))
    );
    assert!(matches!(parse("stream".into()), Err(Refusal::NotImplemented(_))));
    assert_eq!(
        parse("odd".into()).map_err(|refusal| refusal.to_string()),
        Err("invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'odd'\"".to_owned())
    );
    assert_eq!(
        parse(5.into()).map_err(|refusal| refusal.to_string()),
        Err("invalid arg 'x-queue-type' for queue 'q' in vhost '/': {unacceptable_type,long}".to_owned())
    );
    assert_eq!(QueueArguments::parse(&Table::new(), &queue()).map(|parsed| parsed.raw().len()), Ok(0));
}
