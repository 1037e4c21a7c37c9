//! Both stores with the same records: what questions are asked of, and what sizes are taken of.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::{Analytics, Limits};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, EmbeddedStore, Store};
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, IdSequence, Record, Report, TimestampUs};
use telemetrics_testkit::ClickHouse;
use telemetrics_web::config::Config;

use crate::Failure;

/// Records of a batch: as many as the drain puts into one after an outage.
pub const BATCH_ROWS: usize = 131_072;

/// The embedded store and a ClickHouse server, with the same records.
pub struct Stores {
    /// The server; its tables are in the database `default`.
    pub clickhouse: ClickHouse,
    embedded: Store,
    remote: Store,
}

/// How long both stores took for the same records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filled {
    /// Records in each of them.
    pub records: u64,
    /// Time of the embedded store's inserts.
    pub embedded: Duration,
    /// Time of the inserts into ClickHouse through us.
    pub clickhouse: Duration,
}

impl Stores {
    /// Questions to the server, with the shipped retention policy.
    ///
    /// # Errors
    /// When the query engine does not start.
    pub fn remote_questions(&self) -> Result<Analytics, Failure> {
        questions_to(&self.clickhouse)
    }

    /// Both stores, empty; the embedded one below `data_dir`.
    ///
    /// # Errors
    /// When one of them cannot be made.
    ///
    /// # Panics
    /// When the server does not come up.
    pub async fn create(data_dir: &Path) -> Result<Self, Failure> {
        let clickhouse = ClickHouse::start();
        let table = DataDir::new(data_dir).records_table();
        let embedded = Store::Embedded(EmbeddedStore::open(&table, collector()).await?);
        // What the fleet sent is as old as the fleet says; nothing of it is to go while it is measured.
        let remote = ClickHouseStore::new(&ClickHouseTarget::new(clickhouse.url()), RetentionPolicy::off());
        let remote = Store::ClickHouse(Box::new(remote));
        remote.prepare().await?;
        Ok(Self { clickhouse, embedded, remote })
    }

    /// Closes the embedded store and keeps the server.
    #[must_use]
    pub fn into_clickhouse(self) -> ClickHouse {
        self.clickhouse
    }

    /// Puts everything that `fleet` sent into both, in turns, and shows each batch to `also`.
    ///
    /// # Errors
    /// As the stores', or what `also` ends with.
    pub async fn fill(
        &mut self,
        fleet: &Fleet,
        mut also: impl FnMut(&Batch) -> Result<(), Failure>,
    ) -> Result<Filled, Failure> {
        let mut filled = Filled::default();
        let batches = Batches { records: generate(fleet), ids: IdSequence::after(collector(), None), next: None };
        for batch in batches {
            also(&batch)?;
            filled.records += batch.records().len() as u64;
            filled.embedded += timed(self.embedded.insert(&batch)).await?;
            filled.clickhouse += timed(self.remote.insert(&batch)).await?;
        }
        Ok(filled)
    }
}

/// Questions to a server, with the shipped retention policy.
///
/// # Errors
/// When the query engine does not start.
pub fn questions_to(clickhouse: &ClickHouse) -> Result<Analytics, Failure> {
    Ok(Analytics::clickhouse(&ClickHouseSettings::new(clickhouse.url()), Limits::default())?)
}

/// Puts everything that `fleet` sent into an embedded store below `data_dir`, which is made.
///
/// # Errors
/// As the store's.
pub async fn fill_embedded(data_dir: &Path, fleet: &Fleet) -> Result<(), Failure> {
    let store = EmbeddedStore::open(&DataDir::new(data_dir).records_table(), collector()).await?;
    fill_one(Store::Embedded(store), fleet).await
}

/// As [`fill_embedded`], into the database of a ClickHouse server, whose tables are made.
///
/// # Errors
/// As the store's.
pub async fn fill_clickhouse(clickhouse: &ClickHouse, fleet: &Fleet) -> Result<(), Failure> {
    let store = ClickHouseStore::new(&ClickHouseTarget::new(clickhouse.url()), RetentionPolicy::off());
    let store = Store::ClickHouse(Box::new(store));
    store.prepare().await?;
    fill_one(store, fleet).await
}

async fn fill_one(mut store: Store, fleet: &Fleet) -> Result<(), Failure> {
    let batches = Batches { records: generate(fleet), ids: IdSequence::after(collector(), None), next: None };
    for batch in batches {
        store.insert(&batch).await?;
    }
    Ok(())
}

async fn timed<E: Into<Failure>>(work: impl Future<Output = Result<(), E>>) -> Result<Duration, Failure> {
    let begin = Instant::now();
    work.await.map_err(Into::into)?;
    Ok(begin.elapsed())
}

fn collector() -> CollectorNumber {
    Config::default().collector_number
}

/// Cuts what a fleet sent into batches as the drain does: none spans two days.
struct Batches<I> {
    records: I,
    ids: IdSequence,
    /// The first record of the next batch.
    next: Option<Arc<Record>>,
}

impl<I: Iterator<Item = (TimestampUs, Report)>> Batches<I> {
    fn record(&mut self) -> Option<Arc<Record>> {
        let (ts_reception, report) = self.records.next()?;
        Some(Arc::new(Record { id: self.ids.next(ts_reception), ts_reception, report }))
    }
}

impl<I: Iterator<Item = (TimestampUs, Report)>> Iterator for Batches<I> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let mut records: Vec<Arc<Record>> = self.next.take().into_iter().collect();
        while records.len() < BATCH_ROWS {
            let Some(record) = self.record() else { break };
            if records.first().is_some_and(|first| first.ts_reception.day() != record.ts_reception.day()) {
                self.next = Some(record);
                break;
            }
            records.push(record);
        }
        Batch::of(records)
    }
}
