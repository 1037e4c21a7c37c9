//! How many records were received by hour, day or week, in all or for each of the largest groups.
//!
//! Buckets begin at full hours, at midnight, and on Mondays (ISO weeks), UTC. A bucket at the edge of a window counts what
//! lies within the window. The groups beyond the largest ones are counted together, so that the sums stay whole.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::logical_expr::conditional_expressions::CaseBuilder;
use datafusion::logical_expr::{Expr, lit, when};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::{S_PER_DAY, US_PER_S};

use super::counts::{counts, numbers};
use super::keys::{Dimension, Key};
use super::source::{self, Grain};
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most buckets of an answer: the hours of 41 days, the weeks of 19 years.
pub const BUCKETS_MAX: usize = 1_000;
/// Most groups that are told apart.
pub const TOP_MAX: usize = 20;

const BUCKET: &str = "bucket";
const PLACE: &str = "place";
const NUMBER: &str = "number";

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From one Monday's midnight to the next.
    Week,
}

impl Interval {
    /// Its name in parameters, which is also the unit in which instants are cut.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    /// Days do not tell hours apart; weeks are whole days.
    const fn grain(self) -> Grain {
        match self {
            Self::Hour => Grain::Hour,
            Self::Day | Self::Week => Grain::Day,
        }
    }

    /// Its length in microseconds.
    #[must_use]
    pub const fn length_us(self) -> i64 {
        let length_s = match self {
            Self::Hour => 3_600,
            Self::Day => S_PER_DAY,
            Self::Week => 7 * S_PER_DAY,
        };
        length_s * US_PER_S
    }

    /// The beginning of the bucket that `instant` lies in.
    #[must_use]
    pub const fn begin(self, instant: TimestampUs) -> TimestampUs {
        // 1970 began on a Thursday.
        let monday_us = if matches!(self, Self::Week) { 4 * S_PER_DAY * US_PER_S } else { 0 };
        let since_us = instant.0.saturating_sub(monday_us).rem_euclid(self.length_us());
        TimestampUs(instant.0.saturating_sub(since_us))
    }
}

/// What a trend is asked of.
#[derive(Debug, Clone, PartialEq)]
pub struct TrendRequest {
    /// Which records; a window in it is the window of the answer.
    pub filter: RecordFilter,
    /// How long a bucket is.
    pub interval: Interval,
    /// What the largest groups of are told apart; `None` for one series of all records.
    pub by: Option<Dimension>,
    /// How many groups are told apart, 1 to [`TOP_MAX`].
    pub top: usize,
}

/// What the records of a series have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeriesOf {
    /// Nothing: they are all that pass the filter.
    All,
    /// A key.
    Key(Key),
    /// None of the keys that the other series have.
    Rest,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Which records.
    pub of: SeriesOf,
    /// Records by bucket, as many as the trend has buckets.
    pub records: Vec<u64>,
}

/// Records over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trend {
    /// When each bucket begins; without gaps.
    pub buckets: Vec<TimestampUs>,
    /// The largest group first; the rest, when there is one, is last.
    pub series: Vec<Series>,
}

/// The trend at `now`: from the beginning of the window, else from the first record, to its end, else to `now`.
///
/// # Errors
/// [`Error::Invalid`] when that is more than [`BUCKETS_MAX`] buckets; else as the store's.
pub async fn trend(view: &View, request: &TrendRequest, now: TimestampUs) -> Result<Trend, Error> {
    let mut groups = groups(view, request).await?;
    let cells = cells(view, request, &groups).await?;
    let buckets = buckets(request, now, &cells)?;
    let has_rest = cells.keys().any(|(_, place)| *place + 1 == groups.len());
    if groups.last() == Some(&SeriesOf::Rest) && !has_rest {
        groups.pop();
    }
    let numbers = |place: usize| {
        let number = |begin: &TimestampUs| cells.get(&(*begin, place)).copied().unwrap_or(0);
        buckets.iter().map(number).collect()
    };
    let series = groups.into_iter().enumerate().map(|(place, of)| Series { of, records: numbers(place) }).collect();
    Ok(Trend { buckets, series })
}

