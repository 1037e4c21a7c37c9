//! Power cuts at every disk operation, and at every byte of the last write.

use std::fs;
use std::path::Path;

use telemetrics_schema::recent::Recent;

use super::super::files::{Disk, DiskFile};
use super::super::{Journal, JournalSettings};
use super::forgetful::Forgetful;
use super::rig::{Open, TestClock, World, ids, records_of, small_settings};

/// Different outcomes of one power cut that are tried.
const OUTCOMES: u64 = 12;

/// Everything that the journal does: groups, seals, confirmations, new segments, removals.
fn live(world: &mut World, journal: &mut Open, disk: &Forgetful) {
    for step in 0..14 {
        world.append(journal, &[1, 2]);
        world.append(journal, &[1 + step % 3]);
        if step % 2 == 1 {
            world.seal(journal, 5);
        }
        if step % 3 == 2 {
            world.confirm(journal);
        }
        if disk.is_dead() {
            return;
        }
    }
}

/// How many operations [`live`] makes on a disk with power.
fn operations_of_a_life() -> u64 {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("a new journal");
    live(&mut World::default(), &mut journal, &disk);
    assert!(journal.stats().segments < 12, "segments were removed");
    disk.operations()
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    let operations = operations_of_a_life();
    assert!(operations > 60, "{operations}");
    for dies_after in 0..operations {
        for seed in 0..OUTCOMES {
            die_and_recover(dies_after, seed);
        }
    }
}

fn die_and_recover(dies_after: u64, seed: u64) {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut world = World::default();
    disk.die_after(dies_after);
    if let Ok(mut journal) = Open::new(&disk, &settings, &clock) {
        live(&mut world, &mut journal, &disk);
    }
    let disk = disk.after_power_cut(seed);
    let mut journal = Open::new(&disk, &settings, &clock).expect("recovered");
    world.check(&journal);
    world.append(&mut journal, &[1]);
    let acknowledged = world.acknowledged.len();
    drop(journal);
    let journal = Open::new(&disk.after_power_cut(seed), &settings, &clock).expect("recovered");
    world.check(&journal);
    assert_eq!(journal.recovered.torn, None, "the first recovery cut the torn tail off");
    assert_eq!(world.acknowledged.len(), acknowledged);
}

#[test]
fn a_power_cut_during_recovery_loses_nothing_either() {
    let (disk, clock, settings) = (Forgetful::new(), TestClock::new(), small_settings());
    let mut journal = Open::new(&disk, &settings, &clock).expect("a new journal");
    let mut world = World::default();
    live(&mut world, &mut journal, &disk);
    disk.die_after(1);
    world.append(&mut journal, &[3]);
    for seed in 0..OUTCOMES {
        for dies_after in 0..12 {
            let torn = disk.after_power_cut(seed);
            torn.die_after(dies_after);
            drop(Open::new(&torn, &settings, &clock));
            let journal = Open::new(&torn.after_power_cut(seed + 1), &settings, &clock).expect("recovered");
            let promised: Vec<_> = world.acknowledged.keys().filter(|id| Some(**id) > world.confirmed).collect();
            let found = journal.pending();
            assert!(promised.iter().all(|id| found.iter().any(|record| record.id == **id)));
        }
    }
}

/// A journal with an empty segment and the header of a next one that is on disk and was then emptied in memory.
fn emptied_header(seed: u64) -> Forgetful {
    let (disk, settings, clock) = (Forgetful::new().after_power_cut(seed), small_settings(), TestClock::new());
    let (mut journal, mut world) = (Open::new(&disk, &settings, &clock).expect("opened"), World::default());
    // The write fails, and what should empty the segment: it is given up.
    disk.fail_after(0, 2);
    world.append(&mut journal, &[1]);
    // The next segment is created and gets a header whose sync fails, and then cannot be created again.
    disk.fail_after(3, 2);
    world.append(&mut journal, &[1]);
    world.append(&mut journal, &[1]);
    assert!(world.acknowledged.is_empty());
    disk.after_kill()
}

