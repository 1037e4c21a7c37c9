//! Who ran which build and what struck them: the tables of [`crate::judgement`], from heartbeats and from records.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct};
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::payload::CRASH_CLASSES;

use super::counts::numbers;
use super::hardware::MACHINE_CHECKS;
use super::keys::text_at;
use super::source;
use crate::error::Error;
use crate::filter::{ClassPattern, RecordFilter, text};
use crate::judgement::{Cause, Counts, Exposure, Strikes, Tables};
use crate::view::View;

/// The classifications of the updater begin like this.
const UPDATER: &str = "org.clearlinux/swupd-client/";
/// The updater reports what it did with severity 1, and what it could not do with a higher one.
const DONE_SEVERITY: i8 = 1;

/// Most rows of the tables by day; builds times days, times classes.
pub const ROWS_MAX: usize = 100_000;

const BUILD: &str = "build";
const CLASS: &str = "classification";
const MACHINE: &str = "machine_id";
const DAY: &str = "day";
const MACHINES: &str = "machines";
const NUMBER: &str = "number";

/// What counts as a strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Crashes: [`CRASH_CLASSES`].
    Crashes,
    /// Crashes, machine checks, and updates that failed.
    Failures,
}

impl Scope {
    fn predicate(self) -> Option<Expr> {
        let crashes = col(CLASS).in_list(CRASH_CLASSES.map(text).to_vec(), false);
        let begins = |prefix: &str| ClassPattern::Prefix(prefix.to_owned()).predicate();
        match self {
            Self::Crashes => Some(crashes),
            Self::Failures => {
                let failed = begins(UPDATER).map(|of_updater| of_updater.and(col("severity").gt(lit(DONE_SEVERITY))));
                [Some(crashes), begins(MACHINE_CHECKS), failed].into_iter().flatten().reduce(Expr::or)
            }
        }
    }
}

/// The tables of what passes `filter`, which has to name one system: crashes as a whole and every class of the scope.
///
/// What the filter says of records and not of machines (class, severity, payload, event, capture) narrows what counts as a
/// strike, and no heartbeats.
///
/// # Errors
/// [`Error::TooMuch`] when there are more than [`ROWS_MAX`] builds and days; else as the store's.
pub async fn tables(view: &View, filter: &RecordFilter, scope: Scope) -> Result<Tables, Error> {
    let exposures = exposures(view, filter).await?;
    let mut found = strikes(view, filter, Scope::Crashes, false).await?;
    found.extend(strikes(view, filter, scope, true).await?);
    // A build without a crash has a rate, too.
    for exposure in &exposures {
        found.entry((exposure.build.clone(), Cause::AnyCrash)).or_default();
    }
    let strikes = found.into_iter().map(|((build, cause), counts)| Strikes { build, cause, counts }).collect();
    Ok(Tables { exposures, strikes })
}

/// Who ran which build: by name.
async fn exposures(view: &View, filter: &RecordFilter) -> Result<Vec<Exposure>, Error> {
    let mut builds: BTreeMap<String, Exposure> = BTreeMap::new();
    for batch in collect(exposure_plan(view, filter, false)?).await? {
        for (row, machines) in numbers(&batch, 1)?.into_iter().enumerate() {
            let build = name(&batch, 0, row)?;
            let exposure = Exposure { build: build.clone(), machines, machine_days: 0, busiest_day_machines: 0 };
            builds.insert(build, exposure);
        }
    }
    for batch in collect(exposure_plan(view, filter, true)?).await? {
        for (row, machines) in numbers(&batch, 2)?.into_iter().enumerate() {
            if let Some(exposure) = builds.get_mut(&name(&batch, 0, row)?) {
                exposure.machine_days += machines;
                exposure.busiest_day_machines = exposure.busiest_day_machines.max(machines);
            }
        }
    }
    Ok(builds.into_values().collect())
}

/// The plan of exposures: builds, days where it is asked `by_day`, and how many machine ids sent a heartbeat.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn exposure_plan(view: &View, filter: &RecordFilter, by_day: bool) -> Result<DataFrame, Error> {
    let heartbeats = source::machines(view, &of_machines(filter), &[BUILD, MACHINE])?;
    let day = by_day.then(|| heartbeats.day.alias(DAY));
    let keys = [Some(col(BUILD)), day].into_iter().flatten().collect();
    at_most(heartbeats.rows.aggregate(keys, vec![count_distinct(col(MACHINE)).alias(MACHINES)])?)
}

