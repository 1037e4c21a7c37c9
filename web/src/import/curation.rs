//! What users of the original curated: comments and hidden flags of guilties, and the functions that are never guilty, as one
//! entry of the history of curation.
//!
//! What this history has an opinion on already is left as it is, also where somebody removed it again: an import that is
//! done twice takes nothing back.

use std::collections::BTreeSet;
use std::sync::Arc;

use telemetrics_schema::curation::{COMMENT_CHARS_MAX, Cell, Change, Curated, Frame, NAME_BYTES_MAX, What};
use telemetrics_schema::payload::is_always_filtered;
use telemetrics_schema::time::Clock;

use super::postgres::{Server, Tables, bytes, hexadecimal, unescaped};
use crate::config::Config;
use crate::curation::{Curation, CurationError, Import, PAGE_ENTRIES_MAX};
use crate::serve::{StartError, open_curation};
use crate::terminal::say;

/// Who the entry is by.
const WHO: &str = "import";
/// How often an edit is tried again that another one was faster than.
const ATTEMPTS: u32 = 5;

/// What the original has, and what of it has no place here.
#[derive(Debug, Default)]
pub(super) struct Found {
    curated: Curated,
    /// One sentence each.
    remarks: Vec<String>,
}

/// Reads the tables `guilty` and `guilty_blacklisted`; one that is missing is empty.
pub(super) fn read(server: &Server, tables: &Tables) -> Result<Found, StartError> {
    let mut found = Found::default();
    if tables.has("guilty", "function") && tables.has("guilty", "module") {
        let optional = |column| if tables.has("guilty", column) { column } else { "NULL" };
        let (comment, hide) = (optional("comment"), optional("hide"));
        for row in rows(server, "guilty", &["function", "module", comment, hide])? {
            found.guilty(&row);
        }
    }
    if tables.has("guilty_blacklisted", "function") && tables.has("guilty_blacklisted", "module") {
        for row in rows(server, "guilty_blacklisted", &["function", "module"])? {
            found.filter(&row);
        }
    }
    Ok(found)
}

fn rows(server: &Server, table: &str, columns: &[&str]) -> Result<Vec<Vec<Option<String>>>, StartError> {
    let values: Vec<String> = columns.iter().map(|column| hexadecimal(&bytes(&format!("({column})::text")))).collect();
    let sql = format!("COPY (SELECT {} FROM {table} ORDER BY id) TO STDOUT", values.join(", "));
    let unreadable = |()| StartError::from(format!("psql wrote no value of the table {table}"));
    let value = |text: String| unescaped(&text).transpose().map_err(unreadable);
    server.query(&sql)?.into_iter().map(|row| row.into_iter().map(value).collect()).collect()
}

impl Found {
    fn guilty(&mut self, row: &[Option<String>]) {
        let [function, module, comment, hide] = row else { return };
        let comment = comment.as_deref().map(one_line).filter(|comment| !comment.is_empty());
        let is_hidden = hide.as_deref() == Some("true");
        if comment.is_none() && !is_hidden {
            return;
        }
        let Some(frame) = self.frame(function.as_deref(), module.as_deref()) else { return };
        if let Some(comment) = comment {
            let comment = self.fitting(&frame, comment);
            self.set(&Change::CommentSet(frame.clone(), comment));
        }
        if is_hidden {
            self.set(&Change::Hidden(frame));
        }
    }

    fn filter(&mut self, row: &[Option<String>]) {
        let [function, module] = row else { return };
        match self.frame(function.as_deref(), module.as_deref()) {
            // Those are filters here, whatever anybody says.
            Some(frame) if is_always_filtered(&frame.function) => {}
            Some(frame) => self.set(&Change::FilterAdded(frame)),
            None => {}
        }
    }

