//! `telemetrics demo`: a server on a temporary directory, filled with invented records.

use std::path::Path;
use std::sync::Arc;

use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store, StoreError};
use telemetrics_schema::attributes::Parsers;
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::{CollectorNumber, IdSequence, Record, TimestampUs};

use crate::views::shipped::FILES;

/// Records that are written at a time.
const BATCH_ROWS: usize = 131_072;

/// Puts the views that are shipped into `directory`.
///
/// # Errors
/// What the system says.
pub fn add_views(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    FILES.iter().try_for_each(|(name, text)| std::fs::write(directory.join(name), text))
}

/// Writes `records` invented records, received in the five weeks before `now`, into the store in `data`, with the attributes
/// that `parsers` make of them.
///
/// # Errors
/// As the store's.
pub async fn fill(
    data: &DataDir,
    collector: CollectorNumber,
    records: u64,
    seed: u64,
    now: TimestampUs,
    parsers: Arc<dyn Parsers>,
) -> Result<(), StoreError> {
    let fleet = Fleet::demo(seed, records, now);
    let store = EmbeddedStore::open(&data.records_table(), collector).await?;
    let mut store = Store::Embedded(store.parsed_by(parsers));
    let mut ids = IdSequence::after(collector, None);
    let mut batch: Vec<Arc<Record>> = Vec::new();
    for (ts_reception, report) in generate(&fleet) {
        let other_day = batch.last().is_some_and(|last| last.ts_reception.day() != ts_reception.day());
        if other_day || batch.len() == BATCH_ROWS {
            write(&mut store, std::mem::take(&mut batch)).await?;
        }
        batch.push(Arc::new(Record { id: ids.next(ts_reception), ts_reception, report }));
    }
    write(&mut store, batch).await
}

async fn write(store: &mut Store, records: Vec<Arc<Record>>) -> Result<(), StoreError> {
    match Batch::of(records) {
        Some(batch) => store.insert(&batch).await,
        None => Ok(()),
    }
}
