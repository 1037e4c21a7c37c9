//! The schema of a ClickHouse database: from every earlier version, by several at once, and when it cannot be.

use std::collections::BTreeMap;
use std::thread;

use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, Migrated, SetupError};
use telemetrics_schema::columns::{RECORDS, reported};
use telemetrics_schema::ddl::create_records_table;
use telemetrics_schema::migrations::{CURATION, LATEST, MIGRATIONS, create_bookkeeping};
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};
use tokio::task::JoinSet;

use crate::servers::{PROGRAM, accepted, ended, ids, records};

/// Servers that start at the same time.
const AT_ONCE: usize = 8;

/// A statement of the schema, for a database that the test's own connection is not in.
fn within(database: &str, statement: &str) -> String {
    statement
        .replace("`records`", &format!("{database}.`records`"))
        .replace("`migrations`", &format!("{database}.`migrations`"))
        .replace("`curation`", &format!("{database}.`curation`"))
}

fn store(database: &str) -> ClickHouseStore {
    let target =
        ClickHouseTarget { database: database.to_owned(), ..ClickHouseTarget::new(ClickHouse::shared().url()) };
    ClickHouseStore::new(&target, RetentionPolicy::off())
}

fn address(database: &str) -> String {
    format!("{}/{database}", ClickHouse::shared().url())
}

/// A database as the first `version` migrations left it, with some rows.
fn database_at(version: u32) -> String {
    let server = ClickHouse::shared();
    let database = server.create_database();
    bring_to(server, &database, version);
    database
}

fn bring_to(server: &ClickHouse, database: &str, version: u32) {
    server.query(&within(database, &create_bookkeeping()));
    for migration in MIGRATIONS.iter().filter(|migration| migration.version <= version) {
        server.query(&within(database, &migration.statement()));
        note(server, database, migration.version, "0.0.1");
    }
    fill(server, database);
}

/// A database as the program made it before there were migrations: the table alone, with a TTL.
fn database_without_migrations() -> String {
    let server = ClickHouse::shared();
    let database = server.create_database();
    let table = MIGRATIONS[0].statement();
    let ttl = "\nTTL toDateTime(ts_reception) + INTERVAL 35 DAY\nSETTINGS";
    server.query(&within(&database, &table.replace("\nSETTINGS", ttl)));
    fill(server, &database);
    database
}

fn note(server: &ClickHouse, database: &str, version: u32, program: &str) {
    let row = format!("({version}, 'a name', '{program}')");
    server.query(&format!("INSERT INTO {database}.migrations (version, name, program) VALUES {row}"));
}

/// Tables of the schema that the database has.
fn tables(server: &ClickHouse, database: &str) -> Vec<String> {
    // Those of collectors' numbers are no part of it.
    let names = server.query(&format!(
        "SELECT name FROM system.tables WHERE database = '{database}' AND NOT startsWith(name, 'collector_')"
    ));
    names.lines().map(str::to_owned).collect()
}

fn fill(server: &ClickHouse, database: &str) {
    for table in tables(server, database) {
        let rows = match table.as_str() {
            RECORDS => {
                "(id, ts_reception, classification, severity, payload) \
                 SELECT number, now64(6), concat('a/b/', toString(number % 7)), 1 + number % 4, 'text' \
                 FROM numbers(1000)"
            }
            CURATION => {
                "(sequence, time, who, nonce, what) \
                 SELECT 1 + number, now64(6), 'ann', toString(number), 'nothing' FROM numbers(100)"
            }
            _ => continue,
        };
        server.query(&format!("INSERT INTO {database}.{table} {rows}"));
    }
}

/// What records say, whatever the version of the schema.
fn content(database: &str) -> String {
    let names: Vec<&str> = reported().iter().map(|column| column.name).collect();
    let names = names.join(", ");
    ClickHouse::shared().query(&format!("SELECT count(), sum(cityHash64({names})) FROM {database}.records"))
}

/// The rows of every table, as they are.
fn rows(server: &ClickHouse, database: &str) -> BTreeMap<String, String> {
    let rows = |table: &String| server.query(&format!("SELECT count(), sum(cityHash64(*)) FROM {database}.{table}"));
    tables(server, database).into_iter().map(|table| (table.clone(), rows(&table))).collect()
}

