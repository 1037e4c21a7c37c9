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
use telemetrics_schema::layout::PARTITION;
use tracing::info;

use super::rewrite::delete;
use super::table::{RemovedFile, Table, unavailable};
use crate::store::StoreError;

/// Deletes files that no version of the table names. Only to be called when nobody writes.
pub(super) async fn delete_orphans(table: &Table) -> Result<(), StoreError> {
    let files = table.version().await?.files.into_iter().map(|file| file.path);
    let removed = table.removed().await?.into_iter().map(|file| file.path);
    let known: HashSet<String> = files.chain(removed).collect();
    let directory = table.directory();
    let mut orphans = 0;
    for day in entries(directory)?.iter().filter(|name| name.starts_with(&format!("{PARTITION}="))) {
        for name in entries(&directory.join(day))? {
            let file = format!("{day}/{name}");
            if !known.contains(&file) {
                delete(&directory.join(&file));
                orphans += 1;
            }
        }
    }
    for name in entries(&directory.join("_delta_log"))?.iter().filter(|name| is_unfinished(name)) {
        delete(&directory.join("_delta_log").join(name));
        orphans += 1;
    }
    if orphans > 0 {
        info!(files = orphans, "deleted what an earlier process had written and not finished");
    }
    Ok(())
}

/// Deletes files that were removed from the table longer than `grace` ago.
pub(super) async fn delete_removed(table: &Table, now: TimestampUs, grace: Duration) -> Result<(), StoreError> {
    let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
    let latest_ms = now.as_ms().saturating_sub(grace_ms);
    let live: HashSet<String> = table.version().await?.files.into_iter().map(|file| file.path).collect();
    let files = table.refreshed().await?.log_store().object_store(None);
    let is_due = |file: &RemovedFile| file.removed_ms <= latest_ms && !live.contains(&file.path);
    for file in table.removed().await?.into_iter().filter(is_due) {
        match files.delete(&Path::from(file.path.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(unavailable(error)),
        }
        if let Some(day) = table.directory().join(&file.path).parent() {
            // It goes when it is empty; who writes into it makes it again.
            let _ = fs::remove_dir(day);
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
