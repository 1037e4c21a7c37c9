//! The numbers as a strict reader sees them, and the page that is made of them.

use std::fmt::Write as _;
use std::time::Duration;

use telemetrics_collector::counters::{Counters, Reason};
use telemetrics_collector::journal::JournalStats;
use telemetrics_collector::quarantine::{QuarantineStats, Sum};
use telemetrics_collector::redelivery::WindowStats;
use telemetrics_collector::store::MaintenanceStats;
use telemetrics_schema::time::US_PER_S;

use super::*;
use crate::datasets::Served;
use crate::exposition::tests::{Family, parse};
use crate::formats::AnswerCounts;

const NOW: TimestampUs = TimestampUs(1_795_342_080_000_000);
const ROOM: Room = Room { free_bytes: 1, size_bytes: 2, free_files: 3, size_files: 4 };
const QUOTAS: Quotas = Quotas { journal: 1, quarantine: 2, datasets: 3 };

/// A part of the text under the heading of the page.
type Section = (&'static str, String);

/// Every family that there can be, by the part of a process that it belongs to.
fn sections(stats: &CollectorStats) -> Vec<Section> {
    let text = |tell: &dyn Fn(&mut Exposition)| {
        let mut out = Exposition::default();
        tell(&mut out);
        out.into_text()
    };
    let served = Served::default();
    let files = Files { served: &served, made: 0, bytes: 0, quota_bytes: QUOTAS.datasets };
    let counts = AnswerCounts::sample();
    vec![
        ("Server", text(&|out| server(out, &Connections::default()))),
        ("TLS", text(&|out| tls(out, TimestampUs::from_s(1_800_000_000)))),
        ("Process", text(&|out| host::process(out, NOW))),
        ("Disk", text(&|out| host::disk(out, &ROOM))),
        ("Records", text(&|out| collector::records(out, &stats.counts, stats.pending_records))),
        ("Records that come again", text(&|out| collector::redelivery(out, &stats.redelivery, NOW))),
        ("Quarantine", text(&|out| collector::quarantine(out, &stats.quarantine, QUOTAS.quarantine))),
        ("Journal", text(&|out| collector::journal(out, &stats.journal, QUOTAS.journal, NOW))),
        ("Store", text(&|out| collector::store(out, &stats.counts))),
        (
            "Maintenance of the embedded store",
            text(&|out| stats.maintenance.iter().for_each(|stats| collector::maintenance(out, stats, NOW))),
        ),
        ("Payload parsers", text(&|out| collector::parsers(out, 0, [("a", 1)]))),
        ("Exports", text(&|out| answers::exports(out, &counts))),
        ("Statements in SQL", text(&|out| answers::statements(out, &counts))),
        ("Files of finished days", text(&|out| answers::datasets(out, &files))),
    ]
}

fn whole(stats: &CollectorStats) -> String {
    sections(stats).into_iter().map(|(_, text)| text).collect()
}

fn stats() -> CollectorStats {
    let counters = Counters::default();
    counters.accepted(11);
    counters.rejected(Reason::TooLarge, 3);
    counters.redelivered(4);
    counters.quarantined(5);
    counters.inserted(8, Duration::from_millis(2), &Ok(()));
    let journal = JournalStats {
        bytes: 67_108_864,
        oldest_pending: Some(TimestampUs(NOW.0 - 90 * US_PER_S)),
        writable: true,
        ..JournalStats::default()
    };
    let redelivery = WindowStats {
        records: 9,
        oldest_reception: Some(TimestampUs(NOW.0 - 3_600 * US_PER_S)),
        ..WindowStats::default()
    };
    let quarantine = QuarantineStats {
        owed: Sum { entries: 21, bytes: 22 },
        refused: Sum { entries: 23, bytes: 24 },
        evidence: Sum { entries: 25, bytes: 26 },
        disk_bytes: 27,
        kept_owed: 28,
        kept_refused: 29,
        kept_evidence: 30,
        dropped_evidence: 31,
        failures: 32,
    };
    let maintenance = Some(MaintenanceStats {
        files: 41,
        bytes: 42,
        rewrites: 43,
        rewritten_rows: 44,
        rewritten_bytes: 45,
        expired_rows: 46,
        failures: 47,
        last_sweep: TimestampUs(NOW.0 - 48 * US_PER_S),
    });
    CollectorStats { counts: counters.read(), journal, quarantine, redelivery, maintenance, pending_records: 6 }
}

#[test]
fn a_strict_reader_finds_every_number() {
    let text = whole(&stats());
    let families = parse(&text);
    let samples: Vec<&(String, f64)> = families.values().flat_map(|family| &family.samples).collect();
    for (series, value) in [
        ("telemetrics_accepted_records_total", 11.0),
        ("telemetrics_rejected_records_total{reason=\"too_large\"}", 3.0),
        ("telemetrics_rejected_records_total{reason=\"invalid\"}", 0.0),
        ("telemetrics_redelivered_records_total", 4.0),
        ("telemetrics_quarantined_records_total", 5.0),
        ("telemetrics_redelivery_window_records", 9.0),
        ("telemetrics_redelivery_window_reach_seconds", 3_600.0),
        ("telemetrics_redelivery_log_failures_total", 0.0),
        ("telemetrics_pending_records", 6.0),
        ("telemetrics_tls_certificate_expiry_timestamp_seconds", 1.8e9),
        ("telemetrics_quarantine_entries{kind=\"owed\"}", 21.0),
        ("telemetrics_quarantine_entries{kind=\"refused\"}", 23.0),
        ("telemetrics_quarantine_entries{kind=\"evidence\"}", 25.0),
        ("telemetrics_quarantine_entries_bytes{kind=\"owed\"}", 22.0),
        ("telemetrics_quarantine_entries_bytes{kind=\"refused\"}", 24.0),
        ("telemetrics_quarantine_entries_bytes{kind=\"evidence\"}", 26.0),
        ("telemetrics_quarantine_disk_bytes", 27.0),
        ("telemetrics_quarantine_kept_total{kind=\"owed\"}", 28.0),
        ("telemetrics_quarantine_kept_total{kind=\"refused\"}", 29.0),
        ("telemetrics_quarantine_kept_total{kind=\"evidence\"}", 30.0),
        ("telemetrics_quarantine_dropped_evidence_total", 31.0),
        ("telemetrics_quarantine_failures_total", 32.0),
        ("telemetrics_journal_bytes", 67_108_864.0),
        ("telemetrics_journal_oldest_record_age_seconds", 90.0),
        ("telemetrics_journal_writable", 1.0),
        ("telemetrics_journal_sync_duration_seconds_count", 0.0),
        ("telemetrics_store_batch_records_sum", 8.0),
        ("telemetrics_store_insert_duration_seconds_sum", 0.002),
        ("telemetrics_store_insert_failures_total{reason=\"refused\"}", 0.0),
        ("telemetrics_embedded_files", 41.0),
        ("telemetrics_embedded_bytes", 42.0),
        ("telemetrics_maintenance_rewrites_total", 43.0),
        ("telemetrics_maintenance_rewritten_records_total", 44.0),
        ("telemetrics_maintenance_rewritten_bytes_total", 45.0),
        ("telemetrics_maintenance_expired_records_total", 46.0),
        ("telemetrics_maintenance_failures_total", 47.0),
        ("telemetrics_maintenance_last_sweep_age_seconds", 48.0),
        ("telemetrics_journal_quota_bytes", 1.0),
        ("telemetrics_quarantine_quota_bytes", 2.0),
        ("telemetrics_dataset_quota_bytes", 3.0),
        ("telemetrics_connections", 0.0),
        ("telemetrics_running_exports", 1.0),
        ("telemetrics_waiting_statements", 2.0),
        ("telemetrics_export_records_total", 3.0),
        ("telemetrics_statement_sent_bytes_total", 4.0),
        ("telemetrics_exports_total{outcome=\"whole\"}", 5.0),
        ("telemetrics_statements_total{outcome=\"no_turn\"}", 10.0),
        ("telemetrics_answers_total{status=\"5xx\"}", 0.0),
    ] {
        let found = samples.iter().find(|(name, _)| name == series).unwrap_or_else(|| panic!("{series} in {text}"));
        assert!((found.1 - value).abs() < 1e-9, "{series}: {}", found.1);
    }
}

#[test]
fn a_store_that_looks_after_itself_has_no_numbers_of_its_maintenance() {
    let stats = CollectorStats { maintenance: None, ..stats() };
    assert!(!whole(&stats).contains("telemetrics_maintenance"));
}

#[test]
fn an_age_is_never_negative_and_zero_without_records() {
    let age = |oldest| {
        let journal = JournalStats { oldest_pending: oldest, ..JournalStats::default() };
        let stats = CollectorStats { journal, ..CollectorStats::default() };
        let families = parse(&whole(&stats));
        families["telemetrics_journal_oldest_record_age_seconds"].samples[0].1.to_string()
    };
    assert_eq!(age(None), "0");
    assert_eq!(age(Some(TimestampUs(NOW.0 + US_PER_S))), "0");
    assert_eq!(age(Some(TimestampUs(NOW.0 - 1_999_999))), "1");
}

#[test]
fn a_collector_tells_all_of_its_sections() {
    let mut out = Exposition::default();
    collecting(&mut out, &stats(), QUOTAS, NOW);
    let of_collector = sections(&stats()).into_iter().skip(4).take(6);
    assert_eq!(out.into_text(), of_collector.map(|(_, text)| text).collect::<String>());
}

/// Set it to write the page instead of comparing it.
const UPDATE_VARIABLE: &str = "TELEMETRICS_UPDATE_DOCS";
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
const INTRODUCTION: &str = "# Metrics

Made from what `GET /metrics` tells; do not edit.

Numbers in the text format of Prometheus. A process has those of its parts: `telemetrics web` none of records, a server on
ClickHouse none of the embedded store's maintenance. Counters begin at 0 when the process starts. What alerts are made of
them is in [deploy/prometheus/alerts.yml](../deploy/prometheus/alerts.yml), and how both are used in
[deploy.md](deploy.md#monitoring).
";

#[test]
fn the_page_is_that_of_the_metrics() {
    let page = page();
    if std::env::var_os(UPDATE_VARIABLE).is_some() {
        std::fs::write(PAGE, &page).expect("written");
    }
    assert!(
        std::fs::read_to_string(PAGE).unwrap_or_default() == page,
        "docs/metrics.md is not that of the metrics; write it with: \
         {UPDATE_VARIABLE}=1 cargo test --workspace the_page_is_that_of_the_metrics"
    );
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (heading, text) in sections(&stats()) {
        let _ = write!(page, "\n## {heading}\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
        let families = parse(&text);
        for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = line.split_once(' ').expect("a help text");
            let family = &families[name];
            let _ = writeln!(page, "| `{name}` | {} | {} | {help} |", family.kind, labels(family));
        }
    }
    page
}

/// The label of a family with the values that it can have.
fn labels(family: &Family) -> String {
    let of_sample = |series: &str| {
        let (name, value) = series.split_once('{')?.1.split_once('=')?;
        Some((name.to_owned(), value.trim_matches(['"', '}']).to_owned()))
    };
    let labels: Vec<(String, String)> = family.samples.iter().filter_map(|(series, _)| of_sample(series)).collect();
    match labels.first().map(|(name, _)| name.as_str()) {
        // Bounds of buckets.
        None | Some("le") => String::new(),
        // Names that others give.
        Some(name @ ("version" | "parser")) => format!("`{name}`"),
        Some(name) => {
            let values: Vec<String> = labels.iter().map(|(_, value)| format!("`{value}`")).collect();
            format!("`{name}`: {}", values.join(", "))
        }
    }
}
