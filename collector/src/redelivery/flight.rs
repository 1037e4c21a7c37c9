//! Records that are being made durable, and who waits for the same ones; settled ones go into the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetrics_schema::{Record, RecordId, TimestampUs};
use tokio::sync::oneshot;

use super::fingerprint::Fingerprint;
use super::table::{Entry, Table};
use crate::journal::AppendError;

/// What a redelivery needs to know of the record that was accepted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    pub(super) id: RecordId,
    pub(super) ts_reception: TimestampUs,
}

/// What became of the record that arrived first.
pub(super) type Outcome = Result<First, AppendError>;

/// What to do with a report.
pub(super) enum Admission {
    /// Nobody has sent it before: make it durable, then settle the ticket.
    Fresh(Ticket),
    /// It was accepted before.
    Known(First),
    /// An equal one is being made durable.
    InFlight(oneshot::Receiver<Outcome>),
}

/// What is known of every fingerprint.
pub(super) struct Flights {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) table: Table,
    /// Those that wait for each record that is being made durable.
    waiting: HashMap<Fingerprint, Vec<oneshot::Sender<Outcome>>>,
}

/// The duty to say what became of a report; when it is dropped, those who wait are told that there is no outcome.
pub(super) struct Ticket {
    flights: Arc<Flights>,
    fingerprint: Fingerprint,
    is_settled: bool,
}

impl Flights {
    pub(super) fn new(table: Table) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { table, waiting: HashMap::new() }) })
    }

    /// Says what to do with a report at `now`.
    pub(super) fn admit(self: &Arc<Self>, fingerprint: Fingerprint, now: TimestampUs) -> Admission {
        let mut state = self.lock();
        if let Some(Entry { id, ts_reception, .. }) = state.table.find(fingerprint, now) {
            return Admission::Known(First { id, ts_reception });
        }
        match state.waiting.entry(fingerprint) {
            Vacant(place) => {
                place.insert(Vec::new());
                Admission::Fresh(Ticket { flights: Arc::clone(self), fingerprint, is_settled: false })
            }
            Occupied(mut waiting) => {
                let (sender, outcome) = oneshot::channel();
                // A sender that gives up and comes again must not leave something behind each time.
                waiting.get_mut().retain(|sender| !sender.is_closed());
                waiting.get_mut().push(sender);
                Admission::InFlight(outcome)
            }
        }
    }

    /// Reports that are being made durable.
    pub(super) fn in_flight(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two steps that belong together, so a poisoned lock guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody what became of a report; a record is remembered if it is young enough at `now`.
    fn settle(&self, fingerprint: Fingerprint, outcome: &Outcome, now: TimestampUs) {
        let waiting = {
            let mut state = self.lock();
            if let Ok(First { id, ts_reception }) = *outcome {
                state.table.insert(Entry { fingerprint, id, ts_reception }, now);
            }
            state.waiting.remove(&fingerprint).unwrap_or_default()
        };
        for sender in waiting {
            // Who stopped waiting does not want the answer.
            let _ = sender.send(outcome.clone());
        }
    }
}

impl Ticket {
    /// Tells everybody what became of the report.
    pub(super) fn settle(mut self, outcome: &Result<Arc<Record>, AppendError>) {
        self.is_settled = true;
        let first = |record: &Arc<Record>| First { id: record.id, ts_reception: record.ts_reception };
        let outcome = outcome.as_ref().map(first).map_err(Clone::clone);
        // The reception is the present as the journal knew it; what is too old is judged again at every search.
        let now = outcome.as_ref().map_or(TimestampUs(0), |first| first.ts_reception);
        self.flights.settle(self.fingerprint, &outcome, now);
    }

    /// Tells everybody that the report was accepted as `first`, long before `now` perhaps.
    pub(super) fn settle_at(mut self, first: First, now: TimestampUs) {
        self.is_settled = true;
        self.flights.settle(self.fingerprint, &Ok(first), now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_settled {
            self.flights.settle(self.fingerprint, &Err(AppendError::Closed), TimestampUs(0));
        }
    }
}

#[cfg(test)]
impl Flights {
    /// How many wait for the same report, where they are most.
    pub(super) fn waiting_for_most(&self) -> usize {
        self.lock().waiting.values().map(Vec::len).max().unwrap_or(0)
    }
}
