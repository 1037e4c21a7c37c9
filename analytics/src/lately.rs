//! What the last pages showed of the newest records: when they came, and how close to each other. It says where the next
//! page is likely to be found, and nothing of what is on it.

use std::sync::atomic::{AtomicI64, Ordering};

use telemetrics_schema::TimestampUs;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    /// When the newest record was received that anybody saw, in microseconds; 0 when nobody did.
    newest_us: AtomicI64,
    /// How far apart the records of the last page of all records were, in microseconds; 0 when there was none.
    apart_us: AtomicI64,
}

impl Lately {
    /// A page of all records had so many, which were received between two instants.
    pub(crate) fn note(&self, records: usize, oldest: TimestampUs, newest: TimestampUs) {
        self.newest_us.fetch_max(newest.0, Ordering::Relaxed);
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        if records > 1 {
            // At least one, which says that they came all at once.
            self.apart_us.store((newest.0.saturating_sub(oldest.0) / records).max(1), Ordering::Relaxed);
        }
    }

    /// How long nothing came before `instant`, in microseconds, as far as anybody knows.
    pub(crate) fn silence_us(&self, instant: TimestampUs) -> i64 {
        let newest_us = self.newest_us.load(Ordering::Relaxed);
        if newest_us > 0 { instant.0.saturating_sub(newest_us).max(0) } else { 0 }
    }

    /// How many records come in so many microseconds, where they come as they did.
    pub(crate) fn records_in(&self, span_us: i64) -> i64 {
        span_us.checked_div(self.apart_us.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// How long so many records took, in microseconds; `None` when nobody has looked yet.
    pub(crate) fn span_us(&self, records: usize) -> Option<i64> {
        let apart_us = self.apart_us.load(Ordering::Relaxed);
        let records = i64::try_from(records).unwrap_or(i64::MAX);
        (apart_us > 0).then(|| apart_us.saturating_mul(records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_how_long_records_take() {
        let (lately, from) = (Lately::default(), TimestampUs(1_000_000));
        lately.note(1, from, from);
        assert_eq!((lately.span_us(1), lately.records_in(7)), (None, 0), "one record is no distance");
        lately.note(2, from, from);
        assert_eq!(lately.span_us(1_000), Some(1_000), "they came at once");
        lately.note(100, from, TimestampUs(from.0 + 1_000_000));
        assert_eq!((lately.span_us(10), lately.records_in(100_000)), (Some(100_000), 10));
        lately.note(2, from, TimestampUs(0));
        assert_eq!(lately.span_us(1), Some(1), "a clock that was put back");
        assert_eq!(lately.span_us(usize::MAX), Some(i64::MAX));
    }

    #[test]
    fn silence_is_since_the_newest_record_that_was_seen() {
        let lately = Lately::default();
        assert_eq!(lately.silence_us(TimestampUs(7)), 0, "nobody has looked");
        lately.note(1, TimestampUs(5), TimestampUs(5));
        lately.note(1, TimestampUs(3), TimestampUs(3));
        assert_eq!([4, 5, 7].map(|us| lately.silence_us(TimestampUs(us))), [0, 0, 2]);
    }
}
