//! Makes a database ready for this program: migrations, the collector's number, the policy as the table's TTL.

use telemetrics_schema::columns::{COLUMNS, RECORDS};
use telemetrics_schema::ddl::quoted;
use telemetrics_schema::migrations::{BOOKKEEPING, LATEST, MIGRATIONS, Migration, create_bookkeeping};

use super::connection::{Connection, Failure};

/// Version of the program, for the one who finds a database that is newer than his.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");
/// The server's numbers for a table and a database that is not there.
const UNKNOWN_TABLE: u32 = 60;
const UNKNOWN_DATABASE: u32 = 81;

/// Why a database could not be made ready, by what has to be done.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nothing yet: the server cannot be reached or does not answer in time; try again.
    #[error("{0}")]
    Unavailable(String),
    /// Start a newer program, or name another database.
    #[error(
        "the database {database} has schema version {found}, made by telemetrics {program}, and this program \
         (telemetrics {PROGRAM}) knows versions up to {LATEST}: start a program that is at least as new, or name another \
         database"
    )]
    Newer {
        /// The database.
        database: String,
        /// Its version.
        found: u32,
        /// Version of the program that made it.
        program: String,
    },
    /// Run `telemetrics migrate`, with a user who may.
    #[error(
        "the database {database} has schema version {found} and this program needs {LATEST}: run `telemetrics migrate`"
    )]
    Older {
        /// The database.
        database: String,
        /// Its version; 0 when nothing was ever applied.
        found: u32,
    },
    /// Mend the cause and try again.
    #[error(
        "migration {version} ({name}) of the database {database} failed: {reason}\nThe database is as it was before \
         that migration, at schema version {at}, and nothing in it is lost. Mend the cause and run `telemetrics migrate`, \
         or start again: it goes on from there"
    )]
    Failed {
        /// The database.
        database: String,
        /// The migration that failed.
        version: u32,
        /// Its name.
        name: &'static str,
        /// What the server said.
        reason: String,
        /// Version of the schema before and after the attempt.
        at: u32,
    },
    /// Name another database: this one's table `records` is not that of telemetrics.
    #[error("the table {RECORDS} in the database {database} is not as this program needs it: {what}")]
    Differs {
        /// The database.
        database: String,
        /// The first difference.
        what: String,
    },
    /// Give this collector another number.
    #[error(
        "collector number {number} belongs to another data directory, which writes into the database {database} since \
         {since} UTC: set `collector_number` to one that no other collector has. If that directory is gone for good, \
         this frees its number: DROP TABLE {table}"
    )]
    NumberTaken {
        /// The database.
        database: String,
        /// The number.
        number: u8,
        /// When it was taken.
        since: String,
        /// The table that stands for the number.
        table: String,
    },
}

impl SetupError {
    /// Whether trying again may help without anybody doing anything.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        // A migration may fail for reasons that pass, a full disk for one, and records are accepted meanwhile. Who only
        // reads may have been started before the one who writes, and migrates.
        matches!(self, Self::Unavailable(_) | Self::Failed { .. } | Self::Older { .. })
    }
}

impl From<Failure> for SetupError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

/// What a migration of a database did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Version of the schema before; 0 when nothing had ever been applied.
    pub from: u32,
    /// What was applied, in order.
    pub applied: Vec<Migration>,
}

/// The table that takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiving {
    /// The server's own name of this very table: another one has another name, also in a database of the same name.
    pub table: String,
    /// Whether the server deletes old records of it.
    pub expires: bool,
}

/// The table of a database that is ready.
pub(super) async fn receiving(connection: &Connection) -> Result<Receiving, SetupError> {
    let sql = format!(
        "SELECT toString(uuid), engine_full LIKE '% TTL %' FROM system.tables \
         WHERE database = currentDatabase() AND name = '{RECORDS}'"
    );
    let found: Vec<(String, bool)> = connection.fetch(&sql).await?;
    let (table, expires) = found
        .into_iter()
        .next()
        .ok_or_else(|| SetupError::Unavailable(format!("ClickHouse: there is no table {RECORDS}")))?;
    Ok(Receiving { table, expires })
}