/// What the filter says of machines, and of when they were heard.
fn of_machines(filter: &RecordFilter) -> RecordFilter {
    RecordFilter {
        machine_id: filter.machine_id.clone(),
        builds: filter.builds.clone(),
        system_name: filter.system_name.clone(),
        arch: filter.arch.clone(),
        kernel_version: filter.kernel_version.clone(),
        host_type: filter.host_type.clone(),
        external: filter.external,
        received_from: filter.received_from,
        received_before: filter.received_before,
        ..RecordFilter::default()
    }
}

/// What struck which build.
type Found = BTreeMap<(String, Cause), Counts>;

/// Strikes of each class, or of all classes together.
async fn strikes(view: &View, filter: &RecordFilter, scope: Scope, by_class: bool) -> Result<Found, Error> {
    let mut found = Found::new();
    let keys = 1 + usize::from(by_class);
    let key = |batch: &RecordBatch, row: usize| {
        let cause = if by_class { Cause::Class(name(batch, 1, row)?) } else { Cause::AnyCrash };
        Ok::<_, Error>((name(batch, 0, row)?, cause))
    };
    for batch in collect(strikes_plan(view, filter, scope, by_class, false)?).await? {
        for (row, (machines, records)) in numbers(&batch, keys)?.into_iter().zip(numbers(&batch, keys + 1)?).enumerate()
        {
            found.insert(key(&batch, row)?, Counts { machines, machine_days: 0, records });
        }
    }
    for batch in collect(strikes_plan(view, filter, scope, by_class, true)?).await? {
        for (row, machines) in numbers(&batch, keys + 1)?.into_iter().enumerate() {
            if let Some(counts) = found.get_mut(&key(&batch, row)?) {
                counts.machine_days += machines;
            }
        }
    }
    Ok(found)
}

/// The plan of strikes: builds, classes and days where it is asked for them, how many machine ids were struck, and how
/// often.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn strikes_plan(
    view: &View,
    filter: &RecordFilter,
    scope: Scope,
    by_class: bool,
    by_day: bool,
) -> Result<DataFrame, Error> {
    let mut records = filter.of(view.records()?)?;
    if let Some(predicate) = scope.predicate() {
        records = records.filter(predicate)?;
    }
    let class = by_class.then(|| col(CLASS));
    let day = by_day.then(|| date_trunc(lit(DAY), col("ts_reception")).alias(DAY));
    let keys = [Some(col(BUILD)), class, day].into_iter().flatten().collect();
    let struck = vec![count_distinct(col(MACHINE)).alias(MACHINES), count(lit(1_i64)).alias(NUMBER)];
    at_most(records.aggregate(keys, struck)?)
}

fn at_most(counted: DataFrame) -> Result<DataFrame, Error> {
    Ok(counted.limit(0, Some(ROWS_MAX + 1))?)
}

async fn collect(plan: DataFrame) -> Result<Vec<RecordBatch>, Error> {
    let batches = plan.collect().await?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows > ROWS_MAX {
        return Err(Error::TooMuch(format!("more than {ROWS_MAX} builds by day; a shorter window has fewer")));
    }
    Ok(batches)
}

fn name(batch: &RecordBatch, column: usize, row: usize) -> Result<String, Error> {
    text_at(batch, column, row).ok_or_else(|| Error::Internal("a build or a class without a name".to_owned()))
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{RecordId, TimestampUs};

    use super::*;
    use crate::regex::TextPattern;

    #[test]
    fn what_is_said_of_records_narrows_no_heartbeats() {
        let machines = RecordFilter {
            machine_id: Some("m".to_owned()),
            builds: vec!["1".to_owned()],
            system_name: Some("s".to_owned()),
            arch: Some("a".to_owned()),
            kernel_version: Some("k".to_owned()),
            host_type: Some("h".to_owned()),
            external: Some(true),
            received_from: Some(TimestampUs(1)),
            received_before: Some(TimestampUs(2)),
            ..RecordFilter::default()
        };
        let both = RecordFilter {
            classification: Some(ClassPattern::Exact("c".to_owned())),
            not_classification: Some("c".to_owned()),
            severities: vec![1],
            event_id: Some("e".to_owned()),
            payload: TextPattern::parse("p").ok(),
            not_payload: TextPattern::parse("p").ok(),
            captured_after: Some(TimestampUs(1)),
            captured_from: Some(TimestampUs(1)),
            captured_before: Some(TimestampUs(1)),
            from_id: Some(RecordId(1)),
            ..machines.clone()
        };
        assert_eq!(of_machines(&both), machines);
    }
}
