//! One guilty: its stacks, its machines, and how many of its records there are over time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min};
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::rollups::STACK_ID;

use super::counts::numbers;
use super::crashes::{CELLS_MAX, Causes, guilties_of, instants, int64s};
use super::keys::text_at;
use super::source;
use super::trends::{Interval, begins};
use crate::crashes::{Guilty, Stack};
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most stacks of an answer.
pub const STACKS_MAX: usize = 1_000;
/// Most machines of an answer.
pub const MACHINES_MAX: usize = 1_000;
/// Stacks that one query names.
const STACKS_AT_ONCE: usize = 100_000;

const MACHINE: &str = "machine_id";
const NUMBER: &str = "number";
const MACHINES: &str = "machines";

/// Crashes with equal stacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfStack {
    /// The stack's number.
    pub stack_id: i64,
    /// Its frames.
    pub stack: Arc<Stack>,
    /// How many records.
    pub records: u64,
    /// How many distinct machine ids.
    pub machines: u64,
    /// On how many builds.
    pub builds: u64,
    /// When the first one was received.
    pub first_seen: TimestampUs,
    /// When the last one was received.
    pub last_seen: TimestampUs,
}

/// Crashes of one machine on one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfMachine {
    /// The machine's id.
    pub machine_id: String,
    /// Name of the operating system.
    pub system_name: String,
    /// Version of it.
    pub build: String,
    /// How many records.
    pub records: u64,
}

/// The stacks of a guilty; `None` when no stack of the records that pass `filter` has it.
///
/// # Errors
/// As [`super::crashes::crashes`].
pub async fn stacks_of(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
    guilty_id: i64,
) -> Result<Option<(Guilty, Vec<i64>)>, Error> {
    let guilties = guilties_of(view, causes, filter).await?;
    let mut stacks: Vec<i64> =
        guilties.iter().filter(|(_, guilty)| guilty.id == guilty_id).map(|(stack, _)| *stack).collect();
    stacks.sort_unstable();
    let guilty = guilties.into_values().find(|guilty| guilty.id == guilty_id);
    Ok(guilty.map(|guilty| (guilty, stacks)))
}

/// Crashes with each of the stacks, those with most records first, at most `limit` (1 to [`STACKS_MAX`]).
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn by_stack(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
    stacks: &[i64],
    limit: usize,
) -> Result<Vec<OfStack>, Error> {
    let mut found = Vec::new();
    for batch in view.collect(by_stack_plan(view, filter, stacks, limit)?).await? {
        read_stacks(&batch, &mut found)?;
    }
    let ids: Vec<i64> = found.iter().map(|of: &OfStack| of.stack_id).collect();
    let frames = causes.book.stacks(view, filter, &ids).await?;
    for of in &mut found {
        of.stack = frames.get(&of.stack_id).cloned().unwrap_or_default();
    }
    Ok(found)
}

/// The plan of [`by_stack`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn by_stack_plan(view: &View, filter: &RecordFilter, stacks: &[i64], limit: usize) -> Result<DataFrame, Error> {
    let reception = || col("ts_reception");
    let aggregates = vec![
        count(lit(1_i64)).alias(NUMBER),
        count_distinct(col(MACHINE)).alias(MACHINES),
        count_distinct(col("build")).alias("builds"),
        min(reception()).alias("first_seen"),
        max(reception()).alias("last_seen"),
    ];
    let counted = of_stacks(view, filter, stacks)?.aggregate(vec![col(STACK_ID)], aggregates)?;
    let order = vec![col(NUMBER).sort(false, false), col(STACK_ID).sort(true, false)];
    Ok(counted.sort(order)?.limit(0, Some(limit.min(STACKS_MAX)))?)
}

fn read_stacks(batch: &RecordBatch, found: &mut Vec<OfStack>) -> Result<(), Error> {
    let (ids, records, machines, builds) =
        (int64s(batch, 0)?, numbers(batch, 1)?, numbers(batch, 2)?, numbers(batch, 3)?);
    let (first, last) = (instants(batch, 4)?, instants(batch, 5)?);
    for row in 0..batch.num_rows() {
        found.push(OfStack {
            stack_id: ids[row],
            stack: Arc::default(),
            records: records[row],
            machines: machines[row],
            builds: builds[row],
            first_seen: first[row],
            last_seen: last[row],
        });
    }
    Ok(())
}

