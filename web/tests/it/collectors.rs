//! Several collectors, each with its own number and journal, write into one ClickHouse.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use telemetrics_testkit::{ClickHouse, Post, Process, Server};

use crate::servers::{PROGRAM, accepted, ids, records};

/// Records that each collector gets.
const RECORDS: usize = 200;

fn start(database: &str, number: u8) -> Server {
    let config = format!("collector_number = {number}\nread_wait_ms = 30000\n[drain]\nbatch_age_ms = 50\n");
    let url = format!("{}/{database}", ClickHouse::shared().url());
    Server::start_with_config(PROGRAM, &config, &["--clickhouse", &url])
}

fn post(server: &Server, name: &str) -> BTreeSet<u64> {
    (0..RECORDS).map(|n| accepted(server, &Post::default().payload(format!("record {n} of {name}")))).collect()
}

#[test]
fn two_collectors_fill_one_table_with_every_record_once() {
    let database = ClickHouse::shared().create_database();
    let (first, mut second) = (start(&database, 7), start(&database, 63));
    let (of_first, mut of_second) = thread::scope(|scope| {
        let of_first = scope.spawn(|| post(&first, "the first"));
        let of_second = scope.spawn(|| post(&second, "the second"));
        (of_first.join().expect("posted"), of_second.join().expect("posted"))
    });
    // One of them dies with records in its journal, and comes back with its number.
    second.kill();
    second.restart();
    of_second.extend(post(&second, "the second, again"));
    assert_eq!((of_first.len(), of_second.len()), (RECORDS, 2 * RECORDS));
    for (number, ids) in [(7, &of_first), (63, &of_second)] {
        assert!(ids.iter().all(|id| (id >> 6) & 63 == number), "the number stands in each identifier");
    }
    // A question makes its own collector deliver; then all is there for both.
    let _ = (records(&first, "limit=1"), records(&second, "limit=1"));
    let all: BTreeSet<u64> = of_first.union(&of_second).copied().collect();
    let expected: Vec<u64> = all.into_iter().rev().collect();
    for server in [&first, &second] {
        assert_eq!(ids(&records(server, "limit=10000")), expected);
    }
    let sql = format!("SELECT count(), uniqExact(id), uniqExact(payload) FROM {database}.records");
    assert_eq!(ClickHouse::shared().query(&sql).trim_end(), format!("{0}\t{0}\t{0}", 3 * RECORDS));
}

#[test]
fn a_number_that_another_directory_has_is_refused() {
    let database = ClickHouse::shared().create_database();
    let mut first = start(&database, 5);
    let url = format!("{}/{database}", ClickHouse::shared().url());
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("telemetrics.toml");
    std::fs::write(&config, "collector_number = 5\nlisten = \"127.0.0.1:0\"\n").expect("written");
    let args = ["--config", config.to_str().expect("text"), "--clickhouse", &url];
    let refused = || Process::start(Command::new(PROGRAM).args(args).current_dir(dir.path()), dir.path()).wait();
    let ended = refused();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for part in ["collector number 5 belongs to another data directory", "set `collector_number`", "DROP TABLE"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    // Also while the first one is away: it will come back with what is in its journal.
    first.kill();
    assert_eq!(refused().status.code(), Some(1));
    first.restart();
    accepted(&first, &Post::default());
    assert_eq!(records(&first, "").len(), 1);
}
