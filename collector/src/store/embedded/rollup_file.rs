//! The rollup file beside a data file: its records counted, so that questions about counts need not read them.
//!
//! It has its name only when all of it is on the disk, and that before the commit that takes the data file into the table.
//! The name itself is not synced: a power cut may take it. Then questions read the data file until the maintenance has
//! made the rollup file again, as it does for files of a version of this program that had none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use telemetrics_schema::layout::rollup_file;
use telemetrics_schema::rollups::{FILE_BUCKET, FILE_ROLLUP, RollupBuilder, STACK_ID, file_schema};

use super::merge::open;
use super::pace::Pace;
use crate::store::StoreError;

/// Counts are written when they have so many bytes in memory. Of one day of 20,000 machines they have about half of it.
const MEMORY_BYTES_MAX: usize = 8 << 20;
/// Level of zstd: higher ones cost more than the bytes that they save.
const ZSTD_LEVEL: i32 = 3;
/// Rows of a data file that are counted at a time.
const SCAN_ROWS: usize = 8_192;

/// A rollup file that is being written.
pub(super) struct RollupWriter {
    writer: ArrowWriter<File>,
    path: PathBuf,
    rollups: RollupBuilder,
    memory_bytes_max: usize,
}

impl RollupWriter {
    /// Begins the rollup file of a data file, whose path is relative to the table in `directory`.
    pub(super) fn create(directory: &Path, data_file: &str) -> Result<Self, StoreError> {
        Self::with_memory(directory, data_file, MEMORY_BYTES_MAX)
    }

    fn with_memory(directory: &Path, data_file: &str, memory_bytes_max: usize) -> Result<Self, StoreError> {
        let path = directory.join(rollup_file(data_file));
        // Not synced, as the file's own name is not: see the module.
        fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(unavailable)?;
        let file = File::create(unfinished(&path)).map_err(unavailable)?;
        let writer = ArrowWriter::try_new(file, file_schema(), Some(properties()?)).map_err(unavailable)?;
        Ok(Self { writer, path, rollups: RollupBuilder::default(), memory_bytes_max })
    }

    /// Counts records of the data file.
    pub(super) fn add(&mut self, records: &RecordBatch) -> Result<(), StoreError> {
        self.rollups.add(records).map_err(unavailable)?;
        if self.rollups.memory_bytes() >= self.memory_bytes_max { self.write() } else { Ok(()) }
    }

    /// Ends the file; then it has its name.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.write()?;
        let unfinished = unfinished(&self.path);
        let file = self.writer.into_inner().map_err(unavailable)?;
        file.sync_all().and_then(|()| fs::rename(unfinished, self.path)).map_err(unavailable)
    }

    /// Each rollup becomes a row group, so that who asks for one reads none of the others.
    fn write(&mut self) -> Result<(), StoreError> {
        for rows in self.rollups.take().map_err(unavailable)? {
            self.writer.write(&rows).and_then(|()| self.writer.flush()).map_err(unavailable)?;
        }
        Ok(())
    }
}

/// Makes the rollup file of a data file of the table; `false` when the process stops meanwhile.
pub(super) fn make(directory: &Path, data_file: &str, pace: &mut Pace) -> Result<bool, StoreError> {
    let builder = open(&directory.join(data_file))?;
    let has_stacks = builder.schema().index_of(STACK_ID).is_ok();
    let of_stacks = RollupBuilder::STACK_COLUMNS.into_iter().filter(|_| has_stacks);
    let columns =
        ProjectionMask::columns(builder.parquet_schema(), RollupBuilder::COLUMNS.into_iter().chain(of_stacks));
    let reader = builder.with_projection(columns).with_batch_size(SCAN_ROWS).build().map_err(unavailable)?;
    let mut writer = RollupWriter::create(directory, data_file)?;
    for batch in reader {
        writer.add(&batch.map_err(unavailable)?)?;
        if !pace.keep() {
            return Ok(false);
        }
    }
    writer.finish()?;
    Ok(true)
}

/// Whether a data file has a rollup file.
pub(super) fn is_there(directory: &Path, data_file: &str) -> bool {
    directory.join(rollup_file(data_file)).exists()
}

/// The rollup file of a data file as it is while it is written, and when it is finished.
pub(super) fn paths(directory: &Path, data_file: &str) -> [PathBuf; 2] {
    let path = directory.join(rollup_file(data_file));
    [unfinished(&path), path]
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

fn properties() -> Result<WriterProperties, StoreError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(unavailable)?;
    let with_statistics = |properties: WriterPropertiesBuilder, column: &str| {
        properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Chunk)
    };
    let properties = WriterProperties::builder()
        // The encoders of the second version hold 2 MiB for each column of texts, also for the few rows of one batch.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        // A small file is mostly statistics; these two are what rows are chosen by.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true);
    Ok([FILE_ROLLUP, FILE_BUCKET].into_iter().fold(properties, with_statistics).build())
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("writing a rollup file: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use telemetrics_schema::attributes::NoParsers;
    use telemetrics_schema::batch::to_batch;
    use tokio_util::sync::CancellationToken;

    use super::super::parquet_file;
    use super::super::tests::rig::{NOON, batch, rollups_in, rollups_of};
    use super::*;

    const DATA_FILE: &str = "date=2026-11-22/x.parquet";

    fn written(memory_bytes_max: usize) -> BTreeMap<String, (i64, String)> {
        let directory = tempfile::tempdir().expect("a directory");
        let mut writer = RollupWriter::with_memory(directory.path(), DATA_FILE, memory_bytes_max).expect("a file");
        for records in batch(0..500, NOON).records().chunks(100) {
            let records = to_batch(records.iter().map(AsRef::as_ref)).expect("a batch");
            writer.add(&records).expect("counted");
        }
        assert!(!is_there(directory.path(), DATA_FILE), "it has its name before it is finished");
        writer.finish().expect("written");
        rollups_in(&directory.path().join(rollup_file(DATA_FILE)))
    }

    #[test]
    fn little_memory_gives_equal_sums() {
        let all: Vec<_> = batch(0..500, NOON).records().iter().map(|record| record.as_ref().clone()).collect();
        assert_eq!(written(MEMORY_BYTES_MAX), rollups_of(&all));
        assert_eq!(written(1), rollups_of(&all));
    }

    #[test]
    fn one_that_is_made_later_is_the_one_that_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(rollup_file(DATA_FILE));
        parquet_file::write(directory.path(), DATA_FILE, batch(0..100, NOON).records(), &NoParsers).expect("written");
        let before = rollups_in(&path);
        fs::remove_file(&path).expect("deleted");
        assert!(make(directory.path(), DATA_FILE, &mut Pace::new(100, CancellationToken::new())).expect("made"));
        assert_eq!(rollups_in(&path), before);
        fs::remove_file(&path).expect("deleted");
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(!make(directory.path(), DATA_FILE, &mut Pace::new(100, stop)).expect("stopped"));
        assert!(!path.exists());
    }
}
