//! What only this machine's tools may ask of the node, by the socket in its data directory: to stop serving clients and to go on, to
//! change limits while it runs, to copy its data. The node does it ([`Control`]); the endpoints are no part of RabbitMQ's API.

use super::answer::{Answer, Failure, Outcome};
use super::json;
use super::request::Request;
use super::route::{Needs, Route, Type, get, post, put};
use crate::version::RABBITMQ_VERSION;
use serde_json::{Value as Json, json};
use std::path::Path;

/// Whether a node serves clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// It does.
    Yes,
    /// It accepts no new ones.
    Suspended,
    /// It is in maintenance: it accepts none, and has closed the connections there were.
    Drained,
    /// The same, and the management API and the figures are closed too: only tools of this machine that ask for the node itself
    /// are answered (`rabbitmqctl stop_app`).
    Stopped,
}

impl Serving {
    const ALL: [Serving; 4] = [Serving::Yes, Serving::Suspended, Serving::Drained, Serving::Stopped];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Serving::Yes => "running",
            Serving::Suspended => "suspended",
            Serving::Drained => "drained",
            Serving::Stopped => "stopped",
        }
    }

    fn parse(name: &str) -> Option<Serving> {
        Serving::ALL.into_iter().find(|serving| serving.name() == name)
    }
}

/// A limit as an operator gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// In bytes.
    Bytes(u64),
    /// A share of the memory that the process may use.
    OfMemory(f64),
}

/// What can be changed while a node runs. Calls may take their while.
pub trait Control: Send + Sync {
    /// Whether it serves clients.
    fn serving(&self) -> Serving;
    /// Makes it so. The error is for the user.
    ///
    /// # Errors
    /// When an address cannot be listened on again.
    fn enter(&self, wanted: Serving) -> Result<(), String>;
    /// Bytes of messages that memory may hold.
    fn memory_limit(&self) -> u64;
    /// Sets them, until the node's end.
    fn set_memory_limit(&self, limit: Limit);
    /// Free bytes of the disk below which publishers are held; 0 = never.
    fn disk_free_limit(&self) -> u64;
    /// Sets them, until the node's end.
    fn set_disk_free_limit(&self, limit: Limit);
    /// Sets what is logged, until the node's end.
    ///
    /// # Errors
    /// When there is no such level.
    fn set_log_level(&self, level: &str) -> Result<(), String>;
}

/// What is answered while the node is stopped, in the words of RabbitMQ's tools.
pub const STOPPED: &str = "this command requires the 'rabbit' app to be running on the target node. Start it with \
                           'rabbitmqctl start_app'.";

/// Larger shares of memory than this are refused.
const SHARE_MAX: f64 = 10.0;

pub(super) const ROUTES: &[Route] = &[
    get(NODE, Needs::Administrator, node, "Whether the node serves clients"),
    put(SERVING, Needs::Administrator, serve, "Makes it serve clients, or not").takes(&[("serving", Type::Text, true)]),
    put("/node/memory-limit", Needs::Administrator, memory_limit, "Sets the memory for messages").takes(LIMIT),
    put("/node/disk-free-limit", Needs::Administrator, disk_limit, "Sets the least free space").takes(LIMIT),
    put("/node/log-level", Needs::Administrator, log_level, "Sets what is logged").takes(&[(
        "level",
        Type::Text,
        true,
    )]),
    post("/node/backup", Needs::Administrator, backup, "Copies the data to a new directory").takes(&[(
        "dir",
        Type::Text,
        true,
    )]),
];

const NODE: &str = "/node";
const SERVING: &str = "/node/serving";
const LIMIT: &[(&str, Type, bool)] = &[("bytes", Type::Integer, false), ("of_memory", Type::Any, false)];

/// Whether an endpoint is served while the node is stopped.
pub(super) fn serves(route: &Route) -> bool {
    [NODE, SERVING].contains(&route.path)
}

fn node(request: &Request) -> Outcome {
    let place = &request.place;
    Ok(Answer::json(&json!({
        "name": place.node,
        "serving": place.control.serving().name(),
        "os_pid": std::process::id(),
        "version": place.version,
        "rabbitmq_version": RABBITMQ_VERSION,
        "uptime": place.uptime_ms(),
        "data_dir": place.data_dir,
    })))
}

fn serve(request: &Request) -> Outcome {
    let body = request.object()?;
    let wanted = Serving::parse(json::text(&body, "serving")?);
    let wanted = wanted.ok_or_else(|| Failure::bad_request("serving: no such state"))?;
    request.place.control.enter(wanted).map_err(Failure::unavailable)?;
    Ok(Answer::nothing())
}

fn limit(request: &Request) -> Result<Limit, Failure> {
    let body = request.object()?;
    let share = body.get("of_memory").and_then(Json::as_f64);
    match (body.get("bytes").and_then(Json::as_u64), share) {
        (Some(bytes), None) => Ok(Limit::Bytes(bytes)),
        (None, Some(share)) if (0.0..=SHARE_MAX).contains(&share) => Ok(Limit::OfMemory(share)),
        _ => Err(Failure::bad_request("a limit is a number of bytes or a share of memory")),
    }
}

fn memory_limit(request: &Request) -> Outcome {
    request.place.control.set_memory_limit(limit(request)?);
    Ok(Answer::nothing())
}

fn disk_limit(request: &Request) -> Outcome {
    request.place.control.set_disk_free_limit(limit(request)?);
    Ok(Answer::nothing())
}

fn log_level(request: &Request) -> Outcome {
    let body = request.object()?;
    request.place.control.set_log_level(json::text(&body, "level")?).map_err(Failure::bad_request)?;
    Ok(Answer::nothing())
}

fn backup(request: &Request) -> Outcome {
    let body = request.object()?;
    let dir = Path::new(json::text(&body, "dir")?);
    if !dir.is_absolute() {
        return Err(Failure::bad_request("dir: no absolute path"));
    }
    request.broker.backup(dir).map_err(Failure::bad_request)?;
    tracing::info!(dir = %dir.display(), "backed up");
    Ok(Answer::nothing())
}
