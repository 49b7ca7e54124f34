//! Users, permissions, topic permissions.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, post, put};
use crate::auth::password;
use crate::broker::access::{HashAlgorithm, PasswordHash, Permissions, User};
use crate::definitions::export;
use crate::engine::{PermissionRecord, TopicPermissionRecord};
use crate::name::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

const PATTERNS: &[(&str, Type, bool)] =
    &[("configure", Type::Text, true), ("write", Type::Text, true), ("read", Type::Text, true)];

pub(super) const ROUTES: &[Route] = &[
    get("/users", Needs::Administrator, users, "All users").paged(),
    get("/users/without-permissions", Needs::Administrator, without_permissions, "Users who may not do anything"),
    post("/users/bulk-delete", Needs::Administrator, bulk_delete, "Deletes users").takes(&[(
        "users",
        Type::List,
        true,
    )]),
    get("/users/{user}", Needs::Administrator, user, "A user"),
    put("/users/{user}", Needs::Administrator, set, "Makes a user, or changes one").takes(&[
        ("password", Type::Text, false),
        ("password_hash", Type::Text, false),
        ("hashing_algorithm", Type::Text, false),
        ("tags", Type::Any, false),
    ]),
    delete("/users/{user}", Needs::Administrator, remove, "Deletes a user"),
    get("/users/{user}/permissions", Needs::Administrator, permissions_of, "A user's permissions"),
    get("/users/{user}/topic-permissions", Needs::Administrator, topics_of, "A user's topic permissions"),
    get("/permissions", Needs::Administrator, permissions, "All permissions").paged(),
    get("/permissions/{vhost}/{user}", Needs::Administrator, permission, "A user's permissions in a virtual host"),
    put("/permissions/{vhost}/{user}", Needs::Administrator, set_permission, "Sets them").takes(PATTERNS),
    delete("/permissions/{vhost}/{user}", Needs::Administrator, clear_permission, "Clears them"),
    get("/topic-permissions", Needs::Administrator, topics, "All topic permissions").paged(),
    get(
        "/topic-permissions/{vhost}/{user}",
        Needs::Administrator,
        topics_there,
        "A user's topic permissions in a virtual host",
    ),
    put("/topic-permissions/{vhost}/{user}", Needs::Administrator, set_topic, "Sets them for an exchange").takes(&[
        ("exchange", Type::Text, true),
        ("write", Type::Text, true),
        ("read", Type::Text, true),
    ]),
    delete("/topic-permissions/{vhost}/{user}", Needs::Administrator, clear_topics, "Clears them for all exchanges"),
    get(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        Needs::Administrator,
        topics_there,
        "The same for one exchange",
    ),
    delete("/topic-permissions/{vhost}/{user}/{exchange}", Needs::Administrator, clear_topics, "Clears them"),
    get("/auth/hash_password/{password}", Needs::Management, hash, "Hashes a password"),
    get("/auth/attempts/{node}", Needs::Monitoring, attempts, "Logins, counted"),
    get("/auth/attempts/{node}/source", Needs::Monitoring, sources, "The same by client: not kept"),
    delete("/auth/attempts/{node}/source", Needs::Monitoring, forget_attempts, "Accepted; nothing is kept"),
    delete("/auth/attempts/{node}", Needs::Monitoring, forget_attempts, "Accepted; the counts of the node stay"),
];

fn known(request: &Request) -> Result<Arc<User>, Failure> {
    request.broker.user(request.param("user")).ok_or_else(Failure::not_found)
}

fn users(request: &Request) -> Outcome {
    list_users(request, request.broker.users())
}

fn list_users(request: &Request, users: Vec<Arc<User>>) -> Outcome {
    list(request, users, |user| Ident::new("", user.name.as_str()), |user| export::user(user))
}

fn without_permissions(request: &Request) -> Outcome {
    let permitted = request.broker.permissions();
    let mut users = request.broker.users();
    users.retain(|user| permitted.iter().all(|record| record.user != user.name));
    list_users(request, users)
}

fn bulk_delete(request: &Request) -> Outcome {
    let body = request.object()?;
    let names = body.get("users").ok_or_else(|| json::missing("users"))?;
    let wrong = || Failure::bad_request("users: a list of names is expected");
    let names = names.as_array().ok_or_else(wrong)?;
    let names: Vec<&str> = names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let mut epoch = None;
    for name in names {
        // One who is not there need not be deleted.
        epoch = epoch.max(request.broker.delete_user(name).ok().flatten());
    }
    Ok(Answer::nothing().after(epoch))
}

