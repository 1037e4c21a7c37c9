//! Where the records of a page are looked for first: among those that came shortly before it begins.
//!
//! A store has to look at an identifier of every record to know which are the newest ones, whatever it prunes. Identifiers
//! grow with time: when a short time holds a whole page, nothing older belongs on it. How short, the last page of all
//! records tells; without one, and for pages of some records, it is an hour. Where nothing came since somebody looked, it
//! is so much longer. When it holds too few, it has said how long a time should; and when that is wrong too, all records
//! are asked.

use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR, US_PER_S};
use telemetrics_schema::{RecordId, TimestampUs};

use super::cursor::Cursor;
use crate::filter::RecordFilter;
use crate::lately::Lately;

/// How far back the first attempt looks at most, in microseconds, where records came until the page begins.
const FIRST_SPAN_US: i64 = US_PER_HOUR;
/// How far back it looks at least: records come in bursts.
const FIRST_SPAN_MIN_US: i64 = 60 * US_PER_S;
/// Farther back than this an attempt saves nothing.
const SPAN_MAX_US: i64 = 7 * US_PER_DAY;
/// The second attempt looks so many times as far back as the first one found records for: they do not come evenly.
const MARGIN: i64 = 3;
/// The first one looks so many times as far back as the last page reached: it was of another moment.
const FIRST_MARGIN: i64 = 8;
/// The time since somebody looked is taken for a silence as long as it would have no more records than this without one:
/// a page that looks among so many is slow, and no more.
const SILENCE_RECORDS_MAX: i64 = 100_000;

/// The identifiers that an attempt looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those of so many microseconds below `top`.
    Near { top: TimestampUs, span_us: i64, is_first: bool },
    /// All that the page may be made of.
    All,
}

impl Reach {
    /// The first attempt at a page of `wanted` records that pass `filter`, at the instant `now`.
    pub(super) fn first(
        filter: &RecordFilter,
        cursor: Option<&Cursor>,
        now: TimestampUs,
        wanted: usize,
        lately: &Lately,
    ) -> Self {
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
        let likely = lately.span_us(wanted).filter(|_| is_of_all(filter)).map(|us| us.saturating_mul(FIRST_MARGIN));
        let span_us = likely.map_or(FIRST_SPAN_US, |us| us.clamp(FIRST_SPAN_MIN_US, FIRST_SPAN_US));
        let silence_us = lately.silence_us(top);
        let is_likely = lately.records_in(silence_us) <= SILENCE_RECORDS_MAX;
        let span_us = if is_likely { span_us.saturating_add(silence_us) } else { span_us };
        Self::Near { top, span_us, is_first: true }
    }

    /// The attempt after one that found `rows` records of the `wanted` ones.
    pub(super) fn farther(self, rows: usize, wanted: usize, lately: &Lately) -> Self {
        let Self::Near { top, span_us, is_first: true } = self else { return Self::All };
        let (Ok(rows), Ok(wanted)) = (i64::try_from(rows), i64::try_from(wanted)) else { return Self::All };
        if rows == 0 {
            // So there was a silence, however unlikely.
            let wide_us = FIRST_SPAN_US.saturating_add(lately.silence_us(top));
            return if span_us < wide_us { Self::Near { top, span_us: wide_us, is_first: true } } else { Self::All };
        }
        let span_us = span_us.saturating_mul(MARGIN).saturating_mul(wanted) / rows;
        if span_us > SPAN_MAX_US { Self::All } else { Self::Near { top, span_us, is_first: false } }
    }

    /// As a condition; `None` when it leaves nothing out.
    pub(super) fn predicate(self) -> Option<Expr> {
        match self {
            Self::Near { top, span_us, .. } => {
                let floor = RecordId::first_at(TimestampUs(top.0.saturating_sub(span_us)));
                Some(col("id").gt_eq(lit(floor.0)))
            }
            Self::All => None,
        }
    }
}