/// All that makes up every table, but the TTL.
fn structure(database: &str) -> BTreeMap<String, Vec<String>> {
    structure_in(ClickHouse::shared(), database)
}

fn structure_in(server: &ClickHouse, database: &str) -> BTreeMap<String, Vec<String>> {
    let tables = tables(server, database);
    tables.into_iter().map(|table| (table.clone(), structure_of(server, database, &table))).collect()
}

fn structure_of(server: &ClickHouse, database: &str, table: &str) -> Vec<String> {
    let of = format!("WHERE database = '{database}' AND table = '{table}'");
    let engine = server.query(&format!(
        "SELECT engine_full FROM system.tables WHERE database = '{database}' AND name = '{table}' FORMAT TSVRaw"
    ));
    let (keys, settings) = engine.trim_end().rsplit_once(" SETTINGS ").unwrap_or((engine.trim_end(), ""));
    let keys = keys.split(" TTL ").next().expect("keys");
    let mut settings: Vec<&str> = settings.split(", ").collect();
    settings.sort_unstable();
    vec![
        server.query(&format!(
            "SELECT name, type, default_expression, compression_codec, comment FROM system.columns {of} ORDER BY position"
        )),
        server.query(&format!("SELECT name, expr, type_full, granularity FROM system.data_skipping_indices {of}")),
        server.query(&format!("SELECT name, query FROM system.projections {of} ORDER BY name")),
        keys.to_owned(),
        settings.join("\n"),
    ]
}

/// What the list of columns says that the table of records has to be, and the others as their only statements make
/// them.
fn expected_structure() -> BTreeMap<String, Vec<String>> {
    let server = ClickHouse::shared();
    let database = server.create_database();
    server.query(&within(&database, &create_records_table(0)));
    server.query(&within(&database, &create_bookkeeping()));
    let curation = MIGRATIONS.iter().find(|migration| migration.name == CURATION).expect("the migration of its name");
    server.query(&within(&database, &curation.statement()));
    structure(&database)
}

fn applied(database: &str) -> String {
    let sql = format!("SELECT DISTINCT version FROM {database}.migrations ORDER BY version FORMAT TSV");
    ClickHouse::shared().query(&sql).trim_end().replace('\n', " ")
}

