//! What the maintenance counts is what it did.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::{Clock, US_PER_DAY};
use tokio_util::sync::CancellationToken;

use super::super::counters::MaintenanceStats;
use super::super::maintenance::{Maintenance, MaintenanceSettings};
use super::rig::{NOON, Rig, batch, batch_of, record};

/// Bytes of the files of the table as somebody finds them who opens it now.
async fn bytes(rig: &Rig) -> u64 {
    let files = rig.files().await.into_iter();
    files.map(|file| std::fs::metadata(rig.table().join(file)).expect("a file").len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_files_are_counted_with_their_records_and_bytes() {
    let rig = Rig::new(RetentionPolicy::days(0));
    let mut store = rig.open().await;
    for start in 0..5 {
        store.insert(&batch(start * 100..start * 100 + 100, NOON)).await.expect("inserted");
    }
    rig.maintain(&store).await;
    let bytes = bytes(&rig).await;
    let expected = MaintenanceStats {
        files: 1,
        bytes,
        rewrites: 1,
        rewritten_rows: 500,
        rewritten_bytes: bytes,
        last_sweep: rig.now(),
        ..MaintenanceStats::default()
    };
    assert_eq!(store.counters.read(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_records_are_counted_whether_their_file_is_dropped_or_written_again() {
    let rules = vec![RetentionRule { matcher: Matcher::Severity(1), days: 1 }];
    let rig = Rig::new(RetentionPolicy { default_days: 5, rules });
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON - 7 * US_PER_DAY)).await.expect("inserted");
    let three_days = NOON - 3 * US_PER_DAY;
    let mixed = [1, 1, 2].into_iter().zip(20..).map(|(severity, id)| record(id, three_days, "a/b/c", severity));
    store.insert(&batch_of(mixed.collect())).await.expect("inserted");
    rig.maintain(&store).await;
    let counted = store.counters.read();
    assert_eq!((counted.expired_rows, counted.rewrites, counted.rewritten_rows), (12, 1, 1));
    assert_eq!((counted.files, counted.failures), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_fails_is_counted() {
    let rig = Rig::new(RetentionPolicy::days(0));
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    store.insert(&batch(10..20, NOON)).await.expect("inserted");
    std::fs::remove_file(rig.table().join(&rig.files().await[0])).expect("removed");
    let settings = MaintenanceSettings { check_interval: Duration::from_millis(1), ..rig.settings.clone() };
    let (counters, stop) = (Arc::clone(&store.counters), CancellationToken::new());
    let clock = Arc::new(Fixed(rig.now()));
    let maintenance = Maintenance::new(Arc::clone(&store.table), settings, Arc::clone(&counters), clock, stop.clone());
    let running = tokio::spawn(maintenance.run());
    while counters.read().failures < 2 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.expect("it ends");
    assert_eq!((counters.read().rewrites, counters.read().files), (0, 2));
}

struct Fixed(TimestampUs);

impl Clock for Fixed {
    fn now(&self) -> TimestampUs {
        self.0
    }
}
