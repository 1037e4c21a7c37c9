//! How many records there are by build, by classification, by platform, by severity or by system.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{SortExpr, col};

use super::keys::{Dimension, Key};
use super::source::{self, Grain};
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most groups of an answer.
pub const GROUPS_MAX: usize = 10_000;

/// Not `records`: that is the name of the table.
const NUMBER: &str = "number";

/// How many records have a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What they have in common.
    pub key: Key,
    /// How many they are.
    pub records: u64,
}

/// The largest groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The largest first; equal ones in the order of their keys.
    pub groups: Vec<Count>,
    /// Whether there are more groups than were asked for.
    pub has_more: bool,
}

/// The at most `limit` (1 to [`GROUPS_MAX`]) largest groups of the records that pass `filter`.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn counts(view: &View, filter: &RecordFilter, by: Dimension, limit: usize) -> Result<Counts, Error> {
    let limit = limit.min(GROUPS_MAX);
    let mut groups = Vec::new();
    for batch in view.collect(plan(view, filter, by, limit)?).await? {
        let numbers = numbers(&batch, by.columns().len())?;
        let keys = by.keys(&batch)?.into_iter().zip(numbers);
        groups.extend(keys.map(|(key, records)| Count { key, records }));
    }
    let has_more = groups.len() > limit;
    groups.truncate(limit);
    Ok(Counts { groups, has_more })
}

/// The plan of [`counts`]: the columns of the key and how many records have it. It gives one group more than asked for
/// when there are more.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, filter: &RecordFilter, by: Dimension, limit: usize) -> Result<DataFrame, Error> {
    let source = source::counted(view, filter, by.columns(), Grain::Day)?;
    let counted = source.rows.aggregate(by.groups(), vec![source.records.alias(NUMBER)])?;
    let order: Vec<SortExpr> = [col(NUMBER).sort(false, false)].into_iter().chain(by.order()).collect();
    Ok(counted.sort(order)?.limit(0, Some(limit + 1))?)
}

/// The values of a column that counts.
pub(super) fn numbers(batch: &RecordBatch, column: usize) -> Result<Vec<u64>, Error> {
    let wrong = || Error::Internal(format!("column {column} does not count"));
    let counts = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let counts = counts.ok_or_else(wrong)?.values().iter();
    counts.map(|count| u64::try_from(*count).map_err(|_| wrong())).collect()
}
