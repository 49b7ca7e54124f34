//! The node at a glance, who asks, and what the API can do.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::object;
use super::place::ERLANG_VERSION;
use super::request::Request;
use super::rights::Credentials;
use super::route::{Needs, Route, Type, get, post, put};
use super::stats;
use crate::broker::topology::ExchangeKind;
use crate::name::Name;
use crate::version::RABBITMQ_VERSION;
use serde_json::{Value as Json, json};

pub(super) const ROUTES: &[Route] = &[
    get("/overview", Needs::Management, overview, "The node and its totals"),
    get("/cluster-name", Needs::Management, cluster_name, "The cluster's name"),
    put("/cluster-name", Needs::Administrator, set_cluster_name, "Names the cluster").takes(&[(
        "name",
        Type::Text,
        true,
    )]),
    get("/version", Needs::Management, version, "The version"),
    get("/whoami", Needs::Management, who_am_i, "The user who asks"),
    get("/config/effective", Needs::Administrator, settings, "The settings in effect, without secrets"),
    get("/extensions", Needs::Management, extensions, "Extensions of the user interface: none"),
    get("/auth", Needs::Nothing, auth, "How to log in"),
    post("/login", Needs::Nothing, login, "Checks a name and a password given as a form")
        .takes(&[("username", Type::Text, true), ("password", Type::Text, true)]),
    get("/feature-flags", Needs::Administrator, feature_flags, "Feature flags"),
    put("/feature-flags/{name}/enable", Needs::Administrator, enable_feature_flag, "Enables a feature flag"),
    get("/deprecated-features", Needs::Administrator, no_features, "Deprecated features: none"),
    get("/deprecated-features/used", Needs::Administrator, no_features, "Deprecated features in use: none"),
    post("/rebalance/queues", Needs::Administrator, nothing_to_do, "Rebalances queue leaders: there is one node"),
];

fn exchange_types() -> Json {
    let types = ExchangeKind::all_names();
    types.map(|name| json!({"name": name, "description": format!("{name} exchange"), "enabled": true})).collect()
}

fn listeners(request: &Request) -> Json {
    let listeners = request.place.listening().map(|listener| {
        json!({
            "node": request.place.node,
            "protocol": listener.protocol,
            "ip_address": listener.address.ip().to_string(),
            "port": listener.address.port(),
            "socket_opts": {},
        })
    });
    listeners.collect()
}

/// The HTTP listeners in RabbitMQ's older form.
pub(super) fn contexts(request: &Request) -> Json {
    let http = request.place.listeners.iter().filter(|listener| listener.protocol.starts_with("http"));
    http.map(|listener| {
        json!({
            "node": request.place.node,
            "description": if listener.protocol == "http/prometheus" { "RabbitMQ Prometheus" } else { "RabbitMQ Management" },
            "path": "/",
            "port": listener.address.port().to_string(),
            "ip": listener.address.ip().to_string(),
            "ssl_opts": [],
            "protocol": listener.protocol,
        })
    })
    .collect()
}

fn overview(request: &Request) -> Outcome {
    let (vhosts, offer) = (request.vhosts()?, &request.place.offer);
    let [cluster_tags, node_tags] = request.place.tags.each_ref().map(|tags| labels(tags));
    let mut overview = json!({
        "management_version": RABBITMQ_VERSION,
        "rates_mode": offer.rates_mode(),
        "sample_retention_policies": {"global": [600], "basic": [60], "detailed": [60]},
        "exchange_types": exchange_types(),
        "product_version": request.place.version,
        "product_name": "Warren",
        "rabbitmq_version": RABBITMQ_VERSION,
        "cluster_name": request.broker.cluster_name(),
        "cluster_tags": cluster_tags,
        "node_tags": node_tags,
        "erlang_version": ERLANG_VERSION,
        "erlang_full_version": format!("Warren {} (no Erlang)", request.place.version),
        "crypto_lib_version": "aws-lc",
        "release_series_support_status": "supported",
        "disable_stats": !offer.statistics,
        "default_queue_type": request.place.default_queue_type,
        "is_op_policy_updating_enabled": offer.operator_policy_changes,
        "enable_queue_totals": offer.queue_totals,
        "statistics_db_event_queue": 0,
        "node": request.place.node,
        "object_totals": object_totals(request, &vhosts),
    });
    if let Json::Object(members) = &mut overview {
        if request.caller.is_monitor() {
            members.insert("listeners".to_owned(), listeners(request));
            members.insert("contexts".to_owned(), contexts(request));
        }
        if request.has_statistics() {
            members.extend(stats::overview(request, &vhosts)?);
        }
    }
    Ok(object(request, overview))
}

