//! The one table of URLs.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use telemetrics_collector::http::{ErrorBody, Ingest, post_record};

use crate::access::Access;
use crate::access::guard::guard;
use crate::cross_site::same_site_only;
use crate::error::WebError;
use crate::metrics::Watched;
use crate::state::{AppState, CollectorState};
use crate::{api, headers, health, metrics, openapi, pages};

/// Where the pages are: the address that people have bookmarked.
pub const PAGES: &str = "/telemetryui/";

/// What the parts of a process need to answer; a part that it does not have has no routes.
pub struct Parts {
    /// API and pages.
    pub questions: Option<AppState>,
    /// The collector and its ingest.
    pub collector: Option<(CollectorState, Ingest)>,
    /// Who may do what.
    pub access: Access,
    /// What `/metrics` tells about.
    pub watched: Watched,
}

/// Every route of the server. What each needs is in the table beside it, `route_scopes.rs`.
pub fn router(parts: Parts) -> Router {
    let mut router = Router::new().route("/healthz", get(health::live));
    router = router.merge(Router::new().route("/metrics", get(metrics::show)).with_state(parts.watched));
    let mut of_people = None;
    if let Some(state) = parts.questions {
        let views = state.views.clone();
        let quarantine = match &parts.collector {
            Some((collector, _)) => pages_of_quarantine(collector.clone()),
            None => {
                operations_of_web(state.clone()).route(pages::address::QUARANTINE, get(pages::quarantine::elsewhere))
            }
        };
        of_people = Some((quarantine.merge(edits(state.clone())).merge(questions(state)), views));
    }
    if let Some((state, ingest)) = parts.collector {
        router = router.merge(operations(state)).merge(probes(ingest));
    }
    if let Some((pages, views)) = of_people {
        // Pages have the tabs of views; what probes ask for does without, and so does who may not see them.
        router = router.merge(pages.route_layer(from_fn_with_state(views, pages::tabs::with_views)));
    }
    let router = router.route_layer(from_fn_with_state(parts.access, guard));
    router.fallback(nothing_here).method_not_allowed_fallback(other_method).layer(map_response(headers::add))
}

/// Where probes post: the addresses of all their generations.
fn probes(ingest: Ingest) -> Router {
    Router::new()
        .route("/", post(post_record))
        .route("/v2/collector", post(post_record))
        .route("/v3/collector", post(post_record))
        .with_state(Arc::new(ingest))
}

/// What operators of a collector ask.
fn operations(state: CollectorState) -> Router {
    Router::new()
        .route("/api/quarantine", get(api::quarantine::list))
        .route("/api/quarantine/replay", post(api::quarantine::replay_all))
        .route("/api/quarantine/{id}", get(api::quarantine::show).delete(api::quarantine::discard))
        .route("/api/quarantine/{id}/replay", post(api::quarantine::replay_one))
        .route("/readyz", get(health::accepts))
        .route_layer(from_fn(same_site_only))
        .with_state(state)
}

/// What people see of the collector's quarantine.
fn pages_of_quarantine(state: CollectorState) -> Router {
    use pages::quarantine::{discard, list, replay_all, replay_one, show};
    Router::new()
        .route(pages::address::QUARANTINE, get(list))
        .route("/telemetryui/quarantine/replay", post(replay_all))
        .route("/telemetryui/quarantine/{id}", get(show))
        .route("/telemetryui/quarantine/{id}/replay", post(replay_one))
        .route("/telemetryui/quarantine/{id}/discard", post(discard))
        .route_layer(from_fn(same_site_only))
        .with_state(state)
}

/// What operators of a process without a collector ask.
fn operations_of_web(state: AppState) -> Router {
    Router::new().route("/readyz", get(health::answers)).with_state(state)
}

/// What people change, from pages of this server and from scripts.
fn edits(state: AppState) -> Router {
    Router::new()
        .route("/telemetryui/crashes/guilty_edit/{action}", get(pages::crashes::act).post(pages::crashes::act))
        .route("/api/curation", post(api::curation::edit))
        .route("/api/curation/undo", post(api::curation::undo))
        .route("/api/curation/import", post(api::curation::import))
        .route_layer(from_fn(same_site_only))
        .with_state(state)
}

