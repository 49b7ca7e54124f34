//! A load, checked: who publishes what where, who consumes it how, and until when.

use super::args::{LoadArgs, Target, Verify};
use super::pattern::{names, numbered, share_of, table};
use super::socket::trust;
use super::verify::VERIFIED_BYTES;
use amq_protocol::types::FieldTable;
use amq_protocol::uri::{AMQPScheme, AMQPUri};
use rustls::ClientConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
    /// Whom to trust; with TLS.
    pub(super) trust: Option<Arc<ClientConfig>>,
}

/// When publishers (or the consumers of a consume-only run) stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Messages(u64),
    Elapsed(Duration),
}

/// Where a message is published to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) exchange: String,
    pub(super) key: String,
}

/// Exchanges and queues that a load needs.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    /// Name and type.
    pub(super) exchanges: Vec<(String, String)>,
    pub(super) queues: Vec<String>,
    /// Queue and where it is bound.
    pub(super) bindings: Vec<(String, Address)>,
    pub(super) arguments: FieldTable,
    pub(super) durable: bool,
}

/// What publishers and consumers do.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) publishers: usize,
    pub(super) consumers: usize,
    /// Published to in turn.
    pub(super) addresses: Vec<Address>,
    /// Consumed from.
    pub(super) queues: Vec<String>,
    /// Queues that each message reaches.
    pub(super) copies: u64,
    pub(super) size: usize,
    pub(super) persistent: bool,
    pub(super) confirms: u64,
    pub(super) acks: u64,
    pub(super) prefetch: u16,
    pub(super) until: Until,
    /// Messages a second of each publisher; 0 = no limit.
    pub(super) rate: f64,
    pub(super) consume_rate: f64,
    pub(super) verify: Verify,
    /// Messages of each publisher that are in the queues already, to be verified: of a run before this one.
    pub(super) expected: Vec<u64>,
    pub(super) threads: usize,
}

impl Topology {
    /// Where messages are published to reach every queue, and how many queues each of them reaches.
    fn addresses(&self) -> (Vec<Address>, u64) {
        if self.bindings.is_empty() {
            let to = |queue: &String| Address { exchange: String::new(), key: queue.clone() };
            return (self.queues.iter().map(to).collect(), 1);
        }
        let fanout = self.exchanges.iter().any(|(_, kind)| kind == "fanout");
        // Bindings that the same message goes through.
        let group = |to: &Address| (to.exchange.clone(), if fanout { String::new() } else { to.key.clone() });
        let mut reached: BTreeMap<_, BTreeSet<&String>> = BTreeMap::new();
        let mut addresses = Vec::new();
        for (queue, to) in &self.bindings {
            let queues = reached.entry(group(to)).or_default();
            if queues.is_empty() {
                addresses.push(to.clone());
            }
            queues.insert(queue);
        }
        let copies = reached.values().next().map_or(1, |queues| queues.len() as u64);
        (addresses, copies)
    }
}

/// Connections of each kind, and queues.
const COUNT_MAX: usize = 1_000_000;

/// What a scenario uses where an option is not given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) queues: usize,
    pub(super) size: usize,
    pub(super) acks: u64,
    pub(super) rate: f64,
    /// Instead of ten seconds.
    pub(super) messages: Option<u64>,
    /// Type of an exchange to use even if none is named.
    pub(super) exchange: Option<&'static str>,
}

/// Of plain throughput.
pub(super) const THROUGHPUT: Defaults =
    Defaults { queues: 1, size: 16, acks: 0, rate: 0.0, messages: None, exchange: None };

impl Load {
    /// Nobody publishes, nobody consumes.
    pub(super) fn idle(until: Until) -> Load {
        Load {
            publishers: 0,
            consumers: 0,
            addresses: Vec::new(),
            queues: Vec::new(),
            copies: 1,
            size: THROUGHPUT.size,
            persistent: false,
            confirms: 0,
            acks: 0,
            prefetch: 0,
            until,
            rate: 0.0,
            consume_rate: 0.0,
            verify: Verify::None,
            expected: Vec::new(),
            threads: 1,
        }
    }

    /// Checks the options.
    pub(super) fn new(args: &LoadArgs, defaults: &Defaults) -> Result<(Topology, Load), String> {
        let queues = args.queues.unwrap_or(defaults.queues);
        check_counts(args, queues)?;
        let topology = topology(args, defaults, queues)?;
        let (addresses, copies) = topology.addresses();
        let load = Load {
            publishers: if args.consume_only { 0 } else { args.publishers },
            consumers: if args.publish_only { 0 } else { args.consumers },
            addresses,
            queues: topology.queues.clone(),
            copies,
            size: args.size.unwrap_or(defaults.size),
            persistent: args.persistent,
            confirms: args.confirms,
            acks: args.acks.unwrap_or(defaults.acks),
            prefetch: args.prefetch,
            until: until(args, defaults)?,
            rate: args.rate.unwrap_or(defaults.rate),
            consume_rate: args.consume_rate,
            verify: args.verify,
            expected: Vec::new(),
            threads: args.threads.unwrap_or_else(default_threads),
        };
        load.check()?;
        Ok((topology, load))
    }

