//! What callers see: acknowledgements, limits, recovery from failures, statistics, shutdown.

use std::sync::Arc;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::{CollectorNumber, Record, RecordId};

use super::super::segment::{CONTROL_RESERVE_BYTES, HEADER_BYTES};
use super::super::{AppendError, Ids, Journal, JournalError, JournalSettings, Recovered, Seal};
use super::forgetful::Forgetful;
use super::rig::{Open, TestClock, ids, records_of, report, small_settings};

struct Place {
    directory: tempfile::TempDir,
    settings: JournalSettings,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = JournalSettings { directory: directory.path().join("journal"), ..small_settings() };
        Self { directory, settings }
    }

    fn open(&self) -> (Journal, Recovered, Recent) {
        let recent = Recent::default();
        let (journal, recovered) =
            Journal::open(&self.settings, TestClock::new(), ids(), recent.clone()).expect("opened");
        (journal, recovered, recent)
    }
}

fn seal(first: &Record, last: &Record, rows: u64) -> Seal {
    Seal { first: first.id, last: last.id, rows, checksum: 9 }
}

fn is_invalid<T>(outcome: &Result<T, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Invalid(_)))
}

#[tokio::test]
async fn an_acknowledged_record_is_visible_and_comes_back_after_a_restart() {
    let place = Place::new();
    let (journal, recovered, recent) = place.open();
    assert_eq!(recovered, Recovered::default());
    let record = journal.append(report("hello")).await.expect("acknowledged");
    assert_eq!(records_of(&recent), [(*record).clone()]);
    journal.shutdown().await;
    let (_journal, recovered, recent) = place.open();
    assert_eq!((recovered.pending, recovered.last_id, recovered.segments), (1, Some(record.id), 1));
    assert_eq!(records_of(&recent), [(*record).clone()]);
}

#[tokio::test]
async fn many_reports_are_answered_in_their_order_even_when_they_need_several_segments() {
    let place = Place::new();
    let (journal, _, recent) = place.open();
    let payloads: Vec<_> = (0..100).map(|n| format!("{n:0300}")).collect();
    let records = journal.append_many(payloads.iter().map(|p| report(p)).collect()).await.expect("acknowledged");
    assert_eq!(records.iter().map(|record| record.report.payload.clone()).collect::<Vec<_>>(), payloads);
    assert!(records.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert!(journal.stats().segments > 20, "{:?}", journal.stats());
    assert_eq!(records_of(&recent).len(), 100);
    drop(journal);
    assert_eq!(place.open().1.pending, 100);
}

#[tokio::test]
async fn no_reports_are_no_records() {
    let place = Place::new();
    assert_eq!(place.open().0.append_many(Vec::new()).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_groups_and_get_distinct_growing_identifiers() {
    let mut place = Place::new();
    (place.settings.queue_bytes, place.settings.group_bytes) = (1 << 20, 1 << 20);
    place.settings.segment_bytes = 2 << 20;
    place.settings.quota_bytes = 8 << 20;
    let (journal, _, recent) = place.open();
    let tasks: Vec<_> = (0..500)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(report(&n.to_string())).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("acknowledged");
    }
    let ids: Vec<_> = records_of(&recent).iter().map(|record| record.id).collect();
    assert_eq!(ids.len(), 500);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    let stats = journal.stats();
    assert_eq!(stats.group_records.sum, 500);
    assert_eq!(stats.sync_us.count, stats.group_records.count);
}

#[test]
fn a_group_is_one_write_and_one_sync() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let before = disk.operations();
    let outcomes = journal.append(&[vec!["a".into()], vec!["b".into(), "c".into()], vec!["d".into()]]);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(disk.operations() - before, 2);
    let stats = journal.stats();
    assert_eq!((stats.group_records.count, stats.group_records.sum), (1, 4));
}

#[tokio::test]
async fn a_record_at_the_limit_is_kept_and_one_beyond_it_is_invalid() {
    let place = Place::new();
    let (journal, _, _) = place.open();
    let fits = place.settings.record_limit_bytes() - 96;
    journal.append(report(&"x".repeat(fits))).await.expect("fits");
    assert!(is_invalid(&journal.append(report(&"x".repeat(fits + 1))).await));
    drop(journal);
    assert_eq!(place.open().1.pending, 1);
}

#[test]
fn confirmed_segments_are_removed_and_the_newest_stays() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let ids: Vec<_> = (0..20).map(|n| append_one(&mut journal, &format!("{n:0500}"))).collect();
    let full = journal.stats();
    assert!(full.segments >= 10);
    journal.confirm(ids[9]).expect("confirmed");
    let half = journal.stats();
    assert!(half.segments < full.segments && half.bytes < full.bytes);
    assert_eq!(disk.used_bytes() as u64, half.bytes);
    journal.confirm(ids[19]).expect("confirmed");
    assert_eq!(journal.stats().segments, 1);
    assert_eq!(journal.stats().oldest_pending, None);
    drop(journal);
    let journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let found = &journal.recovered;
    assert_eq!((found.pending, found.confirmed, found.last_id), (0, Some(ids[19]), Some(ids[19])));
}

