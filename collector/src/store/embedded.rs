//! The embedded store: a Delta table in the data directory, written by this process alone.
//!
//! A batch becomes one Parquet file and one commit. The commit also carries the collector's progress (the last
//! identifier that it delivered) as an application transaction, so that "is this batch in the table?" is a comparison
//! of two numbers that change together with the table's content. What the quarantine replays has such a progress of its
//! own, because its records are older than what is delivered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, DataType, PrimitiveType, StructField, Transaction};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableBuilder};
use telemetrics_schema::columns::{COLUMNS, Kind};
use telemetrics_schema::layout::{PARTITION, batch_file, date_text, progress_name};
use telemetrics_schema::{CollectorNumber, RecordId};
use url::Url;

use super::synced_files::SyncedFiles;
use super::{Holding, StoreError, parquet_file};
use crate::drain::Batch;

/// The writer of the embedded table; there is one in a data directory.
pub struct EmbeddedStore {
    directory: PathBuf,
    table: DeltaTable,
    progress: String,
    /// Name of the progress of what is replayed.
    replays: String,
    /// Last identifier that the table has; `None` before the first batch.
    delivered: Option<RecordId>,
    /// Number of the last batch that was replayed.
    replayed: Option<RecordId>,
}

impl EmbeddedStore {
    /// Opens the table in `directory`, or creates an empty one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the directory cannot be read or written, or holds something else.
    pub async fn open(directory: &Path, collector: CollectorNumber) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(unavailable)?;
        let directory = directory.canonicalize().map_err(unavailable)?;
        let mut table = handle(&directory)?;
        if has_log(&directory)? {
            table.load().await.map_err(unavailable)?;
        } else {
            table = create(&table).await?;
        }
        let progress = progress_name(collector);
        let replays = format!("{progress}-replays");
        let (delivered, replayed) = (reached(&table, &progress).await?, reached(&table, &replays).await?);
        Ok(Self { directory, table, progress, replays, delivered, replayed })
    }

    /// Last identifier that the table has from this collector.
    #[must_use]
    pub fn delivered(&self) -> Option<RecordId> {
        self.delivered
    }

    pub(super) async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.insert_as(batch, Transaction::new(&self.progress, batch.last().0)).await
    }

    /// Inserts a batch whose records are older than what is delivered; never answers `Refused`.
    pub(super) async fn insert_replayed(&mut self, batch: &Batch, number: RecordId) -> Result<(), StoreError> {
        self.insert_as(batch, Transaction::new(&self.replays, number.0)).await
    }

    /// Batches are replayed one at a time with growing numbers.
    pub(super) fn holding_replayed(&self, number: RecordId) -> Holding {
        if self.replayed >= Some(number) { Holding::All } else { Holding::Nothing }
    }

    async fn insert_as(&mut self, batch: &Batch, progress: Transaction) -> Result<(), StoreError> {
        let file = batch_file(batch.day(), batch.first(), batch.last());
        let path = self.directory.join(&file);
        let records = batch.records().to_vec();
        let (size, statistics) = tokio::task::spawn_blocking(move || {
            parquet_file::write(&path, &records).map(|size| (size, parquet_file::statistics(&records)))
        })
        .await
        .map_err(unavailable)??;
        self.commit(add(file, batch, size, statistics), progress).await
    }

    #[allow(clippy::unused_async)] // the same shape as asking a server
    pub(super) async fn holding(&self, batch: &Batch) -> Result<Holding, StoreError> {
        Ok(match self.delivered {
            Some(delivered) if delivered >= batch.last() => Holding::All,
            // Records are delivered in their order. A batch that is only begun here was made anew by a repair.
            Some(delivered) if delivered >= batch.first() => Holding::Some(
                batch.records().iter().map(|r| r.id).take_while(|id| *id <= delivered).map(|id| id.0).collect(),
            ),
            _ => Holding::Nothing,
        })
    }

    async fn commit(&mut self, add: Add, progress: Transaction) -> Result<(), StoreError> {
        let outcome = self.try_commit(add, progress).await;
        // Whatever happened, go on from what the log says now: a failed commit may have been written all the same.
        self.table.update_state().await.map_err(unavailable)?;
        self.delivered = reached(&self.table, &self.progress).await?;
        self.replayed = reached(&self.table, &self.replays).await?;
        outcome
    }

    async fn try_commit(&self, add: Add, progress: Transaction) -> Result<(), StoreError> {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![PARTITION.to_owned()]),
            predicate: None,
        };
        let properties = CommitProperties::default().with_application_transaction(progress);
        let snapshot = self.table.snapshot().map_err(unavailable)?;
        CommitBuilder::from(properties)
            .with_actions(vec![Action::Add(add)])
            .build(Some(snapshot), self.table.log_store(), operation)
            .await
            .map_err(unavailable)?;
        Ok(())
    }
}

/// Whether a first commit was made: a crash before it leaves at most an empty directory.
fn has_log(directory: &Path) -> Result<bool, StoreError> {
    let log = directory.join("_delta_log");
    let is_commit = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "json");
    match std::fs::read_dir(log) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| is_commit(&entry)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unavailable(error)),
    }
}

fn handle(directory: &Path) -> Result<DeltaTable, StoreError> {
    let url = Url::from_directory_path(directory)
        .map_err(|()| StoreError::Unavailable(format!("not an absolute path: {}", directory.display())))?;
    DeltaTableBuilder::from_url(url.clone())
        .map_err(unavailable)?
        .with_storage_backend(Arc::new(SyncedFiles::new()), url)
        .build()
        .map_err(unavailable)
}

async fn create(table: &DeltaTable) -> Result<DeltaTable, StoreError> {
    let columns = COLUMNS.iter().map(|c| StructField::new(c.name, delta_type(c.kind), false));
    let partition = StructField::new(PARTITION, DataType::Primitive(PrimitiveType::Date), false);
    CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name("records")
        .with_comment("Records of telemetrics; all times are UTC")
        .with_columns(columns.chain([partition]))
        .with_partition_columns([PARTITION])
        .await
        .map_err(unavailable)
}

fn delta_type(kind: Kind) -> DataType {
    DataType::Primitive(match kind {
        Kind::Int64 => PrimitiveType::Long,
        Kind::Int32 => PrimitiveType::Integer,
        Kind::Int8 => PrimitiveType::Byte,
        Kind::Bool => PrimitiveType::Boolean,
        Kind::Text | Kind::Category => PrimitiveType::String,
        Kind::Instant => PrimitiveType::TimestampNtz,
    })
}

/// How far a progress has come in the table's log.
async fn reached(table: &DeltaTable, progress: &str) -> Result<Option<RecordId>, StoreError> {
    let snapshot = table.snapshot().map_err(unavailable)?.snapshot();
    let version = snapshot.transaction_version(table.log_store().as_ref(), progress).await.map_err(unavailable)?;
    Ok(version.map(RecordId))
}

fn add(path: String, batch: &Batch, size_bytes: u64, statistics: String) -> Add {
    Add {
        path,
        partition_values: HashMap::from([(PARTITION.to_owned(), Some(date_text(batch.day())))]),
        size: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        modification_time: batch.last_reception().as_ms(),
        data_change: true,
        stats: Some(statistics),
        ..Add::default()
    }
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("the embedded table: {error}"))
}
