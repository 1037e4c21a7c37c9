//! What the maintenance of the embedded table counts.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use telemetrics_schema::TimestampUs;

use super::data_file::DataFile;

/// A copy of the numbers at one moment; those of work done are since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MaintenanceStats {
    /// Files of the table, when the maintenance looked at it last.
    pub files: u64,
    /// Bytes of those files.
    pub bytes: u64,
    /// Times that files were written again, as fewer ones or without expired records.
    pub rewrites: u64,
    /// Records that were written again.
    pub rewritten_rows: u64,
    /// Bytes of the files that were written for it.
    pub rewritten_bytes: u64,
    /// Expired records that were taken out of the table.
    pub expired_rows: u64,
    /// Passes that failed; what they left is done by the next one.
    pub failures: u64,
    /// When the last sweep for expired records and removed files ended well, or the process started.
    pub last_sweep: TimestampUs,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct MaintenanceCounters {
    files: AtomicU64,
    bytes: AtomicU64,
    rewrites: AtomicU64,
    rewritten_rows: AtomicU64,
    rewritten_bytes: AtomicU64,
    expired_rows: AtomicU64,
    failures: AtomicU64,
    last_sweep_us: AtomicI64,
}

impl MaintenanceCounters {
    /// The table has these files now.
    pub(super) fn seen(&self, files: &[DataFile]) {
        self.files.store(files.len() as u64, Relaxed);
        self.bytes.store(files.iter().map(|file| file.bytes).sum(), Relaxed);
    }

    /// Files were written again.
    pub(super) fn rewrote(&self, rows: u64, bytes: u64) {
        self.rewrites.fetch_add(1, Relaxed);
        self.rewritten_rows.fetch_add(rows, Relaxed);
        self.rewritten_bytes.fetch_add(bytes, Relaxed);
    }

    /// Expired records were taken out of the table.
    pub(super) fn expired(&self, rows: u64) {
        self.expired_rows.fetch_add(rows, Relaxed);
    }

    /// A pass failed.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// A sweep ended well, or the first one is about to begin.
    pub(super) fn swept(&self, now: TimestampUs) {
        self.last_sweep_us.store(now.0, Relaxed);
    }

    /// The numbers now.
    pub(crate) fn read(&self) -> MaintenanceStats {
        MaintenanceStats {
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rewrites: self.rewrites.load(Relaxed),
            rewritten_rows: self.rewritten_rows.load(Relaxed),
            rewritten_bytes: self.rewritten_bytes.load(Relaxed),
            expired_rows: self.expired_rows.load(Relaxed),
            failures: self.failures.load(Relaxed),
            last_sweep: TimestampUs(self.last_sweep_us.load(Relaxed)),
        }
    }
}
