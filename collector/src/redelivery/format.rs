//! How the log is written: a header, then entries of one size, each with its own checksum; numbers are little endian.
//!
//! | bytes of the header | what |
//! | --- | --- |
//! | 0..8 | `tm-seen` and a zero |
//! | 8..12 | version of the format |
//! | 12..28 | key of the fingerprints |
//! | 28..32 | CRC-32 over the bytes before |
//!
//! | bytes of an entry | what |
//! | --- | --- |
//! | 0..16 | fingerprint |
//! | 16..24 | identifier |
//! | 24..32 | time of reception, microseconds since 1970 |
//! | 32..36 | CRC-32 over the bytes before |
//!
//! Entries stand at multiples of their size: one that is damaged costs nothing but itself.

use telemetrics_schema::{RecordId, TimestampUs};

use super::fingerprint::{Fingerprint, KEY_BYTES, Key};
use super::table::Entry;

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 32;
/// Bytes of an entry.
pub(super) const ENTRY_BYTES: usize = 36;

const MAGIC: [u8; 8] = *b"tm-seen\0";
const VERSION: u32 = 1;
const CRC_BYTES: usize = 4;

/// What a header says.
#[derive(PartialEq, Eq)]
pub(super) enum Header {
    /// The entries behind it are of this version and made with this key.
    Known(Key),
    /// It is whole and of another version.
    Other(u32),
    /// It is none, or damaged.
    Unreadable,
}

/// A header for entries with fingerprints of `key`.
pub(super) fn header(key: &Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&key.0);
    seal(&mut bytes, 0);
    bytes
}

/// Reads the header at the front of `bytes`.
pub(super) fn read_header(bytes: &[u8]) -> Header {
    let body = bytes.get(..HEADER_BYTES).and_then(unseal).and_then(|body| body.strip_prefix(&MAGIC));
    let Some((version, key)) = body.and_then(|body| body.split_first_chunk::<4>()) else { return Header::Unreadable };
    match (u32::from_le_bytes(*version), key.first_chunk::<KEY_BYTES>()) {
        (VERSION, Some(key)) => Header::Known(Key(*key)),
        (version, _) => Header::Other(version),
    }
}

/// Appends `entry` to `out`.
pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    let from = out.len();
    out.extend_from_slice(&entry.fingerprint.0.to_le_bytes());
    out.extend_from_slice(&entry.id.0.to_le_bytes());
    out.extend_from_slice(&entry.ts_reception.0.to_le_bytes());
    seal(out, from);
}

/// The entries behind the header of a whole file, `None` for each that is damaged; a piece of one at the end is none.
pub(super) fn read_entries(file: &[u8]) -> impl DoubleEndedIterator<Item = Option<Entry>> + ExactSizeIterator {
    file.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES).map(read_entry)
}

fn read_entry(bytes: &[u8]) -> Option<Entry> {
    let (fingerprint, rest) = unseal(bytes)?.split_first_chunk()?;
    let (id, rest) = rest.split_first_chunk()?;
    Some(Entry {
        fingerprint: Fingerprint::of(u128::from_le_bytes(*fingerprint)),
        id: RecordId(i64::from_le_bytes(*id)),
        ts_reception: TimestampUs(i64::from_le_bytes(*rest.first_chunk()?)),
    })
}

/// Appends the checksum of what stands behind `from`.
fn seal(bytes: &mut Vec<u8>, from: usize) {
    let crc = crc32fast::hash(&bytes[from..]);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// What stands before the checksum, when it is right.
fn unseal(bytes: &[u8]) -> Option<&[u8]> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
    (crc32fast::hash(body) == u32::from_le_bytes(*crc)).then_some(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        any::<(u128, i64, i64)>().prop_map(|(fingerprint, id, at_us)| Entry {
            fingerprint: Fingerprint::of(fingerprint),
            id: RecordId(id),
            ts_reception: TimestampUs(at_us),
        })
    }

    fn file(entries: &[Entry]) -> Vec<u8> {
        let mut bytes = header(&Key([3; KEY_BYTES]));
        for entry in entries {
            write_entry(&mut bytes, entry);
        }
        bytes
    }

    #[test]
    fn a_header_is_known_of_another_version_or_unreadable() {
        let known = header(&Key([3; KEY_BYTES]));
        assert_eq!(known.len(), HEADER_BYTES);
        assert!(read_header(&known) == Header::Known(Key([3; KEY_BYTES])));
        for at in 0..HEADER_BYTES {
            let mut damaged = known.clone();
            damaged[at] ^= 1;
            assert!(read_header(&damaged) == Header::Unreadable && read_header(&known[..at]) == Header::Unreadable);
        }
        let mut other = known[..HEADER_BYTES - CRC_BYTES].to_vec();
        other[8] = 2;
        seal(&mut other, 0);
        assert!(read_header(&other) == Header::Other(2));
    }

    #[test]
    fn zeros_are_no_entry() {
        assert_eq!(read_entry(&[0; ENTRY_BYTES]), None);
    }

    proptest! {
        #[test]
        fn entries_come_back_as_far_as_they_are_whole(
            entries in prop::collection::vec(any_entry(), 0..5),
            cut in 0..HEADER_BYTES + 5 * ENTRY_BYTES,
        ) {
            let bytes = file(&entries);
            let cut = cut.min(bytes.len());
            let whole = cut.saturating_sub(HEADER_BYTES) / ENTRY_BYTES;
            let read: Vec<_> = read_entries(&bytes[..cut]).collect();
            let expected: Vec<_> = entries[..whole].iter().copied().map(Some).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn damage_costs_one_entry(
            entries in prop::collection::vec(any_entry(), 1..5),
            at in any::<prop::sample::Index>(),
            flipped in 1_u8..,
        ) {
            let mut bytes = file(&entries);
            let at = at.index(bytes.len() - HEADER_BYTES);
            bytes[HEADER_BYTES + at] ^= flipped;
            for (number, read) in read_entries(&bytes).enumerate() {
                let expected = (number != at / ENTRY_BYTES).then_some(entries[number]);
                prop_assert_eq!(read, expected);
            }
        }
    }
}