#[test]
fn a_header_that_was_emptied_does_not_come_back_and_cut_off_what_was_acknowledged() {
    for seed in 0..64 {
        let (disk, settings, clock) = (emptied_header(seed), small_settings(), TestClock::new());
        let mut journal = Open::new(&disk, &settings, &clock).expect("recovered");
        let mut world = World::default();
        world.append(&mut journal, &[1]);
        assert_eq!(world.acknowledged.len(), 1);
        let journal = Open::new(&disk.after_power_cut(seed), &settings, &clock).expect("recovered");
        assert_eq!(journal.recovered.pending, 1, "seed {seed}");
    }
}

fn payloads(recent: &Recent) -> Vec<String> {
    records_of(recent).into_iter().map(|record| record.report.payload).collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A journal's only segment, and where in it the write of its last group begins and ends.
fn last_write() -> (Vec<u8>, std::ops::Range<usize>) {
    let disk = Forgetful::new();
    let mut journal = Open::new(&disk, &small_settings(), &TestClock::new()).expect("opened");
    assert!(journal.append(&[owned(&["kept"])])[0].is_ok());
    let before = disk.read(1, u64::MAX).expect("read");
    assert!(journal.append(&[owned(&["last", "one"])])[0].is_ok());
    let after = disk.read(1, u64::MAX).expect("read");
    let begin = after.iter().zip(&before).position(|(new, old)| new != old).expect("a change");
    let end = after.iter().rposition(|byte| *byte != 0).expect("a byte") + 1;
    (after, begin..end)
}

/// The segment with only a part of its last write, as it looks with and without preallocation.
fn torn_at(segment: &[u8], cut: usize) -> [Vec<u8>; 2] {
    [segment[..cut].to_vec(), [&segment[..cut], &vec![0; segment.len() - cut]].concat()]
}

#[test]
fn every_prefix_of_the_last_write_keeps_what_was_before_it() {
    let (segment, write) = last_write();
    for cut in write.start..write.end {
        for torn in torn_at(&segment, cut) {
            let disk = Forgetful::new();
            disk.create(1).and_then(|file| file.put(0, &torn)).expect("written");
            let journal = Open::new(&disk, &small_settings(), &TestClock::new()).expect("opened");
            assert_eq!(payloads(&journal.recent), ["kept"], "cut at {cut}");
            assert_eq!(journal.recovered.torn.is_some(), cut > write.start, "cut at {cut}");
            drop(journal);
            let journal = Open::new(&disk, &small_settings(), &TestClock::new()).expect("opened again");
            assert_eq!((payloads(&journal.recent), &journal.recovered.torn), (owned(&["kept"]), &None));
        }
    }
}

/// Opens a journal in a real directory and says what is in it and how many bytes were torn.
fn reopen(directory: &Path) -> (Vec<String>, Option<u64>) {
    let settings = JournalSettings { directory: directory.to_owned(), ..small_settings() };
    let recent = Recent::default();
    let opened = Journal::open(&settings, TestClock::new(), ids(), recent.clone());
    let (_journal, recovered) = opened.expect("opened");
    (payloads(&recent), recovered.torn.map(|torn| torn.bytes))
}

#[test]
fn a_real_file_that_is_torn_is_read_like_the_simulated_one() {
    let (segment, write) = last_write();
    for cut in [write.start, write.start + 1, usize::midpoint(write.start, write.end), write.end - 20] {
        for torn in torn_at(&segment, cut) {
            let directory = tempfile::tempdir().expect("a directory");
            fs::write(directory.path().join("0000000000000001.journal"), &torn).expect("written");
            let (found, torn) = reopen(directory.path());
            assert_eq!((found, torn.is_some()), (owned(&["kept"]), cut > write.start), "cut at {cut}");
            assert_eq!(reopen(directory.path()), (owned(&["kept"]), None));
        }
    }
}
