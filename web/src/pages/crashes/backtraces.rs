//! The page of a guilty's backtraces: equal stacks together, with their frames and the guilty one.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::crashes::Guilty;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::guilty::{OfStack, by_stack, stacks_of};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::payload::Filters;

use super::guilty::{guilty_id, nothing, window};
use super::guilty_path;
use super::links::{Links, Only};
use super::name::{FrameRow, Name, frame_rows};
use crate::api::said::Said;
use crate::error::WebError;
use crate::pages::query::Given;
use crate::pages::text::{self, Moment};
use crate::pages::{CRASHES_TAB, Shell, message, render, rotation};
use crate::state::{AppState, Asked};

/// Most stacks of the page.
pub(in crate::pages) const STACKS_SHOWN: usize = 40;
/// What their frames take of the page at most, in bytes of HTML.
const FRAMES_HTML_BYTES: usize = 100_000;

/// The stacks of a guilty.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Found {
    pub(in crate::pages) guilty: Guilty,
    /// How many there are.
    pub(in crate::pages) all: usize,
    /// Those with most records.
    pub(in crate::pages) stacks: Vec<OfStack>,
    /// Acknowledged records that are not counted.
    pub(in crate::pages) pending: usize,
    /// When it was read.
    pub(in crate::pages) as_of: TimestampUs,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "backtraces.html")]
pub(in crate::pages) struct BacktracesPage {
    shell: Shell,
    name: Name,
    as_of: String,
    guilty: String,
    only: Option<Only>,
    /// What readers have to know of the links.
    links: Option<&'static str>,
    stacks: Vec<StackRow>,
    all: String,
    left_out: usize,
    rotation: String,
    pending: Option<String>,
}

#[derive(Debug, Clone)]
struct StackRow {
    records: String,
    machines: String,
    builds: String,
    first_seen: Moment,
    last_seen: Moment,
    frames: Vec<FrameRow>,
    left_out: usize,
    why: &'static str,
}

impl BacktracesPage {
    /// The page of a guilty with the stacks of `found`.
    pub(in crate::pages) fn new(given: &Given, found: &Found, filters: &Filters, days: i64) -> Self {
        let (path, links) = (guilty_path(found.guilty.id), Links::new(given, days));
        let name = Name::from(&found.guilty);
        let mut room_bytes = FRAMES_HTML_BYTES;
        let mut rows = Vec::new();
        for of in &found.stacks {
            let row = StackRow::new(of, filters, days, &mut room_bytes);
            if row.left_out > 0 && !rows.is_empty() {
                break;
            }
            rows.push(row);
        }
        Self {
            shell: Shell::new(format!("Backtraces: {}", name.function), Some(CRASHES_TAB)),
            name,
            as_of: found.as_of.to_string(),
            guilty: links.to(&path, &[]),
            only: Only::of(given, &format!("{path}/backtraces"), days),
            links: links.note(),
            all: text::thousands(found.all as u64),
            left_out: found.all.saturating_sub(rows.len()),
            stacks: rows,
            rotation: rotation::note(),
            pending: (found.pending > 0).then(|| text::records(found.pending as u64)),
        }
    }
}

impl StackRow {
    fn new(of: &OfStack, filters: &Filters, days: i64, room_bytes: &mut usize) -> Self {
        let guilty = of.stack.guilty(filters);
        let frames = of.stack.frames.iter().map(|frame| (&*frame.function, &*frame.module, &*frame.source));
        let (frames, left_out) = frame_rows(frames, guilty.as_ref().map(|(place, ..)| *place), filters, room_bytes);
        Self {
            records: text::records(of.records),
            machines: rotation::machines(of.machines, days),
            builds: text::thousands(of.builds),
            first_seen: of.first_seen.into(),
            last_seen: of.last_seen.into(),
            frames,
            left_out,
            why: guilty.map_or("", |(_, _, why)| why.text()),
        }
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Path(id): Path<String>, uri: Uri) -> Response {
    answer(&state, &id, uri.query().unwrap_or_default()).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, id: &str, query: &str) -> Result<Response, WebError> {
    let id = guilty_id(id)?;
    let asked = state.ask().await?;
    let (given, window) = window(query, asked.now)?;
    let said = Arc::new(Said::now(state).await?);
    let make = || {
        let (state, asked, filter, said) = (state.clone(), asked.clone(), window.filter.clone(), Arc::clone(&said));
        async move { find(&state, &asked, &filter, &said, id).await }.boxed()
    };
    let found = state.kept.backtraces.get(&(id, given.clone()), asked.now, said.curated.sequence, make).await?.answer;
    let Some(found) = found.as_ref() else { return Ok(nothing(&given, id, window.days)) };
    Ok(render(StatusCode::OK, &BacktracesPage::new(&given, found, &said.filters, window.days)))
}

/// The stacks of the guilty; `None` when no crash has it.
async fn find(
    state: &AppState,
    asked: &Asked,
    filter: &RecordFilter,
    said: &Said,
    id: i64,
) -> Result<Option<Found>, WebError> {
    let (view, causes) = (&asked.view, said.causes(state));
    let Some((guilty, stacks)) = stacks_of(view, causes, filter, id).await? else { return Ok(None) };
    let largest = by_stack(view, causes, filter, &stacks, STACKS_SHOWN).await?;
    Ok(Some(Found { guilty, all: stacks.len(), stacks: largest, pending: asked.pending, as_of: asked.now }))
}
