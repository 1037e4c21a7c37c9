//! Both stores with the corpus in them, loaded once for all tests, and how the two are asked the same.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_analytics::{Analytics, EmbeddedReader, Error, Limits, View};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, EmbeddedStore, Store};
use telemetrics_schema::attributes::{Attributes, Parsers};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, Record, TimestampUs};
use telemetrics_testkit::ClickHouse;
use tokio::runtime::Runtime;

use super::corpus;

/// Most records of a batch: days with many have several files.
const BATCH_RECORDS: usize = 4_096;
/// The last records, which the embedded store has in memory only.
const RECENT_RECORDS: usize = 500;

/// See the module.
pub(super) struct Stores {
    runtime: Runtime,
    /// What is in both, in the order of identifiers.
    pub(super) records: Vec<Arc<Record>>,
    table: PathBuf,
    recent: Recent,
    database: String,
    asked: Mutex<Vec<Arc<Asked>>>,
}

/// Attributes of texts that one side might read differently from the other.
pub(super) struct OddParsers;

impl Parsers for OddParsers {
    fn attributes(&self, records: &[&Record]) -> Vec<String> {
        records.iter().map(|record| odd_attributes(record).to_text()).collect()
    }
}

/// What both stores have as the attributes of a record.
pub(super) fn odd_attributes(record: &Record) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in [("build", &record.report.build), ("machine", &record.report.machine_id)] {
        attributes.insert(name, value);
    }
    attributes
}

/// Both stores as they are seen under a policy.
struct Asked {
    policy: RetentionPolicy,
    embedded: Analytics,
    remote: Analytics,
}

impl Stores {
    /// Those that all tests share.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Stores> = OnceLock::new();
        SHARED.get_or_init(|| Self::with("conformance", corpus::records(), RECENT_RECORDS))
    }

    /// Stores of these records, the last `recent` of which are in the memory of the embedded one; `name` is no other's.
    pub(super) fn with(name: &str, records: Vec<Arc<Record>>, recent: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let server = ClickHouse::shared();
        let parsers = Arc::new(OddParsers);
        let (in_memory, database) = (Recent::default().parsed_by(parsers.clone()), server.create_database());
        // Beside the server's files, it is gone with the process; tests that begin at one time have their own.
        let table = server.directory().join(format!("{name}-{database}"));
        let delivered = records.len() - recent;
        runtime.block_on(async {
            let embedded = EmbeddedStore::open(&table, CollectorNumber::default()).await.expect("a table");
            deliver(Store::Embedded(embedded.parsed_by(parsers.clone())), &records[..delivered]).await;
            let target = ClickHouseTarget { database: database.clone(), ..ClickHouseTarget::new(server.url()) };
            let remote = ClickHouseStore::new(&target, RetentionPolicy::off()).parsed_by(parsers);
            deliver(Store::ClickHouse(Box::new(remote)), &records).await;
        });
        in_memory.push(records[delivered..].iter().cloned());
        Self { runtime, records, table, recent: in_memory, database, asked: Mutex::default() }
    }

    /// What the embedded store and ClickHouse show at `now`.
    pub(super) fn views(&self, policy: &RetentionPolicy, now: TimestampUs) -> Views<'_> {
        let asked = self.asked(policy);
        let (embedded, remote) = self.runtime.block_on(async {
            let embedded = asked.embedded.at(now).await.expect("a view");
            (embedded, asked.remote.at(now).await.expect("a view"))
        });
        Views { runtime: &self.runtime, embedded, remote }
    }

    /// Opened once for each policy: footers of files and connections are kept.
    fn asked(&self, policy: &RetentionPolicy) -> Arc<Asked> {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = all.iter().find(|asked| asked.policy == *policy) {
            return Arc::clone(asked);
        }
        let limits = || Limits { retention: policy.clone(), ..Limits::default() };
        let reader = self.runtime.block_on(embedded_reader(&self.table, self.recent.clone()));
        let embedded = Analytics::embedded(reader, limits()).expect("analytics");
        let remote = Analytics::clickhouse(&self.settings(), limits()).expect("analytics");
        let asked = Arc::new(Asked { policy: policy.clone(), embedded, remote });
        all.push(Arc::clone(&asked));
        asked
    }

    /// The embedded store at [`corpus::NOW`], whose questions have these limits.
    pub(super) fn embedded_within(&self, limits: Limits) -> View {
        self.runtime.block_on(async {
            let reader = embedded_reader(&self.table, self.recent.clone()).await;
            let analytics = Analytics::embedded(reader, limits);
            analytics.expect("analytics").at(corpus::NOW).await.expect("a view")
        })
    }

    /// What everything is seen in, at [`corpus::NOW`].
    pub(super) fn all(&self) -> Views<'_> {
        self.views(&RetentionPolicy::off(), corpus::NOW)
    }

    /// Runs a question where both stores are connected.
    pub(super) fn block_on<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }

    /// A place for files that is gone with the process.
    pub(super) fn directory() -> &'static Path {
        ClickHouse::shared().directory()
    }

    /// Where the records are in ClickHouse.
    pub(super) fn settings(&self) -> ClickHouseSettings {
        let url = ClickHouse::shared().url();
        ClickHouseSettings { database: self.database.clone(), ..ClickHouseSettings::new(url) }
    }
}

