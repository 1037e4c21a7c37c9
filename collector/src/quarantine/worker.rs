//! The quarantine's thread: does what is asked, in order; entries that arrive together share one sync.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{Record, RecordId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::entry::{Entry, Kind, RawRequest};
use super::shelf::{Shelf, of_store};
use super::{Filter, Kept, QuarantineFault, QuarantineStats, Sum};
use crate::journal::Names;
use crate::journal::files::Disk;

/// Entries that are written together, at most.
const GROUP_ENTRIES: usize = 256;
/// Records that are replayed together, at most: so many identifiers stand in one question to the store.
const REPLAY_RECORDS: usize = 1_000;

/// The way back to who waits for the outcome.
pub(super) type Reply<T> = oneshot::Sender<Result<T, QuarantineFault>>;

/// Something to keep.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) content: Content,
    /// What it counts against the limit of what may wait.
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) bytes: u64,
    /// Nobody waits for evidence.
    pub(super) reply: Option<Reply<Kept>>,
}

pub(super) enum Content {
    Request(RawRequest, Vec<FieldError>),
    Record(Arc<Record>, String),
}

/// What the thread is asked.
pub(super) enum Job {
    Keep(Draft),
    Discard(RecordId, Reply<()>),
    /// Remove entries whose records were accepted otherwise; answered with how many were there.
    Forget(Vec<RecordId>, Reply<u64>),
    /// Seal a batch of these records; answered with its number and those whose entries are still there.
    Seal(Vec<Record>, Reply<(RecordId, Vec<Record>)>),
    Settle(Vec<(RecordId, String)>, Reply<()>),
    Sealed(Reply<Option<(RecordId, Vec<Record>)>>),
    Entry(RecordId, Reply<Entry>),
    Page(Filter, usize, Reply<Vec<Entry>>),
    Promised(Option<RecordId>, Reply<Vec<Entry>>),
    Holding(Vec<RecordId>, Reply<Vec<RecordId>>),
    Close,
}

/// The thread's numbers, for others to read.
#[derive(Default)]
pub(super) struct Gauges {
    sums: [(AtomicU64, AtomicU64); 3],
    disk_bytes: AtomicU64,
    kept: [AtomicU64; 3],
    pub(super) dropped: AtomicU64,
    shelf_dropped: AtomicU64,
    failures: AtomicU64,
}

impl Gauges {
    pub(super) fn read(&self) -> QuarantineStats {
        let sum = |at: usize| {
            let (entries, bytes) = &self.sums[at];
            Sum { entries: entries.load(Relaxed), bytes: bytes.load(Relaxed) }
        };
        let kept = |at: usize| self.kept[at].load(Relaxed);
        QuarantineStats {
            owed: sum(0),
            refused: sum(1),
            evidence: sum(2),
            disk_bytes: self.disk_bytes.load(Relaxed),
            kept_owed: kept(0),
            kept_refused: kept(1),
            kept_evidence: kept(2),
            dropped_evidence: self.dropped.load(Relaxed) + self.shelf_dropped.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }
}

/// See the module.
pub(super) struct Worker<D: Disk> {
    pub(super) shelf: Shelf<D>,
    pub(super) names: Names,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) group_bytes: u64,
}

