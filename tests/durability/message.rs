//! The test's messages: everything in one follows from (producer, seq), so every byte that comes back can be verified.

use crate::places::{
    ALTERNATE, DEAD, DELAYED, DUE, FANOUT, GATE, GATED, LATER, ONCE, PRIORITY, Places, QUEUES, QUORUM, REFUSE, SHORT,
    SINGLE, TOPIC, TTL, only,
};
use crate::support::{AMQPValue, BasicProperties, Delivery, FieldTable, encode_properties};
use crate::world::Rng;

/// Bytes of the header in a body: producer, seq, CRC of both and the payload.
const HEADER: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    pub producer: u32,
    pub seq: u64,
}

/// Where a message is published to.
pub struct Route {
    pub exchange: &'static str,
    pub key: &'static str,
    /// The queues that it must reach; none = it must be returned.
    pub places: Places,
}

/// The producer that publishes in transactions; queues that refuse messages are not for it.
pub const TRANSACTIONS: u32 = 3;

/// Longest time that a message waits at an exchange, in milliseconds.
pub const LONGEST_DELAY: u64 = 900;

/// Deliveries of the quorum queue's messages that may fail.
pub const DELIVERY_LIMIT: i64 = 3;

impl Id {
    fn rng(self, purpose: u64) -> Rng {
        Rng::new((u64::from(self.producer) << 48) ^ self.seq ^ (purpose << 40))
    }

    pub fn route(self) -> Route {
        let or_dead = |queue: usize| Places { any: 1 << queue | 1 << DEAD, ..Places::default() };
        // Once it is due it may be doubled, as a dead letter may.
        let due = Places { any: 1 << DUE, ..Places::default() };
        let transacted = self.producer == TRANSACTIONS;
        let number = self.rng(1).below(if transacted { 21 } else { 38 });
        let number = if transacted && number >= 17 { number + 15 } else { number };
        let (exchange, key, places) = match number {
            0..5 => ("", QUEUES[0], only(&[0])),
            5..9 => ("", QUEUES[1], only(&[1])),
            9..12 => ("", QUEUES[2], only(&[2])),
            12..14 => (FANOUT, "any", only(&[0, 1, 2])),
            14 => (TOPIC, "order.7.new", only(&[1, 2])),
            15 => (TOPIC, "nobody.listens", Places::default()),
            16 => (ALTERNATE, "nobody.listens", only(&[2])),
            17..19 => ("", QUEUES[TTL], or_dead(TTL)),
            19..22 => ("", QUEUES[SHORT], or_dead(SHORT)),
            22..24 => ("", QUEUES[REFUSE], only(&[REFUSE])),
            24..26 => ("", QUEUES[PRIORITY], only(&[PRIORITY])),
            26..28 => ("", QUEUES[SINGLE], only(&[SINGLE])),
            28..32 => ("", QUEUES[QUORUM], or_dead(QUORUM)),
            32 => (DELAYED, QUEUES[DUE], due),
            33 => (LATER, QUEUES[DUE], due),
            34 | 36 => ("", QUEUES[ONCE], only(&[ONCE])),
            _ => (GATE, "any", only(&[GATED])),
        };
        Route { exchange, key, places }
    }

    /// Whether a second copy of it is a duplicate, to be dropped.
    pub fn is_once(self) -> bool {
        let Route { exchange, key, .. } = self.route();
        matches!(exchange, GATE | LATER) || key == QUEUES[ONCE]
    }

    /// Milliseconds that it waits at an exchange.
    pub fn delay(self) -> Option<u64> {
        matches!(self.route().exchange, DELAYED | LATER).then(|| self.rng(5).between(1, LONGEST_DELAY))
    }

    /// Messages of one priority keep their order.
    pub fn priority(self) -> u8 {
        self.rng(4).below(7) as u8
    }

