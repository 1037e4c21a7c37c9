//! Where a question that counts reads from, rollups or records: the one place that chooses.

use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::rollups::{HEARTBEAT, RECORDS_COUNT, Rollup, STACK_ID};

use crate::error::Error;
use crate::filter::{ClassPattern, RecordFilter};
use crate::rollup::{Window, in_scope};
use crate::view::View;

/// Rows that each stand for records.
pub(super) struct Source {
    /// The rows that pass the filter, with the columns that were asked for.
    pub(super) rows: DataFrame,
    /// How many records the rows of a group stand for.
    pub(super) records: Expr,
    /// When the records of a row were received, exact to the grain.
    pub(super) received: Expr,
}

/// How finely a question tells times apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grain {
    /// By day, or not at all.
    Day,
    /// By hour.
    Hour,
}

impl Grain {
    fn rollups(self) -> [Rollup; 2] {
        match self {
            Self::Day => [Rollup::Daily, Rollup::DailyPlatform],
            Self::Hour => [Rollup::Hourly, Rollup::HourlyPlatform],
        }
    }
}

/// The records that pass `filter`, ready to be counted by the columns `keys` and by time.
pub(super) fn counted(view: &View, filter: &RecordFilter, keys: &[&str], grain: Grain) -> Result<Source, Error> {
    for rollup in grain.rollups() {
        if let Some(rows) = of_rollup(view, filter, keys, rollup)? {
            return Ok(Source { rows, records: sum(col(RECORDS_COUNT)), received: col(rollup.bucket()) });
        }
    }
    of_records(view, filter)
}

/// The records that pass `filter`, ready to be counted, and nothing else.
pub(super) fn all_counted(view: &View, filter: &RecordFilter) -> Result<Source, Error> {
    let rest = RecordFilter {
        classification: None,
        not_classification: None,
        received_from: None,
        received_before: None,
        ..filter.clone()
    };
    // A server knows how many records a part has that a time takes whole, and finds those of a class where it sorts them;
    // to look for the projection to read takes it longer than to read the others.
    if rest.is_empty() && view.finds_classes_and_times() {
        return of_records(view, filter);
    }
    counted(view, filter, &[], Grain::Day)
}

fn of_records(view: &View, filter: &RecordFilter) -> Result<Source, Error> {
    let rows = filter.of(view.records()?)?;
    Ok(Source { rows, records: count(lit(1_i64)), received: col("ts_reception") })
}

/// Rows that each stand for a machine, once or several times.
pub(super) struct Machines {
    /// The rows that pass the filter, with the columns that were asked for.
    pub(super) rows: DataFrame,
    /// The UTC day of the heartbeat.
    pub(super) day: Expr,
}

/// The machines whose heartbeats pass `filter`, with the columns `keys`; whatever it says of classifications is put
/// aside.
pub(super) fn machines(view: &View, filter: &RecordFilter, keys: &[&str]) -> Result<Machines, Error> {
    let classification = Some(ClassPattern::Exact(HEARTBEAT.to_owned()));
    let heartbeats = RecordFilter { classification, ..filter.clone() };
    let rollup = Rollup::DailyMachine;
    if let Some(rows) = of_rollup(view, &heartbeats, keys, rollup)? {
        return Ok(Machines { rows, day: col(rollup.bucket()) });
    }
    let day = date_trunc(lit(rollup.bucket()), col("ts_reception"));
    Ok(Machines { rows: heartbeats.of(view.records()?)?, day })
}

/// The records that have a stack and pass `filter`, ready to be counted by the columns `keys`, with or without the stack,
/// and by day.
pub(super) fn crashes(view: &View, filter: &RecordFilter, keys: &[&str]) -> Result<Source, Error> {
    if let Some(rows) = of_rollup(view, filter, keys, Rollup::CrashDaily)? {
        return Ok(Source { rows, records: sum(col(RECORDS_COUNT)), received: col(Rollup::CrashDaily.bucket()) });
    }
    crashes_by_hour(view, filter)
}

/// The records that have a stack and pass `filter`, with the hour of their reception: no rollup has that.
pub(super) fn crashes_by_hour(view: &View, filter: &RecordFilter) -> Result<Source, Error> {
    let source = of_records(view, filter)?;
    Ok(Source { rows: with_stacks(source.rows, Rollup::CrashDaily)?, ..source })
}

/// Examples of the stacks of records that pass `filter`, of each at least one: rows with a classification, a severity, a
/// stack and a payload that has it.
pub(super) fn examples(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    match of_rollup(view, filter, &[STACK_ID], Rollup::Stacks)? {
        Some(rows) => Ok(rows),
        None => with_stacks(filter.of(view.records()?)?, Rollup::Stacks),
    }
}

fn with_stacks(records: DataFrame, rollup: Rollup) -> Result<DataFrame, Error> {
    Ok(match in_scope(rollup.scope()) {
        Some(condition) => records.filter(condition)?,
        None => records,
    })
}

/// The rows of the rollup that pass; `None` when it does not have what is asked for.
fn of_rollup(view: &View, filter: &RecordFilter, keys: &[&str], rollup: Rollup) -> Result<Option<DataFrame>, Error> {
    let window = Window { from: filter.received_from, before: filter.received_before };
    let rest = RecordFilter { received_from: None, received_before: None, ..filter.clone() };
    if !keys.iter().all(|key| rollup.keys().contains(key)) || !has_columns_of(rollup, &rest) {
        return Ok(None);
    }
    let rows = view.rollup(rollup, window)?;
    Ok(rows.map(|rows| rest.of(rows)).transpose()?)
}

fn has_columns_of(rollup: Rollup, filter: &RecordFilter) -> bool {
    let predicate = filter.predicate();
    let mut columns = predicate.iter().flat_map(Expr::column_refs);
    columns.all(|column| rollup.keys().contains(&column.name()))
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::TimestampUs;

    use super::*;

    #[test]
    fn a_filter_of_other_columns_sends_a_question_to_the_records() {
        let class = Some(ClassPattern::Prefix("a/".to_owned()));
        let by_class = RecordFilter { classification: class, severities: vec![1], ..RecordFilter::default() };
        assert!(Rollup::ALL.into_iter().all(|rollup| has_columns_of(rollup, &by_class)));
        let by_host = RecordFilter { host_type: Some("h".to_owned()), ..by_class.clone() };
        assert!(has_columns_of(Rollup::DailyPlatform, &by_host) && !has_columns_of(Rollup::Daily, &by_host));
        for other in [
            RecordFilter { machine_id: Some("m".to_owned()), ..by_class.clone() },
            RecordFilter { captured_after: Some(TimestampUs(0)), ..by_class },
        ] {
            assert!(!has_columns_of(Rollup::Daily, &other), "{other:?}");
        }
    }
}
