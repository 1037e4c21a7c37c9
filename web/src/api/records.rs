//! `GET /api/records`: records that pass filters, newest first.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Uri, Version, header};
use axum::response::Response;
use telemetrics_analytics::questions::records::{self, Cursor, PageRequest};

use super::params::records_query;
use super::with_pending;
use crate::error::WebError;
use crate::formats::{self, Choice, Form, Format};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Answers a page of records, as JSON `{"records": [...]}`, with a `Link` to the next page when there are more.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/records",
    operation_id = "records",
    summary = "Records that pass filters",
    tag = "records",
    params(
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Page,
        parameters::FieldsOf,
        parameters::FormatOfRecords,
    ),
    responses((status = 200, description = "The records.", content((answers::Records = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"))), answers::Refused),
)]
pub async fn list(
    State(state): State<AppState>,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = records_query(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let request = PageRequest { limit: query.limit, cursor: query.cursor };
    let choice = Choice::of(query.format, &Format::ALL, &headers);
    let fields = query.fields.unwrap_or(choice.format.fields());
    let form = Form { choice, fields: Some(fields), version };
    let page = records::listing(&asked.view, &query.filter, &request, fields).await?;
    let mut response = formats::answer(&state.workers, page.rows, form, None).await?;
    if let Some(link) = page.next.and_then(|cursor| next_link(&uri, &pairs, &cursor)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(with_pending(response, asked.pending))
}

/// The same request with another cursor.
fn next_link(uri: &Uri, pairs: &[(String, String)], cursor: &Cursor) -> Option<HeaderValue> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(name, _)| name != "cursor") {
        query.append_pair(name, value);
    }
    query.append_pair("cursor", &cursor.to_string());
    HeaderValue::try_from(format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())).ok()
}
