//! The versions of the ClickHouse schema: one plain SQL file each, in `schema/migrations/`, where a guide stands too.

use crate::columns::derived_columns;
use crate::ddl::quoted;

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

/// The statement that makes the empty table which stands for a collector's number; `owner` becomes its comment. It
/// fails where the table is there: of two who try at the same time, one makes it.
#[must_use]
pub fn create_claim(table: &str, owner: &str) -> String {
    statement(&format!("CREATE TABLE `{table}` (`id` Int64) ENGINE = Null COMMENT {}", quoted(owner)))
}

/// The statement that makes a table of derived columns by identifier, out of which a mutation takes their values.
#[must_use]
pub fn create_reparse(table: &str) -> String {
    let columns = derived_columns().iter().map(|column| format!("`{}` {}", column.name, column.kind.clickhouse()));
    let columns = columns.collect::<Vec<_>>().join(", ");
    statement(&format!("CREATE TABLE `{table}` (`id` Int64, {columns}, `known` UInt8) ENGINE = Join(ANY, LEFT, id)"))
}

/// The one place through which the SQL of every table passes: where engines will vary, they vary here.
fn statement(sql: &str) -> String {
    sql.trim_end().trim_end_matches(';').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Calls `look` with each source file below a directory.
    fn for_each_source(directory: &Path, look: &mut impl FnMut(&Path, &str)) {
        for path in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                for_each_source(&path, look);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                look(&path, &fs::read_to_string(&path).expect("a source file"));
            }
        }
    }

    #[test]
    fn nothing_else_in_the_program_names_an_engine() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let mut found = BTreeSet::new();
        for source in ["schema/src", "collector/src", "analytics/src", "web/src"] {
            for_each_source(&workspace.join(source), &mut |path, text| {
                if text.contains("ENGINE =") {
                    found.insert(path.strip_prefix(workspace).expect("below").display().to_string());
                }
            });
        }
        // The second one is what tests compare the migrations with.
        let expected = ["schema/src/migrations.rs", "schema/src/ddl.rs"];
        assert_eq!(found, expected.map(str::to_owned).into());
    }

    #[test]
    fn a_claim_says_whose_it_is_and_fails_where_there_is_one() {
        let sql = create_claim("collector_7", "it's mine");
        assert_eq!(sql, "CREATE TABLE `collector_7` (`id` Int64) ENGINE = Null COMMENT 'it\\'s mine'");
    }

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
