//! Files in the table's directory that its newest version does not have, and when they may be deleted.
//!
//! A file that a version had is deleted when the grace period is over since it was removed: a reader may have begun with
//! that version. A file that no version ever had was left by a killed process; it is deleted when the table is opened,
//! which is the one moment when nobody writes: at any other the drain may have written a file that it has not committed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::{PARTITION, ROLLUPS, ROLLUPS_PREFIX, rollup_file};
use tracing::{info, warn};

use super::table::{RemovedFile, Table, unavailable};
use crate::store::StoreError;

/// Deletes files that no version of the table names. Only to be called when nobody writes.
pub(super) async fn delete_orphans(table: &Table) -> Result<(), StoreError> {
    let files = table.version().await?.files.into_iter().map(|file| file.path);
    let removed = table.removed().await?.into_iter().map(|file| file.path);
    let data_files: HashSet<String> = files.chain(removed).collect();
    let rollup_files: HashSet<String> = data_files.iter().map(|file| rollup_file(file)).collect();
    let directory = table.directory();
    delete_old_rollups(directory)?;
    let log = entries(&directory.join("_delta_log"))?.into_iter().filter(|name| is_unfinished(name));
    let mut orphans: Vec<String> = log.map(|name| format!("_delta_log/{name}")).collect();
    orphans.extend(in_days(directory, "")?.filter(|file| !data_files.contains(file)));
    orphans.extend(in_days(directory, &format!("{ROLLUPS}/"))?.filter(|file| !rollup_files.contains(file)));
    for file in &orphans {
        delete(&directory.join(file));
    }
    if !orphans.is_empty() {
        info!(files = orphans.len(), "deleted what an earlier process had written and not finished");
    }
    Ok(())
}

/// Rollup files of another form are never read; those of this form are made by the maintenance.
fn delete_old_rollups(directory: &FilePath) -> Result<(), StoreError> {
    let is_old = |name: &&String| name.starts_with(ROLLUPS_PREFIX) && *name != ROLLUPS;
    for name in entries(directory)?.iter().filter(is_old) {
        fs::remove_dir_all(directory.join(name)).map_err(unavailable)?;
    }
    Ok(())
}

/// The files in the directories of days below `prefix`, with their paths relative to the table.
fn in_days(directory: &FilePath, prefix: &str) -> Result<impl Iterator<Item = String>, StoreError> {
    let mut files = Vec::new();
    let days = entries(&directory.join(prefix))?.into_iter().filter(|name| name.starts_with(&format!("{PARTITION}=")));
    for day in days.map(|day| format!("{prefix}{day}")) {
        files.extend(entries(&directory.join(&day))?.into_iter().map(|name| format!("{day}/{name}")));
    }
    Ok(files.into_iter())
}

/// Deletes a file that is not part of the table.
pub(super) fn delete(path: &FilePath) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(%error, path = %path.display(), "a file stays that is not part of the table");
    }
}

/// Deletes files that were removed from the table longer than `grace` ago.
pub(super) async fn delete_removed(table: &Table, now: TimestampUs, grace: Duration) -> Result<(), StoreError> {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let latest_ms = now.as_ms().saturating_sub(grace_ms);
    let live: HashSet<String> = table.version().await?.files.into_iter().map(|file| file.path).collect();
    let files = table.refreshed().await?.log_store().object_store(None);
    let is_due = |file: &RemovedFile| file.removed_ms <= latest_ms && !live.contains(&file.path);
    for file in table.removed().await?.into_iter().filter(is_due) {
        for path in [rollup_file(&file.path), file.path] {
            match files.delete(&Path::from(path.as_str())).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(unavailable(error)),
            }
            if let Some(day) = table.directory().join(&path).parent() {
                // It goes when it is empty; who writes into it makes it again.
                let _ = fs::remove_dir(day);
            }
        }
    }
    Ok(())
}

/// A copy of what was not given its name yet: `x.5.1234.tmp` of ours, `x#1` of the object store.
fn is_unfinished(name: &str) -> bool {
    FilePath::new(name).extension().is_some_and(|kind| kind == "tmp") || name.contains('#')
}

fn entries(directory: &FilePath) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unavailable)?,
    };
    entries.map(|entry| Ok(entry.map_err(unavailable)?.file_name().to_string_lossy().into_owned())).collect()
}
