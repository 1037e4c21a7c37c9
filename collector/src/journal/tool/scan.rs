//! Reads a whole journal past its damage, and keeps what a report and a repair need of it.

use std::io;
use std::ops::RangeInclusive;

use telemetrics_schema::{CollectorNumber, RecordId};

use super::super::files::Disk;
use super::super::frame::Entry;
use super::super::{JournalError, Seal, TornTail};
use super::head::{Head, at_frames};
use super::lost::{at_most, lost_in};
use super::walk::{Before, End, Item, Placed, Walk, walk};
use super::{Damage, HeaderState, SegmentReport};

/// A segment and what is in it, but for the records.
pub(super) struct Found {
    pub(super) report: SegmentReport,
    pub(super) head: Head,
    pub(super) before: Before,
    pub(super) seals: Vec<Seal>,
    /// Where its frames end.
    pub(super) end: usize,
}

/// A record that can be read: its identifier, and the UTC day of its reception.
pub(super) type Readable = (RecordId, i32);

/// All of it.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) collector: Option<CollectorNumber>,
    /// Segments that are in use, oldest first.
    pub(super) segments: Vec<Found>,
    /// In the order of their identifiers.
    pub(super) records: Vec<Readable>,
    pub(super) confirmed: Option<RecordId>,
}

/// Reads the journal on `disk`; changes nothing.
pub(super) fn scan<D: Disk>(disk: &D) -> Result<Scan, JournalError> {
    let heads = heads(disk)?;
    let mut scan = Scan { collector: collector(&heads)?, ..Scan::default() };
    for (at, (sequence, head)) in heads.iter().enumerate() {
        let end = end(*sequence, heads.get(at + 1));
        let bytes = read(disk, *sequence, u64::MAX)?;
        // The newest one may have been in the making; it is found when the others are.
        let is_unused = end == End::Newest && is_broken(head) && bytes.iter().skip(at_frames()).all(|byte| *byte == 0);
        let head = Head { state: if is_unused { HeaderState::Unused } else { head.state }, ..*head };
        scan.enter(*sequence, head, end, &bytes);
    }
    scan.collector = scan.collector.or_else(|| collector_of(scan.records.first()?.0));
    Ok(scan)
}

fn heads<D: Disk>(disk: &D) -> Result<Vec<(u64, Head)>, JournalError> {
    let sequences = disk.list().map_err(JournalError::io("list the journal's segments"))?;
    let head = |sequence| {
        let bytes = read(disk, sequence, u64::MAX)?;
        let head = Head::read(&bytes, sequence).map_err(|version| {
            JournalError::Incompatible(format!("segment {sequence:016x} has format version {version}"))
        })?;
        Ok((sequence, head))
    };
    sequences.into_iter().map(head).collect()
}

/// The whole segment; empty when a server removed it meanwhile.
fn read<D: Disk>(disk: &D, sequence: u64, limit: u64) -> Result<Vec<u8>, JournalError> {
    match disk.read(sequence, limit) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        outcome => outcome.map_err(JournalError::io(format!("read journal segment {sequence:016x}"))),
    }
}

/// Whose journal it is by its headers, which must agree.
fn collector(heads: &[(u64, Head)]) -> Result<Option<CollectorNumber>, JournalError> {
    let mut numbers: Vec<u8> = heads.iter().filter_map(|(_, head)| Some(head.header?.collector)).collect();
    numbers.dedup();
    match numbers[..] {
        [] => Ok(None),
        [number] => Ok(CollectorNumber::new(number)),
        _ => Err(JournalError::Incompatible(format!("it holds segments of the collectors {numbers:?}"))),
    }
}

fn collector_of(id: RecordId) -> Option<CollectorNumber> {
    u8::try_from(id.collector()).ok().and_then(CollectorNumber::new)
}

fn is_broken(head: &Head) -> bool {
    matches!(head.state, HeaderState::Lost(_))
}

