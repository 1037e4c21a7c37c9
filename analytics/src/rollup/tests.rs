//! Any records, policy, window and rollups give the rows that the records give.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use telemetrics_schema::batch::BatchBuilder;
use telemetrics_schema::payload::Derived;
use telemetrics_schema::retention::{RetentionRule, Subject};
use telemetrics_schema::rollups::{FILE_BUCKET, FILE_ROLLUP, HEARTBEAT, RollupBuilder};
use telemetrics_schema::time::US_PER_HOUR;
use telemetrics_schema::{Record, RecordId, Report};

use super::*;

/// In the middle of an hour.
const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

fn context() -> SessionContext {
    SessionContext::new()
}

fn frame(batches: Vec<RecordBatch>) -> DataFrame {
    let schema = batches.first().expect("a batch").schema();
    let table = MemTable::try_new(schema, vec![batches]).expect("a table");
    context().read_table(Arc::new(table)).expect("a frame")
}

fn records_frame(records: &[Record]) -> DataFrame {
    frame(vec![batch(records)])
}

/// Records of a machine `n` have stacks, as many as there are builds.
fn batch(records: &[Record]) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for record in records {
        let stack_id = if record.report.machine_id == "n" { record.report.build.parse().expect("a number") } else { 0 };
        builder.append_derived(record, &Derived { stack_id, ..Derived::default() });
    }
    builder.finish().expect("a batch")
}

/// The rows of one rollup, with its columns.
fn level(records: &[Record], rollup: Rollup) -> DataFrame {
    let mut builder = RollupBuilder::default();
    builder.add(&batch(records)).expect("counted");
    let mut batches = builder.take().expect("rows");
    batches.push(RecordBatch::new_empty(telemetrics_schema::rollups::file_schema()));
    let rows = frame(batches).filter(col(FILE_ROLLUP).eq(lit(rollup.number()))).expect("a plan");
    let names = rollup.columns().map(|column| column.name);
    let columns = names.map(|name| if name == rollup.bucket() { col(FILE_BUCKET).alias(name) } else { col(name) });
    rows.select(columns.collect::<Vec<_>>()).expect("a plan")
}

/// Keys as text with what is measured: counts are summed, a set has 1, and of examples the smallest is there.
fn collected(rollup: Rollup, frame: DataFrame) -> BTreeMap<String, (i64, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut rows = BTreeMap::new();
    for batch in runtime.block_on(frame.collect()).expect("rows") {
        assert_eq!(batch.num_columns(), rollup.columns().count());
        for row in 0..batch.num_rows() {
            let keys = batch.columns().iter().take(1 + rollup.keys().len());
            let key: Vec<String> =
                keys.map(|column: &ArrayRef| array_value_to_string(column, row).expect("text")).collect();
            let (count, example): &mut (i64, Option<String>) = rows.entry(key.join("|")).or_default();
            match rollup.measure() {
                Measure::Records => *count += batch[RECORDS_COUNT].as_primitive::<Int64Type>().value(row),
                Measure::Nothing => *count = 1,
                Measure::Example => {
                    let payload = batch[PAYLOAD].as_string_view().value(row).to_owned();
                    *example = [example.take(), Some(payload)].into_iter().flatten().min();
                }
            }
        }
    }
    rows
}

/// The records that the policy and the window show, one by one.
fn expected(rollup: Rollup, records: &[Record], shown: &Shown<'_>) -> BTreeMap<String, (i64, Option<String>)> {
    let is_shown = |record: &&Record| {
        let Report { classification, severity, machine_id, .. } = &record.report;
        let subject = Subject { classification, severity: *severity, machine_id };
        let Window { from, before } = shown.window;
        shown.policy.last_seen(&subject, record.ts_reception).is_none_or(|last| last >= shown.now)
            && from.is_none_or(|from| record.ts_reception >= from)
            && before.is_none_or(|before| record.ts_reception < before)
    };
    let records: Vec<Record> = records.iter().filter(is_shown).cloned().collect();
    collected(rollup, level(&records, rollup))
}

