//! Reads a journal from disk: what is pending, where writing ends, and whether anything acknowledged is missing.
//!
//! Changes nothing on disk.

use std::collections::VecDeque;

use telemetrics_schema::{CollectorNumber, Record, RecordId};

use super::backlog::{Extent, Extents};
use super::chain::Closed;
use super::files::{Disk, SegmentReader};
use super::frame::{self, Entry, Next};
use super::segment::{HEADER_BYTES, Header, HeaderFault, Marks};
use super::stats::Ages;
use super::{JournalError, Seal, TornTail};

/// Everything that is known from disk.
#[derive(Default)]
pub(super) struct Replayed {
    /// All segments but the newest.
    pub(super) closed: VecDeque<Closed>,
    /// The segment that was being written.
    pub(super) newest: Option<Newest>,
    /// A segment behind that one that was never used: it has no header, as far as can be read.
    pub(super) unused: Option<u64>,
    /// How far things have come.
    pub(super) marks: Marks,
    /// Where the records above the last confirmation are: they may be more than memory holds.
    pub(super) pending: Extents,
    /// When those were accepted.
    pub(super) ages: Ages,
    /// Seals above the last confirmation, in the order of their identifiers.
    pub(super) sealed: Vec<Seal>,
    /// What a crash left unfinished.
    pub(super) torn: Option<TornTail>,
    /// Segment files with a header.
    pub(super) segments: usize,
}

/// The segment that was being written when the journal was last open.
pub(super) struct Newest {
    pub(super) header: Header,
    /// As if it was closed behind its last whole frame.
    pub(super) closed: Closed,
    /// The bytes before that end of which nothing in the segment says that they were synced.
    pub(super) unproven: Vec<u8>,
}

/// Reads all segments of `disk`.
pub(super) fn replay<D: Disk>(disk: &D, collector: CollectorNumber) -> Result<Replayed, JournalError> {
    let (headers, unused) = headers(disk, collector)?;
    let mut replayed = Replayed { segments: headers.len(), unused, ..Replayed::default() };
    if let Some(oldest) = headers.first() {
        replayed.marks.recorded = oldest.marks.recorded;
    }
    for (at, header) in headers.iter().enumerate() {
        match headers.get(at + 1) {
            Some(following) => replayed.read_closed(disk, header, following.previous_end)?,
            None => replayed.read_newest(disk, header)?,
        }
    }
    if let Some(oldest) = headers.first() {
        replayed.check_beginning(oldest)?;
        let reader = disk.reader();
        replayed.pending.trim(replayed.marks.confirmed, &*reader)?;
        replayed.check_seals(oldest.sequence, &*reader)?;
    }
    Ok(replayed)
}

/// The headers of all segments, oldest first, and a newest segment that was never used.
fn headers<D: Disk>(disk: &D, collector: CollectorNumber) -> Result<(Vec<Header>, Option<u64>), JournalError> {
    let sequences = disk.list().map_err(JournalError::io("list the journal's segments"))?;
    let mut headers: Vec<Header> = Vec::with_capacity(sequences.len());
    for (at, sequence) in sequences.iter().copied().enumerate() {
        let Some(header) = header(disk, sequence, at + 1 == sequences.len())? else {
            return Ok((headers, Some(sequence)));
        };
        check_owner(&header, collector)?;
        check_sequence(&header, sequence, headers.last())?;
        headers.push(header);
    }
    Ok((headers, None))
}

/// The header of one segment; `None` when it is the newest and a crash came before its first use.
fn header<D: Disk>(disk: &D, sequence: u64, is_newest: bool) -> Result<Option<Header>, JournalError> {
    let bytes = read(disk, sequence, HEADER_BYTES)?;
    match Header::decode(&bytes) {
        Ok(header) => Ok(Some(header)),
        Err(HeaderFault::Version(version)) => {
            Err(JournalError::Incompatible(format!("segment {sequence:016x} has format version {version}")))
        }
        Err(HeaderFault::Broken) if is_newest && holds_nothing(disk, sequence)? => Ok(None),
        Err(HeaderFault::Broken) => Err(damaged(sequence, 0, "no header of a segment")),
    }
}

