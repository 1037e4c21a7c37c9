//! How a request of a probe is refused: the one place where the collector's errors become HTTP.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_schema::wire::{FieldError, Rejection};

use crate::journal::AppendError;

/// What a client that may come back is told to wait, in seconds. Probes ignore it, gateways and scripts do not.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");

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
    /// The body did not arrive whole, or not in time, or fits nowhere: the sentence says it.
    Body(String),
    /// Send it again later.
    Unavailable(String),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Invalid(rejection)
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
            Self::Body(sentence) => (StatusCode::BAD_REQUEST, ErrorBody::of(sentence)),
            Self::Unavailable(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorBody::of(format!("The record could not be made durable: {reason}.")),
            ),
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}