/// The series in their order; the rest stands last, whether there is one or not.
async fn groups(view: &View, request: &TrendRequest) -> Result<Vec<SeriesOf>, Error> {
    let Some(by) = request.by else { return Ok(vec![SeriesOf::All]) };
    let largest = counts(view, &request.filter, by, request.top.min(TOP_MAX)).await?;
    let keys = largest.groups.into_iter().map(|group| SeriesOf::Key(group.key));
    Ok(keys.chain([SeriesOf::Rest]).collect())
}

/// Records by bucket and place of the series; what is not there is 0.
type Cells = BTreeMap<(TimestampUs, usize), u64>;

async fn cells(view: &View, request: &TrendRequest, groups: &[SeriesOf]) -> Result<Cells, Error> {
    let mut cells = Cells::new();
    for batch in view.collect(plan(view, request, groups)?).await? {
        read(&batch, &mut cells)?;
    }
    if cells.len() > most_cells(groups) { Err(too_many(request.interval)) } else { Ok(cells) }
}

/// The plan of [`trend`] for `groups`, the rest last: the bucket, the place of the group where there are several, and the
/// records. One question for all of them, so that they are of one moment and add up.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, request: &TrendRequest, groups: &[SeriesOf]) -> Result<DataFrame, Error> {
    let columns = request.by.map_or(&[][..], Dimension::columns);
    let source = source::counted(view, &request.filter, columns, request.interval.grain())?;
    let bucket = date_trunc(lit(request.interval.name()), source.received).alias(BUCKET);
    let keys = [Some(bucket), place(groups)?].into_iter().flatten().collect();
    let counted = source.rows.aggregate(keys, vec![source.records.alias(NUMBER)])?;
    Ok(counted.limit(0, Some(most_cells(groups) + 1))?)
}

fn most_cells(groups: &[SeriesOf]) -> usize {
    BUCKETS_MAX * groups.len()
}

/// The place of a row's series; `None` where there is one series only.
fn place(groups: &[SeriesOf]) -> Result<Option<Expr>, Error> {
    let number = |place: usize| lit(i64::try_from(place).unwrap_or(i64::MAX));
    let keys = groups.iter().enumerate().filter_map(|(place, of)| match of {
        SeriesOf::Key(key) => Some((key.predicate(), number(place))),
        SeriesOf::All | SeriesOf::Rest => None,
    });
    let mut builder: Option<CaseBuilder> = None;
    for (is_of_it, place) in keys {
        builder = Some(match builder {
            None => when(is_of_it, place),
            Some(mut builder) => builder.when(is_of_it, place),
        });
    }
    let rest = number(groups.len().saturating_sub(1));
    Ok(builder.map(|mut builder| builder.otherwise(rest)).transpose()?.map(|place| place.alias(PLACE)))
}

fn read(batch: &RecordBatch, cells: &mut Cells) -> Result<(), Error> {
    let wrong = || Error::Internal("not the columns of a trend".to_owned());
    let buckets = batch.column(0).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?.values();
    let places = match batch.num_columns() {
        2 => vec![0; batch.num_rows()],
        _ => numbers(batch, 1)?,
    };
    let numbers = numbers(batch, batch.num_columns() - 1)?;
    for ((bucket, place), number) in buckets.iter().zip(places).zip(numbers) {
        cells.insert((TimestampUs(*bucket), usize::try_from(place).map_err(|_| wrong())?), number);
    }
    Ok(())
}

/// When each bucket begins: no gaps, whether there are records or not.
fn buckets(request: &TrendRequest, now: TimestampUs, cells: &Cells) -> Result<Vec<TimestampUs>, Error> {
    let seen = |cell: Option<(&(TimestampUs, usize), &u64)>| cell.map(|((bucket, _), _)| *bucket);
    let (first, last) = (seen(cells.first_key_value()), seen(cells.last_key_value()));
    begins(&request.filter, request.interval, now, first, last)
}