/// Whether there are no bytes behind the header: frames are written only when the header is durable.
fn holds_nothing<D: Disk>(disk: &D, sequence: u64) -> Result<bool, JournalError> {
    let bytes = read(disk, sequence, u64::MAX)?;
    Ok(bytes.iter().skip(index(HEADER_BYTES)).all(|byte| *byte == 0))
}

fn check_owner(header: &Header, collector: CollectorNumber) -> Result<(), JournalError> {
    if header.is_of(collector) {
        return Ok(());
    }
    let (found, own) = (header.collector, collector.get());
    Err(JournalError::Incompatible(format!("it belongs to collector {found}, this is collector {own}")))
}

fn check_sequence(header: &Header, sequence: u64, previous: Option<&Header>) -> Result<(), JournalError> {
    if header.sequence != sequence {
        return Err(damaged(sequence, 0, "a segment under another one's name"));
    }
    match previous {
        Some(previous) if previous.sequence + 1 != sequence => {
            Err(damaged(previous.sequence + 1, 0, "the segment is missing"))
        }
        _ => Ok(()),
    }
}

fn read<D: Disk>(disk: &D, sequence: u64, limit: u64) -> Result<Vec<u8>, JournalError> {
    disk.read(sequence, limit).map_err(JournalError::io(format!("read journal segment {sequence:016x}")))
}

fn damaged(segment: u64, offset: u64, reason: impl Into<String>) -> JournalError {
    JournalError::Damaged { segment, offset, reason: reason.into() }
}

/// One segment that is being read.
struct Reading<'a> {
    header: &'a Header,
    bytes: &'a [u8],
    closed: Closed,
    /// Up to where the last frame says that the segment was synced; 0 without a frame.
    proven: u64,
}

impl Replayed {
    /// Reads a segment that a later one ended at `end`: everything up to there was durable.
    fn read_closed<D: Disk>(&mut self, disk: &D, header: &Header, end: u64) -> Result<(), JournalError> {
        let bytes = read(disk, header.sequence, end)?;
        let (Reading { closed, .. }, stop) = self.read_frames(header, &bytes)?;
        if closed.end == end {
            self.closed.push_back(closed);
            return Ok(());
        }
        Err(damaged(
            header.sequence,
            closed.end,
            format!("{} before byte {end}, up to which it was synced", stop_text(&stop)),
        ))
    }

    fn read_newest<D: Disk>(&mut self, disk: &D, header: &Header) -> Result<(), JournalError> {
        let bytes = read(disk, header.sequence, u64::MAX)?;
        let (Reading { closed, proven, .. }, stop) = self.read_frames(header, &bytes)?;
        self.torn = torn_tail(&bytes, header, &closed, stop_text(&stop))?;
        let unproven = bytes.get(index(proven)..index(closed.end)).unwrap_or_default().to_vec();
        self.newest = Some(Newest { header: *header, closed, unproven });
        Ok(())
    }

