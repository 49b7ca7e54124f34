//! Brokers that a run starts for itself: each on its own port and directory, ended with the value.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for a broker to serve.
const START: Duration = Duration::from_secs(60);

/// Longest wait for a broker to end by itself.
const STOP: Duration = Duration::from_secs(30);

/// Files of a broker with TLS, in its directory.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// A program that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Warren,
    RabbitMq,
    LavinMq,
}

impl Kind {
    /// All that are installed here.
    pub fn installed() -> Vec<Kind> {
        [Kind::Warren, Kind::RabbitMq, Kind::LavinMq].into_iter().filter(|kind| kind.program().is_some()).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Warren => "Warren",
            Kind::RabbitMq => "RabbitMQ",
            Kind::LavinMq => "LavinMQ",
        }
    }

    /// When a persistent message is confirmed, by the settings it is run with: its own defaults.
    pub fn sync(self) -> &'static str {
        match self {
            Kind::Warren => "durability.sync = always: fsynced before its confirm",
            Kind::RabbitMq => "its defaults, classic queues",
            Kind::LavinMq => "its defaults",
        }
    }

    /// Where its program is.
    fn program(self) -> Option<PathBuf> {
        match self {
            Kind::Warren => Some(warren()),
            // The script in the search path of Debian insists on a system user; the one it calls does not.
            Kind::RabbitMq => ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists())
                .or_else(|| in_path("rabbitmq-server")),
            Kind::LavinMq => in_path("lavinmq"),
        }
    }
}

/// The broker that is measured: the one just built, or the one named by WARREN_BENCH_BROKER.
pub fn warren() -> PathBuf {
    env::var_os("WARREN_BENCH_BROKER").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_warren")), PathBuf::from)
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.exists())
}

/// A broker that runs.
pub struct Broker {
    pub kind: Kind,
    child: Child,
    /// The process that does the work; the child may be a script in front of it.
    pub pid: u32,
    pub port: u16,
    directory: TempDir,
}

impl Broker {
    /// Starts one with an empty directory, on a disk that has done with the files of those before.
    pub fn start(kind: Kind) -> Result<Broker, String> {
        rustix::fs::sync();
        let directory = TempDir::with_prefix("warren-bench-").map_err(|error| format!("directory: {error}"))?;
        Self::start_in(kind, directory).map(|(broker, _)| broker)
    }

    /// Starts Warren with a certificate of its own, listening with TLS on the next port too. `None`: it knows no TLS.
    pub fn start_tls() -> Result<Option<Broker>, String> {
        let help = Command::new(warren()).args(["serve", "--help"]).output();
        let help = help.map_err(|error| format!("warren serve --help: {error}"))?;
        if !String::from_utf8_lossy(&help.stdout).contains("listener.tls_address") {
            return Ok(None);
        }
        let directory = TempDir::with_prefix("warren-bench-").map_err(|error| format!("directory: {error}"))?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let made = made.map_err(|error| format!("certificate: {error}"))?;
        let write = |name: &str, text: String| {
            fs::write(directory.path().join(name), text).map_err(|error| format!("certificate: {error}"))
        };
        write(CERTIFICATE, made.cert.pem())?;
        write(KEY, made.signing_key.serialize_pem())?;
        Self::start_in(Kind::Warren, directory).map(|(broker, _)| Some(broker))
    }

    /// Where it listens with TLS, and the certificate to trust.
    pub fn tls(&self) -> (String, PathBuf) {
        (format!("amqps://guest:guest@127.0.0.1:{}/%2F", self.port + 1), self.directory.path().join(CERTIFICATE))
    }

    /// Stops it as its users would and starts it again with what it kept; the time from then until it serves.
    pub fn restart(mut self) -> Result<(Broker, Duration), String> {
        self.stop();
        let empty = TempDir::with_prefix("warren-bench-").map_err(|error| format!("directory: {error}"))?;
        let directory = std::mem::replace(&mut self.directory, empty);
        Self::start_in(self.kind, directory)
    }

    fn start_in(kind: Kind, directory: TempDir) -> Result<(Broker, Duration), String> {
        let program = kind.program().ok_or_else(|| format!("{} is not installed", kind.name()))?;
        let port = free_ports()?;
        let log = fs::File::create(directory.path().join("log")).map_err(|error| format!("log: {error}"))?;
        let mut command = command(kind, &program, directory.path(), port);
        let log = (log.try_clone().map_err(|error| format!("log: {error}"))?, log);
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(log.0).stderr(log.1).spawn();
        let child = child.map_err(|error| format!("{}: {error}", program.display()))?;
        let pid = child.id();
        let mut broker = Broker { kind, child, pid, port, directory };
        broker.wait(started)?;
        let time = started.elapsed();
        if let Ok(text) = fs::read_to_string(broker.directory.path().join("pid")) {
            broker.pid = text.trim().parse().map_err(|_| format!("{}: no process id: {text}", kind.name()))?;
        }
        Ok((broker, time))
    }

