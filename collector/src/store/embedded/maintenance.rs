//! What is done to the table behind the scenes: small files become large ones, expired records go, the log stays short.
//!
//! It goes on beside the drain and can be killed at any point: what it writes is not part of the table until one commit
//! takes it in and the old files out, and those stay on the disk for a grace period.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{PolicyInForce, RetentionPolicy};
use telemetrics_schema::time::Clock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::counters::MaintenanceCounters;
use super::data_file::DataFile;
use super::expiry::{self, Expiry};
use super::pace::Pace;
use super::parquet_file::ROW_GROUP_BYTES;
use super::plan::{self, Thresholds};
use super::retire::{self, Fate};
use super::rewrite::{Rewrite, Rewritten, delete};
use super::table::{Table, Version, add, remove, unavailable};
use super::{leftovers, log_care, rollup_file};
use crate::store::StoreError;

/// Longest time that an expired record is on the disk; the rest of a day is for a machine that is slow or was off.
const EXPIRED_ON_DISK_MAX: Duration = Duration::from_hours(21);

/// How the embedded table is maintained.
#[derive(Debug, Clone)]
pub struct MaintenanceSettings {
    /// How long records live; it may change meanwhile.
    pub policy: PolicyInForce,
    /// Size at which a file that small ones become is closed; those of half this size are left as they are.
    pub file_target_bytes: u64,
    /// So many files of about one size and of one day are merged.
    pub merge_files_min: usize,
    /// At most so many files are merged at once: each takes [`Self::merge_input_bytes`] and one page of every column.
    pub merge_files_max: usize,
    /// Rows of each file, in bytes, that are in memory at a time.
    pub merge_input_bytes: usize,
    /// Size of a row group, which is in memory until it is written, in bytes.
    pub row_group_bytes: usize,
    /// Share of one processor that all of this may take, in percent.
    pub cpu_share_percent: u32,
    /// Longest time between two looks for files to merge; a commit has them looked for at once.
    pub check_interval: Duration,
    /// Time between two looks for expired records and for files to delete.
    pub sweep_interval: Duration,
    /// How long an expired record, which no answer has any more, may stay in a file before that is written again. With
    /// twice the interval and the grace period it has to be below a day.
    pub expired_slack: Duration,
    /// Files with expired records are written again up to so many bytes in one sweep; the next one goes on.
    pub rewrite_bytes_max: u64,
    /// How long files stay on the disk after they were removed from the table: who began to read it before has so long.
    pub removed_grace: Duration,
    /// How far the table's log goes back.
    pub log_age: Duration,
    /// A checkpoint of the log is written after so many commits.
    pub checkpoint_commits: u64,
}

impl MaintenanceSettings {
    /// The usual ones, with this policy.
    #[must_use]
    pub fn new(policy: RetentionPolicy) -> Self {
        Self {
            policy: policy.into(),
            file_target_bytes: 256 << 20,
            merge_files_min: 8,
            merge_files_max: 8,
            merge_input_bytes: 512 << 10,
            row_group_bytes: ROW_GROUP_BYTES,
            cpu_share_percent: 25,
            check_interval: Duration::from_mins(1),
            sweep_interval: Duration::from_hours(1),
            expired_slack: Duration::from_hours(18),
            rewrite_bytes_max: 4 << 30,
            removed_grace: Duration::from_hours(1),
            log_age: Duration::from_hours(24),
            checkpoint_commits: 100,
        }
    }

    /// With these two, and with records that expire off the disk as late as within a day is possible with them: so a
    /// file is written again as rarely as can be.
    #[must_use]
    pub fn with_times(self, sweep_interval: Duration, removed_grace: Duration) -> Self {
        // Overdue just after a sweep, written again by the next one, and deleted by the first one after the grace period.
        let expired_slack = EXPIRED_ON_DISK_MAX.saturating_sub(sweep_interval * 2 + removed_grace);
        Self { sweep_interval, expired_slack, removed_grace, ..self }
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds {
            target_bytes: self.file_target_bytes,
            tier_files: self.merge_files_min,
            files_max: self.merge_files_max,
        }
    }
}

/// See the module.
pub(super) struct Maintenance {
    table: Arc<Table>,
    settings: MaintenanceSettings,
    counters: Arc<MaintenanceCounters>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// The policy that this pass goes by.
    policy: Arc<RetentionPolicy>,
    /// What was found in files that the log does not say enough of; files never change, and it is of this policy.
    known: HashMap<String, Expiry>,
    last_sweep: Option<TimestampUs>,
}