/// API and pages, and what leads people who follow an address for probes to the pages.
fn questions(state: AppState) -> Router {
    Router::new()
        .route("/api/openapi.json", get(openapi::show))
        .route("/api/records", get(api::records::list))
        .route("/api/records/{id}", get(api::record::show))
        .route(api::datasets::DATASETS, get(api::datasets::list))
        .route("/datasets/records/{partition}/records.parquet", get(api::datasets::file))
        .route("/api/export", get(api::export::export))
        .route("/api/sql", post(api::sql::answer).layer(DefaultBodyLimit::max(api::sql::BODY_BYTES_MAX)))
        .route("/api/builds", get(api::counts::builds))
        .route("/api/classifications", get(api::counts::classifications))
        .route("/api/platforms", get(api::counts::platforms))
        .route("/api/severities", get(api::counts::severities))
        .route("/api/trends", get(api::trends::show))
        .route("/api/population", get(api::population::show))
        .route("/api/regressions", get(api::regressions::show))
        .route("/api/crashes", get(api::crashes::list))
        .route("/api/crashes/{guilty_id}", get(api::crashes::show))
        .route("/api/crash-rate", get(api::crash_rate::show))
        .route("/api/gate", get(api::gate::show))
        .route("/api/mce", get(api::hardware::machine_checks))
        .route("/api/thermal", get(api::hardware::thermal))
        .route(api::updates::ENDPOINT, get(api::updates::show))
        .route("/api/curation", get(api::curation::show))
        .route("/api/curation/history", get(api::curation::history))
        .route("/api/curation/export", get(api::curation::export))
        .route(PAGES, get(pages::records::show))
        .route(pages::address::RECORDS, get(pages::records::show))
        .route("/telemetryui/records/{page}", get(pages::bookmarks::page))
        .route("/telemetryui/records/export/{name}", get(pages::bookmarks::export))
        .route(pages::address::RECORD, get(pages::record::show))
        .route(pages::address::BUILDS, get(pages::builds::show))
        .route(pages::address::STATS, get(pages::stats::show))
        .route(pages::crashes::CRASHES, get(pages::crashes::all))
        .route("/telemetryui/crashes/overall", get(pages::crashes::all))
        .route("/telemetryui/crashes/{build}", get(pages::crashes::of_build))
        .route("/telemetryui/crashes/guilty_details/{id}", get(pages::crashes::guilty))
        .route("/telemetryui/crashes/guilty_details/{id}/backtraces", get(pages::crashes::backtraces))
        .route("/telemetryui/crashes/guilty_edit", get(pages::crashes::filters))
        .route(pages::crashes::EDIT, get(pages::crashes::filters))
        .route(pages::crashes::HISTORY, get(pages::crashes::history))
        .route(pages::address::POPULATION, get(pages::population::show))
        .route(pages::address::MCE, get(pages::mce::show))
        .route(pages::address::THERMAL, get(pages::thermal::show))
        .route(pages::address::UPDATES, get(pages::updates::show))
        // Scripts written for the original service ask here.
        .route("/telemetryui/updates", get(api::updates::show))
        .route(pages::address::OVERVIEW, get(pages::overview::show))
        .route(pages::address::STATUS, get(pages::status::show))
        .route(pages::address::VIEW, get(pages::view::show))
        .route("/telemetryui/plugins/{name}/{file}", get(pages::view::file))
        .route(pages::address::API, get(pages::api::show))
        .route("/telemetryui/api/ask", get(pages::api::ask))
        .route(pages::address::ASSET, get(pages::assets::serve))
        .route("/telemetryui", get(to_pages))
        .route("/", get(to_pages))
        .route("/v2/collector", get(to_pages))
        .route("/v3/collector", get(to_pages))
        .with_state(state)
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