/// Applies what is missing, in order, and checks the result.
///
/// Two servers may do this at the same time: each statement may run twice, and the second one changes nothing.
pub(super) async fn migrate(connection: &Connection) -> Result<Migrated, SetupError> {
    let from = version(connection).await?;
    let pending: Vec<Migration> = MIGRATIONS.iter().filter(|migration| migration.version > from).copied().collect();
    if !pending.is_empty() {
        create(connection).await?;
    }
    for migration in &pending {
        apply(connection, migration).await?;
    }
    check_columns(connection).await?;
    Ok(Migrated { from, applied: pending })
}

/// Changes nothing.
pub(super) async fn check(connection: &Connection) -> Result<(), SetupError> {
    match version(connection).await? {
        LATEST => check_columns(connection).await,
        found => Err(SetupError::Older { database: connection.database().to_owned(), found }),
    }
}

/// Version of the schema of the database, 0 when no migration was ever applied; refused when it is newer than known.
async fn version(connection: &Connection) -> Result<u32, SetupError> {
    let sql = format!("SELECT version, program FROM `{BOOKKEEPING}` ORDER BY version DESC, applied_at LIMIT 1");
    let newest: Option<(u32, String)> = match connection.fetch(&sql).await {
        Ok(rows) => rows.into_iter().next(),
        Err(Failure::Refused { code: Some(UNKNOWN_TABLE | UNKNOWN_DATABASE), .. }) => None,
        Err(failure) => return Err(failure.into()),
    };
    match newest {
        Some((found, program)) if found > LATEST => {
            Err(SetupError::Newer { database: connection.database().to_owned(), found, program })
        }
        Some((found, _)) => Ok(found),
        None => Ok(0),
    }
}

/// Makes the database and the table of migrations where they are missing.
async fn create(connection: &Connection) -> Result<(), SetupError> {
    let database = format!("CREATE DATABASE IF NOT EXISTS {}", connection.quoted_database());
    // A user without the right to create databases may still own one that exists, so this alone is no failure.
    let database = connection.outside().execute(&database).await;
    let table = connection.execute(&create_bookkeeping()).await;
    table.map_err(|failure| database.err().unwrap_or(failure).into())
}

async fn apply(connection: &Connection, migration: &Migration) -> Result<(), SetupError> {
    let Migration { version, name, .. } = *migration;
    let failed = |failure| match failure {
        Failure::Refused { text, .. } => {
            let database = connection.database().to_owned();
            SetupError::Failed { database, version, name, reason: text, at: version.saturating_sub(1) }
        }
        Failure::Silent(_) => failure.into(),
    };
    // What a migration has rewritten of the parts that are there is not waited for: it takes as long as there is data.
    let patient = connection.with_setting("mutations_sync", "0").with_setting("alter_sync", "0");
    patient.execute(&migration.statement()).await.map_err(failed)?;
    let (name, program) = (quoted(name), quoted(PROGRAM));
    let done = format!("INSERT INTO `{BOOKKEEPING}` (version, name, program) VALUES ({version}, {name}, {program})");
    Ok(connection.with_setting("async_insert", "0").execute(&done).await?)
}

/// Whatever the table of migrations says: what matters is that records fit.
async fn check_columns(connection: &Connection) -> Result<(), SetupError> {
    let sql =
        format!("SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '{RECORDS}'");
    let found: Vec<(String, String)> = connection.fetch(&sql).await?;
    match difference(&found) {
        Some(what) => Err(SetupError::Differs { database: connection.database().to_owned(), what }),
        None => Ok(()),
    }
}

/// Columns that somebody added do no harm: they get their defaults.
fn difference(found: &[(String, String)]) -> Option<String> {
    COLUMNS.iter().find_map(|column| {
        let needed = column.kind.clickhouse();
        match found.iter().find(|(name, _)| name == column.name) {
            None => Some(format!("the column {} is missing", column.name)),
            Some((_, kind)) if kind != needed => Some(format!("the column {} is {kind}, not {needed}", column.name)),
            Some(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let mut columns: Vec<(String, String)> =
            COLUMNS.iter().map(|c| (c.name.to_owned(), c.kind.clickhouse().to_owned())).collect();
        columns.push(("mine".to_owned(), "String".to_owned()));
        assert_eq!(difference(&columns), None);
        columns[4].1 = "UInt8".to_owned();
        assert_eq!(difference(&columns).as_deref(), Some("the column severity is UInt8, not Int8"));
        columns.remove(1);
        assert_eq!(difference(&columns).as_deref(), Some("the column ts_reception is missing"));
    }
}
