//! Latencies in nanoseconds, in buckets of at most 3 % width.

/// Buckets per power of two.
const STEPS: usize = 32;

/// Counts by bucket: exact below 32 ns, then 32 buckets for each power of two up to 2^63.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * 60], total: 0, max: 0 }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
            self.total += 1;
        }
        self.max = self.max.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    /// The value that `share` (0 to 1) of all values do not exceed, rounded up to its bucket's end.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(index).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket a value belongs to: its highest bit and the five bits below it.
fn bucket(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let shift = 58 - value.leading_zeros() as usize;
    (shift + 1) * STEPS + (value >> shift) as usize - STEPS
}

/// The largest value of a bucket.
fn last_of(index: usize) -> u64 {
    if index < STEPS {
        return index as u64;
    }
    let shift = index / STEPS - 1;
    let first = ((index % STEPS + STEPS) as u64) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_adjacent() {
        let mut last = None;
        for value in (0..4096).chain((12..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let index = bucket(value);
            assert!(last_of(index) >= value, "{value}");
            assert!(last_of(index) - value <= value / 32, "{value}");
            assert!(index == 0 || last_of(index - 1) < value, "{value}");
            assert!(last.is_none_or(|last| index >= last), "{value}");
            last = Some(index);
        }
        assert!(bucket(u64::MAX) < Histogram::default().counts.len());
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|value| histogram.add(value * 1000));
        let close = |value: u64, expected: u64| value >= expected && value <= expected + expected / 32;
        assert!(close(histogram.quantile(0.5), 500_000));
        assert!(close(histogram.quantile(0.99), 990_000));
        assert_eq!(histogram.quantile(1.0), 1_000_000);
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(twice.quantile(0.5), histogram.quantile(0.5));
    }
}
