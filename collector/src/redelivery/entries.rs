//! Entries in the order in which they came: fingerprints side by side, identifiers and times in a few bytes each.
//!
//! A search looks at fingerprints, again and again, and at the rest of one entry when it has found it. So only
//! fingerprints can be reached at once. Of identifiers and times, which differ little from one entry to the next, the
//! differences are kept, three bytes together under load, in blocks with a mark wherever reading may begin. Blocks are
//! large, because a small piece of memory that stays long keeps all around it from going back to the system.

use std::collections::VecDeque;

use telemetrics_schema::{RecordId, TimestampUs};

use super::fingerprint::Fingerprint;
use super::table::Entry;

/// Entries of a block.
const BLOCK_ENTRIES: usize = 16_384;
/// Entries between two marks: so many are read for one at most.
const MARK_ENTRIES: usize = 64;
/// Bytes of a fingerprint.
const HASH_BYTES: usize = (Fingerprint::BITS as usize).div_ceil(8);
/// Times until the year 2112 have so many bits; later ones are taken for the last of them.
const TIME_MAX_US: i64 = (1 << 52) - 1;
/// Most bytes of a difference: both identifiers and times have at most 53 bits, a difference has a sign too, and a byte
/// of it has seven bits.
const DIFFERENCE_BYTES_MAX: usize = 8;

// Every block begins with a mark.
const _: () = assert!(BLOCK_ENTRIES.is_multiple_of(MARK_ENTRIES));

type Hash = [u8; HASH_BYTES];

/// Identifier and time of an entry.
#[derive(Debug, Clone, Copy, Default)]
struct Stamp {
    id: i64,
    time_us: i64,
}

/// The stamp of an entry, and where in its block the difference of the next one stands.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    stamp: Stamp,
    behind: usize,
}

/// The stamps of [`BLOCK_ENTRIES`] entries; the last block may have fewer.
#[derive(Default)]
struct Block {
    marks: Vec<Mark>,
    differences: Vec<u8>,
}

impl Block {
    /// What is known of the entry `within`, and of all behind it, without reading more than [`MARK_ENTRIES`].
    fn mark(&self, within: usize) -> Mark {
        let mark = self.marks.get(within / MARK_ENTRIES).copied().unwrap_or_default();
        (0..within % MARK_ENTRIES).fold(mark, |mark, _| self.next(mark))
    }

    /// The entry behind that of `mark` in the same block, when that begins no mark of its own.
    fn next(&self, Mark { stamp, behind }: Mark) -> Mark {
        let rest = self.differences.get(behind..).unwrap_or_default();
        let (id, id_bytes) = read_difference(rest);
        let (time_us, time_bytes) = read_difference(rest.get(id_bytes..).unwrap_or_default());
        let stamp = Stamp { id: stamp.id + id, time_us: stamp.time_us + time_us };
        Mark { stamp, behind: behind + id_bytes + time_bytes }
    }
}

/// See the module.
pub(super) struct Entries {
    hashes: VecDeque<Hash>,
    blocks: VecDeque<Block>,
    /// Entries of the first block that have left.
    gone: usize,
    /// The oldest entry, which is asked for with every one that comes.
    front: Mark,
    /// The newest one.
    last: Stamp,
}

impl Entries {
    /// None yet; their fingerprints never move in memory.
    pub(super) fn with_capacity(entries: usize) -> Self {
        Self {
            hashes: VecDeque::with_capacity(entries),
            blocks: VecDeque::new(),
            gone: 0,
            front: Mark::default(),
            last: Stamp::default(),
        }
    }

