//! Options of `warren perf`, and the plan they make once checked.

use amq_protocol::uri::AMQPUri;
use clap::Args;
use std::time::Duration;

/// Load generator for AMQP 0-9-1 brokers.
#[derive(Args, Clone, Debug)]
pub struct PerfArgs {
    /// Broker and login
    #[arg(long, default_value = "amqp://guest:guest@127.0.0.1:5672/%2F", env = "WARREN_PERF_URL")]
    pub url: String,
    /// Publishing connections
    #[arg(long, default_value_t = 1)]
    pub publishers: usize,
    /// Consuming connections
    #[arg(long, default_value_t = 1)]
    pub consumers: usize,
    /// Queues; publishers and consumers are spread over them
    #[arg(long, default_value_t = 1)]
    pub queues: usize,
    /// Body size in bytes
    #[arg(long, default_value_t = 16)]
    pub size: usize,
    /// Publish with delivery mode 2
    #[arg(long)]
    pub persistent: bool,
    /// Declare the queues durable
    #[arg(long)]
    pub durable: bool,
    /// Publisher confirms with at most this many messages unconfirmed; 0 = no confirms
    #[arg(long, default_value_t = 0, value_name = "WINDOW")]
    pub confirms: u64,
    /// Acknowledge every this many messages with one ack; 0 = consume without acks
    #[arg(long, default_value_t = 0, value_name = "BATCH")]
    pub acks: u64,
    /// Prefetch count of each consumer; 0 = unlimited
    #[arg(long, default_value_t = 0)]
    pub prefetch: u16,
    /// Messages in all, spread over the publishers
    #[arg(long, conflicts_with = "seconds")]
    pub messages: Option<u64>,
    /// Seconds to publish (with --consume-only: to consume); 10 if --messages is not given either
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Messages a second of each publisher; 0 = as fast as it goes
    #[arg(long, default_value_t = 0)]
    pub rate: u64,
    /// Publish only, and leave the messages in the queues
    #[arg(long, conflicts_with = "consume_only")]
    pub publish_only: bool,
    /// Consume only what is in the queues
    #[arg(long)]
    pub consume_only: bool,
    /// Start of the queues' names
    #[arg(long, default_value = "warren.perf", value_name = "PREFIX")]
    pub queue_prefix: String,
    /// Do not delete the queues at the end
    #[arg(long)]
    pub keep: bool,
    /// Process id of the broker on this machine, to report its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub broker_pid: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where to connect and as whom.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
}

/// When publishers (or the consumers of a consume-only run) stop.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Messages(u64),
    Elapsed(Duration),
}

/// The arguments, checked.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) login: Login,
    pub(super) publishers: usize,
    pub(super) consumers: usize,
    pub(super) queues: usize,
    pub(super) size: usize,
    pub(super) persistent: bool,
    pub(super) durable: bool,
    pub(super) confirms: u64,
    pub(super) acks: u64,
    pub(super) prefetch: u16,
    pub(super) until: Until,
    pub(super) rate: u64,
    pub(super) publish_only: bool,
    pub(super) consume_only: bool,
    pub(super) keep: bool,
    pub(super) broker_pid: Option<u32>,
    pub(super) json: bool,
    prefix: String,
}

/// Longest queue name prefix: the number behind it must fit a short string.
const PREFIX_MAX: usize = crate::limits::SHORT_STRING_MAX - 6;

/// Connections of each kind, and queues: one thread each, and five digits of a queue's name.
const WORKERS_MAX: usize = 10_000;

