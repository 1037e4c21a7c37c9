//! What an operator can decide about the window, and the limits within which.

use std::path::PathBuf;
use std::time::Duration;

use super::WindowError;
use super::table::{RECORDS_MAX, Table};

/// How long an accepted record is remembered.
pub const WINDOW_AGE: Duration = Duration::from_hours(24);
/// How many accepted records are remembered unless the operator says otherwise.
pub const WINDOW_RECORDS: usize = 2_000_000;
/// Entries of one file of the log: 2.4 MB, so that 2 million entries make 31 files.
const FILE_RECORDS: usize = 65_536;

/// Settings of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowSettings {
    /// The window's own directory; created when missing. Whoever opens it holds the lock of the journal beside it.
    pub directory: PathBuf,
    /// Most records that are remembered, 1 to [`RECORDS_MAX`].
    pub records_max: usize,
    /// How long a record is remembered after its reception.
    pub age: Duration,
    /// Entries of one file of the log, the smallest piece that is removed.
    pub file_records: usize,
}

impl WindowSettings {
    /// The default settings for `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), records_max: WINDOW_RECORDS, age: WINDOW_AGE, file_records: FILE_RECORDS }
    }

    /// Bytes of memory that the window takes at most.
    #[must_use]
    pub const fn memory_bound_bytes(&self) -> usize {
        Table::bound_bytes(self.records_max)
    }

    pub(super) fn age_us(&self) -> i64 {
        i64::try_from(self.age.as_micros()).unwrap_or(i64::MAX)
    }

    pub(super) fn validate(&self) -> Result<(), WindowError> {
        if !(1..=RECORDS_MAX).contains(&self.records_max) {
            return Err(WindowError::Settings(format!("records must be 1 to {RECORDS_MAX}")));
        }
        if self.file_records == 0 {
            return Err(WindowError::Settings("file_records must be at least 1".to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_limited_at_both_edges() {
        let is_valid = |records_max| WindowSettings { records_max, ..WindowSettings::new("x") }.validate().is_ok();
        assert!(is_valid(1) && is_valid(RECORDS_MAX));
        assert!(!is_valid(0) && !is_valid(RECORDS_MAX + 1));
        assert!(WindowSettings { file_records: 0, ..WindowSettings::new("x") }.validate().is_err());
    }
}
