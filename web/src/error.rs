//! Errors of API and pages, and the one place where they become HTTP.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_analytics::Error;
use telemetrics_collector::http::ErrorBody;
use telemetrics_collector::quarantine::QuarantineFault;
use telemetrics_schema::wire::FieldError;

use crate::curation::CurationError;
use crate::request_id::{self, RequestId};

/// Seconds after which what is not available now may be asked for again.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");
/// Makes a browser ask for a name and a password, which it sends as UTF-8 and keeps for this server.
const PASSWORD_CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"telemetrics\", charset=\"UTF-8\"");
const TOKEN_CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"telemetrics\"");

/// Why a request was not answered, by what the client has to do.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Ask something else.
    #[error("{0}")]
    Invalid(InvalidParameter),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done with this thing.
    #[error("{0}.")]
    Impossible(String),
    /// Say who you are.
    #[error("{0}")]
    Unidentified(Challenge),
    /// Not from there, or not you.
    #[error("{0}.")]
    Denied(String),
    /// You were wrong too often: wait.
    #[error("There were too many wrong passwords or tokens from this address: try again in {seconds} s.")]
    TooOften {
        /// Whole seconds, at least one.
        seconds: u64,
    },
    /// Load again and decide again: somebody was faster.
    #[error("{0}.")]
    Conflict(String),
    /// Try again later.
    #[error("{0}.")]
    Unavailable(String),
    /// The question failed.
    #[error(transparent)]
    Question(#[from] Error),
}

/// How one can say who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// Whether there are names and passwords, beside tokens.
    pub has_users: bool,
}

impl std::fmt::Display for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ways = if self.has_users { "a name and a password, or with a token" } else { "a token" };
        write!(f, "Sign in with {ways} that this server knows.")
    }
}

/// A query parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {reason}.")]
pub struct InvalidParameter {
    /// Name of the parameter as it was given.
    pub name: String,
    /// What is wrong with it, as the rest of a sentence.
    pub reason: String,
}

impl InvalidParameter {
    /// `name` as it was given and the rest of a sentence about it.
    pub fn new(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), reason: reason.into() }
    }
}

impl From<InvalidParameter> for WebError {
    fn from(parameter: InvalidParameter) -> Self {
        Self::Invalid(parameter)
    }
}

impl From<QuarantineFault> for WebError {
    fn from(fault: QuarantineFault) -> Self {
        match fault {
            QuarantineFault::NotFound(_) => Self::NotFound(format!("{}.", sentence(&fault))),
            QuarantineFault::Invalid(_) => Self::Impossible(sentence(&fault)),
            QuarantineFault::Full(_) | QuarantineFault::Unavailable(_) | QuarantineFault::Closed => {
                Self::Unavailable(sentence(&fault))
            }
        }
    }
}

impl From<CurationError> for WebError {
    fn from(error: CurationError) -> Self {
        match error {
            CurationError::Invalid(_) => Self::Impossible(sentence(&error)),
            CurationError::Conflict { .. } => Self::Conflict(sentence(&error)),
            CurationError::Unavailable(_) => Self::Unavailable(sentence(&error)),
        }
    }
}

/// The text of an error as the beginning of a sentence.
fn sentence(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The body of an error.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    body: ErrorBody,
    /// What the operator finds the reason by, where it is his to find.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
}

impl WebError {
    /// The id of the request that failed, where the server is to blame.
    fn request_id(&self) -> Option<RequestId> {
        self.status().is_server_error().then(request_id::current).flatten()
    }

    /// What people are told.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self.request_id() {
            Some(id) => {
                let reason = self.to_string();
                format!("{}. The log of the server says more about the request {id}.", reason.trim_end_matches('.'))
            }
            None => self.to_string(),
        }
    }

    /// The status that tells the client what to do.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::Impossible(_) | Self::Question(Error::Invalid(_)) => StatusCode::BAD_REQUEST,
            Self::Unidentified(_) => StatusCode::UNAUTHORIZED,
            Self::Denied(_) => StatusCode::FORBIDDEN,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Question(Error::TooMuch(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) | Self::Question(Error::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Question(Error::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Puts the headers of this error into its answer: when to come back, and how to sign in.
    pub fn mark(&self, headers: &mut HeaderMap) {
        match self {
            Self::Unidentified(challenge) => {
                if challenge.has_users {
                    headers.append(header::WWW_AUTHENTICATE, PASSWORD_CHALLENGE);
                }
                headers.append(header::WWW_AUTHENTICATE, TOKEN_CHALLENGE);
            }
            Self::TooOften { seconds } => _ = headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds)),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER_S);
            }
            _ => {}
        }
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::error!(error = %self, "a request failed");
        }
        let request_id = self.request_id();
        let errors = match &self {
            Self::Invalid(p) => vec![FieldError { field: p.name.clone(), reason: p.reason.clone() }],
            _ => Vec::new(),
        };
        let mut response =
            (status, Json(Told { body: ErrorBody { message: self.to_string(), errors }, request_id })).into_response();
        self.mark(response.headers_mut());
        response
    }
}
