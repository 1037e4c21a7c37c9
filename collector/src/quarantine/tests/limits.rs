//! Every limit at its edge, and who makes room for whom.

use telemetrics_schema::time::Clock;
use telemetrics_schema::{RecordId, TimestampUs};

use super::super::entry::{Entry, Kind};
use super::super::shelf::{STORE_REASON_CHARS_MAX, of_store};
use super::super::{QUOTA_PER_BODY, QuarantineSettings};
use super::super::{QuarantineFault, worker::Job};
use super::rig::{Open, TestClock, record_of, small};
use crate::journal::tests::forgetful::Forgetful;

fn with(settings: &QuarantineSettings) -> (Open, Forgetful, std::sync::Arc<TestClock>) {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    (Open::new(&disk, settings, &clock).expect("opened"), disk, clock)
}

fn bodies(open: &mut Open) -> Vec<String> {
    let body = |entry: super::super::Entry| entry.request.map(|r| String::from_utf8_lossy(&r.body).into_owned());
    open.entries().into_iter().filter_map(body).collect()
}

#[test]
fn evidence_makes_room_for_evidence_the_longest_unseen_first() {
    let (mut open, _, clock) = with(&QuarantineSettings { entries: 3, ..small() });
    for body in ["a", "b", "c"] {
        clock.turn_by_us(1);
        open.keep_one(Kind::Evidence, body).expect("kept");
    }
    clock.turn_by_us(1);
    open.keep_one(Kind::Evidence, "a").expect("counted");
    clock.turn_by_us(1);
    open.keep_one(Kind::Evidence, "d").expect("kept");
    assert_eq!(bodies(&mut open), ["a", "c", "d"]);
}

#[test]
fn evidence_makes_room_for_what_is_owed_and_never_the_other_way_round() {
    let (mut open, _, _) = with(&QuarantineSettings { entries: 2, ..small() });
    open.keep_one(Kind::Evidence, "evidence").expect("kept");
    open.keep_one(Kind::Owed, "first").expect("kept");
    open.keep_one(Kind::Owed, "second").expect("kept");
    assert_eq!(bodies(&mut open), ["first", "second"]);
    for kind in [Kind::Evidence, Kind::Owed] {
        assert!(matches!(open.keep_one(kind, "third"), Err(QuarantineFault::Full(_))));
    }
    assert_eq!(open.keep_one(Kind::Owed, "first").expect("counted").count, 2);
    assert_eq!(bodies(&mut open), ["first", "second"]);
}

#[test]
fn who_is_answered_is_in_the_numbers() {
    let (mut open, _, clock) = with(&QuarantineSettings { entries: 2, ..small() });
    let kept = open.keep_one(Kind::Owed, "owed").expect("kept");
    assert_eq!(open.stats().owed.entries, 1);
    open.discard(kept.id).expect("discarded");
    assert_eq!(open.stats().owed.entries, 0);
    open.keep_one(Kind::Evidence, "evidence").expect("kept");
    assert_eq!(open.stats().evidence.entries, 1);
    clock.turn_by_us(1 << 50);
    assert!(bodies(&mut open).is_empty());
    assert_eq!(open.stats().evidence.entries, 0);
}

#[test]
fn half_the_quota_is_for_entries_and_the_files_stay_below_it() {
    let (mut open, disk, clock) = with(&QuarantineSettings { entries: 1_000, ..small() });
    let body = |at: usize| format!("{at:06}{}", "x".repeat(10_000));
    let owed = (0..100_000).take_while(|at| open.keep_one(Kind::Owed, &body(*at)).is_ok()).count();
    let used = open.worker.shelf.sum(Kind::Owed).bytes;
    let each = used / owed as u64;
    assert!(used <= small().kept_bytes() && used + each > small().kept_bytes(), "{owed} entries of {each} bytes");
    // A full quarantine is cleaned again and again, and stays as full as it is.
    for round in 0..300 {
        let id = open.entries()[round % owed].id;
        open.discard(id).expect("discarded");
        open.keep_one(Kind::Owed, &body(1_000 + round)).expect("kept");
        assert!(disk.used_bytes() as u64 <= small().quota_bytes, "round {round}: {} bytes", disk.used_bytes());
    }
    let before = bodies(&mut open);
    assert_eq!(before.len(), owed);
    let mut again =
        Open::new(&disk.after_power_cut(1), &QuarantineSettings { entries: 1_000, ..small() }, &clock).expect("opened");
    assert_eq!(bodies(&mut again), before);
}

#[test]
fn an_entry_is_limited_at_its_edge() {
    let (mut open, _, _) = with(&small());
    let limit = usize::try_from(small().entry_limit_bytes()).expect("small");
    open.keep_one(Kind::Owed, "").expect("kept");
    let overhead = usize::try_from(open.worker.shelf.sum(Kind::Owed).bytes).expect("small");
    assert!(matches!(open.keep_one(Kind::Owed, &"x".repeat(limit - overhead + 1)), Err(QuarantineFault::Invalid(_))));
    open.keep_one(Kind::Owed, &"x".repeat(limit - overhead)).expect("kept");
}

