//! Which form a request's body has, as far as its headers tell.

use axum::http::{HeaderMap, header};
use telemetrics_schema::wire;

/// Content types of one JSON value a line.
const LINES: [&[u8]; 3] = [b"application/x-ndjson", b"application/ndjson", b"application/jsonl"];

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One record, or its payload.
    Record,
    /// JSON: one record, or an array of records when it begins with `[`.
    Json,
    /// A record a line.
    Lines,
    /// A JSON array of records.
    Array,
}

impl Form {
    /// What the headers say. A request whose headers have the fields of a record is one, whatever its body looks like.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let has_type = |is: fn(&[u8]) -> bool| {
            headers.get_all(header::CONTENT_TYPE).iter().any(|value| is(value.as_bytes().trim_ascii()))
        };
        let form = if has_type(is_lines) {
            Self::Lines
        } else if has_type(wire::is_json) {
            Self::Json
        } else {
            return Self::Record;
        };
        let in_headers = headers.keys().any(|name| wire::names_record_format(name.as_str()));
        if in_headers { Self::Record } else { form }
    }
}

/// White space between the tokens of JSON.
pub(super) fn is_json_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_lines(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    LINES.iter().any(|lines| media_type.eq_ignore_ascii_case(lines))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn of(headers: &[(&'static str, &'static str)]) -> Form {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Form::of(&headers.iter().map(header).collect())
    }

    #[test]
    fn the_content_type_decides() {
        for (content_type, form) in [
            ("application/text", Form::Record),
            ("application/x-www-form-urlencoded", Form::Record),
            ("application/json", Form::Json),
            ("application/json; charset=utf-8", Form::Json),
            ("application/x-ndjson", Form::Lines),
            ("Application/X-NDJSON ; charset=utf-8", Form::Lines),
            ("application/jsonl", Form::Lines),
            ("application/x-ndjsonx", Form::Record),
        ] {
            assert_eq!(of(&[("content-type", content_type)]), form, "{content_type}");
        }
        assert_eq!(of(&[]), Form::Record);
    }

    #[test]
    fn a_request_with_the_fields_in_its_headers_is_one_record() {
        for name in ["record_format_version", "record-format-version", "record_format-version"] {
            for content_type in ["application/json", "application/x-ndjson"] {
                assert_eq!(of(&[("content-type", content_type), (name, "4")]), Form::Record);
            }
        }
        assert_eq!(of(&[("content-type", "application/json"), ("build", "1")]), Form::Json);
    }
}
