//! What a person sees of an import: how far it is, what was refused and why, and the counts at the end.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use super::source::Place;
use crate::serve::StartError;
use crate::terminal::{bar, say};

/// Refused rows of a source that are shown one by one; all of them are counted, and written where `--refused` says.
const REFUSED_SHOWN_MAX: u64 = 20;

/// What became of the rows of a source.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Rows that were read.
    pub(super) rows: u64,
    /// Records that are in the store now and were not before.
    pub(super) imported: u64,
    /// Records that were in the store before, or stand in the source more than once.
    pub(super) there: u64,
    /// Records that the policy would delete at once.
    pub(super) expired: u64,
    /// Rows that are no records that can be stored.
    pub(super) refused: u64,
}

/// See the module.
pub(super) struct Shown {
    source: String,
    size: u64,
    refused: Option<BufWriter<File>>,
    named: u64,
    is_terminal: bool,
}

impl Shown {
    /// At the begin; every refused row is written to `refused` as a line of JSON.
    pub(super) fn new(refused: Option<&Path>) -> Result<Self, StartError> {
        let create = |path: &Path| File::create(path).map_err(|error| format!("{}: {error}", path.display()));
        let refused = refused.map(create).transpose()?.map(BufWriter::new);
        let is_terminal = io::stdout().is_terminal();
        Ok(Self { source: String::new(), size: 0, refused, named: 0, is_terminal })
    }

    /// At the begin of a source.
    pub(super) fn begin(&mut self, source: &str, size: u64) {
        (self.source, self.size, self.named) = (source.to_owned(), size, 0);
        say(&format!("reading {source}\n"));
    }

    /// A piece is done.
    pub(super) fn progress(&self, position: u64, tally: &Tally) {
        let line = line(position, self.size, tally);
        say(&if self.is_terminal { format!("\r{line}") } else { format!("{line}\n") });
    }

    /// A row cannot be imported.
    pub(super) fn refused(&mut self, place: Place, reason: &str) -> Result<(), StartError> {
        if self.named < REFUSED_SHOWN_MAX {
            eprintln!("{}: {place}: {reason}", self.source);
        } else if self.named == REFUSED_SHOWN_MAX {
            eprintln!("{}: more rows are refused; --refused FILE writes all of them down", self.source);
        }
        self.named += 1;
        if let Some(file) = &mut self.refused {
            let line = json!({"source": self.source, "place": place.to_string(), "reason": reason});
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// The end of a source.
    pub(super) fn end(&mut self, tally: &Tally, is_dry: bool) -> Result<(), StartError> {
        if let Some(file) = &mut self.refused {
            file.flush()?;
        }
        let begin = if self.is_terminal { "\n" } else { "" };
        say(&format!("{begin}{}", summary(tally, is_dry)));
        Ok(())
    }
}

fn line(position: u64, size: u64, tally: &Tally) -> String {
    let Tally { rows, imported, there, refused, .. } = tally;
    let bar = bar(position, size);
    format!("{bar}  {rows} rows, {imported} imported, {there} were there, {refused} refused")
}

fn summary(tally: &Tally, is_dry: bool) -> String {
    let Tally { rows, imported, there, expired, refused } = tally;
    let imported_words = if is_dry { "would be imported" } else { "imported, and read back from the store" };
    format!(
        "{rows:>12} rows read\n\
         {imported:>12} {imported_words}\n\
         {there:>12} there already\n\
         {expired:>12} left out: the retention policy would delete them at once\n\
         {refused:>12} refused\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_what_became_of_the_rows() {
        let tally = Tally { rows: 3, imported: 2, refused: 1, ..Tally::default() };
        assert_eq!(
            line(1, 2, &tally),
            "[###############...............]  50 %  3 rows, 2 imported, 0 were there, 1 refused"
        );
    }

    #[test]
    fn the_counts_are_below_each_other() {
        let tally = Tally { rows: 1_000, imported: 990, there: 5, expired: 3, refused: 2 };
        let text = summary(&tally, true);
        assert!(text.contains("         990 would be imported\n           5 there already\n"), "{text}");
    }
}
