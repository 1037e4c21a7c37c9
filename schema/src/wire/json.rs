//! The JSON generation: one object with the fields and the payload, whose strings may hold bytes that are not UTF-8.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::error::FieldError;
use super::fields::{Field, Given, Value};
use super::text::decode_text;

/// Name under which errors speak of a body that is not a JSON object.
const BODY: &str = "body";

/// The body as text that a JSON parser takes: each string that is not UTF-8 is decoded from Latin-1 as a whole.
///
/// # Errors
/// When there are bytes outside of strings that are not UTF-8.
pub(super) fn body_text(body: &[u8]) -> Result<Cow<'_, str>, FieldError> {
    if let Ok(text) = std::str::from_utf8(body) {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = Vec::with_capacity(body.len() * 2);
    let mut rest = body;
    while let Some(start) = rest.iter().position(|&byte| byte == b'"') {
        let (before, from_quote) = rest.split_at(start);
        let (literal, after) = from_quote.split_at(literal_length(from_quote));
        text.extend_from_slice(before);
        text.extend_from_slice(decode_text(literal).as_bytes());
        rest = after;
    }
    text.extend_from_slice(rest);
    String::from_utf8(text).map(Cow::Owned).map_err(|_| not_an_object("bytes outside of strings are not UTF-8"))
}

/// Bytes from the opening quote, with which `literal` begins, to the closing one or to the end.
fn literal_length(literal: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = literal.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    literal.len()
}

/// The fields of the one JSON object in `text`; keys that are no fields are ignored.
///
/// # Errors
/// When the text is anything else than one JSON object.
pub(super) fn read(text: &str) -> Result<Given<'_>, FieldError> {
    let mut parser = Deserializer::from_str(text);
    let given = parser.deserialize_map(Fields).map_err(not_an_object)?;
    parser.end().map_err(not_an_object)?;
    Ok(given)
}

fn not_an_object(reason: impl fmt::Display) -> FieldError {
    FieldError::new(BODY, format!("is not a JSON object: {reason}"))
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut given = Given::default();
        // Raw values, because a number has to be seen with the digits that were sent, and nesting is never descended.
        while let Some(key) = object.next_key::<&RawValue>()? {
            let key = unescaped(key.get()).map_err(A::Error::custom)?;
            match Field::named(key.as_bytes()) {
                Some(field) => given.add(field, value(object.next_value()?).map_err(A::Error::custom)?),
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(given)
    }
}

fn value(raw: &RawValue) -> Result<Value<'_>, serde_json::Error> {
    let json = raw.get();
    Ok(match json.as_bytes().first() {
        Some(b'"') => Value::Text(unescaped(json)?),
        Some(b'-' | b'0'..=b'9') => Value::Text(Cow::Borrowed(json)),
        Some(b'n') => Value::Missing,
        _ => Value::NotText,
    })
}

/// The text of a JSON string, given with its quotes.
fn unescaped(literal: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(plain) if !plain.contains('\\') => Ok(Cow::Borrowed(plain)),
        _ => Deserializer::from_str(literal).deserialize_bytes(Unescape).map(Cow::Owned),
    }
}

struct Unescape;

impl Visitor<'_> for Unescape {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => without_surrogates(bytes),
        })
    }
}

