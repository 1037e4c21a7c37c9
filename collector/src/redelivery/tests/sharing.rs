//! Equal reports that arrive together: one is stored, all get the same answer.

use std::sync::Arc;

use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{Accepted, Window};
use super::rig::{Rig, report};
use crate::journal::AppendError;

type Answer = Result<Accepted, AppendError>;

/// The journal's side of an append that is under way.
struct Sync {
    answer: oneshot::Sender<Result<Arc<Record>, AppendError>>,
    report: Report,
}

impl Sync {
    fn succeeds(self, id: i64) -> Arc<Record> {
        let record = Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(0), report: self.report });
        // Whoever hung up may have ended the task.
        let _ = self.answer.send(Ok(Arc::clone(&record)));
        record
    }

    fn fails(self) {
        self.answer.send(Err(AppendError::Full("for the test"))).expect("somebody waits");
    }
}

/// Sends a report that must be the first; its append ends when the test says so.
async fn send_first(window: &Window, report: Report) -> (JoinHandle<Answer>, Sync) {
    let (window, (begun, first)) = (window.clone(), oneshot::channel());
    let append = |report| {
        let (answer, outcome) = oneshot::channel();
        begun.send(Sync { answer, report }).unwrap_or_else(|_| panic!("the test waits"));
        async { outcome.await.expect("the test answers") }
    };
    let task = tokio::spawn(async move { window.accept(report, append).await });
    (task, first.await.expect("it was the first"))
}

/// Sends a report that must not be appended.
fn send_again(window: &Window, report: Report) -> JoinHandle<Answer> {
    let window = window.clone();
    let append = |_| async { panic!("it is in flight already") };
    tokio::spawn(async move { window.accept(report, append).await })
}

/// Lets every task run until it waits; there is one thread.
async fn settle_down() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn equal_reports_wait_for_the_same_sync() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    let others: Vec<_> = (0..5).map(|_| send_again(&rig.window, report(1))).collect();
    settle_down().await;
    assert!(!first.is_finished() && others.iter().all(|other| !other.is_finished()));
    let record = sync.succeeds(7);
    assert_eq!(first.await.expect("no panic"), Ok(Accepted { record: Arc::clone(&record), redelivered: false }));
    for other in others {
        let expected = Accepted { record: Arc::clone(&record), redelivered: true };
        assert_eq!(other.await.expect("no panic"), Ok(expected));
    }
    assert_eq!(rig.window.stats().in_flight, 0);
}

#[tokio::test]
async fn equal_reports_fail_alike_and_the_next_one_is_the_first() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    let other = send_again(&rig.window, report(1));
    settle_down().await;
    sync.fails();
    for answer in [first, other] {
        assert_eq!(answer.await.expect("no panic"), Err(AppendError::Full("for the test")));
    }
    assert!(!rig.accept(report(1)).await.redelivered);
}

#[tokio::test]
async fn another_report_does_not_wait() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    assert!(!rig.accept(report(2)).await.redelivered);
    assert_eq!(rig.window.stats().in_flight, 1);
    sync.succeeds(7);
    first.await.expect("no panic").expect("accepted");
}

#[tokio::test]
async fn a_sender_that_hangs_up_is_found_when_it_comes_again() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    let waits = send_again(&rig.window, report(1));
    settle_down().await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    let comes_later = send_again(&rig.window, report(1));
    settle_down().await;
    let record = sync.succeeds(7);
    for answer in [waits, comes_later, send_again(&rig.window, report(1))] {
        assert_eq!(answer.await.expect("no panic").expect("accepted").record, record);
    }
}

#[tokio::test]
async fn a_report_of_a_sender_that_hung_up_may_still_fail() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    settle_down().await;
    sync.fails();
    settle_down().await;
    assert_eq!(rig.window.stats().in_flight, 0);
    assert!(!rig.accept(report(1)).await.redelivered);
}

#[tokio::test]
async fn who_hangs_up_while_waiting_leaves_nothing_behind() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    for _ in 0..100 {
        let waits = send_again(&rig.window, report(1));
        settle_down().await;
        waits.abort();
        assert!(waits.await.expect_err("aborted").is_cancelled());
    }
    assert!(rig.window.shared.flights.waiting_for_most() <= 1);
    sync.succeeds(7);
    first.await.expect("no panic").expect("accepted");
}

#[tokio::test]
async fn an_append_that_panics_frees_those_who_wait() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    let waits = send_again(&rig.window, report(1));
    settle_down().await;
    drop(sync);
    assert!(first.await.expect_err("the append has no answer").is_panic());
    assert_eq!(waits.await.expect("no panic"), Err(AppendError::Closed));
    assert!(!rig.accept(report(1)).await.redelivered);
}

#[test]
fn an_append_that_the_end_of_the_process_cuts_off_frees_the_report() {
    let rig = Rig::new(10, 10);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (_first, _sync) = runtime.block_on(send_first(&rig.window, report(1)));
    assert_eq!(rig.window.stats().in_flight, 1);
    drop(runtime);
    assert_eq!(rig.window.stats().in_flight, 0);
}

#[tokio::test]
async fn what_is_delivered_before_its_sender_is_answered_is_known() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(1)).await;
    let record = Arc::new(Record { id: RecordId(7), ts_reception: TimestampUs(0), report: report(1) });
    rig.window.delivered(&[Arc::clone(&record)]).await.expect("noted");
    assert_eq!(send_again(&rig.window, report(1)).await.expect("no panic").expect("accepted").record, record);
    sync.succeeds(7);
    first.await.expect("no panic").expect("accepted");
    assert_eq!(rig.window.stats().records, 1);
}

