//! The rollups of a ClickHouse server: plans over the records, which the projections of the table answer.

use std::iter;

use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::functions::datetime::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count, min};
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::rollups::{Measure, PAYLOAD, RECORDS_COUNT, Rollup};

use crate::rollup::{Parts, in_scope};

/// Where the rows of a rollup come from: all levels are there for all records, since the server makes up what a part of
/// its table lacks.
pub(crate) fn parts(rollup: Rollup, records: DataFrame) -> Result<Parts> {
    let levels = iter::successors(Some(rollup), |rollup| rollup.finer());
    let levels = levels.map(|level| Ok((level, rows(level, records.clone())?))).collect::<Result<_>>()?;
    Ok(Parts { levels, last: None, summed: records, others: None })
}

/// The rows of one rollup, as the projection of its name has them (`ddl.rs` of the schema).
fn rows(rollup: Rollup, records: DataFrame) -> Result<DataFrame> {
    let records = match in_scope(rollup.scope()) {
        Some(condition) => records.filter(condition)?,
        None => records,
    };
    let bucket = date_trunc(lit(rollup.bucket()), col("ts_reception")).alias(rollup.bucket());
    let keys = iter::once(bucket).chain(rollup.keys().iter().map(|key| col(*key)));
    let measure = match rollup.measure() {
        Measure::Records => Some(count(lit(1_i64)).alias(RECORDS_COUNT)),
        Measure::Nothing => None,
        Measure::Example => Some(min(col(PAYLOAD)).alias(PAYLOAD)),
    };
    records.aggregate(keys.collect(), measure.into_iter().collect())
}
