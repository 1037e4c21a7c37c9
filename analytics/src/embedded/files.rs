//! The data files of one version of the table, with the statistics that let a query leave them out.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::scalar::ScalarValue;
use deltalake::kernel::EagerSnapshot;
use deltalake::logstore::LogStore;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use serde_json::Value;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::columns::record_schema;
use telemetrics_schema::layout::{PARTITION, rollup_file};
use telemetrics_schema::rollups::{FILE_BUCKET, Rollup, file_schema};

use crate::error::Error;
use crate::sizes::DaySizes;

/// One Parquet file of the table.
pub(super) struct DataFile {
    pub(super) path: PathBuf,
    pub(super) object: ObjectMeta,
    pub(super) statistics: Arc<Statistics>,
    /// Between which buckets the rows of its rollup file are.
    pub(super) rollup_bounds: Arc<Statistics>,
    pub(super) rollup_path: PathBuf,
    rollups: OnceLock<ObjectMeta>,
}

impl DataFile {
    /// `path` is relative to the table in `directory`.
    fn new(
        directory: &FilePath,
        path: &str,
        size: u64,
        modified: DateTime<Utc>,
        json: Option<&str>,
    ) -> Result<Self, Error> {
        let statistics = statistics(json, &record_schema());
        Ok(Self {
            path: directory.join(path),
            object: object(&directory.join(path), modified, size)?,
            rollup_bounds: Arc::new(rollup_bounds(&statistics)),
            statistics: Arc::new(statistics),
            rollup_path: directory.join(rollup_file(path)),
            rollups: OnceLock::new(),
        })
    }

    /// Its rollup file; `None` when it has none yet.
    pub(super) fn rollups(&self) -> Option<&ObjectMeta> {
        if self.rollups.get().is_none() {
            let file = fs::metadata(&self.rollup_path).ok()?;
            let modified = file.modified().ok()?;
            // Who is second found the same file.
            let _ = self.rollups.set(object(&self.rollup_path, modified.into(), file.len()).ok()?);
        }
        self.rollups.get()
    }

    /// When its last record was received, in microseconds since the epoch, as far as the log says.
    pub(super) fn last_reception(&self) -> Option<TimestampUs> {
        let column = record_schema().index_of("ts_reception").ok()?;
        match self.statistics.column_statistics.get(column)?.max_value.get_value()? {
            ScalarValue::TimestampMicrosecond(last, _) => last.map(TimestampUs),
            _ => None,
        }
    }

    /// Adds the file, and its rollup file, to the sizes of its day, which stands in its path. The number of the last change
    /// of rows is that of the whole table.
    pub(super) fn count_into(&self, sizes: &mut DaySizes, changes: u64) {
        let prefix = format!("{PARTITION}=");
        let day = self.object.location.parts().find_map(|part| {
            let date = part.as_ref().strip_prefix(&prefix)?.parse::<NaiveDate>().ok()?;
            i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
        });
        if let (Some(day), Some(rows)) = (day, self.statistics.num_rows.get_value()) {
            let bytes = self.object.size + self.rollups().map_or(0, |file| file.size);
            sizes.add(day, *rows as u64, bytes);
            sizes.changed(day, changes);
        }
    }
}

/// The files that make up `snapshot`, newest first.
pub(super) async fn list(
    snapshot: &EagerSnapshot,
    log: &dyn LogStore,
    directory: &FilePath,
) -> Result<Vec<Arc<DataFile>>, Error> {
    let mut views = snapshot.file_views(log, None);
    let mut files = Vec::new();
    while let Some(view) = views.try_next().await? {
        let size = u64::try_from(view.size()).unwrap_or(0);
        let (modified, json) = (view.modification_datetime()?, view.stats());
        files.push(Arc::new(DataFile::new(directory, view.path().as_ref(), size, modified, json.as_deref())?));
    }
    Ok(files)
}

