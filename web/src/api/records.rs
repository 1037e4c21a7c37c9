//! `GET /api/records`: records that pass filters, newest first.

use axum::extract::{Query, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use telemetrics_analytics::questions::records::{self, Cursor, PageRequest};
use telemetrics_schema::Record;
use telemetrics_schema::answer::{Fields, write_json};

use super::params::records_query;
use super::with_pending;
use crate::error::WebError;
use crate::state::AppState;

/// Answers `{"records": [...]}`, with a `Link` to the next page when there are more.
///
/// # Errors
/// 400 names the parameter that cannot be used.
pub async fn list(
    State(state): State<AppState>,
    uri: Uri,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = records_query(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let request = PageRequest { limit: query.limit, cursor: query.cursor };
    let page = records::page(&asked.view, &query.filter, &request).await?;
    let body = body(&page.records, query.fields);
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(link) = page.older.and_then(|cursor| next_link(&uri, &pairs, cursor)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(with_pending(response, asked.pending))
}

fn body(records: &[Record], fields: Fields) -> Vec<u8> {
    let mut body = Vec::with_capacity(records.iter().map(|record| record.text_bytes() + 512).sum());
    body.extend_from_slice(b"{\"records\":[");
    for (i, record) in records.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        write_json(record, &fields, &mut body);
    }
    body.extend_from_slice(b"]}");
    body
}

/// The same request with another cursor.
fn next_link(uri: &Uri, pairs: &[(String, String)], cursor: Cursor) -> Option<HeaderValue> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(name, _)| name != "cursor") {
        query.append_pair(name, value);
    }
    query.append_pair("cursor", &cursor.to_string());
    HeaderValue::try_from(format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())).ok()
}
