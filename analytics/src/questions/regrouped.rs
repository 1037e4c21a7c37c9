//! What other filters would make of the crashes: which groups would be others, with their records and machines.

use std::collections::{HashMap, HashSet};

use telemetrics_schema::payload::Filters;

use super::counts::numbers;
use super::crashes::{int64s, seen_plan};
use super::stacks::records_by_stack;
use crate::crashes::{Guilty, StackBook};
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::regroup::{Change, Judged, Part, regroup};
use crate::view::View;

/// The changes, those first that move most records, and all records that were looked at.
///
/// # Errors
/// As [`super::crashes::crashes`].
pub async fn regrouped(
    view: &View,
    book: &StackBook,
    filter: &RecordFilter,
    [before, after]: [&Filters; 2],
) -> Result<(Vec<Change>, u64), Error> {
    let counted = records_by_stack(view, filter).await?;
    let ids: Vec<i64> = counted.keys().copied().collect();
    let stacks = book.stacks(view, filter, &ids).await?;
    let judged = |filters: &Filters| -> HashMap<i64, Guilty> {
        stacks.iter().map(|(id, stack)| (*id, stack.cause(filters))).collect()
    };
    let (before, after) = (judged(before), judged(after));
    let judged = counted
        .iter()
        .filter_map(|(id, records)| Some(Judged { records: *records, before: before.get(id)?, after: after.get(id)? }));
    let mut changes = regroup(judged);
    count_machines(view, filter, [&before, &after], &mut changes).await?;
    Ok((changes, counted.values().sum()))
}

async fn count_machines(
    view: &View,
    filter: &RecordFilter,
    [before, after]: [&HashMap<i64, Guilty>; 2],
    changes: &mut [Change],
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let concerned: HashSet<i64> = changes.iter().flat_map(|change| &change.parts).map(|part| part.guilty.id).collect();
    let (before, after) =
        tokio::try_join!(machines(view, filter, before, &concerned), machines(view, filter, after, &concerned),)?;
    let of = |machines: &HashMap<i64, u64>, part: &Part| machines.get(&part.guilty.id).copied().unwrap_or_default();
    for part in changes.iter_mut().flat_map(|change| &mut change.parts) {
        part.machines_before = of(&before, part);
        part.machines_after = of(&after, part);
    }
    Ok(())
}

/// Distinct machines of each guilty among those that are concerned.
async fn machines(
    view: &View,
    filter: &RecordFilter,
    guilties: &HashMap<i64, Guilty>,
    concerned: &HashSet<i64>,
) -> Result<HashMap<i64, u64>, Error> {
    let table = guilties.iter().filter(|(_, guilty)| concerned.contains(&guilty.id));
    let table: HashMap<i64, i64> = table.map(|(stack, guilty)| (*stack, guilty.id)).collect();
    let mut found = HashMap::new();
    for batch in view.collect(seen_plan(view, filter, &table)?).await? {
        found.extend(int64s(&batch, 0)?.iter().copied().zip(numbers(&batch, 1)?));
    }
    Ok(found)
}
