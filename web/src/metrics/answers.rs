//! What a process tells about its answers: exports, statements in SQL, and the files of finished days.

use std::sync::atomic::Ordering::Relaxed;

use crate::datasets::Served;
use crate::exposition::Exposition;
use crate::formats::AnswerCounts;

pub(super) fn exports(out: &mut Exposition, counts: &AnswerCounts) {
    out.gauge("telemetrics_running_exports", "Exports that run.", counts.running);
    out.gauge("telemetrics_waiting_exports", "Exports that wait for their turn.", counts.waiting);
    out.counters(
        "telemetrics_exports_total",
        "Exports that ended, by how: whole, the client left or took nothing, over a limit, failed, or no turn in time.",
        "outcome",
        counts.outcomes(),
    );
    out.counter("telemetrics_export_records_total", "Records that exports read.", counts.rows);
    out.counter(
        "telemetrics_export_sent_bytes_total",
        "Bytes of exports, as compressed as they were sent.",
        counts.bytes,
    );
}

pub(super) fn statements(out: &mut Exposition, counts: &AnswerCounts) {
    out.gauge("telemetrics_running_statements", "Statements in SQL that run.", counts.running);
    out.gauge("telemetrics_waiting_statements", "Statements that wait for their turn.", counts.waiting);
    out.counters(
        "telemetrics_statements_total",
        "Statements that ended, by how: as exports do; `refused` are those that are wrong or over a limit.",
        "outcome",
        counts.outcomes(),
    );
    out.counter("telemetrics_statement_rows_total", "Rows of the answers to statements.", counts.rows);
    out.counter(
        "telemetrics_statement_sent_bytes_total",
        "Bytes of answers to statements, as compressed as they were sent.",
        counts.bytes,
    );
}

/// The files of finished days.
pub(super) struct Files<'a> {
    pub(super) served: &'a Served,
    pub(super) made: u64,
    pub(super) bytes: u64,
    pub(super) quota_bytes: u64,
}

pub(super) fn datasets(out: &mut Exposition, files: &Files<'_>) {
    let served = files.served;
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
    out.counter("telemetrics_dataset_files_made_total", "Files of finished days that were made.", files.made);
    out.gauge("telemetrics_dataset_disk_bytes", "Bytes that these files take.", files.bytes);
    out.gauge("telemetrics_dataset_quota_bytes", "Most bytes that they may take.", files.quota_bytes);
}
