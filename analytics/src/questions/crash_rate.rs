//! Who ran which build and what struck them: the tables of [`crate::judgement`], from heartbeats and from records.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::date_trunc;
use datafusion::functions_aggregate::expr_fn::{count_distinct, sum};
use datafusion::logical_expr::{Expr, col, lit};
use telemetrics_schema::payload::CRASH_CLASSES;

use super::counts::numbers;
use super::grouped::grouped;
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
const MACHINE_DAYS: &str = "machine_days";
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
    let (exposures, mut found, of_classes) = tokio::try_join!(
        exposures(view, filter),
        strikes(view, filter, Scope::Crashes, false),
        strikes(view, filter, scope, true)
    )?;
    found.extend(of_classes);
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
    let (whole, by_day) = (exposure_plan(view, filter, false)?, exposure_plan(view, filter, true)?);
    let (whole, by_day) = tokio::try_join!(collect(view, whole), collect(view, by_day))?;
    for batch in &whole {
        for (row, machines) in numbers(batch, 1)?.into_iter().enumerate() {
            let build = name(batch, 0, row)?;
            let exposure = Exposure { build: build.clone(), machines, machine_days: 0, busiest_day_machines: 0 };
            builds.insert(build, exposure);
        }
    }
    for batch in &by_day {
        for (row, machines) in numbers(batch, 2)?.into_iter().enumerate() {
            if let Some(exposure) = builds.get_mut(&name(batch, 0, row)?) {
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
    at_most(grouped(heartbeats.rows, keys, [(count_distinct(col(MACHINE)), MACHINES)])?)
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
    for batch in collect(view, strikes_plan(view, filter, scope, by_class)?).await? {
        for (row, counts) in struck_counts(&batch, keys)?.into_iter().enumerate() {
            let cause = if by_class { Cause::Class(name(&batch, 1, row)?) } else { Cause::AnyCrash };
            found.insert((name(&batch, 0, row)?, cause), counts);
        }
    }
    Ok(found)
}

/// The plan of strikes: builds, and classes where it is asked for them, then machines, machine days and records of each.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn strikes_plan(view: &View, filter: &RecordFilter, scope: Scope, by_class: bool) -> Result<DataFrame, Error> {
    let mut records = filter.of(view.records()?)?;
    if let Some(predicate) = scope.predicate() {
        records = records.filter(predicate)?;
    }
    let keys = if by_class { &[BUILD, CLASS][..] } else { &[BUILD] };
    at_most(struck(records, keys)?)
}

/// Groups records by the columns `keys`: how many machine ids are in each group, on how many days each of them together,
/// and how many records.
///
/// Each step has fewer rows than the one before, and the records are read once.
pub(super) fn struck(records: DataFrame, keys: &[&str]) -> Result<DataFrame, Error> {
    let and = |more: &[&str]| keys.iter().chain(more).map(|name| col(*name)).collect::<Vec<Expr>>();
    let of_day = date_trunc(lit(DAY), col("ts_reception")).alias(DAY);
    let one = || sum(lit(1_i64));
    let days = records.aggregate(and(&[MACHINE]).into_iter().chain([of_day]).collect(), vec![one().alias(NUMBER)])?;
    let number = || sum(col(NUMBER)).alias(NUMBER);
    let machines = days.aggregate(and(&[MACHINE]), vec![one().alias(MACHINE_DAYS), number()])?;
    let sums = vec![one().alias(MACHINES), sum(col(MACHINE_DAYS)).alias(MACHINE_DAYS), number()];
    Ok(machines.aggregate(and(&[]), sums)?)
}

/// What [`struck`] says behind so many `keys`.
pub(super) fn struck_counts(batch: &RecordBatch, keys: usize) -> Result<Vec<Counts>, Error> {
    let (machines, machine_days, records) =
        (numbers(batch, keys)?, numbers(batch, keys + 1)?, numbers(batch, keys + 2)?);
    let rows = machines.into_iter().zip(machine_days).zip(records);
    Ok(rows.map(|((machines, machine_days), records)| Counts { machines, machine_days, records }).collect())
}

fn at_most(counted: DataFrame) -> Result<DataFrame, Error> {
    Ok(counted.limit(0, Some(ROWS_MAX + 1))?)
}

async fn collect(view: &View, plan: DataFrame) -> Result<Vec<RecordBatch>, Error> {
    let batches = view.collect(plan).await?;
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
