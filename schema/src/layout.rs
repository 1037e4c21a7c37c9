//! Where things lie: the directories of a server's data, and the names inside the embedded table.

use std::path::{Path, PathBuf};

use chrono::{Days, NaiveDate};

use crate::id::{CollectorNumber, RecordId};

/// Name of the table's partition column: the UTC day of reception, `YYYY-MM-DD`.
pub const PARTITION: &str = "date";

/// What all directories of rollup files begin with, whatever the version of their form.
pub const ROLLUPS_PREFIX: &str = "_rollups-";
/// Directory of the rollup files inside the table; other readers of a Delta table ignore names that begin with `_`. The
/// number is raised with every change of [`crate::rollups::file_schema`] or of what its rows say.
pub const ROLLUPS: &str = "_rollups-2";

/// Name under which the table's log says that derived columns were made anew, with the version that this was based on.
pub const REPARSED: &str = "telemetrics-reparsed";

/// The directory that one server owns.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`; nothing is created.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Acknowledged records on their way to the store.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// What is remembered of accepted records, to tell redeliveries.
    #[must_use]
    pub fn redelivery(&self) -> PathBuf {
        self.0.join("redelivery")
    }

    /// What is kept aside.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.0.join("quarantine")
    }

    /// Files of finished days for other programs; what is deleted there is made again.
    #[must_use]
    pub fn datasets(&self) -> PathBuf {
        self.0.join("datasets")
    }

    /// What questions put aside while they lack memory; of no use to the next process.
    #[must_use]
    pub fn spill(&self) -> PathBuf {
        self.0.join("spill")
    }

    /// What users curate, where the store is the embedded one.
    #[must_use]
    pub fn curation(&self) -> PathBuf {
        self.0.join("curation")
    }

    /// The embedded table of records: a Delta table that other programs may open for reading.
    #[must_use]
    pub fn records_table(&self) -> PathBuf {
        self.0.join("records")
    }
}

/// `YYYY-MM-DD` of a day that is counted from 1970-01-01.
#[must_use]
pub fn date_text(day: i32) -> String {
    let epoch = NaiveDate::default();
    let days = Days::new(u64::from(day.unsigned_abs()));
    let date = if day < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
    date.map_or_else(|| format!("day{day}"), |date| date.format("%Y-%m-%d").to_string())
}

/// The day of `YYYY-MM-DD`, counted from 1970-01-01; `None` for any other text.
#[must_use]
pub fn day_number(date: &str) -> Option<i32> {
    let days = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?.signed_duration_since(NaiveDate::default());
    i32::try_from(days.num_days()).ok().filter(|day| date_text(*day) == date)
}

/// Path, relative to the table, of the file that holds one batch.
///
/// It depends on the batch's identity alone, so that a batch that is written again after a crash replaces itself.
#[must_use]
pub fn batch_file(day: i32, first: RecordId, last: RecordId) -> String {
    format!("{PARTITION}={}/batch-{first}-{last}.parquet", date_text(day))
}

/// Path, relative to the table, of a file that was made from others.
///
/// `version` is that of the table when the work began. A version is passed by the commit that takes the file into the
/// table, so that no two files of the table ever have one name; what a killed process left is written over.
#[must_use]
pub fn rewritten_file(day: i32, version: u64, piece: usize) -> String {
    format!("{PARTITION}={}/rewritten-{version:020}-{piece:04}.parquet", date_text(day))
}

/// Path, relative to the table, of the file with the rollups of a data file, whose path is relative to it too.
#[must_use]
pub fn rollup_file(data_file: &str) -> String {
    let name = data_file.strip_suffix(".parquet").unwrap_or(data_file);
    // Without the usual ending: who reads all Parquet files below the table means the records.
    format!("{ROLLUPS}/{name}.rollups")
}

/// Name under which a collector's progress stands in the table's log.
#[must_use]
pub fn progress_name(collector: CollectorNumber) -> String {
    format!("telemetrics-collector-{}", collector.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_the_epoch() {
        assert_eq!(date_text(0), "1970-01-01");
        assert_eq!(date_text(20_779), "2026-11-22");
        assert_eq!(date_text(-1), "1969-12-31");
    }

    #[test]
    fn a_day_has_one_text() {
        for day in [-1, 0, 20_779] {
            assert_eq!(day_number(&date_text(day)), Some(day));
        }
        for wrong in ["2026-13-01", "2026-1-1", " 2026-01-01", "+2026-01-01", "2026-02-30", "", "20779"] {
            assert_eq!(day_number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_rollup_file_is_named_after_its_data_file() {
        assert_eq!(rollup_file("date=1970-01-01/x.parquet"), "_rollups-2/date=1970-01-01/x.rollups");
        assert!(ROLLUPS.starts_with(ROLLUPS_PREFIX));
    }
}
