//! A table with a clock of its own, and what is in it for somebody who opens it from scratch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use bytes::Bytes;
use deltalake::{DeltaTable, DeltaTableBuilder};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use telemetrics_schema::batch::{from_batch, to_batch};
use telemetrics_schema::layout::{ROLLUPS, rollup_file};
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::rollups::{
    FILE_BUCKET, FILE_COLUMNS, FILE_ROLLUP, PAYLOAD, RECORDS_COUNT, Rollup, RollupBuilder, file_schema,
};
use telemetrics_schema::time::{Clock, US_PER_DAY};
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::super::EmbeddedStore;
use super::super::maintenance::{Maintenance, MaintenanceSettings};
use super::super::merge::open;
use super::super::synced_files::SyncedFiles;
use crate::directory::power::Power;
use crate::drain::Batch;

/// The day that most tests play on, 2060-05-08. It is to come: the log forgets which files were removed when that was a
/// day ago by the system's clock, whatever time a test plays at.
pub(super) const DAY: i32 = 33_000;
/// Noon of that day.
pub(crate) const NOON: i64 = DAY as i64 * US_PER_DAY + US_PER_DAY / 2;

pub(super) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampUs {
        TimestampUs(self.0.load(Ordering::Relaxed))
    }
}

pub(super) struct Rig {
    directory: tempfile::TempDir,
    clock: Arc<TestClock>,
    pub(super) settings: MaintenanceSettings,
}

impl Rig {
    /// Merges two files and more, in pieces that a few records fill.
    pub(super) fn new(policy: RetentionPolicy) -> Self {
        let settings =
            MaintenanceSettings { merge_files_min: 2, cpu_share_percent: 100, ..MaintenanceSettings::new(policy) };
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory, clock: Arc::new(TestClock(AtomicI64::new(NOON))), settings }
    }

    /// The same table at the same time, in another directory.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::new(RetentionPolicy::clone(&self.settings.policy.now()));
        copy_directory(&self.table(), &copy.table());
        copy.at(self.now().0);
        Self { settings: self.settings.clone(), ..copy }
    }

    pub(super) fn table(&self) -> PathBuf {
        self.directory.path().join("data/records")
    }

    /// The power of the disk that the table is on, with the directories above it.
    pub(super) fn power(&self) -> Power {
        Power::of(self.directory.path())
    }

    pub(super) fn at(&self, now_us: i64) {
        self.clock.0.store(now_us, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> TimestampUs {
        self.clock.now()
    }

    pub(super) async fn open(&self) -> EmbeddedStore {
        EmbeddedStore::open(&self.table(), CollectorNumber::default()).await.expect("a table")
    }

    pub(super) fn maintenance(&self, store: &EmbeddedStore) -> Maintenance {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (table, counters) = (Arc::clone(&store.table), Arc::clone(&store.counters));
        Maintenance::new(table, self.settings.clone(), counters, clock, CancellationToken::new())
    }

    /// One pass of a maintenance that was just started.
    pub(super) async fn maintain(&self, store: &EmbeddedStore) {
        self.maintenance(store).pass().await.expect("a pass");
    }

    pub(super) async fn reader(&self) -> DeltaTable {
        open_from_scratch(&self.table()).await
    }

    /// Identifiers of the records that somebody finds who opens the table now, sorted.
    pub(super) async fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self.records().await.iter().map(|record| record.id.0).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) async fn records(&self) -> Vec<Record> {
        let files = files_of(&self.reader().await);
        files.iter().flat_map(|file| records_in(&self.table().join(file))).collect()
    }

    pub(super) async fn files(&self) -> Vec<String> {
        files_of(&self.reader().await)
    }

    /// Every file below the days' directories.
    pub(super) fn files_on_disk(&self) -> BTreeSet<String> {
        in_days(&self.table())
    }

    /// Every file has its rollup file, which says what its records say, and there is no other.
    pub(super) async fn assert_rollups(&self, what: &str) {
        let files = self.files().await;
        let expected: BTreeSet<String> = files.iter().map(|file| rollup_file(file)).collect();
        let there = in_days(&self.table().join(ROLLUPS)).into_iter().map(|file| format!("{ROLLUPS}/{file}"));
        assert_eq!(there.collect::<BTreeSet<_>>(), expected, "{what}");
        self.assert_rollups_agree(what).await;
    }

    /// The rollup files that there are say what the records say.
    pub(super) async fn assert_rollups_agree(&self, what: &str) {
        for file in self.files().await {
            let rollups = self.table().join(rollup_file(&file));
            if rollups.exists() {
                let expected = rollups_of(&records_in(&self.table().join(&file)));
                assert_eq!(rollups_in(&rollups), expected, "{what}: {file}");
            }
        }
    }

    /// A power cut takes the name of a rollup file.
    pub(super) fn lose_rollups(&self, number: usize) {
        let rollups = self.table().join(ROLLUPS);
        let files = in_days(&rollups);
        if let Some(file) = files.iter().nth(number % files.len().max(1)) {
            fs::remove_file(rollups.join(file)).expect("deleted");
        }
    }

    /// What is written in this order stands in the files in the store's.
    pub(super) async fn assert_sorted(&self) {
        for file in self.files().await {
            let keys: Vec<_> = records_in(&self.table().join(&file)).into_iter().map(key).collect();
            assert!(keys.is_sorted(), "{file}");
        }
    }
}

