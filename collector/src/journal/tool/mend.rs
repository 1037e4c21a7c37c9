//! The repair; its order is described in the module above.

use std::collections::HashSet;
use std::io;

use telemetrics_schema::{CollectorNumber, RecordId};

use super::super::files::DiskFile;
use super::super::frame::{self, Entry, Place};
use super::super::segment::{HEADER_BYTES, Header, Marks};
use super::super::{JournalError, Seal};
use super::head::at_frames;
use super::scan::{Found, Readable, Scan, scan};
use super::walk::{Item, walk};
use super::workbench::Workbench;
use super::{HeaderState, Repaired, fault, inspection};

/// Records of a batch that a repair seals; the store is asked about each batch.
const RESEALED_ROWS: u64 = 10_000;
/// Missing segments that are replaced; more of them are a directory that a person should look at.
const MISSING_MAX: u64 = 1_000;

/// Repairs the journal on `bench`; `None` when it is sound.
pub(in super::super) fn repair_on<B: Workbench>(bench: &B) -> Result<Option<Repaired>, JournalError> {
    let found = scan(bench)?;
    let before = inspection(bench, &found)?;
    if before.is_sound() {
        return Ok(None);
    }
    let plan = Plan::of(&found, bench.salt())?;
    let io = |action: &str| JournalError::io(action.to_owned());
    let set_aside = plan.set_aside(bench).map_err(io("copy a damaged journal segment"))?;
    plan.add_seals(bench).map_err(io("write a journal segment with seals"))?;
    for change in &plan.changes {
        plan.apply(bench, change).map_err(io("write a journal segment anew"))?;
    }
    put_header(bench, &plan.added).map_err(io("write the header of a journal segment"))?;
    match fault(bench, found.collector)? {
        None => Ok(Some(Repaired { before, set_aside, resealed: plan.resealed.len() as u64 })),
        Some(fault) => Err(JournalError::Incompatible(format!("it is damaged beyond repair: {fault}"))),
    }
}

/// What becomes of one segment.
struct Change<'a> {
    header: Header,
    content: Content<'a>,
}

enum Content<'a> {
    /// Only its header changes.
    Kept,
    /// It is written anew from what can be read of it.
    Rewritten(&'a Found),
    /// It was not there, and gets no frames.
    Empty,
}

struct Plan<'a> {
    changes: Vec<Change<'a>>,
    /// The header of the segment that is added, as it will be in the end.
    added: Header,
    /// Where the newest segment that was found ends. Until that is written anew, the added one has to say so: what is
    /// behind the end of a segment is not read again by a repair that is repeated.
    found_end: u64,
    resealed: Vec<Seal>,
    kept: HashSet<Seal>,
    confirmed: Option<RecordId>,
}

/// How far the plan has come, segment by segment.
struct Reached {
    collector: CollectorNumber,
    marks: Marks,
    end: u64,
}

impl<'a> Plan<'a> {
    fn of(found: &'a Scan, salt: u64) -> Result<Self, JournalError> {
        let hopeless = |reason: &str| JournalError::Incompatible(format!("it cannot be repaired: {reason}"));
        let collector = found.collector.ok_or_else(|| hopeless("nothing of it can be read"))?;
        let missing: u64 = found.missing().iter().map(|range| range.end() - range.start() + 1).sum();
        if missing > MISSING_MAX {
            return Err(hopeless(&format!("{missing} segments are missing")));
        }
        let kept = kept_seals(found);
        let resealed = new_seals(found.pending(), &kept);
        let mut reached = Reached { collector, marks: Marks::default(), end: 0 };
        let mut plan = Self {
            changes: Vec::new(),
            added: reached.header(0, salt),
            found_end: 0,
            resealed,
            kept: kept.into_iter().collect(),
            confirmed: found.confirmed,
        };
        let mut next = None;
        for segment in found.segments.iter().filter(|segment| segment.report.header != HeaderState::Unused) {
            let sequence = segment.report.sequence;
            for missing in next.unwrap_or(sequence)..sequence {
                plan.changes.push(Change { header: reached.header(missing, 0), content: Content::Empty });
                reached.end = HEADER_BYTES;
            }
            plan.add(segment, &mut reached);
            plan.found_end = segment.end as u64;
            next = Some(sequence + 1);
        }
        reached.marks.confirmed = found.confirmed;
        plan.added = reached.header(next.unwrap_or(1), salt);
        Ok(plan)
    }

