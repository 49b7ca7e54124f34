//! basic.get: one message on demand (compat.md 1.9).

use super::consume::counted_header;
use super::{Channel, Waiting};
use crate::amqp::error::AmqpError;
use crate::amqp::link::Link;
use crate::broker::count::Count;
use crate::broker::message::Returns;
use crate::broker::queue::Taken;
use crate::name::Name;
use crate::wire::hot::write_get_ok;
use crate::wire::output::write_content;
use amq_protocol::protocol::{AMQPClass, basic};

impl Channel {
    /// basic.get
    ///
    /// # Errors
    /// `NotFound`, `Locked`.
    pub(super) fn on_get(&mut self, link: &mut Link, get: &basic::Get) -> Result<(), AmqpError> {
        let queue = self.queue_name(&get.queue)?;
        self.get(link, queue, get.no_ack)
    }

    /// What a basic.get waited for was read from disk. True when the channel waits no more.
    ///
    /// # Errors
    /// The queue has gone meanwhile: `NotFound`.
    pub fn on_loaded(&mut self, link: &mut Link) -> Result<bool, AmqpError> {
        match self.waiting.take() {
            Some(Waiting::Message { queue, no_ack }) => {
                self.get(link, queue, no_ack).map_err(|error| error.about((60, 70)))?;
                Ok(!self.is_waiting())
            }
            other => {
                self.waiting = other;
                Ok(false)
            }
        }
    }

    fn get(&mut self, link: &mut Link, queue: Name, no_ack: bool) -> Result<(), AmqpError> {
        let (handle, taken) = link.session.get(&queue, no_ack, self.number)?;
        match taken {
            Taken::Empty => {
                self.count(&handle, &[(Count::GetEmpty, 1)]);
                self.reply(link, false, AMQPClass::Basic(basic::AMQPMethod::GetEmpty(basic::GetEmpty {})));
            }
            Taken::OnDisk => self.waiting = Some(Waiting::Message { queue, no_ack }),
            Taken::Message(run, left) => {
                let got = if no_ack { Count::GetNoAck } else { Count::Get };
                self.count(&handle, &[(got, 1), (Count::Redeliver, u64::from(run.redelivered))]);
                let tag = self.next_tag;
                self.next_tag += 1;
                if let Some(record) = run.chunk.record(run.index) {
                    if link.traced {
                        self.trace_delivery(link, handle.name(), run.redelivered, &record);
                    }
                    let (out, left) = (link.out.frames(), u32::try_from(left).unwrap_or(u32::MAX));
                    write_get_ok(out, self.number, tag, run.redelivered, record.exchange_and_key, left);
                    let counted =
                        (run.returns != Returns::default()).then(|| counted_header(record.header, run.returns));
                    let header = counted.as_deref().unwrap_or(record.header);
                    write_content(out, self.number, header, record.body, link.tuned.frame_max);
                }
                if !no_ack {
                    self.unacked.insert(tag, handle, None, run.span(), link.now.monotonic);
                    self.count_unacked();
                }
            }
        }
        Ok(())
    }
}
