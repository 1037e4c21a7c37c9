//! The quarantine: what broke a rule, or was refused by the store, kept aside where people can look at it.
//!
//! # What it promises
//! 1. [`Quarantine::keep_owed`] answers only after the request is on disk and synced. It is then there until it was
//!    replayed, a person discarded it, or it grew older than `age_days`; whatever happens to process and machine.
//! 2. [`Quarantine::keep_evidence`] promises nothing: its sender was told so. Evidence makes room for what is
//!    promised, the longest unseen first, and never the other way round. When only promised entries are left, the next
//!    one is refused with [`QuarantineFault::Full`], and its sender keeps it.
//! 3. Entries of one kind with the same request and the same reasons are one entry with a counter.
//! 4. A replayed entry is in the store once, with its own identifier as the record's and the time when it came first;
//!    unless its probe has sent it again after the rules were loosened, and that record is within the redelivery window:
//!    then the store has that one, and the entry is removed. So replay soon after loosening a rule.
//! 5. What was promised and cannot be read back stops [`Quarantine::open`] with [`QuarantineError::Damaged`].
//! 6. The files never take more than `quota_bytes`.
//!
//! # Names
//! An entry's number is taken from the sequence of the collector's records ([`Names`]), so that a record which is
//! replayed later has the identifier that its sender was answered, and identifiers still grow with reception. What was
//! given here has to be told to the journal at the next start: [`Found::greatest_id`].
//!
//! # On disk
//! A log of segments (`log.rs`), each frame one of: an entry (the latest of an identifier counts), a count of an equal
//! one, a list of removed ones, a batch that is replayed, its end. One thread writes (`worker.rs`), and everything that
//! arrives together shares one sync. Segments are removed at the beginning only. When the files grow beyond three
//! quarters of the quota, what counts in the oldest segment is written again at the end; as at most half of the quota
//! counts, this comes to an end. A frame that removes or counts an entry stands behind it, and never goes before it.
//!
//! # Replay
//! A replayed record does not go through the journal: the quarantine itself holds it durably, names it, and goes the
//! drain's way with it (design, invariant 2), by these steps:
//!
//! | step | means | after a crash |
//! | --- | --- | --- |
//! | decoded | the request is valid by the present rules; nothing is written | as if nobody had asked |
//! | claimed | the redelivery window knows no equal record; an equal one that arrives now waits | as if nobody had asked |
//! | sealed | a synced frame names the batch (a number never used before) and holds every record of it, decoded; the record is accepted, and an equal one that arrives is answered with it | the same batch is taken up at the next start, before any other; the window knows it before the first request |
//! | sent | the store was given it, or not | the store is asked what it has of it, then what is missing is inserted |
//! | settled | the store has it durably; a synced frame removes the entries | nothing is left to do |
//!
//! One batch is on its way at a time, of one UTC day, with the rows and bytes of [`QuarantineSettings::group_bytes`].
//! Meanwhile its entries can be neither discarded nor pushed out. The rules are applied once, at the sealing: what a
//! crash leaves sealed is delivered as it was decoded, byte for byte, even if the rules were changed since. What the
//! store refuses for good goes back as an entry of the kind `refused`.
//!
//! A refused record whose batch is not wholly delivered cannot be discarded: the journal still holds it, and after a
//! crash the store would be given it again ([`crate::Collector::discard`]). What a power cut takes of a confirmation that
//! was not yet synced brings it back all the same, as an entry or, when the store has changed its mind, as a record: it
//! was acknowledged once, and is discarded again.
//!
//! A record that arrives behind those of a later reception time is not in the order of time; stores must not rely on
//! it. The day of its first reception changes when it is replayed: whoever published that day has to publish it again.

mod entry;
mod error;
mod fold;
mod index;
mod log;
mod replay;
mod replayer;
mod settings;
mod shelf;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{Record, RecordId};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use entry::{Entry, Kind, RawRequest};
pub use error::{QuarantineError, QuarantineFault};
pub use index::Sum;
pub(crate) use replayer::Replayer;
pub use replayer::{NotReplayed, REPLAY_ERRORS_MAX, Replayed, Which};
pub use settings::{QUOTA_MIN_BYTES, QUOTA_PER_BODY, QuarantineSettings};

use crate::journal::files::{Directory, Disk};
use crate::journal::{Names, TornTail};
use shelf::Shelf;
use worker::{Content, Draft, Gauges, Job, Reply, Worker};

/// Jobs that may wait for the thread; whoever comes then waits with what it has.
const QUEUE_JOBS: usize = 1_024;
/// Bytes of requests and records that may wait to be kept, or one that is larger; more are refused.
const QUEUE_BYTES: usize = 32 << 20;
/// Most entries of a page.
pub const PAGE_ENTRIES_MAX: usize = 100;

/// An entry that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: RecordId,
    /// How many equal ones came up to now.
    pub count: u64,
}