    /// Bytes that so many entries take at most.
    pub(super) const fn bound_bytes(entries: usize) -> usize {
        let blocks = entries / BLOCK_ENTRIES + 2;
        let marks = size_of::<Mark>() * (BLOCK_ENTRIES / MARK_ENTRIES);
        entries * HASH_BYTES + blocks * (marks + BLOCK_ENTRIES * 2 * DIFFERENCE_BYTES_MAX + size_of::<Block>())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Adds one behind all others.
    pub(super) fn push_back(&mut self, entry: &Entry) {
        let stamp =
            Stamp { id: entry.id.0.clamp(0, RecordId::MAX.0), time_us: entry.ts_reception.0.clamp(0, TIME_MAX_US) };
        let within = (self.gone + self.hashes.len()) % BLOCK_ENTRIES;
        if within == 0 {
            self.begin_block();
        }
        let Some(block) = self.blocks.back_mut() else { return };
        if within.is_multiple_of(MARK_ENTRIES) {
            block.marks.push(Mark { stamp, behind: block.differences.len() });
        } else {
            write_difference(&mut block.differences, stamp.id - self.last.id);
            write_difference(&mut block.differences, stamp.time_us - self.last.time_us);
        }
        if self.hashes.is_empty() {
            self.front = Mark { stamp, behind: block.differences.len() };
        }
        self.last = stamp;
        self.hashes.push_back(hash_of(entry.fingerprint));
    }

    /// Forgets the oldest one.
    pub(super) fn pop_front(&mut self) {
        if self.hashes.pop_front().is_none() {
            return;
        }
        self.gone += 1;
        if self.gone == BLOCK_ENTRIES {
            self.blocks.pop_front();
            self.gone = 0;
        }
        self.front = match self.blocks.front() {
            Some(block) if self.gone.is_multiple_of(MARK_ENTRIES) => block.mark(self.gone),
            Some(block) if !self.hashes.is_empty() => block.next(self.front),
            _ => Mark::default(),
        };
    }

    /// The fingerprint of the entry at `position`; `None` behind the last one.
    pub(super) fn fingerprint(&self, position: usize) -> Option<Fingerprint> {
        self.hashes.get(position).map(|hash| fingerprint_of(*hash))
    }

    /// The oldest entry.
    pub(super) fn front(&self) -> Option<Entry> {
        self.fingerprint(0).map(|fingerprint| entry(fingerprint, self.front.stamp))
    }

    /// The entry at `position`.
    pub(super) fn get(&self, position: usize) -> Option<Entry> {
        self.from(position).next()
    }

    /// All entries from `position` on.
    pub(super) fn from(&self, position: usize) -> impl Iterator<Item = Entry> {
        let mut known: Option<Mark> = None;
        let places = (self.gone + position)..(self.gone + self.hashes.len());
        let marks = places.map(move |place| {
            let (block, within) = (self.blocks.get(place / BLOCK_ENTRIES), place % BLOCK_ENTRIES);
            let mark = match (block, known) {
                (Some(block), Some(known)) if !within.is_multiple_of(MARK_ENTRIES) => block.next(known),
                (Some(block), _) => block.mark(within),
                (None, _) => Mark::default(),
            };
            known = Some(mark);
            mark
        });
        let hashes = self.hashes.range(position.min(self.hashes.len())..);
        hashes.zip(marks).map(|(hash, mark)| entry(fingerprint_of(*hash), mark.stamp))
    }

    /// Nothing is added to the block before any more.
    fn begin_block(&mut self) {
        if let Some(full) = self.blocks.back_mut() {
            full.differences.shrink_to_fit();
        }
        self.blocks.push_back(Block { marks: Vec::with_capacity(BLOCK_ENTRIES / MARK_ENTRIES), ..Block::default() });
    }
}

fn entry(fingerprint: Fingerprint, Stamp { id, time_us }: Stamp) -> Entry {
    Entry { fingerprint, id: RecordId(id), ts_reception: TimestampUs(time_us) }
}

fn hash_of(Fingerprint(bits): Fingerprint) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(&bits.to_le_bytes()[..HASH_BYTES]);
    hash
}

fn fingerprint_of(hash: Hash) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes[..HASH_BYTES].copy_from_slice(&hash);
    Fingerprint(u128::from_le_bytes(bytes))
}

