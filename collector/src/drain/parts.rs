//! Delivers one batch whatever the store says: tries again while it is away, and halves what it refuses for good.
//!
//! # Why halving keeps every record exactly once
//! The batch has its durable name before its first insert (a seal in the journal or in the quarantine). Its parts need
//! none of their own: they follow from it. A part is always halved at its middle, by position, whatever the store holds
//! of it, so that a restart makes the same parts with the same tokens in the same order; and they go in the order of
//! identifiers. What a process sent before it died is therefore either found when the store is asked, or it is an
//! insert with a token that the next process sends again, which the store takes once.
//!
//! A part of one record that is refused goes to the quarantine under its own identifier, durably, before the batch is
//! confirmed. After a restart a record that is there counts as delivered, so that it never gets both into the store and
//! into the quarantine, even if the store would take it now; a part that holds such a record was refused before and is
//! halved without being tried. The batch is done when every record is in one of both places.
//!
//! A store that refuses everything fills the quarantine and no more: then the drain waits, and the journal after it.

use std::sync::Arc;

use telemetrics_schema::{Record, RecordId};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Backoff, Batch};
use crate::quarantine::Quarantine;
use crate::store::{Holding, StoreError};

/// Where batches go: a store, as a drain sees it.
pub(super) trait Sink: Send {
    /// Inserts the batch; durable when it returns.
    fn insert(&mut self, batch: &Batch) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// What is there of the batch.
    fn holding(&mut self, batch: &Batch) -> impl Future<Output = Result<Holding, StoreError>> + Send;
}

/// Where records go that the store refuses.
pub(super) trait Aside: Send {
    /// Keeps a record, durable when it returns; a second time is the same as once.
    fn keep(&mut self, record: Arc<Record>, reason: String) -> impl Future<Output = Result<(), String>> + Send;
    /// Which of these are kept.
    fn holding(&mut self, ids: Vec<RecordId>) -> impl Future<Output = Result<Vec<RecordId>, String>> + Send;
}

impl Aside for Quarantine {
    async fn keep(&mut self, record: Arc<Record>, reason: String) -> Result<(), String> {
        self.keep_refused(record, reason).await.map_err(|fault| fault.to_string())
    }

    async fn holding(&mut self, ids: Vec<RecordId>) -> Result<Vec<RecordId>, String> {
        Quarantine::holding(self, ids).await.map_err(|fault| fault.to_string())
    }
}

/// Records that come from the quarantine and go back there: they are durable all the time.
#[derive(Default)]
pub(super) struct Collected(pub(super) Vec<(RecordId, String)>);

impl Aside for Collected {
    async fn keep(&mut self, record: Arc<Record>, reason: String) -> Result<(), String> {
        self.0.push((record.id, reason));
        Ok(())
    }

    async fn holding(&mut self, ids: Vec<RecordId>) -> Result<Vec<RecordId>, String> {
        Ok(self.0.iter().map(|(id, _)| *id).filter(|id| ids.contains(id)).collect())
    }
}

/// How the delivery of a part ended.
enum Outcome {
    Delivered,
    Refused(String),
    Stopped,
}

/// A delivery; see the module.
pub(super) struct Parts<'a, S, A> {
    pub(super) sink: &'a mut S,
    pub(super) aside: &'a mut A,
    pub(super) stop: &'a CancellationToken,
    /// Whether the store may have something of the batch.
    pub(super) unclear: bool,
}

impl<S: Sink, A: Aside> Parts<'_, S, A> {
    /// Tries until the store has every record of a sealed batch but those that are kept aside; `false` when the process
    /// stops first.
    pub(super) async fn deliver(&mut self, batch: &Batch) -> bool {
        let mut parts = vec![batch.clone()];
        while let Some(part) = parts.pop() {
            match (self.deliver_part(&part).await, part.halves()) {
                (Outcome::Delivered, _) => {}
                (Outcome::Stopped, _) => return false,
                (Outcome::Refused(_), Some((first, second))) => parts.extend([second, first]),
                (Outcome::Refused(reason), None) => {
                    if !self.keep_aside(&part, reason).await {
                        return false;
                    }
                }
            }
        }
        true
    }

    async fn deliver_part(&mut self, part: &Batch) -> Outcome {
        let mut backoff = Backoff::default();
        loop {
            match self.attempt(part).await {
                Ok(()) => return Outcome::Delivered,
                Err(StoreError::Refused(reason)) => return Outcome::Refused(reason),
                Err(error @ StoreError::Unavailable(_)) => {
                    warn!(%error, rows = part.records().len(), "a batch was not delivered, it is tried again");
                }
            }
            self.unclear = true;
            if !backoff.pause(self.stop).await {
                return Outcome::Stopped;
            }
        }
    }

    async fn attempt(&mut self, part: &Batch) -> Result<(), StoreError> {
        if !self.unclear {
            return self.sink.insert(part).await;
        }
        let ids: Vec<RecordId> = part.records().iter().map(|record| record.id).collect();
        let aside = self.aside.holding(ids).await.map_err(StoreError::Unavailable)?;
        let held = match self.sink.holding(part).await? {
            Holding::All => return Ok(()),
            Holding::Nothing if aside.is_empty() => return self.sink.insert(part).await,
            Holding::Nothing => Vec::new(),
            Holding::Some(held) => held,
        };
        let settled: Vec<i64> = held.into_iter().chain(aside.iter().map(|id| id.0)).collect();
        match part.without(&settled) {
            None => Ok(()),
            Some(_) if !aside.is_empty() => Err(StoreError::Refused("a record of it was refused before".to_owned())),
            Some(rest) => self.sink.insert(&rest).await,
        }
    }

    /// Keeps the only record of a part aside; `false` when the process stops first.
    async fn keep_aside(&mut self, part: &Batch, reason: String) -> bool {
        let Some(record) = part.records().first() else { return true };
        let mut backoff = Backoff::default();
        // The store's reason may repeat parts of the record. It is kept with it, for who may see both.
        warn!(id = record.id.0, "the store refuses a record for good: it is in the quarantine, with the reason");
        loop {
            match self.aside.keep(Arc::clone(record), reason.clone()).await {
                Ok(()) => return true,
                Err(error) => warn!(%error, id = record.id.0, "a refused record waits for the quarantine"),
            }
            if !backoff.pause(self.stop).await {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
