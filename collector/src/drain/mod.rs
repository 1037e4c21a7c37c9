//! The drain: takes acknowledged records in batches to the store, each exactly once.
//!
//! A batch is in one of five states; a crash in each leads to:
//!
//! | state | means | after a crash |
//! | --- | --- | --- |
//! | open | its records are in the journal, no batch names them | they are taken into a new batch, perhaps another one; the store is asked, because the journal may be an older one from a backup |
//! | sealed | a synced frame of the journal names its range, count and checksum | the same batch is made again and the store is asked what it has of it |
//! | sent | the store was given it and has not answered, or the answer is unclear | as sealed: all, nothing or some of it is there, and what is missing is inserted |
//! | confirmed | the store has it durably | the confirmation may be lost with the crash: then as sealed, and the store says that it has all |
//! | released | the journal's segment may go, memory forgets it | nothing |
//!
//! Records leave in the order of their identifiers, one batch at a time: what is delivered is always a prefix. What the
//! store refuses for good goes to the quarantine record by record (`parts.rs`), and a batch is confirmed when the store
//! or the quarantine has each of its records.
//!
//! Between two batches the drain delivers what the quarantine replays (`replay.rs`): batches of their own that no seal
//! of the journal and no confirmation knows.

mod batch;
mod flush;
mod parts;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use telemetrics_schema::RecordId;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use batch::Batch;
pub use flush::Pending;
use flush::Progress;
use parts::{Collected, Parts, Sink};
pub(crate) use replay::Replay;
use replay::ReplaySink;

use crate::counters::Counters;
use crate::journal::{Journal, JournalError, Recovered, Seal};
use crate::quarantine::Quarantine;
use crate::redelivery::Window;
use crate::store::{Holding, Store, StoreError};

/// First pause after a failed attempt; doubled after each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Batches of the quarantine that wait; one is on its way at a time, so that none ever does.
const REPLAYS_WAITING: usize = 1;

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
            batch_bytes: 16 << 20,
            batch_age: Duration::from_mins(1),
            flush_distance: Duration::from_millis(200),
        }
    }
}

/// What a drain takes from, brings to and tells.
pub(crate) struct Links {
    pub(crate) recent: Recent,
    pub(crate) journal: Journal,
    pub(crate) store: Store,
    pub(crate) quarantine: Quarantine,
    pub(crate) window: Window,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stop: CancellationToken,
}

/// The one task that delivers; see the module.
pub(crate) struct Drain {
    recent: Recent,
    journal: Journal,
    store: Store,
    quarantine: Quarantine,
    window: Window,
    settings: DrainSettings,
    clock: Arc<dyn Clock>,
    progress: Progress,
    replays: mpsc::Receiver<Replay>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    /// Records up to this one were in the journal at the start.
    recovered_to: Option<RecordId>,
}

impl Drain {
    /// Makes the drain, the handle through which others wait for it, and the way in for what is replayed.
    pub(crate) fn new(settings: DrainSettings, links: Links) -> (Self, Pending, mpsc::Sender<Replay>) {
        let Links { recent, journal, store, quarantine, window, clock, counters, stop } = links;
        let (progress, pending) = flush::pair(recent.clone(), settings.batch_rows, settings.batch_bytes);
        let (sender, replays) = mpsc::channel(REPLAYS_WAITING);
        let drain = Self {
            recent,
            journal,
            store,
            quarantine,
            window,
            settings,
            clock,
            progress,
            replays,
            counters,
            stop,
            recovered_to: None,
        };
        (drain, pending, sender)
    }

    /// Delivers until it is stopped, then tries once to deliver what is left; what stays is in the journal.
    ///
    /// `recovered` is what the journal had at the start.
    pub(crate) async fn run(mut self, recovered: Recovered) {
        self.recovered_to = recovered.last_id;
        if self.deliver_until_stopped(recovered.sealed).await {
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
            if let Some(replay) = self.wait_for_work().await
                && !self.deliver_replay(replay).await
            {
                return false;
            }
            while self.take_in(None).await
                && self.is_due()
                && let Some(batch) = self.next_batch()
            {
                self.keep_distance().await;
                if !self.deliver(batch, false).await || !self.deliver_waiting_replay().await {
                    return false;
                }
            }
        }
        true
    }

