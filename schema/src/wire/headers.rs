//! The header generation: fields are HTTP headers, and what else a request's headers say about its record.

use std::borrow::Cow;

use super::error::Rejection;
use super::fields::{Field, Given, Value};
use super::text::decode_text;
use super::{Request, Rules};

/// What the headers of a request say.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    /// The record's fields, when it is of the header generation.
    pub(super) given: Given<'a>,
    /// Whether the request is marked with `X-CLR-External: true`.
    pub(super) external: bool,
    /// Whether the body is said to be JSON.
    pub(super) is_json: bool,
    /// What the request says who it is.
    pub(super) telemetry_id: Option<Cow<'a, str>>,
}

/// What a header is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Field(Field),
    TelemetryId,
    External,
    ContentType,
}

/// Longest header name that is looked at, in bytes: that of `payload_format_version`.
const NAME_LIMIT_BYTES: usize = 22;

impl<'a> Head<'a> {
    /// Reads all headers of `request`; nothing in them can make it fail.
    pub(super) fn read(request: &Request<'a>) -> Self {
        let mut head = Self::default();
        for &(name, value) in &request.headers {
            if let Some(topic) = topic(name) {
                head.add(topic, value.trim_ascii());
            }
        }
        head
    }

    fn add(&mut self, topic: Topic, value: &'a [u8]) {
        match topic {
            Topic::Field(field) => self.given.add(field, Value::Text(decode_text(value))),
            Topic::TelemetryId => self.add_telemetry_id(decode_text(value)),
            Topic::External => self.external |= value.eq_ignore_ascii_case(b"true"),
            Topic::ContentType => self.is_json |= is_json(value),
        }
    }

    fn add_telemetry_id(&mut self, id: Cow<'a, str>) {
        self.telemetry_id = Some(match self.telemetry_id.take() {
            // Joined they are no accepted id, so that a request cannot carry a right one and a wrong one.
            Some(before) if before != id => Cow::Owned(format!("{before}, {id}")),
            _ => id,
        });
    }

    /// Checks the telemetry id.
    ///
    /// # Errors
    /// [`Rejection::TelemetryId`] when it is missing or not one of those of `rules`.
    pub(super) fn admit(&self, rules: &Rules) -> Result<(), Rejection> {
        match &self.telemetry_id {
            Some(id) if rules.telemetry_ids.iter().any(|accepted| accepted == id) => Ok(()),
            given => Err(Rejection::TelemetryId { given: given.as_ref().map(|id| id.clone().into_owned()) }),
        }
    }
}

/// Whether a record, or its acceptance, depends on the header `name`.
#[must_use]
pub fn reads_header(name: &str) -> bool {
    topic(name).is_some()
}

/// Whether `name` is a spelling of the header that makes a request one of the header generation, whatever its body is.
#[must_use]
pub fn names_record_format(name: &str) -> bool {
    topic(name) == Some(Topic::Field(Field::RecordFormatVersion))
}

fn topic(name: &str) -> Option<Topic> {
    let mut buffer = [0; NAME_LIMIT_BYTES];
    let folded = buffer.get_mut(..name.len())?;
    for (to, from) in folded.iter_mut().zip(name.bytes()) {
        *to = if from == b'-' { b'_' } else { from.to_ascii_lowercase() };
    }
    match &*folded {
        b"x_telemetry_tid" => Some(Topic::TelemetryId),
        b"x_clr_external" => Some(Topic::External),
        b"content_type" => Some(Topic::ContentType),
        // The payload of the header generation is the body, never a header.
        b"payload" => None,
        folded => Field::named(folded).map(Topic::Field),
    }
}

