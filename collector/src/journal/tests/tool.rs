//! Journals that are damaged in every place: looking never fails, and a repair loses only what was hit.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use telemetrics_schema::RecordId;

use super::super::files::{Disk, DiskFile, SegmentReader};
use super::super::frame::{self, Entry, Next};
use super::super::segment::{CONTROL_RESERVE_BYTES, HEADER_BYTES, Header};
use super::super::tool::{HeaderState, Inspection, Workbench, inspect, inspect_on, repair, repair_on};
use super::super::{Journal, JournalError, JournalSettings};
use super::forgetful::{Forgetful, ForgetfulFile};
use super::rig::{Open, TestClock, World, ids, report, small_settings};

impl Workbench for Forgetful {
    fn set_aside(&self, sequence: u64) -> io::Result<String> {
        self.read(sequence, u64::MAX).map(|_| format!("{sequence}"))
    }

    fn replace(&self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.create(sequence)?;
        file.put(0, bytes)?;
        file.sync_data()?;
        self.sync_directory()
    }
}

/// Settings whose segments hold a few records, so that every byte of several can be tried.
fn settings() -> JournalSettings {
    JournalSettings { segment_bytes: CONTROL_RESERVE_BYTES + 800, ..small_settings() }
}

/// A frame of a journal, and the records in it.
struct Place {
    segment: u64,
    bytes: Range<u64>,
    records: BTreeSet<RecordId>,
}

/// A disk with some segments: confirmed, sealed and open records.
fn filled() -> (Forgetful, World) {
    let (disk, clock) = (Forgetful::new(), TestClock::new());
    let mut journal = Open::new(&disk, &settings(), &clock).expect("opened");
    let mut world = World::default();
    world.append(&mut journal, &[1, 2]);
    world.append(&mut journal, &[2]);
    world.seal(&mut journal, 2);
    world.confirm(&mut journal);
    world.append(&mut journal, &[1]);
    world.seal(&mut journal, 5);
    for _ in 0..5 {
        world.append(&mut journal, &[2]);
    }
    assert!(disk.list().expect("a list").len() >= 3);
    (disk, world)
}

fn bytes_of(disk: &Forgetful, segment: u64) -> Vec<u8> {
    disk.read(segment, u64::MAX).expect("read")
}

fn places(disk: &Forgetful) -> Vec<Place> {
    let mut places = Vec::new();
    for segment in disk.list().expect("a list") {
        let bytes = bytes_of(disk, segment);
        let salt = Header::decode(&bytes).expect("a header").salt;
        let mut at = usize::try_from(HEADER_BYTES).expect("small");
        while let Next::Frame(frame) = frame::next(&bytes, at, salt) {
            let records = match frame.entry().expect("an entry") {
                Entry::Records(records) => records.iter().map(|record| record.id).collect(),
                Entry::Sealed(_) | Entry::Confirmed(_) => BTreeSet::new(),
            };
            places.push(Place { segment, bytes: at as u64..frame.end as u64, records });
            at = frame.end;
        }
    }
    places
}

fn open(disk: &Forgetful) -> Result<Open, JournalError> {
    Open::new(disk, &settings(), &TestClock::new())
}

fn flip(disk: &Forgetful, segment: u64, offset: u64, mask: u8) {
    let byte = bytes_of(disk, segment)[usize::try_from(offset).expect("small")];
    disk.open(segment).expect("opened").put(offset, &[byte ^ mask]).expect("written");
}

/// Looks at the journal, checks that looking agrees with opening and changes nothing, repairs it and opens it.
fn repaired(disk: &Forgetful) -> (Inspection, Open) {
    let operations = disk.operations();
    let found = inspect_on(disk).expect("looked at");
    assert_eq!(disk.operations(), operations, "looking changed something");
    assert_eq!(found.is_sound(), open(&disk.after_kill()).is_ok(), "{:?}", found.fault);
    let done = repair_on(disk).expect("repaired");
    assert_eq!(done.is_none(), found.is_sound());
    let after = inspect_on(disk).expect("looked at");
    assert!(after.is_sound(), "{:?} after {:?}", after.fault, found.fault);
    assert_eq!(repair_on(disk).expect("nothing to do"), None);
    let journal = open(disk).expect("opened");
    if !found.is_sound() {
        assert_all_sealed(&journal);
    }
    (found, journal)
}

