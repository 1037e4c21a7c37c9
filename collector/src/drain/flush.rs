//! How queries wait for the drain: they name what they must see, and share one flush.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use telemetrics_schema::RecordId;
use telemetrics_schema::recent::Recent;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// What everybody but the drain sees of it.
#[derive(Clone)]
pub struct Pending {
    recent: Recent,
    wanted: Arc<Wanted>,
    delivered: watch::Receiver<Option<RecordId>>,
    batch_rows: usize,
    batch_bytes: usize,
}

/// The drain's side.
pub(crate) struct Progress {
    wanted: Arc<Wanted>,
    delivered: watch::Sender<Option<RecordId>>,
    last_forced: Option<Instant>,
}

struct Wanted {
    /// Everything up to this identifier was asked for.
    up_to: AtomicI64,
    wake: Notify,
}

pub(crate) fn pair(recent: Recent, batch_rows: usize, batch_bytes: usize) -> (Progress, Pending) {
    let wanted = Arc::new(Wanted { up_to: AtomicI64::new(i64::MIN), wake: Notify::new() });
    let (sender, receiver) = watch::channel(None);
    let progress = Progress { wanted: Arc::clone(&wanted), delivered: sender, last_forced: None };
    (progress, Pending { recent, wanted, delivered: receiver, batch_rows, batch_bytes })
}

impl Pending {
    /// Waits until the store has everything that is acknowledged now, at most `wait`; returns how many records it
    /// still has not.
    pub async fn flush(&self, wait: Duration) -> usize {
        let Some(last) = self.recent.last_id() else { return 0 };
        self.wanted.up_to.fetch_max(last.0, Ordering::AcqRel);
        self.wanted.wake.notify_one();
        let mut delivered = self.delivered.clone();
        let reached = delivered.wait_for(|id| id.is_some_and(|id| id >= last));
        match tokio::time::timeout(wait, reached).await {
            Ok(Ok(_)) => 0,
            // Late, or the drain has stopped: a reader of the store alone lacks what is not delivered.
            Ok(Err(_)) | Err(_) => self.recent.rows(),
        }
    }

    /// Records that are acknowledged and not delivered.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.recent.rows()
    }

    /// Acknowledged records that neither the store nor the memory has.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.recent.left_out()
    }

    /// Whether this record may be acknowledged and its batch not wholly delivered.
    #[must_use]
    pub fn has(&self, id: RecordId) -> bool {
        self.recent.may_have(id)
    }

    /// Wakes the drain when enough has come together for a batch.
    pub(crate) fn records_arrived(&self) {
        if self.recent.has_batch(self.batch_rows, self.batch_bytes) {
            self.wanted.wake.notify_one();
        }
    }
}

impl Progress {
    /// Waits until somebody asks for a flush or enough records have arrived.
    pub(crate) async fn wanted(&self) {
        self.wanted.wake.notified().await;
    }

    /// Whether a query waits for records that are not delivered.
    pub(crate) fn is_wanted(&self) -> bool {
        let delivered = self.delivered.borrow().map_or(i64::MIN, |id| id.0);
        self.wanted.up_to.load(Ordering::Acquire) > delivered
    }

    /// Waits until the last forced flush is `distance` ago.
    pub(crate) async fn keep_distance(&mut self, distance: Duration) {
        if let Some(last) = self.last_forced {
            tokio::time::sleep_until(last + distance).await;
        }
        self.last_forced = Some(Instant::now());
    }

    /// Tells those who wait that the store has everything up to `last`.
    pub(crate) fn delivered(&self, last: RecordId) {
        self.delivered.send_replace(Some(last));
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::{Record, Report, TimestampUs};

    use super::*;

    fn recent_with(id: i64) -> Recent {
        let recent = Recent::default();
        recent.push([Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() })]);
        recent
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_waits_for_what_was_acknowledged_before_it() {
        let (progress, pending) = pair(recent_with(7), 10, 10);
        assert!(!progress.is_wanted());
        let waiting = tokio::spawn({
            let pending = pending.clone();
            async move { pending.flush(Duration::from_secs(1)).await }
        });
        progress.wanted().await;
        assert!(progress.is_wanted());
        progress.delivered(RecordId(7));
        assert!(!progress.is_wanted());
        assert_eq!(waiting.await.expect("no panic"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_says_how_many_records_it_lacks() {
        let (_progress, pending) = pair(recent_with(7), 10, 10);
        assert_eq!(pending.flush(Duration::from_millis(5)).await, 1);
    }

    #[tokio::test]
    async fn with_nothing_pending_nobody_waits() {
        let (_progress, pending) = pair(Recent::default(), 10, 10);
        assert_eq!(pending.flush(Duration::MAX).await, 0);
    }
}
