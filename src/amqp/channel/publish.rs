//! basic.publish: checks in RabbitMQ's order (compat.md 1.9), the route, and on into the turn's batch.

use super::Channel;
use super::address::{Address, is_special};
use super::confirms::Confirms;
use super::repeat::Whole;
use crate::amqp::content::{Due, Progress, whole};
use crate::amqp::error::{AmqpError, Code};
use crate::amqp::link::Link;
use crate::broker::count::{Count, Publishes, Throughput};
use crate::broker::queue::QueueKind;
use crate::engine::{ChannelRecord, Pairs, PublishTag, QueueHandle, Route};
use crate::limits::BODY_SIZE_CEILING;
use crate::name::Name;
use crate::value::Reader;
use crate::wire::WireError;
use crate::wire::hot::{text, write_return};
use crate::wire::output::write_content;
use crate::wire::properties::{ContentHeader, PERSISTENT, Properties, read_content_header};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Class and method of basic.publish, for errors that its content causes.
pub(in crate::amqp) const PUBLISH: (u16, u16) = (60, 40);

/// Longest `expiration`, in milliseconds: 10 years (compat.md 0.16).
const EXPIRATION_MAX: u64 = 315_360_000_000;

/// The tag of users whose messages may name another user.
const IMPERSONATOR: &str = "impersonator";

/// What the method frame of a publish says.
#[derive(Clone, Copy, Debug)]
pub(in crate::amqp) struct Publish<'a> {
    pub exchange_and_key: &'a [u8],
    pub mandatory: bool,
    pub immediate: bool,
}

/// What the properties of an accepted message say to the broker.
#[derive(Debug)]
pub(super) struct Admitted {
    pub persistent: bool,
    pub priority: u8,
    pub deadline_ms: u64,
    /// The content header to keep, where it is not the publisher's.
    pub(super) header: Option<Vec<u8>>,
    /// A property says something about who publishes, or where else the message goes.
    pub(super) special: bool,
}

/// The last route of a channel.
#[derive(Debug)]
pub(super) struct RouteCache {
    record: Arc<ChannelRecord>,
    exchanges: Pairs<Throughput>,
    exchange_and_key: Vec<u8>,
    version: u64,
    /// None while the virtual host is traced: then it is `traced`, so that the others pay nothing.
    route: Option<Route>,
    traced: Option<Route>,
    /// The routing keys of CC and BCC, while it is traced.
    more: Vec<Vec<u8>>,
    /// The route depends on nothing else and not on chance: it is good for every message with the same exchange and key.
    reusable: bool,
    /// Messages that went this way since they were last counted.
    messages: u64,
    /// How many of them found no queue and go back.
    returned: u64,
    counted: Counted,
    /// The channel is on the list of those that have something to count.
    listed: bool,
}

/// What was published since it was last counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub messages: u64,
    /// Once for each queue.
    pub handed_on: u64,
    /// Of those that found no queue, how many were not returned.
    pub dropped: u64,
    pub sizes: Publishes,
}

impl Channel {
    /// A publish came, in a frame of `length` bytes at the beginning of `frames`. Returns how many it used: all the message's
    /// frames if they are there, else the first.
    ///
    /// # Errors
    /// As compat.md 1.9.
    #[inline]
    pub fn on_publish(
        &mut self,
        link: &mut Link,
        publish: Publish<'_>,
        (frames, length): (&[u8], usize),
    ) -> Result<usize, AmqpError> {
        let Publish { exchange_and_key, mandatory, immediate } = publish;
        if immediate {
            return Err(AmqpError::new(Code::NotImplemented, "immediate=true"));
        }
        let rest = frames.get(length..).unwrap_or_default();
        let Some((payload, header, body, used)) = whole(rest, self.number, link.tuned.read_max) else {
            self.assembly.begin(exchange_and_key, mandatory);
            return Ok(length);
        };
        let admitted = self.admit(link, exchange_and_key, payload, &header)?;
        if admitted.is_plain() {
            let Admitted { persistent, priority, .. } = admitted;
            let (names, header, body_size) = (exchange_and_key.len(), payload.len(), body.len());
            self.remember(link, frames, Whole { method: length, names, header, body_size, persistent, priority });
        }
        self.complete(link, exchange_and_key, mandatory, payload, body, admitted)?;
        Ok(length + used)
    }

