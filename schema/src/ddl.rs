//! The ClickHouse table of records, as SQL text made from the list of columns.

use crate::columns::{COLUMNS, RECORDS};

/// Days that a record lives from its reception when no policy says otherwise.
pub const RETENTION_DAYS_DEFAULT: u32 = 35;

/// Batches that the server remembers by their token, so that a retry of one that had arrived changes nothing.
const DEDUPLICATION_WINDOW_BATCHES: u32 = 10_000;

/// The statement that makes the table `records` where it is missing.
///
/// Sorted by (class, time) within a day, as the questions ask. The two `fsync` settings make a part durable before the
/// insert is answered: the journal forgets a batch after that answer.
#[must_use]
pub fn create_records_table(retention_days: u32) -> String {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|c| format!("    `{}` {} COMMENT '{}'", c.name, c.kind.clickhouse(), c.description.replace('\'', "\\'")))
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS `{RECORDS}` (\n{}\n)\n\
         ENGINE = MergeTree\n\
         PARTITION BY toDate(ts_reception)\n\
         ORDER BY (classification, ts_reception, id)\n\
         TTL toDateTime(ts_reception) + INTERVAL {retention_days} DAY\n\
         SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW_BATCHES}, \
         fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 0",
        columns.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_column_and_the_retention() {
        let sql = create_records_table(RETENTION_DAYS_DEFAULT);
        assert!(COLUMNS.iter().all(|c| sql.contains(&format!("`{}` {}", c.name, c.kind.clickhouse()))), "{sql}");
        assert!(sql.contains("INTERVAL 35 DAY"));
        assert!(!sql.contains("payload's own"), "quotes in descriptions are escaped");
    }
}
