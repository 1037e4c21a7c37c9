//! The memory of the window: what was accepted, in order, and an index from fingerprints into it.
//!
//! An entry takes 14 bytes under load (`entries.rs`), and 6 more in the index: one and a half slots of 4 bytes, so that
//! a search ends after five steps on average when the table is full. A slot has six bits of its entry's fingerprint, so
//! that of 64 steps to another one only one looks at the entry. The index is an own open-addressing table because a
//! general hash map would keep the 16 bytes of each fingerprint a second time (138 MB for 2 million). Memory is reserved
//! as a whole and taken as it fills.

use telemetrics_schema::{RecordId, TimestampUs};

use super::entries::Entries;
use super::fingerprint::Fingerprint;

/// Most entries of a table: positions have 25 bits in the index, and a table of this size takes 336 MB under load.
pub const RECORDS_MAX: usize = 1 << 24;

/// Entries that are forgotten at a time: after a day without records all of them are too old at once, and whoever waits
/// for the table must not wait for all of them.
pub(super) const EXPIRED_AT_ONCE: usize = 256;

const EMPTY: u32 = 0;
const OCCUPIED: u32 = 1 << 31;
/// The part of a fingerprint that stands in its slot.
const TAG_MASK: u32 = OCCUPIED - 1 - NUMBER_MASK;
const NUMBER_BITS: u32 = 25;
const NUMBER_MASK: u32 = (1 << NUMBER_BITS) - 1;

// Numbers of entries are compared within their lowest bits.
const _: () = assert!(RECORDS_MAX < NUMBER_MASK as usize);

/// An accepted record as the window remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// What stands for the report.
    pub(super) fingerprint: Fingerprint,
    /// The record's identifier.
    pub(super) id: RecordId,
    /// When it was accepted.
    pub(super) ts_reception: TimestampUs,
}

/// See the module.
pub(super) struct Table {
    /// The oldest first.
    entries: Entries,
    /// How many entries have left, which is the number of the oldest one that is there.
    left: u64,
    /// `OCCUPIED`, the tag of an entry's fingerprint and the low bits of its number, or `EMPTY`.
    slots: Vec<u32>,
    records_max: usize,
    age_us: i64,
}

impl Table {
    /// An empty table for at most `records_max` entries that are younger than `age_us`.
    pub(super) fn new(records_max: usize, age_us: i64) -> Self {
        let slots = vec![EMPTY; slots_of(records_max)];
        Self { entries: Entries::with_capacity(records_max), left: 0, slots, records_max, age_us }
    }

    /// Bytes that a table for `records_max` entries takes at most.
    pub(super) const fn bound_bytes(records_max: usize) -> usize {
        Entries::bound_bytes(records_max) + slots_of(records_max) * size_of::<u32>()
    }

    /// The newest entry of that fingerprint, unless it is too old at `now`.
    pub(super) fn find(&self, fingerprint: Fingerprint, now: TimestampUs) -> Option<Entry> {
        let positions = self.chain(fingerprint).filter(|(_, slot)| slot & TAG_MASK == tag(fingerprint));
        positions
            .map(|(_, slot)| self.position(slot))
            .filter(|position| self.entries.fingerprint(*position) == Some(fingerprint))
            .filter_map(|position| self.entries.get(position))
            .filter(|entry| self.is_young(entry, now))
            .max_by_key(|entry| entry.id)
    }

    /// Adds an entry as the newest, unless it is too old, or there already, or has had to leave before.
    ///
    /// An entry of the same fingerprint and a smaller identifier is no obstacle: it had left when this one was accepted,
    /// and is back because the log still had it.
    pub(super) fn insert(&mut self, entry: Entry, now: TimestampUs) {
        self.expire(now);
        let known = self.find(entry.fingerprint, now);
        if !self.is_young(&entry, now) || known.is_some_and(|known| known.id >= entry.id) {
            return;
        }
        if self.entries.len() == self.records_max {
            // A record that waited long for the store comes by again after newer ones have pushed it out.
            if self.entries.front().is_some_and(|oldest| entry.id < oldest.id) {
                return;
            }
            self.forget_oldest();
        }
        let slot = self.free_slot(entry.fingerprint);
        self.slots[slot] = OCCUPIED | tag(entry.fingerprint) | low_bits(self.end());
        self.entries.push_back(&entry);
    }