    /// The content header of a publish came.
    ///
    /// # Errors
    /// As compat.md 1.9.
    pub fn on_header(&mut self, link: &mut Link, payload: &[u8]) -> Result<(), AmqpError> {
        let header = read_content_header(payload)?;
        let exchange_and_key = std::mem::take(&mut self.assembly.exchange_and_key);
        let admitted = self.admit(link, &exchange_and_key, payload, &header);
        self.assembly.exchange_and_key = exchange_and_key;
        let admitted = admitted?;
        self.assembly.header(payload, header.body_size);
        if self.assembly.due() == Due::Method {
            let completed = self.complete_assembled(link, &[], admitted);
            self.assembly.recycle(Vec::new());
            return completed;
        }
        link.keep(payload.len())
    }

    /// A body frame of a publish came.
    ///
    /// # Errors
    /// It is more than the header announced; or the exchange has gone meanwhile.
    pub fn on_body(&mut self, link: &mut Link, payload: &[u8]) -> Result<(), AmqpError> {
        let held = self.assembly.held();
        match self.assembly.body(payload) {
            Progress::Incomplete => link.keep(payload.len()),
            Progress::Overrun => Err(WireError::BodyOverrun.into()),
            Progress::Whole => {
                link.unkeep(held);
                let finished = self.finish(link, payload);
                self.assembly.recycle(Vec::new());
                finished
            }
            Progress::Assembled => {
                link.unkeep(held);
                let body = self.assembly.take_body();
                let finished = self.finish(link, &body);
                self.assembly.recycle(body);
                finished
            }
        }
    }

    /// The body is complete: admitted again, because the topology may have changed while it came.
    fn finish(&mut self, link: &mut Link, body: &[u8]) -> Result<(), AmqpError> {
        let header = std::mem::take(&mut self.assembly.header);
        let exchange_and_key = std::mem::take(&mut self.assembly.exchange_and_key);
        let admitted = read_content_header(&header)
            .map_err(AmqpError::from)
            .and_then(|parsed| self.admit(link, &exchange_and_key, &header, &parsed));
        (self.assembly.header, self.assembly.exchange_and_key) = (header, exchange_and_key);
        self.complete_assembled(link, body, admitted?)
    }

    fn complete_assembled(&mut self, link: &mut Link, body: &[u8], admitted: Admitted) -> Result<(), AmqpError> {
        let header = std::mem::take(&mut self.assembly.header);
        let exchange_and_key = std::mem::take(&mut self.assembly.exchange_and_key);
        let completed = self.complete(link, &exchange_and_key, self.assembly.mandatory, &header, body, admitted);
        (self.assembly.header, self.assembly.exchange_and_key) = (header, exchange_and_key);
        completed
    }

    /// All checks of a message but those on its body; leaves its route in the cache.
    #[inline]
    fn admit(
        &mut self,
        link: &mut Link,
        exchange_and_key: &[u8],
        payload: &[u8],
        header: &ContentHeader<'_>,
    ) -> Result<Admitted, AmqpError> {
        if header.body_size > link.settings.max_message_size {
            return Err(too_large(header.body_size, link.settings.max_message_size));
        }
        let properties = Properties::parse(header.properties);
        let mut unjudged = self.route.find(link, exchange_and_key, payload)?;
        let properties = properties?;
        let special = is_special(&properties);
        if special {
            self.check_replies(&properties)?;
        }
        let deadline_ms = match properties.expiration() {
            None => 0,
            Some(expiration) => link.now.wall_ms.saturating_add(milliseconds(expiration)?).max(1),
        };
        let (mut kept, mut more) = (None, Vec::new());
        if special {
            let Address { keys, header } = self.address(payload)?;
            unjudged |= !keys.is_empty();
            (kept, more) = (header, keys);
        }
        if unjudged {
            self.route.judge(link, exchange_and_key, &more, payload)?;
        }
        let stamped = link.settings.stamps.is_some();
        if stamped {
            kept = stamp(link, payload, kept);
        }
        let user = properties.user_id();
        if let Some(user) = user
            && user != link.session.identity().user.as_str().as_bytes()
            && !link.session.identity().has_tag(IMPERSONATOR)
        {
            let (given, real) = (String::from_utf8_lossy(user), &link.session.identity().user);
            let explanation = format!("user_id property set to '{given}' but authenticated user was '{real}'");
            return Err(AmqpError::new(Code::PreconditionFailed, explanation));
        }
        Ok(Admitted {
            persistent: properties.delivery_mode() == Some(PERSISTENT),
            priority: properties.priority().unwrap_or(0),
            deadline_ms,
            header: kept,
            special: special || stamped || user.is_some(),
        })
    }