/// Whether all records pass the filter but those of other times.
pub(super) fn is_of_all(filter: &RecordFilter) -> bool {
    RecordFilter { received_from: None, received_before: None, ..filter.clone() }.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs(1_800_000_000_000_000);

    fn first(cursor: Option<&Cursor>) -> Reach {
        asked(&RecordFilter::default(), cursor, 0)
    }

    /// The first attempt at 100 records after a page of all whose records were so far apart, until now; 0 without one.
    fn asked(filter: &RecordFilter, cursor: Option<&Cursor>, apart_us: i64) -> Reach {
        let lately = Lately::default();
        if apart_us > 0 {
            lately.note(2, TimestampUs(NOW.0.saturating_sub(apart_us.saturating_mul(2))), NOW);
        }
        Reach::first(filter, cursor, NOW, 100, &lately)
    }

    fn near(top: TimestampUs, span_us: i64) -> Reach {
        Reach::Near { top, span_us, is_first: true }
    }

    #[test]
    fn it_begins_where_the_page_does() {
        assert_eq!(first(None), near(NOW, FIRST_SPAN_US));
        let hour_ago = TimestampUs(NOW.0 - US_PER_HOUR);
        let older = Cursor::OlderThan(RecordId::first_at(hour_ago));
        assert_eq!(first(Some(&older)), near(hour_ago, FIRST_SPAN_US));
        let before = RecordFilter { received_before: Some(hour_ago), ..RecordFilter::default() };
        assert_eq!(asked(&before, None, 0), near(hour_ago, FIRST_SPAN_US));
    }

    #[test]
    fn the_last_page_of_all_records_says_how_far_the_next_one_looks() {
        let any = RecordFilter::default();
        let spans = [1, 75_000, 75_001, 1_000_000, 4_500_000, 1 << 40].map(|apart_us| asked(&any, None, apart_us));
        let expected = [60_000_000, 60_000_000, 60_000_800, 800_000_000, US_PER_HOUR, US_PER_HOUR];
        assert_eq!(spans, expected.map(|span_us| near(NOW, span_us)));
        let of_some = RecordFilter { severities: vec![1], ..RecordFilter::default() };
        assert_eq!(asked(&of_some, None, 1), near(NOW, FIRST_SPAN_US), "who knows how many there are of these");
        let of_a_week = RecordFilter { received_from: Some(TimestampUs(0)), ..RecordFilter::default() };
        assert_eq!(asked(&of_a_week, None, 1), near(NOW, FIRST_SPAN_MIN_US));
    }

    #[test]
    fn a_silence_is_no_part_of_the_page() {
        let lately = Lately::default();
        let ended = TimestampUs(NOW.0 - 5 * US_PER_HOUR);
        lately.note(100, TimestampUs(ended.0 - 100 * US_PER_S), ended);
        let of_all = Reach::first(&RecordFilter::default(), None, NOW, 100, &lately);
        assert_eq!(of_all, near(NOW, 5 * US_PER_HOUR + 800 * US_PER_S));
        let of_some = RecordFilter { severities: vec![1], ..RecordFilter::default() };
        assert_eq!(Reach::first(&of_some, None, NOW, 100, &lately), near(NOW, 6 * US_PER_HOUR));
        let later = |hours: i64| TimestampUs(ended.0 + hours * US_PER_HOUR);
        let of_all = |now| Reach::first(&RecordFilter::default(), None, now, 100, &lately);
        assert_eq!(of_all(later(27)), near(later(27), 27 * US_PER_HOUR + 800 * US_PER_S));
        let unlikely = of_all(later(28));
        assert_eq!(unlikely, near(later(28), 800 * US_PER_S), "100,800 records would have come");
        let wide = near(later(28), 29 * US_PER_HOUR);
        assert_eq!((unlikely.farther(0, 100, &lately), wide.farther(0, 100, &lately)), (wide, Reach::All));
        let older = Cursor::OlderThan(RecordId::first_at(TimestampUs(ended.0 - US_PER_HOUR)));
        let next = Reach::first(&of_some, Some(&older), NOW, 100, &lately);
        assert_eq!(next, near(TimestampUs(ended.0 - US_PER_HOUR), FIRST_SPAN_US));
    }

    #[test]
    fn what_is_rare_or_goes_upwards_is_asked_of_all() {
        assert_eq!(first(Some(&Cursor::NewerThan(RecordId(1)))), Reach::All);
        let one = RecordFilter { machine_id: Some("a".to_owned()), ..RecordFilter::default() };
        assert_eq!(asked(&one, None, 0), Reach::All);
        assert_eq!(Reach::All.predicate(), None);
    }

    #[test]
    fn the_second_attempt_is_as_far_as_the_first_was_dense_and_the_third_is_all() {
        let none = Lately::default();
        let second = first(None).farther(10, 100, &none);
        assert_eq!(second, Reach::Near { top: NOW, span_us: 30 * FIRST_SPAN_US, is_first: false });
        assert_eq!(second.farther(90, 100, &none), Reach::All);
        assert_eq!(first(None).farther(0, 100, &none), Reach::All);
        assert_eq!(first(None).farther(1, 100, &none), Reach::All, "more than a week");
        assert_eq!(near(NOW, FIRST_SPAN_MIN_US).farther(0, 100, &none), first(None), "a silent minute says little");
    }

    #[test]
    fn an_identifier_of_the_first_instant_is_in() {
        let floor = RecordId::first_at(TimestampUs(NOW.0 - FIRST_SPAN_US));
        assert_eq!(first(None).predicate(), Some(col("id").gt_eq(lit(floor.0))));
    }
}
