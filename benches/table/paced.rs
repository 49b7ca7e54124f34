//! The floor of loads whose rate is given: a relay that waits for all its connections in one place, passes messages on,
//! reads what acknowledges them, and, for durable loads, appends and syncs what came and confirms it. What is left is what
//! this machine takes for waking up, for sockets and for its disk.

use crate::floor::{Floor, beside_relay, cpu, message};
use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// An acknowledgement's frame, and a confirm's.
const ACK: [u8; 21] = [7; 21];
/// What is read at once.
const READ: usize = 64 * 1024;
/// Events taken at once.
const EVENTS: usize = 64;
/// The publishers' clock among their events.
const CLOCK: u64 = u64::MAX;

/// A load of pairs of a publisher and a consumer.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub pairs: usize,
    /// Messages a second of all publishers together; they take turns.
    pub rate: f64,
    pub size: usize,
    pub durable: bool,
    pub time: Duration,
}

/// Runs the relay between publishers and consumers in this process.
pub fn run(load: Load, directory: &Path) -> Result<Floor, String> {
    let file = load.durable.then(|| directory.join("floor"));
    beside_relay("relay-paced", Some(load.pairs), file.as_deref(), |listener, relay| measure(listener, load, relay))
}

fn measure(listener: &TcpListener, load: Load, relay: u32) -> std::io::Result<Floor> {
    let accept = || {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let publishers = (0..load.pairs).map(|_| accept()).collect::<std::io::Result<Vec<_>>>()?;
    let consumers = (0..load.pairs).map(|_| accept()).collect::<std::io::Result<Vec<_>>>()?;
    let (started, before) = (Instant::now(), cpu(relay));
    let publishing = thread::spawn(move || publish(publishers, load, started));
    let latencies = consume(consumers, load, started)?;
    let used = cpu(relay).saturating_sub(before);
    // Their sockets stay open until the consumers have seen enough.
    drop(publishing.join().map_err(|_| std::io::Error::other("the publishers failed"))??);
    let quantile = |share| latencies.value_at_quantile(share) as f64 / 1e6;
    let messages = latencies.len() as f64;
    Ok(Floor {
        rate: messages / load.time.as_secs_f64(),
        cpu: used.as_secs_f64() * 1e6 / messages.max(1.0),
        p50: quantile(0.5),
        p99: quantile(0.99),
    })
}

/// Sends each message when it is due; the due time is its last eight bytes. Returns the sockets.
fn publish(mut streams: Vec<TcpStream>, load: Load, started: Instant) -> std::io::Result<Vec<TcpStream>> {
    let mut message = message(load.size);
    let stamp = message.len() - 8;
    let gap = Duration::from_secs_f64(1.0 / load.rate);
    let clock = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let spec = Timespec { tv_sec: gap.as_secs() as i64, tv_nsec: gap.subsec_nanos().into() };
    let spec = Itimerspec { it_interval: spec, it_value: Timespec { tv_sec: 0, tv_nsec: 1 } };
    let epoll = watch(&streams)?;
    epoll::add(&epoll, &clock, epoll::EventData::new_u64(CLOCK), epoll::EventFlags::IN)?;
    let first = started.elapsed();
    rustix::time::timerfd_settime(&clock, TimerfdTimerFlags::empty(), &spec)?;
    let (mut sent, mut bytes) = (0_u32, [0; READ]);
    while started.elapsed() < load.time {
        for place in wait(&epoll)? {
            if place == CLOCK {
                rustix::io::read(&clock, &mut [0; 8])?;
                continue;
            }
            // Confirms, however many.
            if streams[place as usize].read(&mut bytes)? == 0 {
                return Ok(streams);
            }
        }
        while started.elapsed() >= first + gap * sent {
            message[stamp..].copy_from_slice(&((first + gap * sent).as_nanos() as u64).to_be_bytes());
            streams[sent as usize % load.pairs].write_all(&message)?;
            sent += 1;
        }
    }
    Ok(streams)
}

/// Takes messages one by one and acknowledges each; how long after their due times they came, in nanoseconds.
fn consume(mut streams: Vec<TcpStream>, load: Load, started: Instant) -> std::io::Result<Histogram<u64>> {
    let mut message = message(load.size);
    let stamp = message.len() - 8;
    let mut latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(std::io::Error::other)?;
    let epoll = watch(&streams)?;
    while started.elapsed() < load.time {
        for place in wait(&epoll)? {
            let stream = &mut streams[place as usize];
            stream.read_exact(&mut message)?;
            let mut due = [0; 8];
            due.copy_from_slice(&message[stamp..]);
            let now = started.elapsed().as_nanos() as u64;
            latencies.saturating_record(now.saturating_sub(u64::from_be_bytes(due)));
            stream.write_all(&ACK)?;
        }
    }
    Ok(latencies)
}

/// The relay's process: connects `pairs` times for publishers, as often for consumers, and passes on what comes.
pub fn relay(port: u16, pairs: usize, file: Option<&Path>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("relay: {error}");
    let mut streams = Vec::new();
    for _ in 0..2 * pairs {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        streams.push(stream);
    }
    let file = file.map(File::create).transpose().map_err(failed)?;
    // Its other side has gone.
    let _ = pass_on(streams, pairs, file);
    Ok(())
}

fn pass_on(mut streams: Vec<TcpStream>, pairs: usize, mut file: Option<File>) -> std::io::Result<()> {
    let epoll = watch(&streams)?;
    let (mut bytes, mut kept, mut unconfirmed) = (vec![0; READ], Vec::new(), Vec::new());
    loop {
        for place in wait(&epoll)? {
            let place = place as usize;
            let read = streams[place].read(&mut bytes)?;
            if read == 0 {
                return Ok(());
            }
            if place < pairs {
                streams[pairs + place].write_all(&bytes[..read])?;
                if file.is_some() {
                    kept.extend_from_slice(&bytes[..read]);
                    unconfirmed.push(place);
                }
            }
        }
        if let Some(file) = file.as_mut().filter(|_| !kept.is_empty()) {
            file.write_all(&kept)?;
            file.sync_data()?;
            kept.clear();
            for place in unconfirmed.drain(..) {
                streams[place].write_all(&ACK)?;
            }
        }
    }
}

/// Waits for input of all streams; an event tells a stream's place.
fn watch(streams: &[impl AsFd]) -> std::io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (place, stream) in streams.iter().enumerate() {
        epoll::add(&epoll, stream, epoll::EventData::new_u64(place as u64), epoll::EventFlags::IN)?;
    }
    Ok(epoll)
}

fn wait(epoll: &OwnedFd) -> std::io::Result<impl Iterator<Item = u64>> {
    let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS];
    // The end of a run is seen in time.
    let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
    let count = match epoll::wait(epoll, &mut events, Some(&timeout)) {
        Ok(count) => count,
        Err(Errno::INTR) => 0,
        Err(error) => return Err(error.into()),
    };
    Ok(events.into_iter().take(count).map(|event| { event.data }.u64()))
}
