//! Collector, pages and database as three processes.

use std::process::Command;

use telemetrics_testkit::{ClickHouse, Post, Process, Server};

use crate::servers::{PROGRAM, accepted, ids, records};

/// Records are in ClickHouse as soon as they are acknowledged.
const AT_ONCE: &str = "[drain]\nbatch_age_ms = 10\n";

#[test]
fn what_one_process_accepts_another_one_shows() {
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    let collector = Server::start_as(PROGRAM, "collector", AT_ONCE, &["--clickhouse", &url]);
    let web = Server::start_as(PROGRAM, "web", "", &["--clickhouse", &url]);
    let id = accepted(&collector, &Post::default());
    // Nothing tells the process of the pages what is on its way.
    let shown = std::iter::repeat_with(|| ids(&records(&web, ""))).find(|shown| !shown.is_empty());
    assert_eq!(shown, Some(vec![id]));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!((collector.get(path).status, web.get(path).status), (200, 200), "{path}");
    }
    assert!(collector.get("/metrics").text().contains("telemetrics_accepted_records_total 1\n"));
    assert!(!web.get("/metrics").text().contains("telemetrics_accepted_records_total"));
    assert_eq!((collector.get("/api/records").status, collector.get("/telemetryui/").status), (404, 404));
    assert_eq!(web.send(&Post::default().in_headers()).status, 405);
    assert_eq!(web.get("/api/quarantine").status, 404);
    assert!(!web.data_dir().exists(), "it keeps nothing");
}

#[test]
fn pages_are_not_ready_while_their_database_is_away() {
    let web = Server::start_as(PROGRAM, "web", "", &["--clickhouse", "http://127.0.0.1:9"]);
    assert_eq!((web.get("/healthz").status, web.get("/readyz").status), (200, 503));
    assert_eq!(web.get("/api/records").status, 503);
}

#[test]
fn the_embedded_store_belongs_to_a_whole_server() {
    for role in ["collector", "web"] {
        let dir = tempfile::tempdir().expect("a directory");
        let ended = Process::start(Command::new(PROGRAM).arg(role).current_dir(dir.path()), dir.path()).wait();
        assert!(!ended.status.success(), "{role}");
        let message = ended.stderr;
        assert!(message.contains(&format!("`telemetrics {role}` needs a ClickHouse server")), "{message}");
    }
}