fn user(request: &Request) -> Outcome {
    Ok(object(request, export::user(&*known(request)?)))
}

fn set(request: &Request) -> Outcome {
    let name = request.name("user").map_err(|_| Failure::bad_request("a name is at most 255 bytes long"))?;
    if name.as_str().is_empty() {
        return Err(Failure::bad_request("a user needs a name"));
    }
    let body = request.object()?;
    let before = request.broker.user(name.as_str());
    let given = |key: &str| body.get(key).is_some_and(|value| !value.is_null());
    if !given("tags") && before.is_none() {
        return Err(Failure::bad_request("tags_not_present"));
    }
    let tags = if given("tags") {
        json::names(&body, "tags")?
    } else {
        before.as_ref().map(|user| user.tags.clone()).unwrap_or_default()
    };
    // RabbitMQ: a user set without a password has none from then on.
    let password = password_of(&body, request.auth.hashing())?.unwrap_or_default();
    let limits = before.as_ref().map(|user| user.limits).unwrap_or_default();
    let user = User { name, password, tags, limits };
    let epoch = request.broker.put_user(user);
    Ok(Answer::put(before.is_none()).after(epoch))
}

/// The password that a body gives, hashed; as `hashing` says if it does not name a way. None when it gives none.
fn password_of(body: &Map<String, Json>, hashing: HashAlgorithm) -> Result<Option<PasswordHash>, Failure> {
    let named = json::optional_text(body, "hashing_algorithm")?
        .map(|name| HashAlgorithm::parse(name).ok_or_else(|| Failure::bad_request("unknown hashing algorithm")));
    let named = named.transpose()?;
    if let Some(hash) = json::optional_text(body, "password_hash")? {
        let salted = STANDARD.decode(hash).map_err(|_| Failure::bad_request("password_hash: no base64"))?;
        let is_phc = salted.starts_with(b"$argon2id$");
        let algorithm = named.unwrap_or(if is_phc { HashAlgorithm::Argon2id } else { HashAlgorithm::Sha256 });
        return Ok(Some(PasswordHash { algorithm, salted }));
    }
    match json::optional_text(body, "password")? {
        None | Some("") => Ok(None),
        Some(password) => {
            let hashed = password::hash(password.as_bytes(), named.unwrap_or(hashing));
            Ok(Some(hashed.map_err(|fault| Failure::unavailable(fault.to_string()))?))
        }
    }
}

fn remove(request: &Request) -> Outcome {
    let user = known(request)?;
    let epoch = request.broker.delete_user(user.name.as_str())?;
    Ok(Answer::nothing().after(epoch))
}

fn list_permissions(request: &Request, keep: impl Fn(&PermissionRecord) -> bool) -> Outcome {
    let mut records = request.broker.permissions();
    records.retain(keep);
    list(request, records, |record| Ident::new(record.vhost.as_str(), record.user.as_str()), export::permission)
}

fn permissions(request: &Request) -> Outcome {
    list_permissions(request, |_| true)
}

pub(super) fn permissions_in(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    list_permissions(request, |record| record.vhost == vhost)
}

fn permissions_of(request: &Request) -> Outcome {
    let user = known(request)?;
    list_permissions(request, |record| record.user == user.name)
}

fn one_permission(request: &Request) -> Result<PermissionRecord, Failure> {
    let (vhost, user) = (request.vhost()?, known(request)?);
    let mut records = request.broker.permissions().into_iter();
    records.find(|record| record.vhost == vhost && record.user == user.name).ok_or_else(Failure::not_found)
}

fn permission(request: &Request) -> Outcome {
    Ok(object(request, export::permission(&one_permission(request)?)))
}

fn set_permission(request: &Request) -> Outcome {
    let nobody = || Failure::bad_request("vhost_or_user_not_found");
    let vhost = request.vhost().map_err(|_| nobody())?;
    let user = known(request).map_err(|_| nobody())?;
    let body = request.object()?;
    json::require(&body, &["configure", "write", "read"])?;
    let [configure, write, read] = ["configure", "write", "read"].map(|key| json::text(&body, key));
    let permissions = Permissions::checked(configure?, write?, read?);
    let permissions =
        permissions.map_err(|(pattern, fault)| Failure::bad_request(format!("invalid regexp '{pattern}': {fault}")))?;
    let mut records = request.broker.permissions().into_iter();
    let there = records.any(|record| record.vhost == vhost && record.user == user.name);
    let epoch = request.broker.set_permissions(user.name.as_str(), vhost.as_str(), Some(permissions))?;
    Ok(Answer::put(!there).after(epoch))
}

