//! Keeps the table's log short: checkpoints, and the deletion of what is older than they need.

use std::time::Duration;

use deltalake::DeltaTable;
use deltalake::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use futures::TryStreamExt;
use telemetrics_schema::TimestampUs;
use tracing::debug;

use super::table::{Table, unavailable};
use crate::store::StoreError;

/// Writes a checkpoint when the newest one is so many commits old.
pub(super) async fn checkpoint(table: &Table, commits: u64) -> Result<(), StoreError> {
    let table = table.refreshed().await?;
    let version = table.snapshot().map_err(unavailable)?.version();
    if version < newest_checkpoint(&table).await?.unwrap_or(0) + commits {
        return Ok(());
    }
    debug!(version, "writing a checkpoint of the table's log");
    create_checkpoint(&table, None).await.map_err(unavailable)
}

/// Deletes what of the log is older than `age` and than a checkpoint.
pub(super) async fn clean(table: &Table, now: TimestampUs, age: Duration) -> Result<(), StoreError> {
    let table = table.refreshed().await?;
    let version = table.snapshot().map_err(unavailable)?.version();
    let cutoff_ms = now.as_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let log = table.log_store();
    let deleted = cleanup_expired_logs_for(version, log.as_ref(), cutoff_ms, None).await.map_err(unavailable)?;
    debug!(deleted, "deleted files of the table's log");
    Ok(())
}

async fn newest_checkpoint(table: &DeltaTable) -> Result<Option<u64>, StoreError> {
    let log = table.log_store();
    let names = log.object_store(None).list(Some(log.log_path())).map_ok(|file| file.location);
    let versions = names.map_ok(|path| path.filename().and_then(checkpoint_version));
    let versions: Vec<Option<u64>> = versions.try_collect().await.map_err(unavailable)?;
    Ok(versions.into_iter().flatten().max())
}

fn checkpoint_version(name: &str) -> Option<u64> {
    let (version, rest) = name.split_once(".checkpoint.")?;
    let is_parquet = rest.rsplit('.').next() == Some("parquet");
    version.parse().ok().filter(|_| is_parquet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_told_by_their_names() {
        assert_eq!(checkpoint_version("00000000000000000110.checkpoint.parquet"), Some(110));
        assert_eq!(checkpoint_version("00000000000000000110.json"), None);
        assert_eq!(checkpoint_version("_last_checkpoint"), None);
        assert_eq!(checkpoint_version("00000000000000000110.checkpoint.parquet.1.2.tmp"), None);
    }
}