/// Crashes with these stacks by machine and build, those with most records first, at most `limit` (1 to
/// [`MACHINES_MAX`]).
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn by_machine(
    view: &View,
    filter: &RecordFilter,
    stacks: &[i64],
    limit: usize,
) -> Result<Vec<OfMachine>, Error> {
    let mut found = Vec::new();
    for batch in view.collect(by_machine_plan(view, filter, stacks, limit)?).await? {
        for (row, records) in numbers(&batch, 3)?.into_iter().enumerate() {
            let wrong = || Error::Internal("not the columns of machines".to_owned());
            let text = |column| text_at(&batch, column, row).ok_or_else(wrong);
            found.push(OfMachine { machine_id: text(0)?, system_name: text(1)?, build: text(2)?, records });
        }
    }
    Ok(found)
}

/// The plan of [`by_machine`].
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn by_machine_plan(view: &View, filter: &RecordFilter, stacks: &[i64], limit: usize) -> Result<DataFrame, Error> {
    let keys = || [MACHINE, "system_name", "build"].map(col).into_iter();
    let records = of_stacks(view, filter, stacks)?;
    let counted = records.aggregate(keys().collect(), vec![count(lit(1_i64)).alias(NUMBER)])?;
    let order = [col(NUMBER).sort(false, false)].into_iter().chain(keys().map(|key| key.sort(true, false)));
    Ok(counted.sort(order.collect())?.limit(0, Some(limit.min(MACHINES_MAX)))?)
}

fn of_stacks(view: &View, filter: &RecordFilter, stacks: &[i64]) -> Result<DataFrame, Error> {
    if stacks.len() > STACKS_AT_ONCE {
        return Err(Error::TooMuch(format!(
            "This guilty has more than {STACKS_AT_ONCE} stacks; choose a shorter window."
        )));
    }
    let ids: Vec<Expr> = stacks.iter().map(|id| lit(*id)).collect();
    Ok(filter.of(view.records()?)?.filter(col(STACK_ID).in_list(ids, false))?)
}

/// What a trend is asked of.
#[derive(Debug, Clone)]
pub struct TrendRequest<'a> {
    /// Which records; a window in it is the window of the answer.
    pub filter: &'a RecordFilter,
    /// How long a bucket is.
    pub interval: Interval,
    /// How many guilties are told apart.
    pub top: usize,
    /// Guilties that are left out.
    pub without: &'a HashSet<i64>,
    /// The only guilty that is asked for; `None` for all.
    pub only: Option<i64>,
}

impl TrendRequest<'_> {
    fn wants(&self, guilty: &Guilty) -> bool {
        self.only.is_none_or(|only| only == guilty.id) && !self.without.contains(&guilty.id)
    }
}

/// Records of guilties over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trend {
    /// When each bucket begins; without gaps.
    pub buckets: Vec<TimestampUs>,
    /// Those with most records first, with their records by bucket.
    pub guilties: Vec<(Guilty, Vec<u64>)>,
    /// Records of all others by bucket.
    pub others: Vec<u64>,
}

/// Records over time of the guilties with most of them, at `now`.
///
/// # Errors
/// As [`super::crashes::crashes`], and [`Error::Invalid`] when there are too many buckets.
pub async fn trend(
    view: &View,
    causes: Causes<'_>,
    request: &TrendRequest<'_>,
    now: TimestampUs,
) -> Result<Trend, Error> {
    let TrendRequest { filter, interval, .. } = request;
    let mut cells: Vec<(TimestampUs, i64, u64)> = Vec::new();
    for batch in view.collect(trend_plan(view, filter, *interval)?).await? {
        let (begins, stacks) = (instants(&batch, 0)?, int64s(&batch, 1)?);
        let rows = begins.into_iter().zip(stacks).zip(numbers(&batch, 2)?);
        cells.extend(rows.map(|((begin, stack), records)| (begin, *stack, records)));
    }
    if cells.len() > CELLS_MAX {
        return Err(Error::TooMuch(format!(
            "There are more than {CELLS_MAX} stacks in buckets; choose a shorter window."
        )));
    }
    let ids: HashSet<i64> = cells.iter().map(|(_, stack, _)| *stack).collect();
    let stacks = causes.book.stacks(view, filter, &ids.into_iter().collect::<Vec<_>>()).await?;
    let guilties: HashMap<i64, Guilty> = stacks.iter().map(|(id, stack)| (*id, stack.cause(causes.filters))).collect();
    cells.retain(|(_, stack, _)| guilties.get(stack).is_some_and(|guilty| request.wants(guilty)));
    let seen = cells.iter().map(|(begin, ..)| *begin);
    let buckets = begins(filter, *interval, now, seen.clone().min(), seen.max())?;
    Ok(series(buckets, &cells, &guilties, request.top))
}

