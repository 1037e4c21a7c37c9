//! The redelivery window: answers a record that comes a second time with the first one's identifier.
//!
//! # What it promises
//! 1. A report of format 4 that equals, in every field, one that this collector accepted within the window becomes no
//!    second record: it is answered with the first one's identifier and time of reception, and [`Accepted::redelivered`] says so.
//! 2. The window reaches back [`WindowSettings::age`] or [`WindowSettings::records_max`] records, whichever is less, and
//!    across restarts. [`WindowStats::oldest_reception`] says how far that really is.
//! 3. An equal report that arrives while the first one is being made durable gets the first one's outcome, good or bad.
//! 4. Reports below format 4 have no `event_id`. They are never taken for one another.
//!
//! # How a report goes through
//! It is absent, in flight or accepted, and its fingerprint stands for it (`fingerprint.rs`).
//! - Absent: it is in flight from now on, and appended to the journal. When the journal answers, it is accepted or
//!   absent again, and whoever waited is told. The future that appends is finished even when the sender hangs up
//!   (`finishing.rs`): its record may be on disk, and the retry that follows must find it.
//! - In flight: it waits for that outcome (`flight.rs`).
//! - Accepted: it is answered at once. The report is equal, so that the record can be made from the request, the
//!   identifier and the time (`table.rs` keeps nothing else: 20 bytes a record under load, 40 MB for 2 million).
//!
//! What the quarantine replays has its identifier already and goes past the journal (`claim.rs`): it is in flight until
//! the quarantine has sealed it, and accepted from then on. [`Window::open`] is given what a crash left sealed.
//!
//! # How it survives
//! What the journal holds comes back from the journal. What has left it stands in the log (`log.rs`, `format.rs`):
//! 1. The store has a batch durably.
//! 2. [`Window::delivered`]: the batch's records enter the window where they are not yet in it (a record can be
//!    delivered before the task that appended it runs on), then everything in the window that is not in the log is
//!    appended to it and synced.
//! 3. Only then the journal is told that the batch is confirmed, and may remove its segments.
//!
//! A crash before 2 leaves the batch in the journal, one between 2 and 3 leaves it in both; either way the fingerprints
//! of [`Window::open`] are those of the log and of the journal's pending records together, each once. A crash within 2
//! leaves a torn entry behind those that were answered for; it is wiped out. Entries have one size and a checksum each, so
//! that damage to one costs no other.
//!
//! The newest file of the log has space for all its entries from its beginning on, so that a full disk alone does not
//! keep the records that the journal holds from being noted. When the log cannot be written, [`Window::delivered`] says so, and tries the same entries again with the next batch.
//! Its caller goes on all the same: a full disk is emptied only by confirming what was delivered. Until the log can be
//! written again, a restart forgets what was delivered meanwhile. [`WindowStats::log_failures`] counts it.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use telemetrics_schema::time::Clock;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
use tokio::sync::oneshot;

use crate::journal::AppendError;

mod claim;
mod entries;
mod error;
mod fingerprint;
mod finishing;
mod flight;
mod format;
mod log;
mod settings;
mod table;

#[cfg(test)]
mod tests;

pub use error::WindowError;
pub use settings::{WINDOW_AGE, WINDOW_RECORDS, WindowSettings};
pub use table::RECORDS_MAX;

use fingerprint::{Fingerprint, Key};
use finishing::Finishing;
use flight::{Admission, First, Flights, Outcome, Ticket};
use log::Log;
use table::{Entry, Table};

/// The first record format whose reports can be told from their redeliveries.
const FIRST_FORMAT: i8 = 4;
/// Entries that are copied out of the window at once, so that nobody waits long for it.
const PIECE_RECORDS: usize = 16_384;

/// A record that was accepted, now or before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The record as it is stored.
    pub record: Arc<Record>,
    /// Whether it had been accepted before, so that nothing was stored now.
    pub redelivered: bool,
}

/// What [`Window::open`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remembered {
    /// Records that are remembered from the log.
    pub logged: usize,
    /// Records that are remembered from the journal, or from a sealed batch of the quarantine, alone.
    pub pending: usize,
    /// Entries of the log that are damaged; a redelivery of their records makes a second record.
    pub damaged_entries: usize,
    /// Files of the log that were unreadable as a whole, and removed.
    pub damaged_files: usize,
}

