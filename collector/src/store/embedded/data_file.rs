//! One file of the table, as the table's log describes it.

use chrono::NaiveDateTime;
use deltalake::kernel::LogicalFileView;
use serde_json::Value;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::{PARTITION, day_number};

use super::table::unavailable;
use crate::store::StoreError;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataFile {
    /// Relative to the table.
    pub(super) path: String,
    /// The UTC day of reception of all its rows, counted from 1970-01-01.
    pub(super) day: i32,
    /// Its size.
    pub(super) bytes: u64,
    /// How many rows it has, as far as the log says.
    pub(super) rows: Option<u64>,
    /// When its first row was received, as far as the log says.
    pub(super) first_reception: Option<TimestampUs>,
    /// When its last row was received, as far as the log says.
    pub(super) last_reception: Option<TimestampUs>,
}

impl DataFile {
    pub(super) fn of(view: &LogicalFileView) -> Result<Self, StoreError> {
        let partitions = view.partition_values_map();
        let day = partitions.get(PARTITION).and_then(Option::as_deref).and_then(day_number);
        let statistics: Value = view.stats().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Value::Null);
        let reception = |side: &str| statistics[side]["ts_reception"].as_str().and_then(instant);
        Ok(Self {
            path: view.path().into_owned(),
            day: day.ok_or_else(|| unavailable(format!("the file {} has no date", view.path())))?,
            bytes: u64::try_from(view.size()).unwrap_or(0),
            rows: statistics["numRecords"].as_u64(),
            first_reception: reception("minValues"),
            last_reception: reception("maxValues"),
        })
    }
}

fn instant(text: &str) -> Option<TimestampUs> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(TimestampUs(time.and_utc().timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written() {
        assert_eq!(instant("1970-01-01T00:00:01.000002"), Some(TimestampUs(1_000_002)));
    }
}
