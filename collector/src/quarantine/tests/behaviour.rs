//! The quarantine with its thread, on a real directory.

use std::path::Path;
use std::sync::Arc;

use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};

use super::super::{Filter, Kept, Kind, Quarantine, QuarantineError, QuarantineFault, QuarantineSettings};
use super::rig::{TestClock, reasons, request};
use crate::journal::Names;

pub(super) fn open(directory: &Path) -> Quarantine {
    let found = Quarantine::open(&QuarantineSettings::new(directory)).expect("opened");
    let names = Names::after(CollectorNumber::default(), found.greatest_id());
    found.start(names, TestClock::new()).expect("started")
}

async fn shown(quarantine: &Quarantine, filter: Filter) -> Vec<(RecordId, Kind, u64)> {
    let page = quarantine.page(filter, 10).await.expect("a page");
    page.into_iter().map(|entry| (entry.id, entry.kind, entry.count)).collect()
}

#[tokio::test]
async fn equal_entries_are_one_with_a_counter_also_across_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let Kept { id, count } = quarantine.keep_owed(request("a"), reasons()).await.expect("kept");
    assert_eq!(count, 1);
    assert_eq!(quarantine.keep_owed(request("a"), reasons()).await, Ok(Kept { id, count: 2 }));
    assert_ne!(quarantine.keep_owed(request("b"), reasons()).await.expect("kept").id, id);
    let other_reasons = [reasons(), reasons()].concat();
    assert_ne!(quarantine.keep_owed(request("a"), other_reasons).await.expect("kept").id, id);
    quarantine.keep_evidence(request("a"), reasons());
    assert_eq!(shown(&quarantine, Filter::default()).await.len(), 4);
    quarantine.shutdown().await;
    let quarantine = open(directory.path());
    assert_eq!(quarantine.keep_owed(request("a"), reasons()).await, Ok(Kept { id, count: 3 }));
    let evidence = shown(&quarantine, Filter { kind: Some(Kind::Evidence), before: None }).await;
    assert_eq!(evidence.len(), 1);
    assert_eq!(quarantine.stats().owed.entries, 3);
}

#[tokio::test]
async fn a_refused_record_is_there_once_under_its_own_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let record = Record { id: RecordId(77), ts_reception: TimestampUs(5), report: Report::default() };
    for _ in 0..2 {
        quarantine.keep_refused(Arc::new(record.clone()), "no".to_owned()).await.expect("kept");
    }
    assert_eq!(shown(&quarantine, Filter::default()).await, [(RecordId(77), Kind::Refused, 1)]);
    let entry = quarantine.entry(RecordId(77)).await.expect("an entry");
    assert_eq!((entry.first_seen, entry.record, entry.request), (TimestampUs(5), Some(record), None));
    assert_eq!(entry.reasons[0].reason, "no");
    let asked = vec![RecordId(76), RecordId(77)];
    assert_eq!(quarantine.holding(asked).await, Ok(vec![RecordId(77)]));
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let mut ids = Vec::new();
    for at in 0..5 {
        ids.push(quarantine.keep_owed(request(&at.to_string()), reasons()).await.expect("kept").id);
    }
    ids.reverse();
    let first = quarantine.page(Filter::default(), 3).await.expect("a page");
    assert_eq!(first.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[..3]);
    let before = Some(first[2].id);
    let second = quarantine.page(Filter { before, ..Filter::default() }, 3).await.expect("a page");
    assert_eq!(second.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[3..]);
    assert!(first.iter().all(|entry| entry.request.is_none()), "a page has no bodies");
}

#[tokio::test]
async fn a_discarded_entry_is_gone_for_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(request("a"), reasons()).await.expect("kept").id;
    quarantine.discard(id).await.expect("discarded");
    assert_eq!(quarantine.discard(id).await, Err(QuarantineFault::NotFound(id)));
    assert_eq!(quarantine.entry(id).await, Err(QuarantineFault::NotFound(id)));
    quarantine.shutdown().await;
    let quarantine = open(directory.path());
    assert!(shown(&quarantine, Filter::default()).await.is_empty());
    let later = quarantine.keep_owed(request("a"), reasons()).await.expect("kept").id;
    assert!(later > id, "a number is never given twice");
}

#[tokio::test]
async fn a_directory_belongs_to_one_and_is_free_after_a_shutdown() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let settings = QuarantineSettings::new(directory.path());
    assert!(matches!(Quarantine::open(&settings), Err(QuarantineError::Directory(_))));
    quarantine.shutdown().await;
    quarantine.shutdown().await;
    assert_eq!(quarantine.keep_owed(request("a"), reasons()).await, Err(QuarantineFault::Closed));
    assert!(Quarantine::open(&settings).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_together_is_all_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let senders: Vec<_> = (0..200)
        .map(|at| {
            let quarantine = quarantine.clone();
            tokio::spawn(async move { quarantine.keep_owed(request(&format!("{}", at % 100)), reasons()).await })
        })
        .collect();
    for sender in senders {
        sender.await.expect("no panic").expect("kept");
    }
    assert_eq!((quarantine.stats().owed.entries, quarantine.stats().kept_owed), (100, 200));
    quarantine.shutdown().await;
    let found = Quarantine::open(&QuarantineSettings::new(directory.path())).expect("opened");
    assert_eq!(found.shelf.sum(Kind::Owed).entries, 100);
}

#[tokio::test]
async fn a_record_that_is_larger_than_all_that_may_wait_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = QuarantineSettings { quota_bytes: 1 << 30, ..QuarantineSettings::new(directory.path()) };
    let found = Quarantine::open(&settings).expect("opened");
    let quarantine = found.start(Names::after(CollectorNumber::default(), None), TestClock::new()).expect("started");
    let report = Report { payload: "x".repeat(super::super::QUEUE_BYTES + 1), ..Report::default() };
    let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report };
    assert_eq!(quarantine.keep_refused(Arc::new(record), "no".to_owned()).await, Ok(()));
}
