//! Publish frames encoded once: method, header and body of many messages back to back.

use super::plan::Address;
use super::verify::{Mark, filler};
use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, GenError, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use std::ops::Range;

/// Wanted size of a template in bytes: one write's worth.
const TEMPLATE_BYTES: usize = 256 * 1024;

/// The content class `basic`.
const BASIC: u16 = 60;

/// The publishes of one round over a publisher's addresses, repeated to about [`TEMPLATE_BYTES`].
pub(super) struct Template {
    bytes: Vec<u8>,
    /// Where each message begins, and at last where the last one ends.
    starts: Vec<usize>,
    /// Where in a message its body begins; bodies shorter than their first frame are whole there.
    bodies: Vec<usize>,
    first_part: usize,
}

impl Template {
    pub(super) fn new(to: &[Address], size: usize, persistent: bool, frame_max: u32) -> Result<Self, String> {
        let part = frame_max as usize - crate::limits::FRAME_OVERHEAD;
        let body = filler(size);
        let (mut round, mut starts, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        for address in to {
            starts.push(round.len());
            bodies.push(encode_message(&mut round, address, &body, persistent, part)?);
        }
        if round.is_empty() {
            return Err("no queue to publish to".to_owned());
        }
        let rounds = (TEMPLATE_BYTES / round.len()).max(1);
        let length = round.len();
        let again = |places: &[usize]| -> Vec<usize> {
            (0..rounds).flat_map(|turn| places.iter().map(move |place| turn * length + place)).collect()
        };
        let (mut starts, bodies) = (again(&starts), again(&bodies));
        starts.push(rounds * length);
        Ok(Self { bytes: round.repeat(rounds), starts, bodies, first_part: size.min(part) })
    }

    /// Messages in the template.
    pub(super) fn messages(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Where the frames of up to `count` messages are, beginning with the one at `first` (modulo the template) and ending
    /// at the latest with the template, and how many they are.
    pub(super) fn range(&self, first: u64, count: u64) -> (Range<usize>, u64) {
        let first = first % self.messages();
        let count = count.min(self.messages() - first);
        let start = self.starts.get(first as usize).copied().unwrap_or(0);
        let end = self.starts.get((first + count) as usize).copied().unwrap_or(start);
        (start..end, count)
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Writes a mark into a message's body.
    pub(super) fn mark(&mut self, message: u64, mark: &Mark) {
        let slot = (message % self.messages()) as usize;
        let at = self.bodies.get(slot).copied().unwrap_or(self.bytes.len());
        if let Some(body) = self.bytes.get_mut(at..at + self.first_part) {
            mark.write(body);
        }
    }
}

/// Appends one message's frames; gives the place of its body's first byte.
fn encode_message(
    out: &mut Vec<u8>,
    to: &Address,
    body: &[u8],
    persistent: bool,
    part: usize,
) -> Result<usize, String> {
    let publish = basic::Publish {
        exchange: to.exchange.as_str().into(),
        routing_key: to.key.as_str().into(),
        ..Default::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(if persistent { 2 } else { 1 });
    let header = AMQPContentHeader { class_id: BASIC, body_size: body.len() as u64, properties };
    append(out, &AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))))?;
    append(out, &AMQPFrame::Header(1, header))?;
    // A body frame's payload begins behind seven bytes of frame header.
    let body_at = out.len() + 7;
    for part in body.chunks(part) {
        append(out, &AMQPFrame::Body(1, part.to_vec()))?;
    }
    Ok(body_at)
}

/// Appends a frame's bytes.
pub(super) fn append(out: &mut Vec<u8>, frame: &AMQPFrame) -> Result<(), String> {
    let bytes: Result<WriteContext<Vec<u8>>, GenError> = gen_frame(frame)(WriteContext::from(Vec::new()));
    let bytes = bytes.map_err(|error| format!("encode frame: {error:?}"))?;
    out.extend_from_slice(&bytes.into_inner().0);
    Ok(())
}

/// Appends a method frame.
pub(super) fn append_method(out: &mut Vec<u8>, channel: u16, method: AMQPClass) -> Result<(), String> {
    append(out, &AMQPFrame::Method(channel, method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::frame::parse_frame;

    fn address(key: &str) -> Address {
        Address { exchange: "x".to_owned(), key: key.to_owned() }
    }

    fn published(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        while !bytes.is_empty() {
            let (rest, frame) = parse_frame(bytes).unwrap();
            bytes = rest;
            match frame {
                AMQPFrame::Method(_, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))) => {
                    assert_eq!(publish.exchange.as_str(), "x");
                    found.push((publish.routing_key.to_string(), Vec::new()));
                }
                AMQPFrame::Body(_, body) => found.last_mut().unwrap().1.extend(body),
                AMQPFrame::Header(_, header) => assert_eq!(header.properties.delivery_mode(), &Some(2)),
                other => panic!("{other:?}"),
            }
        }
        found
    }

    #[test]
    fn messages_are_whole_and_take_turns() {
        let mut template = Template::new(&[address("a"), address("longer")], 10_000, true, 4096).unwrap();
        template.mark(3, &Mark { due: 0x0102_0304_0506_0708, number: 3, publisher: 0 });
        let (range, count) = template.range(1, 3);
        let found = published(template.bytes(range));
        assert_eq!(count, 3);
        assert_eq!(found.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["longer", "a", "longer"]);
        assert!(found.iter().all(|(_, body)| body.len() == 10_000));
        assert_eq!(found[2].1[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(found[1].1, filler(10_000));
        assert_eq!(found[2].1[24..], filler(10_000)[24..]);
    }

    #[test]
    fn a_range_ends_with_the_template() {
        let template = Template::new(&[address("a")], 0, true, 131_072).unwrap();
        let all = template.messages();
        assert_eq!(template.range(all * 7 + all - 1, 10).1, 1);
        let (range, _) = template.range(0, u64::MAX);
        assert_eq!(published(template.bytes(range)).len() as u64, all);
    }
}
