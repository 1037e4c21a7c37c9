//! The drain: takes acknowledged records in batches to the store, each exactly once.
//!
//! A batch is in one of five states; a crash in each leads to:
//!
//! | state | means | after a crash |
//! | --- | --- | --- |
//! | open | its records are in the journal, no batch names them | they are taken into a new batch, perhaps another one |
//! | sealed | a synced frame of the journal names its range, count and checksum | the same batch is made again and the store is asked what it has of it |
//! | sent | the store was given it and has not answered, or the answer is unclear | as sealed: all, nothing or some of it is there, and what is missing is inserted |
//! | confirmed | the store has it durably | the confirmation may be lost with the crash: then as sealed, and the store says that it has all |
//! | released | the journal's segment may go, memory forgets it | nothing |
//!
//! Records leave in the order of their identifiers, one batch at a time: what is delivered is always a prefix.

mod batch;
mod flush;

use std::sync::Arc;
use std::time::Duration;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use batch::Batch;
pub use flush::Pending;
use flush::Progress;

use crate::journal::{Journal, Seal};
use crate::store::{Holding, Store, StoreError};

/// First pause after a failed attempt; doubled after each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// When a batch is closed.
#[derive(Debug, Clone)]
pub struct DrainSettings {
    /// At this many records.
    pub batch_rows: usize,
    /// At this many bytes of text.
    pub batch_bytes: usize,
    /// When its oldest record was accepted this long ago.
    pub batch_age: Duration,
    /// Smallest distance of two flushes that queries ask for, so that dashboards cannot make a storm of small parts.
    pub flush_distance: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            batch_rows: 131_072,
            batch_bytes: 64 << 20,
            batch_age: Duration::from_mins(1),
            flush_distance: Duration::from_millis(200),
        }
    }
}

/// The one task that delivers; see the module.
pub(crate) struct Drain {
    pub(crate) recent: Recent,
    pub(crate) journal: Journal,
    pub(crate) store: Store,
    pub(crate) settings: DrainSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Progress,
    pub(crate) stop: CancellationToken,
}

