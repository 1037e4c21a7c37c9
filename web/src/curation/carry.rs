//! Brings the history of the embedded store into ClickHouse, entry by entry, as it is.
//!
//! An entry keeps its number and nonce, so that a move that was broken off goes on where it ended. A table that has
//! entries of its own keeps them: which of two histories is right, only people know.

use std::path::Path;

use clickhouse::Client;
use telemetrics_schema::curation::{Entry, History};

use super::CurationError;
use super::file::{self, FileError};
use super::table::{Table, Winner};

/// What a move did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// The history is in the table; so many of its entries were brought there now.
    All(u64),
    /// The table has a history of its own, and none was brought.
    Another,
}

/// Why a history was not moved.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The table cannot be read or written: try again.
    #[error(transparent)]
    Table(#[from] CurationError),
}

/// Brings what the history below `directory` has and the table in the database of `client` lacks. The directory stays as
/// it is, and nobody else may use it meanwhile.
///
/// # Errors
/// See [`CarryError`]. What was brought until then stays.
pub async fn carry(directory: &Path, client: Client, timeout_ms: u64) -> Result<Carried, CarryError> {
    let history = file::read_only(directory)?;
    let table = Table::new(client, timeout_ms);
    let Some(there) = in_common(&table, &history).await? else { return Ok(Carried::Another) };
    for entry in &history.entries()[there..] {
        if let Winner::Another(_) = table.append(entry).await? {
            return Ok(Carried::Another);
        }
    }
    Ok(Carried::All((history.entries().len() - there) as u64))
}

/// How many entries both have; `None` where one of them differs. Entries that were made in the table after all of ours
/// are no difference.
async fn in_common(table: &Table, history: &History) -> Result<Option<usize>, CurationError> {
    let mut there = 0;
    loop {
        let rows = table.from(there as u64 + 1).await?;
        let ours = &history.entries()[there..];
        let pairs: Vec<(&Entry, &Entry)> = ours.iter().zip(&rows.entries).collect();
        if pairs.iter().any(|(ours, theirs)| ours != theirs) {
            return Ok(None);
        }
        there += pairs.len();
        if pairs.is_empty() {
            return Ok(Some(there));
        }
    }
}
