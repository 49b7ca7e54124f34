//! Arguments of queues (compat.md 2.9): what each may be, and which queue type takes it.

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

fn refuses(client: &mut Client, name: &str, durable: bool, arguments: &[(&str, AMQPValue)], text: &str) {
    let declare = featured(name, durable, arguments);
    let text = format!("PRECONDITION_FAILED - {text}");
    channel_refuses(client, |client| client.declare(CH, declare), (406, &text), QUEUE_DECLARE);
}

const ARGUMENTS: [&str; 31] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-quorum-initial-group-size",
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-consumer-timeout",
    "x-consumer-disconnected-timeout",
    "x-quorum-target-group-size",
    "x-message-deduplication",
    "x-cache-size",
    "x-cache-ttl",
    "x-deduplication-header",
];

/// A value that is right for no argument: each must look at its own.
#[test]
fn every_argument_is_looked_at() {
    let mut client = open();
    for key in ARGUMENTS {
        let name = unique("q");
        let odd = AMQPValue::Timestamp(5);
        let refused = client.declare(CH, featured(&name, true, &[(key, odd)])).unwrap_err().closed();
        assert_eq!((refused.code, refused.scope), (406, Scope::Channel), "{key}");
        assert!(refused.text.starts_with(&format!("PRECONDITION_FAILED - invalid arg '{key}' for queue '{name}'")));
        client.open_channel(CH).unwrap();
    }
}

#[test]
fn values_out_of_bounds_are_refused_with_their_reason() {
    let mut client = open();
    let ten_years = 315_360_000_000;
    for (key, value, reason) in [
        ("x-expires", number(0), "{value_zero,0}"),
        ("x-expires", number(-1), "{value_negative,-1}"),
        ("x-expires", number(ten_years + 1), "{value_too_big,315360000001}"),
        ("x-expires", text("5"), "\"expected integer, got longstr\""),
        ("x-message-ttl", number(-1), "{value_negative,-1}"),
        ("x-message-ttl", number(ten_years + 1), "{value_too_big,315360000001}"),
        ("x-max-length", number(-1), "{value_negative,-1}"),
        ("x-max-length-bytes", number(-1), "{value_negative,-1}"),
        ("x-max-priority", number(-1), "{value_negative,-1}"),
        ("x-max-priority", number(256), "{max_value_exceeded,256}"),
        ("x-overflow", text("drop-tail"), "invalid_overflow"),
        ("x-dead-letter-routing-key", text("k"), "routing_key_but_no_dlx_defined"),
        ("x-single-active-consumer", text("true"), "{unacceptable_type,longstr}"),
        ("x-queue-version", number(1), "invalid_queue_version"),
        ("x-queue-leader-locator", text("here"), "invalid_queue_locator_arg"),
        ("x-queue-type", text("odd"), "\"unsupported queue type 'odd'\""),
    ] {
        let name = unique("q");
        let text = format!("invalid arg '{key}' for queue '{name}' in vhost '/': {reason}");
        refuses(&mut client, &name, false, &[(key, value)], &text);
    }
    let accepted = [
        ("x-expires", number(ten_years)),
        ("x-message-ttl", number(0)),
        ("x-max-length", number(0)),
        ("x-max-priority", number(255)),
        ("x-queue-mode", text("lazy")),
        ("x-anything", AMQPValue::Void),
    ];
    queue_with(&mut client, &accepted);
}

#[test]
fn a_quorum_queues_values_have_bounds_too() {
    let mut client = open();
    let quorum = || ("x-queue-type", text("quorum"));
    let too_long = 315_360_000_001;
    for (key, value, reason) in [
        ("x-delivery-limit", text("5"), "\"expected integer, got longstr\""),
        ("x-dead-letter-strategy", text("twice"), "invalid_dlx_strategy"),
        ("x-delayed-retry-type", text("often"), "invalid_delayed_retry_type"),
        ("x-delayed-retry-min", number(-1), "{value_negative,-1}"),
        ("x-delayed-retry-max", number(too_long), "{value_too_big,315360000001}"),
        ("x-consumer-timeout", number(too_long), "{value_too_big,315360000001}"),
        ("x-consumer-disconnected-timeout", number(-1), "{value_negative,-1}"),
        ("x-quorum-initial-group-size", number(0), "{value_zero,0}"),
        ("x-quorum-target-group-size", number(-3), "{value_negative,-3}"),
        ("x-max-in-memory-length", number(-1), "{value_negative,-1}"),
        ("x-max-in-memory-bytes", number(-1), "{value_negative,-1}"),
        ("x-expires", number(0), "{value_zero,0}"),
        ("x-message-ttl", number(too_long), "{value_too_big,315360000001}"),
        ("x-max-length", number(-1), "{value_negative,-1}"),
        ("x-max-length-bytes", number(-1), "{value_negative,-1}"),
        ("x-overflow", text("drop-tail"), "invalid_overflow"),
        ("x-dead-letter-routing-key", text("k"), "routing_key_but_no_dlx_defined"),
        ("x-single-active-consumer", number(1), "{unacceptable_type,long}"),
        ("x-queue-leader-locator", text("here"), "invalid_queue_locator_arg"),
    ] {
        let name = unique("q");
        let text = format!("invalid arg '{key}' for queue '{name}' in vhost '/': {reason}");
        refuses(&mut client, &name, true, &[quorum(), (key, value)], &text);
    }
    let accepted = [
        ("x-delivery-limit", number(-1)),
        ("x-dead-letter-exchange", text("x")),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish-dlx")),
        ("x-delayed-retry-type", text("returned")),
        ("x-delayed-retry-min", number(0)),
        ("x-consumer-timeout", number(0)),
        ("x-quorum-initial-group-size", number(3)),
        ("x-max-in-memory-bytes", number(0)),
        ("x-queue-leader-locator", text("balanced")),
    ];
    quorum_with(&mut client, &accepted);
}

