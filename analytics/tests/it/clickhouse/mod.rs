//! A real ClickHouse and a table in memory with the same rows, and sessions over both.

mod equality;
mod faults;
mod groups;
mod insert;
mod patterns;
mod questions;
mod rollups;
mod security;
mod sent;

use std::sync::Arc;

use clickhouse::Client;
use clickhouse_ext_arrow::ArrowClientExt;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{DataFrame, SessionContext};
use telemetrics_analytics::clickhouse::{ClickHouseSettings, Reader, records_table, session_state};
use telemetrics_schema::batch::to_batch;
use telemetrics_schema::columns::{RECORDS, record_schema};
use telemetrics_schema::ddl::create_records_table;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
use telemetrics_testkit::ClickHouse;

/// Longer than any of the tests' records is old: none expires while a test runs.
const RETENTION_DAYS: u32 = 365_000;

/// Texts that one side might read differently from the other.
const TEXTS: [&str; 12] = [
    "plain",
    "",
    "it's",
    r"back\slash",
    r"\' OR 1=1 --",
    "per%cent",
    "under_score",
    "Größe ΑΣ ẞ",
    "two\nlines",
    "a/b/c",
    "\u{1f980} crab",
    "nul\0 inside",
];

/// Plausible and difficult rows, always the same.
fn records() -> Vec<Record> {
    (0..240).map(record).collect()
}

pub(super) fn record(number: i64) -> Record {
    let pick = |count: usize| usize::try_from(number).expect("not negative") % count;
    let classes = ["org.clearlinux/hello/world", "org.clearlinux/crash/clr", "org.clearlinux/heartbeat/ping"];
    let captures = [0, 1_795_342_419, 7_289_654_399, 951_782_399];
    Record {
        id: RecordId(1_000 + number),
        ts_reception: TimestampUs(1_795_000_000_000_000 + number * 3_600_123_457),
        report: Report {
            record_format_version: 4,
            classification: classes[pick(3)].to_owned(),
            severity: i8::try_from(1 + pick(4)).expect("small"),
            machine_id: format!("machine-{}", pick(7)),
            ts_capture_s: captures[pick(4)],
            arch: "x86_64".to_owned(),
            host_type: "vendor|product|1".to_owned(),
            build: (40_000 + 10 * pick(5)).to_string(),
            kernel_version: "6.18".to_owned(),
            payload_format_version: 1,
            system_name: "clear-linux-os".to_owned(),
            board_name: "N/A".to_owned(),
            cpu_model: "N/A".to_owned(),
            bios_version: "N/A".to_owned(),
            event_id: format!("{number:032x}"),
            external: number % 5 == 0,
            payload: TEXTS[pick(TEXTS.len())].to_owned(),
        },
    }
}

/// A database with the table of records, rows in it, and a session that reads it.
pub(super) struct Remote {
    database: String,
    pub(super) session: SessionContext,
}

impl Remote {
    pub(super) async fn with(records: &[Record]) -> Self {
        let database = database_with_table();
        insert(&database, &to_batch(records).expect("a batch")).await;
        Self { session: session(&database), database }
    }
}

fn database_with_table() -> String {
    let server = ClickHouse::shared();
    let database = server.create_database();
    let table = create_records_table(RETENTION_DAYS).replace("`records`", &format!("{database}.`records`"));
    server.query(&table);
    database
}

fn session(database: &str) -> SessionContext {
    session_with(&settings(database))
}

fn settings(database: &str) -> ClickHouseSettings {
    ClickHouseSettings { database: database.to_owned(), ..ClickHouseSettings::new(ClickHouse::shared().url()) }
}

fn session_with(settings: &ClickHouseSettings) -> SessionContext {
    let session = SessionContext::new_with_state(session_state(SessionStateBuilder::new().with_default_features()));
    session.register_table(RECORDS, records_table(&Reader::new(settings))).expect("registered");
    session
}

fn writing_client(database: &str) -> Client {
    Client::default().with_url(ClickHouse::shared().url()).with_database(database).with_setting("async_insert", "0")
}

async fn insert(database: &str, batch: &RecordBatch) {
    let mut insert = writing_client(database).insert_arrow(RECORDS).expect("an insert");
    insert.write(batch).await.expect("written");
    insert.end().await.expect("inserted");
}

/// The same rows in memory: what DataFusion itself answers.
pub(super) fn local(records: &[Record]) -> SessionContext {
    let batch = to_batch(records).expect("a batch");
    let table = MemTable::try_new(record_schema(), vec![vec![batch]]).expect("a table");
    let session = SessionContext::new();
    session.register_table(RECORDS, Arc::new(table)).expect("registered");
    session
}

async fn answer(session: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    session.sql(sql).await?.collect().await
}

/// The rows as lines of text, in order; the line of names comes first.
async fn lines(session: &SessionContext, sql: &str) -> Vec<String> {
    let batches = answer(session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let table = pretty_format_batches(&batches).expect("text").to_string();
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The SQL texts that the plan of `sql` sends, and the whole plan.
async fn plan(session: &SessionContext, sql: &str) -> (Vec<String>, String) {
    let frame = session.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    plan_of(frame).await
}

pub(super) async fn plan_of(frame: DataFrame) -> (Vec<String>, String) {
    let plan = frame.create_physical_plan().await.expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let sent = text.lines().filter_map(|line| line.split_once("base_sql=").map(|(_, sql)| sql.to_owned())).collect();
    (sent, text)
}