/// The text with U+FFFD for each lone surrogate: half a character, that only escapes can name, is no reason to refuse
/// a record.
fn without_surrogates(bytes: &[u8]) -> String {
    /// First of the three bytes of a surrogate; no other bytes are left undecoded in what the parser gives.
    const SURROGATE: u8 = 0xED;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if chunk.invalid().first() == Some(&SURROGATE) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(body: &[u8]) -> Value<'static> {
        let text = body_text(body).expect("text");
        match read(&text).expect("an object").take(Field::Build) {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Missing => Value::Missing,
            Value::NotText => Value::NotText,
            Value::Conflicting => Value::Conflicting,
        }
    }

    fn text(value: &str) -> Value<'static> {
        Value::Text(Cow::Owned(value.to_owned()))
    }

    #[test]
    fn strings_and_numbers_are_texts_and_null_is_missing() {
        let cases = [
            (r#"{"build":"12"}"#, text("12")),
            (r#"{"build":12}"#, text("12")),
            // A number is what was written, not what a floating point number makes of it.
            (r#"{"build":15.10}"#, text("15.10")),
            (r#"{"build":1e3}"#, text("1e3")),
            (r#"{"build":-1}"#, text("-1")),
            (r#"{"build":12345678901234567890123}"#, text("12345678901234567890123")),
            (r#"{"build":null}"#, Value::Missing),
            (r"{}", Value::Missing),
            (r#"{"Build":"12","BUILD":1,"other":{"build":"x"}}"#, Value::Missing),
            (r#"{"build":true}"#, Value::NotText),
            (r#"{"build":["12"]}"#, Value::NotText),
            (r#"{"build":{"a":1}}"#, Value::NotText),
            (r#"{"build":"1","build":"1"}"#, text("1")),
            (r#"{"build":"1","build":"2"}"#, Value::Conflicting),
            (r#"{"build":null,"build":"2"}"#, text("2")),
        ];
        for (body, expected) in cases {
            assert_eq!(build(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn escapes_are_decoded_in_values_and_keys() {
        let cases = [
            (r#"{"build":"\"12\""}"#, "\"12\""),
            (r#"{"\u0062uild":"a\u0000b\n"}"#, "a\0b\n"),
            (r#"{"build":"\ud83e\udd80"}"#, "\u{1f980}"),
            (r#"{"build":"a\ud83eb"}"#, "a\u{fffd}b"),
            (r#"{"build":"\udd80"}"#, "\u{fffd}"),
            (r#"{"build":"\ud83e\ud83e\udd80"}"#, "\u{fffd}\u{1f980}"),
            (r#"{"\ud83e":1,"build":"x"}"#, "x"),
        ];
        for (body, expected) in cases {
            assert_eq!(build(body.as_bytes()), text(expected), "{body}");
        }
    }

    #[test]
    fn strings_that_are_not_utf8_are_latin1_each_for_itself() {
        let body = b"{\"build\":\"\xc3\xa9\",\"arch\":\"a\\\"\xe9\\n\xc3\xa9\",\"\xff\":\"\xff\"}";
        let text = body_text(body).expect("text");
        let given = read(&text).expect("an object");
        assert_eq!(given.text(Field::Build), Some("\u{e9}"));
        assert_eq!(given.text(Field::Arch), Some("a\"\u{e9}\n\u{c3}\u{a9}"));
    }

    #[test]
    fn everything_but_one_object_is_an_error_of_the_body() {
        let deep = format!("{{\"x\":{}", "[".repeat(100_000));
        let bodies: [&[u8]; 14] = [
            b"",
            b"  ",
            b"{",
            b"[]",
            b"null",
            b"\"text\"",
            b"12",
            b"{\"build\":\"a}",
            b"{\"build\":\"a\\",
            b"{\"build\":\"\xff",
            b"{\"build\":\xff}",
            b"{} {}",
            b"{\"build\":\"raw\nline\"}",
            deep.as_bytes(),
        ];
        for body in bodies {
            let error = body_text(body).and_then(|text| read(&text).map(drop)).expect_err("not an object");
            assert_eq!(error.field, "body");
            assert!(error.reason.starts_with("is not a JSON object: "), "{error}");
        }
    }

    #[test]
    fn deep_nesting_that_is_whole_does_not_reach_the_stack() {
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(build(format!("{{\"x\":{nested},\"build\":\"1\"}}").as_bytes()), text("1"));
        assert_eq!(build(format!("{{\"build\":{nested}}}").as_bytes()), Value::NotText);
    }
}
