//! The management API, the figures for Prometheus and the socket of this machine's tools: bound before the store is touched, served
//! once it is there.

use super::NodeError;
use super::certificates::Certificates;
use super::control::NodeControl;
use super::listeners::{Address, Listeners};
use crate::clock::Now;
use crate::config::{Config, Effective, QueueType, RatesMode};
use crate::engine::Broker;
use crate::http::{self, Place};
use crate::listener::{Service, SocketOptions, bind};
use crate::span::Spans;
use crate::tls;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The file of the socket for tools on this machine, in the data directory.
const SOCKET: &str = "control.sock";

type Bound = Vec<(Address, TcpListener)>;

/// Sockets that are bound, and not yet served.
pub(super) struct Management {
    plain: Bound,
    secure: Bound,
    figures: Bound,
    amqp: Vec<(SocketAddr, bool)>,
    backlog: u32,
    certificates: Certificates,
}

impl Management {
    /// Binds every address of the settings, beside those of AMQP.
    pub fn bind(config: &Config, listeners: &Listeners) -> Result<Management, NodeError> {
        let (management, backlog) = (&config.management, config.listener.backlog);
        Ok(Management {
            plain: bind_all("management.address", &management.address, false, backlog)?,
            secure: bind_all("management.tls_address", &management.tls_address, true, backlog)?,
            figures: bind_all("prometheus.address", &config.prometheus.address, false, backlog)?,
            amqp: listeners.addresses(),
            backlog,
            certificates: listeners.certificates().clone(),
        })
    }

    /// Serves them from now on, and takes samples.
    pub fn serve(
        self,
        config: &Config,
        effective: &[Effective],
        started: Instant,
        node: &Service,
        control: Arc<NodeControl>,
    ) -> HttpDoors {
        let (broker, stop) = (&node.broker, &node.stop);
        let place = Arc::new(self.place(config, effective, started, (control, node.spans.clone())));
        let service = http::Service::new(broker.clone(), node.auth.clone(), place.clone(), stop.clone());
        // Places of their own: clients of the API must keep neither Prometheus nor this machine's tools out.
        match bind_socket(&config.data_dir.join(SOCKET)) {
            Ok(listener) => drop(tokio::spawn({
                let service = service.separate();
                let app = http::server::tools(&service);
                http::socket::serve_tools(listener, service, app)
            })),
            Err(error) => tracing::warn!(%error, "no socket for this machine's tools"),
        }
        tokio::spawn(take_samples(config.management.sample_interval, broker.clone(), place.clone(), stop.clone()));
        let mut doors = HttpDoors {
            stop: stop.clone(),
            figures_service: service.separate(),
            service,
            tls: self.certificates.http,
            backlog: self.backlog,
            api: Vec::new(),
            figures: Vec::new(),
            end: stop.child_token(),
            tasks: Vec::new(),
        };
        doors.serve(self.plain.into_iter().chain(self.secure).collect(), self.figures);
        doors
    }

    /// What the API says of the node.
    fn place(
        &self,
        config: &Config,
        effective: &[Effective],
        started: Instant,
        (control, spans): (Arc<NodeControl>, Spans),
    ) -> Place {
        let amqp = self.amqp.iter().map(|(address, secure)| (if *secure { "amqp/ssl" } else { "amqp" }, address));
        let http = [("http", &self.plain), ("https", &self.secure), ("http/prometheus", &self.figures)];
        let http = http.iter().flat_map(|(protocol, bound)| bound.iter().map(|(at, _)| (*protocol, &at.address)));
        let listener =
            |(protocol, address): (&'static str, &SocketAddr)| http::Listener { protocol, address: *address };
        Place {
            node: super::node_name(config),
            version: env!("CARGO_PKG_VERSION"),
            started,
            started_at: started_at(started),
            threads: Arc::default(),
            data_dir: config.data_dir.clone(),
            listeners: amqp.chain(http).map(listener).collect(),
            tls: self.certificates.each().cloned().collect(),
            control,
            max_message_size: config.limits.max_message_size,
            connection_max: config.listener.connection_max,
            mechanisms: config.auth.mechanisms.clone(),
            default_queue_type: match config.queues.default_type {
                QueueType::Classic => "classic",
                QueueType::Quorum => "quorum",
            },
            sample_interval_ms: config.management.sample_interval.as_millis() as u64,
            tags: [config.server.cluster_tags.clone(), config.server.node_tags.clone()],
            offer: http::Offer {
                path_prefix: config.management.path_prefix.clone(),
                statistics: !config.management.disable_stats,
                queue_totals: config.management.enable_queue_totals,
                message_stats: config.management.rates_mode == RatesMode::Basic,
                operator_policy_changes: config.management.operator_policy_changes,
                per_object_metrics: config.prometheus.per_object,
                basic_auth: config.management.basic_auth,
            },
            stamps: super::stamps(config),
            cors: http::Cors {
                origins: config.management.cors_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
                max_age: config.management.cors_max_age.as_secs(),
            },
            spans,
            config_files: effective.iter().filter_map(|one| one.file.clone()).collect(),
            settings: effective.iter().map(|one| (one.key, one.value.clone(), one.origin.clone())).collect(),
        }
    }
}

/// Where the management API and the figures are served: they can be closed, and opened again.
pub(super) struct HttpDoors {
    stop: CancellationToken,
    service: http::Service,
    figures_service: http::Service,
    tls: Option<Arc<tls::Server>>,
    backlog: u32,
    api: Vec<Address>,
    figures: Vec<Address>,
    end: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl HttpDoors {
    /// Where the API is, plain first; port 0 replaced by what the system gave.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.api.iter().map(|address| address.address).collect()
    }

