//! Queues.

use super::answer::{Answer, Failure, Outcome};
use super::connections::{channel_name, consumer_of_queue};
use super::exchanges::everywhere;
use super::json;
use super::list::{Ident, list_quick, object, paged};
use super::page::Page;
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, post, put};
use super::stats::{self, Clock};
use crate::broker::policy::Object;
use crate::broker::queue::{QueueKind, Status};
use crate::definitions::export;
use crate::engine::{Lengths, QueueHandle, QueueSpec};
use crate::name::Name;
use serde_json::{Value as Json, json};
use std::sync::Arc;

pub(super) const ROUTES: &[Route] = &[
    get("/queues", Needs::Management, queues, "All queues that the caller sees").paged(),
    get("/queues/detailed", Needs::Management, queues_whole, "The same with all members").paged(),
    get("/queues/{vhost}", Needs::Sight, queues, "Queues of a virtual host").paged(),
    get("/users/{user}/queues", Needs::Management, queues_of, "Queues that a user has declared").paged(),
    get("/queues/{vhost}/{queue}", Needs::Sight, queue, "A queue"),
    put("/queues/{vhost}/{queue}", Needs::Member, declare, "Declares a queue").takes(&[
        ("durable", Type::Flag, false),
        ("auto_delete", Type::Flag, false),
        ("arguments", Type::Object, false),
        ("node", Type::Text, false),
    ]),
    delete("/queues/{vhost}/{queue}", Needs::Member, remove, "Deletes a queue; `?if-empty=true&if-unused=true`"),
    delete("/queues/{vhost}/{queue}/contents", Needs::Member, purge, "Drops a queue's ready messages"),
    post(
        "/queues/{vhost}/{queue}/actions",
        Needs::Administrator,
        action,
        "Accepted, of no effect: there are no mirrors",
    )
    .takes(&[("action", Type::Text, true)]),
    get(
        "/queues/quorum/{vhost}/{queue}/status",
        Needs::Sight,
        quorum_status,
        "The members of a quorum queue: this node",
    ),
    post("/queues/quorum/{vhost}/{queue}/replicas/add", Needs::Administrator, one_node, "There is one node")
        .takes(&[("node", Type::Text, true)]),
    delete("/queues/quorum/{vhost}/{queue}/replicas/delete", Needs::Administrator, one_node, "There is one node"),
    post("/queues/quorum/replicas/on/{node}/grow", Needs::Administrator, one_node_of_all, "There is one node"),
    delete("/queues/quorum/replicas/on/{node}/shrink", Needs::Administrator, one_node_of_all, "There is one node"),
];

/// Queues whose names a filter looks at before others may change what there is.
const WALKED: usize = 1024;

/// How much is shown of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// What lists show: nothing that is null, nothing of the inside.
    Reduced,
    /// All there is.
    Whole,
}

impl Detail {
    /// Of a list that is not asked for the whole: who names columns gets them, whatever they are, as RabbitMQ.
    fn of(request: &Request) -> Detail {
        let named = request.query("columns").is_some_and(|columns| !columns.is_empty());
        if named { Detail::Whole } else { Detail::Reduced }
    }
}

/// A page in the order of names: only what is on it is looked at, or else only names.
fn page_by_name(request: &Request, page: &Page, clock: Clock, detail: Detail) -> Outcome {
    let (reverse, vhosts) = (request.flag("sort_reverse"), request.vhosts()?);
    let count = |vhost: &Name| request.broker.objects_in(vhost.as_str()).queues as usize;
    let total = vhosts.iter().map(count).sum();
    let (mut chosen, mut filtered) = (Vec::new(), 0);
    if let Some(filter) = &page.filter {
        let wanted = page.wanted();
        for vhost in &vhosts {
            let mut last = None;
            loop {
                let some = request.broker.queues_after(vhost.as_str(), last.as_ref(), WALKED);
                let Some(end) = some.last().map(|queue| queue.name().clone()) else { break };
                for queue in some.into_iter().filter(|queue| filter.passes(queue.name().as_str())) {
                    if wanted.contains(&filtered) {
                        chosen.push(queue);
                    }
                    filtered += 1;
                }
                last = Some(end);
            }
        }
        page.range(filtered)?;
    } else {
        filtered = total;
        let range = page.range(total)?;
        let (mut skip, mut most) = (range.start, range.len());
        let mut ordered = vhosts;
        if reverse {
            ordered.reverse();
        }
        for vhost in &ordered {
            let here = count(vhost);
            if skip >= here {
                skip -= here;
                continue;
            }
            let some = request.broker.queues_by_name(vhost.as_str(), reverse, skip, most);
            (skip, most) = (0, most.saturating_sub(some.len()));
            chosen.extend(some);
        }
    }
    Ok(paged(request, page, (total, filtered), &chosen, |queue| describe(request, clock, queue, detail)))
}

