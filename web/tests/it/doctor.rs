//! `telemetrics doctor`: each thing that can be wrong is made wrong, and it says so.

use std::fs;
use std::process::Command;

use serde_json::Value;
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{Authority, ClickHouse, Post, Process, Server, SmallDisk, wait_until};

use crate::retention::{AGED, fill_embedded};
use crate::servers::{PROGRAM, accepted, embedded, ended, metric};

fn doctor(args: &[&str]) -> Ended {
    ended(&[&["doctor", "--format", "json"], args].concat())
}

/// The state of a check, what was seen and the advice.
fn found(ended: &Ended, check: &str) -> (String, String, String) {
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let checks = report["checks"].as_array().expect("checks");
    let finding = checks.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("no check {check}: {ended:?}"));
    let text = |key: &str| finding[key].as_str().expect("a text").to_owned();
    (text("state"), text("text"), text("advice"))
}

fn is_problem(ended: &Ended, check: &str, seen: &str) {
    let (state, text, advice) = found(ended, check);
    assert!(state == "problem" && text.contains(seen) && !advice.is_empty(), "{state}: {text}: {advice}");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
}

fn data_dir(server: &Server) -> String {
    server.data_dir().to_str().expect("text").to_owned()
}

#[test]
fn a_server_that_is_well_is_said_to_be_while_it_runs_and_after() {
    let mut server = embedded();
    accepted(&server, &Post::default());
    let dir = data_dir(&server);
    let running = ended(&["doctor", "--data-dir", &dir]);
    assert_eq!(running.status.code(), Some(0), "{running:?}");
    assert!(running.stdout.contains("a server uses it") && !running.stdout.contains("PROBLEM"), "{running:?}");
    let before: Vec<_> = names(&dir);
    server.terminate();
    let stopped = doctor(&["--data-dir", &dir]);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    assert!(found(&stopped, "clock").1.contains("the newest record is of"));
    assert_eq!(names(&dir), before, "nothing is left behind");
}

fn names(dir: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_wrong_setting_is_all_that_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("t.toml");
    fs::write(&file, "[journal]\nquota_bytes = 1\n").expect("written");
    is_problem(&doctor(&["--config", file.to_str().expect("text")]), "settings", "quota_bytes");
    fs::write(&file, "listen = \"0.0.0.0:80\"\nallow_anonymous = true\n").expect("written");
    let open = doctor(&["--config", file.to_str().expect("text"), "--data-dir", dir.path().to_str().expect("text")]);
    assert_eq!(found(&open, "settings").0, "warning");
    assert_eq!(open.status.code(), Some(0), "a warning is no failure");
}

#[test]
fn a_certificate_that_ends_is_said_in_time_and_one_that_is_over_or_for_nobody_is_a_problem() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let file = dir.path().join("t.toml");
    let with = |extensions: &str, days: &str| {
        let (certificate, key) = authority.issue_for(extensions, days);
        let (certificate, key) = (certificate.display(), key.display());
        let toml = format!("[tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n");
        fs::write(&file, toml).expect("written");
        doctor(&["--config", file.to_str().expect("text"), "--data-dir", dir.path().to_str().expect("text")])
    };
    let names = "subjectAltName=DNS:telemetry.example.org,IP:192.0.2.7,email:a@example.org";
    let (state, text, _) = found(&with(names, "60"), "certificate");
    assert_eq!(state, "ok");
    assert!(text.starts_with("for telemetry.example.org, 192.0.2.7 until 20") && text.contains("days"), "{text}");
    let soon = with(names, "2");
    assert_eq!((found(&soon, "certificate").0.as_str(), soon.status.code()), ("warning", Some(0)), "{soon:?}");
    is_problem(&with(names, "0"), "certificate", "it ended");
    is_problem(&with("basicConstraints=CA:FALSE", "60"), "certificate", "names no host");
    fs::write(&file, "[tls]\ncertificate_file = \"missing.pem\"\nkey_file = \"k\"\n").expect("written");
    let missing = doctor(&["--config", file.to_str().expect("text"), "--data-dir", "."]);
    is_problem(&missing, "certificate", "missing.pem");
}

