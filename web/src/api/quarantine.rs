//! `/api/quarantine`: look at what is kept aside, replay it, discard it.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use telemetrics_collector::quarantine::{Entry, Filter, Kind, PAGE_ENTRIES_MAX, QuarantineStats, Replayed, Sum, Which};
use telemetrics_schema::wire::{FieldError, decode_text};
use telemetrics_schema::{RecordId, TimestampUs};

use super::{params, record};
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::CollectorState;

/// Header of a request whose value is nobody's business: it lets records in.
const TELEMETRY_ID_HEADER: &str = "telemetry";

#[derive(Serialize)]
struct List {
    totals: Totals,
    entries: Vec<Shown>,
}

#[derive(Serialize)]
struct Totals {
    owed: Total,
    refused: Total,
    evidence: Total,
    disk_bytes: u64,
}

#[derive(Serialize)]
struct Total {
    entries: u64,
    bytes: u64,
}

/// An entry as the API shows it.
#[derive(Serialize)]
struct Shown {
    id: i64,
    kind: Kind,
    count: u64,
    first_seen: String,
    last_seen: String,
    reasons: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request>,
}

/// A request as text: what is not UTF-8 is read as Latin-1, as in records.
#[derive(Serialize)]
struct Request {
    headers: Vec<(String, String)>,
    body: String,
}

/// `GET /api/quarantine`: entries, the newest first, with a `Link` to the next page when there may be more.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/quarantine",
    operation_id = "quarantine",
    summary = "What is kept aside",
    tag = "quarantine",
    params(
        parameters::OfQuarantine,
    ),
    responses((status = 200, description = "The entries.", body = answers::Quarantine), answers::Refused),
)]
pub async fn list(
    State(state): State<CollectorState>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let (filter, limit) = parameters(&pairs)?;
    let entries = state.collector.quarantine().page(filter, limit).await?;
    let next = entries.last().filter(|_| entries.len() == limit).and_then(|last| next_link(filter, limit, last.id));
    let totals = Totals::from(&state.collector.quarantine().stats());
    let mut response = Json(List { totals, entries: entries.into_iter().map(Shown::from).collect() }).into_response();
    if let Some(link) = next {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// `GET /api/quarantine/{id}`: one entry with its request.
///
/// # Errors
/// 404 when there is none.
#[utoipa::path(
    get,
    path = "/api/quarantine/{id}",
    operation_id = "quarantined",
    summary = "One entry",
    tag = "quarantine",
    params(
        ("id" = i64, Path, description = "Number of the entry.", minimum = 0),
    ),
    responses((status = 200, description = "The entry.", body = answers::QuarantineEntry), answers::Missing, answers::Refused),
)]
pub async fn show(State(state): State<CollectorState>, Path(id): Path<String>) -> Result<Response, WebError> {
    let entry = state.collector.quarantine().entry(number(&id)?).await?;
    Ok(Json(Shown::from(entry)).into_response())
}

/// `POST /api/quarantine/{id}/replay`: takes one entry into the store, as far as the rules allow it now.
///
/// # Errors
/// 404 when there is none, 400 for evidence, 503 when the store is slow.
#[utoipa::path(
    post,
    path = "/api/quarantine/{id}/replay",
    operation_id = "replay",
    summary = "Replay one entry",
    tag = "quarantine",
    params(
        ("id" = i64, Path, description = "Number of the entry.", minimum = 0),
    ),
    responses((status = 200, description = "What came of it.", body = answers::Replayed), answers::Missing, answers::Refused),
)]
pub async fn replay_one(
    State(state): State<CollectorState>,
    Path(id): Path<String>,
) -> Result<Json<Replayed>, WebError> {
    let which = Which::One(number(&id)?);
    Ok(Json(state.collector.replay(which, state.admission.now().rules.clone()).await?))
}

/// `POST /api/quarantine/replay`: the same for every entry that is promised to its sender.
///
/// # Errors
/// 503 when the store is slow; the replay goes on then.
#[utoipa::path(
    post,
    path = "/api/quarantine/replay",
    operation_id = "replay_all",
    summary = "Replay all entries",
    tag = "quarantine",
    responses((status = 200, description = "What came of it.", body = answers::Replayed), answers::Refused),
)]
pub async fn replay_all(State(state): State<CollectorState>) -> Result<Json<Replayed>, WebError> {
    Ok(Json(state.collector.replay(Which::All, state.admission.now().rules.clone()).await?))
}

