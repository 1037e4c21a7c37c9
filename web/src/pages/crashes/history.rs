//! The page of the history of filters, comments and hidden guilties, with a way back for each entry.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use telemetrics_schema::curation::{Change, What};

use super::edit::entry;
use super::{EDIT, HISTORY};
use crate::api::params::{Pairs, no_duplicates};
use crate::curation::{HistoryPage as Entries, PastEntry};
use crate::error::{InvalidParameter, WebError};
use crate::pages::text::{self, Moment};
use crate::pages::{CRASHES_TAB, Shell, address, message, render};
use crate::state::AppState;

/// Entries of a page.
pub(in crate::pages) const PAGE_ENTRIES: usize = 25;
/// Most changes of an entry that are listed, and the longest name in each, in characters.
const CHANGES_SHOWN: usize = 3;
const NAME_CHARS: usize = 80;
/// Longest name of who made an entry that is shown, in characters.
const WHO_CHARS: usize = 80;

/// See the module.
#[derive(Debug, Clone, Template)]
#[template(path = "history.html")]
pub(in crate::pages) struct HistoryPage {
    shell: Shell,
    rows: Vec<Row>,
    undo: String,
    older: Option<String>,
    edit: &'static str,
}

#[derive(Debug, Clone)]
struct Row {
    sequence: u64,
    time: Moment,
    who: String,
    lines: Vec<String>,
    undone_by: Option<u64>,
}

impl HistoryPage {
    /// The page of these entries, newest first.
    pub(in crate::pages) fn new(page: &Entries) -> Self {
        let last = page.entries.last().filter(|_| page.has_more).map(|last| last.entry.sequence.to_string());
        Self {
            shell: Shell::new("History of filters and comments", Some(CRASHES_TAB)),
            rows: page.entries.iter().map(Row::new).collect(),
            undo: format!("{EDIT}undo"),
            older: last.map(|last| address::with_query(HISTORY, [("before", last.as_str())])),
            edit: EDIT,
        }
    }
}

impl Row {
    fn new(past: &PastEntry) -> Self {
        let entry = &past.entry;
        Self {
            sequence: entry.sequence,
            time: entry.time.into(),
            who: text::line(entry.who.as_deref().unwrap_or_default(), WHO_CHARS),
            lines: lines(&entry.what),
            undone_by: past.undone_by,
        }
    }
}

fn lines(what: &What) -> Vec<String> {
    match what {
        What::Undo(named) => vec![format!("Takes entry {named} back.")],
        What::Changes(changes) => {
            let shown = changes.iter().take(CHANGES_SHOWN).map(change_line);
            let more = changes.len().saturating_sub(CHANGES_SHOWN);
            shown.chain((more > 0).then(|| format!("And {more} more changes."))).collect()
        }
    }
}

/// A change as a sentence.
pub(super) fn change_line(change: &Change) -> String {
    let frame = change.frame();
    let name = text::line(&frame.function, NAME_CHARS);
    let module = text::line(&frame.module, NAME_CHARS);
    let name = if module.is_empty() { name } else { format!("{name} in {module}") };
    match change {
        Change::FilterAdded(_) => format!("{name} is never guilty."),
        Change::FilterRemoved(_) => format!("{name} may be guilty again."),
        Change::Hidden(_) => format!("{name} is hidden."),
        Change::Unhidden(_) => format!("{name} is shown again."),
        Change::CommentSet(_, comment) if comment.is_empty() => format!("{name} has no comment any more."),
        Change::CommentSet(_, comment) => format!("{name} has the comment: {}", text::line(comment, NAME_CHARS)),
    }
}

/// Answers with the page.
pub async fn show(State(state): State<AppState>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    answer(&state, &pairs).await.unwrap_or_else(|error| message::failed(&error))
}

async fn answer(state: &AppState, pairs: &Pairs) -> Result<Response, WebError> {
    let page = state.curation.history(before(pairs)?, PAGE_ENTRIES).await?;
    Ok(render(StatusCode::OK, &HistoryPage::new(&page)))
}

fn before(pairs: &Pairs) -> Result<Option<u64>, InvalidParameter> {
    no_duplicates(pairs)?;
    let mut before = None;
    for (name, value) in pairs {
        match name.as_str() {
            "before" => before = Some(entry(name, value)?),
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::curation::Frame;

    use super::*;

    #[test]
    fn an_entry_is_told_in_sentences() {
        let frame = Frame::new("f()", "m");
        let changes = vec![
            Change::FilterAdded(frame.clone()),
            Change::CommentSet(frame.clone(), "fixed in 30".to_owned()),
            Change::CommentSet(Frame::new("g()", ""), String::new()),
            Change::Hidden(frame),
        ];
        assert_eq!(
            lines(&What::Changes(changes)),
            [
                "f() in m is never guilty.",
                "f() in m has the comment: fixed in 30",
                "g() has no comment any more.",
                "And 1 more changes."
            ]
        );
        assert_eq!(lines(&What::Undo(7)), ["Takes entry 7 back."]);
        assert!(before(&[("x".to_owned(), "1".to_owned())]).is_err());
        assert_eq!(before(&[("before".to_owned(), "9".to_owned())]), Ok(Some(9)));
    }
}
