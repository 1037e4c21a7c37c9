//! Frames: how the entries of a segment are written and read back.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | mark: the low half of the segment's salt, with the lowest bit set; zero where no frame is |
//! | 4..8 | length of the body |
//! | 8..16 | offset up to which the segment was synced when the frame was written |
//! | 16 | kind |
//! | 17..20 | zero |
//! | 20..24 | CRC-32 over the salt, the frame's offset, the bytes 0..20 and the body |
//! | 24.. | body |
//!
//! The salt and the offset are part of the checksum: bytes of a record that look like a frame are none, because no
//! sender knows the salt of the segment that its record will be in.

use telemetrics_schema::{Record, RecordId, codec};

use super::Seal;

/// Bytes before a frame's body.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// Bytes of a frame of records that are not its records: header and count.
pub(super) const RECORDS_FRAME_BYTES: u64 = FRAME_HEADER_BYTES as u64 + 4;
/// Bytes of a whole frame that holds a seal.
pub(super) const SEALED_FRAME_BYTES: u64 = FRAME_HEADER_BYTES as u64 + 32;
/// Bytes of a whole frame that holds a confirmation.
pub(super) const CONFIRMED_FRAME_BYTES: u64 = FRAME_HEADER_BYTES as u64 + 8;
/// Bytes that an encoded record takes beside its texts, at most.
const RECORD_OVERHEAD_BYTES: usize = 96;
const CRC_AT: usize = 20;

const KIND_RECORDS: u8 = 1;
const KIND_SEALED: u8 = 2;
const KIND_CONFIRMED: u8 = 3;

/// Most bytes that `record` takes in a frame.
pub(super) fn record_bound_bytes(record: &Record) -> usize {
    record.text_bytes() + RECORD_OVERHEAD_BYTES
}

/// Where frames are going to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The segment's salt.
    pub(crate) salt: u64,
    /// Offset in the segment of the first byte of the buffer.
    pub(crate) offset: u64,
    /// Offset up to which the segment is synced.
    pub(crate) synced: u64,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// Records that were accepted together.
    Records(Vec<Record>),
    /// A batch that is going to be inserted.
    Sealed(Seal),
    /// The store has everything up to here.
    Confirmed(RecordId),
}

/// A frame whose checksum is right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// What the body is; who reads knows the kinds that it wrote.
    pub(crate) kind: u8,
    pub(crate) body: &'a [u8],
    /// Offset up to which the segment was synced when the frame was written.
    pub(crate) synced: u64,
    /// Offset behind the frame.
    pub(crate) end: usize,
}

/// What stands at an offset of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A whole frame.
    Frame(Frame<'a>),
    /// The end of the bytes, or a zero mark.
    End,
    /// Neither.
    Broken(&'static str),
}

/// Appends a frame of records to `out`, whose first byte is going to be at `place`.
pub(super) fn write_records<'a>(out: &mut Vec<u8>, place: Place, records: impl Iterator<Item = &'a Record>) {
    write(out, place, KIND_RECORDS, |out| {
        let count_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut count = 0_u32;
        for record in records {
            codec::encode(record, out);
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    });
}

/// Appends a frame that holds `seal` to `out`.
pub(super) fn write_sealed(out: &mut Vec<u8>, place: Place, seal: &Seal) {
    write(out, place, KIND_SEALED, |out| {
        out.extend_from_slice(&seal.first.0.to_le_bytes());
        out.extend_from_slice(&seal.last.0.to_le_bytes());
        out.extend_from_slice(&seal.rows.to_le_bytes());
        out.extend_from_slice(&seal.checksum.to_le_bytes());
    });
}

/// Appends a frame that confirms everything up to `last` to `out`.
pub(super) fn write_confirmed(out: &mut Vec<u8>, place: Place, last: RecordId) {
    write(out, place, KIND_CONFIRMED, |out| out.extend_from_slice(&last.0.to_le_bytes()));
}

/// Appends a frame of `kind` to `out`, whose first byte is going to be at `place`.
pub(crate) fn write(out: &mut Vec<u8>, place: Place, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&mark(place.salt));
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&place.synced.to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = saturating_u32(out.len() - start - FRAME_HEADER_BYTES);
    out[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let checksum = checksum(place.salt, place.offset + start as u64, &out[start..]);
    out[start + CRC_AT..start + FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads what stands at `offset` of a segment with that `salt`, whose bytes are `segment`.
pub(crate) fn next(segment: &[u8], offset: usize, salt: u64) -> Next<'_> {
    next_in(segment.get(offset..).unwrap_or_default(), offset, salt)
}

/// As [`next`], where `rest` are the bytes of the segment from `offset` on.
pub(super) fn next_in(rest: &[u8], offset: usize, salt: u64) -> Next<'_> {
    let Some(header) = rest.first_chunk::<FRAME_HEADER_BYTES>() else {
        return if rest.iter().all(|byte| *byte == 0) { Next::End } else { Next::Broken("a piece of a frame") };
    };
    if header[..4] == [0; 4] {
        return Next::End;
    }
    if header[..4] != mark(salt) {
        return Next::Broken("no mark of a frame");
    }
    let Some(whole) = rest.get(..FRAME_HEADER_BYTES.saturating_add(number32(header, 4) as usize)) else {
        return Next::Broken("a frame that is longer than the segment");
    };
    if checksum(salt, offset as u64, whole) != number32(header, CRC_AT) {
        return Next::Broken("a frame with a wrong checksum");
    }
    let body = &whole[FRAME_HEADER_BYTES..];
    Next::Frame(Frame { kind: header[16], body, synced: number64(header, 8), end: offset + whole.len() })
}

/// The first frame behind `offset` that was written when the segment was synced beyond `offset`.
///
/// Such a frame proves that what stands at `offset` was once whole and durable.
pub(crate) fn proof_of_sync(segment: &[u8], offset: usize, salt: u64) -> Option<usize> {
    frames_from(segment, offset, salt).find(|(_, frame)| frame.synced > offset as u64).map(|(at, _)| at)
}

/// Every whole frame that begins at `offset` or behind it, and where it begins: also those behind something that is no
/// frame.
pub(super) fn frames_from(segment: &[u8], offset: usize, salt: u64) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mark = mark(salt);
    let behind = segment.get(offset..).unwrap_or_default();
    let candidates = behind.windows(mark.len()).enumerate().filter(move |(_, window)| *window == mark);
    candidates.filter_map(move |(at, _)| match next(segment, offset + at, salt) {
        Next::Frame(frame) => Some((offset + at, frame)),
        Next::End | Next::Broken(_) => None,
    })
}

