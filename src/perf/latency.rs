//! Latencies: a histogram of three digits, in nanoseconds.

use hdrhistogram::Histogram;

/// Longest latency told apart: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Percentiles shown.
pub(super) const SHARES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// Counts of latencies. Its memory is taken with the first one: most connections of a large run have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies(Option<Histogram<u64>>);

impl Latencies {
    #[inline]
    pub(super) fn add(&mut self, nanos: u64) {
        if self.0.is_none() {
            // The bounds are constants it accepts.
            self.0 = Histogram::new_with_bounds(1, LONGEST, 3).ok();
        }
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(nanos);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Some(mine), Some(theirs)) => {
                // Both have the same bounds.
                let _ = mine.add(theirs);
            }
            (None, Some(_)) => self.clone_from(other),
            _ => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(Histogram::is_empty)
    }

    /// What `share` (0 to 1) of all do not exceed, in microseconds.
    pub(super) fn micros(&self, share: f64) -> f64 {
        self.0.as_ref().map_or(0.0, |histogram| histogram.value_at_quantile(share) as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_set() {
        let mut latencies = Latencies::default();
        assert!(latencies.is_empty());
        (1..=1000).for_each(|micros| latencies.add(micros * 1000));
        let mut twice = Latencies::default();
        twice.merge(&latencies);
        twice.merge(&latencies);
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            assert!((latencies.micros(share) - micros).abs() <= micros / 1000.0, "{share}");
            assert!((twice.micros(share) - micros).abs() <= micros / 1000.0, "{share}");
        }
    }

    #[test]
    fn what_is_too_long_counts_as_longest() {
        let mut latencies = Latencies::default();
        latencies.add(0);
        latencies.add(u64::MAX);
        assert!(latencies.micros(1.0) >= LONGEST as f64 / 1e3);
    }
}
