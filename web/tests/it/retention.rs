//! Retention with the real process: in answers at once, on disk after merges, and what a dry run says before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::ddl::quoted;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::time::{US_PER_DAY, US_PER_S};
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use telemetrics_testkit::{ClickHouse, Post, Process, Server, wait_until};

use crate::documents::{shell, under};
use crate::servers::{PROGRAM, accepted, embedded, ids, metric, records};

/// The purge examples of the original's contract.
const EXAMPLES: &str = r#"
read_wait_ms = 30000
[retention]
default_days = 5
rules = [
    { severity = 1, days = 1 },
    { severity = 4, days = 0 },
    { classification = "test/keep/one", days = 0 },
    { classification = "test/discard/*", days = 1 },
]
"#;

/// Age in days, classification, severity, and whether it lives under a policy.
pub(crate) type Aged = (i64, &'static str, i8, bool);

/// Under [`EXAMPLES`]. The place of each is its id.
pub(crate) const AGED: [Aged; 12] = [
    (2, "test/discard/two", 4, false),
    (6, "test/keep/one", 2, true),
    (6, "test/test/one", 2, false),
    (6, "test/test/one", 4, true),
    (4, "test/test/one", 2, true),
    (2, "test/test/one", 1, false),
    (0, "test/test/one", 1, true),
    (2, "test/keep/one", 1, false),
    (0, "test/discard/two", 2, true),
    (6, "test/discard", 3, false),
    (4, "test/discard", 3, true),
    (400, "test/keep/one", 4, true),
];

/// Under the policy of the page about retention, in the order of its table, on both sides of each limit.
const OF_THE_PAGE: [Aged; 10] = [
    (0, "org.clearlinux/hello/world", 1, true),
    (1, "org.clearlinux/hello/world", 1, false),
    (0, "org.clearlinux/hello/world", 4, true),
    (1, "org.clearlinux/hello/world", 4, false),
    (4_000, "org.clearlinux/mce/corrected", 2, true),
    (89, "org.clearlinux/mce/fatal", 4, true),
    (90, "org.clearlinux/mce/fatal", 4, false),
    (34, "org.clearlinux/crash/clr", 3, true),
    (35, "org.clearlinux/crash/clr", 3, false),
    (0, "org.clearlinux/crash/clr", 3, true),
];

fn living_examples() -> BTreeSet<u64> {
    living(&AGED)
}

fn living(aged: &[Aged]) -> BTreeSet<u64> {
    (1..).zip(aged).filter(|(_, (.., lives))| *lives).map(|(id, _)| id).collect()
}

fn insert(database: &str, id: u64, age_days: i64, classification: &str, severity: i8) {
    // An hour more than the days, or an hour old.
    ClickHouse::shared().query(&format!(
        "INSERT INTO {database}.records (id, ts_reception, classification, severity) \
         VALUES ({id}, now64(6) - INTERVAL {} HOUR, {}, {severity})",
        age_days * 24 + 1,
        quoted(classification)
    ));
}

fn on_database(database: &str, config: &str) -> Server {
    let url = format!("{}/{database}", ClickHouse::shared().url());
    Server::start_with_config(PROGRAM, config, &["--clickhouse", &url])
}

fn restart_with(server: &mut Server, config: &str) {
    let _ = server.terminate();
    fs::write(server.dir().join("telemetrics.toml"), config).expect("written");
    server.restart();
}

fn seen(server: &Server) -> BTreeSet<u64> {
    ids(&records(server, "limit=10000")).into_iter().collect()
}

fn rows_on_disk(database: &str) -> BTreeSet<u64> {
    let ids = ClickHouse::shared().query(&format!("SELECT id FROM {database}.records"));
    ids.lines().map(|id| id.parse().expect("a number")).collect()
}

/// Merges as the server will in time, after it noted the dates of the policy in all parts.
fn merge(database: &str) {
    let server = ClickHouse::shared();
    let open = format!("SELECT count() FROM system.mutations WHERE database = '{database}' AND NOT is_done");
    wait_until("the dates of all parts", || server.query(&open).trim_end() == "0");
    // A partition that is being merged already is passed over in silence, unless the server is told to say so.
    let merge = format!("OPTIMIZE TABLE {database}.records FINAL SETTINGS optimize_throw_if_noop = 1");
    wait_until("a merge of all parts", || server.try_query(&merge).is_ok());
}

fn rows_of_parts(database: &str) -> String {
    let of = format!("database = '{database}' AND table = 'records' AND active");
    ClickHouse::shared().query(&format!("SELECT sum(rows) FROM system.parts WHERE {of}")).trim_end().to_owned()
}

#[test]
fn the_purge_examples_hold_at_once_in_answers_and_after_merges_on_disk() {
    let database = ClickHouse::shared().create_database();
    let server = on_database(&database, EXAMPLES);
    ClickHouse::shared().query(&format!("SYSTEM STOP MERGES {database}.records"));
    for (id, (age_days, classification, severity, _)) in (1..).zip(AGED) {
        insert(&database, id, age_days, classification, severity);
    }
    assert_eq!(rows_on_disk(&database).len(), AGED.len(), "nothing is deleted yet");
    assert_eq!(seen(&server), living_examples());
    ClickHouse::shared().query(&format!("SYSTEM START MERGES {database}.records"));
    merge(&database);
    assert_eq!(rows_on_disk(&database), living_examples());
    assert_eq!(rows_of_parts(&database), living_examples().len().to_string());
    assert_eq!(seen(&server), living_examples());
}

fn default_days(days: u32, rules: &str) -> String {
    format!("read_wait_ms = 30000\n[retention]\ndefault_days = {days}\nrules = [{rules}]\n")
}

/// Ages in days are ids here.
fn up_to(days: u64) -> BTreeSet<u64> {
    (1..days).collect()
}

#[test]
fn a_changed_policy_keeps_and_deletes_what_it_says_and_nothing_else() {
    let (clickhouse, database) = (ClickHouse::shared(), ClickHouse::shared().create_database());
    let mut server = on_database(&database, &default_days(5, ""));
    clickhouse.query(&format!("SYSTEM STOP MERGES {database}.records"));
    for age_days in 1..=12_u64 {
        insert(&database, age_days, i64::try_from(age_days).expect("small"), "a/b/c", 2);
    }
    assert_eq!(seen(&server), up_to(5));

    // Longer: what is still on disk is there again, though the server had noted for its parts that they have expired.
    restart_with(&mut server, &default_days(10, ""));
    assert_eq!(seen(&server), up_to(10));
    clickhouse.query(&format!("SYSTEM START MERGES {database}.records"));
    clickhouse.query(&format!("OPTIMIZE TABLE {database}.records FINAL"));
    merge(&database);
    assert_eq!((rows_on_disk(&database), seen(&server)), (up_to(10), up_to(10)));

    // The same policy again changes nothing.
    let changes = || clickhouse.query(&format!("SELECT count() FROM system.mutations WHERE database = '{database}'"));
    let before = changes();
    restart_with(&mut server, &default_days(10, ""));
    assert_eq!(changes(), before);

    // Shorter, with an exception.
    insert(&database, 100, 9, "keep/it's\\/this", 2);
    restart_with(&mut server, &default_days(3, r#"{ classification = "keep/it's\\/*", days = 0 }"#));
    let expected: BTreeSet<u64> = [1, 2, 100].into();
    assert_eq!(seen(&server), expected);
    merge(&database);
    assert_eq!(rows_on_disk(&database), expected);

    // Off: nothing expires any more.
    restart_with(&mut server, "read_wait_ms = 30000\nretention = \"off\"\n");
    insert(&database, 101, 4_000, "a/b/c", 1);
    merge(&database);
    assert_eq!((rows_on_disk(&database).len(), seen(&server).len()), (4, 4));
}

fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    TimestampUs(i64::try_from(since.as_micros()).expect("before 2262"))
}

/// These records in the embedded store, each a batch of its own. The place of each is its id.
pub(crate) fn fill_embedded(data: &Path, aged: &[Aged]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let table = DataDir::new(data).records_table();
        let store = EmbeddedStore::open(&table, CollectorNumber::default()).await.expect("a table");
        let mut store = Store::Embedded(store);
        for (id, (age_days, classification, severity, _)) in (1..).zip(aged) {
            let report = Report { classification: (*classification).into(), severity: *severity, ..Report::default() };
            let ts_reception = TimestampUs(now().0 - age_days * US_PER_DAY - 3_600 * US_PER_S);
            let record = Arc::new(Record { id: RecordId(id), ts_reception, report });
            store.insert(&Batch::of(vec![record]).expect("a record")).await.expect("inserted");
        }
    });
}

