//! What probes send, decoded and validated: the wire contract as two functions.
//!
//! Probes come in two generations, and each route takes both. In the **header generation** the record's fields are
//! HTTP headers, named with underscores or hyphens in any letter case, and the body is the payload. In the **JSON
//! generation** the body is one object with the fields and the `payload`. Both carry the telemetry id in the header
//! `X-Telemetry-TID` and may be marked with `X-CLR-External: true`.
//!
//! What the contract leaves open is decided so:
//! - A request is of the JSON generation when its content type is JSON and its body is an object with a
//!   `record_format_version`, or when no header has that field either. A request whose headers have the fields may
//!   have any payload, JSON or not.
//! - A field that is given twice (in both spellings, or as a repeated key) counts once when the values are equal after
//!   white space around header values is gone, and is invalid when they differ.
//! - JSON numbers count with the digits that were sent. Booleans, arrays and objects are invalid for a field. Keys are
//!   spelled exactly; others are ignored. A lone surrogate in an escape becomes U+FFFD. A missing `payload` is empty.
//! - Numbers are digits only, leading zeros included. Limits count characters: Unicode scalar values after decoding.
//! - `control characters` of hardware texts are those of ASCII: what Latin-1 makes of a byte above 0x7F is no reason
//!   to refuse a record.
//! - Without a valid `record_format_version` the fields of format 1 are required and the others are judged when given.

mod check;
mod error;
mod fields;
mod headers;
mod json;
mod kept;
mod rules;
mod text;

pub use error::{FieldError, Rejection};
pub use headers::{is_json, names_record_format, reads_header};
pub use kept::check_kept;
pub use rules::{
    ARCHITECTURES, BUILD_LIMIT_CHARS, CAPTURE_TIMES_S, CLASSIFICATION_LIMIT_CHARS, EVENT_ID_DIGITS,
    HARDWARE_LIMIT_CHARS, HOST_TYPE_LIMIT_CHARS, KERNEL_VERSION_LIMIT_CHARS, MACHINE_ID_LIMIT_CHARS, PAYLOAD_FORMATS,
    RECORD_FORMATS, SEVERITIES, SYSTEM_NAME_LIMIT_CHARS,
};
pub use text::decode_text;

use std::borrow::Cow;

use crate::record::Report;
use check::check;
use fields::{Field, Value};
use headers::Head;

/// The telemetry id that clients are shipped with.
pub const DEFAULT_TELEMETRY_ID: &str = "6907c830-eed9-4ce9-81ae-76daf8d88f0f";

/// What the collector is configured to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The telemetry ids that are accepted; any strings, compared exactly.
    pub telemetry_ids: Vec<String>,
    /// Whether an absent or empty `board_name`, `cpu_model` or `bios_version` is an error instead of `N/A`.
    pub strict_fields: bool,
}

impl Default for Rules {
    /// The id that clients are shipped with, and lenient hardware texts.
    fn default() -> Self {
        Self { telemetry_ids: vec![DEFAULT_TELEMETRY_ID.to_owned()], strict_fields: false }
    }
}

/// One request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// Names and raw values of all headers, in order; a repeated header is there as often as it was sent.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The body without its transfer and content encodings.
    pub body: &'a [u8],
}

/// Decodes and validates one request of either generation.
///
/// # Errors
/// [`Rejection::TelemetryId`] before anything else is looked at, else [`Rejection::Invalid`] with every field that
/// failed. No bytes make it panic.
pub fn decode(request: &Request<'_>, rules: &Rules) -> Result<Report, Rejection> {
    let mut head = Head::read(request);
    head.admit(rules)?;
    if head.is_json && (!head.given.has(Field::RecordFormatVersion) || is_record_object(request.body)) {
        return decode_json_object(request.body, head.external, rules);
    }
    head.given.add(Field::Payload, Value::Text(decode_text(request.body)));
    check(head.given, head.external, rules.strict_fields).map_err(Rejection::Invalid)
}

/// Decodes and validates one JSON object with the fields and the payload of a record.
///
/// The telemetry id and `external` belong to the request around it, which the caller has checked.
///
/// # Errors
/// [`Rejection::Invalid`]: with the one field `body` when `object` is not a JSON object.
pub fn decode_json_object(object: &[u8], external: bool, rules: &Rules) -> Result<Report, Rejection> {
    let unreadable = |error: FieldError| Rejection::Invalid(vec![error]);
    let text = json::body_text(object).map_err(unreadable)?;
    let given = json::read(&text).map_err(unreadable)?;
    check(given, external, rules.strict_fields).map_err(Rejection::Invalid)
}

/// Checks the telemetry id of a request whose body is not one record, and says whether its records are external.
///
/// # Errors
/// [`Rejection::TelemetryId`], as [`decode`].
pub fn admit(request: &Request<'_>, rules: &Rules) -> Result<bool, Rejection> {
    let head = Head::read(request);
    head.admit(rules)?;
    Ok(head.external)
}

/// The telemetry id of a request, as [`decode`] and [`admit`] compare it; several different ones are joined.
#[must_use]
pub fn telemetry_id<'a>(request: &Request<'a>) -> Option<Cow<'a, str>> {
    Head::read(request).telemetry_id
}

