//! Answers and refusals in RabbitMQ's shapes (compat.md 3.1).

use super::bert;
use crate::broker::refusal::{Refusal, RefusalKind};
use crate::engine::Epoch;
use serde_json::{Value as Json, json};

/// What a request is answered with.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; JSON unless `kind` says otherwise.
    pub body: Vec<u8>,
    /// The body's media type.
    pub kind: &'static str,
    /// Headers beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
    /// It is sent when this epoch is on disk.
    pub after: Option<Epoch>,
}

/// What comes of a request.
pub type Outcome = Result<Answer, Failure>;

impl Answer {
    fn new(status: u16, body: Vec<u8>) -> Answer {
        Answer { status, body, kind: "application/json", headers: Vec::new(), after: None }
    }

    /// 200 with this value.
    pub fn json(value: &Json) -> Answer {
        Answer::new(200, value.to_string().into_bytes())
    }

    /// 200 with JSON that is written already.
    pub fn written(body: Vec<u8>) -> Answer {
        Answer::new(200, body)
    }

    /// 200 with text of another media type.
    pub fn text(kind: &'static str, body: String) -> Answer {
        Answer { kind, ..Answer::new(200, body.into_bytes()) }
    }

    /// 204.
    pub fn nothing() -> Answer {
        Answer::new(204, Vec::new())
    }

    /// 201 if it is new, 204 if it was there.
    pub fn put(created: bool) -> Answer {
        Answer::new(if created { 201 } else { 204 }, Vec::new())
    }

    /// The same as one of Erlang's terms, if it holds JSON.
    #[must_use]
    pub fn in_bert(self) -> Answer {
        let json = Some(&self).filter(|answer| answer.kind == "application/json" && !answer.body.is_empty());
        match json.and_then(|answer| serde_json::from_slice(&answer.body).ok()) {
            Some(value) => Answer { body: bert::encode(&value), kind: bert::KIND, ..self },
            None => self,
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Answer {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// The same, when an epoch is on disk.
    #[must_use]
    pub fn after(mut self, epoch: Option<Epoch>) -> Answer {
        self.after = epoch.max(self.after);
        self
    }
}

/// Why a request is refused.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// The status code.
    pub status: u16,
    /// The member `error`.
    pub error: &'static str,
    /// The member `reason`.
    pub reason: String,
    /// Ask the client who it is.
    pub challenge: bool,
}

impl Failure {
    fn new(status: u16, error: &'static str, reason: impl Into<String>) -> Failure {
        Failure { status, error, reason: reason.into(), challenge: false }
    }

    /// 400.
    pub fn bad_request(reason: impl Into<String>) -> Failure {
        Failure::new(400, "bad_request", reason)
    }

    /// 400 with another word for the error.
    pub fn invalid(error: &'static str, reason: impl Into<String>) -> Failure {
        Failure::new(400, error, reason)
    }

    /// 401: the client is not who it says, or does not say.
    pub fn not_authenticated() -> Failure {
        Failure { challenge: true, ..Failure::new(401, "not_authorized", "Not_Authorized") }
    }

    /// 401: the user may not do this.
    pub fn not_authorised(reason: impl Into<String>) -> Failure {
        Failure::new(401, "not_authorised", reason)
    }

    /// 404: there is no such resource.
    pub fn not_found() -> Failure {
        Failure::new(404, "Object Not Found", "Not Found")
    }

    /// 404 with a reason of its own.
    pub fn missing(reason: impl Into<String>) -> Failure {
        Failure::new(404, "not_found", reason)
    }

    /// 405.
    pub fn method_not_allowed() -> Failure {
        Failure::new(405, "Method Not Allowed", "Method Not Allowed")
    }

    /// 412: it is protected.
    pub fn precondition_failed(reason: impl Into<String>) -> Failure {
        Failure::new(412, "precondition_failed", reason)
    }

    /// 413: the body is too large.
    pub fn too_large() -> Failure {
        Failure::new(413, "bad_request", "Exceeded HTTP request body size limit")
    }

    /// 408: the client was too slow.
    pub fn too_slow() -> Failure {
        Failure::new(408, "timeout", "The request did not arrive in time")
    }

    /// 503: not now.
    pub fn unavailable(reason: impl Into<String>) -> Failure {
        Failure::new(503, "unavailable", reason)
    }

    /// The answer that says so.
    pub fn answer(self) -> Answer {
        let body = json!({"error": self.error, "reason": self.reason});
        let answer = Answer::json(&body).status(self.status);
        if self.challenge {
            return answer.header("www-authenticate", "Basic realm=\"RabbitMQ Management\"".to_owned());
        }
        answer
    }
}

/// The domain's "no" as HTTP says it: the same words as AMQP's, in RabbitMQ's statuses.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let text = refusal.to_string();
        match (&refusal, refusal.kind()) {
            (Refusal::NotFound(_), _) => Failure::new(404, "not_found", text),
            (Refusal::VhostNotFound(_) | Refusal::NoSuchUser(_), _) => Failure::not_found(),
            (Refusal::VhostRefused(..), _) | (_, RefusalKind::Refused) => Failure::not_authorised("Access refused."),
            (Refusal::ProtectedVhost(_), _) => Failure::precondition_failed(text),
            (_, RefusalKind::Unavailable) => Failure::unavailable(text),
            _ => Failure::bad_request(text),
        }
    }
}
