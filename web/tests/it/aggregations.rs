//! The endpoints that count, with the same checks on both stores.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use telemetrics_testkit::Server;

use crate::seeds::{self, SEEDS, Seed};
use crate::servers::{embedded, json as body, on_clickhouse};

/// A row's key and its count.
type Counted = (Vec<Value>, usize);
/// An endpoint, the columns of its keys, and the key of a record.
type Endpoint = (&'static str, &'static [&'static str], fn(&Seed) -> Vec<Value>);

/// A filter that lets every record pass, and that no rollup can answer.
const EVERY_RECORD: &str = "from_id=0";

/// Requests that cannot be answered, and what the message has to name.
const REFUSED: [(&str, &str); 13] = [
    ("builds?format=parquet", "format"),
    ("builds?no_such=1", "no_such"),
    ("builds?limit=0", "limit"),
    ("classifications?limit=10001", "limit"),
    ("platforms?severity=7", "severity"),
    ("severities?cursor=o1", "cursor"),
    ("severities?fields=id", "fields"),
    ("trends?interval=month", "interval"),
    ("trends?by=payload", "by"),
    ("trends?by=build&top=21", "top"),
    ("trends?created_in_days=42&interval=hour", "buckets"),
    ("population?days=0", "days"),
    ("population?classification=a/b/c", "classification"),
];

#[test]
fn the_embedded_store_counts_what_was_posted() {
    counts_what_was_posted(&embedded());
}

#[test]
fn clickhouse_counts_what_was_posted() {
    counts_what_was_posted(&on_clickhouse());
}

fn counts_what_was_posted(server: &Server) {
    nothing_is_counted_in_an_empty_store(server);
    let seeds = seeds::post(server);
    counts_are_by_their_keys(server, &seeds);
    answers_look_as_ever(server);
    smaller_groups_can_be_left_out(server);
    trends_add_up(server, &seeds);
    machines_are_counted_once(server, &seeds);
    for (request, name) in REFUSED {
        let answer = server.get(&format!("/api/{request}"));
        assert_eq!(answer.status, 400, "{request}: {}", answer.text());
        let message = body(&answer)["message"].take();
        assert!(message.as_str().is_some_and(|message| message.contains(name)), "{request}: {message}");
    }
}

fn nothing_is_counted_in_an_empty_store(server: &Server) {
    for endpoint in ["builds", "classifications", "platforms", "severities", "trends", "trends?by=build", "population"]
    {
        assert_eq!(server.get(&format!("/api/{endpoint}")).text(), r#"{"rows":[]}"#, "{endpoint}");
    }
}

fn counts_are_by_their_keys(server: &Server, seeds: &[Seed]) {
    let by_build = |seed: &Seed| vec![json!(seed.system_name), json!(seed.build)];
    let endpoints: [Endpoint; 4] = [
        ("builds", &["system_name", "build"], by_build),
        ("classifications", &["classification"], |seed| vec![json!(seed.classification)]),
        ("platforms", &["host_type"], |seed| vec![json!(seed.host_type)]),
        ("severities", &["severity"], |seed| vec![json!(seed.severity)]),
    ];
    for (endpoint, columns, key) in endpoints {
        for (query, passes) in seeds::FILTERS {
            let rows = rows(server, &format!("{endpoint}?{query}"));
            let found: Vec<Counted> = rows.iter().map(|row| counted(row, columns, "records")).collect();
            let expected = largest_first(seeds.iter().filter(|seed| passes(seed)).map(key));
            assert_eq!(found, expected, "{endpoint}?{query}");
            assert_eq!(self::rows(server, &format!("{endpoint}?{query}&{EVERY_RECORD}")), rows, "{endpoint}?{query}");
        }
    }
}

/// Scripts read these texts: a change of them is a change of the contract.
fn answers_look_as_ever(server: &Server) {
    let builds = server.get("/api/builds?classification=org.clearlinux/*&severity=1,2");
    assert_eq!(builds.header("content-type"), Some("application/json"));
    let sheet = server.get("/api/builds?classification=org.clearlinux/*&severity=1,2&format=csv");
    assert!(sheet.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    let request =
        "GET /api/builds?classification=org.clearlinux/*&severity=1,2 HTTP/1.1\r\nHost: x\r\nAccept: text/csv\r\n\r\n";
    let accepted = server.send(request.as_bytes());
    assert_eq!(accepted.text(), sheet.text());
    // Both stores give them.
    insta::allow_duplicates! {
        insta::assert_snapshot!(builds.text(), @r#"{"rows":[{"system_name":"arch","build":"33010","records":2},{"system_name":"clear-linux-os","build":"33010","records":2},{"system_name":"debian","build":"12","records":2},{"system_name":"arch","build":"rolling","records":1},{"system_name":"clear-linux-os","build":"33020","records":1},{"system_name":"debian","build":"12.10","records":1}]}"#);
        insta::assert_snapshot!(sheet.text().replace("\r\n", "|"), @"system_name,build,records|arch,33010,2|clear-linux-os,33010,2|debian,12,2|arch,rolling,1|clear-linux-os,33020,1|debian,12.10,1|");
        insta::assert_snapshot!(server.get("/api/severities").text(), @r#"{"rows":[{"severity":1,"records":8},{"severity":2,"records":8},{"severity":3,"records":7},{"severity":4,"records":7}]}"#);
        insta::assert_snapshot!(server.get("/api/population?days=1").text(), @r#"{"rows":[{"system_name":"arch","build":"33010","data_source":"internal","machines":1,"machines_at_least":1},{"system_name":"arch","build":"rolling","data_source":"internal","machines":1,"machines_at_least":1},{"system_name":"clear-linux-os","build":"33010","data_source":"external","machines":1,"machines_at_least":1},{"system_name":"clear-linux-os","build":"33020","data_source":"internal","machines":1,"machines_at_least":1},{"system_name":"debian","build":"12","data_source":"internal","machines":1,"machines_at_least":1},{"system_name":"debian","build":"12.10","data_source":"internal","machines":1,"machines_at_least":1}]}"#);
    }
}

fn smaller_groups_can_be_left_out(server: &Server) {
    let all = rows(server, "builds");
    let whole = server.get(&format!("/api/builds?limit={}", all.len()));
    assert_eq!(whole.header("x-telemetrics-more"), None);
    let largest = server.get("/api/builds?limit=1");
    assert_eq!(body(&largest)["rows"], json!([all[0]]));
    assert_eq!(largest.header("x-telemetrics-more"), Some("true"), "there are smaller ones");
}

fn trends_add_up(server: &Server, seeds: &[Seed]) {
    for interval in ["hour", "day", "week"] {
        let all = rows(server, &format!("trends?interval={interval}"));
        assert_eq!(sum(&all), SEEDS, "{interval}");
        assert_eq!(rows(server, &format!("trends?interval={interval}&{EVERY_RECORD}")), all, "{interval}");
        let by_severity = rows(server, &format!("trends?interval={interval}&by=severity&data_source=internal"));
        for severity in 1..=4 {
            let of_it = |row: &&Value| row["severity"] == json!(severity);
            let expected = seeds.iter().filter(|seed| seed.severity == severity && !seed.is_external).count();
            assert_eq!(sum(by_severity.iter().filter(of_it)), expected, "{interval} {severity}");
        }
    }
    the_rest_is_counted_together(server, seeds);
    empty_buckets_are_filled(server);
}

fn the_rest_is_counted_together(server: &Server, seeds: &[Seed]) {
    let by_build = largest_first(seeds.iter().map(|seed| vec![json!(seed.system_name), json!(seed.build)]));
    let top = rows(server, "trends?interval=week&by=build&top=2");
    for (key, count) in &by_build[..2] {
        let of_it = |row: &&Value| row["system_name"] == key[0] && row["build"] == key[1];
        assert_eq!(sum(top.iter().filter(of_it)), *count, "{key:?}");
    }
    let rest = top.iter().filter(|row| row["system_name"].is_null() && row["build"].is_null());
    assert_eq!(sum(rest), SEEDS - by_build[0].1 - by_build[1].1);
    let whole = rows(server, &format!("trends?by=build&top={}", by_build.len()));
    assert!(whole.iter().all(|row| !row["build"].is_null()), "without a rest there are no rows of it");
}

fn empty_buckets_are_filled(server: &Server) {
    let days = rows(server, "trends?interval=day&created_in_days=3");
    assert!(matches!(days.len(), 4 | 5), "the days begun in 72 hours: {days:?}");
    assert_eq!(days[0]["records"], 0);
    assert_eq!(sum(&days), SEEDS);
    let starts: Vec<&str> = days.iter().map(|row| row["start"].as_str().expect("a text")).collect();
    assert!(starts.is_sorted() && starts.iter().all(|start| start.ends_with("T00:00:00Z")), "{starts:?}");
    let window = format!("received_after={}&received_before={}", starts[0], starts[2]);
    let past = rows(server, &format!("trends?interval=hour&{window}"));
    assert_eq!((past.len(), sum(&past)), (48, 0), "{window}");
}

fn machines_are_counted_once(server: &Server, seeds: &[Seed]) {
    let mut machines: BTreeMap<(&str, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    for seed in seeds.iter().filter(|seed| seed.classification == "org.clearlinux/heartbeat/ping") {
        let source = if seed.is_external { "external" } else { "internal" };
        machines.entry((seed.system_name, seed.build, source)).or_default().insert(seed.machine_id);
    }
    let expected: Vec<Counted> =
        machines.iter().map(|((a, b, c), set)| (vec![json!(a), json!(b), json!(c)], set.len())).collect();
    let rows = rows(server, "population?days=1");
    let found: Vec<Counted> =
        rows.iter().map(|row| counted(row, &["system_name", "build", "data_source"], "machines")).collect();
    let set = |rows: &[Counted]| rows.iter().map(|(key, count)| format!("{key:?} {count}")).collect::<BTreeSet<_>>();
    assert_eq!(set(&found), set(&expected));
}

fn rows(server: &Server, request: &str) -> Vec<Value> {
    let mut answer = server.get_json(&format!("/api/{request}"));
    let Value::Array(rows) = answer["rows"].take() else { panic!("{request}: no list of rows: {answer}") };
    rows
}

fn counted(row: &Value, columns: &[&str], count: &str) -> Counted {
    let key = columns.iter().map(|column| row[column].clone()).collect();
    (key, number(row, count))
}

fn number(row: &Value, name: &str) -> usize {
    row[name].as_u64().and_then(|number| usize::try_from(number).ok()).unwrap_or_else(|| panic!("no {name} in {row}"))
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>) -> usize {
    rows.into_iter().map(|row| number(row, "records")).sum()
}

/// How often each key is there: the largest first, equal ones in the order of their keys.
fn largest_first(keys: impl Iterator<Item = Vec<Value>>) -> Vec<Counted> {
    let mut counts: BTreeMap<Vec<String>, Counted> = BTreeMap::new();
    for key in keys {
        let texts = key.iter().map(Value::to_string).collect();
        counts.entry(texts).or_insert_with(|| (key, 0)).1 += 1;
    }
    let mut counts: Vec<Counted> = counts.into_values().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}
