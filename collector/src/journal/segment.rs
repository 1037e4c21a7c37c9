//! One segment: its header, and the file that is being written.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `TMJOURNL` |
//! | 8..12 | version of the format, 1 |
//! | 12 | number of the collector |
//! | 13..16 | zero |
//! | 16..24 | sequence number of the segment |
//! | 24..32 | salt |
//! | 32..40 | where the synced part of the segment before this one ends; 0 when there is none |
//! | 40..48 | greatest identifier given so far, -1 for none |
//! | 48..56 | greatest identifier of a record in the segments before this one, -1 for none |
//! | 56..64 | last confirmation, -1 for none |
//! | 64..68 | CRC-32 over the bytes before |

use std::io;
use std::time::Instant;

use telemetrics_schema::{CollectorNumber, RecordId};

use super::files::DiskFile;
use super::frame::{Place, number32, number64};
use super::stats::Gauges;

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: u64 = 68;
/// Bytes at the end of a segment that records leave to seals and confirmations, which are needed to free space.
pub(super) const CONTROL_RESERVE_BYTES: u64 = 64 << 10;
/// Size of a segment that is begun only for seals and confirmations, when there is no space for a whole one.
pub(super) const CONTROL_SEGMENT_BYTES: u64 = 8 << 10;

const MAGIC: &[u8; 8] = b"TMJOURNL";
const VERSION: u32 = 1;
const CRC_AT: usize = 64;
const NO_ID: i64 = -1;

/// How far things have come, by identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Marks {
    /// The greatest identifier that was given out, durable or not.
    pub(super) given: Option<RecordId>,
    /// The greatest identifier of a durable record.
    pub(super) recorded: Option<RecordId>,
    /// The store has everything up to here.
    pub(super) confirmed: Option<RecordId>,
}

/// What a segment says about itself and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) collector: u8,
    pub(super) sequence: u64,
    pub(super) salt: u64,
    /// Where the synced part of the segment before this one ends.
    pub(super) previous_end: u64,
    /// How far things had come when the segment was begun.
    pub(super) marks: Marks,
}

/// Why bytes are no header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It was not written wholly, or was damaged.
    Broken,
    /// It is of another version of the format.
    Version(u32),
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.collector, 0, 0, 0]);
        for number in [self.sequence, self.salt, self.previous_end] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for id in [self.marks.given, self.marks.recorded, self.marks.confirmed] {
            bytes.extend_from_slice(&id.map_or(NO_ID, |id| id.0).to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = bytes.get(..CRC_AT + 4).ok_or(HeaderFault::Broken)?;
        if !bytes.starts_with(MAGIC) {
            return Err(HeaderFault::Broken);
        }
        match number32(bytes, 8) {
            VERSION if crc32fast::hash(&bytes[..CRC_AT]) == number32(bytes, CRC_AT) => Ok(Self::fields(bytes)),
            // A torn header has a version of zero.
            VERSION | 0 => Err(HeaderFault::Broken),
            other => Err(HeaderFault::Version(other)),
        }
    }

    fn fields(bytes: &[u8]) -> Self {
        let id = |at| Some(number64(bytes, at).cast_signed()).filter(|id| *id != NO_ID).map(RecordId);
        Self {
            collector: bytes[12],
            sequence: number64(bytes, 16),
            salt: number64(bytes, 24),
            previous_end: number64(bytes, 32),
            marks: Marks { given: id(40), recorded: id(48), confirmed: id(56) },
        }
    }

    /// Whether `collector` wrote the segment.
    pub(super) fn is_of(&self, collector: CollectorNumber) -> bool {
        self.collector == collector.get()
    }
}

/// A segment that is being written.
pub(super) struct Segment<F> {
    file: F,
    pub(super) sequence: u64,
    salt: u64,
    /// The file's planned size in bytes; writes stay below it.
    pub(super) allocated: u64,
    /// Offset behind the last frame.
    written: u64,
    /// Offset up to which everything is durable.
    pub(super) synced: u64,
    /// When this identifier is confirmed, nobody needs the segment.
    pub(super) needed: Option<RecordId>,
}

impl<F: DiskFile> Segment<F> {
    /// A segment whose header is durable and that holds nothing else.
    pub(super) fn new(file: F, header: &Header, allocated: u64) -> Self {
        let (sequence, salt) = (header.sequence, header.salt);
        Self { file, sequence, salt, allocated, written: HEADER_BYTES, synced: HEADER_BYTES, needed: None }
    }

    /// Where the next frame goes.
    pub(super) fn place(&self) -> Place {
        Place { salt: self.salt, offset: self.written, synced: self.synced }
    }

    /// Whether so many bytes of records and of other frames have room.
    pub(super) fn fits(&self, records_bytes: u64, control_bytes: u64) -> bool {
        let free = self.allocated.saturating_sub(self.written);
        let free_for_records = free.saturating_sub(CONTROL_RESERVE_BYTES);
        records_bytes <= free_for_records && records_bytes + control_bytes <= free
    }

    /// Appends frames that were made for [`Segment::place`], and makes them durable when `sync` is set.
    ///
    /// After an error the segment must not be written again, except behind [`Segment::reset`].
    pub(super) fn append(&mut self, frames: &[u8], sync: bool, gauges: &Gauges) -> io::Result<()> {
        self.file.put(self.written, frames)?;
        self.written += frames.len() as u64;
        if sync {
            // A monotonic clock, because the duration is only reported and nothing is decided by it.
            let before = Instant::now();
            self.file.sync_data()?;
            gauges.synced(before.elapsed());
            self.synced = self.written;
        }
        Ok(())
    }

    /// Whether nothing but the header is durable.
    pub(super) fn is_empty(&self) -> bool {
        self.synced == HEADER_BYTES
    }

    /// Forgets everything behind the header; durable with the next sync.
    pub(super) fn reset(&mut self) -> io::Result<()> {
        self.file.truncate(HEADER_BYTES)?;
        self.file.allocate(self.allocated)?;
        self.written = HEADER_BYTES;
        Ok(())
    }

    /// Gives back the space behind what is durable.
    pub(super) fn trim(&self) -> io::Result<()> {
        self.file.truncate(self.synced)
    }

    /// Notes that the segment is needed until `id` is confirmed.
    pub(super) fn need(&mut self, id: RecordId) {
        self.needed = self.needed.max(Some(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        collector: 5,
        sequence: 9,
        salt: 0x0102_0304_0506_0708,
        previous_end: 1_234,
        marks: Marks { given: Some(RecordId(30)), recorded: Some(RecordId(20)), confirmed: None },
    };

    #[test]
    fn a_header_reads_as_written() {
        let bytes = HEADER.encode();
        assert_eq!(bytes.len() as u64, HEADER_BYTES);
        assert_eq!(Header::decode(&[bytes, vec![1, 2, 3]].concat()), Ok(HEADER));
    }

    #[test]
    fn no_piece_of_a_header_and_no_changed_one_is_a_header() {
        let bytes = HEADER.encode();
        for cut in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..cut]), Err(HeaderFault::Broken), "{cut}");
            let zeroed = [&bytes[..cut], &vec![0; bytes.len() - cut]].concat();
            assert!(cut >= CRC_AT || Header::decode(&zeroed) == Err(HeaderFault::Broken), "{cut}");
            let mut changed = bytes.clone();
            changed[cut] ^= 0x40;
            assert!(Header::decode(&changed).is_err(), "{cut}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut bytes = HEADER.encode();
        bytes[8] = 2;
        assert_eq!(Header::decode(&bytes), Err(HeaderFault::Version(2)));
    }
}