#[test]
fn the_largest_body_has_room_for_all_that_becomes_of_it() {
    const BODY_BYTES: usize = 64 << 10;
    let settings = QuarantineSettings { quota_bytes: QUOTA_PER_BODY * BODY_BYTES as u64, ..small() };
    let (mut open, disk, clock) = with(&settings);
    let id = open.keep_one(Kind::Owed, &"x".repeat(BODY_BYTES)).expect("kept").id;
    let entry = open.ask(|reply| Job::Entry(id, reply)).expect("an entry");
    // Every byte of Latin-1 takes two in a record.
    let mut record = record_of(&entry);
    record.report.payload = "é".repeat(BODY_BYTES);
    open.ask(|reply| Job::Seal(vec![record.clone()], reply)).expect("sealed");
    assert!(open.worker.shelf.sum(Kind::Owed).bytes <= settings.entry_limit_bytes(), "with request and record");
    open.ask(|reply| Job::Settle(vec![(id, "no".to_owned())], reply)).expect("settled");
    // The same in a record that was valid when it came.
    let refused = Entry { id: RecordId(1), kind: Kind::Refused, request: None, record: Some(record), ..entry };
    open.worker.shelf.tidy(clock.now()).expect("ready");
    open.worker.shelf.keep(&refused).expect("kept");
    assert!(disk.used_bytes() as u64 <= settings.quota_bytes);
}

#[test]
fn a_replay_that_the_store_refuses_as_a_whole_stays_below_the_quota() {
    let (mut open, disk, _) = with(&QuarantineSettings { entries: 1_000, ..small() });
    let body = |at: usize| format!("{at:06}{}", "x".repeat(10_000));
    let owed = (0..1_000).take_while(|at| open.keep_one(Kind::Owed, &body(*at)).is_ok()).count();
    let before = open.worker.shelf.sum(Kind::Owed).bytes;
    let mut after = None;
    loop {
        let entries = open.ask(|reply| Job::Promised(after, reply)).expect("read");
        let Some(last) = entries.last() else { break };
        after = Some(last.id);
        let records = entries.iter().map(record_of).collect();
        open.ask(|reply| Job::Seal(records, reply)).expect("sealed");
        let refused = entries.iter().map(|entry| (entry.id, "no".to_owned())).collect();
        open.ask(|reply| Job::Settle(refused, reply)).expect("settled");
        assert!(disk.used_bytes() as u64 <= small().quota_bytes, "{} bytes", disk.used_bytes());
    }
    let refused = open.worker.shelf.sum(Kind::Refused);
    assert!(refused.entries == owed as u64 && refused.bytes <= before, "{} bytes of {before}", refused.bytes);
    assert_eq!(bodies(&mut open), (0..owed).map(body).collect::<Vec<_>>());
}

#[test]
fn the_reason_of_a_store_is_limited_at_its_edge() {
    let long = "ü".repeat(STORE_REASON_CHARS_MAX);
    assert_eq!(of_store(&long).reason, long);
    assert_eq!(of_store(&format!("{long}x")).reason, long);
}

#[test]
fn what_does_not_come_again_goes_at_its_age() {
    let (mut open, _, clock) = with(&small());
    open.keep_one(Kind::Owed, "owed").expect("kept");
    open.keep_one(Kind::Evidence, "evidence").expect("kept");
    clock.turn_by_days(2);
    open.keep_one(Kind::Owed, "owed").expect("counted");
    clock.turn_by_days(1);
    assert_eq!(bodies(&mut open), ["owed", "evidence"], "three days are not too old");
    clock.turn_by_us(1);
    assert_eq!(bodies(&mut open), ["owed"]);
    clock.turn_by_days(2);
    assert!(bodies(&mut open).is_empty());
}

#[test]
fn what_is_being_replayed_neither_ages_nor_is_discarded() {
    let (mut open, _, clock) = with(&small());
    let id = open.keep_one(Kind::Owed, "owed").expect("kept").id;
    let entry = open.ask(|reply| Job::Entry(id, reply)).expect("an entry");
    open.ask(|reply| Job::Seal(vec![record_of(&entry)], reply)).expect("sealed");
    clock.turn_by_days(100);
    assert!(matches!(open.discard(id), Err(QuarantineFault::Invalid(_))));
    assert_eq!(bodies(&mut open), ["owed"]);
    open.ask(|reply| Job::Settle(Vec::new(), reply)).expect("settled");
    assert!(bodies(&mut open).is_empty());
}

#[test]
fn a_failing_disk_takes_evidence_and_nothing_that_was_promised() {
    let (mut open, disk, _) = with(&small());
    open.keep_one(Kind::Owed, "owed").expect("kept");
    open.keep_one(Kind::Evidence, "evidence").expect("kept");
    disk.fail_after(0, 1);
    assert!(matches!(open.keep_one(Kind::Owed, "fails"), Err(QuarantineFault::Unavailable(_))));
    assert_eq!(bodies(&mut open), ["owed"]);
    open.keep_one(Kind::Owed, "works").expect("kept");
    assert_eq!(bodies(&mut open), ["owed", "works"]);
    assert_eq!(open.stats().failures, 1);
}

#[test]
fn the_reception_time_is_that_of_the_first_one() {
    let (mut open, _, clock) = with(&small());
    open.keep_one(Kind::Owed, "a").expect("kept");
    clock.turn_by_us(5);
    assert_eq!(open.keep_one(Kind::Owed, "a").expect("counted").count, 2);
    let entry = open.entries().pop().expect("an entry");
    assert_eq!(entry.first_seen, crate::testing::NOON);
    assert_eq!((entry.last_seen, entry.count), (TimestampUs(crate::testing::NOON.0 + 5), 2));
}
