//! The real writer on the forgetful disk, driven step by step without its thread, and what must hold after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telemetrics_schema::batch::from_batch;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::time::Clock;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use tokio::sync::oneshot;

use super::super::backlog::Backlog;
use super::super::frame::record_bound_bytes;
use super::super::queue::{Append, Group};
use super::super::segment::CONTROL_RESERVE_BYTES;
use super::super::stats::Gauges;
use super::super::writer::Writer;
use super::super::{AppendError, Ids, JournalError, JournalSettings, JournalStats, Recovered, Seal};
use super::forgetful::Forgetful;
pub(super) use crate::testing::TestClock;

/// Memory for three or four small records, so that the others wait in the journal.
const MEMORY_BYTES: usize = 3_000;

/// Settings whose segments hold a few small records, so that segments change all the time.
pub(super) fn small_settings() -> JournalSettings {
    let mut settings = JournalSettings::new("unused");
    settings.group_bytes = 1_000;
    settings.queue_bytes = 4_000;
    settings.segment_bytes = CONTROL_RESERVE_BYTES + 1_500;
    settings.quota_bytes = 100 * settings.segment_bytes;
    settings
}

pub(super) fn collector() -> CollectorNumber {
    CollectorNumber::new(5).expect("below 64")
}

pub(super) fn ids() -> Ids {
    Ids { collector: collector(), above: None }
}

pub(super) fn report(payload: &str) -> Report {
    Report { payload: payload.to_owned(), ..Report::default() }
}

pub(super) fn records_of(recent: &Recent) -> Vec<Record> {
    recent.snapshot().expect("batches").iter().flat_map(|batch| from_batch(batch).expect("records")).collect()
}

/// Where the answer to who waits arrives.
type Outcome<T> = oneshot::Receiver<Result<T, AppendError>>;

fn append_of(payloads: &[String]) -> (Append, Outcome<Vec<Arc<Record>>>) {
    let record = |payload: &String| Record { id: RecordId(0), ts_reception: TimestampUs(0), report: report(payload) };
    let records: Vec<_> = payloads.iter().map(record).collect();
    let (reply, outcome) = oneshot::channel();
    (Append { bytes: records.iter().map(record_bound_bytes).sum(), records, reply }, outcome)
}

fn answered<T>(mut outcome: Outcome<T>) -> Result<T, AppendError> {
    outcome.try_recv().expect("the writer answers everything before it goes on")
}

/// A journal that is open.
pub(super) struct Open {
    writer: Writer<Forgetful>,
    pub(super) recent: Recent,
    pub(super) recovered: Recovered,
    backlog: Arc<Backlog>,
    gauges: Arc<Gauges>,
}

impl Open {
    pub(super) fn new(
        disk: &Forgetful,
        settings: &JournalSettings,
        clock: &Arc<TestClock>,
    ) -> Result<Self, JournalError> {
        let (recent, gauges) = (Recent::with_limit(MEMORY_BYTES), Arc::new(Gauges::new()));
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        let (writer, recovered) =
            Writer::open(disk.clone(), settings, clock, ids(), recent.clone(), Arc::clone(&gauges))?;
        let backlog = writer.backlog();
        Ok(Self { writer, recent, recovered, backlog, gauges })
    }

    /// Everything that is acknowledged and was not delivered, in memory or not.
    pub(super) fn pending(&self) -> Vec<Record> {
        let records =
            self.backlog.all().map(|record| Record::clone(&record.expect("what is acknowledged can be read")));
        records.collect()
    }

    /// What the drain does with a batch that the store has: it was in memory, and is forgotten.
    fn deliver(&self, seal: &Seal) -> Vec<RecordId> {
        self.backlog.take_in(Some(seal.last)).expect("what is acknowledged can be read");
        let records = self.recent.range(seal.first, seal.last);
        self.recent.release(seal.last);
        records.iter().map(|record| record.id).collect()
    }

    /// One group with several appends, and their outcomes.
    pub(super) fn append(&mut self, appends: &[Vec<String>]) -> Vec<Result<Vec<Arc<Record>>, AppendError>> {
        let (appends, outcomes): (Vec<_>, Vec<_>) = appends.iter().map(|payloads| append_of(payloads)).unzip();
        self.writer.process(Group { appends, ..Group::default() });
        outcomes.into_iter().map(answered).collect()
    }

    pub(super) fn seal(&mut self, seal: Seal) -> Result<(), AppendError> {
        let (reply, outcome) = oneshot::channel();
        self.writer.process(Group { seals: vec![(seal, reply)], ..Group::default() });
        answered(outcome)
    }

    /// One group with a record and a seal, and whether both were written.
    pub(super) fn append_and_seal(&mut self, payload: &str, seal: Seal) -> bool {
        let (append, appended) = append_of(&[payload.to_owned()]);
        let (reply, sealed) = oneshot::channel();
        self.writer.process(Group { appends: vec![append], seals: vec![(seal, reply)], ..Group::default() });
        answered(appended).is_ok() && answered(sealed).is_ok()
    }

    pub(super) fn confirm(&mut self, last: RecordId) -> Result<(), AppendError> {
        let (reply, outcome) = oneshot::channel();
        self.writer.process(Group { confirms: vec![(last, reply)], ..Group::default() });
        answered(outcome)
    }

    pub(super) fn stats(&self) -> JournalStats {
        self.gauges.read()
    }
}

/// What the outside world knows: who was answered what.
#[derive(Default)]
pub(super) struct World {
    /// Acknowledged, or seen after a restart.
    pub(super) acknowledged: BTreeMap<RecordId, String>,
    /// Never answered with success: may come back, once.
    unanswered: BTreeSet<String>,
    pub(super) confirmed: Option<RecordId>,
    /// What the journal that is open knows to be confirmed: a crash may have lost the last confirmation.
    known: Option<RecordId>,
    /// Seals that were answered.
    seals: Vec<Seal>,
    unanswered_seals: Vec<Seal>,
    payloads: u64,
}

