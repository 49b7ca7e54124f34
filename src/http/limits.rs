//! Limits of virtual hosts and of users.

use super::answer::{Answer, Failure, Outcome};
use super::list::{Ident, list};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, put};
use super::vhosts::record;
use crate::broker::access::{UserLimits, VhostLimits};
use crate::definitions::export;
use crate::engine::VhostRecord;
use serde_json::json;

const VALUE: &[(&str, Type, bool)] = &[("value", Type::Integer, true)];

pub(super) const ROUTES: &[Route] = &[
    get("/vhost-limits", Needs::Sight, vhost_limits, "Limits of virtual hosts"),
    get("/vhost-limits/{vhost}", Needs::Sight, vhost_limits, "Limits of a virtual host"),
    put("/vhost-limits/{vhost}/{name}", Needs::Administrator, set_vhost, "Sets a limit of a virtual host").takes(VALUE),
    delete("/vhost-limits/{vhost}/{name}", Needs::Administrator, clear_vhost, "Clears it"),
    get("/user-limits", Needs::Management, user_limits, "Limits of users"),
    get("/user-limits/{user}", Needs::Management, user_limits, "Limits of a user"),
    put("/user-limits/{user}/{name}", Needs::Administrator, set_user, "Sets a limit of a user").takes(VALUE),
    delete("/user-limits/{user}/{name}", Needs::Administrator, clear_user, "Clears it"),
];

fn vhost_limits(request: &Request) -> Outcome {
    let names = request.vhosts()?;
    let mut records: Vec<VhostRecord> = request.broker.vhosts();
    records.retain(|record| names.contains(&record.name) && record.limits != VhostLimits::default());
    list(
        request,
        records,
        |record| Ident::new(record.name.as_str(), ""),
        |record| json!({"vhost": record.name.as_str(), "value": export::vhost_limits(&record.limits)}),
    )
}

/// The value that a body gives; a negative one means none.
fn value(request: &Request) -> Result<Option<u64>, Failure> {
    let body = request.object()?;
    let value = body.get("value").ok_or_else(|| super::json::missing("value"))?;
    let text = value.as_str().and_then(|text| text.parse().ok());
    let number = value.as_i64().or(text).ok_or_else(|| Failure::bad_request("value: a whole number is expected"))?;
    Ok(u64::try_from(number).ok())
}

fn change_vhost(request: &Request, value: Option<u64>) -> Result<(bool, Answer), Failure> {
    let record = record(request, &request.vhost()?)?;
    let mut limits = record.limits;
    let limit = match request.param("name") {
        "max-connections" => &mut limits.max_connections,
        "max-queues" => &mut limits.max_queues,
        other => return Err(Failure::bad_request(format!("Unrecognised terms [{{<<\"{other}\">>}}] in limits"))),
    };
    let there = std::mem::replace(limit, value).is_some();
    let epoch = request.broker.set_vhost_limits(record.name.as_str(), limits)?;
    Ok((there, Answer::nothing().after(epoch)))
}

fn set_vhost(request: &Request) -> Outcome {
    Ok(change_vhost(request, value(request)?)?.1)
}

fn clear_vhost(request: &Request) -> Outcome {
    Ok(change_vhost(request, None)?.1)
}

fn user_limits(request: &Request) -> Outcome {
    let (wanted, own) = (request.param("user"), request.caller.identity.user.as_str());
    let mut found = request.broker.users();
    found.retain(|user| {
        let name = user.name.as_str();
        (wanted.is_empty() || name == wanted)
            && (request.caller.is_monitor() || name == own)
            && user.limits != UserLimits::default()
    });
    if request.has_param("user") && request.broker.user(wanted).is_none() {
        return Err(Failure::not_found());
    }
    list(
        request,
        found,
        |user| Ident::new("", user.name.as_str()),
        |user| json!({"user": user.name.as_str(), "value": export::user_limits(&user.limits)}),
    )
}

fn change_user(request: &Request, value: Option<u64>) -> Outcome {
    let user = request.broker.user(request.param("user")).ok_or_else(Failure::not_found)?;
    let mut limits = user.limits;
    match request.param("name") {
        "max-connections" => limits.max_connections = value,
        "max-channels" => limits.max_channels = value,
        other => return Err(Failure::bad_request(format!("Unrecognised terms [{{<<\"{other}\">>}}] in limits"))),
    }
    let epoch = request.broker.set_user_limits(user.name.as_str(), limits)?;
    Ok(Answer::nothing().after(epoch))
}

fn set_user(request: &Request) -> Outcome {
    change_user(request, value(request)?)
}

fn clear_user(request: &Request) -> Outcome {
    change_user(request, None)
}
