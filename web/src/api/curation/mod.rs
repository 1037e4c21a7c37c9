//! `/api/curation`: what users curate, its history, and edits of it.
//!
//! An edit names the entry that it is based on (`based_on`, the `sequence` of the state that somebody looked at), and is
//! answered 409 when the history went on meanwhile. Bodies are JSON or what forms send.

mod body;
mod shown;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use telemetrics_schema::curation::export as exported;

use super::params::{self, Pairs};
use crate::access::guard::SignedIn;
use crate::curation::{CurationError, PAGE_ENTRIES_MAX};
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, curation as described};
use crate::state::AppState;
use shown::{Page, Saved, Shown};

/// The entry that an export is the state of: what an import is based on. Not in the file, which is equal for equal states.
pub const SEQUENCE: HeaderName = HeaderName::from_static("x-telemetrics-sequence");

const NDJSON: &str = "application/x-ndjson";

/// `GET /api/curation`: `{"sequence", "rules_id", "filters": [{"function", "module"}, ...], "comments", "hidden"}`.
///
/// # Errors
/// 503 when the store cannot be read.
#[utoipa::path(
    get,
    path = "/api/curation",
    operation_id = "curation",
    summary = "What holds",
    tag = "curation",
    responses((status = 200, description = "The state.", body = described::Curated), answers::Refused),
)]
pub async fn show(State(state): State<AppState>) -> Result<Response, WebError> {
    let state = state.curation.state().await?;
    Ok(Json(Shown::of(&state)).into_response())
}

/// `GET /api/curation/history`: entries, the newest first, with a `Link` to the next page when there are more.
///
/// # Errors
/// 400 names the parameter that cannot be used, 503 when the store cannot be read.
#[utoipa::path(
    get,
    path = "/api/curation/history",
    operation_id = "curation_history",
    summary = "Who changed what",
    tag = "curation",
    params(described::OfHistory),
    responses((status = 200, description = "The entries.", body = described::History), answers::Refused),
)]
pub async fn history(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let (before, limit) = page_parameters(&pairs)?;
    let page = state.curation.history(before, limit).await?;
    let last = page.entries.last().filter(|_| page.has_more).map(|last| last.entry.sequence);
    let mut response = Json(Page::of(page)).into_response();
    if let Some(link) = last.and_then(|last| next_link(limit, last)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// `GET /api/curation/export`: the state as a file for `POST /api/curation/import`.
///
/// # Errors
/// 503 when the store cannot be read.
#[utoipa::path(
    get,
    path = "/api/curation/export",
    operation_id = "curation_export",
    summary = "What holds, as a file to review",
    tag = "curation",
    responses((status = 200, description = "A line of JSON for each thing.", content((String = "application/x-ndjson"))), answers::Refused),
)]
pub async fn export(State(state): State<AppState>) -> Result<Response, WebError> {
    let state = state.curation.state().await?;
    let file = exported(&state.curated).map_err(|error| CurationError::Unavailable(error.to_string()))?;
    let mut response = ([(header::CONTENT_TYPE, NDJSON)], file).into_response();
    response.headers_mut().insert(SEQUENCE, HeaderValue::from(state.sequence));
    Ok(response)
}

/// `POST /api/curation`: saves changes, all of them or none, and answers `{"sequence", "rules_id"}`.
///
/// # Errors
/// 400 when they cannot be made, 409 when they are based on another entry than the last, 503 when they cannot be saved.
#[utoipa::path(
    post,
    path = "/api/curation",
    operation_id = "curate",
    summary = "Change something",
    tag = "curation",
    request_body(content = described::Edit, content_type = "application/json"),
    responses((status = 200, description = "It is saved.", body = described::Saved), described::NotSaved),
)]
pub async fn edit(
    State(state): State<AppState>,
    signed_in: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Saved>, WebError> {
    let edit = body::edit(&headers, body).await?;
    Ok(Saved::of(&*state.curation.edit(edit.based_on, edit.what, signed_in.or_said(edit.who)).await?))
}

/// `POST /api/curation/undo`: takes an entry back, and answers as [`edit`].
///
/// # Errors
/// As those of [`edit`].
#[utoipa::path(
    post,
    path = "/api/curation/undo",
    operation_id = "curation_undo",
    summary = "Take an entry back",
    tag = "curation",
    request_body(content = described::Undo, content_type = "application/json"),
    responses((status = 200, description = "It is saved.", body = described::Saved), described::NotSaved),
)]
pub async fn undo(
    State(state): State<AppState>,
    signed_in: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Saved>, WebError> {
    let edit = body::undo(&headers, body).await?;
    Ok(Saved::of(&*state.curation.edit(edit.based_on, edit.what, signed_in.or_said(edit.who)).await?))
}

/// `POST /api/curation/import?based_on=N&mode=replace|add`: saves what a file says as one entry, and answers as [`edit`].
///
/// # Errors
/// As those of [`edit`]; what cannot be used of the file is named with its line.
#[utoipa::path(
    post,
    path = "/api/curation/import",
    operation_id = "curation_import",
    summary = "Make it as a file says",
    tag = "curation",
    params(described::OfImport),
    request_body(content = String, content_type = "text/plain"),
    responses((status = 200, description = "It is saved, or was so already.", body = described::Saved), described::NotSaved),
)]
pub async fn import(
    State(state): State<AppState>,
    Query(pairs): Query<Vec<(String, String)>>,
    signed_in: SignedIn,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Saved>, WebError> {
    let import = body::import(pairs, &headers, body).await?;
    let who = signed_in.or_said(import.who);
    Ok(Saved::of(&*state.curation.import(import.based_on, import.file, import.mode, who).await?))
}

fn page_parameters(pairs: &Pairs) -> Result<(Option<u64>, usize), InvalidParameter> {
    let (mut before, mut limit) = (None, PAGE_ENTRIES_MAX);
    params::no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => limit = params::limit(name, value, PAGE_ENTRIES_MAX)?,
            "before" => before = Some(body::sequence(name, value)?),
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
    }
    Ok((before, limit))
}

fn next_link(limit: usize, last: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("</api/curation/history?limit={limit}&before={last}>; rel=\"next\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_a_page_are_read_or_named() {
        let read = |text: &str| {
            let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
            page_parameters(&pairs)
        };
        assert_eq!(read(""), Ok((None, PAGE_ENTRIES_MAX)));
        assert_eq!(read(&format!("before=7&limit={PAGE_ENTRIES_MAX}")), Ok((Some(7), PAGE_ENTRIES_MAX)));
        for bad in ["before=x", "before=-1", "limit=0", "limit=101", "page=1", "limit=1&limit=1"] {
            assert_eq!(Some(read(bad).expect_err(bad).name.as_str()), bad.split('=').next(), "{bad}");
        }
        assert_eq!(next_link(5, 9).expect("a link"), "</api/curation/history?limit=5&before=9>; rel=\"next\"");
    }
}