impl World {
    /// Sends a group of appends with so many records each, every payload another.
    pub(super) fn append(&mut self, journal: &mut Open, sizes: &[usize]) {
        let mut fresh = || {
            self.payloads += 1;
            format!("record {:0width$}", self.payloads, width = usize::try_from(self.payloads % 60).unwrap_or(0))
        };
        let appends: Vec<Vec<String>> = sizes.iter().map(|size| (0..*size).map(|_| fresh()).collect()).collect();
        for (payloads, outcome) in appends.iter().zip(journal.append(&appends)) {
            match outcome {
                Ok(records) => self.note_acknowledged(payloads, &records),
                Err(AppendError::Full(_)) => {}
                Err(_) => self.unanswered.extend(payloads.iter().cloned()),
            }
        }
    }

    fn note_acknowledged(&mut self, payloads: &[String], records: &[Arc<Record>]) {
        assert_eq!(payloads.len(), records.len());
        for (payload, record) in payloads.iter().zip(records) {
            assert_eq!(*payload, record.report.payload);
            let newest = self.acknowledged.last_key_value().map(|(id, _)| *id);
            assert!(Some(record.id) > newest, "identifiers grow: {:?} after {newest:?}", record.id);
            self.acknowledged.insert(record.id, payload.clone());
        }
    }

    /// Identifiers that the store does not have and no seal holds.
    pub(super) fn open_ids(&self) -> Vec<RecordId> {
        let sealed = self.seals.iter().chain(&self.unanswered_seals).map(|seal| seal.last).max();
        let beyond = sealed.max(self.confirmed);
        self.acknowledged.keys().copied().filter(|id| Some(*id) > beyond).collect()
    }

    /// Seals the next `rows` records, as far as there are some.
    pub(super) fn seal(&mut self, journal: &mut Open, rows: usize) {
        let ids: Vec<_> = self.open_ids().into_iter().take(rows).collect();
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return };
        let seal = Seal { first: *first, last: *last, rows: ids.len() as u64, checksum: 7 * ids.len() as u64 };
        match journal.seal(seal) {
            Ok(()) => self.seals.push(seal),
            Err(_) => self.unanswered_seals.push(seal),
        }
    }

    /// Confirms the oldest sealed batch, if there is one.
    pub(super) fn confirm(&mut self, journal: &mut Open) {
        let Some(seal) = self.seals.iter().find(|seal| Some(seal.last) > self.confirmed).copied() else { return };
        let delivered = journal.deliver(&seal);
        let promised = self.acknowledged.range(seal.first..=seal.last).map(|(id, _)| *id);
        assert_eq!(delivered, promised.collect::<Vec<_>>());
        // Whatever the journal answers, the store has the records.
        let _ = journal.confirm(seal.last);
        self.confirmed = Some(seal.last);
        self.known = self.confirmed;
    }

    /// Checks that an open journal shows what was acknowledged and is not in the store, each record once, in order.
    pub(super) fn check_shown(&self, journal: &Open) {
        let shown: Vec<_> = journal.pending().into_iter().map(|record| (record.id, record.report.payload)).collect();
        let promised = self.acknowledged.iter().filter(|(id, _)| Some(**id) > self.known);
        assert_eq!(shown, promised.map(|(id, payload)| (*id, payload.clone())).collect::<Vec<_>>());
        assert_eq!(journal.recent.rows(), shown.len());
    }

    /// Checks what a journal that was just opened found, and takes over what it brought back.
    pub(super) fn check(&mut self, journal: &Open) {
        let found = &journal.recovered;
        self.known = found.confirmed;
        assert!(found.confirmed <= self.confirmed, "confirmed {:?}, not {:?}", found.confirmed, self.confirmed);
        let pending: BTreeMap<_, _> =
            journal.pending().into_iter().map(|record| (record.id, record.report.payload)).collect();
        assert_eq!(pending.len(), found.pending);
        self.check_nothing_missing(&pending, found);
        self.check_nothing_else(&pending);
        self.check_seals(found);
    }

    fn check_nothing_missing(&self, pending: &BTreeMap<RecordId, String>, found: &Recovered) {
        let promised = self.acknowledged.iter().filter(|(id, _)| Some(**id) > found.confirmed);
        for (id, payload) in promised {
            assert_eq!(pending.get(id), Some(payload), "record {id} was acknowledged");
        }
    }

    fn check_nothing_else(&mut self, pending: &BTreeMap<RecordId, String>) {
        let unanswered = std::mem::take(&mut self.unanswered);
        for (id, payload) in pending {
            if let Some(acknowledged) = self.acknowledged.get(id) {
                assert_eq!(acknowledged, payload);
                continue;
            }
            assert!(unanswered.contains(payload), "record {id} comes from nowhere");
            assert!(self.acknowledged.values().all(|other| other != payload), "record {id} came back twice");
            self.acknowledged.insert(*id, payload.clone());
        }
    }

    fn check_seals(&mut self, found: &Recovered) {
        for seal in self.seals.iter().filter(|seal| Some(seal.last) > found.confirmed) {
            assert!(found.sealed.contains(seal), "{seal:?} was answered");
        }
        let came_back = std::mem::take(&mut self.unanswered_seals);
        for seal in &found.sealed {
            if !self.seals.contains(seal) {
                assert!(came_back.contains(seal), "{seal:?} comes from nowhere");
                self.seals.push(*seal);
            }
        }
    }
}
