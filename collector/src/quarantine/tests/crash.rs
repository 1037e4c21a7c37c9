//! Power cuts at every disk operation of a life that holds everything the quarantine does.

use super::super::QuarantineError;
use super::super::entry::Kind;
use super::rig::{Open, TestClock, World, small};
use crate::journal::files::{Disk, DiskFile};
use crate::journal::tests::forgetful::Forgetful;

/// Different outcomes of one power cut that are tried.
const OUTCOMES: u64 = 4;

fn live(world: &mut World, open: &mut Open, disk: &Forgetful) {
    for step in 0..24 {
        world.owe(open, 2);
        world.prove(open, 6);
        match step % 4 {
            0 => world.owe_again(open, step),
            1 => world.discard(open, 1),
            2 => world.replay(open, 3, true),
            _ => {}
        }
        if disk.is_dead() {
            return;
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_promised() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut open = Open::new(&disk, &small(), &clock).expect("opened");
    live(&mut World::default(), &mut open, &disk);
    let operations = disk.operations();
    assert!(disk.list().expect("a list")[0] > 1, "segments were removed");
    for dies_after in 0..operations {
        for seed in 0..OUTCOMES {
            die_and_recover(dies_after, seed);
        }
    }
}

fn die_and_recover(dies_after: u64, seed: u64) {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut world = World::default();
    disk.die_after(dies_after);
    if let Ok(mut open) = Open::new(&disk, &small(), &clock) {
        live(&mut world, &mut open, &disk);
    }
    let disk = disk.after_power_cut(seed);
    let mut open = Open::new(&disk, &small(), &clock).expect("recovered");
    world.check(&mut open);
    world.owe(&mut open, 1);
    let owed = world.owed.len();
    drop(open);
    let mut open = Open::new(&disk.after_power_cut(seed), &small(), &clock).expect("recovered");
    world.check(&mut open);
    assert_eq!(world.owed.len(), owed);
}

/// Fills the first segment, lets one operation of the beginning of the second fail, and goes on in a new process.
fn fail_in_a_beginning(operation: u64, seed: u64) {
    // A disk of its own chance: what a failed sync leaves on it is anybody's guess.
    let (disk, clock) = (Forgetful::new().after_power_cut(seed), TestClock::new());
    let mut open = Open::new(&disk, &small(), &clock).expect("opened");
    let bodies: Vec<_> = (0..7).map(|at| format!("{at}{}", "x".repeat(10_000))).collect();
    assert!(open.keep(Kind::Owed, &bodies).iter().all(Result::is_ok));
    disk.fail_after(operation, 1);
    let refused = open.keep_one(Kind::Owed, "in the second").is_err();
    let disk = disk.after_kill();
    let mut open = Open::new(&disk, &small(), &clock).expect("what can be read is whole");
    // The next segment makes what is before it a part of the promise.
    open.keep_one(Kind::Owed, "in the third").expect("kept");
    let mut open = Open::new(&disk.after_power_cut(seed), &small(), &clock).expect("recovered");
    assert_eq!(open.entries().len(), if refused { 8 } else { 9 });
}

#[test]
fn a_header_whose_sync_failed_is_written_again_by_the_next_process() {
    for operation in 0..6 {
        for seed in 0..32 {
            fail_in_a_beginning(operation, seed);
        }
    }
}

/// The only segment of a quarantine with two promised entries, and where the frame of the second begins.
fn two_entries() -> (Vec<u8>, usize) {
    let disk = Forgetful::new();
    let mut open = Open::new(&disk, &small(), &TestClock::new()).expect("opened");
    open.keep_one(Kind::Owed, "first").expect("kept");
    let begin = disk.read(1, u64::MAX).expect("read").len();
    open.keep_one(Kind::Owed, "second").expect("kept");
    (disk.read(1, u64::MAX).expect("read"), begin)
}

fn opened(segment: &[u8]) -> Result<usize, QuarantineError> {
    let disk = Forgetful::new();
    disk.create(1).and_then(|file| file.put(0, segment)).expect("written");
    let mut open = Open::new(&disk, &small(), &TestClock::new())?;
    Ok(open.entries().len())
}

#[test]
fn every_prefix_of_the_last_write_keeps_what_was_before_it() {
    let (segment, begin) = two_entries();
    for cut in begin..segment.len() {
        assert_eq!(opened(&segment[..cut]).expect("opened"), 1, "cut at {cut}");
    }
    assert_eq!(opened(&segment).expect("opened"), 2);
}

#[test]
fn what_was_durable_and_is_broken_stops_the_start() {
    let (mut segment, begin) = two_entries();
    segment[begin - 1] ^= 1;
    assert!(matches!(opened(&segment), Err(QuarantineError::Damaged { segment: 1, .. })));
    // The newest frame itself may as well be torn.
    let (mut segment, _) = two_entries();
    let last = segment.len() - 1;
    segment[last] ^= 1;
    assert_eq!(opened(&segment).expect("opened"), 1);
}

#[test]
fn a_missing_segment_in_the_middle_stops_the_start() {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut open = Open::new(&disk, &small(), &clock).expect("opened");
    for at in 0..24 {
        open.keep_one(Kind::Owed, &format!("{at}{}", "x".repeat(10_000))).expect("kept");
    }
    let segments = disk.list().expect("a list");
    assert!(segments.len() >= 3, "{segments:?}");
    disk.remove(segments[1]).expect("removed");
    let damaged = Open::new(&disk, &small(), &clock).err().expect("damaged");
    assert!(matches!(damaged, QuarantineError::Damaged { segment, .. } if segment == segments[1]));
}
