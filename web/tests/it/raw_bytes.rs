//! No bytes in headers or body make the server fail, and it answers the next request as before.

use std::io::ErrorKind;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use telemetrics_testkit::http::Connection;
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server};

use crate::servers::embedded;

const NAMES: [&str; 20] = [
    "record_format_version",
    "classification",
    "Severity",
    "machine-id",
    "creation_timestamp",
    "arch",
    "host_type",
    "build",
    "kernel_version",
    "payload_format_version",
    "system_name",
    "board_name",
    "cpu_model",
    "bios_version",
    "event_id",
    "payload",
    "X-CLR-External",
    "X-Telemetry-TID",
    "Content-Encoding",
    "Cookie",
];
const PATHS: [&str; 4] = ["/", "/v2/collector", "/v3/collector", "/v3/collector?x=%ff"];
/// What makes bytes nearly JSON.
const JSON_PIECES: [&str; 13] =
    ["{", "}", "\"", "\\", "\\u", "d83e", ":", ",", "null", "1e9", "\"severity\":\"1\"", "\u{e9}", "[["];
/// A case is one request, answered in about a millisecond.
const CASES: u32 = 200;

/// A request with some fields of a valid one replaced or added; `is_json` says what its content type claims.
#[derive(Debug)]
struct Case {
    path: &'static str,
    changes: Vec<(&'static str, Vec<u8>)>,
    is_json: bool,
    body: Vec<u8>,
}

/// Bytes that a header may hold: all but those that end it.
fn tame() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("ends a header", |byte| !matches!(byte, b'\r' | b'\n' | 0));
    prop_oneof![3 => vec(byte, 0..300), 1 => "[0-9]{1,25}".prop_map(String::into_bytes)]
}

fn wild() -> impl Strategy<Value = Vec<u8>> {
    let break_out = select(&["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\r\nbuild: ", "\u{85}"]);
    let piece = prop_oneof![break_out.prop_map(|text| text.as_bytes().to_vec()), vec(any::<u8>(), 0..40)];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop_oneof![6 => select(&JSON_PIECES[..]).prop_map(|p| p.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)];
    prop_oneof![vec(any::<u8>(), 0..2_000), vec(piece, 0..60).prop_map(|pieces| pieces.concat())]
}

fn case(value: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Case> {
    let changes = vec((select(&NAMES[..]), value), 0..8);
    (select(&PATHS[..]), changes, any::<bool>(), body()).prop_map(|(path, changes, is_json, body)| Case {
        path,
        changes,
        is_json,
        body,
    })
}

impl Case {
    fn request(&self, connection: &str) -> Vec<u8> {
        let post = Post { headers: Vec::new(), ..Post::default() }.to(self.path);
        // What frames the request stands first, where no change can cut it off.
        let mut post = post.header("Host", "h").header("Connection", connection);
        post = post.header("Content-Length", self.body.len().to_string()).header("X-Telemetry-TID", TELEMETRY_ID);
        if self.is_json {
            post = post.header("Content-Type", "application/json");
        }
        let fields = std::mem::take(&mut post.fields);
        post.headers.extend(fields);
        for (name, value) in &self.changes {
            post = post.header(name, value);
        }
        [post.header_head(), b"\r\n".to_vec(), self.body.clone()].concat()
    }
}

/// A server and a connection to it that stays open from case to case.
struct Kept {
    server: Server,
    connection: Mutex<Connection>,
}

impl Kept {
    fn new() -> Self {
        let server = embedded();
        let connection = Mutex::new(Connection::open(server.address()).expect("a connection"));
        Self { server, connection }
    }

    fn assert_well(&self) {
        assert_eq!(self.server.send(&Post::default().in_headers()).status, 201);
        let page = self.server.get("/telemetryui/records");
        assert_eq!(page.status, 200, "{}", page.text());
        let all = self.server.get_json("/api/records");
        let last = all["records"][0]["id"].as_u64().expect("a record");
        assert_eq!(self.server.get(&format!("/telemetryui/records/record_details/{last}")).status, 200);
        let errors = self.server.process().errors();
        assert!(!errors.contains("panicked") && !errors.contains("ERROR"), "{errors}");
    }
}

fn runner() -> proptest::test_runner::TestRunner {
    let config = ProptestConfig { cases: CASES, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config)
}

#[test]
fn every_request_with_any_bytes_gets_one_answer_on_one_connection() {
    let kept = Kept::new();
    let outcome = runner().run(&case(tame()), |case| {
        let mut connection = kept.connection.lock().expect("no panic with the lock");
        connection.send(&case.request("keep-alive")).expect("sent");
        let answer = connection.receive().map_err(|error| TestCaseError::fail(format!("no answer: {error}")))?;
        let expected = matches!(answer.status, 201 | 400 | 415);
        prop_assert!(expected, "{}: {}", answer.status, answer.text());
        // What cannot be parsed is answered without a body, and nothing behind it can be found.
        if answer.body.is_empty() {
            *connection = Connection::open(kept.server.address()).expect("a connection");
        }
        Ok(())
    });
    kept.assert_well();
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn bytes_that_break_a_request_apart_make_no_failure() {
    let kept = Kept::new();
    let outcome = runner().run(&case(wild()), |case| {
        let mut connection = Connection::open(kept.server.address()).expect("a connection");
        connection.send(&case.request("close")).expect("sent");
        loop {
            match connection.receive() {
                Ok(answer) => prop_assert!(answer.status < 500, "{}: {}", answer.status, answer.text()),
                Err(error) => {
                    let is_silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    prop_assert!(!is_silent, "the server neither answers nor closes");
                    return Ok(());
                }
            }
        }
    });
    kept.assert_well();
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
