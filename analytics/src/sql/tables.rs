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

/// Every table.
pub(super) const TABLES: &[Table] = &[Table {
    name: RECORDS,
    doc: "One row for each record, in no order.",
    rows: |view| Ok(view.records()?.into_view()),
    column_doc: |name| COLUMNS.iter().find(|column| column.name == name).map(|column| column.description),
}];

/// The table of that name.
pub(super) fn named(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.name == name)
}

/// The names of all tables, for an error message.
pub(super) fn names() -> String {
    TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ")
}
