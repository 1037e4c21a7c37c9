//! How often each guilty struck machines, by build: what [`crate::judgement`] takes beside heartbeats and classes.

use std::collections::{BTreeMap, HashMap};

use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct};
use datafusion::logical_expr::{col, lit};

use super::counts::numbers;
use super::crashes::{Causes, GUILTY, guilties_of, int64s, of_table};
use super::keys::text_at;
use crate::crashes::Guilty;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::judgement::{Cause, Counts, Strikes};
use crate::view::View;

/// Most rows by day: builds times guilties times days.
pub const ROWS_MAX: usize = 1_000_000;

const BUILD: &str = "build";
const MACHINE: &str = "machine_id";
const DAY: &str = "day";

/// The strikes of every guilty of the crashes that pass `filter`, which has to name one system.
///
/// # Errors
/// [`Error::TooMuch`] above [`ROWS_MAX`]; else as [`super::crashes::crashes`].
pub async fn guilty_strikes(view: &View, causes: Causes<'_>, filter: &RecordFilter) -> Result<Vec<Strikes>, Error> {
    let guilties = guilties_of(view, causes, filter).await?;
    if guilties.is_empty() {
        return Ok(Vec::new());
    }
    let table: HashMap<i64, i64> = guilties.iter().map(|(stack, guilty)| (*stack, guilty.id)).collect();
    let named: HashMap<i64, &Guilty> = guilties.values().map(|guilty| (guilty.id, guilty)).collect();
    let mut found = BTreeMap::<(String, i64), Counts>::new();
    let (whole, by_day) = (plan(view, filter, &table, false)?, plan(view, filter, &table, true)?);
    let (whole, by_day) = tokio::try_join!(whole.collect(), by_day.collect())?;
    for batch in &whole {
        for (row, (machines, records)) in numbers(batch, 2)?.into_iter().zip(numbers(batch, 3)?).enumerate() {
            found.insert(key(batch, row)?, Counts { machines, machine_days: 0, records });
        }
    }
    let mut rows = 0;
    for batch in &by_day {
        rows += batch.num_rows();
        for (row, machines) in numbers(batch, 3)?.into_iter().enumerate() {
            if let Some(counts) = found.get_mut(&key(batch, row)?) {
                counts.machine_days += machines;
            }
        }
    }
    if rows > ROWS_MAX {
        return Err(Error::TooMuch(format!(
            "More than {ROWS_MAX} guilties by build and day; a shorter window has fewer."
        )));
    }
    let strikes = found.into_iter().filter_map(|((build, guilty_id), counts)| {
        let guilty = named.get(&guilty_id)?;
        let (function, module) = (guilty.function.clone(), guilty.module.clone());
        Some(Strikes { build, cause: Cause::Guilty { guilty_id, function, module }, counts })
    });
    Ok(strikes.collect())
}

/// The plan of [`guilty_strikes`] for guilties by stack: builds, guilties, and days where it is asked `by_day`, how many
/// machine ids were struck, and how often.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
// The plan keeps a copy of this very type.
#[allow(clippy::implicit_hasher)]
pub fn plan(view: &View, filter: &RecordFilter, table: &HashMap<i64, i64>, by_day: bool) -> Result<DataFrame, Error> {
    let day = by_day.then(|| date_trunc(lit(DAY), col("ts_reception")).alias(DAY));
    let keys = [Some(col(BUILD)), Some(col(GUILTY)), day].into_iter().flatten().collect();
    let struck = vec![count_distinct(col(MACHINE)).alias("machines"), count(lit(1_i64)).alias("number")];
    Ok(of_table(view, filter, table)?.aggregate(keys, struck)?.limit(0, Some(ROWS_MAX + 1))?)
}

fn key(batch: &arrow::array::RecordBatch, row: usize) -> Result<(String, i64), Error> {
    let wrong = || Error::Internal("a build or a guilty without a name".to_owned());
    Ok((text_at(batch, 0, row).ok_or_else(wrong)?, int64s(batch, 1)?[row]))
}
