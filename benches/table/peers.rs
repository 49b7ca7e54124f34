//! The same loads against every broker that is installed, in turns, beside the machine's floor.

use crate::Options;
use crate::broker::{Broker, Kind};
use crate::figures::{Figures, bytes, median, micros, millis, perf, rate};
use crate::floor::{self, Floor};
use crate::{machine, paced};
use std::time::Duration;
use tempfile::TempDir;

/// What is shown of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Rate and CPU.
    Rate,
    /// CPU, where the load gives the rate.
    Cpu,
    /// Percentiles.
    Latency,
}

/// One line of the table.
struct Row {
    name: &'static str,
    /// The words of `warren perf`; `{time}` and `{count}` are filled in.
    words: &'static str,
    /// The part of its report.
    part: &'static str,
    shown: Shown,
    floor: Bottom,
}

/// What the floor does.
#[derive(Clone, Copy, Debug)]
enum Bottom {
    None,
    /// As much as it can: body size and confirm window.
    Fast(usize, Option<u64>),
    /// So many pairs, messages a second of all, body size, durable.
    Paced(usize, f64, usize, bool),
}

const fn row(name: &'static str, words: &'static str, shown: Shown, floor: Bottom) -> Row {
    Row { name, words, part: "", shown, floor }
}

const ROWS: &[Row] = &[
    row("transient 16 B, no acks", "throughput -z {time}", Shown::Rate, Bottom::Fast(16, None)),
    row(
        "publish only, persistent 100 B, confirms 1000",
        "throughput --publish-only --durable -f -s 100 -c 1000 -z {time}",
        Shown::Rate,
        Bottom::Fast(100, Some(1000)),
    ),
    Row {
        part: "/drain",
        ..row(
            "drain of {count} persistent 100 B, acks of 100, prefetch 1000",
            "drain --durable -f -s 100 -c 1000 -A 100 -q 1000 -C {count}",
            Shown::Rate,
            Bottom::None,
        )
    },
    row(
        "durable 1 KB, confirms 1000, acks of 100, prefetch 1000",
        "throughput --durable -f -s 1024 -c 1000 -A 100 -q 1000 -z {time}",
        Shown::Rate,
        Bottom::Fast(1024, Some(1000)),
    ),
    row(
        "durable 1 KB, one at a time",
        "throughput --durable -f -s 1024 -c 1 -A 1 -q 1 -z {time}",
        Shown::Rate,
        Bottom::Fast(1024, Some(1)),
    ),
    row(
        "10 publishers, consumers, queues, durable 256 B, confirms 500, acks of 50",
        "throughput -x 10 -y 10 --queues 10 --durable -f -s 256 -c 500 -A 50 -z {time}",
        Shown::Rate,
        Bottom::None,
    ),
    row(
        "everyday: 20 × 250/s, transient 256 B, ack each",
        "throughput -x 20 -y 20 --queues 20 -r 250 -s 256 -A 1 -z {time}",
        Shown::Cpu,
        Bottom::Paced(20, 5000.0, 256, false),
    ),
    row(
        "everyday: 20 × 100/s, durable 256 B, confirm 1, ack each",
        "throughput -x 20 -y 20 --queues 20 -r 100 --durable -f -s 256 -c 1 -A 1 -z {time}",
        Shown::Cpu,
        Bottom::Paced(20, 2000.0, 256, true),
    ),
    row(
        "latency at 5000/s, transient 64 B, ack each",
        "latency -z {time}",
        Shown::Latency,
        Bottom::Paced(1, 5000.0, 64, false),
    ),
    row(
        "latency at 2000/s, durable 64 B, confirms 1000, ack each",
        "latency -r 2000 --durable -f -c 1000 -z {time}",
        Shown::Latency,
        Bottom::Paced(1, 2000.0, 64, true),
    ),
];

/// Everything measured of one load and broker.
#[derive(Default)]
struct Cell {
    rates: Vec<f64>,
    cpus: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    memory: Vec<f64>,
    faults: Vec<String>,
}

pub fn run(options: &Options) -> Result<(), String> {
    let kinds = Kind::installed();
    let rounds = if options.rounds > 0 { options.rounds } else { options.pick(2, 3) };
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(&options.only)).collect();
    let mut cells: Vec<Vec<Cell>> = rows.iter().map(|_| kinds.iter().map(|_| Cell::default()).collect()).collect();
    let mut floors: Vec<Vec<Floor>> = rows.iter().map(|_| Vec::new()).collect();
    let mut versions = vec![String::new(); kinds.len()];
    let mut idle = vec![0.0; kinds.len()];
    for round in 1..=rounds {
        for (place, kind) in kinds.iter().enumerate() {
            eprintln!("round {round} of {rounds}: {}", kind.name());
            let broker = Broker::start(*kind)?;
            std::thread::sleep(Duration::from_secs(2));
            versions[place] = broker.version();
            idle[place] = broker.status("VmRSS:") as f64;
            drop(broker);
            for (number, row) in rows.iter().enumerate() {
                // A fresh broker: no row inherits another's memory or files.
                let broker = Broker::start(*kind)?;
                cells[number][place].add(perf(&broker, &words(row, options)), row.part);
            }
        }
        eprintln!("round {round} of {rounds}: the floor");
        for (row, floors) in rows.iter().zip(&mut floors) {
            floors.extend(floor_of(row)?);
        }
    }
    print(&Table { rows, kinds, versions, idle, cells, floors, rounds }, options);
    Ok(())
}

