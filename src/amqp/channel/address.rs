//! What a message's properties add to its address: CC and BCC, and a reply-to that stands for this channel (compat.md 2.2).

use super::Channel;
use crate::amqp::error::{AmqpError, Code};
use crate::broker::content::Content;
use crate::engine::REPLY_TO;
use crate::value::{Table, Value};
use crate::wire::properties::Properties;

/// More keys, and the content header as it is kept, where it is another than the publisher's.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Those of CC and BCC.
    pub keys: Vec<Vec<u8>>,
    pub header: Option<Vec<u8>>,
}

/// Whether the properties may say something that [`Channel::address`] has to look for.
#[inline]
pub(super) fn is_special(properties: &Properties<'_>) -> bool {
    let copies = properties.headers().is_some_and(|headers| headers.windows(2).any(|two| two == b"CC"));
    copies || properties.reply_to() == Some(REPLY_TO.as_bytes())
}

impl Channel {
    /// A message that asks for direct replies needs a consumer of them on this channel: looked at before its other properties.
    ///
    /// # Errors
    /// There is none.
    #[cold]
    pub(super) fn check_replies(&self, properties: &Properties<'_>) -> Result<(), AmqpError> {
        let asks = properties.reply_to() == Some(REPLY_TO.as_bytes());
        if asks && self.consumers.replies().is_none() {
            return Err(refused("fast reply consumer does not exist"));
        }
        Ok(())
    }

    /// Reads CC, BCC and reply-to of a message.
    ///
    /// # Errors
    /// A CC or BCC that is no list.
    #[cold]
    pub(super) fn address(&self, payload: &[u8]) -> Result<Address, AmqpError> {
        let mut address = Address::default();
        let Some(content) = Content::parse(payload) else { return Ok(address) };
        let mut replies = None;
        if content.reply_to() == Some(REPLY_TO.as_bytes()) {
            replies = self.consumers.replies().map(|target| target.name().clone());
        }
        for key in ["CC", "BCC"] {
            match content.header(key) {
                None => {}
                Some(Value::Array(keys)) => {
                    address.keys.extend(keys.iter().filter_map(Value::as_long_string).map(<[u8]>::to_vec));
                }
                Some(other) => {
                    let kind = other.type_name();
                    return Err(refused(format_args!(
                        "invalid message: {{unacceptable_type_in_header,\"{key}\",{kind}}}"
                    )));
                }
            }
        }
        if let Some(name) = replies {
            address.header = content.with_reply_to(name.as_str().as_bytes());
        }
        if content.header("BCC").is_some() {
            let payload = address.header.as_deref().unwrap_or(payload);
            let content = Content::parse(payload);
            let blind = content.and_then(|content| content.rewrite(|key| key != b"BCC", &Table::new(), true));
            address.header = blind.or(address.header.take());
        }
        Ok(address)
    }
}

fn refused(explanation: impl std::fmt::Display) -> AmqpError {
    AmqpError::new(Code::PreconditionFailed, explanation)
}
