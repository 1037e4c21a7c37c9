//! Deliveries into a store that refuses some records, is away now and then, and takes inserts later than it says.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};
use tokio_util::sync::CancellationToken;

use super::{Aside, Collected, Parts, Sink};
use crate::drain::Batch;
use crate::store::{Holding, StoreError};

/// How one call ends.
#[derive(Debug, Clone, Copy)]
enum Luck {
    Good,
    /// Nothing happens, and the outcome is unknown.
    Away,
    /// It happens, and the outcome is unknown.
    Silent,
    /// It happens so many calls later, and the outcome is unknown.
    Late(u64),
    /// The process dies in the middle of it; it happens.
    Dies,
}

/// A store that checks rows before it takes any, and takes a token once.
#[derive(Default)]
struct FakeStore {
    bad: BTreeSet<i64>,
    rows: BTreeMap<i64, u32>,
    tokens: HashSet<String>,
    inserts: u64,
    calls: u64,
    later: Vec<(u64, Batch)>,
    luck: Vec<Luck>,
    stop: CancellationToken,
}

impl FakeStore {
    fn next_luck(&mut self) -> Luck {
        self.calls += 1;
        let now = self.calls;
        let (due, later): (Vec<(u64, Batch)>, _) =
            std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, batch) in due {
            // A late insert has nobody who waits for its answer.
            let _ = self.take(&batch);
        }
        self.luck.pop().unwrap_or(Luck::Good)
    }

    fn take(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.tokens.contains(&batch.token()) {
            return Ok(());
        }
        if let Some(bad) = batch.records().iter().find(|record| self.bad.contains(&record.id.0)) {
            return Err(StoreError::Refused(format!("record {}", bad.id)));
        }
        self.tokens.insert(batch.token());
        batch.records().iter().for_each(|record| *self.rows.entry(record.id.0).or_default() += 1);
        Ok(())
    }
}

impl Sink for FakeStore {
    async fn insert(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.inserts += 1;
        let unknown = || StoreError::Unavailable("no answer".to_owned());
        match self.next_luck() {
            Luck::Good => self.take(batch),
            Luck::Away => Err(unknown()),
            Luck::Silent => self.take(batch).and(Err(unknown())),
            Luck::Late(calls) => {
                self.later.push((self.calls + calls, batch.clone()));
                Err(unknown())
            }
            Luck::Dies => {
                let _ = self.take(batch);
                self.stop.cancel();
                Err(unknown())
            }
        }
    }

    async fn holding(&mut self, batch: &Batch) -> Result<Holding, StoreError> {
        match self.next_luck() {
            Luck::Good => {}
            Luck::Dies => self.stop.cancel(),
            _ => return Err(StoreError::Unavailable("away".to_owned())),
        }
        let held: Vec<i64> = batch.records().iter().map(|r| r.id.0).filter(|id| self.rows.contains_key(id)).collect();
        Ok(match held.len() {
            0 => Holding::Nothing,
            all if all == batch.records().len() => Holding::All,
            _ => Holding::Some(held),
        })
    }
}

/// A quarantine that survives the process.
#[derive(Default)]
struct FakeQuarantine {
    kept: BTreeMap<RecordId, u32>,
    /// So many calls fail.
    full: u32,
}

impl Aside for FakeQuarantine {
    async fn keep(&mut self, record: Arc<Record>, _reason: String) -> Result<(), String> {
        if self.full > 0 {
            self.full -= 1;
            return Err("full".to_owned());
        }
        *self.kept.entry(record.id).or_default() += 1;
        Ok(())
    }

    async fn holding(&mut self, ids: Vec<RecordId>) -> Result<Vec<RecordId>, String> {
        Ok(ids.into_iter().filter(|id| self.kept.contains_key(id)).collect())
    }
}

fn batch(rows: i64) -> Batch {
    let record = |id| Arc::new(Record { id: RecordId(id), ts_reception: TimestampUs(id), report: Report::default() });
    Batch::of((1..=rows).map(record).collect()).expect("rows")
}