    /// Waits until it answers a protocol header.
    fn wait(&mut self, started: Instant) -> Result<(), String> {
        loop {
            if serves(self.port) {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || started.elapsed() > START {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                let from = log.len().saturating_sub(2000);
                return Err(format!("{} does not serve:\n{}", self.kind.name(), log.get(from..).unwrap_or(&log)));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2F", self.port)
    }

    /// Its version, from what it tells clients.
    pub fn version(&self) -> String {
        greeting(self.port).and_then(|bytes| field(&bytes, b"version")).unwrap_or_else(|| "unknown".to_owned())
    }

    /// A field of `/proc/PID/status`, in bytes.
    pub fn status(&self, key: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    fn stop(&mut self) {
        for pid in [self.pid, self.child.id()] {
            if Path::new(&format!("/proc/{pid}")).exists() {
                let _ = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status();
            }
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
            thread::sleep(Duration::from_millis(1));
        }
        if self.kind == Kind::RabbitMq {
            // The port mapper that Erlang started for it.
            let port = (self.port + 2).to_string();
            let _ = Command::new("epmd")
                .args(["-port", &port, "-kill"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn command(kind: Kind, program: &Path, directory: &Path, port: u16) -> Command {
    let mut command = Command::new(program);
    let data = directory.join("data");
    match kind {
        Kind::Warren => {
            command.arg("serve").arg("--data-dir").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
            command.args(["--log-level", "warn"]);
            // Two brokers may run beside each other, and RabbitMQ's management plugin is off as well.
            command.env("WARREN_MANAGEMENT_ADDRESS", "").env("WARREN_PROMETHEUS_ADDRESS", "");
            if directory.join(KEY).exists() {
                command
                    .env("WARREN_LISTENER_TLS_ADDRESS", format!("127.0.0.1:{}", port + 1))
                    .env("WARREN_TLS_CERTIFICATE", directory.join(CERTIFICATE))
                    .env("WARREN_TLS_KEY", directory.join(KEY));
            }
        }
        Kind::RabbitMq => {
            let path = |name: &str| directory.join(name).into_os_string();
            command
                .env("HOME", directory)
                .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
                .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
                .env("RABBITMQ_NODE_PORT", port.to_string())
                .env("RABBITMQ_DIST_PORT", (port + 1).to_string())
                .env("ERL_EPMD_PORT", (port + 2).to_string())
                .env("RABBITMQ_MNESIA_BASE", data)
                .env("RABBITMQ_LOG_BASE", path("logs"))
                .env("RABBITMQ_PID_FILE", path("pid"))
                .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
                .env("RABBITMQ_CONFIG_FILE", path("none"))
                .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        }
        Kind::LavinMq => {
            command.arg("-D").arg(data).args(["-b", "127.0.0.1", "-p", &port.to_string()]);
            for (option, offset) in [("--http-port", 1), ("--mqtt-port", 2), ("--metrics-http-port", 3)] {
                command.arg(format!("{option}={}", port + offset));
            }
        }
    }
    command
}

/// A port that is free with the three behind it.
fn free_ports() -> Result<u16, String> {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 21_000 + (std::process::id() % 500) as u16 * 16;
    (start..30_000)
        .step_by(4)
        .find(|port| (*port..port + 4).all(free))
        .ok_or_else(|| "no free port between 21000 and 30000".to_owned())
}

fn serves(port: u16) -> bool {
    greeting(port).is_some()
}

/// What a broker says to a protocol header: `connection.start`.
fn greeting(port: u16) -> Option<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"AMQP\0\0\x09\x01").ok()?;
    let mut head = [0; 7];
    stream.read_exact(&mut head).ok()?;
    let [1, 0, 0, a, b, c, d] = head else { return None };
    let mut payload = vec![0; u32::from_be_bytes([a, b, c, d]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// A text among the server's properties.
fn field(properties: &[u8], name: &[u8]) -> Option<String> {
    let key = [&[name.len() as u8][..], name, b"S"].concat();
    let at = properties.windows(key.len()).position(|window| window == key)? + key.len();
    let (length, rest) = properties.get(at..)?.split_first_chunk::<4>()?;
    let text = rest.get(..u32::from_be_bytes(*length) as usize)?;
    Some(String::from_utf8_lossy(text).into_owned())
}
