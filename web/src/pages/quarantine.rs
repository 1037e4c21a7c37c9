//! The pages of the quarantine: what is kept aside and why, one entry with its request, and what can be done with them.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use telemetrics_collector::quarantine::{Entry, Filter, Kind, QuarantineStats, Replayed, Sum, Which};
use telemetrics_schema::wire::{FieldError, decode_text};

use super::text::{self, Moment};
use super::{QUARANTINE_TAB, Shell, address, message, render};
use crate::api::quarantine::{self as api, number};
use crate::error::{InvalidParameter, WebError};
use crate::state::CollectorState;

/// Entries of a page.
pub const PAGE_ENTRIES: usize = 50;
/// Most reasons that are shown of one entry, and the longest of each in characters.
const REASONS_MAX: usize = 5;
const REASON_CHARS: usize = 200;
/// Most headers of a request that are shown, and the longest of each in characters.
const HEADERS_MAX: usize = 40;
const HEADER_CHARS: usize = 300;
/// Longest body of a request that is shown, in bytes of HTML.
const BODY_HTML_BYTES: usize = 90_000;
/// Parameters of the list, which are those of the API.
const PARAMETERS: [&str; 2] = ["kind", "before"];

/// The list. See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "quarantine.html")]
pub struct QuarantinePage {
    shell: Shell,
    totals: Vec<Total>,
    rows: Vec<Row>,
    older: Option<String>,
    can_replay_all: bool,
}

#[derive(Debug, Clone)]
struct Total {
    kind: &'static str,
    meaning: &'static str,
    entries: String,
    size: String,
    address: String,
}

/// What a list and the page of an entry show of it.
#[derive(Debug, Clone)]
struct Row {
    id: i64,
    address: String,
    kind: &'static str,
    count: String,
    first_seen: Moment,
    last_seen: Moment,
    reasons: Vec<String>,
    can_be_replayed: bool,
}

/// The page of one entry.
#[derive(Debug, Clone, Template)]
#[template(path = "quarantined.html")]
pub struct EntryPage {
    shell: Shell,
    row: Row,
    headers: Vec<(String, String)>,
    body: String,
    is_cut: bool,
    list: &'static str,
}

/// What came of a replay.
#[derive(Debug, Clone, Template)]
#[template(path = "replayed.html")]
pub struct ReplayedPage {
    shell: Shell,
    replayed: String,
    redelivered: String,
    invalid: String,
    refused: String,
    errors: Vec<(i64, Vec<String>)>,
    list: &'static str,
}

impl QuarantinePage {
    /// The page of these entries, the newest first.
    #[must_use]
    pub fn new(stats: &QuarantineStats, filter: Filter, entries: &[Entry]) -> Self {
        let totals = [(Kind::Owed, stats.owed), (Kind::Refused, stats.refused), (Kind::Evidence, stats.evidence)];
        Self {
            shell: Shell::new("Quarantine", Some(QUARANTINE_TAB)),
            totals: totals.map(|(kind, sum)| Total::new(kind, sum)).into(),
            rows: entries.iter().take(PAGE_ENTRIES).map(Row::from).collect(),
            older: entries.last().filter(|_| entries.len() >= PAGE_ENTRIES).map(|last| older(filter, last)),
            can_replay_all: stats.owed.entries + stats.refused.entries > 0,
        }
    }
}

fn older(filter: Filter, last: &Entry) -> String {
    let before = last.id.to_string();
    let kind = filter.kind.map(|kind| ("kind", kind.name()));
    address::with_query(address::QUARANTINE, kind.into_iter().chain([("before", before.as_str())]))
}

impl Total {
    fn new(kind: Kind, sum: Sum) -> Self {
        Self {
            kind: kind.name(),
            meaning: match kind {
                Kind::Owed => "Broke a rule and was answered 201: nobody else has it.",
                Kind::Refused => "Was accepted, and the store refuses it.",
                Kind::Evidence => "Was answered 400: its sender still has it.",
            },
            entries: text::thousands(sum.entries),
            size: text::bytes(sum.bytes),
            address: address::with_query(address::QUARANTINE, [("kind", kind.name())]),
        }
    }
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id.0,
            address: format!("{}/{}", address::QUARANTINE, entry.id),
            kind: entry.kind.name(),
            count: text::thousands(entry.count),
            first_seen: entry.first_seen.into(),
            last_seen: entry.last_seen.into(),
            reasons: reasons(&entry.reasons),
            can_be_replayed: entry.kind.is_promised(),
        }
    }
}

