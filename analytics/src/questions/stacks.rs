//! Stacks: which ones records have and how many have each, and payloads that show their frames.

use std::collections::HashMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::rollups::{PAYLOAD, STACK_ID};

use super::counts::numbers;
use super::keys::text_at;
use super::source;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Most stacks of an answer of [`seen`].
pub const STACKS_MAX: usize = 1_000_000;
/// Stacks that one query asks examples of: they are written into it one by one, and their payloads are in memory at once.
pub const EXAMPLES_AT_ONCE: usize = 500;

const NUMBER: &str = "number";
const EXAMPLE: &str = "example";

/// How many records have a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenStack {
    /// The stack.
    pub stack_id: i64,
    /// How many records have it, 1 or more.
    pub records: u64,
}

/// Stacks of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenStacks {
    /// Those that most records have first; equal ones in the order of their numbers.
    pub stacks: Vec<SeenStack>,
    /// Whether there are more than were asked for.
    pub has_more: bool,
}

/// A payload that has a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The stack.
    pub stack_id: i64,
    /// The classification of a record with the payload, which says how to read it.
    pub classification: String,
    /// What the probe wrote.
    pub payload: String,
}

/// The at most `limit` (1 to [`STACKS_MAX`]) stacks that most records that pass `filter` have.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn seen(view: &View, filter: &RecordFilter, limit: usize) -> Result<SeenStacks, Error> {
    let limit = limit.min(STACKS_MAX);
    let mut stacks = Vec::new();
    for batch in view.collect(seen_plan(view, filter, limit)?).await? {
        let ids = stack_ids(&batch)?.iter().copied();
        stacks.extend(ids.zip(numbers(&batch, 1)?).map(|(stack_id, records)| SeenStack { stack_id, records }));
    }
    let has_more = stacks.len() > limit;
    stacks.truncate(limit);
    Ok(SeenStacks { stacks, has_more })
}

/// How many records that pass `filter` have each stack.
///
/// # Errors
/// [`Error::TooMuch`] above [`STACKS_MAX`]; else as the store's: see [`Error`].
pub async fn records_by_stack(view: &View, filter: &RecordFilter) -> Result<HashMap<i64, u64>, Error> {
    let SeenStacks { stacks, has_more } = seen(view, filter, STACKS_MAX).await?;
    if has_more {
        return Err(Error::TooMuch(format!("There are more than {STACKS_MAX} stacks; choose a shorter window.")));
    }
    Ok(stacks.into_iter().map(|seen| (seen.stack_id, seen.records)).collect())
}

/// The plan of [`seen`], with one stack more than asked for when there are more.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn seen_plan(view: &View, filter: &RecordFilter, limit: usize) -> Result<DataFrame, Error> {
    let source = source::crashes(view, filter, &[STACK_ID])?;
    let counted = source.rows.aggregate(vec![col(STACK_ID)], vec![source.records.alias(NUMBER)])?;
    let order = vec![col(NUMBER).sort(false, false), col(STACK_ID).sort(true, false)];
    Ok(counted.sort(order)?.limit(0, Some(limit + 1))?)
}

/// Gives `each` an example of each of the stacks that a record has that passes `filter`, in no order. Equal records give
/// equal examples in every store.
///
/// # Errors
/// As the store's: see [`Error`]. Some examples may have been given then.
pub async fn examples(
    view: &View,
    filter: &RecordFilter,
    stack_ids: &[i64],
    mut each: impl FnMut(Example),
) -> Result<(), Error> {
    let mut pieces: Vec<&[i64]> = stack_ids.chunks(EXAMPLES_AT_ONCE).collect();
    while let Some(piece) = pieces.pop() {
        match examples_of(view, filter, piece).await {
            Ok(examples) => examples.into_iter().for_each(&mut each),
            // Their payloads are that large.
            Err(Error::TooMuch(_)) if piece.len() > 1 => {
                let (some, others) = piece.split_at(piece.len() / 2);
                pieces.extend([some, others]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The plan behind [`examples`]: stacks and classifications with a payload each, ordered by both.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn examples_plan(view: &View, filter: &RecordFilter, stack_ids: &[i64]) -> Result<DataFrame, Error> {
    let is_asked_for = col(STACK_ID).in_list(stack_ids.iter().map(|id| lit(*id)).collect(), false);
    let keys = || [STACK_ID, "classification"].map(col).into_iter();
    let rows = source::examples(view, filter)?.filter(is_asked_for)?;
    let examples = rows.aggregate(keys().collect(), vec![min(col(PAYLOAD)).alias(EXAMPLE)])?;
    Ok(examples.sort(keys().map(|key| key.sort(true, false)).collect())?)
}

/// One example of each stack: that of the first classification.
async fn examples_of(view: &View, filter: &RecordFilter, stack_ids: &[i64]) -> Result<Vec<Example>, Error> {
    let mut examples: Vec<Example> = Vec::new();
    for batch in view.collect(examples_plan(view, filter, stack_ids)?).await? {
        let wrong = || Error::Internal("not the columns of examples".to_owned());
        for (row, stack_id) in self::stack_ids(&batch)?.iter().enumerate() {
            if examples.last().is_none_or(|last| last.stack_id != *stack_id) {
                examples.push(Example {
                    stack_id: *stack_id,
                    classification: text_at(&batch, 1, row).ok_or_else(wrong)?,
                    payload: text_at(&batch, 2, row).ok_or_else(wrong)?,
                });
            }
        }
    }
    Ok(examples)
}

/// The first column.
fn stack_ids(batch: &RecordBatch) -> Result<&[i64], Error> {
    let ids = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    ids.map(|ids| ids.values().as_ref()).ok_or_else(|| Error::Internal("stacks without their numbers".to_owned()))
}