/// The window's numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowStats {
    /// Records that are remembered.
    pub records: u64,
    /// Reception of the oldest record that is remembered: how far the window really reaches back.
    pub oldest_reception: Option<TimestampUs>,
    /// Different records that are being made durable.
    pub in_flight: u64,
    /// Bytes of the log's files.
    pub log_bytes: u64,
    /// How often the log could not be written since the start.
    pub log_failures: u64,
}

/// See the module; clones are the same window.
#[derive(Clone)]
pub struct Window {
    shared: Arc<Shared>,
}

struct Shared {
    flights: Arc<Flights>,
    key: Key,
    clock: Arc<dyn Clock>,
    log: Mutex<Progress>,
    log_bytes: AtomicU64,
    log_failures: AtomicU64,
}

/// The log and what is in it.
struct Progress {
    log: Log,
    /// Number of the first entry of the table that is not in the log.
    next: u64,
}

/// What one report of several waits for.
enum Turn {
    /// Its own outcome, in the order of those that are appended.
    Appended,
    Known(First, Report),
    InFlight(oneshot::Receiver<Outcome>, Report),
}

/// Several reports by what is to be done with them.
#[derive(Default)]
struct Wave {
    /// One for each report.
    turns: Vec<Turn>,
    /// Those that are to be appended.
    fresh: Vec<Report>,
    /// One for each of `fresh`, where its redeliveries can be told.
    tickets: Vec<Option<Ticket>>,
    /// Fingerprints of those with a ticket.
    own: HashSet<Fingerprint>,
}

impl Window {
    /// Remembers what the log holds and `pending`: the records that the journal has replayed, in their order, and those
    /// that the quarantine has sealed.
    ///
    /// Two million entries take less than a second.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn open(
        settings: &WindowSettings,
        clock: Arc<dyn Clock>,
        pending: impl IntoIterator<Item = Arc<Record>>,
    ) -> Result<(Self, Remembered), WindowError> {
        settings.validate()?;
        let now = clock.now();
        let mut table = Table::new(settings.records_max, settings.age_us());
        let (mut log, damage) = Log::open(settings, |entry| table.insert(entry, now))?;
        log.remove_old(now)?;
        let (next, logged, key) = (table.end(), table.len(), log.key());
        pending.into_iter().filter_map(|record| entry_of(key, &record)).for_each(|entry| table.insert(entry, now));
        let remembered = Remembered {
            logged,
            pending: table.len().saturating_sub(logged),
            damaged_entries: damage.entries,
            damaged_files: damage.files,
        };
        let shared = Shared::new(Flights::new(table), clock, Progress { log, next });
        Ok((Self { shared: Arc::new(shared) }, remembered))
    }

    /// Accepts `report`: `append` makes it durable, unless it was accepted before or is just being made durable.
    ///
    /// The future of `append` is finished even when the caller stops waiting.
    ///
    /// # Errors
    /// Those of `append`, its own or those of the equal report that came first.
    pub async fn accept<F>(&self, report: Report, append: impl FnOnce(Report) -> F) -> Result<Accepted, AppendError>
    where
        F: Future<Output = Result<Arc<Record>, AppendError>> + Send + 'static,
    {
        let Some(fingerprint) = self.shared.fingerprint(&report) else {
            return Finishing::new(append(report)).await.map(Accepted::now);
        };
        match self.shared.flights.admit(fingerprint, self.shared.clock.now()) {
            Admission::Fresh(ticket) => settled(ticket, append(report)).await.map(Accepted::now),
            Admission::Known(first) => Ok(Accepted::again(first, report)),
            Admission::InFlight(outcome) => Ok(Accepted::again(answer(outcome).await?, report)),
        }
    }

    /// As [`Window::accept`] for several reports: answers for the first ones, and says why the one behind them was not
    /// accepted. What stands behind that one was not appended.
    ///
    /// `append` gets those that are new. It answers with the records of the first ones of them that are durable, and with
    /// the reason when these are not all.
    pub async fn accept_many<F>(
        &self,
        reports: Vec<Report>,
        mut append: impl FnMut(Vec<Report>) -> F,
    ) -> (Vec<Accepted>, Option<AppendError>)
    where
        F: Future<Output = (Vec<Arc<Record>>, Option<AppendError>)> + Send + 'static,
    {
        let mut accepted = Vec::with_capacity(reports.len());
        let mut reports = reports.into_iter();
        while reports.len() > 0 {
            let Wave { turns, fresh, tickets, .. } = self.shared.wave(&mut reports);
            // The own ones first: what another caller waits for must not wait for what that caller has in flight.
            let appended =
                if fresh.is_empty() { (Vec::new(), None) } else { settled_all(tickets, append(fresh)).await };
            if let Err(error) = ride(turns, appended, &mut accepted).await {
                return (accepted, Some(error));
            }
        }
        (accepted, None)
    }

    /// Notes durably what was accepted, before the journal is told that the store has `records`.
    ///
    /// # Errors
    /// [`WindowError::Io`]: a restart before the next success may forget what was delivered. It need not be repeated.
    pub async fn delivered(&self, records: &[Arc<Record>]) -> Result<(), WindowError> {
        let (shared, records) = (Arc::clone(&self.shared), records.to_vec());
        let noted = tokio::task::spawn_blocking(move || shared.note(&records)).await;
        noted.unwrap_or_else(|error| Err(WindowError::io("note a batch")(std::io::Error::other(error))))
    }

    /// The window's numbers now.
    #[must_use]
    pub fn stats(&self) -> WindowStats {
        let now = self.shared.clock.now();
        let in_flight = self.shared.flights.in_flight() as u64;
        // In steps, so that records which arrive meanwhile get their turn.
        while self.shared.flights.lock().table.expire(now) {}
        let state = self.shared.flights.lock();
        WindowStats {
            records: state.table.len() as u64,
            oldest_reception: state.table.oldest(),
            in_flight,
            log_bytes: self.shared.log_bytes.load(Relaxed),
            log_failures: self.shared.log_failures.load(Relaxed),
        }
    }
}

