//! What the server reads for questions over rollups.

use datafusion::functions_aggregate::expr_fn::{count_distinct, min, sum};
use datafusion::prelude::col;
use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::{Analytics, Limits, Window};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::ddl::create_records_table;
use telemetrics_schema::rollups::{HEARTBEAT, Measure, PAYLOAD, Rollup};
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR};
use telemetrics_testkit::ClickHouse;

/// Three days of them.
const RECORDS_MADE: i64 = 300_000;
/// Time between two records.
const DISTANCE_US: i64 = 3 * US_PER_DAY / RECORDS_MADE;
/// Rows of its own tables that the server may read beside; far below a granule of records.
const OWN_ROWS: u64 = 1_000;

/// Rows that the server has read from tables so far; nobody else may ask it meanwhile.
fn rows_read(server: &ClickHouse) -> u64 {
    let sql = "SELECT value FROM system.events WHERE event = 'SelectedRows'";
    // The answer counts what came before it.
    server.query(sql).trim_end().parse().expect("a number")
}

#[tokio::test]
async fn questions_over_rollups_read_few_rows() {
    let server = ClickHouse::start();
    let database = server.create_database();
    server.query(&create_records_table(0).replace("`records`", &format!("{database}.`records`")));
    let first_us = 20_770 * US_PER_DAY;
    server.query(&format!(
        "INSERT INTO {database}.records (id, ts_reception, classification, severity, build, host_type, machine_id, stack_id, \
         payload) \
         SELECT number, fromUnixTimestamp64Micro({first_us} + toInt64(number) * {DISTANCE_US}, 'UTC'), '{HEARTBEAT}', 1, \
         toString(number % 3), toString(number % 4), toString(number % 12), number % 6, toString(number) \
         FROM numbers({RECORDS_MADE})"
    ));
    let settings = ClickHouseSettings { database, ..ClickHouseSettings::new(server.url()) };
    let limits = Limits::without_retention();
    let analytics = Analytics::clickhouse(&settings, limits).expect("an engine");
    let view = analytics.at(TimestampUs(first_us + 3 * US_PER_DAY)).await.expect("a view");
    let all = Window::default();
    // Ends in the middle of the third hour of the third day.
    let cut = Window { before: Some(TimestampUs(first_us + 2 * US_PER_DAY + 5 * US_PER_HOUR / 2)), ..all };
    for (rollup, window, rows_max) in [
        (Rollup::Hourly, all, 72 * 3),
        (Rollup::Daily, all, 3 * 3),
        (Rollup::HourlyPlatform, all, 72 * 4),
        (Rollup::DailyPlatform, all, 3 * 4),
        (Rollup::DailyMachine, all, 3 * 12),
        (Rollup::CrashDaily, all, 3 * 5),
        (Rollup::Stacks, all, 3 * 5),
        // Two days, the rollup of the third day, and the granules that hold half an hour of it.
        (Rollup::Daily, cut, 2 * 3 + 24 * 3 + 3 * 8_192),
    ] {
        let key = rollup.keys()[1];
        let number = match rollup.measure() {
            Measure::Records => sum(col("records")),
            Measure::Nothing => count_distinct(col("machine_id")),
            Measure::Example => min(col(PAYLOAD)),
        };
        let rows = view.rollup(rollup, window).expect("a plan").expect("a rollup");
        let question = rows.aggregate(vec![col(key)], vec![number.alias("n")]).expect("a plan");
        let before = rows_read(&server);
        let answer = question.collect().await.expect("rows");
        let read = rows_read(&server) - before;
        assert!(answer.iter().any(|rows| rows.num_rows() > 0), "{rollup:?}");
        // The server's own tables count too.
        assert!(read <= rows_max + OWN_ROWS, "{rollup:?} {window:?}: {read} rows were read");
    }
}
