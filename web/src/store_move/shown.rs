//! What a person sees of a move: a line that is written over at a terminal, and a line for each day elsewhere.

use std::io::{self, IsTerminal};
use std::path::Path;

use telemetrics_schema::layout::{DataDir, date_text};

use crate::config::{ClickHouse, Config};
use crate::curation::Carried;
use crate::terminal::{bar, say};

/// How far a move is.
pub(super) struct Shown {
    total: u64,
    done: u64,
    /// Records of days that had to be moved.
    moved: u64,
    /// Records of the present day that are there.
    of_day: u64,
    is_terminal: bool,
}

impl Shown {
    /// At the begin of a move of `total` records.
    pub(super) fn new(total: u64) -> Self {
        Self { total, done: 0, moved: 0, of_day: 0, is_terminal: io::stdout().is_terminal() }
    }

    /// A batch of the day is there.
    pub(super) fn batch(&mut self, day: i32, records: u64) {
        self.of_day += records;
        if self.is_terminal {
            say(&format!("\r{}", self.line(day)));
        }
    }

    /// The whole day was moved.
    pub(super) fn day(&mut self, day: i32, records: u64) {
        self.moved += records;
        self.end_day(day, records, "");
    }

    /// The whole day was there before.
    pub(super) fn was_there(&mut self, day: i32, records: u64) {
        self.end_day(day, records, ", was there");
    }

    fn end_day(&mut self, day: i32, records: u64, how: &str) {
        (self.done, self.of_day) = (self.done + records, 0);
        let begin = if self.is_terminal { "\r" } else { "" };
        say(&format!("{begin}{}{how}\n", self.line(day)));
    }

    fn line(&self, day: i32) -> String {
        let done = self.done + self.of_day;
        format!("{}  {}  {done} of {} records", bar(done, self.total), date_text(day), self.total)
    }

    /// The last words.
    pub(super) fn end(&self, config: &Config, server: &ClickHouse) {
        let data = DataDir::new(&config.data_dir);
        let what = match (self.total, self.moved) {
            (0, _) => "nothing to move: the embedded store is empty".to_owned(),
            (total, 0) => format!("nothing to move: all {total} records are there"),
            (total, moved) => format!("moved {moved} of {total} records, the others were there"),
        };
        say(&format!(
            "{what}\n\
             The records in {} (database {}) are equal to those in {}, by number and checksum of each day.\n\
             Next: start the server on the same data directory with this [store.clickhouse] in its configuration. It \
             delivers what is still in the journal.\n\
             The embedded store is as it was. When all is well, delete it: {}\n",
            server.url,
            server.database,
            data.path().display(),
            data.records_table().display()
        ));
    }
}

/// What became of the history of curation.
pub(super) fn curation(carried: Carried, directory: &Path) {
    match carried {
        Carried::All(0) => {}
        Carried::All(entries) => say(&format!("moved {entries} entries of the history of filters and comments\n")),
        Carried::Another => say(&format!(
            "The database has a history of filters and comments of its own, so that in {} was not moved. To have both: \
             export one (/api/curation/export) and import it into the other (mode=add).\n",
            directory.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_all_of_it_is() {
        let shown = Shown { total: 8, done: 3, moved: 0, of_day: 1, is_terminal: true };
        assert_eq!(shown.line(20_773), "[###############...............]  50 %  2026-11-16  4 of 8 records");
    }
}
