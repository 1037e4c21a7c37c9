//! Why a request is not a record: what the sender has to change.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Header that carries the telemetry id, as error answers spell it.
const TELEMETRY_ID_HEADER: &str = "X-Telemetry-TID";
/// How much of a wrong telemetry id an error repeats, in characters.
const SHOWN_TELEMETRY_ID_CHARS: usize = 64;

/// One field that is missing or not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Name of the field with underscores; `body` when the request's body cannot be read at all.
    pub field: String,
    /// What the field has to be, worded to follow its name: `must be an integer from 1 to 4`.
    pub reason: String,
}

impl FieldError {
    pub(super) fn new(field: &str, reason: impl Into<String>) -> Self {
        Self { field: field.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.reason)
    }
}

/// Why a request was not taken as a record; its text is one sentence that names the first field that failed.
///
/// Two kinds, because a collector treats them differently: a wrong telemetry id is refused always, an invalid record
/// may be kept aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request does not carry a telemetry id that this collector accepts.
    #[error("{}", telemetry_id_error(given.as_deref()))]
    TelemetryId {
        /// What it carries instead; several different ones are joined by `, `.
        given: Option<String>,
    },
    /// The fields that failed, in the order of the wire contract; never empty.
    #[error("{}", sentence(.0))]
    Invalid(Vec<FieldError>),
}

impl Rejection {
    /// Every field that failed, for the `errors` of an answer.
    #[must_use]
    pub fn errors(&self) -> Cow<'_, [FieldError]> {
        match self {
            Self::TelemetryId { given } => Cow::Owned(vec![telemetry_id_error(given.as_deref())]),
            Self::Invalid(errors) => Cow::Borrowed(errors),
        }
    }
}

fn telemetry_id_error(given: Option<&str>) -> FieldError {
    let reason = match given {
        None => "is missing".to_owned(),
        Some(id) => format!("is not accepted here: {}", shortened(id)),
    };
    FieldError::new(TELEMETRY_ID_HEADER, reason)
}

fn shortened(id: &str) -> Cow<'_, str> {
    match id.char_indices().nth(SHOWN_TELEMETRY_ID_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}...", &id[..end])),
        None => Cow::Borrowed(id),
    }
}

fn sentence(errors: &[FieldError]) -> String {
    match errors {
        [] => "the record is not valid".to_owned(),
        [only] => only.to_string(),
        [first, _] => format!("{first}, and one more field failed"),
        [first, rest @ ..] => format!("{first}, and {} more fields failed", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_id(given: &str) -> Rejection {
        Rejection::TelemetryId { given: Some(given.to_owned()) }
    }

    #[test]
    fn the_message_names_the_first_field_and_counts_the_others() {
        let error = |field| FieldError::new(field, "is missing");
        let cases = [
            (vec![error("build")], "build is missing"),
            (vec![error("build"), error("arch")], "build is missing, and one more field failed"),
            (vec![error("build"), error("arch"), error("severity")], "build is missing, and 2 more fields failed"),
        ];
        for (errors, message) in cases {
            assert_eq!(Rejection::Invalid(errors).to_string(), message);
        }
    }

    #[test]
    fn a_telemetry_id_is_an_error_of_its_header() {
        let missing = Rejection::TelemetryId { given: None };
        assert_eq!(missing.to_string(), "X-Telemetry-TID is missing");
        assert_eq!(missing.errors().as_ref(), [FieldError::new("X-Telemetry-TID", "is missing")]);
        assert_eq!(wrong_id("abc").to_string(), "X-Telemetry-TID is not accepted here: abc");
    }

    #[test]
    fn a_long_telemetry_id_is_not_repeated_whole() {
        let whole = "\u{e9}".repeat(SHOWN_TELEMETRY_ID_CHARS);
        assert!(wrong_id(&whole).to_string().ends_with(&whole));
        let cut = format!("{whole}...");
        assert!(wrong_id(&format!("{whole}x")).to_string().ends_with(&cut));
    }
}
