//! The stores that records are delivered to: one seam, two of them.

mod clickhouse;
mod embedded;

use std::sync::Arc;

use telemetrics_schema::RecordId;
use telemetrics_schema::time::Clock;
use tokio_util::sync::CancellationToken;

use crate::drain::Batch;

pub use clickhouse::{Change, ClickHouseStore, ClickHouseTarget, Migrated, Receiving, Reparse, SetupError};
pub(crate) use embedded::MaintenanceCounters;
pub use embedded::{EmbeddedStore, MaintenanceSettings, MaintenanceStats, Reparsed};

/// Why a store did not take a batch, by what the drain has to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The outcome is unknown or the store is away: ask what it holds, then try again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store will never take this batch as it is.
    #[error("the store refuses the batch: {0}")]
    Refused(String),
}

/// What a store holds of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// Every record, or more than that: it is delivered. In each of these, a record that is expired counts as one that
    /// the store has: it may have deleted it already.
    All,
    /// No record.
    Nothing,
    /// The records with these identifiers, and no others (a server that lost what it had not synced).
    Some(Vec<i64>),
}

/// Where a collector delivers to.
pub enum Store {
    /// The table in the data directory.
    Embedded(EmbeddedStore),
    /// A ClickHouse server.
    ClickHouse(Box<ClickHouseStore>),
}

impl Store {
    /// Makes what batches are put into, where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] while the store cannot be reached.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::ClickHouse(store) => store.prepare().await,
        }
    }

    /// The work behind the scenes that a store needs from this process; it ends when `stop` is cancelled.
    pub(crate) fn maintain(
        &self,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        match self {
            Self::Embedded(store) => store.maintain(clock, stop),
            Self::ClickHouse(_) => None,
        }
    }

    /// What that work counts.
    pub(crate) fn maintenance_counters(&self) -> Option<Arc<MaintenanceCounters>> {
        match self {
            Self::Embedded(store) => store.counters(),
            Self::ClickHouse(_) => None,
        }
    }

    /// Inserts a sealed batch; when it returns, the batch is durable in the store.
    ///
    /// # Errors
    /// See [`StoreError`]: the drain decides what follows.
    pub async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.insert(batch).await,
            Self::ClickHouse(store) => store.insert(batch).await,
        }
    }

    /// As [`Store::insert`] for a batch that the quarantine replays; `number` names it and grows from batch to batch.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_replayed(&mut self, batch: &Batch, number: RecordId) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.insert_replayed(batch, number).await,
            Self::ClickHouse(store) => store.insert(batch).await,
        }
    }

    /// As [`Store::insert`] for records that another system has named: nothing is noted about how far this collector has
    /// come. The caller knows that the store has none of them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_imported(&mut self, batch: &Batch) -> Result<(), StoreError> {
        match self {
            Self::Embedded(store) => store.insert_imported(batch).await,
            Self::ClickHouse(store) => store.insert(batch).await,
        }
    }

    /// As [`Store::holding`] for a batch that the quarantine replays.
    ///
    /// # Errors
    /// As [`Store::holding`].
    pub async fn holding_replayed(&self, batch: &Batch, number: RecordId) -> Result<Holding, StoreError> {
        match self {
            Self::Embedded(store) => store.holding_replayed(number).await,
            Self::ClickHouse(store) => store.holding_replayed(batch).await,
        }
    }

    /// What the store holds of the batch: the one question that a collector asks its store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be asked now.
    pub async fn holding(&self, batch: &Batch) -> Result<Holding, StoreError> {
        match self {
            Self::Embedded(store) => store.holding(batch).await,
            Self::ClickHouse(store) => store.holding(batch).await,
        }
    }
}
