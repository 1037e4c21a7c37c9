//! Acknowledged records that do not fit into memory: where they stand in the segments, and how they come back in order.
//!
//! While nothing is left out the writer gives records to [`Recent`]. Behind a full memory it notes only where their
//! frames are, and goes on so until everything noted was read back: the order of identifiers is never broken. An hour of
//! backlog costs as little memory as a second, because neighbouring frames are one [`Extent`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetrics_schema::recent::Recent;
use telemetrics_schema::{Record, RecordId};

use super::JournalError;
use super::files::SegmentReader;
use super::frame::{self, Entry, Next};

/// Bytes of frames that are read back at a time, unless one frame is larger.
const EXTENT_BYTES: u64 = 1 << 20;

/// Durable frames of one segment that stand behind each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) segment: u64,
    pub(super) salt: u64,
    /// Where the first frame begins and the last one ends.
    pub(super) from: u64,
    pub(super) end: u64,
    /// Records in it from `first` to `last`; what else its frames hold does not count.
    pub(super) rows: usize,
    pub(super) first: RecordId,
    pub(super) last: RecordId,
}

impl Extent {
    /// Takes in the one that follows, unless both together are too long.
    fn join(&mut self, next: &Self) -> bool {
        let joins = self.segment == next.segment && next.end - self.from <= EXTENT_BYTES;
        if joins {
            (self.end, self.last) = (next.end, next.last);
            self.rows += next.rows;
        }
        joins
    }

    /// Reads the records.
    ///
    /// # Errors
    /// [`JournalError::Io`], and [`JournalError::Damaged`] when they are not there any more.
    pub(super) fn read(&self, reader: &dyn SegmentReader) -> Result<Vec<Arc<Record>>, JournalError> {
        let length = usize::try_from(self.end - self.from).unwrap_or(usize::MAX);
        let bytes = reader
            .read_at(self.segment, self.from, length)
            .map_err(JournalError::io(format!("read journal segment {:016x}", self.segment)))?;
        let mut records = Vec::with_capacity(self.rows);
        let mut at = 0;
        while at < length {
            at += self.read_frame(&bytes[at..], at, &mut records)?;
        }
        if records.len() == self.rows { Ok(records) } else { Err(self.damaged(at, "records are missing")) }
    }

    /// Takes the records of the frame that `rest` begins with, `at` bytes behind the beginning, and says how long it is.
    fn read_frame(&self, rest: &[u8], at: usize, records: &mut Vec<Arc<Record>>) -> Result<usize, JournalError> {
        let offset = usize::try_from(self.from).unwrap_or(usize::MAX).saturating_add(at);
        let Next::Frame(frame) = frame::next_in(rest, offset, self.salt) else {
            return Err(self.damaged(at, "no frame where one was written"));
        };
        if let Entry::Records(found) = frame.entry().map_err(|reason| self.damaged(at, reason))? {
            let counts = |record: &Record| (self.first..=self.last).contains(&record.id);
            records.extend(found.into_iter().filter(counts).map(Arc::new));
        }
        Ok(frame.end - offset)
    }

    fn damaged(&self, at: usize, reason: &str) -> JournalError {
        JournalError::Damaged { segment: self.segment, offset: self.from + at as u64, reason: reason.to_owned() }
    }
}

/// Extents in the order of their records.
#[derive(Debug, Default)]
pub(super) struct Extents(VecDeque<Extent>);

impl Extents {
    /// Adds one behind all others.
    pub(super) fn push(&mut self, extent: Extent) {
        if !self.0.back_mut().is_some_and(|last| last.join(&extent)) {
            self.0.push_back(extent);
        }
    }

    /// Forgets those with records up to `confirmed` only.
    pub(super) fn release(&mut self, confirmed: Option<RecordId>) {
        while self.0.front().is_some_and(|extent| Some(extent.last) <= confirmed) {
            self.0.pop_front();
        }
    }