    /// A message is complete and admitted. A return is written here and its confirm at the end of the turn, so that the
    /// return precedes the confirm.
    #[inline]
    fn complete(
        &mut self,
        link: &mut Link,
        exchange_and_key: &[u8],
        mandatory: bool,
        header: &[u8],
        body: &[u8],
        mut admitted: Admitted,
    ) -> Result<(), AmqpError> {
        let Some(route) = &self.route.route else {
            return self.complete_traced(link, exchange_and_key, mandatory, (header, body), admitted);
        };
        self.route.messages += 1;
        self.route.counted.sizes.add(1, body.len() as u64, self.confirms.is_some());
        if !self.route.listed {
            self.route.listed = true;
            link.counting.push(self.number);
        }
        link.has_published = true;
        let kept = admitted.header.take();
        let header = kept.as_deref().unwrap_or(header);
        let comes_back = mandatory && route.is_empty();
        self.route.returned += u64::from(comes_back);
        if let Some(transaction) = &mut self.transaction {
            self.record.gauges.uncommitted.fetch_add(1, Ordering::Relaxed);
            return transaction.publish(route, exchange_and_key, mandatory, (header, body), admitted);
        }
        let tag = tag_of_next(&mut self.confirms, self.number, link);
        if comes_back {
            self.record.count(QueueKind::Classic, Count::ReturnUnroutable, 1);
            write_return(link.out.frames(), self.number, 312, "NO_ROUTE", exchange_and_key);
            write_content(link.out.frames(), self.number, header, body, link.tuned.frame_max);
        }
        if route.is_idle() {
            return Ok(());
        }
        let parts = admitted.parts(exchange_and_key, header, body);
        link.batch.push(link.session.broker(), route, &parts, tag);
        Ok(())
    }
}

impl Channel {
    /// As [`Channel::complete`], with a copy for the firehose before.
    #[cold]
    fn complete_traced(
        &mut self,
        link: &mut Link,
        exchange_and_key: &[u8],
        mandatory: bool,
        (header, body): (&[u8], &[u8]),
        admitted: Admitted,
    ) -> Result<(), AmqpError> {
        let Some(route) = self.route.traced.take() else { return Ok(()) };
        let kept = admitted.header.as_deref().unwrap_or(header);
        self.trace_publish(link, &route, &self.route.more, exchange_and_key, (kept, body));
        self.route.route = Some(route);
        let completed = self.complete(link, exchange_and_key, mandatory, header, body, admitted);
        self.route.traced = self.route.route.take();
        completed
    }
}

impl RouteCache {
    /// Without a route. What is published is counted in the channel's record.
    pub(super) fn new(record: Arc<ChannelRecord>) -> RouteCache {
        RouteCache {
            record,
            exchanges: Pairs::default(),
            exchange_and_key: Vec::new(),
            version: 0,
            route: None,
            traced: None,
            more: Vec::new(),
            reusable: false,
            messages: 0,
            returned: 0,
            counted: Counted::default(),
            listed: false,
        }
    }

