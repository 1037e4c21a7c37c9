//! The page of filters: the frames that are never guilty, and frames of crashes that could become such.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_analytics::questions::frames::{SeenFrame, frames};
use telemetrics_schema::curation::{Frame, NAME_BYTES_MAX, State as Curated};
use telemetrics_schema::payload::guilty_id;

use super::guilty::window;
use super::name::Name;
use super::{EDIT, HISTORY, guilty_path};
use crate::api::said::Said;
use crate::error::WebError;
use crate::pages::{CRASHES_TAB, Shell, message, render, text};
use crate::state::AppState;

/// Most frames of crashes that are offered, most filters, and most hidden guilties that are shown.
pub(in crate::pages) const FRAMES_SHOWN: usize = 60;
const FILTERS_SHOWN: usize = 60;
const HIDDEN_SHOWN: usize = 30;
/// What each of these lists takes of the page at most, in bytes of HTML.
const LIST_HTML_BYTES: usize = 40_000;
/// What a row takes of the page beside its texts, in bytes.
const ROW_BYTES: usize = 220;

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "guilty_filters.html")]
pub(in crate::pages) struct FiltersPage {
    shell: Shell,
    edit: &'static str,
    history: &'static str,
    based_on: u64,
    filters: List,
    offered: List,
    hidden: Vec<Hidden>,
    hidden_left_out: usize,
    days: i64,
    name_bytes_max: usize,
}

/// Frames with a box to choose each.
#[derive(Debug, Clone, Default)]
struct List {
    rows: Vec<Row>,
    left_out: usize,
    /// Whether there are more than were counted.
    has_more: bool,
}

#[derive(Debug, Clone)]
struct Row {
    name: Name,
    /// The frame as the form sends it.
    value: String,
    note: String,
}

#[derive(Debug, Clone)]
struct Hidden {
    name: Name,
    address: String,
}

impl FiltersPage {
    /// The page of what users have said, with frames of crashes of the last `days` days.
    pub(in crate::pages) fn new(curated: &Curated, seen: &(Vec<SeenFrame>, bool), days: i64) -> Self {
        let said = &curated.curated;
        let filters = said.filters.iter().map(|frame| (frame.clone(), String::new()));
        let offered = seen.0.iter().map(|seen| (Frame::new(&*seen.function, &*seen.module), note(seen)));
        let hidden = said.hidden.iter().take(HIDDEN_SHOWN).map(|frame| Hidden {
            name: Name::from(frame),
            address: guilty_path(guilty_id(&frame.function, &frame.module)),
        });
        Self {
            shell: Shell::new("Filters", Some(CRASHES_TAB)),
            edit: EDIT,
            history: HISTORY,
            based_on: curated.sequence,
            filters: List::new(filters, FILTERS_SHOWN, false),
            offered: List::new(offered, FRAMES_SHOWN, seen.1),
            hidden: hidden.collect(),
            hidden_left_out: said.hidden.len().saturating_sub(HIDDEN_SHOWN),
            days,
            name_bytes_max: NAME_BYTES_MAX,
        }
    }
}

fn note(seen: &SeenFrame) -> String {
    let guilty_of =
        if seen.guilty_of > 0 { format!(", guilty of {}", text::thousands(seen.guilty_of)) } else { String::new() };
    format!("in {}{guilty_of}", text::records(seen.records))
}

impl List {
    /// As many rows as there is room for.
    fn new(frames: impl Iterator<Item = (Frame, String)>, rows_max: usize, has_more: bool) -> Self {
        let mut list = Self { has_more, ..Self::default() };
        let mut room_bytes = LIST_HTML_BYTES;
        for (frame, note) in frames {
            let row = serde_json::to_string(&frame).ok().map(|value| Row { name: Name::from(&frame), value, note });
            let fits = row.filter(|row| list.rows.len() < rows_max && row.html_bytes() <= room_bytes);
            match fits {
                Some(row) => {
                    room_bytes -= row.html_bytes();
                    list.rows.push(row);
                }
                None => list.left_out += 1,
            }
        }
        list
    }
}

impl Row {
    fn html_bytes(&self) -> usize {
        ROW_BYTES + self.name.html_bytes() + text::html_bytes(&self.value) + text::html_bytes(&self.note)
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    answer(&state, query.as_deref().unwrap_or_default()).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, query: &str) -> Result<Response, WebError> {
    let asked = state.ask().await?;
    let (_, window) = window(query, asked.now)?;
    let said = Said::now(state).await?;
    let seen = frames(&asked.view, said.causes(state), &window.filter, FRAMES_SHOWN).await?;
    Ok(render(StatusCode::OK, &FiltersPage::new(&said.curated, &seen, window.days)))
}
