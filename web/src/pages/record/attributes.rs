//! What payload parsers made of the record: names with values, each with the way to the records that share it.

use telemetrics_schema::attributes::Attributes;

use crate::pages::{address, text};

/// Longest value that is shown, in characters.
const VALUE_CHARS: usize = 80;
/// Longest value that a link asks for, in characters: all links together have to fit into a page.
const LINKED_CHARS: usize = 40;

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) value: String,
    /// The records with the same value, where it is short.
    pub(super) address: Option<String>,
}

pub(super) fn shown(attributes: &Attributes) -> Vec<Attribute> {
    let shown = |(name, value): (&str, &str)| Attribute {
        name: name.to_owned(),
        value: text::line(value, VALUE_CHARS),
        address: (value.chars().count() <= LINKED_CHARS)
            .then(|| address::with_query(address::RECORDS, [(format!("attribute.{name}").as_str(), value)])),
    };
    attributes.iter().map(shown).collect()
}