fn policies() -> impl Strategy<Value = RetentionPolicy> {
    let matcher = prop_oneof![
        (1_i8..=3).prop_map(Matcher::Severity),
        "a/[xy]\\*?".prop_map(Matcher::Classification),
        Just(Matcher::Classification(HEARTBEAT.to_owned())),
        Just(Matcher::Classification("*".to_owned())),
    ];
    let rules = prop::collection::vec((matcher, 0_u32..4), 0..4);
    (rules, 0_u32..4).prop_map(|(rules, default_days)| RetentionPolicy {
        rules: rules.into_iter().map(|(matcher, days)| RetentionRule { matcher, days }).collect(),
        default_days,
    })
}

/// Around the ends of lives and hours, and in between.
fn instants() -> impl Strategy<Value = TimestampUs> {
    let age = (
        0_i64..5,
        -2_i64..3,
        -1_i64..=1,
        prop_oneof![Just(NOW.0), Just(Rollup::Hourly.bucket_of(NOW).0), Just(Rollup::Daily.bucket_of(NOW).0)],
    );
    age.prop_map(|(days, hours, edge, end)| TimestampUs(end - days * US_PER_DAY - hours * US_PER_HOUR + edge))
}

fn windows() -> impl Strategy<Value = Window> {
    (prop::option::of(instants()), prop::option::of(instants())).prop_map(|(from, before)| Window { from, before })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let class = prop_oneof![Just(HEARTBEAT), Just("a/x"), Just("a/y"), Just("b")];
    let one = (class, 1_i8..=3, "[mn]", "[12]", any::<bool>(), instants());
    prop::collection::vec(one, 0..40).prop_map(|all| {
        let record =
            |(class, severity, machine, build, external, ts_reception): (&str, _, String, String, _, TimestampUs)| {
                let report = Report {
                    classification: class.to_owned(),
                    severity,
                    host_type: format!("{machine}|{build}"),
                    machine_id: machine,
                    system_name: "os".to_owned(),
                    payload: format!("{}", ts_reception.0 % 7),
                    build,
                    external,
                    ..Report::default()
                };
                Record { id: RecordId(1), ts_reception, report }
            };
        all.into_iter().map(record).collect()
    })
}

/// The rollup and all finer ones, or the finest alone.
fn levels(records: &[Record], rollup: Rollup, is_finest: bool) -> Vec<(Rollup, DataFrame)> {
    let chain = std::iter::successors(Some(rollup), |rollup| rollup.finer());
    chain.filter(|level| !is_finest || level.finer().is_none()).map(|rollup| (rollup, level(records, rollup))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_rollup_is_that_of_the_records(
        policy in policies(),
        window in windows(),
        records in records(),
        summed in 0_usize..40,
        rollup in prop::sample::select(&Rollup::ALL[..]),
        is_finest in any::<bool>(),
        knows_last in any::<bool>(),
    ) {
        let shown = Shown { policy: &policy, now: NOW, window };
        let (summed, others) = records.split_at(summed.min(records.len()));
        let parts = Parts {
            levels: levels(summed, rollup, is_finest),
            last: summed.iter().map(|record| record.ts_reception).max().filter(|_| knows_last),
            summed: records_frame(summed),
            others: Some(records_frame(others)),
        };
        let rows = rows(rollup, parts, &shown).expect("a plan");
        prop_assert_eq!(collected(rollup, rows), expected(rollup, &records, &shown));
    }
}

#[test]
fn nothing_is_read_of_records_when_nothing_is_cut() {
    let midnight = Rollup::Daily.bucket_of(NOW);
    let policy = RetentionPolicy::days(35);
    let window = Window { from: Some(midnight), before: None };
    let cuts = |now, window| Shown { policy: &policy, now, window }.cuts(Rollup::Hourly).len();
    assert_eq!(cuts(midnight, window), 0);
    assert_eq!(cuts(NOW, window), 1, "the end of the life of all records");
    assert_eq!(cuts(NOW, Window { before: Some(NOW), ..window }), 2);
}

#[test]
fn a_policy_that_names_machines_is_not_followed() {
    let rule = |matcher| RetentionPolicy { default_days: 1, rules: vec![RetentionRule { matcher, days: 2 }] };
    assert!(can_follow(&rule(Matcher::Severity(1))));
    assert!(!can_follow(&rule(Matcher::Machine("m".to_owned()))));
}