fn clear_permission(request: &Request) -> Outcome {
    let record = one_permission(request)?;
    let epoch = request.broker.set_permissions(record.user.as_str(), record.vhost.as_str(), None)?;
    Ok(Answer::nothing().after(epoch))
}

fn list_topics(request: &Request, keep: impl Fn(&TopicPermissionRecord) -> bool) -> Outcome {
    let mut records = request.broker.topic_permissions();
    records.retain(keep);
    list(request, records, |record| Ident::new(record.vhost.as_str(), record.user.as_str()), export::topic_permission)
}

fn topics(request: &Request) -> Outcome {
    list_topics(request, |_| true)
}

pub(super) fn topics_in(request: &Request) -> Outcome {
    let vhost = request.vhost()?;
    list_topics(request, |record| record.vhost == vhost)
}

fn topics_of(request: &Request) -> Outcome {
    let user = known(request)?;
    list_topics(request, |record| record.user == user.name)
}

/// A user's topic permissions in a virtual host; of one exchange, if the path names one.
fn some_topics(request: &Request) -> Result<Vec<TopicPermissionRecord>, Failure> {
    let (vhost, user) = (request.vhost()?, known(request)?);
    let exchange = request.has_param("exchange").then(|| request.exchange("exchange")).transpose()?;
    let mut records = request.broker.topic_permissions();
    records.retain(|record| {
        record.vhost == vhost
            && record.user == user.name
            && exchange.as_ref().is_none_or(|name| record.exchange == *name)
    });
    if records.is_empty() { Err(Failure::not_found()) } else { Ok(records) }
}

fn topics_there(request: &Request) -> Outcome {
    let ident = |record: &TopicPermissionRecord| Ident::new(record.vhost.as_str(), record.exchange.as_str());
    list(request, some_topics(request)?, ident, export::topic_permission)
}

fn set_topic(request: &Request) -> Outcome {
    let (vhost, user) = (request.vhost()?, known(request)?);
    let body = request.object()?;
    json::require(&body, &["exchange", "write", "read"])?;
    let [exchange, write, read] = ["exchange", "write", "read"].map(|key| json::text(&body, key));
    let exchange = exchange?;
    let exchange = Name::new(exchange).ok_or_else(|| Failure::bad_request("exchange: longer than 255 bytes"))?;
    let (user, vhost, patterns) = (user.name.as_str(), vhost.as_str(), Some((write?, read?)));
    let mut records = request.broker.topic_permissions().into_iter();
    let there = records
        .any(|record| record.vhost.as_str() == vhost && record.user.as_str() == user && record.exchange == exchange);
    let epoch = request.broker.set_topic_permissions(user, vhost, &exchange, patterns)?;
    Ok(Answer::put(!there).after(epoch))
}

fn clear_topics(request: &Request) -> Outcome {
    let mut epoch = None;
    for record in some_topics(request)? {
        let (user, vhost) = (record.user.as_str(), record.vhost.as_str());
        epoch = epoch.max(request.broker.set_topic_permissions(user, vhost, &record.exchange, None)?);
    }
    Ok(Answer::nothing().after(epoch))
}

fn hash(request: &Request) -> Outcome {
    let hashed = password::hash(request.param("password").as_bytes(), HashAlgorithm::default());
    let hashed = hashed.map_err(|fault| Failure::unavailable(fault.to_string()))?;
    Ok(Answer::json(&json!({"ok": STANDARD.encode(hashed.salted)})))
}

fn attempts(request: &Request) -> Outcome {
    if request.param("node") != request.place.node {
        return Err(Failure::not_found());
    }
    let by_protocol = request.broker.churn().logins().map(|(protocol, succeeded, failed)| {
        json!({
            "protocol": protocol,
            "auth_attempts": succeeded + failed,
            "auth_attempts_succeeded": succeeded,
            "auth_attempts_failed": failed,
        })
    });
    Ok(object(request, by_protocol.into_iter().collect()))
}

fn sources(request: &Request) -> Outcome {
    if request.param("node") == request.place.node { Ok(Answer::json(&json!([]))) } else { Err(Failure::not_found()) }
}

fn forget_attempts(request: &Request) -> Outcome {
    if request.param("node") == request.place.node { Ok(Answer::nothing()) } else { Err(Failure::not_found()) }
}
