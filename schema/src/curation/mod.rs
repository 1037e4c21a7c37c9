//! What users curate: filters, comments and hidden guilties. An append-only history, whose fold is the state.
//!
//! # History and state
//! An entry holds changes, or undoes another entry. A change says what one *cell* holds from now on: whether a frame is a
//! filter, what the comment on a guilty is, whether a guilty is hidden. A cell holds what the last entry says that is in
//! force; without any, the frame is no filter, has no comment, is not hidden.
//!
//! # What undo means
//! After an undo of entry N the state is what it would be if N had never been made, and everything else had:
//!
//! - Where nobody touched N's cells later, they hold again what they held before N.
//! - A cell that a later entry speaks about stays as that entry says: the work of others is never taken back by accident.
//!   When this is so for all cells of N, the undo would change nothing and is refused.
//! - An undo is an entry like others and can be undone: then N is in force again, at its old place in the history.
//! - All changes of one entry are undone together, those of an import too.
//!
//! An entry is in force unless an undo names it that is in force itself. An undo names an entry that is older, so this
//! is decided from the newest entry to the oldest.
//!
//! # Which edits are valid
//! An edit has to change something, so that the history says what happened ([`History::check`]). The fold itself takes
//! every history: it never fails and drops nothing, whatever limits another version of the program had.

mod check;
mod curated;
mod entry;
mod exported;
mod history;

pub use check::Refusal;
pub use curated::{Cell, Curated, Field, Frame, differences};
pub use entry::{Change, Entry, UnreadableEntry, What};
pub use exported::{export, import};
pub use history::History;

/// Longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 80;
/// Longest name of who edits, in characters.
pub const WHO_CHARS_MAX: usize = 80;
/// Longest function and longest module of a frame that something is said about.
pub const NAME_BYTES_MAX: usize = 4_096;
/// Largest size of one entry as JSON.
pub const ENTRY_BYTES_MAX: usize = 8 << 20;
/// Largest size of a state: all its texts together.
pub const CURATED_BYTES_MAX: usize = 2 << 20;
/// Most entries of a history.
pub const HISTORY_ENTRIES_MAX: usize = 100_000;
/// Largest size of a history: all its entries as JSON.
pub const HISTORY_BYTES_MAX: usize = 64 << 20;
/// Largest file that is imported.
pub const IMPORT_BYTES_MAX: usize = 4 << 20;

/// The state and the place in the history that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Number of the last entry, 0 before the first: what an edit is based on.
    pub sequence: u64,
    /// What holds after it.
    pub curated: Curated,
}
