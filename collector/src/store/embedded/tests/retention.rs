//! Expired records are gone from the files within a day, and nothing else is.

use telemetrics_schema::layout::{ROLLUPS, date_text};
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::{US_PER_DAY, US_PER_S};

use super::rig::{DAY, NOON, Rig, batch, batch_of, record};

const HOUR_US: i64 = 3_600 * US_PER_S;

fn rule(matcher: Matcher, days: u32) -> RetentionRule {
    RetentionRule { matcher, days }
}

fn class(pattern: &str) -> Matcher {
    Matcher::Classification(pattern.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_purge_examples() {
    let rules = vec![
        rule(Matcher::Severity(1), 1),
        rule(Matcher::Severity(4), 0),
        rule(class("test/keep/one"), 0),
        rule(class("test/discard/*"), 1),
    ];
    let rig = Rig::new(RetentionPolicy { default_days: 5, rules });
    let mut store = rig.open().await;
    let (two_days, six_days) = (NOON - 2 * US_PER_DAY, NOON - 6 * US_PER_DAY);
    let old = [
        record(1, six_days, "test/keep/one", 2),
        record(2, six_days, "test/test/one", 2),
        record(3, six_days, "test/test/one", 4),
    ];
    let young = [
        record(4, two_days, "test/discard/two", 4),
        record(5, two_days, "test/test/one", 2),
        record(6, two_days, "test/test/one", 1),
    ];
    store.insert(&batch_of(old.to_vec())).await.expect("inserted");
    store.insert(&batch_of(young.to_vec())).await.expect("inserted");
    rig.maintain(&store).await;
    assert_eq!(rig.ids().await, [1, 3, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_is_taken_by_the_next_pass_and_nothing_is_remembered_of_the_one_before() {
    let three_days = |pattern: &str| RetentionPolicy { default_days: 0, rules: vec![rule(class(pattern), 3)] };
    let rig = Rig::new(three_days("q/*"));
    let mut store = rig.open().await;
    let old = NOON - 5 * US_PER_DAY;
    // The log does not say which classes there are in the file: it has to be looked into, and that is remembered.
    store.insert(&batch_of(vec![record(1, old, "a/b/c", 2), record(2, old, "x/y/z", 2)])).await.expect("inserted");
    let mut maintenance = rig.maintenance(&store);
    maintenance.pass().await.expect("a pass");
    assert_eq!(rig.ids().await, [1, 2]);
    rig.settings.policy.change(three_days("a/b/*"));
    maintenance.pass().await.expect("a pass, though no sweep is due");
    assert_eq!(rig.ids().await, [2]);
    rig.settings.policy.change(RetentionPolicy::days(5));
    rig.at(NOON + US_PER_DAY);
    maintenance.pass().await.expect("a pass");
    assert!(rig.ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_off_the_disk_within_a_day_of_its_expiry() {
    let rig = Rig::new(RetentionPolicy::days(35));
    let mut store = rig.open().await;
    let midnight = i64::from(DAY) * US_PER_DAY;
    store
        .insert(&batch_of((0..24).map(|hour| record(hour, midnight + hour * HOUR_US, "a/b/c", 2)).collect()))
        .await
        .expect("inserted");
    let mut maintenance = rig.maintenance(&store);
    for hour in 0..=48 {
        rig.at(midnight + 35 * US_PER_DAY + hour * HOUR_US + 1);
        maintenance.pass().await.expect("a pass");
        let on_disk = rig.files_on_disk();
        let oldest =
            on_disk.iter().flat_map(|file| super::rig::records_in(&rig.table().join(file))).map(|r| r.id.0).min();
        assert!(oldest.is_none_or(|oldest| oldest + 24 > hour), "hour {hour}: {oldest:?}");
        let alive: Vec<i64> = (0..24).filter(|received| *received > hour).collect();
        let there = rig.ids().await;
        assert!(alive.iter().all(|id| there.contains(id)), "hour {hour}: {there:?}");
    }
    assert!(rig.files_on_disk().is_empty());
    let day = format!("date={}", date_text(DAY));
    assert!(!rig.table().join(&day).exists(), "an empty day goes too");
    assert!(!rig.table().join(ROLLUPS).join(&day).exists(), "and that of its rollups");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_expired_goes_without_being_read() {
    let rig = Rig::new(RetentionPolicy::days(35));
    let mut store = rig.open().await;
    store.insert(&batch(0..10, NOON)).await.expect("inserted");
    let file = rig.table().join(&rig.files().await[0]);
    // A file that cannot be read makes every other way fail.
    let size = std::fs::metadata(&file).expect("a file").len();
    std::fs::write(&file, vec![0; usize::try_from(size).expect("small")]).expect("written");
    rig.at(NOON + 36 * US_PER_DAY);
    rig.maintain(&store).await;
    assert!(rig.files().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sweep_writes_so_many_bytes_again_and_the_next_one_goes_on() {
    let mut rig = Rig::new(RetentionPolicy { default_days: 0, rules: vec![rule(class("a/b/c"), 1)] });
    rig.settings.rewrite_bytes_max = 1;
    let mut store = rig.open().await;
    for day in 0..3 {
        store.insert(&batch(day * 10..day * 10 + 10, NOON + day * US_PER_DAY)).await.expect("inserted");
    }
    let expired = |ids: &[i64]| ids.iter().filter(|id| *id % 3 == 0).count();
    rig.at(NOON + 10 * US_PER_DAY);
    let mut maintenance = rig.maintenance(&store);
    let mut left = vec![expired(&rig.ids().await)];
    for hour in 0..4 {
        rig.at(NOON + 10 * US_PER_DAY + hour * HOUR_US);
        maintenance.pass().await.expect("a pass");
        left.push(expired(&rig.ids().await));
    }
    assert_eq!(left, [10, 6, 3, 0, 0]);
    assert_eq!(rig.ids().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_at_the_next_start_deletes_and_keeps_what_it_says() {
    let mut rig = Rig::new(RetentionPolicy::days(0));
    let mut store = rig.open().await;
    store.insert(&batch(0..9, NOON)).await.expect("inserted");
    rig.at(NOON + 10 * US_PER_DAY);
    rig.maintain(&store).await;
    assert_eq!(rig.ids().await.len(), 9);
    let rules = vec![rule(Matcher::Machine("machine 3".into()), 2)];
    rig.settings.policy = RetentionPolicy { default_days: 20, rules }.into();
    rig.maintain(&store).await;
    assert_eq!(rig.ids().await, [0, 1, 2, 4, 5, 6, 7, 8]);
}
