//! Options of `warren perf`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Load generator for AMQP 0-9-1 brokers.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Without the name of a scenario it measures throughput. Options that RabbitMQ's PerfTest has too have \
    its letters."
)]
pub struct PerfArgs {
    #[command(subcommand)]
    pub(super) scenario: Option<Scenario>,
    #[command(flatten)]
    pub(super) throughput: LoadArgs,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Scenario {
    /// Publish and consume as fast as it goes, or at a rate
    Throughput(Box<LoadArgs>),
    /// The same at a rate, judged by latency from the time each message was due [5000/s, 64 bytes, ack each]
    Latency(Box<LoadArgs>),
    /// Fill queues, then empty them: rates at the start and at the end of both [1000000 messages]
    Drain(Box<LoadArgs>),
    /// A fanout exchange with many queues [100 queues, 1000 bytes, 10000 messages]
    Fanout(Box<LoadArgs>),
    /// A topic exchange with many bindings, beside a direct exchange
    Topic(TopicArgs),
    /// Declare many queues: rate, memory, and the throughput of some of them before and after
    Queues(QueuesArgs),
    /// Hold many connections: rate, memory, and the latency of a few active ones before and after
    Connections(ConnectionsArgs),
    /// Make and unmake connections, channels, queues, bindings or consumers
    Churn(ChurnArgs),
}

/// The broker, and how to report.
#[derive(Args, Clone, Debug)]
pub(super) struct Target {
    /// Broker and login; amqps:// for TLS
    #[arg(long, alias = "uri", default_value = "amqp://guest:guest@127.0.0.1:5672/%2F", env = "WARREN_PERF_URL")]
    pub(super) url: String,
    /// Certificates (PEM) of whoever may have signed the broker's, for amqps:// URLs
    #[arg(long, value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,
    /// Process id of the broker on this machine, to report its CPU time, memory and disk writes
    #[arg(long, alias = "broker-pid", value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    /// A line each second on standard error [default: if that is a terminal]
    #[arg(long)]
    pub(super) progress: bool,
}

/// A load of publishers and consumers.
#[derive(Args, Clone, Debug)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// Publishing connections
    #[arg(short = 'x', long, alias = "producers", default_value_t = 1, value_name = "N")]
    pub(super) publishers: usize,
    /// Consuming connections
    #[arg(short = 'y', long, default_value_t = 1, value_name = "N")]
    pub(super) consumers: usize,
    /// Queues; publishers and consumers are spread over them [default: 1; fanout: 100]
    #[arg(long, value_name = "N")]
    pub(super) queues: Option<usize>,
    /// Names of the queues; %d is their number, from 1. With several queues and no %d, -%d is added
    #[arg(short = 'u', long, default_value = "warren.perf", value_name = "PATTERN")]
    pub(super) queue: String,
    /// Exchange to publish to, declared and bound; %d as in --queue. Without: the default exchange
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(super) exchange: Option<String>,
    /// Type of that exchange [default: direct; fanout: fanout]
    #[arg(short = 't', long = "type", value_name = "TYPE", requires = "exchange")]
    pub(super) kind: Option<String>,
    /// Routing keys, which are also the binding keys; %d is their number, from 1 [default: key-%d]
    #[arg(short = 'k', long, value_name = "PATTERN", requires = "exchange")]
    pub(super) routing_key: Option<String>,
    /// Distinct routing keys, bound to the queues in turn [default: as many as queues]
    #[arg(long, value_name = "N", requires = "exchange")]
    pub(super) keys: Option<usize>,
    /// Arguments of the queues, KEY=VALUE,…: a whole number, true, false or a text
    #[arg(long, value_name = "ARGS", value_delimiter = ',')]
    pub(super) queue_args: Vec<String>,
    /// Declare queues and exchanges durable
    #[arg(long)]
    pub(super) durable: bool,
    /// Use queues, exchanges and bindings as they are: declare, purge and delete nothing
    #[arg(short = 'p', long)]
    pub(super) predeclared: bool,
    /// Do not delete the queues at the end
    #[arg(long)]
    pub(super) keep: bool,
    /// Body size in bytes [default: 16; latency: 64; fanout: 1000]
    #[arg(short = 's', long, value_name = "BYTES")]
    pub(super) size: Option<usize>,
    /// Publish with delivery mode 2
    #[arg(short = 'f', long)]
    pub(super) persistent: bool,
    /// Publisher confirms with at most this many messages unconfirmed; 0 = no confirms
    #[arg(short = 'c', long, alias = "confirm", default_value_t = 0, value_name = "WINDOW")]
    pub(super) confirms: u64,
    /// Acknowledge every this many messages with one ack; 0 = consume without acks [default: 0; latency: 1]
    #[arg(short = 'A', long, alias = "multi-ack-every", value_name = "BATCH")]
    pub(super) acks: Option<u64>,
    /// Prefetch count of each consumer; 0 = unlimited
    #[arg(short = 'q', long, alias = "qos", default_value_t = 0, value_name = "N")]
    pub(super) prefetch: u16,
    /// Messages to publish in all, spread over the publishers (PerfTest: each); with --consume-only: to consume
    #[arg(short = 'C', long, conflicts_with = "seconds", value_name = "N")]
    pub(super) messages: Option<u64>,
    /// Seconds to publish (with --consume-only: to consume); 10 if --messages is not given either
    #[arg(short = 'z', long, alias = "time", value_name = "S")]
    pub(super) seconds: Option<f64>,
    /// Messages a second of each publisher; 0 = as fast as it goes. Publishers take turns within the interval
    /// [default: 0; latency: 5000]
    #[arg(short = 'r', long, value_name = "N")]
    pub(super) rate: Option<f64>,
    /// Messages a second that each consumer takes at most; 0 = as fast as it goes
    #[arg(short = 'R', long, alias = "consumer-rate", default_value_t = 0.0, value_name = "N")]
    pub(super) consume_rate: f64,
    /// Publish only, and leave the messages in the queues
    #[arg(long, conflicts_with = "consume_only")]
    pub(super) publish_only: bool,
    /// Consume only what is in the queues
    #[arg(long)]
    pub(super) consume_only: bool,
    /// What is checked of the messages; each includes the ones before it. A fault ends with status 1
    #[arg(long, value_enum, default_value_t = Verify::None)]
    pub(super) verify: Verify,
    /// Threads that publish, and as many that consume [default: half the CPUs]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
}

