//! What request handlers share: those that answer questions, and those that look after the collector.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::crashes::StackBook;
use telemetrics_analytics::{Analytics, View};
use telemetrics_collector::Collector;
use telemetrics_collector::drain::Pending;
use telemetrics_collector::http::Admission;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::Clock;

use crate::api::sql::Statements;
use crate::clickhouse::ServerVersion;
use crate::curation::Curation;
use crate::datasets::Datasets;
use crate::error::WebError;
use crate::formats::Workers;
use crate::pages::kept::Kept;
use crate::pages::status::About;
use crate::parsers::ParserFiles;
use crate::views::Views;

/// Shared by all handlers of API and pages.
#[derive(Clone)]
pub struct AppState {
    /// Answers questions.
    pub analytics: Arc<Analytics>,
    /// Answer statements of users.
    pub statements: Statements,
    /// What this process has acknowledged; `None` where it accepts no records.
    pub acknowledged: Option<Acknowledged>,
    /// Finished days as files.
    pub datasets: Datasets,
    /// What users curate.
    pub curation: Curation,
    /// The frames of stacks that were asked for.
    pub stacks: StackBook,
    /// Write answers in the format that was asked for.
    pub workers: Arc<Workers>,
    /// The collector of this process, where it has one, for pages that look after it.
    pub collector: Option<Collector>,
    /// What the process knows about itself.
    pub about: Arc<About>,
    /// The files of payload parsers, where the process accepts records.
    pub parsers: Option<ParserFiles>,
    /// Asks the store for its version, where that is a server.
    pub store_version: Option<ServerVersion>,
    /// What pages show besides their subject.
    pub kept: Kept,
    /// What operators added to the pages.
    pub views: Views,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// Shared by all handlers that look after the collector of this process.
#[derive(Clone)]
pub struct CollectorState {
    /// Accepts records and keeps others aside.
    pub collector: Collector,
    /// What is accepted now; what is replayed is judged by it.
    pub admission: Admission,
    /// Make attributes of what is stored, and the files that say how.
    pub parsers: ParserFiles,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// How questions see the records that this process acknowledged.
#[derive(Clone)]
pub struct Acknowledged {
    /// Knows which of them the store does not have yet.
    pub pending: Pending,
    /// How long a question waits for those that it cannot see to reach the store.
    pub read_wait: Duration,
    /// Whether readers see those that are in memory.
    pub in_memory: bool,
}

impl Acknowledged {
    /// How many of the records that are acknowledged now cannot be seen after waiting for them.
    async fn unseen(&self) -> usize {
        match self.in_memory {
            false => self.pending.flush(self.read_wait).await,
            true if self.pending.left_out() == 0 => 0,
            // What is in memory after that is seen, however long the store takes.
            true => self.pending.flush(self.read_wait).await.min(self.pending.left_out()),
        }
    }
}

/// What one request sees.
#[derive(Clone)]
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
        self.ask_of(&self.analytics, now).await
    }

    /// As [`AppState::ask_at`], of `analytics`.
    ///
    /// # Errors
    /// As [`AppState::ask_at`].
    pub async fn ask_of(&self, analytics: &Analytics, now: TimestampUs) -> Result<Asked, WebError> {
        let pending = match &self.acknowledged {
            Some(acknowledged) => acknowledged.unseen().await,
            None => 0,
        };
        Ok(Asked { view: analytics.at(now).await?, now, pending })
    }
}