/// `DELETE /api/quarantine/{id}`: deletes one entry for good.
///
/// # Errors
/// 404 when there is none, 400 while it is being replayed, 503 while the rest of a refused record's batch is on its way.
#[utoipa::path(
    delete,
    path = "/api/quarantine/{id}",
    operation_id = "discard",
    summary = "Discard one entry",
    tag = "quarantine",
    params(
        ("id" = i64, Path, description = "Number of the entry.", minimum = 0),
    ),
    responses((status = 204, description = "It is gone."), answers::Missing, answers::Refused),
)]
pub async fn discard(State(state): State<CollectorState>, Path(id): Path<String>) -> Result<StatusCode, WebError> {
    state.collector.discard(number(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the number of an entry.
pub(crate) fn number(text: &str) -> Result<RecordId, WebError> {
    record::parse(text).ok_or_else(|| WebError::NotFound(format!("There is no entry {text} in the quarantine.")))
}

/// Reads the parameters of a list.
pub(crate) fn parameters(pairs: &params::Pairs) -> Result<(Filter, usize), InvalidParameter> {
    let (mut filter, mut limit) = (Filter::default(), PAGE_ENTRIES_MAX);
    params::no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "kind" => filter.kind = Some(kind(name, value)?),
            "limit" => limit = params::limit(name, value, PAGE_ENTRIES_MAX)?,
            "before" => {
                let before = record::parse(value);
                filter.before =
                    Some(before.ok_or_else(|| InvalidParameter::new(name, "must be the number of an entry"))?);
            }
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
    }
    Ok((filter, limit))
}

fn kind(name: &str, value: &str) -> Result<Kind, InvalidParameter> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == value);
    kind.ok_or_else(|| InvalidParameter::new(name, "must be owed, refused or evidence"))
}

fn next_link(filter: Filter, limit: usize, last: RecordId) -> Option<HeaderValue> {
    let kind = filter.kind.map_or_else(String::new, |kind| format!("kind={}&", kind.name()));
    HeaderValue::try_from(format!("</api/quarantine?{kind}limit={limit}&before={last}>; rel=\"next\"")).ok()
}

impl From<&QuarantineStats> for Totals {
    fn from(stats: &QuarantineStats) -> Self {
        let total = |sum: Sum| Total { entries: sum.entries, bytes: sum.bytes };
        Self {
            owed: total(stats.owed),
            refused: total(stats.refused),
            evidence: total(stats.evidence),
            disk_bytes: stats.disk_bytes,
        }
    }
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        let instant = |at: TimestampUs| at.to_string();
        let request = entry.request.map(|request| Request {
            headers: request.headers.into_iter().map(shown_header).collect(),
            body: decode_text(&request.body).into_owned(),
        });
        Self {
            id: entry.id.0,
            kind: entry.kind,
            count: entry.count,
            first_seen: instant(entry.first_seen),
            last_seen: instant(entry.last_seen),
            reasons: entry.reasons,
            request,
        }
    }
}

/// A header as text, without what is nobody's business.
pub(crate) fn shown_header((name, value): (String, Vec<u8>)) -> (String, String) {
    let is_secret = name.to_ascii_lowercase().contains(TELEMETRY_ID_HEADER);
    let value = if is_secret { "(not shown)".to_owned() } else { decode_text(&value).into_owned() };
    (name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Filter, usize), InvalidParameter> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        parameters(&pairs)
    }

    #[test]
    fn parameters_are_read_or_named() {
        let expected = Filter { kind: Some(Kind::Refused), before: Some(RecordId(7)) };
        assert_eq!(read("kind=refused&before=7&limit=3"), Ok((expected, 3)));
        assert_eq!(read(""), Ok((Filter::default(), PAGE_ENTRIES_MAX)));
        assert_eq!(read(&format!("limit={PAGE_ENTRIES_MAX}")), read(""));
        for bad in ["kind=other", "kind=", "before=x", "limit=0", "limit=101", "page=1", "limit=1&limit=1"] {
            let error = read(bad).expect_err(bad);
            assert_eq!(Some(error.name.as_str()), bad.split('=').next(), "{bad}");
        }
    }

    #[test]
    fn a_next_page_asks_for_the_same() {
        let filter = Filter { kind: Some(Kind::Owed), before: None };
        let link = next_link(filter, 5, RecordId(9)).expect("a link");
        assert_eq!(link, "</api/quarantine?kind=owed&limit=5&before=9>; rel=\"next\"");
    }
}