/// Which entries a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those of this kind.
    pub kind: Option<Kind>,
    /// Only those below this number: where the last page ended.
    pub before: Option<RecordId>,
}

/// A copy of the quarantine's numbers at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineStats {
    /// Owed entries.
    pub owed: Sum,
    /// Records that the store refused.
    pub refused: Sum,
    /// Evidence.
    pub evidence: Sum,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Requests that were kept as owed since the start, equal ones included.
    pub kept_owed: u64,
    /// Records that were kept because the store refused them, since the start.
    pub kept_refused: u64,
    /// Requests that were kept as evidence since the start, equal ones included.
    pub kept_evidence: u64,
    /// Evidence that was not kept, or not as long as it might have been, since the start.
    pub dropped_evidence: u64,
    /// Groups of entries that could not be written since the start.
    pub failures: u64,
}

/// A quarantine that was read and is not in use yet.
pub struct Found {
    shelf: Shelf<Directory>,
    group_bytes: u64,
    torn: Option<TornTail>,
}

/// A handle to the quarantine; clones share it.
#[derive(Clone)]
pub struct Quarantine {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: mpsc::Sender<Job>,
    /// One permit for each byte that may wait.
    budget: Arc<Semaphore>,
    gauges: Arc<Gauges>,
    thread: Mutex<Option<(JoinHandle<()>, oneshot::Receiver<()>)>>,
    /// Held by who replays.
    replaying: tokio::sync::Mutex<()>,
}

impl Quarantine {
    /// Reads the quarantine, or begins an empty one.
    ///
    /// # Errors
    /// See [`QuarantineError`].
    pub fn open(settings: &QuarantineSettings) -> Result<Found, QuarantineError> {
        settings.validate()?;
        let disk = Directory::open(&settings.directory).map_err(QuarantineError::Directory)?;
        let (shelf, torn) = Shelf::open(disk, settings.clone())?;
        Ok(Found { shelf, group_bytes: settings.group_bytes(), torn })
    }

    /// Keeps a request that its sender will be told is kept; when this answers it is durable.
    ///
    /// # Errors
    /// See [`QuarantineFault`]: the sender must not be told so.
    pub async fn keep_owed(&self, request: RawRequest, reasons: Vec<FieldError>) -> Result<Kept, QuarantineFault> {
        let content = Content::Request(request, reasons);
        self.ask(|reply| Ok(Job::Keep(self.draft(Kind::Owed, content, Some(reply))?))).await
    }

