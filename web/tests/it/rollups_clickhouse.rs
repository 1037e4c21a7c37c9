//! Rollups of a ClickHouse give what its records give, whatever happens to the server and to its parts.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::{count_distinct, sum};
use datafusion::prelude::col;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::{Analytics, Limits, View, Window};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, Store, StoreError};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::columns::reported;
use telemetrics_schema::migrations::MIGRATIONS;
use telemetrics_schema::payload::derive;
use telemetrics_schema::retention::{RetentionPolicy, Subject};
use telemetrics_schema::rollups::{HEARTBEAT, Rollup};
use telemetrics_schema::time::{US_PER_DAY, US_PER_S};
use telemetrics_schema::{Record, Report, TimestampUs};
use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{ClickHouse, wait_until};
use tokio::runtime::Runtime;

use crate::rollup_questions;
use crate::rollups::{check_view, histories, policy, records, windows};

/// Most records of one insert.
const BATCH_RECORDS: usize = 150;
/// Latest moment of a kill, after the beginning of what it comes into.
const KILL_WITHIN_US: u64 = 60_000;
/// No record expires while a test runs: between the query of an answer and that of what is expected, it would be in one
/// of them only.
const TEST_LIMIT_US: i64 = 600 * US_PER_S;

/// What happens between two inserts.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// The server dies in the middle of the next insert, so many microseconds after its beginning.
    KillInsert(u64),
    /// The same in the middle of a merge of all parts.
    KillMerge(u64),
    /// All parts of a day become one, without what the policy lets expire.
    Merge,
    /// Records are deleted by hand.
    Delete,
    /// As [`Event::Delete`], by rows that are only marked as deleted.
    MarkDeleted,
    /// Another policy, with days for all that no rule is about.
    Policy(u32),
}

fn events() -> impl Strategy<Value = Vec<Option<Event>>> {
    let event = prop_oneof![
        3 => (0..KILL_WITHIN_US).prop_map(Event::KillInsert),
        1 => (0..KILL_WITHIN_US).prop_map(Event::KillMerge),
        2 => Just(Event::Merge),
        1 => Just(Event::Delete),
        1 => Just(Event::MarkDeleted),
        // None is shorter than the one that is asked under: what it lets go would go between two questions.
        2 => (policy().default_days..9).prop_map(Event::Policy),
    ];
    prop::collection::vec(prop::option::weighted(0.6, event), 20)
}

/// A database of a server that may die.
struct Victim<'a> {
    server: &'a RefCell<ClickHouse>,
    database: String,
}

impl Victim<'_> {
    fn target(&self) -> ClickHouseTarget {
        ClickHouseTarget { database: self.database.clone(), ..ClickHouseTarget::new(self.server.borrow().url()) }
    }

    async fn apply(&self, policy: &RetentionPolicy) {
        ClickHouseStore::new(&self.target(), policy.clone()).set_up().await.expect("ready");
    }

    fn query(&self, sql: &str) -> String {
        self.server.borrow().query(&sql.replace("records", &format!("{}.records", self.database)))
    }

    fn kill_after(&self, delay_us: u64) {
        thread::sleep(Duration::from_micros(delay_us));
        self.server.borrow_mut().kill();
        self.server.borrow_mut().restart();
    }

    async fn insert(&self, batch: Vec<Arc<Record>>, kill_after_us: Option<u64>) {
        let batch = Arc::new(Batch::of(batch).expect("a batch"));
        let mut outcome = Err(StoreError::Unavailable(String::new()));
        if let Some(delay_us) = kill_after_us {
            let inserting = tokio::spawn(insert(self.target(), Arc::clone(&batch)));
            self.kill_after(delay_us);
            outcome = inserting.await.expect("no panic");
        }
        // As a collector does when the outcome is unclear.
        while outcome.is_err() {
            outcome = insert(self.target(), Arc::clone(&batch)).await;
        }
    }

    async fn meet(&self, event: Event) {
        match event {
            Event::KillInsert(_) => {}
            Event::KillMerge(delay_us) => {
                let (address, database) = (self.server.borrow().address(), self.database.clone());
                let path = format!("/?database={database}&query=OPTIMIZE%20TABLE%20records%20FINAL");
                let request =
                    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let merging = thread::spawn(move || exchange(address, request.as_bytes()));
                self.kill_after(delay_us);
                // It is done, or its answer is lost.
                let _ = merging.join().expect("no panic");
            }
            Event::Merge => drop(self.query("OPTIMIZE TABLE records FINAL")),
            Event::Delete => {
                drop(self.query("ALTER TABLE records DELETE WHERE id % 7 = 0 SETTINGS mutations_sync = 2"));
            }
            Event::MarkDeleted => drop(self.query("DELETE FROM records WHERE id % 11 = 0")),
            Event::Policy(default_days) => self.apply(&RetentionPolicy { default_days, ..policy() }).await,
        }
    }
}

