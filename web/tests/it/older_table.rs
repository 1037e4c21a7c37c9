//! An embedded table that an older version of the program wrote, which knew no derived columns.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::contents::records_of;
use telemetrics_analytics::questions::records;
use telemetrics_analytics::questions::stacks::{STACKS_MAX, seen};
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::columns::{REPORTED_COLUMNS, derived_columns, record_schema};
use telemetrics_schema::layout::{DataDir, ROLLUPS};
use telemetrics_schema::payload::derive;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, Record, TimestampUs};
use telemetrics_testkit::Python;

use crate::rollups::{maintain, records as invented};

const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);
/// More than the text of all records has.
const TEXT_BYTES: usize = 1 << 30;
/// The name that the directory of rollup files had.
const OLD_ROLLUPS: &str = "_rollups-1";

/// Makes a table as the version before derived columns left it.
pub(crate) fn age(table: &Path) {
    for file in data_files(table) {
        drop_derived_columns(&file);
    }
    let log = table.join("_delta_log");
    for commit in entries(&log).into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "json")) {
        let text = fs::read_to_string(&commit).expect("a commit");
        let lines = text.lines().map(|line| aged(table, serde_json::from_str(line).expect("JSON")).to_string());
        fs::write(&commit, lines.collect::<Vec<_>>().join("\n")).expect("written");
    }
    fs::rename(table.join(ROLLUPS), table.join(OLD_ROLLUPS)).expect("renamed");
}

/// A line of the log without the columns, and with the sizes that files have now.
fn aged(table: &Path, mut action: Value) -> Value {
    if let Some(schema) = action.pointer_mut("/metaData/schemaString") {
        let mut columns: Value = serde_json::from_str(schema.as_str().expect("text")).expect("JSON");
        let is_known = |column: &Value| derived_columns().iter().all(|derived| column["name"] != derived.name);
        columns["fields"].as_array_mut().expect("a list").retain(is_known);
        *schema = columns.to_string().into();
    }
    if let Some(path) = action.pointer("/add/path").and_then(Value::as_str) {
        let size = fs::metadata(table.join(path)).expect("a file").len();
        action["add"]["size"] = size.into();
    }
    action
}

fn drop_derived_columns(path: &Path) {
    let file = File::open(path).expect("a file");
    let options = ArrowReaderOptions::new().with_schema(record_schema());
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).expect("Parquet");
    let batches: Vec<_> = reader.build().expect("a reader").map(|batch| batch.expect("rows")).collect();
    let places: Vec<usize> = (0..REPORTED_COLUMNS).collect();
    let schema = Arc::new(record_schema().project(&places).expect("columns"));
    let output = File::create(path).expect("a file");
    let properties = WriterProperties::builder().build();
    let mut writer = ArrowWriter::try_new(output, schema, Some(properties)).expect("a writer");
    for batch in batches {
        writer.write(&batch.project(&places).expect("columns")).expect("written");
    }
    writer.close().expect("written");
}

fn data_files(table: &Path) -> Vec<PathBuf> {
    let days = entries(table).into_iter().filter(|path| path.to_string_lossy().contains("/date="));
    days.flat_map(|day| entries(&day)).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

pub(crate) async fn insert(table: &Path, records: &[Arc<Record>]) {
    let mut store = Store::Embedded(EmbeddedStore::open(table, CollectorNumber::default()).await.expect("a table"));
    for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        for batch in day.chunks(day.len() / 2 + 1) {
            store.insert(&Batch::of(batch.to_vec()).expect("a batch")).await.expect("inserted");
        }
    }
}

async fn view(table: &Path) -> View {
    let reader = EmbeddedReader::open(table, CollectorNumber::default(), Recent::default()).await.expect("a reader");
    let limits = Limits::without_retention();
    Analytics::embedded(reader, limits).expect("an engine").at(NOW).await.expect("a view")
}

/// All records are there, and those from the place `new` on have what is derived from them.
async fn check(table: &Path, records: &[Arc<Record>], new: usize, what: &str) {
    let view = view(table).await;
    let mut found = Vec::new();
    for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        let all = records_of(&view, day[0].ts_reception.day(), &(0..=i64::MAX), TEXT_BYTES).await.expect("records");
        found.extend(all.expect("few").into_iter().map(Arc::new));
    }
    assert_eq!(found, records, "{what}");
    let with_stacks = records[new..].iter().filter(|record| derive(&record.report).stack_id != 0).count();
    let stacks = seen(&view, &RecordFilter::default(), STACKS_MAX).await.expect("stacks").stacks;
    assert_eq!(stacks.iter().map(|stack| stack.records).sum::<u64>(), with_stacks as u64, "{what}");
    let all = records::count(&view, &RecordFilter::default()).await.expect("a count");
    assert_eq!(all, records.len() as u64, "{what}");
    let frame = view
        .records()
        .expect("records")
        .filter(datafusion::prelude::col("stack_id").eq(datafusion::prelude::lit(0_i64)));
    let without = frame.expect("a plan").count().await.expect("a count");
    assert_eq!(without, records.len() - with_stacks, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_an_older_version_is_read_written_and_merged() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = DataDir::new(directory.path());
    let (table, records) = (data.records_table(), invented(3, NOW));
    let (old, new) = records.split_at(records.len() / 2);
    let crashes =
        |records: &[Arc<Record>]| records.iter().filter(|record| derive(&record.report).stack_id != 0).count();
    assert!(crashes(old) > 0 && crashes(new) > 0, "something is derived");
    insert(&table, old).await;
    age(&table);
    check(&table, old, old.len(), "nobody has opened it for writing").await;
    insert(&table, new).await;
    check(&table, &records, old.len(), "files of both versions").await;
    assert_eq!(counted_from_outside(directory.path()), format!("{} {}", records.len(), crashes(new)));
    maintain(&data, RetentionPolicy::off()).await;
    check(&table, &records, old.len(), "merged").await;
    assert_eq!(counted_from_outside(directory.path()), format!("{} {}", records.len(), crashes(new)));
    assert!(!table.join(OLD_ROLLUPS).exists());
}

/// What DuckDB and Polars count: records, and those that have a stack.
fn counted_from_outside(directory: &Path) -> String {
    let script = "
import duckdb, polars
duckdb.sql('LOAD delta')
records, stacks = duckdb.sql(\"SELECT count(*), count(*) FILTER (stack_id != 0) FROM delta_scan('records')\").fetchone()
column = polars.scan_delta('records').select('stack_id').collect()['stack_id']
assert (len(column), column.fill_null(0).ne(0).sum()) == (records, stacks), (len(column), records, stacks)
print(records, stacks)
";
    Python::new().output(directory, script).trim_end().to_owned()
}
