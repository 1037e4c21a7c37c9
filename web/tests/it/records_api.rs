//! The records API, with the same checks on both stores.

use std::collections::BTreeSet;

use serde_json::Value;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{Post, Server};

use crate::seeds::{self, FILTERS, SEEDS, Seed, ids_that};
use crate::servers::{accepted, embedded, ids, json, on_clickhouse, records};

/// Parameters that cannot be used, and what the message has to name.
const REFUSED: [(&str, &str); 34] = [
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=abc", "limit"),
    ("limit=10001", "limit"),
    ("limit=", "limit"),
    ("limit=1.5", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("severity=7", "severity"),
    ("severity=0", "severity"),
    ("severity=1,", "severity"),
    ("severity=high", "severity"),
    ("created_in_days=-1", "created_in_days"),
    ("created_in_days=x", "created_in_days"),
    ("created_in_days=99999999999", "created_in_days"),
    ("created_in_sec=-1", "created_in_sec"),
    ("from_id=x", "from_id"),
    ("from_id=9007199254740992", "from_id"),
    ("ts_capture=now", "ts_capture"),
    ("data_source=outside", "data_source"),
    ("from_date=2026-02-29", "from_date"),
    ("to_date=22.11.2026", "to_date"),
    ("received_after=2026-11-22", "received_after"),
    ("received_before=2300-01-01T00:00:00Z", "received_before"),
    ("payload=%28unclosed", "payload"),
    ("not_payload=%5Cbword%5Cb", "not_payload"),
    ("payload=%5Cw%7B500%7D", "payload"),
    ("cursor=x", "cursor"),
    ("fields=id,nonsense", "nonsense"),
    ("fields=", "fields"),
    ("classification=a/*/c", "classification"),
    ("no_such_parameter=1", "no_such_parameter"),
    ("limit=5&limit=5", "limit"),
    ("severity=1&severity=2", "severity"),
    ("severity=1&no%0Asuch=1", "such"),
];

#[test]
fn the_embedded_store_answers_as_the_contract_says() {
    answers_as_the_contract_says(&embedded());
}

#[test]
fn clickhouse_answers_as_the_contract_says() {
    answers_as_the_contract_says(&on_clickhouse());
}

#[test]
fn cursors_walk_the_embedded_store() {
    cursors_give_each_record_once(&embedded());
}

#[test]
fn cursors_walk_clickhouse() {
    cursors_give_each_record_once(&on_clickhouse());
}

fn answers_as_the_contract_says(server: &Server) {
    assert_eq!(server.get("/api/records").text(), r#"{"records":[]}"#, "an empty store");
    let seeds = seeds::post(server);
    every_filter_finds_what_it_should(server, &seeds);
    limits_hold_at_their_edges(server, &seeds);
    bad_parameters_are_named(server);
    fields_are_selected(server, &seeds);
    one_record_is_found_by_its_id(server, &seeds);
    an_answer_looks_as_ever(server, &seeds);
}

fn every_filter_finds_what_it_should(server: &Server, seeds: &[Seed]) {
    for (query, passes) in FILTERS {
        assert_eq!(ids(&records(server, query)), ids_that(seeds, passes), "{query}");
    }
    // In a form, and so on a page, an empty value would mean that the filter is not set.
    assert_eq!(ids(&records(server, "machine_id=")), ids_that(seeds, |seed| seed.machine_id.is_empty()));
    let from = seeds[SEEDS / 2].id;
    assert_eq!(ids(&records(server, &format!("from_id={from}"))), ids_that(seeds, |seed| seed.id >= from));
    let query = format!("from_id={}&severity=3", from + 1);
    assert_eq!(ids(&records(server, &query)), ids_that(seeds, |seed| seed.id > from && seed.severity == 3));
}

fn limits_hold_at_their_edges(server: &Server, seeds: &[Seed]) {
    let all = ids_that(seeds, |_| true);
    for (limit, count) in [(1, 1), (SEEDS - 1, SEEDS - 1), (SEEDS, SEEDS), (50, SEEDS), (10_000, SEEDS)] {
        assert_eq!(ids(&records(server, &format!("limit={limit}"))), all[..count], "{limit}");
        let has_more = next(&server.get(&format!("/api/records?limit={limit}"))).is_some();
        assert_eq!(has_more, count < SEEDS, "a link where there is more, limit {limit}");
    }
}

fn bad_parameters_are_named(server: &Server) {
    for (query, name) in REFUSED {
        let answer = server.get(&format!("/api/records?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        let message = json(&answer)["message"].take();
        assert!(message.as_str().is_some_and(|message| message.contains(name)), "{query}: {message}");
    }
    for query in ["limit=50", "limit=10000"] {
        assert_eq!(server.get(&format!("/api/records?{query}")).status, 200, "{query}");
    }
}

fn fields_are_selected(server: &Server, seeds: &[Seed]) {
    let selected = server.get("/api/records?fields=severity,id,severity&limit=1").text();
    let newest = &seeds[SEEDS - 1];
    assert_eq!(selected, format!(r#"{{"records":[{{"id":{},"severity":{}}}]}}"#, newest.id, newest.severity));
    assert_eq!(records(server, "fields=payload").len(), SEEDS);
}

fn one_record_is_found_by_its_id(server: &Server, seeds: &[Seed]) {
    for record in records(server, "limit=3") {
        assert_eq!(server.get_json(&format!("/api/records/{}", record["id"])), record);
    }
    let free = seeds[SEEDS - 1].id + 1_000_000;
    for absent in [free.to_string(), "1".into(), "abc".into(), "-1".into(), "99999999999999999999".into()] {
        let answer = server.get(&format!("/api/records/{absent}"));
        assert_eq!(answer.status, 404, "{absent}: {}", answer.text());
        assert!(json(&answer)["message"].as_str().is_some_and(|message| message.contains(&absent)), "{absent}");
    }
}

/// Scripts read this text: a change of it is a change of the contract.
fn an_answer_looks_as_ever(server: &Server, seeds: &[Seed]) {
    let seed = &seeds[3];
    let answer = server.get(&format!("/api/records?event_id={}&severity={}", seed.event_id, seed.severity));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let reception = json(&answer)["records"][0]["ts_reception"].take();
    let text = answer.text().replace(&seed.id.to_string(), "[id]");
    let text = text.replace(reception.as_str().expect("a text"), "[ts_reception]");
    // Both stores give it.
    insta::allow_duplicates! {
        insta::assert_snapshot!(text, @r#"{"records":[{"id":[id],"machine_id":"\\' OR 1=1 --","machine_type":"vendor|product|version","arch":"x86_64","build":"33020","kernel_version":"6.18.44-native1","ts_capture":"2026-11-18 12:26:40 UTC","ts_reception":"[ts_reception]","severity":4,"classification":"org.clearlinux-other/crash/clr","record_format_version":4,"payload_format_version":1,"system_name":"clear-linux-os","payload":"record 3\nof 30\n","board_name":"board|vendor","bios_version":"1.0","cpu_model":"A processor","event_id":"00000000000000000000000000000001","external":false}]}"#);
    }
}

/// The address of the next page.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    let address = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
    Some(address.unwrap_or_else(|| panic!("not a link to a next page: {link}")).to_owned())
}

/// All ids from `first` on, page after page, while `meanwhile` happens before each page.
fn walk(server: &Server, first: &str, limit: usize, meanwhile: impl Fn()) -> Vec<u64> {
    let mut found = Vec::new();
    let mut page = Some(first.to_owned());
    while let Some(address) = page {
        let answer = server.get(&address);
        assert_eq!(answer.status, 200, "{address}: {}", answer.text());
        page = next(&answer);
        let Value::Array(records) = json(&answer)["records"].take() else { panic!("no list of records") };
        assert!(records.len() == limit || page.is_none(), "only the last page may be short");
        found.extend(ids(&records));
        meanwhile();
    }
    found
}

fn cursors_give_each_record_once(server: &Server) {
    let seeds = seeds::post(server);
    let nothing = || ();
    for limit in [1, 7, 10, SEEDS] {
        let found = walk(server, &format!("/api/records?limit={limit}"), limit, nothing);
        assert_eq!(found, ids_that(&seeds, |_| true), "limit {limit}");
    }
    let filtered = walk(server, "/api/records?limit=2&severity=1,2&system_name=debian", 2, nothing);
    assert_eq!(filtered, ids_that(&seeds, |seed| seed.severity < 3 && seed.system_name == "debian"));
    let meanwhile = || {
        let _ = accepted(server, &Post::default());
    };
    let found = walk(server, "/api/records?limit=4", 4, meanwhile);
    assert_eq!(found, ids_that(&seeds, |_| true), "what arrives meanwhile neither appears nor displaces");
    let all: BTreeSet<u64> = walk(server, "/api/records?limit=5", 5, nothing).into_iter().collect();
    assert!(all.len() > SEEDS && seeds.iter().all(|seed| all.contains(&seed.id)));
}
