//! What an operator changes while the node runs: whether clients are served, limits, the log.

use super::SetLogLevel;
use super::listeners::{Doors, Listeners};
use super::management::HttpDoors;
use crate::clock::Now;
use crate::config::{Config, LogLevel, memory_available};
use crate::engine::Broker;
use crate::http::{Control, Limit, Serving};
use crate::listener::Service;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often it is looked whether clients have gone.
const LOOK: Duration = Duration::from_millis(10);

/// The node, as its operator's tools see it.
pub(super) struct NodeControl {
    broker: Arc<Broker>,
    set_log_level: SetLogLevel,
    /// Time that clients have for closing.
    patience: Duration,
    serving: Mutex<Serving>,
    /// Where clients come in, and where HTTP is served; locked while that changes.
    doors: OnceLock<tokio::sync::Mutex<(Doors, HttpDoors)>>,
    memory_limit: AtomicU64,
    disk_free_limit: AtomicU64,
}

impl NodeControl {
    /// For a node with these settings, which does not serve yet.
    pub fn new(config: &Config, broker: Arc<Broker>, set_log_level: SetLogLevel) -> NodeControl {
        NodeControl {
            broker,
            set_log_level,
            patience: config.server.shutdown_timeout,
            serving: Mutex::new(Serving::Yes),
            doors: OnceLock::new(),
            memory_limit: AtomicU64::new(config.memory.budget()),
            disk_free_limit: AtomicU64::new(config.disk.free_limit),
        }
    }

    /// Lets clients in from now on, beside those of `http`. Returns where.
    pub fn serve(&self, listeners: Listeners, service: &Service, http: HttpDoors) -> Vec<SocketAddr> {
        let doors = listeners.serve(service);
        let addresses = doors.addresses();
        // It is called once.
        let _ = self.doors.set(tokio::sync::Mutex::new((doors, http)));
        addresses
    }

    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    async fn change(&self, wanted: Serving) -> Result<(), String> {
        let doors = self.doors.get().ok_or("the node is starting")?;
        let mut doors = doors.lock().await;
        let (doors, http) = &mut *doors;
        if wanted != Serving::Stopped {
            http.open().map_err(|error| format!("cannot listen again on {error}"))?;
        }
        match wanted {
            Serving::Yes => {
                self.broker.admit(true);
                if !doors.are_open() {
                    doors.open().map_err(|error| format!("cannot listen again on {error}"))?;
                }
            }
            Serving::Suspended => doors.close().await,
            Serving::Drained | Serving::Stopped => {
                // First of all: who comes in just now is told, or seen below.
                self.broker.admit(false);
                doors.close().await;
                *self.serving.lock() = wanted;
                if wanted == Serving::Stopped {
                    http.close().await;
                }
                self.end_clients(wanted).await;
            }
        }
        *self.serving.lock() = wanted;
        tracing::warn!("the node is {}", wanted.name());
        Ok(())
    }

    /// Closes all connections, and waits until they are.
    async fn end_clients(&self, wanted: Serving) {
        let explanation = match wanted {
            Serving::Drained => "Node was put into maintenance mode",
            _ => "broker forced connection closure with reason 'shutdown'",
        };
        let closed = self.broker.close_all_connections(explanation);
        tracing::warn!(closed, "connections of clients are closed");
        let deadline = Now::read().monotonic + self.patience;
        while !self.broker.connections().is_empty() {
            if Now::read().monotonic > deadline {
                tracing::warn!("clients did not close in time");
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn bytes(limit: Limit) -> u64 {
        match limit {
            Limit::Bytes(bytes) => bytes,
            Limit::OfMemory(share) => memory_available().map_or(0, |bytes| (bytes as f64 * share) as u64),
        }
    }
}

impl Control for NodeControl {
    fn serving(&self) -> Serving {
        *self.serving.lock()
    }

    fn enter(&self, wanted: Serving) -> Result<(), String> {
        Handle::current().block_on(self.change(wanted))
    }

    fn memory_limit(&self) -> u64 {
        self.memory_limit.load(Ordering::Relaxed)
    }

    fn set_memory_limit(&self, limit: Limit) {
        let bytes = NodeControl::bytes(limit);
        self.memory_limit.store(bytes, Ordering::Relaxed);
        self.broker.set_memory_budget(bytes);
        tracing::warn!(bytes, "memory.high_watermark is set until the node ends");
    }

    fn disk_free_limit(&self) -> u64 {
        self.disk_free_limit.load(Ordering::Relaxed)
    }

    fn set_disk_free_limit(&self, limit: Limit) {
        let bytes = NodeControl::bytes(limit);
        self.disk_free_limit.store(bytes, Ordering::Relaxed);
        tracing::warn!(bytes, "disk.free_limit is set until the node ends");
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        let known = match level {
            "none" | "off" => LogLevel::Off,
            "error" | "critical" | "alert" | "emergency" => LogLevel::Error,
            "warning" | "warn" => LogLevel::Warn,
            "info" | "notice" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            _ => return Err(format!("level {level} is not supported. Try one of debug, info, warning, error, none")),
        };
        (self.set_log_level)(known)
    }
}
