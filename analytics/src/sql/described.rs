//! Answers about tables and plans: a few rows of texts.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringViewArray};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;

use super::error::explained;
use super::tables::{TABLES, Table};
use crate::error::Error;
use crate::view::View;

/// What stands in a plan in the place of the files that would be read.
const FILES: &str = "file_groups={...}";

/// The names of the tables.
pub(super) fn tables(state: &SessionState) -> Result<DataFrame, Error> {
    let column = |value: fn(&Table) -> &str| texts(TABLES.iter().map(|table| Some(value(table))));
    frame(state, [("table_name", column(|table| table.name)), ("description", column(|table| table.doc))])
}

/// The columns of a table.
pub(super) fn table(state: &SessionState, view: &View, table: &Table) -> Result<DataFrame, Error> {
    let schema = (table.rows)(view)?.schema();
    let fields = || schema.fields().iter();
    let types: Vec<String> = fields().map(|field| field.data_type().to_string()).collect();
    frame(
        state,
        [
            ("column_name", texts(fields().map(|field| Some(field.name().as_str())))),
            ("data_type", texts(types.iter().map(|name| Some(name.as_str())))),
            ("is_nullable", texts(fields().map(|field| Some(if field.is_nullable() { "YES" } else { "NO" })))),
            ("description", texts(fields().map(|field| (table.column_doc)(field.name())))),
        ],
    )
}

/// The columns that a plan has.
pub(super) fn columns(state: &SessionState, plan: &LogicalPlan) -> Result<DataFrame, Error> {
    let fields = || plan.schema().fields().iter();
    let types: Vec<String> = fields().map(|field| field.data_type().to_string()).collect();
    frame(
        state,
        [
            ("column_name", texts(fields().map(|field| Some(field.name().as_str())))),
            ("data_type", texts(types.iter().map(|name| Some(name.as_str())))),
            ("is_nullable", texts(fields().map(|field| Some(if field.is_nullable() { "YES" } else { "NO" })))),
        ],
    )
}

/// How a plan would be answered, without the names of files.
pub(super) async fn plan(state: &SessionState, plan: LogicalPlan) -> Result<DataFrame, Error> {
    let optimized = state.optimize(&plan).map_err(explained)?;
    let logical = optimized.display_indent().to_string();
    let physical = DataFrame::new(state.clone(), plan).create_physical_plan().await.map_err(explained)?;
    let physical = without_files(&displayable(physical.as_ref()).indent(false).to_string());
    let plans = [Some(logical.as_str()), Some(physical.as_str())];
    let types = [Some("logical_plan"), Some("physical_plan")];
    frame(state, [("plan_type", texts(types.into_iter())), ("plan", texts(plans.into_iter()))])
}

/// The lists of files end with the last of their groups.
fn without_files(plan: &str) -> String {
    let mut shown = String::new();
    for line in plan.lines() {
        match line.split_once("file_groups={") {
            Some((before, files)) => {
                let after = files.rsplit_once("]]}").or_else(|| files.rsplit_once("]}")).map_or("", |(_, after)| after);
                shown.extend([before, FILES, after]);
            }
            None => shown.push_str(line),
        }
        shown.push('\n');
    }
    shown
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

fn frame<const N: usize>(state: &SessionState, columns: [(&str, ArrayRef); N]) -> Result<DataFrame, Error> {
    let batch = RecordBatch::try_from_iter(columns)?;
    Ok(SessionContext::new_with_state(state.clone()).read_batch(batch)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_left_out() {
        let plan = "  DataSourceExec: file_groups={2 groups: [[a/b]}/x.parquet, c], [d]]}, projection=[id]\nEmpty";
        assert_eq!(without_files(plan), "  DataSourceExec: file_groups={...}, projection=[id]\nEmpty\n");
    }
}