    /// The queue that is all of the route for these names, if that is what is kept.
    #[inline]
    pub(super) fn only_queue(&self, exchange_and_key: &[u8], version: u64) -> Option<&Arc<QueueHandle>> {
        let fits = self.reusable && self.version == version && self.exchange_and_key == exchange_and_key;
        self.route.as_ref().filter(|_| fits)?.only_queue()
    }

    /// So many messages of one size went the way that is kept.
    pub(super) fn count_repeats(
        &mut self,
        link: &mut Link,
        channel: u16,
        (count, size): (u64, u64),
        confirmable: bool,
    ) {
        self.messages += count;
        self.counted.sizes.add(count, size, confirmable);
        if !self.listed {
            self.listed = true;
            link.counting.push(channel);
        }
        link.has_published = true;
    }

    /// Counts what went the way that is kept.
    fn count(&mut self, link: &Link) {
        let (messages, returned) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.returned));
        if messages == 0 {
            return;
        }
        let Some(route) = self.route.as_ref().or(self.traced.as_ref()) else { return };
        let dropped = if route.is_empty() { messages.saturating_sub(returned) } else { 0 };
        self.counted.messages += messages;
        self.counted.handed_on += route.count(link.session.broker(), messages, returned);
        self.counted.dropped += dropped;
        let Some(exchange) = route.source() else { return };
        let name = || names(&self.exchange_and_key).ok().and_then(|(name, _)| Name::new(name)).unwrap_or_default();
        let done = [(Count::Publish, messages), (Count::ReturnUnroutable, returned), (Count::DropUnroutable, dropped)];
        self.exchanges.count(&self.record.exchanges, exchange, name, &done);
    }

    /// Takes what is counted; the channel is to be listed again with its next publish.
    pub(super) fn take_count(&mut self, link: &Link) -> Counted {
        self.count(link);
        self.listed = false;
        std::mem::take(&mut self.counted)
    }

    /// Keeps a route that was found.
    fn keep(&mut self, link: &Link, route: Route, more: &[Vec<u8>]) {
        if link.session.is_traced() {
            (self.route, self.traced, self.more) = (None, Some(route), more.to_vec());
        } else {
            (self.route, self.traced) = (Some(route), None);
        }
    }

    /// Finds the route of a message; a steady publisher pays one comparison. True when its keys are to be
    /// [judged](RouteCache::judge), after the message's properties.
    #[inline]
    fn find(&mut self, link: &Link, exchange_and_key: &[u8], payload: &[u8]) -> Result<bool, AmqpError> {
        let version = link.session.topology_version();
        if self.reusable && self.version == version && self.exchange_and_key == exchange_and_key {
            return Ok(false);
        }
        self.look_up(link, exchange_and_key, payload, version)
    }

    fn look_up(
        &mut self,
        link: &Link,
        exchange_and_key: &[u8],
        payload: &[u8],
        version: u64,
    ) -> Result<bool, AmqpError> {
        self.reusable = false;
        self.count(link);
        (self.route, self.traced) = (None, None);
        let (exchange, key) = names(exchange_and_key)?;
        let route = link.session.route(exchange, text(key)?.as_bytes(), payload)?;
        self.exchange_and_key.clear();
        self.exchange_and_key.extend_from_slice(exchange_and_key);
        self.version = version;
        self.reusable = route.lasts();
        let is_topic = route.is_topic();
        self.keep(link, route, &[]);
        Ok(is_topic)
    }

    /// Asks whether the client may publish under all keys of a message whose route was looked up. One with `more` keys than
    /// its own has another route, which is good for this message only.
    fn judge(
        &mut self,
        link: &Link,
        exchange_and_key: &[u8],
        more: &[Vec<u8>],
        payload: &[u8],
    ) -> Result<(), AmqpError> {
        let (exchange, key) = names(exchange_and_key)?;
        let keys: SmallVec<[&[u8]; 4]> = std::iter::once(key).chain(more.iter().map(Vec::as_slice)).collect();
        link.session.authorize_keys(exchange, &keys)?;
        if !more.is_empty() {
            let route = link.session.route_keys(exchange, &keys, payload)?;
            self.count(link);
            self.keep(link, route, more);
            self.reusable = false;
        }
        Ok(())
    }
}

