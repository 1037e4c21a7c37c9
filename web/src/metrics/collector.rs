//! What a process tells about the records that it accepts: their way from the probe through the journal into the store.

use telemetrics_collector::counters::{Counts, Reason};
use telemetrics_collector::journal::JournalStats;
use telemetrics_collector::quarantine::{Kind, QuarantineStats};
use telemetrics_collector::redelivery::WindowStats;
use telemetrics_collector::store::MaintenanceStats;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_S;

use crate::exposition::Exposition;

/// Microseconds in the histograms of durations.
const US_PER_SECOND: u32 = 1_000_000;

pub(super) fn records(out: &mut Exposition, counts: &Counts, pending: u64) {
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

pub(super) fn parsers<'a>(out: &mut Exposition, broken: usize, failures: impl IntoIterator<Item = (&'a str, u64)>) {
    out.gauge(
        "telemetrics_broken_parser_files",
        "Files of payload parsers that cannot be used; two that share a classification, or a directory that cannot be \
         read, count as one. While there are any, the parsers stay as they were.",
        broken,
    );
    out.counters(
        "telemetrics_parser_failures_total",
        "Attributes that stored records go without, because an expression of a payload parser failed.",
        "parser",
        failures,
    );
}

pub(super) fn redelivery(out: &mut Exposition, window: &WindowStats, now: TimestampUs) {
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

pub(super) fn quarantine(out: &mut Exposition, quarantine: &QuarantineStats, quota_bytes: u64) {
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
    out.gauge("telemetrics_quarantine_quota_bytes", "Most bytes that they may take.", quota_bytes);
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

pub(super) fn journal(out: &mut Exposition, journal: &JournalStats, quota_bytes: u64, now: TimestampUs) {
    out.gauge("telemetrics_journal_bytes", "Bytes that the journal's segments take.", journal.bytes);
    out.gauge(
        "telemetrics_journal_quota_bytes",
        "Most bytes that they may take; when they are used up, records are answered 503.",
        quota_bytes,
    );
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

pub(super) fn store(out: &mut Exposition, counts: &Counts) {
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
pub(super) fn maintenance(out: &mut Exposition, stats: &MaintenanceStats, now: TimestampUs) {
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