/// Where the segment `sequence` ends, by what the one behind it says.
fn end(sequence: u64, following: Option<&(u64, Head)>) -> End {
    match following {
        None => End::Newest,
        Some((next, head)) if *next == sequence + 1 => {
            let end = head.header.and_then(|header| usize::try_from(header.previous_end).ok());
            end.map_or(End::Unknown, End::At)
        }
        Some(_) => End::Unknown,
    }
}

impl Scan {
    fn enter(&mut self, sequence: u64, head: Head, end: End, bytes: &[u8]) {
        let recorded = self.records.last().map(|(id, _)| *id);
        let before = Before { salt: head.salt, end, recorded, collector: self.collector };
        self.confirmed = self.confirmed.max(head.header.and_then(|header| header.marks.confirmed));
        let walk = walk(bytes, before);
        let mut found =
            Found { report: report(sequence, head.state, bytes), head, before, seals: Vec::new(), end: walk.end() };
        found.report.torn = torn(sequence, &walk, bytes);
        for placed in walk.items {
            self.enter_item(placed, bytes, &mut found);
        }
        self.segments.push(found);
    }

    fn enter_item(&mut self, placed: Placed, bytes: &[u8], found: &mut Found) {
        let report = &mut found.report;
        let Item::Frame(entry) = placed.item else {
            report.damage.push(damage(&placed, bytes, found.before.salt));
            return;
        };
        report.frames += 1;
        match entry {
            Entry::Records(records) => {
                for record in records {
                    let place = (record.id, record.ts_reception);
                    report.records += 1;
                    report.range = Some([report.range.map_or(place, |[first, _]| first), place]);
                    self.records.push((record.id, record.ts_reception.day()));
                }
            }
            Entry::Sealed(seal) => {
                report.seals += 1;
                found.seals.push(seal);
            }
            Entry::Confirmed(last) => {
                report.confirmations += 1;
                self.confirmed = self.confirmed.max(Some(last));
            }
        }
    }

    /// Readable records that the store may not have.
    pub(super) fn pending(&self) -> &[Readable] {
        let confirmed = self.records.partition_point(|(id, _)| Some(*id) <= self.confirmed);
        &self.records[confirmed..]
    }

    /// Segments between others that are not there.
    pub(super) fn missing(&self) -> Vec<RangeInclusive<u64>> {
        let pairs = self.segments.windows(2).map(|pair| (pair[0].report.sequence + 1, pair[1].report.sequence));
        pairs.filter(|(first, next)| first < next).map(|(first, next)| first..=next - 1).collect()
    }

    /// The last record of segments before the oldest, when they were removed before it was confirmed.
    pub(super) fn missing_up_to(&self) -> Option<RecordId> {
        self.segments.first()?.head.header?.marks.recorded.filter(|last| Some(*last) > self.confirmed)
    }
}

fn report(sequence: u64, header: HeaderState, bytes: &[u8]) -> SegmentReport {
    SegmentReport {
        sequence,
        file_bytes: bytes.len() as u64,
        header,
        frames: 0,
        records: 0,
        range: None,
        seals: 0,
        confirmations: 0,
        damage: Vec::new(),
        torn: None,
    }
}

fn torn(segment: u64, walk: &Walk, bytes: &[u8]) -> Option<TornTail> {
    let offset = walk.end();
    let last = bytes.get(offset..)?.iter().rposition(|byte| *byte != 0)?;
    Some(TornTail { segment, offset: offset as u64, bytes: last as u64 + 1, reason: walk.torn?.to_owned() })
}

fn damage(placed: &Placed, bytes: &[u8], salt: Option<u64>) -> Damage {
    let Placed { at, end, .. } = *placed;
    let (offset, length) = (at as u64, (end - at) as u64);
    let reason = if let Item::Gap(reason) = placed.item { reason } else { "" };
    let lost = bytes.get(at..end).map_or(at_most(length), |gap| lost_in(gap, salt));
    Damage { offset, bytes: length, reason, lost }
}