/// Whether a list is in the order of names, which needs no look at what else is on it.
fn is_by_name(request: &Request, page: &Page) -> bool {
    let by_name = match request.query("sort") {
        None | Some("" | "vhost") => true,
        Some("name") => request.has_param("vhost"),
        _ => false,
    };
    by_name && (page.filter.is_none() || !request.flag("sort_reverse"))
}

fn queues(request: &Request) -> Outcome {
    some(request, Detail::of(request))
}

fn queues_whole(request: &Request) -> Outcome {
    some(request, Detail::Whole)
}

fn some(request: &Request, detail: Detail) -> Outcome {
    let clock = Clock::of(request)?;
    if let Some(page) = Page::of(request)?.filter(|page| is_by_name(request, page)) {
        return page_by_name(request, &page, clock, detail);
    }
    let all = everywhere(request, |vhost| request.broker.queues_in(vhost))?;
    list_of(request, all, detail)
}

/// Of a user who is gone, too: its queues are still there.
fn queues_of(request: &Request) -> Outcome {
    let user = request.param("user");
    let mut all = everywhere(request, |vhost| request.broker.queues_in(vhost))?;
    all.retain(|queue| queue.definition().declared_by.as_ref().is_some_and(|by| by.as_str() == user));
    list_of(request, all, Detail::of(request))
}

fn list_of(request: &Request, all: Vec<Arc<QueueHandle>>, detail: Detail) -> Outcome {
    let clock = Clock::of(request)?;
    let ident = |queue: &Arc<QueueHandle>| {
        let definition = queue.definition();
        Ident::new(definition.vhost.as_str(), definition.name.as_str())
    };
    list_quick(request, all, ident, quick, |queue| describe(request, clock, queue, detail))
}

/// What lists of queues are mostly sorted by.
fn quick(queue: &Arc<QueueHandle>, member: &str) -> Option<Json> {
    let counts = queue.counts();
    match member {
        "messages" => Some(Json::from(counts.ready + counts.unsettled)),
        "messages_ready" => Some(Json::from(counts.ready)),
        "messages_unacknowledged" => Some(Json::from(counts.unsettled)),
        "consumers" => Some(Json::from(counts.consumers)),
        _ => None,
    }
}

/// A queue: what it was declared with, where it is, and its statistics unless `disable_stats` says no.
pub(super) fn describe(request: &Request, clock: Clock, queue: &Arc<QueueHandle>, detail: Detail) -> Json {
    let mut shown = export::queue(queue);
    let status = queue.status();
    let Json::Object(members) = &mut shown else { return shown };
    members.insert("exclusive".to_owned(), Json::Bool(queue.definition().owner.is_some()));
    members.insert("node".to_owned(), Json::from(request.place.node.as_str()));
    members.insert("state".to_owned(), Json::from(if status.damaged { "crashed" } else { "running" }));
    members.extend(replicas(request, queue));
    // What dies is on its way out of the queue, and counts until it has left.
    let counts = status.counts;
    let lengths = Lengths { ready: counts.ready, unacknowledged: counts.unsettled };
    let policies = policies(request, queue);
    if !request.has_statistics() {
        members.extend(policies.into_iter().take(1).filter(|(_, name)| !name.is_null()));
        if request.has_queue_totals() {
            members.extend(stats::lengths(lengths));
        }
        return shown;
    }
    members.extend(policies);
    members.extend(stats::queue(clock, queue, lengths, &status.totals));
    members.extend(numbers(&status));
    if let Some(since) = queue.idle_since() {
        let since = since.max(request.broker.sample_time().saturating_sub(request.place.uptime_ms()));
        members.insert("idle_since".to_owned(), Json::from(json::time(since)));
    }
    members.extend(of_kind(request, queue, &status));
    if let Some(owner) = queue.definition().owner.and_then(|id| request.broker.connection_of(id))
        && let Some(info) = owner.info()
    {
        let owner = json!({"name": info.name, "peer_host": info.peer_host, "peer_port": info.peer_port});
        members.insert("owner_pid_details".to_owned(), owner);
    }
    if detail == Detail::Reduced {
        members.retain(|name, member| !member.is_null() && !INNER.contains(&name.as_str()));
    }
    shown
}

