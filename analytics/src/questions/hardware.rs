//! Machine checks: which kinds of errors, which machines. Counts by class, build and week are those of `counts` and
//! `trends` for [`filter_of`].

use std::collections::BTreeMap;

use datafusion::dataframe::DataFrame;
use datafusion::functions::expr_fn::split_part;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, col, lit, when};

use super::counts::numbers;
use super::keys::text_at;
use crate::error::Error;
use crate::filter::{ClassPattern, RecordFilter, text};
use crate::view::View;

/// The classifications of machine checks begin like this.
pub(super) const MACHINE_CHECKS: &str = "org.clearlinux/mce/";
/// The classification of thermal events: machine checks by name, and a subject of their own.
pub const THERMAL: &str = "org.clearlinux/mce/thermal";

/// Most groups of an answer.
pub const GROUPS_MAX: usize = 1_000;
/// Hexadecimal digits at the end of a status that tell kinds of errors apart: the others are about one event.
const STATUS_CHARS: usize = 8;
/// Between these two words of a payload stands the status.
const STATUS: &str = "STATUS ";
const AFTER_STATUS: &str = " MCGSTATUS";

const MACHINE: &str = "machine_id";
const BUILD: &str = "build";
const WORD: &str = "word";
const NUMBER: &str = "number";

/// Machine checks with the same kind of error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The last eight hexadecimal digits of their status, in lower case; empty for payloads that say none.
    pub status: String,
    /// How many they are.
    pub records: u64,
}

/// Machine checks of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfMachine {
    /// Its id.
    pub machine_id: String,
    /// The builds that they happened on, those with most of them first.
    pub builds: Vec<String>,
    /// How many they are.
    pub records: u64,
}

/// The machine checks among the records that pass `filter`, without thermal events; what it says of classifications is
/// put aside.
#[must_use]
pub fn filter_of(filter: &RecordFilter) -> RecordFilter {
    RecordFilter {
        classification: Some(ClassPattern::Prefix(MACHINE_CHECKS.to_owned())),
        not_classification: Some(THERMAL.to_owned()),
        ..filter.clone()
    }
}

/// Kinds of errors, the largest first, at most [`GROUPS_MAX`].
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn statuses(view: &View, filter: &RecordFilter) -> Result<Vec<Kind>, Error> {
    let mut kinds = BTreeMap::<String, u64>::new();
    for (word, records) in groups(view, statuses_plan(view, filter)?).await? {
        *kinds.entry(kind_of(&word)).or_default() += records;
    }
    let mut kinds: Vec<Kind> = kinds.into_iter().map(|(status, records)| Kind { status, records }).collect();
    kinds.sort_by(|a, b| b.records.cmp(&a.records).then_with(|| a.status.cmp(&b.status)));
    Ok(kinds)
}

/// The plan of [`statuses`]: the whole status and how many records have it, those with most of them.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn statuses_plan(view: &View, filter: &RecordFilter) -> Result<DataFrame, Error> {
    let before = split_part(col("payload"), lit(AFTER_STATUS), lit(1_i64));
    let word = split_part(before, lit(STATUS), lit(2_i64));
    // Without the second word, what stands behind the first one is none.
    let has_both = col("payload").like(text(&format!("%{STATUS}%{AFTER_STATUS}%")));
    let word = when(has_both, word).otherwise(lit(""))?;
    let rows = filter_of(filter).of(view.records()?)?;
    largest(rows.aggregate(vec![word.alias(WORD)], vec![count(lit(1_i64)).alias(NUMBER)])?, WORD, GROUPS_MAX)
}

fn kind_of(word: &str) -> String {
    let is_status = word.len() >= STATUS_CHARS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_status { word[word.len() - STATUS_CHARS..].to_ascii_lowercase() } else { String::new() }
}

/// The machines with most machine checks, at most `limit` (1 to [`GROUPS_MAX`]), the largest first.
///
/// # Errors
/// As the store's: see [`Error`].
pub async fn machines(view: &View, filter: &RecordFilter, limit: usize) -> Result<Vec<OfMachine>, Error> {
    let largest = groups(view, machines_plan(view, filter, limit)?).await?;
    let of_machine = |(machine_id, records): (String, u64)| OfMachine { machine_id, builds: Vec::new(), records };
    let mut machines: Vec<OfMachine> = largest.into_iter().map(of_machine).collect();
    if machines.is_empty() {
        return Ok(machines);
    }
    let ids: Vec<&str> = machines.iter().map(|machine| machine.machine_id.as_str()).collect();
    for batch in view.collect(builds_of_plan(view, filter, &ids)?).await? {
        for row in 0..batch.num_rows() {
            let (Some(id), Some(build)) = (text_at(&batch, 0, row), text_at(&batch, 1, row)) else { continue };
            if let Some(machine) = machines.iter_mut().find(|machine| machine.machine_id == id) {
                machine.builds.push(build);
            }
        }
    }
    Ok(machines)
}

/// The plan of the first half of [`machines`]: machines and how many records they have.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn machines_plan(view: &View, filter: &RecordFilter, limit: usize) -> Result<DataFrame, Error> {
    let rows = filter_of(filter).of(view.records()?)?;
    let counted = rows.aggregate(vec![col(MACHINE)], vec![count(lit(1_i64)).alias(NUMBER)])?;
    largest(counted, MACHINE, limit.min(GROUPS_MAX))
}

/// The plan of the second half: machine, build, and how many records have both.
///
/// # Errors
/// [`Error::Internal`] when the plan cannot be made.
pub fn builds_of_plan(view: &View, filter: &RecordFilter, machines: &[&str]) -> Result<DataFrame, Error> {
    let ids: Vec<Expr> = machines.iter().map(|machine| text(machine)).collect();
    let rows = filter_of(filter).of(view.records()?)?.filter(col(MACHINE).in_list(ids, false))?;
    let counted = rows.aggregate(vec![col(MACHINE), col(BUILD)], vec![count(lit(1_i64)).alias(NUMBER)])?;
    let order = [MACHINE, BUILD].map(|column| col(column).sort(true, false));
    let order = [col(NUMBER).sort(false, false)].into_iter().chain(order).collect();
    Ok(counted.sort(order)?.limit(0, Some(GROUPS_MAX))?)
}

fn largest(counted: DataFrame, key: &str, limit: usize) -> Result<DataFrame, Error> {
    let order = vec![col(NUMBER).sort(false, false), col(key).sort(true, false)];
    Ok(counted.sort(order)?.limit(0, Some(limit))?)
}

async fn groups(view: &View, plan: DataFrame) -> Result<Vec<(String, u64)>, Error> {
    let mut groups = Vec::new();
    for batch in view.collect(plan).await? {
        for (row, records) in numbers(&batch, 1)?.into_iter().enumerate() {
            let name = text_at(&batch, 0, row).ok_or_else(|| Error::Internal("a group without a name".to_owned()))?;
            groups.push((name, records));
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_error_is_the_end_of_its_status() {
        assert_eq!(kind_of("8c00004000010092"), "00010092");
        assert_eq!(kind_of("DEADBEEF"), "deadbeef");
        for none in ["", "1234567", "8c00004000010092 and", "xyzxyzxyz", "ä0000000"] {
            assert_eq!(kind_of(none), "", "{none}");
        }
    }
}
