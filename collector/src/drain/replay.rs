//! What the quarantine replays: batches out of the order of identifiers, on their own way into the store.

use telemetrics_schema::RecordId;
use tokio::sync::oneshot;

use super::Batch;
use super::parts::Sink;
use crate::store::{Holding, Store, StoreError};

/// A batch that the quarantine has sealed.
pub(crate) struct Replay {
    pub(crate) batch: Batch,
    /// Names the batch; greater than that of every batch that was replayed before.
    pub(crate) number: RecordId,
    /// Whether a process that is gone may have sent it.
    pub(crate) sent_before: bool,
    /// Answered with the records that the store refuses, when it has the others durably.
    pub(crate) reply: oneshot::Sender<Vec<(RecordId, String)>>,
}

/// The store for one such batch.
pub(super) struct ReplaySink<'a> {
    pub(super) store: &'a mut Store,
    pub(super) number: RecordId,
}

impl Sink for ReplaySink<'_> {
    async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.store.insert_replayed(batch, self.number).await
    }

    async fn holding(&mut self, batch: &Batch) -> Result<Holding, StoreError> {
        self.store.holding_replayed(batch, self.number).await
    }
}