fn labels(tags: &[(String, String)]) -> Json {
    Json::Object(tags.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect())
}

fn object_totals(request: &Request, vhosts: &[Name]) -> Json {
    let (mut queues, mut exchanges) = (0, 0);
    for vhost in vhosts {
        let objects = request.broker.objects_in(vhost.as_str());
        queues += objects.queues;
        exchanges += objects.exchanges;
    }
    let mut connections = request.broker.connections();
    connections.retain(|connection| super::connections::may_see(request, connection.user()));
    let channels = connections.iter().flat_map(|connection| connection.channels());
    let (channels, consumers) =
        channels.fold((0, 0), |(channels, consumers), channel| (channels + 1, consumers + channel.consumer_count()));
    json!({
        "connections": connections.len(),
        "channels": channels,
        "exchanges": exchanges,
        "queues": queues,
        "consumers": consumers,
    })
}

fn cluster_name(request: &Request) -> Outcome {
    Ok(object(request, json!({"name": request.broker.cluster_name()})))
}

fn set_cluster_name(request: &Request) -> Outcome {
    let body = request.object()?;
    let name = json::text(&body, "name")?;
    Ok(Answer::nothing().after(request.broker.name_cluster(name)?))
}

fn version(request: &Request) -> Outcome {
    Ok(Answer::json(&Json::from(request.place.version)))
}

fn who_am_i(request: &Request) -> Outcome {
    let identity = &request.caller.identity;
    let tags: Vec<&str> = identity.tags.iter().map(Name::as_str).collect();
    Ok(object(
        request,
        json!({"name": identity.user.as_str(), "tags": tags, "is_internal_user": identity.authority.is_none()}),
    ))
}

fn settings(request: &Request) -> Outcome {
    let settings = request.place.settings.iter();
    let shown = settings.map(|(name, value, origin)| json!({"name": name, "value": value, "origin": origin}));
    Ok(object(request, shown.collect()))
}

fn extensions(_: &Request) -> Outcome {
    Ok(Answer::json(&json!([])))
}

fn auth(_: &Request) -> Outcome {
    Ok(Answer::json(&json!({"oauth_enabled": false})))
}

/// The credentials of a login form.
///
/// # Errors
/// A field is missing.
pub(super) fn form_credentials(body: &[u8]) -> Result<Credentials, Failure> {
    let fields: Vec<(String, String)> = super::server::decode_query(&String::from_utf8_lossy(body));
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    match (field("username"), field("password")) {
        (Some(user), Some(password)) => Ok(Credentials::new(user, password)),
        _ => Err(Failure::not_authenticated()),
    }
}

fn login(request: &Request) -> Outcome {
    // Whoever gets here was let in by the form's name and password.
    who_am_i(request)
}

fn feature_flags(_: &Request) -> Outcome {
    let flags = FEATURE_FLAGS.iter().map(|(name, desc)| {
        json!({
            "name": name, "desc": desc, "state": "enabled", "stability": "required",
            "provided_by": "rabbit", "doc_url": "", "require_level": "hard",
            "callbacks": [], "experiment_level": null,
        })
    });
    Ok(Answer::json(&flags.collect()))
}

/// The feature flags of RabbitMQ whose behaviour is the broker's.
const FEATURE_FLAGS: &[(&str, &str)] = &[
    ("classic_mirrored_queue_version", "Support setting version for classic mirrored queues"),
    ("classic_queue_type_delivery_support", "Bug fix for classic queue deliveries"),
    ("direct_exchange_routing_v2", "v2 direct exchange routing"),
    ("drop_unroutable_metric", "Count unroutable publishes to be dropped in stats"),
    ("empty_basic_get_metric", "Count AMQP basic.get on empty queues in stats"),
    ("feature_flags_v2", "Feature flags subsystem V2"),
    ("implicit_default_bindings", "Default bindings are now implicit, instead of being stored in the database"),
    ("message_containers", "Message containers"),
    ("quorum_queue", "Support queues of type `quorum`"),
    ("user_limits", "Configure connection and channel limits for a user"),
    ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
];

fn enable_feature_flag(request: &Request) -> Outcome {
    let known = FEATURE_FLAGS.iter().any(|(name, _)| *name == request.param("name"));
    if known { Ok(Answer::nothing()) } else { Err(Failure::bad_request("Unsupported feature flag")) }
}

fn no_features(_: &Request) -> Outcome {
    Ok(Answer::json(&json!([])))
}

fn nothing_to_do(_: &Request) -> Outcome {
    Ok(Answer::nothing())
}