impl Plan {
    pub(super) fn new(args: PerfArgs) -> Result<Self, String> {
        let publishers = if args.consume_only { 0 } else { args.publishers };
        let consumers = if args.publish_only { 0 } else { args.consumers };
        let until = match (args.messages, args.seconds) {
            (Some(messages), _) => Until::Messages(messages),
            (None, seconds) => Until::Elapsed(
                Duration::try_from_secs_f64(seconds.unwrap_or(10.0)).map_err(|error| format!("--seconds: {error}"))?,
            ),
        };
        let plan = Self {
            login: login(&args.url)?,
            publishers,
            consumers,
            queues: args.queues,
            size: args.size,
            persistent: args.persistent,
            durable: args.durable,
            confirms: args.confirms,
            acks: args.acks,
            prefetch: args.prefetch,
            until,
            rate: args.rate,
            publish_only: args.publish_only,
            consume_only: args.consume_only,
            keep: args.keep,
            broker_pid: args.broker_pid,
            json: args.json,
            prefix: args.queue_prefix,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        let in_range = |count: usize| (1..=WORKERS_MAX).contains(&count);
        if !in_range(self.queues) {
            return Err(format!("--queues must be 1 to {WORKERS_MAX}"));
        }
        if !self.consume_only && !in_range(self.publishers) {
            return Err(format!("--publishers must be 1 to {WORKERS_MAX}"));
        }
        if !self.publish_only && !in_range(self.consumers) {
            return Err(format!("--consumers must be 1 to {WORKERS_MAX} (or use --publish-only)"));
        }
        if self.prefetch != 0 && self.acks > u64::from(self.prefetch) {
            return Err("--acks must not exceed --prefetch: the consumer would wait for ever".to_owned());
        }
        if self.size as u64 > crate::limits::BODY_SIZE_CEILING {
            return Err(format!("--size must not exceed {}", crate::limits::BODY_SIZE_CEILING));
        }
        if self.prefix.len() > PREFIX_MAX {
            return Err(format!("--queue-prefix must not exceed {PREFIX_MAX} bytes"));
        }
        Ok(())
    }

    /// Name of a queue. All names are of one length, so all publish frames are.
    pub(super) fn queue(&self, index: usize) -> String {
        format!("{}.{index:05}", self.prefix)
    }

    /// Queues that worker `index` of `workers` serves: together they serve all.
    pub(super) fn queues_of(&self, index: usize, workers: usize) -> Vec<String> {
        if workers >= self.queues {
            vec![self.queue(index % self.queues)]
        } else {
            (index..self.queues).step_by(workers).map(|queue| self.queue(queue)).collect()
        }
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

    /// Whether bodies carry the time they were due, for latency: only where the rate, not the broker, sets the pace.
    pub(super) fn stamps(&self) -> bool {
        self.rate > 0 && self.size >= 8 && !self.consume_only && !self.publish_only
    }
}

fn login(url: &str) -> Result<Login, String> {
    let uri: AMQPUri = url.parse().map_err(|error| format!("--url: {error}"))?;
    if uri.scheme != amq_protocol::uri::AMQPScheme::AMQP {
        return Err("--url: only amqp:// (no TLS)".to_owned());
    }
    Ok(Login {
        host: uri.authority.host,
        port: uri.authority.port,
        user: uri.authority.userinfo.username,
        password: uri.authority.userinfo.password,
        vhost: uri.vhost,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        perf: PerfArgs,
    }

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let args = std::iter::once("perf").chain(args.iter().copied());
        Plan::new(Cli::try_parse_from(args).map_err(|error| error.to_string())?.perf)
    }

    #[test]
    fn url_is_taken_apart() {
        let plan = plan(&["--url", "amqp://me:p%40ss@10.0.0.1:5673/a%2Fb"]).unwrap();
        let login = plan.login;
        assert_eq!((login.host.as_str(), login.port), ("10.0.0.1", 5673));
        assert_eq!((login.user.as_str(), login.password.as_str(), login.vhost.as_str()), ("me", "p@ss", "a/b"));
        assert!(super::login("amqps://localhost").unwrap_err().contains("no TLS"));
    }

    #[test]
    fn every_queue_and_every_message_has_a_worker() {
        let plan = plan(&["--queues", "5", "--publishers", "3", "--messages", "11"]).unwrap();
        let mut served: Vec<_> = (0..3).flat_map(|index| plan.queues_of(index, 3)).collect();
        served.sort();
        assert_eq!(served, (0..5).map(|index| plan.queue(index)).collect::<Vec<_>>());
        assert_eq!((0..3).map(|index| plan.share(index).unwrap()).sum::<u64>(), 11);
        assert_eq!(plan.queues_of(7, 8), [plan.queue(2)]);
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(plan(&["--prefetch", "10", "--acks", "11"]).unwrap_err().contains("--acks"));
        assert!(plan(&["--queues", "0"]).unwrap_err().contains("--queues"));
        assert!(plan(&["--seconds", "-1"]).is_err());
        assert!(plan(&["--messages", "1", "--seconds", "1"]).is_err());
    }
}
