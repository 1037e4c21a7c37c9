//! A Parquet file of the table: written in the order that questions want, with its rollup file, synced, and described for
//! the table's log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use telemetrics_schema::Record;
use telemetrics_schema::attributes::Parsers;
use telemetrics_schema::batch::parsed_batch;
use telemetrics_schema::columns::{COLUMNS, record_schema};

use super::rollup_file::RollupWriter;
use super::summary::Summary;
use super::synced_files::sync_file_and_directory;
use crate::directory::durable_below;
use crate::store::StoreError;

/// Rows of a row group: what a reader skips or reads as one.
const ROW_GROUP_ROWS: usize = 131_072;
/// Encoded bytes of a row group, which is in memory until it is full.
pub(super) const ROW_GROUP_BYTES: usize = 8 << 20;
/// Level of zstd for a file that is soon merged with others: the lowest takes half the time of the other one.
const BATCH_ZSTD_LEVEL: i32 = 1;
/// Level of zstd for what merges write: higher ones cost more than the bytes that they save.
pub(super) const ZSTD_LEVEL: i32 = 3;
/// Bytes of a page before compression: a merge has one of every column and input in memory.
const PAGE_BYTES: usize = 256 << 10;
/// Rows after which the size of a page is looked at: with payloads of a KiB, that many make a page.
const PAGE_CHECK_ROWS: usize = 256;
/// Rows that are converted and encoded at a time.
const WRITE_ROWS: usize = 2_048;
/// The order of the rows in every file; questions ask for a class and a time.
pub(super) const SORT_COLUMNS: [&str; 3] = ["classification", "ts_reception", "id"];
/// Nearly every row has another value: a dictionary would be as large as the column itself.
pub(super) const WITHOUT_DICTIONARY: [&str; 4] = ["id", "ts_reception", "event_id", "payload"];
/// Numbers that differ little from one row to the next.
const DELTA_COLUMNS: [&str; 3] = ["id", "ts_reception", "ts_capture"];
/// Their encodings leave nothing to compress, and each compressed column costs 96 KiB for every file that is read and
/// several times as much for one that is written.
pub(super) const NOT_COMPRESSED: [&str; 8] = [
    "id",
    "ts_reception",
    "severity",
    "external",
    "record_format_version",
    "payload_format_version",
    "stack_id",
    "signal",
];

/// A file that is being written; what was given to it is durable when it is finished.
pub(super) struct FileWriter {
    writer: ArrowWriter<File>,
    path: PathBuf,
    summary: Summary,
    rollups: RollupWriter,
}

/// A file that is written and synced.
#[derive(Debug)]
pub(super) struct Written {
    /// Its size.
    pub(super) bytes: u64,
    /// What the table's log says about its rows.
    pub(super) summary: Summary,
}

impl FileWriter {
    /// Begins a file of the table in `directory`, in the place of one that is there. A row group is in memory until it
    /// has `row_group_bytes`.
    pub(super) fn create(
        directory: &Path,
        name: &str,
        row_group_bytes: usize,
        zstd_level: i32,
    ) -> Result<Self, StoreError> {
        let path = directory.join(name);
        durable_below(directory, path.parent().unwrap_or(directory)).map_err(unavailable)?;
        let file = File::create(&path).map_err(unavailable)?;
        let properties = properties(row_group_bytes, zstd_level)?;
        let writer = ArrowWriter::try_new(file, record_schema(), Some(properties)).map_err(unavailable)?;
        let rollups = RollupWriter::create(directory, name)?;
        Ok(Self { writer, path, summary: Summary::default(), rollups })
    }

    /// Adds rows, which stand behind all others in the order of the file.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.summary.add(batch).map_err(unavailable)?;
        self.rollups.add(batch)?;
        self.writer.write(batch).map_err(unavailable)
    }

    /// Size of the file without the row group that is in memory: estimates of that can be many times too large.
    pub(super) fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Ends the file; then it is on the disk under its name, and has its rollup file.
    pub(super) fn finish(self) -> Result<Written, StoreError> {
        self.rollups.finish()?;
        self.writer.close().map_err(unavailable)?;
        sync_file_and_directory(&self.path).map_err(unavailable)?;
        let bytes = fs::metadata(&self.path).map_err(unavailable)?.len();
        Ok(Written { bytes, summary: self.summary })
    }
}

/// Writes `records`, with the attributes that `parsers` make of them, into the file `name` of the table in `directory`, in the order of the table's files.
pub(super) fn write(
    directory: &Path,
    name: &str,
    records: &[Arc<Record>],
    parsers: &dyn Parsers,
) -> Result<Written, StoreError> {
    let mut file = FileWriter::create(directory, name, ROW_GROUP_BYTES, BATCH_ZSTD_LEVEL)?;
    for rows in sorted(records).chunks(WRITE_ROWS) {
        file.write(&parsed_batch(rows, parsers).map_err(unavailable)?)?;
    }
    file.finish()
}

fn sorted(records: &[Arc<Record>]) -> Vec<&Record> {
    let key = |r: &Record| (r.ts_reception, r.id);
    let mut rows: Vec<&Record> = records.iter().map(AsRef::as_ref).collect();
    rows.sort_by(|a, b| a.report.classification.cmp(&b.report.classification).then_with(|| key(a).cmp(&key(b))));
    rows
}

fn properties(row_group_bytes: usize, zstd_level: i32) -> Result<WriterProperties, StoreError> {
    let level = ZstdLevel::try_new(zstd_level).map_err(unavailable)?;
    Ok(encodings(WriterProperties::builder())
        // Pages of the second version stay in memory with the space that they took before compression, until the row
        // group is written; and their texts have encoders with 2 MiB for each column.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_write_batch_size(PAGE_CHECK_ROWS)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(row_group_bytes))
        .set_sorting_columns(Some(sorting_columns()))
        // A look-up of one machine misses nearly every file: the filter makes a miss 12 times faster.
        .set_column_bloom_filter_enabled(ColumnPath::from("machine_id"), true)
        .build())
}

fn encodings(mut builder: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    for name in WITHOUT_DICTIONARY {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    for name in DELTA_COLUMNS {
        builder = builder.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in NOT_COMPRESSED {
        builder = builder.set_column_compression(ColumnPath::from(name), Compression::UNCOMPRESSED);
    }
    builder
}

fn sorting_columns() -> Vec<SortingColumn> {
    let place = |name: &str| COLUMNS.iter().position(|column| column.name == name);
    let places = SORT_COLUMNS.iter().filter_map(|name| i32::try_from(place(name)?).ok());
    places.map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false }).collect()
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("writing a Parquet file: {error}"))
}