/// What RabbitMQ's lists leave out, beside what is null. They leave out `idle_since` too, which Flower looks for.
const INNER: [&str; 3] = ["backing_queue_status", "garbage_collection", "owner_pid_details"];

/// A member of an object.
type Member = (String, Json);

/// The policy that applies to a queue, the operator's, and what both come to.
fn policies(request: &Request, queue: &QueueHandle) -> [Member; 3] {
    let definition = queue.definition();
    let (vhost, name, object) = (definition.vhost.as_str(), definition.name.as_str(), Object::Queue(queue.kind()));
    let [policy, operator] = request.broker.policy_of(vhost, name, object).unwrap_or_default();
    let name_of = |policy: Option<Name>| policy.map_or(Json::Null, |policy| Json::from(policy.as_str()));
    let effective = request.broker.effective_policy(vhost, name, object).unwrap_or_default();
    [
        ("policy".to_owned(), name_of(policy)),
        ("operator_policy".to_owned(), name_of(operator)),
        ("effective_policy_definition".to_owned(), export::table(&effective)),
    ]
}

/// Where the members of a quorum queue are: on this node.
fn replicas(request: &Request, queue: &QueueHandle) -> Vec<Member> {
    if queue.kind() != QueueKind::Quorum {
        return Vec::new();
    }
    let node = request.place.node.as_str();
    let all = || json!([node]);
    [("leader", Json::from(node)), ("members", all()), ("online", all())]
        .map(|(name, member)| (name.to_owned(), member))
        .into()
}

fn numbers(status: &Status) -> Vec<(String, Json)> {
    let ram_ready = status.ready_ram();
    let capacity = if status.is_able() { 1.0 } else { 0.0 };
    let members = json!({
        "messages_ram": status.ram,
        "messages_ready_ram": ram_ready,
        "messages_unacknowledged_ram": status.ram - ram_ready,
        "messages_persistent": status.persistent,
        "messages_paged_out": status.paged_out,
        "message_bytes": status.bytes,
        "message_bytes_ready": status.bytes_ready,
        "message_bytes_unacknowledged": status.bytes_unsettled,
        "message_bytes_ram": status.bytes_ram,
        "message_bytes_persistent": status.bytes_persistent,
        "message_bytes_paged_out": status.bytes.saturating_sub(status.bytes_ram),
        "head_message_timestamp": status.head_timestamp,
        "consumers": status.counts.consumers,
        "consumer_capacity": capacity,
        "consumer_utilisation": capacity,
        "memory": status.bytes_ram,
        "reductions": 0,
        "reductions_details": {"rate": 0.0},
        "garbage_collection": {},
    });
    match members {
        Json::Object(members) => members.into_iter().collect(),
        _ => Vec::new(),
    }
}

/// A column of the command line, which is no member in RabbitMQ: given to whoever names it.
const CONSUMER_PID: &str = "exclusive_consumer_pid";

/// What only queues of one type have, and who consumes alone.
fn of_kind(request: &Request, queue: &QueueHandle, status: &Status) -> Vec<Member> {
    let mut members = Vec::new();
    let with_pid =
        request.query("columns").is_some_and(|columns| columns.split(',').any(|column| column == CONSUMER_PID));
    for (key, consumer) in
        [("single_active_consumer_tag", status.single_active), ("exclusive_consumer_tag", status.exclusive)]
    {
        let found = consumer.and_then(|id| consumer_of_queue(request, queue, id));
        if let Some((connection, channel, _)) = found.as_ref().filter(|_| with_pid && key == "exclusive_consumer_tag") {
            members.push((CONSUMER_PID.to_owned(), Json::from(channel_name(connection, channel))));
        }
        members.push((key.to_owned(), found.map_or(Json::Null, |(_, _, consumer)| Json::from(consumer.tag))));
    }
    if queue.kind() == QueueKind::Classic {
        let (ready, unsettled) = (status.counts.ready, status.counts.unsettled);
        let store = json!({"mode": "default", "version": 2, "len": ready, "num_pending_acks": unsettled});
        members.push(("backing_queue_status".to_owned(), store));
        members.push(("storage_version".to_owned(), Json::from(2)));
    }
    if queue.kind() == QueueKind::Quorum {
        let limit = queue.settings().delivery_limit.map_or(json!("unlimited"), |limit| json!(limit));
        members.push(("delivery_limit".to_owned(), limit));
        members.push(("messages_dlx".to_owned(), Json::from(status.counts.dying)));
        let of_others = status.bytes_ready + status.bytes_unsettled;
        let dying = if status.counts.dying == 0 { 0 } else { status.bytes.saturating_sub(of_others) };
        members.push(("message_bytes_dlx".to_owned(), Json::from(dying)));
        members.push(("messages_delayed".to_owned(), Json::from(status.counts.delayed)));
        members.push(("open_files".to_owned(), json!({request.place.node.as_str(): 0})));
    }
    members
}

