//! Attributes: what payload parsers say about a record, as names with values, and the text in which a column holds them.
//!
//! The text is JSON of one form only: an object with sorted names and with texts as its values, without white space. So
//! equal attributes are equal texts, and "has this name that value?" is a search for one piece of text, which both stores
//! do alike. No attributes are the empty text, which is what a record of an older version holds.

use std::collections::BTreeMap;

use crate::payload::{Derived, derive};
use crate::record::Record;

/// Name of the column that holds them.
pub const ATTRIBUTES: &str = "attributes";
/// Longest name of an attribute, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest value of an attribute, in bytes; a longer one is cut between two characters.
pub const VALUE_BYTES_MAX: usize = 1_024;
/// Most attributes of a record; those with the last names are left out.
pub const ATTRIBUTES_MAX: usize = 32;

/// What makes attributes of records; it is implemented where there is SQL.
pub trait Parsers: Send + Sync {
    /// The attributes of each record, in their order, as [`Attributes::to_text`] writes them.
    ///
    /// It never fails, and the answer for a record depends on the record alone: what cannot be told about one is left out.
    fn attributes(&self, records: &[&Record]) -> Vec<String>;
}

/// No parsers: no record has attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoParsers;

impl Parsers for NoParsers {
    fn attributes(&self, records: &[&Record]) -> Vec<String> {
        vec![String::new(); records.len()]
    }
}

/// All that is derived from each record: what [`derive()`] makes of it, and its attributes.
#[must_use]
pub fn derive_all(records: &[&Record], parsers: &dyn Parsers) -> Vec<Derived> {
    // Were there too few of them, the last records would have none.
    let attributes = parsers.attributes(records).into_iter().chain(std::iter::repeat_with(String::new));
    let derived = |(record, attributes): (&&Record, String)| Derived { attributes, ..derive(&record.report) };
    records.iter().zip(attributes).map(derived).collect()
}

/// Whether an attribute may have this name: a small letter, and behind it small letters, digits and `_`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_behind = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(is_behind)
}

/// The attributes of one record. None of them is empty: an empty value is no attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Adds one, cut to [`VALUE_BYTES_MAX`]. What has no value, or no name that [`is_name`], is left out.
    pub fn insert(&mut self, name: &str, value: &str) {
        let value = &value[..value.floor_char_boundary(VALUE_BYTES_MAX)];
        if is_name(name) && !value.is_empty() {
            self.0.insert(name.to_owned(), value.to_owned());
        }
        if self.0.len() > ATTRIBUTES_MAX {
            self.0.pop_last();
        }
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the column.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Texts can always be written as JSON.
        if self.is_empty() { String::new() } else { serde_json::to_string(&self.0).unwrap_or_default() }
    }

    /// What a text of the column says; nothing when it is none.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        serde_json::from_str(text).map(Self).unwrap_or_default()
    }
}

/// The piece of text that a column holds where the attribute `name` has exactly this value, and nowhere else: a quote
/// inside of a value has a backslash before it, so that no value can look like a name.
#[must_use]
pub fn piece(name: &str, value: &str) -> String {
    // Texts can always be written as JSON.
    format!("\"{name}\":{}", serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        let mut attributes = Attributes::default();
        for (name, value) in pairs {
            attributes.insert(name, value);
        }
        attributes
    }

    #[test]
    fn names_have_one_form_and_an_end() {
        for good in ["a", "a_1", "uptime_minutes", &"a".repeat(NAME_BYTES_MAX)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a-b", "a.b", "a\"", "ä", &"a".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn values_are_cut_between_characters_and_empty_ones_left_out() {
        let value = |text: &str| attributes(&[("a", text)]).iter().next().map(|(_, value)| value.len());
        assert_eq!(value(&"x".repeat(VALUE_BYTES_MAX)), Some(VALUE_BYTES_MAX));
        assert_eq!(value(&"x".repeat(VALUE_BYTES_MAX + 1)), Some(VALUE_BYTES_MAX));
        assert_eq!(value(&format!("x{}", "é".repeat(VALUE_BYTES_MAX))), Some(VALUE_BYTES_MAX - 1));
        assert_eq!(value(""), None);
    }

    #[test]
    fn a_record_has_so_many_and_no_more() {
        let names: Vec<String> = (0..=ATTRIBUTES_MAX).map(|number| format!("a{number:03}")).collect();
        let mut all = Attributes::default();
        for name in &names[..ATTRIBUTES_MAX] {
            all.insert(name, "x");
        }
        let full = all.clone();
        assert_eq!(full.iter().count(), ATTRIBUTES_MAX);
        all.insert(&names[ATTRIBUTES_MAX], "x");
        assert_eq!(all, full);
    }

    #[test]
    fn the_text_has_one_form() {
        assert_eq!(attributes(&[]).to_text(), "");
        let odd = attributes(&[("b", "x\"\\\n\0"), ("a", "1")]);
        assert_eq!(odd.to_text(), r#"{"a":"1","b":"x\"\\\n\u0000"}"#);
        for none in ["", "x", "[]", r#"{"a":1}"#] {
            assert!(Attributes::of_text(none).is_empty(), "{none}");
        }
    }

    /// Values made of what could be taken for a name, a value or their ends.
    fn odd() -> impl Strategy<Value = String> {
        let parts = ["a", "b", "\"", "\\", ":", ",", "{", "}", "\0", "\n", "ä"];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_piece_is_there_exactly_where_the_value_is(first in odd(), second in odd(), wanted in odd()) {
            let all = attributes(&[("a", &first), ("b", &second)]);
            let text = all.to_text();
            for (name, value) in [("a", &first), ("b", &second)] {
                prop_assert_eq!(text.contains(&piece(name, &wanted)), *value == wanted && !wanted.is_empty());
                prop_assert_eq!(text.contains(&piece(name, value)), !value.is_empty());
            }
            prop_assert_eq!(Attributes::of_text(&text), all);
        }
    }
}