/// The plan of [`trend`]: the bucket, the stack, and the records.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn trend_plan(view: &View, filter: &RecordFilter, interval: Interval) -> Result<DataFrame, Error> {
    let source = match interval {
        Interval::Hour => source::crashes_by_hour(view, filter)?,
        Interval::Day | Interval::Week => source::crashes(view, filter, &[STACK_ID])?,
    };
    let bucket = date_trunc(lit(interval.name()), source.received).alias("bucket");
    let counted = source.rows.aggregate(vec![bucket, col(STACK_ID)], vec![source.records.alias(NUMBER)])?;
    Ok(counted.limit(0, Some(CELLS_MAX + 1))?)
}

fn series(
    buckets: Vec<TimestampUs>,
    cells: &[(TimestampUs, i64, u64)],
    guilties: &HashMap<i64, Guilty>,
    top: usize,
) -> Trend {
    let mut sums = HashMap::<&Guilty, u64>::new();
    for (_, stack, records) in cells {
        *sums.entry(&guilties[stack]).or_default() += records;
    }
    let mut sums: Vec<(&Guilty, u64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let place: HashMap<i64, usize> =
        sums.iter().take(top).enumerate().map(|(place, (guilty, _))| (guilty.id, place)).collect();
    let none = vec![0; buckets.len()];
    let told = sums.iter().take(top).map(|(guilty, _)| ((*guilty).clone(), none.clone())).collect();
    let mut trend = Trend { guilties: told, others: none, buckets };
    for (begin, stack, records) in cells {
        let Ok(bucket) = trend.buckets.binary_search(begin) else { continue };
        match place.get(&guilties[stack].id) {
            Some(place) => trend.guilties[*place].1[bucket] += records,
            None => trend.others[bucket] += records,
        }
    }
    trend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_of_one_guilty_or_of_all_but_some() {
        let without = HashSet::from([1]);
        let wanted = |only: Option<i64>, without: &HashSet<i64>| {
            let filter = RecordFilter::default();
            let request = TrendRequest { filter: &filter, interval: Interval::Day, top: 1, without, only };
            let guilty = |id| Guilty { id, function: String::new(), module: String::new() };
            (1..=3).filter(|id| request.wants(&guilty(*id))).collect::<Vec<i64>>()
        };
        assert_eq!((wanted(None, &without), wanted(Some(2), &without)), (vec![2, 3], vec![2]));
        assert_eq!((wanted(Some(1), &HashSet::new()), wanted(Some(1), &without)), (vec![1], vec![]));
    }

    #[test]
    fn guilties_that_are_not_told_apart_are_one_series() {
        let guilty = |id: i64| Guilty { id, function: format!("f{id}()"), module: "m".to_owned() };
        let guilties = HashMap::from([(10, guilty(1)), (11, guilty(2)), (12, guilty(2))]);
        let cells = [(TimestampUs(0), 10, 5), (TimestampUs(0), 11, 4), (TimestampUs(7), 12, 3)];
        let trend = series(vec![TimestampUs(0), TimestampUs(5), TimestampUs(7)], &cells, &guilties, 1);
        assert_eq!(trend.guilties, [(guilty(2), vec![4, 0, 3])]);
        assert_eq!(trend.others, [5, 0, 0]);
    }
}
