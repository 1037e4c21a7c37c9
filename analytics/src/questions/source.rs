//! Where a question that counts reads from: the one place that chooses between rollups and records.
//!
//! Both give equal answers; a rollup is faster, and can only be asked about what it has.

use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::rollups::{RECORDS_COUNT, Rollup};

use crate::Window;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

/// Rows that each stand for records.
pub(super) struct Source {
    /// The rows that pass the filter, with all columns that were asked for.
    pub(super) rows: DataFrame,
    /// How many records the rows of a group stand for.
    pub(super) records: Expr,
    /// When the records of a row were received, as exact as was asked for.
    pub(super) received: Expr,
}

/// How exactly a question has to know when records were received, beyond the window of its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exact {
    /// To the day, or not at all.
    Day,
    /// To the hour.
    Hour,
}

/// The records that pass `filter`, ready to be counted by `columns`.
pub(super) fn counted(view: &View, filter: &RecordFilter, columns: &[&str], exact: Exact) -> Result<Source, Error> {
    let rollups = match exact {
        Exact::Day => [Rollup::Daily, Rollup::DailyPlatform],
        Exact::Hour => [Rollup::Hourly, Rollup::HourlyPlatform],
    };
    let rollup = rollups.into_iter().find(|rollup| has(*rollup, filter, columns));
    if let Some((rollup, rows)) = rollup.map(|rollup| of(view, filter, rollup)).transpose()?.flatten() {
        return Ok(Source { rows, records: sum(col(RECORDS_COUNT)), received: col(rollup.bucket()) });
    }
    Ok(Source { rows: filter.of(view.records()?)?, records: count(lit(1_i64)), received: col("ts_reception") })
}

/// The heartbeats that pass `filter`, which says that it is about heartbeats, with `columns`: each machine is there once
/// at least.
pub(super) fn heartbeats(view: &View, filter: &RecordFilter, columns: &[&str]) -> Result<DataFrame, Error> {
    if has(Rollup::DailyMachine, filter, columns)
        && let Some((_, rows)) = of(view, filter, Rollup::DailyMachine)?
    {
        return Ok(rows);
    }
    Ok(filter.of(view.records()?)?)
}

/// The rows of the rollup that pass the filter; `None` where the view has no such rollup.
fn of(view: &View, filter: &RecordFilter, rollup: Rollup) -> Result<Option<(Rollup, DataFrame)>, Error> {
    let window = Window { from: filter.received_from, before: filter.received_before };
    let Some(rows) = view.rollup(rollup, window)? else { return Ok(None) };
    Ok(Some((rollup, without_window(filter).of(rows)?)))
}

/// Whether the rollup has what the filter looks at and `columns`.
fn has(rollup: Rollup, filter: &RecordFilter, columns: &[&str]) -> bool {
    let is_there = |column: &str| rollup.keys().contains(&column);
    let predicate = without_window(filter).predicate();
    columns.iter().all(|column| is_there(column))
        && predicate.is_none_or(|predicate| predicate.column_refs().iter().all(|column| is_there(&column.name)))
}

fn without_window(filter: &RecordFilter) -> RecordFilter {
    RecordFilter { received_from: None, received_before: None, ..filter.clone() }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{RecordId, TimestampUs};

    use super::*;
    use crate::filter::ClassPattern;

    #[test]
    fn a_rollup_is_asked_about_what_it_has() {
        let window = RecordFilter {
            received_from: Some(TimestampUs(1)),
            received_before: Some(TimestampUs(2)),
            ..RecordFilter::default()
        };
        let classes =
            RecordFilter { classification: Some(ClassPattern::Prefix("a/".into())), severities: vec![1, 2], ..window };
        let external = RecordFilter { external: Some(true), ..RecordFilter::default() };
        let machine = RecordFilter { machine_id: Some("m".into()), ..RecordFilter::default() };
        assert!(has(Rollup::Daily, &classes, &["system_name", "build"]));
        assert!(has(Rollup::DailyPlatform, &classes, &["host_type"]));
        assert!(has(Rollup::DailyMachine, &machine, &["machine_id", "build"]));
        assert!(!has(Rollup::Daily, &classes, &["host_type"]));
        assert!(!has(Rollup::Daily, &machine, &["build"]));
        assert!(!has(Rollup::DailyPlatform, &external, &["host_type"]));
        for captured in [
            RecordFilter { captured_after: Some(TimestampUs(1)), ..RecordFilter::default() },
            RecordFilter { from_id: Some(RecordId(1)), ..RecordFilter::default() },
        ] {
            assert!(!has(Rollup::Hourly, &captured, &[]));
        }
    }
}
