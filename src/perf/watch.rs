//! Looks at a run while it goes on: how far it is, and what the broker uses.

use super::args::Target;
use super::process::{Usage, Used};
use super::shared::Counts;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between looks at the counts; looks at the broker are rarer.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_AT_BROKER: Duration = Duration::from_millis(100);

/// Shortest time that a rate is told of.
const EDGE: f64 = 0.03;

/// How long a broker is given to return memory it no longer needs.
const SETTLE: Duration = Duration::from_secs(1);

/// Time between progress lines.
const LINE: Duration = Duration::from_secs(1);

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pid: Option<u32>,
    progress: bool,
}

/// One run's looks.
pub(super) struct Looks {
    watch: Watch,
    started: Instant,
    before: Option<Usage>,
    peak: u64,
    series: Series,
    looked: Duration,
    looked_at_broker: Duration,
    line: (Duration, Counts, Duration),
}

impl Watch {
    pub(super) fn new(target: &Target) -> Self {
        Self { pid: target.pid, progress: target.progress || std::io::stderr().is_terminal() }
    }

    /// What the broker uses now.
    pub(super) fn usage(&self) -> Result<Option<Usage>, String> {
        self.pid.map(Usage::of).transpose()
    }

    /// Says what is going on.
    pub(super) fn say(&self, text: &str) {
        if self.progress {
            eprintln!("{text}");
        }
    }

    /// Waits, where the broker's memory is looked at, until it has returned what it does not need.
    pub(super) fn settle(&self) {
        if self.pid.is_some() {
            std::thread::sleep(SETTLE);
        }
    }

    /// Begins to look.
    pub(super) fn begin(&self) -> Result<Looks, String> {
        let before = self.usage()?;
        Ok(Looks {
            watch: *self,
            started: Instant::now(),
            before,
            peak: 0,
            series: Series::default(),
            looked: Duration::ZERO,
            looked_at_broker: Duration::ZERO,
            line: (Duration::ZERO, Counts::default(), before.unwrap_or_default().cpu),
        })
    }
}

impl Looks {
    /// To be called again and again: looks if it is time to.
    pub(super) fn look(&mut self, counts: Counts) {
        let now = self.started.elapsed();
        if now < self.looked + LOOK {
            return;
        }
        self.looked = now;
        self.series.0.push((now, counts));
        if now < self.looked_at_broker + LOOK_AT_BROKER {
            return;
        }
        self.looked_at_broker = now;
        // A broker that is gone shows in what the workers say.
        let usage = self.watch.usage().ok().flatten();
        self.peak = self.peak.max(usage.map_or(0, |usage| usage.rss));
        if self.watch.progress && now >= self.line.0 + LINE {
            let cpu = usage.unwrap_or_default().cpu;
            eprintln!("{}", line(now, counts, &self.line, usage.as_ref()));
            self.line = (now, counts, cpu);
        }
    }

    /// What the broker used, and how the counts grew.
    pub(super) fn end(self) -> Result<(Option<Used>, Series), String> {
        let after = self.watch.usage()?;
        let used = after.zip(self.before).map(|(after, before)| after.since(&before, self.peak));
        Ok((used, self.series))
    }
}

/// The progress line of the time since the last one.
fn line(now: Duration, counts: Counts, last: &(Duration, Counts, Duration), usage: Option<&Usage>) -> String {
    let (then, before, cpu) = last;
    let seconds = (now - *then).as_secs_f64();
    let rate = |now: u64, then: u64| ((now - then) as f64 / seconds).round();
    let mut text = format!("{:>5.0} s", now.as_secs_f64());
    for (name, now, then) in [
        ("published", counts.published, before.published),
        ("confirmed", counts.confirmed, before.confirmed),
        ("consumed", counts.consumed, before.consumed),
    ] {
        if now > 0 {
            text += &format!("  {name} {}/s", rate(now, then));
        }
    }
    if let Some(usage) = usage {
        let share = (usage.cpu.saturating_sub(*cpu)).as_secs_f64() / seconds * 100.0;
        text += &format!("  broker {share:.0} % CPU, {:.0} MB", usage.rss as f64 / 1e6);
    }
    text
}

/// How counts grew.
#[derive(Clone, Debug, Default)]
pub(super) struct Series(Vec<(Duration, Counts)>);

impl Series {
    /// Rates over the first and the last tenth of `total`, if the run was long enough to tell them apart.
    pub(super) fn edges(&self, count: impl Fn(&Counts) -> u64, total: u64) -> Option<(f64, f64)> {
        let tenth = total / 10;
        let points: Vec<(f64, f64)> =
            self.0.iter().map(|(at, counts)| (at.as_secs_f64(), count(counts) as f64)).collect();
        let at = |wanted: f64| {
            points.windows(2).find_map(|pair| match pair {
                [(t0, c0), (t1, c1)] if *c0 <= wanted && wanted <= *c1 && c1 > c0 => {
                    Some(t0 + (t1 - t0) * (wanted - c0) / (c1 - c0))
                }
                _ => None,
            })
        };
        let first = points.iter().position(|(_, count)| *count > 0.0)?;
        let (start, counted) = *points.get(first)?;
        let early = at(counted + tenth as f64)? - start;
        // The last look may have missed the very end.
        let (end, last) = points.iter().rev().find(|(_, count)| *count <= total as f64).copied()?;
        let late = end - at(last - tenth as f64)?;
        (early > EDGE && late > EDGE).then(|| (tenth as f64 / early, tenth as f64 / late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(published: u64, consumed: u64) -> Counts {
        Counts { published, consumed, ..Counts::default() }
    }

    #[test]
    fn rates_at_the_edges_are_told_apart() {
        // 100 a second for 10 s, then 50 a second for 20 s.
        let at = |tick: u64| counts(if tick < 100 { tick * 10 } else { 1000 + (tick - 100) * 5 }, 0);
        let series = Series((0..=300).map(|tick| (Duration::from_millis(100 * tick), at(tick))).collect());
        let (first, last) = series.edges(|counts| counts.published, 2000).unwrap();
        assert!((first - 100.0).abs() < 1.0 && (last - 50.0).abs() < 1.0, "{first} {last}");
        assert!(series.edges(|counts| counts.consumed, 2000).is_none());
    }

    #[test]
    fn a_progress_line_shows_what_there_is() {
        let last = (Duration::from_secs(1), counts(100, 0), Duration::from_millis(100));
        let usage = Usage { cpu: Duration::from_millis(600), rss: 5_000_000, ..Usage::default() };
        let text = line(Duration::from_secs(2), counts(1100, 0), &last, Some(&usage));
        assert_eq!(text, "    2 s  published 1000/s  broker 50 % CPU, 5 MB");
    }
}