/// Delivers as often as the process is started again.
async fn deliver(store: &mut FakeStore, aside: &mut FakeQuarantine, batch: &Batch) {
    let mut unclear = false;
    loop {
        let stop = CancellationToken::new();
        store.stop = stop.clone();
        if (Parts { sink: store, aside, stop: &stop, unclear }).deliver(batch).await {
            return;
        }
        unclear = true;
    }
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future);
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        4 => Just(Luck::Good),
        1 => Just(Luck::Away),
        1 => Just(Luck::Silent),
        1 => (1_u64..9).prop_map(Luck::Late),
        1 => Just(Luck::Dies),
    ]
}

proptest! {
    #[test]
    fn every_record_gets_into_one_place_once(
        rows in 1_i64..40,
        bad in prop::collection::btree_set(1_i64..40, 0..6),
        luck in prop::collection::vec(luck(), 0..40),
        full in 0_u32..4,
    ) {
        let mut store = FakeStore { bad: bad.clone(), luck, ..FakeStore::default() };
        let mut aside = FakeQuarantine { full, ..FakeQuarantine::default() };
        run(async {
            deliver(&mut store, &mut aside, &batch(rows)).await;
            // What comes late comes now.
            for _ in 0..10 {
                store.next_luck();
            }
        });
        for id in 1..=rows {
            let stored = store.rows.get(&id).copied().unwrap_or(0);
            let kept = u32::from(aside.kept.contains_key(&RecordId(id)));
            prop_assert_eq!((stored, kept), if bad.contains(&id) { (0, 1) } else { (1, 0) }, "record {}", id);
        }
    }
}

#[test]
fn a_batch_that_is_taken_costs_one_insert_and_no_question() {
    let (mut store, mut aside) = (FakeStore::default(), FakeQuarantine::default());
    run(deliver(&mut store, &mut aside, &batch(1_000)));
    assert_eq!((store.calls, store.inserts), (1, 1));
}

#[test]
fn one_refused_record_of_a_thousand_costs_twenty_one_inserts() {
    let (mut store, mut aside) = (FakeStore { bad: [700].into(), ..FakeStore::default() }, FakeQuarantine::default());
    run(deliver(&mut store, &mut aside, &batch(1_000)));
    assert_eq!(store.inserts, 21, "ten halvings of two parts, and the whole");
    assert_eq!(aside.kept.into_keys().collect::<Vec<_>>(), [RecordId(700)]);
    assert_eq!(store.rows.len(), 999);
}

#[test]
fn a_record_in_the_quarantine_is_not_stored_even_when_the_store_would_take_it_now() {
    let mut store = FakeStore { bad: [3].into(), luck: vec![Luck::Good; 4], ..FakeStore::default() };
    let mut aside = FakeQuarantine::default();
    run(deliver(&mut store, &mut aside, &batch(5)));
    assert!(aside.kept.contains_key(&RecordId(3)));
    store.bad.clear();
    let stop = CancellationToken::new();
    run(async {
        let mut parts = Parts { sink: &mut store, aside: &mut aside, stop: &stop, unclear: true };
        assert!(parts.deliver(&batch(5)).await);
    });
    assert_eq!(store.rows.keys().copied().collect::<Vec<_>>(), [1, 2, 4, 5]);
}

#[test]
fn a_replay_tells_which_records_were_refused() {
    let mut store = FakeStore { bad: [2, 4].into(), ..FakeStore::default() };
    let (mut refused, stop) = (Collected::default(), CancellationToken::new());
    run(async {
        let mut parts = Parts { sink: &mut store, aside: &mut refused, stop: &stop, unclear: true };
        assert!(parts.deliver(&batch(4)).await);
    });
    assert_eq!(refused.0.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(store.rows.keys().copied().collect::<Vec<_>>(), [1, 3]);
}