    /// What is replayed does not wait until a backlog is gone; `false` when the process stops first.
    async fn deliver_waiting_replay(&mut self) -> bool {
        match self.replays.try_recv() {
            Ok(replay) => self.deliver_replay(replay).await,
            Err(_) => true,
        }
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

    /// Goes on with a batch that was sealed before the last stop: the store may have it, so it is asked first.
    async fn resume(&mut self, seal: &Seal) -> bool {
        if !self.take_in(Some(seal.last)).await {
            return false;
        }
        let Some(batch) = Batch::of(self.recent.range(seal.first, seal.last)) else { return true };
        // A journal that was repaired does not know the checksum of what it could not read.
        if batch.seal() != seal && seal.checksum != Seal::UNKNOWN_CHECKSUM {
            warn!(?seal, "the journal's records differ from their seal");
        }
        self.deliver(batch, true).await
    }

    /// Tries until memory is full of what the journal has, or holds everything up to `until`; `false` when the process
    /// stops first. Without `until` it is enough that something is in memory.
    async fn take_in(&self, until: Option<RecordId>) -> bool {
        let mut backoff = Backoff::default();
        while let Err(error) = self.try_take_in(until).await {
            warn!(%error, "acknowledged records cannot be read back from the journal, it is tried again");
            // What is in memory stands before what cannot be read, and need not wait for it.
            if until.is_none() && self.recent.last_in_memory().is_some() {
                return true;
            }
            if !backoff.pause(&self.stop).await {
                return false;
            }
        }
        true
    }

    async fn try_take_in(&self, until: Option<RecordId>) -> Result<(), JournalError> {
        if self.recent.left_out() == 0 {
            return Ok(());
        }
        let journal = self.journal.clone();
        let taken = tokio::task::spawn_blocking(move || journal.take_in(until)).await;
        taken.unwrap_or_else(|error| Err(JournalError::io("read the journal back")(std::io::Error::other(error))))
    }

    /// Waits until there may be something to do; gives what is replayed, when it is that.
    async fn wait_for_work(&mut self) -> Option<Replay> {
        let pause = self.time_until_due();
        tokio::select! {
            () = self.progress.wanted() => None,
            () = tokio::time::sleep(pause) => None,
            () = self.stop.cancelled() => None,
            Some(replay) = self.replays.recv() => Some(replay),
        }
    }

    /// Tries until the store has what is replayed; `false` when the process stops first.
    async fn deliver_replay(&mut self, replay: Replay) -> bool {
        let Replay { batch, number, sent_before, reply } = replay;
        let mut sink = ReplaySink { store: &mut self.store, number };
        let mut refused = Collected::default();
        let mut parts = Parts { sink: &mut sink, aside: &mut refused, stop: &self.stop, unclear: sent_before };
        if !parts.deliver(&batch).await {
            return false;
        }
        self.remember(&batch).await;
        info!(rows = batch.records().len(), refused = refused.0.len(), "delivered what the quarantine replays");
        // Who stopped waiting finds the batch sealed, and asks again.
        let _ = reply.send(refused.0);
        true
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
            || self.recent.left_out() > 0
            || self.recent.has_batch(self.settings.batch_rows, self.settings.batch_bytes)
            || self.age(oldest) >= self.settings.batch_age
    }

    fn next_batch(&self) -> Option<Batch> {
        Batch::of(self.recent.first_batch(self.settings.batch_rows, self.settings.batch_bytes))
    }

    /// A flush that a query asked for waits until the last such flush is long enough ago.
    async fn keep_distance(&mut self) {
        // Behind a backlog batches are as large as memory allows, and must not wait.
        if self.progress.is_wanted() && self.recent.left_out() == 0 {
            self.progress.keep_distance(self.settings.flush_distance).await;
        }
    }

    /// Tries until the store has the batch, but what it refuses; `false` when the process stops first.
    async fn deliver(&mut self, batch: Batch, sealed_before: bool) -> bool {
        if !sealed_before && !self.seal(&batch).await {
            return false;
        }
        let unclear = sealed_before || self.may_be_delivered(&batch);
        let mut sink = Counted { store: &mut self.store, counters: &self.counters };
        let (aside, stop) = (&mut self.quarantine, &self.stop);
        if !(Parts { sink: &mut sink, aside, stop, unclear }).deliver(&batch).await {
            return false;
        }
        self.confirm(&batch).await;
        true
    }

    /// Whether the store may have some of a batch that was never sealed here: a journal that comes from a backup is older than
    /// its store.
    fn may_be_delivered(&self, batch: &Batch) -> bool {
        Some(batch.first()) <= self.recovered_to
    }

    /// Tries until the journal has the seal; `false` when the process stops first.
    async fn seal(&self, batch: &Batch) -> bool {
        let mut backoff = Backoff::default();
        while let Err(error) = self.journal.seal(*batch.seal()).await {
            warn!(%error, rows = batch.records().len(), "a batch was not sealed, it is tried again");
            if !backoff.pause(&self.stop).await {
                return false;
            }
        }
        true
    }

    async fn confirm(&mut self, batch: &Batch) {
        self.remember(batch).await;
        // A lost confirmation costs one question to the store after a restart.
        if let Err(error) = self.journal.confirm(batch.last()).await {
            warn!(%error, "the journal did not take a confirmation");
        }
        self.recent.release(batch.last());
        self.progress.delivered(batch.last());
        info!(rows = batch.records().len(), first = batch.first().0, last = batch.last().0, "delivered a batch");
    }

    /// Before the journal may forget the batch, the redelivery window has to have noted it.
    async fn remember(&self, batch: &Batch) {
        // The confirmation follows all the same: with a full disk it is what makes room.
        if let Err(error) = self.window.delivered(batch.records()).await {
            warn!(%error, "until this is written, a restart forgets which records were accepted");
        }
    }

    /// One attempt for what is left when the process stops; whether there may be more.
    async fn attempt_last(&mut self) -> bool {
        if let Err(error) = self.try_take_in(None).await {
            warn!(%error, "acknowledged records cannot be read back from the journal");
        }
        let Some(batch) = self.next_batch() else { return false };
        match self.try_once(&batch).await {
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

    async fn try_once(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.journal.seal(*batch.seal()).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let held = if self.may_be_delivered(batch) { self.store.holding(batch).await? } else { Holding::Nothing };
        let mut sink = Counted { store: &mut self.store, counters: &self.counters };
        match held {
            Holding::All => Ok(()),
            Holding::Nothing => sink.insert(batch).await,
            Holding::Some(held) => match batch.without(&held) {
                Some(rest) => sink.insert(&rest).await,
                None => Ok(()),
            },
        }
    }
}

/// The store for batches of the journal.
struct Counted<'a> {
    store: &'a mut Store,
    counters: &'a Counters,
}

impl Sink for Counted<'_> {
    async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        // A monotonic clock, because the duration is only reported and nothing is decided by it.
        let before = std::time::Instant::now();
        let outcome = self.store.insert(batch).await;
        self.counters.inserted(batch.records().len(), before.elapsed(), &outcome);
        outcome
    }

    async fn holding(&mut self, batch: &Batch) -> Result<Holding, StoreError> {
        self.store.holding(batch).await
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
