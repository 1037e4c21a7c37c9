//! `telemetrics query` and `export`, of a server that runs and of a store that none uses.

use std::fs;
use std::process::Command;

use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{Post, Process, Server};

use crate::seeds;
use crate::servers::{PROGRAM, accepted, embedded, records};

fn run(directory: &std::path::Path, args: &[&str]) -> Ended {
    Process::start(Command::new(PROGRAM).args(args).current_dir(directory), directory).wait()
}

const STATEMENT: &str = "SELECT count(*) AS n, max(severity) AS worst FROM records";

#[test]
fn a_server_that_runs_is_asked() {
    let server = embedded();
    let posted = seeds::post(&server).len();
    let dir = tempfile::tempdir().expect("a directory");
    let url = server.url("/");
    let csv = run(dir.path(), &["query", STATEMENT, "--format", "csv", "--server", &url]);
    assert_eq!(
        (csv.status.success(), csv.stdout.replace(char::from(13), "").trim_end()),
        (true, format!("n,worst\n{posted},4").as_str())
    );
    let table = run(dir.path(), &["query", STATEMENT, "--server", &url]);
    assert!(table.stdout.contains(&format!("| {posted}")) && table.stdout.ends_with("1 row"), "{}", table.stdout);
    let wrong = run(dir.path(), &["query", "DELETE FROM records", "--server", &url]);
    assert!(!wrong.status.success() && !wrong.stderr.is_empty(), "{wrong:?}");
    let file = dir.path().join("records.ndjson");
    let export = ["export", "--format", "ndjson", "--filter", "severity=4", "records.ndjson", "--server", &url];
    assert!(run(dir.path(), &export).status.success());
    let lines = fs::read_to_string(&file).expect("a file").lines().count();
    assert_eq!(lines, records(&server, "severity=4").len());
}

#[test]
fn an_answer_that_fails_leaves_no_file() {
    let server = embedded();
    let dir = tempfile::tempdir().expect("a directory");
    let url = server.url("/");
    for args in [
        ["export", "--filter", "severity=9", "x.parquet", "--server", url.as_str()],
        ["export", "--filter", "severity=1", "x.parquet", "--server", "http://127.0.0.1:1/"],
    ] {
        let ended = run(dir.path(), &args);
        assert!(!ended.status.success() && ended.stderr.contains("telemetrics: "), "{ended:?}");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).expect("a directory").filter_map(Result::ok).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("parquet")), "{left:?}");
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".telemetrics-")), "{left:?}");
}

#[test]
fn a_store_that_no_server_uses_is_asked() {
    let mut server: Server = embedded();
    for build in ["1", "2", "3"] {
        accepted(&server, &Post::default().with("build", build));
    }
    let data = server.data_dir();
    let data = data.to_str().expect("a path");
    let dir = tempfile::tempdir().expect("a directory");
    let busy = run(dir.path(), &["query", STATEMENT, "--data-dir", data]);
    assert!(!busy.status.success(), "a server uses it: {}", busy.stdout);
    server.kill();
    let counted = run(dir.path(), &["query", STATEMENT, "--format", "ndjson", "--data-dir", data]);
    assert_eq!(counted.stdout.trim_end(), r#"{"n":3,"worst":1}"#, "{}", counted.stderr);
    let exported = run(dir.path(), &["export", "--from", "2020-01-01", "all.parquet", "--data-dir", data]);
    assert!(exported.status.success(), "{}", exported.stderr);
    assert!(fs::read(dir.path().join("all.parquet")).expect("a file").starts_with(b"PAR1"));
    let nothing = run(dir.path(), &["query", STATEMENT, "--data-dir", "nowhere"]);
    assert!(!nothing.status.success() && nothing.stderr.contains("no store"), "{}", nothing.stderr);
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn a_terminal_shows_a_bar_and_a_file_nothing() {
    let server = embedded();
    let posted = seeds::post(&server).len();
    let dir = tempfile::tempdir().expect("a directory");
    let export = format!("'{PROGRAM}' export all.parquet --server {}", server.url("/"));
    // What it is told to run has a terminal of its own.
    let mut script = Command::new("script");
    let shown = script.args(["-qec", &export, "/dev/null"]).current_dir(dir.path());
    let shown = Process::start(shown, dir.path()).wait();
    let whole = format!("[##############################] 100 %  {posted} of {posted} records, ");
    assert!(shown.status.success() && shown.stdout.contains(&whole), "{shown:?}");
    let args = ["export", "all.csv", "--format", "csv", "--server", &server.url("/")];
    let unseen = run(dir.path(), &args);
    assert!(unseen.status.success() && unseen.stderr.is_empty() && unseen.stdout.is_empty(), "{unseen:?}");
}