async fn insert(target: ClickHouseTarget, batch: Arc<Batch>) -> Result<(), StoreError> {
    Store::ClickHouse(Box::new(ClickHouseStore::new(&target, RetentionPolicy::off()))).insert(&batch).await
}

/// In microseconds, by the clock of this machine, which is that of the server.
fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    TimestampUs(i64::try_from(since.as_micros()).expect("in range"))
}

/// What has to be in the database.
struct Expected {
    records: Vec<Arc<Record>>,
    policies: Vec<RetentionPolicy>,
}

impl Expected {
    fn meet(&mut self, event: Event) {
        match event {
            Event::Delete => self.records.retain(|record| record.id.0 % 7 != 0),
            Event::MarkDeleted => self.records.retain(|record| record.id.0 % 11 != 0),
            Event::Policy(default_days) => self.policies.push(RetentionPolicy { default_days, ..policy() }),
            Event::KillInsert(_) | Event::KillMerge(_) | Event::Merge => {}
        }
    }

    /// The identifiers of those that live under a policy and under all that were there before it.
    fn ids(&self, policy: &RetentionPolicy, now: TimestampUs) -> Vec<i64> {
        let lives = |record: &Record, policy: &RetentionPolicy| {
            let Report { classification, severity, machine_id, .. } = &record.report;
            let subject = Subject { classification, severity: *severity, machine_id };
            policy.last_seen(&subject, record.ts_reception).is_none_or(|last| last >= now)
        };
        let all = self.records.iter().filter(|record| self.policies.iter().chain([policy]).all(|p| lives(record, p)));
        all.map(|record| record.id.0).collect()
    }
}

async fn live_and_ask(
    server: &RefCell<ClickHouse>,
    now: TimestampUs,
    seed: u64,
    windows: &[Window],
    events: &[Option<Event>],
) {
    let database = server.borrow().create_database();
    let victim = Victim { server, database };
    victim.apply(&policy()).await;
    let mut expected = Expected { records: Vec::new(), policies: vec![policy()] };
    let mut records = records(seed, now);
    records.retain(|record| (now.0 - record.ts_reception.0) % US_PER_DAY < US_PER_DAY - TEST_LIMIT_US);
    let days = records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day());
    let batches = days.flat_map(|day| day.chunks(BATCH_RECORDS));
    for (batch, event) in batches.zip(events.iter().cycle()) {
        let kill_after_us = if let Some(Event::KillInsert(delay_us)) = event { Some(*delay_us) } else { None };
        victim.insert(batch.to_vec(), kill_after_us).await;
        expected.records.extend(batch.iter().cloned());
        if let Some(event) = event {
            victim.meet(*event).await;
            expected.meet(*event);
            ask(&victim, &expected, now, &policy(), &windows[..1], &format!("after {event:?}")).await;
        }
    }
    for policy in [policy(), RetentionPolicy::days(1)] {
        let view = ask(&victim, &expected, now, &policy, windows, "in the end").await;
        rollup_questions::check_view(&view, &rollup_questions::filters(windows[0]), "in the end").await;
    }
}

/// Compares rollups, and questions over them, with the records that the database shows, and those with the ones that have
/// to be there.
async fn ask(
    victim: &Victim<'_>,
    expected: &Expected,
    now: TimestampUs,
    policy: &RetentionPolicy,
    windows: &[Window],
    what: &str,
) -> View {
    let settings =
        ClickHouseSettings { database: victim.database.clone(), ..ClickHouseSettings::new(victim.target().url) };
    let limits = Limits { retention: policy.clone(), ..Limits::default() };
    let view = Analytics::clickhouse(&settings, limits).expect("an engine").at(now).await.expect("a view");
    let sorted = vec![col("id").sort(true, false)];
    let sorted = view.records().expect("a plan").sort(sorted).expect("a plan");
    let batches = sorted.collect().await.expect("records");
    let stored = batches.iter().flat_map(|batch| from_batch(batch).expect("records"));
    let stored: Vec<Arc<Record>> = stored.map(Arc::new).collect();
    let ids: BTreeSet<i64> = stored.iter().map(|record| record.id.0).collect();
    assert_eq!(ids.len(), stored.len(), "{what}: each record is there once");
    let missing: Vec<i64> = expected.ids(policy, now).into_iter().filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "{what}: {missing:?} are missing");
    check_view(&view, &stored, policy, now, windows, what).await;
    for window in windows {
        check_sums(&view, &stored, *window, what).await;
    }
    rollup_questions::check_by_turns(&view, windows, expected.records.len() / BATCH_RECORDS, what).await;
    view
}

