//! The one table of URLs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use telemetrics_collector::http::{ErrorBody, Ingest, post_record};
use tower::ServiceExt;

use crate::access::Access;
use crate::access::guard::guard;
use crate::aside::{self, Aside};
use crate::cross_site::same_site_only;
use crate::error::WebError;
use crate::metrics::Watched;
use crate::state::{AppState, CollectorState};
use crate::{api, headers, health, metrics, openapi, pages};

/// Where the pages are: the address that people have bookmarked.
pub const PAGES: &str = "/telemetryui/";

/// Where probes post: the addresses of all their generations.
pub const PROBES: [&str; 3] = ["/", "/v2/collector", "/v3/collector"];

/// What the parts of a process need to answer; a part that it does not have has no routes.
pub struct Parts {
    /// API and pages.
    pub questions: Option<AppState>,
    /// Threads for them, where this one takes records.
    pub(crate) aside: Option<Arc<Aside>>,
    /// The collector and its ingest.
    pub collector: Option<(CollectorState, Ingest)>,
    /// Who may do what.
    pub access: Access,
    /// What `/metrics` tells about.
    pub watched: Watched,
}

/// What answers requests.
#[derive(Clone)]
pub struct Routes {
    /// What the addresses of probes are posted to.
    ingest: Option<Arc<Ingest>>,
    router: Router,
}

impl Routes {
    /// Those of the parts that a process has.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let ingest = parts.collector.as_ref().map(|(_, ingest)| Arc::new(ingest.clone()));
        Self { ingest, router: router(parts) }
    }

    /// Those of a test.
    #[cfg(test)]
    pub(crate) const fn of(router: Router) -> Self {
        Self { ingest: None, router }
    }

    /// The answer to `request`.
    ///
    /// What a probe posts goes straight to its handler: finding the route, and asking each layer before it, would take a
    /// twelfth of the processor time of a record, and none of them has anything to say about it (see `probes`).
    pub async fn answer(&self, request: Request) -> Response {
        match &self.ingest {
            Some(ingest) if is_of_probe(&request) => {
                let ingest = State(Arc::clone(ingest));
                headers::add(post_record(ingest, request).await.into_response()).await
            }
            _ => self.router.clone().oneshot(request).await.into_response(),
        }
    }
}

/// Whether a request brings records.
pub(crate) fn is_of_probe<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && PROBES.contains(&request.uri().path())
}

/// Every route of the server. What each needs is in the table beside it, `route_scopes.rs`.
fn router(parts: Parts) -> Router {
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
        let mut answered = edits(state.clone()).merge(statements(state.clone())).merge(questions(state));
        if let Some(aside) = parts.aside {
            answered = answered.route_layer(from_fn_with_state(aside, aside::answer));
        }
        of_people = Some((quarantine.merge(answered), views));
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

/// Where probes post. [`Routes::answer`] calls the same handler for them; what needs nothing passes the guard anyway, and
/// here they are for the answers to other methods.
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

/// Statements change nothing, but they cost what no other question does, and a form of any site could send one.
fn statements(state: AppState) -> Router {
    Router::new()
        .route("/api/sql", post(api::sql::answer).layer(DefaultBodyLimit::max(api::sql::BODY_BYTES_MAX)))
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
