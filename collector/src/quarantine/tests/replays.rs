//! Replays through a drain that only a test can have.

use std::sync::Arc;

use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::wire::{self, DEFAULT_TELEMETRY_ID, Rules};
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use tokio::sync::{mpsc, oneshot};

use super::super::{
    Filter, Kind, Quarantine, QuarantineFault, QuarantineSettings, RawRequest, Replayed, Replayer, Which,
};
use super::behaviour::open;
use super::rig::{TestClock, reasons};
use crate::drain::Replay;
use crate::journal::{AppendError, Names};
use crate::redelivery::{Accepted, Window, WindowSettings};
use crate::testing::NOON;

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

/// A window that knows `pending`, in a directory that nothing is written into.
fn window(pending: Vec<Record>) -> Window {
    let directory = tempfile::tempdir().expect("a directory");
    let pending = pending.into_iter().map(Arc::new);
    Window::open(&WindowSettings::new(directory.path()), TestClock::new(), pending).expect("opened").0
}

fn replayer(quarantine: &Quarantine) -> (Replayer, mpsc::Receiver<Replay>) {
    let (drain, replays) = mpsc::channel(1);
    (Replayer { quarantine: quarantine.clone(), drain, window: window(Vec::new()) }, replays)
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

/// As [`request`], of the format whose redeliveries can be told.
fn telling(payload: &str) -> RawRequest {
    let RawRequest { mut headers, body } = request(payload);
    headers[1].1 = b"4".to_vec();
    headers.push(("event_id".to_owned(), b"0123456789abcdef0123456789abcdef".to_vec()));
    RawRequest { headers, body }
}

/// What a probe sends again.
fn report(payload: &str) -> Report {
    let RawRequest { headers, body } = telling(payload);
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    wire::decode(&wire::Request { headers, body: &body }, &Rules::default()).expect("valid")
}

/// The probe's retry; it gets `id` when it is appended.
async fn retry(window: &Window, payload: &str, id: i64) -> Accepted {
    let append = |report| async move { Ok(appended(id, report)) };
    window.accept(report(payload), append).await.expect("accepted")
}

fn appended(id: i64, report: Report) -> Arc<Record> {
    Arc::new(Record { id: RecordId(id), ts_reception: NOON, report })
}

#[tokio::test]
async fn a_record_that_its_probe_has_sent_again_is_not_made_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(telling("p"), reasons()).await.expect("kept").id;
    let (replayer, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, ""));
    assert!(!retry(&replayer.window, "p", id.0 + 1).await.redelivered);
    let outcome = replayer.replay(Which::All, loose()).await.expect("replayed");
    assert_eq!(outcome, Replayed { redelivered: 1, ..Replayed::default() });
    assert!(store.await.expect("no panic").is_empty() && ids(&quarantine).await.is_empty());
}

#[tokio::test]
async fn a_probe_that_retries_during_or_after_a_replay_gets_the_identifier_of_the_entry() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(telling("p"), reasons()).await.expect("kept").id;
    let (replayer, mut replays) = replayer(&quarantine);
    let window = replayer.window.clone();
    let replaying = tokio::spawn(replayer.replay(Which::All, loose()));
    let sent = replays.recv().await.expect("a batch");
    let during = retry(&window, "p", 1).await;
    sent.reply.send(Vec::new()).expect("somebody waits");
    assert_eq!(replaying.await.expect("no panic").expect("replayed").replayed, 1);
    let after = retry(&window, "p", 1).await;
    assert!(during.redelivered && during.record.id == id && during == after, "{during:?} {after:?}");
}

#[tokio::test]
async fn a_replay_waits_for_a_retry_that_is_being_made_durable() {
    for succeeds in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let quarantine = open(directory.path());
        let id = quarantine.keep_owed(telling("p"), reasons()).await.expect("kept").id;
        let (replayer, replays) = replayer(&quarantine);
        let store = tokio::spawn(deliver(replays, ""));
        let (synced, sync) = oneshot::channel();
        let append = move |report| async move {
            sync.await.expect("the test answers");
            if succeeds { Ok(appended(1, report)) } else { Err(AppendError::Closed) }
        };
        let window = replayer.window.clone();
        let retrying = tokio::spawn(async move { window.accept(report("p"), append).await });
        while replayer.window.stats().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        let replaying = tokio::spawn(replayer.replay(Which::One(id), loose()));
        // The replay has asked the quarantine by then, or asks it soon: both ways it must not go ahead.
        quarantine.entry(id).await.expect("still there");
        synced.send(()).expect("somebody waits");
        assert_eq!(retrying.await.expect("no panic").is_ok(), succeeds);
        let outcome = replaying.await.expect("no panic").expect("replayed");
        assert_eq!((outcome.redelivered, outcome.replayed), if succeeds { (1, 0) } else { (0, 1) });
        assert_eq!(store.await.expect("no panic").len(), usize::from(!succeeds));
        assert!(ids(&quarantine).await.is_empty());
    }
}

#[tokio::test]
async fn entries_that_differ_in_their_reasons_alone_make_one_record() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let first = quarantine.keep_owed(telling("p"), reasons()).await.expect("kept").id;
    quarantine.keep_owed(telling("p"), Vec::new()).await.expect("kept");
    quarantine.keep_owed(telling("q"), reasons()).await.expect("kept");
    let (replayer, replays) = replayer(&quarantine);
    let store = tokio::spawn(deliver(replays, ""));
    let outcome = replayer.replay(Which::All, loose()).await.expect("replayed");
    assert_eq!(outcome, Replayed { replayed: 2, redelivered: 1, ..Replayed::default() });
    let taken = store.await.expect("no panic");
    assert_eq!((taken.len(), taken[0].2.len(), taken[0].2[0].id), (1, 2, first));
    assert!(ids(&quarantine).await.is_empty());
}

#[tokio::test]
async fn what_the_store_refused_is_replayed_although_the_window_knows_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    quarantine.keep_owed(telling("p"), reasons()).await.expect("kept");
    let (replayer, mut replays) = replayer(&quarantine);
    for refuses in [true, false] {
        let replaying = tokio::spawn(replayer.clone().replay(Which::All, loose()));
        let Replay { batch, reply, .. } = replays.recv().await.expect("a batch");
        let refused = if refuses { vec![(batch.first(), "no".to_owned())] } else { Vec::new() };
        reply.send(refused).expect("somebody waits");
        let outcome = replaying.await.expect("no panic").expect("replayed");
        assert_eq!((outcome.replayed, outcome.refused), if refuses { (0, 1) } else { (1, 0) });
    }
    assert!(ids(&quarantine).await.is_empty());
}

#[tokio::test]
async fn what_a_crash_leaves_sealed_is_known_to_the_window() {
    let directory = tempfile::tempdir().expect("a directory");
    let quarantine = open(directory.path());
    let id = quarantine.keep_owed(telling("p"), reasons()).await.expect("kept").id;
    let (first, mut replays) = replayer(&quarantine);
    let replaying = tokio::spawn(first.replay(Which::All, loose()));
    drop(replays.recv().await.expect("a batch"));
    replaying.await.expect("no panic").expect_err("the process ends");
    quarantine.shutdown().await;
    let found = Quarantine::open(&QuarantineSettings::new(directory.path())).expect("opened");
    let again = retry(&window(found.sealed().expect("read")), "p", 1).await;
    assert!(again.redelivered && again.record.id == id, "{again:?}");
}
