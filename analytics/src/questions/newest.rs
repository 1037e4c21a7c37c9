//! When the newest record was received.

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::col;
use telemetrics_schema::TimestampUs;

use crate::error::Error;
use crate::view::View;

/// The greatest time of reception; `None` where there is no record.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn newest(view: &View) -> Result<Option<TimestampUs>, Error> {
    let batches = view.collect(plan(view)?).await?;
    let values = batches.iter().filter_map(|batch| batch.column(0).as_primitive_opt::<TimestampMicrosecondType>());
    Ok(values.filter(|values| values.len() == 1 && !values.is_null(0)).map(|values| TimestampUs(values.value(0))).max())
}

/// The plan of [`newest`]: one row, NULL where there is no record.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View) -> Result<DataFrame, Error> {
    Ok(view.records()?.aggregate(Vec::new(), vec![max(col("ts_reception"))])?)
}
