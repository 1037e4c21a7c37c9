//! The journal's thread: turns a group of waiting work into one write and one sync, then answers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::{Record, RecordId};

use super::backlog::{Backlog, Extent};
use super::chain::Chain;
use super::files::Disk;
use super::frame::{self, CONFIRMED_FRAME_BYTES, Place, RECORDS_FRAME_BYTES, SEALED_FRAME_BYTES};
use super::names::Names;
use super::queue::{Append, Group, Reply};
use super::replay::{Replayed, replay};
use super::segment::Marks;
use super::stats::{Ages, Gauges};
use super::{AppendError, Ids, JournalError, JournalSettings, Recovered, Seal};

/// Memory of the buffer that is kept between groups.
const KEPT_BUFFER_BYTES: usize = 8 << 20;

/// See the module.
pub(super) struct Writer<D: Disk> {
    chain: Chain<D>,
    names: Names,
    marks: Marks,
    /// Sealed batches that are not confirmed.
    sealed: Vec<Seal>,
    ages: Ages,
    clock: Arc<dyn Clock>,
    backlog: Arc<Backlog>,
    gauges: Arc<Gauges>,
    frames: Vec<u8>,
}

/// Records that have their names, and who waits for them.
struct Named {
    records: Vec<Arc<Record>>,
    reply: Reply<Vec<Arc<Record>>>,
}

impl<D: Disk> Writer<D> {
    /// Reads the journal on `disk`, makes durable what it read, and gets ready to write.
    pub(super) fn open(
        disk: D,
        settings: &JournalSettings,
        clock: Arc<dyn Clock>,
        ids: Ids,
        recent: Recent,
        gauges: Arc<Gauges>,
    ) -> Result<(Self, Recovered), JournalError> {
        let mut replayed = replay(&disk, ids.collector)?;
        replayed.marks.given = replayed.marks.given.max(ids.above);
        let (recovered, reader) = (recovered(&replayed), disk.reader());
        let closed = std::mem::take(&mut replayed.closed);
        let mut chain = Chain::new(disk, settings, ids.collector, closed, Arc::clone(&gauges));
        if let Some(unused) = replayed.unused {
            chain.remove_unused(unused).map_err(JournalError::io("remove a journal segment without a header"))?;
        }
        if let Some(newest) = &replayed.newest {
            chain.take_over(newest).map_err(JournalError::io("end the newest journal segment"))?;
        }
        let names = Names::after(ids.collector, replayed.marks.given);
        let Replayed { marks, sealed, pending, ages, .. } = replayed;
        let backlog = Arc::new(Backlog::new(pending, recent, reader));
        backlog.take_in(None)?;
        let mut writer = Self { chain, names, marks, sealed, ages, clock, backlog, gauges, frames: Vec::new() };
        writer.begin();
        Ok((writer, recovered))
    }

    /// The sequence that records are named from.
    pub(super) fn names(&self) -> Names {
        self.names.clone()
    }

    /// What was acknowledged and is not in memory.
    pub(super) fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    /// Handles everything in `group` and answers it.
    pub(super) fn process(&mut self, mut group: Group) {
        self.note_confirmations(&group);
        self.refuse_wrong_seals(&mut group);
        if let Err(error) = self.make_room(&group) {
            refuse(group.appends.drain(..).map(|append| append.reply), &error);
            if let Err(error) = self.make_room(&group) {
                group.refuse(&error);
            }
        }
        if !group.is_empty() {
            self.commit(group);
        }
        self.tidy();
    }

    /// Begins a segment now, so that the first group need not; without space the journal is open all the same.
    fn begin(&mut self) {
        match self.chain.make_room(1, 0, self.marks) {
            Ok(()) => self.gauges.writable.store(true, Relaxed),
            Err(error) => tracing::warn!(%error, "the journal is open and cannot be written yet"),
        }
        self.tidy();
    }