fn in_days(directory: &Path) -> BTreeSet<String> {
    let names = |directory: PathBuf| {
        let entries = fs::read_dir(directory).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect::<Vec<_>>()
    };
    let days = names(directory.to_owned()).into_iter().filter(|name| name.starts_with("date="));
    days.flat_map(|day| names(directory.join(&day)).into_iter().map(move |name| format!("{day}/{name}"))).collect()
}

/// The rows of a rollup file as text, with their counts; of examples the smallest is there.
pub(crate) fn rollups_in(path: &Path) -> BTreeMap<String, (i64, String)> {
    let file = fs::File::open(path).expect("a rollup file");
    let options = ArrowReaderOptions::new().with_schema(file_schema());
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("Parquet");
    summed(reader.build().expect("a reader").map(|rows| rows.expect("rows")))
}

/// The same, of records.
pub(crate) fn rollups_of(records: &[Record]) -> BTreeMap<String, (i64, String)> {
    let mut builder = RollupBuilder::default();
    builder.add(&to_batch(records).expect("a batch")).expect("counted");
    summed(builder.take().expect("rows").into_iter())
}

fn summed(batches: impl Iterator<Item = RecordBatch>) -> BTreeMap<String, (i64, String)> {
    let mut sums: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for batch in batches {
        let keys = FILE_COLUMNS.iter().filter(|name| **name != PAYLOAD).chain(&[FILE_ROLLUP, FILE_BUCKET]);
        let keys: Vec<&ArrayRef> = keys.map(|name| &batch[*name]).collect();
        for row in 0..batch.num_rows() {
            let text = |column: &ArrayRef| array_value_to_string(column, row).expect("text");
            let key: Vec<String> = keys.iter().map(|column| text(column)).collect();
            let payload = text(&batch[PAYLOAD]);
            let is_example = text(&batch[FILE_ROLLUP]) == Rollup::Stacks.number().to_string();
            // How often an example is there depends on how often rows were written.
            let count = if is_example { 0 } else { batch[RECORDS_COUNT].as_primitive::<Int64Type>().value(row) };
            let (sum, example) = sums.entry(key.join("|")).or_insert_with(|| (0, payload.clone()));
            *sum += count;
            *example = payload.min(std::mem::take(example));
        }
    }
    sums
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_directory(&path, &copy);
        } else {
            fs::copy(path, copy).expect("a copy");
        }
    }
}

fn key(record: Record) -> (String, TimestampUs, RecordId) {
    (record.report.classification, record.ts_reception, record.id)
}

pub(super) async fn open_from_scratch(table: &Path) -> DeltaTable {
    let url = Url::from_directory_path(table.canonicalize().expect("a table")).expect("a path");
    DeltaTableBuilder::from_url(url).expect("a builder").load().await.expect("a valid table")
}

/// Paths relative to the table; each exists with the size that the log says.
pub(super) fn files_of(table: &DeltaTable) -> Vec<String> {
    let files = table.snapshot().expect("loaded").log_data();
    let root = table.table_url().to_file_path().expect("a path");
    let files = files.into_iter().map(|file| {
        let size = fs::metadata(root.join(file.path().as_ref())).expect("the file that the log names").len();
        assert_eq!(i64::try_from(size).expect("small"), file.size());
        file.path().into_owned()
    });
    files.collect()
}

