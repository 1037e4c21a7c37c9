//! The one table of URLs.

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use telemetrics_collector::http::{ErrorBody, Ingest, post_record};

use crate::error::WebError;
use crate::state::AppState;
use crate::{api, health, metrics, pages};

/// Where the pages are: the address that people have bookmarked.
pub const PAGES: &str = "/telemetryui/";

/// Every route of the server.
pub fn router(state: AppState, ingest: Ingest) -> Router {
    let questions = Router::new()
        .route("/api/records", get(api::records::list))
        .route("/api/records/{id}", get(api::record::show))
        .route("/api/quarantine", get(api::quarantine::list))
        .route("/api/quarantine/replay", post(api::quarantine::replay_all))
        .route("/api/quarantine/{id}", get(api::quarantine::show).delete(api::quarantine::discard))
        .route("/api/quarantine/{id}/replay", post(api::quarantine::replay_one))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route(PAGES, get(pages::records::show))
        .route(pages::address::RECORDS, get(pages::records::show))
        .route(pages::address::RECORD, get(pages::record::show))
        .route("/telemetryui", get(to_pages))
        .with_state(state);
    let collector = Router::new()
        .route("/", post(post_record).get(to_pages))
        .route("/v2/collector", post(post_record).get(to_pages))
        .route("/v3/collector", post(post_record).get(to_pages))
        .with_state(ingest);
    Router::new()
        .merge(questions)
        .merge(collector)
        .route("/healthz", get(health::live))
        .route(pages::address::ASSET, get(pages::assets::serve))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
}

/// 302, and not 303 or 307, because that is what the original answered.
async fn to_pages() -> Response {
    (StatusCode::FOUND, [(header::LOCATION, PAGES)]).into_response()
}

/// People get a page, scripts get JSON.
async fn nothing_here(uri: Uri) -> Response {
    let error = WebError::NotFound("There is nothing at this address.".to_owned());
    if uri.path().starts_with(PAGES) { pages::message::failed(&error) } else { error.into_response() }
}

async fn other_method() -> Response {
    let message = "This address does not answer to this method.";
    (StatusCode::METHOD_NOT_ALLOWED, axum::Json(ErrorBody::of(message))).into_response()
}
