//! `x-delayed-message` exchanges (compat.md 2.11), by the test's own clock: what waits, when it comes, what is left of it
//! after a power cut.

use super::*;
use crate::value::Value;
use std::sync::Mutex;

/// Time passes when the test says so.
#[derive(Debug)]
struct Hands(Mutex<Now>);

impl Clock for Hands {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

struct Stage {
    node: Node,
    clock: Arc<Hands>,
}

fn stage() -> Stage {
    stage_on(Arc::new(MemoryStorage::default()))
}

fn stage_on(storage: Arc<MemoryStorage>) -> Stage {
    let clock = Arc::new(Hands(Mutex::new(Now::read())));
    Stage { node: node_on(storage, Options { clock: clock.clone(), ..options(256 << 20) }), clock }
}

impl Stage {
    fn pass(&self, ms: u64) {
        {
            let mut now = self.clock.0.lock().unwrap();
            *now = now.after(Duration::from_millis(ms));
        }
        self.node.broker.fire_timers();
    }

    fn pending(&self, exchange: &str) -> u64 {
        self.node.broker.messages_delayed("/", exchange).unwrap().unwrap()
    }

    /// Chunks of delayed messages on disk.
    fn stored(&self) -> usize {
        use crate::store::Storage;
        let mut found = 0;
        let visit = &mut |key: &[u8], _: &[u8]| {
            found += usize::from(key.len() == 24);
            true
        };
        self.node.storage.scan(crate::store::Family::Delayed, b"", &[0xff; 25], visit).unwrap();
        found
    }

    fn eventually_stored(&self, count: usize) {
        let begun = Instant::now();
        while self.stored() != count {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} on disk, not {count}", self.stored());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The power goes and comes back, after so many milliseconds.
    fn cut_power(self, ms: u64) -> Stage {
        self.node.storage.cut_power();
        let (storage, now) = (self.node.storage.clone(), self.clock.now());
        // What the old node still writes must not reach the disk.
        storage.fail_at(1, Fault::Broken);
        drop(self);
        storage.heal();
        storage.cut_power();
        let stage = stage_on(storage);
        *stage.clock.0.lock().unwrap() = now.after(Duration::from_millis(ms));
        stage.node.broker.fire_timers();
        stage
    }
}

fn declaration(name: &str, routes_as: Option<Value>) -> exchange::Declare {
    let arguments: Table = routes_as.into_iter().map(|kind| ("x-delayed-type", kind)).collect();
    let arguments = table_to_amq(&arguments).unwrap();
    exchange::Declare {
        exchange: name.into(),
        kind: "x-delayed-message".into(),
        durable: true,
        arguments,
        ..Default::default()
    }
}

fn declared(client: &mut Client, declare: exchange::Declare) {
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declare)));
    assert_eq!(client.only(), (1, AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))));
}

fn delaying(client: &mut Client, name: &str, routes_as: &str) {
    declared(client, declaration(name, Some(routes_as.into())));
}

/// A persistent message with these headers.
fn with_headers(key: &str, headers: &[(&'static str, Value)], body: &str) -> Vec<u8> {
    let headers = Some(headers.iter().cloned().collect());
    let properties = PropertiesBuilder { headers, delivery_mode: Some(2), ..Default::default() };
    message(1, "x", key, false, &properties, body.as_bytes())
}

fn delay(client: &mut Client, key: &str, ms: i64, body: &str) {
    client.send(&with_headers(key, &[("x-delay", ms.into())], body));
}

/// A durable queue, bound to `x` by its name, with a consumer.
fn listening(client: &mut Client, queue: &str) {
    client.queue(queue, true);
    client.bind(queue, "x", queue);
    client.consume(queue, queue, true);
}

fn bodies(client: &mut Client, count: usize) -> Vec<String> {
    client.delivered(count).into_iter().map(|(_, _, body)| String::from_utf8(body).unwrap()).collect()
}

fn confirmed(client: &mut Client, up_to: u64) {
    client.read_until(|seen| acks(seen).last().is_some_and(|(tag, _)| *tag == up_to));
}

#[test]
fn the_type_that_it_routes_as_is_needed() {
    let stage = stage();
    let mut client = stage.node.channel();
    let missing = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type";
    let itself = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
    let unknown = "PRECONDITION_FAILED - unknown exchange type 'sideways'";
    for (given, text) in [
        (None, missing),
        (Some(Value::I32(5)), missing),
        (Some("x-delayed-message".into()), itself),
        (Some("sideways".into()), unknown),
    ] {
        client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declaration("x", given))));
        assert_eq!(client.channel_closed(1), (406, text.to_owned()));
        client.open_channel(1);
    }
    delaying(&mut client, "x", "topic");
    delaying(&mut client, "x", "topic");
    for (given, received) in [(Some("direct".into()), "'direct' but current is 'topic'"), (None, "none but current is")]
    {
        client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Declare(declaration("x", given))));
        let (code, text) = client.channel_closed(1);
        let begin = format!(
            "PRECONDITION_FAILED - inequivalent arg 'x-delayed-type' for exchange 'x' in vhost '/': received {received}"
        );
        assert!(code == 406 && text.starts_with(&begin), "{code} {text}");
        client.open_channel(1);
    }
}

