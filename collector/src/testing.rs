//! What the tests of several parts of the collector need.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::{Clock, US_PER_DAY};

/// Noon of some day in November 2026.
pub(crate) const NOON: TimestampUs = TimestampUs(1_795_348_800_000_000);

/// A clock that tests set.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    /// It is noon.
    pub(crate) fn new() -> Arc<Self> {
        Self::at(NOON)
    }

    pub(crate) fn at(now: TimestampUs) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now.0)))
    }

    pub(crate) fn turn_by_us(&self, us: i64) {
        self.0.fetch_add(us, Relaxed);
    }

    pub(crate) fn turn_by_days(&self, days: i64) {
        self.turn_by_us(days * US_PER_DAY);
    }
}

impl Clock for TestClock {
    fn now(&self) -> TimestampUs {
        TimestampUs(self.0.load(Relaxed))
    }
}