/// Asks as pages do: records by build, and machines by build.
async fn check_sums(view: &View, stored: &[Arc<Record>], window: Window, what: &str) {
    let is_inside = |record: &&Arc<Record>| {
        window.from.is_none_or(|from| record.ts_reception >= from)
            && window.before.is_none_or(|before| record.ts_reception < before)
    };
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    let mut crashes: BTreeMap<&str, i64> = BTreeMap::new();
    let mut machines: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Record { report, .. } in stored.iter().filter(is_inside).map(AsRef::as_ref) {
        *counts.entry(&report.build).or_default() += 1;
        if derive(report).stack_id != 0 {
            *crashes.entry(&report.build).or_default() += 1;
        }
        if report.classification == HEARTBEAT {
            machines.entry(&report.build).or_default().insert(&report.machine_id);
        }
    }
    let machines: BTreeMap<&str, i64> =
        machines.into_iter().map(|(build, all)| (build, i64::try_from(all.len()).expect("few"))).collect();
    for (rollup, number, expected) in [
        (Rollup::Hourly, sum(col("records")), &counts),
        (Rollup::Daily, sum(col("records")), &counts),
        (Rollup::DailyMachine, count_distinct(col("machine_id")), &machines),
        (Rollup::CrashDaily, sum(col("records")), &crashes),
    ] {
        let rows = view.rollup(rollup, window).expect("a plan").expect("a rollup");
        let rows = rows.aggregate(vec![col("build")], vec![number]).expect("a plan").collect().await.expect("rows");
        let found = rows.iter().flat_map(|rows| {
            let numbers = rows.column(1).as_primitive::<Int64Type>().values().iter().copied();
            rows.column(0).as_string_view().iter().flatten().zip(numbers).collect::<Vec<_>>()
        });
        assert_eq!(&found.collect::<BTreeMap<_, _>>(), expected, "{what}: {rollup:?} {window:?}");
    }
}

#[test]
fn rollups_give_what_the_records_give_whatever_dies() {
    let (server, now, runtime) = (RefCell::new(ClickHouse::start()), now(), Runtime::new().expect("a runtime"));
    let strategy = (any::<u64>(), windows(now), events());
    let outcome = TestRunner::new(histories(2)).run(&strategy, |(seed, windows, events)| {
        runtime.block_on(live_and_ask(&server, now, seed, &windows, &events));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Parts that were there before the migration get their projections in the background; until then, and while some have them
/// and some have not, answers are the same.
#[tokio::test]
async fn answers_are_right_before_the_migration_is_done() {
    let (server, now) = (RefCell::new(ClickHouse::start()), now());
    let database = server.borrow().create_database();
    let victim = Victim { server: &server, database };
    for migration in MIGRATIONS.iter().take(2) {
        victim.query(&migration.statement().replace("`records`", "records"));
    }
    let mut records = records(1, now);
    // What is derived from those that were there is made by another command than the migration.
    let half = records[records.len() / 2].id;
    records.retain(|record| record.id >= half || derive(&record.report).stack_id == 0);
    let (before, after) = records.split_at(records.partition_point(|record| record.id < half));
    let insert = async |victim: &Victim<'_>, records: &[Arc<Record>]| {
        for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
            victim.insert(day.to_vec(), None).await;
        }
    };
    // Written by the program of that time, which did not know later columns.
    let present = Victim { server: &server, database: server.borrow().create_database() };
    present.apply(&RetentionPolicy::off()).await;
    insert(&present, before).await;
    let columns = reported().iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
    let (from, to) = (&present.database, &victim.database);
    let of_old = format!("INSERT INTO {to}.records ({columns}) SELECT {columns} FROM {from}.records");
    server.borrow().query(&of_old);
    victim.query("SYSTEM STOP MERGES records");
    victim.apply(&RetentionPolicy::off()).await;
    insert(&victim, after).await;
    let parts = |condition: &str| {
        let of = format!("FROM system.parts WHERE database = '{}' AND active AND {condition}", victim.database);
        server.borrow().query(&format!("SELECT count() {of} AND table LIKE 'record_'")).trim_end().parse::<u32>()
    };
    assert!(
        parts("empty(projections)").expect("a number") > 0 && parts("notEmpty(projections)").expect("a number") > 0
    );
    let expected = Expected { records: records.clone(), policies: Vec::new() };
    let from = Some(TimestampUs(now.0 - 5 * US_PER_DAY / 2));
    let windows = [Window::default(), Window { from, before: None }];
    ask(&victim, &expected, now, &RetentionPolicy::off(), &windows, "in the middle").await;
    victim.query("SYSTEM START MERGES records");
    wait_until("projections everywhere", || parts("empty(projections)").expect("a number") == 0);
    ask(&victim, &expected, now, &RetentionPolicy::off(), &windows, "when it is done").await;
}
