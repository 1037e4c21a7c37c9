//! From the embedded store into ClickHouse: every record once, whatever dies on the way.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::questions::contents::{checksums, contents, records_of};
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, EmbeddedStore, Store};
use telemetrics_schema::attributes::NoParsers;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::{Clock, US_PER_DAY};
use telemetrics_schema::{CollectorNumber, IdSequence, Record, RecordId, Report, TimestampUs};
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Process, Server, wait_until};
use telemetrics_web::clock::SystemClock;
use telemetrics_web::demo;

use crate::servers::{PROGRAM, accepted, ended, ids, records};

/// Invented records of five weeks: each day is moved by itself.
const RECORDS: u64 = 4_000;
const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

fn collector(number: u8) -> CollectorNumber {
    CollectorNumber::new(number).expect("below 64")
}

/// A data directory with invented records.
struct Embedded(tempfile::TempDir);

impl Embedded {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    async fn with_demo() -> Self {
        let embedded = Self::new();
        fill(embedded.path()).await;
        embedded
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn text(&self) -> &str {
        self.path().to_str().expect("a path that is text")
    }

    async fn insert(&self, number: u8, records: Vec<Record>) {
        let table = DataDir::new(self.path()).records_table();
        let store = EmbeddedStore::open(&table, collector(number)).await.expect("a table");
        insert(&mut Store::Embedded(store), records).await;
    }

    fn arguments<'a>(&'a self, url: &'a str) -> [&'a str; 6] {
        ["store", "move", "--data-dir", self.text(), "--clickhouse", url]
    }

    fn moved(&self, url: &str) -> Ended {
        let ended = ended(&self.arguments(url));
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        ended
    }

    fn refused(&self, url: &str) -> String {
        let ended = ended(&self.arguments(url));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        ended.stderr
    }

    /// A move that has begun.
    fn begun(&self, url: &str) -> Process {
        Process::start(Command::new(PROGRAM).args(self.arguments(url)), Path::new("/nonexistent/nothing"))
    }
}

/// All that is in the table of a data directory, also what has expired.
async fn view(data_dir: &Path) -> View {
    let table = DataDir::new(data_dir).records_table();
    let reader = EmbeddedReader::open(&table, collector(0), Recent::default()).await.expect("a reader");
    Analytics::embedded(reader, everything()).expect("analytics").at(NOW).await.expect("a view")
}

fn everything() -> Limits {
    Limits::without_retention()
}

async fn fill(data_dir: &Path) {
    let data = DataDir::new(data_dir);
    demo::fill(&data, collector(0), RECORDS, 1, SystemClock.now(), Arc::new(NoParsers)).await.expect("filled");
}

/// Inserts records of one day, in the order of their identifiers.
async fn insert(store: &mut Store, records: Vec<Record>) {
    let batch = Batch::of(records.into_iter().map(Arc::new).collect()).expect("a batch");
    store.insert(&batch).await.expect("inserted");
}

fn record(id: i64, at: TimestampUs, payload: &str) -> Record {
    let report =
        Report { payload: payload.to_owned(), severity: 1, classification: "a/b/c".to_owned(), ..Report::default() };
    Record { id: RecordId(id), ts_reception: at, report }
}

fn url(server: &ClickHouse, database: &str) -> String {
    format!("{}/{database}", server.url())
}

/// A new database of the shared server, and its address.
fn database() -> (String, String) {
    let name = ClickHouse::shared().create_database();
    let url = url(ClickHouse::shared(), &name);
    (name, url)
}

/// How many records there are, and how many different ones.
fn counts(server: &ClickHouse, database: &str) -> String {
    server.query(&format!("SELECT count(), uniqExact(id) FROM {database}.records")).trim_end().to_owned()
}

fn all_once() -> String {
    format!("{RECORDS}\t{RECORDS}")
}

fn is_a_day(line: &str) -> Option<()> {
    line.starts_with('[').then_some(())
}

