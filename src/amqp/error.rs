//! What ends a channel or a connection: one error type, whose scope one table decides (compat.md 1.4).

use crate::broker::refusal::{Refusal, RefusalKind};
use crate::limits::SHORT_STRING_MAX;
use crate::wire::WireError;
use amq_protocol::types::ShortString;

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The channel it happened on; the connection if that is channel 0.
    Channel,
    /// The connection.
    Connection,
}

/// AMQP reply codes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Code {
    ConnectionForced = 320,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

impl Code {
    /// Name and scope: the one table.
    fn row(self) -> (&'static str, Scope) {
        match self {
            Code::ConnectionForced => ("CONNECTION_FORCED", Scope::Connection),
            Code::AccessRefused => ("ACCESS_REFUSED", Scope::Channel),
            Code::NotFound => ("NOT_FOUND", Scope::Channel),
            Code::ResourceLocked => ("RESOURCE_LOCKED", Scope::Channel),
            Code::PreconditionFailed => ("PRECONDITION_FAILED", Scope::Channel),
            Code::FrameError => ("FRAME_ERROR", Scope::Connection),
            Code::SyntaxError => ("SYNTAX_ERROR", Scope::Connection),
            Code::CommandInvalid => ("COMMAND_INVALID", Scope::Connection),
            Code::ChannelError => ("CHANNEL_ERROR", Scope::Connection),
            Code::UnexpectedFrame => ("UNEXPECTED_FRAME", Scope::Connection),
            Code::ResourceError => ("RESOURCE_ERROR", Scope::Connection),
            Code::NotAllowed => ("NOT_ALLOWED", Scope::Connection),
            Code::NotImplemented => ("NOT_IMPLEMENTED", Scope::Connection),
            Code::InternalError => ("INTERNAL_ERROR", Scope::Connection),
        }
    }

    /// What an error of this code ends.
    pub fn scope(self) -> Scope {
        self.row().1
    }

    fn of_wire(error: &WireError) -> Code {
        match error.code() {
            501 => Code::FrameError,
            502 => Code::SyntaxError,
            503 => Code::CommandInvalid,
            505 => Code::UnexpectedFrame,
            _ => Code::InternalError,
        }
    }

    fn of_refusal(refusal: &Refusal) -> Code {
        match refusal.kind() {
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::NotAllowed => Code::NotAllowed,
            RefusalKind::Locked => Code::ResourceLocked,
            RefusalKind::Refused => Code::AccessRefused,
            RefusalKind::Unfit => Code::PreconditionFailed,
            RefusalKind::NotImplemented => Code::NotImplemented,
            RefusalKind::Unavailable => Code::InternalError,
        }
    }
}

/// An error as `channel.close` or `connection.close` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpError {
    code: Code,
    text: String,
    method: (u16, u16),
    /// The frame boundaries are lost: nothing that follows can be read.
    out_of_sync: bool,
}

impl AmqpError {
    /// An error with its explanation; the code's name is put before it, and all of it is cut to a short string.
    pub fn new(code: Code, explanation: impl std::fmt::Display) -> AmqpError {
        let mut text = format!("{} - {explanation}", code.row().0);
        text.truncate(text.floor_char_boundary(SHORT_STRING_MAX));
        AmqpError { code, text, method: (0, 0), out_of_sync: false }
    }

    /// The same error, about this class and method unless it already names one.
    #[must_use]
    pub fn about(mut self, method: (u16, u16)) -> AmqpError {
        if self.method == (0, 0) {
            self.method = method;
        }
        self
    }

    /// Reply code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Reply text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Class and method that failed; (0, 0) if none.
    pub fn method(&self) -> (u16, u16) {
        self.method
    }

    /// Whether the connection's input can no longer be read.
    pub fn is_out_of_sync(&self) -> bool {
        self.out_of_sync
    }
}

impl From<WireError> for AmqpError {
    fn from(error: WireError) -> AmqpError {
        let mut converted = AmqpError::new(Code::of_wire(&error), &error).about(error.method());
        converted.out_of_sync = error.is_out_of_sync();
        converted
    }
}

impl From<Refusal> for AmqpError {
    fn from(refusal: Refusal) -> AmqpError {
        AmqpError::new(Code::of_refusal(&refusal), refusal)
    }
}

/// Text of ours as a short string, cut if it must be.
pub(super) fn short_text(text: &str) -> ShortString {
    let cut = text.get(..text.floor_char_boundary(SHORT_STRING_MAX)).unwrap_or_default();
    ShortString::try_new(cut).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::refusal::Resource;
    use crate::name::Name;

    #[test]
    fn the_text_has_the_name_and_is_cut_between_characters() {
        let error = AmqpError::new(Code::NotFound, "ä".repeat(200));
        assert!(error.text().starts_with("NOT_FOUND - ää"));
        assert_eq!(error.text().len(), 254);
    }

    #[test]
    fn refusals_have_rabbitmqs_code_scope_and_text() {
        let name = |text| Name::new(text).unwrap();
        let error = AmqpError::from(Refusal::NotFound(Resource::queue(&name("/"), &name("q"))));
        assert_eq!((error.code() as u16, error.code().scope()), (404, Scope::Channel));
        assert_eq!(error.text(), "NOT_FOUND - no queue 'q' in vhost '/'");
        let error = AmqpError::from(Refusal::VhostNotFound("x".into()));
        assert_eq!((error.code() as u16, error.code().scope()), (530, Scope::Connection));
        assert_eq!(error.text(), "NOT_ALLOWED - vhost x not found");
    }

    #[test]
    fn a_method_is_filled_in_once() {
        let error = AmqpError::from(WireError::UnknownMethod { class: 50, method: 99 }).about((60, 40));
        assert_eq!((error.method(), error.code() as u16), ((50, 99), 503));
        assert!(!error.is_out_of_sync());
    }
}
