//! Headers that may be damaged: read, mended where one byte is wrong, or given up but for the salt.

use super::super::frame::{frames_from, number64};
use super::super::segment::{HEADER_BYTES, Header, HeaderFault};
use super::HeaderState;

/// Where a header has the salt.
const SALT_AT: usize = 24;

/// What is known of a segment's header.
pub(super) struct Head {
    pub(super) state: HeaderState,
    /// The header, when all of it is known.
    pub(super) header: Option<Header>,
    /// What the frames were written with, when it is known.
    pub(super) salt: Option<u64>,
}

impl Head {
    /// Reads the header of the segment `sequence`, all of whose bytes are given.
    ///
    /// # Errors
    /// The version of the format, when it is not ours.
    pub(super) fn read(bytes: &[u8], sequence: u64) -> Result<Self, u32> {
        match Header::decode(bytes) {
            Ok(header) if header.sequence == sequence => Ok(Self::of(header, HeaderState::Whole)),
            Ok(header) => {
                let state = HeaderState::Lost("a segment under another one's name");
                Ok(Self { state, header: None, salt: Some(header.salt) })
            }
            Err(fault) => match (mended(bytes, sequence), fault) {
                (Some(header), _) => Ok(Self::of(header, HeaderState::Mended)),
                (None, HeaderFault::Version(version)) => Err(version),
                (None, HeaderFault::Broken) => Ok(Self::lost(bytes)),
            },
        }
    }

    fn of(header: Header, state: HeaderState) -> Self {
        Self { state, header: Some(header), salt: Some(header.salt) }
    }

    fn lost(bytes: &[u8]) -> Self {
        let salt = number64(bytes, SALT_AT);
        let is_right = frames_from(bytes, at_frames(), salt).next().is_some();
        Self { state: HeaderState::Lost("no header of a segment"), header: None, salt: is_right.then_some(salt) }
    }
}

/// The header with one byte changed, when that makes its checksum right.
///
/// A checksum of 32 bits tells all wrong bytes of so few apart; that another header fits by chance, and has the right
/// number, is less likely than a second fault.
fn mended(bytes: &[u8], sequence: u64) -> Option<Header> {
    let mut bytes = bytes.get(..at_frames())?.to_vec();
    for at in 0..bytes.len() {
        let found = bytes[at];
        for other in (0..=u8::MAX).filter(|other| *other != found) {
            bytes[at] = other;
            if let Ok(header) = Header::decode(&bytes)
                && header.sequence == sequence
            {
                return Some(header);
            }
        }
        bytes[at] = found;
    }
    None
}

/// Where the frames begin.
pub(super) fn at_frames() -> usize {
    // A number far below what an address space of 16 bits holds.
    usize::try_from(HEADER_BYTES).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::RecordId;

    use super::super::super::frame::{Place, write_confirmed};
    use super::super::super::segment::Marks;
    use super::*;

    const HEADER: Header =
        Header { collector: 5, sequence: 9, salt: 0x0102_0304_0506_0708, previous_end: 1_234, marks: MARKS };
    const MARKS: Marks = Marks { given: Some(RecordId(30)), recorded: Some(RecordId(20)), confirmed: None };

    #[test]
    fn one_wrong_byte_anywhere_is_mended() {
        let whole = HEADER.encode();
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let head = Head::read(&bytes, 9).expect("our version");
                assert_eq!((head.state, head.header), (HeaderState::Mended, Some(HEADER)), "{at}");
            }
        }
    }

    #[test]
    fn another_version_is_told_and_another_name_is_noticed() {
        let mut bytes = HEADER.encode();
        assert!(matches!(Head::read(&bytes, 8), Ok(Head { state: HeaderState::Lost(_), header: None, salt: Some(_) })));
        bytes[8] = 2;
        bytes[64..68].copy_from_slice(&[0; 4]);
        assert_eq!(Head::read(&bytes, 9).err(), Some(2));
    }

    #[test]
    fn a_salt_counts_when_frames_fit_it() {
        let mut bytes = HEADER.encode();
        bytes[40..60].fill(0xee);
        assert_eq!(Head::read(&bytes, 9).expect("our version").salt, None);
        write_confirmed(&mut bytes, Place { salt: HEADER.salt, offset: 0, synced: 0 }, RecordId(1));
        assert_eq!(Head::read(&bytes, 9).expect("our version").salt, Some(HEADER.salt));
    }
}
