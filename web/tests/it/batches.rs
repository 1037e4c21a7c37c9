//! Batches: many records in one request, what is wrong with which of them, and that the accepted ones stay.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::json;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server};

use crate::servers::{PROGRAM, embedded, json, on_clickhouse, records};

const LINES: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// A store that nobody answers for, so that records stay in the journal.
const NO_STORE: [&str; 2] = ["--clickhouse", "http://127.0.0.1:1"];

/// The JSON object of a valid record with that payload.
fn object(payload: &str) -> String {
    Post::default().payload(payload).object()
}

fn lines(payloads: impl IntoIterator<Item = String>) -> String {
    payloads.into_iter().map(|payload| object(&payload) + "\n").collect()
}

/// The answer to a batch with the right telemetry id.
fn send(server: &Server, content_type: &str, encoding: Option<&str>, body: &[u8]) -> Answer {
    let mut headers = vec![("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", content_type)];
    headers.extend(encoding.map(|encoding| ("Content-Encoding", encoding)));
    server.post(&headers, body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("compressed");
    encoder.finish().expect("compressed")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("compressed")
}

/// The accepted and rejected lines of an answer that has to be of that status.
fn counts(answer: &Answer, status: u16) -> (u64, u64) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = json(answer);
    (body["accepted"].as_u64().expect("a number"), body["rejected"].as_u64().expect("a number"))
}

fn payloads(server: &Server) -> BTreeSet<String> {
    let records = records(server, "limit=1000");
    records.iter().map(|record| record["payload"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn every_form_and_encoding_is_accepted_by_the_embedded_store() {
    every_form_and_encoding(&embedded());
}

#[test]
fn every_form_and_encoding_is_accepted_on_clickhouse() {
    every_form_and_encoding(&on_clickhouse());
}

fn every_form_and_encoding(server: &Server) {
    let mut sent = BTreeSet::new();
    for (content_type, encoding) in [
        (LINES, None),
        (LINES, Some("gzip")),
        (LINES, Some("zstd")),
        (JSON, None),
        (JSON, Some("gzip")),
        (JSON, Some("zstd")),
    ] {
        let own: Vec<String> = (0..3).map(|n| format!("{content_type} {encoding:?} {n}")).collect();
        let objects: Vec<String> = own.iter().map(|payload| object(payload)).collect();
        let body = if content_type == JSON { format!(" [{}]\n", objects.join(",\n")) } else { objects.join("\n") };
        let body = match encoding {
            Some("gzip") => gzip(body.as_bytes()),
            Some(_) => zstd(body.as_bytes()),
            None => body.into_bytes(),
        };
        assert_eq!(counts(&send(server, content_type, encoding, &body), 200), (3, 0));
        sent.extend(own);
    }
    assert_eq!(payloads(server), sent);
}

#[test]
fn wrong_lines_are_told_and_the_others_are_kept() {
    let server = embedded();
    let wrong = object("wrong").replace("\"severity\":\"1\"", "\"severity\":\"9\"");
    let body = format!("{}\n{wrong}\n\n{{\n{}", object("first"), object("last"));
    let answer = send(&server, LINES, None, body.as_bytes());
    assert_eq!(counts(&answer, 200), (2, 2));
    let errors = &json(&answer)["errors"];
    assert_eq!((&errors[0]["line"], &errors[0]["field"]), (&json!(2), &json!("severity")));
    assert_eq!((&errors[1]["line"], &errors[1]["field"]), (&json!(4), &json!("body")));
    assert!(errors[0]["reason"].as_str().is_some_and(|reason| reason.contains("1 to 4")), "{errors}");
    assert_eq!(payloads(&server), BTreeSet::from(["first".to_owned(), "last".to_owned()]));
}

#[test]
fn nothing_is_an_empty_batch_and_one_object_is_one_record() {
    let server = embedded();
    let nothing = json!({"accepted": 0, "rejected": 0, "errors": []});
    for (content_type, body) in [(LINES, ""), (LINES, "\n \n"), (JSON, "[]"), (JSON, " [ ] ")] {
        let answer = send(&server, content_type, None, body.as_bytes());
        assert_eq!((answer.status, json(&answer)), (200, nothing.clone()), "{content_type} {body:?}");
    }
    let whole = object("alone");
    assert_eq!(send(&server, JSON, None, whole.as_bytes()).status, 201);
    let answer = send(&server, JSON, Some("gzip"), &gzip(whole.as_bytes()));
    assert_eq!((answer.status, &json(&answer)["payload"]), (201, &json!("alone")));
}

#[test]
fn a_wrong_telemetry_id_or_encoding_is_refused_as_a_whole() {
    let server = embedded();
    let body = lines(["x".to_owned()]);
    let answer = server.post(&[("X-Telemetry-TID", "wrong"), ("Content-Type", LINES)], body.as_bytes());
    assert_eq!(answer.status, 400);
    assert!(json(&answer)["message"].as_str().is_some_and(|message| message.contains("X-Telemetry-TID")));
    assert_eq!(send(&server, LINES, Some("br"), body.as_bytes()).status, 415);
    assert!(payloads(&server).is_empty());
}

#[test]
fn what_comes_before_the_limit_or_the_break_is_kept_also_after_a_kill() {
    let mut server = Server::start_with_config(PROGRAM, "batch_limit_bytes = 1_048_576\n", &[]);
    let large = lines((0..2_000).map(|n| format!("{n:0500}")));
    let answer = send(&server, LINES, None, large.as_bytes());
    let (kept, rejected) = counts(&answer, 413);
    assert!(kept > 500 && kept < 2_000 && rejected == 0, "{kept} {rejected}");
    assert_eq!(json(&answer)["next_line"], kept + 1);
    let half = gzip(lines((0..900).map(|n| format!("half {n}"))).as_bytes());
    let answer = send(&server, LINES, Some("gzip"), &half[..half.len() / 2]);
    let (of_half, _) = counts(&answer, 400);
    assert!(json(&answer)["message"].as_str().is_some_and(|message| message.contains("cannot be decoded")));
    server.kill();
    server.restart();
    let found = count(&server);
    assert_eq!(found, kept + of_half);
}

/// All records, page by page.
fn count(server: &Server) -> u64 {
    let (mut page, mut count) = (server.get("/api/records?limit=1000"), 0);
    loop {
        count += json(&page)["records"].as_array().expect("records").len() as u64;
        let Some(link) = page.header("link") else { return count };
        let (next, _) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("an address");
        page = server.get(next);
    }
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let server = embedded();
    let bomb = zstd(&vec![b'x'; 256 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(counts(&send(&server, LINES, Some("zstd"), &bomb), 413), (0, 0));
    let line = gzip(&vec![b'x'; 32 << 20]);
    assert_eq!(counts(&send(&server, LINES, Some("gzip"), &line), 200), (0, 1));
}

#[test]
fn a_full_journal_ends_a_batch_with_what_it_took() {
    let small = "[journal]\nsegment_bytes = 8_388_608\nquota_bytes = 16_777_216\n";
    let server = Server::start_with_config(PROGRAM, small, &NO_STORE);
    let body = lines((0..40_000).map(|n| format!("{n:0400}")));
    let answer = send(&server, LINES, None, body.as_bytes());
    let (kept, rejected) = counts(&answer, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(kept > 1_000 && rejected == 0, "{kept}");
    assert_eq!(json(&answer)["next_line"], kept + 1);
    assert_eq!(server.get("/readyz").status, 503);
}
