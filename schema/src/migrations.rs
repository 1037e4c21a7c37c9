//! The versions of the ClickHouse schema: one plain SQL file each, in `schema/migrations/`, where a guide stands too.

/// One step from a version of the schema to the next. It is one statement, so that it happens wholly or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Version of the schema that it leads to, counted from 1.
    pub version: u32,
    /// What it does, as its file is named.
    pub name: &'static str,
    /// The file.
    sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal $file:literal),+ $(,)?) => {
        &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $file)),
        }),+]
    };
}

/// All migrations, in the order in which they are applied.
pub const MIGRATIONS: &[Migration] = migrations![
    1 "records" "0001_records.sql",
    2 "codecs_and_indexes" "0002_codecs_and_indexes.sql",
    3 "rollups" "0003_rollups.sql",
    4 "crashes" "0004_crashes.sql",
    5 "curation" "0005_curation.sql",
    6 "attributes" "0006_attributes.sql",
];

/// Version of the schema that this program knows.
pub const LATEST: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Name of the table of what users curate.
pub const CURATION: &str = "curation";

/// Name of the table that says which migrations were applied.
pub const BOOKKEEPING: &str = "migrations";

const CREATE_BOOKKEEPING: &str = include_str!("../migrations/0000_migrations.sql");

impl Migration {
    /// The statement, for a session whose database is the one to change.
    #[must_use]
    pub fn statement(&self) -> String {
        statement(self.sql)
    }
}

/// The statement that makes the table [`BOOKKEEPING`] where it is missing.
#[must_use]
pub fn create_bookkeeping() -> String {
    statement(CREATE_BOOKKEEPING)
}

/// The one place through which the SQL of every table passes: where engines will vary, they vary here.
fn statement(sql: &str) -> String {
    sql.trim_end().trim_end_matches(';').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn versions_follow_each_other() {
        assert!(MIGRATIONS.iter().map(|migration| migration.version).eq(1..=LATEST));
    }

    #[test]
    fn every_file_is_a_migration() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files =
            std::fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("a file").file_name());
        let files: BTreeSet<String> = files.map(|name| name.into_string().expect("text")).collect();
        let known = MIGRATIONS.iter().map(|migration| format!("{:04}_{}.sql", migration.version, migration.name));
        let known: BTreeSet<String> = known.chain(["0000_migrations.sql".to_owned(), "README.md".to_owned()]).collect();
        assert_eq!(files, known);
    }

    /// A migration that fails leaves the state before it only when it is one statement; two servers may run it at the
    /// same time, and one may run it again after a lost answer, only when that changes nothing.
    #[test]
    fn every_migration_is_one_statement_that_may_run_twice() {
        for sql in MIGRATIONS.iter().map(|migration| migration.sql).chain([CREATE_BOOKKEEPING]) {
            let code: String = sql.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
            assert_eq!(code.lines().filter(|line| line.ends_with(';')).count(), 1, "{sql}");
            assert!(code.ends_with(';'), "{sql}");
            for (verb, guard) in [
                ("CREATE TABLE", "CREATE TABLE IF NOT EXISTS"),
                ("ADD COLUMN", "ADD COLUMN IF NOT EXISTS"),
                ("ADD INDEX", "ADD INDEX IF NOT EXISTS"),
                ("DROP INDEX", "DROP INDEX IF EXISTS"),
                ("ADD PROJECTION", "ADD PROJECTION IF NOT EXISTS"),
                ("DROP PROJECTION", "DROP PROJECTION IF EXISTS"),
            ] {
                assert_eq!(code.matches(verb).count(), code.matches(guard).count(), "{verb} in {sql}");
            }
            for forbidden in ["DROP COLUMN", "DROP TABLE", "RENAME", " TTL ", "DELETE"] {
                assert!(!code.contains(forbidden), "{forbidden} in {sql}");
            }
        }
    }
}
