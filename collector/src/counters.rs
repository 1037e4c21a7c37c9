//! What the collector counts: numbers that only grow, added to by those who do the work, read by whoever reports them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::journal::{Counter, Histogram};
use crate::store::StoreError;

/// Why a record was not accepted, as far as it is told apart in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A field is missing or wrong.
    Invalid,
    /// The telemetry id is not accepted here.
    TelemetryId,
    /// The body is larger than its limit.
    TooLarge,
    /// The content encoding is not known.
    Encoding,
    /// The body did not arrive whole, or not in time, or cannot be read.
    Body,
    /// The telemetry id sends too much.
    RateLimit,
    /// The record could not be made durable.
    Unavailable,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Invalid,
        Self::TelemetryId,
        Self::TooLarge,
        Self::Encoding,
        Self::Body,
        Self::RateLimit,
        Self::Unavailable,
    ];

    /// How metrics name it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TelemetryId => "telemetry_id",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::Body => "body",
            Self::RateLimit => "rate_limit",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A copy of the counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records that were made durable.
    pub accepted: u64,
    /// Requests and lines of batches that were not accepted, in the order of [`Reason::ALL`].
    pub rejected: [u64; Reason::ALL.len()],
    /// Records that had been accepted before and were answered again.
    pub redelivered: u64,
    /// Records that were kept aside.
    pub quarantined: u64,
    /// Records of each batch that a store took.
    pub batch_records: Histogram,
    /// Duration of each insert that succeeded, in microseconds.
    pub insert_us: Histogram,
    /// Inserts whose outcome is not known, or that did not reach the store.
    pub inserts_unavailable: u64,
    /// Inserts that a store refused.
    pub inserts_refused: u64,
}

/// See the module.
#[derive(Default)]
pub struct Counters {
    accepted: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    redelivered: AtomicU64,
    quarantined: AtomicU64,
    batch_records: Counter,
    insert_us: Counter,
    inserts_unavailable: AtomicU64,
    inserts_refused: AtomicU64,
}

impl Counters {
    /// Counts records that were made durable.
    pub fn accepted(&self, records: u64) {
        self.accepted.fetch_add(records, Relaxed);
    }

    /// Counts records that were not accepted.
    pub fn rejected(&self, reason: Reason, records: u64) {
        // The reasons stand in `ALL` in the order of their declaration.
        self.rejected[reason as usize].fetch_add(records, Relaxed);
    }

    /// Counts records that had been accepted before.
    pub fn redelivered(&self, records: u64) {
        self.redelivered.fetch_add(records, Relaxed);
    }

    /// Counts records that were kept aside.
    pub fn quarantined(&self, records: u64) {
        self.quarantined.fetch_add(records, Relaxed);
    }

    /// Counts one insert into the store.
    pub fn inserted(&self, records: usize, duration: Duration, outcome: &Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                self.batch_records.observe(records as u64);
                self.insert_us.observe(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
            }
            Err(StoreError::Unavailable(_)) => _ = self.inserts_unavailable.fetch_add(1, Relaxed),
            Err(StoreError::Refused(_)) => _ = self.inserts_refused.fetch_add(1, Relaxed),
        }
    }

    /// The numbers now; each is right, all of them together may be of slightly different moments.
    #[must_use]
    pub fn read(&self) -> Counts {
        Counts {
            accepted: self.accepted.load(Relaxed),
            rejected: self.rejected.each_ref().map(|count| count.load(Relaxed)),
            redelivered: self.redelivered.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            batch_records: self.batch_records.read(),
            insert_us: self.insert_us.read(),
            inserts_unavailable: self.inserts_unavailable.load(Relaxed),
            inserts_refused: self.inserts_refused.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_number_and_label() {
        let counters = Counters::default();
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            counters.rejected(reason, 1 + at as u64);
        }
        assert_eq!(counters.read().rejected, [1, 2, 3, 4, 5, 6, 7]);
        let labels: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
    }

    #[test]
    fn an_insert_counts_by_its_outcome() {
        let counters = Counters::default();
        let take = |outcome| counters.inserted(10, Duration::from_micros(3), &outcome);
        take(Ok(()));
        take(Err(StoreError::Unavailable(String::new())));
        take(Err(StoreError::Unavailable(String::new())));
        take(Err(StoreError::Refused(String::new())));
        let counts = counters.read();
        assert_eq!((counts.batch_records.count, counts.batch_records.sum, counts.insert_us.sum), (1, 10, 3));
        assert_eq!((counts.inserts_unavailable, counts.inserts_refused), (2, 1));
    }
}