impl Drain {
    /// Makes the drain and the handle through which others wait for it.
    pub(crate) fn new(
        recent: Recent,
        journal: Journal,
        store: Store,
        settings: DrainSettings,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> (Self, Pending) {
        let (progress, pending) = flush::pair(recent.clone(), settings.batch_rows, settings.batch_bytes);
        (Self { recent, journal, store, settings, clock, progress, stop }, pending)
    }

    /// Delivers until it is stopped, then tries once to deliver what is left; what stays is in the journal.
    pub(crate) async fn run(mut self, sealed: Vec<Seal>) {
        if self.deliver_until_stopped(sealed).await {
            while self.attempt_last().await {}
        }
        if self.recent.rows() > 0 {
            info!(rows = self.recent.rows(), "records stay in the journal until the next start");
        }
    }

    /// Whether it stopped between two batches. After a stop inside a batch no other one may be made: it could hold the
    /// same records under another identity.
    async fn deliver_until_stopped(&mut self, sealed: Vec<Seal>) -> bool {
        if !self.prepare().await {
            return false;
        }
        for seal in sealed {
            if !self.resume(&seal).await {
                return false;
            }
        }
        while !self.stop.is_cancelled() {
            self.wait_for_work().await;
            while self.is_due()
                && let Some(batch) = self.next_batch()
            {
                self.keep_distance().await;
                if !self.deliver(batch, false).await {
                    return false;
                }
            }
        }
        true
    }

    /// Tries until the store is there; `false` when the process stops first.
    async fn prepare(&self) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.store.prepare().await {
                Ok(()) => return true,
                Err(error) => warn!(%error, "records wait in the journal"),
            }
            if !backoff.pause(&self.stop).await {
                return false;
            }
        }
    }

    /// Goes on with a batch that was sealed before the last stop.
    async fn resume(&mut self, seal: &Seal) -> bool {
        match Batch::of(self.recent.range(seal.first, seal.last)) {
            Some(batch) if batch.seal() == seal => self.deliver(batch, true).await,
            // The frames' checksums were right, so this is a fault of the program: deliver what is there, as itself.
            Some(batch) => {
                warn!(?seal, "the journal's records differ from their seal");
                self.deliver(batch, false).await
            }
            None => true,
        }
    }

    async fn wait_for_work(&mut self) {
        let pause = self.time_until_due();
        tokio::select! {
            () = self.progress.wanted() => {}
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// How long until the oldest record is due, or one batch age when there is none.
    fn time_until_due(&self) -> Duration {
        let age = self.recent.oldest_reception().map_or(Duration::ZERO, |oldest| self.age(oldest));
        // A pause of zero would spin while the store is away; due batches are delivered before this is asked.
        self.settings.batch_age.saturating_sub(age).max(Duration::from_millis(1))
    }

    fn age(&self, since: telemetrics_schema::TimestampUs) -> Duration {
        Duration::from_micros(u64::try_from(self.clock.now().0 - since.0).unwrap_or(0))
    }

    fn is_due(&self) -> bool {
        let Some(oldest) = self.recent.oldest_reception() else { return false };
        self.progress.is_wanted()
            || self.recent.rows() >= self.settings.batch_rows
            || self.recent.text_bytes() >= self.settings.batch_bytes
            || self.age(oldest) >= self.settings.batch_age
    }

    fn next_batch(&self) -> Option<Batch> {
        Batch::of(self.recent.first_batch(self.settings.batch_rows, self.settings.batch_bytes))
    }

    /// A flush that a query asked for waits until the last such flush is long enough ago.
    async fn keep_distance(&mut self) {
        if self.progress.is_wanted() {
            self.progress.keep_distance(self.settings.flush_distance).await;
        }
    }

    /// Tries until the store has the batch; `false` when the process stops first.
    async fn deliver(&mut self, batch: Batch, sealed_before: bool) -> bool {
        let (mut sealed, mut unclear) = (sealed_before, sealed_before);
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(&batch, &mut sealed, unclear).await {
                Ok(()) => {
                    self.confirm(&batch).await;
                    return true;
                }
                Err(error) => {
                    warn!(%error, rows = batch.records().len(), "a batch was not delivered, it is tried again");
                }
            }
            unclear = true;
            if !backoff.pause(&self.stop).await {
                return false;
            }
        }
    }

    async fn attempt(&mut self, batch: &Batch, sealed: &mut bool, unclear: bool) -> Result<(), StoreError> {
        if !*sealed {
            self.journal.seal(*batch.seal()).await.map_err(|e| StoreError::Unavailable(e.to_string()))?;
            *sealed = true;
        }
        if !unclear {
            return self.store.insert(batch).await;
        }
        match self.store.holding(batch).await? {
            Holding::All => Ok(()),
            Holding::Nothing => self.store.insert(batch).await,
            Holding::Some(held) => match batch.without(&held) {
                Some(rest) => self.store.insert(&rest).await,
                None => Ok(()),
            },
        }
    }

    async fn confirm(&mut self, batch: &Batch) {
        // A lost confirmation costs one question to the store after a restart.
        if let Err(error) = self.journal.confirm(batch.last()).await {
            warn!(%error, "the journal did not take a confirmation");
        }
        self.recent.release(batch.last());
        self.progress.delivered(batch.last());
        info!(rows = batch.records().len(), first = batch.first().0, last = batch.last().0, "delivered a batch");
    }

    /// One attempt for what is left when the process stops; whether there may be more.
    async fn attempt_last(&mut self) -> bool {
        let Some(batch) = self.next_batch() else { return false };
        match self.attempt(&batch, &mut false, false).await {
            Ok(()) => {
                self.confirm(&batch).await;
                true
            }
            Err(error) => {
                warn!(%error, rows = self.recent.rows(), "stopping with records in the journal");
                false
            }
        }
    }
}

/// Pauses between attempts, each twice as long as the one before.
struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: BACKOFF_FIRST }
    }
}

impl Backoff {
    /// Waits; `false` when the process stops meanwhile.
    async fn pause(&mut self, stop: &CancellationToken) -> bool {
        let pause = self.next;
        self.next = (pause * 2).min(BACKOFF_MAX);
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = stop.cancelled() => false,
        }
    }
}
