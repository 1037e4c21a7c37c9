//! Any order of inserts, maintenance, deaths and passing time against a plain list of records.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use telemetrics_schema::layout::rollup_file;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule, Subject};
use telemetrics_schema::rollups::HEARTBEAT;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{CollectorNumber, Record};

use super::super::EmbeddedStore;
use super::rig::{FailingFiles, Fault, NOON, Rig, batch_of, record};
use crate::store::{Holding, StoreError};

const CLASSES: [&str; 3] = ["a/b/c", "org.clearlinux/crash/clr", HEARTBEAT];

#[derive(Debug, Clone)]
enum Step {
    /// A batch of records with these classes and severities.
    Insert(Vec<(usize, i8)>),
    Maintain,
    /// The process dies after so many writes, and another one is started.
    Die(i64, bool),
    /// So many hours pass.
    Wait(i64),
    /// A power cut takes the name of a rollup file.
    Lose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..CLASSES.len(), 1..=4_i8), 1..30).prop_map(Step::Insert),
        2 => Just(Step::Maintain),
        2 => (0..12_i64, any::<bool>()).prop_map(|(operations, done)| Step::Die(operations, done)),
        1 => (1..40_i64).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Lose),
    ]
}

struct Model {
    rig: Rig,
    store: Option<EmbeddedStore>,
    records: BTreeMap<i64, Record>,
    next_id: i64,
}

impl Model {
    async fn new() -> Self {
        let rules = vec![
            RetentionRule { matcher: Matcher::Classification("a/b/*".into()), days: 1 },
            RetentionRule { matcher: Matcher::Severity(4), days: 0 },
        ];
        let mut rig = Rig::new(RetentionPolicy { default_days: 3, rules });
        rig.settings.checkpoint_commits = 4;
        rig.settings.file_target_bytes = 40_000;
        rig.settings.row_group_bytes = 10_000;
        rig.settings.merge_input_bytes = 500;
        let store = Some(rig.open().await);
        Self { rig, store, records: BTreeMap::new(), next_id: 1 }
    }

    fn store(&mut self) -> &mut EmbeddedStore {
        self.store.as_mut().expect("a store")
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Insert(rows) => {
                let records = self.new_records(&rows);
                self.store().insert(&batch_of(records)).await.expect("inserted");
            }
            Step::Maintain => self.maintain().await,
            Step::Die(operations, last_is_done) => self.die(operations, last_is_done).await,
            Step::Lose(number) => self.rig.lose_rollups(number),
            Step::Wait(hours) => self.rig.at(self.rig.now().0 + hours * US_PER_DAY / 24),
        }
    }

    async fn maintain(&self) {
        self.rig.maintain(self.store.as_ref().expect("a store")).await;
        for file in self.rig.files().await {
            assert!(self.rig.table().join(rollup_file(&file)).exists(), "{file}");
        }
    }

    fn new_records(&mut self, rows: &[(usize, i8)]) -> Vec<Arc<Record>> {
        let now = self.rig.now().0;
        let records: Vec<_> = (self.next_id..)
            .zip(rows)
            .map(|(id, (class, severity))| record(id, now, CLASSES[*class], *severity))
            .collect();
        self.next_id += i64::try_from(records.len()).expect("small");
        self.records.extend(records.iter().map(|record| (record.id.0, record.as_ref().clone())));
        records
    }

    /// A batch and a pass with files that die; then the drain does what it does after a restart.
    async fn die(&mut self, operations: i64, last_is_done: bool) {
        self.store = None;
        let records = self.new_records(&[(0, 4), (1, 2), (2, 2)]);
        let batch = batch_of(records);
        let files = Arc::new(FailingFiles::new(Fault::Death, operations, last_is_done));
        let outcome: Result<(), StoreError> = async {
            let mut store = EmbeddedStore::open_through(&self.rig.table(), CollectorNumber::default(), files).await?;
            store.insert(&batch).await?;
            self.rig.maintenance(&store).pass().await
        }
        .await;
        drop(outcome);
        let mut store = self.rig.open().await;
        if store.holding(&batch).await.expect("an answer") == Holding::Nothing {
            store.insert(&batch).await.expect("inserted");
        }
        self.store = Some(store);
    }

    /// Every record that is not expired is there, once and as it was; what is there beside them was there once.
    async fn check(&self) {
        let mut found: BTreeMap<i64, Record> = BTreeMap::new();
        for record in self.rig.records().await {
            assert_eq!(self.records.get(&record.id.0), Some(&record));
            assert!(found.insert(record.id.0, record).is_none(), "a record is there twice");
        }
        for record in self.records.values() {
            let Record { id, ts_reception, report } = record;
            let subject = Subject {
                classification: &report.classification,
                severity: report.severity,
                machine_id: &report.machine_id,
            };
            let last = self.rig.settings.policy.now().last_seen(&subject, *ts_reception);
            if last.is_none_or(|last| last >= self.rig.now()) {
                assert!(found.contains_key(&id.0), "record {id} is lost");
            }
        }
        self.rig.assert_sorted().await;
        self.rig.assert_rollups_agree("the model").await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled(steps in prop::collection::vec(step(), 1..16)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut model = Model::new().await;
            model.rig.at(NOON);
            for step in steps {
                model.take(step).await;
                model.check().await;
            }
            // Much later everything that ever expires is gone from the disk, and the rest is where it was.
            model.rig.at(model.rig.now().0 + 10 * US_PER_DAY);
            let store = model.store.take().expect("a store");
            let mut maintenance = model.rig.maintenance(&store);
            maintenance.pass().await.expect("a pass");
            model.rig.at(model.rig.now().0 + US_PER_DAY / 12);
            maintenance.pass().await.expect("a pass");
            model.check().await;
            let mut files = model.rig.files().await;
            files.sort();
            assert_eq!(model.rig.files_on_disk().into_iter().collect::<Vec<_>>(), files);
            model.rig.assert_rollups("the end").await;
        });
    }
}
