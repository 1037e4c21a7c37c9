//! A power cut takes the names that were not synced: what an insert was answered for is there all the same.

use std::fs;

use telemetrics_schema::layout::{PARTITION, date_text};
use telemetrics_schema::retention::RetentionPolicy;

use super::rig::{DAY, NOON, Rig, batch};
use crate::directory::power::Power;

/// Inserts a batch and loses power at once.
async fn insert_and_cut(rig: &Rig, power: &Power) {
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    drop(store);
    power.cut();
    assert_eq!(rig.ids().await, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_first_batch_is_there_with_all_directories_above_it() {
    let rig = Rig::new(RetentionPolicy::off());
    insert_and_cut(&rig, &rig.power()).await;
}

#[tokio::test]
async fn directories_that_a_killed_process_made_and_did_not_sync_are_synced_by_the_next_one() {
    let rig = Rig::new(RetentionPolicy::off());
    let power = rig.power();
    for name in ["_delta_log".to_owned(), format!("{PARTITION}={}", date_text(DAY))] {
        fs::create_dir_all(rig.table().join(name)).expect("made");
    }
    insert_and_cut(&rig, &power).await;
}
