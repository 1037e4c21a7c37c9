//! What is known of every entry without reading it: a fold over the log's frames, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use telemetrics_schema::{RecordId, TimestampUs};

use super::entry::{Entry, Kind};
use super::log::{Lost, Spot};

/// What equal entries have in common. Nobody can make two different requests have the same, because nobody outside
/// knows the process's two random keys.
pub(super) type Key = (u64, u64);

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) spot: Spot,
    /// `None` for an entry without a request, which is known by its identifier alone.
    pub(super) key: Option<Key>,
    pub(super) last_seen: TimestampUs,
    pub(super) count: u64,
}

/// Entries and bytes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Entries.
    pub entries: u64,
    /// Their bytes in the log.
    pub bytes: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Index {
    slots: BTreeMap<RecordId, Slot>,
    keys: HashMap<Key, RecordId>,
    /// By kind, the one that was seen the longest time ago first.
    ages: [BTreeSet<(TimestampUs, RecordId)>; 3],
    sums: [Sum; 3],
    /// Entries in each segment that holds some.
    segments: BTreeMap<u64, u64>,
    hashers: [RandomState; 2],
}

impl Index {
    /// The key of an entry.
    pub(super) fn key(&self, entry: &Entry) -> Option<Key> {
        entry.request.as_ref()?;
        let mut identity = entry.kind.name().as_bytes().to_vec();
        entry.encode_identity(&mut identity);
        let [first, second] = &self.hashers;
        Some((first.hash_one(&identity), second.hash_one(&identity)))
    }

    /// Puts an entry's slot, or takes it away; returns what was there.
    pub(super) fn set(&mut self, id: RecordId, slot: Option<Slot>) -> Option<Slot> {
        let before = self.slots.remove(&id);
        if let Some(before) = before {
            self.forget(id, before);
        }
        if let Some(slot) = slot {
            self.note(id, slot);
        }
        before
    }

    fn forget(&mut self, id: RecordId, slot: Slot) {
        let kind = place(slot.kind);
        self.ages[kind].remove(&(slot.last_seen, id));
        self.sums[kind].entries -= 1;
        self.sums[kind].bytes -= slot.spot.bytes;
        if let Some(key) = slot.key.filter(|key| self.keys.get(key) == Some(&id)) {
            self.keys.remove(&key);
        }
        if let Some(entries) = self.segments.get_mut(&slot.spot.segment) {
            *entries -= 1;
        }
        self.segments.retain(|_, entries| *entries > 0);
    }

    fn note(&mut self, id: RecordId, slot: Slot) {
        let kind = place(slot.kind);
        self.ages[kind].insert((slot.last_seen, id));
        self.sums[kind].entries += 1;
        self.sums[kind].bytes += slot.spot.bytes;
        if let Some(key) = slot.key {
            self.keys.insert(key, id);
        }
        *self.segments.entry(slot.spot.segment).or_default() += 1;
        self.slots.insert(id, slot);
    }

    pub(super) fn get(&self, id: RecordId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    pub(super) fn with_key(&self, key: Key) -> Option<RecordId> {
        self.keys.get(&key).copied()
    }

    pub(super) fn sum(&self, kind: Kind) -> Sum {
        self.sums[place(kind)]
    }

    /// Entries and bytes of everything that senders were told is kept.
    pub(super) fn promised(&self) -> Sum {
        let (owed, refused) = (self.sum(Kind::Owed), self.sum(Kind::Refused));
        Sum { entries: owed.entries + refused.entries, bytes: owed.bytes + refused.bytes }
    }

    /// The evidence that was seen the longest time ago.
    pub(super) fn oldest_evidence(&self) -> Option<RecordId> {
        self.ages[place(Kind::Evidence)].first().map(|(_, id)| *id)
    }

    /// What was last seen before `instant`.
    pub(super) fn older_than(&self, instant: TimestampUs) -> Vec<RecordId> {
        let old = |ages: &BTreeSet<(TimestampUs, RecordId)>| {
            ages.iter().take_while(|(seen, _)| *seen < instant).map(|(_, id)| *id).collect::<Vec<_>>()
        };
        self.ages.iter().flat_map(old).collect()
    }

    pub(super) fn has_entries_in(&self, segment: u64) -> bool {
        self.segments.contains_key(&segment)
    }

    /// The entries in a segment, in the order of their identifiers.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<RecordId> {
        self.slots.iter().filter(|(_, slot)| slot.spot.segment == segment).map(|(id, _)| *id).collect()
    }

    /// The entries that a failure took away.
    pub(super) fn in_lost(&self, lost: Lost) -> Vec<RecordId> {
        let is_lost = |spot: Spot| spot.segment == lost.segment && spot.offset >= lost.offset;
        self.slots.iter().filter(|(_, slot)| is_lost(slot.spot)).map(|(id, _)| *id).collect()
    }

    /// Entries below `before`, the newest first.
    pub(super) fn newest(&self, before: Option<RecordId>) -> impl Iterator<Item = (RecordId, Slot)> {
        let end = before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.slots.range((std::ops::Bound::Unbounded, end)).rev().map(|(id, slot)| (*id, *slot))
    }

    /// Entries above `after`, the oldest first.
    pub(super) fn oldest(&self, after: Option<RecordId>) -> impl Iterator<Item = (RecordId, Slot)> {
        let begin = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        self.slots.range((begin, std::ops::Bound::Unbounded)).map(|(id, slot)| (*id, *slot))
    }
}

fn place(kind: Kind) -> usize {
    match kind {
        Kind::Owed => 0,
        Kind::Refused => 1,
        Kind::Evidence => 2,
    }
}
