//! Payload parsers of a running server: files become attributes, on both stores, and what fails costs no record.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use telemetrics_testkit::document::blocks;
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::servers::{PROGRAM, accepted, ended, ids, records};

const CLASS: &str = "org.example/sensor/reading";
/// `number` fails for payloads without one.
const SENSOR: &str = "classifications = [\"org.example/sensor/*\"]\n[fields]\n\
    number = \"CAST(regexp_match(payload, 'value=([^ ]*)') AS INT)\"\n\
    name = \"regexp_match(payload, 'name=(.+)')\"\n";

/// A server that reads parsers from a directory, without records; `extra` are more arguments.
fn with_parsers(directory: &Path, extra: &[&str]) -> Server {
    let toml = format!(
        "parsers_dir = \"{}\"\nread_wait_ms = 30000\n[drain]\nbatch_age_ms = 100\n",
        directory.to_str().expect("text")
    );
    Server::start_with_config(PROGRAM, &toml, extra)
}

/// The arguments for a database of its own.
fn database() -> String {
    let clickhouse = ClickHouse::shared();
    format!("{}/{}", clickhouse.url(), clickhouse.create_database())
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("written");
}

fn post(server: &Server, class: &str, payload: &str) -> u64 {
    accepted(server, &Post::default().with("classification", class).payload(payload))
}

/// The attributes of all records that pass, the newest first.
fn attributes(server: &Server, query: &str) -> Vec<Value> {
    let shown = records(server, &format!("fields=id,attributes&{query}"));
    shown.into_iter().map(|mut record| record["attributes"].take()).collect()
}

fn check_server(server: &Server) {
    let good = post(server, CLASS, "value=7 name=a \"quoted\" name");
    let bad = post(server, CLASS, "value=x name=b");
    let other = post(server, "org.example/other/thing", "value=7 name=c");
    let heartbeat = post(server, "org.clearlinux/heartbeat/ping", "hello\nuptime: 77\n");
    let expected = [
        json!({"uptime_minutes": "77"}),
        json!({}),
        json!({"name": "b"}),
        json!({"number": "7", "name": "a \"quoted\" name"}),
    ];
    assert_eq!(attributes(server, ""), expected, "before they are stored, or as they are");
    let failures = || {
        let text = server.get("/metrics").text();
        let series = "telemetrics_parser_failures_total{parser=\"sensor.toml\"} ";
        text.lines().find_map(|line| line.strip_prefix(series).map(str::to_owned)).expect("a series")
    };
    wait_until("the batch with the failure is stored", || failures() == "1");
    wait_until("all are stored", || crate::servers::metric(server, "telemetrics_pending_records") == 0);
    assert_eq!(attributes(server, ""), expected, "stored");
    for (filter, expected) in [
        ("attribute.name=a%20%22quoted%22%20name", vec![good]),
        ("attribute.name=b", vec![bad]),
        ("attribute.name=a", vec![]),
        ("attribute.number=7&attribute.name=b", vec![]),
        ("attribute.uptime_minutes=77", vec![heartbeat]),
        ("classification=org.example/*", vec![other, bad, good]),
    ] {
        assert_eq!(ids(&records(server, filter)), expected, "{filter}");
    }
    check_formats(server, good);
    let page = server.get(&format!("/telemetryui/records/record_details/{good}")).text();
    assert!(page.contains("Attributes") && page.contains("attribute.number=7"), "{page}");
}

fn check_formats(server: &Server, good: u64) {
    let csv = server.get("/api/export?format=csv&fields=id,attributes&attribute.number=7").text();
    let cell = r#""{""name"":""a \""quoted\"" name"",""number"":""7""}""#;
    assert_eq!(csv, format!("id,attributes\r\n{good},{cell}\r\n"));
    let lines = server.get("/api/export?format=ndjson&fields=attributes&attribute.name=b").text();
    assert_eq!(lines, "{\"attributes\":{\"name\":\"b\"}}\n");
    let statement = "SELECT attribute(attributes, 'name') AS name, count(*) AS n FROM records GROUP BY 1 ORDER BY 1";
    let answer = server.post_to("/api/sql", &[("Content-Type", "text/plain")], statement.as_bytes());
    let rows: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let expected = json!([{"name": "", "n": 2}, {"name": "a \"quoted\" name", "n": 1}, {"name": "b", "n": 1}]);
    assert_eq!(rows["rows"], expected);
}