#[tokio::test]
async fn checksums_of_equal_records_are_equal_in_both_stores() {
    let (embedded, (database, _)) = (Embedded::new(), database());
    let target = ClickHouseTarget { database: database.clone(), ..ClickHouseTarget::new(ClickHouse::shared().url()) };
    let writer = ClickHouseStore::new(&target, RetentionPolicy::off());
    writer.migrate().await.expect("a table");
    let odd = ["", "plain", "it's", "back\\slash", "two\nlines", "nul\0inside", "\u{1f980} crab", ";1:x"];
    let rows: Vec<Record> = (0..)
        .zip(odd)
        .map(|(place, text)| {
            let mut record = record(place, NOW, text);
            record.report.host_type = text.to_owned();
            record.report.external = place % 2 == 0;
            record.report.ts_capture_s = [0, -1, 10_413_791_999][usize::try_from(place % 3).expect("small")];
            record.report.payload_format_version = i32::MAX;
            record
        })
        .collect();
    embedded.insert(0, rows.clone()).await;
    insert(&mut Store::ClickHouse(Box::new(writer)), rows).await;
    let settings = ClickHouseSettings { database, ..ClickHouseSettings::new(ClickHouse::shared().url()) };
    let there = Analytics::clickhouse(&settings, everything()).expect("analytics").at(NOW).await.expect("a view");
    let here = view(embedded.path()).await;
    let (day, last) = (NOW.day(), RecordId::MAX);
    let sums = checksums(&here, day, last).await.expect("checksums");
    assert_eq!(sums, checksums(&there, day, last).await.expect("checksums"));
    assert_eq!(sums[&(day, 0)].records, odd.len() as u64);
    assert_ne!(sums, checksums(&there, day, RecordId(6)).await.expect("checksums"), "a record more or less is seen");
    let days = i32::MIN..=i32::MAX;
    assert_eq!(contents(&here, days.clone()).await.expect("contents"), contents(&there, days).await.expect("contents"));
    assert_eq!(records_of(&here, day, &(0..=9), 1).await.expect("an answer"), None, "more text than asked for");
    let one = records_of(&here, day, &(1..=1), 1).await.expect("an answer").expect("one record, however large");
    assert_eq!(one[0].report.payload, "plain");
}

#[tokio::test]
async fn a_move_that_is_killed_again_and_again_brings_every_record_once() {
    let (embedded, (database, url)) = (Embedded::with_demo().await, database());
    for (days, pause_ms) in [(1, 0), (2, 30), (3, 60), (4, 90), (5, 120)] {
        let process = embedded.begun(&url);
        let seen = std::cell::Cell::new(0);
        process.wait_for_output(|line| {
            seen.set(seen.get() + i32::from(is_a_day(line).is_some() && !line.contains("was there")));
            (seen.get() >= days).then_some(())
        });
        // Some moments are in the middle of an insert, some are not.
        thread::sleep(Duration::from_millis(pause_ms));
        process.kill();
    }
    let last = embedded.moved(&url);
    assert!(last.stdout.contains(", was there") && last.stdout.contains("moved "), "{}", last.stdout);
    assert_eq!(counts(ClickHouse::shared(), &database), all_once());
    let again = embedded.moved(&url);
    assert!(again.stdout.contains(&format!("nothing to move: all {RECORDS} records are there")), "{}", again.stdout);
    fs::remove_file(embedded.path().join("store-move.json")).expect("the notes");
    let without_notes = embedded.moved(&url);
    assert!(without_notes.stdout.contains("nothing to move"), "checksums say so: {}", without_notes.stdout);
    assert_eq!(counts(ClickHouse::shared(), &database), all_once());
}

#[tokio::test]
async fn a_server_that_goes_away_in_the_middle_is_waited_for() {
    let (embedded, mut clickhouse) = (Embedded::with_demo().await, ClickHouse::start());
    let database = clickhouse.create_database();
    let process = embedded.begun(&url(&clickhouse, &database));
    process.wait_for_output(is_a_day);
    clickhouse.kill();
    process.wait_for_error(|line| line.contains("it is tried again").then_some(()));
    clickhouse.restart();
    let ended = process.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(counts(&clickhouse, &database), all_once());
}

/// What the API says in several ways.
fn answers(server: &Server) -> Vec<Vec<Value>> {
    let queries = ["limit=1000", "severity=4&limit=500", "classification=org.clearlinux/*&limit=500", "build=x"];
    queries.iter().map(|query| records(server, query)).collect()
}