fn object(path: &FilePath, last_modified: DateTime<Utc>, size: u64) -> Result<ObjectMeta, Error> {
    let location = Path::from_absolute_path(path).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(ObjectMeta { location, last_modified, size, e_tag: None, version: None })
}

/// Every bucket begins at or after that of the first record by the longest bucket, and not after the last record.
fn rollup_bounds(records: &Statistics) -> Statistics {
    let schema = file_schema();
    let mut bounds = Statistics::new_unknown(&schema);
    let reception = record_schema().index_of("ts_reception").ok();
    let reception = reception.and_then(|column| records.column_statistics.get(column));
    if let (Some(reception), Ok(bucket)) = (reception, schema.index_of(FILE_BUCKET)) {
        bounds.column_statistics[bucket].min_value = match reception.min_value {
            Precision::Exact(ScalarValue::TimestampMicrosecond(Some(first), None)) => {
                let bucket = Rollup::Daily.bucket_of(TimestampUs(first));
                Precision::Exact(ScalarValue::TimestampMicrosecond(Some(bucket.0), None))
            }
            _ => Precision::Absent,
        };
        bounds.column_statistics[bucket].max_value = reception.max_value.clone();
    }
    bounds
}

/// Statistics of the log (Delta's JSON) as the query engine's; what is missing or unreadable counts as unknown.
fn statistics(json: Option<&str>, schema: &SchemaRef) -> Statistics {
    let json: Value = json.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let rows = json["numRecords"].as_u64().and_then(|rows| usize::try_from(rows).ok());
    let columns = schema.fields().iter().map(|field| ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: bound(&json["minValues"][field.name()], field.data_type()),
        max_value: bound(&json["maxValues"][field.name()], field.data_type()),
        ..ColumnStatistics::new_unknown()
    });
    Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

fn bound(value: &Value, kind: &DataType) -> Precision<ScalarValue> {
    let scalar = match kind {
        DataType::Int64 => value.as_i64().map(|v| ScalarValue::Int64(Some(v))),
        DataType::Int8 => value.as_i64().and_then(|v| i8::try_from(v).ok()).map(|v| ScalarValue::Int8(Some(v))),
        DataType::Utf8View => value.as_str().map(|v| ScalarValue::Utf8View(Some(v.to_owned()))),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            value.as_str().and_then(instant).map(|us| ScalarValue::TimestampMicrosecond(Some(us), None))
        }
        _ => None,
    };
    scalar.map_or(Precision::Absent, Precision::Exact)
}

fn instant(text: &str) -> Option<i64> {
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_collector_writes() {
        let json = r#"{"numRecords":2,"minValues":{"id":1,"severity":2,"ts_capture":"1970-01-01T00:00:00.000001","classification":"a/b/c"},"maxValues":{"id":9},"nullCount":{}}"#;
        let schema = record_schema();
        let statistics = statistics(Some(json), &schema);
        let minimum = |name: &str| {
            let index = schema.index_of(name).expect("a column");
            statistics.column_statistics[index].min_value.clone()
        };
        assert_eq!(statistics.num_rows, Precision::Exact(2));
        assert_eq!(minimum("id"), Precision::Exact(ScalarValue::Int64(Some(1))));
        assert_eq!(minimum("severity"), Precision::Exact(ScalarValue::Int8(Some(2))));
        assert_eq!(minimum("ts_capture"), Precision::Exact(ScalarValue::TimestampMicrosecond(Some(1), None)));
        assert_eq!(minimum("classification"), Precision::Exact(ScalarValue::Utf8View(Some("a/b/c".into()))));
        assert_eq!(minimum("payload"), Precision::Absent);
    }

    #[test]
    fn broken_statistics_are_unknown() {
        assert_eq!(statistics(Some("{"), &record_schema()).num_rows, Precision::Absent);
        assert_eq!(statistics(None, &record_schema()).num_rows, Precision::Absent);
    }
}