#[test]
fn records_get_the_attributes_of_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "sensor.toml", SENSOR);
    check_server(&with_parsers(directory.path(), &[]));
}

#[test]
fn records_in_clickhouse_get_the_attributes_of_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "sensor.toml", SENSOR);
    check_server(&with_parsers(directory.path(), &["--clickhouse", &database()]));
}

#[test]
fn a_file_that_comes_while_the_server_runs_is_used_and_a_broken_one_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = with_parsers(directory.path(), &[]);
    let attributes = || {
        let id = post(&server, CLASS, "value=7 name=a");
        attributes(&server, &format!("from_id={id}")).remove(0)
    };
    assert_eq!(attributes(), json!({}));
    write(directory.path(), "sensor.toml", SENSOR);
    wait_until("the new parser", || attributes() == json!({"number": "7", "name": "a"}));
    write(directory.path(), "broken.toml", "classifications = 7\n");
    server.process().wait_for_error(|line| {
        (line.contains("the payload parsers stay as they were") && line.contains("broken.toml")).then_some(())
    });
    assert_eq!(attributes(), json!({"number": "7", "name": "a"}));
    let broken = || crate::servers::metric(&server, "telemetrics_broken_parser_files");
    let shown = |address: &str, words: &str| server.get(address).text().contains(words);
    assert_eq!(broken(), 1);
    assert!(shown("/telemetryui/status", "broken.toml: line 1: "), "the page names the file and says why");
    assert!(shown("/telemetryui/overview", "Changed payload parsers are not used"));
    fs::remove_file(directory.path().join("broken.toml")).expect("removed");
    wait_until("that nothing is broken", || broken() == 0);
    assert!(!shown("/telemetryui/status", "broken.toml") && !shown("/telemetryui/overview", "payload parsers"));
    write(directory.path(), "sensor.toml", &SENSOR.replace("number =", "reading ="));
    wait_until("the changed parser", || attributes() == json!({"reading": "7", "name": "a"}));
}

fn refused_start(directory: &Path) -> Ended {
    write(directory, "telemetrics.toml.conf", &format!("parsers_dir = \"{}\"\n", directory.display()));
    let config = directory.join("telemetrics.toml.conf");
    ended(&["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().expect("text")])
}

#[test]
fn a_conflict_or_a_broken_file_keeps_a_server_from_starting() {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), "one.toml", SENSOR);
    write(directory.path(), "two.toml", "classifications = [\"org.example/sensor/reading\"]\n");
    let conflict = refused_start(directory.path());
    assert_eq!(conflict.status.code(), Some(1), "{conflict:?}");
    assert!(conflict.stderr.contains("one.toml and two.toml both parse org.example/sensor/reading"), "{conflict:?}");
    write(directory.path(), "two.toml", "classifications = [\"a/b/c\"]\n[fields]\na = \"count(*)\"\n");
    let broken = refused_start(directory.path());
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    assert!(broken.stderr.contains("two.toml: the field a: "), "{broken:?}");
}

/// What is stored gets the attributes of a file that was not there, and loses those of one that is gone.
fn check_reparse(mut server: Server, directory: &Path, store: &[&str], is_stopped_for_it: bool) {
    let posted = post(&server, CLASS, "value=7 name=a");
    post(&server, CLASS, "name=b");
    wait_until("all are stored", || crate::servers::metric(&server, "telemetrics_pending_records") == 0);
    assert_eq!(attributes(&server, ""), [json!({}), json!({})]);
    let config = directory.join("reparse.conf");
    fs::write(&config, format!("parsers_dir = \"{}\"\n", directory.display())).expect("written");
    let args = [&["reparse", "--config", config.to_str().expect("text")], store].concat();
    let mut reparse = |changed: u64| {
        if is_stopped_for_it {
            assert!(server.terminate().status.success());
        }
        let run = ended(&args);
        assert!(run.stdout.ends_with(&format!("looked at 2 records, changed {changed}")), "{run:?}");
        if is_stopped_for_it {
            server.restart();
        }
        (attributes(&server, ""), ids(&records(&server, "attribute.number=7")))
    };
    write(directory, "sensor.toml", SENSOR);
    let made = vec![json!({"name": "b"}), json!({"name": "a", "number": "7"})];
    assert_eq!(reparse(2), (made.clone(), vec![posted]));
    assert_eq!(reparse(0), (made, vec![posted]), "there is nothing left to do");
    fs::remove_file(directory.join("sensor.toml")).expect("removed");
    assert_eq!(reparse(2), (vec![json!({}), json!({})], vec![]));
}

