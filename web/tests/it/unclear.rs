//! A batch whose outcome is unclear, and a ClickHouse that has some of it: what is missing arrives, and nothing twice.
//!
//! Rows go away as a server loses them that had not synced: it goes on knowing the token of their insert.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use telemetrics_collector::drain::Batch;
use telemetrics_collector::journal::{Ids, Journal, JournalSettings};
use telemetrics_collector::quarantine::QuarantineSettings;
use telemetrics_collector::redelivery::WindowSettings;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, Holding, Store};
use telemetrics_collector::{Collector, CollectorSettings, DrainSettings};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::{Clock, US_PER_DAY};
use telemetrics_schema::{CollectorNumber, Report, TimestampUs};
use telemetrics_testkit::ClickHouse;

/// More than every delivery takes.
const LIMIT: Duration = Duration::from_mins(5);
/// Records of a batch.
const ROWS: usize = 10;
const KEPT: &str = "kept/for/ever";

struct FixedClock(TimestampUs);

impl Clock for FixedClock {
    fn now(&self) -> TimestampUs {
        self.0
    }
}

/// A data directory, and a database that only it writes into.
struct Place {
    directory: tempfile::TempDir,
    database: String,
    policy: RetentionPolicy,
    clock: Arc<FixedClock>,
}

impl Place {
    /// Records are accepted so many days ago.
    fn new(policy: RetentionPolicy, age_days: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("behind 1970").as_micros();
        let now_us = i64::try_from(now).expect("before the year 294,247");
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(FixedClock(TimestampUs(now_us - age_days * US_PER_DAY)));
        Self { directory, database: ClickHouse::shared().create_database(), policy, clock }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A store whose table is there.
    async fn store(&self) -> Store {
        let url = ClickHouse::shared().url();
        let target = ClickHouseTarget { database: self.database.clone(), ..ClickHouseTarget::new(url) };
        let store = Store::ClickHouse(Box::new(ClickHouseStore::new(&target, self.policy.clone())));
        store.prepare().await.expect("a table");
        store
    }

    /// A process acknowledges records of two classes by turns and seals a batch of them; then it is gone.
    async fn sealed(&self) -> Batch {
        let (settings, recent) = (JournalSettings::new(self.path("journal")), Recent::default());
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (journal, _) = Journal::open(&settings, clock, ids(), recent.clone()).expect("a journal");
        let class = |n: usize| if n.is_multiple_of(2) { KEPT } else { "goes/with/time" };
        let report = |n| Report { classification: class(n).into(), payload: format!("{n}"), ..Report::default() };
        journal.append_many((0..ROWS).map(report).collect()).await.expect("acknowledged");
        let batch = Batch::of(recent.first_batch(usize::MAX, usize::MAX)).expect("records");
        assert_eq!(batch.records().len(), ROWS);
        journal.seal(*batch.seal()).await.expect("sealed");
        journal.shutdown().await;
        batch
    }

    /// The next process goes on with what the journal has, until it is delivered.
    async fn go_on(&self) {
        let settings = CollectorSettings {
            ids: ids(),
            journal: JournalSettings::new(self.path("journal")),
            quarantine: QuarantineSettings::new(self.path("quarantine")),
            redelivery: WindowSettings::new(self.path("redelivery")),
            drain: DrainSettings::default(),
        };
        let (recent, clock) = (Recent::default(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let store = self.store().await;
        let (collector, running, recovered) =
            Collector::start(settings, store, recent.clone(), clock).expect("started");
        assert_eq!(recovered.sealed.len(), 1, "the outcome of a batch is unclear");
        assert_eq!(collector.pending().flush(LIMIT).await, 0);
        running.stop(LIMIT).await;
        assert_eq!(recent.rows(), 0);
    }

    fn lose(&self, ids: &[i64]) {
        let list: Vec<String> = ids.iter().map(i64::to_string).collect();
        let database = &self.database;
        ClickHouse::shared().query(&format!(
            "ALTER TABLE {database}.records DELETE WHERE id IN ({}) SETTINGS mutations_sync = 2",
            list.join(",")
        ));
        assert!(self.stored().iter().all(|id| !ids.contains(id)));
    }

    /// Identifiers of all rows; one that is there twice is here twice.
    fn stored(&self) -> Vec<i64> {
        let ids = ClickHouse::shared().query(&format!("SELECT id FROM {}.records ORDER BY id", self.database));
        ids.lines().map(|id| id.parse().expect("a number")).collect()
    }
}

fn ids() -> Ids {
    Ids { collector: CollectorNumber::default(), above: None }
}

fn ids_of(batch: &Batch) -> Vec<i64> {
    batch.records().iter().map(|record| record.id.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_lost_of_a_batch_is_inserted_again_and_nothing_else() {
    let place = Place::new(RetentionPolicy::off(), 0);
    let batch = place.sealed().await;
    let (mut store, ids) = (place.store().await, ids_of(&batch));
    store.insert(&batch).await.expect("inserted");
    place.lose(&ids[3..6]);
    let held = [&ids[..3], &ids[6..]].concat();
    assert_eq!(store.holding(&batch).await.expect("an answer"), Holding::Some(held));
    place.go_on().await;
    assert_eq!(place.stored(), ids);
    assert_eq!(store.holding(&batch).await.expect("an answer"), Holding::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_not_taken_for_a_part_that_was_sent_before() {
    let place = Place::new(RetentionPolicy::off(), 0);
    let batch = place.sealed().await;
    let (mut store, ids) = (place.store().await, ids_of(&batch));
    // As a batch is sent of which the store refuses something.
    let (first, second) = batch.halves().expect("many records");
    store.insert(&first).await.expect("inserted");
    store.insert(&second).await.expect("inserted");
    place.lose(&ids_of(&first));
    store.insert(&first).await.expect("an answer");
    assert_eq!(place.stored(), ids_of(&second), "the server knows the token of rows that it lost");
    place.go_on().await;
    assert_eq!(place.stored(), ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_expired_counts_as_delivered_and_the_rest_of_its_batch_is_inserted() {
    let rules = vec![RetentionRule { matcher: Matcher::Classification(KEPT.to_owned()), days: 0 }];
    let place = Place::new(RetentionPolicy { default_days: 35, rules }, 36);
    let batch = place.sealed().await;
    let mut store = place.store().await;
    store.insert(&batch).await.expect("inserted");
    place.lose(&ids_of(&batch));
    let (kept, expired): (Vec<_>, Vec<_>) =
        batch.records().iter().partition(|record| record.report.classification == KEPT);
    let expired: Vec<i64> = expired.iter().map(|record| record.id.0).collect();
    assert_eq!(store.holding(&batch).await.expect("an answer"), Holding::Some(expired));
    place.go_on().await;
    assert_eq!(place.stored(), kept.iter().map(|record| record.id.0).collect::<Vec<_>>());
    assert_eq!(store.holding(&batch).await.expect("an answer"), Holding::All);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_expired_as_a_whole_is_not_inserted_again() {
    let place = Place::new(RetentionPolicy::days(35), 36);
    let batch = place.sealed().await;
    assert_eq!(place.store().await.holding(&batch).await.expect("an answer"), Holding::All);
    place.go_on().await;
    assert_eq!(place.stored(), Vec::<i64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_not_expired_is_inserted() {
    let place = Place::new(RetentionPolicy::days(35), 34);
    let batch = place.sealed().await;
    assert_eq!(place.store().await.holding(&batch).await.expect("an answer"), Holding::Nothing);
    place.go_on().await;
    assert_eq!(place.stored(), ids_of(&batch));
}
