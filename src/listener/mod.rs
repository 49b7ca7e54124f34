//! Sockets: accepts them and drives one connection machine each.

mod drive;
mod input;
mod place;

use crate::amqp::{Connection, Peer, Settings};
use crate::auth::Authenticator;
use crate::clock::Now;
use crate::engine::Broker;
use place::Place;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after the system refused a socket (out of file descriptors): the listener backs off instead of spinning.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What every accepted connection is given.
#[derive(Clone)]
pub struct Service {
    /// Settings of connections.
    pub settings: Arc<Settings>,
    /// The broker.
    pub broker: Arc<Broker>,
    /// Who may log in.
    pub auth: Arc<Authenticator>,
    /// Sockets at a time; 0 = no limit.
    pub connection_max: usize,
    /// Connections there are.
    pub open: Arc<AtomicUsize>,
    /// Small writes are sent at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
    /// The connections' tasks.
    pub tasks: TaskTracker,
}

/// Binds an address.
///
/// # Errors
/// When the address is not ours, in use, or refused.
pub fn bind(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the node stops.
pub async fn accept(listener: TcpListener, service: Service) {
    loop {
        let accepted = tokio::select! {
            () = service.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => welcome(stream, address, &service),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn welcome(stream: TcpStream, address: SocketAddr, service: &Service) {
    let Some(place) = Place::take(&service.open, service.connection_max) else {
        tracing::warn!(%address, limit = service.connection_max, "connection refused: node connection limit reached");
        return;
    };
    let local = stream.local_addr().map(|local| local.to_string()).unwrap_or_default();
    let peer = Peer {
        address: address.to_string(),
        local,
        loopback: address.ip().to_canonical().is_loopback(),
        certificate_name: None,
    };
    // Without TCP_NODELAY the connection is slower, not wrong.
    let _ = stream.set_nodelay(service.nodelay);
    let (settings, broker, auth) = (service.settings.clone(), service.broker.clone(), service.auth.clone());
    let connection = Connection::new(settings, broker, auth, peer, Now::read());
    let stop = service.stop.clone();
    service.tasks.spawn(async move {
        let _place = place;
        drive::drive(stream, connection, stop).await;
    });
}
