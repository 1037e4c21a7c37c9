//! What a retention policy would delete: expired records by the rule that decides over them.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Int64Type};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{cast, col, lit};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{Matcher, RetentionPolicy};

use crate::error::Error;
use crate::expiry;
use crate::sizes::DaySizes;
use crate::view::View;

/// What one rule, or the default, would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    /// Which records; `None` for those that no rule is about.
    pub matcher: Option<Matcher>,
    /// Days that they live; 0 is for ever.
    pub days: u32,
    /// Expired records that are in the store and over which this rule decides.
    pub rows: u64,
    /// What they take on disk: an estimate, as if all records of a day were of one size.
    pub bytes: u64,
}

/// What `policy` would delete at `now`: each rule in deciding order, then the default; each record counts once. `view`
/// has to be without a policy of its own, because expired records are what is asked for.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn expired(
    view: &View,
    policy: &RetentionPolicy,
    now: TimestampUs,
    sizes: &DaySizes,
) -> Result<Vec<Expired>, Error> {
    let rules = policy.deciding().into_iter().map(|rule| (Some(rule.matcher.clone()), rule.days));
    let rules = rules.chain([(None, policy.default_days)]);
    let mut report: Vec<Expired> = rules.map(|(matcher, days)| Expired { matcher, days, rows: 0, bytes: 0 }).collect();
    for ((place, day), rows) in counts(view, policy, now).await? {
        let Some(line) = usize::try_from(place).ok().and_then(|place| report.get_mut(place)) else {
            return Err(Error::Internal(format!("no rule {place}")));
        };
        line.rows += rows;
        line.bytes += sizes.share_bytes(day, rows);
    }
    Ok(report)
}

/// Expired records by place of the deciding rule and day of reception.
async fn counts(view: &View, policy: &RetentionPolicy, now: TimestampUs) -> Result<BTreeMap<(i64, i32), u64>, Error> {
    let Some(grouped) = plan(view, policy, now)? else { return Ok(BTreeMap::new()) };
    let mut counts = BTreeMap::new();
    for batch in view.collect(grouped).await? {
        read(&batch, &mut counts).ok_or_else(|| Error::Internal("not the types that were asked for".to_owned()))?;
    }
    Ok(counts)
}

/// The plan of [`expired`]: place of the deciding rule, day of reception, records; `None` when nothing expires.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, policy: &RetentionPolicy, now: TimestampUs) -> Result<Option<DataFrame>, Error> {
    let Some(living) = expiry::living(policy, now) else { return Ok(None) };
    let day = cast(col("ts_reception"), DataType::Date32).alias("day");
    let places = view.records()?.filter(!living)?.select(vec![expiry::decider(policy)?.alias("place"), day])?;
    Ok(Some(places.aggregate(vec![col("place"), col("day")], vec![count(lit(1_i64))])?))
}

fn read(batch: &RecordBatch, counts: &mut BTreeMap<(i64, i32), u64>) -> Option<()> {
    let places = batch.column(0).as_primitive_opt::<Int64Type>()?;
    let days = batch.column(1).as_primitive_opt::<Date32Type>()?;
    let rows = batch.column(2).as_primitive_opt::<Int64Type>()?;
    for ((place, day), rows) in places.values().iter().zip(days.values()).zip(rows.values()) {
        *counts.entry((*place, *day)).or_default() += u64::try_from(*rows).ok()?;
    }
    Some(())
}
