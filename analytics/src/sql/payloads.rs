//! Functions that take a text apart: what a pattern finds in it, what is encoded in it, a member of its JSON, an attribute.
//!
//! Each takes a text and a second one that is written out, gives a text, takes time in proportion to the first, and makes
//! nothing that is longer than it.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use regex::Regex;
use serde_json::Value;

/// What the first group of a pattern finds in a text, or the whole pattern when it has none; null when nothing is found.
pub(crate) const REGEXP_MATCH: &str = "regexp_match";
/// The text that is encoded in a text; null when none is.
pub(crate) const DECODE: &str = "decode";
/// What a JSON pointer leads to in a text that is JSON; null when there is nothing.
pub(crate) const JSON_TEXT: &str = "json_text";
/// The value of an attribute, of the column `attributes`; empty when the record has none of that name.
pub(crate) const ATTRIBUTE: &str = "attribute";

/// The encodings of [`DECODE`].
pub(super) const ENCODINGS: [&str; 2] = ["base64", "hex"];
/// Longest text that is read as JSON, in bytes: parsed, it takes many times its size.
pub(super) const JSON_BYTES_MAX: usize = 64 << 10;
/// Patterns that one function keeps compiled.
const PATTERNS_MAX: usize = 256;
/// With or without `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// All of them.
pub(super) fn functions() -> [ScalarUDF; 4] {
    [Kind::Match, Kind::Decoded, Kind::Json, Kind::Attribute].map(|kind| ScalarUDF::new_from_impl(OfText::new(kind)))
}

/// The pattern whose group is the value of an attribute as JSON writes it, without its quotes. Both engines are given this
/// text, so that they find the same in any text, whether attributes wrote it or not.
pub(crate) fn attribute_pattern(name: &str) -> String {
    format!(r#"[{{,]"{name}":"((?:[^"\\\x00-\x1f]|[\\]["\\bfnrt]|[\\]u00[01][0-9a-f])*)""#)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Match,
    Decoded,
    Json,
    Attribute,
}

#[derive(Debug)]
struct OfText {
    kind: Kind,
    signature: Signature,
    patterns: Mutex<HashMap<String, Regex>>,
}

impl PartialEq for OfText {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for OfText {}

impl Hash for OfText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl OfText {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::string(2, Volatility::Immutable), patterns: Mutex::default() }
    }

    fn reader(&self, what: &str) -> Result<Reader> {
        Ok(match self.kind {
            Kind::Match => Reader::Match(self.compiled(what)?),
            Kind::Attribute => Reader::Attribute(self.compiled(&attribute_pattern(what))?),
            Kind::Json => Reader::Json(what.to_owned()),
            Kind::Decoded if what.eq_ignore_ascii_case(ENCODINGS[0]) => Reader::Base64,
            Kind::Decoded if what.eq_ignore_ascii_case(ENCODINGS[1]) => Reader::Hex,
            Kind::Decoded => return exec_err!("{DECODE} knows the encodings {}", ENCODINGS.join(", ")),
        })
    }

    fn compiled(&self, pattern: &str) -> Result<Regex> {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = patterns.get(pattern) {
            return Ok(known.clone());
        }
        let Ok(compiled) = Regex::new(pattern) else { return exec_err!("not a pattern") };
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

impl ScalarUDFImpl for OfText {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Match => REGEXP_MATCH,
            Kind::Decoded => DECODE,
            Kind::Json => JSON_TEXT,
            Kind::Attribute => ATTRIBUTE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, ColumnarValue::Scalar(what)] = args.args.as_slice() else {
            return exec_err!("the second argument of {} has to be a text that is written out", self.name());
        };
        let Some(what) = what.try_as_str().flatten() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None)));
        };
        let reader = self.reader(what)?;
        let texts = cast(&text.to_array(args.number_rows)?, &DataType::Utf8View)?;
        let values: StringViewArray =
            texts.as_string_view().iter().map(|text| text.and_then(|text| reader.read(text))).collect();
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

/// What is done to each text.
enum Reader {
    Match(Regex),
    Base64,
    Hex,
    /// A pointer as RFC 6901 writes it.
    Json(String),
    Attribute(Regex),
}

impl Reader {
    fn read(&self, text: &str) -> Option<String> {
        match self {
            Self::Match(pattern) => first_group(pattern, text).map(str::to_owned),
            Self::Base64 => decoded(text, |bytes| BASE64.decode(bytes).ok()),
            Self::Hex => decoded(text, of_hex),
            Self::Json(pointer) => member(text, pointer),
            Self::Attribute(pattern) => Some(value(pattern, text)),
        }
    }
}