/// The same for the first and the last bucket that records are in.
pub(super) fn begins(
    filter: &RecordFilter,
    interval: Interval,
    now: TimestampUs,
    first: Option<TimestampUs>,
    last: Option<TimestampUs>,
) -> Result<Vec<TimestampUs>, Error> {
    let end = filter.received_before.map_or(now, |before| now.min(TimestampUs(before.0 - 1)));
    // A clock that goes back gives records of the future.
    let last = last.max(Some(interval.begin(end)));
    let first = filter.received_from.map(|from| interval.begin(from)).or(first);
    let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
    let next = |begin: &TimestampUs| Some(TimestampUs(begin.0 + interval.length_us()));
    let begins = std::iter::successors(Some(first), next).take_while(|begin| *begin <= last);
    let buckets: Vec<TimestampUs> = begins.take(BUCKETS_MAX + 1).collect();
    if buckets.len() > BUCKETS_MAX { Err(too_many(interval)) } else { Ok(buckets) }
}

fn too_many(interval: Interval) -> Error {
    Error::Invalid(format!(
        "A trend has at most {BUCKETS_MAX} buckets, and the window is longer than so many times one {}. Choose a \
         longer interval or a shorter window.",
        interval.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from_s: Option<i64>, before_s: Option<i64>) -> TrendRequest {
        let filter = RecordFilter {
            received_from: from_s.map(TimestampUs::from_s),
            received_before: before_s.map(TimestampUs::from_s),
            ..RecordFilter::default()
        };
        TrendRequest { filter, interval: Interval::Hour, by: None, top: 1 }
    }

    fn hours(request: &TrendRequest, now_s: i64, seen_s: &[i64]) -> Result<Vec<i64>, Error> {
        let cells = seen_s.iter().map(|s| ((TimestampUs::from_s(*s), 0), 1)).collect();
        let buckets = buckets(request, TimestampUs::from_s(now_s), &cells)?;
        Ok(buckets.iter().map(|begin| begin.as_s() / 3_600).collect())
    }

    #[test]
    fn buckets_begin_at_full_hours_at_midnight_and_on_mondays() {
        let begin = |interval: Interval, s: i64| interval.begin(TimestampUs::from_s(s)).to_string();
        // A Sunday.
        let sunday_s = 1_795_342_080;
        assert_eq!(begin(Interval::Hour, sunday_s), "2026-11-22 10:00:00 UTC");
        assert_eq!(begin(Interval::Day, sunday_s), "2026-11-22 00:00:00 UTC");
        assert_eq!(begin(Interval::Week, sunday_s), "2026-11-16 00:00:00 UTC");
        assert_eq!(begin(Interval::Week, sunday_s + 86_400), "2026-11-23 00:00:00 UTC");
        assert_eq!(begin(Interval::Week, -1), "1969-12-29 00:00:00 UTC");
        assert_eq!(
            Interval::Week.begin(TimestampUs(-1 - 3 * S_PER_DAY * US_PER_S)).to_string(),
            "1969-12-22 00:00:00 UTC"
        );
    }

    #[test]
    fn buckets_fill_the_window() {
        let at = |request: &TrendRequest, seen: &[i64]| hours(request, 10 * 3_600 + 1, seen).expect("few");
        assert_eq!(at(&window(None, None), &[7 * 3_600]), [7, 8, 9, 10], "from the first record until now");
        assert_eq!(at(&window(None, None), &[]), [0_i64; 0]);
        assert_eq!(at(&window(Some(8 * 3_600 - 1), None), &[]), [7, 8, 9, 10]);
        assert_eq!(at(&window(Some(8 * 3_600), Some(9 * 3_600)), &[]), [8], "half-open");
        assert_eq!(at(&window(Some(8 * 3_600), Some(9 * 3_600 + 1)), &[]), [8, 9]);
        assert_eq!(at(&window(Some(9 * 3_600), Some(99 * 3_600)), &[]), [9, 10], "the future has no buckets");
        assert_eq!(at(&window(Some(9 * 3_600), None), &[12 * 3_600]), [9, 10, 11, 12], "but its records do");
        assert_eq!(at(&window(Some(12 * 3_600), None), &[]), [0_i64; 0]);
    }

    #[test]
    fn there_are_at_most_1000_buckets() {
        let now_s = 999 * 3_600;
        assert_eq!(hours(&window(Some(0), None), now_s, &[]).expect("just enough").len(), BUCKETS_MAX);
        assert!(matches!(hours(&window(Some(0), None), now_s + 3_600, &[]), Err(Error::Invalid(_))));
        assert!(matches!(hours(&window(Some(-1), None), now_s, &[]), Err(Error::Invalid(_))));
    }
}
