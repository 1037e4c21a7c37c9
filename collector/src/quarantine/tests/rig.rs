//! The real shelf and worker on the forgetful disk, driven step by step without a thread, and what the outside world
//! was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report};
use tokio::sync::{Semaphore, oneshot};

use super::super::entry::{Entry, Kind, RawRequest};
use super::super::shelf::Shelf;
use super::super::worker::{Content, Draft, Gauges, Job, Worker};
use super::super::{Filter, Kept, QuarantineError, QuarantineFault, QuarantineSettings, QuarantineStats};
use crate::journal::Names;
use crate::journal::tests::forgetful::Forgetful;
pub(super) use crate::testing::TestClock;

/// The smallest quarantine that there may be: segments of 64 KiB, half a mebibyte of entries.
pub(super) fn small() -> QuarantineSettings {
    QuarantineSettings { quota_bytes: 1 << 20, entries: 50, age_days: 3, ..QuarantineSettings::new("unused") }
}

pub(super) fn request(body: &str) -> RawRequest {
    let headers = vec![("severity".to_owned(), b"9".to_vec())];
    RawRequest { headers, body: body.as_bytes().to_vec().into() }
}

pub(super) fn reasons() -> Vec<FieldError> {
    vec![FieldError { field: "severity".to_owned(), reason: "must be from 1 to 4".to_owned() }]
}

/// The record that comes of a request once the rules allow it.
pub(super) fn record_of(entry: &Entry) -> Record {
    let body = entry.request.as_ref().map(|request| String::from_utf8_lossy(&request.body).into_owned());
    let report = Report { payload: body.unwrap_or_default(), ..Report::default() };
    Record { id: entry.id, ts_reception: entry.first_seen, report }
}

/// A quarantine that is open.
pub(super) struct Open {
    pub(super) worker: Worker<Forgetful>,
    gauges: Arc<Gauges>,
}

impl Open {
    pub(super) fn new(
        disk: &Forgetful,
        settings: &QuarantineSettings,
        clock: &Arc<TestClock>,
    ) -> Result<Self, QuarantineError> {
        let (shelf, _) = Shelf::open(disk.clone(), settings.clone())?;
        let names = Names::after(CollectorNumber::default(), shelf.greatest());
        let gauges = Arc::<Gauges>::default();
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        let group_bytes = settings.group_bytes();
        let worker = Worker { shelf, names, clock, gauges: Arc::clone(&gauges), group_bytes };
        Ok(Self { worker, gauges })
    }

    /// Keeps requests as one group.
    pub(super) fn keep(&mut self, kind: Kind, bodies: &[String]) -> Vec<Result<Kept, QuarantineFault>> {
        let budget = Arc::new(Semaphore::new(bodies.len()));
        let draft = |body: &String| {
            let (reply, outcome) = oneshot::channel();
            let permit = Arc::clone(&budget).try_acquire_owned().expect("enough permits");
            let content = Content::Request(request(body), reasons());
            (Draft { kind, content, permit, bytes: 1, reply: Some(reply) }, outcome)
        };
        let (drafts, outcomes): (Vec<_>, Vec<_>) = bodies.iter().map(draft).unzip();
        self.worker.keep_all(drafts);
        outcomes.into_iter().map(|mut outcome| outcome.try_recv().expect("an answer")).collect()
    }

    pub(super) fn keep_one(&mut self, kind: Kind, body: &str) -> Result<Kept, QuarantineFault> {
        self.keep(kind, &[body.to_owned()]).pop().expect("an answer")
    }

    pub(super) fn ask<T>(
        &mut self,
        job: impl FnOnce(super::super::worker::Reply<T>) -> Job,
    ) -> Result<T, QuarantineFault> {
        let (reply, mut outcome) = oneshot::channel();
        self.worker.process(job(reply));
        outcome.try_recv().expect("an answer")
    }

    pub(super) fn discard(&mut self, id: RecordId) -> Result<(), QuarantineFault> {
        self.ask(|reply| Job::Discard(id, reply))
    }

    /// Every entry, the oldest first, whole.
    pub(super) fn entries(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut before = None;
        loop {
            let filter = Filter { kind: None, before };
            let page = self.ask(|reply| Job::Page(filter, 7, reply)).expect("a page");
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            for summary in page {
                entries.push(self.ask(|reply| Job::Entry(summary.id, reply)).expect("an entry"));
            }
        }
        entries.reverse();
        entries
    }

    pub(super) fn stats(&self) -> QuarantineStats {
        self.gauges.read()
    }
}

/// A store as far as the quarantine matters: what was inserted, and how often.
pub(super) type StoreOfTest = BTreeMap<RecordId, (Record, u32)>;

/// What the outside world knows.
#[derive(Default)]
pub(super) struct World {
    /// What was promised: body and how often it was sent with success.
    pub(super) owed: BTreeMap<RecordId, (String, u64)>,
    /// Bodies that were sent as owed and not answered: may be there.
    unanswered: BTreeSet<String>,
    /// Entries whose discarding was not answered.
    perhaps_discarded: BTreeSet<RecordId>,
    /// Entries whose settling was not answered: their records are in the store, and they may be here still.
    perhaps_settled: BTreeSet<RecordId>,
    pub(super) store: StoreOfTest,
    bodies: u64,
}

impl World {
    pub(super) fn fresh(&mut self) -> String {
        self.bodies += 1;
        let padding = usize::try_from(self.bodies % 7).unwrap_or(0) * 1_500;
        format!("body {}{}", self.bodies, " ".repeat(padding))
    }

