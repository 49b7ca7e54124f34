//! The broker as a child process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest wait for a broker to answer, or to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(60);

/// Output kept of a broker, in bytes: the newest.
const OUTPUT_BYTES: usize = 1 << 20;

/// A port of 127.0.0.1 nobody listens on right now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A running `warren serve`; killed when dropped.
pub struct Broker {
    child: Child,
    pub addr: SocketAddr,
    pub data_dir: PathBuf,
    /// From start to the first answer on the port.
    pub startup: Duration,
    output: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Starts a broker on a free port and waits until it answers the protocol header; panics with its output if not.
    pub fn start(data_dir: &Path, args: &[&str]) -> Self {
        Self::start_with(data_dir, args, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(data_dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut last = String::new();
        for _ in 0..3 {
            match Self::try_start_with(data_dir, free_port(), args, env) {
                Ok(broker) => return broker,
                // Another process may have taken the port between our look and the broker's bind.
                Err(error) if error.contains("in use") => last = error,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("{last}")
    }

    /// As [`Self::start`] on a given port, with the broker's output in the error.
    pub fn try_start(data_dir: &Path, port: u16, args: &[&str]) -> Result<Self, String> {
        Self::try_start_with(data_dir, port, args, &[])
    }

    /// The same with more in its environment.
    pub fn try_start_with(data_dir: &Path, port: u16, args: &[&str], env: &[(&str, &str)]) -> Result<Self, String> {
        let started = Instant::now();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut child = Command::new(env!("CARGO_BIN_EXE_warren"))
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--listen")
            .arg(addr.to_string())
            // Several brokers run at a time: only those that are asked for an API have one.
            .env("WARREN_MANAGEMENT_ADDRESS", "")
            .env("WARREN_PROMETHEUS_ADDRESS", "")
            .envs(env.iter().copied())
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("start broker: {error}"))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let readers = [child.stdout.take().map(boxed), child.stderr.take().map(boxed)]
            .into_iter()
            .flatten()
            .map(|pipe| collect(pipe, Arc::clone(&output)))
            .collect();
        let data_dir = data_dir.to_path_buf();
        let mut broker = Self { child, addr, data_dir, startup: Duration::ZERO, output, readers };
        while !answers(addr) {
            if let Ok(Some(status)) = broker.child.try_wait() {
                broker.join_readers();
                return Err(format!("broker ended with {status}:\n{}", broker.stderr()));
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("broker does not answer on {addr}:\n{}", broker.stderr()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        broker.startup = started.elapsed();
        Ok(broker)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
    }

    /// SIGTERM; the exit status, or an error after a minute (the process is killed then).
    pub fn term(&mut self) -> Result<ExitStatus, String> {
        let sent = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status();
        sent.map_err(|error| format!("kill: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().map_err(|error| format!("wait: {error}"))? {
                self.join_readers();
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.kill9();
        Err(format!("broker still runs a minute after SIGTERM:\n{}", self.stderr()))
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What the broker wrote to stdout and stderr so far (the last megabyte).
    pub fn stderr(&self) -> String {
        let output = self.output.lock().expect("no reader panics");
        String::from_utf8_lossy(&output).into_owned()
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- broker output ---\n{}", self.stderr());
        }
    }
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

fn collect(mut pipe: Box<dyn Read + Send>, output: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = pipe.read(&mut chunk) {
            let mut output = output.lock().expect("no reader panics");
            output.extend_from_slice(&chunk[..n]);
            if output.len() > 2 * OUTPUT_BYTES {
                let excess = output.len() - OUTPUT_BYTES;
                output.drain(..excess);
            }
        }
    })
}

/// Whether someone on this port answers the protocol header with a method frame.
fn answers(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&addr, Duration::from_secs(1)) else { return false };
    // A connection of the port to itself is possible while nobody listens on it.
    if stream.local_addr().is_ok_and(|local| local == addr) {
        return false;
    }
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut first = [0];
    stream.write_all(b"AMQP\0\0\x09\x01").is_ok() && stream.read_exact(&mut first).is_ok() && first[0] == 1
}
