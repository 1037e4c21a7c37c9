//! `/metrics`: the numbers of the server for Prometheus.

use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use telemetrics_analytics::parsers::PayloadParsers;
use telemetrics_collector::CollectorStats;
use telemetrics_collector::counters::{Counts, Reason};
use telemetrics_collector::journal::JournalStats;
use telemetrics_collector::quarantine::{Kind, QuarantineStats};
use telemetrics_collector::redelivery::WindowStats;
use telemetrics_collector::store::MaintenanceStats;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use crate::datasets::Datasets;
use crate::exposition::{CONTENT_TYPE, Exposition};
use crate::server::Connections;
use crate::state::{AppState, CollectorState};

/// Microseconds in the histograms of durations.
const US_PER_SECOND: u32 = 1_000_000;

/// All metrics of a process that accepts records.
pub async fn of_collector(State(state): State<CollectorState>) -> Response {
    let mut out = text(&state.collector.stats(), &state.connections, state.clock.now());
    parsers(&mut out, &state.parsers);
    if let Some(files) = &state.datasets {
        datasets(&mut out, files);
    }
    answer(out.into_text())
}

/// Those of a process that only answers questions.
pub async fn of_web(State(state): State<AppState>) -> Response {
    let mut out = Exposition::default();
    process(&mut out, &state.connections);
    datasets(&mut out, &state.datasets);
    answer(out.into_text())
}

fn answer(text: String) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
}

fn process(out: &mut Exposition, connections: &Connections) {
    out.info("telemetrics_build_info", "The version that runs.", "version", env!("CARGO_PKG_VERSION"));
    out.gauge("telemetrics_connections", "Connections that are open.", connections.open());
    out.counter("telemetrics_connections_total", "Connections that were accepted.", connections.accepted());
}

/// What a collector has to tell at `now`.
fn text(stats: &CollectorStats, connections: &Connections, now: TimestampUs) -> Exposition {
    let mut out = Exposition::default();
    process(&mut out, connections);
    records(&mut out, &stats.counts, stats.pending_records);
    redelivery(&mut out, &stats.redelivery, now);
    quarantine(&mut out, &stats.quarantine);
    journal(&mut out, &stats.journal, now);
    store(&mut out, &stats.counts);
    if let Some(stats) = &stats.maintenance {
        maintenance(&mut out, stats, now);
    }
    out
}

fn records(out: &mut Exposition, counts: &Counts, pending: u64) {
    out.counter("telemetrics_accepted_records_total", "Records that were acknowledged.", counts.accepted);
    out.counters(
        "telemetrics_rejected_records_total",
        "Requests and lines of batches that were not acknowledged.",
        "reason",
        Reason::ALL.iter().map(|reason| reason.label()).zip(counts.rejected),
    );
    out.counter(
        "telemetrics_redelivered_records_total",
        "Records that had been accepted before and were acknowledged again.",
        counts.redelivered,
    );
    out.counter("telemetrics_quarantined_records_total", "Records that were kept aside.", counts.quarantined);
    out.gauge("telemetrics_pending_records", "Acknowledged records that the store does not have yet.", pending);
}

fn parsers(out: &mut Exposition, parsers: &PayloadParsers) {
    let failures = parsers.failures();
    out.counters(
        "telemetrics_parser_failures_total",
        "Attributes that stored records go without, because an expression of a payload parser failed.",
        "parser",
        failures.iter().map(|of| (of.parser.as_str(), of.failures)),
    );
}

