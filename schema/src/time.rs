//! Instants in UTC: microseconds since the Unix epoch, and the one way they are written for people.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

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

    /// Midnight of the first of January of its year in UTC; itself beyond the calendar's end.
    #[must_use]
    pub fn begin_of_year(self) -> Self {
        let january = self.date().and_then(|date| NaiveDate::from_ymd_opt(date.year(), 1, 1));
        january.map_or(self, |date| Self(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()))
    }

    /// The beginning of a day counted from the epoch.
    #[must_use]
    pub const fn from_day(day: i32) -> Self {
        Self(day as i64 * US_PER_DAY)
    }

    /// Reads a UTC calendar date as `YYYY-MM-DD`: the instant at which it begins. `None` for anything else.
    #[must_use]
    pub fn from_date(text: &str) -> Option<Self> {
        // The parser takes fewer digits and signs, too.
        let is_shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = if is_shaped { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()? } else { return None };
        Some(Self(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()))
    }

    /// Reads an instant as RFC 3339 writes it; below microseconds it is rounded up, so that intervals of records, whose
    /// instants are whole microseconds, stay the same. `None` for anything else.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let instant = DateTime::parse_from_rfc3339(text).ok()?;
        let has_rest = instant.timestamp_subsec_nanos() % 1_000 > 0;
        Some(Self(instant.timestamp_micros() + i64::from(has_rest)))
    }

    /// As RFC 3339 writes it, in whole seconds, rounded down: `2015-09-30T00:39:35Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(instant) => instant.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            None => format!("{} us", self.0),
        }
    }

    /// As RFC 3339 writes it, in microseconds: `2015-09-30T00:39:35.000000Z`.
    #[must_use]
    pub fn rfc3339_us(self) -> String {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(instant) => instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            None => format!("{} us", self.0),
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
    fn a_date_begins_at_midnight() {
        assert_eq!(TimestampUs::from_date("1970-01-02"), Some(TimestampUs(US_PER_DAY)));
        assert_eq!(TimestampUs::from_date("2024-02-29").map(TimestampUs::as_s), Some(1_709_164_800));
        for wrong in ["", "2023-02-29", "2024-2-1", "+024-02-01", "2024-02-01 ", "20240201", "2024-13-01", "today"] {
            assert_eq!(TimestampUs::from_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_year_begins_on_the_first_of_january() {
        let begin = |s: i64| TimestampUs::from_s(s).begin_of_year().to_string();
        assert_eq!(
            (begin(1_795_342_080), begin(-1)),
            ("2026-01-01 00:00:00 UTC".into(), "1969-01-01 00:00:00 UTC".into())
        );
        assert_eq!(TimestampUs(i64::MAX).begin_of_year(), TimestampUs(i64::MAX));
    }

    #[test]
    fn an_instant_of_rfc_3339_has_an_offset_and_is_rounded_up() {
        let read = |text: &str| TimestampUs::from_rfc3339(text).map(|instant| instant.0);
        assert_eq!(read("1970-01-01T01:00:01.5+01:00"), Some(1_500_000));
        assert_eq!(read("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(read(&TimestampUs::from_s(1_443_573_575).rfc3339()), Some(1_443_573_575 * US_PER_S));
        assert_eq!(TimestampUs(1_443_573_575_000_007).rfc3339_us(), "2015-09-30T00:39:35.000007Z");
        assert_eq!(read(&TimestampUs(1_443_573_575_000_007).rfc3339_us()), Some(1_443_573_575_000_007));
        assert_eq!(read("1970-01-01T00:00:00.000001001Z"), Some(2));
        for wrong in ["", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01T25:00:00Z", "0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_before_the_epoch_is_negative() {
        assert_eq!(TimestampUs(-1).day(), -1);
        assert_eq!(TimestampUs(0).day(), 0);
        assert_eq!(TimestampUs(US_PER_DAY).day(), 1);
        assert_eq!(TimestampUs::from_day(-1), TimestampUs(-US_PER_DAY));
    }
}
