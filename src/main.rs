//! The `warren` program: arguments → settings → node → signal → stop.

use sd_notify::NotifyState;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use warren::cli::{self, Command};
use warren::config::{Config, Loaded};
use warren::node::{Node, NodeError};

/// One heap for Rust and RocksDB; it gives memory back to the system.
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// jemalloc's settings: freed memory goes back to the system within a fraction of a second, by a thread of its own.
#[allow(unsafe_code, reason = "jemalloc reads its settings from a symbol of this name")]
#[unsafe(export_name = "malloc_conf")]
pub static HEAP_SETTINGS: &std::ffi::CStr = c"background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0,narenas:4";

fn main() -> ExitCode {
    match cli::parse() {
        Ok(Command::Serve(loaded)) => serve(&loaded),
        Ok(Command::Perf(args)) => report(warren::perf::run(&args)),
        Err(code) => code,
    }
}

fn serve(Loaded { config, unused, .. }: &Loaded) -> ExitCode {
    // It goes last, and with it the last lines of the log.
    let _export = match cli::logging::start(config) {
        Ok(export) => export,
        Err(error) => return report(Err(error)),
    };
    for key in unused {
        tracing::warn!("RabbitMQ's setting means nothing here: {key}");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.server.worker_threads > 0 {
        runtime.worker_threads(config.server.worker_threads);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(format!("cannot start: {error}"))),
    };
    let outcome = runtime.block_on(run(config));
    // A stuck disk must not keep the process.
    runtime.shutdown_background();
    report(outcome.map_err(|error| error.to_string()))
}

async fn run(config: &Config) -> Result<(), NodeError> {
    // Before the port answers: whoever sees that the broker serves may stop it.
    let told_to_stop = told_to_stop();
    let node = Node::start(config, cli::logging::set_level)?;
    tell_system(NotifyState::Ready);
    let stopped = tokio::select! {
        () = told_to_stop => None,
        error = node.failed() => Some(error),
    };
    tracing::info!("stopping");
    tell_system(NotifyState::Stopping);
    let outcome = node.stop().await;
    match stopped {
        Some(error) => Err(error),
        None => outcome,
    }
}

/// Tells systemd, if it has started us.
fn tell_system(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// A wait for SIGTERM or SIGINT, which are listened to from this call on. Where no signal can be waited for, nothing ends the
/// wait.
fn told_to_stop() -> impl Future<Output = ()> {
    let [terminate, interrupt] = [SignalKind::terminate(), SignalKind::interrupt()].map(|kind| signal(kind).ok());
    async move {
        tokio::select! {
            () = heard(terminate) => {}
            () = heard(interrupt) => {}
        }
    }
}

async fn heard(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn report(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren: {error}");
            ExitCode::FAILURE
        }
    }
}
