//! Crashes by their cause: which guilties there are, how many records and machines each has, and on which builds.
//!
//! Records are counted by stack, from rollups where those have what is asked for, and stacks are put together to guilties
//! here. Distinct machines do not add up: they are counted by guilty where the records are (`guilty_of.rs`).

use std::collections::{BTreeMap, HashMap, HashSet};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::{count_distinct, max, min};
use datafusion::logical_expr::{col, lit};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::payload::{CRASH_CLASSES, Filters};
use telemetrics_schema::rollups::STACK_ID;

use super::counts::numbers;
use super::grouped::grouped;
use super::keys::text_at;
use super::source;
use crate::build_order::build_order;
use crate::crashes::{Guilty, StackBook};
use crate::error::Error;
use crate::filter::{RecordFilter, text};
use crate::guilty_of::guilty_of;
use crate::view::View;

/// Most guilties of an answer.
pub const GUILTIES_MAX: usize = 1_000;
/// Most combinations of stack, build and classification that one question puts together.
pub const CELLS_MAX: usize = 1_000_000;

const MACHINE: &str = "machine_id";
/// The column with the guilty of a record.
pub(super) const GUILTY: &str = "guilty";
const NUMBER: &str = "number";

/// What a question about crashes needs beside the records.
#[derive(Debug, Clone, Copy)]
pub struct Causes<'a> {
    /// Knows the frames of stacks.
    pub book: &'a StackBook,
    /// The frames that users declared never guilty.
    pub filters: &'a Filters,
}

/// Records and machines of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfBuild {
    /// Name of the operating system.
    pub system_name: String,
    /// Version of it.
    pub build: String,
    /// How many records.
    pub records: u64,
    /// How many distinct machine ids.
    pub machines: u64,
}

/// Crashes with one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The cause.
    pub guilty: Guilty,
    /// How many records.
    pub records: u64,
    /// How many distinct machine ids.
    pub machines: u64,
    /// When the first one was received.
    pub first_seen: TimestampUs,
    /// When the last one was received.
    pub last_seen: TimestampUs,
    /// By build: systems by name, and of each the oldest build first.
    pub builds: Vec<OfBuild>,
    /// Records by classification, the largest first.
    pub classifications: Vec<(String, u64)>,
    /// The different stacks that they have, in the order of their numbers.
    pub stack_ids: Vec<i64>,
}

/// Crashes by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crashes {
    /// The largest first; equal ones by function and module.
    pub groups: Vec<Group>,
    /// Records of all groups, those included that are not shown.
    pub records: u64,
    /// Whether there are more groups than these.
    pub has_more: bool,
}

/// Records that have one stack, build and classification.
struct Cell {
    system_name: String,
    build: String,
    classification: String,
    stack_id: i64,
    records: u64,
}

/// Which groups are wanted.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// The largest, at most so many (1 to [`GUILTIES_MAX`]), without these.
    Largest(usize, &'a HashSet<i64>),
    /// That of this guilty, when there is one.
    One(i64),
}

/// The crashes that pass `filter`, by their causes.
///
/// # Errors
/// [`Error::TooMuch`] above [`CELLS_MAX`]; else as the store's: see [`Error`].
pub async fn crashes(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
    wanted: Wanted<'_>,
) -> Result<Crashes, Error> {
    let cells = cells(view, filter).await?;
    let guilties = guilties(view, causes, filter, &cells).await?;
    let mut answer = put_together(&cells, &guilties, wanted);
    if !answer.groups.is_empty() {
        let shown: HashSet<i64> = answer.groups.iter().map(|group| group.guilty.id).collect();
        let table = guilties.iter().filter(|(_, guilty)| shown.contains(&guilty.id));
        let table: HashMap<i64, i64> = table.map(|(stack, guilty)| (*stack, guilty.id)).collect();
        count_machines(view, filter, &table, &mut answer.groups).await?;
    }
    Ok(answer)
}

/// Which guilty each stack has that a record has that passes `filter`.
///
/// # Errors
/// As [`crashes`].
pub async fn guilties_of(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
) -> Result<HashMap<i64, Guilty>, Error> {
    let cells = cells(view, filter).await?;
    guilties(view, causes, filter, &cells).await
}

/// The plan of the first step: records by system, build, classification and stack.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn cells_plan(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let keys = ["system_name", "build", "classification", STACK_ID];
    let source = source::crashes(view, filter, &keys)?;
    let counted = source.rows.aggregate(keys.map(col).to_vec(), vec![source.records.alias(NUMBER)])?;
    Ok(counted.limit(0, Some(CELLS_MAX + 1))?)
}

async fn cells(view: &View, filter: &RecordFilter) -> Result<Vec<Cell>, Error> {
    let mut cells = Vec::new();
    for batch in view.collect(cells_plan(view, filter)?).await? {
        let stacks = int64s(&batch, 3)?;
        for (row, records) in numbers(&batch, 4)?.into_iter().enumerate() {
            let text = |column| text_at(&batch, column, row).ok_or_else(wrong);
            let (system_name, build, classification) = (text(0)?, text(1)?, text(2)?);
            cells.push(Cell { system_name, build, classification, stack_id: stacks[row], records });
        }
    }
    if cells.len() > CELLS_MAX {
        let message =
            format!("There are more than {CELLS_MAX} combinations of stack and build; choose a shorter window.");
        return Err(Error::TooMuch(message));
    }
    Ok(cells)
}