fn redelivery(out: &mut Exposition, window: &WindowStats, now: TimestampUs) {
    out.gauge(
        "telemetrics_redelivery_window_records",
        "Accepted records that redeliveries are told by.",
        window.records,
    );
    out.gauge(
        "telemetrics_redelivery_window_reach_seconds",
        "Age of the oldest accepted record that is remembered; 0 when there is none.",
        window.oldest_reception.map_or(0, |oldest| (now.0 - oldest.0).max(0) / US_PER_S),
    );
    out.gauge("telemetrics_redelivery_in_flight_records", "Records that are being made durable.", window.in_flight);
    out.gauge("telemetrics_redelivery_log_bytes", "Bytes of the files that the window is kept in.", window.log_bytes);
    out.counter(
        "telemetrics_redelivery_log_failures_total",
        "Times that those files could not be written; until the next success a restart forgets accepted records.",
        window.log_failures,
    );
}

fn quarantine(out: &mut Exposition, quarantine: &QuarantineStats) {
    let kinds = || Kind::ALL.into_iter().map(Kind::name);
    let sums = [quarantine.owed, quarantine.refused, quarantine.evidence];
    out.gauges(
        "telemetrics_quarantine_entries",
        "Entries of the quarantine; owed and refused ones are promised to their senders.",
        "kind",
        kinds().zip(sums.map(|sum| sum.entries)),
    );
    out.gauges(
        "telemetrics_quarantine_entries_bytes",
        "Bytes of those entries.",
        "kind",
        kinds().zip(sums.map(|sum| sum.bytes)),
    );
    out.gauge("telemetrics_quarantine_disk_bytes", "Bytes that the quarantine's files take.", quarantine.disk_bytes);
    out.counters(
        "telemetrics_quarantine_kept_total",
        "Requests and records that were kept aside, equal ones included.",
        "kind",
        kinds().zip([quarantine.kept_owed, quarantine.kept_refused, quarantine.kept_evidence]),
    );
    out.counter(
        "telemetrics_quarantine_dropped_evidence_total",
        "Refused requests that were not kept for people to look at, or not as long as they might have been.",
        quarantine.dropped_evidence,
    );
    out.counter(
        "telemetrics_quarantine_failures_total",
        "Writes of the quarantine that failed; probes were told to come again.",
        quarantine.failures,
    );
}

fn journal(out: &mut Exposition, journal: &JournalStats, now: TimestampUs) {
    out.gauge("telemetrics_journal_bytes", "Bytes that the journal's segments take.", journal.bytes);
    out.gauge("telemetrics_journal_segments", "Segment files of the journal.", journal.segments);
    out.gauge(
        "telemetrics_journal_oldest_record_age_seconds",
        "Age of the oldest record that the store does not have yet; 0 when it has all.",
        journal.oldest_pending.map_or(0, |oldest| (now.0 - oldest.0).max(0) / US_PER_S),
    );
    out.gauge(
        "telemetrics_journal_writable",
        "1 when the journal could be written the last time, 0 when not.",
        u8::from(journal.writable),
    );
    out.counter("telemetrics_journal_failures_total", "Writes and syncs of the journal that failed.", journal.failures);
    out.gauge("telemetrics_journal_queue_records", "Records that wait for the next write.", journal.queued_records);
    out.gauge(
        "telemetrics_journal_queue_bytes",
        "Bytes of records that wait for the next write.",
        journal.queued_bytes,
    );
    out.histogram(
        "telemetrics_journal_sync_duration_seconds",
        "Duration of each fdatasync of the journal.",
        &journal.sync_us,
        US_PER_SECOND,
    );
    out.histogram(
        "telemetrics_journal_group_records",
        "Records that shared a write and a sync.",
        &journal.group_records,
        1,
    );
    out.histogram("telemetrics_journal_group_bytes", "Bytes of such a write.", &journal.group_bytes, 1);
}

fn store(out: &mut Exposition, counts: &Counts) {
    out.histogram(
        "telemetrics_store_batch_records",
        "Records of each batch that the store took.",
        &counts.batch_records,
        1,
    );
    out.histogram(
        "telemetrics_store_insert_duration_seconds",
        "Duration of each insert that the store took.",
        &counts.insert_us,
        US_PER_SECOND,
    );
    out.counters(
        "telemetrics_store_insert_failures_total",
        "Inserts that did not succeed or whose outcome is not known.",
        "reason",
        [("unavailable", counts.inserts_unavailable), ("refused", counts.inserts_refused)],
    );
}

