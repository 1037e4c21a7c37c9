//! What a store has, by day of reception and collector: to compare two stores, and to know what there is to move.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::{bit_xor, count, max, min};
use datafusion::logical_expr::{Expr, cast, col, lit};
use futures::TryStreamExt;
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Record, RecordId, TimestampUs};

use crate::checksum::record_checksum;
use crate::error::Error;
use crate::filter::instant;
use crate::view::View;

/// The records of one collector that were received on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// How many.
    pub records: u64,
    /// The smallest identifier.
    pub first: RecordId,
    /// The greatest identifier.
    pub last: RecordId,
    /// A number made of all that they say; 0 where it was not asked for.
    pub checksum: i64,
}

/// Contents by the UTC day of reception, counted from 1970-01-01, and the collector's number.
pub type Contents = BTreeMap<(i32, i64), Content>;

/// What the store has of the days in `days`, without checksums: reads two columns.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn contents(view: &View, days: RangeInclusive<i32>) -> Result<Contents, Error> {
    read(view, contents_plan(view, &days)?).await
}

/// The plan of [`contents`]: day, collector, number of records, smallest and greatest identifier, 0.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn contents_plan(view: &View, days: &RangeInclusive<i32>) -> Result<DataFrame, Error> {
    grouped(of_days(view, days)?, lit(0_i64))
}

/// What the store has of one day up to the identifier `last`, with checksums: reads all columns.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn checksums(view: &View, day: i32, last: RecordId) -> Result<Contents, Error> {
    read(view, checksums_plan(view, day, last)?).await
}

/// The plan of [`checksums`]: as [`contents_plan`], with the checksum behind.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn checksums_plan(view: &View, day: i32, last: RecordId) -> Result<DataFrame, Error> {
    grouped(of_days(view, &(day..=day))?.filter(col("id").lt_eq(lit(last.0)))?, record_checksum())
}

/// How many records of a day have identifiers in `ids`.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn count_of(view: &View, day: i32, ids: &RangeInclusive<i64>) -> Result<u64, Error> {
    Ok(range_plan(view, day, ids)?.count().await? as u64)
}

/// The records of a day with identifiers in `ids`, in the order of these; `None` when their text has more than
/// `text_bytes` and there are several.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn records_of(
    view: &View,
    day: i32,
    ids: &RangeInclusive<i64>,
    text_bytes: usize,
) -> Result<Option<Vec<Record>>, Error> {
    let mut batches = range_plan(view, day, ids)?.execute_stream().await?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = batches.try_next().await? {
        for record in from_batch(&batch)? {
            bytes += record.text_bytes();
            records.push(record);
        }
        if bytes > text_bytes && records.len() > 1 {
            return Ok(None);
        }
    }
    records.sort_unstable_by_key(|record| record.id);
    Ok(Some(records))
}

/// The records of these days; the first and the last day that there can be stand for no bound, which no time has.
fn of_days(view: &View, days: &RangeInclusive<i32>) -> Result<DataFrame, Error> {
    let begin = |day: i64| instant(TimestampUs(day.saturating_mul(US_PER_DAY)));
    let from = (*days.start() > i32::MIN).then(|| col("ts_reception").gt_eq(begin(i64::from(*days.start()))));
    let before = (*days.end() < i32::MAX).then(|| col("ts_reception").lt(begin(i64::from(*days.end()) + 1)));
    let within = from.into_iter().chain(before).reduce(Expr::and);
    let records = view.records()?;
    Ok(within.map_or(Ok(records.clone()), |within| records.filter(within))?)
}

/// The plan of [`records_of`]: the records in no order.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn range_plan(view: &View, day: i32, ids: &RangeInclusive<i64>) -> Result<DataFrame, Error> {
    let id = col("id");
    Ok(of_days(view, &(day..=day))?.filter(id.clone().gt_eq(lit(*ids.start())).and(id.lt_eq(lit(*ids.end()))))?)
}

fn grouped(records: DataFrame, checksum: Expr) -> Result<DataFrame, Error> {
    // Remainders instead of shifts: ClickHouse computes them equally.
    let collector = col("id") % lit(RecordId::COLLECTOR_CYCLE) - col("id") % lit(RecordId::SEQUENCE_PER_MS);
    let day = cast(col("ts_reception"), DataType::Date32);
    let rows =
        records.select(vec![day.alias("day"), collector.alias("collector"), col("id"), checksum.alias("checksum")])?;
    let aggregates = vec![
        count(lit(1_i64)).alias("records"),
        min(col("id")).alias("first"),
        max(col("id")).alias("last"),
        bit_xor(col("checksum")).alias("checksum"),
    ];
    Ok(rows.aggregate(vec![col("day"), col("collector")], aggregates)?)
}

async fn read(view: &View, rows: DataFrame) -> Result<Contents, Error> {
    let mut contents = Contents::new();
    for batch in view.collect(rows).await? {
        read_rows(&batch, &mut contents)
            .ok_or_else(|| Error::Internal("not the types that were asked for".to_owned()))?;
    }
    Ok(contents)
}

fn read_rows(batch: &RecordBatch, contents: &mut Contents) -> Option<()> {
    let days = batch.column(0).as_primitive_opt::<Date32Type>()?;
    let number = |column: usize| Some(batch.column(column).as_primitive_opt::<Int64Type>()?.values());
    let (collectors, counts, firsts, lasts, checksums) = (number(1)?, number(2)?, number(3)?, number(4)?, number(5)?);
    for row in 0..batch.num_rows() {
        let content = Content {
            records: u64::try_from(counts[row]).ok()?,
            first: RecordId(firsts[row]),
            last: RecordId(lasts[row]),
            checksum: checksums[row],
        };
        contents.insert((days.value(row), collectors[row] / RecordId::SEQUENCE_PER_MS), content);
    }
    Some(())
}
