//! The one place that says which tables a statement may name.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use telemetrics_schema::columns::{COLUMNS, RECORDS};

use crate::error::Error;
use crate::view::View;

/// A table as statements see it.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What its rows are.
    pub(super) doc: &'static str,
    /// Its rows as the view shows them, retention included.
    pub(super) rows: fn(&View) -> Result<Arc<dyn TableProvider>, Error>,
    /// What a column of it means.
    pub(super) column_doc: fn(&str) -> Option<&'static str>,
}

/// Name of the table of crashes: who asks a statement in which it occurs gives the view its guilties.
pub const CRASHES: &str = "crashes";

/// Every table.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: RECORDS,
        doc: "One row for each record, in no order.",
        rows: |view| Ok(view.records()?.into_view()),
        column_doc: of_record,
    },
    Table {
        name: CRASHES,
        doc: "One row for each record that has a backtrace, with its cause by the filters of now, in no order.",
        rows: |view| Ok(view.crashes()?.into_view()),
        column_doc: |name| match name {
            "guilty_id" => Some("Identity of the cause, the same everywhere; 0 where it is not known."),
            "guilty_function" => Some("Function of the frame that stands for the cause, demangled."),
            "guilty_module" => Some("Module that it is in."),
            name => of_record(name),
        },
    },
];

fn of_record(name: &str) -> Option<&'static str> {
    COLUMNS.iter().find(|column| column.name == name).map(|column| column.description)
}

/// The table of that name.
pub(super) fn named(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// The names of all tables, for an error message.
pub(super) fn names() -> String {
    TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ")
}
