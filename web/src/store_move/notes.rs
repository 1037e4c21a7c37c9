//! Which days were found equal, kept durably beside the data, so that a move that is broken off need not look again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use telemetrics_schema::layout::date_text;
use tracing::info;

use crate::serve::StartError;

/// Name of the file in the data directory.
const FILE: &str = "store-move.json";

/// See the module.
#[derive(Debug)]
pub(super) struct Notes {
    path: PathBuf,
    content: Written,
}

/// What is in the file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    /// The server's name of the table that records are moved to.
    table: String,
    /// Version of the table that they come from.
    version: u64,
    /// Days that are equal in both.
    days: BTreeSet<String>,
}

impl Notes {
    /// What earlier runs noted about moving this version of the embedded table to that table of the server. Notes about
    /// anything else, and notes that nobody can read, are as good as none: what they save is time.
    pub(super) fn open(data_dir: &Path, table: &str, version: u64) -> Result<Self, StartError> {
        let path = data_dir.join(FILE);
        let found = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Written>(&bytes).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        let content = match found.filter(|found| found.table == table && found.version == version) {
            Some(found) => {
                info!(days = found.days.len(), "going on with a move that was begun before");
                found
            }
            None => Written { table: table.to_owned(), version, days: BTreeSet::new() },
        };
        Ok(Self { path, content })
    }

    /// Whether the day was found equal.
    pub(super) fn has(&self, day: i32) -> bool {
        self.content.days.contains(&date_text(day))
    }

    /// Notes that the day was found equal; durable when it returns.
    pub(super) fn add(&mut self, day: i32) -> Result<(), StartError> {
        if !self.content.days.insert(date_text(day)) {
            return Ok(());
        }
        write(&self.path, &serde_json::to_vec(&self.content)?)
            .map_err(|error| format!("{}: {error}", self.path.display()).into())
    }
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_for_the_same_two_tables_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = |table, version| Notes::open(dir.path(), table, version).expect("notes");
        let mut notes = open("a", 7);
        notes.add(20_000).expect("noted");
        notes.add(20_000).expect("noted again");
        assert!(open("a", 7).has(20_000) && !open("a", 7).has(20_001));
        assert!(!open("b", 7).has(20_000) && !open("a", 8).has(20_000));
        fs::write(dir.path().join(FILE), "{").expect("written");
        assert!(!open("a", 7).has(20_000));
    }
}
