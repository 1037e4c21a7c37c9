//! Updates of machines: how many went from which version to which.

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::{concat, split_part};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit};

use super::counts::numbers;
use super::keys::text_at;
use crate::error::Error;
use crate::filter::{ClassPattern, RecordFilter};
use crate::view::View;

/// The classification of the records that tell of an update.
pub const UPDATE: &str = "org.clearlinux/swupd-client/update";
/// Most pairs of versions of an answer.
pub const PAIRS_MAX: usize = 10_000;
/// Longest version, in characters; a longer one is none.
const VERSION_CHARS: usize = 64;

/// The line of a payload with the version before the update, and that with the one after it.
const BEFORE: &str = "\ncurrent_version=";
const AFTER: &str = "\nserver_version=";
const FROM: &str = "from_version";
const TO: &str = "to_version";
const NUMBER: &str = "number";

/// Updates between two versions of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The version before.
    pub from: String,
    /// The version after; another one.
    pub to: String,
    /// How many records tell of it.
    pub records: u64,
}

/// The steps with most records, the largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Steps {
    /// At most [`PAIRS_MAX`].
    pub steps: Vec<Step>,
    /// Whether there are more.
    pub has_more: bool,
}

/// The updates among the records that pass `filter`; whatever it says of classifications is put aside. Records whose
/// versions are equal tell of no update, and those without both versions of nothing.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn updates(view: &View, filter: &RecordFilter) -> Result<Steps, Error> {
    let mut found = Steps::default();
    let mut rows = 0;
    for batch in view.collect(plan(view, filter)?).await? {
        rows += batch.num_rows();
        read(&batch, &mut found.steps)?;
    }
    found.has_more = rows > PAIRS_MAX;
    found.steps.truncate(PAIRS_MAX);
    Ok(found)
}

/// The plan of [`updates`]: the versions before and after, and how many records have both; one row more than an answer
/// may have when there are more.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let classification = Some(ClassPattern::Exact(UPDATE.to_owned()));
    let rows = RecordFilter { classification, ..filter.clone() }.of(view.records()?)?;
    let rows = rows.select(vec![value_of(BEFORE).alias(FROM), value_of(AFTER).alias(TO)])?;
    let is_step = col(FROM).not_eq(col(TO)).and(col(FROM).not_eq(lit(""))).and(col(TO).not_eq(lit("")));
    let counted = rows.filter(is_step)?.aggregate(vec![col(FROM), col(TO)], vec![count(lit(1_i64)).alias(NUMBER)])?;
    let order = [col(FROM), col(TO)].into_iter().map(|key| key.sort(true, false));
    let order = [col(NUMBER).sort(false, false)].into_iter().chain(order).collect();
    Ok(counted.sort(order)?.limit(0, Some(PAIRS_MAX + 1))?)
}

/// What stands behind `key` on its line, empty without such a line.
fn value_of(key: &str) -> Expr {
    let behind = split_part(concat(vec![lit("\n"), col("payload")]), lit(key), lit(2_i64));
    split_part(behind, lit("\n"), lit(1_i64))
}

fn read(batch: &RecordBatch, steps: &mut Vec<Step>) -> Result<(), Error> {
    for (row, records) in numbers(batch, 2)?.into_iter().enumerate() {
        let version = |column: usize| text_at(batch, column, row).and_then(|text| version(&text));
        if let (Some(from), Some(to)) = (version(0), version(1))
            && from != to
        {
            steps.push(Step { from, to, records });
        }
    }
    Ok(())
}

/// A version as it is compared and shown: without what a line of another system ends in.
fn version(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.chars().count() <= VERSION_CHARS).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_short_and_without_the_end_of_its_line() {
        assert_eq!(version("43210\r"), Some("43210".to_owned()));
        assert_eq!((version(" "), version(&"1".repeat(VERSION_CHARS + 1))), (None, None));
        assert!(version(&"1".repeat(VERSION_CHARS)).is_some());
    }
}