    fn check(&self) -> Result<(), String> {
        if self.prefetch != 0 && self.acks > u64::from(self.prefetch) {
            return Err("--acks must not exceed --prefetch: the consumer would wait for ever".to_owned());
        }
        if self.size as u64 > crate::limits::BODY_SIZE_CEILING {
            return Err(format!("--size must not exceed {}", crate::limits::BODY_SIZE_CEILING));
        }
        if self.verify > Verify::None && self.size < VERIFIED_BYTES {
            return Err(format!("--verify needs --size {VERIFIED_BYTES} or more"));
        }
        if [self.rate, self.consume_rate].iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
            return Err("--rate and --consume-rate must not be negative".to_owned());
        }
        let long = |name: &String| name.len() > crate::limits::SHORT_STRING_MAX;
        if self.queues.iter().any(long) || self.addresses.iter().any(|to| long(&to.exchange) || long(&to.key)) {
            return Err(format!("names must not exceed {} bytes", crate::limits::SHORT_STRING_MAX));
        }
        if self.threads == 0 {
            return Err("--threads must be 1 or more".to_owned());
        }
        Ok(())
    }

    /// Where publisher `index` publishes to.
    pub(super) fn addresses_of(&self, index: usize) -> Vec<Address> {
        share_of(&self.addresses, index, self.publishers)
    }

    /// What consumer `index` consumes from.
    pub(super) fn queues_of(&self, index: usize) -> Vec<String> {
        share_of(&self.queues, index, self.consumers)
    }

    /// Messages publisher `index` sends, if their number is given.
    pub(super) fn share(&self, index: usize) -> Option<u64> {
        match self.until {
            Until::Elapsed(_) => None,
            Until::Messages(total) => {
                let publishers = self.publishers.max(1) as u64;
                Some(total / publishers + u64::from((index as u64) < total % publishers))
            }
        }
    }

    /// Whether bodies carry the time they were due, for latency: only where the rate, or the wait for each confirm, and
    /// not the length of a queue sets the pace.
    pub(super) fn stamps(&self) -> bool {
        (self.rate > 0.0 || self.confirms == 1) && self.size >= 8
    }
}

/// Half the CPUs publish, half consume.
pub(super) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().div_ceil(2))
}

/// A time given in seconds.
pub(super) fn seconds(value: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(value).map_err(|error| format!("--seconds: {error}"))
}

fn until(args: &LoadArgs, defaults: &Defaults) -> Result<Until, String> {
    match (args.messages, args.seconds, defaults.messages) {
        (Some(messages), _, _) | (None, None, Some(messages)) => Ok(Until::Messages(messages)),
        (None, given, _) => seconds(given.unwrap_or(10.0)).map(Until::Elapsed),
    }
}

fn check_counts(args: &LoadArgs, queues: usize) -> Result<(), String> {
    let in_range = |count: usize| (1..=COUNT_MAX).contains(&count);
    if !in_range(queues) || !in_range(args.keys.unwrap_or(1)) {
        return Err(format!("--queues and --keys must be 1 to {COUNT_MAX}"));
    }
    if !args.consume_only && !in_range(args.publishers) {
        return Err(format!("--publishers must be 1 to {COUNT_MAX} (or use --consume-only)"));
    }
    if !args.publish_only && !in_range(args.consumers) {
        return Err(format!("--consumers must be 1 to {COUNT_MAX} (or use --publish-only)"));
    }
    Ok(())
}

/// Queue number i, and the exchange and key that messages number i are published with, belong together.
fn topology(args: &LoadArgs, defaults: &Defaults, queues: usize) -> Result<Topology, String> {
    let mut topology = Topology {
        queues: names(&args.queue, queues),
        arguments: table(&args.queue_args)?,
        durable: args.durable,
        ..Topology::default()
    };
    let pattern = match (&args.exchange, defaults.exchange) {
        (Some(pattern), _) => pattern.clone(),
        (None, Some(_)) => "warren.perf".to_owned(),
        (None, None) => return Ok(topology),
    };
    let kind = args.kind.as_deref().or(defaults.exchange).unwrap_or("direct");
    let keys = args.keys.unwrap_or(queues).max(queues);
    let key = args.routing_key.as_deref().unwrap_or("key-%d");
    for (number, queue) in (1..=keys).zip(topology.queues.iter().cycle()) {
        let address = Address { exchange: numbered(&pattern, number), key: numbered(key, number) };
        if number == 1 || pattern.contains("%d") {
            topology.exchanges.push((address.exchange.clone(), kind.to_owned()));
        }
        topology.bindings.push((queue.clone(), address));
    }
    Ok(topology)
}

