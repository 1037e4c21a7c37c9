//! How the program starts, what it says, and when it refuses to.

use std::fs;
use std::process::Command;

use telemetrics_testkit::{Post, Process, Server};

use crate::html::{one_text, page};
use crate::servers::{PROGRAM, accepted, embedded, ended, records};

const DEMO_RECORDS: usize = 2_000;

fn refused(args: &[&str]) -> String {
    let ended = ended(args);
    assert!(!ended.status.success() && ended.status.code().is_some(), "{ended:?}");
    ended.stderr
}

#[test]
fn without_a_command_it_serves_from_the_working_directory() {
    let server = Server::start_plain(PROGRAM, &["--listen", "127.0.0.1:0"]);
    accepted(&server, &Post::default());
    assert_eq!(records(&server, "").len(), 1);
    assert!(server.dir().join("telemetrics-data").is_dir());
}

#[test]
fn it_says_where_everything_is() {
    let server = embedded();
    let said = |word: &str| server.process().wait_for_output(|line| line.contains(word).then(|| line.to_owned()));
    assert!(said("pages").ends_with(&server.url("/telemetryui/")));
    assert!(said("API").ends_with(&server.url("/api/records")));
    assert!(said("probes").ends_with(&server.url("/v2/collector")));
    assert!(said("data  ").ends_with(&server.data_dir().display().to_string()));
}

/// Its thread is one of the settings, and exists only where the allocator found them.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_allocator_has_its_settings() {
    let server = embedded();
    let threads = fs::read_dir(format!("/proc/{}/task", server.process().pid())).expect("its threads");
    let names =
        threads.map(|thread| fs::read_to_string(thread.expect("a thread").path().join("comm")).expect("a name"));
    let names: Vec<String> = names.collect();
    assert!(names.iter().any(|name| name.trim() == "jemalloc_bg_thd"), "{names:?}");
}

#[test]
fn who_watches_over_it_learns_that_it_lives_and_can_accept() {
    let server = embedded();
    for (path, said) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (200, said), "{path}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("telemetrics.toml");
    fs::write(&file, "# a file\nbody_limit_byte = 5\n").expect("written");
    let message = refused(&["--config", file.to_str().expect("text")]);
    for part in ["telemetrics.toml:2", "unknown key `body_limit_byte`", "nearest known key is `body_limit_bytes`"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn what_cannot_be_used_ends_it_with_a_reason() {
    let cases = [
        (["--listen", "nowhere"], "--listen"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--clickhouse", "nonsense"], "--clickhouse"),
        (["--data-dir", "/dev/null/x"], "/dev/null/x"),
        (["--no-such-option", "x"], "--no-such-option"),
    ];
    for (args, named) in cases {
        let message = refused(&args);
        assert!(message.contains(named), "{args:?}: {message}");
    }
}

#[test]
fn a_port_in_use_is_a_reason_to_end() {
    let server = embedded();
    let address = server.address().to_string();
    let message = refused(&["--listen", &address]);
    assert!(message.contains(&format!("cannot listen on {address}")), "{message}");
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let server = embedded();
    let id = accepted(&server, &Post::default());
    let data_dir = server.data_dir();
    let message = refused(&["--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().expect("text")]);
    assert!(message.contains("in use") && message.contains("telemetrics"), "{message}");
    let later = accepted(&server, &Post::default());
    assert!(later > id, "the first one goes on");
}

#[test]
fn the_demo_shows_its_records_and_leaves_nothing_behind() {
    let count = DEMO_RECORDS.to_string();
    let mut server = Server::start_plain(PROGRAM, &["demo", "--records", &count, "--listen", "127.0.0.1:0"]);
    // The oldest may have expired while they were invented.
    let invented = DEMO_RECORDS - 10..=DEMO_RECORDS;
    assert!(invented.contains(&records(&server, "").len()));
    let page = page(&server.get("/telemetryui/records"), 200);
    let total = one_text(&page, "p.total strong").replace(',', "");
    let total = total.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(invented.contains(&total), "{total}");
    accepted(&server, &Post::default());
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let left: Vec<_> = fs::read_dir(server.dir()).expect("its directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_configuration_is_checked_and_shown() {
    let example = ended(&["config", "example"]);
    assert!(example.status.success() && example.stdout.contains("[retention]"), "{}", example.stderr);
    let valid = ended(&["config", "check", "--listen", "127.0.0.1:1"]);
    assert_eq!((valid.status.success(), valid.stdout.as_str()), (true, "the configuration is valid"));
    let wrong = ended(&["config", "check", "--listen", "nowhere"]);
    assert!(!wrong.status.success() && wrong.stderr.contains("--listen"), "{}", wrong.stderr);
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(PROGRAM);
    command.args(["config", "show", "--listen", "127.0.0.1:1"]).current_dir(dir.path());
    command.env("TELEMETRICS_JOURNAL_QUOTA_BYTES", "9_000_000_000");
    let shown = Process::start(&mut command, dir.path()).wait();
    for line in
        ["listen = \"127.0.0.1:1\"  # --listen", "journal.quota_bytes = 9000000000  # TELEMETRICS_JOURNAL_QUOTA_BYTES"]
    {
        assert!(shown.stdout.lines().any(|shown| shown == line), "{}", shown.stdout);
    }
}