fn append_one(journal: &mut Open, payload: &str) -> RecordId {
    journal.append(&[vec![payload.to_owned()]])[0].as_ref().expect("acknowledged")[0].id
}

#[test]
fn identifiers_go_on_above_the_last_one_though_its_segment_is_gone_and_the_clock_goes_back() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut last = RecordId(0);
    for _ in 0..5 {
        let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
        let id = append_one(&mut journal, "x");
        assert!(id > last);
        journal.confirm(id).expect("confirmed");
        last = id;
        clock.turn_by_us(-3_600_000_000);
    }
}

#[test]
fn restarts_that_write_nothing_leave_no_files_behind() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    append_one(&mut Open::new(&disk, &small_settings(), &clock).expect("opened"), "x");
    for _ in 0..5 {
        let journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
        assert_eq!(journal.stats().segments, 2);
    }
}

#[test]
fn a_seal_keeps_its_segment_and_comes_back_until_it_is_confirmed() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let records: Vec<_> = (0..4).map(|n| append_one(&mut journal, &format!("{n:0900}"))).collect();
    let first = Seal { first: records[0], last: records[1], rows: 2, checksum: 77 };
    let second = Seal { first: records[2], last: records[3], rows: 2, checksum: 78 };
    journal.seal(first).expect("sealed");
    journal.seal(second).expect("sealed");
    journal.seal(second).expect("sealed again");
    drop(journal);
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    assert_eq!(journal.recovered.sealed, [first, second]);
    journal.confirm(first.last).expect("confirmed");
    drop(journal);
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    assert_eq!(journal.recovered.sealed, [second]);
    journal.confirm(second.last).expect("confirmed");
    assert!(is_invalid(&journal.seal(second)), "its records are not pending any more");
}

#[tokio::test]
async fn a_seal_of_what_is_not_pending_or_is_sealed_otherwise_is_invalid() {
    let place = Place::new();
    let (journal, _, _) = place.open();
    let records = journal.append_many((0..3).map(|n| report(&n.to_string())).collect()).await.expect("acknowledged");
    let (first, last) = (&records[0], &records[2]);
    let beyond = Seal { last: RecordId(last.id.0 + 1), ..seal(first, last, 3) };
    assert!(is_invalid(&journal.seal(beyond).await));
    assert!(is_invalid(&journal.seal(seal(last, first, 3)).await), "it ends before it begins");
    journal.seal(seal(first, &records[1], 2)).await.expect("sealed");
    assert!(is_invalid(&journal.seal(seal(&records[1], last, 2)).await), "it overlaps");
    journal.seal(seal(last, last, 1)).await.expect("sealed");
}

#[test]
fn a_confirmation_beyond_the_last_record_confirms_no_future_record() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let first = append_one(&mut journal, "a");
    journal.confirm(RecordId::MAX).expect("confirmed");
    append_one(&mut journal, "b");
    drop(journal);
    let journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    assert_eq!((journal.recovered.confirmed, journal.recovered.pending), (Some(first), 1));
}

