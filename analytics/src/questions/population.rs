//! How many machines run which build: distinct machines that sent a heartbeat.
//!
//! Clients change their machine id every three days, so a window of more days counts a machine more than once.

use arrow::array::{AsArray, RecordBatch};
use datafusion::dataframe::DataFrame;
use datafusion::functions_aggregate::expr_fn::count_distinct;
use datafusion::logical_expr::col;

use super::counts::{GROUPS_MAX, numbers};
use super::grouped::grouped;
use super::keys::text_at;
use super::source;
use crate::error::Error;
use crate::filter::RecordFilter;
use crate::view::View;

pub use telemetrics_schema::rollups::HEARTBEAT;

const KEYS: [&str; 3] = ["system_name", "build", "external"];
const MACHINE: &str = "machine_id";

/// Any name that no column has.
const NUMBER: &str = "number";

/// Distinct machines of one build and one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machines {
    /// Name of the operating system.
    pub system_name: String,
    /// Version of the operating system.
    pub build: String,
    /// Whether the heartbeats came from outside.
    pub external: bool,
    /// How many distinct machine ids sent one.
    pub machines: u64,
}

/// Machines by build and origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Population {
    /// The largest first; equal ones by system, build, internal before external.
    pub groups: Vec<Machines>,
    /// Whether there are more groups than were asked for.
    pub has_more: bool,
}

/// The at most `limit` (1 to [`GROUPS_MAX`]) largest groups of machines whose heartbeats pass `filter`; whatever it says
/// of classifications is put aside.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn population(view: &View, filter: &RecordFilter, limit: usize) -> Result<Population, Error> {
    let limit = limit.min(GROUPS_MAX);
    let mut groups = Vec::new();
    for batch in view.collect(plan(view, filter, limit)?).await? {
        read(&batch, &mut groups)?;
    }
    let has_more = groups.len() > limit;
    groups.truncate(limit);
    Ok(Population { groups, has_more })
}

/// The plan of [`population`], with one group more than asked for when there are more.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn plan(view: &View, filter: &RecordFilter, limit: usize) -> Result<DataFrame, Error> {
    let keys = || KEYS.into_iter().map(col);
    let heartbeats = source::machines(view, filter, &[&KEYS[..], &[MACHINE]].concat())?.rows;
    let counted = grouped(heartbeats, keys().collect(), [(count_distinct(col(MACHINE)), NUMBER)])?;
    let order = keys().map(|key| key.sort(true, false));
    let order = [col(NUMBER).sort(false, false)].into_iter().chain(order).collect();
    Ok(counted.sort(order)?.limit(0, Some(limit + 1))?)
}

fn read(batch: &RecordBatch, groups: &mut Vec<Machines>) -> Result<(), Error> {
    let wrong = || Error::Internal("not the columns of the population".to_owned());
    let external = batch.column(2).as_boolean_opt().ok_or_else(wrong)?;
    for (row, machines) in numbers(batch, 3)?.into_iter().enumerate() {
        groups.push(Machines {
            system_name: text_at(batch, 0, row).ok_or_else(wrong)?,
            build: text_at(batch, 1, row).ok_or_else(wrong)?,
            external: external.value(row),
            machines,
        });
    }
    Ok(())
}