#[test]
fn an_argument_of_another_type_is_refused() {
    let mut client = open();
    let classic = [
        ("x-delivery-limit", number(5)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-delayed-retry-type", text("all")),
        ("x-delayed-retry-min", number(5)),
        ("x-delayed-retry-max", number(5)),
        ("x-quorum-initial-group-size", number(3)),
        ("x-max-in-memory-length", number(3)),
        ("x-max-age", text("1D")),
        ("x-initial-cluster-size", number(3)),
        ("x-stream-max-segment-size-bytes", number(1000)),
        ("x-stream-filter-size-bytes", number(16)),
    ];
    let quorum = [
        ("x-max-priority", number(5)),
        ("x-queue-mode", text("lazy")),
        ("x-queue-version", number(2)),
        ("x-max-age", text("1D")),
        ("x-initial-cluster-size", number(3)),
    ];
    for (kind, arguments) in [("classic", &classic[..]), ("quorum", &quorum[..])] {
        for (key, value) in arguments {
            let name = unique("q");
            let refused =
                format!("invalid arg '{key}' for queue '{name}' in vhost '/' of queue type rabbit_{kind}_queue");
            refuses(&mut client, &name, true, &[("x-queue-type", text(kind)), (key, value.clone())], &refused);
        }
    }
}

#[test]
fn an_exchange_is_named_by_text() {
    let mut client = open();
    let name = unique("q");
    let refused = format!("invalid type 'long' for arg 'x-dead-letter-exchange' in queue '{name}' in vhost '/'");
    let arguments = [("x-dead-letter-exchange", number(1)), ("x-expires", number(0))];
    refuses(&mut client, &name, true, &arguments, &refused);
    let declare = exchange::Declare {
        exchange: name.as_str().into(),
        kind: "direct".into(),
        arguments: table(&[("alternate-exchange", number(1))]),
        ..Default::default()
    };
    let refused = format!(
        "PRECONDITION_FAILED - invalid type 'long' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'"
    );
    channel_refuses(&mut client, |client| client.declare_exchange(CH, declare), (406, &refused), EXCHANGE_DECLARE);
}

#[test]
fn of_several_faults_the_first_is_said() {
    let mut client = open();
    let name = unique("q");
    let with = |arguments: &[(&'static str, AMQPValue)]| [&[("x-queue-type", text("quorum"))], arguments].concat();
    let foreign = [("x-max-age", text("1D")), ("x-max-priority", number(5))];
    let both = with(&[&foreign[..], &[("x-expires", number(0))]].concat());
    let text = format!("invalid arg 'x-expires' for queue '{name}' in vhost '/': {{value_zero,0}}");
    refuses(&mut client, &name, false, &both, &text);
    let text = format!("invalid arg 'x-max-age' for queue '{name}' in vhost '/' of queue type rabbit_quorum_queue");
    refuses(&mut client, &name, false, &with(&foreign), &text);
    for (exclusive, auto_delete, property) in
        [(true, true, "auto-delete"), (true, false, "exclusive-owner"), (false, false, "non-durable")]
    {
        let declare = queue::Declare { exclusive, auto_delete, ..featured(&name, false, &with(&[])) };
        let text = format!("PRECONDITION_FAILED - invalid property '{property}' for queue '{name}' in vhost '/'");
        channel_refuses(&mut client, |client| client.declare(CH, declare), (406, &text), QUEUE_DECLARE);
    }
    // A queue that exists is compared, and nothing else is looked at.
    let existing = queue(&mut client);
    let text = format!(
        "inequivalent arg 'x-expires' for queue '{existing}' in vhost '/': received the value '0' of type 'long' but \
         current is none"
    );
    refuses(&mut client, &existing, false, &[("x-expires", number(0)), ("x-max-age", number(1))], &text);
}

#[test]
fn arguments_of_consumers() {
    let mut client = open();
    let queues = [("classic", queue(&mut client)), ("quorum", quorum_with(&mut client, &[]))];
    for (kind, queue) in queues {
        let consume = |arguments: &[(&str, AMQPValue)]| basic::Consume {
            queue: queue.as_str().into(),
            arguments: table(arguments),
            ..Default::default()
        };
        let invalid = |key: &str| {
            format!(
                "PRECONDITION_FAILED - invalid arg '{key}' for queue '{queue}' in vhost '/': \"expected integer, got longstr\""
            )
        };
        let foreign = |key: &str| {
            format!(
                "PRECONDITION_FAILED - invalid arg '{key}' for queue '{queue}' in vhost '/' of queue type rabbit_{kind}_queue"
            )
        };
        for (key, text) in [
            ("x-priority", invalid("x-priority")),
            ("x-consumer-timeout", invalid("x-consumer-timeout")),
            ("x-stream-offset", foreign("x-stream-offset")),
            ("x-stream-filter", foreign("x-stream-filter")),
            ("x-stream-match-unfiltered", foreign("x-stream-match-unfiltered")),
        ] {
            let consume = consume(&[(key, AMQPValue::LongString("first".into()))]);
            channel_refuses(&mut client, |client| client.consume_with(CH, consume), (406, &text), BASIC_CONSUME);
        }
        client.consume_with(CH, consume(&[("x-priority", number(-3)), ("x-mine", yes())])).unwrap();
    }
}