    /// A confirmation is a fact about the store: it counts even if it cannot be written now.
    fn note_confirmations(&mut self, group: &Group) {
        let last = group.confirms.iter().map(|(last, _)| *last).max();
        // What was never recorded cannot be in the store, and must not be confirmed before it exists.
        let confirmed = last.min(self.marks.recorded);
        self.marks.confirmed = self.marks.confirmed.max(confirmed);
        self.sealed.retain(|seal| Some(seal.last) > self.marks.confirmed);
        if let Some(confirmed) = confirmed {
            self.ages.release(confirmed);
        }
    }

    fn refuse_wrong_seals(&self, group: &mut Group) {
        let error = AppendError::Invalid("a seal of records that are not pending, or are in another seal".to_owned());
        for (seal, reply) in std::mem::take(&mut group.seals) {
            let others = self.sealed.iter().chain(group.seals.iter().map(|(other, _)| other));
            if self.may_seal(&seal, others) {
                group.seals.push((seal, reply));
            } else {
                refuse([reply].into_iter(), &error);
            }
        }
    }

    fn may_seal<'a>(&self, seal: &Seal, mut others: impl Iterator<Item = &'a Seal>) -> bool {
        let pending = Some(seal.first) > self.marks.confirmed && Some(seal.last) <= self.marks.recorded;
        let apart = |other: &Seal| other == seal || seal.last < other.first || other.last < seal.first;
        seal.first <= seal.last && pending && others.all(apart)
    }

    fn make_room(&mut self, group: &Group) -> Result<(), AppendError> {
        let records: usize = group.appends.iter().map(|append| append.bytes).sum();
        let records = if records == 0 { 0 } else { records as u64 + RECORDS_FRAME_BYTES };
        let control = group.seals.len() as u64 * SEALED_FRAME_BYTES + CONFIRMED_FRAME_BYTES;
        if group.is_empty() { Ok(()) } else { self.chain.make_room(records, control, self.marks) }
    }

    fn commit(&mut self, mut group: Group) {
        let named = self.name(std::mem::take(&mut group.appends));
        match self.write(&named, &group) {
            Ok(extent) => self.acknowledge(named, group, extent),
            Err(error) => {
                refuse(named.into_iter().map(|named| named.reply), &error);
                group.refuse(&error);
            }
        }
    }

    /// Gives every record its identifier and the group's reception time.
    fn name(&mut self, appends: Vec<Append>) -> Vec<Named> {
        let now = self.clock.now();
        let mut name = |mut record: Record| {
            (record.id, record.ts_reception) = (self.names.next(now), now);
            self.marks.given = Some(record.id);
            Arc::new(record)
        };
        let named = |append: Append| Named {
            records: append.records.into_iter().map(&mut name).collect(),
            reply: append.reply,
        };
        appends.into_iter().map(named).collect()
    }

    /// Makes the group durable and says where its records are, if it has some.
    fn write(&mut self, named: &[Named], group: &Group) -> Result<Option<Extent>, AppendError> {
        let Some((segment, place)) = self.chain.place() else {
            return Err(AppendError::Unavailable("no segment is begun".to_owned()));
        };
        let confirmed = self.marks.confirmed.filter(|_| self.owes_confirmation(group));
        let extent = self.encode(segment, place, named);
        self.encode_control(place, group, confirmed);
        let last_sealed = group.seals.iter().map(|(seal, _)| seal.last).max();
        let needed = last_id(named).max(last_sealed);
        let sync = needed.is_some() || self.chain.would_release(self.marks.confirmed);
        self.chain.append(&self.frames, sync, needed)?;
        if sync {
            self.chain.confirmed_durably(self.marks.confirmed);
        }
        Ok(extent)
    }

    /// An earlier confirmation may stand in frames that a failure threw away: it is written again until it is durable.
    fn owes_confirmation(&self, group: &Group) -> bool {
        !group.confirms.is_empty() || !self.chain.is_durable(self.marks.confirmed)
    }

    /// The frame of the records, and where it is going to be.
    fn encode(&mut self, segment: u64, place: Place, named: &[Named]) -> Option<Extent> {
        self.frames.clear();
        let records = || named.iter().flat_map(|named| &named.records).map(AsRef::as_ref);
        let (first, last) = (records().next()?.id, last_id(named)?);
        frame::write_records(&mut self.frames, place, records());
        let (from, end) = (place.offset, place.offset + self.frames.len() as u64);
        Some(Extent { segment, salt: place.salt, from, end, rows: records().count(), first, last })
    }

    fn encode_control(&mut self, place: Place, group: &Group, confirmed: Option<RecordId>) {
        for (seal, _) in &group.seals {
            frame::write_sealed(&mut self.frames, place, seal);
        }
        if let Some(last) = confirmed {
            frame::write_confirmed(&mut self.frames, place, last);
        }
    }

    fn acknowledge(&mut self, named: Vec<Named>, group: Group, extent: Option<Extent>) {
        self.count(&named);
        self.marks.recorded = self.marks.recorded.max(last_id(&named));
        if let Some(extent) = extent {
            self.show(&named, extent);
        }
        for (seal, _) in &group.seals {
            if !self.sealed.contains(seal) {
                self.sealed.push(*seal);
            }
        }
        // Who stopped waiting does not want the answer.
        for Named { records, reply } in named {
            let _ = reply.send(Ok(records));
        }
        for reply in group.control_replies() {
            let _ = reply.send(Ok(()));
        }
    }

    fn count(&self, named: &[Named]) {
        let records: usize = named.iter().map(|named| named.records.len()).sum();
        if records > 0 {
            self.gauges.group_records.observe(records as u64);
            self.gauges.group_bytes.observe(self.frames.len() as u64);
        }
    }

    /// Lets queries see the records, before any of them is acknowledged.
    fn show(&mut self, named: &[Named], extent: Extent) {
        let (records, ages) = (named.iter().flat_map(|named| &named.records), &mut self.ages);
        let records = records.inspect(|record| ages.push(record.id, record.ts_reception));
        self.backlog.show(records.map(Arc::clone), extent);
        self.gauges.set_oldest_pending(self.ages.oldest());
    }

    fn tidy(&mut self) {
        self.chain.release();
        self.gauges.set_oldest_pending(self.ages.oldest());
        self.frames.clear();
        self.frames.shrink_to(KEPT_BUFFER_BYTES);
    }
}