impl Maintenance {
    pub(super) fn new(
        table: Arc<Table>,
        settings: MaintenanceSettings,
        counters: Arc<MaintenanceCounters>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        counters.swept(clock.now());
        let policy = settings.policy.now();
        Self { table, settings, counters, clock, stop, policy, known: HashMap::new(), last_sweep: None }
    }

    /// Works until it is stopped.
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let outcome = self.pass().await;
            let pause = tokio::time::sleep(self.settings.check_interval);
            let stopped = self.stop.cancelled();
            if let Err(error) = outcome {
                self.counters.failed();
                warn!(%error, "the maintenance of the embedded table is tried again");
                tokio::select! { () = pause => {}, () = stopped => {} }
            } else {
                tokio::select! { () = pause => {}, () = stopped => {}, () = self.table.committed() => {} }
            }
        }
    }

    /// Does what is due now.
    pub(super) async fn pass(&mut self) -> Result<(), StoreError> {
        self.take_policy();
        if self.is_sweep_due() {
            self.sweep().await?;
        }
        while !self.stop.is_cancelled() && self.merge_some().await? {}
        log_care::checkpoint(&self.table, self.settings.checkpoint_commits).await?;
        self.complete_rollups().await
    }

    /// By another policy, all files are looked at anew, and at once.
    fn take_policy(&mut self) {
        let policy = self.settings.policy.now();
        if policy != self.policy {
            self.policy = policy;
            self.known.clear();
            self.last_sweep = None;
        }
    }

    /// Makes the rollup files that are missing, those of the newest days first.
    async fn complete_rollups(&self) -> Result<(), StoreError> {
        let mut files = self.table.version().await?.files;
        files.retain(|file| !rollup_file::is_there(self.table.directory(), &file.path));
        files.sort_by_key(|file| Reverse(file.day));
        for file in files {
            let (directory, mut pace) = (self.table.directory().to_owned(), self.pace());
            let work = tokio::task::spawn_blocking(move || rollup_file::make(&directory, &file.path, &mut pace));
            if !work.await.map_err(unavailable)?? {
                break;
            }
        }
        Ok(())
    }

    fn is_sweep_due(&self) -> bool {
        let interval_us = i64::try_from(self.settings.sweep_interval.as_micros()).unwrap_or(i64::MAX);
        // A clock that was set back does not keep records from being deleted.
        self.last_sweep.is_none_or(|last| (self.clock.now().0 - last.0).unsigned_abs() >= interval_us.unsigned_abs())
    }

    /// Deletes: expired records, removed files, old parts of the log.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.retire(now).await?;
        leftovers::delete_removed(&self.table, now, self.settings.removed_grace).await?;
        log_care::clean(&self.table, now, self.settings.log_age).await?;
        self.last_sweep = Some(now);
        self.counters.swept(now);
        Ok(())
    }

    async fn retire(&mut self, now: TimestampUs) -> Result<(), StoreError> {
        let Version { mut files, .. } = self.table.version().await?;
        files.sort_by(|a, b| (a.day, &a.path).cmp(&(b.day, &b.path)));
        self.known.retain(|path, _| files.iter().any(|file| file.path == *path));
        let (mut dropped, mut rewritten) = (Vec::new(), Vec::new());
        for file in files {
            match self.fate(&file, now).await? {
                Fate::Keep => {}
                Fate::Drop => dropped.push(file),
                Fate::Rewrite => rewritten.push(file),
            }
        }
        self.drop_files(&dropped, now).await?;
        self.rewrite_files(rewritten, now).await
    }

    async fn fate(&mut self, file: &DataFile, now: TimestampUs) -> Result<Fate, StoreError> {
        let slack_us = i64::try_from(self.settings.expired_slack.as_micros()).unwrap_or(i64::MAX);
        let overdue = TimestampUs(now.0.saturating_sub(slack_us));
        if let Some(fate) = retire::by_log(file, &self.policy, now, overdue) {
            return Ok(fate);
        }
        let expiry = match self.known.get(&file.path) {
            Some(expiry) => *expiry,
            None => match self.look_into(file).await? {
                Some(expiry) => expiry,
                None => return Ok(Fate::Keep),
            },
        };
        self.known.insert(file.path.clone(), expiry);
        Ok(retire::by_rows(&expiry, now, overdue))
    }

    /// `None` when the process stops.
    async fn look_into(&self, file: &DataFile) -> Result<Option<Expiry>, StoreError> {
        let path = self.table.directory().join(&file.path);
        let (policy, mut pace) = (Arc::clone(&self.policy), self.pace());
        let work = tokio::task::spawn_blocking(move || expiry::of_file(&path, &policy, &mut pace));
        work.await.map_err(unavailable)?
    }

    async fn drop_files(&self, files: &[DataFile], now: TimestampUs) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let actions = files.iter().map(|file| remove(file, now, true)).collect();
        self.table.commit(actions, DeltaOperation::Delete { predicate: None }, None).await?;
        self.counters.expired(files.iter().filter_map(|file| file.rows).sum());
        info!(files = files.len(), "dropped files whose records are all expired");
        Ok(())
    }

    async fn rewrite_files(&self, files: Vec<DataFile>, now: TimestampUs) -> Result<(), StoreError> {
        let mut bytes = 0;
        for file in files {
            if bytes >= self.settings.rewrite_bytes_max || self.stop.is_cancelled() {
                break;
            }
            bytes += file.bytes;
            self.rewrite(vec![file], now).await?;
        }
        Ok(())
    }

    /// Merges files once; whether there may be more to merge.
    async fn merge_some(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let files = self.table.version().await?.files;
        self.counters.seen(&files);
        let files = plan::next(&files, &self.settings.thresholds(), now);
        if files.is_empty() {
            return Ok(false);
        }
        self.rewrite(files, now).await?;
        Ok(true)
    }

    async fn rewrite(&self, files: Vec<DataFile>, now: TimestampUs) -> Result<(), StoreError> {
        let rewrite = Rewrite {
            directory: self.table.directory().to_owned(),
            // Asked for again here: the names of what is written depend on it.
            version: self.table.version().await?.number,
            files: files.clone(),
            target_bytes: self.settings.file_target_bytes,
            row_group_bytes: self.settings.row_group_bytes,
            input_bytes: self.settings.merge_input_bytes,
            policy: Arc::clone(&self.policy),
            now,
        };
        let mut pace = self.pace();
        let work = tokio::task::spawn_blocking(move || rewrite.run(&mut pace));
        match work.await.map_err(unavailable)?? {
            Some(rewritten) => self.replace(&files, rewritten, now).await,
            None => Ok(()),
        }
    }

    /// One commit takes the old files out and the new ones in. Only this task removes files, so that the old ones are
    /// in the table still.
    async fn replace(&self, old: &[DataFile], new: Rewritten, now: TimestampUs) -> Result<(), StoreError> {
        let data_change = new.expired_rows > 0;
        let day = old.first().map_or(0, |file| file.day);
        let mut actions: Vec<Action> = old.iter().map(|file| remove(file, now, data_change)).collect();
        let rows: usize = new.files.iter().map(|(_, written)| written.summary.rows).sum();
        let bytes: u64 = new.files.iter().map(|(_, written)| written.bytes).sum();
        let (files, expired_rows) = (new.files.len(), new.expired_rows);
        let paths: Vec<String> = new.files.iter().map(|(path, _)| path.clone()).collect();
        actions.extend(new.files.into_iter().map(|(path, written)| add(path, day, &written, data_change)));
        let target_size = i64::try_from(self.settings.file_target_bytes).unwrap_or(i64::MAX);
        let outcome = self.table.commit(actions, DeltaOperation::Optimize { predicate: None, target_size }, None).await;
        if outcome.is_err() {
            self.discard(&paths).await;
        }
        outcome?;
        self.counters.rewrote(rows as u64, bytes);
        self.counters.expired(expired_rows as u64);
        info!(from = old.len(), to = files, bytes, expired_rows, "files of the embedded table were written again");
        Ok(())
    }

    /// Deletes what a commit was to take into the table, as far as it is certain that it did not.
    async fn discard(&self, paths: &[String]) {
        // What stays behind here is deleted at the next start.
        let Ok(version) = self.table.version().await else { return };
        for path in paths.iter().filter(|path| version.files.iter().all(|file| file.path != **path)) {
            delete(self.table.directory(), path);
        }
    }

    fn pace(&self) -> Pace {
        Pace::new(self.settings.cpu_share_percent, self.stop.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_settings_have_records_off_the_disk_within_a_day() {
        let settings = MaintenanceSettings::new(RetentionPolicy::days(35));
        let longest = settings.expired_slack + settings.sweep_interval * 2 + settings.removed_grace;
        assert_eq!(longest, EXPIRED_ON_DISK_MAX);
        let (interval, grace) = (settings.sweep_interval, settings.removed_grace);
        assert_eq!(settings.clone().with_times(interval, grace).expired_slack, settings.expired_slack);
    }
}