#[test]
fn each_comes_when_it_is_due_and_says_how_long_it_waited() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    listening(&mut client, "q");
    for (ms, body) in [(300, "c"), (100, "a"), (300, "d"), (200, "b"), (5000, "e")] {
        delay(&mut client, "q", ms, body);
    }
    assert_eq!(stage.pending("x"), 5);
    stage.pass(99);
    client.nothing();
    stage.pass(1);
    let seen = client.read_until(|seen| seen.len() >= 3);
    let Seen::Header(1, header) = &seen[1] else { panic!("no header: {seen:?}") };
    let content = crate::broker::content::Content::parse(header).unwrap();
    assert_eq!(content.header("x-delay"), Some(Value::I64(-100)));
    assert_eq!(deliveries(&seen)[0].2, b"a");
    stage.pass(200);
    assert_eq!(bodies(&mut client, 3), ["b", "c", "d"]);
    assert_eq!(stage.pending("x"), 1);
    stage.pass(4699);
    client.nothing();
    stage.pass(1);
    assert_eq!((bodies(&mut client, 1), stage.pending("x")), (vec!["e".to_owned()], 0));
    stage.eventually_stored(0);
}

#[test]
fn what_has_no_delay_does_not_wait() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    listening(&mut client, "q");
    client.publish("x", "q", b"no header");
    for (value, body) in
        [(Value::I32(0), "0"), (Value::I64(-5), "-5"), (Value::I64(1 << 32), "too long"), ("x".into(), "x")]
    {
        client.send(&with_headers("q", &[("x-delay", value)], body));
    }
    assert_eq!(bodies(&mut client, 5), ["no header", "0", "-5", "too long", "x"]);
    for value in [Value::U8(200), Value::I16(200), Value::F64(200.5), "200".into(), Value::I64((1 << 32) - 1)] {
        client.send(&with_headers("q", &[("x-delay", value)], "waits"));
    }
    client.nothing();
    assert_eq!(stage.pending("x"), 5);
}

#[test]
fn the_bindings_of_the_time_when_it_is_due_count() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "topic");
    client.queue("before", false);
    client.queue("after", false);
    client.bind("before", "x", "a.#");
    delay(&mut client, "a.b", 50, "m");
    let unbind =
        queue::Unbind { queue: "before".into(), exchange: "x".into(), routing_key: "a.#".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Unbind(unbind)));
    client.only();
    client.bind("after", "x", "*.b");
    stage.pass(50);
    assert_eq!((client.ready("before"), client.ready("after")), (0, 1));
}

#[test]
fn a_mandatory_one_is_confirmed_and_never_returned() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "fanout");
    client.confirms();
    let headers = Some(Table::from_iter([("x-delay", Value::I32(70))]));
    let properties = PropertiesBuilder { headers, delivery_mode: Some(2), ..Default::default() };
    client.send(&message(1, "x", "", true, &properties, b"to nobody"));
    confirmed(&mut client, 1);
    stage.pass(70);
    assert_eq!(stage.pending("x"), 0);
    client.nothing();
    stage.eventually_stored(0);
}

