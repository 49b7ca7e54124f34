//! The scenarios of ../README.md with lapin: one line of result each, exit code 1 on a failure.

mod content;
mod delivery;
mod exchanges;
mod lifetime;
mod queues;
mod refusals;
mod routing;
mod run;

use run::{Outcome, Run, TIMEOUT, Trouble};
use std::{process::ExitCode, time::SystemTime};
use tokio::time::timeout;

const SCENARIOS: [&str; 37] = [
    "hello",
    "topology",
    "declare",
    "confirms",
    "returns",
    "acks",
    "prefetch",
    "get",
    "properties",
    "headers",
    "large",
    "heartbeat",
    "channel-errors",
    "connection-errors",
    "login",
    "consumer-cancel",
    "lifetimes",
    "exclusive-consumer",
    "round-robin",
    "channels",
    "unacked-order",
    "rpc",
    "dead-letter",
    "tx",
    "ttl",
    "limits",
    "priorities",
    "sac",
    "quorum",
    "consumer-timeout",
    "delayed",
    "deduplication",
    "consistent-hash",
    "permissions",
    "blocked",
    "restart",
    "recovery",
];

async fn scenario(id: &str, run: &mut Run) -> Outcome {
    match id {
        "hello" => routing::hello(run).await,
        "topology" => routing::topology(run).await,
        "declare" => routing::declare(run).await,
        "confirms" => content::confirms(run).await,
        "returns" => content::returns(run).await,
        "acks" => delivery::acks(run).await,
        "prefetch" => delivery::prefetch(run).await,
        "get" => delivery::get(run).await,
        "properties" => content::properties(run).await,
        "headers" => content::headers(run).await,
        "large" => content::large(run).await,
        "heartbeat" => lifetime::heartbeat(run).await,
        "channel-errors" => refusals::channel_errors(run).await,
        "connection-errors" => refusals::connection_errors(run).await,
        "login" => refusals::login(run).await,
        "consumer-cancel" => delivery::consumer_cancel(run).await,
        "lifetimes" => lifetime::lifetimes(run).await,
        "exclusive-consumer" => refusals::exclusive_consumer(run).await,
        "round-robin" => delivery::round_robin(run).await,
        "channels" => lifetime::channels(run).await,
        "unacked-order" => delivery::unacked_order(run).await,
        "rpc" => queues::rpc(run).await,
        "dead-letter" => queues::dead_letter(run).await,
        "tx" => content::tx(run).await,
        "ttl" => queues::ttl(run).await,
        "limits" => queues::limits(run).await,
        "priorities" => queues::priorities(run).await,
        "sac" => queues::sac(run).await,
        "quorum" => queues::quorum(run).await,
        "consumer-timeout" => queues::consumer_timeout(run).await,
        "delayed" => exchanges::delayed(run).await,
        "deduplication" => exchanges::deduplication(run).await,
        "consistent-hash" => exchanges::consistent_hash(run).await,
        "permissions" => queues::permissions(run).await,
        "blocked" => lifetime::blocked(run).await,
        "restart" => lifetime::restart(run).await,
        "recovery" => lifetime::recovery(run).await,
        _ => Err(Trouble::Fail("no such scenario".into())),
    }
}

async fn run_scenario(id: &str, prefix: &str) -> String {
    let mut run = Run::new(format!("{prefix}.{id}"));
    let late = || Err(Trouble::Fail(format!("not done after {} s", TIMEOUT.as_secs())));
    let outcome = timeout(TIMEOUT, scenario(id, &mut run)).await.unwrap_or_else(|_| late());
    let cleaned = timeout(TIMEOUT, run.clean()).await.unwrap_or_else(|_| late());
    match (outcome, cleaned) {
        (Ok(()), Ok(())) => "ok".into(),
        (Ok(()), Err(trouble)) => format!("FAIL cleaning up: {trouble:?}"),
        (Err(Trouble::Skip(reason)), _) => format!("skip {reason}"),
        (Err(Trouble::Fail(reason)), _) => format!("FAIL {reason}"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    if chosen.is_empty() {
        chosen = SCENARIOS.map(String::from).to_vec();
    }
    let started = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let prefix = format!("interop.lapin.{}.{started}", std::process::id());
    let mut failed = false;
    for id in &chosen {
        let result = run_scenario(id, &prefix).await;
        failed |= result.starts_with("FAIL");
        println!("{id} {}", result.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
