//! The Delta table: what its log says now, and commits to it, one at a time.
//!
//! The drain and the maintenance both commit. A lock is held for a commit and for nothing longer, so that in this
//! process no commit is ever based on a version that is not the newest.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::kernel::{Action, Add, DataType, PrimitiveType, Remove, StructField, Transaction};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::DeltaOperation;
use deltalake::{DeltaTable, DeltaTableBuilder, TableProperty};
use futures::TryStreamExt;
use object_store::ObjectStore;
use telemetrics_schema::columns::{COLUMNS, Column, Kind};
use telemetrics_schema::layout::{PARTITION, date_text};
use telemetrics_schema::{RecordId, TimestampUs};
use tokio::sync::{Mutex, Notify};
use url::Url;

use super::data_file::DataFile;
use super::parquet_file::Written;
use crate::directory::{durable, durable_below};
use crate::store::StoreError;

/// How long the log of changes goes back, and how long it names files that were removed. Nothing of ours asks for an
/// old version; other programs have to open the one that they want within this time.
pub(super) const LOG_AGE: &str = "interval 1 days";

/// Directory of the log inside the table, as the format has it.
const LOG: &str = "_delta_log";

/// The table in one directory; nobody else writes it.
pub(super) struct Table {
    directory: PathBuf,
    current: Mutex<DeltaTable>,
    committed: Notify,
    /// Holds the lock of the directory as long as it is open.
    _lock: File,
}

/// The files of one version of the table.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) files: Vec<DataFile>,
}

/// A file that the table no longer has.
pub(super) struct RemovedFile {
    /// Relative to the table.
    pub(super) path: String,
    /// When it was removed, in Unix milliseconds.
    pub(super) removed_ms: i64,
}

impl Table {
    /// Opens the table in `directory`, or creates an empty one, through `files`.
    pub(super) async fn open(directory: &Path, files: Arc<dyn ObjectStore>) -> Result<Self, StoreError> {
        durable(directory).map_err(unavailable)?;
        let directory = directory.canonicalize().map_err(unavailable)?;
        let lock = lock(&directory)?;
        durable_below(&directory, &directory.join(LOG)).map_err(unavailable)?;
        let mut table = handle(&directory, files)?;
        if has_log(&directory)? {
            table.load().await.map_err(unavailable)?;
            table = with_all_columns(table).await?;
        } else {
            table = create(&table).await?;
        }
        Ok(Self { directory, current: Mutex::new(table), committed: Notify::new(), _lock: lock })
    }

    /// Where the table is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the actions one version of the table, durable when it returns. After an error the outcome is open.
    pub(super) async fn commit(
        &self,
        actions: Vec<Action>,
        operation: DeltaOperation,
        progress: Option<Transaction>,
    ) -> Result<(), StoreError> {
        let mut table = self.current.lock().await;
        let properties = CommitProperties::default()
            .with_application_transactions(progress.into_iter().collect())
            // The maintenance does both: the drain does not wait for them, and does not fail when they do.
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            // Every commit here is based on the newest version, unless somebody else writes the table.
            .with_max_retries(0);
        let snapshot = table.snapshot().map_err(unavailable)?;
        let outcome = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot), table.log_store(), operation)
            .await
            .map_err(unavailable);
        // Whatever happened, go on from what the log says now: a failed commit may have been written all the same.
        table.update_state().await.map_err(unavailable)?;
        drop(table);
        self.committed.notify_one();
        outcome.map(|_| ())
    }

    /// Waits for a commit that nobody waited for yet.
    pub(super) async fn committed(&self) {
        self.committed.notified().await;
    }

    /// The table as its log says now.
    pub(super) async fn refreshed(&self) -> Result<DeltaTable, StoreError> {
        let mut table = self.current.lock().await;
        table.update_state().await.map_err(unavailable)?;
        Ok(table.clone())
    }

    /// How far a progress has come in the table's log.
    pub(super) async fn reached(&self, progress: &str) -> Result<Option<RecordId>, StoreError> {
        let table = self.current.lock().await.clone();
        let snapshot = table.snapshot().map_err(unavailable)?.snapshot();
        let version = snapshot.transaction_version(table.log_store().as_ref(), progress).await.map_err(unavailable)?;
        Ok(version.map(RecordId))
    }

    /// The newest version and its files.
    pub(super) async fn version(&self) -> Result<Version, StoreError> {
        let table = self.refreshed().await?;
        let snapshot = table.snapshot().map_err(unavailable)?.snapshot();
        let log = table.log_store();
        let views = snapshot.file_views(log.as_ref(), None).map_err(unavailable);
        let files = views.and_then(|view| async move { DataFile::of(&view) }).try_collect().await?;
        Ok(Version { number: snapshot.version(), files })
    }

    /// The files that the log still names as removed.
    pub(super) async fn removed(&self) -> Result<Vec<RemovedFile>, StoreError> {
        let table = self.refreshed().await?;
        let state = table.snapshot().map_err(unavailable)?;
        let log = table.log_store();
        let tombstones = state.all_tombstones(log.as_ref()).map_err(unavailable);
        let removed = tombstones.map_ok(|tombstone| RemovedFile {
            path: tombstone.path().into_owned(),
            removed_ms: tombstone.deletion_timestamp().unwrap_or(0),
        });
        removed.try_collect().await
    }
}

