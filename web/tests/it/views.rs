//! What a request sees stays as it is, whatever other requests and probes do meanwhile.

use std::sync::Arc;

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::count;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};

const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

fn record(id: i64) -> Arc<Record> {
    Arc::new(Record { id: RecordId(id), ts_reception: NOW, report: Report::default() })
}

#[tokio::test]
async fn two_views_do_not_share_what_they_see() {
    let directory = tempfile::tempdir().expect("a directory");
    let (collector, recent) = (CollectorNumber::default(), Recent::default());
    let mut store = Store::Embedded(EmbeddedStore::open(directory.path(), collector).await.expect("a table"));
    let reader = EmbeddedReader::open(directory.path(), collector, recent.clone()).await.expect("a reader");
    let analytics = Analytics::embedded(reader, Limits::default()).expect("analytics");
    let all = RecordFilter::default();

    recent.push([record(1)]);
    let in_memory = analytics.at(NOW).await.expect("a view");
    recent.push([record(2)]);
    let both = analytics.at(NOW).await.expect("a view");
    store.insert(&Batch::of(vec![record(1), record(2)]).expect("a batch")).await.expect("inserted");
    let delivered = analytics.at(NOW).await.expect("a view");
    recent.release(RecordId(2));

    assert_eq!(count(&in_memory, &all).await.expect("a count"), 1);
    assert_eq!(count(&both, &all).await.expect("a count"), 2);
    assert_eq!(count(&delivered, &all).await.expect("a count"), 2, "in the table and in memory is once");
    let released = analytics.at(NOW).await.expect("a view");
    assert_eq!(count(&released, &all).await.expect("a count"), 2);
}