#[tokio::test]
async fn the_server_answers_the_same_afterwards_and_delivers_what_was_in_the_journal() {
    let mut server = Server::start_with_config(PROGRAM, "", &[]);
    server.terminate();
    fill(&server.data_dir()).await;
    // Batches are not closed by themselves within this test: what is posted last is in the journal only.
    fs::write(server.dir().join("telemetrics.toml"), "retention = \"off\"\n[drain]\nbatch_age_ms = 3600000\n")
        .expect("written");
    server.restart();
    let posted: Vec<u64> = (0..3).map(|_| accepted(&server, &Post::default())).collect();
    let before = answers(&server);
    assert!(before[0].len() == 1_000 && ids(&before[0]).contains(&posted[0]));
    server.kill();
    let (database, url) = database();
    let data_dir = server.data_dir();
    let moved = ended(&["store", "move", "--data-dir", data_dir.to_str().expect("text"), "--clickhouse", &url]);
    assert_eq!(moved.status.code(), Some(0), "{moved:?}");
    assert_eq!(counts(ClickHouse::shared(), &database), all_once(), "what is in the journal stays there");
    let base = ClickHouse::shared().url();
    let config = format!(
        "retention = \"off\"\nread_wait_ms = 30000\n[store.clickhouse]\nurl = \"{base}\"\ndatabase = \"{database}\"\n"
    );
    fs::write(server.dir().join("telemetrics.toml"), config).expect("written");
    server.restart();
    assert_eq!(answers(&server), before);
    let new = accepted(&server, &Post::default());
    assert!(new > *posted.last().expect("some"));
    assert_eq!(ids(&records(&server, "limit=1")), vec![new]);
    let all = RECORDS + 4;
    wait_until("all records are there, once", || counts(ClickHouse::shared(), &database) == format!("{all}\t{all}"));
}

#[tokio::test]
async fn who_began_with_the_new_store_can_move_the_old_one_afterwards() {
    let (database, url) = database();
    let mut server = Server::start_with_config(PROGRAM, "", &[]);
    let old = accepted(&server, &Post::default());
    server.terminate();
    let config = format!(
        "read_wait_ms = 30000\n[store.clickhouse]\nurl = \"{}\"\ndatabase = \"{database}\"\n",
        ClickHouse::shared().url()
    );
    fs::write(server.dir().join("telemetrics.toml"), config).expect("written");
    server.restart();
    let new = accepted(&server, &Post::default());
    assert_eq!(ids(&records(&server, "")), vec![new]);
    server.terminate();
    let data_dir = server.data_dir();
    let moved = ended(&["store", "move", "--data-dir", data_dir.to_str().expect("text"), "--clickhouse", &url]);
    assert_eq!(moved.status.code(), Some(0), "{moved:?}");
    server.restart();
    assert_eq!(ids(&records(&server, "")), vec![new, old]);
}