    /// Decides what becomes of a segment that is there.
    fn add(&mut self, segment: &'a Found, reached: &mut Reached) {
        let found = segment.head.header;
        let mut header = found.unwrap_or_else(|| reached.header(segment.report.sequence, 0));
        if reached.end == 0 {
            // What is missing before the oldest segment will not come back.
            header.marks.recorded = header.marks.recorded.min(self.confirmed);
        } else {
            (header.previous_end, header.marks.recorded) = (reached.end, reached.marks.recorded);
        }
        let is_spoiled = !segment.report.damage.is_empty() || found.is_none();
        let content = if is_spoiled || segment.seals.iter().any(|seal| !self.keeps(seal)) {
            reached.end = HEADER_BYTES + self.frames_bytes(segment);
            Content::Rewritten(segment)
        } else {
            reached.end = segment.end as u64;
            Content::Kept
        };
        reached.pass(&header, segment);
        let is_unchanged = segment.report.header == HeaderState::Whole && found == Some(header);
        if !(is_unchanged && matches!(content, Content::Kept)) {
            self.changes.push(Change { header, content });
        }
    }

    /// Bytes of the frames that are kept of a segment; they take as many as before.
    fn frames_bytes(&self, segment: &Found) -> u64 {
        let lost: u64 = segment.report.damage.iter().map(|damage| damage.bytes).sum();
        let seals = segment.seals.iter().filter(|seal| !self.keeps(seal)).count() as u64;
        (segment.end - at_frames()) as u64 - lost - seals * frame::SEALED_FRAME_BYTES
    }

    fn keeps(&self, seal: &Seal) -> bool {
        Some(seal.last) <= self.confirmed || self.kept.contains(seal)
    }

    fn set_aside<B: Workbench>(&self, bench: &B) -> io::Result<Vec<String>> {
        let there = self.changes.iter().filter(|change| !matches!(change.content, Content::Empty));
        there.map(|change| bench.set_aside(change.header.sequence)).collect()
    }

    fn add_seals<B: Workbench>(&self, bench: &B) -> io::Result<()> {
        let header = Header { previous_end: self.found_end, ..self.added };
        let mut bytes = header.encode();
        for seal in &self.resealed {
            frame::write_sealed(&mut bytes, place(&header), seal);
        }
        bench.replace(header.sequence, &bytes)
    }

    fn apply<B: Workbench>(&self, bench: &B, change: &Change<'_>) -> io::Result<()> {
        let sequence = change.header.sequence;
        match change.content {
            Content::Kept => put_header(bench, &change.header),
            Content::Empty => bench.replace(sequence, &Header { salt: bench.salt(), ..change.header }.encode()),
            Content::Rewritten(segment) => {
                let header = Header { salt: bench.salt(), ..change.header };
                bench.replace(sequence, &self.rewritten(&bench.read(sequence, u64::MAX)?, header, segment))
            }
        }
    }

    fn rewritten(&self, old: &[u8], header: Header, segment: &Found) -> Vec<u8> {
        let mut bytes = header.encode();
        for placed in walk(old, segment.before).items {
            match placed.item {
                Item::Frame(Entry::Records(records)) => {
                    frame::write_records(&mut bytes, place(&header), records.iter());
                }
                Item::Frame(Entry::Sealed(seal)) if self.keeps(&seal) => {
                    frame::write_sealed(&mut bytes, place(&header), &seal);
                }
                Item::Frame(Entry::Confirmed(last)) => frame::write_confirmed(&mut bytes, place(&header), last),
                Item::Frame(Entry::Sealed(_)) | Item::Gap(_) => {}
            }
        }
        bytes
    }
}

fn put_header<B: Workbench>(bench: &B, header: &Header) -> io::Result<()> {
    let file = bench.open(header.sequence)?;
    file.put(0, &header.encode())?;
    file.sync_data()
}

