//! Where the records of a page are looked for first: among those that came shortly before it begins.
//!
//! A store has to look at an identifier of every record to know which are the newest ones, whatever it prunes. Identifiers
//! grow with time: when a short time holds a whole page, nothing older belongs on it. When it does not, it has said how
//! long a time should; and when that is wrong too, all records are asked.

use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR};
use telemetrics_schema::{RecordId, TimestampUs};

use super::cursor::Cursor;
use crate::filter::RecordFilter;

/// How far back the first attempt looks, in microseconds.
const FIRST_SPAN_US: i64 = US_PER_HOUR;
/// Farther back than this an attempt saves nothing.
const SPAN_MAX_US: i64 = 7 * US_PER_DAY;
/// The second attempt looks so many times as far back as the first one found records for: they do not come evenly.
const MARGIN: i64 = 3;

/// The identifiers that an attempt looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of so many microseconds below `top`.
    Near { top: TimestampUs, span_us: i64 },
    /// All that the page may be made of.
    All,
}

impl Reach {
    /// The first attempt at a page of records that pass `filter`, at the instant `now`.
    pub(super) fn first(filter: &RecordFilter, cursor: Option<&Cursor>, now: TimestampUs) -> Self {
        // Of one machine or one event there are few records, and the store finds them where they are.
        if filter.machine_id.is_some() || filter.event_id.is_some() || filter.from_id.is_some() {
            return Self::All;
        }
        let begin = match cursor {
            None => now,
            Some(Cursor::OlderThan(id) | Cursor::Remaining { older_than: id, .. }) => now.min(id.given_out_at()),
            Some(Cursor::NewerThan(_)) => return Self::All,
        };
        let top = filter.received_before.map_or(begin, |before| begin.min(before));
        Self::Near { top, span_us: FIRST_SPAN_US }
    }

    /// The attempt after one that found `rows` records of the `wanted` ones.
    pub(super) fn farther(self, rows: usize, wanted: usize) -> Self {
        let Self::Near { top, span_us } = self else { return Self::All };
        let (Ok(rows), Ok(wanted)) = (i64::try_from(rows), i64::try_from(wanted)) else { return Self::All };
        if rows == 0 || span_us != FIRST_SPAN_US {
            return Self::All;
        }
        let span_us = span_us.saturating_mul(MARGIN).saturating_mul(wanted) / rows;
        if span_us > SPAN_MAX_US { Self::All } else { Self::Near { top, span_us } }
    }

    /// As a condition; `None` when it leaves nothing out.
    pub(super) fn predicate(self) -> Option<Expr> {
        match self {
            Self::Near { top, span_us } => {
                let floor = RecordId::first_at(TimestampUs(top.0.saturating_sub(span_us)));
                Some(col("id").gt_eq(lit(floor.0)))
            }
            Self::All => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs(1_800_000_000_000_000);

    fn first(cursor: Option<&Cursor>) -> Reach {
        Reach::first(&RecordFilter::default(), cursor, NOW)
    }

    #[test]
    fn it_begins_where_the_page_does() {
        assert_eq!(first(None), Reach::Near { top: NOW, span_us: FIRST_SPAN_US });
        let hour_ago = TimestampUs(NOW.0 - US_PER_HOUR);
        let older = Cursor::OlderThan(RecordId::first_at(hour_ago));
        assert_eq!(first(Some(&older)), Reach::Near { top: hour_ago, span_us: FIRST_SPAN_US });
        let before = RecordFilter { received_before: Some(hour_ago), ..RecordFilter::default() };
        assert_eq!(Reach::first(&before, None, NOW), Reach::Near { top: hour_ago, span_us: FIRST_SPAN_US });
    }

    #[test]
    fn what_is_rare_or_goes_upwards_is_asked_of_all() {
        assert_eq!(first(Some(&Cursor::NewerThan(RecordId(1)))), Reach::All);
        let one = RecordFilter { machine_id: Some("a".to_owned()), ..RecordFilter::default() };
        assert_eq!(Reach::first(&one, None, NOW), Reach::All);
        assert_eq!(Reach::All.predicate(), None);
    }

    #[test]
    fn the_second_attempt_is_as_far_as_the_first_was_dense_and_the_third_is_all() {
        let second = first(None).farther(10, 100);
        assert_eq!(second, Reach::Near { top: NOW, span_us: 30 * FIRST_SPAN_US });
        assert_eq!(second.farther(90, 100), Reach::All);
        assert_eq!(first(None).farther(0, 100), Reach::All);
        assert_eq!(first(None).farther(1, 100), Reach::All, "more than a week");
    }

    #[test]
    fn an_identifier_of_the_first_instant_is_in() {
        let floor = RecordId::first_at(TimestampUs(NOW.0 - FIRST_SPAN_US));
        assert_eq!(first(None).predicate(), Some(col("id").gt_eq(lit(floor.0))));
    }
}