/// After a repair the store is asked about every record.
fn assert_all_sealed(journal: &Open) {
    for record in journal.pending() {
        let sealed = &journal.recovered.sealed;
        assert!(sealed.iter().any(|seal| (seal.first..=seal.last).contains(&record.id)), "{} in {sealed:?}", record.id);
    }
}

/// Checks that the journal has every acknowledged record but the `lost` ones and those that are confirmed.
fn assert_holds(journal: &Open, world: &World, lost: &BTreeSet<RecordId>) {
    let held: BTreeMap<_, _> = journal.pending().into_iter().map(|r| (r.id, r.report.payload)).collect();
    let confirmed = journal.recovered.confirmed;
    assert!(confirmed <= world.confirmed);
    let expected = world.acknowledged.iter().filter(|(id, _)| Some(**id) > confirmed && !lost.contains(id));
    assert_eq!(held, expected.map(|(id, payload)| (*id, payload.clone())).collect());
}

#[test]
fn any_wrong_byte_costs_only_the_frame_that_it_is_in() {
    let (pristine, world) = filled();
    let places = places(&pristine);
    for segment in pristine.list().expect("a list") {
        // Behind that there are only zeros, which take long to read.
        let used = places.iter().filter(|place| place.segment == segment).map(|place| place.bytes.end).max();
        let length = bytes_of(&pristine, segment).len() as u64;
        let length = length.min(used.unwrap_or(HEADER_BYTES) + 40);
        pristine.open(segment).expect("opened").truncate(length).expect("cut");
        for offset in 0..length {
            let disk = pristine.after_kill();
            flip(&disk, segment, offset, 0x10);
            let hit = places.iter().find(|place| place.segment == segment && place.bytes.contains(&offset));
            let lost = hit.map_or_else(BTreeSet::new, |place| place.records.clone());
            let (found, journal) = repaired(&disk);
            assert_holds(&journal, &world, &lost);
            if !found.is_sound() {
                let told = found.lost();
                assert!(told.records == lost.len() as u64 || told.is_at_most && told.records > lost.len() as u64);
            }
        }
    }
}

#[test]
fn a_segment_that_is_gone_costs_only_its_records() {
    let (pristine, world) = filled();
    let places = places(&pristine);
    let segments = pristine.list().expect("a list");
    for segment in &segments[..segments.len() - 1] {
        let disk = pristine.after_kill();
        disk.remove(*segment).expect("removed");
        let (found, journal) = repaired(&disk);
        let is_first = *segment == segments[0];
        assert_eq!((found.missing.is_empty(), found.missing_up_to.is_some()), (is_first, is_first));
        assert_holds(&journal, &world, &records_in(&places, *segment, 0));
    }
}

fn records_in(places: &[Place], segment: u64, behind: u64) -> BTreeSet<RecordId> {
    let hit = places.iter().filter(|place| place.segment == segment && place.bytes.end > behind);
    hit.flat_map(|place| place.records.iter().copied()).collect()
}

#[test]
fn a_segment_that_is_cut_off_keeps_what_is_before() {
    let (pristine, world) = filled();
    let places = places(&pristine);
    let segments = pristine.list().expect("a list");
    for segment in &segments[..segments.len() - 1] {
        let length = bytes_of(&pristine, *segment).len() as u64;
        for cut in (HEADER_BYTES..length).step_by(7) {
            let disk = pristine.after_kill();
            disk.open(*segment).expect("opened").truncate(cut).expect("cut");
            assert_holds(&repaired(&disk).1, &world, &records_in(&places, *segment, cut));
        }
    }
}

#[test]
fn a_header_that_is_gone_costs_its_segment_unless_the_salt_is_left() {
    let (pristine, world) = filled();
    let places = places(&pristine);
    for segment in pristine.list().expect("a list") {
        for (from, to, salt_is_left) in [(0, 12, true), (32, 68, true), (0, 68, false)] {
            let disk = pristine.after_kill();
            disk.open(segment)
                .expect("opened")
                .put(from, &vec![0xee; to - usize::try_from(from).expect("small")])
                .expect("written");
            let (found, journal) = repaired(&disk);
            assert!(found.segments.iter().any(|s| matches!(s.header, HeaderState::Lost(_))));
            let lost = if salt_is_left { BTreeSet::new() } else { records_in(&places, segment, 0) };
            assert_holds(&journal, &world, &lost);
        }
    }
}

