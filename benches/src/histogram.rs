//! Durations in buckets that are at most 3 % wide: a fixed size however many are counted.

use std::time::Duration;

/// Buckets in each power of two, as a power of two.
const PRECISION_BITS: u32 = 5;
const PER_POWER: usize = 1 << PRECISION_BITS;
const BUCKETS: usize = (64 - PRECISION_BITS as usize + 1) * PER_POWER;

/// Counts durations by their nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(ns)] += 1;
        self.count += 1;
    }

    /// Adds everything that `other` counted.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        for (own, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += others;
        }
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The duration that `per_mille` of a thousand do not pass, at most 3 % too long; zero when there is none.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> Duration {
        let rank = (u128::from(self.count) * u128::from(per_mille)).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= rank {
                return Duration::from_nanos(last_of(bucket));
            }
        }
        Duration::ZERO
    }
}

/// Values below `PER_POWER` have a bucket each; above, the leading bit and the bits behind it choose one.
fn bucket_of(value: u64) -> usize {
    let Some(shift) = (63 - value.max(1).leading_zeros()).checked_sub(PRECISION_BITS) else {
        return usize::try_from(value).unwrap_or(0);
    };
    let within = usize::try_from(value >> shift).unwrap_or(0) - PER_POWER;
    (shift as usize + 1) * PER_POWER + within
}

/// The greatest value of a bucket.
fn last_of(bucket: usize) -> u64 {
    if bucket < PER_POWER {
        return bucket as u64;
    }
    let shift = bucket / PER_POWER - 1;
    let first = u128::from((PER_POWER + bucket % PER_POWER) as u64) << shift;
    u64::try_from(first + (1 << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_not_too_wide() {
        let mut previous = None;
        for value in (0..5_000).chain((0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1])) {
            let bucket = bucket_of(value);
            let last = last_of(bucket);
            assert!(last >= value && last - value <= value / 32, "{value} is counted as {last}");
            assert!(bucket == 0 || last_of(bucket - 1) < value, "{value} is not the bucket's before");
            previous = previous.max(Some(bucket));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(last_of(BUCKETS - 1), u64::MAX);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(990), Duration::ZERO);
        for ns in 1..=30 {
            histogram.record(Duration::from_nanos(ns));
        }
        for (per_mille, ns) in [(0, 1), (1, 1), (500, 15), (501, 16), (990, 30), (1_000, 30)] {
            assert_eq!(histogram.quantile(per_mille), Duration::from_nanos(ns), "{per_mille}");
        }
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_nanos(1));
        other.record(Duration::from_nanos(20));
        one.add(&other);
        assert_eq!(
            (one.count(), one.quantile(500), one.quantile(501)),
            (2, Duration::from_nanos(1), Duration::from_nanos(20))
        );
    }
}