fn words(row: &Row, options: &Options) -> String {
    fill(row.words, options)
}

fn fill(text: &str, options: &Options) -> String {
    text.replace("{time}", options.pick("4", "10")).replace("{count}", options.pick("200000", "1000000"))
}

fn floor_of(row: &Row) -> Result<Option<Floor>, String> {
    let directory = TempDir::with_prefix("warren-bench-").map_err(|error| format!("directory: {error}"))?;
    let time = Duration::from_secs(3);
    match row.floor {
        Bottom::None => Ok(None),
        Bottom::Fast(size, window) => floor::run(floor::Load { size, window, time }, directory.path()).map(Some),
        Bottom::Paced(pairs, rate, size, durable) => {
            paced::run(paced::Load { pairs, rate, size, durable, time }, directory.path()).map(Some)
        }
    }
}

impl Cell {
    fn add(&mut self, figures: Result<Figures, String>, part: &str) {
        match figures {
            Ok(figures) => {
                self.rates.push(figures.rate(part));
                self.cpus.push(figures.cpu(part));
                self.p50.push(figures.latency(part, "p50"));
                self.p99.push(figures.latency(part, "p99"));
                self.memory.push(figures.number(&format!("{part}/broker_rss_peak_bytes")));
            }
            Err(error) => self.faults.push(error),
        }
    }

    fn text(&self, shown: Shown) -> String {
        if self.rates.is_empty() {
            return "failed".to_owned();
        }
        let (cpu, memory) = (micros(median(&self.cpus)), bytes(median(&self.memory)));
        match shown {
            Shown::Rate => format!("{}, {cpu}, {memory}", rate(median(&self.rates))),
            Shown::Cpu => format!("{cpu}, {memory}"),
            Shown::Latency => format!("{}, {cpu}", millis(median(&self.p50), median(&self.p99))),
        }
    }
}

struct Table<'a> {
    rows: Vec<&'a Row>,
    kinds: Vec<Kind>,
    versions: Vec<String>,
    idle: Vec<f64>,
    cells: Vec<Vec<Cell>>,
    floors: Vec<Vec<Floor>>,
    rounds: usize,
}

fn print(table: &Table<'_>, options: &Options) {
    println!("{}; {}. Medians of {} rounds.\n", machine::describe(), machine::note(), table.rounds);
    for (kind, version) in table.kinds.iter().zip(&table.versions) {
        println!("- {} {version}: {}", kind.name(), kind.sync());
    }
    println!("- floor: a blind TCP relay of the same bytes; durable rows: appended and fdatasynced first");
    let names: Vec<&str> = table.kinds.iter().map(|kind| kind.name()).collect();
    println!("\n| load | {} | floor |", names.join(" | "));
    println!("|---|{}---|", "---|".repeat(names.len()));
    for ((row, cells), floors) in table.rows.iter().zip(&table.cells).zip(&table.floors) {
        let texts: Vec<String> = cells.iter().map(|cell| cell.text(row.shown)).collect();
        let of = |value: fn(&Floor) -> f64| median(&floors.iter().map(value).collect::<Vec<_>>());
        let floor = match floors.is_empty() {
            true => "–".to_owned(),
            false => {
                let cpu = micros(of(|floor| floor.cpu));
                match row.shown {
                    Shown::Rate => format!("{}, {cpu}", rate(of(|floor| floor.rate))),
                    Shown::Cpu => cpu,
                    Shown::Latency => format!("{}, {cpu}", millis(of(|floor| floor.p50), of(|floor| floor.p99))),
                }
            }
        };
        println!("| {} | {} | {floor} |", fill(row.name, options), texts.join(" | "));
    }
    let idle: Vec<String> = table.idle.iter().map(|memory| bytes(*memory)).collect();
    println!("| idle memory | {} | – |", idle.join(" | "));
    println!("\nMessages a second, the broker's CPU a message, its highest memory; latencies are p50 / p99.");
    for (cells, row) in table.cells.iter().zip(&table.rows) {
        for fault in cells.iter().flat_map(|cell| &cell.faults) {
            println!("{}: {fault}", row.name);
        }
    }
}
