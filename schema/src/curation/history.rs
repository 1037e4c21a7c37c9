//! The history in memory: its entries, which of them are in force, and the state that follows from them.

use std::collections::BTreeMap;

use super::{Cell, Change, Curated, Entry, State, What};

/// Where a change is: the index of its entry, and its index there.
type Place = (usize, usize);

/// A history that grows at its end, folded as it grows.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// Of each entry, how many undos that are in force name it.
    undos: Vec<u32>,
    /// Size of each entry as JSON.
    entry_bytes: Vec<usize>,
    bytes: usize,
    /// Who speaks about a cell, oldest first, in force or not.
    changes: BTreeMap<Cell, Vec<Place>>,
    curated: Curated,
}

/// What one more undo changes: entries that are named by one undo in force more or less.
struct Ripple {
    counts: Vec<(usize, u32)>,
    /// The entry of changes that is in force now and was not, or the other way round.
    flipped: Option<usize>,
}

impl History {
    /// Number of the last entry, 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.entries.len() as u64
    }

    /// What holds after the last entry.
    #[must_use]
    pub fn curated(&self) -> &Curated {
        &self.curated
    }

    /// What holds, and after which entry.
    #[must_use]
    pub fn state(&self) -> State {
        State { sequence: self.sequence(), curated: self.curated.clone() }
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this number.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(index(sequence)?)
    }

    /// Whether the entry of this number is in force; one that does not exist is not.
    #[must_use]
    pub fn is_in_force(&self, sequence: u64) -> bool {
        index(sequence).is_some_and(|at| self.undos.get(at) == Some(&0))
    }

    /// The undo in force that names the entry of this number; the newest where there are several.
    #[must_use]
    pub fn undone_by(&self, sequence: u64) -> Option<u64> {
        if index(sequence).and_then(|at| self.undos.get(at)).is_none_or(|undos| *undos == 0) {
            return None;
        }
        let names = |entry: &&Entry| entry.what == What::Undo(sequence) && self.is_in_force(entry.sequence);
        self.entries.iter().rev().find(names).map(|entry| entry.sequence)
    }

    /// Size of all entries as JSON.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Up to `entries_max` entries before the number `before` (or the newest), newest first, of together at most
    /// `bytes_max` as JSON; at least one where there is any.
    #[must_use]
    pub fn page(&self, before: Option<u64>, entries_max: usize, bytes_max: usize) -> Vec<&Entry> {
        let end = before.map_or(self.entries.len(), |before| index(before).unwrap_or(0).min(self.entries.len()));
        let mut room = bytes_max;
        let fits = |(taken, at): &(usize, usize)| {
            let bytes = self.entry_bytes[*at];
            let is_taken = *taken == 0 || bytes <= room;
            room = room.saturating_sub(bytes);
            is_taken
        };
        let newest_first = (0..end).rev().take(entries_max).enumerate();
        newest_first.take_while(fits).map(|(_, at)| &self.entries[at]).collect()
    }

    /// Takes the next entry. Whether it was valid is not asked: it has happened.
    ///
    /// # Errors
    /// The number that an entry must have to be next.
    pub fn push(&mut self, entry: Entry) -> Result<(), u64> {
        let next = self.sequence() + 1;
        if entry.sequence != next {
            return Err(next);
        }
        let bytes = entry.line().map_or(0, |line| line.len());
        self.bytes += bytes;
        self.entry_bytes.push(bytes);
        self.undos.push(0);
        match &entry.what {
            What::Changes(changes) => self.take_changes(changes),
            What::Undo(named) => self.take_undo(*named),
        }
        self.entries.push(entry);
        Ok(())
    }

    /// What would hold after one more entry that did this.
    #[must_use]
    pub fn after(&self, what: &What) -> Curated {
        let mut after = self.curated.clone();
        match what {
            What::Changes(changes) => {
                for change in changes {
                    after.set(change.cell(), change.value());
                }
            }
            What::Undo(named) => {
                let ripple = self.ripple(*named);
                for (cell, value) in self.values_after(&ripple) {
                    after.set(cell, value);
                }
            }
        }
        after
    }

    fn take_changes(&mut self, changes: &[Change]) {
        let at = self.entries.len();
        for (i, change) in changes.iter().enumerate() {
            self.changes.entry(change.cell()).or_default().push((at, i));
            self.curated.set(change.cell(), change.value());
        }
    }

    fn take_undo(&mut self, named: u64) {
        let ripple = self.ripple(named);
        let values: Vec<(Cell, Option<String>)> =
            self.values_after(&ripple).map(|(cell, value)| (cell, value.map(str::to_owned))).collect();
        for (at, count) in ripple.counts {
            self.undos[at] = count;
        }
        for (cell, value) in values {
            self.curated.set(cell, value.as_deref());
        }
    }

    /// What one more undo of the entry `named` changes. An undo of an undo puts its entry in force again, and so on: each
    /// step leads to an older entry, and the last one at most is one of changes.
    fn ripple(&self, named: u64) -> Ripple {
        let mut ripple = Ripple { counts: Vec::new(), flipped: None };
        let mut next = index(named).map(|at| (at, true));
        while let Some((at, is_undone)) = next.take()
            && let Some(entry) = self.entries.get(at)
        {
            let before = self.undos[at];
            let after = if is_undone { before + 1 } else { before.saturating_sub(1) };
            ripple.counts.push((at, after));
            if (before == 0) == (after == 0) {
                break;
            }
            match &entry.what {
                What::Changes(_) => ripple.flipped = Some(at),
                What::Undo(older) => next = index(*older).filter(|older| *older < at).map(|older| (older, after == 0)),
            }
        }
        ripple
    }

    /// What the cells of the flipped entry hold then.
    fn values_after(&self, ripple: &Ripple) -> impl Iterator<Item = (Cell, Option<&str>)> {
        let flipped = ripple.flipped;
        let is_in_force = move |at: usize| (self.undos[at] == 0) != (flipped == Some(at));
        let changes = flipped.map_or(&[][..], |at| self.changes_of(at));
        changes.iter().map(move |change| {
            let cell = change.cell();
            let places = self.changes.get(&cell).map_or(&[][..], Vec::as_slice);
            let last = places.iter().rev().find(|(at, _)| is_in_force(*at));
            let value = last.and_then(|(at, i)| self.changes_of(*at).get(*i)?.value());
            (cell, value)
        })
    }

    fn changes_of(&self, at: usize) -> &[Change] {
        match self.entries.get(at).map(|entry| &entry.what) {
            Some(What::Changes(changes)) => changes,
            Some(What::Undo(_)) | None => &[],
        }
    }
}

/// Where the entry of a number is.
fn index(sequence: u64) -> Option<usize> {
    usize::try_from(sequence.checked_sub(1)?).ok()
}
