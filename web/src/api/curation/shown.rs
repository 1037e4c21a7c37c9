//! State and history as JSON.

use axum::Json;
use serde::Serialize;
use telemetrics_schema::curation::{Frame, State, What};

use crate::curation::{HistoryPage, PastEntry};

/// A state.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    sequence: u64,
    rules_id: i64,
    filters: Vec<&'a Frame>,
    comments: Vec<Commented<'a>>,
    hidden: Vec<Guilty<'a>>,
}

/// A frame that may be the cause of crashes.
#[derive(Serialize)]
struct Guilty<'a> {
    guilty_id: i64,
    #[serde(flatten)]
    frame: &'a Frame,
}

#[derive(Serialize)]
struct Commented<'a> {
    #[serde(flatten)]
    guilty: Guilty<'a>,
    text: &'a str,
}

/// What an edit led to.
#[derive(Serialize)]
pub struct Saved {
    /// Number of the entry that it became, or of the last one when there was nothing to change.
    sequence: u64,
    /// Names the filters that hold now.
    rules_id: i64,
}

/// A page of the history.
#[derive(Serialize)]
pub(super) struct Page {
    sequence: u64,
    entries: Vec<Past>,
}

#[derive(Serialize)]
struct Past {
    sequence: u64,
    time: String,
    who: Option<String>,
    #[serde(flatten)]
    what: What,
    undone_by: Option<u64>,
}

impl<'a> Shown<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        let curated = &state.curated;
        let comment = |(frame, text): (&'a Frame, &'a String)| Commented { guilty: Guilty::of(frame), text };
        Self {
            sequence: state.sequence,
            rules_id: curated.rules_id(),
            filters: curated.filters.iter().collect(),
            comments: curated.comments.iter().map(comment).collect(),
            hidden: curated.hidden.iter().map(Guilty::of).collect(),
        }
    }
}

impl<'a> Guilty<'a> {
    fn of(frame: &'a Frame) -> Self {
        Self { guilty_id: frame.guilty_id(), frame }
    }
}

impl Saved {
    pub(super) fn of(state: &State) -> Json<Self> {
        Json(Self { sequence: state.sequence, rules_id: state.curated.rules_id() })
    }
}

impl Page {
    pub(super) fn of(page: HistoryPage) -> Self {
        Self { sequence: page.sequence, entries: page.entries.into_iter().map(Past::of).collect() }
    }
}

impl Past {
    fn of(PastEntry { entry, undone_by }: PastEntry) -> Self {
        let time = entry.time.to_string();
        Self { sequence: entry.sequence, time, who: entry.who, what: entry.what, undone_by }
    }
}