/// How closely messages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Verify {
    /// They are counted
    None,
    /// Each arrives once
    Loss,
    /// Those of one publisher arrive in order
    Order,
    /// Every byte of their bodies is as published
    Content,
}

#[derive(Args, Clone, Debug)]
pub(super) struct TopicArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// Bindings, a third each of the shapes site.N.*, *.N.event and site.N.#
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(super) bindings: usize,
    /// Distinct routing keys of the warm load; the cold one uses one for each binding, once
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(super) keys: usize,
    /// Queues the bindings lead to, in turn
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(super) queues: usize,
    /// Body size in bytes
    #[arg(short = 's', long, default_value_t = 16, value_name = "BYTES")]
    pub(super) size: usize,
    /// Seconds of each load
    #[arg(short = 'z', long, alias = "time", default_value_t = 5.0, value_name = "S")]
    pub(super) seconds: f64,
    #[command(flatten)]
    pub(super) calls: CallArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct QueuesArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// Queues to declare
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(super) count: usize,
    /// Bindings of each queue to amq.topic
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) bindings: usize,
    /// Declare them durable
    #[arg(long)]
    pub(super) durable: bool,
    /// Arguments of the queues, KEY=VALUE,…: a whole number, true, false or a text
    #[arg(long, value_name = "ARGS", value_delimiter = ',')]
    pub(super) queue_args: Vec<String>,
    /// Queues that are published to and consumed from, alone and then beside the others; 0 = none
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) active: usize,
    /// Publishing connections of the active queues, and as many consuming ones
    #[arg(short = 'x', long, default_value_t = 2, value_name = "N")]
    pub(super) publishers: usize,
    /// Seconds of each load of the active queues
    #[arg(short = 'z', long, alias = "time", default_value_t = 5.0, value_name = "S")]
    pub(super) seconds: f64,
    /// Do not delete the queues at the end
    #[arg(long)]
    pub(super) keep: bool,
    #[command(flatten)]
    pub(super) calls: CallArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ConnectionsArgs {
    #[command(flatten)]
    pub(super) target: Target,
    /// Connections, each with a channel
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub(super) count: usize,
    /// Of these, how many publish or consume (half each), alone and then beside the others; 0 = none
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(super) active: usize,
    /// Messages a second of each active publisher
    #[arg(short = 'r', long, default_value_t = 20.0, value_name = "N")]
    pub(super) rate: f64,
    /// Seconds of each load of the active connections
    #[arg(short = 'z', long, alias = "time", default_value_t = 5.0, value_name = "S")]
    pub(super) seconds: f64,
    /// Threads that connect
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(super) clients: usize,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ChurnArgs {
    /// What comes and goes
    #[arg(value_enum)]
    pub(super) what: Churned,
    #[command(flatten)]
    pub(super) target: Target,
    /// Declare queues durable
    #[arg(long)]
    pub(super) durable: bool,
    /// Seconds
    #[arg(short = 'z', long, alias = "time", default_value_t = 5.0, value_name = "S")]
    pub(super) seconds: f64,
    #[command(flatten)]
    pub(super) calls: CallArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Churned {
    /// Log in, open a channel, close
    Connection,
    /// channel.open, channel.close
    Channel,
    /// queue.declare, queue.delete
    Queue,
    /// queue.bind, queue.unbind
    Binding,
    /// basic.consume, basic.cancel; each waits for its reply
    Consumer,
}

/// How requests that have replies are sent.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct CallArgs {
    /// Connections that send requests
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(super) clients: usize,
    /// Requests that a connection sends ahead of their replies
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(super) window: usize,
}
