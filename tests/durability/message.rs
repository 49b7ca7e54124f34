//! The test's messages: everything in one follows from (producer, seq), so every byte that comes back can be verified.

use crate::support::{AMQPValue, BasicProperties, FieldTable, encode_properties};
use crate::world::Rng;

/// Bytes of the header in a body: producer, seq, CRC of both and the payload.
const HEADER: usize = 16;

/// Queues of the load. `SOLO` has one exclusive consumer at a time.
pub const QUEUES: [&str; 3] = ["crash.solo", "crash.a", "crash.b"];
pub const SOLO: usize = 0;

pub const FANOUT: &str = "crash.fanout";
pub const TOPIC: &str = "crash.topic";
pub const TOPIC_PATTERN: &str = "order.*.new";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub producer: u32,
    pub seq: u64,
}

/// Where a message is published to.
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    /// Bit per queue it must reach; 0 = it must be returned.
    pub queues: u8,
}

impl Id {
    fn rng(self, purpose: u64) -> Rng {
        Rng::new((u64::from(self.producer) << 48) ^ self.seq ^ (purpose << 40))
    }

    pub fn route(self) -> Route {
        let (exchange, key, queues) = match self.rng(1).below(16) {
            0..5 => ("", QUEUES[0], 0b001),
            5..9 => ("", QUEUES[1], 0b010),
            9..12 => ("", QUEUES[2], 0b100),
            12..14 => (FANOUT, "any", 0b111),
            14 => (TOPIC, "order.7.new", 0b110),
            _ => (TOPIC, "nobody.listens", 0),
        };
        Route { exchange, key, queues }
    }

    /// Mostly small, now and then up to 64 KB.
    pub fn body(self) -> Vec<u8> {
        let mut rng = self.rng(2);
        let bits = if rng.below(50) == 0 { 16 } else { rng.below(10) };
        let size = rng.below(1 << bits) as usize;
        let mut payload = Vec::with_capacity(size + 8);
        while payload.len() < size {
            payload.extend(rng.next().to_be_bytes());
        }
        payload.truncate(size);
        let mut body = Vec::with_capacity(HEADER + size);
        body.extend(self.producer.to_be_bytes());
        body.extend(self.seq.to_be_bytes());
        body.extend(crc(&body, &payload).to_be_bytes());
        body.extend(payload);
        body
    }

    /// Property bytes: always persistent, the rest varies.
    pub fn properties(self) -> Vec<u8> {
        let mut rng = self.rng(3);
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if rng.below(2) == 0 {
            properties = properties.with_message_id(format!("{}-{}", self.producer, self.seq).into());
        }
        if rng.below(4) == 0 {
            let mut headers = FieldTable::default();
            headers.insert("seq".into(), AMQPValue::LongLongInt(self.seq as i64));
            headers.insert("word".into(), AMQPValue::LongString("w".repeat(rng.below(40) as usize).into()));
            properties = properties.with_headers(headers);
        }
        if rng.below(4) == 0 {
            properties = properties.with_content_type("application/octet-stream".into()).with_timestamp(self.seq);
        }
        encode_properties(&properties)
    }

    /// The message a delivery is; an error names what is wrong with its bytes.
    pub fn of(body: &[u8], properties: &[u8]) -> Result<Self, String> {
        let (Some(producer), Some(seq)) = (body.first_chunk(), body.get(4..).and_then(|rest| rest.first_chunk()))
        else {
            return Err(format!("body of {} bytes has no header", body.len()));
        };
        let id = Self { producer: u32::from_be_bytes(*producer), seq: u64::from_be_bytes(*seq) };
        if body.len() < HEADER || body[12..HEADER] != crc(&body[..12], &body[HEADER..]).to_be_bytes() {
            return Err(format!("body of {} bytes with a wrong checksum", body.len()));
        }
        if body != id.body() {
            return Err(format!("{id:?}: body differs from what was sent"));
        }
        if properties != id.properties() {
            return Err(format!("{id:?}: properties differ: {properties:02x?}"));
        }
        Ok(id)
    }
}

fn crc(head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

#[test]
fn bytes_are_verified() {
    let id = Id { producer: 3, seq: 77 };
    let (body, properties) = (id.body(), id.properties());
    assert_eq!(Id::of(&body, &properties), Ok(id));
    for at in 0..body.len() {
        let mut broken = body.clone();
        broken[at] ^= 1;
        assert!(Id::of(&broken, &properties).is_err(), "byte {at}");
    }
    assert!(Id::of(&body, &properties[..properties.len() - 1]).is_err());
    assert!(Id::of(&body[..10], &properties).is_err());
    assert!((0..1000).any(|seq| Id { producer: 0, seq }.body().len() > 32_768));
    assert!((0..1000).any(|seq| Id { producer: 0, seq }.route().queues == 0));
}
