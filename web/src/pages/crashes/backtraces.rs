//! The page of a guilty's backtraces: equal stacks together, with their frames and the guilty one.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use telemetrics_analytics::crashes::Guilty;
use telemetrics_analytics::questions::guilty::{OfStack, by_stack, stacks_of};
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
use crate::state::AppState;

/// Most stacks of the page.
pub(in crate::pages) const STACKS_SHOWN: usize = 40;
/// What their frames take of the page at most, in bytes of HTML.
const FRAMES_HTML_BYTES: usize = 100_000;

/// The stacks of a guilty.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Found {
    /// How many there are.
    pub(in crate::pages) all: usize,
    /// Those with most records.
    pub(in crate::pages) stacks: Vec<OfStack>,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "backtraces.html")]
pub(in crate::pages) struct BacktracesPage {
    shell: Shell,
    name: Name,
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
    pub(in crate::pages) fn new(given: &Given, guilty: &Guilty, found: &Found, filters: &Filters, days: i64) -> Self {
        let (path, links) = (guilty_path(guilty.id), Links::new(given, days));
        let name = Name::from(guilty);
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
            guilty: links.to(&path, &[]),
            only: Only::of(given, &format!("{path}/backtraces"), days),
            links: links.note(),
            all: text::thousands(found.all as u64),
            left_out: found.all.saturating_sub(rows.len()),
            stacks: rows,
            rotation: rotation::note(),
            pending: None,
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
    let said = Said::now(state).await?;
    let (view, causes) = (&asked.view, said.causes(state));
    let Some((guilty, stacks)) = stacks_of(view, causes, &window.filter, id).await? else {
        return Ok(nothing(&given, id, window.days));
    };
    let largest = by_stack(view, causes, &window.filter, &stacks, STACKS_SHOWN).await?;
    let found = Found { all: stacks.len(), stacks: largest };
    let mut page = BacktracesPage::new(&given, &guilty, &found, &said.filters, window.days);
    page.pending = (asked.pending > 0).then(|| text::records(asked.pending as u64));
    Ok(render(StatusCode::OK, &page))
}
