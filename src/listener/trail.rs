//! What is told of a connection when it is over, to whoever collects traces.

use crate::amqp::Connection;
use crate::clock::Now;
use crate::span::{Begun, Spans};

/// A connection's span.
pub(super) struct Trail {
    spans: Spans,
    span: Option<Box<Begun>>,
    stage: Stage,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Accepted,
    LoggedIn,
    Opened,
}

impl Trail {
    /// Of a connection that was accepted at that time; None where nobody collects.
    pub fn begin(spans: &Spans, accepted: Now) -> Option<Box<Trail>> {
        let span = spans.begin("AMQP connection", true, accepted)?;
        Some(Box::new(Trail { spans: spans.clone(), span: Some(span), stage: Stage::Accepted }))
    }

    /// Notes how far the connection has come. It is looked at after each of its turns.
    pub fn look(&mut self, connection: &Connection) {
        if self.stage == Stage::Opened {
            return;
        }
        let Some(span) = &mut self.span else { return };
        if self.stage == Stage::Accepted && connection.is_logged_in() {
            span.note("logged in", Now::read());
            self.stage = Stage::LoggedIn;
        }
        if let Some(session) = connection.session() {
            span.note("opened", Now::read());
            span.know("vhost", session.vhost().as_str());
            span.know("user", session.identity().user.as_str());
            self.stage = Stage::Opened;
        }
    }

    /// The connection is over.
    pub fn end(mut self, connection: &Connection) {
        if let Some(span) = &mut self.span {
            span.know("connection", connection.name().as_str());
            if let Some(why) = connection.fault() {
                span.fail(why);
            }
        }
        self.spans.end(self.span, Now::read());
    }
}