/// The queue that the path names.
pub(super) fn find(request: &Request) -> Result<Arc<QueueHandle>, Failure> {
    let vhost = request.vhost()?;
    request.broker.queue(vhost.as_str(), request.param("queue")).ok_or_else(Failure::not_found)
}

fn queue(request: &Request) -> Outcome {
    let queue = find(request)?;
    let mut shown = describe(request, Clock::of(request)?, &queue, Detail::Whole);
    if let Json::Object(members) = &mut shown
        && request.has_statistics()
    {
        let consumers = super::connections::consumers_of_queue(request, &queue);
        members.insert("consumer_details".to_owned(), consumers);
        // RabbitMQ fills them with `rates_mode = detailed` only.
        members.insert("incoming".to_owned(), json!([]));
        members.insert("deliveries".to_owned(), json!([]));
    }
    Ok(object(request, shown))
}

fn declare(request: &Request) -> Outcome {
    let vhost = request.vhost().map_err(|_| Failure::missing("vhost_not_found"))?;
    let name = request.name("queue").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    if name.as_str().is_empty() {
        return Err(Failure::bad_request("a queue needs a name"));
    }
    let body = request.object()?;
    let spec = QueueSpec {
        name: Some(name.clone()),
        durable: json::flag(&body, "durable", true)?,
        exclusive: false,
        auto_delete: json::flag(&body, "auto_delete", false)?,
        arguments: json::to_table(body.get("arguments"))?,
    };
    let session = request.session(&vhost)?;
    let there = request.broker.queue(vhost.as_str(), name.as_str()).is_some();
    let declared = session.declare_queue(spec)?;
    Ok(Answer::put(!there).after(declared.epoch))
}

fn remove(request: &Request) -> Outcome {
    let queue = find(request)?;
    let session = request.session(&queue.definition().vhost)?;
    let (_, epoch) = session.delete_queue(queue.name(), request.flag("if-unused"), request.flag("if-empty"))?;
    Ok(Answer::nothing().after(epoch))
}

fn purge(request: &Request) -> Outcome {
    let queue = find(request)?;
    request.session(&queue.definition().vhost)?.purge_queue(queue.name())?;
    Ok(Answer::nothing())
}

fn action(request: &Request) -> Outcome {
    find(request)?;
    match json::text(&request.object()?, "action")? {
        "sync" | "cancel_sync" => Ok(Answer::nothing()),
        other => Err(Failure::bad_request(format!("unknown action {other}"))),
    }
}

fn quorum_status(request: &Request) -> Outcome {
    let queue = find(request)?;
    if queue.kind() != QueueKind::Quorum {
        return Err(Failure::bad_request("classic queues have no status of members"));
    }
    Ok(Answer::json(&json!([{
        "Node Name": request.place.node,
        "Raft State": "leader",
        "Membership": "voter",
        "Last Log Index": 0,
        "Last Written": 0,
        "Last Applied": 0,
        "Commit Index": 0,
        "Snapshot Index": -1,
        "Term": 1,
        "Machine Version": 0,
    }])))
}

fn one_node(request: &Request) -> Outcome {
    find(request)?;
    Err(Failure::bad_request("there is one node: its queues have no other members"))
}

fn one_node_of_all(request: &Request) -> Outcome {
    if request.param("node") != request.place.node {
        return Err(Failure::not_found());
    }
    Err(Failure::bad_request("there is one node: its queues have no other members"))
}
