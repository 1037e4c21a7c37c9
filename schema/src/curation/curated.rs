//! The state of curation: what holds of frames and guilties, as a set of cells.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::Change;
use crate::payload::{Filters, guilty_id, shown_name};

/// Part of every [`Curated::rules_id`]. To be raised when the rule changes by which filters choose a guilty frame.
const RULES_VERSION: u64 = 1;
/// Keys of the hash, for ever: two servers must agree.
const RULES_KEYS: (u64, u64) = (0x7465_6c65_6d65_7472, 0x6963_7372_756c_6573);
/// Identifiers stay below 2^53, so that every JSON reader holds them exactly.
const ID_BITS: u32 = 53;

/// A frame as it is shown (demangled): what filters, comments and hidden guilties are named by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The function.
    pub function: String,
    /// The file that it is in, empty where it is not known.
    pub module: String,
}

impl Frame {
    /// The frame of these names.
    pub fn new(function: impl Into<String>, module: impl Into<String>) -> Self {
        Self { function: function.into(), module: module.into() }
    }
}

impl Frame {
    /// The same frame with the name of its function as it is shown, where that is a mangled one.
    #[must_use]
    pub fn as_shown(self) -> Self {
        Self { function: shown_name(&self.function).into_owned(), ..self }
    }

    /// Its identity as a guilty.
    #[must_use]
    pub fn guilty_id(&self) -> i64 {
        guilty_id(&self.function, &self.module)
    }
}

/// `function` in `module`, for messages.
impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in [{}]", self.function, self.module)
    }
}

/// What can be said about a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The comment on it as a guilty.
    Comment,
    /// That it is never guilty.
    Filter,
    /// That nobody wants to see it as a guilty.
    Hidden,
}

/// One thing that can be said, and about which frame.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// What.
    pub field: Field,
    /// About which frame.
    pub frame: Frame,
}

/// What users have said, as it holds at one place of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Curated {
    /// Frames that are never guilty, without those that never are anyway ([`crate::payload::is_always_filtered`]).
    pub filters: BTreeSet<Frame>,
    /// Comments on guilties; none is empty.
    pub comments: BTreeMap<Frame, String>,
    /// Guilties that nobody wants to see.
    pub hidden: BTreeSet<Frame>,
}

impl Curated {
    /// What a cell holds: the comment, an empty text for a filter or a hidden guilty, `None` for nothing.
    #[must_use]
    pub fn get(&self, cell: &Cell) -> Option<&str> {
        match cell.field {
            Field::Comment => self.comments.get(&cell.frame).map(String::as_str),
            Field::Filter => self.filters.contains(&cell.frame).then_some(""),
            Field::Hidden => self.hidden.contains(&cell.frame).then_some(""),
        }
    }

    /// Lets a cell hold `value`.
    pub fn set(&mut self, cell: Cell, value: Option<&str>) {
        let Cell { field, frame } = cell;
        match (field, value) {
            (Field::Comment, Some(text)) => drop(self.comments.insert(frame, text.to_owned())),
            (Field::Comment, None) => drop(self.comments.remove(&frame)),
            (Field::Filter, Some(_)) => drop(self.filters.insert(frame)),
            (Field::Filter, None) => drop(self.filters.remove(&frame)),
            (Field::Hidden, Some(_)) => drop(self.hidden.insert(frame)),
            (Field::Hidden, None) => drop(self.hidden.remove(&frame)),
        }
    }

    /// Everything that is said, in the order of an export.
    pub fn cells(&self) -> impl Iterator<Item = (Cell, &str)> {
        let cell = |field, frame: &Frame| Cell { field, frame: frame.clone() };
        let comments = self.comments.iter().map(move |(frame, text)| (cell(Field::Comment, frame), text.as_str()));
        let filters = self.filters.iter().map(move |frame| (cell(Field::Filter, frame), ""));
        let hidden = self.hidden.iter().map(move |frame| (cell(Field::Hidden, frame), ""));
        comments.chain(filters).chain(hidden)
    }

    /// Size of all texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = |frame: &Frame| frame.function.len() + frame.module.len();
        let comments: usize = self.comments.iter().map(|(frame, text)| names(frame) + text.len()).sum();
        comments + self.filters.iter().chain(&self.hidden).map(names).sum::<usize>()
    }

    /// This and what `more` says; where both speak, `more` is right.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let mut both = self.clone();
        for (cell, value) in more.cells() {
            both.set(cell, Some(value));
        }
        both
    }

    /// The filters as the rule of the guilty frame takes them.
    #[must_use]
    pub fn rules(&self) -> Filters {
        self.filters.iter().map(|frame| (&frame.function, &frame.module)).collect()
    }

    /// Names the filters: equal for equal sets of them on every server and for ever, from 1 to 2^53 - 1.
    ///
    /// What filters make of stacks may be kept under this number. Comments and hidden guilties have no part in it.
    #[must_use]
    pub fn rules_id(&self) -> i64 {
        let mut hasher = SipHasher24::new_with_keys(RULES_KEYS.0, RULES_KEYS.1);
        hasher.write(&RULES_VERSION.to_le_bytes());
        for name in self.filters.iter().flat_map(|frame| [&frame.function, &frame.module]) {
            hasher.write(&(name.len() as u64).to_le_bytes());
            hasher.write(name.as_bytes());
        }
        (hasher.finish() >> (u64::BITS - ID_BITS)).cast_signed().max(1)
    }
}

/// The changes that make `after` of `before`, in the order of an export.
#[must_use]
pub fn differences(before: &Curated, after: &Curated) -> Vec<Change> {
    let gone = before.cells().filter(|(cell, _)| after.get(cell).is_none()).map(|(cell, _)| Change::of(cell, None));
    let said = after.cells().filter(|(cell, value)| before.get(cell) != Some(*value));
    gone.chain(said.map(|(cell, value)| Change::of(cell, Some(value)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(frames: &[(&str, &str)]) -> Curated {
        let filters = frames.iter().map(|(function, module)| Frame::new(*function, *module)).collect();
        Curated { filters, ..Curated::default() }
    }

    #[test]
    fn a_mangled_name_becomes_what_is_shown() {
        assert_eq!(Frame::new("_ZN3foo3barEv()", "m").as_shown().function, "foo::bar()");
        for name in ["raise()", "???", "? vsnprintf", "foo::bar()"] {
            assert_eq!(Frame::new(name, "m").as_shown(), Frame::new(name, "m"));
        }
        assert!(filters(&[("f()", "m")]).rules().contains("f()", "m"));
    }

    /// Servers of all times have to agree on these.
    #[test]
    fn the_name_of_filters_stays_the_same_for_ever() {
        let two = filters(&[("raise()", "libc.so.6"), ("abort()", "libc.so.6")]);
        assert_eq!(Curated::default().rules_id(), 1_580_261_783_817_345);
        assert_eq!(two.rules_id(), 7_025_402_157_617_566);
        assert_eq!(filters(&[("abort()", "libc.so.6"), ("raise()", "libc.so.6")]).rules_id(), two.rules_id());
        let commented = two.with(&Curated {
            comments: BTreeMap::from([(Frame::new("f()", "m"), "a text".to_owned())]),
            hidden: BTreeSet::from([Frame::new("f()", "m")]),
            ..Curated::default()
        });
        assert_eq!(commented.rules_id(), two.rules_id(), "only filters count");
        let shifted = filters(&[("abort()l", "ibc.so.6"), ("raise()", "libc.so.6")]);
        assert_ne!(shifted.rules_id(), two.rules_id());
    }
}
