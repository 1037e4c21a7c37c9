//! The log on disk: segments of frames, written at the end, removed at the beginning.
//!
//! The frames are those of the journal ([`crate::journal::frame`]), the header of a segment is
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `TMQUARAN` |
//! | 8..12 | version of the format, 1 |
//! | 12..16 | zero |
//! | 16..24 | sequence number of the segment |
//! | 24..32 | salt |
//! | 32..40 | where the synced part of the segment before this one ends; 0 when there is none |
//! | 40..48 | greatest identifier in all segments before, also in those that are gone; -1 for none |
//! | 48..52 | CRC-32 over the bytes before |
//!
//! Segments are not allocated before they are written, because a quarantine is mostly small.

use std::collections::VecDeque;
use std::io;

use telemetrics_schema::RecordId;

use super::replay::{self, Reading};
use super::{QuarantineError, QuarantineFault};
use crate::journal::TornTail;
use crate::journal::files::{Disk, DiskFile};
use crate::journal::frame::{self, Frame, Next, Place, number32, number64};

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: u64 = 52;
const MAGIC: &[u8; 8] = b"TMQUARAN";
const VERSION: u32 = 1;
const CRC_AT: usize = 48;
const NO_ID: i64 = -1;

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Bytes of the whole frame.
    pub(super) bytes: u64,
}

/// What a segment says about itself and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) previous_end: u64,
    pub(super) greatest: Option<RecordId>,
}

/// A segment that is only read from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) sequence: u64,
    pub(super) salt: u64,
    pub(super) end: u64,
}

struct Active<F> {
    file: F,
    sequence: u64,
    salt: u64,
    written: u64,
    synced: u64,
}

/// What was known and is not on disk after a failure: frames of `segment` from `offset` on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// See the module.
pub(super) struct Log<D: Disk> {
    disk: D,
    segment_bytes: u64,
    next_sequence: u64,
    closed: VecDeque<Closed>,
    active: Option<Active<D::File>>,
    staged: Vec<u8>,
}

impl<D: Disk> Log<D> {
    /// Reads every frame in order, cuts a torn tail off, and makes durable what was read.
    ///
    /// # Errors
    /// See [`QuarantineError`]; what `take` refuses is damage.
    pub(super) fn open(
        disk: D,
        segment_bytes: u64,
        take: impl FnMut(Spot, &Frame<'_>) -> Result<(), &'static str>,
    ) -> Result<(Self, Option<RecordId>, Option<TornTail>), QuarantineError> {
        let Reading { closed, newest, greatest, torn } = replay::read(&disk, take)?;
        let next_sequence = closed.back().map_or(1, |newest: &Closed| newest.sequence + 1);
        let log = Self { disk, segment_bytes, next_sequence, closed, active: None, staged: Vec::new() };
        if let Some(newest) = newest {
            let file = log.disk.open(newest.sequence).map_err(QuarantineError::io("open the newest segment"))?;
            // A sync that failed before the restart may have left pages that are read but never will be on disk.
            file.put(newest.from, &newest.bytes)
                .and_then(|()| file.truncate(newest.from + newest.bytes.len() as u64))
                .and_then(|()| file.sync_data())
                .and_then(|()| log.disk.sync_directory())
                .map_err(QuarantineError::io("end the newest segment of the quarantine"))?;
        }
        Ok((log, greatest, torn))
    }

    /// Whether the next frame needs another segment.
    pub(super) fn is_full(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.written >= self.segment_bytes)
    }

    /// Begins a segment when there is none or the present one is full; everything committed is durable.
    ///
    /// # Errors
    /// When the disk does not do it; nothing is lost.
    pub(super) fn prepare(&mut self, greatest: Option<RecordId>) -> io::Result<()> {
        if self.is_full() { self.begin(greatest) } else { Ok(()) }
    }

    /// Adds a frame to what the next commit writes, and says where it will be.
    ///
    /// # Errors
    /// [`QuarantineFault::Unavailable`] while there is no segment.
    pub(super) fn stage(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) -> Result<Spot, QuarantineFault> {
        let Some(active) = &self.active else {
            return Err(QuarantineFault::Unavailable("the quarantine cannot be written".to_owned()));
        };
        let place = Place { salt: active.salt, offset: active.written, synced: active.synced };
        let before = self.staged.len();
        frame::write(&mut self.staged, place, kind, body);
        let bytes = (self.staged.len() - before) as u64;
        Ok(Spot { segment: active.sequence, offset: active.written + before as u64, bytes })
    }

    /// Bytes that are staged, to take back what comes behind them.
    pub(super) fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Forgets what was staged behind the first `bytes`.
    pub(super) fn unstage(&mut self, bytes: usize) {
        self.staged.truncate(bytes);
    }

    /// Writes what is staged; with `sync` it and everything before is durable.
    ///
    /// # Errors
    /// What the disk said, and what is not there any more: the segment is given up.
    pub(super) fn commit(&mut self, sync: bool) -> Result<(), (io::Error, Lost)> {
        let staged = std::mem::take(&mut self.staged);
        let Some(active) = &mut self.active else { return Ok(()) };
        let Err(error) = active.append(&staged, sync) else { return Ok(()) };
        let lost = Lost { segment: active.sequence, offset: active.synced };
        self.close();
        Err((error, lost))
    }