impl Reached {
    /// The header of a segment that begins here.
    fn header(&self, sequence: u64, salt: u64) -> Header {
        Header { collector: self.collector.get(), sequence, salt, previous_end: self.end, marks: self.marks }
    }

    fn pass(&mut self, header: &Header, segment: &Found) {
        let last = segment.report.range.map(|[_, (last, _)]| last);
        self.marks.recorded = self.marks.recorded.max(header.marks.recorded).max(last);
        self.marks.given = self.marks.given.max(header.marks.given).max(last);
        self.marks.confirmed = self.marks.confirmed.max(header.marks.confirmed);
    }
}

/// A buffer that begins with the header; all of it is made durable at once.
fn place(header: &Header) -> Place {
    Place { salt: header.salt, offset: 0, synced: HEADER_BYTES }
}

/// The seals that opening accepts: of batches that are whole and apart from each other, in their order.
fn kept_seals(found: &Scan) -> Vec<Seal> {
    let pending = found.pending();
    let rows = |seal: &Seal| {
        let begin = pending.partition_point(|(id, _)| *id < seal.first);
        let end = pending.partition_point(|(id, _)| *id <= seal.last);
        end.saturating_sub(begin) as u64
    };
    let mut seals: Vec<Seal> = found.segments.iter().flat_map(|segment| &segment.seals).copied().collect();
    seals.retain(|seal| Some(seal.last) > found.confirmed && rows(seal) >= seal.rows);
    seals.sort_by_key(|seal| (seal.first, seal.last));
    let mut kept: Vec<Seal> = Vec::new();
    for seal in seals {
        if kept.last().is_none_or(|last| last.last < seal.first) {
            kept.push(seal);
        }
    }
    kept
}

/// Seals of all pending records that no kept seal holds; each of one day, with no kept one in between.
fn new_seals(pending: &[Readable], kept: &[Seal]) -> Vec<Seal> {
    let mut seals: Vec<(Seal, i32, usize)> = Vec::new();
    for (id, day) in pending {
        // How many kept seals lie before the record: others than before mean that one lies in between.
        let passed = kept.partition_point(|seal| seal.last < *id);
        if kept.get(passed).is_some_and(|seal| seal.first <= *id) {
            continue;
        }
        match seals.last_mut() {
            Some((seal, its_day, its_passed))
                if its_day == day && *its_passed == passed && seal.rows < RESEALED_ROWS =>
            {
                (seal.last, seal.rows) = (*id, seal.rows + 1);
            }
            _ => seals.push((Seal { first: *id, last: *id, rows: 1, checksum: Seal::UNKNOWN_CHECKSUM }, *day, passed)),
        }
    }
    seals.into_iter().map(|(seal, ..)| seal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(first: i64, last: i64) -> Seal {
        Seal { first: RecordId(first), last: RecordId(last), rows: 1, checksum: 0 }
    }

    fn ranges(seals: &[Seal]) -> Vec<(i64, i64, u64)> {
        seals.iter().map(|seal| (seal.first.0, seal.last.0, seal.rows)).collect()
    }

    #[test]
    fn new_seals_hold_what_no_other_does_and_one_day_each() {
        let pending: Vec<Readable> = (1..=9).map(|id| (RecordId(id), i32::from(id >= 8))).collect();
        assert_eq!(ranges(&new_seals(&pending, &[])), [(1, 7, 7), (8, 9, 2)]);
        assert_eq!(ranges(&new_seals(&pending, &[seal(1, 2), seal(4, 5)])), [(3, 3, 1), (6, 7, 2), (8, 9, 2)]);
        assert_eq!(ranges(&new_seals(&pending, &[seal(1, 9)])), []);
        assert_eq!(ranges(&new_seals(&[], &[])), []);
    }

    #[test]
    fn a_new_seal_is_limited_at_its_edge() {
        let rows = i64::try_from(RESEALED_ROWS).expect("small");
        let pending: Vec<Readable> = (0..=rows).map(|id| (RecordId(id), 0)).collect();
        assert_eq!(ranges(&new_seals(&pending, &[])), [(0, rows - 1, RESEALED_ROWS), (rows, rows, 1)]);
    }
}
