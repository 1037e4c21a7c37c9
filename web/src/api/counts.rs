//! `GET /api/builds`, `/api/classifications`, `/api/platforms`, `/api/severities`: how many records there are of each.
//!
//! The rows are the largest first. Without a window in the filters they are about everything that is retained.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use telemetrics_analytics::questions::counts::counts;
use telemetrics_analytics::questions::keys::Dimension;

use super::aggregation::{self, Table, values};
use super::params::Pairs;
use super::with_pending;
use crate::error::WebError;
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// `{"rows": [{"system_name", "build", "records"}, ...]}`: builds of different systems may have equal names.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/builds",
    operation_id = "builds",
    summary = "Records by build",
    tag = "aggregations",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::BuildRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn builds(
    state: State<AppState>,
    headers: HeaderMap,
    pairs: Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    counted(&state, &headers, &pairs, Dimension::Build).await
}

/// `{"rows": [{"classification", "records"}, ...]}`.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/classifications",
    operation_id = "classifications",
    summary = "Records by class",
    tag = "aggregations",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::ClassificationRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn classifications(
    state: State<AppState>,
    headers: HeaderMap,
    pairs: Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    counted(&state, &headers, &pairs, Dimension::Classification).await
}

/// `{"rows": [{"host_type", "records"}, ...]}`.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/platforms",
    operation_id = "platforms",
    summary = "Records by hardware",
    tag = "aggregations",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::PlatformRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn platforms(
    state: State<AppState>,
    headers: HeaderMap,
    pairs: Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    counted(&state, &headers, &pairs, Dimension::Platform).await
}

/// `{"rows": [{"severity", "records"}, ...]}`.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/severities",
    operation_id = "severities",
    summary = "Records by severity",
    tag = "aggregations",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::SeverityRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn severities(
    state: State<AppState>,
    headers: HeaderMap,
    pairs: Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    counted(&state, &headers, &pairs, Dimension::Severity).await
}

async fn counted(state: &AppState, headers: &HeaderMap, pairs: &Pairs, by: Dimension) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = aggregation::read(pairs, now, &mut |_, _| Ok(false))?;
    let asked = state.ask_at(now).await?;
    let counts = counts(&asked.view, &query.filter, by, query.limit).await?;
    let mut table = Table::new(by.columns().iter().copied().chain(["records"]));
    for group in counts.groups {
        table.push(values(group.key).into_iter().chain([group.records.into()]));
    }
    table.has_more(counts.has_more);
    Ok(with_pending(table.into_response(query.format(headers)), asked.pending))
}
