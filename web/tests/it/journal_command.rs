//! `telemetrics journal`: looks at what a server left behind, and repairs it only when it is told to.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use telemetrics_testkit::{Post, Server};

use crate::servers::{PROGRAM, accepted};

/// A store that nobody answers for, so that records stay in the journal.
const NO_STORE: [&str; 2] = ["--clickhouse", "http://127.0.0.1:1"];

fn journal(command: &[&str], directory: &Path) -> Output {
    let mut program = Command::new(PROGRAM);
    program.arg("journal").args(command).arg(directory).stdin(Stdio::null()).output().expect("the program runs")
}

fn says(output: &Output) -> String {
    [output.stdout.as_slice(), &output.stderr].concat().iter().map(|byte| char::from(*byte)).collect()
}

fn assert_ends(output: &Output, code: i32, with: &str) {
    let text = says(output);
    assert!(output.status.code() == Some(code) && text.contains(with), "{:?}: {text}", output.status.code());
}

fn segment(data: &Path) -> PathBuf {
    data.join("journal").join("0000000000000001.journal")
}

#[test]
fn a_damaged_journal_is_told_repaired_and_used_again() {
    let mut server = Server::start_with_config(PROGRAM, "", &NO_STORE);
    for n in 0..5 {
        accepted(&server, &Post::default().payload(format!("record {n}")));
    }
    let data = server.data_dir();
    assert_ends(&journal(&["inspect"], &data), 0, "a process uses the journal");
    server.kill();
    assert_ends(&journal(&["verify"], &data), 0, "5 records are readable, 5 of them not confirmed");
    assert_ends(&journal(&["repair"], &data), 0, "sound");
    let mut bytes = fs::read(segment(&data)).expect("a segment");
    let hit = bytes.windows(8).position(|eight| eight == b"record 2").expect("a payload");
    bytes[hit] ^= 1;
    fs::write(segment(&data), &bytes).expect("written");
    assert_ends(&journal(&["verify"], &data.join("journal")), 1, "1 record is lost");
    assert_ends(&journal(&["inspect"], &data), 0, "a frame with a wrong checksum");
    assert_ends(&journal(&["repair"], &data), 1, "--yes");
    assert!(fs::read(segment(&data)).expect("a segment") == bytes, "nothing is changed without being asked");
    assert_ends(&journal(&["repair", "--yes"], &data), 0, "repaired: 4 records are kept, 1 record is lost");
    assert!(fs::read(segment(&data).with_extension("journal.damaged")).expect("a copy") == bytes);
    assert_ends(&journal(&["verify"], &data), 0, "4 records are readable, 4 of them not confirmed");
    server.restart();
    accepted(&server, &Post::default());
    assert_ends(&journal(&["repair", "--yes"], &data), 0, "sound");
}

#[test]
fn who_stops_reading_changes_no_exit_code() {
    let directory = tempfile::tempdir().expect("a directory");
    let (out, reader) = UnixStream::pair().expect("a pair");
    drop(reader);
    let mut program = Command::new(PROGRAM);
    program.args(["journal", "inspect"]).arg(directory.path()).stdout(OwnedFd::from(out)).stderr(Stdio::piped());
    let output = program.output().expect("the program runs");
    assert!(output.status.success(), "{}", says(&output));
}

#[test]
fn what_is_no_directory_is_an_error_and_is_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    for command in [&["inspect"][..], &["verify"], &["repair", "--yes"]] {
        assert_ends(&journal(command, &missing), 1, "missing");
    }
    assert!(!missing.exists());
}