#[test]
fn a_disk_that_is_full_is_a_problem() {
    let disk = SmallDisk::mount(32 << 20);
    let prefix = disk.prefix();
    let mut command = Command::new(&prefix[0]);
    command.args(&prefix[1..]).args([PROGRAM, "doctor", "--format", "json", "--data-dir"]).arg(disk.path());
    let full = Process::start(&mut command, disk.path()).wait();
    is_problem(&full, "disk", "free");
}

#[test]
fn a_damaged_journal_is_a_problem() {
    let mut server = Server::start_with_config(PROGRAM, "[drain]\nbatch_age_ms = 3600000\n", &[]);
    for _ in 0..3 {
        accepted(&server, &Post::default());
    }
    let dir = data_dir(&server);
    server.kill();
    let journal = server.data_dir().join("journal");
    let segment = fs::read_dir(&journal).expect("a journal").flatten().map(|entry| entry.path());
    let segment = segment.max_by_key(|path| fs::metadata(path).map_or(0, |data| data.len())).expect("a segment");
    let waiting = doctor(&["--data-dir", &dir]);
    assert!(found(&waiting, "journal").1.contains("3 records wait"), "{waiting:?}");
    let whole = fs::read(&segment).expect("bytes");
    let mut damaged = whole.clone();
    damaged[..64].fill(0xff);
    fs::write(&segment, &damaged).expect("written");
    is_problem(&doctor(&["--data-dir", &dir]), "journal", "");
    fs::write(&segment, &whole).expect("written");
    assert_eq!(found(&doctor(&["--data-dir", &dir]), "journal").0, "ok");
}

/// The smallest journal that there may be, and nothing that leaves it.
const SMALL_JOURNAL: &str = "body_limit_bytes = 1048576\n[journal]\nsegment_bytes = 4194304\nquota_bytes = 8388608\n[drain]\n\
                             batch_age_ms = 3600000\nbatch_bytes = 1073741824\n";

#[test]
fn a_journal_that_fills_up_is_said_before_records_are_refused_and_then() {
    let mut server = Server::start_with_config(PROGRAM, SMALL_JOURNAL, &[]);
    let post = || server.send(&Post::default().payload(vec![b'x'; 400_000]).in_headers()).status;
    assert_eq!(post(), 201);
    let dir = data_dir(&server);
    let config = server.dir().join("telemetrics.toml").to_str().expect("text").to_owned();
    let looked = || doctor(&["--config", &config, "--data-dir", &dir]);
    assert_eq!(found(&looked(), "journal").0, "ok");
    while post() == 201 {}
    assert_eq!(post(), 503);
    is_problem(&looked(), "journal", "a server uses it");
    server.kill();
    is_problem(&looked(), "journal", "% of its quota");
    // The same journal, where it may grow to more.
    let larger = SMALL_JOURNAL.replace("quota_bytes = 8388608", "quota_bytes = 12582912");
    fs::write(&config, larger).expect("written");
    let half = looked();
    assert_eq!((found(&half, "journal").0.as_str(), half.status.code()), ("warning", Some(0)), "{half:?}");
}

#[test]
fn what_should_be_deleted_from_the_embedded_store_is_said() {
    let mut server = embedded();
    server.kill();
    fill_embedded(&server.data_dir(), &AGED);
    let dir = data_dir(&server);
    let with = |retention: &str| {
        let config = server.dir().join("other.toml");
        fs::write(&config, retention).expect("written");
        found(&doctor(&["--config", config.to_str().expect("text"), "--data-dir", &dir]), "retention")
    };
    let (state, text, advice) = with("");
    assert!(state == "warning" && text.starts_with("1 records expired") && !advice.is_empty(), "{state}: {text}");
    // Expired for an hour: the next sweep may still be to come.
    assert_eq!(with("[retention]\ndefault_days = 400\nrules = []\n").0, "ok");
    assert_eq!(with("[retention]\ndefault_days = 399\nrules = []\n").0, "warning");
    assert_eq!(with("retention = \"off\"\n").0, "ok");
}