    /// Closes the sockets and ends their connections.
    pub async fn close(&mut self) {
        self.end.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // Its panic, if any, was reported by its own thread; the socket is closed then, too.
            let _ = task.await;
        }
    }

    /// Opens those again that were closed, all of them or none; open ones stay.
    ///
    /// # Errors
    /// When somebody else listens there meanwhile.
    pub fn open(&mut self) -> Result<(), String> {
        if !self.end.is_cancelled() {
            return Ok(());
        }
        let bind = |addresses: &[Address]| {
            addresses
                .iter()
                .map(|address| address.bind_again(SocketOptions::plain(self.backlog)))
                .collect::<Result<Bound, String>>()
        };
        let (api, figures) = (bind(&self.api)?, bind(&self.figures)?);
        self.end = self.stop.child_token();
        self.serve(api, figures);
        Ok(())
    }

    fn serve(&mut self, api: Bound, figures: Bound) {
        self.api = api.iter().map(|(address, _)| *address).collect();
        self.figures = figures.iter().map(|(address, _)| *address).collect();
        let service = self.service.until(self.end.clone());
        let app = http::server::api(&service);
        for (Address { address, secure, .. }, listener) in api {
            tracing::info!(%address, tls = secure, "serving the management API");
            let tls = self.tls.clone().filter(|_| secure);
            self.tasks.push(tokio::spawn(http::serve(listener, tls, service.clone(), app.clone())));
        }
        let service = self.figures_service.until(self.end.clone());
        let app = http::server::figures(&service);
        for (Address { address, .. }, listener) in figures {
            tracing::info!(%address, "serving figures for Prometheus");
            self.tasks.push(tokio::spawn(http::serve(listener, None, service.clone(), app.clone())));
        }
    }
}

fn bind_all(setting: &'static str, addresses: &[SocketAddr], secure: bool, backlog: u32) -> Result<Bound, NodeError> {
    let bound = addresses.iter().map(|address| {
        let refused = |error| NodeError::Listen(setting, *address, error);
        let same_port = |other: &&SocketAddr| other.is_ipv4() && other.port() == address.port() && other.port() != 0;
        let only_ipv6 = addresses.iter().any(|other| same_port(&other));
        let listener = bind(*address, only_ipv6, SocketOptions::plain(backlog)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok((Address { address, secure, only_ipv6 }, listener))
    });
    bound.collect()
}

/// A socket that only this process's user can open: whoever can is an administrator. What a process before us has left is
/// removed: the data directory is ours alone by now.
fn bind_socket(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A moment in the past by the wall clock, in milliseconds.
fn started_at(started: Instant) -> u64 {
    let now = Now::read();
    now.wall_ms.saturating_sub(now.monotonic.saturating_duration_since(started).as_millis() as u64)
}

/// Takes samples of what is counted.
async fn take_samples(interval: Duration, broker: Arc<Broker>, place: Arc<Place>, stop: CancellationToken) {
    loop {
        let next = Now::read().monotonic + interval;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
        let (broker, place) = (broker.clone(), place.clone());
        // On a thread for blocking work: many queues may have changed.
        if tokio::task::spawn_blocking(move || broker.sample(place.uses(&broker))).await.is_err() {
            return;
        }
    }
}