    /// The frame as it is shown; `None` with a remark where nothing can be said about it.
    fn frame(&mut self, function: Option<&str>, module: Option<&str>) -> Option<Frame> {
        let frame = Frame::new(function.unwrap_or_default(), module.unwrap_or_default()).as_shown();
        let reason = match (frame.function.len(), frame.module.len()) {
            (0, _) => "it has no function",
            (function, module) if function.max(module) > NAME_BYTES_MAX => "its name is too long",
            _ => return Some(frame),
        };
        let shown: String = frame.to_string().chars().take(80).collect();
        self.remarks.push(format!("a guilty or filter is left out, {reason}: {shown}"));
        None
    }

    fn fitting(&mut self, frame: &Frame, comment: String) -> String {
        if comment.chars().count() <= COMMENT_CHARS_MAX {
            return comment;
        }
        self.remarks.push(format!("{frame}: its comment is cut to {COMMENT_CHARS_MAX} characters: {comment}"));
        comment.chars().take(COMMENT_CHARS_MAX - 1).collect::<String>().trim_end().to_owned() + "…"
    }

    fn set(&mut self, change: &Change) {
        self.curated.set(change.cell(), change.value());
    }
}

/// A comment is one line here.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Makes what was found an entry of the history, and says so on standard output.
pub(super) async fn import(
    config: &Config,
    found: &Found,
    clock: &Arc<dyn Clock>,
    is_dry: bool,
) -> Result<(), StartError> {
    let Found { curated, remarks } = found;
    for remark in remarks {
        say(&format!("{remark}\n"));
    }
    let history = open_curation(config, clock)?;
    let added = if is_dry { news(&history, curated).await?.1.cells().count() } else { add(&history, curated).await? };
    let verb = if is_dry { "would be added" } else { "added" };
    let there = curated.cells().count() - added;
    say(&format!("{added:>12} filters, comments and hidden guilties {verb} to the history, {there} were there\n"));
    Ok(())
}

async fn add(history: &Curation, curated: &Curated) -> Result<usize, StartError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (sequence, news) = news(history, curated).await?;
        let added = news.cells().count();
        if added == 0 {
            return Ok(0);
        }
        match history.import(sequence, news, Import::Add, Some(WHO.to_owned())).await {
            Ok(_) => return Ok(added),
            Err(CurationError::Conflict { .. }) if attempts < ATTEMPTS => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What no entry of the history speaks about, and the entry that this is based on.
async fn news(history: &Curation, curated: &Curated) -> Result<(u64, Curated), StartError> {
    let sequence = history.state().await?.sequence;
    let mut spoken = BTreeSet::<Cell>::new();
    let mut before = Some(sequence + 1);
    while before.is_some() {
        let page = history.history(before, PAGE_ENTRIES_MAX).await?;
        for entry in &page.entries {
            if let What::Changes(changes) = &entry.entry.what {
                spoken.extend(changes.iter().map(Change::cell));
            }
        }
        before = page.entries.last().filter(|_| page.has_more).map(|last| last.entry.sequence);
    }
    let mut news = Curated::default();
    for (cell, value) in curated.cells().filter(|(cell, _)| !spoken.contains(cell)) {
        news.set(cell, Some(value));
    }
    Ok((sequence, news))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    #[test]
    fn only_what_somebody_said_is_found() {
        let mut found = Found::default();
        found.guilty(&row(&[Some("f()"), Some("m"), None, Some("false")]));
        found.guilty(&row(&[Some("g()"), Some("m"), Some("  seen\n twice "), Some("true")]));
        found.guilty(&row(&[None, Some("m"), Some("x"), None]));
        found.guilty(&row(&[Some("_ZN3foo3barEv()"), None, Some(&"ä".repeat(81)), None]));
        found.filter(&row(&[Some("raise()"), Some("libc.so.6")]));
        found.filter(&row(&[Some("_start()"), Some("libc.so.6")]));
        let g = Frame::new("g()", "m");
        assert_eq!(found.curated.comments[&g], "seen twice");
        assert!(found.curated.hidden.contains(&g) && found.curated.hidden.len() == 1);
        assert_eq!(found.curated.filters.len(), 1, "what always is a filter is none that somebody made");
        let long = &found.curated.comments[&Frame::new("foo::bar()", "")];
        assert!(long.chars().count() == COMMENT_CHARS_MAX && long.ends_with('…'));
        assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    }
}
