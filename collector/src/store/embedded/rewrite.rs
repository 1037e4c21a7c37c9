//! Files of one day become other files with the same records, but those that are expired.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::rewritten_file;
use telemetrics_schema::retention::RetentionPolicy;

use super::data_file::DataFile;
use super::expiry::alive;
use super::merge::merge;
use super::pace::Pace;
use super::parquet_file::{FileWriter, Written, ZSTD_LEVEL};
use super::{leftovers, rollup_file};
use crate::store::StoreError;

/// What is to be written again.
pub(super) struct Rewrite {
    /// Where the table is.
    pub(super) directory: PathBuf,
    /// Its version now.
    pub(super) version: u64,
    /// Files of one day.
    pub(super) files: Vec<DataFile>,
    /// Size at which the next file is begun.
    pub(super) target_bytes: u64,
    /// Encoded bytes of what is written that are in memory at a time.
    pub(super) row_group_bytes: usize,
    /// Bytes of rows of each file that are in memory at a time.
    pub(super) input_bytes: usize,
    /// Which records are left out.
    pub(super) policy: Arc<RetentionPolicy>,
    /// When the work began.
    pub(super) now: TimestampUs,
}

/// What was written; nothing of it is in the table yet.
pub(super) struct Rewritten {
    /// Paths relative to the table, and what is in them.
    pub(super) files: Vec<(String, Written)>,
    /// Records that were left out.
    pub(super) expired_rows: usize,
}

impl Rewrite {
    /// Does the work; `None` when the process stops meanwhile. Then, as after an error, nothing stays behind.
    pub(super) fn run(&self, pace: &mut Pace) -> Result<Option<Rewritten>, StoreError> {
        let mut output = Output { rewrite: self, open: None, done: Vec::new(), expired_rows: 0 };
        let outcome = output.fill(pace);
        if !matches!(outcome, Ok(true)) {
            output.discard();
        }
        Ok(outcome?.then_some(Rewritten { files: output.done, expired_rows: output.expired_rows }))
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| self.directory.join(&file.path)).collect()
    }

    fn day(&self) -> i32 {
        self.files.first().map_or(0, |file| file.day)
    }

    fn piece(&self, number: usize) -> String {
        rewritten_file(self.day(), self.version, number)
    }
}

struct Output<'a> {
    rewrite: &'a Rewrite,
    open: Option<FileWriter>,
    done: Vec<(String, Written)>,
    expired_rows: usize,
}

impl Output<'_> {
    /// `false` when the process stops.
    fn fill(&mut self, pace: &mut Pace) -> Result<bool, StoreError> {
        let mut stopped = false;
        let outcome = merge(&self.rewrite.paths(), self.rewrite.input_bytes, &mut |batch| {
            self.take(&batch)?;
            stopped = !pace.keep();
            if stopped { Err(StoreError::Unavailable("the process stops".to_owned())) } else { Ok(()) }
        });
        if stopped {
            return Ok(false);
        }
        outcome?;
        self.close()?;
        Ok(true)
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let Rewrite { policy, now, target_bytes, row_group_bytes, .. } = self.rewrite;
        let alive = alive(batch, policy, *now).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.expired_rows += batch.num_rows() - alive.num_rows();
        if alive.num_rows() == 0 {
            return Ok(());
        }
        let name = self.rewrite.piece(self.done.len());
        let file = match &mut self.open {
            Some(file) => file,
            closed => closed.insert(FileWriter::create(&self.rewrite.directory, &name, *row_group_bytes, ZSTD_LEVEL)?),
        };
        file.write(&alive)?;
        if file.bytes() as u64 >= *target_bytes {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        if let Some(file) = self.open.take() {
            let written = file.finish()?;
            self.done.push((self.rewrite.piece(self.done.len()), written));
        }
        Ok(())
    }

    /// What cannot be deleted here is deleted at the next start.
    fn discard(&mut self) {
        self.open = None;
        for number in 0..=self.done.len() {
            delete(&self.rewrite.directory, &self.rewrite.piece(number));
        }
    }
}

/// Deletes a data file that no version of the table has, and its rollup file.
pub(super) fn delete(directory: &Path, file: &str) {
    for path in rollup_file::paths(directory, file) {
        leftovers::delete(&path);
    }
    leftovers::delete(&directory.join(file));
}
