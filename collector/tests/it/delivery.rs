//! Every accepted record is in the table once, whatever the journal and the table knew of each other at the start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use telemetrics_collector::drain::Batch;
use telemetrics_collector::journal::{Ids, Journal, JournalSettings};
use telemetrics_collector::quarantine::{QuarantineFault, QuarantineSettings};
use telemetrics_collector::redelivery::WindowSettings;
use telemetrics_collector::store::{EmbeddedStore, Holding, Store};
use telemetrics_collector::{Collector, CollectorSettings, DrainSettings, RunningDrain};
use telemetrics_schema::layout::PARTITION;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::{Clock, US_PER_DAY, US_PER_S};
use telemetrics_schema::{CollectorNumber, Record, Report, TimestampUs};

/// Some time in November 2026.
const NOW_US: i64 = 1_795_342_080 * US_PER_S;
/// Only a flush or a stop delivers within a test.
const NEVER: Duration = Duration::from_hours(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// Memory for about two records of [`LONG`] bytes.
const SMALL_MEMORY_BYTES: usize = 8_000;
const LONG: usize = 3_000;

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> TimestampUs {
        TimestampUs(self.0.load(Ordering::Relaxed))
    }
}

struct Place {
    directory: tempfile::TempDir,
    clock: Arc<TestClock>,
    batch_rows: usize,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let batch_rows = DrainSettings::default().batch_rows;
        Self { directory, clock: Arc::new(TestClock(AtomicI64::new(NOW_US))), batch_rows }
    }

    fn journal_settings(&self) -> JournalSettings {
        JournalSettings::new(self.directory.path().join("journal"))
    }

    fn table(&self) -> std::path::PathBuf {
        self.directory.path().join("records")
    }

    async fn store(&self) -> EmbeddedStore {
        EmbeddedStore::open(&self.table(), CollectorNumber::default()).await.expect("a table")
    }

    async fn start(&self) -> (Collector, RunningDrain, Recent) {
        self.start_with(Recent::default()).await
    }

    async fn start_with(&self, recent: Recent) -> (Collector, RunningDrain, Recent) {
        let settings = CollectorSettings {
            ids: ids(),
            journal: self.journal_settings(),
            quarantine: QuarantineSettings::new(self.directory.path().join("quarantine")),
            redelivery: WindowSettings::new(self.directory.path().join("redelivery")),
            drain: DrainSettings { batch_age: NEVER, batch_rows: self.batch_rows, ..DrainSettings::default() },
        };
        let store = Store::Embedded(self.store().await);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (collector, running, _) = Collector::start(settings, store, recent.clone(), clock).expect("started");
        (collector, running, recent)
    }

    /// A journal without a drain, and what it holds.
    fn journal(&self) -> (Journal, Recent) {
        let recent = Recent::default();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (journal, _) = Journal::open(&self.journal_settings(), clock, ids(), recent.clone()).expect("opened");
        (journal, recent)
    }

    /// Makes the newest records in the journal unreadable.
    fn spoil_the_journal(&self) {
        let segments = std::fs::read_dir(self.journal_settings().directory).expect("a journal").flatten();
        let segments = segments.filter(|file| file.path().extension().is_some_and(|kind| kind == "journal"));
        let oldest = segments.map(|file| file.path()).min().expect("a segment");
        let mut bytes = std::fs::read(&oldest).expect("read");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("frames");
        bytes[end - LONG / 2] ^= 1;
        std::fs::write(&oldest, bytes).expect("written");
    }

    /// Identifiers in the table's files, sorted; a record that is there twice is here twice.
    fn delivered(&self) -> Vec<i64> {
        let mut ids = Vec::new();
        // The table's log may hold Parquet files of its own.
        let days = std::fs::read_dir(self.table()).expect("a table").flatten();
        for day in days.filter(|entry| entry.path().is_dir() && entry.file_name() != "_delta_log") {
            for file in std::fs::read_dir(day.path()).expect("a day").flatten() {
                if file.path().extension().is_some_and(|kind| kind == "parquet") {
                    ids.extend(ids_in(&file.path()));
                }
            }
        }
        ids.sort_unstable();
        ids
    }
}

fn ids() -> Ids {
    Ids { collector: CollectorNumber::default(), above: None }
}