/// Seven bits a byte, the lowest first; the eighth says that more follow. The sign is the lowest bit of all.
#[allow(clippy::cast_possible_truncation)] // seven bits at a time
fn write_difference(out: &mut Vec<u8>, difference: i64) {
    let mut rest = ((difference << 1) ^ (difference >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The difference that `bytes` begin with, and its length.
fn read_difference(bytes: &[u8]) -> (i64, usize) {
    let mut folded = 0;
    for (index, byte) in bytes.iter().take(DIFFERENCE_BYTES_MAX).enumerate() {
        folded |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return ((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed(), index + 1);
        }
    }
    // Never written so.
    (0, 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(id: i64, time_us: i64) -> Entry {
        let hash = u128::from(id.unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        entry(Fingerprint::of(hash), Stamp { id, time_us })
    }

    #[test]
    fn differences_of_all_sizes_come_back() {
        for difference in [0, 1, -1, 63, 64, -64, -65, 8_191, 8_192, RecordId::MAX.0, -RecordId::MAX.0, TIME_MAX_US] {
            let mut bytes = Vec::new();
            write_difference(&mut bytes, difference);
            assert!(bytes.len() <= DIFFERENCE_BYTES_MAX);
            bytes.push(0xFF);
            assert_eq!(read_difference(&bytes), (difference, bytes.len() - 1), "{difference}");
        }
    }

    #[test]
    fn entries_of_many_blocks_come_and_go() {
        let (mut entries, mut expected) = (Entries::with_capacity(100), VecDeque::new());
        for number in 0..3 * i64::try_from(BLOCK_ENTRIES).expect("small") + 5 {
            let next = numbered(number * 4_099 % 1_000_003, number * 37 % 10_007);
            entries.push_back(&next);
            expected.push_back(next);
            if number % 3 > 0 {
                entries.pop_front();
                expected.pop_front();
            }
            assert_eq!((entries.front(), entries.len()), (expected.front().copied(), expected.len()));
        }
        assert!(entries.from(0).eq(expected.iter().copied()));
        for position in (0..expected.len()).step_by(61) {
            assert_eq!(entries.get(position), Some(expected[position]));
            assert_eq!(entries.fingerprint(position), Some(expected[position].fingerprint));
        }
        assert_eq!((entries.get(expected.len()), entries.fingerprint(expected.len())), (None, None));
    }

    #[test]
    fn under_load_an_entry_takes_fifteen_bytes() {
        let count = 10 * BLOCK_ENTRIES;
        let mut entries = Entries::with_capacity(count);
        // 32 records share a sync and a time of reception; such a group begins every millisecond.
        for number in 0..i64::try_from(count).expect("small") {
            entries.push_back(&numbered((number / 32) * 4_096 + number % 32, (number / 32) * 1_000));
        }
        let blocks: usize = entries.blocks.iter().map(|b| size_of_val(&*b.marks) + b.differences.capacity()).sum();
        let bytes = count * HASH_BYTES + blocks;
        assert!(bytes <= 15 * count, "{bytes} for {count}");
        assert!(Entries::bound_bytes(count) >= bytes);
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_as_it_was_given(
            given in prop::collection::vec((any::<u128>(), 0..=RecordId::MAX.0, 0..=TIME_MAX_US), 0..200),
            leaving in 0_usize..200,
        ) {
            let mut entries = Entries::with_capacity(given.len());
            let given: Vec<Entry> = given
                .into_iter()
                .map(|(hash, id, time_us)| entry(Fingerprint::of(hash), Stamp { id, time_us }))
                .collect();
            for entry in &given {
                entries.push_back(entry);
            }
            for _ in 0..leaving {
                entries.pop_front();
            }
            let left = &given[leaving.min(given.len())..];
            prop_assert!(entries.from(0).eq(left.iter().copied()));
            prop_assert_eq!(entries.front(), left.first().copied());
        }
    }
}
