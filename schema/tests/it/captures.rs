//! Every request that was captured from a real client is accepted, with the fields as sent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use telemetrics_schema::Report;
use telemetrics_schema::record::NOT_AVAILABLE;
use telemetrics_schema::wire::{Request, Rules, decode};

/// Captured requests: fewer would mean that the test reads the wrong place.
const CAPTURES: usize = 95;

/// A captured request, taken apart by this test's own means.
struct Capture<'a> {
    headers: Vec<(&'a str, &'a [u8])>,
    body: &'a [u8],
}

impl<'a> Capture<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of headers");
        let head = std::str::from_utf8(&bytes[..end]).expect("the captured headers are UTF-8");
        let headers = head.split("\r\n").skip(1).map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name, value.as_bytes())
        });
        let capture = Self { headers: headers.collect(), body: &bytes[end + 4..] };
        assert_eq!(capture.header("Content-Length"), Some(capture.body.len().to_string()), "a whole request");
        capture
    }

    fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        value.map(|value| String::from_utf8(value.to_vec()).expect("UTF-8"))
    }

    /// Fields and payload as the client sent them.
    fn fields(&self) -> BTreeMap<String, String> {
        let text = String::from_utf8(self.body.to_vec()).expect("the captured bodies are UTF-8");
        if self.header("Content-Type").as_deref() == Some("application/json") {
            return serde_json::from_str(&text).expect("an object of strings");
        }
        let sent = self.headers.iter().map(|(name, _)| ((*name).to_owned(), self.header(name).expect("there")));
        sent.chain([("payload".to_owned(), text)]).collect()
    }
}

/// The fields of `report` under their wire names, those that its format does not have left out.
fn fields_of(report: &Report) -> BTreeMap<&'static str, String> {
    let fields = [
        (1, "record_format_version", report.record_format_version.to_string()),
        (1, "classification", report.classification.clone()),
        (1, "severity", report.severity.to_string()),
        (1, "machine_id", report.machine_id.clone()),
        (1, "creation_timestamp", report.ts_capture_s.to_string()),
        (1, "arch", report.arch.clone()),
        (1, "host_type", report.host_type.clone()),
        (1, "build", report.build.clone()),
        (1, "kernel_version", report.kernel_version.clone()),
        (1, "payload", report.payload.clone()),
        (2, "payload_format_version", report.payload_format_version.to_string()),
        (2, "system_name", report.system_name.clone()),
        (3, "board_name", report.board_name.clone()),
        (3, "cpu_model", report.cpu_model.clone()),
        (3, "bios_version", report.bios_version.clone()),
        (4, "event_id", report.event_id.clone()),
    ];
    let has = |since: i8| since <= report.record_format_version;
    fields.into_iter().filter(|(since, ..)| has(*since)).map(|(_, name, value)| (name, value)).collect()
}

fn assert_as_sent(name: &str, report: &Report, sent: &BTreeMap<String, String>) {
    for (field, decoded) in fields_of(report) {
        let expected = match (field, sent.get(field)) {
            ("build" | "system_name", Some(value)) => value.replace(['"', '\''], ""),
            ("board_name" | "cpu_model" | "bios_version", None) => NOT_AVAILABLE.to_owned(),
            (_, value) => value.cloned().unwrap_or_else(|| panic!("{name}: {field} was not sent")),
        };
        assert_eq!(decoded, expected, "{name}: {field}");
    }
    let not_in_format = [(2, &report.system_name), (3, &report.board_name), (4, &report.event_id)];
    for (since, value) in not_in_format {
        assert!(report.record_format_version >= since || value == NOT_AVAILABLE, "{name}: {value}");
    }
    assert!(!report.external, "{name}");
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/captures");
    let entries = fs::read_dir(&folder).expect("the captured requests are part of the repository");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// What every captured request says, with the name of its file.
pub(crate) fn reports() -> Vec<(String, Report)> {
    let mut files = files();
    files.sort();
    let report = |file: PathBuf| {
        let bytes = fs::read(&file).expect("a readable file");
        let capture = Capture::parse(&bytes);
        let report = decode(&Request { headers: capture.headers.clone(), body: capture.body }, &Rules::default());
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, report.expect("a valid record"))
    };
    files.into_iter().map(report).collect()
}

#[test]
fn every_captured_request_is_accepted_as_sent() {
    let files = files();
    assert_eq!(files.len(), CAPTURES);
    for file in files {
        let name = file.display().to_string();
        let bytes = fs::read(&file).expect("a readable file");
        let capture = Capture::parse(&bytes);
        let request = Request { headers: capture.headers.clone(), body: capture.body };
        let report = decode(&request, &Rules::default()).unwrap_or_else(|refused| panic!("{name}: {refused}"));
        assert_as_sent(&name, &report, &capture.fields());
    }
}

#[test]
fn a_captured_request_under_another_telemetry_id_is_refused() {
    let rules = Rules { telemetry_ids: vec!["another".into()], ..Rules::default() };
    for file in files() {
        let bytes = fs::read(&file).expect("a readable file");
        let capture = Capture::parse(&bytes);
        let refused = decode(&Request { headers: capture.headers.clone(), body: capture.body }, &rules);
        assert!(refused.expect_err("refused").to_string().starts_with("X-Telemetry-TID "));
    }
}