/// The action that takes a written file into the table. `data_change` is false when its rows were in it before.
pub(super) fn add(path: String, day: i32, written: &Written, data_change: bool) -> Action {
    Action::Add(Add {
        path,
        partition_values: HashMap::from([(PARTITION.to_owned(), Some(date_text(day)))]),
        size: i64::try_from(written.bytes).unwrap_or(i64::MAX),
        modification_time: written.summary.last_reception().as_ms(),
        data_change,
        stats: Some(written.summary.to_json()),
        ..Add::default()
    })
}

/// The action that takes a file out of the table. `data_change` is false when its rows stay in it.
pub(super) fn remove(file: &DataFile, now: TimestampUs, data_change: bool) -> Action {
    Action::Remove(Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(now.as_ms()),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::from([(PARTITION.to_owned(), Some(date_text(file.day)))])),
        size: i64::try_from(file.bytes).ok(),
        ..Remove::default()
    })
}

fn lock(directory: &Path) -> Result<File, StoreError> {
    let file = File::open(directory).map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::Unavailable(format!("the table in {} is in use by another process", directory.display())))
        }
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Whether a first commit was made: a crash before it leaves at most an empty directory.
fn has_log(directory: &Path) -> Result<bool, StoreError> {
    let log = directory.join(LOG);
    let is_commit = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|kind| kind == "json");
    match std::fs::read_dir(log) {
        Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|entry| is_commit(&entry)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unavailable(error)),
    }
}

fn handle(directory: &Path, files: Arc<dyn ObjectStore>) -> Result<DeltaTable, StoreError> {
    let url = Url::from_directory_path(directory)
        .map_err(|()| StoreError::Unavailable(format!("not an absolute path: {}", directory.display())))?;
    DeltaTableBuilder::from_url(url.clone())
        .map_err(unavailable)?
        .with_storage_backend(files, url)
        .build()
        .map_err(unavailable)
}

async fn create(table: &DeltaTable) -> Result<DeltaTable, StoreError> {
    let columns = COLUMNS.iter().map(delta_column);
    let partition = StructField::new(PARTITION, DataType::Primitive(PrimitiveType::Date), false);
    CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name("records")
        .with_comment("Records of telemetrics; all times are UTC")
        .with_columns(columns.chain([partition]))
        .with_partition_columns([PARTITION])
        .with_configuration_property(TableProperty::LogRetentionDuration, Some(LOG_AGE))
        .with_configuration_property(TableProperty::DeletedFileRetentionDuration, Some(LOG_AGE))
        .await
        .map_err(unavailable)
}

/// The table with the columns that an older version of the program did not know.
async fn with_all_columns(table: DeltaTable) -> Result<DeltaTable, StoreError> {
    let known = table.snapshot().map_err(unavailable)?.schema();
    let missing = COLUMNS.iter().filter(|column| column.is_derived && known.field(column.name).is_none());
    let missing: Vec<StructField> = missing.map(delta_column).collect();
    if missing.is_empty() {
        return Ok(table);
    }
    let properties = CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false));
    table.add_columns().with_fields(missing).with_commit_properties(properties).await.map_err(unavailable)
}

/// What is derived may be missing in files of an older version, where other programs read null.
fn delta_column(column: &Column) -> StructField {
    StructField::new(column.name, delta_type(column.kind), column.is_derived)
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

pub(super) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("the embedded table: {error}"))
}