impl Accepted {
    fn now(record: Arc<Record>) -> Self {
        Self { record, redelivered: false }
    }

    /// The report is equal to the first one, and so is the record that is made of it.
    fn again(First { id, ts_reception }: First, report: Report) -> Self {
        Self { record: Arc::new(Record { id, ts_reception, report }), redelivered: true }
    }
}

impl Shared {
    fn new(flights: Arc<Flights>, clock: Arc<dyn Clock>, progress: Progress) -> Self {
        Self {
            flights,
            key: progress.log.key(),
            clock,
            log_bytes: AtomicU64::new(progress.log.bytes()),
            log: Mutex::new(progress),
            log_failures: AtomicU64::default(),
        }
    }

    /// `None` for a report whose redeliveries cannot be told.
    fn fingerprint(&self, report: &Report) -> Option<Fingerprint> {
        is_watched(report).then(|| self.key.fingerprint(report))
    }

    /// What can be done at once with the next reports: up to one that somebody else has in flight, because what stands
    /// behind it must not be appended when it fails.
    fn wave(&self, reports: &mut impl Iterator<Item = Report>) -> Wave {
        let mut wave = Wave::default();
        for report in reports {
            let Some(fingerprint) = self.fingerprint(&report) else {
                wave.append(report, None);
                continue;
            };
            match self.flights.admit(fingerprint, self.clock.now()) {
                Admission::Known(first) => wave.turns.push(Turn::Known(first, report)),
                Admission::Fresh(ticket) => {
                    wave.own.insert(fingerprint);
                    wave.append(report, Some(ticket));
                }
                Admission::InFlight(outcome) => {
                    wave.turns.push(Turn::InFlight(outcome, report));
                    if !wave.own.contains(&fingerprint) {
                        break;
                    }
                }
            }
        }
        wave
    }

    fn note(&self, records: &[Arc<Record>]) -> Result<(), WindowError> {
        let mut progress = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.enter(records, progress.next);
        let outcome = self.write(&mut progress).and_then(|()| progress.log.remove_old(self.clock.now()));
        self.log_bytes.store(progress.log.bytes(), Relaxed);
        if outcome.is_err() {
            self.log_failures.fetch_add(1, Relaxed);
        }
        outcome
    }

