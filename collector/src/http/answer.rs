//! How a request of a probe is refused: the one place where the collector's errors become HTTP.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_schema::wire::{FieldError, Rejection};

use crate::counters::Reason;
use crate::journal::AppendError;
use crate::rate_limit::RetryAfter;

/// What a client that may come back is told to wait, in seconds. Probes ignore it, gateways and scripts do not.
pub(super) const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");

/// The body of every error answer of this server.
#[derive(Debug, Serialize)]
pub struct ErrorBody {
    /// One sentence; for an invalid request it names the field.
    pub message: String,
    /// Every field that failed, in the order of validation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl ErrorBody {
    /// An error that is about no single field.
    pub fn of(message: impl Into<String>) -> Self {
        Self { message: message.into(), errors: Vec::new() }
    }
}

/// Why a record was not accepted, by what its sender has to do.
#[derive(Debug)]
pub enum Refusal {
    /// Send something else.
    Invalid(Rejection),
    /// Send less.
    TooLarge {
        /// The limit that the body passed.
        limit_bytes: usize,
    },
    /// Send it without this content encoding.
    Encoding(String),
    /// The body did not arrive whole, or fits nowhere: the sentence says it.
    Body(String),
    /// Send it faster: the sentence says how fast.
    Late(String),
    /// Send less often, and this again later.
    TooMany(RetryAfter),
    /// Send it again later.
    Unavailable(String),
}

impl Refusal {
    /// What to count it as.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(Rejection::TelemetryId { .. }) => Reason::TelemetryId,
            Self::Invalid(Rejection::Invalid(_)) => Reason::Invalid,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Encoding(_) => Reason::Encoding,
            Self::Body(_) | Self::Late(_) => Reason::Body,
            Self::TooMany(_) => Reason::RateLimit,
            Self::Unavailable(_) => Reason::Unavailable,
        }
    }

    /// When a client may come back; `None` when that would not help.
    fn retry_after(&self) -> Option<HeaderValue> {
        match self {
            Self::TooMany(RetryAfter { seconds }) => Some(HeaderValue::from(*seconds)),
            Self::Unavailable(_) => Some(RETRY_AFTER_S),
            _ => None,
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Invalid(rejection)
    }
}

impl From<RetryAfter> for Refusal {
    fn from(retry: RetryAfter) -> Self {
        Self::TooMany(retry)
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Invalid(reason) => Self::Body(format!("The record cannot be kept: {reason}.")),
            AppendError::Full(_) | AppendError::Unavailable(_) | AppendError::Closed => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let (status, body) = match self {
            Self::Invalid(rejection) => {
                let message = rejection.to_string();
                (StatusCode::BAD_REQUEST, ErrorBody { message, errors: rejection.errors().into_owned() })
            }
            Self::TooLarge { limit_bytes } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorBody::of(format!("The body is larger than {limit_bytes} bytes.")))
            }
            Self::Encoding(encoding) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorBody::of(format!("The content encoding {encoding:?} is not known here.")),
            ),
            Self::TooMany(retry) => {
                (StatusCode::TOO_MANY_REQUESTS, ErrorBody::of(format!("Too many records: {retry}.")))
            }
            Self::Body(sentence) => (StatusCode::BAD_REQUEST, ErrorBody::of(sentence)),
            Self::Late(sentence) => (StatusCode::REQUEST_TIMEOUT, ErrorBody::of(sentence)),
            Self::Unavailable(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorBody::of(format!("The record could not be made durable: {reason}.")),
            ),
        };
        let mut response = (status, Json(body)).into_response();
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_may_come_back_is_told_when() {
        let told = |refusal: Refusal| {
            let response = refusal.into_response();
            let retry_after =
                response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().expect("text").to_owned());
            (response.status().as_u16(), retry_after)
        };
        assert_eq!(told(Refusal::from(RetryAfter { seconds: 7 })), (429, Some("7".to_owned())));
        assert_eq!(told(Refusal::from(AppendError::Full("x"))), (503, Some("5".to_owned())));
        assert_eq!(told(Refusal::TooLarge { limit_bytes: 1 }), (413, None));
        assert_eq!(told(Refusal::Late(String::new())), (408, None));
    }
}
