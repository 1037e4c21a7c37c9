//! Which collectors were heard of, and how far each of them has delivered.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{col, lit};
use datafusion::scalar::ScalarValue;
use telemetrics_schema::{RecordId, TimestampUs};

use crate::error::Error;
use crate::view::View;

/// When the newest record was received of each collector that has one from `from` on and, where there is one, before
/// `before`; by the collectors' numbers. Records that were imported have no collector.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn last_receptions(
    view: &View,
    from: TimestampUs,
    before: Option<TimestampUs>,
) -> Result<BTreeMap<i64, TimestampUs>, Error> {
    let mut receptions = BTreeMap::new();
    for batch in view.collect(plan(view, from, before)?).await? {
        let columns = batch.column(0).as_primitive_opt::<Int64Type>();
        let columns = columns.zip(batch.column(1).as_primitive_opt::<TimestampMicrosecondType>());
        let (places, last) = columns.ok_or_else(|| Error::Internal("not the types that were asked for".to_owned()))?;
        for (place, last) in places.values().iter().zip(last.values()) {
            let newest = receptions.entry(RecordId(*place).collector()).or_insert(TimestampUs(*last));
            *newest = TimestampUs(*last).max(*newest);
        }
    }
    Ok(receptions)
}

/// The plan of [`last_receptions`]: places in the collectors' sequences and the newest reception of each.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, from: TimestampUs, before: Option<TimestampUs>) -> Result<DataFrame, Error> {
    let instant = |at: TimestampUs| lit(ScalarValue::TimestampMicrosecond(Some(at.0), None));
    // Identifiers run ahead of the clock or beside it, never behind it; those of imported records are far smaller.
    let own = col("id").gt_eq(lit(RecordId::first_at(from).0));
    let mut records = view.records()?.filter(own.and(col("ts_reception").gt_eq(instant(from))))?;
    if let Some(before) = before {
        records = records.filter(col("ts_reception").lt(instant(before)))?;
    }
    // Places in sequences instead of collectors: the rest of a division is what every store computes equally.
    let place = (col("id") % lit(RecordId::COLLECTOR_CYCLE)).alias("place");
    let places = records.select(vec![place, col("ts_reception")])?;
    Ok(places.aggregate(vec![col("place")], vec![max(col("ts_reception")).alias("last")])?)
}
