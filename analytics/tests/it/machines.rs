//! Look-ups of a machine in the embedded store.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{PageRequest, page};
use telemetrics_analytics::{Analytics, EmbeddedReader, Error, Limits};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};

const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

/// The data files of the table.
fn files(table: &Path) -> BTreeSet<PathBuf> {
    let days = fs::read_dir(table).expect("a table").flatten().map(|entry| entry.path());
    let days = days.filter(|path| path.to_string_lossy().contains("/date="));
    days.flat_map(|day| fs::read_dir(day).expect("a day").flatten().map(|entry| entry.path())).collect()
}

/// Delivers a record of a machine, and says in which file it is.
async fn deliver(store: &mut Store, table: &Path, id: i64, machine: &str) -> PathBuf {
    let before = files(table);
    let report = Report { machine_id: machine.to_owned(), ..Report::default() };
    let record = Record { id: RecordId(id), ts_reception: NOW, report };
    store.insert(&Batch::of(vec![Arc::new(record)]).expect("a batch")).await.expect("inserted");
    files(table).difference(&before).next().expect("a new file").clone()
}

async fn records_of(analytics: &Analytics, machine: &str) -> Result<usize, Error> {
    let filter = RecordFilter { machine_id: Some(machine.to_owned()), ..RecordFilter::default() };
    let request = PageRequest { limit: 10, cursor: None };
    Ok(page(&analytics.at(NOW).await?, &filter, &request).await?.records.len())
}

#[tokio::test]
async fn only_files_that_may_have_the_machine_are_opened() {
    let directory = tempfile::tempdir().expect("a directory");
    let table = directory.path().join("records");
    let mut store = Store::Embedded(EmbeddedStore::open(&table, CollectorNumber::default()).await.expect("a table"));
    deliver(&mut store, &table, 1, "one").await;
    let of_two = deliver(&mut store, &table, 2, "two").await;
    let reader = EmbeddedReader::open(&table, CollectorNumber::default(), Recent::default()).await.expect("a reader");
    let analytics = Analytics::embedded(reader, Limits::default()).expect("an engine");
    assert_eq!(records_of(&analytics, "one").await.expect("an answer"), 1);
    assert_eq!(records_of(&analytics, "two").await.expect("an answer"), 1);
    assert_eq!(records_of(&analytics, "three").await.expect("an answer"), 0);
    fs::remove_file(of_two).expect("deleted");
    assert_eq!(records_of(&analytics, "one").await.expect("an answer"), 1);
    let of_two = records_of(&analytics, "two").await;
    assert!(matches!(of_two, Err(Error::Unavailable(_))), "it was looked for there: {of_two:?}");
}
