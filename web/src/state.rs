//! What request handlers share.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::{Analytics, View};
use telemetrics_collector::Collector;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::Rules;

use crate::error::WebError;
use crate::server::Connections;

/// Shared by all handlers of API and pages.
#[derive(Clone)]
pub struct AppState {
    /// Answers questions.
    pub analytics: Arc<Analytics>,
    /// Knows which acknowledged records the store does not have yet.
    pub collector: Collector,
    /// What is accepted now; what is replayed is judged by it.
    pub rules: Arc<Rules>,
    /// Counts the connections of the server.
    pub connections: Connections,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long a question waits for acknowledged records that it cannot see to reach the store.
    pub read_wait: Duration,
    /// Whether readers see the acknowledged records that are in memory.
    pub reads_memory: bool,
}

/// What one request sees.
pub struct Asked {
    /// The store as it is for this request.
    pub view: View,
    /// The one present instant of this request.
    pub now: TimestampUs,
    /// Acknowledged records that the answer lacks, because the store was too slow to take them.
    pub pending: usize,
}

impl AppState {
    /// Begins a request at the present instant.
    ///
    /// # Errors
    /// As [`AppState::ask_at`].
    pub async fn ask(&self) -> Result<Asked, WebError> {
        self.ask_at(self.clock.now()).await
    }

    /// Begins a request whose one present instant is `now`: waits for what is acknowledged, then fixes the state of
    /// the store.
    ///
    /// # Errors
    /// [`WebError`] when the store cannot be read.
    pub async fn ask_at(&self, now: TimestampUs) -> Result<Asked, WebError> {
        let pending = self.wait_for_acknowledged().await;
        Ok(Asked { view: self.analytics.at(now).await?, now, pending })
    }

    /// How many of the records that are acknowledged now cannot be seen after waiting for them.
    async fn wait_for_acknowledged(&self) -> usize {
        let pending = self.collector.pending();
        match self.reads_memory {
            false => pending.flush(self.read_wait).await,
            true if pending.left_out() == 0 => 0,
            // What is in memory after that is seen, however long the store takes.
            true => pending.flush(self.read_wait).await.min(pending.left_out()),
        }
    }
}