impl Frame<'_> {
    /// What the frame says.
    ///
    /// # Errors
    /// When the body is not what the kind promises: no writer of this version made it.
    pub(super) fn entry(&self) -> Result<Entry, &'static str> {
        match (self.kind, self.body.len()) {
            (KIND_RECORDS, _) => self.records().map(Entry::Records),
            (KIND_SEALED, 32) => Ok(Entry::Sealed(Seal {
                first: self.id(0),
                last: self.id(8),
                rows: number64(self.body, 16),
                checksum: number64(self.body, 24),
            })),
            (KIND_CONFIRMED, 8) => Ok(Entry::Confirmed(self.id(0))),
            _ => Err("a frame of an unknown kind or length"),
        }
    }

    fn id(&self, at: usize) -> RecordId {
        RecordId(number64(self.body, at).cast_signed())
    }

    fn records(&self) -> Result<Vec<Record>, &'static str> {
        let (count, mut body) = self.body.split_first_chunk().ok_or("a frame of records without a count")?;
        let count = u32::from_le_bytes(*count);
        let mut records = Vec::new();
        for _ in 0..count {
            records.push(codec::decode(&mut body).map_err(|_| "a frame of records with something else in it")?);
        }
        if body.is_empty() { Ok(records) } else { Err("a frame of records with bytes behind them") }
    }
}

pub(super) fn mark(salt: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = salt.to_le_bytes();
    [a | 1, b, c, d]
}

fn checksum(salt: u64, offset: u64, frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&frame[..CRC_AT]);
    hasher.update(&frame[FRAME_HEADER_BYTES..]);
    hasher.finalize()
}

