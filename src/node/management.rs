//! The management API, the figures for Prometheus and the socket of this machine's tools: bound before the store is touched, served
//! once it is there.

use super::NodeError;
use super::control::NodeControl;
use super::listeners::Listeners;
use crate::clock::Now;
use crate::config::{Config, Effective, QueueType};
use crate::engine::Broker;
use crate::http::{self, Place};
use crate::listener::{Service, bind};
use crate::tls;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// The file of the socket for tools on this machine, in the data directory.
const SOCKET: &str = "control.sock";

type Bound = Vec<(SocketAddr, TcpListener)>;

/// Sockets that are bound, and not yet served.
pub(super) struct Management {
    plain: Bound,
    secure: Bound,
    figures: Bound,
    amqp: Vec<(SocketAddr, bool)>,
    tls: Option<Arc<tls::Server>>,
}

impl Management {
    /// Binds every address of the settings, beside those of AMQP.
    pub fn bind(config: &Config, listeners: &Listeners) -> Result<Management, NodeError> {
        let (management, backlog) = (&config.management, config.listener.backlog);
        Ok(Management {
            plain: bind_all("management.address", &management.address, backlog)?,
            secure: bind_all("management.tls_address", &management.tls_address, backlog)?,
            figures: bind_all("prometheus.address", &config.prometheus.address, backlog)?,
            amqp: listeners.addresses(),
            tls: listeners.tls().cloned(),
        })
    }

    /// Serves them from now on, and takes samples. Returns where the API is, plain first.
    pub fn serve(
        self,
        config: &Config,
        effective: &[Effective],
        started: Instant,
        node: &Service,
        control: Arc<NodeControl>,
    ) -> Vec<SocketAddr> {
        let (broker, stop) = (&node.broker, &node.stop);
        let place = Arc::new(self.place(config, effective, started, control));
        let service = http::Service::new(broker.clone(), node.auth.clone(), place, stop.clone());
        let app = http::server::api(&service);
        let addresses = self.plain.iter().chain(&self.secure).map(|(address, _)| *address).collect();
        let secure = self.secure.into_iter().map(|(address, listener)| (address, listener, self.tls.clone()));
        let plain = self.plain.into_iter().map(|(address, listener)| (address, listener, None));
        for (address, listener, tls) in plain.chain(secure) {
            tracing::info!(%address, tls = tls.is_some(), "serving the management API");
            tokio::spawn(http::serve(listener, tls, service.clone(), app.clone()));
        }
        // Places of their own: clients of the API must keep neither Prometheus nor this machine's tools out.
        let service = service.separate();
        for (address, listener) in self.figures {
            tracing::info!(%address, "serving figures for Prometheus");
            tokio::spawn(http::serve(listener, None, service.clone(), http::server::figures(&service)));
        }
        match bind_socket(&config.data_dir.join(SOCKET)) {
            Ok(listener) => drop(tokio::spawn({
                let service = service.separate();
                let app = http::server::tools(&service);
                http::socket::serve_tools(listener, service, app)
            })),
            Err(error) => tracing::warn!(%error, "no socket for this machine's tools"),
        }
        tokio::spawn(take_samples(config.management.sample_interval, broker.clone(), stop.clone()));
        addresses
    }

    /// What the API says of the node.
    fn place(&self, config: &Config, effective: &[Effective], started: Instant, control: Arc<NodeControl>) -> Place {
        let amqp = self.amqp.iter().map(|(address, secure)| (if *secure { "amqp/ssl" } else { "amqp" }, address));
        let http = [("http", &self.plain), ("https", &self.secure), ("http/prometheus", &self.figures)];
        let http = http.iter().flat_map(|(protocol, bound)| bound.iter().map(|(address, _)| (*protocol, address)));
        let listener =
            |(protocol, address): (&'static str, &SocketAddr)| http::Listener { protocol, address: *address };
        Place {
            node: format!("warren@{}", host_name()),
            version: env!("CARGO_PKG_VERSION"),
            started,
            data_dir: config.data_dir.clone(),
            listeners: amqp.chain(http).map(listener).collect(),
            tls: self.tls.clone(),
            control,
            max_message_size: config.limits.max_message_size,
            connection_max: config.listener.connection_max,
            mechanisms: config.auth.mechanisms.clone(),
            default_queue_type: match config.queues.default_type {
                QueueType::Classic => "classic",
                QueueType::Quorum => "quorum",
            },
            sample_interval_ms: config.management.sample_interval.as_millis() as u64,
            cors: http::Cors {
                origins: config.management.cors_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
                max_age: config.management.cors_max_age.as_secs(),
            },
            settings: effective.iter().map(|one| (one.key, one.value.clone(), one.origin.clone())).collect(),
        }
    }
}

fn bind_all(setting: &'static str, addresses: &[SocketAddr], backlog: u32) -> Result<Bound, NodeError> {
    let bound = addresses.iter().map(|address| {
        let refused = |error| NodeError::Listen(setting, *address, error);
        let same_port = |other: &&SocketAddr| other.is_ipv4() && other.port() == address.port() && other.port() != 0;
        let only_ipv6 = addresses.iter().any(|other| same_port(&other));
        let listener = bind(*address, only_ipv6, backlog).map_err(refused)?;
        Ok((listener.local_addr().map_err(refused)?, listener))
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

/// The machine's name, without its domain.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("localhost").to_owned()
}

/// Takes samples of what is counted.
async fn take_samples(interval: Duration, broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        let next = Now::read().monotonic + interval;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep_until(next.into()) => {}
        }
        let broker = broker.clone();
        // On a thread for blocking work: many queues may have changed.
        if tokio::task::spawn_blocking(move || broker.sample()).await.is_err() {
            return;
        }
    }
}
