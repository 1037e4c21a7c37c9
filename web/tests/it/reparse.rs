//! `telemetrics reparse`: what is derived is made anew in both stores, whatever dies on the way and is inserted meanwhile.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::questions::contents::{Contents, checksums, contents};
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View, Window};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, Store};
use telemetrics_schema::attributes::derive_all;
use telemetrics_schema::columns::reported;
use telemetrics_schema::layout::{DataDir, date_text};
use telemetrics_schema::payload::Derived;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{CollectorNumber, Record, RecordId, TimestampUs};
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Process, Server, wait_until};
use telemetrics_web::config::Config;
use telemetrics_web::parsers;

use crate::older_table::{age, insert};
use crate::rollups::{check_view, records as invented};
use crate::servers::{PROGRAM, accepted, ended};

const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);
/// Moments of kills, in milliseconds after the beginning; a run takes longer.
const KILLS_MS: [u64; 6] = [0, 40, 80, 120, 200, 400];
/// Records that arrive at a time.
const ARRIVING: usize = 10;
const WINDOWS: [Window; 2] = [
    Window { from: None, before: None },
    Window { from: Some(TimestampUs(NOW.0 - 5 * US_PER_DAY / 2)), before: Some(NOW) },
];

fn limits() -> Limits {
    Limits::without_retention()
}

fn run(store: &[&str], args: &[&str]) -> Ended {
    ended(&[&["reparse"], store, args].concat())
}

/// How many records a run looked at, and how many it changed.
fn numbers(ended: &Ended) -> [u64; 2] {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let last = ended.stdout.lines().last().expect("a line");
    let numbers = last.strip_prefix("looked at ").and_then(|rest| rest.split_once(" records, changed "));
    let (records, changed) = numbers.unwrap_or_else(|| panic!("{}", ended.stdout));
    [records, changed].map(|number| number.parse().expect("a number"))
}

/// Those of which something is derived.
fn with_derived(records: &[Arc<Record>]) -> u64 {
    let parsers = parsers::load(&Config::default()).expect("parsers").for_store();
    let records: Vec<&Record> = records.iter().map(AsRef::as_ref).collect();
    derive_all(&records, parsers.as_ref()).iter().filter(|derived| **derived != Derived::default()).count() as u64
}

/// Begins runs and kills them.
fn kill_runs(store: &[&str]) {
    for pause_ms in KILLS_MS {
        let args: Vec<&str> = ["reparse"].iter().chain(store).copied().collect();
        let process = Process::start(Command::new(PROGRAM).args(args), Path::new("/nonexistent/nothing"));
        thread::sleep(Duration::from_millis(pause_ms));
        // On a fast machine the run has ended by then.
        process.kill_or_ended();
    }
}

async fn embedded_view(table: &Path) -> (View, u64) {
    let reader = EmbeddedReader::open(table, CollectorNumber::default(), Recent::default()).await.expect("a reader");
    let analytics = Analytics::embedded(reader, limits()).expect("an engine");
    let changes = analytics.day_sizes().await.expect("sizes").total().changes;
    (analytics.at(NOW).await.expect("a view"), changes)
}

/// All that was reported, as numbers.
async fn reported_by(view: &View) -> Vec<Contents> {
    let mut days = Vec::new();
    for (day, _) in contents(view, i32::MIN..=i32::MAX).await.expect("contents").into_keys() {
        days.push(checksums(view, day, RecordId::MAX).await.expect("checksums"));
    }
    days
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_an_older_version_get_what_is_derived_however_often_the_run_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let table = DataDir::new(directory.path()).records_table();
    let records = invented(5, NOW);
    let (old, new) = records.split_at(records.len() / 2);
    assert!(with_derived(old) > 0 && with_derived(new) > 0);
    insert(&table, old).await;
    age(&table);
    insert(&table, new).await;
    let (before, changes_before) = embedded_view(&table).await;
    let reported = reported_by(&before).await;
    let store = ["--data-dir", directory.path().to_str().expect("text")];
    let first_day = old[0].ts_reception.day();
    let first: Vec<_> = old.iter().filter(|record| record.ts_reception.day() == first_day).cloned().collect();
    let of_first_day = run(&store, &["--to", &date_text(first_day)]);
    assert_eq!(numbers(&of_first_day), [first.len() as u64, with_derived(&first)]);
    kill_runs(&store);
    let [looked_at, changed] = numbers(&run(&store, &[]));
    assert!(looked_at == records.len() as u64 && changed <= with_derived(old), "{looked_at} {changed}");
    let (after, number) = embedded_view(&table).await;
    assert_eq!(reported_by(&after).await, reported);
    assert!(number > changes_before, "files of days are made anew");
    check_view(&after, &records, &RetentionPolicy::off(), NOW, &WINDOWS, "parsed anew").await;
    assert_eq!(numbers(&run(&store, &[])), [records.len() as u64, 0], "there is nothing left to do");
    assert_eq!(embedded_view(&table).await.1, number);
}