fn first_group<'a>(pattern: &Regex, text: &'a str) -> Option<&'a str> {
    if pattern.captures_len() == 1 {
        return pattern.find(text).map(|found| found.as_str());
    }
    Some(pattern.captures(text)?.get(1)?.as_str())
}

/// What encodes in lines puts ends of lines between them.
fn decoded(text: &str, decode: fn(&[u8]) -> Option<Vec<u8>>) -> Option<String> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    String::from_utf8(decode(&bytes)?).ok()
}

fn of_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

fn member(text: &str, pointer: &str) -> Option<String> {
    if text.len() > JSON_BYTES_MAX {
        return None;
    }
    let json: Value = serde_json::from_str(text).ok()?;
    match json.pointer(pointer)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn value(pattern: &Regex, text: &str) -> String {
    let written = first_group(pattern, text).unwrap_or_default();
    if !written.contains('\\') {
        return written.to_owned();
    }
    serde_json::from_str(&format!("\"{written}\"")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::attributes::Attributes;

    use super::*;

    fn read(kind: Kind, text: &str, what: &str) -> Option<String> {
        OfText::new(kind).reader(what).expect("a reader").read(text)
    }

    #[test]
    fn a_pattern_gives_its_first_group_or_all_that_it_finds() {
        assert_eq!(read(Kind::Match, "uptime: 17\n", r"uptime: (\d+)").as_deref(), Some("17"));
        assert_eq!(read(Kind::Match, "uptime: 17\n", r"\d+").as_deref(), Some("17"));
        assert_eq!(read(Kind::Match, "uptime", r"(x)?u").as_deref(), None, "a group that took no part");
        assert_eq!(read(Kind::Match, "uptime", "x"), None);
    }

    #[test]
    fn what_is_encoded_is_a_text_or_nothing() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=\n"] {
            assert_eq!(read(Kind::Decoded, text, "base64").as_deref(), Some("hello"), "{text}");
        }
        assert_eq!(read(Kind::Decoded, "68656C 6c6f", "HEX").as_deref(), Some("hello"));
        for none in ["a", "!", "ä", "/w=="] {
            assert_eq!(read(Kind::Decoded, none, "base64"), None, "{none}");
        }
        for none in ["6", "zz", "ff"] {
            assert_eq!(read(Kind::Decoded, none, "hex"), None, "{none}");
        }
        assert!(OfText::new(Kind::Decoded).reader("rot13").is_err());
    }

    #[test]
    fn a_pointer_leads_to_a_text_a_number_or_a_part() {
        let json = r#"{"disk":{"model":"x\"y","sizes":[1,2.5]},"ok":true,"none":null}"#;
        for (pointer, expected) in [
            ("/disk/model", Some("x\"y")),
            ("/disk/sizes/1", Some("2.5")),
            ("/disk/sizes", Some("[1,2.5]")),
            ("/ok", Some("true")),
            ("/none", None),
            ("/missing", None),
        ] {
            assert_eq!(read(Kind::Json, json, pointer).as_deref(), expected, "{pointer}");
        }
        assert_eq!(read(Kind::Json, "{", "/a"), None);
        let long = |bytes: usize| format!("[\"{}\"]", "x".repeat(bytes - 4));
        assert!(read(Kind::Json, &long(JSON_BYTES_MAX), "/0").is_some());
        assert!(read(Kind::Json, &long(JSON_BYTES_MAX + 1), "/0").is_none());
    }

    #[test]
    fn an_attribute_is_read_whatever_its_value_holds() {
        for value in ["x", "\"", "\\", "\\\"", "\n\0\u{1f}\u{7f}", ",\"b\":\"c", "ä\u{1f980}", "{"] {
            let mut attributes = Attributes::default();
            for name in ["a", "b", "c"] {
                attributes.insert(name, &format!("{name}{value}"));
            }
            for name in ["a", "b", "c"] {
                let expected = format!("{name}{value}");
                assert_eq!(read(Kind::Attribute, &attributes.to_text(), name), Some(expected), "{value:?}");
            }
            assert_eq!(read(Kind::Attribute, &attributes.to_text(), "d").as_deref(), Some(""));
        }
        assert_eq!(read(Kind::Attribute, "", "a").as_deref(), Some(""));
    }
}
