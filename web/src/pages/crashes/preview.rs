//! The page that says what an edit would do, before anything is saved.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::regrouped::regrouped;
use telemetrics_analytics::regroup::{Change as GroupChange, Kind, Part};
use telemetrics_schema::curation::{Change, Frame, WHO_CHARS_MAX, What, differences};

use super::EDIT;
use super::edit::{Action, Wish};
use super::history::change_line;
use super::name::Name;
use crate::api::updates::within;
use crate::error::{InvalidParameter, WebError};
use crate::pages::{CRASHES_TAB, Shell, render, rotation, text};
use crate::state::AppState;

/// Most changes of what users say that are listed.
const LINES_SHOWN: usize = 30;
/// Most groups that are listed.
pub(in crate::pages) const PARTS_SHOWN: usize = 60;
/// What the form may hold of frames, in bytes of HTML: a page has a limit.
const FORM_HTML_BYTES: usize = 40_000;

/// What the edit would do.
#[derive(Debug, Clone)]
pub(in crate::pages) struct Found {
    /// The entry that the edit is made from.
    pub(in crate::pages) based_on: u64,
    /// What users would say that they do not say now.
    pub(in crate::pages) changes: Vec<Change>,
    /// What would become of groups.
    pub(in crate::pages) groups: Vec<GroupChange>,
    /// Crashes that were looked at.
    pub(in crate::pages) records: u64,
}

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "preview.html")]
pub(in crate::pages) struct PreviewPage {
    shell: Shell,
    lines: Vec<String>,
    lines_left_out: usize,
    summary: String,
    groups: Vec<GroupRows>,
    groups_left_out: usize,
    rotation: String,
    save: SaveForm,
    back: &'static str,
    pending: Option<String>,
}

#[derive(Debug, Clone)]
struct GroupRows {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    name: Name,
    fate: &'static str,
    records: [String; 2],
    machines: [String; 2],
}

/// The form that saves it.
#[derive(Debug, Clone)]
struct SaveForm {
    address: String,
    based_on: u64,
    frames: Vec<String>,
    entry: Option<u64>,
    who: String,
    is_signed_in: bool,
    who_chars_max: usize,
}

impl PreviewPage {
    /// The page of what was found for a wish.
    ///
    /// # Errors
    /// When the wish names more than a page has room for.
    pub(in crate::pages) fn new(wish: &Wish, found: &Found) -> Result<Self, InvalidParameter> {
        let mut room = PARTS_SHOWN;
        let shown: Vec<GroupRows> = found
            .groups
            .iter()
            .map_while(|change| {
                let rows = room.min(change.parts.len());
                room -= rows;
                (rows > 0).then(|| GroupRows::new(change, rows, wish.days))
            })
            .collect();
        Ok(Self {
            shell: Shell::new("Preview of an edit", Some(CRASHES_TAB)),
            lines: found.changes.iter().take(LINES_SHOWN).map(change_line).collect(),
            lines_left_out: found.changes.len().saturating_sub(LINES_SHOWN),
            summary: summary(found, wish.days),
            groups_left_out: found.groups.len() - shown.len(),
            groups: shown,
            rotation: rotation::note(),
            save: SaveForm::new(wish, found.based_on)?,
            back: EDIT,
            pending: None,
        })
    }
}

fn summary(found: &Found, days: i64) -> String {
    let moved: u64 = found.groups.iter().map(|change| change.moved).sum();
    let looked_at = format!("{} crashes of the last {days} days", text::thousands(found.records));
    if moved == 0 {
        return format!("No group of the {looked_at} would change.");
    }
    let parts = || found.groups.iter().flat_map(|change| &change.parts);
    let vanish = parts().filter(|part| part.records_after == 0).count() as u64;
    let appear = parts().filter(|part| part.records_before == 0).count() as u64;
    let moved = text::thousands(moved);
    let (appear, vanish) = (text::thousands(appear), text::thousands(vanish));
    format!(
        "{moved} of the {looked_at} would have another guilty. Groups that appear: {appear}, that vanish: {vanish}."
    )
}

impl GroupRows {
    fn new(change: &GroupChange, rows: usize, days: i64) -> Self {
        let moved = text::records(change.moved);
        let title = match change.kind {
            Kind::Renamed => format!("A group gets another name: {moved}"),
            Kind::Split => format!("A group splits: {moved} leave it"),
            Kind::Merged => format!("Groups merge: {moved} get another guilty"),
            Kind::Moved => format!("Crashes move between groups: {moved}"),
        };
        let left_out = change.parts.len() - rows;
        let more = if left_out > 0 { format!(" ({left_out} more groups are not listed)") } else { String::new() };
        let row = |part: &Part| Row::new(part, days);
        Self { title: title + &more, rows: change.parts.iter().take(rows).map(row).collect() }
    }
}

impl Row {
    fn new(part: &Part, days: i64) -> Self {
        let fate = match (part.records_before, part.records_after) {
            (0, _) => "appears",
            (_, 0) => "vanishes",
            (before, after) if after > before => "grows",
            _ => "shrinks",
        };
        Self {
            name: Name::from(&part.guilty),
            fate,
            records: [part.records_before, part.records_after].map(text::thousands),
            machines: [part.machines_before, part.machines_after].map(|ids| rotation::machines(ids, days)),
        }
    }
}

impl SaveForm {
    fn new(wish: &Wish, based_on: u64) -> Result<Self, InvalidParameter> {
        let (frames, entry): (Vec<&Frame>, _) = match &wish.what {
            What::Changes(changes) => (changes.iter().map(Change::frame).collect(), None),
            What::Undo(entry) => (Vec::new(), Some(*entry)),
        };
        let frames: Result<Vec<String>, _> = frames.into_iter().map(serde_json::to_string).collect();
        let frames = frames.map_err(|error| InvalidParameter::new("frame", format!("has no form: {error}")))?;
        if frames.iter().map(|frame| text::html_bytes(frame)).sum::<usize>() > FORM_HTML_BYTES {
            return Err(InvalidParameter::new("frame", "has longer names than a page has room for: choose fewer"));
        }
        Ok(Self {
            address: format!("{EDIT}{}", wish.action.name()),
            based_on,
            frames,
            entry,
            who: text::line(wish.who.as_deref().unwrap_or_default(), WHO_CHARS_MAX),
            is_signed_in: wish.is_signed_in,
            who_chars_max: WHO_CHARS_MAX,
        })
    }
}

/// Answers with the page.
pub(super) async fn show(state: &AppState, wish: Wish) -> Result<Response, WebError> {
    let before = state.curation.state().await?;
    let based_on = wish.based_on.unwrap_or(before.sequence);
    let curated = state.curation.preview(based_on, wish.what.clone()).await?;
    let changes = differences(&before.curated, &curated);
    let asked = state.ask().await?;
    let filter = within(RecordFilter::default(), wish.days, asked.now);
    let filters = [&before.curated.rules(), &curated.rules()];
    let (groups, records) = regrouped(&asked.view, &state.stacks, &filter, filters).await?;
    let found = Found { based_on, changes, groups, records };
    let mut page = PreviewPage::new(&wish, &found)?;
    page.pending = (asked.pending > 0).then(|| text::records(asked.pending as u64));
    if wish.action == Action::Undo {
        page.back = super::HISTORY;
    }
    Ok(render(StatusCode::OK, &page))
}
