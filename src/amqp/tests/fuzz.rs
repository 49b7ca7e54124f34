//! Bytes that nobody would send: the machine must not panic, and must use what it can.

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}

/// A conversation with something of everything.
fn conversation() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut push = |channel, method| {
        let mut bytes = Vec::new();
        write_method(&mut bytes, channel, &method);
        frames.push(bytes);
    };
    push(1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    push(2, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})));
    push(1, exchange("x", "topic"));
    let declare = queue::Declare { queue: "q".into(), ..Default::default() };
    push(1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare)));
    let bind = queue::Bind { queue: "q".into(), exchange: "x".into(), routing_key: "#".into(), ..Default::default() };
    push(1, AMQPClass::Queue(queue::AMQPMethod::Bind(bind)));
    push(1, AMQPClass::Confirm(confirm::AMQPMethod::Select(confirm::Select { nowait: false })));
    push(1, AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos { prefetch_count: 2, global: true })));
    let consume = basic::Consume { queue: "q".into(), consumer_tag: "c".into(), ..Default::default() };
    push(1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume)));
    push(2, AMQPClass::Basic(basic::AMQPMethod::Get(basic::Get { queue: "q".into(), no_ack: false })));
    for tag in 0..4 {
        push(1, AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple: tag == 3 })));
        let nack = basic::Nack { delivery_tag: tag, multiple: false, requeue: true };
        push(2, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
    }
    push(1, AMQPClass::Basic(basic::AMQPMethod::Recover(basic::Recover { requeue: true })));
    let cancel = basic::Cancel { consumer_tag: "c".into(), nowait: false };
    push(1, AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)));
    push(1, AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    for size in [0, 5, 9000] {
        frames.push(message(1, "x", "a.b", true, &PropertiesBuilder::default(), &vec![1; size]));
        frames.push(message(2, "", "q", true, &PropertiesBuilder::default(), &vec![1; size]));
    }
    frames
}

fn drive(client: &mut Client, bytes: &[u8], random: &mut Random) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + random.below(rest.len()));
        client.unsent.extend_from_slice(piece);
        if client.connection.wants_read() {
            client.offer();
        }
        match random.below(8) {
            0 => client.connection.on_wake(client.now),
            1 => client.pass(Duration::from_secs(1)),
            2 => {
                let waiting = client.connection.output().len();
                client.connection.written(waiting, client.now);
            }
            _ => {}
        }
        rest = behind;
    }
    client.connection.on_disconnect();
    assert!(client.connection.is_finished());
}

#[test]
fn arbitrary_bytes() {
    let node = node();
    for seed in 0..300 {
        let mut random = Random(seed);
        let length = 1 + random.below(300);
        let mut bytes = random.bytes(length);
        let mut client = if seed % 2 == 0 { node.accept() } else { node.open() };
        if seed % 4 == 0 {
            bytes.splice(0..0, PROTOCOL_HEADER.iter().copied());
        }
        drive(&mut client, &bytes, &mut random);
    }
}

#[test]
fn shuffled_and_damaged_conversations() {
    let node = node();
    let frames = conversation();
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut bytes = frames[0].clone();
        bytes.extend_from_slice(&frames[1]);
        for _ in 0..60 {
            bytes.extend_from_slice(&frames[random.below(frames.len())]);
        }
        if seed % 2 == 0 {
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
        }
        drive(&mut node.open(), &bytes, &mut random);
    }
    // Nothing is left behind: what was published is ready or settled, and nobody consumes.
    let mut client = node.channel();
    let declared = client.declare(1, queue::Declare { queue: "q".into(), ..Default::default() });
    assert_eq!(declared.consumer_count, 0);
}
