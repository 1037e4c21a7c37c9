//! Reading the embedded store: its Parquet files as the table's log names them, and the recent records in memory.
//!
//! One snapshot is one value: the recent records are taken first, then the newest version of the table, then the recent
//! records that this version already has are left out. A batch is released from memory only after its commit can be
//! seen, so that nothing is missed or counted twice, whatever the collector does meanwhile.

mod files;
mod held_rollups;
mod machine_filters;
mod older_files;
mod rollup_files;
mod scan;
mod snapshot;
mod summed_rows;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use deltalake::{DeltaTable, DeltaTableBuilder};
use telemetrics_schema::layout::{REPARSED, progress_name};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::{CollectorNumber, RecordId};
use tokio::sync::Mutex;
use url::Url;

use crate::error::Error;
use crate::sizes::DaySizes;
use files::DataFile;
use held_rollups::HeldRollups;
use machine_filters::MachineFilters;

pub(crate) use snapshot::Snapshot;

/// Reads the table that the collector of the same process writes.
pub struct EmbeddedReader {
    directory: PathBuf,
    recent: Recent,
    progress: String,
    current: Mutex<Current>,
    held: Arc<HeldRollups>,
    machines: Arc<MachineFilters>,
}

struct Current {
    table: DeltaTable,
    version: Arc<Version>,
}

/// How often the log is read before a question fails: parts of it are deleted when newer ones stand for them.
const READ_ATTEMPTS: u32 = 3;

/// One version of the table.
struct Version {
    number: u64,
    files: Vec<Arc<DataFile>>,
    /// Last identifier of the collector that this version has.
    delivered: Option<RecordId>,
    /// On which version the last change of derived columns was based; 0 without one.
    reparsed: u64,
}

impl EmbeddedReader {
    /// Opens the table in `directory`, which exists.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it cannot be read.
    pub async fn open(directory: &Path, collector: CollectorNumber, recent: Recent) -> Result<Self, Error> {
        let unavailable = |reason: String| Error::Unavailable(format!("{}: {reason}", directory.display()));
        let directory_url = directory.canonicalize().map_err(|e| unavailable(e.to_string()))?;
        let url = Url::from_directory_path(&directory_url).map_err(|()| unavailable("not a path".to_owned()))?;
        let table = DeltaTableBuilder::from_url(url)?.load().await?;
        let progress = progress_name(collector);
        let version = Arc::new(load(&table, &directory_url, &progress).await?);
        let current = Mutex::new(Current { table, version });
        Ok(Self { directory: directory_url, recent, progress, current, held: Arc::default(), machines: Arc::default() })
    }

    /// Everything that is acknowledged now; it does not change any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the log cannot be read.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        let recent = self.recent.snapshot()?;
        let version = self.newest_version().await?;
        let recent = above(recent, version.delivered)?;
        Ok(Snapshot {
            files: version.files.clone(),
            recent,
            held: Arc::clone(&self.held),
            machines: Arc::clone(&self.machines),
        })
    }

    /// What the files of the newest version take, by day, with their rollup files. What is in memory takes nothing yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the log cannot be read.
    pub async fn day_sizes(&self) -> Result<DaySizes, Error> {
        let mut sizes = DaySizes::default();
        let version = self.newest_version().await?;
        for file in &version.files {
            file.count_into(&mut sizes, version.reparsed);
        }
        Ok(sizes)
    }

    async fn newest_version(&self) -> Result<Arc<Version>, Error> {
        let mut current = self.current.lock().await;
        let number = current.version.number;
        // Old parts of the log are deleted in their order: when our own is gone, newer ones may have been and gone too.
        if self.has_commit(number + 1) || !self.has_commit(number) {
            self.update(&mut current).await?;
        }
        Ok(Arc::clone(&current.version))
    }

    /// Reads the log, once more when something went between listing and reading it.
    async fn update(&self, current: &mut Current) -> Result<(), Error> {
        let mut attempts = 1;
        loop {
            match self.try_update(current).await {
                Err(_) if attempts < READ_ATTEMPTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_update(&self, current: &mut Current) -> Result<(), Error> {
        current.table.update_state().await?;
        current.version = Arc::new(load(&current.table, &self.directory, &self.progress).await?);
        self.machines.keep(current.version.files.iter().map(|file| file.path.as_path()));
        Ok(())
    }

    /// A look at a file name, where a listing of the log would cost more with every query.
    fn has_commit(&self, number: u64) -> bool {
        self.directory.join("_delta_log").join(format!("{number:020}.json")).exists()
    }
}

async fn load(table: &DeltaTable, directory: &Path, progress: &str) -> Result<Version, Error> {
    let snapshot = table.snapshot()?.snapshot();
    let log = table.log_store();
    let delivered = snapshot.transaction_version(log.as_ref(), progress).await?.map(RecordId);
    let reparsed = snapshot.transaction_version(log.as_ref(), REPARSED).await?;
    let reparsed = reparsed.and_then(|version| u64::try_from(version).ok()).unwrap_or(0);
    let files = files::list(snapshot, log.as_ref(), directory).await?;
    let number = table.version().ok_or_else(|| Error::Internal("a loaded table without a version".to_owned()))?;
    Ok(Version { number, files, delivered, reparsed })
}

/// The rows with identifiers above `delivered`; batches are in the order of identifiers.
fn above(batches: Vec<RecordBatch>, delivered: Option<RecordId>) -> Result<Vec<RecordBatch>, Error> {
    let Some(delivered) = delivered else { return Ok(batches) };
    let mut rest = Vec::with_capacity(batches.len());
    for batch in batches {
        let ids = batch.column_by_name("id").and_then(|c| c.as_primitive_opt::<Int64Type>());
        let ids = ids.ok_or_else(|| Error::Internal("recent records without identifiers".to_owned()))?;
        let first = ids.values().partition_point(|id| *id <= delivered.0);
        if first < batch.num_rows() {
            rest.push(batch.slice(first, batch.num_rows() - first));
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::{Record, Report, TimestampUs};

    use super::*;

    #[test]
    fn what_the_table_has_is_left_out() {
        let record = |id| Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() };
        let batches =
            vec![to_batch(&[record(1), record(2)]).expect("a batch"), to_batch(&[record(3)]).expect("a batch")];
        let rows = |delivered| {
            let rest = above(batches.clone(), delivered).expect("batches");
            rest.iter().map(RecordBatch::num_rows).sum::<usize>()
        };
        assert_eq!(rows(None), 3);
        assert_eq!(rows(Some(RecordId(0))), 3);
        assert_eq!(rows(Some(RecordId(1))), 2);
        assert_eq!(rows(Some(RecordId(2))), 1);
        assert_eq!(rows(Some(RecordId(3))), 0);
    }
}
