//! Instants in UTC: microseconds since the Unix epoch, and the one way they are written for people.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};

/// Microseconds in one second.
pub const US_PER_S: i64 = 1_000_000;
/// Seconds in one day; UTC without leap seconds, as every store counts.
pub const S_PER_DAY: i64 = 86_400;
/// Microseconds in one hour.
pub const US_PER_HOUR: i64 = 3_600 * US_PER_S;
/// Microseconds in one day.
pub const US_PER_DAY: i64 = S_PER_DAY * US_PER_S;

/// An instant in microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimestampUs(pub i64);

impl TimestampUs {
    /// The instant `seconds` after the epoch.
    #[must_use]
    pub const fn from_s(seconds: i64) -> Self {
        Self(seconds * US_PER_S)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_s(self) -> i64 {
        self.0.div_euclid(US_PER_S)
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_ms(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Days since the epoch: the partition that the instant belongs to.
    #[must_use]
    pub const fn day(self) -> i32 {
        // Every instant that fits into microseconds is less than 2^27 days away from the epoch.
        #[allow(clippy::cast_possible_truncation)]
        {
            self.0.div_euclid(US_PER_DAY) as i32
        }
    }

    /// The UTC calendar date, `None` beyond the calendar's end (year 262142).
    #[must_use]
    pub fn date(self) -> Option<NaiveDate> {
        DateTime::<Utc>::from_timestamp_micros(self.0).map(|t| t.date_naive())
    }
}

/// `2015-09-30 00:39:35 UTC`, the form of the records API.
impl fmt::Display for TimestampUs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(instant) => write!(f, "{}", instant.format("%Y-%m-%d %H:%M:%S UTC")),
            None => write!(f, "{} us", self.0),
        }
    }
}

/// Tells the time; passed in so that tests decide what time it is (design, invariant 8).
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> TimestampUs;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_form_of_the_records_api() {
        assert_eq!(TimestampUs::from_s(1_443_573_575).to_string(), "2015-09-30 00:39:35 UTC");
    }

    #[test]
    fn the_last_valid_capture_time_is_the_end_of_2299() {
        assert_eq!(TimestampUs::from_s(10_413_791_999).to_string(), "2299-12-31 23:59:59 UTC");
    }

    #[test]
    fn a_day_before_the_epoch_is_negative() {
        assert_eq!(TimestampUs(-1).day(), -1);
        assert_eq!(TimestampUs(0).day(), 0);
        assert_eq!(TimestampUs(US_PER_DAY).day(), 1);
    }
}
