//! Requests that were captured from real probes are accepted byte for byte and come back as they were sent.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{Capture, Server, captures};

use crate::servers::{embedded, id_of, json, on_clickhouse, records};

/// Captured requests: fewer would mean that the test reads the wrong place.
const CAPTURES: usize = 95;
/// What a record has for a field that its format or its machine does not have.
const NOT_AVAILABLE: &str = "N/A";

#[test]
fn captured_requests_come_back_from_the_embedded_store() {
    let server = embedded();
    come_back(&server, |capture| server.send(&capture.bytes));
}

#[test]
fn captured_requests_come_back_from_clickhouse() {
    let server = on_clickhouse();
    come_back(&server, |capture| server.send(&capture.bytes));
}

/// Brings all captured requests to a server by `send`, and finds there what they say.
pub(crate) fn come_back(server: &Server, send: impl Fn(&Capture) -> Answer) {
    let captures = captures();
    assert_eq!(captures.len(), CAPTURES);
    let answers: Vec<Value> = captures.iter().map(|capture| accepted_as(&capture.name, &send(capture))).collect();
    // The very next answer has to hold them all.
    let kept: HashMap<u64, Value> = records(server, "limit=10000")
        .into_iter()
        .map(|record| (record["id"].as_u64().expect("an id"), record))
        .collect();
    assert_eq!(kept.len(), CAPTURES);
    for (capture, answer) in captures.iter().zip(&answers) {
        let record = &kept[&answer["id"].as_u64().expect("an id")];
        assert_eq!(record, answer, "{}: the answer to the probe and that of the API", capture.name);
        assert_as_sent(&capture.name, record, &sent(capture));
    }
}

/// The stored record in an answer that has to be 201.
fn accepted_as(name: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{name}: {}", answer.text());
    id_of(answer);
    json(answer)
}

/// The fields and the payload of a request, read by this test's own means.
fn sent(capture: &Capture) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(&capture.bytes).expect("the captured requests are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("an end of headers");
    if head.contains("\r\nContent-Type: application/json") {
        return serde_json::from_str(body).expect("an object of strings");
    }
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    headers.chain([("payload", body)]).map(owned).collect()
}

/// Every field of the record is what was sent, and there is no other.
fn assert_as_sent(name: &str, record: &Value, sent: &BTreeMap<String, String>) {
    let format: u8 = sent["record_format_version"].parse().expect("a number");
    for (key, value) in record.as_object().expect("an object") {
        let actual = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let expected = match (key.as_str(), since_format(key)) {
            ("id" | "ts_reception", _) => continue,
            ("external", _) => "false".to_owned(),
            ("ts_capture", _) => {
                assert_eq!(seconds(&actual).to_string(), sent["creation_timestamp"], "{name}: {key}");
                continue;
            }
            (_, since) if since > format => NOT_AVAILABLE.to_owned(),
            ("machine_type", _) => sent["host_type"].clone(),
            ("build" | "system_name", _) => sent[key].replace(['"', '\''], ""),
            ("board_name" | "cpu_model" | "bios_version", _) => {
                sent.get(key).cloned().unwrap_or_else(|| NOT_AVAILABLE.to_owned())
            }
            _ => sent[key].clone(),
        };
        assert_eq!(actual, expected, "{name}: {key}");
    }
}

/// The first record format that has the field.
fn since_format(key: &str) -> u8 {
    match key {
        "payload_format_version" | "system_name" => 2,
        "board_name" | "cpu_model" | "bios_version" => 3,
        "event_id" => 4,
        _ => 1,
    }
}

/// Unix seconds of `2015-09-30 00:39:35 UTC`, counted day by day.
fn seconds(text: &str) -> i64 {
    let numbers: Vec<i64> =
        text.trim_end_matches(" UTC").split(['-', ' ', ':']).map(|part| part.parse().expect("a number")).collect();
    let [year, month, day, hour, minute, second] = numbers[..] else { panic!("not a time: {text}") };
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months: i64 = lengths.iter().zip(1..month).map(|(length, _)| length).sum();
    (((years + months + day - 1) * 24 + hour) * 60 + minute) * 60 + second
}

#[test]
fn seconds_are_counted_as_the_calendar_does() {
    assert_eq!(seconds("1970-01-01 00:00:00 UTC"), 0);
    assert_eq!(seconds("2015-09-30 00:39:35 UTC"), 1_443_573_575);
    assert_eq!(seconds("2000-03-01 00:00:00 UTC"), 951_868_800);
}
