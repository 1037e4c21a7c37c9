//! How many records there were in bytes that can no longer be read.

use telemetrics_schema::codec::{self, RECORD_BYTES_MIN};

use super::super::frame::{FRAME_HEADER_BYTES, mark, number32};
use super::Lost;

/// Bytes of a frame of records before its records.
const BEFORE_RECORDS: usize = FRAME_HEADER_BYTES + 4;

/// The records in `bytes`, which begin where a frame began and end where one ended.
///
/// The lengths in it often tell, because damage rarely hits them; otherwise there is no more than has room.
pub(super) fn lost_in(bytes: &[u8], salt: Option<u64>) -> Lost {
    match counted(bytes, salt) {
        Some(records) => Lost { records, is_at_most: false },
        None => at_most(bytes.len() as u64),
    }
}

/// As many records as so many bytes may have held.
pub(super) fn at_most(bytes: u64) -> Lost {
    let records = bytes.saturating_sub(BEFORE_RECORDS as u64) / RECORD_BYTES_MIN as u64;
    Lost { records, is_at_most: records > 0 }
}

fn counted(bytes: &[u8], salt: Option<u64>) -> Option<u64> {
    if bytes.len() < BEFORE_RECORDS + RECORD_BYTES_MIN {
        return Some(0);
    }
    let count = number32(bytes, FRAME_HEADER_BYTES);
    let mut rest = &bytes[BEFORE_RECORDS..];
    for _ in 0..count {
        codec::skip(&mut rest).ok()?;
    }
    // What follows must be the next frame: otherwise the count or a length is what is wrong.
    match rest {
        [] => Some(u64::from(count)),
        rest if rest.starts_with(&mark(salt?)) => Some(u64::from(count) + counted(rest, salt)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::super::super::frame::{Place, write_records};
    use super::*;

    const SALT: u64 = 77;

    fn frames(counts: &[i64]) -> Vec<u8> {
        let record = |id| Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() };
        let mut bytes = Vec::new();
        for count in counts {
            let records: Vec<_> = (0..*count).map(record).collect();
            write_records(&mut bytes, Place { salt: SALT, offset: 0, synced: 0 }, records.iter());
        }
        bytes
    }

    fn exactly(records: u64) -> Lost {
        Lost { records, is_at_most: false }
    }

    #[test]
    fn whole_lengths_tell_the_number() {
        assert_eq!(lost_in(&frames(&[3]), Some(SALT)), exactly(3));
        assert_eq!(lost_in(&frames(&[3, 2]), Some(SALT)), exactly(5));
        assert_eq!(lost_in(&frames(&[3]), None), exactly(3));
    }

    #[test]
    fn wrong_lengths_leave_a_bound() {
        for at in [FRAME_HEADER_BYTES, BEFORE_RECORDS + 31] {
            let mut bytes = frames(&[3]);
            bytes[at] ^= 1;
            let lost = lost_in(&bytes, Some(SALT));
            assert!(lost.is_at_most && lost.records >= 3, "{at}: {lost:?}");
        }
    }

    #[test]
    fn what_is_too_small_for_a_record_held_none() {
        assert_eq!(lost_in(&[], None), exactly(0));
        assert_eq!(lost_in(&[7; BEFORE_RECORDS + RECORD_BYTES_MIN - 1], None), exactly(0));
        assert_eq!(at_most(BEFORE_RECORDS as u64 - 1), exactly(0));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..400 {
            for byte in [0, 1, 7, 255] {
                let _ = lost_in(&vec![byte; length], Some(SALT));
            }
        }
    }
}
