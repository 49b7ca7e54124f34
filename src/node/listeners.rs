//! The node's listeners: bound before the store is touched, served once it is there.

use super::NodeError;
use super::certificates::Certificates;
use crate::config::Config;
use crate::listener::{Network, Service, SocketOptions, accept, bind};
use crate::tls;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An address that is listened on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub address: SocketAddr,
    pub secure: bool,
    /// Somebody else of us listens on the port with IPv4.
    pub only_ipv6: bool,
}

impl Address {
    /// Listens there again.
    pub fn bind_again(self, options: SocketOptions) -> Result<(Address, TcpListener), String> {
        let listener = bind(self.address, self.only_ipv6, options);
        listener.map(|listener| (self, listener)).map_err(|error| format!("{}: {error}", self.address))
    }
}

/// Sockets that are bound, and not yet served.
pub(super) struct Listeners {
    bound: Vec<(Address, TcpListener)>,
    options: SocketOptions,
    certificates: Certificates,
}

impl Listeners {
    /// Reads the certificates and binds every address of the settings. A port that is in use must not cost the mark of a
    /// clean stop, so this comes first of all.
    pub fn bind(config: &Config) -> Result<Listeners, NodeError> {
        let certificates = Certificates::load(config)?;
        let settings = &config.listener;
        let plain = settings.address.iter().map(|address| (*address, false));
        let wanted: Vec<_> = plain.chain(settings.tls_address.iter().map(|address| (*address, true))).collect();
        if wanted.is_empty() {
            return Err(NodeError::Failed("listener.address and listener.tls_address name nothing".to_owned()));
        }
        let options = SocketOptions {
            backlog: settings.backlog,
            keepalive: settings.keepalive,
            buffers: [settings.receive_buffer, settings.send_buffer],
            reset_on_close: settings.reset_on_close,
        };
        let mut bound = Vec::new();
        for (address, secure) in &wanted {
            let setting = if *secure { "listener.tls_address" } else { "listener.address" };
            let refused = |error| NodeError::Listen(setting, *address, error);
            let same_port = |other: &SocketAddr| other.port() == address.port() && other.port() != 0;
            let only_ipv6 = wanted.iter().any(|(other, _)| other.is_ipv4() && same_port(other));
            let listener = bind(*address, only_ipv6, options).map_err(refused)?;
            let address = listener.local_addr().map_err(refused)?;
            bound.push((Address { address, secure: *secure, only_ipv6 }, listener));
        }
        Ok(Listeners { bound, options, certificates })
    }

    /// Where they are bound, and whether TLS is spoken there.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        self.bound.iter().map(|(address, _)| (address.address, address.secure)).collect()
    }

    /// The certificates of all that is served.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Accepts connections from now on, and watches the certificates.
    pub fn serve(self, service: &Service) -> Doors {
        tokio::spawn(self.certificates.clone().watch(service.stop.clone()));
        let mut doors = Doors {
            service: service.clone(),
            tls: self.certificates.amqp,
            options: self.options,
            addresses: self.bound.iter().map(|(address, _)| *address).collect(),
            end: service.stop.child_token(),
            tasks: Vec::new(),
        };
        self.bound.into_iter().for_each(|(address, listener)| doors.open_one(address, listener));
        doors
    }
}

/// The addresses at which clients come in: they can be closed, and opened again.
pub(super) struct Doors {
    service: Service,
    tls: Option<Arc<tls::Server>>,
    options: SocketOptions,
    addresses: Vec<Address>,
    end: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Where clients come in, port 0 replaced by what the system gave.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.iter().map(|address| address.address).collect()
    }

    /// Whether clients can come in.
    pub fn are_open(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Closes the sockets. Connections stay.
    pub async fn close(&mut self) {
        self.end.cancel();
        for task in std::mem::take(&mut self.tasks) {
            // Its panic, if any, was reported by its own thread; the socket is closed then, too.
            let _ = task.await;
        }
    }

    /// Opens those again that were closed: all of them or none.
    ///
    /// # Errors
    /// When somebody else listens there meanwhile.
    pub fn open(&mut self) -> Result<(), String> {
        let bound = self.addresses.iter().map(|address| address.bind_again(self.options));
        let bound: Vec<_> = bound.collect::<Result<_, String>>()?;
        self.end = self.service.stop.child_token();
        bound.into_iter().for_each(|(address, listener)| self.open_one(address, listener));
        Ok(())
    }

    fn open_one(&mut self, Address { address, secure, .. }: Address, listener: TcpListener) {
        tracing::info!(%address, tls = secure, "listening");
        let tls = self.tls.clone().filter(|_| secure);
        self.tasks.push(tokio::spawn(accept(listener, tls, self.service.clone(), self.end.clone())));
    }
}

/// Whose word counts for who their clients are.
pub(super) fn proxies(networks: &[(IpAddr, u8)]) -> Arc<[Network]> {
    networks.iter().map(|(address, bits)| Network { address: *address, bits: *bits }).collect()
}
