//! What becomes of a file whose records expire.

use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::RetentionPolicy;

use super::data_file::DataFile;
use super::expiry::Expiry;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing in it is expired, or not for long enough.
    Keep,
    /// All of it is expired: it is taken out of the table without being read.
    Drop,
    /// Some of it is: it is written again without that.
    Rewrite,
}

/// What the log alone says; `None` when the file has to be looked into.
///
/// `overdue` is the instant that records may be seen for the last time before without the file being written again.
pub(super) fn by_log(
    file: &DataFile,
    policy: &RetentionPolicy,
    now: TimestampUs,
    overdue: TimestampUs,
) -> Option<Fate> {
    let last = file.last_reception.and_then(|last| policy.latest_last_seen(last));
    if last.is_some_and(|last| last < now) {
        return Some(Fate::Drop);
    }
    let first = policy.earliest_last_seen(file.first_reception.unwrap_or(TimestampUs(i64::MIN)));
    if first.is_some_and(|first| first < overdue) { None } else { Some(Fate::Keep) }
}

/// What its rows say.
pub(super) fn by_rows(expiry: &Expiry, now: TimestampUs, overdue: TimestampUs) -> Fate {
    match expiry {
        Expiry { last: Some(last), .. } if *last < now => Fate::Drop,
        Expiry { first: Some(first), .. } if *first < overdue => Fate::Rewrite,
        _ => Fate::Keep,
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::retention::{Matcher, RetentionRule};
    use telemetrics_schema::time::US_PER_DAY;

    use super::*;

    fn file(first: i64, last: i64) -> DataFile {
        let at = |us| Some(TimestampUs(us));
        let (first_reception, last_reception) = (at(first), at(last));
        DataFile { path: String::new(), day: 0, bytes: 1, rows: None, first_reception, last_reception }
    }

    #[test]
    fn a_file_whose_last_record_is_expired_goes_without_being_read() {
        let policy = RetentionPolicy::days(1);
        let fate = |now: i64| by_log(&file(5, 10), &policy, TimestampUs(now), TimestampUs(now));
        assert_eq!(fate(US_PER_DAY + 11), Some(Fate::Drop));
        assert_eq!(fate(US_PER_DAY + 10), None, "the last record is still seen, the first is not");
        assert_eq!(fate(US_PER_DAY + 5), Some(Fate::Keep));
    }

    #[test]
    fn a_file_that_may_hold_expired_records_waits_until_they_are_overdue() {
        let policy = RetentionPolicy::days(1);
        let now = TimestampUs(US_PER_DAY + 8);
        assert_eq!(by_log(&file(5, 10), &policy, now, TimestampUs(US_PER_DAY + 5)), Some(Fate::Keep));
        assert_eq!(by_log(&file(5, 10), &policy, now, TimestampUs(US_PER_DAY + 6)), None);
    }

    #[test]
    fn a_file_without_statistics_is_looked_into() {
        let unknown = DataFile { first_reception: None, last_reception: None, ..file(0, 0) };
        let at = TimestampUs(0);
        assert_eq!(by_log(&unknown, &RetentionPolicy::days(1), at, at), None);
        assert_eq!(by_log(&unknown, &RetentionPolicy::days(0), at, at), Some(Fate::Keep));
    }

    #[test]
    fn what_a_rule_keeps_for_ever_is_never_dropped_by_the_log() {
        let rules = vec![RetentionRule { matcher: Matcher::Severity(4), days: 0 }];
        let policy = RetentionPolicy { default_days: 1, rules };
        let now = TimestampUs(100 * US_PER_DAY);
        assert_eq!(by_log(&file(5, 10), &policy, now, now), None);
    }

    #[test]
    fn rows_decide_exactly() {
        let seen = |first, last| Expiry { first: Some(TimestampUs(first)), last: Some(TimestampUs(last)) };
        let fate = |expiry, now, overdue| by_rows(&expiry, TimestampUs(now), TimestampUs(overdue));
        assert_eq!(fate(seen(5, 9), 10, 0), Fate::Drop);
        assert_eq!(fate(seen(5, 10), 10, 6), Fate::Rewrite);
        assert_eq!(fate(seen(5, 10), 10, 5), Fate::Keep);
        assert_eq!(fate(Expiry { first: Some(TimestampUs(5)), last: None }, 10, 6), Fate::Rewrite);
        assert_eq!(fate(Expiry { first: None, last: None }, 10, 10), Fate::Keep);
    }
}