    /// Forgets some of what is too old at `now`; whether there may be more.
    ///
    /// What is not forgotten yet is found by no search.
    pub(super) fn expire(&mut self, now: TimestampUs) -> bool {
        for _ in 0..EXPIRED_AT_ONCE {
            if self.entries.front().is_none_or(|oldest| self.is_young(&oldest, now)) {
                return false;
            }
            self.forget_oldest();
        }
        true
    }

    /// Number of the entry that will come next; numbers grow by one and are never used again.
    pub(super) fn end(&self) -> u64 {
        self.left + self.entries.len() as u64
    }

    /// At most `count` entries from the one of that number on, as far as they are still there, and the number of the
    /// first one behind them.
    pub(super) fn run(&self, from: u64, count: usize) -> (Vec<Entry>, u64) {
        let from = from.max(self.left);
        let skipped = usize::try_from(from - self.left).unwrap_or(usize::MAX).min(self.entries.len());
        let entries: Vec<_> = self.entries.from(skipped).take(count).collect();
        let end = from + entries.len() as u64;
        (entries, end)
    }

    /// Reception of the oldest entry.
    pub(super) fn oldest(&self) -> Option<TimestampUs> {
        self.entries.front().map(|oldest| oldest.ts_reception)
    }

    /// Entries that are there.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn is_young(&self, entry: &Entry, now: TimestampUs) -> bool {
        now.0.saturating_sub(entry.ts_reception.0) < self.age_us
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.fingerprint(0) else { return };
        let place = self.chain(oldest).find(|(_, slot)| self.position(*slot) == 0).map(|(place, _)| place);
        if let Some(place) = place {
            self.vacate(place);
        }
        self.entries.pop_front();
        self.left += 1;
    }

    /// Empties a slot and moves those behind it up, so that no search ends at the hole.
    fn vacate(&mut self, mut hole: usize) {
        let mut at = self.after(hole);
        while let Some(fingerprint) = self.fingerprint_at(at) {
            let begin = self.home(fingerprint);
            if self.distance(begin, at) >= self.distance(hole, at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = EMPTY;
    }

    /// The fingerprint of the entry in a slot, `None` in an empty one.
    fn fingerprint_at(&self, place: usize) -> Option<Fingerprint> {
        let slot = self.slots[place];
        if slot == EMPTY { None } else { self.entries.fingerprint(self.position(slot)) }
    }

    /// The slots that a search for `fingerprint` looks at, with their places.
    fn chain(&self, fingerprint: Fingerprint) -> impl Iterator<Item = (usize, u32)> {
        let places = std::iter::successors(Some(self.home(fingerprint)), |at| Some(self.after(*at)));
        // There are more slots than entries: an empty one always comes.
        places.map(|place| (place, self.slots[place])).take_while(|(_, slot)| *slot != EMPTY)
    }

    fn free_slot(&self, fingerprint: Fingerprint) -> usize {
        let home = self.home(fingerprint);
        self.chain(fingerprint).last().map_or(home, |(place, _)| self.after(place))
    }

    /// Where a search for `fingerprint` begins.
    #[allow(clippy::cast_possible_truncation)]
    fn home(&self, fingerprint: Fingerprint) -> usize {
        // The low half as a fraction of 2^64, times the number of slots: both products fit.
        let fraction = u128::from(fingerprint.0 as u64);
        ((fraction * self.slots.len() as u128) >> 64) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }

    /// Where the entry of an occupied slot is.
    fn position(&self, slot: u32) -> usize {
        (slot.wrapping_sub(low_bits(self.left)) & NUMBER_MASK) as usize
    }
}

const fn slots_of(records_max: usize) -> usize {
    records_max + records_max / 2 + 1
}

#[allow(clippy::cast_possible_truncation)]
const fn low_bits(number: u64) -> u32 {
    (number as u32) & NUMBER_MASK
}

/// The bits of a fingerprint that decide nothing about its first slot, in their place in a slot.
#[allow(clippy::cast_possible_truncation)]
const fn tag(fingerprint: Fingerprint) -> u32 {
    ((fingerprint.0 >> 64) as u32) << NUMBER_BITS & TAG_MASK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE_US: i64 = 100;

    fn entry(fingerprint: u128, id: i64, at_us: i64) -> Entry {
        Entry { fingerprint: Fingerprint(fingerprint), id: RecordId(id), ts_reception: TimestampUs(at_us) }
    }

    fn found(table: &Table, fingerprint: u128, now_us: i64) -> Option<i64> {
        table.find(Fingerprint(fingerprint), TimestampUs(now_us)).map(|entry| entry.id.0)
    }

    #[test]
    fn an_entry_is_there_once_and_the_newest_of_a_fingerprint_counts() {
        let mut table = Table::new(4, AGE_US);
        table.insert(entry(1, 10, 0), TimestampUs(0));
        table.insert(entry(1, 10, 0), TimestampUs(1));
        table.insert(entry(1, 9, 0), TimestampUs(1));
        assert_eq!((found(&table, 1, 1), table.len()), (Some(10), 1));
        table.insert(entry(1, 11, 1), TimestampUs(1));
        assert_eq!(found(&table, 1, 1), Some(11));
    }

    #[test]
    fn an_entry_is_forgotten_at_its_age_and_not_before() {
        let mut table = Table::new(4, AGE_US);
        table.insert(entry(1, 10, 5), TimestampUs(5));
        assert_eq!(found(&table, 1, 4 + AGE_US), Some(10));
        assert_eq!(found(&table, 1, 5 + AGE_US), None);
        table.insert(entry(1, 11, 5 + AGE_US), TimestampUs(5 + AGE_US));
        assert_eq!((found(&table, 1, 5 + AGE_US), table.len()), (Some(11), 1));
    }

    #[test]
    fn the_oldest_leaves_when_one_more_than_the_limit_comes() {
        let mut table = Table::new(3, AGE_US);
        (1..=3).for_each(|n| table.insert(entry(n, i64::try_from(n).expect("small"), 0), TimestampUs(0)));
        assert_eq!((found(&table, 1, 0), table.len()), (Some(1), 3));
        table.insert(entry(4, 4, 0), TimestampUs(0));
        assert_eq!((found(&table, 1, 0), found(&table, 2, 0), table.len()), (None, Some(2), 3));
    }

    #[test]
    fn what_has_left_does_not_come_back_as_the_newest() {
        let mut table = Table::new(2, AGE_US);
        (1..=3).for_each(|n| table.insert(entry(n, i64::try_from(n).expect("small"), 0), TimestampUs(0)));
        table.insert(entry(1, 1, 0), TimestampUs(0));
        assert_eq!((found(&table, 1, 0), found(&table, 2, 0), found(&table, 3, 0)), (None, Some(2), Some(3)));
    }

    #[test]
    fn an_old_entry_behind_a_younger_one_is_no_answer_and_does_not_hide_one() {
        let mut table = Table::new(4, AGE_US);
        table.insert(entry(1, 10, 50), TimestampUs(50));
        table.insert(entry(2, 11, 0), TimestampUs(50));
        assert_eq!(found(&table, 2, AGE_US), None);
        table.insert(entry(2, 12, AGE_US), TimestampUs(AGE_US));
        assert_eq!(found(&table, 2, AGE_US), Some(12));
        table.expire(TimestampUs(50 + AGE_US));
        assert_eq!((found(&table, 2, 50 + AGE_US), table.len()), (Some(12), 1));
    }

    #[test]
    fn a_day_without_records_is_forgotten_in_steps() {
        let mut table = Table::new(10 * EXPIRED_AT_ONCE, AGE_US);
        for id in (1_i64..).take(2 * EXPIRED_AT_ONCE + 1) {
            table.insert(entry(u128::from(id.unsigned_abs()), id, 0), TimestampUs(0));
        }
        table.insert(entry(0, RecordId::MAX.0, AGE_US), TimestampUs(AGE_US));
        assert_eq!(table.len(), EXPIRED_AT_ONCE + 2, "one step and the new one");
        assert_eq!((found(&table, 0, AGE_US), found(&table, 500, AGE_US)), (Some(RecordId::MAX.0), None));
        assert!(table.expire(TimestampUs(AGE_US)) && !table.expire(TimestampUs(AGE_US)));
        assert_eq!((table.len(), found(&table, 0, AGE_US)), (1, Some(RecordId::MAX.0)));
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut table = Table::new(4, AGE_US);
        table.insert(entry(1, 10, 1_000), TimestampUs(1_000));
        table.insert(entry(2, 11, 0), TimestampUs(0));
        assert_eq!((found(&table, 1, i64::MIN), found(&table, 2, 0)), (Some(10), Some(11)));
    }

    #[test]
    fn a_run_begins_at_what_is_still_there() {
        let mut table = Table::new(3, AGE_US);
        (1..=5).for_each(|n| table.insert(entry(n, i64::try_from(n).expect("small"), 0), TimestampUs(0)));
        let ids = |from, count| {
            let (entries, end) = table.run(from, count);
            (entries.iter().map(|entry| entry.id.0).collect::<Vec<_>>(), end)
        };
        assert_eq!(ids(0, 2), (vec![3, 4], 4));
        assert_eq!(ids(4, 2), (vec![5], 5));
        assert_eq!(ids(5, 2), (vec![], 5));
    }

    #[test]
    fn numbers_that_outgrow_their_bits_are_still_told_apart() {
        let mut table = Table::new(3, AGE_US);
        table.left = u64::from(NUMBER_MASK) - 1;
        (1..=6).for_each(|n| table.insert(entry(n, i64::try_from(n).expect("small"), 0), TimestampUs(0)));
        assert_eq!([3, 4, 5, 6].map(|n| found(&table, n, 0)), [None, Some(4), Some(5), Some(6)]);
    }

    #[test]
    fn two_million_entries_take_68_mb_at_the_very_most() {
        assert!(Table::bound_bytes(2_000_000) <= 68_000_000, "{}", Table::bound_bytes(2_000_000));
    }

    proptest! {
        /// Few different fingerprints in few slots: long chains, holes in their middle, chains around the end.
        #[test]
        fn finds_what_a_plain_list_finds(
            records_max in 1_usize..12,
            // Fingerprints that begin their search in few places, the last one of them the end of the index, and have one
            // of two tags.
            steps in prop::collection::vec((0_u64..4, 0_u128..6, 0_i64..30), 0..120),
        ) {
            let mut table = Table::new(records_max, AGE_US);
            let mut list: Vec<Entry> = Vec::new();
            let mut now = 0;
            for (id, (place, other, pause_us)) in steps.into_iter().enumerate() {
                now += pause_us;
                let fingerprint = ((other & 1) << 64) | ((other >> 1) << 70) | u128::from(place * (u64::MAX / 3));
                let added = entry(fingerprint, i64::try_from(id).expect("small"), now);
                list.retain(|entry| now - entry.ts_reception.0 < AGE_US);
                list.push(added);
                if list.len() > records_max {
                    list.remove(0);
                }
                table.insert(added, TimestampUs(now));
                prop_assert_eq!(table.run(0, usize::MAX).0, list.clone());
                for listed in &list {
                    let expected = list.iter().rfind(|other| other.fingerprint == listed.fingerprint);
                    prop_assert_eq!(table.find(listed.fingerprint, TimestampUs(now)), expected.copied());
                }
                prop_assert_eq!(table.slots.iter().filter(|slot| **slot != EMPTY).count(), list.len());
            }
        }
    }
}
