//! The journal: makes records durable before they are acknowledged, and keeps them until the store has them.
//!
//! # What it promises
//! 1. [`Journal::append`] answers with a record only after the record is on disk and synced. It is then in every later
//!    [`Journal::open`] until [`Journal::confirm`] named it, whatever happens to the process or the machine between.
//! 2. Records that got no answer, or an error, come back after a restart at most once. Whoever sends such a report
//!    again may make a second record of it; telling both apart is not the journal's matter.
//! 3. Identifiers grow and are never given twice, also across restarts, failed writes and a clock that goes back.
//! 4. What was acknowledged and cannot be read back stops [`Journal::open`] with [`JournalError::Damaged`]; it is never
//!    skipped. Only what was never acknowledged may be missing, and [`Recovered::torn`] reports it.
//!
//! # Protocol
//! One thread writes. It takes everything that waits (a group, limited in bytes), names the records, writes all frames
//! of the group with one write and makes them durable with one fdatasync; then it shows the records to queries
//! ([`Recent`]) and answers. While it syncs, the next group gathers; nothing waits for a timer.
//!
//! A segment is a file `<sequence, 16 hexadecimal digits>.journal`: a header (`segment.rs`), then frames (`frame.rs`),
//! then zeros or the end of the file. Numbers are little endian.
//!
//! - A segment is used only after its header and its directory entry are synced. The header says where the synced part
//!   of the segment before it ends, so that creating a segment also ends its predecessor: what lies behind that end was
//!   never acknowledged. It also carries the greatest identifier given so far and the last confirmation, so that
//!   segments can be removed without forgetting them.
//! - A frame carries the offset up to which its segment was synced when the frame was written. In the newest segment
//!   reading stops at the first thing that is no frame: a torn tail, unless a whole frame behind it says that this place
//!   had been synced. Then, and in every older segment, it is damage.
//! - After a failed write or sync nobody knows what is on disk. The segment ends where it was last synced and a new one
//!   is begun for the next group (a segment without any frame is emptied and used again); until that works, everything
//!   is answered with [`AppendError::Unavailable`].
//! - [`Seal`]: synced before it is answered, hence before the first insert of its batch. A confirmation needs no sync:
//!   losing it costs a question to the store. It is synced when segments are removed because of it.
//! - A segment is removed when everything in it is confirmed, the oldest first, each removal synced; the one that is
//!   being written never is.
//! - Opening locks the directory, reads all segments, cuts a torn tail off, syncs, and goes on in a new segment.
//! - Acknowledged records that do not fit into memory are read back from the segments in their order (`backlog.rs`), so
//!   that an outage of the store costs disk and not memory.
//!
//! # What it relies on
//! Writing a sector whose first bytes stay the same does not harm those bytes when power fails, and a disk that answers
//! a sync has done it. Bytes of the newest group that decay while no later frame exists look like a torn tail.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use tokio::sync::oneshot;

mod backlog;
mod chain;
mod error;
pub(crate) mod files;
pub(crate) mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod names;
mod queue;
mod replay;
mod segment;
mod settings;
mod stats;
pub mod tool;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub use error::{AppendError, JournalError};
pub use names::Names;
pub use settings::{JournalSettings, SEGMENT_LIMIT_BYTES};
pub(crate) use stats::Counter;
pub use stats::{HISTOGRAM_BUCKETS, Histogram, JournalStats};

use backlog::Backlog;
use files::{Directory, Disk};
use queue::{Append, Queue, Reply};
use stats::Gauges;
use writer::Writer;

/// A batch that will be inserted into the store, exactly as described, however often it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seal {
    /// First identifier of the batch.
    pub first: RecordId,
    /// Last identifier of the batch.
    pub last: RecordId,
    /// Records in the batch.
    pub rows: u64,
    /// The drain's checksum of the batch's bytes: a retry that differs is refused by its maker.
    pub checksum: u64,
}

impl Seal {
    /// What stands for the checksum of a batch that a repair made: it is no checksum of a batch, which have 32 bits.
    pub const UNKNOWN_CHECKSUM: u64 = u64::MAX;
}

/// The end of the newest segment that a crash left unfinished; none of it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// Sequence number of the segment.
    pub segment: u64,
    /// Where the segment's last whole frame ends, bytes.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// What was found at `offset`.
    pub reason: String,
}

/// Which identifiers a journal may give out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// The collector that they name.
    pub collector: CollectorNumber,
    /// The greatest one that is known from elsewhere, such as from the store; new ones are greater. It matters when
    /// a journal was removed and the clock went back.
    pub above: Option<RecordId>,
}

/// What [`Journal::open`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Records above the last confirmation.
    pub pending: usize,
    /// Batches that were sealed and not confirmed, in the order of their identifiers: the store must be asked.
    pub sealed: Vec<Seal>,
    /// The last confirmation that is known; the store may have more.
    pub confirmed: Option<RecordId>,
    /// The greatest identifier that was given out; new ones are greater.
    pub last_id: Option<RecordId>,
    /// What a crash left unfinished.
    pub torn: Option<TornTail>,
    /// Segment files that were read.
    pub segments: usize,
}