/// Lengths stay below the greatest segment, so that the number always fits.
fn saturating_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The number of four bytes at `at`; the caller knows that they are there.
pub(crate) fn number32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The number of eight bytes at `at`; the caller knows that they are there.
pub(crate) fn number64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use telemetrics_schema::{Report, TimestampUs};

    use super::*;

    const SALT: u64 = 0x0123_4567_89ab_cdee;
    const PLACE: Place = Place { salt: SALT, offset: 10, synced: 7 };

    fn record(id: i64, payload: &str) -> Record {
        let report = Report { payload: payload.to_owned(), ..Report::default() };
        Record { id: RecordId(id), ts_reception: TimestampUs(id), report }
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            prop::collection::vec((any::<i64>(), ".{0,20}"), 0..4).prop_map(|records| {
                Entry::Records(records.into_iter().map(|(id, payload)| record(id, &payload)).collect())
            }),
            any::<(i64, i64, u64, u64)>().prop_map(|(first, last, rows, checksum)| {
                Entry::Sealed(Seal { first: RecordId(first), last: RecordId(last), rows, checksum })
            }),
            any::<i64>().prop_map(|last| Entry::Confirmed(RecordId(last))),
        ]
    }

    /// The bytes of a segment with `entries` from offset 10 on.
    fn segment(entries: &[Entry]) -> Vec<u8> {
        let mut frames = Vec::new();
        for entry in entries {
            match entry {
                Entry::Records(records) => write_records(&mut frames, PLACE, records.iter()),
                Entry::Sealed(seal) => write_sealed(&mut frames, PLACE, seal),
                Entry::Confirmed(last) => write_confirmed(&mut frames, PLACE, *last),
            }
        }
        [vec![0; 10], frames].concat()
    }

    fn read(segment: &[u8]) -> (Vec<Entry>, usize, bool) {
        let (mut entries, mut offset) = (Vec::new(), 10);
        loop {
            match next(segment, offset, SALT) {
                Next::Frame(frame) => {
                    entries.push(frame.entry().expect("an entry"));
                    offset = frame.end;
                }
                Next::End => return (entries, offset, true),
                Next::Broken(_) => return (entries, offset, false),
            }
        }
    }

    #[test]
    fn the_sizes_are_what_the_constants_say() {
        let seal = Seal { first: RecordId(1), last: RecordId(2), rows: 3, checksum: 4 };
        assert_eq!(segment(&[Entry::Sealed(seal)]).len() as u64 - 10, SEALED_FRAME_BYTES);
        assert_eq!(segment(&[Entry::Confirmed(RecordId(1))]).len() as u64 - 10, CONFIRMED_FRAME_BYTES);
        let long = record(1, &"x".repeat(1_000));
        let bytes = segment(&[Entry::Records(vec![long.clone()])]).len() as u64 - 10;
        assert!(bytes <= RECORDS_FRAME_BYTES + record_bound_bytes(&long) as u64);
        assert!(bytes >= RECORDS_FRAME_BYTES + long.text_bytes() as u64);
    }

    #[test]
    fn a_frame_of_another_segment_or_place_is_none() {
        let bytes = segment(&[Entry::Confirmed(RecordId(1))]);
        assert!(matches!(next(&bytes, 10, SALT), Next::Frame(_)));
        assert_eq!(next(&bytes, 10, SALT ^ 2), Next::Broken("no mark of a frame"));
        assert_eq!(next(&bytes, 10, SALT ^ (1 << 40)), Next::Broken("a frame with a wrong checksum"));
        let moved = [vec![0], bytes].concat();
        assert_eq!(next(&moved, 11, SALT), Next::Broken("a frame with a wrong checksum"));
    }

    #[test]
    fn only_a_frame_written_after_the_sync_proves_it() {
        let mut bytes = vec![0xff; 30];
        let at = bytes.len();
        write_confirmed(&mut bytes, Place { salt: SALT, offset: 0, synced: 20 }, RecordId(1));
        assert_eq!(proof_of_sync(&bytes, 19, SALT), Some(at));
        assert_eq!(proof_of_sync(&bytes, 20, SALT), None);
        let starts = |offset| frames_from(&bytes, offset, SALT).map(|(at, _)| at).collect::<Vec<_>>();
        assert_eq!((starts(0), starts(at), starts(at + 1)), (vec![at], vec![at], vec![]));
    }

    #[test]
    fn a_body_that_is_not_its_kind_is_an_error() {
        let mut bytes = vec![0; 10];
        write(&mut bytes, Place { offset: 0, ..PLACE }, KIND_SEALED, |out| out.push(1));
        let Next::Frame(frame) = next(&bytes, 10, SALT) else { panic!("a frame") };
        assert!(frame.entry().is_err());
    }

    proptest! {
        #[test]
        fn reading_gives_what_was_written(entries in prop::collection::vec(entry(), 0..5), zeros in 0_usize..100) {
            let bytes = [segment(&entries), vec![0; zeros]].concat();
            let (read, _, clean) = read(&bytes);
            prop_assert_eq!(read, entries);
            prop_assert!(clean);
        }

        #[test]
        fn a_cut_leaves_the_whole_frames_before_it(
            entries in prop::collection::vec(entry(), 1..5), cut in any::<prop::sample::Index>()
        ) {
            let whole = segment(&entries);
            let cut = 10 + cut.index(whole.len() - 10);
            let (read, end, clean) = read(&whole[..cut]);
            prop_assert!(read.len() < entries.len());
            prop_assert_eq!(&entries[..read.len()], &read[..]);
            prop_assert!(end == cut || !clean || whole[end..cut].iter().all(|byte| *byte == 0));
        }

        #[test]
        fn a_changed_byte_is_noticed(
            entries in prop::collection::vec(entry(), 1..4), at in any::<prop::sample::Index>(), flip in 1_u8..
        ) {
            let mut bytes = segment(&entries);
            let at = 10 + at.index(bytes.len() - 10);
            bytes[at] ^= flip;
            let (read, end, _) = read(&bytes);
            prop_assert!(end <= at);
            prop_assert_eq!(&entries[..read.len()], &read[..]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), offset in 0_usize..220) {
            let salt = u64::from(number32(&bytes, offset));
            if let Next::Frame(frame) = next(&bytes, offset, salt) {
                let _ = frame.entry();
            }
            let _ = proof_of_sync(&bytes, offset, salt);
        }
    }
}