#[test]
fn a_store_that_is_damaged_or_away_is_a_problem() {
    let mut server = embedded();
    accepted(&server, &Post::default());
    wait_until("it is delivered", || metric(&server, "telemetrics_pending_records") == 0);
    let dir = data_dir(&server);
    server.terminate();
    let log = server.data_dir().join("records/_delta_log");
    for entry in fs::read_dir(&log).expect("a log").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "json") {
            fs::write(entry.path(), "nonsense\n").expect("written");
        }
    }
    is_problem(&doctor(&["--data-dir", &dir]), "store", "");
    is_problem(&doctor(&["--data-dir", &dir, "--clickhouse", "http://127.0.0.1:1/d"]), "store", "");
}

#[test]
fn a_database_is_looked_at_for_its_version_its_rights_and_its_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().to_str().expect("text").to_owned();
    let clickhouse = ClickHouse::shared();
    let url = |name: &str| format!("{}/{name}", clickhouse.url());
    let fresh = clickhouse.create_database();
    is_problem(&doctor(&["--data-dir", &dir, "--clickhouse", &url(&fresh)]), "store", "");
    assert!(ended(&["migrate", "--clickhouse", &url(&fresh)]).status.success());
    let well = doctor(&["--data-dir", &dir, "--clickhouse", &url(&fresh)]);
    assert_eq!((found(&well, "store").0.as_str(), found(&well, "rights").0.as_str()), ("ok", "ok"), "{well:?}");
    let row = "INSERT INTO NAME.records (id, ts_reception, classification, severity) VALUES (1, now64(6) - INTERVAL 50 DAY, 'a/b/c', 1)";
    clickhouse.query(&row.replace("NAME", &fresh));
    let old = doctor(&["--data-dir", &dir, "--clickhouse", &url(&fresh)]);
    assert_eq!(found(&old, "retention").0, "warning", "{old:?}");
    let ahead = "INSERT INTO NAME.records (id, ts_reception, classification, severity) VALUES (2, now64(6) + INTERVAL 1 DAY, 'a/b/c', 1)";
    clickhouse.query(&ahead.replace("NAME", &fresh));
    is_problem(&doctor(&["--data-dir", &dir, "--clickhouse", &url(&fresh)]), "clock", "the newest record is of");
    clickhouse.query(&format!("INSERT INTO {fresh}.migrations (version, name, program) VALUES (999, 'x', '9.9')"));
    is_problem(&doctor(&["--data-dir", &dir, "--clickhouse", &url(&fresh)]), "store", "999");
}

#[test]
fn a_user_with_too_few_rights_is_a_problem() {
    let users = "<reader><password>pw</password><networks><ip>::/0</ip></networks><profile>default</profile>\
                 <quota>default</quota><grants><query>GRANT SELECT ON *.*</query></grants></reader>";
    let clickhouse = ClickHouse::start_with_users(users);
    let database = clickhouse.create_database();
    assert!(ended(&["migrate", "--clickhouse", &format!("{}/{database}", clickhouse.url())]).status.success());
    let url = format!("http://reader:pw@{}/{database}", clickhouse.address());
    let dir = tempfile::tempdir().expect("a directory");
    is_problem(&doctor(&["--data-dir", dir.path().to_str().expect("text"), "--clickhouse", &url]), "rights", "reader");
}

#[test]
fn a_directory_that_cannot_be_written_is_a_problem() {
    let dir = tempfile::tempdir().expect("a directory");
    // Root may write everywhere but where no file can be made at all.
    is_problem(&doctor(&["--data-dir", "/proc/self/fd"]), "directory", "cannot be written");
    let missing = dir.path().join("missing");
    let none = doctor(&["--data-dir", missing.to_str().expect("text")]);
    assert_eq!((found(&none, "directory").0.as_str(), none.status.code()), ("warning", Some(0)));
    assert!(!missing.exists(), "it makes nothing");
}
