//! Which edits are valid: well-formed, within the limits, and changing something.

use std::collections::BTreeSet;

use super::{
    COMMENT_CHARS_MAX, CURATED_BYTES_MAX, Change, Curated, ENTRY_BYTES_MAX, Entry, Field, Frame, HISTORY_BYTES_MAX,
    HISTORY_ENTRIES_MAX, History, NAME_BYTES_MAX, WHO_CHARS_MAX, What,
};
use crate::payload::is_always_filtered;

/// Why an edit is not taken, by what has to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Ask for something else; the sentence says why.
    #[error("{0}")]
    Invalid(String),
    /// Begin a new history: export, put the old one aside, import.
    #[error(
        "the history of curation has its largest size ({HISTORY_ENTRIES_MAX} entries or {HISTORY_BYTES_MAX} bytes): \
         export the state, put the history aside and import the state into a new one"
    )]
    Full,
}

impl History {
    /// Whether the entry could be the next one.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        check_who(entry.who.as_deref())?;
        match &entry.what {
            What::Changes(changes) => check_changes(changes, self.curated())?,
            What::Undo(named) => self.check_undo(*named)?,
        }
        let bytes = entry.line().map_or(usize::MAX, |line| line.len());
        if bytes > ENTRY_BYTES_MAX {
            return invalid(format!("these are too many changes at once ({bytes} of at most {ENTRY_BYTES_MAX} bytes)"));
        }
        let after = self.after(&entry.what).bytes();
        if after > CURATED_BYTES_MAX && after > self.curated().bytes() {
            return invalid(format!("there would be too much to keep ({after} of at most {CURATED_BYTES_MAX} bytes)"));
        }
        let is_full = self.entries().len() >= HISTORY_ENTRIES_MAX || self.bytes() + bytes > HISTORY_BYTES_MAX;
        if is_full { Err(Refusal::Full) } else { Ok(()) }
    }

    fn check_undo(&self, named: u64) -> Result<(), Refusal> {
        if self.entry(named).is_none() {
            return invalid(format!("there is no entry {named} in the history"));
        }
        if !self.is_in_force(named) {
            return invalid(format!("entry {named} is undone already"));
        }
        if self.after(&What::Undo(named)) == *self.curated() {
            return invalid(format!(
                "to undo entry {named} would change nothing: later entries say something about the same frames"
            ));
        }
        Ok(())
    }
}

fn check_who(who: Option<&str>) -> Result<(), Refusal> {
    match who {
        Some(who) if who.is_empty() || who.chars().count() > WHO_CHARS_MAX || who.contains(char::is_control) => {
            invalid(format!("a name of who edits has 1 to {WHO_CHARS_MAX} printable characters"))
        }
        _ => Ok(()),
    }
}

fn check_changes(changes: &[Change], curated: &Curated) -> Result<(), Refusal> {
    if changes.is_empty() {
        return invalid("there is nothing to change".to_owned());
    }
    let mut cells = BTreeSet::new();
    for change in changes {
        check_change(change)?;
        let cell = change.cell();
        if curated.get(&cell) == change.value() {
            return invalid(already(change));
        }
        if !cells.insert(cell) {
            return invalid(format!("{} is changed twice at once", change.frame()));
        }
    }
    Ok(())
}

/// Whether the change is well-formed, whatever holds.
pub(super) fn check_change(change: &Change) -> Result<(), Refusal> {
    let Frame { function, module } = change.frame();
    if function.is_empty() {
        return invalid("a frame has a function".to_owned());
    }
    if function.len().max(module.len()) > NAME_BYTES_MAX {
        return invalid(format!("functions and modules have at most {NAME_BYTES_MAX} bytes"));
    }
    match change {
        Change::CommentSet(_, text) => check_comment(text),
        Change::FilterAdded(frame) | Change::FilterRemoved(frame) if is_always_filtered(&frame.function) => {
            invalid(format!("{frame} is in every crash and always a filter"))
        }
        _ => Ok(()),
    }
}

fn check_comment(text: &str) -> Result<(), Refusal> {
    if text.chars().count() > COMMENT_CHARS_MAX {
        return invalid(format!("a comment has at most {COMMENT_CHARS_MAX} characters"));
    }
    if text.contains(char::is_control) || text.trim() != text {
        return invalid("a comment is one line without white space at its ends".to_owned());
    }
    Ok(())
}

fn already(change: &Change) -> String {
    let frame = change.frame();
    match (change.cell().field, change.value()) {
        (Field::Filter, Some(_)) => format!("{frame} is a filter already"),
        (Field::Filter, None) => format!("{frame} is no filter"),
        (Field::Hidden, Some(_)) => format!("{frame} is hidden already"),
        (Field::Hidden, None) => format!("{frame} is not hidden"),
        (Field::Comment, Some(_)) => format!("{frame} has this comment already"),
        (Field::Comment, None) => format!("{frame} has no comment"),
    }
}

fn invalid(reason: String) -> Result<(), Refusal> {
    Err(Refusal::Invalid(reason))
}