/// Lets a server that runs read another configuration.
fn reconfigure(server: &Server, config: &str) {
    fs::write(server.dir().join("telemetrics.toml"), config).expect("written");
    server.process().hang_up();
}

#[test]
fn a_policy_that_is_read_anew_holds_at_once_in_the_embedded_store() {
    let drain = "[drain]\nbatch_age_ms = 10\n";
    let mut server = embedded();
    server.kill();
    fill_embedded(&server.data_dir(), &AGED);
    fs::write(server.dir().join("telemetrics.toml"), format!("retention = \"off\"\n{drain}")).expect("written");
    server.restart();
    assert_eq!(seen(&server).len(), AGED.len());
    reconfigure(&server, &format!("{EXAMPLES}{drain}"));
    wait_until("the policy in answers", || seen(&server) == living_examples());
    assert!(server.get("/telemetryui/status").text().contains("test/discard/*"), "the page says it");
    // What comes in wakes the maintenance.
    accepted(&server, &Post::default());
    let expired = AGED.len() - living_examples().len();
    let deleted = || metric(&server, "telemetrics_maintenance_expired_records_total");
    wait_until("the policy on disk", || deleted() == expired as u64);
    reconfigure(&server, &format!("retention = \"off\"\n{drain}"));
    let said = |line: &str| line.contains("the configuration was read anew").then_some(());
    server.process().wait_for_error(said);
    assert_eq!(seen(&server).len(), living_examples().len() + 1, "what was deleted does not come back");
}

