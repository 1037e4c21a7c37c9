//! Probes that try again around replays, crashes and refusals: whatever the order, a record that was promised is in the
//! store once.

use std::sync::Arc;

use proptest::prelude::*;
use telemetrics_schema::{CollectorNumber, Record, RecordId};
use tokio::sync::mpsc;

use super::super::{Quarantine, QuarantineSettings, Replayer, Which};
use super::replays::{loose, report, telling};
use super::rig::{TestClock, reasons};
use crate::drain::Replay;
use crate::journal::Names;
use crate::redelivery::{Window, WindowSettings};
use crate::testing::NOON;

/// Different records.
const RECORDS: usize = 3;

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A probe sends the record while a rule forbids it.
    Forbidden(usize),
    /// The same with other reasons.
    ForbiddenOtherwise(usize),
    /// A probe sends the record when the rules allow it.
    Allowed(usize),
    /// The store takes what is in the journal.
    Deliver,
    /// The quarantine is replayed, and the store refuses so many of each batch.
    Replay {
        refused: usize,
    },
    /// The process dies within a replay, before or after the store has the batch.
    DieInReplay {
        arrived: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..RECORDS).prop_map(Step::Forbidden),
        1 => (0..RECORDS).prop_map(Step::ForbiddenOtherwise),
        4 => (0..RECORDS).prop_map(Step::Allowed),
        1 => Just(Step::Deliver),
        2 => (0..2_usize).prop_map(|refused| Step::Replay { refused }),
        2 => any::<bool>().prop_map(|arrived| Step::DieInReplay { arrived }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..24)
}

/// A process, and what outlives it.
struct World {
    directory: tempfile::TempDir,
    quarantine: Quarantine,
    window: Window,
    names: Names,
    /// Acknowledged records that the store does not have.
    journal: Vec<Arc<Record>>,
    store: Vec<Arc<Record>>,
    promised: [bool; RECORDS],
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (quarantine, window, names) = open(&directory, None, &[]);
        Self { directory, quarantine, window, names, journal: vec![], store: vec![], promised: [false; RECORDS] }
    }

    async fn restart(&mut self) {
        self.quarantine.shutdown().await;
        let last = self.journal.iter().chain(&self.store).map(|record| record.id).max();
        (self.quarantine, self.window, self.names) = open(&self.directory, last, &self.journal);
    }

    fn replayer(&self) -> (Replayer, mpsc::Receiver<Replay>) {
        let (drain, replays) = mpsc::channel(1);
        (Replayer { quarantine: self.quarantine.clone(), drain, window: self.window.clone() }, replays)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Forbidden(record) => {
                self.quarantine.keep_owed(telling(&payload(record)), reasons()).await.expect("kept");
                self.promised[record] = true;
            }
            Step::ForbiddenOtherwise(record) => {
                self.quarantine.keep_owed(telling(&payload(record)), Vec::new()).await.expect("kept");
                self.promised[record] = true;
            }
            Step::Allowed(record) => self.allowed(record).await,
            Step::Deliver => self.deliver().await,
            Step::Replay { refused } => self.replay(refused).await,
            Step::DieInReplay { arrived } => self.die_in_replay(arrived).await,
            Step::Restart => self.restart().await,
        }
    }

    async fn allowed(&mut self, record: usize) {
        let id = self.names.next(NOON);
        let append = |report| async move { Ok(Arc::new(Record { id, ts_reception: NOON, report })) };
        let accepted = self.window.accept(report(&payload(record)), append).await.expect("accepted");
        if !accepted.redelivered {
            self.journal.push(accepted.record);
        }
        self.promised[record] = true;
    }

    async fn deliver(&mut self) {
        self.window.delivered(&self.journal).await.expect("noted");
        self.store.append(&mut self.journal);
    }

    /// What the drain does with a batch; answers with what the store refuses.
    async fn take(&mut self, replay: &Replay, refused: usize) -> Vec<(RecordId, String)> {
        let (bad, good) = replay.batch.records().split_at(refused.min(replay.batch.records().len()));
        for record in good {
            // The store is asked what it has.
            if !self.store.iter().any(|there| there.id == record.id) {
                self.store.push(Arc::clone(record));
            }
        }
        self.window.delivered(replay.batch.records()).await.expect("noted");
        let is_there = |record: &&Arc<Record>| self.store.iter().any(|there| there.id == record.id);
        bad.iter().filter(|record| !is_there(record)).map(|record| (record.id, "no".to_owned())).collect()
    }

    async fn replay(&mut self, refused: usize) {
        let (replayer, mut replays) = self.replayer();
        let replaying = tokio::spawn(replayer.replay(Which::All, loose()));
        while let Some(replay) = replays.recv().await {
            let refused = self.take(&replay, refused).await;
            replay.reply.send(refused).expect("somebody waits");
        }
        replaying.await.expect("no panic").expect("replayed");
    }

    async fn die_in_replay(&mut self, arrived: bool) {
        let (replayer, mut replays) = self.replayer();
        let replaying = tokio::spawn(replayer.replay(Which::All, loose()));
        if let Some(replay) = replays.recv().await
            && arrived
        {
            self.take(&replay, 0).await;
        }
        drop(replays);
        let _ = replaying.await.expect("no panic");
        self.restart().await;
    }

    /// How often each record is in the store.
    fn stored(&self) -> [usize; RECORDS] {
        std::array::from_fn(|record| self.store.iter().filter(|there| there.report == report(&payload(record))).count())
    }
}

fn open(directory: &tempfile::TempDir, last: Option<RecordId>, journal: &[Arc<Record>]) -> (Quarantine, Window, Names) {
    let found = Quarantine::open(&QuarantineSettings::new(directory.path().join("quarantine"))).expect("opened");
    let sealed = found.sealed().expect("read").into_iter().map(Arc::new);
    let settings = WindowSettings::new(directory.path().join("redelivery"));
    let pending: Vec<_> = journal.iter().cloned().chain(sealed).collect();
    let (window, _) = Window::open(&settings, TestClock::new(), pending).expect("opened");
    let names = Names::after(CollectorNumber::default(), last.max(found.greatest_id()));
    (found.start(names.clone(), TestClock::new()).expect("started"), window, names)
}

fn payload(record: usize) -> String {
    format!("record {record}\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]
    #[test]
    fn a_record_that_was_promised_is_stored_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let world = runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.step(step).await;
                assert!(world.stored().iter().all(|count| *count <= 1), "{step:?}");
            }
            world.deliver().await;
            world.replay(0).await;
            world.quarantine.shutdown().await;
            world
        });
        prop_assert_eq!(world.stored().map(|count| count == 1), world.promised);
    }
}
