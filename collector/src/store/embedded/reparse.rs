//! Makes derived columns anew, file by file: each file is one commit, so that the work may end anywhere, and what is done
//! is not done again.
//!
//! A file whose columns are as they have to be stays as it is. Another one is written again, with its rollup file, beside
//! the old one, which goes when its grace period is over.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use deltalake::kernel::Transaction;
use deltalake::protocol::DeltaOperation;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::attributes::Parsers;
use telemetrics_schema::batch::derived_anew;
use telemetrics_schema::layout::{REPARSED, rewritten_file};

use super::EmbeddedStore;
use super::data_file::DataFile;
use super::merge::merge;
use super::parquet_file::{FileWriter, ROW_GROUP_BYTES, Written, ZSTD_LEVEL};
use super::table::{Table, add, remove, unavailable};
use crate::store::StoreError;

/// Bytes of rows that are in memory at a time.
const INPUT_BYTES: usize = 4 << 20;

/// How far the work is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reparsed {
    /// Records that were looked at.
    pub records: u64,
    /// Those of which something derived was another than it has to be; it is not any more.
    pub changed: u64,
}

impl EmbeddedStore {
    /// Makes what is derived anew for the records received on the days in `days`, counted from 1970-01-01, as of `now`.
    /// After each file, `progress` is given how far the work is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when a file cannot be read or written. What was done until then stays done.
    pub async fn reparse(
        &self,
        days: RangeInclusive<i32>,
        now: TimestampUs,
        mut progress: impl FnMut(i32, Reparsed),
    ) -> Result<Reparsed, StoreError> {
        let mut files = self.table.version().await?.files;
        files.retain(|file| days.contains(&file.day));
        files.sort_by(|a, b| (a.day, &a.path).cmp(&(b.day, &b.path)));
        let mut done = Reparsed::default();
        for file in files {
            let of_file = reparse_file(&self.table, &self.parsers, &file, now).await?;
            done = Reparsed { records: done.records + of_file.records, changed: done.changed + of_file.changed };
            progress(file.day, done);
        }
        Ok(done)
    }
}

async fn reparse_file(
    table: &Table,
    parsers: &Arc<dyn Parsers>,
    file: &DataFile,
    now: TimestampUs,
) -> Result<Reparsed, StoreError> {
    let (path, looking) = (table.directory().join(&file.path), Arc::clone(parsers));
    let found = tokio::task::spawn_blocking(move || look(&path, looking.as_ref())).await.map_err(unavailable)??;
    if found.changed > 0 {
        replace(table, parsers, file, now).await?;
    }
    Ok(found)
}

/// How many records a file has, and of how many something derived is not as it has to be.
fn look(path: &Path, parsers: &dyn Parsers) -> Result<Reparsed, StoreError> {
    let mut found = Reparsed::default();
    anew(path, parsers, &mut |batch, changed| {
        found.records += batch.num_rows() as u64;
        found.changed += changed as u64;
        Ok(())
    })?;
    Ok(found)
}

/// One commit takes the old file out and the new one in. Nobody else removes files: the table is locked, and whoever has it
/// open does nothing else.
async fn replace(
    table: &Table,
    parsers: &Arc<dyn Parsers>,
    file: &DataFile,
    now: TimestampUs,
) -> Result<(), StoreError> {
    let number = table.version().await?.number;
    let name = rewritten_file(file.day, number, 0);
    let (directory, old, new) = (table.directory().to_owned(), file.path.clone(), name.clone());
    let parsers = Arc::clone(parsers);
    let written = tokio::task::spawn_blocking(move || write(&directory, &old, &new, parsers.as_ref()));
    let written = written.await.map_err(unavailable)??;
    let actions = vec![remove(file, now, true), add(name, file.day, &written, true)];
    let operation = DeltaOperation::Update { predicate: None };
    let progress = Transaction::new(REPARSED, i64::try_from(number).unwrap_or(i64::MAX));
    table.commit(actions, operation, Some(progress)).await
}

fn write(directory: &Path, old: &str, new: &str, parsers: &dyn Parsers) -> Result<Written, StoreError> {
    let mut output = FileWriter::create(directory, new, ROW_GROUP_BYTES, ZSTD_LEVEL)?;
    anew(&directory.join(old), parsers, &mut |batch, _| output.write(&batch))?;
    output.finish()
}

/// Gives the rows of a file with their derived columns as they have to be, and how many of them had others.
fn anew(
    path: &Path,
    parsers: &dyn Parsers,
    each: &mut dyn FnMut(RecordBatch, usize) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    merge(&[PathBuf::from(path)], INPUT_BYTES, &mut |batch| {
        let (batch, changed) = derived_anew(&batch, parsers).map_err(unavailable)?;
        each(batch, changed.len())
    })
}