/// Keeps every other process from using a journal, as long as it is held.
pub struct JournalLock {
    _directory: Directory,
}

impl JournalLock {
    /// Locks the journal in `directory`, which is created where it is missing. What is in it is not looked at.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when a process uses it, [`JournalError::Io`] when it cannot be locked.
    pub fn take(directory: &Path) -> Result<Self, JournalError> {
        Ok(Self { _directory: Directory::open(directory)? })
    }
}

/// A handle to the journal; clones share it. Dropping the last one finishes queued work as [`Journal::shutdown`] does,
/// and blocks meanwhile.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Arc<Queue>,
    gauges: Arc<Gauges>,
    limits: Limits,
    names: Names,
    backlog: Arc<Backlog>,
    thread: Mutex<Option<WriterThread>>,
}

struct WriterThread {
    handle: JoinHandle<()>,
    /// Ends when the writer has given everything up, its lock included.
    finished: oneshot::Receiver<()>,
}

#[derive(Clone, Copy)]
struct Limits {
    group_bytes: usize,
    group_records: usize,
    record_bytes: usize,
}

impl Journal {
    /// Opens the journal, creates it when there is none, and gives the pending records to `recent` until that is full.
    ///
    /// A disk without space does not prevent opening: what was acknowledged is there, and appends are answered with
    /// [`AppendError::Unavailable`] until there is space.
    ///
    /// # Errors
    /// See [`JournalError`]; on any error nothing was lost, and but for [`JournalError::Io`] nothing was changed.
    pub fn open(
        settings: &JournalSettings,
        clock: Arc<dyn Clock>,
        ids: Ids,
        recent: Recent,
    ) -> Result<(Self, Recovered), JournalError> {
        settings.validate()?;
        let disk = Directory::open(&settings.directory)?;
        Self::open_on(disk, settings, clock, ids, recent)
    }

    fn open_on<D: Disk>(
        disk: D,
        settings: &JournalSettings,
        clock: Arc<dyn Clock>,
        ids: Ids,
        recent: Recent,
    ) -> Result<(Self, Recovered), JournalError> {
        let gauges = Arc::new(Gauges::new());
        let (writer, recovered) = Writer::open(disk, settings, clock, ids, recent, Arc::clone(&gauges))?;
        let queue = Arc::new(Queue::new(settings));
        let (names, backlog, limits) = (writer.names(), writer.backlog(), Limits::new(settings));
        let thread = Mutex::new(Some(start(writer, Arc::clone(&queue))?));
        let shared = Shared { queue, gauges, limits, names, backlog, thread };
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }

    /// Names the report, makes it durable, shows it to queries and answers with it.
    ///
    /// When the future is dropped before it answers, the record may be kept or not.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, report: Report) -> Result<Arc<Record>, AppendError> {
        let (record, bytes) = self.shared.limits.unnamed(report)?;
        self.append_piece(vec![record], bytes).await?.pop().ok_or(AppendError::Closed)
    }

    /// As [`Journal::append`] for several reports, answered in their order with growing identifiers.
    ///
    /// They are written in pieces of at most `group_bytes`, so that a long list neither fills the queue nor keeps
    /// others waiting.
    ///
    /// # Errors
    /// See [`AppendError`]. The pieces before the one that failed are kept.
    pub async fn append_many(&self, reports: Vec<Report>) -> Result<Vec<Arc<Record>>, AppendError> {
        match self.append_prefix(reports).await {
            (records, None) => Ok(records),
            (_, Some(error)) => Err(error),
        }
    }

    /// As [`Journal::append_many`], and after an error it tells which reports are kept: those of the records that come
    /// with it, which are the first ones.
    pub async fn append_prefix(&self, reports: Vec<Report>) -> (Vec<Arc<Record>>, Option<AppendError>) {
        let mut answered = Vec::with_capacity(reports.len());
        let error = self.append_pieces(reports, &mut answered).await.err();
        (answered, error)
    }

    async fn append_pieces(&self, reports: Vec<Report>, answered: &mut Vec<Arc<Record>>) -> Result<(), AppendError> {
        for (records, bytes) in self.shared.limits.pieces(reports)? {
            answered.extend(self.append_piece(records, bytes).await?);
        }
        Ok(())
    }

    async fn append_piece(&self, records: Vec<Record>, bytes: usize) -> Result<Vec<Arc<Record>>, AppendError> {
        let (reply, outcome) = oneshot::channel();
        self.shared.queue.append(Append { records, bytes, reply })?;
        answer(outcome).await
    }

    /// Notes durably which batch is going to be inserted; its records are pending, and the range overlaps no other seal.
    ///
    /// Sealing the same batch again is allowed, and is what to do when the outcome of the first time is unknown.
    ///
    /// # Errors
    /// See [`AppendError`], never `Full`: the batch must not be inserted.
    pub async fn seal(&self, seal: Seal) -> Result<(), AppendError> {
        self.control(|queue, reply| queue.seal(seal, reply)).await
    }

    /// Notes that the store has every record up to `last` durably, and removes the segments that nobody needs.
    ///
    /// # Errors
    /// [`AppendError::Unavailable`] or [`AppendError::Closed`]: after a crash the confirmation may be forgotten, and the
    /// store must be asked again. In this process it counts all the same and need not be repeated.
    pub async fn confirm(&self, last: RecordId) -> Result<(), AppendError> {
        self.control(|queue, reply| queue.confirm(last, reply)).await
    }

    /// Brings acknowledged records that are not in memory into [`Recent`], until that is full and holds everything up
    /// to `until`; blocks while it reads.
    ///
    /// # Errors
    /// [`JournalError::Io`] and [`JournalError::Damaged`]: they stay in the journal, and the next call tries again.
    pub fn take_in(&self, until: Option<RecordId>) -> Result<(), JournalError> {
        self.shared.backlog.take_in(until)
    }

    /// All records that are acknowledged and not confirmed, the oldest first, as long as nobody appends or confirms.
    ///
    /// # Errors
    /// Each as [`Journal::take_in`].
    pub fn pending(&self) -> impl Iterator<Item = Result<Arc<Record>, JournalError>> {
        self.shared.backlog.all()
    }

    /// The sequence that records are named from, for others who need names among them.
    #[must_use]
    pub fn names(&self) -> Names {
        self.shared.names.clone()
    }

    /// The journal's numbers now.
    pub fn stats(&self) -> JournalStats {
        let (records, bytes) = self.shared.queue.waiting();
        JournalStats { queued_records: records as u64, queued_bytes: bytes as u64, ..self.shared.gauges.read() }
    }

    /// Whether the disk took what was written last, so that an append may well succeed.
    pub fn is_ready(&self) -> bool {
        self.shared.gauges.read().writable
    }

    /// Refuses new work, finishes what waits, and gives the directory up. May be called more than once.
    pub async fn shutdown(&self) {
        self.shared.queue.close();
        if let Some(thread) = self.shared.take_thread() {
            // An error says that the writer dropped its end, which is what is waited for.
            let _ = thread.finished.await;
            join(thread.handle);
        }
    }

    async fn control(
        &self,
        enqueue: impl FnOnce(&Queue, Reply<()>) -> Result<(), AppendError>,
    ) -> Result<(), AppendError> {
        let (reply, outcome) = oneshot::channel();
        enqueue(&self.shared.queue, reply)?;
        answer(outcome).await
    }
}