/// Where the URL leads, as whom, and by TLS or not.
pub(super) fn login(target: &Target) -> Result<Login, String> {
    let uri: AMQPUri = target.url.parse().map_err(|error| format!("--url: {error}"))?;
    let trust = match (uri.scheme, &target.tls_ca) {
        (AMQPScheme::AMQP, _) => None,
        (AMQPScheme::AMQPS, Some(file)) => Some(trust(file)?),
        (AMQPScheme::AMQPS, None) => return Err("--url: amqps:// needs --tls-ca".to_owned()),
    };
    Ok(Login {
        host: uri.authority.host,
        port: uri.authority.port,
        user: uri.authority.userinfo.username,
        password: uri.authority.userinfo.password,
        vhost: uri.vhost,
        trust,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use clap::Parser;

    /// A load of one publisher and one consumer.
    pub(in crate::perf) fn load() -> Load {
        plan(&[]).unwrap().1
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn plan(args: &[&str]) -> Result<(Topology, Load), String> {
        let args = std::iter::once("perf").chain(args.iter().copied());
        Load::new(&Cli::try_parse_from(args).map_err(|error| error.to_string())?.load, &THROUGHPUT)
    }

    fn target(url: &str) -> Target {
        Target { url: url.to_owned(), tls_ca: None, pid: None, json: false, progress: false }
    }

    #[test]
    fn url_is_taken_apart() {
        let login = login(&target("amqp://me:p%40ss@10.0.0.1:5673/a%2Fb")).unwrap();
        assert_eq!((login.host.as_str(), login.port, login.trust.is_none()), ("10.0.0.1", 5673, true));
        assert_eq!((login.user.as_str(), login.password.as_str(), login.vhost.as_str()), ("me", "p@ss", "a/b"));
        assert!(super::login(&target("amqps://localhost")).unwrap_err().contains("--tls-ca"));
    }

    #[test]
    fn letters_are_those_of_perf_test() {
        let (topology, load) = plan(&[
            "-x",
            "2",
            "-y",
            "3",
            "-u",
            "q-%d",
            "--queues",
            "2",
            "-s",
            "100",
            "-f",
            "-c",
            "10",
            "-A",
            "5",
            "-q",
            "7",
            "-r",
            "2.5",
            "-R",
            "9",
            "-z",
            "3",
            "--queue-args",
            "x-max-length=5,x-queue-type=classic",
        ])
        .unwrap();
        assert_eq!((load.publishers, load.consumers, load.size, load.persistent), (2, 3, 100, true));
        assert_eq!((load.confirms, load.acks, load.prefetch), (10, 5, 7));
        assert_eq!((load.rate, load.consume_rate), (2.5, 9.0));
        assert_eq!(topology.queues, ["q-1", "q-2"]);
        assert_eq!(topology.arguments.inner().len(), 2);
        assert!(matches!(load.until, Until::Elapsed(time) if time == Duration::from_secs(3)));
    }

    #[test]
    fn every_message_has_a_publisher() {
        let (_, load) = plan(&["-x", "3", "-C", "11"]).unwrap();
        assert_eq!((0..3).map(|index| load.share(index).unwrap()).sum::<u64>(), 11);
    }

    #[test]
    fn keys_lead_to_the_queues_in_turn() {
        let (topology, load) = plan(&["-e", "x", "-t", "topic", "-k", "k.%d", "--keys", "3", "--queues", "2"]).unwrap();
        assert_eq!(topology.exchanges, [("x".to_owned(), "topic".to_owned())]);
        let bound: Vec<_> = topology.bindings.iter().map(|(queue, to)| (queue.as_str(), to.key.as_str())).collect();
        assert_eq!(bound, [("warren.perf-1", "k.1"), ("warren.perf-2", "k.2"), ("warren.perf-1", "k.3")]);
        assert_eq!((load.addresses.len(), load.copies), (3, 1));
        let (topology, load) = plan(&["-e", "x%d", "-t", "fanout", "--queues", "4"]).unwrap();
        assert_eq!((topology.exchanges.len(), load.addresses.len(), load.copies), (4, 4, 1));
    }

    #[test]
    fn a_message_is_expected_from_each_queue_it_reaches() {
        for kind in [&["-t", "fanout"][..], &["-k", "same"]] {
            let (_, load) = plan(&[&["-e", "x", "--queues", "4"], kind].concat()).unwrap();
            assert_eq!((load.copies, load.addresses.len(), load.queues.len()), (4, 1, 4), "{kind:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(plan(&["--prefetch", "10", "--acks", "11"]).unwrap_err().contains("--acks"));
        assert!(plan(&["--queues", "0"]).unwrap_err().contains("--queues"));
        assert!(plan(&["--verify", "loss"]).unwrap_err().contains("--size"));
        assert!(plan(&["--seconds", "-1"]).is_err());
        assert!(plan(&["--messages", "1", "--seconds", "1"]).is_err());
        assert!(plan(&["--routing-key", "k"]).is_err());
        assert!(plan(&["--rate", "-1"]).is_err());
    }
}
