//! What a crash or a bad disk does to the log, and what is remembered all the same.

use std::fs;
use std::path::Path;

use super::super::format::{ENTRY_BYTES, HEADER_BYTES};
use super::super::{Window, WindowError, WindowSettings};
use super::rig::{Rig, files, open, report};

const BATCH: usize = 3;

/// A log of two batches in one file, and the bytes of the file.
async fn two_batches() -> (Rig, Vec<u8>) {
    let rig = Rig::new(100, 100);
    for number in 0..2 * BATCH {
        rig.accept(report(number)).await;
    }
    let pending = rig.pending(2 * BATCH);
    // Without the accepted ones in the window, so that each batch is one write.
    let (window, _) = open(&rig.settings, &rig.clock, Vec::new());
    window.delivered(&pending[..BATCH]).await.expect("noted");
    window.delivered(&pending[BATCH..]).await.expect("noted");
    let mut bytes = fs::read(&rig.files()[0]).expect("a file");
    // Behind them there is room for more.
    let room = bytes.split_off(HEADER_BYTES + 2 * BATCH * ENTRY_BYTES);
    assert!(room.len().is_multiple_of(ENTRY_BYTES) && room.iter().all(|byte| *byte == 0));
    (rig, bytes)
}

/// A directory with that one file, and a window that was opened on it without anything pending.
struct Copy {
    _root: tempfile::TempDir,
    settings: WindowSettings,
}

impl Copy {
    fn of(rig: &Rig, bytes: &[u8]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let settings = WindowSettings { directory: root.path().to_owned(), ..rig.settings.clone() };
        fs::write(root.path().join(rig.files()[0].file_name().expect("a name")), bytes).expect("written");
        Self { _root: root, settings }
    }

    fn directory(&self) -> &Path {
        &self.settings.directory
    }
}

/// Which of the reports with numbers below `count` are remembered.
async fn known(rig: &Rig, window: &Window, count: usize) -> Vec<bool> {
    let mut known = Vec::new();
    for number in 0..count {
        let refuse = |_| async { Err(crate::journal::AppendError::Full("for the test")) };
        known.push(window.accept(report(number), refuse).await.is_ok_and(|accepted| accepted.redelivered));
    }
    assert!(!rig.files().is_empty());
    known
}

#[tokio::test]
async fn a_write_that_is_torn_at_any_byte_costs_only_itself() {
    let (rig, bytes) = two_batches().await;
    for cut in HEADER_BYTES..=bytes.len() {
        let copy = Copy::of(&rig, &bytes[..cut]);
        let whole = (cut - HEADER_BYTES) / ENTRY_BYTES;
        let (window, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        assert_eq!((remembered.logged, remembered.damaged_entries, remembered.damaged_files), (whole, 0, 0), "{cut}");
        let expected: Vec<_> = (0..2 * BATCH).map(|number| number < whole).collect();
        assert_eq!(known(&rig, &window, 2 * BATCH).await, expected, "cut at {cut}");
        // What the journal still holds is delivered again, behind the tear.
        window.delivered(&rig.pending(2 * BATCH)[BATCH..]).await.expect("noted");
        let (window, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        assert_eq!(remembered.damaged_entries, 0);
        assert_eq!(known(&rig, &window, 2 * BATCH).await[BATCH..], [true; BATCH]);
    }
}

#[tokio::test]
async fn pages_that_never_reached_the_disk_cost_only_themselves() {
    let (rig, bytes) = two_batches().await;
    for zeros_from in HEADER_BYTES..bytes.len() {
        let mut torn = bytes.clone();
        torn[zeros_from..].fill(0);
        let copy = Copy::of(&rig, &torn);
        let (window, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        // An entry of which only bytes were zeroed that were zero before is whole.
        let entries = bytes[HEADER_BYTES..].chunks(ENTRY_BYTES).zip(torn[HEADER_BYTES..].chunks(ENTRY_BYTES));
        assert_eq!(remembered.logged, entries.take_while(|(before, after)| before == after).count(), "{zeros_from}");
        assert_eq!(remembered.damaged_entries, 0, "a torn end is no damage");
        window.delivered(&rig.pending(2 * BATCH)).await.expect("noted");
        let (window, _) = open(&copy.settings, &rig.clock, Vec::new());
        assert_eq!(known(&rig, &window, 2 * BATCH).await, [true; 2 * BATCH]);
    }
}

#[tokio::test]
async fn a_flipped_byte_costs_one_entry_and_is_told() {
    let (rig, bytes) = two_batches().await;
    for at in HEADER_BYTES..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let copy = Copy::of(&rig, &damaged);
        let (window, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        let hit = (at - HEADER_BYTES) / ENTRY_BYTES;
        let is_last = hit == 2 * BATCH - 1;
        assert_eq!(remembered.damaged_entries, usize::from(!is_last), "the last one looks torn");
        let expected: Vec<_> = (0..2 * BATCH).map(|number| number != hit).collect();
        assert_eq!(known(&rig, &window, 2 * BATCH).await, expected);
    }
}

#[tokio::test]
async fn a_file_without_a_header_is_removed_and_told() {
    let (rig, bytes) = two_batches().await;
    let mut cases: Vec<Vec<u8>> = (0..HEADER_BYTES).map(|cut| bytes[..cut].to_vec()).collect();
    cases.extend((0..HEADER_BYTES).map(|at| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        damaged
    }));
    for case in cases {
        let copy = Copy::of(&rig, &case);
        let (window, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        assert_eq!((remembered.logged, remembered.damaged_files), (0, 1));
        let left = files(copy.directory());
        assert!(left.len() == 1 && left[0].file_name() != rig.files()[0].file_name(), "another one is begun: {left:?}");
        window.delivered(&rig.pending(1)).await.expect("noted");
        let (_, remembered) = open(&copy.settings, &rig.clock, Vec::new());
        assert_eq!((remembered.logged, remembered.damaged_files), (1, 0));
    }
}

#[tokio::test]
async fn a_file_of_a_newer_version_stops_the_start_and_stays() {
    let (rig, bytes) = two_batches().await;
    let mut newer = bytes.clone();
    newer[8] = 2;
    let crc = crc32fast::hash(&newer[..HEADER_BYTES - 4]);
    newer[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    let copy = Copy::of(&rig, &newer);
    let refused = Window::open(&copy.settings, rig.clock.clone(), []).err();
    assert!(matches!(refused, Some(WindowError::Incompatible(_))), "{refused:?}");
    assert_eq!(fs::read(&files(copy.directory())[0]).expect("a file"), newer);
}

#[tokio::test]
async fn other_files_in_the_directory_are_left_alone() {
    let rig = Rig::new(10, 10);
    for name in ["notes.txt", "1.seen", "000000000000000A.seen", "+00000000000000a.seen"] {
        fs::write(rig.settings.directory.join(name), "mine").expect("written");
    }
    let (_, remembered) = open(&rig.settings, &rig.clock, Vec::new());
    assert_eq!((remembered.damaged_files, rig.files().len()), (0, 1 + 4));
}
