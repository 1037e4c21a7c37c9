//! Journals that anything may have happened to: looking at one never fails badly, and a repair leaves a sound one with all
//! that could be read before.

use std::fs;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use telemetrics_collector::journal::fuzzing::{SegmentHead, segment};
use telemetrics_collector::journal::tool::{inspect, repair};
use telemetrics_schema::{Record, RecordId, Report, TimestampUs, codec};

/// Kinds of frames, as the journal numbers them.
const RECORDS: u8 = 1;
const SEALED: u8 = 2;
const CONFIRMED: u8 = 3;
/// Segments of a journal, at most.
const SEGMENTS_MAX: usize = 4;

#[derive(Debug, Arbitrary)]
struct Segment {
    /// Of another collector than the others.
    is_foreign: bool,
    /// Names that are left out before this one.
    gap: u8,
    /// Where the segment before it says that it ends: where it does, unless this is there.
    previous_end: Option<u16>,
    marks: [Option<u16>; 3],
    frames: Vec<Frame>,
    damage: Vec<Damage>,
}

#[derive(Debug, Arbitrary)]
enum Frame {
    Records(Vec<(u16, String)>),
    Sealed { first: u16, last: u16, rows: u8, checksum: u8 },
    Confirmed(u16),
    Other(u8, Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Damage {
    Byte(u16, u8),
    Cut(u16),
    Zeros(u8),
}

/// A journal, and what happened to it.
///
/// # Panics
/// When the tool contradicts itself, or a repair loses what could be read.
pub fn journal(bytes: &[u8]) {
    let Ok(segments) = Vec::<Segment>::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    // A directory of its own each time: repairs set files aside.
    let Ok(directory) = tempfile::tempdir() else { return };
    if write(directory.path(), &segments).is_err() {
        return;
    }
    let Ok(before) = inspect(directory.path()) else { return };
    match repair(directory.path()) {
        Ok(None) => assert!(before.is_sound(), "nothing to repair in {before:?}"),
        Ok(Some(_)) => {
            let after =
                inspect(directory.path()).unwrap_or_else(|error| panic!("{error} after a repair of {before:?}"));
            assert!(after.is_sound(), "{after:?} after a repair of {before:?}");
            assert_eq!(after.records(), before.records(), "{after:?} after a repair of {before:?}");
        }
        Err(error) => assert!(!before.is_sound(), "{error} of {before:?}"),
    }
}

fn write(directory: &Path, segments: &[Segment]) -> std::io::Result<()> {
    let mut sequence = 0;
    let mut end = 0;
    for described in segments.iter().take(SEGMENTS_MAX) {
        sequence += 1 + u64::from(described.gap);
        let head = SegmentHead {
            collector: u8::from(described.is_foreign),
            sequence,
            previous_end: described.previous_end.map_or(end, u64::from),
            marks: described.marks.map(|id| id.map(i64::from)),
        };
        let mut bytes = segment(&head, &described.frames.iter().map(framed).collect::<Vec<_>>());
        end = bytes.len() as u64;
        described.damage.iter().for_each(|damage| damage.happen(&mut bytes));
        fs::write(directory.join(format!("{sequence:016x}.journal")), bytes)?;
    }
    Ok(())
}

fn framed(frame: &Frame) -> (u8, Vec<u8>) {
    let id = |id: &u16| i64::from(*id).to_le_bytes();
    match frame {
        Frame::Records(records) => {
            let mut body = u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
            for (id, payload) in records {
                let report = Report { payload: payload.clone(), ..Report::default() };
                let (id, ts_reception) = (RecordId(i64::from(*id)), TimestampUs(i64::from(*id)));
                codec::encode(&Record { id, ts_reception, report }, &mut body);
            }
            (RECORDS, body)
        }
        Frame::Sealed { first, last, rows, checksum } => {
            let numbers = [u64::from(*rows).to_le_bytes(), u64::from(*checksum).to_le_bytes()];
            (SEALED, [[id(first), id(last)].concat(), numbers.concat()].concat())
        }
        Frame::Confirmed(last) => (CONFIRMED, id(last).to_vec()),
        Frame::Other(kind, body) => (*kind, body.clone()),
    }
}

impl Damage {
    fn happen(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::Byte(at, change) => {
                if let Some(byte) = bytes.get_mut(usize::from(at)) {
                    *byte ^= change;
                }
            }
            Self::Cut(at) => bytes.truncate(usize::from(at)),
            Self::Zeros(count) => bytes.extend(std::iter::repeat_n(0, usize::from(count))),
        }
    }
}