    /// Keeps a request whose sender is told that it is not; does not wait, and drops it when it would have to.
    pub fn keep_evidence(&self, request: RawRequest, reasons: Vec<FieldError>) {
        let draft = self.draft(Kind::Evidence, Content::Request(request, reasons), None);
        let sent = draft.is_ok_and(|draft| self.shared.jobs.try_send(Job::Keep(draft)).is_ok());
        if !sent {
            self.shared.gauges.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Keeps a record that the store refuses for good, under its own identifier; a second time it is the same entry.
    ///
    /// # Errors
    /// See [`QuarantineFault`]: whoever has the record must keep it.
    pub async fn keep_refused(&self, record: Arc<Record>, reason: String) -> Result<(), QuarantineFault> {
        let content = Content::Record(record, reason);
        self.ask(|reply| Ok(Job::Keep(self.draft(Kind::Refused, content, Some(reply))?))).await.map(|_: Kept| ())
    }

    /// Which of these records are here.
    ///
    /// # Errors
    /// [`QuarantineFault::Closed`].
    pub async fn holding(&self, ids: Vec<RecordId>) -> Result<Vec<RecordId>, QuarantineFault> {
        self.ask(|reply| Ok(Job::Holding(ids, reply))).await
    }

    /// Entries that pass `filter`, the newest first, at most `limit` and [`PAGE_ENTRIES_MAX`], without their requests
    /// and records.
    ///
    /// # Errors
    /// See [`QuarantineFault`].
    pub async fn page(&self, filter: Filter, limit: usize) -> Result<Vec<Entry>, QuarantineFault> {
        self.ask(|reply| Ok(Job::Page(filter, limit.min(PAGE_ENTRIES_MAX), reply))).await
    }

    /// One entry, whole.
    ///
    /// # Errors
    /// See [`QuarantineFault`].
    pub async fn entry(&self, id: RecordId) -> Result<Entry, QuarantineFault> {
        self.ask(|reply| Ok(Job::Entry(id, reply))).await
    }

    /// Removes one entry for good, whatever was promised: a person said so.
    ///
    /// # Errors
    /// See [`QuarantineFault`]; `Invalid` while it is being replayed.
    pub async fn discard(&self, id: RecordId) -> Result<(), QuarantineFault> {
        self.ask(|reply| Ok(Job::Discard(id, reply))).await
    }

    /// The quarantine's numbers now.
    #[must_use]
    pub fn stats(&self) -> QuarantineStats {
        self.shared.gauges.read()
    }

    /// Finishes what was asked before, refuses the rest, and gives the directory up. May be called more than once.
    pub async fn shutdown(&self) {
        // An error says that the thread has ended already.
        let _ = self.shared.jobs.send(Job::Close).await;
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((handle, finished)) = thread {
            // An error says that the thread dropped its end, which is what is waited for.
            let _ = finished.await;
            if handle.join().is_err() {
                tracing::error!("the quarantine's thread ended by a panic");
            }
        }
    }

    async fn promised(&self, after: Option<RecordId>) -> Result<Vec<Entry>, QuarantineFault> {
        self.ask(|reply| Ok(Job::Promised(after, reply))).await
    }

    async fn forget(&self, ids: Vec<RecordId>) -> Result<u64, QuarantineFault> {
        self.ask(|reply| Ok(Job::Forget(ids, reply))).await
    }

    async fn seal(&self, records: Vec<Record>) -> Result<(RecordId, Vec<Record>), QuarantineFault> {
        self.ask(|reply| Ok(Job::Seal(records, reply))).await
    }

    async fn sealed(&self) -> Result<Option<(RecordId, Vec<Record>)>, QuarantineFault> {
        self.ask(|reply| Ok(Job::Sealed(reply))).await
    }

    async fn settle(&self, refused: Vec<(RecordId, String)>) -> Result<(), QuarantineFault> {
        self.ask(|reply| Ok(Job::Settle(refused, reply))).await
    }

    fn draft(&self, kind: Kind, content: Content, reply: Option<Reply<Kept>>) -> Result<Draft, QuarantineFault> {
        let bytes = content.bytes();
        // What is larger than all that may wait waits alone: a record that the store refuses has nowhere else to go.
        let permits = u32::try_from(bytes.min(QUEUE_BYTES as u64)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.shared.budget).try_acquire_many_owned(permits);
        let permit = permit.map_err(|_| QuarantineFault::Unavailable("too much waits to be kept aside".to_owned()))?;
        Ok(Draft { kind, content, permit, bytes, reply })
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Result<Job, QuarantineFault>) -> Result<T, QuarantineFault> {
        let (reply, outcome) = oneshot::channel();
        self.shared.jobs.send(job(reply)?).await.map_err(|_| QuarantineFault::Closed)?;
        // The thread answers everything it takes; without an answer it is gone.
        outcome.await.unwrap_or(Err(QuarantineFault::Closed))
    }
}

impl Content {
    /// About what it takes in memory while it waits.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Request(RawRequest { headers, body }, _) => {
                body.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            }
            Self::Record(record, _) => record.text_bytes(),
        };
        bytes as u64
    }
}

impl Found {
    /// The greatest identifier that was given out here; the journal must go on above it.
    #[must_use]
    pub fn greatest_id(&self) -> Option<RecordId> {
        self.shelf.greatest()
    }

    /// Records that are on their way to the store since before the last stop: they are accepted, and the redelivery
    /// window has to know them.
    ///
    /// # Errors
    /// [`QuarantineError::Io`] when the disk does not give them.
    pub fn sealed(&self) -> Result<Vec<Record>, QuarantineError> {
        let sealed = self.shelf.sealed().map_err(|fault| {
            QuarantineError::io("read what the quarantine replays")(std::io::Error::other(fault.to_string()))
        })?;
        Ok(sealed.map(|(_, records)| records).unwrap_or_default())
    }

    /// What a crash left unfinished; none of it was promised.
    #[must_use]
    pub fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// Takes it into use; entries are named by `names`.
    ///
    /// # Errors
    /// [`QuarantineError::Io`] when there can be no thread.
    pub fn start(self, names: Names, clock: Arc<dyn Clock>) -> Result<Quarantine, QuarantineError> {
        let gauges = Arc::new(Gauges::default());
        let Self { shelf, group_bytes, .. } = self;
        let worker = Worker { shelf, names, clock, gauges: Arc::clone(&gauges), group_bytes };
        let (jobs, receiver) = mpsc::channel(QUEUE_JOBS);
        let thread = start(worker, receiver)?;
        let shared = Shared {
            jobs,
            budget: Arc::new(Semaphore::new(QUEUE_BYTES)),
            gauges,
            thread: Mutex::new(Some(thread)),
            replaying: tokio::sync::Mutex::new(()),
        };
        Ok(Quarantine { shared: Arc::new(shared) })
    }
}

fn start<D: Disk>(
    worker: Worker<D>,
    jobs: mpsc::Receiver<Job>,
) -> Result<(JoinHandle<()>, oneshot::Receiver<()>), QuarantineError> {
    let (done, finished) = oneshot::channel::<()>();
    let run = move || {
        // Dropped last, after the directory's lock.
        let _done = done;
        worker.run(jobs);
    };
    let handle = std::thread::Builder::new()
        .name("quarantine".to_owned())
        .spawn(run)
        .map_err(QuarantineError::io("start the quarantine's thread"))?;
    Ok((handle, finished))
}