    /// Mostly small, now and then up to 64 KB: more often where several queues share it.
    pub fn body(self) -> Vec<u8> {
        let mut rng = self.rng(2);
        let one_in = if self.route().places.copies() > 1 { 4 } else { 50 };
        let bits = if rng.below(one_in) == 0 { 16 } else { rng.below(10) };
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

    /// Property bytes.
    pub fn properties(self) -> Vec<u8> {
        encode_properties(&self.sent())
    }

    /// Properties: always persistent, the rest varies.
    fn sent(self) -> BasicProperties {
        let mut rng = self.rng(3);
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if rng.below(2) == 0 {
            properties = properties.with_message_id(format!("{}-{}", self.producer, self.seq).into());
        }
        let mut headers = FieldTable::default();
        if rng.below(4) == 0 {
            headers.insert("seq".into(), AMQPValue::LongLongInt(self.seq as i64));
            headers.insert("word".into(), AMQPValue::LongString("w".repeat(rng.below(40) as usize).into()));
        }
        if self.is_once() {
            let identity = format!("{}-{}", self.producer, self.seq);
            headers.insert("x-deduplication-header".into(), AMQPValue::LongString(identity.into()));
        }
        if let Some(delay) = self.delay() {
            headers.insert(DELAY.into(), AMQPValue::LongLongInt(delay as i64));
        }
        if !headers.inner().is_empty() {
            properties = properties.with_headers(headers);
        }
        if rng.below(4) == 0 {
            properties = properties.with_content_type("application/octet-stream".into()).with_timestamp(self.seq);
        }
        if self.route().key == QUEUES[PRIORITY] {
            properties = properties.with_priority(self.priority());
        }
        properties
    }

    /// The message that a delivery from a queue is, with what its queue adds or changes taken into account.
    pub fn delivered(queue: usize, delivery: &Delivery) -> Result<Self, String> {
        let added: &[&str] = match queue {
            QUORUM => &COUNTS,
            DEAD => &HISTORY,
            DUE => &[DELAY],
            _ => return Self::of(&delivery.body, &delivery.properties),
        };
        let (id, properties) = (Self::of_body(&delivery.body)?, delivery.parsed_properties());
        let headers = properties.headers().clone().unwrap_or_default();
        if queue == DEAD {
            check_death(id, &headers)?;
        }
        let mut own = FieldTable::default();
        let kept = headers.inner().iter().filter(|(key, _)| !added.contains(&key.as_str()));
        for (key, value) in kept {
            own.insert(key.clone(), value.clone());
        }
        let sent = id.sent();
        let waited = headers.inner().get(DELAY);
        if waited != id.delay().map(|delay| AMQPValue::LongLongInt(-(delay as i64))).as_ref() {
            return Err(format!("{id:?}: it says that it waited {waited:?}"));
        }
        let mut given = FieldTable::default();
        for (key, value) in
            sent.headers().iter().flat_map(|headers| headers.inner()).filter(|(key, _)| key.as_str() != DELAY)
        {
            given.insert(key.clone(), value.clone());
        }
        let same = own == given;
        let count = headers.inner().get("x-delivery-count");
        if !matches!(count, None | Some(AMQPValue::LongLongInt(1..=DELIVERY_LIMIT))) {
            return Err(format!("{id:?}: delivery count {count:?}"));
        }
        let sent = if headers.inner().is_empty() { sent } else { sent.with_headers(headers) };
        if same && encode_properties(&sent) == encode_properties(&properties) {
            return Ok(id);
        }
        Err(format!("{id:?}: properties differ: {properties:?}"))
    }

    /// The message a delivery is; an error names what is wrong with its bytes.
    pub fn of(body: &[u8], properties: &[u8]) -> Result<Self, String> {
        let id = Self::of_body(body)?;
        if properties != id.properties() {
            return Err(format!("{id:?}: properties differ: {properties:02x?}"));
        }
        Ok(id)
    }

    fn of_body(body: &[u8]) -> Result<Self, String> {
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
        Ok(id)
    }
}

/// How long a message is to wait; negative when it has.
const DELAY: &str = "x-delay";

/// What a delivery of a quorum queue has more than the message.
const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];

/// What a dead letter has more than the message.
const HISTORY: [&str; 7] = [
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
];

/// A dead letter must have died where it was published to, for a reason that its queue can have.
fn check_death(id: Id, headers: &FieldTable) -> Result<(), String> {
    let text = |key: &str| match headers.inner().get(key) {
        Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => format!("{other:?}"),
    };
    let (queue, reason) = (text("x-first-death-queue"), text("x-first-death-reason"));
    let reasons: &[&str] = match QUEUES.iter().position(|name| *name == queue) {
        Some(TTL) => &["expired"],
        Some(SHORT) => &["maxlen", "rejected"],
        Some(QUORUM) => &["delivery_limit", "rejected"],
        _ => &[],
    };
    let deaths =
        matches!(headers.inner().get("x-death"), Some(AMQPValue::FieldArray(deaths)) if deaths.as_slice().len() == 1);
    if queue == id.route().key && reasons.contains(&reason.as_str()) && deaths {
        return Ok(());
    }
    Err(format!("{id:?} died in '{queue}' as '{reason}': {headers:?}"))
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
    assert!((0..1000).any(|seq| Id { producer: 0, seq }.route().places.is_empty()));
}
