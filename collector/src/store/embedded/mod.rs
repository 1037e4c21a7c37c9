//! The embedded store: a Delta table in the data directory, written by this process alone.
//!
//! A batch becomes one Parquet file and one commit. The commit also carries the collector's progress (the last
//! identifier that it delivered) as an application transaction, so that "is this batch in the table?" is a comparison
//! of two numbers that change together with the table's content. What the quarantine replays has such a progress of its
//! own, because its records are older than what is delivered.

mod counters;
mod data_file;
mod expiry;
mod leftovers;
mod log_care;
mod maintenance;
mod merge;
mod pace;
mod parquet_file;
mod plan;
mod reparse;
mod retire;
mod rewrite;
mod rollup_file;
mod summary;
mod synced_files;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use deltalake::kernel::Transaction;
use deltalake::protocol::{DeltaOperation, SaveMode};
use object_store::ObjectStore;
use telemetrics_schema::attributes::{NoParsers, Parsers};
use telemetrics_schema::layout::{PARTITION, batch_file, progress_name};
use telemetrics_schema::time::Clock;
use telemetrics_schema::{CollectorNumber, RecordId};
use tokio_util::sync::CancellationToken;

pub(crate) use counters::MaintenanceCounters;
pub use counters::MaintenanceStats;
pub use maintenance::MaintenanceSettings;
pub use reparse::Reparsed;

use super::{Holding, StoreError};
use crate::drain::Batch;
use maintenance::Maintenance;
use synced_files::SyncedFiles;
use table::{Table, unavailable};

/// The writer of the embedded table; there is one in a data directory.
pub struct EmbeddedStore {
    table: Arc<Table>,
    maintenance: Option<Box<MaintenanceSettings>>,
    counters: Arc<MaintenanceCounters>,
    progress: String,
    /// Name of the progress of what is replayed.
    replays: String,
    /// Last identifier that the table has; `None` before the first batch.
    delivered: Option<RecordId>,
    parsers: Arc<dyn Parsers>,
}

impl EmbeddedStore {
    /// Opens the table in `directory`, or creates an empty one. What a killed process left beside it is deleted.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory cannot be read or written, holds something else, or is in use.
    pub async fn open(directory: &Path, collector: CollectorNumber) -> Result<Self, StoreError> {
        Self::open_through(directory, collector, Arc::new(SyncedFiles::new())).await
    }

    async fn open_through(
        directory: &Path,
        collector: CollectorNumber,
        files: Arc<dyn ObjectStore>,
    ) -> Result<Self, StoreError> {
        let table = Arc::new(Table::open(directory, files).await?);
        leftovers::delete_orphans(&table).await?;
        let progress = progress_name(collector);
        let replays = format!("{progress}-replays");
        let delivered = table.reached(&progress).await?;
        let (counters, parsers) = (Arc::default(), Arc::new(NoParsers));
        Ok(Self { table, maintenance: None, counters, progress, replays, delivered, parsers })
    }

    /// Has the table compacted, and records that are expired deleted, as long as a collector delivers to it.
    #[must_use]
    pub fn maintained(self, settings: MaintenanceSettings) -> Self {
        Self { maintenance: Some(Box::new(settings)), ..self }
    }

    /// The same writer, which stores the attributes that these parsers make of records.
    #[must_use]
    pub fn parsed_by(self, parsers: Arc<dyn Parsers>) -> Self {
        Self { parsers, ..self }
    }

    /// Last identifier that the table had from this collector when it was opened, or has since.
    #[must_use]
    pub fn delivered(&self) -> Option<RecordId> {
        self.delivered
    }

    /// Number of the newest version of the table; every change makes another one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the log cannot be read.
    pub async fn version(&self) -> Result<u64, StoreError> {
        Ok(self.table.version().await?.number)
    }

    /// The maintenance that was asked for; it ends when `stop` is cancelled.
    pub(super) fn maintain(
        &self,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (table, counters) = (Arc::clone(&self.table), Arc::clone(&self.counters));
        Some(Maintenance::new(table, self.maintenance.as_deref()?.clone(), counters, clock, stop).run())
    }

    /// What the maintenance counts, when one was asked for.
    pub(super) fn counters(&self) -> Option<Arc<MaintenanceCounters>> {
        self.maintenance.as_ref().map(|_| Arc::clone(&self.counters))
    }

    pub(super) async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.insert_as(batch, Some(Transaction::new(&self.progress, batch.last().0))).await?;
        self.delivered = Some(batch.last());
        Ok(())
    }

    /// Inserts a batch whose records are older than what is delivered; never answers `Refused`.
    pub(super) async fn insert_replayed(&mut self, batch: &Batch, number: RecordId) -> Result<(), StoreError> {
        self.insert_as(batch, Some(Transaction::new(&self.replays, number.0))).await
    }

    /// Inserts a batch that leaves both progresses as they are; never answers `Refused`.
    pub(super) async fn insert_imported(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.insert_as(batch, None).await
    }

    /// Batches are replayed one at a time with growing numbers.
    pub(super) async fn holding_replayed(&self, number: RecordId) -> Result<Holding, StoreError> {
        let replayed = self.reached(&self.replays).await?;
        Ok(if replayed >= Some(number) { Holding::All } else { Holding::Nothing })
    }

    async fn insert_as(&mut self, batch: &Batch, progress: Option<Transaction>) -> Result<(), StoreError> {
        let file = batch_file(batch.day(), batch.first(), batch.last());
        let (directory, name) = (self.table.directory().to_owned(), file.clone());
        let (records, parsers) = (batch.records().to_vec(), Arc::clone(&self.parsers));
        let written =
            tokio::task::spawn_blocking(move || parquet_file::write(&directory, &name, &records, parsers.as_ref()));
        let written = written.await.map_err(unavailable)??;
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![PARTITION.to_owned()]),
            predicate: None,
        };
        self.table.commit(vec![table::add(file, batch.day(), &written, true)], operation, progress).await
    }

    pub(super) async fn holding(&self, batch: &Batch) -> Result<Holding, StoreError> {
        let delivered = self.reached(&self.progress).await?;
        Ok(match delivered {
            Some(delivered) if delivered >= batch.last() => Holding::All,
            // Records are delivered in their order. A batch that is only begun here was made anew by a repair.
            Some(delivered) if delivered >= batch.first() => Holding::Some(
                batch.records().iter().map(|r| r.id).take_while(|id| *id <= delivered).map(|id| id.0).collect(),
            ),
            _ => Holding::Nothing,
        })
    }

    /// Asks the log, and not what is remembered of it: after a commit without an answer only the log knows, and a batch
    /// that it has may be merged into another file already.
    async fn reached(&self, progress: &str) -> Result<Option<RecordId>, StoreError> {
        self.table.refreshed().await?;
        self.table.reached(progress).await
    }
}