/// Whether a request of this content type says that its body is JSON.
#[must_use]
pub fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let subtype_suffix = media_type.iter().rposition(|&byte| byte == b'+').map(|at| &media_type[at..]);
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type.eq_ignore_ascii_case(b"text/json")
        || subtype_suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'a str, &'a [u8])];

    fn read<'a>(headers: &[(&'a str, &'a [u8])]) -> Head<'a> {
        Head::read(&Request { headers: headers.to_vec(), body: b"" })
    }

    #[test]
    fn both_spellings_in_any_case_are_the_same_field() {
        for name in ["record_format_version", "Record-Format-Version", "RECORD_FORMAT-VERSION", "record-format-version"]
        {
            assert_eq!(topic(name), Some(Topic::Field(Field::RecordFormatVersion)), "{name}");
            assert!(names_record_format(name), "{name}");
        }
        assert!(!names_record_format("payload_format_version") && !names_record_format("x-telemetry-tid"));
        for name in ["recordformatversion", "record_format_version_", "", "payload", "host", &"x".repeat(5_000)] {
            assert_eq!(topic(name), None, "{name}");
        }
        assert_eq!(topic("payload_format_version"), Some(Topic::Field(Field::PayloadFormatVersion)));
        assert_eq!("payload_format_version".len(), NAME_LIMIT_BYTES);
    }

    #[test]
    fn values_are_trimmed_and_decoded_one_by_one() {
        let head = read(&[("cpu_model", b" \tIntel\xae \t"), ("board_name", "größer".as_bytes()), ("build", b"  ")]);
        assert_eq!(head.given.text(Field::CpuModel), Some("Intel\u{ae}"));
        assert_eq!(head.given.text(Field::BoardName), Some("größer"));
        assert_eq!(head.given.text(Field::Build), Some(""));
        assert_eq!(head.given.text(Field::Arch), None);
    }

    #[test]
    fn a_field_in_both_spellings_conflicts_only_when_the_values_differ() {
        let equal = read(&[("machine_id", b"a"), ("Machine-Id", b"a ")]);
        assert_eq!(equal.given.text(Field::MachineId), Some("a"));
        let mut different = read(&[("machine_id", b"a"), ("Machine-Id", b"b")]);
        assert_eq!(different.given.take(Field::MachineId), Value::Conflicting);
    }

    #[test]
    fn external_is_what_says_true() {
        for (value, external) in
            [("true", true), ("True", true), (" true ", true), ("false", false), ("1", false), ("", false)]
        {
            assert_eq!(read(&[("X-CLR-External", value.as_bytes())]).external, external, "{value}");
        }
        assert!(!read(&[]).external);
        assert!(read(&[("x_clr_external", b"true")]).external);
    }

    #[test]
    fn json_content_types() {
        let json = ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/vnd.x+json;v=1"];
        let other = ["application/text", "application/x-ndjson", "application/jsonx", "json", "+jsonx", ""];
        for value in json {
            assert!(read(&[("Content-Type", value.as_bytes())]).is_json, "{value}");
        }
        for value in other {
            assert!(!read(&[("Content-Type", value.as_bytes())]).is_json, "{value}");
        }
    }

    #[test]
    fn only_a_configured_telemetry_id_is_admitted() {
        let rules = Rules { telemetry_ids: vec!["one".into(), "två".into()], strict_fields: false };
        let cases: [(Headers, Option<Option<&str>>); 7] = [
            (&[("X-Telemetry-TID", b"one")], None),
            (&[("x_telemetry_tid", b" one ")], None),
            (&[("x-telemetry-tid", "två".as_bytes())], None),
            (&[("x-telemetry-tid", b"one"), ("X_Telemetry_TID", b"one")], None),
            (&[("x-telemetry-tid", b"one"), ("x-telemetry-tid", b"two")], Some(Some("one, two"))),
            (&[("x-telemetry-tid", b"ONE")], Some(Some("ONE"))),
            (&[], Some(None)),
        ];
        for (headers, refused) in cases {
            let expected = match refused {
                None => Ok(()),
                Some(given) => Err(Rejection::TelemetryId { given: given.map(str::to_owned) }),
            };
            assert_eq!(read(headers).admit(&rules), expected, "{headers:?}");
        }
    }
}