#[test]
fn stored_records_are_parsed_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = with_parsers(directory.path(), &[]);
    let data = server.data_dir();
    check_reparse(server, directory.path(), &["--data-dir", data.to_str().expect("text")], true);
}

#[test]
fn records_in_clickhouse_are_parsed_anew_while_the_server_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database();
    let server = with_parsers(directory.path(), &["--clickhouse", &database]);
    check_reparse(server, directory.path(), &["--clickhouse", &database], false);
}

#[test]
fn a_parser_is_tried_before_it_is_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = with_parsers(directory.path(), &[]);
    let first = post(&server, CLASS, "value=7 name=a");
    let second = post(&server, CLASS, "value=x");
    write(directory.path(), "sensor.toml", SENSOR);
    let file = directory.path().join("sensor.toml");
    let tried = |more: &[&str]| {
        let url = server.url("/");
        let args = ["parsers", "test", file.to_str().expect("text"), "--server", url.as_str()];
        ended(&[&args, more].concat())
    };
    let all = tried(&[]);
    let expected = format!(
        "{second} \"{CLASS}\"\n  nothing\n{first} \"{CLASS}\"\n  name = \"a\"\n  number = \"7\"\n\
         \"org.example/sensor/*\": 2 records, 1 with attributes, 1 values failed"
    );
    assert_eq!((all.status.code(), all.stdout.as_str()), (Some(0), expected.as_str()), "{all:?}");
    let newest = tried(&["--class", CLASS, "--limit", "1"]).stdout;
    assert!(newest.starts_with(&second.to_string()) && newest.contains(": 1 records, 0 with"), "{newest}");
    assert_eq!(attributes(&server, ""), [json!({}), json!({})], "nothing is changed");
    write(directory.path(), "sensor.toml", "classifications = [\"a/b/c\"]\n[fields]\na = \"nothing\"\n");
    let wrong = tried(&[]);
    assert!(!wrong.status.success() && wrong.stderr.contains("sensor.toml: the field a: "), "{wrong:?}");
}

#[test]
fn the_examples_of_the_document_make_what_it_says() {
    let all = blocks("docs/parsers.md");
    let of = |heading: &str, language: &str| {
        let block = all.iter().find(|block| block.heading == heading && block.language == language);
        block.unwrap_or_else(|| panic!("{heading} without {language}")).text.clone()
    };
    let examples: Vec<&str> =
        all.iter().filter(|block| block.language == "toml").map(|block| block.heading.as_str()).collect();
    assert_eq!(examples, ["A pattern", "What is encoded", "JSON"]);
    let directory = tempfile::tempdir().expect("a directory");
    for (name, example) in ["disk.toml", "report.toml", "sensors.toml"].iter().zip(&examples) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/parsers").join(name);
        assert_eq!(
            fs::read_to_string(&file).expect("an example"),
            of(example, "toml"),
            "{name} is what the document shows"
        );
        fs::copy(&file, directory.path().join(name)).expect("copied");
    }
    let server = with_parsers(directory.path(), &[]);
    let classes = ["org.example/disk/smart", "org.example/report/x", "org.example/sensors/reading"];
    for (example, class) in examples.iter().zip(classes) {
        let id = post(&server, class, &of(example, "text"));
        let expected: Value = serde_json::from_str(&of(example, "json")).expect("JSON");
        assert_eq!(attributes(&server, &format!("from_id={id}")), [expected], "{example}");
    }
}