    /// Takes in all frames up to the first thing that is none, and says what that is.
    fn read_frames<'a>(
        &mut self,
        header: &'a Header,
        bytes: &'a [u8],
    ) -> Result<(Reading<'a>, Next<'a>), JournalError> {
        if header.marks.recorded != self.marks.recorded {
            return Err(damaged(header.sequence, 0, "the segments before this one hold other records than it says"));
        }
        self.marks.given = self.marks.given.max(header.marks.given);
        self.confirm(header.marks);
        let closed = Closed { sequence: header.sequence, end: HEADER_BYTES, needed: None };
        let mut reading = Reading { header, bytes, closed, proven: 0 };
        let stop = loop {
            match reading.next() {
                Next::Frame(frame) => {
                    let end = frame.end as u64;
                    let outcome = frame.entry().and_then(|entry| self.enter(entry, &mut reading, end));
                    outcome.map_err(|reason| reading.damaged(reason))?;
                    reading.closed.end = end;
                    reading.proven = frame.synced;
                }
                stop => break stop,
            }
        };
        Ok((reading, stop))
    }

    /// Takes in a frame that begins where `reading` has come to, and ends at `end`.
    fn enter(&mut self, entry: Entry, reading: &mut Reading<'_>, end: u64) -> Result<(), &'static str> {
        match entry {
            Entry::Records(records) => self.enter_records(&records, reading, end),
            Entry::Sealed(seal) if seal.first > seal.last => Err("a seal that ends before it begins"),
            Entry::Sealed(seal) => {
                reading.need(seal.last);
                self.sealed.push(seal);
                Ok(())
            }
            Entry::Confirmed(last) => {
                self.confirm(Marks { confirmed: Some(last), ..Marks::default() });
                Ok(())
            }
        }
    }

    fn enter_records(&mut self, records: &[Record], reading: &mut Reading<'_>, end: u64) -> Result<(), &'static str> {
        records.iter().try_for_each(|record| self.enter_record(record, reading))?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let (header, from) = (reading.header, reading.closed.end);
        let (segment, salt, rows) = (header.sequence, header.salt, records.len());
        self.pending.push(Extent { segment, salt, from, end, rows, first: first.id, last: last.id });
        Ok(())
    }

    fn enter_record(&mut self, record: &Record, reading: &mut Reading<'_>) -> Result<(), &'static str> {
        if Some(record.id) <= self.marks.recorded {
            return Err("a record whose identifier does not grow");
        }
        if record.id.collector() != i64::from(reading.header.collector) {
            return Err("a record of another collector");
        }
        reading.need(record.id);
        self.marks.recorded = Some(record.id);
        self.marks.given = self.marks.given.max(Some(record.id));
        self.ages.push(record.id, record.ts_reception);
        Ok(())
    }

    fn confirm(&mut self, marks: Marks) {
        self.marks.confirmed = self.marks.confirmed.max(marks.confirmed);
        self.pending.release(self.marks.confirmed);
        if let Some(confirmed) = self.marks.confirmed {
            self.ages.release(confirmed);
        }
    }

    /// Segments are removed only when a confirmation of all their records is durable.
    fn check_beginning(&self, oldest: &Header) -> Result<(), JournalError> {
        if oldest.marks.recorded <= self.marks.confirmed {
            return Ok(());
        }
        Err(damaged(oldest.sequence.saturating_sub(1), 0, "the segment is missing, and its records are not confirmed"))
    }

    /// Forgets confirmed seals and checks that the others can be fulfilled.
    fn check_seals(&mut self, oldest: u64, reader: &dyn SegmentReader) -> Result<(), JournalError> {
        self.sealed.retain(|seal| Some(seal.last) > self.marks.confirmed);
        self.sealed.sort_by_key(|seal| (seal.first, seal.last));
        self.sealed.dedup();
        if self.sealed.windows(2).any(|pair| pair[1].first <= pair[0].last) {
            return Err(damaged(oldest, 0, "two sealed batches overlap"));
        }
        for Seal { first, last, rows, .. } in &self.sealed {
            if self.pending.count(*first, *last, reader)? < *rows {
                return Err(damaged(oldest, 0, format!("records of the sealed batch {first} to {last} are missing")));
            }
        }
        Ok(())
    }
}

impl<'a> Reading<'a> {
    fn next(&self) -> Next<'a> {
        frame::next(self.bytes, index(self.closed.end), self.header.salt)
    }

    fn need(&mut self, id: RecordId) {
        self.closed.needed = self.closed.needed.max(Some(id));
    }

    fn damaged(&self, reason: &str) -> JournalError {
        damaged(self.closed.sequence, self.closed.end, reason)
    }
}

/// What follows the last whole frame of the newest segment, unless it was once durable.
fn torn_tail(bytes: &[u8], header: &Header, closed: &Closed, found: &str) -> Result<Option<TornTail>, JournalError> {
    let offset = index(closed.end);
    let tail = bytes.get(offset..).unwrap_or_default();
    let Some(last) = tail.iter().rposition(|byte| *byte != 0) else {
        return Ok(None);
    };
    if let Some(proof) = frame::proof_of_sync(&bytes[..=offset + last], offset, header.salt) {
        return Err(damaged(header.sequence, closed.end, format!("{found}, synced before the frame at byte {proof}")));
    }
    let (segment, bytes) = (header.sequence, last as u64 + 1);
    Ok(Some(TornTail { segment, offset: closed.end, bytes, reason: found.to_owned() }))
}

/// A segment is far smaller than the address space.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn stop_text(stop: &Next<'_>) -> &'static str {
    match stop {
        Next::Broken(reason) => reason,
        Next::End | Next::Frame(_) => "nothing where a frame was expected",
    }
}
