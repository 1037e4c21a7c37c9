//! Compaction beside everything else: with kills, with programs that open the table, with a reader that nobody asks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::journal::{Ids, JournalSettings};
use telemetrics_collector::quarantine::QuarantineSettings;
use telemetrics_collector::redelivery::WindowSettings;
use telemetrics_collector::store::{EmbeddedStore, MaintenanceSettings, Store};
use telemetrics_collector::{Collector, CollectorSettings, DrainSettings};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::Clock;
use telemetrics_schema::{CollectorNumber, Report, TimestampUs};
use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{Post, Server, wait_until};
use tokio::runtime::Runtime;

use crate::servers::{PROGRAM, ids, json, records};

/// Many small files in a short time.
pub(crate) const HASTY: &str = "[drain]\nbatch_age_ms = 10\nbatch_rows = 50\n";
const POSTERS: usize = 4;
const KILLS: usize = 3;

#[test]
fn a_server_that_is_killed_while_it_compacts_has_every_record_once() {
    let mut server = Server::start_with_config(PROGRAM, HASTY, &[]);
    let table = DataDir::new(server.data_dir()).records_table();
    let mut acknowledged = BTreeSet::new();
    for _ in 0..KILLS {
        let before = rewritten(&table);
        let (sender, receiver) = channel();
        let posters: Vec<_> = (0..POSTERS).map(|_| post_until_gone(server.address(), sender.clone())).collect();
        drop(sender);
        wait_until("a compaction", || !rewritten(&table).is_subset(&before));
        let seen_from_outside = Outside::default().count(&table);
        server.kill();
        for poster in posters {
            poster.join().expect("a poster");
        }
        acknowledged.extend(receiver.iter());
        server.restart();
        let kept = ids(&records(&server, "limit=10000"));
        let distinct: BTreeSet<u64> = kept.iter().copied().collect();
        assert_eq!(distinct.len(), kept.len(), "no record is there twice");
        assert!(acknowledged.is_subset(&distinct), "{:?}", acknowledged.difference(&distinct));
        assert!(seen_from_outside <= kept.len());
    }
    let kept = ids(&records(&server, "limit=10000")).len();
    wait_until("the delivery of everything", || Outside::default().count(&table) == kept);
}

fn post_until_gone(address: SocketAddr, sender: Sender<u64>) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(answer) = exchange(address, &Post::default().in_headers()) {
            assert_eq!(answer.status, 201, "{}", answer.text());
            sender.send(json(&answer)["id"].as_u64().expect("an id")).expect("a receiver");
        }
    })
}

/// Names of the files that were made from others.
pub(crate) fn rewritten(table: &Path) -> BTreeSet<String> {
    let days = std::fs::read_dir(table).expect("a table").flatten();
    let files = days.filter_map(|day| std::fs::read_dir(day.path()).ok()).flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    names.filter(|name| name.starts_with("rewritten-")).collect()
}

/// Another program that opens the table from scratch.
struct Outside {
    runtime: Runtime,
}

impl Default for Outside {
    fn default() -> Self {
        Self { runtime: Runtime::new().expect("a runtime") }
    }
}

impl Outside {
    fn count(&self, table: &Path) -> usize {
        self.runtime.block_on(async {
            let reader = EmbeddedReader::open(table, CollectorNumber::default(), Recent::default()).await;
            rows(&Analytics::embedded(reader.expect("a valid table"), Limits::default()).expect("an engine")).await
        })
    }
}

async fn rows(analytics: &Analytics) -> usize {
    let records = analytics.at(now()).await.expect("a view").records().expect("a plan");
    records.count().await.expect("a count")
}

fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    TimestampUs(i64::try_from(since.as_micros()).expect("before 292277"))
}

/// A clock that goes on by a second whenever it is read.
struct Hurrying(AtomicI64);

impl Clock for Hurrying {
    fn now(&self) -> TimestampUs {
        TimestampUs(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }
}

#[test]
fn a_reader_that_nobody_asked_for_long_finds_what_the_log_has_become() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path());
        let maintenance = MaintenanceSettings {
            sweep_interval: Duration::ZERO,
            log_age: Duration::ZERO,
            checkpoint_commits: 1,
            ..MaintenanceSettings::new(RetentionPolicy::days(0))
        };
        let store = EmbeddedStore::open(&data.records_table(), CollectorNumber::default()).await.expect("a table");
        let store = Store::Embedded(store.maintained(maintenance));
        let recent = Recent::default();
        let reader = EmbeddedReader::open(&data.records_table(), CollectorNumber::default(), recent.clone()).await;
        let clock = Arc::new(Hurrying(AtomicI64::new(now().0)));
        let (collector, running, _) = Collector::start(settings(&data), store, recent, clock).expect("started");
        for _ in 0..30 {
            collector.accept(Report::default()).await.expect("accepted");
            collector.pending().flush(Duration::from_mins(1)).await;
        }
        let oldest = data.records_table().join(format!("_delta_log/{:020}.json", 1));
        tokio::task::spawn_blocking(move || wait_until("the log to be cleaned", || !oldest.exists()))
            .await
            .expect("cleaned");
        running.stop(Duration::from_mins(1)).await;
        let analytics = Analytics::embedded(reader.expect("a table"), Limits::default()).expect("an engine");
        assert_eq!(rows(&analytics).await, 30);
    });
}

pub(crate) fn settings(data: &DataDir) -> CollectorSettings {
    CollectorSettings {
        ids: Ids { collector: CollectorNumber::default(), above: None },
        journal: JournalSettings::new(data.journal()),
        quarantine: QuarantineSettings::new(data.quarantine()),
        redelivery: WindowSettings::new(data.redelivery()),
        drain: DrainSettings { flush_distance: Duration::ZERO, ..DrainSettings::default() },
    }
}