#[test]
fn a_policy_that_is_read_anew_holds_at_once_in_clickhouse_and_decides_what_it_deletes() {
    let (clickhouse, database) = (ClickHouse::shared(), ClickHouse::shared().create_database());
    let server = on_database(&database, &default_days(5, ""));
    clickhouse.query(&format!("SYSTEM STOP MERGES {database}.records"));
    for age_days in 1..=12_u64 {
        insert(&database, age_days, i64::try_from(age_days).expect("small"), "a/b/c", 2);
    }
    let of_table = format!("SELECT engine_full FROM system.tables WHERE database = '{database}' AND name = 'records'");
    let (engine, before) = (|| clickhouse.query(&of_table), clickhouse.query(&of_table));
    reconfigure(&server, &default_days(8, ""));
    wait_until("the policy in answers", || seen(&server) == up_to(8));
    wait_until("the policy of the table", || engine() != before);
    clickhouse.query(&format!("SYSTEM START MERGES {database}.records"));
    merge(&database);
    assert_eq!((rows_on_disk(&database), seen(&server)), (up_to(8), up_to(8)));
}

/// Rows of each line of a dry run, by the text before the numbers.
fn dry_run(args: &[&str]) -> Vec<(String, u64)> {
    let dir = tempfile::tempdir().expect("a directory");
    let mut program = Command::new(PROGRAM);
    let program = program.args(["retention", "--dry-run"]).args(args).current_dir(dir.path());
    let ended = Process::start(program, dir.path()).wait();
    assert!(ended.status.success(), "{ended:?}");
    let lines = ended.stdout.lines().skip_while(|line| !line.starts_with("rule ")).skip(1);
    let lines: Vec<Vec<&str>> = lines.take_while(|line| !line.is_empty()).map(|l| l.split("  ").collect()).collect();
    let told = lines.iter().map(|words| {
        let words: Vec<&str> = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
        let [name, .., rows, bytes] = words.as_slice() else { panic!("not a line of the table: {words:?}") };
        let (rows, bytes): (u64, u64) = (rows.parse().expect("rows"), bytes.parse().expect("bytes"));
        assert_eq!(rows > 0, bytes > 0, "{words:?}");
        ((*name).to_owned(), rows)
    });
    told.collect()
}