#[test]
fn a_sound_journal_is_described_and_left_alone() {
    let (disk, world) = filled();
    let (found, journal) = repaired(&disk.after_kill());
    assert_eq!((found.fault, found.missing, found.missing_up_to), (None, vec![], None));
    assert_eq!((found.confirmed, found.pending), (world.confirmed, journal.recovered.pending as u64));
    assert_eq!(found.collector, Some(super::rig::collector()));
    let report = &found.segments[0];
    let first = world.acknowledged.first_key_value().map(|(id, _)| *id);
    assert_eq!(report.range.map(|[(id, _), _]| id), first);
    assert!(found.segments.iter().all(|s| s.header == HeaderState::Whole && s.damage.is_empty() && s.torn.is_none()));
    let sums = found.segments.iter().map(|s| [s.seals, s.confirmations]).reduce(|a, b| [a[0] + b[0], a[1] + b[1]]);
    // The confirmation was written again, because the first was not synced.
    assert_eq!(sums, Some([2, 2]), "{:?}", found.segments);
    let empty = Forgetful::new();
    assert_eq!(inspect_on(&empty).map(|found| (found.is_sound(), found.segments.len())).expect("looked at"), (true, 0));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let (disk, world) = filled();
    let newest = *disk.list().expect("a list").last().expect("a segment");
    let end = places(&disk).last().expect("a frame").bytes.end;
    disk.open(newest).expect("opened").put(end, b"half a frame").expect("written");
    let (found, journal) = repaired(&disk);
    assert_eq!(found.segments.last().and_then(|s| s.torn.as_ref()).map(|torn| torn.offset), Some(end));
    assert!(found.is_sound());
    assert_holds(&journal, &world, &BTreeSet::new());
}

/// A disk whose changes fail from one of them on.
struct Breaking {
    disk: Forgetful,
    left: AtomicUsize,
}

impl Breaking {
    fn step(&self) -> io::Result<()> {
        match self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("broken off")),
        }
    }
}

impl Disk for Breaking {
    type File = ForgetfulFile;

    fn list(&self) -> io::Result<Vec<u64>> {
        self.disk.list()
    }

    fn read(&self, sequence: u64, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.read(sequence, limit)
    }

    fn create(&self, _sequence: u64) -> io::Result<ForgetfulFile> {
        unreachable!("a repair replaces segments as a whole")
    }

    fn open(&self, sequence: u64) -> io::Result<ForgetfulFile> {
        self.step()?;
        self.disk.open(sequence)
    }

    fn remove(&self, _sequence: u64) -> io::Result<()> {
        unreachable!("a repair removes nothing")
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn salt(&self) -> u64 {
        self.disk.salt()
    }

    fn reader(&self) -> Arc<dyn SegmentReader> {
        self.disk.reader()
    }
}

impl Workbench for Breaking {
    fn set_aside(&self, sequence: u64) -> io::Result<String> {
        self.step()?;
        self.disk.set_aside(sequence)
    }