/// Appends until the quota is reached, and says which records were acknowledged.
fn fill(journal: &mut Open) -> Vec<RecordId> {
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        match journal.append(&[vec!["x".repeat(400)]]).remove(0) {
            Ok(records) => ids.push(records[0].id),
            Err(AppendError::Full(_)) => return ids,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the quota was never reached");
}

#[test]
fn the_quota_refuses_records_but_neither_seals_nor_confirmations_and_recovers() {
    let (disk, clock, mut settings) = (Forgetful::new(), TestClock::new(), small_settings());
    settings.quota_bytes = 2 * settings.segment_bytes + 2_000;
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    let ids = fill(&mut journal);
    assert!(ids.len() > 4 && disk.used_bytes() as u64 <= settings.quota_bytes);
    assert!(!journal.stats().writable);
    journal.seal(Seal { first: ids[0], last: ids[3], rows: 4, checksum: 1 }).expect("sealed");
    journal.confirm(ids[3]).expect("confirmed");
    append_one(&mut journal, "there is room again");
    assert!(journal.stats().writable);
}

#[test]
fn seals_and_confirmations_have_room_however_many_come_at_the_quota() {
    let (disk, clock, mut settings) = (Forgetful::new(), TestClock::new(), small_settings());
    settings.quota_bytes = 2 * settings.segment_bytes;
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    let id = append_one(&mut journal, "x");
    fill(&mut journal);
    let same = Seal { first: id, last: id, rows: 1, checksum: 1 };
    for _ in 0..3 * CONTROL_RESERVE_BYTES / 88 {
        journal.seal(same).expect("sealed");
    }
    drop(journal);
    assert_eq!(Open::new(&disk, &settings, &clock).expect("opened").recovered.sealed, [same]);
}

#[test]
fn a_full_disk_refuses_records_keeps_what_was_acknowledged_and_recovers() {
    for allocates in [true, false] {
        let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
        if !allocates {
            disk.cannot_allocate();
        }
        let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
        let first = append_one(&mut journal, "first");
        disk.set_capacity_bytes(disk.used_bytes() + 300);
        let outcomes: Vec<_> = (0..20).map(|_| journal.append(&[vec!["x".repeat(400)]]).remove(0)).collect();
        assert!(matches!(outcomes[19], Err(AppendError::Unavailable(_))), "{:?}", outcomes[19]);
        assert!(!journal.stats().writable && journal.stats().failures > 0);
        disk.set_capacity_bytes(usize::MAX);
        append_one(&mut journal, "last");
        assert!(journal.stats().writable);
        let acknowledged = 2 + outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        drop(journal);
        let journal = Open::new(&disk.after_power_cut(3), &settings, &clock).expect("opened");
        assert_eq!(journal.recovered.pending, acknowledged);
        assert_eq!(journal.pending()[0].id, first);
    }
}

#[test]
fn a_full_disk_does_not_keep_the_journal_from_draining() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    let ids: Vec<_> = (0..8).map(|n| append_one(&mut journal, &format!("{n:0600}"))).collect();
    // Nothing is free but what the unused end of the newest segment gives back.
    disk.set_capacity_bytes(disk.used_bytes());
    drop(journal);
    let mut journal = Open::new(&disk, &settings, &clock).expect("a full disk can be opened");
    assert_eq!(journal.recovered.pending, 8);
    journal.seal(Seal { first: ids[0], last: ids[6], rows: 7, checksum: 1 }).expect("sealed");
    let before = disk.used_bytes();
    journal.confirm(ids[6]).expect("confirmed");
    assert!(disk.used_bytes() < before);
    disk.set_capacity_bytes(usize::MAX);
    append_one(&mut journal, "there is room again");
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_the_next_group_is_kept() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    append_one(&mut journal, "before");
    disk.fail_after(1, 1);
    let outcome = journal.append(&[vec!["lost".into()], vec!["too".into()]]);
    assert!(outcome.iter().all(|outcome| matches!(outcome, Err(AppendError::Unavailable(_)))), "{outcome:?}");
    append_one(&mut journal, "after");
    assert_eq!(journal.stats().failures, 1);
    for disk in [disk.after_kill(), disk.after_power_cut(1)] {
        let journal = Open::new(&disk, &settings, &clock).expect("opened");
        let payloads: Vec<_> = journal.pending().into_iter().map(|r| r.report.payload).collect();
        assert_eq!(payloads, ["before", "after"]);
        assert_eq!(journal.recovered.torn, None);
    }
}

#[test]
fn a_disk_that_keeps_failing_does_not_fill_the_directory() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    for _ in 0..50 {
        // The write succeeds, the sync does not.
        disk.fail_after(1, 1);
        assert!(journal.append(&[vec!["x".into()]])[0].is_err());
    }
    assert_eq!(journal.stats().segments, 1);
    append_one(&mut journal, "y");
}

