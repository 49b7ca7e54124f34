//! Arguments of queues (compat.md 2.9): what each may be, and which queue type takes it.

use crate::featured::*;
use crate::stage::*;
use crate::support::*;

fn refuses(client: &mut Client, name: &str, durable: bool, arguments: &[(&str, AMQPValue)], text: &str) {
    let declare = featured(name, durable, arguments);
    let text = format!("PRECONDITION_FAILED - {text}");
    channel_refuses(client, |client| client.declare(CH, declare), (406, &text), QUEUE_DECLARE);
}

const ARGUMENTS: [&str; 25] = [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
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
    "x-message-deduplication",
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
        ("x-dead-letter-exchange", number(1), "{unacceptable_type,long}"),
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
