//! What the journal tells about itself: numbers for metrics, readiness and people.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use telemetrics_schema::time::US_PER_S;
use telemetrics_schema::{RecordId, TimestampUs};

/// Buckets of a histogram: powers of two up to 2^25 (33 seconds in microseconds), and everything above.
pub const HISTOGRAM_BUCKETS: usize = 27;

/// How often values occurred, by powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// `buckets[i]` counts values up to 2^i that no earlier bucket holds; the last one all that are greater.
    pub buckets: [u64; HISTOGRAM_BUCKETS],
    /// Number of values.
    pub count: u64,
    /// Sum of all values.
    pub sum: u64,
}

/// A copy of the journal's numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Bytes that the segment files take, preallocated ones included.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Reception of the oldest record that the store has not confirmed, exact to a second.
    pub oldest_pending: Option<TimestampUs>,
    /// Whether records could be written the last time that it was tried; opening counts as a try.
    pub writable: bool,
    /// Writes or syncs that failed since the journal was opened.
    pub failures: u64,
    /// Records that wait for the next write.
    pub queued_records: u64,
    /// Bytes of the records that wait for the next write.
    pub queued_bytes: u64,
    /// Records per group, of groups that were acknowledged.
    pub group_records: Histogram,
    /// Bytes per group as written, of groups that were acknowledged.
    pub group_bytes: Histogram,
    /// Duration of each fdatasync in microseconds.
    pub sync_us: Histogram,
}

/// A histogram that one adds to while others read it.
#[derive(Default)]
pub(crate) struct Counter {
    buckets: [AtomicU64; HISTOGRAM_BUCKETS],
    sum: AtomicU64,
}

impl Counter {
    /// Counts a value.
    pub(crate) fn observe(&self, value: u64) {
        let bucket = (u64::BITS - value.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bucket.min(HISTOGRAM_BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// What was counted until now.
    pub(crate) fn read(&self) -> Histogram {
        let buckets = self.buckets.each_ref().map(|bucket| bucket.load(Relaxed));
        Histogram { buckets, count: buckets.iter().sum(), sum: self.sum.load(Relaxed) }
    }
}

/// No record is pending.
const NONE_PENDING: i64 = i64::MIN;

/// The writer's side of [`JournalStats`].
pub(super) struct Gauges {
    pub(super) bytes: AtomicU64,
    pub(super) segments: AtomicU64,
    pub(super) writable: AtomicBool,
    pub(super) failures: AtomicU64,
    pub(super) group_records: Counter,
    pub(super) group_bytes: Counter,
    sync_us: Counter,
    oldest_pending_us: AtomicI64,
}

impl Gauges {
    pub(super) fn new() -> Self {
        Self {
            bytes: AtomicU64::default(),
            segments: AtomicU64::default(),
            writable: AtomicBool::default(),
            failures: AtomicU64::default(),
            group_records: Counter::default(),
            group_bytes: Counter::default(),
            sync_us: Counter::default(),
            oldest_pending_us: AtomicI64::new(NONE_PENDING),
        }
    }

    pub(super) fn synced(&self, duration: Duration) {
        self.sync_us.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn failed(&self, reason: &str) {
        self.failures.fetch_add(1, Relaxed);
        self.refusing(reason);
    }

    /// Notes that records are refused; people are told when that begins, not of each.
    pub(super) fn refusing(&self, reason: &str) {
        if self.writable.swap(false, Relaxed) {
            tracing::warn!(reason, "the journal refuses records until it can write again");
        }
    }

    /// Notes that records were written.
    pub(super) fn written(&self) {
        if !self.writable.swap(true, Relaxed) {
            tracing::info!("the journal writes records again");
        }
    }

    pub(super) fn set_oldest_pending(&self, oldest: Option<TimestampUs>) {
        self.oldest_pending_us.store(oldest.map_or(NONE_PENDING, |at| at.0), Relaxed);
    }

    /// Everything but the queue, which counts for itself.
    pub(super) fn read(&self) -> JournalStats {
        let oldest = self.oldest_pending_us.load(Relaxed);
        JournalStats {
            bytes: self.bytes.load(Relaxed),
            segments: self.segments.load(Relaxed),
            oldest_pending: (oldest != NONE_PENDING).then_some(TimestampUs(oldest)),
            writable: self.writable.load(Relaxed),
            failures: self.failures.load(Relaxed),
            group_records: self.group_records.read(),
            group_bytes: self.group_bytes.read(),
            sync_us: self.sync_us.read(),
            ..JournalStats::default()
        }
    }
}

/// Reception times of the pending records, one for each second, so that years of backlog stay small.
#[derive(Default)]
pub(super) struct Ages {
    /// Greatest identifier and first reception time of the records of one second.
    seconds: VecDeque<(RecordId, TimestampUs)>,
}

impl Ages {
    /// Notes that records up to `last` were received at `at`.
    pub(super) fn push(&mut self, last: RecordId, at: TimestampUs) {
        match self.seconds.back_mut() {
            Some((newest, first)) if (at.0 - first.0).abs() < US_PER_S => *newest = last,
            _ => self.seconds.push_back((last, at)),
        }
    }

    /// Forgets the records up to `last`.
    pub(super) fn release(&mut self, last: RecordId) {
        while self.seconds.front().is_some_and(|(newest, _)| *newest <= last) {
            self.seconds.pop_front();
        }
    }

    pub(super) fn oldest(&self) -> Option<TimestampUs> {
        self.seconds.front().map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_smallest_bucket_that_holds_it() {
        let counter = Counter::default();
        for value in [0, 1, 2, 3, 4, 5, 1 << 25, (1 << 25) + 1, u64::MAX >> 1] {
            counter.observe(value);
        }
        let histogram = counter.read();
        assert_eq!(histogram.buckets[..4], [2, 1, 2, 1]);
        assert_eq!(histogram.buckets[25..], [1, 2]);
        assert_eq!(histogram.count, 9);
    }

    #[test]
    fn the_oldest_pending_second_goes_when_its_last_record_goes() {
        let mut ages = Ages::default();
        ages.push(RecordId(1), TimestampUs(10));
        ages.push(RecordId(2), TimestampUs(10 + US_PER_S - 1));
        ages.push(RecordId(3), TimestampUs(10 + US_PER_S));
        ages.release(RecordId(1));
        assert_eq!(ages.oldest(), Some(TimestampUs(10)));
        ages.release(RecordId(2));
        assert_eq!(ages.oldest(), Some(TimestampUs(10 + US_PER_S)));
        ages.release(RecordId(3));
        assert_eq!(ages.oldest(), None);
    }
}
