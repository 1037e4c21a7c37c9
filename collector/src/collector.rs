//! The collector as the rest of the program sees it: reports go in, acknowledged records come out.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::{Record, Report};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::drain::{Drain, DrainSettings, Pending};
use crate::journal::{AppendError, Ids, Journal, JournalError, JournalSettings, Recovered};
use crate::store::Store;

/// How a collector works.
pub struct CollectorSettings {
    /// Which identifiers it gives out; its number is unique among the collectors that write into one store.
    pub ids: Ids,
    /// The journal's directory and limits.
    pub journal: JournalSettings,
    /// When batches are closed.
    pub drain: DrainSettings,
}

/// Accepts reports; clones share one journal.
#[derive(Clone)]
pub struct Collector {
    journal: Journal,
    pending: Pending,
}

/// What has to be stopped at the end.
pub struct RunningDrain {
    task: JoinHandle<()>,
    stop: CancellationToken,
    journal: Journal,
}

impl Collector {
    /// Replays the journal, then begins to deliver to `store`.
    ///
    /// `recent` holds what is acknowledged and not delivered; readers of the embedded store look into it.
    ///
    /// # Errors
    /// When the journal cannot be opened, is in use by another process or is damaged.
    pub fn start(
        settings: CollectorSettings,
        store: Store,
        recent: Recent,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RunningDrain, Recovered), JournalError> {
        let (journal, recovered) = Journal::open(&settings.journal, Arc::clone(&clock), settings.ids, recent.clone())?;
        let stop = CancellationToken::new();
        let (drain, pending) = Drain::new(recent, journal.clone(), store, settings.drain, clock, stop.clone());
        let task = tokio::spawn(drain.run(recovered.sealed.clone()));
        let running = RunningDrain { task, stop, journal: journal.clone() };
        Ok((Self { journal, pending }, running, recovered))
    }

    /// Makes a report durable; the record that comes back is on disk and visible to queries.
    ///
    /// # Errors
    /// See [`AppendError`]: the record is not acknowledged and its sender keeps it.
    pub async fn accept(&self, report: Report) -> Result<Arc<Record>, AppendError> {
        let record = self.journal.append(report).await?;
        self.pending.records_arrived();
        Ok(record)
    }

    /// The records that the store does not have yet.
    #[must_use]
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Whether a record could be accepted now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.journal.is_ready()
    }
}

impl RunningDrain {
    /// Ends the drain and the journal, waiting at most `limit`; what is not delivered by then stays in the journal.
    pub async fn stop(self, limit: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(limit, self.task).await.is_err() {
            tracing::warn!(
                limit_s = limit.as_secs(),
                "the store was too slow to take what is left; it stays in the journal"
            );
        }
        self.journal.shutdown().await;
    }
}
