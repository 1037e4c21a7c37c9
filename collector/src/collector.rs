//! The collector as the rest of the program sees it: reports go in, acknowledged records come out.

use std::sync::Arc;
use std::time::Duration;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::Rules;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::counters::{Counters, Counts};
use crate::drain::{Drain, DrainSettings, Links, Pending};
use crate::journal::{AppendError, Ids, Journal, JournalError, JournalSettings, JournalStats, Recovered};
use crate::quarantine::{
    Quarantine, QuarantineError, QuarantineFault, QuarantineSettings, QuarantineStats, Replayed, Replayer, Which,
};
use crate::redelivery::{Remembered, Window, WindowError, WindowSettings, WindowStats};
use crate::store::{MaintenanceCounters, MaintenanceStats, Store};
use crate::workshop::Workshop;

/// How long a replay is waited for; it goes on all the same.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(30);

/// How a collector works.
pub struct CollectorSettings {
    /// Which identifiers it gives out; its number is unique among the collectors that write into one store.
    pub ids: Ids,
    /// The journal's directory and limits.
    pub journal: JournalSettings,
    /// The quarantine's directory and limits.
    pub quarantine: QuarantineSettings,
    /// How far back redeliveries are told.
    pub redelivery: WindowSettings,
    /// When batches are closed.
    pub drain: DrainSettings,
}

/// Why a collector cannot start: correct what the text names, then start again.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be opened, is in use by another process or is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The same for the quarantine.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// What is remembered of accepted records cannot be opened.
    #[error(transparent)]
    Redelivery(#[from] WindowError),
    /// The system gives no threads.
    #[error("threads for the drain: {0}")]
    Threads(std::io::Error),
}

/// Accepts reports; clones share one journal.
#[derive(Clone)]
pub struct Collector {
    journal: Journal,
    window: Window,
    pending: Pending,
    counters: Arc<Counters>,
    maintenance: Option<Arc<MaintenanceCounters>>,
    replayer: Replayer,
}

/// What became of several reports.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// So many of them, from the first on, are durable and visible to queries.
    pub records: usize,
    /// Why the one behind those was not accepted; the rest was not tried.
    pub error: Option<AppendError>,
}

/// The collector's numbers at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CollectorStats {
    /// What was counted since the start.
    pub counts: Counts,
    /// The journal's own.
    pub journal: JournalStats,
    /// The quarantine's own.
    pub quarantine: QuarantineStats,
    /// Those of the redelivery window.
    pub redelivery: WindowStats,
    /// Those of the embedded table's maintenance; `None` where there is none.
    pub maintenance: Option<MaintenanceStats>,
    /// Records that are acknowledged and not delivered.
    pub pending_records: u64,
}

/// What has to be stopped at the end.
pub struct RunningDrain {
    task: JoinHandle<()>,
    maintenance: Option<JoinHandle<()>>,
    /// Where both run; dropped last.
    workshop: Workshop,
    stop: CancellationToken,
    journal: Journal,
    quarantine: Quarantine,
}