pub(super) fn records_in(path: &Path) -> Vec<Record> {
    let reader: ParquetRecordBatchReader = open(path).expect("a file").build().expect("a reader");
    reader.flat_map(|batch| from_batch(&batch.expect("rows")).expect("records")).collect()
}

pub(super) fn record(id: i64, received_us: i64, classification: &str, severity: i8) -> Arc<Record> {
    let report = Report {
        classification: classification.into(),
        severity,
        machine_id: format!("machine {}", id % 7),
        system_name: format!("system {}", id % 2),
        build: format!("{}", id % 5),
        host_type: format!("a host of the type {}", id % 3),
        external: id % 4 == 0,
        payload: payload(id, classification),
        ..Report::default()
    };
    Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(received_us), report })
}

/// Crashes have one of five stacks.
fn payload(id: i64, classification: &str) -> String {
    if classification == CRASH {
        let frame = format!("#0 f{}() - [/usr/lib64/libx.so]", id % 5);
        return format!("Process: /usr/bin/x\nPID: {id}\nSignal: 11\n\nBacktrace (TID {id}):\n{frame}\n");
    }
    format!("payload of {id}\0\u{1f980}").repeat(3)
}

const CRASH: &str = "org.clearlinux/crash/clr";

/// Records of the day of `received_us`, of three classes by turns.
pub(crate) fn batch(ids: Range<i64>, received_us: i64) -> Batch {
    let class = |id: i64| ["a/b/c", CRASH, "x/y/z"][usize::try_from(id % 3).expect("small")];
    batch_of(ids.map(|id| record(id, received_us + id, class(id), 2)).collect())
}

pub(super) fn batch_of(records: Vec<Arc<Record>>) -> Batch {
    Batch::of(records).expect("a batch")
}

pub(super) const HOUR: Duration = Duration::from_hours(1);

/// Files that fail at one operation.
#[derive(Debug)]
pub(super) struct FailingFiles {
    files: SyncedFiles,
    fault: Fault,
    /// Operations until then.
    left: AtomicI64,
    /// Whether a write that fails is done all the same.
    last_is_done: bool,
}

/// What happens at that operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    /// Everything fails from then on, as if the process had died. Only writes count: between two of them it is all one.
    Death,
    /// This operation fails and the next one does not. Reads count too.
    Stumble,
}

/// What an operation has to do.
#[derive(PartialEq)]
enum Do {
    All,
    Work,
    Nothing,
}

impl FailingFiles {
    pub(super) fn new(fault: Fault, operations: i64, last_is_done: bool) -> Self {
        Self { files: SyncedFiles::new(), fault, left: AtomicI64::new(operations), last_is_done }
    }

    pub(super) fn failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }

    fn next_write(&self) -> Do {
        match self.left.fetch_sub(1, Ordering::Relaxed) {
            1.. => Do::All,
            0 if self.last_is_done => Do::Work,
            0 => Do::Nothing,
            _ if self.fault == Fault::Stumble => Do::All,
            _ => Do::Nothing,
        }
    }

    fn next_read(&self) -> Result<()> {
        let may = match self.fault {
            Fault::Death => !self.failed(),
            Fault::Stumble => self.left.fetch_sub(1, Ordering::Relaxed) != 0,
        };
        if may { Ok(()) } else { Err(dead()) }
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.next_write() {
            Do::All => work.await,
            Do::Work => work.await.and(Err(dead())),
            Do::Nothing => Err(dead()),
        }
    }
}

fn dead() -> Error {
    Error::Generic { store: "failing files", source: "dead".into() }
}

impl fmt::Display for FailingFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing files")
    }
}

#[async_trait]
impl ObjectStore for FailingFiles {
    async fn put_opts(&self, location: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.write(self.files.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // One that dies in the middle leaves a file without its name: nothing that a reader could see.
        self.write(self.files.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.next_read()?;
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.next_read()?;
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        match self.next_write() {
            Do::All => self.files.delete_stream(locations),
            // It dies after the first one.
            Do::Work => {
                let first = self.files.delete_stream(locations.take(1).boxed());
                first.and_then(|_| async { Err(dead()) }).boxed()
            }
            Do::Nothing => futures::stream::once(async { Err(dead()) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.next_read() {
            Ok(()) => self.files.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.next_read()?;
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.write(self.files.copy_opts(from, to, options)).await
    }
}
