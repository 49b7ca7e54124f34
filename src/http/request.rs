//! A request whose client is known, as handlers see it.

use super::answer::Failure;
use super::place::Place;
use crate::auth::Authenticator;
use crate::broker::access::Identity;
use crate::engine::{Broker, Session};
use crate::name::Name;
use serde_json::{Map, Value as Json};
use std::sync::Arc;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user and its tags.
    pub identity: Identity,
}

impl Caller {
    /// May do everything.
    pub fn is_admin(&self) -> bool {
        self.identity.has_tag("administrator")
    }

    /// May set policies and parameters.
    pub fn is_policymaker(&self) -> bool {
        self.is_admin() || self.identity.has_tag("policymaker")
    }

    /// May see everything.
    pub fn is_monitor(&self) -> bool {
        self.is_admin() || self.identity.has_tag("monitoring")
    }

    /// May use the API at all.
    pub fn is_management(&self) -> bool {
        ["administrator", "monitoring", "policymaker", "management"].iter().any(|tag| self.identity.has_tag(tag))
    }

    /// Whether it has permissions in a virtual host.
    pub fn is_member(&self, broker: &Broker, vhost: &str) -> bool {
        match (&self.identity.authority, Name::new(vhost)) {
            (Some(authority), Some(vhost)) => authority.enters(&vhost),
            (Some(_), None) => false,
            (None, _) => broker.is_member(self.identity.user.as_str(), vhost),
        }
    }

    /// Whether lists show it what is in a virtual host.
    pub fn sees(&self, broker: &Broker, vhost: &str) -> bool {
        self.is_monitor() || self.is_member(broker, vhost)
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    /// The broker.
    pub broker: Arc<Broker>,
    /// Who decides about logins.
    pub auth: Arc<Authenticator>,
    /// The node it runs on.
    pub place: Arc<Place>,
    /// Who asks.
    pub caller: Caller,
    /// What the path names, decoded.
    pub params: Vec<(String, String)>,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// Headers that some handler reads: `x-reason`, `x-vhost`, `content-type`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A part of the path; empty when the path has none of that name.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether the path names it.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.iter().any(|(key, _)| key == name)
    }

    /// A part of the path as a name.
    ///
    /// # Errors
    /// It is longer than a name can be: then there is no such thing.
    pub fn name(&self, param: &str) -> Result<Name, Failure> {
        Name::new(self.param(param)).ok_or_else(Failure::not_found)
    }

    /// The name of an exchange; the default one is `amq.default` in paths.
    ///
    /// # Errors
    /// As [`Request::name`].
    pub fn exchange(&self, param: &str) -> Result<Name, Failure> {
        let name = self.name(param)?;
        Ok(if name.as_str() == "amq.default" { Name::default() } else { name })
    }

    /// The virtual host that the path names.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn vhost(&self) -> Result<Name, Failure> {
        self.broker.vhost_name(self.param("vhost")).ok_or_else(Failure::not_found)
    }

    /// The virtual hosts that a list is about: the one that the path names, or all that the caller sees.
    ///
    /// # Errors
    /// As [`Request::vhost`].
    pub fn vhosts(&self) -> Result<Vec<Name>, Failure> {
        if self.has_param("vhost") {
            return Ok(vec![self.vhost()?]);
        }
        let mut names = self.broker.vhost_names();
        names.retain(|name| self.caller.sees(&self.broker, name.as_str()));
        Ok(names)
    }

    /// A value of the query.
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Whether a flag of the query is `true`.
    pub fn flag(&self, key: &str) -> bool {
        self.query(key) == Some("true")
    }

    /// Whether objects are shown with their statistics.
    pub fn has_statistics(&self) -> bool {
        self.place.offer.statistics && !self.flag("disable_stats")
    }

    /// Whether queues without statistics tell how many messages are in them.
    pub fn has_queue_totals(&self) -> bool {
        self.place.offer.queue_totals || self.flag("enable_queue_totals")
    }

    /// A header; None when it is missing or empty.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// The body as an object; none at all is an empty one.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self) -> Result<Map<String, Json>, Failure> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Json::Object(object)) => Ok(object),
            Ok(Json::Null) => Ok(Map::new()),
            Ok(Json::String(_)) => Err(Failure::bad_request(
                "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
            )),
            _ => Err(Failure::bad_request("not_json")),
        }
    }

    /// A session in the virtual host in the caller's name: what an AMQP client could do there, it can.
    ///
    /// # Errors
    /// The caller may not be there.
    pub fn session(&self, vhost: &Name) -> Result<Visit, Failure> {
        Ok(Visit(self.broker.open_session(vhost.as_str(), self.caller.identity.clone())?))
    }
}

/// A session that ends with the request.
#[derive(Debug)]
pub struct Visit(Session);

impl std::ops::Deref for Visit {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.close();
    }
}