#[test]
fn nothing_of_a_failed_group_stays_behind_the_group_that_takes_its_place() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let id = append_one(&mut Open::new(&disk, &settings, &clock).expect("opened"), "x");
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    disk.fail_after(1, 1);
    assert!(!journal.append_and_seal("lost", Seal { first: id, last: id, rows: 1, checksum: 1 }));
    // As long as the lost one, so that it ends where the failed seal began.
    append_one(&mut journal, "kept");
    let journal = Open::new(&disk.after_kill(), &settings, &clock).expect("opened");
    assert_eq!((journal.recovered.pending, journal.recovered.sealed.len()), (2, 0));
}

#[test]
fn a_confirmation_that_failed_is_on_disk_before_segments_are_removed_because_of_it() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    let last = (0..6).map(|n| append_one(&mut journal, &format!("{n:0600}"))).max().expect("some");
    drop(journal);
    let mut journal = Open::new(&disk, &settings, &clock).expect("opened");
    disk.fail_after(0, 1);
    assert!(matches!(journal.confirm(last), Err(AppendError::Unavailable(_))));
    append_one(&mut journal, "next");
    assert_eq!(journal.stats().segments, 1);
    let journal = Open::new(&disk.after_power_cut(0), &settings, &clock).expect("opened");
    assert_eq!((journal.recovered.confirmed, journal.recovered.pending), (Some(last), 1));
}

#[test]
fn the_oldest_pending_record_has_its_reception_time_in_the_statistics() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let first = append_one(&mut journal, "a");
    let received = journal.pending()[0].ts_reception;
    clock.turn_by_us(5_000_000);
    let second = append_one(&mut journal, "b");
    assert_eq!(journal.stats().oldest_pending, Some(received));
    journal.confirm(first).expect("confirmed");
    assert_eq!(journal.stats().oldest_pending.map(|at| at.0), Some(received.0 + 5_000_000));
    journal.confirm(second).expect("confirmed");
    assert_eq!(journal.stats().oldest_pending, None);
}

#[tokio::test]
async fn shutdown_refuses_new_work_and_gives_the_directory_up() {
    let place = Place::new();
    let (journal, _, _) = place.open();
    let other = journal.clone();
    journal.append(report("x")).await.expect("acknowledged");
    journal.shutdown().await;
    journal.shutdown().await;
    assert_eq!(other.append(report("y")).await, Err(AppendError::Closed));
    assert_eq!(other.confirm(RecordId(1)).await, Err(AppendError::Closed));
    assert_eq!(place.open().1.pending, 1);
}

#[test]
fn a_directory_in_use_is_locked() {
    let place = Place::new();
    let _first = place.open();
    let second = Journal::open(&place.settings, TestClock::new(), ids(), Recent::default());
    assert!(matches!(second, Err(JournalError::Locked(_))));
    assert!(place.directory.path().exists());
}

#[tokio::test]
async fn identifiers_go_on_above_what_the_store_has() {
    let place = Place::new();
    let ahead = RecordId(RecordId::MAX.0 / 2);
    let above = Ids { above: Some(ahead), ..ids() };
    let opened = Journal::open(&place.settings, TestClock::new(), above, Recent::default()).expect("opened");
    assert_eq!(opened.1.last_id, Some(ahead));
    let record = opened.0.append(report("x")).await.expect("acknowledged");
    assert!(record.id > ahead);
}

#[test]
fn another_collectors_journal_is_refused() {
    let place = Place::new();
    drop(place.open());
    let other = Ids { collector: CollectorNumber::new(6).expect("below 64"), above: None };
    let outcome = Journal::open(&place.settings, TestClock::new(), other, Recent::default());
    assert!(matches!(outcome, Err(JournalError::Incompatible(_))));
}

#[test]
fn a_segment_takes_the_space_that_the_settings_say() {
    let place = Place::new();
    let (journal, _, _) = place.open();
    let stats = journal.stats();
    assert_eq!((stats.bytes, stats.segments), (place.settings.segment_bytes, 1));
    assert!(stats.bytes > HEADER_BYTES && stats.writable);
    assert_eq!(Arc::strong_count(&journal.shared), 1);
}