    fn replace(&self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        self.disk.replace(sequence, bytes)
    }
}

#[test]
fn a_repair_that_is_broken_off_leaves_damage_and_can_be_repeated() {
    let (pristine, world) = filled();
    let places = places(&pristine);
    let hit: Vec<&Place> = places.iter().filter(|place| !place.records.is_empty()).step_by(3).collect();
    let lost = hit.iter().flat_map(|place| place.records.iter().copied()).collect();
    for place in &hit {
        flip(&pristine, place.segment, place.bytes.start + 30, 0x10);
    }
    let mut broken_off = 0;
    for left in 0.. {
        let disk = pristine.after_kill();
        let outcome = repair_on(&Breaking { disk: disk.clone(), left: AtomicUsize::new(left) });
        if outcome.is_ok() {
            break;
        }
        broken_off += 1;
        assert!(open(&disk.after_kill()).is_err(), "after {left} steps");
        assert_holds(&repaired(&disk).1, &world, &lost);
    }
    assert!(broken_off > 4, "{broken_off}");
}

#[test]
fn another_version_and_another_collector_are_left_alone() {
    let (disk, _) = filled();
    let mut header = Header::decode(&bytes_of(&disk, 2)).expect("a header");
    header.collector += 1;
    let other = disk.after_kill();
    other.open(2).expect("opened").put(0, &header.encode()).expect("written");
    assert!(matches!(repair_on(&other), Err(JournalError::Incompatible(_))));
    disk.open(2).expect("opened").put(8, &[2, 0, 0, 0, 9]).expect("written");
    assert!(matches!(inspect_on(&disk), Err(JournalError::Incompatible(_))));
}

#[derive(Debug, Clone)]
enum Harm {
    Write(usize, usize, Vec<u8>),
    Cut(usize, usize),
    Remove(usize),
}

impl Harm {
    fn apply(&self, disk: &Forgetful) {
        let segments = disk.list().expect("a list");
        let (Self::Write(at, ..) | Self::Cut(at, _) | Self::Remove(at)) = self;
        let Some(segment) = segments.get(at % segments.len().max(1)).copied() else { return };
        let file = disk.open(segment).expect("opened");
        match self {
            Self::Write(_, offset, bytes) => file.put(*offset as u64, bytes).expect("written"),
            Self::Cut(_, length) => file.truncate(*length as u64).expect("cut"),
            Self::Remove(_) => disk.remove(segment).expect("removed"),
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    let bytes = prop_oneof![prop::collection::vec(any::<u8>(), 1..300), (1_usize..300).prop_map(|n| vec![0; n])];
    prop_oneof![
        4 => (any::<usize>(), 0_usize..2_000, bytes).prop_map(|(at, offset, bytes)| Harm::Write(at, offset, bytes)),
        1 => (any::<usize>(), 0_usize..2_000).prop_map(|(at, length)| Harm::Cut(at, length)),
        1 => any::<usize>().prop_map(Harm::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happened_a_repair_opens_it_or_leaves_it_alone(harms in prop::collection::vec(harm(), 1..5)) {
        let (disk, world) = filled();
        for harm in &harms {
            harm.apply(&disk);
        }
        let operations = disk.operations();
        match repair_on(&disk) {
            Ok(_) => {
                let journal = open(&disk).expect("opened");
                for record in journal.pending() {
                    prop_assert_eq!(world.acknowledged.get(&record.id), Some(&record.report.payload));
                }
            }
            Err(JournalError::Incompatible(_)) => prop_assert_eq!(disk.operations(), operations),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}

#[tokio::test]
async fn a_directory_is_repaired_with_copies_and_only_when_nobody_uses_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("journal");
    assert!(matches!(repair(&path), Err(JournalError::Io { .. })));
    assert!(matches!(inspect(&path), Err(JournalError::Io { .. })));
    assert!(!path.exists(), "what is not there is not made");
    let settings = JournalSettings { directory: path.clone(), ..small_settings() };
    let recent = telemetrics_schema::recent::Recent::default();
    let (journal, _) = Journal::open(&settings, TestClock::new(), ids(), recent).expect("opened");
    for n in 0..20 {
        journal.append(report(&format!("{n:0300}"))).await.expect("acknowledged");
    }
    assert!(matches!(repair(&path), Err(JournalError::Locked(_))));
    assert!(inspect(&path).expect("looked at").is_in_use);
    journal.shutdown().await;
    assert_eq!(repair(&path).expect("nothing to do"), None);
    let segment = path.join("0000000000000002.journal");
    let mut bytes = std::fs::read(&segment).expect("read");
    bytes[100] ^= 1;
    std::fs::write(&segment, &bytes).expect("written");
    let done = repair(&path).expect("repaired").expect("something to do");
    assert_eq!(done.set_aside[0], "0000000000000002.journal.damaged");
    assert_eq!(std::fs::read(path.join(&done.set_aside[0])).expect("the copy"), bytes);
    assert_eq!((done.before.lost().records, done.before.lost().is_at_most), (1, false));
    assert_eq!(inspect(&path).expect("looked at").pending, 19);
}
