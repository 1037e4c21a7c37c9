//! Questions over rollups of the embedded store have the answers of its records, whenever the process died: in the middle
//! of an insert, of a merge, or of what retention does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use telemetrics_analytics::questions::contents::contents;
use telemetrics_analytics::{View, Window};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, Record, TimestampUs};
use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{Post, Server, wait_until};
use tokio::runtime::Runtime;

use crate::maintenance::{HASTY, rewritten};
use crate::rollup_questions;
use crate::rollups::{check_view, histories, policy, records, windows};
use crate::servers::PROGRAM;

/// Kills of one table.
const KILLS: usize = 6;
/// Latest moment of a kill, after the start, in milliseconds: merges of all days take longer.
const KILL_WITHIN_MS: u64 = 1_500;
/// Most records of a file, before it is merged: each day has enough of them for several merges.
const BATCH_RECORDS: usize = 20;
const POSTERS: usize = 2;

/// [`policy`], as the program reads it.
const RETENTION: &str = r#"
[retention]
default_days = 4
rules = [
    { classification = "org.clearlinux/hello/*", days = 1 },
    { classification = "org.clearlinux/heartbeat/ping", days = 3 },
    { severity = 2, days = 2 },
]
"#;

fn now() -> TimestampUs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    TimestampUs(i64::try_from(since.as_micros()).expect("in range"))
}

async fn insert(table: &Path, records: &[Arc<Record>]) {
    let mut store = Store::Embedded(EmbeddedStore::open(table, CollectorNumber::default()).await.expect("a table"));
    for day in records.chunk_by(|a, b| a.ts_reception.day() == b.ts_reception.day()) {
        for batch in day.chunks(BATCH_RECORDS) {
            store.insert(&Batch::of(batch.to_vec()).expect("a batch")).await.expect("inserted");
        }
    }
}

/// Posts crashes and heartbeats until the server is gone.
fn post_until_gone(address: SocketAddr, poster: usize) -> JoinHandle<()> {
    let payload =
        |stack: usize| format!("Process: /x\nPID: 1\nSignal: 11\n\nBacktrace (TID 1):\n#0 f{stack}() - [x]\n");
    thread::spawn(move || {
        for number in (poster..).step_by(POSTERS) {
            let post = Post::default().with("machine_id", format!("{}", number % 7));
            let post = post.with("build", format!("{}", 40_000 + number % 3)).with("system_name", "clear-linux-os");
            let post = match number % 4 {
                0 | 1 => post.with("classification", "org.clearlinux/crash/clr").payload(payload(number % 5)),
                _ => post.with("classification", "org.clearlinux/heartbeat/ping"),
            };
            let Ok(answer) = exchange(address, &post.in_headers()) else { break };
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    })
}

async fn stored(view: &View) -> Vec<Arc<Record>> {
    let batches = view.records().expect("a plan").collect().await.expect("records");
    batches.iter().flat_map(|batch| from_batch(batch).expect("records")).map(Arc::new).collect()
}

/// Compares what the table says, whose process is dead, of rollups and of records.
async fn ask(table: &Path, windows: &[Window], turn: usize, what: &str) {
    let (recent, now) = (Recent::default(), now());
    let view = rollup_questions::view(table, &recent, policy(), now).await;
    let records = stored(&view).await;
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    assert!(ids.len() == records.len() && ids.len() > BATCH_RECORDS, "{what}: each record is there once");
    check_view(&view, &records, &policy(), now, windows, what).await;
    rollup_questions::check_by_turns(&view, windows, turn, what).await;
}

/// How many records of a day are in the table, whether they are seen or not.
async fn rows_of(table: &Path, day: i32) -> u64 {
    let view = rollup_questions::view(table, &Recent::default(), RetentionPolicy::off(), now()).await;
    contents(&view, day..=day).await.expect("contents").values().map(|content| content.records).sum()
}

fn kill_and_ask(runtime: &Runtime, seed: u64, windows: &[Window], kills_ms: &[u64]) {
    let mut server = Server::start_with_config(PROGRAM, &format!("{HASTY}{RETENTION}"), &[]);
    let _ = server.terminate();
    let table = DataDir::new(server.data_dir()).records_table();
    let invented = records(seed, now());
    let first_day = invented[0].ts_reception.day();
    runtime.block_on(insert(&table, &invented));
    runtime.block_on(ask(&table, windows, 0, "before everything"));
    for (turn, pause_ms) in kills_ms.iter().enumerate() {
        server.restart();
        let posters: Vec<_> = (0..POSTERS).map(|poster| post_until_gone(server.address(), poster)).collect();
        thread::sleep(Duration::from_millis(*pause_ms));
        let _ = server.kill();
        for poster in posters {
            poster.join().expect("a poster");
        }
        runtime.block_on(ask(&table, &windows[..1], turn, &format!("killed after {pause_ms} ms")));
    }
    server.restart();
    wait_until("the end of the first day", || runtime.block_on(rows_of(&table, first_day)) == 0);
    wait_until("a merge", || !rewritten(&table).is_empty());
    let _ = server.terminate();
    runtime.block_on(ask(&table, windows, 1, "in the end"));
}

#[test]
fn questions_have_the_answers_of_the_records_whenever_the_process_died() {
    let (runtime, now) = (Runtime::new().expect("a runtime"), now());
    let strategy = (any::<u64>(), windows(now), prop::collection::vec(0..KILL_WITHIN_MS, KILLS));
    let outcome = TestRunner::new(histories(1)).run(&strategy, |(seed, windows, kills_ms)| {
        kill_and_ask(&runtime, seed, &windows, &kills_ms);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
