//! Takes entries out of the quarantine into the store: decode again, seal, deliver, settle.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use telemetrics_schema::wire::{self, FieldError, Rules};
use telemetrics_schema::{Record, RecordId};
use tokio::sync::{mpsc, oneshot};

use super::shelf::of_store;
use super::{Entry, Quarantine, QuarantineFault};
use crate::drain::{Batch, Replay};
use crate::redelivery::Window;

/// Entries whose reasons an answer names, at most.
pub const REPLAY_ERRORS_MAX: usize = 100;

/// What is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// One entry.
    One(RecordId),
    /// Every entry that is promised to its sender.
    All,
}

/// What became of the entries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Replayed {
    /// Records that are in the store now, and no entries any more.
    pub replayed: u64,
    /// Entries that are no more because their probes sent them again and that was accepted: the store has, or gets, each
    /// record once, under the identifier of that time.
    pub redelivered: u64,
    /// Entries that break a rule still; they are as they were.
    pub invalid: u64,
    /// Entries that the store refused; they say so from now on.
    pub refused: u64,
    /// Why entries were not replayed, of the first [`REPLAY_ERRORS_MAX`].
    pub errors: Vec<NotReplayed>,
}

/// Why one entry was not replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotReplayed {
    /// The entry's number.
    pub id: i64,
    /// What is wrong with it.
    pub reasons: Vec<FieldError>,
}

impl Replayed {
    fn not_replayed(&mut self, id: RecordId, reasons: Vec<FieldError>) {
        if self.errors.len() < REPLAY_ERRORS_MAX {
            self.errors.push(NotReplayed { id: id.0, reasons });
        }
    }
}

/// Replays; clones share one turn.
#[derive(Clone)]
pub(crate) struct Replayer {
    pub(crate) quarantine: Quarantine,
    pub(crate) drain: mpsc::Sender<Replay>,
    pub(crate) window: Window,
}

impl Replayer {
    /// Ends what was sealed when the process stopped.
    pub(crate) async fn resume(self) -> Result<(), QuarantineFault> {
        let _turn = self.quarantine.shared.replaying.lock().await;
        self.finish_sealed().await
    }

    /// Replays entries by the present rules, one batch after the other.
    ///
    /// It must not be given up in the middle: whoever waits for it may go, it runs on.
    pub(crate) async fn replay(self, which: Which, rules: Arc<Rules>) -> Result<Replayed, QuarantineFault> {
        let _turn = self.quarantine.shared.replaying.lock().await;
        self.finish_sealed().await?;
        let mut outcome = Replayed::default();
        match which {
            Which::One(id) => self.replay_one(id, &rules, &mut outcome).await?,
            Which::All => self.replay_all(&rules, &mut outcome).await?,
        }
        Ok(outcome)
    }

    async fn replay_one(&self, id: RecordId, rules: &Rules, outcome: &mut Replayed) -> Result<(), QuarantineFault> {
        let entry = self.quarantine.entry(id).await?;
        if !entry.kind.is_promised() {
            let reason = format!("entry {id} was answered 400: its sender still has it, and it cannot be replayed");
            return Err(QuarantineFault::Invalid(reason));
        }
        self.replay_entries(vec![entry], rules, outcome).await
    }

    async fn replay_all(&self, rules: &Rules, outcome: &mut Replayed) -> Result<(), QuarantineFault> {
        let mut after = None;
        loop {
            let entries = self.quarantine.promised(after).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = Some(last.id);
            self.replay_entries(entries, rules, outcome).await?;
        }
    }

    async fn replay_entries(
        &self,
        entries: Vec<Entry>,
        rules: &Rules,
        outcome: &mut Replayed,
    ) -> Result<(), QuarantineFault> {
        // A batch never spans two days.
        let mut days: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for entry in entries {
            match decode(&entry, rules) {
                Ok(record) => days.entry(record.ts_reception.day()).or_default().push(record),
                Err(reasons) => {
                    outcome.invalid += 1;
                    outcome.not_replayed(entry.id, reasons);
                }
            }
        }
        for records in days.into_values() {
            self.replay_day(records, outcome).await?;
        }
        Ok(())
    }

    /// Delivers the records of one day, but those that came again and were accepted under other identifiers.
    async fn replay_day(&self, mut records: Vec<Record>, outcome: &mut Replayed) -> Result<(), QuarantineFault> {
        while !records.is_empty() {
            let mut claim = self.window.claim(records);
            let redelivered = std::mem::take(&mut claim.redelivered);
            let (number, sealed) = self.quarantine.seal(std::mem::take(&mut claim.fresh)).await?;
            self.window.settle(&mut claim, &sealed);
            outcome.redelivered += self.quarantine.forget(redelivered).await?;
            self.finish(number, sealed, false, outcome).await?;
            records = claim.undecided().await;
        }
        Ok(())
    }

    async fn finish_sealed(&self) -> Result<(), QuarantineFault> {
        match self.quarantine.sealed().await? {
            Some((number, records)) => self.finish(number, records, true, &mut Replayed::default()).await,
            None => Ok(()),
        }
    }

    /// Delivers a sealed batch and takes its entries out.
    async fn finish(
        &self,
        number: RecordId,
        records: Vec<Record>,
        sent_before: bool,
        outcome: &mut Replayed,
    ) -> Result<(), QuarantineFault> {
        let rows = records.len() as u64;
        // Nothing is sealed when all entries went meanwhile.
        let Some(batch) = Batch::of(records.into_iter().map(Arc::new).collect()) else { return Ok(()) };
        let (reply, refusals) = oneshot::channel();
        let order = Replay { batch, number, sent_before, reply };
        let stopped =
            || QuarantineFault::Unavailable("the server stops; the replay goes on at its next start".to_owned());
        self.drain.send(order).await.map_err(|_| stopped())?;
        let refused = refusals.await.map_err(|_| stopped())?;
        outcome.replayed += rows - refused.len() as u64;
        outcome.refused += refused.len() as u64;
        for (id, reason) in &refused {
            outcome.not_replayed(*id, vec![of_store(reason)]);
        }
        self.quarantine.settle(refused).await
    }
}

/// The entry's record by the present rules, received when it came first.
fn decode(entry: &Entry, rules: &Rules) -> Result<Record, Vec<FieldError>> {
    if let Some(request) = &entry.request {
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let report = wire::decode(&wire::Request { headers, body: &request.body }, rules)
            .map_err(|rejection| rejection.errors().into_owned())?;
        return Ok(Record { id: entry.id, ts_reception: entry.first_seen, report });
    }
    entry.record.clone().ok_or_else(|| entry.reasons.clone())
}
