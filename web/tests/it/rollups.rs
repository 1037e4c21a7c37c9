//! Rollups give what the records give, whatever became of the files that they are about.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View, Window};
use telemetrics_collector::Collector;
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, MaintenanceSettings, Store};
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::layout::{DataDir, ROLLUPS};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule, Subject};
use telemetrics_schema::rollups::{FILE_BUCKET, FILE_ROLLUP, Measure, PAYLOAD, Rollup, RollupBuilder};
use telemetrics_schema::time::{Clock, US_PER_DAY, US_PER_HOUR};
use telemetrics_schema::{CollectorNumber, IdSequence, Record, TimestampUs};
use telemetrics_testkit::wait_until;
use tokio::runtime::Runtime;

use crate::maintenance::settings;
use crate::rollup_questions;

/// In the middle of an hour.
const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);
const DAYS: i64 = 5;
const RECORDS: u64 = 1_000;
/// Most records of one file, before they are merged.
const BATCH_RECORDS: usize = 90;
/// Sets how many histories, chosen at random, each of the tests of rollups lives through.
const HISTORIES_VARIABLE: &str = "TELEMETRICS_TEST_HISTORIES";

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> TimestampUs {
        NOW
    }
}

/// Random histories, `default` where nobody wants another number: each takes the better part of a minute.
pub(crate) fn histories(default: u32) -> ProptestConfig {
    let cases = std::env::var(HISTORIES_VARIABLE).map_or(default, |text| text.parse().expect("a number of histories"));
    ProptestConfig { cases, max_shrink_iters: 0, ..ProptestConfig::default() }
}

/// Records of the days before `now`, in the order of their reception.
pub(crate) fn records(seed: u64, now: TimestampUs) -> Vec<Arc<Record>> {
    let end = TimestampUs(now.0 + 1);
    let fleet =
        Fleet { start: TimestampUs(now.0 - DAYS * US_PER_DAY), machines: 20, ..Fleet::demo(seed, RECORDS, end) };
    let mut ids = IdSequence::after(CollectorNumber::default(), None);
    let records = generate(&fleet).map(|(at, report)| Arc::new(Record { id: ids.next(at), ts_reception: at, report }));
    records.collect()
}

/// Greetings live for a day and heartbeats for three, as far as a rule for their severity does not say less.
pub(crate) fn policy() -> RetentionPolicy {
    let rule = |matcher, days| RetentionRule { matcher, days };
    let class = |class: &str| Matcher::Classification(class.to_owned());
    let rules = vec![
        rule(class("org.clearlinux/hello/*"), 1),
        rule(class("org.clearlinux/heartbeat/ping"), 3),
        rule(Matcher::Severity(2), 2),
    ];
    RetentionPolicy { default_days: 4, rules }
}

/// Delivers all but the last ones, which stay in memory.
async fn deliver(table: &Path, records: &[Arc<Record>], recent: &Recent) {
    let (delivered, rest) = records.split_at(records.len() - BATCH_RECORDS);
    let mut store = Store::Embedded(EmbeddedStore::open(table, CollectorNumber::default()).await.expect("a table"));
    for day in delivered.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        for batch in day.chunks(BATCH_RECORDS) {
            store.insert(&Batch::of(batch.to_vec()).expect("a batch")).await.expect("inserted");
        }
    }
    recent.push(rest.iter().cloned());
}

/// Has everything merged that can be, and everything deleted that is expired.
pub(crate) async fn maintain(data: &DataDir, policy: RetentionPolicy) {
    let maintenance = MaintenanceSettings {
        merge_files_min: 2,
        cpu_share_percent: 100,
        expired_slack: Duration::ZERO,
        removed_grace: Duration::ZERO,
        sweep_interval: Duration::ZERO,
        check_interval: Duration::from_millis(10),
        ..MaintenanceSettings::new(policy)
    };
    let table = data.records_table();
    let store = EmbeddedStore::open(&table, CollectorNumber::default()).await.expect("a table");
    let store = Store::Embedded(store.maintained(maintenance));
    let (_, running, _) = Collector::start(settings(data), store, Recent::default(), Arc::new(Fixed)).expect("started");
    let is_done = move || {
        let (files, rollups) = (files_by_day(&table), files_by_day(&table.join(ROLLUPS)));
        files.values().all(|files| files.len() == 1) && files.keys().eq(rollups.keys())
    };
    tokio::task::spawn_blocking(move || wait_until("one file a day", is_done)).await.expect("merged");
    running.stop(Duration::from_mins(1)).await;
}

fn files_by_day(directory: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let days = entries(directory).filter(|path| path.to_string_lossy().contains("/date="));
    let named =
        |day: PathBuf| (day.file_name().expect("a name").to_string_lossy().into_owned(), entries(&day).collect());
    days.map(named).collect()
}

/// Deletes every third rollup file.
fn lose_rollups(table: &Path) {
    let files: Vec<PathBuf> = files_by_day(&table.join(ROLLUPS)).into_values().flatten().collect();
    assert!(files.len() > 3, "{files:?}");
    for file in files.iter().step_by(3) {
        fs::remove_file(file).expect("deleted");
    }
}

/// Keys as text with what is measured: counts are summed, a set has 1, and of examples the smallest is there.
type Rows = BTreeMap<String, (i64, Option<String>)>;