impl<D: Disk> Worker<D> {
    /// Works until it is told to stop or nobody is left who could ask.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        self.tell();
        let mut next = jobs.blocking_recv();
        while let Some(job) = next.take() {
            match job {
                Job::Close => break,
                Job::Keep(draft) => next = self.keep_group(draft, &mut jobs),
                job => self.process(job),
            }
            if next.is_none() {
                next = jobs.blocking_recv();
            }
        }
        self.stop();
    }

    /// What waits is dropped with the receiver, so that nobody waits for a thread that is gone.
    fn stop(&mut self) {
        let begin = self.shelf.savepoint();
        if let Err(error) = self.shelf.commit(true, begin) {
            tracing::warn!(%error, "evidence in the quarantine may be lost");
        }
    }

    /// Keeps `first` and what waits behind it; returns the job that is none of them.
    fn keep_group(&mut self, first: Draft, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        let mut other = None;
        while group.len() < GROUP_ENTRIES && bytes < self.group_bytes {
            match jobs.try_recv() {
                Ok(Job::Keep(draft)) if bytes + draft.bytes <= self.group_bytes => {
                    bytes += draft.bytes;
                    group.push(draft);
                }
                Ok(job) => {
                    other = Some(job);
                    break;
                }
                Err(_) => break,
            }
        }
        self.keep_all(group);
        other
    }

    /// One write, and one sync when somebody is promised something.
    pub(super) fn keep_all(&mut self, group: Vec<Draft>) {
        let ready = self.shelf.tidy(self.clock.now());
        let sync = group.iter().any(|draft| draft.kind.is_promised());
        let begin = self.shelf.savepoint();
        let staged: Vec<_> = group.into_iter().map(|draft| self.stage(draft, &ready)).collect();
        let outcome = self.shelf.commit(sync, begin);
        if let Err(error) = ready.and(outcome.clone()) {
            self.gauges.failures.fetch_add(1, Relaxed);
            tracing::warn!(%error, "entries could not be kept");
        }
        self.tell();
        for Staged { kind, kept, reply, .. } in staged {
            self.answer_kept(kind, kept.and_then(|kept| outcome.clone().map(|()| kept)), reply);
        }
    }

    fn stage(&mut self, draft: Draft, ready: &Result<(), QuarantineFault>) -> Staged {
        let Draft { kind, content, permit, reply, .. } = draft;
        let kept = ready.clone().and_then(|()| {
            let entry = self.entry(kind, content);
            self.step(|shelf| shelf.keep(&entry))
        });
        Staged { kind, kept, reply, _permit: permit }
    }

    fn answer_kept(&self, kind: Kind, kept: Result<Kept, QuarantineFault>, reply: Option<Reply<Kept>>) {
        match &kept {
            Ok(_) => _ = self.gauges.kept[place(kind)].fetch_add(1, Relaxed),
            Err(_) if kind == Kind::Evidence => _ = self.gauges.dropped.fetch_add(1, Relaxed),
            Err(_) => {}
        }
        if let Some(reply) = reply {
            // Who stopped waiting does not want the answer.
            let _ = reply.send(kept);
        }
    }

    fn entry(&self, kind: Kind, content: Content) -> Entry {
        let now = self.clock.now();
        match content {
            Content::Request(request, reasons) => Entry {
                id: self.names.next(now),
                kind,
                first_seen: now,
                last_seen: now,
                count: 1,
                reasons,
                request: Some(request),
                record: None,
            },
            Content::Record(record, reason) => Entry {
                id: record.id,
                kind,
                first_seen: record.ts_reception,
                last_seen: now,
                count: 1,
                reasons: vec![of_store(&reason)],
                request: None,
                record: Some(Record::clone(&record)),
            },
        }
    }

    /// Everything but [`Job::Keep`] and [`Job::Close`]; each is durable when it is answered.
    pub(super) fn process(&mut self, job: Job) {
        match job {
            Job::Discard(id, reply) => self.change(reply, |shelf| shelf.discard(id)),
            Job::Forget(ids, reply) => self.change(reply, |shelf| shelf.forget(&ids)),
            Job::Seal(records, reply) => {
                let number = self.names.next(self.clock.now());
                self.change(reply, |shelf| shelf.seal(number, records).map(|records| (number, records)));
            }
            Job::Settle(refused, reply) => self.change(reply, |shelf| shelf.settle(&refused)),
            Job::Sealed(reply) => _ = reply.send(self.shelf.sealed()),
            Job::Entry(id, reply) => _ = reply.send(self.shelf.entry(id)),
            Job::Page(filter, limit, reply) => {
                self.forget_old();
                _ = reply.send(self.shelf.page(&filter, limit));
            }
            Job::Promised(after, reply) => {
                self.forget_old();
                _ = reply.send(self.shelf.promised(after, REPLAY_RECORDS));
            }
            Job::Holding(ids, reply) => _ = reply.send(Ok(self.shelf.holding(&ids))),
            Job::Keep(_) | Job::Close => {}
        }
    }

    /// Nothing arrives in a quiet quarantine, and what is too old goes all the same when somebody looks.
    fn forget_old(&mut self) {
        if let Err(error) = self.shelf.tidy(self.clock.now()) {
            tracing::warn!(%error, "the quarantine could not be tidied");
        }
        self.tell();
    }

    fn change<T>(&mut self, reply: Reply<T>, step: impl FnOnce(&mut Shelf<D>) -> Result<T, QuarantineFault>) {
        let outcome = self.shelf.tidy(self.clock.now()).and_then(|()| {
            let begin = self.shelf.savepoint();
            let value = self.step(step)?;
            self.shelf.commit(true, begin)?;
            Ok(value)
        });
        self.tell();
        // Who stopped waiting does not want the answer.
        let _ = reply.send(outcome);
    }

    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Shelf<D>) -> Result<T, QuarantineFault>,
    ) -> Result<T, QuarantineFault> {
        let before = self.shelf.savepoint();
        let outcome = step(&mut self.shelf);
        if outcome.is_err() {
            self.shelf.roll_back(before);
        }
        outcome
    }

    /// Said before anybody is answered: who was finds himself in the numbers.
    fn tell(&self) {
        for kind in Kind::ALL {
            let Sum { entries, bytes } = self.shelf.sum(kind);
            let (entry_gauge, byte_gauge) = &self.gauges.sums[place(kind)];
            entry_gauge.store(entries, Relaxed);
            byte_gauge.store(bytes, Relaxed);
        }
        self.gauges.disk_bytes.store(self.shelf.disk_bytes(), Relaxed);
        self.gauges.shelf_dropped.store(self.shelf.dropped(), Relaxed);
    }
}

/// An entry that is not written yet, and who waits for it.
struct Staged {
    kind: Kind,
    kept: Result<Kept, QuarantineFault>,
    reply: Option<Reply<Kept>>,
    _permit: OwnedSemaphorePermit,
}

/// Position of a kind in the gauges: that of [`Kind::ALL`].
fn place(kind: Kind) -> usize {
    match kind {
        Kind::Owed => 0,
        Kind::Refused => 1,
        Kind::Evidence => 2,
    }
}
