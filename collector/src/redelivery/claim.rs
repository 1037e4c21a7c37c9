//! Records that have their identifiers already: the quarantine replays what it once answered for.
//!
//! Their probes may have sent them again since the rules were loosened, or may do so at any moment. So a replay asks the
//! window first, and holds equal reports up for as long as it takes to seal its batch; from then on they are answered
//! with the identifier of the entry.

use std::collections::HashMap;

use telemetrics_schema::{Record, RecordId};
use tokio::sync::oneshot;

use super::flight::{Admission, First, Outcome, Ticket};
use super::{Shared, Window};

/// What the window knows of records that have their identifiers already.
#[derive(Default)]
pub(crate) struct Claim {
    /// Those that nobody else has sent: make them durable, then [`Claim::settle`].
    pub(crate) fresh: Vec<Record>,
    /// Those whose equals were accepted under other identifiers: they must not be stored again.
    pub(crate) redelivered: Vec<RecordId>,
    /// One for each of `fresh` whose redeliveries can be told and that the window does not know.
    tickets: HashMap<RecordId, Ticket>,
    /// Those whose equals are being made durable by others, or are among `fresh`.
    undecided: Vec<(oneshot::Receiver<Outcome>, Record)>,
}

impl Window {
    /// Says what is known of `records`, without waiting.
    pub(crate) fn claim(&self, records: Vec<Record>) -> Claim {
        let mut claim = Claim::default();
        for record in records {
            claim.add(&self.shared, record);
        }
        claim
    }

    /// Ends a claim: the window knows `durable` from now on, and who waits for one of them is answered. Who waits for
    /// another one of the claim is told that it failed.
    pub(crate) fn settle(&self, claim: &mut Claim, durable: &[Record]) {
        let now = self.shared.clock.now();
        for Record { id, ts_reception, .. } in durable {
            if let Some(ticket) = claim.tickets.remove(id) {
                ticket.settle_at(First { id: *id, ts_reception: *ts_reception }, now);
            }
        }
        claim.tickets.clear();
    }
}

impl Claim {
    fn add(&mut self, shared: &Shared, record: Record) {
        let Some(fingerprint) = shared.fingerprint(&record.report) else {
            self.fresh.push(record);
            return;
        };
        match shared.flights.admit(fingerprint, shared.clock.now()) {
            Admission::Fresh(ticket) => {
                self.tickets.insert(record.id, ticket);
                self.fresh.push(record);
            }
            // It is on its second way to the store, after that refused it.
            Admission::Known(first) if first.id == record.id => self.fresh.push(record),
            Admission::Known(_) => self.redelivered.push(record.id),
            Admission::InFlight(outcome) => self.undecided.push((outcome, record)),
        }
    }

    /// The records that have to be claimed again, as soon as what they wait for is decided.
    pub(crate) async fn undecided(self) -> Vec<Record> {
        // What others wait for must not wait for what they have in flight.
        drop(self.tickets);
        let mut records = Vec::with_capacity(self.undecided.len());
        for (outcome, record) in self.undecided {
            // Whatever came of it, the window is asked again.
            let _ = outcome.await;
            records.push(record);
        }
        records
    }
}
