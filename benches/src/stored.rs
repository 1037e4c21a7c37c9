//! Counts what can be queried, with the program's own question over the store that a server left behind.

use std::path::Path;

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_web::clock::SystemClock;
use telemetrics_web::config::Config;

use crate::Failure;

/// How many records a query of the embedded store below `data_dir` finds; no server may be using it.
///
/// # Errors
/// When the store cannot be read.
pub fn records(data_dir: &Path) -> Result<u64, Failure> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let view = open(data_dir).await?.at(SystemClock.now()).await?;
        Ok(records::count(&view, &RecordFilter::default()).await?)
    })
}

/// Bytes of the files that the newest version of the embedded table below `data_dir` consists of.
///
/// # Errors
/// When the store cannot be read.
pub fn bytes(data_dir: &Path) -> Result<u64, Failure> {
    tokio::runtime::Runtime::new()?.block_on(async { Ok(open(data_dir).await?.day_sizes().await?.total().bytes) })
}

/// The store below `data_dir` without what is in its journal.
///
/// # Errors
/// When the store cannot be read.
pub async fn open(data_dir: &Path) -> Result<Analytics, Failure> {
    let table = DataDir::new(data_dir).records_table();
    let reader = EmbeddedReader::open(&table, Config::default().collector_number, Recent::default()).await?;
    Ok(Analytics::embedded(reader, Limits::default())?)
}