    /// Sends new requests that are owed afterwards, and the newest of them twice.
    pub(super) fn owe(&mut self, open: &mut Open, count: usize) {
        let mut bodies: Vec<String> = (0..count).map(|_| self.fresh()).collect();
        bodies.extend(bodies.last().cloned());
        for (body, outcome) in bodies.iter().zip(open.keep(Kind::Owed, &bodies)) {
            self.note(body, &outcome);
        }
    }

    /// Sends again what is owed: an answer may have been lost.
    pub(super) fn owe_again(&mut self, open: &mut Open, at: usize) {
        let Some(body) = self.owed.values().map(|(body, _)| body.clone()).nth(at) else { return };
        let outcome = open.keep_one(Kind::Owed, &body);
        self.note(&body, &outcome);
    }

    fn note(&mut self, body: &str, outcome: &Result<Kept, QuarantineFault>) {
        match outcome {
            Ok(Kept { id, .. }) => {
                self.unanswered.remove(body);
                let owed = self.owed.entry(*id).or_insert_with(|| (body.to_owned(), 0));
                assert_eq!(owed.0, body, "equal entries have one number");
                owed.1 += 1;
            }
            Err(QuarantineFault::Full(_)) => {}
            Err(_) if self.owed.values().any(|(other, _)| other == body) => {}
            Err(_) => _ = self.unanswered.insert(body.to_owned()),
        }
    }

    pub(super) fn prove(&mut self, open: &mut Open, count: usize) {
        let bodies: Vec<String> = (0..count).map(|_| self.fresh()).collect();
        // Nothing is promised about evidence.
        let _ = open.keep(Kind::Evidence, &bodies);
    }

    pub(super) fn discard(&mut self, open: &mut Open, at: usize) {
        let Some(id) = self.owed.keys().copied().nth(at) else { return };
        match open.discard(id) {
            Ok(()) => _ = self.owed.remove(&id),
            Err(QuarantineFault::NotFound(_)) => panic!("{id} was promised"),
            Err(QuarantineFault::Invalid(_)) => {}
            Err(_) => _ = self.perhaps_discarded.insert(id),
        }
    }

    /// Begins to replay the first entries, or goes on with what was begun.
    pub(super) fn replay(&mut self, open: &mut Open, rows: usize, goes_on: bool) {
        let sealed = open.ask(Job::Sealed).expect("read");
        let (number, records) = if let Some(sealed) = sealed {
            sealed
        } else {
            let entries = open.ask(|reply| Job::Promised(None, reply)).expect("read");
            let records = entries.iter().take(rows).map(record_of).collect();
            match open.ask(|reply| Job::Seal(records, reply)) {
                Ok((number, records)) if !records.is_empty() => (number, records),
                _ => return,
            }
        };
        assert!(records.windows(2).all(|pair| pair[0].id < pair[1].id) && number > records[records.len() - 1].id);
        if goes_on {
            self.deliver(open, records);
        }
    }

    fn deliver(&mut self, open: &mut Open, records: Vec<Record>) {
        let ids: Vec<_> = records.iter().map(|record| record.id).collect();
        for record in records {
            let there = self.store.entry(record.id).or_insert_with(|| (record.clone(), 0));
            // The drain asks the store what it has, which is why a record is never there twice; it must be the same.
            assert_eq!(there.0, record, "a replay is byte-identical");
            there.1 = 1;
        }
        let settled = open.ask(|reply| Job::Settle(Vec::new(), reply)).is_ok();
        for id in ids {
            if settled {
                self.owed.remove(&id);
            } else {
                self.perhaps_settled.insert(id);
            }
        }
    }

    /// Checks a quarantine that was just opened, and takes over what came back.
    pub(super) fn check(&mut self, open: &mut Open) {
        let sealed: BTreeSet<_> = open
            .ask(Job::Sealed)
            .expect("read")
            .map(|(_, records)| records.into_iter().map(|record| record.id).collect())
            .unwrap_or_default();
        let there: BTreeMap<RecordId, Entry> = open.entries().into_iter().map(|entry| (entry.id, entry)).collect();
        self.check_promises(&there);
        for (id, entry) in there.iter().filter(|(_, entry)| entry.kind.is_promised()) {
            self.take_over(*id, entry);
        }
        for id in std::mem::take(&mut self.perhaps_settled) {
            // What is in the store and here is still sealed, so that nobody makes a second record of it.
            assert!(!there.contains_key(&id) || sealed.contains(&id), "{id} is in the store and could be sent again");
            if !there.contains_key(&id) {
                self.owed.remove(&id);
            }
        }
    }

    fn check_promises(&mut self, there: &BTreeMap<RecordId, Entry>) {
        let discarded = std::mem::take(&mut self.perhaps_discarded);
        let settled = &self.perhaps_settled;
        self.owed.retain(|id, _| there.contains_key(id) || !discarded.contains(id));
        for (id, (body, _)) in self.owed.iter().filter(|(id, _)| !settled.contains(id)) {
            let entry = there.get(id).unwrap_or_else(|| panic!("{id} was promised"));
            assert_eq!(entry.request.as_ref().map(|r| r.body.as_ref()), Some(body.as_bytes()));
        }
    }

    fn take_over(&mut self, id: RecordId, entry: &Entry) {
        if self.owed.contains_key(&id) {
            return;
        }
        let body = String::from_utf8_lossy(&entry.request.as_ref().expect("a request").body).into_owned();
        assert!(self.unanswered.remove(&body), "{id} comes from nowhere");
        self.owed.insert(id, (body, entry.count));
    }
}