    /// Leaves out the records up to `confirmed` where they share an extent with others.
    ///
    /// # Errors
    /// As [`Extent::read`].
    pub(super) fn trim(&mut self, confirmed: Option<RecordId>, reader: &dyn SegmentReader) -> Result<(), JournalError> {
        self.release(confirmed);
        let Some(oldest) = self.0.front_mut().filter(|oldest| Some(oldest.first) <= confirmed) else { return Ok(()) };
        let mut rest = oldest.read(reader)?;
        rest.retain(|record| Some(record.id) > confirmed);
        oldest.rows = rest.len();
        if let Some(first) = rest.first() {
            oldest.first = first.id;
        }
        Ok(())
    }

    /// How many records have identifiers from `first` to `last`.
    ///
    /// # Errors
    /// As [`Extent::read`].
    pub(super) fn count(
        &self,
        first: RecordId,
        last: RecordId,
        reader: &dyn SegmentReader,
    ) -> Result<u64, JournalError> {
        let mut count = 0;
        for extent in self.0.iter().filter(|extent| first <= extent.last && extent.first <= last) {
            count += extent.read(reader)?.iter().filter(|record| (first..=last).contains(&record.id)).count();
        }
        Ok(count as u64)
    }

    /// All records in them.
    pub(super) fn rows(&self) -> usize {
        self.0.iter().map(|extent| extent.rows).sum()
    }

    /// Takes the records of `read` away, which was the first one or is the beginning of it.
    fn remove(&mut self, read: &Extent) {
        let Some(oldest) = self.0.front_mut() else { return };
        oldest.from = read.end;
        oldest.rows -= read.rows;
        if oldest.rows == 0 {
            self.0.pop_front();
        }
    }
}

/// See the module; shared by the journal's writer, which notes, and its handles, which read.
pub(super) struct Backlog {
    extents: Mutex<Extents>,
    recent: Recent,
    reader: Arc<dyn SegmentReader>,
}

impl Backlog {
    /// The backlog of a journal that was read from disk: nothing of it is in memory.
    pub(super) fn new(extents: Extents, recent: Recent, reader: Arc<dyn SegmentReader>) -> Self {
        if let Some(newest) = extents.0.back() {
            recent.leave_out(extents.rows(), newest.last);
        }
        Self { extents: Mutex::new(extents), recent, reader }
    }

    /// Takes records that were just made durable at `extent`.
    pub(super) fn show(&self, records: impl Iterator<Item = Arc<Record>>, extent: Extent) {
        let mut extents = self.lock();
        if extents.0.is_empty() && !self.recent.is_full() {
            self.recent.push(records);
        } else {
            self.recent.leave_out(extent.rows, extent.last);
            extents.push(extent);
        }
    }

    /// Brings records into memory until it is full and holds everything up to `until`; blocks while it reads.
    ///
    /// # Errors
    /// As [`Extent::read`]: what could not be read stays noted.
    pub(super) fn take_in(&self, until: Option<RecordId>) -> Result<(), JournalError> {
        while !self.recent.is_full() || self.recent.last_in_memory() < until {
            let Some(oldest) = self.lock().0.front().cloned() else { break };
            // Not under the lock: the writer goes on meanwhile, and may make this extent longer.
            let records = oldest.read(&*self.reader)?;
            let mut extents = self.lock();
            // Somebody else who reads may have been faster.
            if extents.0.front().is_none_or(|front| (front.segment, front.from) != (oldest.segment, oldest.from)) {
                continue;
            }
            self.recent.take_in(records);
            extents.remove(&oldest);
        }
        Ok(())
    }

    /// All records that are acknowledged and not released, the oldest first, while nobody else writes or reads.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Arc<Record>, JournalError>> {
        let held = self.recent.range(RecordId(i64::MIN), RecordId::MAX);
        let extents = self.lock().0.clone();
        let read = move |extent: &Extent| match extent.read(&*self.reader) {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        held.into_iter().map(Ok).chain(extents.into_iter().flat_map(move |extent| read(&extent)))
    }

    fn lock(&self) -> MutexGuard<'_, Extents> {
        // Nothing panics between two steps that belong together, so a poisoned lock guards a whole state.
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
