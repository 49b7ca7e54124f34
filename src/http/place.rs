//! What the API says of the node itself.

use super::control::{Control, Serving};
use super::cors::Cors;
use super::offer::Offer;
use crate::broker::stamps::Stamps;
use crate::clock::Now;
use crate::engine::{Broker, ProcessSample};
use crate::metrics::process::{self, Threads};
use crate::span::Spans;
use crate::tls;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// An address that the node listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// RabbitMQ's name of the protocol: `amqp`, `amqp/ssl`, `http`, `https`, `http/prometheus`.
    pub protocol: &'static str,
    /// The address.
    pub address: SocketAddr,
}

/// The node.
#[derive(Clone)]
pub struct Place {
    /// Its name.
    pub node: String,
    /// Warren's version.
    pub version: &'static str,
    /// When it started.
    pub started: Instant,
    /// The same by the wall clock, in milliseconds.
    pub started_at: u64,
    /// The process's threads.
    pub threads: Arc<Threads>,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// The certificates, where TLS is spoken.
    pub tls: Vec<Arc<tls::Server>>,
    /// What can be changed while it runs.
    pub control: Arc<dyn Control>,
    /// Largest message body, in bytes.
    pub max_message_size: u64,
    /// Connections there may be; 0 = no limit.
    pub connection_max: u32,
    /// SASL mechanisms on offer.
    pub mechanisms: Vec<&'static str>,
    /// The type of queues whose declaration names none.
    pub default_queue_type: &'static str,
    /// Milliseconds between two samples of the numbers that rates are made of.
    pub sample_interval_ms: u64,
    /// Words about the cluster, and about the node, by names.
    pub tags: [Vec<(String, String)>; 2],
    /// What of the API is offered.
    pub offer: Offer,
    /// What is written into messages that are published by it.
    pub stamps: Option<Arc<Stamps>>,
    /// Sites whose pages may use the API.
    pub cors: Cors,
    /// Who is told of requests when they are answered.
    pub spans: Spans,
    /// The configuration files that say something.
    pub config_files: BTreeSet<PathBuf>,
    /// Every setting in effect: its key, its value as TOML without secrets, where it comes from.
    pub settings: Vec<(&'static str, String, String)>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("node", &self.node).finish_non_exhaustive()
    }
}

/// The version of OTP that such a RabbitMQ would run on; clients only show it.
pub const ERLANG_VERSION: &str = "27";

impl Place {
    /// What it listens on at this moment.
    pub fn listening(&self) -> impl Iterator<Item = &Listener> {
        let serving = self.control.serving();
        self.listeners.iter().filter(move |listener| match serving {
            Serving::Yes => true,
            Serving::Suspended | Serving::Drained => !listener.protocol.starts_with("amqp"),
            Serving::Stopped => false,
        })
    }

    /// Milliseconds since the start.
    pub fn uptime_ms(&self) -> u64 {
        Now::read().monotonic.saturating_duration_since(self.started).as_millis() as u64
    }

    /// What the process uses.
    pub fn uses(&self, broker: &Broker) -> ProcessSample {
        let usage = process::usage();
        ProcessSample {
            memory: usage.resident,
            files: usage.open_files,
            sockets: broker.connections().len() as u64,
            threads: usage.threads,
            disk_free: self.disk_free().unwrap_or(0),
            switches: self.threads.look().switches,
        }
    }

    /// Bytes free on the data directory's file system; None when it cannot be told.
    pub fn disk_free(&self) -> Option<u64> {
        let found = rustix::fs::statvfs(&self.data_dir).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
