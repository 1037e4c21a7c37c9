//! Which of some records a store has, whatever day they were received on: for who brings records that have their names
//! already.

use std::collections::{BTreeSet, HashMap};

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{col, lit};
use futures::TryStreamExt;
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::{Record, RecordId};

use crate::error::Error;
use crate::view::View;

/// The records with these identifiers, more than one where the store has several of one name.
///
/// What lies between the smallest and the greatest identifier is read and left out.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn held(view: &View, ids: &BTreeSet<RecordId>) -> Result<HashMap<RecordId, Vec<Record>>, Error> {
    let mut held: HashMap<RecordId, Vec<Record>> = HashMap::new();
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(held) };
    let mut batches = plan(view, *first, *last)?.execute_stream().await?;
    while let Some(batch) = batches.try_next().await? {
        for record in from_batch(&batch)?.into_iter().filter(|record| ids.contains(&record.id)) {
            held.entry(record.id).or_default().push(record);
        }
    }
    Ok(held)
}

/// The plan of [`held`]: the records from one identifier to another one.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, first: RecordId, last: RecordId) -> Result<DataFrame, Error> {
    let range = col("id").gt_eq(lit(first.0)).and(col("id").lt_eq(lit(last.0)));
    Ok(view.records()?.filter(range)?)
}
