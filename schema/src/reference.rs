//! The page `docs/columns.md`, made from the list of columns.

use std::fmt::Write as _;

use crate::columns::{COLUMNS, Column, RECORDS, derived_columns};

/// The page as Markdown. Writing into a string cannot fail.
#[must_use]
pub fn columns_page() -> String {
    let mut page = format!(
        "# Columns of the table `{RECORDS}`\n\n\
         Made from `schema/src/columns.rs`, the one list of columns; do not edit. The Arrow schema, the Parquet files and \
         the\nClickHouse table come from the same list. No column is ever null.\n\n\
         \"Since format\" is the record format that brought the field; 0 means that the collector adds it. The last {} columns\n\
         are derived from the payload. Records that an older version of the program has stored hold 0 or an empty text in\n\
         them until `telemetrics reparse`; in its Parquet files, other programs read null there.\n\n\
         | column | Arrow, Parquet | ClickHouse | unit | since format | meaning |\n\
         | --- | --- | --- | --- | --- | --- |\n",
        derived_columns().len()
    );
    for column in &COLUMNS {
        let Column { name, kind, unit, description, since_format, .. } = column;
        let (arrow, clickhouse) = (kind.arrow(), kind.clickhouse());
        let description = description.replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {arrow} | {clickhouse} | {unit} | {since_format} | {description} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set it to write the page instead of comparing it.
    const UPDATE_VARIABLE: &str = "TELEMETRICS_UPDATE_DOCS";
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/columns.md");

    #[test]
    fn the_page_is_that_of_the_list() {
        if std::env::var_os(UPDATE_VARIABLE).is_some() {
            std::fs::write(PAGE, columns_page()).expect("written");
        }
        let page = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            page == columns_page(),
            "docs/columns.md is not that of the list of columns; write it with: \
             {UPDATE_VARIABLE}=1 cargo test --workspace the_page_is_that_of_the_list"
        );
    }
}
