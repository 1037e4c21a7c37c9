//! `GET /api/records/{id}`: one record.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use telemetrics_analytics::questions::records;
use telemetrics_schema::RecordId;
use telemetrics_schema::answer::{Fields, write_json};

use super::with_pending;
use crate::error::WebError;
use crate::openapi::answers;
use crate::state::AppState;

/// Answers the record.
///
/// # Errors
/// 404 when there is no record with this identifier, or the text is no identifier.
#[utoipa::path(
    get,
    path = "/api/records/{id}",
    operation_id = "record",
    summary = "One record",
    tag = "records",
    params(
        ("id" = i64, Path, description = "Number of the record.", minimum = 0),
    ),
    responses((status = 200, description = "The record.", body = answers::Record), answers::Missing, answers::Refused),
)]
pub async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let record = match parse(&id) {
        Some(id) => records::one(&asked.view, id).await?,
        None => None,
    };
    let record = record.ok_or_else(|| WebError::NotFound(format!("There is no record {id}.")))?;
    let mut body = Vec::new();
    write_json(&record, &Fields::all(), &mut body);
    let response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    Ok(with_pending(response, asked.pending))
}

/// Reads an identifier as it stands in a URL.
pub(crate) fn parse(text: &str) -> Option<RecordId> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let id = if digits { text.parse().ok()? } else { return None };
    (id <= RecordId::MAX.0).then_some(RecordId(id))
}
