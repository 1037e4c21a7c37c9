//! Servers for tests, on both stores, and the few questions that most tests ask of them.

use std::process::Command;

use serde_json::Value;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Process, Server};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_telemetrics");

/// A machine that builds at the same time must not make an answer come without what is pending.
const PATIENT: &str = "read_wait_ms = 30000\n";

/// A server on the embedded store, without records.
pub(crate) fn embedded() -> Server {
    Server::start(PROGRAM, &[])
}

/// A server on a database of its own in the ClickHouse that all tests share, without records.
pub(crate) fn on_clickhouse() -> Server {
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    Server::start_with_config(PROGRAM, PATIENT, &["--clickhouse", &url])
}

/// Runs the program where it has to end by itself.
pub(crate) fn ended(args: &[&str]) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    Process::start(Command::new(PROGRAM).args(args).current_dir(dir.path()), dir.path()).wait()
}

/// Posts a record that has to be accepted, and gives its id.
pub(crate) fn accepted(server: &Server, post: &Post) -> u64 {
    id_of(&server.send(&post.in_headers()))
}

/// The id in an answer that has to be 201.
pub(crate) fn id_of(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 201, "{}", answer.text());
    json(answer)["id"].as_u64().expect("an id")
}

/// The body of an answer, which has to be JSON.
pub(crate) fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text()))
}

/// The value of a metric without labels.
pub(crate) fn metric(server: &Server, name: &str) -> u64 {
    let text = server.get("/metrics").text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

/// The records that `GET /api/records` answers to `query`.
pub(crate) fn records(server: &Server, query: &str) -> Vec<Value> {
    let mut answer = server.get_json(&format!("/api/records?{query}"));
    let Value::Array(records) = answer["records"].take() else { panic!("{query}: no list of records") };
    records
}

/// The ids of records, in their order.
pub(crate) fn ids(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["id"].as_u64().expect("an id")).collect()
}