#[tokio::test]
async fn a_day_of_many_records_is_moved_in_several_batches() {
    let (embedded, (database, url)) = (Embedded::new(), database());
    let many = 140_000;
    let start = TimestampUs(NOW.0 - NOW.0.rem_euclid(US_PER_DAY));
    let mut names = IdSequence::after(collector(0), None);
    let rows = (0..many).map(|place| {
        // Most of them within a minute: halves of the range are far from being halves of the records.
        let at = TimestampUs(start.0 + if place % 100 == 0 { place * 600_000 } else { 43_200_000_000 + place * 400 });
        (at, place)
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    embedded
        .insert(0, rows.iter().map(|(at, place)| record(names.next(*at).0, *at, &place.to_string())).collect())
        .await;
    embedded.moved(&url);
    assert_eq!(counts(ClickHouse::shared(), &database), format!("{many}\t{many}"));
    let blocks =
        format!("SELECT max(max_block_number) >= 3 FROM system.parts WHERE database = '{database}' AND active");
    assert_eq!(ClickHouse::shared().query(&blocks), "1\n", "no batch has more than 65,536 records");
}

#[tokio::test]
async fn every_number_in_the_table_is_taken_and_one_of_another_directory_is_refused() {
    let (embedded, (database, url)) = (Embedded::new(), database());
    let of_number = |number| record(IdSequence::after(collector(number), None).next(NOW).0, NOW, "");
    embedded.insert(0, vec![of_number(0)]).await;
    embedded.insert(3, vec![of_number(3)]).await;
    embedded.moved(&url);
    let tables =
        format!("SELECT name FROM system.tables WHERE database = '{database}' AND name LIKE 'collector%' ORDER BY 1");
    assert_eq!(ClickHouse::shared().query(&tables), "collector_0\ncollector_3\n");
    assert_eq!(counts(ClickHouse::shared(), &database), "2\t2");
    let other = Embedded::new();
    other.insert(3, vec![of_number(3)]).await;
    let message = other.refused(&url);
    assert!(message.contains("collector number 0 belongs to another data directory"), "{message}");
    let config = other.path().join("t.toml");
    fs::write(&config, "collector_number = 7\n").expect("written");
    let with_config = [&other.arguments(&url)[..], &["--config", config.to_str().expect("text")]].concat();
    let message = ended(&with_config).stderr;
    assert!(message.contains("there are records of the collector number 3 here"), "{message}");
    assert_eq!(counts(ClickHouse::shared(), &database), "2\t2");
}

#[tokio::test]
async fn a_record_that_is_another_one_there_is_not_overlooked() {
    let (embedded, (database, url)) = (Embedded::new(), database());
    embedded.insert(0, vec![record(1, NOW, "right"), record(2, NOW, "right")]).await;
    assert!(ended(&["migrate", "--clickhouse", &url]).status.success());
    let target = ClickHouseTarget { database: database.clone(), ..ClickHouseTarget::new(ClickHouse::shared().url()) };
    let mut there = Store::ClickHouse(Box::new(ClickHouseStore::new(&target, RetentionPolicy::off())));
    insert(&mut there, vec![record(2, NOW, "wrong")]).await;
    let message = embedded.refused(&url);
    assert!(message.contains("are not equal after they were moved: 2 records with checksum"), "{message}");
    assert!(message.contains("start the same command again"), "{message}");
    assert_eq!(counts(ClickHouse::shared(), &database), "2\t2", "nothing was added twice or taken away");
}

#[tokio::test]
async fn where_the_server_deletes_old_records_their_absence_is_no_difference() {
    let (embedded, (database, url)) = (Embedded::new(), database());
    // A collector with another number has been there, and with it the policy.
    let other = Server::start_as(PROGRAM, "collector", "collector_number = 9\n", &["--clickhouse", &url]);
    wait_until("the policy is that of the table", || {
        let engine = format!(
            "SELECT engine_full LIKE '% TTL %' FROM system.tables WHERE database = '{database}' AND name = 'records'"
        );
        ClickHouse::shared().query(&engine) == "1\n"
    });
    drop(other);
    let old = TimestampUs(SystemClock.now().0 - 50 * US_PER_DAY);
    embedded.insert(0, vec![record(1, old, "expired")]).await;
    embedded.insert(0, vec![record(2, SystemClock.now(), "living")]).await;
    embedded.moved(&url);
    ClickHouse::shared().query(&format!("OPTIMIZE TABLE {database}.records FINAL"));
    let again = embedded.moved(&url);
    assert!(again.stdout.contains("nothing to move"), "{}", again.stdout);
}

#[tokio::test]
async fn what_cannot_be_moved_is_told() {
    let (_, url) = database();
    let nothing = Embedded::new();
    assert!(nothing.refused(&url).contains("there is no embedded store in"));
    assert!(fs::read_dir(nothing.path()).expect("a directory").next().is_none(), "nothing was made");
    let server = Server::start(PROGRAM, &[]);
    let data_dir = server.data_dir();
    let arguments = ["store", "move", "--data-dir", data_dir.to_str().expect("text")];
    let message = ended(&arguments).stderr;
    assert!(message.contains("is not named: give --clickhouse"), "{message}");
    let message = ended(&[&arguments[..], &["--clickhouse", &url]].concat()).stderr;
    assert!(message.contains("a server uses the data directory") && message.contains("stop it first"), "{message}");
    drop(server);
    let embedded = Embedded::new();
    embedded.insert(0, vec![record(1, NOW, "")]).await;
    let message = embedded.refused("http://127.0.0.1:9/x");
    assert!(message.contains("ClickHouse: network error"), "{message}");
}
