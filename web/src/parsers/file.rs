//! One file of a payload parser.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use telemetrics_analytics::parsers::Definition;

use crate::config::file::line_of;

/// Largest file, in bytes.
pub const FILE_BYTES_MAX: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParserFile {
    /// For people: nothing is done with it.
    #[serde(default, rename = "description")]
    _description: String,
    classifications: Vec<String>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

/// Reads the file at `path`, which messages call `name`.
///
/// # Errors
/// A sentence that begins with the name.
pub(super) fn read(path: &Path, name: &str) -> Result<Definition, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
    let limit = FILE_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_string(&mut text).map_err(|error| format!("{name}: {error}"))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(format!("{name}: has more than {FILE_BYTES_MAX} bytes"));
    }
    parse(name, &text)
}

/// Reads the text of a file.
///
/// # Errors
/// As [`read`].
pub(super) fn parse(name: &str, text: &str) -> Result<Definition, String> {
    let file: ParserFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, &span));
        format!("{name}: line {line}: {}", error.message())
    })?;
    let ParserFile { classifications, fields, .. } = file;
    Ok(Definition { name: name.to_owned(), classifications, fields: fields.into_iter().collect() })
}
