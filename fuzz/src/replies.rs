//! What a client may expect of a broker's output, whatever the client sent.

use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection};
use std::collections::BTreeMap;
use warren::wire::frame::{Frame, FrameKind, PROTOCOL_HEADER, PROTOCOL_HEADER_1_0, read_frame};
use warren::wire::method::read_method;
use warren::wire::properties::{Properties, read_content_header};

/// Reads the output of one connection and panics at what no broker may send.
#[derive(Default)]
pub struct Replies {
    buffer: Vec<u8>,
    began: bool,
    /// The broker has sent connection.close: only heartbeats and close-ok may follow.
    pub closing: bool,
    /// The broker has sent connection.close-ok, or refused the protocol: nothing may follow.
    over: bool,
    channels: BTreeMap<u16, ChannelView>,
    /// Largest payload of a body frame that was agreed on; None while that is not known.
    pub body_max: Option<usize>,
    /// connection.open-ok came.
    pub opened: bool,
}

/// A channel as its client sees it.
#[derive(Default)]
struct ChannelView {
    open: bool,
    delivery_tag: u64,
    confirm_tag: u64,
    confirms: bool,
    content: Option<Content>,
}

/// What has to follow a deliver, get-ok or return.
enum Content {
    Header,
    Body(u64),
}

impl Replies {
    /// Takes output.
    pub fn feed(&mut self, bytes: &[u8]) {
        assert!(bytes.is_empty() || !self.over, "output after the last word: {bytes:?}");
        self.buffer.extend_from_slice(bytes);
        let refusals = [PROTOCOL_HEADER, PROTOCOL_HEADER_1_0];
        if !self.began && refusals.iter().any(|header| self.buffer.starts_with(*header)) {
            assert_eq!(self.buffer.len(), 8, "nothing follows the answer to a wrong protocol header");
            self.buffer.clear();
            self.over = true;
            return;
        }
        if !self.began && refusals.iter().any(|header| header.starts_with(&self.buffer)) {
            return;
        }
        self.began = true;
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some((frame, used)) = read_frame(rest, 0).expect("output is frames") {
            assert!(!self.over, "a frame after connection.close-ok: {frame:?}");
            self.frame(&frame);
            rest = &rest[used..];
        }
        self.buffer = rest.to_vec();
    }

    /// The connection has ended and everything it wrote was taken. Only a lost one may end in the middle of something.
    pub fn end(&self) {
        if !self.over {
            return;
        }
        assert!(self.buffer.is_empty(), "output ends within a frame: {:?}", self.buffer);
        for (number, view) in &self.channels {
            assert!(view.content.is_none(), "output ends within a message on channel {number}");
        }
    }

    fn frame(&mut self, frame: &Frame<'_>) {
        if frame.kind == FrameKind::Heartbeat {
            return;
        }
        assert!(!self.closing || frame.channel == 0, "a frame after connection.close: {frame:?}");
        match frame.kind {
            FrameKind::Method => {
                let class = read_method(frame.payload).unwrap_or_else(|error| panic!("{error}: {frame:?}"));
                match frame.channel {
                    0 => self.connection_method(&class),
                    channel => self.channel_method(channel, &class),
                }
            }
            FrameKind::Header | FrameKind::Body => self.content(frame),
            FrameKind::Heartbeat => {}
        }
    }

    fn connection_method(&mut self, class: &AMQPClass) {
        let AMQPClass::Connection(method) = class else { panic!("on channel 0: {class:?}") };
        match method {
            connection::AMQPMethod::CloseOk(_) => self.over = true,
            other => assert!(!self.closing, "after connection.close: {other:?}"),
        }
        match method {
            connection::AMQPMethod::Close(close) => {
                assert!(close.reply_code >= 300, "{close:?}");
                self.closing = true;
            }
            connection::AMQPMethod::OpenOk(_) => self.opened = true,
            _ => {}
        }
    }

    fn channel_method(&mut self, number: u16, class: &AMQPClass) {
        let view = self.channels.entry(number).or_default();
        assert!(view.content.is_none(), "a method within a message on channel {number}: {class:?}");
        match class {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(_)) => {
                assert!(!view.open, "channel {number} was open");
                *view = ChannelView { open: true, ..ChannelView::default() };
                return;
            }
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                view.open = false;
                return;
            }
            _ => assert!(view.open, "on channel {number}, which is not open: {class:?}"),
        }
        match class {
            AMQPClass::Channel(channel::AMQPMethod::Close(close)) => {
                assert!(close.reply_code >= 300, "{close:?}");
                view.open = false;
            }
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(_)) => view.confirms = true,
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => view.delivery(deliver.delivery_tag),
            AMQPClass::Basic(basic::AMQPMethod::GetOk(ok)) => view.delivery(ok.delivery_tag),
            AMQPClass::Basic(basic::AMQPMethod::Return(_)) => view.content = Some(Content::Header),
            AMQPClass::Basic(basic::AMQPMethod::Ack(ack)) => {
                assert!(ack.delivery_tag > view.confirm_tag, "confirmed twice: {ack:?}");
                assert!(ack.multiple || ack.delivery_tag == view.confirm_tag + 1, "a confirm is left out: {ack:?}");
                view.confirm_tag = ack.delivery_tag;
            }
            _ => {}
        }
    }

    fn content(&mut self, frame: &Frame<'_>) {
        let view = self.channels.entry(frame.channel).or_default();
        assert!(view.open, "content on a channel that is not open: {frame:?}");
        view.content = match (frame.kind, view.content.take()) {
            (FrameKind::Header, Some(Content::Header)) => {
                let header = read_content_header(frame.payload).expect("a content header");
                Properties::parse(header.properties).expect("the publisher's properties, which were checked");
                (header.body_size > 0).then_some(Content::Body(header.body_size))
            }
            (FrameKind::Body, Some(Content::Body(missing))) => {
                let length = frame.payload.len() as u64;
                assert!(length > 0 && length <= missing, "{length} of {missing} bytes");
                assert!(self.body_max.is_none_or(|max| frame.payload.len() <= max), "a body frame of {length} bytes");
                (missing > length).then_some(Content::Body(missing - length))
            }
            _ => panic!("content out of place: {frame:?}"),
        };
    }
}

impl ChannelView {
    fn delivery(&mut self, tag: u64) {
        assert_eq!(tag, self.delivery_tag + 1, "delivery tags are consecutive");
        self.delivery_tag = tag;
        self.content = Some(Content::Header);
    }
}
