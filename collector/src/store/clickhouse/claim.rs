//! Takes a collector's number in a database, so that two collectors with one number are told at the start.
//!
//! An empty table stands for each number, and its comment says whose it is: making a table is the one thing that
//! exactly one of two does who try at the same time. Whose a number is does not change when a process ends: identifiers
//! go on in the journal of the data directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use telemetrics_schema::CollectorNumber;
use telemetrics_schema::migrations::create_claim;

use super::connection::{Connection, Failure};
use super::setup::SetupError;
use crate::directory;

/// The server's number for a table that is there already.
const TABLE_ALREADY_EXISTS: u32 = 57;

/// A collector's number, and the file that tells its data directory from all others.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) number: CollectorNumber,
    pub(super) file: PathBuf,
}

impl Claim {
    /// Takes the number, or finds that this directory has it.
    pub(super) async fn take(&self, connection: &Connection) -> Result<(), SetupError> {
        let owner = self.owner(connection).await?;
        let number = self.number.get();
        let table = format!("collector_{number}");
        if let Some((other, since)) = holder(connection, &table).await? {
            return self.compare(connection, &owner, &other, since);
        }
        match connection.execute(&create_claim(&table, &owner)).await {
            Ok(()) => Ok(()),
            // Another one was faster, or our own answer was lost before.
            Err(Failure::Refused { code: Some(TABLE_ALREADY_EXISTS), .. }) => {
                let taken = holder(connection, &table).await?;
                let (other, since) = taken.ok_or_else(|| no_answer("whose the collector's number is"))?;
                self.compare(connection, &owner, &other, since)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn compare(&self, connection: &Connection, owner: &str, other: &str, since: String) -> Result<(), SetupError> {
        if owner == other {
            return Ok(());
        }
        let number = self.number.get();
        let database = connection.database().to_owned();
        let table = format!("{}.`collector_{number}`", connection.quoted_database());
        Err(SetupError::NumberTaken { database, number, since, table })
    }

    /// The name of the data directory, made at the first start. The server draws it: no two are equal.
    async fn owner(&self, connection: &Connection) -> Result<String, SetupError> {
        match fs::read_to_string(&self.file) {
            Ok(owner) => return Ok(owner.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(&self.file, &error)),
        }
        let drawn: Vec<String> = connection.fetch("SELECT toString(generateUUIDv4())").await?;
        let owner = drawn.into_iter().next().ok_or_else(|| no_answer("for a name"))?;
        write(&self.file, &owner).map_err(|error| unusable(&self.file, &error))?;
        Ok(owner)
    }
}

/// Whose the number is and since when, when it is somebody's.
async fn holder(connection: &Connection, table: &str) -> Result<Option<(String, String)>, Failure> {
    let sql = format!(
        "SELECT comment, formatDateTime(metadata_modification_time, '%F %T', 'UTC') FROM system.tables \
         WHERE database = currentDatabase() AND name = '{table}'"
    );
    Ok(connection.fetch(&sql).await?.into_iter().next())
}

/// Whole or not at all, also when the machine stops: a directory that forgets its name is refused its number.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = File::create(&unfinished)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), directory::sync)
}

fn no_answer(question: &str) -> SetupError {
    SetupError::Unavailable(format!("ClickHouse: no answer to the question {question}"))
}

fn unusable(path: &Path, error: &io::Error) -> SetupError {
    SetupError::Unavailable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("owner");
        write(&file, "one").expect("written");
        write(&file, "two").expect("written again");
        assert_eq!(fs::read_to_string(&file).expect("read"), "two\n");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }
}