fn reasons(reasons: &[FieldError]) -> Vec<String> {
    let shown = reasons.iter().take(REASONS_MAX);
    let shown = shown.map(|error| text::line(&format!("{} {}", error.field, error.reason), REASON_CHARS));
    let more = reasons.len().saturating_sub(REASONS_MAX);
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

impl EntryPage {
    /// The page of one entry.
    #[must_use]
    pub fn new(entry: Entry) -> Self {
        let row = Row::from(&entry);
        let request = entry.request.unwrap_or_default();
        let (body, is_cut) = text::block(&decode_text(&request.body), BODY_HTML_BYTES);
        let cut = |(name, value): (String, String)| (text::line(&name, HEADER_CHARS), text::line(&value, HEADER_CHARS));
        let headers = request.headers.into_iter().take(HEADERS_MAX).map(api::shown_header).map(cut).collect();
        let shell = Shell::new(format!("Quarantine: entry {}", row.id), Some(QUARANTINE_TAB));
        Self { shell, row, headers, body, is_cut, list: address::QUARANTINE }
    }
}

impl ReplayedPage {
    /// The page with what came of a replay.
    #[must_use]
    pub fn new(replayed: &Replayed) -> Self {
        Self {
            shell: Shell::new("Replayed", Some(QUARANTINE_TAB)),
            replayed: text::records(replayed.replayed),
            redelivered: text::thousands(replayed.redelivered),
            invalid: text::thousands(replayed.invalid),
            refused: text::thousands(replayed.refused),
            errors: replayed.errors.iter().map(|error| (error.id, reasons(&error.reasons))).collect(),
            list: address::QUARANTINE,
        }
    }
}

/// Answers with the list.
pub async fn list(State(state): State<CollectorState>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    page_or_message(listed(&state, &pairs).await)
}

async fn listed(state: &CollectorState, pairs: &[(String, String)]) -> Result<Response, WebError> {
    let unknown = pairs.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str()));
    if let Some((name, _)) = unknown {
        return Err(InvalidParameter::new(name, "is not a parameter here").into());
    }
    let (filter, _) = api::parameters(pairs)?;
    let quarantine = state.collector.quarantine();
    let entries = quarantine.page(filter, PAGE_ENTRIES).await?;
    Ok(render(StatusCode::OK, &QuarantinePage::new(&quarantine.stats(), filter, &entries)))
}

/// Answers with one entry.
pub async fn show(State(state): State<CollectorState>, Path(id): Path<String>) -> Response {
    page_or_message(shown(&state, &id).await)
}

async fn shown(state: &CollectorState, id: &str) -> Result<Response, WebError> {
    let entry = state.collector.quarantine().entry(number(id)?).await?;
    Ok(render(StatusCode::OK, &EntryPage::new(entry)))
}

/// Replays one entry and answers with what came of it.
pub async fn replay_one(State(state): State<CollectorState>, Path(id): Path<String>) -> Response {
    match number(&id) {
        Ok(id) => page_or_message(replayed(&state, Which::One(id)).await),
        Err(error) => message::failed(&error),
    }
}

/// Replays every entry that is promised to its sender, and answers with what came of it.
pub async fn replay_all(State(state): State<CollectorState>) -> Response {
    page_or_message(replayed(&state, Which::All).await)
}

async fn replayed(state: &CollectorState, which: Which) -> Result<Response, WebError> {
    let replayed = state.collector.replay(which, state.admission.now().rules.clone()).await?;
    Ok(render(StatusCode::OK, &ReplayedPage::new(&replayed)))
}

/// Deletes one entry for good, and leads back to the list.
pub async fn discard(State(state): State<CollectorState>, Path(id): Path<String>) -> Response {
    page_or_message(discarded(&state, &id).await)
}

async fn discarded(state: &CollectorState, id: &str) -> Result<Response, WebError> {
    state.collector.discard(number(id)?).await?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, address::QUARANTINE)]).into_response())
}

/// Answers in a process that has no quarantine.
// The router takes only async functions as handlers.
#[allow(clippy::unused_async)]
pub async fn elsewhere() -> Response {
    let why = "This process accepts no records. Each collector has a quarantine of its own, at /api/quarantine.";
    message::failed(&WebError::NotFound(why.to_owned()))
}

fn page_or_message(answer: Result<Response, WebError>) -> Response {
    answer.unwrap_or_else(|error| message::failed(&error))
}