fn expected_dry_run() -> Vec<(String, u64)> {
    let lines = [
        ("severity 1", 2),
        ("classification test/discard/*", 1),
        ("severity 4", 0),
        ("classification test/keep/one", 0),
        ("default", 2),
        ("total", 5),
    ];
    lines.map(|(name, rows)| (name.to_owned(), rows)).to_vec()
}

#[test]
fn a_dry_run_tells_rows_by_rule_of_clickhouse() {
    let database = ClickHouse::shared().create_database();
    let server = on_database(&database, "retention = \"off\"\n");
    for (id, (age_days, classification, severity, _)) in (1..).zip(AGED) {
        insert(&database, id, age_days, classification, severity);
    }
    let changed = server.dir().join("changed.toml");
    fs::write(&changed, EXAMPLES).expect("written");
    let url = format!("{}/{database}", ClickHouse::shared().url());
    let told = dry_run(&["--config", changed.to_str().expect("text"), "--clickhouse", &url]);
    assert_eq!(told, expected_dry_run());
    assert_eq!(rows_on_disk(&database).len(), AGED.len(), "nothing is deleted");
}

#[test]
fn a_dry_run_tells_rows_by_rule_of_the_directory_of_a_running_server() {
    let mut server = embedded();
    server.kill();
    fill_embedded(&server.data_dir(), &AGED);
    fs::write(server.dir().join("telemetrics.toml"), "retention = \"off\"\n").expect("written");
    server.restart();
    let changed = server.dir().join("changed.toml");
    fs::write(&changed, EXAMPLES).expect("written");
    let data = server.data_dir();
    let before = seen(&server);
    let dry_run =
        || dry_run(&["--config", changed.to_str().expect("text"), "--data-dir", data.to_str().expect("text")]);
    assert_eq!(dry_run(), expected_dry_run());
    assert_eq!(seen(&server), before);
    // A running server may compact meanwhile; without one every file is as it was.
    server.kill();
    let table = DataDir::new(&data).records_table();
    let files = walk(&table);
    assert_eq!((dry_run(), walk(&table)), (expected_dry_run(), files), "nothing is touched");
    server.restart();
    restart_with(&mut server, EXAMPLES);
    assert_eq!(seen(&server), living_examples());
}

#[test]
fn the_page_says_how_a_policy_is_tried_and_changed() {
    let document = "docs/retention.md";
    let mut server = embedded();
    server.kill();
    fill_embedded(&server.data_dir(), &OF_THE_PAGE);
    fs::write(server.dir().join("telemetrics.toml"), "retention = \"off\"\n").expect("written");
    server.restart();
    let policy = under(document, "The policy", "toml");
    let changed = format!("data_dir = \"{}\"\n{policy}", server.data_dir().display());
    fs::write(server.dir().join("changed.toml"), changed).expect("written");
    let told = shell(server.dir(), None, &under(document, "Ask before you shorten it", "sh"));
    let expired = OF_THE_PAGE.len() - living(&OF_THE_PAGE).len();
    let total = told.lines().find_map(|line| line.strip_prefix("total")).expect("a sum");
    assert_eq!(total.split_whitespace().next(), Some(expired.to_string().as_str()), "{told}");
    assert_eq!(seen(&server).len(), OF_THE_PAGE.len(), "nothing is deleted");
    shell(server.dir(), Some(&server), &under(document, "Change it", "sh"));
    wait_until("the policy in answers", || seen(&server) == living(&OF_THE_PAGE));
    assert!(server.get("/telemetryui/status").text().contains("org.clearlinux/mce/*"), "the page shows the policy");
}

fn walk(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            found.extend(walk(&entry.path()));
        } else {
            found.insert(format!("{} {}", entry.path().display(), entry.metadata().expect("a file").len()));
        }
    }
    found
}