async fn guilties(
    view: &View,
    causes: Causes<'_>,
    filter: &RecordFilter,
    cells: &[Cell],
) -> Result<HashMap<i64, Guilty>, Error> {
    let ids: HashSet<i64> = cells.iter().map(|cell| cell.stack_id).collect();
    let ids: Vec<i64> = ids.into_iter().collect();
    let stacks = causes.book.stacks(view, filter, &ids).await?;
    Ok(stacks.iter().map(|(id, stack)| (*id, stack.cause(causes.filters))).collect())
}

/// What cells of one guilty add up to.
#[derive(Default)]
struct Sum<'a> {
    records: u64,
    builds: BTreeMap<(&'a str, &'a str), u64>,
    classifications: BTreeMap<&'a str, u64>,
    stacks: HashSet<i64>,
}

fn put_together(cells: &[Cell], guilties: &HashMap<i64, Guilty>, wanted: Wanted<'_>) -> Crashes {
    let mut sums = HashMap::<&Guilty, Sum<'_>>::new();
    for cell in cells {
        let Some(guilty) = guilties.get(&cell.stack_id) else { continue };
        let sum = sums.entry(guilty).or_default();
        sum.records += cell.records;
        *sum.builds.entry((&cell.system_name, &cell.build)).or_default() += cell.records;
        *sum.classifications.entry(&cell.classification).or_default() += cell.records;
        sum.stacks.insert(cell.stack_id);
    }
    let mut sums: Vec<(&Guilty, Sum<'_>)> = match wanted {
        Wanted::One(id) => sums.into_iter().filter(|(guilty, _)| guilty.id == id).collect(),
        Wanted::Largest(_, without) => sums.into_iter().filter(|(guilty, _)| !without.contains(&guilty.id)).collect(),
    };
    sums.sort_by(|(a, of_a), (b, of_b)| {
        of_b.records.cmp(&of_a.records).then_with(|| (&a.function, &a.module).cmp(&(&b.function, &b.module)))
    });
    let records = sums.iter().map(|(_, sum)| sum.records).sum();
    let limit = if let Wanted::Largest(limit, _) = wanted { limit.min(GUILTIES_MAX) } else { 1 };
    let has_more = sums.len() > limit;
    let groups = sums.into_iter().take(limit).map(|(guilty, sum)| group(guilty.clone(), sum)).collect();
    Crashes { groups, records, has_more }
}

fn group(guilty: Guilty, sum: Sum<'_>) -> Group {
    let of_build = |((system_name, build), records): ((&str, &str), u64)| OfBuild {
        system_name: system_name.to_owned(),
        build: build.to_owned(),
        records,
        machines: 0,
    };
    let mut classifications: Vec<(String, u64)> =
        sum.classifications.into_iter().map(|(name, records)| (name.to_owned(), records)).collect();
    classifications.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut stack_ids: Vec<i64> = sum.stacks.into_iter().collect();
    stack_ids.sort_unstable();
    let mut builds: Vec<OfBuild> = sum.builds.into_iter().map(of_build).collect();
    builds.sort_by(|a, b| a.system_name.cmp(&b.system_name).then_with(|| build_order(&a.build, &b.build)));
    Group {
        guilty,
        records: sum.records,
        machines: 0,
        first_seen: TimestampUs::default(),
        last_seen: TimestampUs::default(),
        builds,
        classifications,
        stack_ids,
    }
}

/// The records of the stacks in `table`, with the guilty of each as one more column.
pub(super) fn of_table(view: &View, filter: &RecordFilter, table: &HashMap<i64, i64>) -> Result<DataFrame, Error> {
    let mut records = filter.of(view.records()?)?.filter(col(STACK_ID).not_eq(lit(0_i64)))?;
    if filter.classification.is_none() {
        // Says nothing new, but which parts of the files have stacks.
        let classes = CRASH_CLASSES.iter().map(|class| text(class)).collect();
        records = records.filter(col("classification").in_list(classes, false))?;
    }
    let columns = ["system_name", "build", MACHINE, "ts_reception", STACK_ID].map(col).into_iter();
    let guilty = guilty_of(col(STACK_ID), table.clone()).alias(GUILTY);
    let records = records.select(columns.chain([guilty]).collect::<Vec<_>>())?;
    Ok(records.filter(col(GUILTY).not_eq(lit(0_i64)))?)
}

/// The plan of the second step: of each guilty in `table` (stack to guilty) the distinct machines, the first and the last
/// reception.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
// The plan keeps a copy of this very type.
#[allow(clippy::implicit_hasher)]
pub fn seen_plan(view: &View, filter: &RecordFilter, table: &HashMap<i64, i64>) -> Result<DataFrame, Error> {
    let reception = || col("ts_reception");
    let aggregates =
        [(count_distinct(col(MACHINE)), NUMBER), (min(reception()), "first_seen"), (max(reception()), "last_seen")];
    grouped(of_table(view, filter, table)?, vec![col(GUILTY)], aggregates)
}

