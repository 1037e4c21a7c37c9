//! Replays through a drain that only a test can have.

use std::sync::Arc;

use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::wire::{DEFAULT_TELEMETRY_ID, Rules};
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use tokio::sync::mpsc;

use super::super::{
    Filter, Kind, Quarantine, QuarantineFault, QuarantineSettings, RawRequest, Replayed, Replayer, Which,
};
use super::behaviour::open;
use super::rig::{TestClock, reasons};
use crate::drain::Replay;
use crate::journal::Names;

/// A request of the oldest format that is valid but for its hardware texts, which only strict rules ask for.
fn request(payload: &str) -> RawRequest {
    let fields = [
        ("x-telemetry-tid", DEFAULT_TELEMETRY_ID),
        ("record_format_version", "3"),
        ("classification", "a/b/c"),
        ("severity", "1"),
        ("machine_id", ""),
        ("creation_timestamp", "0"),
        ("arch", "ppc"),
        ("host_type", ""),
        ("build", "12"),
        ("kernel_version", "5.4"),
        ("payload_format_version", "1"),
        ("system_name", "x"),
    ];
    let headers = fields.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    RawRequest { headers, body: payload.as_bytes().to_vec().into() }
}

fn strict() -> Arc<Rules> {
    Arc::new(Rules { strict_fields: true, ..Rules::default() })
}

fn loose() -> Arc<Rules> {
    Arc::new(Rules::default())
}

fn replayer(quarantine: &Quarantine) -> (Replayer, mpsc::Receiver<Replay>) {
    let (drain, replays) = mpsc::channel(1);
    (Replayer { quarantine: quarantine.clone(), drain }, replays)
}

/// Delivers every batch, refuses records with that payload, and tells what it took.
async fn deliver(mut replays: mpsc::Receiver<Replay>, refused: &str) -> Vec<(RecordId, bool, Vec<Record>)> {
    let mut taken = Vec::new();
    while let Some(Replay { batch, number, sent_before, reply }) = replays.recv().await {
        let (bad, good): (Vec<_>, Vec<_>) =
            batch.records().iter().map(|r| Record::clone(r)).partition(|r| r.report.payload == refused);
        taken.push((number, sent_before, good));
        reply.send(bad.into_iter().map(|record| (record.id, "no".to_owned())).collect()).expect("somebody waits");
    }
    taken
}

async fn ids(quarantine: &Quarantine) -> Vec<RecordId> {
    quarantine.page(Filter::default(), 100).await.expect("a page").iter().map(|entry| entry.id).collect()
}

#[tokio::test]
async fn an_entry_is_replayed_when_the_rules_allow_it_with_its_first_reception() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(request("p"), reasons()).await.expect("kept").id;
    let first_seen = quarantine.entry(id).await.expect("an entry").first_seen;
    let (replayer, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, ""));
    let outcome = replayer.clone().replay(Which::One(id), strict()).await.expect("replayed");
    assert_eq!((outcome.replayed, outcome.invalid, outcome.errors[0].id), (0, 1, id.0));
    assert_eq!(ids(&quarantine).await, [id], "what is invalid still stays");
    let outcome = replayer.clone().replay(Which::One(id), loose()).await.expect("replayed");
    assert_eq!(outcome, Replayed { replayed: 1, ..Replayed::default() });
    assert!(ids(&quarantine).await.is_empty());
    assert_eq!(replayer.clone().replay(Which::One(id), loose()).await, Err(QuarantineFault::NotFound(id)));
    drop(replayer);
    let taken = store.await.expect("no panic");
    let [(_, false, records)] = taken.as_slice() else { panic!("one batch: {taken:?}") };
    assert_eq!((records[0].id, records[0].ts_reception), (id, first_seen));
    assert_eq!(records[0].report.payload, "p");
}

#[tokio::test]
async fn evidence_is_never_replayed() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    quarantine.keep_evidence(request("p"), reasons());
    let id = ids(&quarantine).await[0];
    let (replayer, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, ""));
    let one = replayer.clone().replay(Which::One(id), loose()).await;
    assert!(matches!(one, Err(QuarantineFault::Invalid(_))), "{one:?}");
    assert_eq!(replayer.replay(Which::All, loose()).await, Ok(Replayed::default()));
    assert!(store.await.expect("no panic").is_empty());
    assert_eq!(ids(&quarantine).await, [id]);
}

#[tokio::test]
async fn all_goes_in_batches_of_one_day_and_what_the_store_refuses_comes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let clock = TestClock::new();
    let found = Quarantine::open(&QuarantineSettings::new(directory.path())).expect("opened");
    let names = Names::after(CollectorNumber::default(), None);
    let quarantine = found.start(names, Arc::<TestClock>::clone(&clock)).expect("started");
    for payload in ["a", "bad", "b"] {
        quarantine.keep_owed(request(payload), reasons()).await.expect("kept");
        clock.turn_by_days(1);
    }
    let refused = Record { id: RecordId(1), ts_reception: TimestampUs(US_PER_DAY), report: Report::default() };
    quarantine.keep_refused(Arc::new(refused.clone()), "once".to_owned()).await.expect("kept");
    let (replayer, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, "bad"));
    let outcome = replayer.replay(Which::All, loose()).await.expect("replayed");
    assert_eq!((outcome.replayed, outcome.refused, outcome.invalid), (3, 1, 0));
    let taken = store.await.expect("no panic");
    assert!(taken.windows(2).all(|pair| pair[0].0 < pair[1].0), "numbers grow: {taken:?}");
    assert!(taken.iter().all(|(.., records)| records.len() <= 1), "a batch of one day");
    assert_eq!(taken[0].2, [refused]);
    let left = quarantine.page(Filter::default(), 10).await.expect("a page");
    assert_eq!(left.len(), 1);
    assert_eq!(
        (left[0].kind, left[0].reasons[0].reason.as_str(), left[0].id.0),
        (Kind::Refused, "no", outcome.errors[0].id)
    );
}

#[tokio::test]
async fn what_a_crash_leaves_sealed_goes_first_as_it_was_decoded() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(request("p"), reasons()).await.expect("kept").id;
    let (first, mut replays) = replayer(&quarantine);
    let replaying = tokio::spawn(first.replay(Which::All, loose()));
    // The process ends while the store has the batch, or not.
    let sent = replays.recv().await.expect("a batch");
    let (number, records) = (sent.number, sent.batch.records().to_vec());
    drop(sent);
    assert!(matches!(replaying.await.expect("no panic"), Err(QuarantineFault::Unavailable(_))));
    quarantine.shutdown().await;
    let quarantine = open(directory.path());
    let (second, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, ""));
    // The rules would not allow it any more.
    assert_eq!(second.clone().replay(Which::All, strict()).await, Ok(Replayed::default()));
    second.resume().await.expect("nothing to do");
    let taken = store.await.expect("no panic");
    let [(again, true, resumed)] = taken.as_slice() else { panic!("one batch, and it was sent before: {taken:?}") };
    assert_eq!((*again, resumed.len(), resumed[0].id), (number, 1, id));
    assert_eq!(&resumed[0], &*records[0]);
    assert!(ids(&quarantine).await.is_empty());
}