impl Collector {
    /// Replays the journal, then begins to deliver to `store`.
    ///
    /// `recent` holds what is acknowledged and not delivered; readers of the embedded store look into it.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        settings: CollectorSettings,
        store: Store,
        recent: Recent,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, RunningDrain, Recovered), StartError> {
        let CollectorSettings { ids, journal, quarantine, redelivery, drain } = settings;
        let quarantine = Quarantine::open(&quarantine)?;
        // What the quarantine named is a record as soon as it is replayed.
        let ids = Ids { above: ids.above.max(quarantine.greatest_id()), ..ids };
        let (journal, recovered) = Journal::open(&journal, Arc::clone(&clock), ids, recent.clone())?;
        let window = open_window(&redelivery, &clock, &journal, quarantine.sealed()?)?;
        let quarantine = quarantine.start(journal.names(), Arc::clone(&clock))?;
        let (stop, counters) = (CancellationToken::new(), Arc::<Counters>::default());
        let workshop = Workshop::open().map_err(StartError::Threads)?;
        let maintenance_counters = store.maintenance_counters();
        let maintenance = store.maintain(Arc::clone(&clock), stop.clone()).map(|task| workshop.spawn(task));
        let links = Links {
            recent,
            journal: journal.clone(),
            store,
            quarantine: quarantine.clone(),
            window: window.clone(),
            clock,
            counters: Arc::clone(&counters),
            stop: stop.clone(),
        };
        let (drain, pending, replays) = Drain::new(drain, links);
        let task = workshop.spawn(drain.run(recovered.clone()));
        let replayer = Replayer { quarantine: quarantine.clone(), drain: replays, window: window.clone() };
        tokio::spawn(resume(replayer.clone()));
        let running = RunningDrain { task, maintenance, workshop, stop, journal: journal.clone(), quarantine };
        let collector = Self { journal, window, pending, counters, maintenance: maintenance_counters, replayer };
        Ok((collector, running, recovered))
    }

    /// Makes a report durable; the record that comes back is on disk and visible to queries, now or since an equal
    /// report was accepted.
    ///
    /// # Errors
    /// See [`AppendError`]: the record is not acknowledged and its sender keeps it.
    pub async fn accept(&self, report: Report) -> Result<Arc<Record>, AppendError> {
        let intake = self.intake();
        let append = |report| async move {
            let record = intake.journal.append(report).await?;
            intake.arrived(1);
            Ok(record)
        };
        let accepted = self.window.accept(report, append).await?;
        self.counters.redelivered(u64::from(accepted.redelivered));
        Ok(accepted.record)
    }

    /// As [`Collector::accept`] for several reports, in their order: what is accepted is always a beginning of them.
    pub async fn accept_many(&self, reports: Vec<Report>) -> Accepted {
        let append = |reports| {
            let intake = self.intake();
            async move {
                let (records, error) = intake.journal.append_prefix(reports).await;
                intake.arrived(records.len());
                (records, error)
            }
        };
        let (accepted, error) = self.window.accept_many(reports, append).await;
        let redelivered = accepted.iter().filter(|accepted| accepted.redelivered).count();
        self.counters.redelivered(redelivered as u64);
        Accepted { records: accepted.len(), error }
    }

    fn intake(&self) -> Intake {
        let (journal, pending) = (self.journal.clone(), self.pending.clone());
        Intake { journal, pending, counters: Arc::clone(&self.counters) }
    }

    /// What is counted about records.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The numbers of the collector now.
    #[must_use]
    pub fn stats(&self) -> CollectorStats {
        let pending_records = self.pending.rows() as u64;
        let (journal, quarantine) = (self.journal.stats(), self.quarantine().stats());
        let redelivery = self.window.stats();
        let maintenance = self.maintenance.as_ref().map(|counters| counters.read());
        CollectorStats { counts: self.counters.read(), journal, quarantine, redelivery, maintenance, pending_records }
    }

    /// What is kept aside.
    #[must_use]
    pub fn quarantine(&self) -> &Quarantine {
        &self.replayer.quarantine
    }

    /// Takes entries out of the quarantine into the store, as far as `rules` allow them now.
    ///
    /// # Errors
    /// See [`QuarantineFault`]; `Unavailable` also when the store is slow, and the replay goes on then.
    pub async fn replay(&self, which: Which, rules: Arc<Rules>) -> Result<Replayed, QuarantineFault> {
        let slow = || QuarantineFault::Unavailable("the store is slow; the replay goes on".to_owned());
        let ended = |error| QuarantineFault::Unavailable(format!("the replay ended early: {error}"));
        // In a task of its own, because whoever asked may go away between two steps.
        let task = tokio::spawn(self.replayer.clone().replay(which, rules));
        tokio::time::timeout(REPLAY_TIMEOUT, task).await.map_err(|_| slow())?.map_err(ended)?
    }

    /// Removes one entry of the quarantine for good: a person said so.
    ///
    /// # Errors
    /// See [`QuarantineFault`]; `Unavailable` for a refused record while its batch is not wholly delivered, because it
    /// would be delivered again after a crash.
    pub async fn discard(&self, id: RecordId) -> Result<(), QuarantineFault> {
        if self.pending.has(id) && !self.quarantine().holding(vec![id]).await?.is_empty() {
            let reason = format!("the batch of record {id} is not wholly delivered, it can be discarded afterwards");
            return Err(QuarantineFault::Unavailable(reason));
        }
        self.quarantine().discard(id).await
    }

    /// The records that the store does not have yet.
    #[must_use]
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// When the oldest record was received that the store does not have yet, to the second.
    #[must_use]
    pub fn oldest_pending(&self) -> Option<TimestampUs> {
        self.journal.stats().oldest_pending
    }

    /// Whether a record could be accepted now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.journal.is_ready()
    }
}

/// What an append needs that goes on without whoever asked for it.
struct Intake {
    journal: Journal,
    pending: Pending,
    counters: Arc<Counters>,
}

impl Intake {
    fn arrived(&self, records: usize) {
        self.counters.accepted(records as u64);
        self.pending.records_arrived();
    }
}

/// A window that knows what journal and quarantine have and the store may not have.
fn open_window(
    settings: &WindowSettings,
    clock: &Arc<dyn Clock>,
    journal: &Journal,
    replayed: Vec<Record>,
) -> Result<Window, StartError> {
    let mut unreadable = None;
    let pending = journal.pending().map_while(|record| record.map_err(|error| unreadable = Some(error)).ok());
    let pending = pending.chain(replayed.into_iter().map(Arc::new));
    let (window, remembered) = Window::open(settings, Arc::clone(clock), pending)?;
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    report(&remembered);
    Ok(window)
}

fn report(remembered: &Remembered) {
    if remembered.damaged_entries + remembered.damaged_files > 0 {
        tracing::warn!(?remembered, "redeliveries of some records cannot be told any more");
    }
}

async fn resume(replayer: Replayer) {
    if let Err(error) = replayer.resume().await {
        tracing::warn!(%error, "what was being replayed waits for the next replay");
    }
}

impl RunningDrain {
    /// Ends drain, maintenance and journal, waiting at most `limit` for the first two; what is not delivered by then
    /// stays in the journal.
    pub async fn stop(self, limit: Duration) {
        self.stop.cancel();
        let deadline = Instant::now() + limit;
        if timeout_at(deadline, self.task).await.is_err() {
            tracing::warn!(
                limit_s = limit.as_secs(),
                "the store was too slow to take what is left; it stays in the journal"
            );
        }
        if let Some(maintenance) = self.maintenance
            && timeout_at(deadline, maintenance).await.is_err()
        {
            tracing::warn!(
                limit_s = limit.as_secs(),
                "the maintenance of the store was cut off; nothing is lost by that"
            );
        }
        self.journal.shutdown().await;
        self.quarantine.shutdown().await;
        drop(self.workshop);
    }
}