#[test]
fn a_server_has_its_directory_for_itself() {
    let server = Server::start(PROGRAM, &[]);
    accepted(&server, &Post::default());
    let refused = run(&["--data-dir", server.data_dir().to_str().expect("text")], &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("a server uses the data directory"), "{}", refused.stderr);
}

/// A database with records of a program that derived nothing.
async fn old_database(records: &[Arc<Record>]) -> String {
    let (server, database) = (ClickHouse::shared(), ClickHouse::shared().create_database());
    let present = ClickHouse::shared().create_database();
    deliver(&present, records).await;
    deliver(&database, &[]).await;
    let columns = reported().iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    server.query(&format!("INSERT INTO {database}.records ({columns}) SELECT {columns} FROM {present}.records"));
    database
}

async fn deliver(database: &str, records: &[Arc<Record>]) {
    let target =
        ClickHouseTarget { database: database.to_owned(), ..ClickHouseTarget::new(ClickHouse::shared().url()) };
    let mut store = Store::ClickHouse(Box::new(ClickHouseStore::new(&target, RetentionPolicy::off())));
    store.prepare().await.expect("ready");
    for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        store.insert(&Batch::of(day.to_vec()).expect("a batch")).await.expect("inserted");
    }
}

async fn clickhouse_view(database: &str) -> (View, u64) {
    let url = ClickHouse::shared().url();
    let settings = ClickHouseSettings { database: database.to_owned(), ..ClickHouseSettings::new(url) };
    let analytics = Analytics::clickhouse(&settings, limits()).expect("an engine");
    let changes = analytics.day_sizes().await.expect("sizes").total().changes;
    (analytics.at(NOW).await.expect("a view"), changes)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_clickhouse_are_parsed_anew_while_others_arrive() {
    let records = invented(6, NOW);
    let (old, new) = records.split_at(records.len() / 2);
    let database = old_database(old).await;
    let (before, changes_before) = clickhouse_view(&database).await;
    let reported = reported_by(&before).await;
    let url = format!("{}/{database}", ClickHouse::shared().url());
    let store = ["--clickhouse", url.as_str()];
    let done = Arc::new(AtomicBool::new(false));
    let arriving = {
        let (database, new, done) = (database.clone(), new.to_vec(), Arc::clone(&done));
        tokio::spawn(async move {
            for records in new.chunks(ARRIVING) {
                deliver(&database, records).await;
            }
            done.store(true, Ordering::Relaxed);
        })
    };
    kill_runs(&store);
    let mut changed_by_last = numbers(&run(&store, &[]))[1];
    // What has arrived by then was delivered without attributes.
    assert!(changed_by_last <= with_derived(&records));
    arriving.await.expect("delivered");
    // What a killed run has asked for may come after the look of the next one, with what it has to be.
    while changed_by_last > 0 {
        changed_by_last = numbers(&run(&store, &[]))[1];
    }
    assert!(done.load(Ordering::Relaxed));
    let (after, changes) = clickhouse_view(&database).await;
    assert!(changes > changes_before, "files of days are made anew");
    check_view(&after, &records, &RetentionPolicy::off(), NOW, &WINDOWS, "parsed anew").await;
    let all_reported = reported_by(&after).await;
    assert_eq!(all_reported[..reported.len() - 1], reported[..reported.len() - 1], "but for the day that went on");
    let server = ClickHouse::shared();
    let counts = server.query(&format!("SELECT count(), uniqExact(id) FROM {database}.records"));
    assert_eq!(counts.trim_end(), format!("{0}\t{0}", records.len()));
    // A part without crashes has no rows of that rollup, and no place for them.
    let with =
        format!("SELECT name FROM system.parts WHERE database = '{database}' AND has(projections, 'crash_daily')");
    let without =
        format!("SELECT uniqExact(_part) FROM {database}.records WHERE stack_id != 0 AND _part NOT IN ({with})");
    wait_until("the rollups of stacks", || server.query(&without).trim_end() == "0");
}
