//! A load of records with known identities: who sends them, what was answered, and whether a store has what it has to.
//!
//! Senders behave like probes: what got no 201 is sent again, byte for byte, until it does; some give up on the way.

mod ledger;
mod sender;
mod stored;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use telemetrics_testkit::chance::SEED_VARIABLE;
use telemetrics_testkit::{Chance, Server, wait_until};

pub(crate) use ledger::Ledger;
use ledger::Sent;
use sender::{Sender, Style};
pub(crate) use stored::{Stored, in_clickhouse, in_server};

/// Senders of each style.
pub(crate) const SENDERS_PER_STYLE: usize = 4;

/// Small segments and batches, so that all that they go through happens all the time.
const BUSY: &str = "[journal]\nsegment_bytes = 4_194_304\n[drain]\nbatch_rows = 1_000\nbatch_age_ms = 10\n";

/// The seed of one test and what follows from it.
pub(crate) struct Plan {
    /// For the message of a failure: what it takes to make the same choices.
    pub(crate) context: String,
    pub(crate) chance: Chance,
    /// No other server accepts it: the port of a server that was killed may soon be that of another test's.
    pub(crate) telemetry_id: String,
}

impl Plan {
    /// Prints the seed, which a failing test shows.
    pub(crate) fn new() -> Self {
        let seed = Chance::seed();
        let context = format!("{SEED_VARIABLE}={seed}");
        println!("{context}");
        Self { context, chance: Chance::new(seed), telemetry_id: format!("load {} {seed}", std::process::id()) }
    }

    /// The configuration of a server for this load.
    pub(crate) fn config(&self) -> String {
        format!("telemetry_ids = [\"{}\"]\nread_wait_ms = 100\n{BUSY}", self.telemetry_id)
    }
}

/// What may become of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Faults {
    /// Connections break, and 503 with `Retry-After` is an answer.
    Expected,
    /// Every request is answered 201.
    Wrong,
}

/// Senders at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<Vec<Sent>>>,
}

/// What all senders share.
struct Shared {
    telemetry_id: String,
    faults: Faults,
    target: Mutex<Target>,
    changed: Condvar,
    records: AtomicU64,
    acknowledged: AtomicU64,
    unavailable: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    address: Option<SocketAddr>,
    finishing: bool,
}

impl Load {
    /// Senders that wait for an address.
    pub(crate) fn start(plan: &mut Plan, faults: Faults) -> Self {
        Self::start_with(plan, faults, SENDERS_PER_STYLE)
    }

    /// As [`Load::start`], with so many senders of each style.
    pub(crate) fn start_with(plan: &mut Plan, faults: Faults, senders_per_style: usize) -> Self {
        let shared = Arc::new(Shared {
            telemetry_id: plan.telemetry_id.clone(),
            faults,
            target: Mutex::new(Target { address: None, finishing: false }),
            changed: Condvar::new(),
            records: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            unavailable: AtomicU64::new(0),
        });
        let styles = (0..senders_per_style).flat_map(|_| Style::ALL);
        let senders = styles.map(|style| {
            let sender = Sender::new(Arc::clone(&shared), style, plan.chance.fork());
            thread::spawn(move || sender.run())
        });
        Self { senders: senders.collect(), shared }
    }

    /// The senders post to `server` from now on.
    pub(crate) fn aim_at(&self, server: &Server) {
        self.shared.aim(Some(server.address()));
    }

    /// The senders wait, once they have found out that nobody answers.
    pub(crate) fn hold(&self) {
        self.shared.aim(None);
    }

    /// Records that got 201, or were counted in the answer to a batch.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Relaxed)
    }

    /// Answers 503.
    pub(crate) fn unavailable(&self) -> u64 {
        self.shared.unavailable.load(Relaxed)
    }

    /// Waits until `more` records were acknowledged.
    pub(crate) fn wait_for(&self, more: u64) {
        let enough = self.acknowledged() + more;
        self.wait_until("acknowledged records", || self.acknowledged() >= enough);
    }

    /// As [`wait_until`]; a sender that found something wrong ends it.
    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn() -> bool) {
        let alive = || assert!(!self.senders.iter().any(JoinHandle::is_finished), "a sender found something wrong");
        wait_until(what, || {
            alive();
            condition()
        });
    }

    /// Ends when every sender has sent its last record, and gives all of them.
    pub(crate) fn finish(self) -> Ledger {
        self.shared.lock().finishing = true;
        self.shared.changed.notify_all();
        let sent = self.senders.into_iter().map(|sender| sender.join().expect("a sender that found nothing wrong"));
        Ledger::of(sent.flatten().collect())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aim(&self, address: Option<SocketAddr>) {
        self.lock().address = address;
        self.changed.notify_all();
    }

    fn is_finishing(&self) -> bool {
        self.lock().finishing
    }

    /// Waits until there is an address.
    fn address(&self) -> SocketAddr {
        let target = self.changed.wait_while(self.lock(), |target| target.address.is_none()).expect("no panic inside");
        target.address.expect("waited for")
    }

    /// The number of a new record.
    fn number(&self) -> u64 {
        self.records.fetch_add(1, Relaxed)
    }
}

/// Waits a part of a second that `chance` chooses: for load that is not always equal, and for faults at any moment.
pub(crate) fn pause(chance: &mut Chance, from_ms: u64, to_ms: u64) {
    thread::sleep(Duration::from_millis(chance.between(from_ms, to_ms)));
}
