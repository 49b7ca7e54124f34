//! The `warren` program: arguments → settings → node → signal → stop.

use sd_notify::NotifyState;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use warren::cli::{self, Command};
use warren::config::{Config, Effective, Loaded};
use warren::node::{Node, NodeError};
use warren::span::Spans;

/// A start is over, its threads have begun their work.
const START_OVER: std::time::Duration = std::time::Duration::from_secs(1);

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

fn serve(Loaded { config, unused, effective }: &Loaded) -> ExitCode {
    // It goes last, and with it the last lines of the log.
    let (_export, spans) = match cli::logging::start(config) {
        Ok(started) => started,
        Err(error) => return report(Err(error)),
    };
    for key in unused {
        tracing::warn!("RabbitMQ's setting means nothing here: {key}");
    }
    // For what is not on the way of messages; connections have threads of their own (`listener::Lanes`).
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(Err(format!("cannot start: {error}"))),
    };
    let outcome = runtime.block_on(run(config, effective, &spans));
    // A stuck disk must not keep the process.
    runtime.shutdown_background();
    report(outcome.map_err(|error| error.to_string()))
}

async fn run(config: &Config, effective: &[Effective], spans: &Spans) -> Result<(), NodeError> {
    // Before the port answers: whoever sees that the broker serves may stop it.
    let told_to_stop = told_to_stop();
    let node = Node::start(config, effective, cli::logging::set_level, spans)?;
    tell_system(NotifyState::Ready);
    tokio::spawn(async {
        tokio::time::sleep(START_OVER).await;
        forget_start();
    });
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

/// Takes the pages of the program and its libraries out of this process's memory: most were needed for the start only, RocksDB's
/// above all. What is needed again comes from the system's cache.
#[allow(unsafe_code, reason = "madvise")]
fn forget_start() {
    use rustix::mm::{Advice, madvise};
    let (Ok(maps), Ok(program)) = (std::fs::read_to_string("/proc/self/smaps"), std::env::current_exe()) else {
        return;
    };
    for (from, to) in clean_pages(&maps, &program.to_string_lossy()) {
        // SAFETY: these pages are of the program or its libraries, which stay where they are as long as it runs, and were never
        // written to: what comes back is what was there.
        let advised = unsafe { madvise(std::ptr::with_exposed_provenance_mut(from), to - from, Advice::LinuxDontNeed) };
        tracing::debug!(?advised, bytes = to - from, "what only the start needs is not kept in memory");
    }
}

/// The address ranges of a program's and its libraries' pages that this process only reads and has no copy of, as
/// `/proc/PID/smaps` tells.
fn clean_pages(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    let (mut clean, mut place) = (Vec::new(), None);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if let Some((from, to)) = first.split_once('-') {
            let ends = usize::from_str_radix(from, 16).ok().zip(usize::from_str_radix(to, 16).ok());
            let is_code = line.ends_with(program) || line.contains(".so");
            place = ends.filter(|_| is_code && second.starts_with('r') && !second.contains('w'));
        } else if first == "Anonymous:" && second == "0" {
            clean.extend(place.take());
        }
    }
    clean
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_to_or_is_no_code_stays() {
        let smaps = "1000-3000 r-xp 00000000 fe:00 7    /usr/lib/libc.so.6\nRss:   8 kB\nAnonymous:         0 kB\n\
                     3000-4000 r--p 00000000 fe:00 7    /usr/lib/libc.so.6\nAnonymous:         4 kB\n\
                     4000-5000 rw-p 00000000 fe:00 7    /usr/lib/libc.so.6\nAnonymous:         0 kB\n\
                     5000-6000 r--p 00000000 00:00 0    [vvar]\nAnonymous:         0 kB\n\
                     6000-7000 r--p 00000000 00:00 0\nAnonymous:         0 kB\n\
                     7000-8000 r--p 00000000 fe:00 8    /data/000012.sst\nAnonymous:         0 kB\n\
                     8000-9000 r--p 00000000 fe:00 8    /a b/warren\nAnonymous:         0 kB\nVmFlags: rd mr\n";
        assert_eq!(clean_pages(smaps, "/a b/warren"), [(0x1000, 0x3000), (0x8000, 0x9000)]);
    }
}
