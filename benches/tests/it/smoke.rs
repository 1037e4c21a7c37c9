//! The whole report, over so few records and so short that its numbers mean nothing: it fails when one is missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use telemetrics_benches::figures::Results;

/// Some figures of each section.
const EXPECTED: [(&str, &[&str]); 11] = [
    ("ingest", &["share-keep-alive", "share-per-record", "cpu", "kept"]),
    ("batches", &["ratio-zstd-500-2"]),
    ("stores", &["bytes embedded, merged", "bytes ClickHouse", "bytes original"]),
    ("questions", &["median", "most-through-us", "sql one record"]),
    ("growth", &["pages embedded", "ClickHouse through us one record"]),
    (
        "exports",
        &[
            "parquet-embedded-per-own-sql-2000",
            "parquet-embedded-per-duckdb-2000",
            "parquet-clickhouse-per-own-sql-2000",
            "csv-embedded-rate-2000",
            "ndjson-clickhouse-rate-2000",
            "memory-slow-embedded-2000",
            "memory-crowd-clickhouse-2000",
            "day-again-clickhouse-2000",
            "crowd-lost-embedded-2000",
        ],
    ),
    (
        "pages",
        &[
            "first-byte-embedded-3000",
            "size-clickhouse-3000",
            "filtered-p99-embedded-3000",
            "page-crashes-35-days-clickhouse-3000",
            "edit-embedded-3000",
            "api-regressions-clickhouse-3000",
        ],
    ),
    ("start", &["ready embedded full", "answered ClickHouse empty", "program-stripped"]),
    ("roles", &["collector ClickHouse a load", "web ClickHouse its start"]),
    ("soak-embedded", &["memory", "lost"]),
    ("soak-clickhouse", &["memory", "lost"]),
];

#[test]
fn every_figure_of_the_report_can_be_produced() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = |file: &str, name: &str| {
        let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(file), directory.path().join(name));
        std::fs::copy(from, &to).expect("a copy");
        to
    };
    let (results, capacity) = (copy("RESULTS.md", "RESULTS.md"), copy("../docs/capacity.md", "capacity.md"));
    let program = Path::new(env!("CARGO_BIN_EXE_telemetrics-benches"));
    let mut report = Command::new(program);
    report.args(["report", "--smoke", "--write", "--results"]).arg(&results).arg("--capacity").arg(&capacity);
    report.arg("--data-dir").arg(directory.path());
    // What the tests built is measured, whatever cargo would build.
    report.arg("--server").arg(program.with_file_name("telemetrics")).env_remove("CARGO");
    let ended = report.output().expect("the report runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let measured = Results::read(&results.with_file_name("results.json")).expect("figures");
    for (name, figures) in EXPECTED {
        let section = measured.section(name).unwrap_or_else(|| panic!("{name} is missing: {said}"));
        let names: BTreeSet<&str> = section.figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names.len(), section.figures.len(), "{name}: names are unique: {names:?}");
        for figure in figures {
            assert!(names.contains(figure), "{name}: no {figure}: {names:?}");
        }
    }
    for soak in ["soak-embedded", "soak-clickhouse"] {
        for figure in ["lost", "doubled", "unanswered"] {
            let figure = measured.figure(soak, figure).expect("a figure");
            assert_eq!(figure.holds(), Some(true), "{soak}: {figure:?}");
        }
        assert!(measured.figure(soak, "restart").is_some_and(|restart| restart.value > 0.0), "{soak} had no kill");
    }
    let page = std::fs::read_to_string(&capacity).expect("a page");
    assert!(page.contains("### Records a day") && page.contains("## What to do then"), "{page}");
    let text = std::fs::read_to_string(&results).expect("results");
    assert!(text.contains("| parquet | DuckDB's COPY |") && text.contains("| Overview | clickhouse |"), "{text}");
    assert!(results.with_file_name("growth.svg").is_file());
}
