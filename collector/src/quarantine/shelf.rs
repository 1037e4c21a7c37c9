//! The entries on disk and what may be done with them: one step after the other, without threads.
//!
//! A step stages frames and changes the index; [`Shelf::commit`] writes what is staged. When that fails, all steps
//! since the last commit are taken back, so that memory never knows more than the disk.

use std::io;
use std::sync::Arc;

use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{Record, RecordId, TimestampUs};

use super::entry::{Entry, Kind, put_ids, put_number};
use super::fold::{Fold, KIND_ENTRY, KIND_OPENED, KIND_REMOVED, KIND_SEALED, KIND_SEEN, Sealed, slot_of};
use super::index::{Index, Slot, Sum};
use super::log::{Log, Spot};
use super::{Filter, Kept, QuarantineError, QuarantineFault, QuarantineSettings};
use crate::journal::TornTail;
use crate::journal::files::Disk;
use crate::journal::frame::FRAME_HEADER_BYTES;

/// Field of the reason why the store refused a record.
const STORE: &str = "store";
/// Closed segments above which the oldest is cleaned whatever its size: a failing disk leaves many small ones.
const CLOSED_SEGMENTS_MAX: usize = 64;

/// What there was before a step.
pub(super) struct Savepoint {
    staged: usize,
    undo: usize,
    sealed: Option<Arc<Sealed>>,
}

/// See the module.
pub(super) struct Shelf<D: Disk> {
    log: Log<D>,
    index: Index,
    settings: QuarantineSettings,
    sealed: Option<Arc<Sealed>>,
    /// The greatest identifier that was ever given to an entry or a batch here.
    greatest: Option<RecordId>,
    undo: Vec<(RecordId, Option<Slot>)>,
    /// Evidence that went before its time, to make room or because the disk failed.
    dropped: u64,
}

impl<D: Disk> Shelf<D> {
    /// Reads what is on `disk`.
    pub(super) fn open(disk: D, settings: QuarantineSettings) -> Result<(Self, Option<TornTail>), QuarantineError> {
        settings.validate()?;
        let mut fold = Fold::default();
        let (log, greatest, torn) = Log::open(disk, settings.segment_bytes(), |spot, frame| fold.take(spot, frame))?;
        let (sealed, greatest) = (fold.take_sealed().map(Arc::new), greatest.max(fold.greatest));
        let index = fold.index;
        Ok((Self { log, index, settings, sealed, greatest, undo: Vec::new(), dropped: 0 }, torn))
    }

    /// The greatest identifier that was ever given to something here.
    pub(super) fn greatest(&self) -> Option<RecordId> {
        self.greatest
    }

    /// What was kept in memory before the next step, to go back to.
    pub(super) fn savepoint(&self) -> Savepoint {
        Savepoint { staged: self.log.staged(), undo: self.undo.len(), sealed: self.sealed.clone() }
    }

    /// Takes back every step since `savepoint`.
    pub(super) fn roll_back(&mut self, savepoint: Savepoint) {
        self.log.unstage(savepoint.staged);
        while self.undo.len() > savepoint.undo
            && let Some((id, before)) = self.undo.pop()
        {
            self.index.set(id, before);
        }
        self.sealed = savepoint.sealed;
    }

    /// Writes all steps since the last commit; with `sync` they are durable.
    ///
    /// # Errors
    /// [`QuarantineFault::Unavailable`]: none of the steps happened.
    pub(super) fn commit(&mut self, sync: bool, begin: Savepoint) -> Result<(), QuarantineFault> {
        let Err((error, lost)) = self.log.commit(sync) else {
            self.undo.clear();
            return Ok(());
        };
        self.roll_back(begin);
        self.undo.clear();
        // Only evidence is committed without a sync.
        for id in self.index.in_lost(lost) {
            self.index.set(id, None);
            self.dropped += 1;
        }
        Err(unavailable("write", &error))
    }

