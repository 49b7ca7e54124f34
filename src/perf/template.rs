//! Publish frames encoded once: method, header and body of many messages back to back, all of one length.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, GenError, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};

/// Wanted size of a template in bytes: one write's worth.
const TEMPLATE_BYTES: usize = 256 * 1024;

/// The content class `basic`.
const BASIC: u16 = 60;

/// The publishes of one round over a publisher's queues, repeated to about [`TEMPLATE_BYTES`].
pub(super) struct Template {
    bytes: Vec<u8>,
    message_len: usize,
    /// Where in a message its body begins; `None` if it is too short for a time.
    stamp_at: Option<usize>,
}

impl Template {
    pub(super) fn new(queues: &[String], size: usize, persistent: bool, frame_max: u32) -> Result<Self, String> {
        let mut round = Vec::new();
        let mut body_at = 0;
        for queue in queues {
            let start = round.len();
            body_at = encode_message(&mut round, queue, size, persistent, frame_max)? - start;
        }
        let message_len = round.len() / queues.len().max(1);
        if message_len == 0 {
            return Err("no queue to publish to".to_owned());
        }
        let rounds = (TEMPLATE_BYTES / round.len()).max(1);
        Ok(Self { bytes: round.repeat(rounds), message_len, stamp_at: (size >= 8).then_some(body_at) })
    }

    /// Messages in the template.
    pub(super) fn messages(&self) -> u64 {
        (self.bytes.len() / self.message_len) as u64
    }

    /// Frames of up to `count` messages beginning with the one at `first` (modulo the template), and how many they are.
    pub(super) fn slice(&self, first: u64, count: u64) -> (&[u8], u64) {
        let first = first % self.messages();
        let count = count.min(self.messages() - first);
        let start = first as usize * self.message_len;
        let end = start + count as usize * self.message_len;
        (self.bytes.get(start..end).unwrap_or_default(), count)
    }

    /// Writes a time into the first eight bytes of a message's body, if it has as many.
    pub(super) fn stamp(&mut self, message: u64, time: u64) {
        let Some(stamp_at) = self.stamp_at else { return };
        let at = (message % self.messages()) as usize * self.message_len + stamp_at;
        if let Some(room) = self.bytes.get_mut(at..at + 8) {
            room.copy_from_slice(&time.to_be_bytes());
        }
    }
}

/// Appends one message's frames; gives the place of its body's first byte.
fn encode_message(
    out: &mut Vec<u8>,
    queue: &str,
    size: usize,
    persistent: bool,
    frame_max: u32,
) -> Result<usize, String> {
    let publish = basic::Publish { routing_key: queue.into(), ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(if persistent { 2 } else { 1 });
    let header = AMQPContentHeader { class_id: BASIC, body_size: size as u64, properties };
    append(out, &AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))))?;
    append(out, &AMQPFrame::Header(1, header))?;
    // A body frame's payload begins behind seven bytes of frame header.
    let body_at = out.len() + 7;
    let body = vec![0; size];
    for part in body.chunks(frame_max as usize - crate::limits::FRAME_OVERHEAD) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::frame::parse_frame;

    fn bodies(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        while !bytes.is_empty() {
            let (rest, frame) = parse_frame(bytes).unwrap();
            bytes = rest;
            match frame {
                AMQPFrame::Method(_, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))) => {
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
        let queues = ["q.0".to_owned(), "q.1".to_owned()];
        let mut template = Template::new(&queues, 10_000, true, 4096).unwrap();
        template.stamp(3, 0x0102_0304_0506_0708);
        let (bytes, count) = template.slice(1, 3);
        let found = bodies(bytes);
        assert_eq!(count, 3);
        assert_eq!(found.iter().map(|(queue, _)| queue.as_str()).collect::<Vec<_>>(), ["q.1", "q.0", "q.1"]);
        assert!(found.iter().all(|(_, body)| body.len() == 10_000));
        assert_eq!(found[2].1[..9], [1, 2, 3, 4, 5, 6, 7, 8, 0]);
        assert_eq!(found[1].1[..8], [0; 8]);
    }

    #[test]
    fn a_slice_ends_with_the_template() {
        let template = Template::new(&["q".to_owned()], 0, true, 131_072).unwrap();
        let all = template.messages();
        assert_eq!(template.slice(all * 7 + all - 1, 10).1, 1);
        assert_eq!(bodies(template.slice(0, u64::MAX).0).len() as u64, all);
    }
}
