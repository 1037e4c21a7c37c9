//! The rollups of a ClickHouse server: plans over the records, which the projections of the table answer.

use std::iter;

use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions::datetime::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::rollups::{RECORDS_COUNT, Rollup};

use crate::filter::text;
use crate::rollup::Parts;

/// Where the rows of a rollup come from: all levels are there for all records, since the server makes up what a part of
/// its table lacks.
pub(crate) fn parts(rollup: Rollup, records: DataFrame) -> Result<Parts> {
    let levels = iter::successors(Some(rollup), |rollup| rollup.finer());
    let levels = levels.map(|level| Ok((level, rows(level, records.clone())?))).collect::<Result<_>>()?;
    Ok(Parts { levels, last: None, summed: records, others: None })
}

/// The rows of one rollup, as the projection of its name has them (`ddl.rs` of the schema).
fn rows(rollup: Rollup, records: DataFrame) -> Result<DataFrame> {
    let records = match rollup.only() {
        Some(class) => records.filter(col("classification").eq(text(class)))?,
        None => records,
    };
    let bucket = date_trunc(lit(rollup.bucket()), col("ts_reception")).alias(rollup.bucket());
    let keys = iter::once(bucket).chain(rollup.keys().iter().map(|key| col(*key)));
    let counts = rollup.has_count().then(|| count(lit(1_i64)).alias(RECORDS_COUNT));
    records.aggregate(keys.collect(), counts.into_iter().collect())
}
