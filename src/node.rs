//! The composition root: the only place that knows everything. Opens the store, recovers, starts the listeners; stops
//! them in reverse order.

mod certificates;
mod control;
mod imports;
mod listeners;
mod logins;
mod management;
mod seeds;

use crate::amqp::Settings;
use crate::auth;
use crate::broker::access::{Pattern, Permissions};
use crate::broker::queue::QueueKind;
use crate::broker::stamps::{Stamp, Stamps};
use crate::clock::{Now, SystemClock};
use crate::config::{self, Config, Effective, LogLevel, QueueType, SyncMode};
use crate::definitions::DefinitionsError;
use crate::engine::{Broker, FirstStart, FirstUser, Found, NodeLimits, Options};
use crate::http::Control;
use crate::limits::HANDSHAKES_MAX;
use crate::listener::{Lanes, Service};
use crate::name::Name;
use crate::span::Spans;
use crate::store::StoreError;
use crate::store::committer::SyncPolicy;
use crate::store::rocks::RocksStorage;
use crate::tls::{self, TlsError};
use control::NodeControl;
use listeners::Listeners;
use management::Management;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often free space on the data directory's disk is looked at.
const DISK_CHECK: Duration = Duration::from_secs(1);
/// What a disk that is slow, but not stuck, needs for the last commit beyond the shutdown timeout.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// Sets the level of the process's log; the error is for the user.
pub type SetLogLevel = fn(LogLevel) -> Result<(), String>;