/// Only where the store is the embedded one.
fn maintenance(out: &mut Exposition, stats: &MaintenanceStats, now: TimestampUs) {
    out.gauge("telemetrics_embedded_files", "Files of the embedded table, without replaced ones.", stats.files);
    out.gauge("telemetrics_embedded_bytes", "Bytes of those files.", stats.bytes);
    out.counter(
        "telemetrics_maintenance_rewrites_total",
        "Times that files were merged, or written again without expired records.",
        stats.rewrites,
    );
    out.counter(
        "telemetrics_maintenance_rewritten_records_total",
        "Records that were written again so.",
        stats.rewritten_rows,
    );
    out.counter("telemetrics_maintenance_rewritten_bytes_total", "Bytes written for it.", stats.rewritten_bytes);
    out.counter(
        "telemetrics_maintenance_expired_records_total",
        "Expired records that were taken out of the table.",
        stats.expired_rows,
    );
    out.counter(
        "telemetrics_maintenance_failures_total",
        "Times that merging or deleting failed; it is tried again.",
        stats.failures,
    );
    out.gauge(
        "telemetrics_maintenance_last_sweep_age_seconds",
        "Time since what is expired was looked for to the end; since the start, when it was not yet.",
        (now.0 - stats.last_sweep.0).max(0) / US_PER_S,
    );
}

fn datasets(out: &mut Exposition, files: &Datasets) {
    let served = files.served();
    out.counters(
        "telemetrics_dataset_answers_total",
        "Answers about files of finished days: whole ones, parts, and that the client has the file already.",
        "kind",
        [("whole", &served.whole), ("part", &served.parts), ("unchanged", &served.unchanged)]
            .map(|(kind, count)| (kind, count.load(Relaxed))),
    );
    out.counter(
        "telemetrics_dataset_sent_bytes_total",
        "Bytes of files of finished days that were sent.",
        served.bytes.load(Relaxed),
    );
    out.counter("telemetrics_dataset_files_made_total", "Files of finished days that were made.", files.made());
    out.gauge("telemetrics_dataset_disk_bytes", "Bytes that these files take.", files.bytes());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use telemetrics_collector::counters::Counters;
    use telemetrics_collector::quarantine::Sum;

    use super::*;
    use crate::exposition::tests::parse;

    const NOW: TimestampUs = TimestampUs(1_795_342_080_000_000);

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
        let text = text(&stats(), &Connections::default(), NOW).into_text();
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
            ("telemetrics_connections", 0.0),
        ] {
            let found = samples.iter().find(|(name, _)| name == series).unwrap_or_else(|| panic!("{series} in {text}"));
            assert!((found.1 - value).abs() < 1e-9, "{series}: {}", found.1);
        }
    }

    #[test]
    fn a_store_that_looks_after_itself_has_no_numbers_of_its_maintenance() {
        let stats = CollectorStats { maintenance: None, ..stats() };
        assert!(!text(&stats, &Connections::default(), NOW).into_text().contains("telemetrics_maintenance"));
    }

    #[test]
    fn an_age_is_never_negative_and_zero_without_records() {
        let age = |oldest| {
            let journal = JournalStats { oldest_pending: oldest, ..JournalStats::default() };
            let stats = CollectorStats { journal, ..CollectorStats::default() };
            let families = parse(&text(&stats, &Connections::default(), NOW).into_text());
            families["telemetrics_journal_oldest_record_age_seconds"].samples[0].1.to_string()
        };
        assert_eq!(age(None), "0");
        assert_eq!(age(Some(TimestampUs(NOW.0 + US_PER_S))), "0");
        assert_eq!(age(Some(TimestampUs(NOW.0 - 1_999_999))), "1");
    }
}
