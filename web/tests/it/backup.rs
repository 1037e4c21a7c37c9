//! Backups that are brought back: what was acknowledged is there, once, also where journal and store are not of one age.

use std::fs;
use std::path::Path;
use std::process::Command;

use telemetrics_testkit::process::signal;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::curation::{edit, saved};
use crate::servers::{PROGRAM, accepted, ended, ids, metric, records};

/// Batches are not closed by themselves within a test.
const SLOW: &str = "read_wait_ms = 30000\n[drain]\nbatch_age_ms = 3600000\n";
/// They are closed at once.
const QUICK: &str = "read_wait_ms = 30000\n[drain]\nbatch_age_ms = 100\n";

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success());
}

fn post(server: &Server, number: usize) -> Vec<u64> {
    (0..number).map(|_| accepted(server, &Post::default())).collect()
}

/// Newest first.
fn all(server: &Server) -> Vec<u64> {
    ids(&records(server, "limit=10000"))
}

fn newest_first(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids
}

fn on(data_dir: &Path, store: &[&str]) -> Server {
    let data_dir = data_dir.to_str().expect("text");
    Server::start_plain(PROGRAM, &[&["--listen", "127.0.0.1:0", "--data-dir", data_dir], store].concat())
}

fn configured(server: &mut Server, toml: &str) {
    fs::write(server.dir().join("telemetrics.toml"), toml).expect("written");
    server.restart();
}

fn deliver(server: &Server) {
    wait_until("all is delivered", || metric(server, "telemetrics_pending_records") == 0);
}

#[test]
fn a_copy_of_a_stopped_server_is_a_backup() {
    let mut server = Server::start_with_config(PROGRAM, SLOW, &[]);
    let posted = newest_first(post(&server, 20));
    server.terminate();
    let backup = tempfile::tempdir().expect("a directory");
    let copied = backup.path().join("data");
    copy(&server.data_dir(), &copied);
    drop(server);
    let restored = on(&copied, &[]);
    assert_eq!(all(&restored), posted);
    assert!(accepted(&restored, &Post::default()) > posted[0], "no identifier is given twice");
}

#[test]
fn a_copy_of_a_server_that_is_paused_is_a_backup() {
    let server = Server::start_with_config(PROGRAM, QUICK, &[]);
    let backup = tempfile::tempdir().expect("a directory");
    let mut posted = Vec::new();
    for round in 0..4 {
        posted.extend(post(&server, 15));
        let pid = server.process().pid().to_string();
        assert!(signal("STOP", &pid));
        let copied = backup.path().join(format!("data-{round}"));
        copy(&server.data_dir(), &copied);
        assert!(signal("CONT", &pid));
        assert_eq!(all(&on(&copied, &[])), newest_first(posted.clone()), "round {round}");
    }
}

fn older_journal(store: &[&str]) {
    let mut server = Server::start_with_config(PROGRAM, SLOW, store);
    let first = post(&server, 5);
    let backup = tempfile::tempdir().expect("a directory");
    let (journal, copied) = (server.data_dir().join("journal"), backup.path().join("journal"));
    server.kill();
    copy(&journal, &copied);
    configured(&mut server, QUICK);
    let second = post(&server, 5);
    deliver(&server);
    server.terminate();
    copy(&copied, &journal);
    server.restart();
    let third = post(&server, 5);
    deliver(&server);
    assert_eq!(all(&server), newest_first([first, second, third].concat()), "each of them once");
}

#[test]
fn an_older_journal_beside_a_newer_embedded_store_doubles_nothing() {
    older_journal(&[]);
}

#[test]
fn an_older_journal_beside_a_newer_database_doubles_nothing() {
    let url = format!("{}/{}", ClickHouse::shared().url(), ClickHouse::shared().create_database());
    older_journal(&["--clickhouse", &url]);
}

#[test]
fn what_an_older_store_lacks_comes_back_from_an_export() {
    let mut server = Server::start_with_config(PROGRAM, QUICK, &[]);
    let first = post(&server, 5);
    deliver(&server);
    server.terminate();
    let backup = tempfile::tempdir().expect("a directory");
    let (table, copied) = (server.data_dir().join("records"), backup.path().join("records"));
    copy(&table, &copied);
    server.restart();
    let second = post(&server, 5);
    deliver(&server);
    let export = backup.path().join("all.parquet");
    fs::write(&export, server.get("/api/export?format=parquet").body).expect("written");
    server.terminate();
    configured(&mut server, SLOW);
    let third = post(&server, 5);
    server.kill();
    copy(&copied, &table);
    server.restart();
    assert_eq!(
        all(&server),
        newest_first([first.clone(), third.clone()].concat()),
        "what the journal has is delivered"
    );
    configured_after_stop(&mut server, QUICK);
    deliver(&server);
    server.terminate();
    let data_dir = server.data_dir();
    let import = ["import", export.to_str().expect("text"), "--data-dir", data_dir.to_str().expect("text")];
    let done = ended(&import);
    assert!(done.status.success() && done.stdout.contains("5 imported, and read back"), "{done:?}");
    server.restart();
    assert_eq!(all(&server), newest_first([first, second, third].concat()));
}

fn configured_after_stop(server: &mut Server, toml: &str) {
    server.terminate();
    configured(server, toml);
}

#[test]
fn a_database_comes_back_from_its_own_backup_with_a_journal_that_was_copied_before_it() {
    let clickhouse = ClickHouse::start_with_backups();
    let database = clickhouse.create_database();
    let url = format!("{}/{database}", clickhouse.url());
    let mut server = Server::start_with_config(PROGRAM, SLOW, &["--clickhouse", &url]);
    let first = post(&server, 5);
    let hidden = serde_json::json!([{"change": "hidden", "function": "f()", "module": "m"}]);
    saved(&edit(&server, 0, &hidden));
    let backup = tempfile::tempdir().expect("a directory");
    let copied = backup.path().join("data");
    let pid = server.process().pid().to_string();
    assert!(signal("STOP", &pid));
    copy(&server.data_dir(), &copied);
    assert!(signal("CONT", &pid));
    configured_after_stop(&mut server, QUICK);
    let second = post(&server, 5);
    deliver(&server);
    assert!(clickhouse.query(&format!("BACKUP DATABASE {database} TO File('one')")).contains("BACKUP_CREATED"));
    server.terminate();
    clickhouse.query(&format!("DROP DATABASE {database} SYNC"));
    assert!(clickhouse.query(&format!("RESTORE DATABASE {database} FROM File('one')")).contains("RESTORED"));
    let restored = on(&copied, &["--clickhouse", &url]);
    deliver(&restored);
    wait_until("all of them are there, once", || {
        all(&restored) == newest_first([first.clone(), second.clone()].concat())
    });
    assert_eq!(restored.get_json("/api/curation")["sequence"], 1);
}