    /// The body of the frame at `spot` in the bytes of its segment.
    ///
    /// # Errors
    /// When the disk does not give back what was written.
    pub(super) fn body_in<'a>(&self, segment: &'a [u8], spot: Spot) -> io::Result<&'a [u8]> {
        let offset = usize::try_from(spot.offset).map_err(io::Error::other)?;
        match frame::next(segment, offset, self.salt(spot.segment)) {
            Next::Frame(frame) => Ok(frame.body),
            Next::End | Next::Broken(_) => Err(io::Error::other("an entry of the quarantine cannot be read back")),
        }
    }

    /// All bytes of a segment.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn segment(&self, sequence: u64) -> io::Result<Vec<u8>> {
        self.disk.read(sequence, u64::MAX)
    }

    /// Sequence number of the oldest segment that is not written any more.
    pub(super) fn oldest_sequence(&self) -> Option<u64> {
        self.closed.front().map(|closed| closed.sequence)
    }

    /// Removes the oldest closed segment; everything that is needed of it is durable elsewhere.
    ///
    /// # Errors
    /// When the disk does not do it; the segment counts as there.
    pub(super) fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.closed.front() else { return Ok(()) };
        // Each removal is synced, so that a power cut never leaves a hole in the sequence.
        self.disk.remove(oldest.sequence)?;
        self.disk.sync_directory()?;
        self.closed.pop_front();
        Ok(())
    }

    /// Whether everything that was committed is durable.
    pub(super) fn is_synced(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.synced == active.written)
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.end).sum();
        closed + self.active.as_ref().map_or(0, |active| active.written)
    }

    /// Segments that are not written any more.
    pub(super) fn closed_segments(&self) -> usize {
        self.closed.len()
    }

    fn salt(&self, segment: u64) -> u64 {
        let active = self.active.as_ref().filter(|active| active.sequence == segment).map(|active| active.salt);
        let closed = || self.closed.iter().find(|closed| closed.sequence == segment).map(|closed| closed.salt);
        active.or_else(closed).unwrap_or_default()
    }

    fn begin(&mut self, greatest: Option<RecordId>) -> io::Result<()> {
        let sequence = self.next_sequence;
        let file = self.disk.create(sequence)?;
        // Once the new header may be on disk, the segment before must not grow.
        self.close();
        let previous_end = self.closed.back().map_or(0, |previous| previous.end);
        let header = Header { sequence, salt: self.disk.salt(), previous_end, greatest };
        file.put(0, &header.encode())?;
        file.sync_data()?;
        self.disk.sync_directory()?;
        self.next_sequence = sequence + 1;
        self.active = Some(Active { file, sequence, salt: header.salt, written: HEADER_BYTES, synced: HEADER_BYTES });
        Ok(())
    }

    /// Ends the active segment where it was last synced.
    fn close(&mut self) {
        if let Some(Active { file, sequence, salt, synced: end, .. }) = self.active.take() {
            // Only space is lost when this fails: the next header says where the segment ends.
            if let Err(error) = file.truncate(end) {
                tracing::warn!(segment = sequence, %error, "a segment of the quarantine could not be trimmed");
            }
            self.closed.push_back(Closed { sequence, salt, end });
        }
    }
}

impl<F: DiskFile> Active<F> {
    fn append(&mut self, frames: &[u8], sync: bool) -> io::Result<()> {
        if !frames.is_empty() {
            self.file.put(self.written, frames)?;
            self.written += frames.len() as u64;
        }
        if sync && self.synced < self.written {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.sequence, self.salt, self.previous_end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.greatest.map_or(NO_ID, |id| id.0).to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`: `Ok(None)` when it is broken.
    ///
    /// # Errors
    /// The number of a version that is not this one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, u32> {
        let Some(bytes) = bytes.get(..CRC_AT + 4).filter(|bytes| bytes.starts_with(MAGIC)) else { return Ok(None) };
        let whole = crc32fast::hash(&bytes[..CRC_AT]) == number32(bytes, CRC_AT);
        match number32(bytes, 8) {
            VERSION if whole => Ok(Some(Self {
                sequence: number64(bytes, 16),
                salt: number64(bytes, 24),
                previous_end: number64(bytes, 32),
                greatest: Some(number64(bytes, 40).cast_signed()).filter(|id| *id != NO_ID).map(RecordId),
            })),
            // A torn header has a version of zero.
            VERSION | 0 => Ok(None),
            other => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_nothing_else_does() {
        let header = Header { sequence: 7, salt: 8, previous_end: 9, greatest: Some(RecordId(10)) };
        let bytes = header.encode();
        assert_eq!(bytes.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&bytes), Ok(Some(header)));
        let without = Header { greatest: None, ..header };
        assert_eq!(Header::decode(&without.encode()), Ok(Some(without)));
        for at in (0..bytes.len()).filter(|at| !(8..12).contains(at)) {
            let mut broken = bytes.clone();
            broken[at] ^= 1;
            assert_eq!(Header::decode(&broken), Ok(None), "byte {at}");
        }
        assert_eq!(Header::decode(&bytes[..bytes.len() - 1]), Ok(None));
        let mut newer = bytes;
        newer[8] = 2;
        assert_eq!(Header::decode(&newer), Err(2));
    }
}
