//! `warren perf`: a load generator that costs as little as possible itself.
//!
//! Publishers write the same encoded publish frames over and over; consumers walk frames in a big read buffer and count.
//! Few threads drive all connections (`worker`); a connection under load is a state machine (`publisher`, `consumer`,
//! `caller`). `scenarios` put loads and requests together, `report` prints what they came to.

mod args;
mod caller;
mod connection;
mod consumer;
mod delivery;
mod frames;
mod latency;
mod link;
mod pattern;
mod plan;
mod process;
mod publisher;
mod report;
mod run;
mod scenarios;
mod shared;
mod socket;
mod template;
mod verify;
mod watch;
mod worker;

pub use args::PerfArgs;

/// Runs the scenario that the arguments name and prints its figures to standard output.
///
/// # Errors
/// A text for the user: arguments that contradict each other, a broker that cannot be reached or refuses something,
/// a connection lost under load, messages that were not as they should be.
pub fn run(args: &PerfArgs) -> Result<(), String> {
    let report = scenarios::run(args)?;
    let json = scenarios::target(args).json;
    print!("{}", if json { report.json() } else { report.text() });
    report.fault.map_or(Ok(()), Err)
}
