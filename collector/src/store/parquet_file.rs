//! One batch as a Parquet file: sorted for the questions that are asked, synced, and described for the table's log.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};
use telemetrics_schema::Record;
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::columns::record_schema;

use super::StoreError;
use super::synced_files::{sync_directory, sync_file_and_directory};

/// Rows of a row group: what a reader skips or reads as one.
const ROW_GROUP_ROWS: usize = 131_072;
/// Level of zstd: higher ones cost more than the bytes that they save.
const ZSTD_LEVEL: i32 = 3;
/// Rows that are converted and encoded at a time.
const WRITE_ROWS: usize = 8_192;

/// Writes `records` to `path`, sorted by (classification, id), and returns the size in bytes.
pub(crate) fn write(path: &Path, records: &[Arc<Record>]) -> Result<u64, StoreError> {
    let directory = path.parent().ok_or_else(|| unavailable("a file without a directory"))?;
    let is_new = !directory.exists();
    fs::create_dir_all(directory).map_err(unavailable)?;
    if is_new && let Some(table) = directory.parent() {
        sync_directory(table).map_err(unavailable)?;
    }
    let file = File::create(path).map_err(unavailable)?;
    let mut writer = ArrowWriter::try_new(file, record_schema(), Some(properties()?)).map_err(unavailable)?;
    for rows in sorted(records).chunks(WRITE_ROWS) {
        let batch = to_batch(rows.iter().copied()).map_err(unavailable)?;
        writer.write(&batch).map_err(unavailable)?;
    }
    writer.close().map_err(unavailable)?;
    sync_file_and_directory(path).map_err(unavailable)?;
    Ok(fs::metadata(path).map_err(unavailable)?.len())
}

fn sorted(records: &[Arc<Record>]) -> Vec<&Record> {
    let mut rows: Vec<&Record> = records.iter().map(AsRef::as_ref).collect();
    // Identifiers grow with reception, so this is (classification, time) with a tie-break.
    rows.sort_by(|a, b| (&a.report.classification, a.id).cmp(&(&b.report.classification, b.id)));
    rows
}

fn properties() -> Result<WriterProperties, StoreError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(unavailable)?;
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        // A look-up of one machine misses nearly every file: the filter makes a miss 12 times faster.
        .set_column_bloom_filter_enabled(ColumnPath::from("machine_id"), true)
        .build())
}

/// Statistics for the table's log, in Delta's JSON form: what lets a reader leave a whole file out.
pub(crate) fn statistics(records: &[Arc<Record>]) -> String {
    let mut minimum = Map::new();
    let mut maximum = Map::new();
    let mut put = |name: &str, range: Option<(Value, Value)>| {
        if let Some((low, high)) = range {
            minimum.insert(name.into(), low);
            maximum.insert(name.into(), high);
        }
    };
    put("id", range(records, |r| r.id.0, Value::from));
    put("ts_reception", range(records, |r| r.ts_reception.0, instant));
    put("ts_capture", range(records, |r| r.report.ts_capture_s * 1_000_000, instant));
    put("severity", range(records, |r| i64::from(r.report.severity), Value::from));
    put("classification", range(records, |r| r.report.classification.as_str(), Value::from));
    json!({"numRecords": records.len(), "minValues": minimum, "maxValues": maximum, "nullCount": {}}).to_string()
}

fn range<'a, T: Ord + Copy>(
    records: &'a [Arc<Record>],
    value: impl Fn(&'a Record) -> T,
    json: impl Fn(T) -> Value,
) -> Option<(Value, Value)> {
    let low = records.iter().map(|r| value(r)).min()?;
    let high = records.iter().map(|r| value(r)).max()?;
    Some((json(low), json(high)))
}

fn instant(us: i64) -> Value {
    let text = chrono::DateTime::from_timestamp_micros(us).map(|t| t.format("%Y-%m-%dT%H:%M:%S%.6f").to_string());
    text.map_or(Value::Null, Value::from)
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("writing a Parquet file: {error}"))
}
