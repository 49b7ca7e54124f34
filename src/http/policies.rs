//! Policies and operator policies.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, put};
use crate::broker::policy::{ApplyTo, Policy};
use crate::definitions::export;
use crate::name::Name;
use serde_json::Value as Json;

const BODY: &[(&str, Type, bool)] = &[
    ("pattern", Type::Text, true),
    ("definition", Type::Object, true),
    ("priority", Type::Integer, false),
    ("apply-to", Type::Text, false),
];

pub(super) const ROUTES: &[Route] = &[
    get("/policies", Needs::Policymaker, policies, "All policies").paged(),
    get("/policies/{vhost}", Needs::PolicymakerThere, policies, "Policies of a virtual host").paged(),
    get("/policies/{vhost}/{name}", Needs::PolicymakerThere, policy, "A policy"),
    put("/policies/{vhost}/{name}", Needs::PolicymakerThere, set_policy, "Sets it").takes(BODY),
    delete("/policies/{vhost}/{name}", Needs::PolicymakerThere, clear_policy, "Clears it"),
    get("/operator-policies", Needs::Policymaker, operators, "All operator policies").paged(),
    get("/operator-policies/{vhost}", Needs::PolicymakerThere, operators, "Operator policies of a virtual host")
        .paged(),
    get("/operator-policies/{vhost}/{name}", Needs::PolicymakerThere, operator, "An operator policy"),
    put("/operator-policies/{vhost}/{name}", Needs::Administrator, set_operator, "Sets it").takes(BODY),
    delete("/operator-policies/{vhost}/{name}", Needs::Administrator, clear_operator, "Clears it"),
];

fn all(request: &Request, operator: bool) -> Outcome {
    let mut found = Vec::new();
    for vhost in request.vhosts()? {
        let policies = request.broker.policies(vhost.as_str(), operator)?;
        found.extend(policies.into_iter().map(|policy| (vhost.clone(), policy)));
    }
    let ident = |(vhost, policy): &(Name, Policy)| Ident::new(vhost.as_str(), policy.name.as_str());
    list(request, found, ident, |(vhost, policy)| export::policy(vhost, policy))
}

fn find(request: &Request, vhost: &Name, operator: bool) -> Result<Option<Policy>, Failure> {
    let mut policies = request.broker.policies(vhost.as_str(), operator)?.into_iter();
    Ok(policies.find(|policy| policy.name.as_str() == request.param("name")))
}

fn one(request: &Request, operator: bool) -> Outcome {
    let vhost = request.vhost()?;
    let found = find(request, &vhost, operator)?.ok_or_else(Failure::not_found)?;
    Ok(object(request, export::policy(&vhost, &found)))
}

fn set(request: &Request, operator: bool) -> Outcome {
    let vhost = request.vhost()?;
    let body = request.object()?;
    let name = request.name("name").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    json::require(&body, &["pattern", "definition"])?;
    let pattern = json::text(&body, "pattern")?;
    let definition = json::to_table(body.get("definition"))?;
    let wrong = |key: &str| Failure::bad_request(format!("{key}: a whole number is expected"));
    let priority = match body.get("priority") {
        None | Some(Json::Null) => 0,
        Some(number) => number.as_i64().ok_or_else(|| wrong("priority"))?,
    };
    let apply_to = match json::optional_text(&body, "apply-to")? {
        None => ApplyTo::All,
        Some(word) => ApplyTo::parse(word).ok_or_else(|| {
            let problem = format!("apply-to '{word}' unrecognised; should be 'queues', 'exchanges' or 'all'");
            Failure::bad_request(format!("Validation failed\n\n{problem}\n"))
        })?,
    };
    let policy = Policy::new(name, pattern, apply_to, definition, priority, operator);
    let policy = policy.map_err(|problem| Failure::bad_request(format!("Validation failed\n\n{problem}\n")))?;
    let there = find(request, &vhost, operator)?.is_some();
    let epoch = request.broker.set_policy(vhost.as_str(), policy, operator)?;
    Ok(Answer::put(!there).after(epoch))
}

fn clear(request: &Request, operator: bool) -> Outcome {
    let vhost = request.vhost()?;
    let removed = request.broker.remove_policy(vhost.as_str(), &request.name("name")?, operator)?;
    if removed { Ok(Answer::nothing().after(Some(request.broker.open_epoch()))) } else { Err(Failure::not_found()) }
}

fn policies(request: &Request) -> Outcome {
    all(request, false)
}

fn policy(request: &Request) -> Outcome {
    one(request, false)
}

fn set_policy(request: &Request) -> Outcome {
    set(request, false)
}

fn clear_policy(request: &Request) -> Outcome {
    clear(request, false)
}

/// Whether operator policies can be changed here.
fn check_changeable(request: &Request) -> Result<(), Failure> {
    if request.place.offer.operator_policy_changes { Ok(()) } else { Err(Failure::method_not_allowed()) }
}

fn operators(request: &Request) -> Outcome {
    all(request, true)
}

fn operator(request: &Request) -> Outcome {
    one(request, true)
}

fn set_operator(request: &Request) -> Outcome {
    check_changeable(request)?;
    set(request, true)
}

fn clear_operator(request: &Request) -> Outcome {
    check_changeable(request)?;
    clear(request, true)
}
