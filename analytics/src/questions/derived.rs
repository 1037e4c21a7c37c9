//! Which records hold something in their derived columns that is not derived from them any more.

use std::ops::RangeInclusive;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, col, lit};
use futures::TryStreamExt;
use telemetrics_schema::RecordId;
use telemetrics_schema::attributes::{ATTRIBUTES, Parsers};
use telemetrics_schema::batch::derived_anew;
use telemetrics_schema::payload::{CRASH_CLASSES, Derived};

use super::contents::range_plan;
use crate::error::Error;
use crate::filter::{ClassPattern, text};
use crate::view::View;

/// What is derived from records now.
pub struct Derivation<'a> {
    /// Make attributes.
    pub parsers: &'a dyn Parsers,
    /// The classes that they look at.
    pub classes: &'a [ClassPattern],
}

/// How many records of a day with identifiers in `ids` may have to be changed: something is derived from them, or was.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn candidates(
    view: &View,
    day: i32,
    ids: &RangeInclusive<i64>,
    derivation: &Derivation<'_>,
) -> Result<u64, Error> {
    Ok(plan(view, day, ids, derivation)?.count().await? as u64)
}

/// Those that have to be changed, with what is derived from them.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn outdated(
    view: &View,
    day: i32,
    ids: &RangeInclusive<i64>,
    derivation: &Derivation<'_>,
) -> Result<Vec<(RecordId, Derived)>, Error> {
    let mut batches = plan(view, day, ids, derivation)?.execute_stream().await?;
    let mut outdated = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        let (anew, changed) = derived_anew(&batch, derivation.parsers)?;
        for place in changed {
            let wrong = || Error::Internal("not the columns of records".to_owned());
            outdated.push(row(&anew, place).ok_or_else(wrong)?);
        }
    }
    Ok(outdated)
}

/// The plan of both: the records with identifiers in `ids` that may have to be changed.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, day: i32, ids: &RangeInclusive<i64>, derivation: &Derivation<'_>) -> Result<DataFrame, Error> {
    let has_stack = col("classification").in_list(CRASH_CLASSES.map(text).to_vec(), false);
    // A pattern without a predicate is one of every class.
    let is_parsed = derivation.classes.iter().map(|class| class.predicate().unwrap_or_else(|| lit(true)));
    let has_class = is_parsed.fold(has_stack, Expr::or);
    let is_set = [
        col("stack_id").not_eq(lit(0_i64)),
        col("process").not_eq(text("")),
        col("signal").not_eq(lit(0_i32)),
        col("reason").not_eq(text("")),
        col(ATTRIBUTES).not_eq(text("")),
    ];
    Ok(range_plan(view, day, ids)?.filter(is_set.into_iter().fold(has_class, Expr::or))?)
}

/// A row of a batch with the schema of records.
fn row(batch: &RecordBatch, row: usize) -> Option<(RecordId, Derived)> {
    let number = |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<Int64Type>()?.value(row));
    let text = |name: &str| Some(batch.column_by_name(name)?.as_string_view_opt()?.value(row).to_owned());
    let signal = batch.column_by_name("signal")?.as_primitive_opt::<Int32Type>()?.value(row);
    let derived = Derived {
        stack_id: number("stack_id")?,
        process: text("process")?,
        signal,
        reason: text("reason")?,
        attributes: text(ATTRIBUTES)?,
    };
    Some((RecordId(number("id")?), derived))
}
