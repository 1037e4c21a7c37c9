//! Reads the log from disk: every frame in order, where writing ends, and whether anything durable is missing.
//!
//! Changes nothing on disk.

use std::collections::VecDeque;

use telemetrics_schema::RecordId;

use super::QuarantineError;
use super::log::{Closed, HEADER_BYTES, Header, Spot};
use crate::journal::TornTail;
use crate::journal::files::Disk;
use crate::journal::frame::{self, Frame, Next};

/// What was read.
pub(super) struct Reading {
    /// All segments, as if each was closed behind its last whole frame.
    pub(super) closed: VecDeque<Closed>,
    pub(super) newest: Option<Newest>,
    /// What the newest header says.
    pub(super) greatest: Option<RecordId>,
    pub(super) torn: Option<TornTail>,
}

/// The end of the segment that was being written: what nothing in it says was synced.
pub(super) struct Newest {
    pub(super) sequence: u64,
    pub(super) from: u64,
    pub(super) bytes: Vec<u8>,
}

/// Reads all segments of `disk` and gives every frame to `take`.
pub(super) fn read<D: Disk>(
    disk: &D,
    mut take: impl FnMut(Spot, &Frame<'_>) -> Result<(), &'static str>,
) -> Result<Reading, QuarantineError> {
    let headers = headers(disk)?;
    let mut reading = Reading { closed: VecDeque::new(), newest: None, greatest: None, torn: None };
    for (at, header) in headers.iter().enumerate() {
        reading.greatest = header.greatest;
        match headers.get(at + 1) {
            Some(following) => reading.read_closed(disk, header, following.previous_end, &mut take)?,
            None => reading.read_newest(disk, header, &mut take)?,
        }
    }
    Ok(reading)
}

/// The headers of all segments, oldest first, without a newest segment that was never used.
fn headers<D: Disk>(disk: &D) -> Result<Vec<Header>, QuarantineError> {
    let sequences = disk.list().map_err(QuarantineError::io("list the segments of the quarantine"))?;
    let mut headers: Vec<Header> = Vec::with_capacity(sequences.len());
    for (at, sequence) in sequences.iter().copied().enumerate() {
        let Some(header) = header(disk, sequence, at + 1 == sequences.len())? else { continue };
        if header.sequence != sequence {
            return Err(damaged(sequence, 0, "a segment under another one's name"));
        }
        if let Some(previous) = headers.last().filter(|previous| previous.sequence + 1 != sequence) {
            return Err(damaged(previous.sequence + 1, 0, "the segment is missing"));
        }
        headers.push(header);
    }
    Ok(headers)
}

/// The header of one segment; `None` when it is the newest and a crash came before its first use.
fn header<D: Disk>(disk: &D, sequence: u64, is_newest: bool) -> Result<Option<Header>, QuarantineError> {
    match Header::decode(&bytes(disk, sequence, HEADER_BYTES)?) {
        Ok(Some(header)) => Ok(Some(header)),
        // Frames are written only when the header is durable.
        Ok(None) if is_newest && bytes(disk, sequence, HEADER_BYTES + 1)?.len() as u64 <= HEADER_BYTES => Ok(None),
        Ok(None) => Err(damaged(sequence, 0, "no header of a segment")),
        Err(version) => {
            Err(QuarantineError::Incompatible(format!("segment {sequence:016x} has format version {version}")))
        }
    }
}

fn bytes<D: Disk>(disk: &D, sequence: u64, limit: u64) -> Result<Vec<u8>, QuarantineError> {
    disk.read(sequence, limit).map_err(QuarantineError::io("read a segment of the quarantine"))
}

fn damaged(segment: u64, offset: u64, reason: impl Into<String>) -> QuarantineError {
    QuarantineError::Damaged { segment, offset, reason: reason.into() }
}

/// Where reading a segment came to an end.
struct End<'a> {
    offset: usize,
    /// Up to where the last frame says that the segment was synced; 0 without a frame.
    proven: u64,
    found: Next<'a>,
}

impl Reading {
    /// Reads a segment that a later one ended at `end`: everything up to there was durable.
    fn read_closed<D: Disk>(
        &mut self,
        disk: &D,
        header: &Header,
        end: u64,
        take: &mut impl FnMut(Spot, &Frame<'_>) -> Result<(), &'static str>,
    ) -> Result<(), QuarantineError> {
        let segment = bytes(disk, header.sequence, end)?;
        let stop = frames(&segment, header, take)?;
        if stop.offset as u64 != end {
            let reason = format!("{} before byte {end}, up to which it was synced", text(&stop.found));
            return Err(damaged(header.sequence, stop.offset as u64, reason));
        }
        self.closed.push_back(Closed { sequence: header.sequence, salt: header.salt, end });
        Ok(())
    }

    fn read_newest<D: Disk>(
        &mut self,
        disk: &D,
        header: &Header,
        take: &mut impl FnMut(Spot, &Frame<'_>) -> Result<(), &'static str>,
    ) -> Result<(), QuarantineError> {
        let segment = bytes(disk, header.sequence, u64::MAX)?;
        let stop = frames(&segment, header, take)?;
        self.torn = torn_tail(&segment, header, &stop)?;
        // The first frame proves that the header is durable; without one it is part of what has to be written again.
        let from = stop.proven;
        let unproven = usize::try_from(from).ok().and_then(|from| segment.get(from..stop.offset));
        let bytes = unproven.unwrap_or_default().to_vec();
        self.newest = Some(Newest { sequence: header.sequence, from, bytes });
        self.closed.push_back(Closed { sequence: header.sequence, salt: header.salt, end: stop.offset as u64 });
        Ok(())
    }
}

/// Gives all frames to `take` up to the first thing that is none.
fn frames<'a>(
    segment: &'a [u8],
    header: &Header,
    take: &mut impl FnMut(Spot, &Frame<'_>) -> Result<(), &'static str>,
) -> Result<End<'a>, QuarantineError> {
    let mut end = End { offset: usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX), proven: 0, found: Next::End };
    loop {
        match frame::next(segment, end.offset, header.salt) {
            Next::Frame(frame) => {
                let (offset, bytes) = (end.offset as u64, (frame.end - end.offset) as u64);
                let spot = Spot { segment: header.sequence, offset, bytes };
                take(spot, &frame).map_err(|reason| damaged(header.sequence, offset, reason))?;
                end.offset = frame.end;
                end.proven = frame.synced;
            }
            found => return Ok(End { found, ..end }),
        }
    }
}

/// What follows the last whole frame of the newest segment, unless it was once durable.
fn torn_tail(segment: &[u8], header: &Header, stop: &End<'_>) -> Result<Option<TornTail>, QuarantineError> {
    let tail = segment.get(stop.offset..).unwrap_or_default();
    let Some(last) = tail.iter().rposition(|byte| *byte != 0) else { return Ok(None) };
    let found = text(&stop.found);
    if let Some(proof) = frame::proof_of_sync(&segment[..=stop.offset + last], stop.offset, header.salt) {
        let reason = format!("{found}, synced before the frame at byte {proof}");
        return Err(damaged(header.sequence, stop.offset as u64, reason));
    }
    let (segment, offset, bytes) = (header.sequence, stop.offset as u64, last as u64 + 1);
    Ok(Some(TornTail { segment, offset, bytes, reason: found.to_owned() }))
}

fn text(found: &Next<'_>) -> &'static str {
    match found {
        Next::Broken(reason) => reason,
        Next::End | Next::Frame(_) => "nothing where a frame was expected",
    }
}