async fn deliver(mut store: Store, records: &[Arc<Record>]) {
    store.prepare().await.expect("ready");
    for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        for batch in day.chunks(BATCH_RECORDS) {
            store.insert(&Batch::of(batch.to_vec()).expect("records")).await.expect("inserted");
        }
    }
}

async fn embedded_reader(table: &Path, recent: Recent) -> EmbeddedReader {
    EmbeddedReader::open(table, CollectorNumber::default(), recent).await.expect("a reader")
}

/// One instant of both stores.
pub(super) struct Views<'a> {
    runtime: &'a Runtime,
    pub(super) embedded: View,
    pub(super) remote: View,
}

impl Views<'_> {
    /// Runs a question where both stores are connected.
    pub(super) fn block_on<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }

    /// The answer of both stores. A question may be refused, by both in the same words; anything else fails the test.
    #[allow(clippy::needless_pass_by_value, reason = "a question is written where it is asked")]
    pub(super) fn equal<T: PartialEq + Debug>(
        &self,
        question: &impl Debug,
        ask: impl AsyncFn(&View) -> Result<T, Error>,
    ) -> Result<T, String> {
        self.runtime.block_on(async {
            let ours = outcome(question, ask(&self.embedded).await);
            let theirs = outcome(question, ask(&self.remote).await);
            assert!(ours == theirs, "{question:?}\n{}", difference(&ours, &theirs));
            ours
        })
    }

    /// As [`Views::equal`], of questions that nobody refuses.
    pub(super) fn answer<T: PartialEq + Debug>(
        &self,
        question: &impl Debug,
        ask: impl AsyncFn(&View) -> Result<T, Error>,
    ) -> T {
        self.equal(question, ask).unwrap_or_else(|refusal| panic!("{question:?}: {refusal}"))
    }
}

fn outcome<T>(question: &impl Debug, answer: Result<T, Error>) -> Result<T, String> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(refusal)) => Err(refusal),
        Err(error) => panic!("{question:?}: {error}"),
    }
}

/// Where the answers begin to differ: they may be long.
fn difference(ours: &impl Debug, theirs: &impl Debug) -> String {
    let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
    let same = ours.chars().zip(theirs.chars()).take_while(|(ours, theirs)| ours == theirs).count();
    let around = |text: &str| text.chars().skip(same.saturating_sub(300)).take(600).collect::<String>();
    format!("embedded: …{}…\nClickHouse: …{}…", around(&ours), around(&theirs))
}