    /// Lets the records into the window that are not in it: the tasks that appended them may not have run on yet. `next`
    /// is the number from which on entries are not in the log.
    fn enter(&self, records: &[Arc<Record>], next: u64) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        // Nearly all of them are there, and to see that by their fingerprints would mean to make these again.
        let known = self.entered(next, first.id..=last.id);
        let now = self.clock.now();
        let missing = records.iter().filter(|record| known.binary_search(&record.id).is_err());
        for entry in missing.filter_map(|record| entry_of(self.key, record)) {
            self.flights.lock().table.insert(entry, now);
        }
    }

    /// Identifiers in `range` of the entries from the number `next` on, in their order.
    fn entered(&self, mut next: u64, range: RangeInclusive<RecordId>) -> Vec<RecordId> {
        let mut ids = Vec::new();
        loop {
            let (entries, end) = self.flights.lock().table.run(next, PIECE_RECORDS);
            ids.extend(entries.iter().map(|entry| entry.id).filter(|id| range.contains(id)));
            next = end;
            // What comes from now on is no part of the batch.
            if entries.len() < PIECE_RECORDS {
                break;
            }
        }
        ids.sort_unstable();
        ids
    }

    fn write(&self, progress: &mut Progress) -> Result<(), WindowError> {
        // What is accepted from now on belongs to a later batch.
        let end = self.flights.lock().table.end();
        while progress.next < end {
            let (entries, next) = self.flights.lock().table.run(progress.next, PIECE_RECORDS);
            progress.log.append(&entries)?;
            progress.next = next;
        }
        Ok(())
    }
}

impl Wave {
    fn append(&mut self, report: Report, ticket: Option<Ticket>) {
        self.turns.push(Turn::Appended);
        self.fresh.push(report);
        self.tickets.push(ticket);
    }
}

fn is_watched(report: &Report) -> bool {
    report.record_format_version >= FIRST_FORMAT
}

fn entry_of(key: Key, record: &Record) -> Option<Entry> {
    let Record { id, ts_reception, report } = record;
    is_watched(report).then(|| Entry { fingerprint: key.fingerprint(report), id: *id, ts_reception: *ts_reception })
}

/// The outcome of `append`, which everybody who waits for the same report has learnt by then.
fn settled(
    ticket: Ticket,
    append: impl Future<Output = Result<Arc<Record>, AppendError>> + Send + 'static,
) -> Finishing<Result<Arc<Record>, AppendError>> {
    Finishing::new(async move {
        let outcome = append.await;
        ticket.settle(&outcome);
        outcome
    })
}

/// As [`settled`], for those of several reports that have a ticket.
fn settled_all(
    tickets: Vec<Option<Ticket>>,
    append: impl Future<Output = (Vec<Arc<Record>>, Option<AppendError>)> + Send + 'static,
) -> Finishing<(Vec<Arc<Record>>, Option<AppendError>)> {
    Finishing::new(async move {
        let (records, error) = append.await;
        let outcomes = records.iter().cloned().map(Ok).chain(std::iter::repeat_with(|| Err(reason(error.as_ref()))));
        for (ticket, outcome) in tickets.into_iter().zip(outcomes) {
            if let Some(ticket) = ticket {
                ticket.settle(&outcome);
            }
        }
        (records, error)
    })
}

/// Puts together the answers of one wave, up to the first report that was not accepted.
async fn ride(
    turns: Vec<Turn>,
    (records, error): (Vec<Arc<Record>>, Option<AppendError>),
    accepted: &mut Vec<Accepted>,
) -> Result<(), AppendError> {
    let mut records = records.into_iter();
    for turn in turns {
        accepted.push(match turn {
            Turn::Appended => Accepted::now(records.next().ok_or_else(|| reason(error.as_ref()))?),
            Turn::Known(first, report) => Accepted::again(first, report),
            Turn::InFlight(outcome, report) => Accepted::again(answer(outcome).await?, report),
        });
    }
    Ok(())
}

/// Why records were not appended; an append that gives no reason is none.
fn reason(error: Option<&AppendError>) -> AppendError {
    error.cloned().unwrap_or(AppendError::Closed)
}

async fn answer(outcome: oneshot::Receiver<Outcome>) -> Outcome {
    // A ticket says what became of its report even when it is dropped; this is for the end of the process.
    outcome.await.unwrap_or(Err(AppendError::Closed))
}
