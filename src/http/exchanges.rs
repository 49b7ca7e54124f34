//! Exchanges.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, put};
use super::stats::{self, Clock};
use crate::broker::policy::Object;
use crate::broker::topology::{ExchangeKind, ExchangeSpec};
use crate::definitions::export;
use crate::engine::ExchangeRecord;
use crate::name::Name;
use serde_json::{Value as Json, json};

pub(super) const ROUTES: &[Route] = &[
    get("/exchanges", Needs::Management, exchanges, "All exchanges that the caller sees").paged(),
    get("/exchanges/{vhost}", Needs::Sight, exchanges, "Exchanges of a virtual host").paged(),
    get("/exchanges/{vhost}/{exchange}", Needs::Sight, exchange, "An exchange; `amq.default` is the default one"),
    put("/exchanges/{vhost}/{exchange}", Needs::Member, declare, "Declares an exchange").takes(&[
        ("type", Type::Text, true),
        ("durable", Type::Flag, false),
        ("auto_delete", Type::Flag, false),
        ("internal", Type::Flag, false),
        ("arguments", Type::Object, false),
    ]),
    delete("/exchanges/{vhost}/{exchange}", Needs::Member, remove, "Deletes an exchange; `?if-unused=true`"),
];

/// The virtual hosts of the path or of the caller, each with what `all` finds there.
pub(super) fn everywhere<T>(request: &Request, all: impl Fn(&str) -> Vec<T>) -> Result<Vec<T>, Failure> {
    Ok(request.vhosts()?.iter().flat_map(|vhost| all(vhost.as_str())).collect())
}

fn exchanges(request: &Request) -> Outcome {
    let clock = Clock::of(request)?;
    let records = everywhere(request, |vhost| request.broker.exchanges_in(vhost))?;
    let ident = |record: &ExchangeRecord| Ident::new(record.vhost.as_str(), record.spec.name.as_str());
    list(request, records, ident, |record| describe(request, clock, record))
}

fn describe(request: &Request, clock: Clock, record: &ExchangeRecord) -> Json {
    let mut exchange = export::exchange(record);
    if let Json::Object(members) = &mut exchange {
        let policy = request.broker.policy_of(record.vhost.as_str(), record.spec.name.as_str(), Object::Exchange);
        if let Ok([Some(policy), _]) = policy {
            members.insert("policy".to_owned(), Json::from(policy.as_str()));
        }
        members.insert("user_who_performed_action".to_owned(), Json::from("rmq-internal"));
        if let Ok(Some(delayed)) = request.broker.messages_delayed(record.vhost.as_str(), record.spec.name.as_str()) {
            members.insert("messages_delayed".to_owned(), Json::from(delayed));
        }
        if request.has_statistics()
            && let Some(stats) = stats::exchange(clock, request, record)
        {
            members.insert("message_stats".to_owned(), stats);
        }
    }
    exchange
}

fn find(request: &Request) -> Result<ExchangeRecord, Failure> {
    let (vhost, name) = (request.vhost()?, request.exchange("exchange")?);
    request.broker.exchange(vhost.as_str(), name.as_str()).ok_or_else(Failure::not_found)
}

fn exchange(request: &Request) -> Outcome {
    let record = find(request)?;
    let mut exchange = describe(request, Clock::of(request)?, &record);
    if let Json::Object(members) = &mut exchange {
        // RabbitMQ fills them with `rates_mode = detailed` only.
        members.insert("incoming".to_owned(), json!([]));
        members.insert("outgoing".to_owned(), json!([]));
    }
    Ok(object(request, exchange))
}

fn declare(request: &Request) -> Outcome {
    let vhost = request.vhost().map_err(|_| Failure::missing("vhost_not_found"))?;
    let name = request.exchange("exchange").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    let body = request.object()?;
    let spec = ExchangeSpec {
        name: name.clone(),
        kind: ExchangeKind::parse(json::text(&body, "type")?).map_err(|_| {
            Failure::bad_request(format!("unknown exchange type '{}'", json::text(&body, "type").unwrap_or_default()))
        })?,
        durable: json::flag(&body, "durable", true)?,
        auto_delete: json::flag(&body, "auto_delete", false)?,
        internal: json::flag(&body, "internal", false)?,
        arguments: json::to_table(body.get("arguments"))?,
    };
    let session = request.session(&vhost)?;
    let there = request.broker.exchange(vhost.as_str(), name.as_str()).is_some();
    let epoch = session.declare_exchange(spec)?;
    Ok(Answer::put(!there).after(epoch))
}

fn remove(request: &Request) -> Outcome {
    let record = find(request)?;
    let session = request.session(&record.vhost)?;
    let epoch = session.delete_exchange(&record.spec.name, request.flag("if-unused"))?;
    Ok(Answer::nothing().after(epoch))
}

/// Whether there is an exchange of that name.
pub(super) fn exists(request: &Request, vhost: &Name, name: &Name) -> bool {
    request.broker.exchange(vhost.as_str(), name.as_str()).is_some()
}