#[tokio::test]
async fn reports_below_format_4_are_never_redeliveries() {
    let rig = Rig::new(10, 10);
    let old = |_| Report { record_format_version: 3, event_id: "N/A".to_owned(), ..report(1) };
    let ids: Vec<_> = [rig.accept(old(1)).await, rig.accept(old(2)).await].map(|accepted| accepted.record.id).into();
    assert_eq!(ids, [RecordId(1), RecordId(2)]);
    let (many, error) = rig.window.accept_many(vec![old(1), old(2)], |reports| rig.append_all(reports)).await;
    assert!(many.len() == 2 && many.iter().all(|accepted| !accepted.redelivered) && error.is_none());
    assert_eq!(rig.window.stats().records, 0);
}

#[tokio::test]
async fn an_append_below_format_4_goes_on_as_well_when_its_sender_hangs_up() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, Report { record_format_version: 3, ..report(1) }).await;
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    settle_down().await;
    assert!(!sync.answer.is_closed(), "its record is counted, and the store is told of it");
}

/// Identifiers of what was accepted, and whether it had been before.
fn told(accepted: &[Accepted]) -> Vec<(i64, bool)> {
    accepted.iter().map(|accepted| (accepted.record.id.0, accepted.redelivered)).collect()
}

#[tokio::test]
async fn of_several_reports_only_the_new_ones_are_appended() {
    let rig = Rig::new(10, 10);
    rig.accept(report(1)).await;
    let (first, sync) = send_first(&rig.window, report(2)).await;
    let mut appended = Vec::new();
    let append = |reports: Vec<Report>| {
        appended.push(reports.iter().map(|report| report.event_id.clone()).collect::<Vec<_>>());
        rig.append_all(reports)
    };
    let many = rig.window.accept_many([1, 3, 3, 2, 4].map(report).to_vec(), append);
    let ends = async {
        settle_down().await;
        sync.succeeds(70);
    };
    let ((accepted, error), ()) = tokio::join!(many, ends);
    assert_eq!(appended, [[report(3).event_id], [report(4).event_id]]);
    assert_eq!(told(&accepted), [(1, true), (2, false), (2, true), (70, true), (3, false)]);
    assert_eq!(error, None);
    first.await.expect("no panic").expect("accepted");
}

#[tokio::test]
async fn lists_that_hold_each_others_reports_do_not_wait_for_ever() {
    let rig = Rig::new(10, 10);
    let lists = [[1, 2], [2, 1], [1, 2]].map(|numbers| numbers.map(report).to_vec());
    let [a, b, c] = lists.map(|list| rig.window.accept_many(list, |reports| rig.append_all(reports)));
    let (a, b, c) = tokio::join!(a, b, c);
    let new = [a, b, c].into_iter().flat_map(|(accepted, _)| accepted).filter(|accepted| !accepted.redelivered);
    assert_eq!(new.count(), 2);
}

#[tokio::test]
async fn of_a_list_that_fails_in_the_middle_the_rest_comes_again() {
    let rig = Rig::new(10, 10);
    let full = AppendError::Full("for the test");
    let half = |reports: Vec<Report>| {
        let kept = rig.append_all(reports[..1].to_vec());
        let full = full.clone();
        async { (kept.await.0, Some(full)) }
    };
    rig.accept(report(1)).await;
    let (accepted, error) = rig.window.accept_many([1, 2, 2, 3, 1].map(report).to_vec(), half).await;
    assert_eq!((told(&accepted), error), (vec![(1, true), (2, false), (2, true)], Some(full)));
    let append = |reports: Vec<Report>| rig.append_all(reports);
    let (accepted, error) = rig.window.accept_many([1, 2, 2, 3, 1].map(report).to_vec(), append).await;
    assert_eq!(told(&accepted), [(1, true), (2, true), (2, true), (3, false), (1, true)]);
    assert_eq!((error, rig.window.stats().in_flight), (None, 0));
}

#[tokio::test]
async fn behind_a_report_that_fails_with_somebody_elses_nothing_is_appended() {
    let rig = Rig::new(10, 10);
    let (first, sync) = send_first(&rig.window, report(2)).await;
    let many = rig.window.accept_many([1, 2, 3].map(report).to_vec(), |reports| rig.append_all(reports));
    let ends = async {
        settle_down().await;
        sync.fails();
    };
    let ((accepted, error), ()) = tokio::join!(many, ends);
    assert_eq!((told(&accepted), error), (vec![(1, false)], Some(AppendError::Full("for the test"))));
    assert_eq!(rig.pending(usize::MAX).len(), 1);
    first.await.expect("no panic").expect_err("failed");
}

#[tokio::test]
async fn a_list_whose_sender_hangs_up_is_known_when_it_comes_again() {
    let rig = Rig::new(10, 10);
    let (go, wait) = oneshot::channel::<()>();
    let append = rig.append_all([1, 2].map(report).to_vec());
    let mut slow = Some(async {
        wait.await.expect("the test goes on");
        append.await
    });
    let window = rig.window.clone();
    let reports = [1, 2].map(report).to_vec();
    let mut many = Box::pin(window.accept_many(reports.clone(), move |_| slow.take().expect("one wave")));
    assert!(poll_once(&mut many).await.is_none());
    drop(many);
    go.send(()).expect("somebody waits");
    settle_down().await;
    let (accepted, _) = rig.window.accept_many(reports, |reports| rig.append_all(reports)).await;
    assert_eq!(told(&accepted), [(1, true), (2, true)]);
}

/// The outcome, when it is there at once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    tokio::select! {
        biased;
        outcome = future => Some(outcome),
        () = std::future::ready(()) => None,
    }
}
