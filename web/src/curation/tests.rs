//! Curation on a file: who may write next, and what is there afterwards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use telemetrics_schema::curation::{Change, Frame, Refusal};
use tokio::task::JoinSet;

use super::*;

struct Stopped(AtomicI64);

impl Clock for Stopped {
    fn now(&self) -> TimestampUs {
        TimestampUs(self.0.load(Ordering::Relaxed))
    }
}

fn clock() -> Arc<Stopped> {
    Arc::new(Stopped(AtomicI64::new(1_795_391_700_000_000)))
}

fn nonces() -> Nonces {
    let next = AtomicU64::new(1);
    Box::new(move || next.fetch_add(1, Ordering::Relaxed))
}

fn open(directory: &Path) -> Curation {
    Curation::in_directory(directory, clock(), nonces()).expect("opened")
}

fn filter(function: &str) -> What {
    What::Changes(vec![Change::FilterAdded(Frame::new(function, "m"))])
}

#[tokio::test]
async fn an_edit_is_in_the_next_answer_and_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let curation = open(directory.path());
    let mut seen = curation.changes();
    let state = curation.edit(0, filter("f()"), Some("ann".to_owned())).await.expect("saved");
    assert_eq!((state.sequence, state.curated.filters.len()), (1, 1));
    assert!(seen.has_changed().expect("alive"));
    assert_eq!(*seen.borrow_and_update(), state);
    assert_eq!(curation.state().await.expect("a state"), state);
    drop(curation);
    let curation = open(directory.path());
    assert_eq!(curation.state().await.expect("a state"), state);
    let page = curation.history(None, 10).await.expect("a page");
    let PastEntry { entry, undone_by } = &page.entries[0];
    assert_eq!((entry.who.as_deref(), entry.time, *undone_by), (Some("ann"), clock().now(), None));
    assert!(!page.has_more && page.sequence == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_edit_at_once_one_wins_each_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let curation = open(directory.path());
    let mut tasks = JoinSet::new();
    for i in 0..8 {
        let curation = curation.clone();
        tasks.spawn(async move {
            let mut saved = Vec::new();
            for round in 0..10 {
                let based_on = curation.state().await.expect("a state").sequence;
                match curation.edit(based_on, filter(&format!("f{i}_{round}()")), None).await {
                    Ok(state) => saved.push(state.sequence),
                    Err(CurationError::Conflict { based_on: named, sequence }) => {
                        assert!(named == based_on && sequence > based_on);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            saved
        });
    }
    let mut saved: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
    saved.sort_unstable();
    let count = curation.state().await.expect("a state").sequence;
    assert_eq!(saved, (1..=count).collect::<Vec<_>>());
    assert_eq!(open(directory.path()).state().await.expect("a state").curated.filters.len() as u64, count);
}

#[tokio::test]
async fn a_preview_saves_nothing_and_is_what_happens() {
    let directory = tempfile::tempdir().expect("a directory");
    let curation = open(directory.path());
    let shown = curation.preview(0, filter("f()")).await.expect("a preview");
    assert_eq!(curation.state().await.expect("a state").sequence, 0);
    assert_eq!(curation.edit(0, filter("f()"), None).await.expect("saved").curated, shown);
    assert!(matches!(curation.preview(0, filter("g()")).await, Err(CurationError::Conflict { .. })));
    assert!(matches!(curation.preview(1, filter("f()")).await, Err(CurationError::Invalid(_))));
}

#[tokio::test]
async fn an_import_is_one_entry_and_none_when_nothing_differs() {
    let directory = tempfile::tempdir().expect("a directory");
    let curation = open(directory.path());
    let _ = curation.edit(0, filter("own()"), None).await.expect("saved");
    let file = Curated { filters: ["a()", "b()"].map(|f| Frame::new(f, "m")).into(), ..Curated::default() };
    let added = curation.import(1, file.clone(), Import::Add, None).await.expect("saved");
    assert_eq!((added.sequence, added.curated.filters.len()), (2, 3));
    let replaced = curation.import(2, file.clone(), Import::Replace, None).await.expect("saved");
    assert_eq!((replaced.sequence, &replaced.curated), (3, &file));
    let same = curation.import(3, file.clone(), Import::Replace, None).await.expect("nothing to do");
    assert_eq!(same, replaced);
    let stale = curation.import(2, file, Import::Add, None).await;
    assert_eq!(stale, Err(CurationError::Conflict { based_on: 2, sequence: 3 }));
    let undone = curation.edit(3, What::Undo(3), None).await.expect("saved");
    assert_eq!(undone.curated, added.curated);
}

#[tokio::test]
async fn an_invalid_edit_leaves_no_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let curation = open(directory.path());
    for what in [What::Undo(1), What::Changes(Vec::new()), filter("")] {
        assert!(matches!(curation.edit(0, what, None).await, Err(CurationError::Invalid(_))));
    }
    assert!(matches!(CurationError::from(Refusal::Full), CurationError::Invalid(_)));
    assert_eq!(open(directory.path()).history(None, 10).await.expect("a page").sequence, 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_once_by_those_who_come_together() {
    let client = Client::default().with_url("http://127.0.0.1:9");
    let clock = clock();
    let curation = Curation::in_clickhouse(client, 5_000, Arc::clone(&clock) as Arc<dyn Clock>, nonces());
    assert!(matches!(curation.state().await, Err(CurationError::Unavailable(_))));
    let looked = curation.0.known.lock().await.looked.as_ref().map(|look| look.at);
    clock.0.fetch_add(REFRESH_DISTANCE_MS * US_PER_MS - 1, Ordering::Relaxed);
    assert!(matches!(curation.state().await, Err(CurationError::Unavailable(_))));
    assert_eq!(curation.0.known.lock().await.looked.as_ref().map(|look| look.at), looked);
    clock.0.fetch_add(1, Ordering::Relaxed);
    assert!(matches!(curation.history(None, 1).await, Err(CurationError::Unavailable(_))));
    assert_ne!(curation.0.known.lock().await.looked.as_ref().map(|look| look.at), looked);
}
