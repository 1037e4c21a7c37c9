//! The pages of crashes: causes of all builds or of one, one cause, its backtraces, and what users say about them.
//!
//! A page is about a window of days, `asked::DAYS_DEFAULT` when nobody says it. What its rows lead to is about the same
//! window and the same filters (`links.rs`).

mod asked;
pub(in crate::pages) mod backtraces;
mod charts;
mod edit;
mod filters;
pub(in crate::pages) mod guilty;
mod history;
mod links;
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

/// Where the pages are.
pub const CRASHES: &str = "/telemetryui/crashes";

/// Where edits are made: below it is a word for each kind of edit.
pub const EDIT: &str = "/telemetryui/crashes/guilty_edit/";
/// The history of edits.
pub const HISTORY: &str = "/telemetryui/crashes/history";

/// The page of one guilty.
pub(super) fn guilty_path(id: i64) -> String {
    format!("{CRASHES}/guilty_details/{id}")
}