/// The exchange and the routing key of a publish, as far as they are text.
fn names(exchange_and_key: &[u8]) -> Result<(&str, &[u8]), AmqpError> {
    let mut names = Reader::new(exchange_and_key);
    match (names.short_string(), names.short_string()) {
        (Some(exchange), Some(key)) => Ok((text(exchange)?, key)),
        _ => Err(AmqpError::new(Code::SyntaxError, "malformed names")),
    }
}

/// Numbers a channel's next publish; None when it confirms none.
#[inline]
pub(super) fn tag_of_next(confirms: &mut Option<Confirms>, channel: u16, link: &mut Link) -> Option<PublishTag> {
    let (sequence, first) = confirms.as_mut()?.published();
    if first {
        link.publishers.push(channel);
    }
    Some(PublishTag { channel, sequence })
}

/// What is written into a message that has come in: then its frames do not say all of it.
#[cold]
fn stamp(link: &Link, payload: &[u8], kept: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let stamps = link.settings.stamps.as_ref()?;
    stamps.write(kept.as_deref().unwrap_or(payload), link.now.wall_ms).or(kept)
}

#[cold]
fn too_large(size: u64, max: u64) -> AmqpError {
    if size > BODY_SIZE_CEILING {
        return WireError::BodyTooLarge { size, max: BODY_SIZE_CEILING }.into();
    }
    let word = if max == BODY_SIZE_CEILING { "" } else { "configured " };
    AmqpError::new(Code::PreconditionFailed, format_args!("message size {size} is larger than {word}max size {max}"))
}

/// Reads `expiration` as Erlang's `string:to_integer` does; the texts are RabbitMQ's.
fn milliseconds(expiration: &[u8]) -> Result<u64, AmqpError> {
    let given = String::from_utf8_lossy(expiration);
    let invalid = |reason: String| {
        Err(AmqpError::new(Code::PreconditionFailed, format_args!("invalid expiration '{given}': {reason}")))
    };
    let unsigned = given.strip_prefix(['-', '+']).unwrap_or(&given);
    let digits = unsigned.trim_start_matches(|c: char| c.is_ascii_digit());
    let (number, leftover) = unsigned.split_at(unsigned.len() - digits.len());
    if number.is_empty() {
        return invalid("no_integer".to_owned());
    }
    if !leftover.is_empty() {
        return invalid(format!("{{leftover_string,{leftover:?}}}"));
    }
    let significant = number.trim_start_matches('0');
    let significant = if significant.is_empty() { "0" } else { significant };
    if given.starts_with('-') && significant != "0" {
        return invalid(format!("{{value_negative,-{significant}}}"));
    }
    match significant.parse::<u64>() {
        Ok(milliseconds) if milliseconds <= EXPIRATION_MAX => Ok(milliseconds),
        _ => invalid(format!("{{value_too_big,{significant}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations() {
        for (text, milliseconds_) in [("0", 0), ("60000", 60_000), ("+5", 5), ("-0", 0), ("007", 7)] {
            assert_eq!(milliseconds(text.as_bytes()).unwrap(), milliseconds_, "{text}");
        }
        for (text, reason) in [
            ("abc", "no_integer"),
            ("", "no_integer"),
            ("-", "no_integer"),
            ("10s", "{leftover_string,\"s\"}"),
            ("1.5", "{leftover_string,\".5\"}"),
            ("-20", "{value_negative,-20}"),
            ("315360000001", "{value_too_big,315360000001}"),
            ("99999999999999999999999", "{value_too_big,99999999999999999999999}"),
        ] {
            let error = milliseconds(text.as_bytes()).unwrap_err();
            assert_eq!(error.text(), format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}"));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(
            too_large(20, 16).text(),
            "PRECONDITION_FAILED - message size 20 is larger than configured max size 16"
        );
        assert_eq!(
            too_large(BODY_SIZE_CEILING + 1, BODY_SIZE_CEILING).text(),
            "FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912"
        );
    }
}