#[test]
fn it_is_on_disk_before_it_is_confirmed() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    client.confirms();
    stage.node.storage.fail_at(1, Fault::Full);
    // Delivery mode 1: all that waits is kept alike.
    let headers = Some(Table::from_iter([("x-delay", Value::I32(70))]));
    client.send(&message(1, "x", "q", false, &PropertiesBuilder { headers, ..Default::default() }, b"m"));
    let writes = stage.node.storage.writes();
    while stage.node.storage.writes() < writes + 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((acks(&client.read()), stage.stored()), (vec![], 0));
    stage.node.storage.heal();
    confirmed(&mut client, 1);
    assert_eq!(stage.stored(), 1);
}

#[test]
fn a_power_cut_loses_nothing_that_was_confirmed() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    listening(&mut client, "q");
    client.confirms();
    for (ms, body) in [(300, "c"), (100, "a"), (200, "b")] {
        delay(&mut client, "q", ms, body);
    }
    confirmed(&mut client, 3);
    drop(client);
    let stage = stage.cut_power(150);
    assert_eq!(stage.pending("x") + u64::from(stage.node.channel().ready("q")), 3);
    let mut client = stage.node.channel();
    client.consume("q", "c", true);
    assert_eq!(bodies(&mut client, 1), ["a"], "due while the power was off");
    stage.pass(49);
    client.nothing();
    stage.pass(101);
    assert_eq!(bodies(&mut client, 2), ["b", "c"]);
    delay(&mut client, "q", 10, "d");
    stage.pass(10);
    assert_eq!(bodies(&mut client, 1), ["d"]);
}

#[test]
fn between_move_and_delete_a_power_cut_may_double_and_never_loses() {
    for writes in 1..6 {
        let stage = stage();
        let mut client = stage.node.channel();
        delaying(&mut client, "x", "direct");
        client.queue("q", true);
        client.bind("q", "x", "q");
        client.confirms();
        (0..20).for_each(|number| delay(&mut client, "q", 10 + number, &number.to_string()));
        confirmed(&mut client, 20);
        // The disk ends somewhere between the append to the queue and the delete here.
        stage.node.storage.fail_at(writes, Fault::Broken);
        for _ in 0..4 {
            stage.pass(8);
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(client);
        let stage = stage.cut_power(1000);
        let begun = Instant::now();
        while stage.pending("x") > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} wait", stage.pending("x"));
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut client = stage.node.channel();
        let ready = client.ready("q");
        client.consume("q", "c", true);
        let found = bodies(&mut client, ready as usize);
        let missing: Vec<u32> = (0..20).filter(|number| !found.contains(&number.to_string())).collect();
        assert!(missing.is_empty(), "{missing:?} lost with write {writes}");
    }
}

#[test]
fn a_clean_stop_neither_loses_nor_doubles() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    client.queue("q", true);
    client.bind("q", "x", "q");
    client.confirms();
    (0..10).for_each(|number| delay(&mut client, "q", 10 + 100 * (number % 2), &number.to_string()));
    confirmed(&mut client, 10);
    stage.pass(10);
    assert_eq!((client.ready("q"), stage.pending("x")), (5, 5));
    drop(client);
    let storage = stage.node.storage.clone();
    drop(stage);
    let stage = stage_on(storage);
    let mut client = stage.node.channel();
    assert_eq!((client.ready("q"), stage.pending("x")), (5, 5));
    stage.pass(1000);
    let begun = Instant::now();
    while client.ready("q") != 10 {
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    stage.eventually_stored(0);
}

#[test]
fn the_exchange_takes_its_messages_along() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    client.confirms();
    (0..10).for_each(|number| delay(&mut client, "q", 100 + number, "m"));
    confirmed(&mut client, 10);
    stage.eventually_stored(10);
    let delete = exchange::Delete { exchange: "x".into(), ..Default::default() };
    client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Delete(delete)));
    client.only();
    assert_eq!((stage.node.broker.messages_delayed("/", "x").unwrap(), stage.stored()), (None, 0));
    delaying(&mut client, "x", "fanout");
    client.queue("q", true);
    client.bind("q", "x", "");
    stage.pass(1000);
    assert_eq!((stage.pending("x"), client.ready("q")), (0, 0));
    delay(&mut client, "q", 100, "m");
    confirmed(&mut client, 11);
    drop(client);
    let stage = stage.cut_power(100);
    assert_eq!(stage.pending("x") + u64::from(stage.node.channel().ready("q")), 1);
}