    /// Gets ready for the next step: a segment with room, and no more bytes on disk than there may be.
    ///
    /// # Errors
    /// [`QuarantineFault::Unavailable`] when the disk does not do it.
    pub(super) fn tidy(&mut self, now: TimestampUs) -> Result<(), QuarantineFault> {
        self.begin_segment()?;
        self.expire(now)?;
        self.remove_dead()?;
        for _ in 0..self.log.closed_segments() {
            if !self.needs_cleaning() {
                break;
            }
            self.clean_oldest()?;
        }
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<(), QuarantineFault> {
        if self.log.is_full() {
            self.commit(true, self.savepoint())?;
        }
        self.log.prepare(self.greatest).map_err(|error| unavailable("begin a segment", &error))
    }

    fn needs_cleaning(&self) -> bool {
        self.log.bytes() > self.settings.clean_above_bytes() || self.log.closed_segments() > CLOSED_SEGMENTS_MAX
    }

    /// Removes the oldest segments while nothing in them counts any more.
    fn remove_dead(&mut self) -> Result<(), QuarantineFault> {
        while let Some(oldest) = self.log.oldest_sequence() {
            let holds_seal = self.sealed.as_ref().is_some_and(|sealed| sealed.segment == oldest);
            if holds_seal || self.index.has_entries_in(oldest) {
                break;
            }
            self.remove_oldest()?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self) -> Result<(), QuarantineFault> {
        // What replaces the entries of the oldest segment must not be lost when that is gone.
        if !self.log.is_synced() {
            self.commit(true, self.savepoint())?;
        }
        self.log.remove_oldest().map_err(|error| unavailable("remove a segment", &error))
    }

    /// Moves what counts in the oldest segment to the end, then removes it.
    fn clean_oldest(&mut self) -> Result<(), QuarantineFault> {
        let Some(oldest) = self.log.oldest_sequence() else { return Ok(()) };
        self.begin_segment()?;
        let begin = self.savepoint();
        if let Err(fault) = self.move_from(oldest) {
            self.roll_back(begin);
            return Err(fault);
        }
        self.commit(true, begin)?;
        self.remove_oldest()
    }

    fn move_from(&mut self, segment: u64) -> Result<(), QuarantineFault> {
        let ids = self.index.in_segment(segment);
        for entry in self.entries(&ids, usize::MAX)? {
            self.stage_entry(&entry)?;
        }
        match self.sealed.clone() {
            Some(sealed) if sealed.segment == segment => self.stage_sealed(sealed.number, sealed.ids.clone()),
            _ => Ok(()),
        }
    }

    /// Removes what is too old.
    fn expire(&mut self, now: TimestampUs) -> Result<(), QuarantineFault> {
        let mut old = self.index.older_than(self.settings.expired_before(now));
        old.retain(|id| !self.is_sealed(*id));
        if old.is_empty() {
            return Ok(());
        }
        let promised = old.iter().filter(|id| self.index.get(**id).is_some_and(|slot| slot.kind.is_promised())).count();
        let begin = self.savepoint();
        self.remove(&old)?;
        self.commit(true, begin)?;
        if promised > 0 {
            tracing::warn!(
                entries = promised,
                "records in the quarantine are too old and were neither replayed nor discarded"
            );
        }
        Ok(())
    }

    /// Keeps an entry, or counts an equal one.
    ///
    /// # Errors
    /// [`QuarantineFault::Full`] when only promised entries could make room, [`QuarantineFault::Invalid`] when it is
    /// larger than any entry may be.
    pub(super) fn keep(&mut self, entry: &Entry) -> Result<Kept, QuarantineFault> {
        let key = self.index.key(entry);
        let equal = self.index.get(entry.id).map(|_| entry.id).or_else(|| self.index.with_key(key?));
        if let Some(id) = equal {
            return self.count(id, entry.last_seen);
        }
        let mut body = Vec::new();
        entry.encode(&mut body);
        self.make_room((body.len() + FRAME_HEADER_BYTES) as u64)?;
        let spot = self.log.stage(KIND_ENTRY, |out| out.extend_from_slice(&body))?;
        self.set(entry.id, Some(slot_of(entry, key, spot)));
        self.greatest = self.greatest.max(Some(entry.id));
        Ok(Kept { id: entry.id, count: entry.count })
    }

    fn count(&mut self, id: RecordId, now: TimestampUs) -> Result<Kept, QuarantineFault> {
        let slot = self.index.get(id).ok_or(QuarantineFault::NotFound(id))?;
        if slot.key.is_none() {
            // The same record again, after a crash: it came once.
            return Ok(Kept { id, count: slot.count });
        }
        let slot = Slot { count: slot.count.saturating_add(1), last_seen: slot.last_seen.max(now), ..slot };
        self.log.stage(KIND_SEEN, |out| {
            for number in [id.0, slot.last_seen.0, slot.count.cast_signed()] {
                put_number(out, number);
            }
        })?;
        self.set(id, Some(slot));
        Ok(Kept { id, count: slot.count })
    }

    /// Lets the oldest evidence go until `bytes` have room.
    fn make_room(&mut self, bytes: u64) -> Result<(), QuarantineFault> {
        if bytes > self.settings.entry_limit_bytes() {
            let limit = self.settings.entry_limit_bytes();
            return Err(QuarantineFault::Invalid(format!("an entry of {bytes} bytes, {limit} fit")));
        }
        let (entries, limit) = (self.settings.entries as u64, self.settings.kept_bytes());
        let promised = self.index.promised();
        if promised.entries >= entries {
            return Err(QuarantineFault::Full("quarantine.entries are promised to their senders"));
        }
        if promised.bytes + bytes > limit {
            return Err(QuarantineFault::Full("half of quarantine.quota_bytes is promised to senders"));
        }
        loop {
            let evidence = self.index.sum(Kind::Evidence);
            let fits =
                promised.entries + evidence.entries < entries && promised.bytes + evidence.bytes + bytes <= limit;
            match self.index.oldest_evidence() {
                Some(oldest) if !fits => {
                    self.remove(&[oldest])?;
                    self.dropped += 1;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Removes an entry because a person said so.
    ///
    /// # Errors
    /// [`QuarantineFault::NotFound`], and [`QuarantineFault::Invalid`] while it is on its way to the store.
    pub(super) fn discard(&mut self, id: RecordId) -> Result<(), QuarantineFault> {
        self.index.get(id).ok_or(QuarantineFault::NotFound(id))?;
        if self.is_sealed(id) {
            return Err(QuarantineFault::Invalid(format!("entry {id} is being replayed")));
        }
        self.remove(&[id])
    }

    /// Removes entries that nobody needs any more because the store gets their records otherwise; how many were there.
    pub(super) fn forget(&mut self, ids: &[RecordId]) -> Result<u64, QuarantineFault> {
        let there: Vec<_> = self.holding(ids).into_iter().filter(|id| !self.is_sealed(*id)).collect();
        if !there.is_empty() {
            self.remove(&there)?;
        }
        Ok(there.len() as u64)
    }

    /// Notes that the records of these entries are going to be inserted into the store as the batch `number`; records
    /// whose entries are gone are left out.
    ///
    /// # Errors
    /// [`QuarantineFault::Invalid`] while another batch is on its way.
    pub(super) fn seal(&mut self, number: RecordId, records: Vec<Record>) -> Result<Vec<Record>, QuarantineFault> {
        if self.sealed.is_some() {
            return Err(QuarantineFault::Invalid("another batch is being replayed".to_owned()));
        }
        let is_there = |id| self.index.get(id).is_some_and(|slot| slot.kind.is_promised());
        let records: Vec<Record> = records.into_iter().filter(|record| is_there(record.id)).collect();
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        for (entry, record) in self.entries(&ids, usize::MAX)?.into_iter().zip(&records) {
            self.stage_entry(&Entry { record: Some(record.clone()), ..entry })?;
        }
        if !ids.is_empty() {
            self.greatest = self.greatest.max(Some(number));
            self.stage_sealed(number, ids)?;
        }
        Ok(records)
    }

    /// Ends what [`Shelf::seal`] began: the store has all records of the batch, but those in `refused`.
    ///
    /// # Errors
    /// [`QuarantineFault::Invalid`] when no batch is on its way.
    pub(super) fn settle(&mut self, refused: &[(RecordId, String)]) -> Result<(), QuarantineFault> {
        let sealed = self.sealed.take();
        let Some(sealed) = sealed else {
            return Err(QuarantineFault::Invalid("no batch is being replayed".to_owned()));
        };
        let reason = |id: RecordId| refused.iter().find(|(other, _)| *other == id).map(|(_, reason)| reason);
        let (stays, goes): (Vec<_>, Vec<_>) = sealed.ids.iter().copied().partition(|id| reason(*id).is_some());
        for mut entry in self.entries(&stays, usize::MAX)? {
            entry.reasons = reason(entry.id).map(|reason| of_store(reason)).into_iter().collect();
            entry.kind = Kind::Refused;
            self.stage_entry(&entry)?;
        }
        self.remove(&goes)?;
        self.log.stage(KIND_OPENED, |out| put_number(out, sealed.number.0))?;
        Ok(())
    }

    /// The batch that is on its way to the store, and its records.
    ///
    /// # Errors
    /// [`QuarantineFault::Unavailable`] when the disk does not give it.
    pub(super) fn sealed(&self) -> Result<Option<(RecordId, Vec<Record>)>, QuarantineFault> {
        let Some(sealed) = &self.sealed else { return Ok(None) };
        let entries = self.entries(&sealed.ids, usize::MAX)?;
        Ok(Some((sealed.number, entries.into_iter().filter_map(|entry| entry.record).collect())))
    }

    /// One entry, whole.
    ///
    /// # Errors
    /// [`QuarantineFault::NotFound`], [`QuarantineFault::Unavailable`] when the disk does not give it.
    pub(super) fn entry(&self, id: RecordId) -> Result<Entry, QuarantineFault> {
        self.entries(&[id], 1)?.pop().ok_or(QuarantineFault::NotFound(id))
    }

    /// Entries that pass `filter`, the newest first, without request and record.
    ///
    /// # Errors
    /// As [`Shelf::entry`].
    pub(super) fn page(&self, filter: &Filter, limit: usize) -> Result<Vec<Entry>, QuarantineFault> {
        let passes = |slot: &Slot| filter.kind.is_none_or(|kind| kind == slot.kind);
        let ids: Vec<_> =
            self.index.newest(filter.before).filter(|(_, slot)| passes(slot)).map(|(id, _)| id).take(limit).collect();
        let mut entries = Vec::with_capacity(ids.len());
        self.read_each(&ids, |entry| entries.push(Entry { request: None, record: None, ..entry }))?;
        Ok(entries)
    }

    /// Promised entries above `after`, whole, the oldest first: as many as are replayed at a time.
    ///
    /// # Errors
    /// As [`Shelf::entry`].
    pub(super) fn promised(&self, after: Option<RecordId>, rows: usize) -> Result<Vec<Entry>, QuarantineFault> {
        let mut bytes = 0;
        let mut fits = |slot: &Slot| {
            let is_first = bytes == 0;
            bytes += slot.spot.bytes;
            is_first || bytes <= self.settings.group_bytes()
        };
        let promised = self.index.oldest(after).filter(|(_, slot)| slot.kind.is_promised());
        let ids: Vec<_> = promised.take(rows).take_while(|(_, slot)| fits(slot)).map(|(id, _)| id).collect();
        self.entries(&ids, rows)
    }

    /// Which of `ids` are entries.
    pub(super) fn holding(&self, ids: &[RecordId]) -> Vec<RecordId> {
        ids.iter().copied().filter(|id| self.index.get(*id).is_some()).collect()
    }

    /// Entries and bytes of one kind.
    pub(super) fn sum(&self, kind: Kind) -> Sum {
        self.index.sum(kind)
    }

    /// Bytes of all files.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Evidence that went before its time since the shelf was opened.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn entries(&self, ids: &[RecordId], limit: usize) -> Result<Vec<Entry>, QuarantineFault> {
        let mut entries = Vec::with_capacity(ids.len().min(limit));
        self.read_each(ids, |entry| entries.push(entry))?;
        Ok(entries)
    }

    /// Reads entries in the order of `ids`, each segment once where they stand together.
    fn read_each(&self, ids: &[RecordId], mut take: impl FnMut(Entry)) -> Result<(), QuarantineFault> {
        let mut segment: (Option<u64>, Vec<u8>) = (None, Vec::new());
        for id in ids {
            let slot = self.index.get(*id).ok_or(QuarantineFault::NotFound(*id))?;
            if segment.0 != Some(slot.spot.segment) {
                let bytes = self.log.segment(slot.spot.segment).map_err(|error| unavailable("read", &error))?;
                segment = (Some(slot.spot.segment), bytes);
            }
            let body = self.log.body_in(&segment.1, slot.spot).map_err(|error| unavailable("read", &error))?;
            let entry = Entry::decode(body).map_err(|reason| unavailable("read", &io::Error::other(reason)))?;
            take(Entry { last_seen: slot.last_seen, count: slot.count, ..entry });
        }
        Ok(())
    }

    /// Writes an entry that is there once more; from now on this is the one that counts.
    ///
    /// Its key stays, although reasons and kind may be others: what is sent again is still equal to it.
    fn stage_entry(&mut self, entry: &Entry) -> Result<(), QuarantineFault> {
        let key = self.index.get(entry.id).and_then(|slot| slot.key);
        let spot = self.log.stage(KIND_ENTRY, |out| entry.encode(out))?;
        self.set(entry.id, Some(slot_of(entry, key, spot)));
        Ok(())
    }

    fn stage_sealed(&mut self, number: RecordId, ids: Vec<RecordId>) -> Result<(), QuarantineFault> {
        let Spot { segment, .. } = self.log.stage(KIND_SEALED, |out| {
            put_number(out, number.0);
            put_ids(out, &ids);
        })?;
        self.sealed = Some(Arc::new(Sealed { number, ids, segment }));
        Ok(())
    }

    fn remove(&mut self, ids: &[RecordId]) -> Result<(), QuarantineFault> {
        self.log.stage(KIND_REMOVED, |out| put_ids(out, ids))?;
        for id in ids {
            self.set(*id, None);
        }
        Ok(())
    }

    fn set(&mut self, id: RecordId, slot: Option<Slot>) {
        let before = self.index.set(id, slot);
        self.undo.push((id, before));
    }

    fn is_sealed(&self, id: RecordId) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.ids.binary_search(&id).is_ok())
    }
}

/// The reason of an entry that the store refused.
pub(super) fn of_store(reason: &str) -> FieldError {
    FieldError { field: STORE.to_owned(), reason: reason.to_owned() }
}

fn unavailable(action: &str, error: &io::Error) -> QuarantineFault {
    QuarantineFault::Unavailable(format!("the quarantine cannot {action}: {error}"))
}