impl Shared {
    fn take_thread(&self) -> Option<WriterThread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.take_thread() {
            join(thread.handle);
        }
    }
}

impl Limits {
    fn new(settings: &JournalSettings) -> Self {
        Self {
            group_bytes: settings.group_bytes,
            group_records: settings.queue_records,
            record_bytes: settings.record_limit_bytes(),
        }
    }

    /// A record that the writer will give its identifier and time when it writes it, and its bytes.
    fn unnamed(self, report: Report) -> Result<(Record, usize), AppendError> {
        let record = Record { id: RecordId::default(), ts_reception: TimestampUs::default(), report };
        let bytes = frame::record_bound_bytes(&record);
        if bytes > self.record_bytes {
            return Err(AppendError::Invalid(format!("a record of {bytes} bytes, {} fit", self.record_bytes)));
        }
        Ok((record, bytes))
    }

    /// Cuts `reports` into pieces that fit into a group, each with its bytes.
    fn pieces(self, reports: Vec<Report>) -> Result<Vec<(Vec<Record>, usize)>, AppendError> {
        let mut pieces: Vec<(Vec<Record>, usize)> = Vec::new();
        for report in reports {
            let (record, bytes) = self.unnamed(report)?;
            match pieces.last_mut() {
                Some((records, sum)) if *sum + bytes <= self.group_bytes && records.len() < self.group_records => {
                    records.push(record);
                    *sum += bytes;
                }
                _ => pieces.push((vec![record], bytes)),
            }
        }
        Ok(pieces)
    }
}

async fn answer<T>(outcome: oneshot::Receiver<Result<T, AppendError>>) -> Result<T, AppendError> {
    // The writer answers everything it takes; without an answer it is gone.
    outcome.await.unwrap_or(Err(AppendError::Closed))
}

fn start<D: Disk>(mut writer: Writer<D>, queue: Arc<Queue>) -> Result<WriterThread, JournalError> {
    let (done, finished) = oneshot::channel::<()>();
    let run = move || {
        // Dropped last, after the writer and its lock.
        let _done = done;
        let guard = AbandonOnExit(queue);
        while let Some(group) = guard.0.take() {
            writer.process(group);
        }
        drop(writer);
    };
    let handle = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(run)
        .map_err(JournalError::io("start the journal's thread"))?;
    Ok(WriterThread { handle, finished })
}

/// Frees those who wait when the writer's thread ends, whatever ended it.
struct AbandonOnExit(Arc<Queue>);

impl Drop for AbandonOnExit {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn join(handle: JoinHandle<()>) {
    if handle.join().is_err() {
        tracing::error!("the journal's thread ended by a panic");
    }
}
