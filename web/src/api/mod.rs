//! The API for scripts: one endpoint a file.

mod aggregation;
pub mod counts;
pub mod crash_rate;
pub mod crashes;
pub mod curation;
pub mod datasets;
pub mod export;
mod filters;
pub mod gate;
pub mod hardware;
pub mod params;
pub mod population;
pub mod quarantine;
pub mod ranges;
pub mod record;
pub mod records;
pub mod regressions;
pub mod said;
pub mod sql;
pub mod trends;
pub mod updates;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// How many acknowledged records an answer lacks.
pub const PENDING: HeaderName = HeaderName::from_static("x-telemetrics-pending");

/// Says in the answer that acknowledged records are missing from it, when some are.
pub(crate) fn with_pending(mut response: Response, pending: usize) -> Response {
    if pending > 0 {
        response.headers_mut().insert(PENDING, HeaderValue::from(pending));
    }
    response
}