#[test]
fn the_last_binding_takes_an_auto_delete_exchange_along() {
    let stage = stage();
    let mut client = stage.node.channel();
    let auto = exchange::Declare { auto_delete: true, ..declaration("x", Some("direct".into())) };
    declared(&mut client, auto);
    client.queue("q", true);
    client.bind("q", "x", "q");
    client.confirms();
    delay(&mut client, "q", 100, "m");
    confirmed(&mut client, 1);
    let delete = queue::Delete { queue: "q".into(), ..Default::default() };
    client.method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete)));
    client.only();
    assert_eq!((stage.node.broker.messages_delayed("/", "x").unwrap(), stage.stored()), (None, 0));
}

#[test]
fn what_a_transient_exchange_keeps_ends_with_it() {
    let stage = stage();
    let mut client = stage.node.channel();
    declared(&mut client, exchange::Declare { durable: false, ..declaration("t", Some("direct".into())) });
    delaying(&mut client, "x", "direct");
    client.confirms();
    delay(&mut client, "q", 100, "kept");
    let headers = Some(Table::from_iter([("x-delay", Value::I32(100))]));
    let properties = PropertiesBuilder { headers, delivery_mode: Some(2), ..Default::default() };
    client.send(&message(1, "t", "q", false, &properties, b"m"));
    confirmed(&mut client, 2);
    assert_eq!((stage.pending("t"), stage.stored()), (1, 2));
    drop(client);
    let stage = stage.cut_power(0);
    assert_eq!((stage.node.broker.messages_delayed("/", "t").unwrap(), stage.stored()), (None, 1));
    assert_eq!(stage.pending("x"), 1);
}

#[test]
fn copies_and_blind_copies_wait_with_it() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    ["to", "cc", "blind"].iter().for_each(|name| listening(&mut client, name));
    let list = |key: &str| Value::Array(vec![key.into()]);
    client.send(&with_headers("to", &[("CC", list("cc")), ("BCC", list("blind")), ("x-delay", 9.into())], "m"));
    client.nothing();
    stage.pass(9);
    let seen = client.read_until(|seen| deliveries(seen).len() >= 3);
    for frame in seen {
        if let Seen::Header(_, header) = frame {
            let content = crate::broker::content::Content::parse(&header).unwrap();
            assert_eq!((content.header("CC"), content.header("BCC")), (Some(list("cc")), None));
        }
    }
}

#[test]
fn it_waits_wherever_it_meets_a_delaying_exchange_but_once() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "headers");
    delaying(&mut client, "second", "fanout");
    client.method(1, exchange("outer", "fanout"));
    client.only();
    for (source, destination) in [("outer", "x"), ("x", "second")] {
        let bind = exchange::Bind { source: source.into(), destination: destination.into(), ..Default::default() };
        client.method(1, AMQPClass::Exchange(exchange::AMQPMethod::Bind(bind)));
        client.only();
    }
    client.queue("q", true);
    client.queue("direct", true);
    client.bind("q", "second", "");
    client.bind("direct", "outer", "");
    client.consume("q", "c", true);
    client.consume("direct", "d", true);
    let headers = Some(Table::from_iter([("x-delay", Value::I32(40))]));
    let properties = PropertiesBuilder { headers, ..Default::default() };
    client.send(&message(1, "outer", "k", false, &properties, b"m"));
    assert_eq!(client.deliveries().len(), 1, "the queue at the outer exchange has it at once");
    assert_eq!((stage.pending("x"), stage.pending("second")), (1, 0));
    stage.pass(40);
    let seen = client.read_until(|seen| deliveries(seen).len() == 1);
    let Seen::Method(_, AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver))) = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("outer", "k"));
    assert_eq!(stage.pending("second"), 0, "it has waited already");
}

#[test]
fn dead_letters_wait_too() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    listening(&mut client, "dead");
    let arguments = [("x-dead-letter-exchange", "x"), ("x-dead-letter-routing-key", "dead")];
    let arguments = table_to_amq(&arguments.into_iter().collect()).unwrap();
    client.declare(1, queue::Declare { queue: "q".into(), durable: true, arguments, ..Default::default() });
    client.consume("q", "c", false);
    let headers = Some(Table::from_iter([("x-delay", Value::I32(60))]));
    let properties = PropertiesBuilder { headers, delivery_mode: Some(2), ..Default::default() };
    client.send(&message(1, "", "q", false, &properties, b"m"));
    assert_eq!(client.delivered(1).len(), 1);
    client.nack(1, false, false);
    let begun = Instant::now();
    while stage.pending("x") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
    client.nothing();
    stage.pass(60);
    let seen = client.read_until(|seen| deliveries(seen).len() == 1);
    let Seen::Header(_, header) = &seen[1] else { panic!("{seen:?}") };
    let content = crate::broker::content::Content::parse(header).unwrap();
    assert!(content.header("x-death").is_some() && content.header("x-delay") == Some(Value::I64(-60)));
}