fn all_versions() -> String {
    (1..=LATEST).map(|version| version.to_string()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_earlier_version_becomes_what_the_list_of_columns_says_and_keeps_its_records() {
    let expected = expected_structure();
    let mut databases: Vec<(u32, String)> = (1..=LATEST).map(|version| (version, database_at(version))).collect();
    databases.push((0, database_without_migrations()));
    for (version, database) in databases {
        let (before, curated) = (content(&database), rows(ClickHouse::shared(), &database).remove(CURATION));
        let migrated = store(&database).migrate().await.expect("migrated");
        let steps: Vec<u32> = migrated.applied.iter().map(|migration| migration.version).collect();
        assert_eq!((migrated.from, steps), (version, (version + 1..=LATEST).collect()));
        assert_eq!(structure(&database), expected, "from version {version}");
        assert_eq!(content(&database), before, "from version {version}");
        if curated.is_some() {
            assert_eq!(rows(ClickHouse::shared(), &database).remove(CURATION), curated, "from version {version}");
        }
        assert_eq!(applied(&database), all_versions());
        store(&database).check().await.expect("as it should be");
    }
}

#[tokio::test]
async fn what_is_applied_is_not_applied_again() {
    let database = ClickHouse::shared().create_database();
    let first = store(&database).migrate().await.expect("migrated");
    assert_eq!((first.from, first.applied.as_slice()), (0, MIGRATIONS));
    let again = store(&database).migrate().await.expect("migrated");
    assert_eq!(again, Migrated { from: LATEST, applied: Vec::new() });
    assert_eq!(structure(&database), expected_structure());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_migrate_at_once_do_no_harm() {
    for database in [ClickHouse::shared().create_database(), database_at(1), database_without_migrations()] {
        let mut all = JoinSet::new();
        for _ in 0..AT_ONCE {
            let store = store(&database);
            all.spawn(async move { store.migrate().await });
        }
        for outcome in all.join_all().await {
            outcome.unwrap_or_else(|error| panic!("{database}: {error}"));
        }
        assert_eq!(structure(&database), expected_structure());
        assert_eq!(applied(&database), all_versions());
    }
}

#[test]
fn two_servers_that_start_together_on_an_empty_database_both_serve() {
    let database = ClickHouse::shared().create_database();
    let start = |number: u8| {
        let (config, url) = (format!("collector_number = {number}\nread_wait_ms = 30000\n"), address(&database));
        thread::spawn(move || Server::start_with_config(PROGRAM, &config, &["--clickhouse", &url]))
    };
    let starting = [start(0), start(1)];
    let servers = starting.map(|starting| starting.join().expect("started"));
    let posted = servers.each_ref().map(|server| accepted(server, &Post::default()));
    for (server, id) in servers.iter().zip(posted) {
        assert!(ids(&records(server, "")).contains(&id));
    }
    assert_eq!(applied(&database), all_versions());
    assert_eq!(structure(&database), expected_structure());
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let database = database_at(1);
    note(ClickHouse::shared(), &database, LATEST + 1, "9.8.7");
    let (before, url) = (structure(&database), address(&database));
    let listen = ["--listen", "127.0.0.1:0"];
    let roles = ["serve", "collector", "web"].map(|role| [&[role][..], &listen].concat());
    for command in roles.iter().chain([&vec!["migrate"]]) {
        let ended = ended(&[command.as_slice(), &["--clickhouse", &url]].concat());
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let known = format!("knows versions up to {LATEST}");
        for part in
            [&format!("schema version {}", LATEST + 1), "9.8.7", &known, "start a program that is at least as new"]
        {
            assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
        }
    }
    assert_eq!(structure(&database), before);
}

#[test]
fn a_migration_that_fails_leaves_what_was_and_says_what_to_do() {
    let (server, database) = (ClickHouse::shared(), database_at(1));
    let proper = server.create_database();
    // A table that cannot do what the next migration asks for.
    server.query(&format!("RENAME TABLE {database}.records TO {proper}.records"));
    server.query(&format!("CREATE TABLE {database}.records ENGINE = Log AS SELECT * FROM {proper}.records"));
    let state = || (structure(&database), rows(server, &database));
    let (before, url) = (state(), address(&database));
    let failed = ended(&["migrate", "--clickhouse", &url]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    for part in [
        "migration 2 (codecs_and_indexes)",
        "at schema version 1",
        "run `telemetrics migrate`",
        "nothing in it is lost",
    ] {
        assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
    }
    assert_eq!((state(), applied(&database)), (before, "1".into()));

    // Records are accepted meanwhile, and delivered as soon as the cause is mended.
    let serving = Server::start_with_config(PROGRAM, "[drain]\nbatch_age_ms = 50\n", &["--clickhouse", &url]);
    serving.process().wait_for_error(|line| line.contains("migration 2").then_some(()));
    accepted(&serving, &Post::default());
    server.query(&format!("DROP TABLE {database}.records SYNC"));
    server.query(&format!("RENAME TABLE {proper}.records TO {database}.records"));
    wait_until("the delivery", || {
        server.query(&format!("SELECT count() FROM {database}.records")).trim_end() == "1001"
    });
    let done = ended(&["migrate", "--clickhouse", &url]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains(&format!("schema version {LATEST}")), "{}", done.stdout);
    assert_eq!(structure(&database), expected_structure());
}

/// A column without which a migration cannot do the last or a later part of what it has to.
const OBSTACLES: [(u32, &str); 4] = [(2, "payload"), (3, "host_type"), (4, "payload"), (6, "reason")];

/// Migrations that make a table.
const MAKING_TABLES: [(u32, &str); 2] = [(1, "first"), (5, "fifth")];

#[test]
fn every_migration_is_among_those_that_fail_here() {
    let mut versions: Vec<u32> = OBSTACLES.iter().chain(&MAKING_TABLES).map(|(version, _)| *version).collect();
    versions.sort_unstable();
    assert_eq!(versions, MIGRATIONS.iter().map(|migration| migration.version).collect::<Vec<_>>());
}

fn assert_failed(outcome: Result<Migrated, SetupError>, expected: u32) {
    match outcome {
        Err(SetupError::Failed { version, at, .. }) => assert_eq!((version, at), (expected, expected - 1)),
        other => panic!("migration {expected} has to fail: {other:?}"),
    }
}

#[tokio::test]
async fn a_migration_that_fails_in_one_of_its_parts_leaves_all_tables_as_they_were() {
    let (server, expected) = (ClickHouse::shared(), expected_structure());
    for (version, column) in OBSTACLES {
        let database = database_at(version - 1);
        let reported = content(&database);
        let rename = |from: &str, to: &str| {
            server.query(&format!("ALTER TABLE {database}.records RENAME COLUMN `{from}` TO `{to}`"));
        };
        rename(column, "elsewhere");
        let state = || (structure(&database), rows(server, &database), applied(&database));
        let before = state();
        assert_failed(store(&database).migrate().await, version);
        assert_eq!(state(), before, "migration {version}");
        rename("elsewhere", column);
        store(&database).migrate().await.expect("migrated");
        assert_eq!((structure(&database), content(&database)), (expected.clone(), reported), "migration {version}");
    }
}

#[tokio::test]
async fn a_migration_that_may_not_make_its_table_leaves_all_others_as_they_were() {
    let expected = expected_structure();
    let grants: Vec<String> = MAKING_TABLES
        .iter()
        .map(|(_, database)| format!("<query>GRANT CREATE TABLE ON {database}.migrations</query>"))
        .collect();
    let server = ClickHouse::start_with_users(&format!(
        "<weak><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\
         <grants><query>GRANT SELECT, INSERT, ALTER ON *.*</query><query>GRANT TABLE ENGINE ON *</query>{}</grants>\
         </weak>",
        grants.concat()
    ));
    for (version, database) in MAKING_TABLES {
        server.query(&format!("CREATE DATABASE {database}"));
        bring_to(&server, database, version - 1);
        let store = |user: &str| {
            let (database, user) = (database.to_owned(), user.to_owned());
            let target = ClickHouseTarget { database, user, ..ClickHouseTarget::new(server.url()) };
            ClickHouseStore::new(&target, RetentionPolicy::off())
        };
        let state = || (structure_in(&server, database), rows(&server, database));
        let before = state();
        assert_failed(store("weak").migrate().await, version);
        assert_eq!(state(), before, "migration {version}");
        store("default").migrate().await.expect("migrated");
        assert_eq!(structure_in(&server, database), expected, "migration {version}");
    }
}

#[test]
fn a_table_of_somebody_else_is_refused() {
    let (server, database) = (ClickHouse::shared(), database_at(LATEST));
    server.query(&format!("ALTER TABLE {database}.records DROP COLUMN arch"));
    let ended = ended(&["serve", "--listen", "127.0.0.1:0", "--clickhouse", &address(&database)]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the column arch is missing"), "{}", ended.stderr);
}

#[test]
fn migrate_says_what_it_did_and_what_it_needs() {
    let database = ClickHouse::shared().create_database();
    let url = address(&database);
    let first = ended(&["migrate", "--clickhouse", &url]);
    assert!(first.status.success() && first.stdout.contains("applied 0001 records"), "{first:?}");
    let again = ended(&["migrate", "--clickhouse", &url]);
    assert!(again.status.success() && !again.stdout.contains("applied"), "{again:?}");
    for (args, said) in [
        (&["migrate"][..], "only a ClickHouse server has migrations"),
        (&["migrate", "--clickhouse", "http://127.0.0.1:1"], "ClickHouse: "),
    ] {
        let ended = ended(args);
        assert!(ended.status.code() == Some(1) && ended.stderr.contains(said), "{args:?}: {ended:?}");
    }
}

#[tokio::test]
async fn who_only_reads_is_told_what_is_missing() {
    let database = database_at(1);
    let error = store(&database).check().await.expect_err("too old").to_string();
    assert!(error.contains("schema version 1") && error.contains("run `telemetrics migrate`"), "{error}");
    assert_eq!(applied(&database), "1", "a check changes nothing");
}
