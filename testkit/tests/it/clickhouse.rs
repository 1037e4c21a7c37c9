//! The ClickHouse of tests is a real server that keeps its data over a crash.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use telemetrics_testkit::ClickHouse;

#[test]
fn each_test_has_its_own_database() {
    let server = ClickHouse::shared();
    let (a, b) = (server.create_database(), server.create_database());
    assert_ne!(a, b);
    server.query(&format!("CREATE TABLE {a}.t (x Int64) ENGINE = MergeTree ORDER BY x"));
    server.query(&format!("INSERT INTO {a}.t VALUES (1), (2)"));
    assert_eq!(server.query(&format!("SELECT sum(x) FROM {a}.t")), "3\n");
    assert!(server.try_query(&format!("SELECT * FROM {b}.t")).is_err_and(|error| error.contains("UNKNOWN_TABLE")));
}

#[test]
fn data_survive_a_kill_and_a_restart_on_the_same_port() {
    let mut server = ClickHouse::start();
    let (database, url) = (server.create_database(), server.url());
    server.query(&format!("CREATE TABLE {database}.t (x Int64) ENGINE = MergeTree ORDER BY x"));
    server.query(&format!("INSERT INTO {database}.t VALUES (7)"));
    server.kill();
    assert!(server.try_query("SELECT 1").is_err());
    server.restart();
    assert_eq!(server.url(), url);
    assert_eq!(server.query(&format!("SELECT x FROM {database}.t")), "7\n");
}

#[test]
fn the_server_ends_and_cleans_up_when_its_parent_is_gone() {
    let dir = tempfile::tempdir().expect("a directory").keep();
    let library = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/test-tools/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so");
    let library = std::env::var_os(telemetrics_testkit::clickhouse::LIBRARY_VARIABLE).map_or(library, Into::into);
    let mut server = Command::new(env!("CARGO_BIN_EXE_clickhouse-testserver"))
        .args([library.as_os_str(), dir.as_os_str(), "0".as_ref()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a server");
    drop(server.stdin.take());
    wait_for(|| server.try_wait().expect("a state").is_some());
    assert!(!dir.exists());
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "the condition did not come true");
        thread::sleep(Duration::from_millis(10));
    }
}