/// The plan of the third step: of each guilty in `table` the distinct machines by build.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
// The plan keeps a copy of this very type.
#[allow(clippy::implicit_hasher)]
pub fn machines_plan(view: &View, filter: &RecordFilter, table: &HashMap<i64, i64>) -> Result<DataFrame, Error> {
    let keys = [GUILTY, "system_name", "build"].map(col).to_vec();
    grouped(of_table(view, filter, table)?, keys, [(count_distinct(col(MACHINE)), NUMBER)])
}

async fn count_machines(
    view: &View,
    filter: &RecordFilter,
    table: &HashMap<i64, i64>,
    groups: &mut [Group],
) -> Result<(), Error> {
    let (seen, by_build) = (seen_plan(view, filter, table)?, machines_plan(view, filter, table)?);
    let (seen, by_build) = tokio::try_join!(seen.collect(), by_build.collect())?;
    let place: HashMap<i64, usize> = groups.iter().enumerate().map(|(place, group)| (group.guilty.id, place)).collect();
    for batch in &seen {
        let (first, last) = (instants(batch, 2)?, instants(batch, 3)?);
        for (row, machines) in numbers(batch, 1)?.into_iter().enumerate() {
            if let Some(place) = place.get(&int64s(batch, 0)?[row]) {
                let group = &mut groups[*place];
                (group.machines, group.first_seen, group.last_seen) = (machines, first[row], last[row]);
            }
        }
    }
    for batch in &by_build {
        for (row, machines) in numbers(batch, 3)?.into_iter().enumerate() {
            let text = |column| text_at(batch, column, row).ok_or_else(wrong);
            let (system_name, build) = (text(1)?, text(2)?);
            let builds = place.get(&int64s(batch, 0)?[row]).map(|place| &mut groups[*place].builds);
            let mut builds = builds.into_iter().flatten();
            if let Some(of) = builds.find(|of| of.system_name == system_name && of.build == build) {
                of.machines = machines;
            }
        }
    }
    Ok(())
}

pub(super) fn int64s(batch: &RecordBatch, column: usize) -> Result<&[i64], Error> {
    let column = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map(|column| column.values().as_ref()).ok_or_else(wrong)
}

pub(super) fn instants(batch: &RecordBatch, column: usize) -> Result<Vec<TimestampUs>, Error> {
    let column = batch.columns().get(column).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.map(|column| column.values().iter().copied().map(TimestampUs).collect()).ok_or_else(wrong)
}

fn wrong() -> Error {
    Error::Internal("not the columns of crashes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(build: &str, stack_id: i64, records: u64) -> Cell {
        let classification = "org.clearlinux/crash/clr".to_owned();
        Cell { system_name: "s".to_owned(), build: build.to_owned(), classification, stack_id, records }
    }

    fn guilty(id: i64) -> Guilty {
        Guilty { id, function: format!("f{id}()"), module: "m".to_owned() }
    }

    #[test]
    fn stacks_of_one_guilty_are_one_group() {
        let cells = [cell("1", 10, 2), cell("2", 10, 1), cell("2", 11, 4), cell("2", 12, 3)];
        let guilties = HashMap::from([(10, guilty(1)), (11, guilty(1)), (12, guilty(2))]);
        let none = HashSet::new();
        let all = put_together(&cells, &guilties, Wanted::Largest(5, &none));
        let shown: Vec<_> =
            all.groups.iter().map(|group| (group.guilty.id, group.records, group.stack_ids.len())).collect();
        assert_eq!((shown, all.records, all.has_more), (vec![(1, 7, 2), (2, 3, 1)], 10, false));
        let builds: Vec<_> = all.groups[0].builds.iter().map(|of| (of.build.as_str(), of.records)).collect();
        assert_eq!(builds, [("1", 2), ("2", 5)]);
        let one = put_together(&cells, &guilties, Wanted::Largest(1, &none));
        assert_eq!((one.groups.len(), one.records, one.has_more), (1, 10, true));
        let hidden = HashSet::from([1]);
        assert_eq!(put_together(&cells, &guilties, Wanted::Largest(5, &hidden)).records, 3);
        assert_eq!(put_together(&cells, &guilties, Wanted::One(2)).groups[0].records, 3);
    }

    #[test]
    fn builds_are_in_the_order_of_their_versions_system_by_system() {
        let of = |system: &str, build| Cell { system_name: system.to_owned(), ..cell(build, 10, 1) };
        let cells = [of("b", "2"), of("a", "10"), of("a", "9"), of("a", "12.10"), of("a", "12.9"), of("b", "1")];
        let none = HashSet::new();
        let found = put_together(&cells, &HashMap::from([(10, guilty(1))]), Wanted::Largest(1, &none));
        let builds: Vec<_> =
            found.groups[0].builds.iter().map(|of| (of.system_name.as_str(), of.build.as_str())).collect();
        assert_eq!(builds, [("a", "9"), ("a", "10"), ("a", "12.9"), ("a", "12.10"), ("b", "1"), ("b", "2")]);
    }
}
