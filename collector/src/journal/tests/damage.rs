//! Damage to what was acknowledged: always told, never skipped.

use super::super::JournalError;
use super::super::files::{Disk, DiskFile};
use super::super::segment::HEADER_BYTES;
use super::forgetful::Forgetful;
use super::rig::{Open, TestClock, World, small_settings};

/// A disk with several segments of pending records, and a seal.
fn filled() -> Forgetful {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &small_settings(), &clock).expect("opened");
    let mut world = World::default();
    for _ in 0..8 {
        world.append(&mut journal, &[1, 2]);
    }
    world.seal(&mut journal, 4);
    world.append(&mut journal, &[1]);
    world.append(&mut journal, &[1]);
    disk
}

fn open(disk: &Forgetful) -> Result<Open, JournalError> {
    Open::new(disk, &small_settings(), &TestClock::new())
}

/// The segment and the offset that opening names as damaged.
fn damage(disk: &Forgetful) -> (u64, u64) {
    let before = disk.operations();
    match open(disk) {
        Err(JournalError::Damaged { segment, offset, reason }) => {
            assert!(!reason.is_empty());
            assert_eq!(disk.operations(), before, "a damaged journal is not changed");
            (segment, offset)
        }
        Err(other) => panic!("another error: {other}"),
        Ok(journal) => panic!("not noticed: {:?}", journal.recovered),
    }
}

fn change(disk: &Forgetful, segment: u64, offset: u64) {
    let byte = disk.read(segment, offset + 1).expect("read").pop().expect("a byte");
    disk.open(segment).expect("opened").put(offset, &[byte ^ 0x10]).expect("written");
}

/// Offset behind the last byte of a segment that is not zero.
fn end(disk: &Forgetful, segment: u64) -> u64 {
    let bytes = disk.read(segment, u64::MAX).expect("read");
    bytes.iter().rposition(|byte| *byte != 0).expect("a byte") as u64 + 1
}

#[test]
fn a_changed_byte_in_an_older_segment_is_damage() {
    let disk = filled();
    assert!(disk.list().expect("a list").len() > 2);
    for offset in [0, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 30, end(&disk, 1) - 1] {
        let disk = disk.after_kill();
        change(&disk, 1, offset);
        assert_eq!(damage(&disk).0, 1, "{offset}");
    }
}

#[test]
fn a_shorter_or_missing_older_segment_is_damage() {
    let disk = filled();
    let short = disk.after_kill();
    short.open(1).expect("opened").truncate(end(&disk, 1) - 1).expect("cut");
    assert_eq!(damage(&short).0, 1);
    let first = disk.after_kill();
    first.remove(1).expect("removed");
    assert_eq!(damage(&first), (1, 0));
    let second = disk.after_kill();
    second.remove(2).expect("removed");
    assert_eq!(damage(&second), (2, 0));
}

#[test]
fn a_segment_under_another_name_is_damage() {
    let disk = filled();
    let bytes = disk.read(1, u64::MAX).expect("read");
    let disk = disk.after_kill();
    disk.create(2).expect("created").put(0, &bytes).expect("written");
    assert_eq!(damage(&disk), (2, 0));
}

#[test]
fn damage_before_a_frame_that_was_written_after_the_sync_is_no_torn_tail() {
    let disk = filled();
    let newest = *disk.list().expect("a list").last().expect("a segment");
    for offset in [HEADER_BYTES, HEADER_BYTES + 10, HEADER_BYTES + 40] {
        let disk = disk.after_kill();
        change(&disk, newest, offset);
        assert_eq!(damage(&disk), (newest, HEADER_BYTES), "{offset}");
    }
}

#[test]
fn a_damaged_header_before_records_is_damage_also_in_the_newest_segment() {
    let disk = filled();
    let newest = *disk.list().expect("a list").last().expect("a segment");
    change(&disk, newest, 20);
    assert_eq!(damage(&disk), (newest, 0));
}

#[test]
fn a_newest_segment_that_was_never_used_is_no_damage() {
    for bytes in [vec![], vec![0; 5_000], b"TMJOURNL\x01\0".to_vec()] {
        let disk = filled();
        let newest = *disk.list().expect("a list").last().expect("a segment");
        disk.create(newest + 1).expect("created").put(0, &bytes).expect("written");
        let journal = open(&disk).expect("opened");
        assert_eq!(journal.recovered.torn, None);
        assert_eq!(journal.recovered.pending, 26);
    }
}

#[test]
fn garbage_behind_the_last_frame_is_a_torn_tail_and_is_reported() {
    let disk = filled();
    let newest = *disk.list().expect("a list").last().expect("a segment");
    let end = end(&disk, newest);
    disk.open(newest).expect("opened").put(end + 3, b"garbage").expect("written");
    let journal = open(&disk).expect("opened");
    let torn = journal.recovered.torn.clone().expect("a torn tail");
    assert_eq!((torn.segment, torn.bytes - (end - torn.offset)), (newest, 10));
    assert_eq!(journal.recovered.pending, 26);
}

#[test]
fn a_newer_format_is_not_touched() {
    let disk = filled();
    disk.open(1).expect("opened").put(8, &[9]).expect("written");
    let before = disk.operations();
    assert!(matches!(open(&disk), Err(JournalError::Incompatible(_))));
    assert_eq!(disk.operations(), before);
}
