//! What a connection is told when it begins.

use crate::broker::stamps::Stamps;
use crate::tls::Secured;
use std::sync::Arc;
use std::time::Duration;

/// Limits and names for connections, the same for all of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest frame offered, in bytes; 0 = unlimited.
    pub frame_max: u32,
    /// Largest frame taken before connection.open, in bytes.
    pub initial_frame_max: u32,
    /// Channels a connection, as offered; 0 = no limit.
    pub channel_max: u16,
    /// Heartbeat interval offered, in seconds; 0 = none.
    pub heartbeat: u16,
    /// Largest message body, in bytes.
    pub max_message_size: u64,
    /// Consumers a channel; 0 = no limit.
    pub consumer_max_per_channel: u32,
    /// How long a delivery may wait for its acknowledgement; 0 = for ever.
    pub consumer_timeout: Duration,
    /// Bytes a connection may have published and not yet on disk before it is not read any further.
    pub unconfirmed_bytes_max: u64,
    /// Bytes of publishes that a connection may hold while an alarm lasts; past it, it is not read any further.
    pub held_bytes_max: u64,
    /// Time for the whole handshake, up to connection.open.
    pub handshake_timeout: Duration,
    /// What is written into messages as they come in.
    pub stamps: Option<Arc<Stamps>>,
    /// `product` of the server properties.
    pub product: String,
    /// `version` of the server properties.
    pub version: String,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address, `host:port`.
    pub address: String,
    /// Our address that it connected to, `host:port`.
    pub local: String,
    /// Whether it is on this machine.
    pub loopback: bool,
    /// The user whom its TLS certificate names, if it has shown one that is trusted.
    pub certificate_name: Option<String>,
    /// What TLS agreed on, if there is TLS.
    pub tls: Option<Box<Secured>>,
}