/// Why a node does not start, or stops.
#[derive(Debug)]
pub enum NodeError {
    /// The storage.
    Store(StoreError),
    /// An address that cannot be listened on: the setting, the address, the system's words.
    Listen(&'static str, SocketAddr, std::io::Error),
    /// Certificates that cannot be used.
    Tls(TlsError),
    /// Definitions that are to be imported.
    Definitions(DefinitionsError),
    /// The disk failed while the node ran.
    Failed(String),
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Store(error) => error.fmt(f),
            NodeError::Listen(setting, address, error) => {
                write!(f, "{setting}: cannot listen on {address}: {error}")
            }
            NodeError::Tls(error) => write!(f, "TLS: {error}"),
            NodeError::Definitions(error) => write!(f, "definitions: {error}"),
            NodeError::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NodeError {}

impl From<StoreError> for NodeError {
    fn from(error: StoreError) -> NodeError {
        NodeError::Store(error)
    }
}

/// A running broker.
pub struct Node {
    broker: Arc<Broker>,
    addresses: Vec<SocketAddr>,
    http_addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
    lanes: Ending,
    shutdown_timeout: Duration,
    spans: Spans,
}

/// Ends the lanes with the node, however it ends.
struct Ending(Arc<Lanes>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Node {
    /// Starts a broker. To be called within a tokio runtime. `effective`: the settings as administrators are shown them;
    /// `set_log_level`: what sets the level of the process's log; `spans`: who collects traces.
    ///
    /// # Errors
    /// When the data directory is in use or damaged, or an address cannot be listened on.
    pub fn start(
        config: &Config,
        effective: &[Effective],
        set_log_level: SetLogLevel,
        spans: &Spans,
    ) -> Result<Node, NodeError> {
        let now = Now::read();
        let mut span = spans.begin("node start", false, now);
        let started = Self::begin(config, effective, set_log_level, spans, now.monotonic);
        match (&mut span, &started) {
            (Some(span), Ok(node)) => {
                let Found { queues, messages, .. } = node.broker.found();
                span.know("queues", queues as u64);
                span.know("messages", messages);
            }
            (Some(span), Err(error)) => span.fail(error.to_string()),
            (None, _) => {}
        }
        spans.end(span, Now::read());
        started
    }

    fn begin(
        config: &Config,
        effective: &[Effective],
        set_log_level: SetLogLevel,
        spans: &Spans,
        started: Instant,
    ) -> Result<Node, NodeError> {
        tls::install();
        // Before the store is touched: a port that is in use must not cost the mark of a clean stop.
        let listeners = Listeners::bind(config)?;
        let management = Management::bind(config, &listeners)?;
        let auth = Arc::new(logins::authenticator(config).map_err(|error| NodeError::Failed(error.to_string()))?);
        let definitions = imports::find(&config.definitions).map_err(NodeError::Definitions)?;
        let options = options(config)?;
        let storage = Arc::new(RocksStorage::open(&config.data_dir)?);
        let broker = Broker::start(storage, options)?;
        if let Some(found) = definitions {
            let mut span = spans.begin("definitions import", false, Now::read());
            let imported = imports::import(&broker, found, config);
            if let (Some(span), Err(error)) = (&mut span, &imported) {
                span.fail(error.to_string());
            }
            spans.end(span, Now::read());
            imported.map_err(NodeError::Definitions)?;
        }
        for vhost in &config.server.trace_vhosts {
            if let Err(refusal) = broker.set_tracing(vhost.as_str(), true) {
                tracing::warn!("server.trace_vhosts: {refusal}");
            }
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let service = Service {
            settings: Arc::new(settings(config)),
            broker: broker.clone(),
            auth,
            connection_max: match config.listener.connection_max {
                0 => 0,
                max => max as usize + HANDSHAKES_MAX,
            },
            open: Arc::default(),
            proxies: listeners::proxies(&config.listener.proxies),
            nodelay: config.listener.nodelay,
            stop: stop.clone(),
            lanes: Lanes::new(lane_count(config), tasks.clone()),
            spans: spans.clone(),
        };
        let lanes = Ending(service.lanes.clone());
        tell_start(config, broker.found(), started);
        let control = Arc::new(NodeControl::new(config, broker.clone(), set_log_level));
        let http = management.serve(config, effective, started, &service, control.clone());
        let http_addresses = http.addresses();
        let addresses = control.serve(listeners, &service, http);
        tokio::spawn(watch_disk(config.data_dir.clone(), control, stop.clone()));
        let (shutdown_timeout, spans) = (config.server.shutdown_timeout, spans.clone());
        Ok(Node { broker, addresses, http_addresses, stop, tasks, lanes, shutdown_timeout, spans })
    }

    /// Where it listens, port 0 replaced by what the system gave.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it serves the HTTP API, port 0 replaced by what the system gave.
    pub fn http_addresses(&self) -> &[SocketAddr] {
        &self.http_addresses
    }

    /// Waits until the disk has failed: then the node is to be stopped.
    pub async fn failed(&self) -> NodeError {
        NodeError::Failed(self.broker.failed().await)
    }

    /// Stops accepting, tells the clients, commits, and notes that the stop was clean.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn stop(self) -> Result<(), NodeError> {
        let (spans, mut span) = (self.spans.clone(), self.spans.begin("node stop", false, Now::read()));
        let outcome = self.end().await;
        if let (Some(span), Err(error)) = (&mut span, &outcome) {
            span.fail(error.to_string());
        }
        spans.end(span, Now::read());
        outcome
    }

    async fn end(self) -> Result<(), NodeError> {
        self.stop.cancel();
        self.tasks.close();
        let deadline = tokio::time::Instant::from_std(Now::read().monotonic) + self.shutdown_timeout;
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "clients did not close in time");
        }
        let (broker, lanes) = (self.broker, self.lanes);
        let stopped = tokio::task::spawn_blocking(move || {
            // Whoever has not closed does nothing any more that the last commit would miss.
            drop(lanes);
            broker.stop()
        });
        let Ok(stopped) = tokio::time::timeout_at(deadline + LAST_COMMIT, stopped).await else {
            return Err(NodeError::Failed("the disk did not take the last commit in time".to_owned()));
        };
        stopped.map_err(|error| NodeError::Failed(error.to_string()))??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// One line for whoever reads the log.
fn tell_start(config: &Config, found: Found, started: Instant) {
    let sync = match config.durability.sync {
        SyncMode::Always => "always",
        SyncMode::Interval => "interval",
        SyncMode::Never => "never",
    };
    let Found { queues, messages, clean_stop } = found;
    let milliseconds = Now::read().monotonic.saturating_duration_since(started).as_millis() as u64;
    let (version, data_dir) = (env!("CARGO_PKG_VERSION"), config.data_dir.display());
    tracing::info!(version, %data_dir, sync, queues, messages, clean_stop, milliseconds, "started");
}

/// Threads for connections: as many as the settings say, or as there are processors.
fn lane_count(config: &Config) -> usize {
    match config.server.worker_threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// The engine's settings.
fn options(config: &Config) -> Result<Options, NodeError> {
    let sync = match config.durability.sync {
        SyncMode::Always => SyncPolicy::Always,
        SyncMode::Interval => SyncPolicy::Interval(config.durability.interval),
        SyncMode::Never => SyncPolicy::Never,
    };
    // The definitions say what there is to be.
    let first_start = (!imports::wanted(&config.definitions)).then(|| first_start(config));
    Ok(Options {
        memory_budget: config.memory.budget(),
        held_publishes: config.memory.held(),
        cluster_name: config.server.cluster_name.as_str().to_owned(),
        node_name: node_name(config),
        event_vhost: config.server.event_vhost.clone(),
        sync,
        clock: Arc::new(SystemClock),
        connection_max: Some(config.listener.connection_max).filter(|max| *max > 0).map(u64::from),
        default_queue_type: match config.queues.default_type {
            QueueType::Classic => QueueKind::Classic,
            QueueType::Quorum => QueueKind::Quorum,
        },
        limits: node_limits(config)?,
        first_start,
    })
}

/// How much there may be on the node.
fn node_limits(config: &Config) -> Result<NodeLimits, NodeError> {
    let limits = &config.limits;
    let limit = |max| Some(u64::from(max)).filter(|max| *max > 0);
    Ok(NodeLimits {
        vhosts: limit(limits.vhost_max),
        queues: limit(limits.queue_max),
        exchanges: limit(limits.exchange_max),
        seeds: seeds::of(config)?,
    })
}

/// The node's name: the one that is set, behind whose `@` is the machine's name without its domain if it says none.
fn node_name(config: &Config) -> String {
    let named = match config.server.node_name.as_str() {
        "" => "warren",
        whole if whole.contains('@') => return whole.to_owned(),
        named => named,
    };
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{named}@{}", name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost"))
}

/// What is written into messages as they come in; None: nothing.
fn stamps(config: &Config) -> Option<Arc<Stamps>> {
    let stamp = |set| match set {
        config::Stamp::Off => None,
        config::Stamp::Missing => Some(Stamp::Missing),
        config::Stamp::Overwrite => Some(Stamp::Overwrite),
    };
    let (time, node) = (stamp(config.stamps.timestamp), stamp(config.stamps.routing_node));
    let wanted = time.is_some() || node.is_some();
    wanted.then(|| Arc::new(Stamps { time, node: node.map(|stamp| (stamp, node_name(config))) }))
}

/// What connections are told.
fn settings(config: &Config) -> Settings {
    Settings {
        frame_max: config.limits.frame_max,
        initial_frame_max: config.limits.initial_frame_max,
        stamps: stamps(config),
        channel_max: config.limits.channel_max,
        heartbeat: config.limits.heartbeat,
        max_message_size: config.limits.max_message_size,
        consumer_max_per_channel: config.limits.consumer_max_per_channel,
        consumer_timeout: config.limits.consumer_timeout,
        unconfirmed_bytes_max: config.limits.unconfirmed_bytes_max,
        held_bytes_max: config.limits.held_bytes_max,
        handshake_timeout: config.listener.handshake_timeout,
        product: "Warren".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// What a node has before anybody has made anything.
fn first_start(config: &Config) -> FirstStart {
    let (vhost, hashing) = (config.auth.default_vhost.clone(), logins::hashing(config));
    let (name, password) = (config.auth.default_user.clone(), config.auth.default_password.clone());
    let tags = config.auth.default_tags.clone();
    let make = move || {
        let tags: Vec<&str> = tags.iter().map(Name::as_str).collect();
        auth::user_hashed(name.as_str(), password.reveal(), &tags, hashing)
    };
    let [configure, write, read] =
        [&config.auth.default_configure, &config.auth.default_write, &config.auth.default_read]
            .map(|text| Pattern::new(text));
    FirstStart { vhost, user: FirstUser::new(make), permissions: Permissions { configure, write, read } }
}

/// Sets and clears the disk alarm. It clears with a tenth more than the limit, so that it does not flutter.
async fn watch_disk(path: std::path::PathBuf, control: Arc<NodeControl>, stop: CancellationToken) {
    let mut low = false;
    loop {
        let limit = control.disk_free_limit();
        if let Some(free) = free_space(&path) {
            low = free < if low { limit.saturating_add(limit / 10) } else { limit };
            control.broker().set_disk_low(low);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(DISK_CHECK) => {}
        }
    }
}

/// Bytes free on the file system of `path` for this process; None when it cannot be told.
fn free_space(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