#[test]
fn the_alternate_exchange_is_asked_when_it_is_due() {
    let stage = stage();
    let mut client = stage.node.channel();
    let arguments = [("x-delayed-type", "direct"), ("alternate-exchange", "amq.fanout")];
    let arguments = table_to_amq(&arguments.into_iter().collect()).unwrap();
    declared(&mut client, exchange::Declare { arguments, ..declaration("x", None) });
    client.queue("q", true);
    client.bind("q", "amq.fanout", "");
    delay(&mut client, "nowhere", 30, "m");
    assert_eq!(client.ready("q"), 0);
    stage.pass(30);
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn its_time_to_live_begins_when_it_is_routed() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    client.queue("q", true);
    client.bind("q", "x", "q");
    let headers = Some(Table::from_iter([("x-delay", Value::I32(500_000))]));
    let properties = PropertiesBuilder { headers, expiration: Some(b"60000"), ..Default::default() };
    client.send(&message(1, "x", "q", false, &properties, b"m"));
    stage.pass(500_000);
    assert_eq!(client.ready("q"), 1);
    // The client's clock, by which the message came, runs on beside the broker's.
    stage.pass(30_000);
    assert_eq!(client.ready("q"), 1);
    stage.pass(60_000);
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn a_transaction_delays_from_its_commit_on() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    listening(&mut client, "q");
    let tx = |client: &mut Client, method| {
        client.method(1, AMQPClass::Tx(method));
        assert!(matches!(client.only(), (1, AMQPClass::Tx(_))));
    };
    use amq_protocol::protocol::tx::{AMQPMethod, Commit, Rollback, Select};
    tx(&mut client, AMQPMethod::Select(Select {}));
    delay(&mut client, "q", 100, "rolled back");
    tx(&mut client, AMQPMethod::Rollback(Rollback {}));
    delay(&mut client, "q", 100, "committed");
    stage.pass(1000);
    assert_eq!(stage.pending("x"), 0);
    tx(&mut client, AMQPMethod::Commit(Commit {}));
    assert_eq!(stage.pending("x"), 1);
    stage.pass(99);
    client.nothing();
    stage.pass(1);
    assert_eq!(bodies(&mut client, 1), ["committed"]);
}

#[test]
fn a_hundred_thousand_wait_in_the_memory_of_a_few() {
    let stage = stage();
    let mut client = stage.node.channel();
    delaying(&mut client, "x", "direct");
    client.queue("q", true);
    client.bind("q", "x", "q");
    client.confirms();
    let mut sent = 0;
    for round in 0..200_i64 {
        let mut bytes = Vec::new();
        for number in 0..500 {
            let delay = 1000 + (round * 7919 + number * 104_729) % 100_000;
            bytes.extend(with_headers("q", &[("x-delay", delay.into())], "................................"));
        }
        client.send(&bytes);
        while !client.unsent.is_empty() {
            client.connection.on_wake(client.now);
            client.offer();
        }
        sent += 500;
        confirmed(&mut client, sent);
    }
    assert_eq!(stage.pending("x"), sent);
    let memory = || stage.node.broker.memory_used();
    let limit = (crate::limits::DELAYED_WINDOW_BYTES + crate::limits::COMMIT_BYTES) as i64;
    assert!(memory() <= limit, "{} bytes", memory());
    stage.pass(51_000);
    let begun = Instant::now();
    let mut last = 0;
    while last < 45_000 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{last} came");
        std::thread::sleep(Duration::from_millis(5));
        last = client.ready("q");
    }
    stage.pass(100_000);
    while u64::from(client.ready("q")) < sent {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} wait", stage.pending("x"));
        std::thread::sleep(Duration::from_millis(5));
    }
    stage.eventually_stored(0);
}
