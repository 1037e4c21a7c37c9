//! A process that dies or fails in any operation on files loses nothing, doubles nothing and leaves nothing behind.

use std::sync::Arc;

use telemetrics_schema::CollectorNumber;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::US_PER_DAY;

use super::super::EmbeddedStore;
use super::rig::{FailingFiles, Fault, NOON, Rig, batch};
use crate::drain::Batch;
use crate::store::{Holding, StoreError};

/// Far more operations than the work takes.
const OPERATIONS_MAX: i64 = 2_000;

/// Two days of small files, one of which holds expired records, and old parts of a log.
async fn prepared() -> Rig {
    let rules = vec![RetentionRule { matcher: Matcher::Classification("a/b/c".into()), days: 2 }];
    let mut rig = Rig::new(RetentionPolicy { default_days: 100, rules });
    rig.settings.checkpoint_commits = 3;
    let mut store = rig.open().await;
    for batch in batches() {
        store.insert(&batch).await.expect("inserted");
    }
    rig.lose_rollups(1);
    rig.at(NOON + 4 * US_PER_DAY);
    rig
}

fn batches() -> Vec<Batch> {
    let day = |n: i64| NOON + (n % 2) * 4 * US_PER_DAY;
    let mut batches: Vec<_> = (0..6).map(|n| (day(n), n)).collect();
    batches.sort_unstable();
    batches
        .into_iter()
        .enumerate()
        .map(|(at, (us, _))| (i64::try_from(at).expect("small"), us))
        .map(|(at, us)| batch(at * 10..at * 10 + 10, us))
        .collect()
}

/// What is left at the end: of the first day, nothing of the class that expires.
fn expected() -> Vec<i64> {
    (0..70).filter(|id| *id >= 30 || id % 3 != 0).collect()
}

/// A pass, a batch of the drain, and another pass when the log is old. Says when the batch was delivered.
async fn work(rig: &Rig, files: Arc<FailingFiles>, delivered: &mut bool) -> Result<(), StoreError> {
    let mut store = EmbeddedStore::open_through(&rig.table(), CollectorNumber::default(), files).await?;
    rig.maintenance(&store).pass().await?;
    deliver(&mut store).await?;
    *delivered = true;
    rig.at(NOON + 4 * US_PER_DAY + US_PER_DAY / 4);
    rig.maintenance(&store).pass().await
}

/// As the drain does with a batch that may have been sent before.
async fn deliver(store: &mut EmbeddedStore) -> Result<(), StoreError> {
    let batch = batch(60..70, NOON + 4 * US_PER_DAY);
    match store.holding(&batch).await? {
        Holding::Nothing => store.insert(&batch).await,
        held => {
            assert_eq!(held, Holding::All);
            Ok(())
        }
    }
}

/// After the grace period nothing is on the disk but what the table has, and that is what it should be.
async fn assert_whole(rig: &Rig, store: &EmbeddedStore, what: &str) {
    for hours in [8, 10] {
        rig.at(NOON + 4 * US_PER_DAY + hours * US_PER_DAY / 24);
        rig.maintain(store).await;
    }
    assert_eq!(rig.ids().await, expected(), "{what}");
    let mut files = rig.files().await;
    files.sort();
    assert_eq!(rig.files_on_disk().into_iter().collect::<Vec<_>>(), files, "{what}");
    rig.assert_rollups(what).await;
}

/// What dies with the process.
#[derive(Clone, Copy, PartialEq)]
enum Dies {
    Process,
    /// Names that were not synced are gone, too.
    Machine,
}

async fn dies_in_every_write(dies: Dies, last_is_done: bool) {
    let prepared = prepared().await;
    for writes in 0..OPERATIONS_MAX {
        let (rig, what) = (prepared.copy(), format!("dead after {writes} writes"));
        let power = rig.power();
        let files = Arc::new(FailingFiles::new(Fault::Death, writes, last_is_done));
        let mut delivered = false;
        let outcome = work(&rig, Arc::clone(&files), &mut delivered).await;
        assert_eq!(outcome.is_err(), files.failed(), "{what}: {outcome:?}");
        if dies == Dies::Machine {
            power.cut();
        }
        let there = rig.ids().await;
        let has_to_be_there = |id: &i64| *id < 60 || delivered;
        assert!(expected().iter().all(|id| there.contains(id) || !has_to_be_there(id)), "{what}: {there:?}");
        assert!(there.windows(2).all(|pair| pair[0] < pair[1]), "{what}: {there:?}");
        rig.assert_rollups_agree(&what).await;
        let files_that_work = Arc::new(FailingFiles::new(Fault::Death, i64::MAX, false));
        work(&rig, files_that_work, &mut delivered).await.expect("the work");
        assert_whole(&rig, &rig.open().await, &what).await;
        if !files.failed() {
            return;
        }
    }
    panic!("the work never ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_before_a_write() {
    dies_in_every_write(Dies::Process, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_after_a_write() {
    dies_in_every_write(Dies::Process, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_power_after_a_write() {
    dies_in_every_write(Dies::Machine, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operation_fails_and_the_process_goes_on() {
    let prepared = prepared().await;
    for operations in (0..OPERATIONS_MAX).step_by(2) {
        let (rig, what) = (prepared.copy(), format!("operation {operations} failed"));
        let files = Arc::new(FailingFiles::new(Fault::Stumble, operations, true));
        let table = rig.table();
        let open = || EmbeddedStore::open_through(&table, CollectorNumber::default(), Arc::clone(&files) as _);
        let mut store = match open().await {
            Ok(store) => store,
            Err(_) => open().await.expect("a table"),
        };
        let mut maintenance = rig.maintenance(&store);
        for _ in 0..2 {
            // Whatever fails is tried again, at once or by the next pass.
            let _ = maintenance.pass().await;
            if deliver(&mut store).await.is_err() {
                // What was sent may be merged before the drain asks again.
                let _ = maintenance.pass().await;
                deliver(&mut store).await.expect("delivered");
            }
            rig.at(NOON + 4 * US_PER_DAY + US_PER_DAY / 4);
        }
        if !files.failed() {
            return;
        }
        assert_whole(&rig, &store, &what).await;
    }
    panic!("the work never ends");
}
