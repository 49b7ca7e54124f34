//! Virtual hosts.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, post, put};
use super::stats::{self, Clock};
use super::users;
use crate::broker::access::{Permissions, VhostMetadata};
use crate::definitions::export;
use crate::engine::{VhostRecord, VhostTotals};
use crate::name::Name;
use serde_json::{Value as Json, json};

pub(super) const ROUTES: &[Route] = &[
    get("/vhosts", Needs::Management, vhosts, "All virtual hosts that the caller sees").paged(),
    get("/vhosts/{vhost}", Needs::Sight, vhost, "A virtual host"),
    put("/vhosts/{vhost}", Needs::Administrator, set, "Makes a virtual host, or changes what is known of it").takes(&[
        ("description", Type::Text, false),
        ("tags", Type::Any, false),
        ("default_queue_type", Type::Text, false),
        ("protected_from_deletion", Type::Flag, false),
        ("tracing", Type::Flag, false),
    ]),
    delete("/vhosts/{vhost}", Needs::Administrator, remove, "Deletes a virtual host with all that is in it"),
    post("/vhosts/{vhost}/deletion/protection", Needs::Administrator, protect, "Protects a virtual host from deletion"),
    delete("/vhosts/{vhost}/deletion/protection", Needs::Administrator, unprotect, "Ends that protection"),
    post("/vhosts/{vhost}/start/{node}", Needs::Administrator, start, "Starts a virtual host: it runs"),
    get("/vhosts/{vhost}/permissions", Needs::Administrator, users::permissions_in, "Permissions in a virtual host"),
    get(
        "/vhosts/{vhost}/topic-permissions",
        Needs::Administrator,
        users::topics_in,
        "Topic permissions in a virtual host",
    ),
];

/// What is known of a virtual host.
pub(super) fn record(request: &Request, vhost: &Name) -> Result<VhostRecord, Failure> {
    request.broker.vhost_record(vhost.as_str()).ok_or_else(Failure::not_found)
}

fn vhosts(request: &Request) -> Outcome {
    let mut records = request.broker.vhosts();
    records.retain(|record| request.caller.sees(&request.broker, record.name.as_str()));
    let (clock, done) = (Clock::of(request)?, request.broker.totals_by_vhost());
    let of = |record: &VhostRecord| done.get(&record.name).copied().unwrap_or_default();
    let ident = |record: &VhostRecord| Ident::new("", record.name.as_str());
    list(request, records, ident, |record| describe(request, clock, record, of(record)))
}

fn vhost(request: &Request) -> Outcome {
    let record = record(request, &request.vhost()?)?;
    let done = request.broker.totals_by_vhost().remove(&record.name).unwrap_or_default();
    Ok(object(request, describe(request, Clock::of(request)?, &record, done)))
}

fn describe(request: &Request, clock: Clock, record: &VhostRecord, done: VhostTotals) -> Json {
    let VhostRecord { name, metadata: about, .. } = record;
    let tags: Vec<&str> = about.tags.iter().map(Name::as_str).collect();
    let mut vhost = json!({
        "name": name.as_str(),
        "description": about.description,
        "tags": tags,
        "metadata": export::metadata(about),
        "default_queue_type": about.default_queue_type.as_ref().map_or(request.place.default_queue_type, Name::as_str),
        "protected_from_deletion": about.protected_from_deletion,
        "tracing": request.broker.is_traced(name.as_str()).unwrap_or(false),
        "cluster_state": {request.place.node.as_str(): "running"},
    });
    if let Json::Object(members) = &mut vhost
        && request.has_statistics()
    {
        members.extend(stats::vhost(clock, request, name, done));
    }
    vhost
}

fn set(request: &Request) -> Outcome {
    let name = request.name("vhost").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    if name.as_str().is_empty() {
        return Err(Failure::bad_request("a virtual host needs a name"));
    }
    let body = request.object()?;
    let before = request.broker.vhost_record(name.as_str()).map(|record| record.metadata).unwrap_or_default();
    let described = |key: &str| body.get(key).is_some_and(|value| !value.is_null());
    let queue_type = match json::optional_text(&body, "default_queue_type")? {
        None => before.default_queue_type,
        Some("" | "undefined") => None,
        Some(kind @ ("classic" | "quorum")) => Name::new(kind),
        Some(kind) => return Err(Failure::bad_request(format!("Unsupported default queue type: {kind}"))),
    };
    let metadata = VhostMetadata {
        description: json::optional_text(&body, "description")?.map_or(before.description, str::to_owned),
        tags: if described("tags") { json::names(&body, "tags")? } else { before.tags },
        default_queue_type: queue_type,
        protected_from_deletion: json::flag(&body, "protected_from_deletion", before.protected_from_deletion)?,
        tracing: before.tracing,
    };
    let tracing = described("tracing").then(|| json::flag(&body, "tracing", false)).transpose()?;
    let (created, mut epoch) = request.broker.put_vhost(&name, metadata)?;
    let user = request.caller.identity.user.as_str();
    // As in RabbitMQ, whoever makes a virtual host may do everything in it; who is no user of the broker's own needs no permission.
    if created && request.broker.user(user).is_some() {
        epoch = epoch.max(request.broker.set_permissions(user, name.as_str(), Some(Permissions::all()))?);
    }
    if let Some(tracing) = tracing {
        request.broker.set_tracing(name.as_str(), tracing)?;
    }
    Ok(Answer::put(created).after(epoch))
}

fn remove(request: &Request) -> Outcome {
    let epoch = request.broker.delete_vhost(request.vhost()?.as_str())?;
    Ok(Answer::nothing().after(epoch))
}

fn protect(request: &Request) -> Outcome {
    set_protection(request, true)
}

fn unprotect(request: &Request) -> Outcome {
    set_protection(request, false)
}

fn set_protection(request: &Request, protected_from_deletion: bool) -> Outcome {
    let record = record(request, &request.vhost()?)?;
    let metadata = VhostMetadata { protected_from_deletion, ..record.metadata };
    let (_, epoch) = request.broker.put_vhost(&record.name, metadata)?;
    Ok(Answer::nothing().after(epoch))
}

fn start(request: &Request) -> Outcome {
    request.vhost()?;
    if request.param("node") != request.place.node {
        return Err(Failure::not_found());
    }
    Ok(Answer::nothing())
}