fn rows_of(rollup: Rollup, names: &[&str], batches: &[RecordBatch]) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let text = |name: &str| array_value_to_string(&batch[name], row).expect("text");
            let key: Vec<_> = names.iter().map(|name| text(name)).collect();
            let (count, example) = rows.entry(key.join("|")).or_default();
            match rollup.measure() {
                Measure::Records => *count += batch["records"].as_primitive::<Int64Type>().value(row),
                Measure::Nothing => *count = 1,
                Measure::Example => *example = [example.take(), Some(text(PAYLOAD))].into_iter().flatten().min(),
            }
        }
    }
    rows
}

fn expected(
    rollup: Rollup,
    records: &[Arc<Record>],
    policy: &RetentionPolicy,
    now: TimestampUs,
    window: Window,
) -> Rows {
    let is_shown = |record: &&Arc<Record>| {
        let report = &record.report;
        let subject = Subject {
            classification: &report.classification,
            severity: report.severity,
            machine_id: &report.machine_id,
        };
        policy.last_seen(&subject, record.ts_reception).is_none_or(|last| last >= now)
            && window.from.is_none_or(|from| record.ts_reception >= from)
            && window.before.is_none_or(|before| record.ts_reception < before)
    };
    let mut builder = RollupBuilder::default();
    builder.add(&to_batch(records.iter().filter(is_shown).map(AsRef::as_ref)).expect("a batch")).expect("counted");
    let mut batches = builder.take().expect("rows");
    let number = rollup.number().to_string();
    batches.retain(|batch| array_value_to_string(&batch[FILE_ROLLUP], 0).expect("text") == number);
    let names: Vec<&str> = [FILE_BUCKET].iter().chain(rollup.keys()).copied().collect();
    rows_of(rollup, &names, &batches)
}

/// Asks for every rollup in every window, under the policy that deletes and under one that shows less; and asks the
/// questions over them.
async fn check(table: &Path, recent: &Recent, records: &[Arc<Record>], windows: &[Window], what: &str) {
    for policy in [policy(), RetentionPolicy::days(1)] {
        let reader = EmbeddedReader::open(table, CollectorNumber::default(), recent.clone()).await.expect("a reader");
        let limits = Limits { retention: policy.clone(), ..Limits::default() };
        let view = Analytics::embedded(reader, limits).expect("an engine").at(NOW).await.expect("a view");
        check_view(&view, records, &policy, NOW, windows, what).await;
        rollup_questions::check_by_turns(&view, windows, 0, what).await;
    }
    rollup_questions::check(table, recent, &policy(), NOW, &windows[..1], what).await;
}

/// Asks a view for every rollup in every window.
pub(crate) async fn check_view(
    view: &View,
    records: &[Arc<Record>],
    policy: &RetentionPolicy,
    now: TimestampUs,
    windows: &[Window],
    what: &str,
) {
    for (rollup, window) in Rollup::ALL.into_iter().flat_map(|rollup| windows.iter().map(move |w| (rollup, *w))) {
        let frame = view.rollup(rollup, window).expect("a plan").expect("a rollup");
        let names: Vec<&str> = [rollup.bucket()].iter().chain(rollup.keys()).copied().collect();
        let found = rows_of(rollup, &names, &frame.collect().await.expect("rows"));
        let expected = expected(rollup, records, policy, now, window);
        let differs = found.iter().chain(&expected).find(|(key, _)| found.get(*key) != expected.get(*key));
        assert_eq!(differs, None, "{what}: {rollup:?} {window:?}");
    }
}

pub(crate) fn windows(now: TimestampUs) -> impl Strategy<Value = Vec<Window>> {
    let end = prop_oneof![Just(now.0), Just(Rollup::Hourly.bucket_of(now).0), Just(Rollup::Daily.bucket_of(now).0)];
    let instant = (end, 0..DAYS, 0_i64..3, -1_i64..=1)
        .prop_map(|(end, days, hours, edge)| TimestampUs(end - days * US_PER_DAY - hours * US_PER_HOUR + edge));
    let instant = prop::option::of(instant);
    let window = (instant.clone(), instant).prop_map(|(from, before)| Window { from, before });
    prop::collection::vec(window, 3)
}

async fn deliver_merge_and_ask(seed: u64, windows: &[Window]) {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, recent, records) = (DataDir::new(directory.path()), Recent::default(), records(seed, NOW));
    let table = data.records_table();
    deliver(&table, &records, &recent).await;
    check(&table, &recent, &records, windows, "many files and records in memory").await;
    lose_rollups(&table);
    check(&table, &recent, &records, windows, "some files without rollups").await;
    maintain(&data, policy()).await;
    check(&table, &recent, &records, windows, "merged, without what is expired").await;
}

proptest! {
    #![proptest_config(histories(1))]

    #[test]
    fn rollups_give_what_the_records_give(seed in any::<u64>(), windows in windows(NOW)) {
        Runtime::new().expect("a runtime").block_on(deliver_merge_and_ask(seed, &windows));
    }
}

#[test]
fn a_policy_for_a_machine_sends_questions_to_the_records() {
    Runtime::new().expect("a runtime").block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        EmbeddedStore::open(directory.path(), CollectorNumber::default()).await.expect("a table");
        let reader = EmbeddedReader::open(directory.path(), CollectorNumber::default(), Recent::default()).await;
        let rules = vec![RetentionRule { matcher: Matcher::Machine("m".into()), days: 1 }];
        let limits = Limits { retention: RetentionPolicy { default_days: 35, rules }, ..Limits::default() };
        let analytics = Analytics::embedded(reader.expect("a reader"), limits).expect("an engine");
        let view = analytics.at(NOW).await.expect("a view");
        assert!(view.rollup(Rollup::Hourly, Window::default()).expect("no fault").is_none());
    });
}
