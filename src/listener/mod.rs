//! Sockets: accepts them and drives one connection machine each.

mod drive;
mod input;
mod lanes;
mod place;
mod proxy;
mod socket;
mod trail;

pub use lanes::Lanes;
pub use proxy::Network;

use crate::amqp::{Connection, Peer, Settings};
use crate::auth::Authenticator;
use crate::clock::Now;
use crate::engine::Broker;
use crate::span::Spans;
use crate::tls;
use drive::Surroundings;
use place::Place;
use proxy::Told;
use socket::Socket;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use trail::Trail;

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
    /// Those whose word counts for who their clients are: they have to begin with a PROXY header.
    pub proxies: Arc<[Network]>,
    /// Small writes are sent at once (TCP_NODELAY).
    pub nodelay: bool,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
    /// The threads that drive connections.
    pub lanes: Arc<Lanes>,
    /// Who is told of connections when they are over.
    pub spans: Spans,
}

/// What the kernel is told of sockets. Those that are accepted have it of the one that listens.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// Connections held before they are accepted.
    pub backlog: u32,
    /// Clients that are silent for long are asked whether they are still there.
    pub keepalive: bool,
    /// Bytes kept of what comes in, and of what goes out; 0 = as many as the kernel likes.
    pub buffers: [u32; 2],
    /// Connections end with a reset.
    pub reset_on_close: bool,
}

impl SocketOptions {
    /// Nothing but how many connections are held before they are accepted.
    pub fn plain(backlog: u32) -> SocketOptions {
        SocketOptions { backlog, keepalive: false, buffers: [0, 0], reset_on_close: false }
    }

    fn apply(self, socket: &socket2::Socket) -> std::io::Result<()> {
        socket.set_keepalive(self.keepalive)?;
        let [receive, send] = self.buffers.map(|bytes| bytes as usize);
        if receive > 0 {
            socket.set_recv_buffer_size(receive)?;
        }
        if send > 0 {
            socket.set_send_buffer_size(send)?;
        }
        // With any other time a close would wait, and with it everybody else of its thread.
        if self.reset_on_close { socket.set_linger(Some(Duration::ZERO)) } else { Ok(()) }
    }
}

/// Binds an address. `only_ipv6`: an IPv6 address without an interface does not stand for IPv4's as well.
///
/// # Errors
/// When the address is not ours, in use, or refused.
pub fn bind(address: SocketAddr, only_ipv6: bool, options: SocketOptions) -> std::io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = match socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP)) {
        // A system without IPv6: all its interfaces are IPv4's.
        Err(_) if !only_ipv6 && address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            return bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false, options);
        }
        other => other?,
    };
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_ipv6)?;
    }
    socket.set_nonblocking(true)?;
    // Before it listens: the window that a connection begins with depends on it.
    options.apply(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until `end` is cancelled: with TLS if there is `tls`.
pub async fn accept(listener: TcpListener, tls: Option<Arc<tls::Server>>, service: Service, end: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => welcome(stream, address, tls.clone(), &service),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

fn welcome(stream: TcpStream, address: SocketAddr, tls: Option<Arc<tls::Server>>, service: &Service) {
    let Some(place) = Place::take(&service.open, service.connection_max) else {
        tracing::warn!(%address, limit = service.connection_max, "connection refused: node connection limit reached");
        return;
    };
    // Without TCP_NODELAY the connection is slower, not wrong.
    let _ = stream.set_nodelay(service.nodelay);
    let Ok(stream) = stream.into_std() else { return };
    let (accepted, task) = (Now::read(), service.clone());
    let lane = service.lanes.begin();
    service.lanes.spawn(lane, async move {
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        let arrival = Arrival { stream, address: canonical(address), tls };
        let prepared = tokio::select! {
            () = task.stop.cancelled() => return,
            prepared = arrival.prepare(&task, accepted) => prepared,
        };
        match prepared {
            Ok((socket, peer)) => {
                let trail = Trail::begin(&task.spans, accepted);
                let Service { settings, broker, auth, lanes, stop, .. } = task;
                let connection = Connection::new(settings, broker, auth, peer, accepted);
                // A task of its own: it has no room for what came before.
                lanes
                    .clone()
                    .spawn(lane, drive::drive(socket, connection, trail, Surroundings { lanes, stop, _place: place }));
            }
            Err(fault) => tracing::info!(connection = %canonical(address), "closed before AMQP: {fault}"),
        }
    });
}

/// A socket that was just accepted.
struct Arrival {
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<tls::Server>>,
}

impl Arrival {
    /// What comes before AMQP: who the client is, then TLS. Its time is part of the handshake's.
    async fn prepare(self, service: &Service, accepted: Now) -> Result<(Socket, Peer), String> {
        let Arrival { mut stream, address, tls } = self;
        let deadline = tokio::time::Instant::from_std(accepted.monotonic + service.settings.handshake_timeout);
        let local = stream.local_addr().map_err(|error| error.to_string())?;
        let (mut ends, mut loopback) = ((address, canonical(local)), address.ip().is_loopback());
        if service.proxies.iter().any(|network| network.contains(address.ip())) {
            let told = tokio::time::timeout_at(deadline, proxy::read(&mut stream)).await;
            let told = told.map_err(|_| "no PROXY header in time")?;
            if let Told::Ends(client, server) = told.map_err(|error| format!("PROXY protocol: {error}"))? {
                ends = (canonical(client), canonical(server));
                // A proxy elsewhere knows nothing of who is on this machine.
                loopback &= ends.0.ip().is_loopback();
            }
        }
        let mut peer = Peer {
            address: ends.0.to_string(),
            local: ends.1.to_string(),
            loopback,
            certificate_name: None,
            tls: None,
        };
        let Some(server) = tls else { return Ok((Socket::plain(stream), peer)) };
        let session = server.session().map_err(|error| error.to_string())?;
        let secured = tokio::time::timeout_at(deadline, Socket::secure(stream, session)).await;
        let secured = secured.map_err(|_| "no TLS handshake in time".to_owned())?;
        // Who it is, where a proxy has said so: the log has the socket's own address anyway.
        let of = if ends.0 == address { String::new() } else { format!(" of {}", ends.0) };
        let socket = secured.map_err(|error| format!("TLS handshake{of}: {error}"))?;
        let agreed = socket.session().map(|session| session.secured(server.login_from()));
        peer.certificate_name = agreed.as_ref().and_then(|agreed| agreed.certificate.as_ref()?.login.clone());
        peer.tls = agreed.map(Box::new);
        Ok((socket, peer))
    }
}

/// An IPv4 address that came as IPv6, as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    async fn accepted(options: SocketOptions) -> TcpStream {
        let listener = bind("127.0.0.1:0".parse().unwrap(), false, options).unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async {
            listener.accept().await.unwrap().0
        });
        drop(client);
        accepted
    }

    #[tokio::test]
    async fn accepted_sockets_have_the_listeners_options() {
        let plain = accepted(SocketOptions::plain(16)).await;
        let plain = SockRef::from(&plain);
        assert_eq!((plain.keepalive().unwrap(), plain.linger().unwrap()), (false, None));
        let options = SocketOptions { backlog: 16, keepalive: true, buffers: [40_000, 50_000], reset_on_close: true };
        let told = accepted(options).await;
        let told = SockRef::from(&told);
        assert_eq!((told.keepalive().unwrap(), told.linger().unwrap()), (true, Some(Duration::ZERO)));
        // Linux keeps as much again for itself.
        assert_eq!((told.recv_buffer_size().unwrap(), told.send_buffer_size().unwrap()), (80_000, 100_000));
    }
}
