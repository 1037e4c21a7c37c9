//! What breaks a rule, seen from outside: a probe's record is kept, shown, replayed once a rule was loosened, discarded.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{Post, Server};

use crate::html::{page, texts};
use crate::servers::{PROGRAM, id_of, ids, json, records};

/// The pages for people.
const PAGES: &str = "/telemetryui/quarantine";
const STRICT: &str = "strict_fields = true\n";

/// Starts the server again with another configuration.
fn reconfigure(server: &mut Server, toml: &str) {
    server.terminate();
    let config = server.data_dir().with_file_name("telemetrics.toml");
    fs::write(config, toml).expect("a configuration file");
    server.restart();
}

fn request(server: &Server, method: &str, path: &str) -> Answer {
    let address = server.address();
    server.send(format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n").as_bytes())
}

fn entries(server: &Server, query: &str) -> Vec<Value> {
    let mut answer = server.get_json(&format!("/api/quarantine?{query}"));
    let Value::Array(entries) = answer["entries"].take() else { panic!("no list of entries") };
    entries
}

fn without_processor(payload: &str) -> Post {
    Post::default().without("cpu_model").payload(payload)
}

#[test]
fn a_probes_record_is_owed_and_replayed_once_a_rule_was_loosened() {
    let mut server = Server::start_with_config(PROGRAM, STRICT, &[]);
    let owed = without_processor("owed\n").in_headers();
    let answer = server.send(&owed);
    let id = id_of(&answer);
    assert_eq!(json(&answer)["quarantined"], true);
    assert_eq!(json(&answer)["errors"][0]["field"], "cpu_model");
    assert_eq!(id_of(&server.send(&owed)), id, "an equal one is counted");
    assert!(records(&server, "").is_empty());
    server.kill();
    server.restart();
    let kept = entries(&server, "kind=owed");
    assert_eq!((kept.len(), kept[0]["id"].as_u64(), kept[0]["count"].as_u64()), (1, Some(id), Some(2)));
    let first_seen = kept[0]["first_seen"].clone();
    let outcome = json(&request(&server, "POST", &format!("/api/quarantine/{id}/replay")));
    assert_eq!((&outcome["replayed"], &outcome["invalid"]), (&Value::from(0), &Value::from(1)), "{outcome}");
    reconfigure(&mut server, "");
    let outcome = json(&request(&server, "POST", "/api/quarantine/replay"));
    assert_eq!(outcome["replayed"], 1, "{outcome}");
    let stored = records(&server, "");
    assert_eq!((stored.len(), stored[0]["id"].as_u64(), &stored[0]["payload"]), (1, Some(id), &Value::from("owed\n")));
    assert_eq!(stored[0]["ts_reception"], first_seen);
    assert!(entries(&server, "").is_empty());
    let later = id_of(&server.send(&Post::default().in_headers()));
    assert!(later > id);
    server.kill();
    server.restart();
    assert_eq!(records(&server, "").len(), 2, "neither lost nor doubled");
}

#[test]
fn a_record_that_its_probe_sends_again_around_a_replay_is_stored_once() {
    let mut server = Server::start_with_config(PROGRAM, STRICT, &[]);
    let [before, after] = ["before\n", "after\n"].map(|payload| without_processor(payload).in_headers());
    let [_, owed] = [&before, &after].map(|request| id_of(&server.send(request)));
    reconfigure(&mut server, "");
    let accepted = id_of(&server.send(&before));
    let outcome = json(&request(&server, "POST", "/api/quarantine/replay"));
    assert_eq!((&outcome["replayed"], &outcome["redelivered"]), (&Value::from(1), &Value::from(1)), "{outcome}");
    assert!(entries(&server, "").is_empty());
    assert_eq!(id_of(&server.send(&after)), owed);
    server.kill();
    server.restart();
    assert_eq!([&before, &after].map(|request| id_of(&server.send(request))), [accepted, owed]);
    let stored: BTreeSet<_> = ids(&records(&server, "")).into_iter().collect();
    assert_eq!((records(&server, "").len(), stored), (2, BTreeSet::from([accepted, owed])));
}

#[test]
fn a_script_is_refused_and_what_it_sent_is_only_shown() {
    let server = Server::start_with_config(PROGRAM, STRICT, &[]);
    let answer = server.send(&without_processor("evidence\n").header("User-Agent", "curl/8").in_headers());
    assert_eq!(answer.status, 400, "{}", answer.text());
    let kept = entries(&server, "");
    let id = kept[0]["id"].as_u64().expect("a number");
    assert_eq!((kept.len(), &kept[0]["kind"]), (1, &Value::from("evidence")));
    let shown = server.get_json(&format!("/api/quarantine/{id}"));
    assert_eq!(shown["request"]["body"], "evidence\n");
    assert!(!shown.to_string().contains("6907c830"), "telemetry ids are not shown");
    assert_eq!(request(&server, "POST", &format!("/api/quarantine/{id}/replay")).status, 400);
    assert_eq!(request(&server, "DELETE", &format!("/api/quarantine/{id}")).status, 204);
    assert_eq!(request(&server, "DELETE", &format!("/api/quarantine/{id}")).status, 404);
    assert!(entries(&server, "").is_empty());
}

#[test]
fn a_wrong_telemetry_id_leaves_nothing() {
    let server = Server::start(PROGRAM, &[]);
    let answer = server.send(&Post::default().header("X-Telemetry-TID", "another").in_headers());
    assert_eq!(answer.status, 400);
    assert!(entries(&server, "").is_empty());
}

#[test]
fn a_full_quarantine_lets_the_probe_keep_its_record() {
    let toml = "strict_fields = true\n[quarantine]\nentries = 1\n";
    let server = Server::start_with_config(PROGRAM, toml, &[]);
    let id = id_of(&server.send(&without_processor("first\n").in_headers()));
    let answer = server.send(&without_processor("second\n").in_headers());
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(request(&server, "DELETE", &format!("/api/quarantine/{id}")).status, 204);
    assert_eq!(server.send(&without_processor("second\n").in_headers()).status, 201);
}

#[test]
fn people_look_at_entries_and_replay_or_discard_them() {
    let mut server = Server::start_with_config(PROGRAM, STRICT, &[]);
    let [owed, other] =
        ["owed\n", "other\n"].map(|payload| id_of(&server.send(&without_processor(payload).in_headers())));
    let evidence = without_processor("<evidence>\n").header("User-Agent", "curl/8");
    assert_eq!(server.send(&evidence.in_headers()).status, 400);
    let page_of = |server: &Server, address: &str| page(&server.get(address), 200);
    let list = page_of(&server, PAGES);
    assert_eq!(texts(&list, "table.records [data-label=Kind]"), ["evidence", "owed", "owed"]);
    assert_eq!(texts(&list, "table.facts td")[0], "2");
    assert!(texts(&list, "[data-label=Reasons]")[0].starts_with("cpu_model "));
    assert_eq!(texts(&page_of(&server, &format!("{PAGES}?kind=evidence")), "table.records tbody th").len(), 1);
    let shown = texts(&list, "table.records tbody th a")[0].clone();
    let entry = page_of(&server, &format!("{PAGES}/{shown}"));
    assert_eq!(texts(&entry, "pre"), ["<evidence>\n"]);
    assert!(!entry.html().contains("6907c830"), "telemetry ids are not shown");
    let still_wrong = page(&request(&server, "POST", &format!("{PAGES}/{owed}/replay")), 200);
    assert_eq!(texts(&still_wrong, "table.facts td"), ["0 records", "0", "1", "0"]);
    let gone = request(&server, "POST", &format!("{PAGES}/{other}/discard"));
    assert_eq!((gone.status, gone.header("location")), (303, Some(PAGES)));
    reconfigure(&mut server, "");
    let replayed = page(&request(&server, "POST", &format!("{PAGES}/replay")), 200);
    assert_eq!(texts(&replayed, "table.facts td")[0], "1 record");
    assert_eq!(ids(&records(&server, "")), [owed]);
    for wrong in ["/x", "/7", "?kind=x", "?limit=3"] {
        assert!([400, 404].contains(&server.get(&format!("{PAGES}{wrong}")).status), "{wrong}");
    }
}
