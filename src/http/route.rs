//! The form of the route table: every endpoint with who may use it. The router, the check of rights and the OpenAPI description
//! are made from it.

use super::answer::Outcome;
use super::request::Request;

/// An HTTP method that the API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read.
    Get,
    /// Make or change.
    Put,
    /// Do something.
    Post,
    /// Remove.
    Delete,
}

impl Verb {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Put => "PUT",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        }
    }
}

/// Who may use an endpoint (RabbitMQ's rules, compat.md 2.12 and 3.1). Every one but the first needs a user with a
/// management tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nobody in particular: no login.
    Nothing,
    /// Any management user.
    Management,
    /// A monitoring user.
    Monitoring,
    /// An administrator.
    Administrator,
    /// A policymaker.
    Policymaker,
    /// An administrator, or a policymaker with permissions in the virtual host of the path.
    PolicymakerThere,
    /// Whoever sees the virtual host of the path, if it names one.
    Sight,
    /// An administrator, or a user with permissions in the virtual host of the path.
    Member,
    /// A monitoring user, or the user whom the path names.
    OwnerOrMonitoring,
    /// An administrator, or the user whom the path names.
    OwnerOrAdministrator,
}

/// The type of a body's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Flag,
    /// An object.
    Object,
    /// A list.
    List,
    /// Anything.
    Any,
}

/// A member of a body: its name, its type, whether it must be there.
pub type Member = (&'static str, Type, bool);

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path below `/api`, as the router writes it.
    pub path: &'static str,
    /// Who may use it.
    pub needs: Needs,
    /// What it does.
    pub handler: fn(&Request) -> Outcome,
    /// What it is for.
    pub about: &'static str,
    /// What its body holds.
    pub body: &'static [Member],
    /// It lists things by page.
    pub paged: bool,
}

impl Route {
    const fn new(
        verb: Verb,
        path: &'static str,
        needs: Needs,
        handler: fn(&Request) -> Outcome,
        about: &'static str,
    ) -> Route {
        Route { verb, path, needs, handler, about, body: &[], paged: false }
    }

    /// The same with a body.
    pub const fn takes(mut self, body: &'static [Member]) -> Route {
        self.body = body;
        self
    }

    /// The same for a list that can be had by page.
    pub const fn paged(mut self) -> Route {
        self.paged = true;
        self
    }
}

/// Reads.
pub const fn get(path: &'static str, needs: Needs, handler: fn(&Request) -> Outcome, about: &'static str) -> Route {
    Route::new(Verb::Get, path, needs, handler, about)
}

/// Makes or changes.
pub const fn put(path: &'static str, needs: Needs, handler: fn(&Request) -> Outcome, about: &'static str) -> Route {
    Route::new(Verb::Put, path, needs, handler, about)
}

/// Does something.
pub const fn post(path: &'static str, needs: Needs, handler: fn(&Request) -> Outcome, about: &'static str) -> Route {
    Route::new(Verb::Post, path, needs, handler, about)
}

/// Removes.
pub const fn delete(path: &'static str, needs: Needs, handler: fn(&Request) -> Outcome, about: &'static str) -> Route {
    Route::new(Verb::Delete, path, needs, handler, about)
}
