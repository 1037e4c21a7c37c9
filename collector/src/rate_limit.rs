//! Rate limits of telemetry ids: a token bucket for each id that has one.
//!
//! Only ids of the configuration have a bucket, so that nothing grows with what senders make up.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

/// Millionths of a record: a rate in records per second adds so many of them each microsecond.
const PER_RECORD: i64 = 1_000_000;

/// How many records one telemetry id may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Records per second in the long run.
    pub records_per_s: NonZeroU32,
    /// Records that may come at once after a pause.
    pub burst_records: NonZeroU32,
}

/// The limit is reached: try again when so much time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the telemetry id is over its rate limit, try again in {seconds} s")]
pub struct RetryAfter {
    /// Whole seconds, at least one.
    pub seconds: u64,
}

/// The limits of all telemetry ids that have one.
#[derive(Debug, Default)]
pub struct RateLimits {
    buckets: HashMap<String, Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    /// What may be sent now, in millionths of a record; below zero after more than a burst at once.
    level: i64,
    /// When `level` was true; `None` before the first record.
    at: Option<TimestampUs>,
}

impl RateLimits {
    /// The limits of the ids that are named; all others have none.
    #[must_use]
    pub fn new(limits: impl IntoIterator<Item = (String, RateLimit)>) -> Self {
        let bucket = |(id, limit)| (id, Mutex::new(Bucket::full(limit)));
        Self { buckets: limits.into_iter().map(bucket).collect() }
    }

    /// Whether no id has a limit.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Counts `records` of `telemetry_id` at `now`, all or none of them.
    ///
    /// More than a burst at once pass when the bucket is full, and are paid off by what follows.
    ///
    /// # Errors
    /// [`RetryAfter`] when they are over the limit; they are not counted then.
    pub fn check(&self, telemetry_id: &str, records: u32, now: TimestampUs) -> Result<(), RetryAfter> {
        let Some(bucket) = self.buckets.get(telemetry_id) else { return Ok(()) };
        // Every change is one assignment behind the last thing that could fail.
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(records, now)
    }
}

impl Bucket {
    fn full(limit: RateLimit) -> Self {
        Self { level: capacity(limit), limit, at: None }
    }

    fn take(&mut self, records: u32, now: TimestampUs) -> Result<(), RetryAfter> {
        self.refill(now);
        let asked = i64::from(records) * PER_RECORD;
        let missing = asked.min(capacity(self.limit)) - self.level;
        // What holds no record is not over any limit, whatever was sent before.
        if asked > 0 && missing > 0 {
            return Err(self.retry_after(missing));
        }
        self.level -= asked;
        Ok(())
    }

    fn refill(&mut self, now: TimestampUs) {
        // A clock that goes back adds nothing, and counts from there on.
        let passed_us = self.at.map_or(0, |at| now.0.saturating_sub(at.0).max(0));
        let added = passed_us.saturating_mul(i64::from(self.limit.records_per_s.get()));
        self.level = self.level.saturating_add(added).min(capacity(self.limit));
        self.at = Some(now);
    }

    fn retry_after(&self, missing: i64) -> RetryAfter {
        let per_s = i64::from(self.limit.records_per_s.get()) * US_PER_S;
        let seconds = missing / per_s + i64::from(missing % per_s > 0);
        RetryAfter { seconds: u64::try_from(seconds).unwrap_or(1) }
    }
}

fn capacity(limit: RateLimit) -> i64 {
    i64::from(limit.burst_records.get()) * PER_RECORD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(records_per_s: u32, burst_records: u32) -> RateLimits {
        let positive = |number| NonZeroU32::new(number).expect("positive");
        let limit = RateLimit { records_per_s: positive(records_per_s), burst_records: positive(burst_records) };
        RateLimits::new([("limited".to_owned(), limit)])
    }

    /// `None` when it passes, else the seconds to wait.
    fn wait(limits: &RateLimits, records: u32, at_us: i64) -> Option<u64> {
        limits.check("limited", records, TimestampUs(at_us)).err().map(|retry| retry.seconds)
    }

    #[test]
    fn a_burst_passes_and_one_more_waits_until_its_record_is_there() {
        let limits = limits(2, 3);
        assert_eq!([0, 0, 0, 0].map(|at| wait(&limits, 1, at)), [None, None, None, Some(1)]);
        assert_eq!(wait(&limits, 1, US_PER_S / 2 - 1), Some(1));
        assert_eq!(wait(&limits, 1, US_PER_S / 2), None);
        assert_eq!(wait(&limits, 1, US_PER_S / 2), Some(1));
    }

    #[test]
    fn a_pause_fills_no_more_than_a_burst() {
        let limits = limits(1, 2);
        assert_eq!(wait(&limits, 2, 0), None);
        assert_eq!(wait(&limits, 3, i64::MAX), None, "a full bucket lets more than a burst pass");
        assert_eq!(wait(&limits, 1, i64::MAX), Some(2), "which is paid off");
    }

    #[test]
    fn several_at_once_pass_together_or_not_at_all() {
        let limits = limits(1, 10);
        assert_eq!(wait(&limits, 8, 0), None);
        assert_eq!(wait(&limits, 3, 0), Some(1));
        assert_eq!(wait(&limits, 2, 0), None);
        assert_eq!(wait(&limits, 10, 0), Some(10));
    }

    #[test]
    fn no_records_are_not_too_many() {
        let limits = limits(1, 1);
        assert_eq!((wait(&limits, 5, 0), wait(&limits, 1, 0)), (None, Some(5)));
        assert_eq!(wait(&limits, 0, 0), None);
    }

    #[test]
    fn a_clock_that_goes_back_neither_fills_nor_blocks() {
        let limits = limits(1, 1);
        assert_eq!(wait(&limits, 1, 1_000 * US_PER_S), None);
        assert_eq!(wait(&limits, 1, 0), Some(1));
        assert_eq!(wait(&limits, 1, US_PER_S), None);
    }

    #[test]
    fn ids_without_a_limit_have_none_and_take_no_room() {
        let limits = limits(1, 1);
        assert!((0..1_000).all(|n| limits.check(&format!("id {n}"), 1, TimestampUs(0)).is_ok()));
        assert_eq!(limits.buckets.len(), 1);
        assert!(RateLimits::default().is_off() && !limits.is_off());
    }

    proptest! {
        #[test]
        fn no_more_pass_than_the_limit_says(
            rate in 1_u32..50,
            burst in 1_u32..20,
            pauses_us in prop::collection::vec(0_i64..200_000, 1..100),
        ) {
            let limits = limits(rate, burst);
            let (mut now, mut passed) = (0, 0_i64);
            for pause_us in pauses_us {
                now += pause_us;
                passed += i64::from(wait(&limits, 1, now).is_none());
                prop_assert!(passed * US_PER_S <= i64::from(burst) * US_PER_S + now * i64::from(rate));
            }
        }

        #[test]
        fn who_waits_as_long_as_told_passes(rate in 1_u32..50, burst in 1_u32..20, records in 1_u32..40) {
            let limits = limits(rate, burst);
            let mut now = 0;
            while wait(&limits, records, now).is_none() {}
            let seconds = wait(&limits, records, now).expect("still over the limit");
            now += i64::try_from(seconds).expect("small") * US_PER_S;
            prop_assert_eq!(wait(&limits, records, now), None);
        }

        #[test]
        fn no_numbers_make_it_overflow(rate in 1_u32.., burst in 1_u32.., records: u32, times: [i64; 4]) {
            let limits = limits(rate, burst);
            for at in times {
                let _ = wait(&limits, records, at);
            }
        }
    }
}