fn ids_in(file: &Path) -> Vec<i64> {
    let file = std::fs::File::open(file).expect("a file");
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .expect("Parquet");
    let batches: Vec<_> = batches.map(|batch| batch.expect("rows")).collect();
    let ids = |batch: &arrow::array::RecordBatch| batch["id"].as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(ids).collect()
}

fn report(payload: &str) -> Report {
    Report { classification: "a/b/c".into(), payload: payload.into(), ..Report::default() }
}

fn sorted(records: &[Arc<Record>]) -> Vec<i64> {
    records.iter().map(|record| record.id.0).collect()
}

async fn accept(collector: &Collector, payloads: &[&str]) -> Vec<Arc<Record>> {
    let mut records = Vec::new();
    for payload in payloads {
        records.push(collector.accept(report(payload)).await.expect("accepted"));
    }
    records
}

#[tokio::test]
async fn a_flush_delivers_and_releases() {
    let place = Place::new();
    let (collector, running, recent) = place.start().await;
    let records = accept(&collector, &["one", "two", "three"]).await;
    assert_eq!(recent.rows(), 3);
    assert_eq!(collector.pending().flush(NEVER).await, 0);
    assert_eq!((place.delivered(), recent.rows()), (sorted(&records), 0));
    running.stop(STOP_LIMIT).await;
}

