//! What the machine itself takes: a relay that copies the same bytes blindly between two sockets, and, for durable loads,
//! appends them to a file and syncs it first. No broker can do with less.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use warren::wire::frame::FrameKind;
use warren::wire::output::{write_content, write_frame};
use warren::wire::properties::PropertiesBuilder;

/// Bytes that are copied at once.
const COPY: usize = 256 * 1024;

/// Bytes of a confirm: how many bytes are synced.
const CONFIRM: usize = 8;

/// A load in the floor's terms.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub size: usize,
    /// Messages that may be unconfirmed; `None`: nothing is synced.
    pub window: Option<u64>,
    pub time: Duration,
}

/// What the relay came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    pub rate: f64,
    /// CPU of the relay's process, microseconds a message.
    pub cpu: f64,
    /// Latencies in milliseconds, of loads whose rate is given.
    pub p50: f64,
    pub p99: f64,
}

/// The frames of one publish.
pub fn message(size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let key = b"warren.perf";
    let payload = [&b"\0\x3C\0\x28\0\0\0"[..], &[key.len() as u8], key, b"\0"].concat();
    write_frame(&mut out, FrameKind::Method, 1, &payload);
    let header = PropertiesBuilder { delivery_mode: Some(2), ..Default::default() }.content_header(size as u64);
    write_content(&mut out, 1, &header, &vec![7; size], 131_072);
    out
}

/// Runs the relay between a publisher and a consumer in this process.
pub fn run(load: Load, directory: &Path) -> Result<Floor, String> {
    let file = load.window.map(|_| directory.join("floor"));
    beside_relay("relay", None, file.as_deref(), |listener, relay| measure(listener, load, relay))
}

/// Measures beside a relay in a process of its own, which connects to the listener and writes `file`, if there is one, to the disk.
pub fn beside_relay(
    name: &str,
    pairs: Option<usize>,
    file: Option<&Path>,
    measure: impl FnOnce(&TcpListener, u32) -> std::io::Result<Floor>,
) -> Result<Floor, String> {
    let failed = |error: std::io::Error| format!("floor: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port().to_string();
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args([name, &port]).args(pairs.map(|pairs| pairs.to_string())).args(file).stdin(Stdio::null());
    let mut relay = command.spawn().map_err(failed)?;
    let outcome = measure(&listener, relay.id());
    let _ = relay.kill();
    let _ = relay.wait();
    // It may not have come to make it.
    let _ = file.map(fs::remove_file);
    outcome.map_err(failed)
}

fn measure(listener: &TcpListener, load: Load, relay: u32) -> std::io::Result<Floor> {
    let (publisher, _) = listener.accept()?;
    let (mut consumer, _) = listener.accept()?;
    let message = message(load.size);
    let length = message.len() as u64;
    let started = Instant::now();
    let before = cpu(relay);
    let blast = thread::spawn(move || publish(publisher, &message, load));
    let mut buffer = vec![0; COPY];
    let mut bytes = 0;
    loop {
        match consumer.read(&mut buffer)? {
            0 => break,
            count => bytes += count as u64,
        }
        if started.elapsed() >= load.time {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let used = cpu(relay).saturating_sub(before);
    drop(consumer);
    // It ends with the connection.
    let _ = blast.join();
    let messages = bytes as f64 / length as f64;
    Ok(Floor { rate: messages / seconds, cpu: used.as_secs_f64() * 1e6 / messages.max(1.0), ..Default::default() })
}

/// Writes messages, within the window if there is one, until the other side has enough.
fn publish(mut stream: TcpStream, message: &[u8], load: Load) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let block = message.repeat((COPY / message.len()).max(1));
    let Some(window) = load.window else {
        loop {
            stream.write_all(&block)?;
        }
    };
    let (mut sent, mut confirmed) = (0_u64, 0_u64);
    let room = window * message.len() as u64;
    loop {
        let count = (room - (sent - confirmed)).min(block.len() as u64);
        let count = count - count % message.len() as u64;
        stream.write_all(block.get(..count as usize).unwrap_or_default())?;
        sent += count;
        if sent - confirmed + message.len() as u64 > room {
            let mut confirm = [0; CONFIRM];
            stream.read_exact(&mut confirm)?;
            confirmed = u64::from_be_bytes(confirm);
        }
    }
}

/// The relay's process: connects to `port` twice, and copies from the first connection to the second.
pub fn relay(port: u16, file: Option<&Path>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("relay: {error}");
    let connect = || TcpStream::connect(("127.0.0.1", port));
    let (mut from, mut to) = (connect().map_err(failed)?, connect().map_err(failed)?);
    from.set_nodelay(true).map_err(failed)?;
    to.set_nodelay(true).map_err(failed)?;
    let mut file = file.map(File::create).transpose().map_err(failed)?;
    let mut buffer = vec![0; COPY];
    let mut total = 0_u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => count,
        };
        let bytes = buffer.get(..count).unwrap_or_default();
        total += count as u64;
        if let Some(file) = &mut file {
            file.write_all(bytes).and_then(|()| file.sync_data()).map_err(failed)?;
            if from.write_all(&total.to_be_bytes()).is_err() {
                return Ok(());
            }
        }
        if to.write_all(bytes).is_err() {
            return Ok(());
        }
    }
}

/// Appends of `size` bytes a second, one after the other, each synced.
pub fn disk_rate(directory: &Path, size: usize, time: Duration) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("disk: {error}");
    let path = directory.join("disk");
    let mut file = File::create(&path).map_err(failed)?;
    let bytes = vec![7; size];
    let started = Instant::now();
    let mut count = 0_u64;
    while started.elapsed() < time {
        file.write_all(&bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        count += 1;
    }
    let rate = count as f64 / started.elapsed().as_secs_f64();
    fs::remove_file(path).map_err(failed)?;
    Ok(rate)
}

/// CPU time of a process so far.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}
