//! Reads the TOML file into flat entries: dotted key, value, line.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::load::Value;

/// One `key = value` of the file.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Dotted key, sections included.
    pub(crate) key: String,
    /// What the file says.
    pub(crate) value: Value,
    /// Line of the key, counted from 1.
    pub(crate) line: usize,
}

/// All entries of `text`, in the order of their lines. A section that is empty is an entry too, so that it is not lost.
///
/// # Errors
/// The line and the reason why this is no TOML.
pub(crate) fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        (line, error.message().replace('\n', ", "))
    })?;
    let mut entries = Vec::new();
    flatten(text, "", table.get_ref(), &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn flatten(text: &str, section: &str, table: &DeTable<'_>, out: &mut Vec<Entry>) {
    for (name, value) in table {
        let key = if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(text, &key, inner, out),
            _ => out.push(Entry { key, value: read(value), line: line_of(text, &name.span()) }),
        }
    }
}

fn read(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Other("a number beyond all limits"),
        },
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Array(items) => Value::List(items.iter().map(read).collect()),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(table) if table.is_empty() => Value::Other("a section"),
        DeValue::Table(table) => {
            Value::Table(table.iter().map(|(name, value)| (name.get_ref().to_string(), read(value))).collect())
        }
    }
}

/// The line in which a span of `text` begins, counted from 1.
pub(crate) fn line_of(text: &str, span: &Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}