fn is_record_object(body: &[u8]) -> bool {
    json::body_text(body).is_ok_and(|text| json::read(&text).is_ok_and(|given| given.has(Field::RecordFormatVersion)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'a> = &'a [(&'a str, &'a [u8])];

    const FIELDS: [(&str, &[u8]); 9] = [
        ("record_format_version", b"1"),
        ("classification", b"a/b/c"),
        ("severity", b"1"),
        ("machine_id", b""),
        ("creation_timestamp", b"0"),
        ("arch", b"ppc"),
        ("host_type", b""),
        ("build", b"12"),
        ("kernel_version", b"5.4"),
    ];
    const OBJECT: &str = r#"{"record_format_version":1,"classification":"x/y/z","severity":"4","machine_id":"m",
        "creation_timestamp":"1","arch":"i386","host_type":"h","build":1,"kernel_version":"5.4","payload":"p"}"#;

    fn decode_with(content_type: &str, fields: &[(&str, &[u8])], body: &[u8]) -> Result<Report, Rejection> {
        let mut headers = vec![("X-Telemetry-TID", DEFAULT_TELEMETRY_ID.as_bytes()), ("X-CLR-External", b"true")];
        headers.push(("Content-Type", content_type.as_bytes()));
        headers.extend_from_slice(fields);
        decode(&Request { headers, body }, &Rules::default())
    }

    #[test]
    fn the_generation_is_told_by_content_type_and_body() {
        let json = "application/json; charset=utf-8";
        let cases: [(&str, Headers, &str, &str, &str); 8] = [
            ("application/text", &FIELDS, "hello\n", "a/b/c", "hello\n"),
            ("application/text", &FIELDS, OBJECT, "a/b/c", OBJECT),
            (json, &[], OBJECT, "x/y/z", "p"),
            (json, &FIELDS, OBJECT, "x/y/z", "p"),
            (json, &FIELDS[1..], OBJECT, "x/y/z", "p"),
            (json, &FIELDS, r#"{"severity":3}"#, "a/b/c", r#"{"severity":3}"#),
            (json, &FIELDS, "[1]", "a/b/c", "[1]"),
            (json, &FIELDS, "", "a/b/c", ""),
        ];
        for (content_type, fields, body, classification, payload) in cases {
            let report = decode_with(content_type, fields, body.as_bytes()).expect("a report");
            assert_eq!((report.classification.as_str(), report.payload.as_str()), (classification, payload), "{body}");
            assert!(report.external);
        }
    }

    #[test]
    fn json_without_fields_in_headers_is_judged_as_json() {
        let message =
            |body: &str| decode_with("application/json", &[], body.as_bytes()).expect_err("refused").to_string();
        assert!(message("{").starts_with("body is not a JSON object: "));
        assert!(message("[]").starts_with("body is not a JSON object: "));
        assert_eq!(message("{}"), "record_format_version is missing, and 8 more fields failed");
        assert!(decode_with("application/text", &[], OBJECT.as_bytes()).is_err());
    }

    #[test]
    fn the_telemetry_id_is_judged_first() {
        let request = Request { headers: FIELDS[1..].to_vec(), body: b"" };
        assert_eq!(decode(&request, &Rules::default()), Err(Rejection::TelemetryId { given: None }));
    }

    #[test]
    fn a_request_of_several_records_is_admitted_by_its_headers_alone() {
        let admitted = |headers: Headers<'_>| {
            let request = Request { headers: headers.to_vec(), body: b"not looked at" };
            admit(&request, &Rules::default())
        };
        let id = ("x-telemetry-tid", DEFAULT_TELEMETRY_ID.as_bytes());
        assert_eq!(admitted(&[id]), Ok(false));
        assert_eq!(admitted(&[id, ("X-CLR-External", b"true")]), Ok(true));
        assert_eq!(admitted(&[]), Err(Rejection::TelemetryId { given: None }));
    }

    #[test]
    fn a_telemetry_id_is_told_as_it_is_compared() {
        let told = |headers: Headers<'static>| telemetry_id(&Request { headers: headers.to_vec(), body: b"" });
        assert_eq!(told(&[("X_Telemetry-TID", b" one ")]).as_deref(), Some("one"));
        assert_eq!(told(&[("x-telemetry-tid", b"one"), ("x-telemetry-tid", b"two")]).as_deref(), Some("one, two"));
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn payloads_keep_every_byte_as_a_character() {
        for (body, payload) in [(&b"a\0\xff\r\n"[..], "a\0\u{ff}\r\n"), ("\u{e9}\0".as_bytes(), "\u{e9}\0"), (b"", "")]
        {
            assert_eq!(decode_with("", &FIELDS, body).expect("a report").payload, payload);
        }
    }

    #[test]
    fn json_payloads_may_be_missing_or_numbers_but_nothing_else() {
        let with = |payload: &str| OBJECT.replace("\"payload\":\"p\"", payload);
        let cases = [
            ("\"x\":1", ""),
            ("\"payload\":null", ""),
            ("\"payload\":1.50", "1.50"),
            ("\"payload\":\"\\u0000\"", "\0"),
        ];
        for (payload, expected) in cases {
            let report = decode_json_object(with(payload).as_bytes(), false, &Rules::default()).expect("a report");
            assert_eq!((report.payload.as_str(), report.external), (expected, false));
        }
        let refused = decode_json_object(with("\"payload\":{}").as_bytes(), false, &Rules::default());
        assert_eq!(refused.expect_err("refused").to_string(), "payload must be a string or a number");
    }
}
