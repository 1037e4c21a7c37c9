//! The pages of crashes: causes of all builds or of one, one cause, its backtraces, and what users say about them.
//!
//! A page is about a window of days, `asked::DAYS_DEFAULT` when nobody says it. Links from row to row carry the window
//! alone: the other filters may be long, and a page has many rows.

mod asked;
mod backtraces;
mod charts;
mod edit;
mod filters;
mod guilty;
mod history;
mod name;
mod preview;
pub(in crate::pages) mod top;

#[cfg(test)]
pub(super) mod samples;

pub use backtraces::show as backtraces;
pub use edit::act;
pub use filters::show as filters;
pub use guilty::show as guilty;
pub use history::show as history;
pub(super) use name::filter_address;
pub use top::{all, of_build};

use super::address;

/// Where the pages are.
pub const CRASHES: &str = "/telemetryui/crashes";

/// Where edits are made: below it is a word for each kind of edit.
pub const EDIT: &str = "/telemetryui/crashes/guilty_edit/";
/// The history of edits.
pub const HISTORY: &str = "/telemetryui/crashes/history";

/// The page of one guilty, about `days` days.
fn guilty_address(id: i64, days: i64) -> String {
    address::with_query(&guilty_path(id), [(asked::DAYS, days.to_string().as_str())])
}

/// The page of one guilty.
fn guilty_path(id: i64) -> String {
    format!("{CRASHES}/guilty_details/{id}")
}