/// So many reports that memory holds the first ones only.
fn long_reports(count: usize) -> Vec<Report> {
    (0..count).map(|at| report(&format!("{at}{}", "x".repeat(LONG)))).collect()
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_read_back_and_delivered_once() {
    let place = Place::new();
    let (collector, running, recent) = place.start_with(Recent::with_limit(SMALL_MEMORY_BYTES)).await;
    let mut ids = Vec::new();
    for report in long_reports(40) {
        ids.push(collector.accept(report).await.expect("accepted").id.0);
    }
    assert_eq!(collector.pending().flush(NEVER).await, 0);
    assert_eq!((place.delivered(), recent.rows()), (ids, 0));
    running.stop(STOP_LIMIT).await;
}

#[tokio::test]
async fn a_backlog_larger_than_memory_survives_a_restart_with_its_seal() {
    let place = Place::new();
    let (journal, recent) = place.journal();
    let mut records = journal.append_many(long_reports(40)).await.expect("acknowledged");
    let batch = Batch::of(recent.first_batch(30, usize::MAX)).expect("records");
    journal.seal(*batch.seal()).await.expect("sealed");
    journal.shutdown().await;
    // The sealed batch alone is larger than the memory of the next process.
    let (collector, running, recent) = place.start_with(Recent::with_limit(SMALL_MEMORY_BYTES)).await;
    records.push(collector.accept(report("behind the backlog")).await.expect("accepted"));
    running.stop(STOP_LIMIT).await;
    assert_eq!((place.delivered(), recent.rows()), (sorted(&records), 0));
}

#[tokio::test]
async fn a_refused_record_is_discarded_when_its_batch_is_delivered_and_not_before() {
    let place = Place::new();
    let (collector, running, _) = place.start().await;
    let record = accept(&collector, &["one"]).await.remove(0);
    let id = record.id;
    assert_eq!(collector.discard(id).await, Err(QuarantineFault::NotFound(id)));
    // As the drain does in the middle of a batch.
    collector.quarantine().keep_refused(record, "no".to_owned()).await.expect("kept");
    let refused = collector.discard(id).await;
    assert!(matches!(refused, Err(QuarantineFault::Unavailable(_))), "{refused:?}");
    assert_eq!(collector.pending().flush(NEVER).await, 0);
    assert_eq!(collector.discard(id).await, Ok(()));
    running.stop(STOP_LIMIT).await;
}

#[tokio::test]
async fn what_cannot_be_read_back_does_not_hold_back_what_is_in_memory() {
    let place = Place { batch_rows: 200, ..Place::new() };
    let (journal, _) = place.journal();
    for _ in 0..9 {
        journal.append_many(long_reports(100)).await.expect("acknowledged");
    }
    journal.shutdown().await;
    // Room for several batches, so that something is in memory when the end of the journal is read.
    let (collector, _running, recent) = place.start_with(Recent::with_limit(600 * LONG)).await;
    let in_memory = recent.rows() - recent.left_out();
    assert!(400 < in_memory && in_memory < 900, "{in_memory}");
    place.spoil_the_journal();
    collector.pending().flush(Duration::from_millis(1)).await;
    while recent.rows() > 900 - in_memory {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(place.delivered().len(), in_memory);
}

#[tokio::test]
async fn a_stop_delivers_what_is_left_and_a_restart_adds_nothing() {
    let place = Place::new();
    let (collector, running, _) = place.start().await;
    let first = accept(&collector, &["one"]).await;
    running.stop(STOP_LIMIT).await;
    assert_eq!(place.delivered(), sorted(&first));
    let (collector, running, recent) = place.start().await;
    assert_eq!(recent.rows(), 0);
    let second = accept(&collector, &["two"]).await;
    assert!(second[0].id > first[0].id);
    running.stop(STOP_LIMIT).await;
    assert_eq!(place.delivered(), [first[0].id.0, second[0].id.0]);
}

#[tokio::test]
async fn a_sealed_batch_that_never_arrived_is_delivered_once() {
    let place = Place::new();
    let (journal, recent) = place.journal();
    let records = journal.append_many(vec![report("one"), report("two")]).await.expect("acknowledged");
    let batch = Batch::of(recent.first_batch(1, usize::MAX)).expect("a record");
    journal.seal(*batch.seal()).await.expect("sealed");
    journal.shutdown().await;
    let (_, running, _) = place.start().await;
    running.stop(STOP_LIMIT).await;
    assert_eq!(place.delivered(), sorted(&records));
}

#[tokio::test]
async fn a_sealed_batch_that_had_arrived_is_not_delivered_again() {
    let place = Place::new();
    let (journal, recent) = place.journal();
    let records = journal.append_many(vec![report("one"), report("two")]).await.expect("acknowledged");
    let batch = Batch::of(recent.first_batch(usize::MAX, usize::MAX)).expect("records");
    journal.seal(*batch.seal()).await.expect("sealed");
    Store::Embedded(place.store().await).insert(&batch).await.expect("inserted");
    journal.shutdown().await;
    let (_, running, recent) = place.start().await;
    assert_eq!(recent.rows(), 2, "the journal does not know that the table has them");
    running.stop(STOP_LIMIT).await;
    assert_eq!((place.delivered(), recent.rows()), (sorted(&records), 0));
}

/// A batch may be longer than what the table has of its range: a repair of the journal makes batches anew.
#[tokio::test]
async fn of_a_batch_that_the_table_has_the_beginning_of_the_rest_is_delivered() {
    let place = Place::new();
    let (journal, recent) = place.journal();
    let reports = (0..10).map(|n| report(&format!("record {n}"))).collect();
    let records = journal.append_many(reports).await.expect("acknowledged");
    let begun = Batch::of(recent.first_batch(4, usize::MAX)).expect("records");
    let batch = Batch::of(recent.first_batch(usize::MAX, usize::MAX)).expect("records");
    assert_eq!((begun.records().len(), batch.records().len()), (4, 10));
    journal.seal(*batch.seal()).await.expect("sealed");
    journal.shutdown().await;
    let mut store = Store::Embedded(place.store().await);
    store.insert(&begun).await.expect("inserted");
    let held = store.holding(&batch).await.expect("an answer");
    assert_eq!(held, Holding::Some(sorted(begun.records())));
    drop(store);
    for _ in 0..2 {
        let (_, running, recent) = place.start().await;
        running.stop(STOP_LIMIT).await;
        assert_eq!((place.delivered(), recent.rows()), (sorted(&records), 0));
    }
}

#[tokio::test]
async fn a_batch_never_spans_two_days() {
    let place = Place::new();
    let (collector, running, _) = place.start().await;
    let mut records = accept(&collector, &["before midnight"]).await;
    place.clock.0.fetch_add(US_PER_DAY, Ordering::Relaxed);
    records.extend(accept(&collector, &["after midnight"]).await);
    running.stop(STOP_LIMIT).await;
    assert_eq!(place.delivered(), sorted(&records));
    let days = std::fs::read_dir(place.table()).expect("a table").flatten();
    let names = days.map(|day| day.file_name().to_string_lossy().into_owned());
    let days: Vec<_> = names.filter(|name| name.starts_with(PARTITION)).collect();
    assert_eq!(days.len(), 2, "{days:?}");
}