impl Group {
    fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.seals.is_empty() && self.confirms.is_empty()
    }

    fn control_replies(self) -> impl Iterator<Item = Reply<()>> {
        let seals = self.seals.into_iter().map(|(_, reply)| reply);
        seals.chain(self.confirms.into_iter().map(|(_, reply)| reply))
    }

    /// Answers what is left of the group with an error, and leaves it empty.
    fn refuse(&mut self, error: &AppendError) {
        let group = std::mem::take(self);
        refuse(group.control_replies(), error);
    }
}

fn refuse<T>(replies: impl Iterator<Item = Reply<T>>, error: &AppendError) {
    for reply in replies {
        // Who stopped waiting does not want the answer.
        let _ = reply.send(Err(error.clone()));
    }
}

fn last_id(named: &[Named]) -> Option<RecordId> {
    named.iter().filter_map(|named| named.records.last()).map(|record| record.id).max()
}

fn recovered(replayed: &Replayed) -> Recovered {
    if let Some(torn) = &replayed.torn {
        tracing::warn!(?torn, "the journal's last write was not finished; none of it was acknowledged");
    }
    Recovered {
        pending: replayed.pending.rows(),
        sealed: replayed.sealed.clone(),
        confirmed: replayed.marks.confirmed,
        last_id: replayed.marks.given,
        torn: replayed.torn.clone(),
        segments: replayed.segments,
    }
}
