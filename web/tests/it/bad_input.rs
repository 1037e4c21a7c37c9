//! Whatever a client sends gets the answer that the contract has for it, and never one of the server's own failures.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use telemetrics_testkit::http::{Answer, Connection, exchange};
use telemetrics_testkit::{Post, Server};

use crate::servers::{PROGRAM, id_of, json};

/// Requests of tests come without a `User-Agent`, as probes' do: by default what is wrong with them would be kept.
const REJECTING: &str = "on_invalid = \"reject\"\n";

/// The default limit of a body.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;
const MIB: usize = 1024 * 1024;
const ROUTES: [&str; 3] = ["/", "/v2/collector", "/v3/collector"];
const REQUIRED: [&str; 12] = [
    "record_format_version",
    "classification",
    "severity",
    "machine_id",
    "creation_timestamp",
    "arch",
    "host_type",
    "build",
    "kernel_version",
    "payload_format_version",
    "system_name",
    "event_id",
];

/// One server for all tests here: none of them counts records.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start_with_config(PROGRAM, REJECTING, &[]))
}

fn long(chars: usize) -> String {
    "x".repeat(chars)
}

fn assert_refused(answer: &Answer, field: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 400, "{field}: {text}");
    let body = json(answer);
    assert!(body["message"].as_str().is_some_and(|message| message.contains(field)), "{field}: {text}");
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{field}: {text}"));
    assert_eq!(errors[0]["field"], field, "{text}");
    assert!(errors.iter().all(|error| error["reason"].is_string()), "{text}");
}

/// What was stored for an accepted record, through the API and both pages.
fn stored(answer: &Answer) -> Value {
    let id = id_of(answer);
    let record = server().get_json(&format!("/api/records/{id}"));
    assert_eq!(record, json(answer));
    for page in ["/telemetryui/records".to_owned(), format!("/telemetryui/records/record_details/{id}")] {
        let answer = server().get(&page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
    }
    record
}

#[test]
fn a_missing_field_is_named_in_both_generations() {
    for field in REQUIRED {
        let post = Post::default().without(field);
        assert_refused(&server().send(&post.in_headers()), field);
        assert_refused(&server().send(&post.in_json()), field);
    }
}

#[test]
fn a_wrong_field_is_named_in_both_generations() {
    let wrong = [
        ("record_format_version", "5".to_owned()),
        ("record_format_version", "0".to_owned()),
        ("classification", "a/b".to_owned()),
        ("classification", format!("a/b/{}", long(137))),
        ("severity", "5".to_owned()),
        ("severity", "-1".to_owned()),
        ("machine_id", long(33)),
        ("creation_timestamp", "yesterday".to_owned()),
        ("creation_timestamp", "10413792000".to_owned()),
        ("creation_timestamp", "99999999999999999999999".to_owned()),
        ("arch", "z80".to_owned()),
        ("host_type", long(250)),
        ("host_type", long(5_000)),
        ("build", "12 beta".to_owned()),
        ("build", "rolling".to_owned()),
        ("kernel_version", "six".to_owned()),
        ("payload_format_version", "abc".to_owned()),
        ("payload_format_version", "2147483648".to_owned()),
        ("system_name", long(141)),
        ("board_name", long(200)),
        ("cpu_model", long(5_000)),
        ("event_id", "0784A24884FF82136FCA6E171E0B927B".to_owned()),
    ];
    for (field, value) in wrong {
        let post = Post::default().with(field, value);
        assert_refused(&server().send(&post.in_headers()), field);
        assert_refused(&server().send(&post.in_json()), field);
    }
}

#[test]
fn every_field_that_failed_is_listed_and_the_first_is_in_the_message() {
    let post = Post::default().with("severity", "9").without("arch").with("event_id", "x");
    let answer = server().send(&post.in_headers());
    assert_refused(&answer, "severity");
    let errors = json(&answer)["errors"].take();
    let fields: Vec<&Value> = errors.as_array().expect("a list").iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["severity", "arch", "event_id"]);
}

#[test]
fn a_telemetry_id_that_is_not_configured_is_refused() {
    let without = Post { headers: Vec::new(), ..Post::default() }.header("Host", "127.0.0.1");
    for post in [Post::default().header("X-Telemetry-TID", "another"), without] {
        for request in [post.in_headers(), post.in_json()] {
            assert_refused(&server().send(&request), "X-Telemetry-TID");
        }
    }
}

#[test]
fn several_telemetry_ids_can_be_configured() {
    let server = Server::start_with_config(PROGRAM, REJECTING, &["--tid", "one", "--tid", "two"]);
    let with = |id: &str| server.send(&Post::default().header("X-Telemetry-TID", id).in_headers()).status;
    assert_eq!((with("one"), with("two"), with("three")), (201, 201, 400));
    assert_eq!(server.send(&Post::default().in_headers()).status, 400, "the well-known id is one of them no more");
}

#[test]
fn strict_fields_make_absent_hardware_an_error() {
    let server = Server::start_with_config(PROGRAM, "strict_fields = true\non_invalid = \"reject\"\n", &[]);
    for field in ["board_name", "cpu_model", "bios_version"] {
        let answer = server.send(&Post::default().without(field).in_headers());
        assert_refused(&answer, field);
        let lenient = stored(&self::server().send(&Post::default().without(field).in_headers()));
        assert_eq!(lenient[field], "N/A");
    }
}

#[test]
fn a_body_above_the_limit_is_too_large_however_it_comes() {
    let too_large = [
        Post::default().payload(vec![b'x'; 2 * MIB]).in_headers(),
        Post::default().payload(vec![b'x'; 2 * MIB]).in_chunks(64 * 1024),
        Post::default().payload(vec![b'x'; BODY_LIMIT_BYTES + 1]).in_headers(),
        Post::default().payload(vec![b'x'; BODY_LIMIT_BYTES + 1]).in_chunks(BODY_LIMIT_BYTES + 1),
        Post::default().payload(vec![b'x'; 2 * MIB]).in_json(),
    ];
    for request in too_large {
        let answer = server().send(&request);
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(json(&answer)["message"].as_str().is_some_and(|message| message.contains("1048576 bytes")));
    }
}

/// An answer that a reset overtakes is none: a proxy in between would say 502.
#[test]
fn who_is_still_sending_gets_the_answer_and_nothing_else() {
    for _ in 0..20 {
        let mut connection = Connection::open(server().address()).expect("a connection");
        connection.send(&Post::default().payload(vec![b'x'; 32 * MIB]).in_headers()).expect("all of it is taken");
        assert_eq!(connection.receive().expect("an answer").status, 413);
        connection.send(&Post::default().in_headers()).expect("another request");
        assert_eq!(connection.receive().expect("its answer").status, 201);
    }
}

#[test]
fn a_body_at_the_limit_is_accepted_however_it_comes() {
    let post = Post::default().payload(vec![b'x'; BODY_LIMIT_BYTES]);
    for request in [post.in_headers(), post.in_chunks(64 * 1024)] {
        let record = stored(&server().send(&request));
        assert_eq!(record["payload"].as_str().map(str::len), Some(BODY_LIMIT_BYTES));
    }
}

#[test]
fn unusual_bytes_are_data() {
    let accepted: [(Post, &str, Value); 9] = [
        (Post::default().payload("a\0b\0"), "payload", json!("a\0b\0")),
        (Post::default().payload(b"\xff\xfe"), "payload", json!("\u{ff}\u{fe}")),
        (Post::default().payload(""), "payload", json!("")),
        (Post::default().with("cpu_model", b"Intel\xae"), "cpu_model", json!("Intel\u{ae}")),
        (Post::default().with("board_name", "größer"), "board_name", json!("größer")),
        (Post::default().with("creation_timestamp", "4294967296"), "ts_capture", json!("2106-02-07 06:28:16 UTC")),
        (Post::default().with("creation_timestamp", "10413791999"), "ts_capture", json!("2299-12-31 23:59:59 UTC")),
        (Post::default().with("payload_format_version", "2147483647"), "payload_format_version", json!(2_147_483_647)),
        (Post::default().header("X-Unknown", long(5_000)), "severity", json!(1)),
    ];
    for (post, key, expected) in accepted {
        assert_eq!(stored(&server().send(&post.in_headers()))[key], expected);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_characters_in_json_too() {
    let marked = Post::default().with("cpu_model", "MARK").payload("MARK\0").in_json();
    let body = &marked[marked.windows(4).position(|four| four == b"\r\n\r\n").expect("an end of headers") + 4..];
    let mut latin1 = body.to_vec();
    while let Some(at) = latin1.windows(4).position(|four| four == b"MARK") {
        latin1.splice(at..at + 4, *b"\xe9\xff");
    }
    let record = stored(&server().send(&Post::default().json_request(&latin1)));
    assert_eq!((&record["cpu_model"], &record["payload"]), (&json!("\u{e9}\u{ff}"), &json!("\u{e9}\u{ff}\0")));
}

#[test]
fn json_that_is_none_is_refused_as_the_body() {
    for body in ["", "{", "null", "\"text\"", "{\"severity\":1}{}"] {
        assert_refused(&server().send(&Post::default().json_request(body.as_bytes())), "body");
    }
}

#[test]
fn each_route_takes_both_generations_and_both_spellings() {
    for route in ROUTES {
        let post = Post::default().to(route);
        let hyphens = post.fields.iter().map(|(name, value)| (name.replace('_', "-").to_uppercase(), value.clone()));
        let hyphenated = Post { fields: hyphens.collect(), ..post.clone() };
        for request in [post.in_headers(), post.in_json(), hyphenated.in_headers()] {
            let record = stored(&server().send(&request));
            assert_eq!(record["machine_type"], "vendor|product|version", "{route}");
        }
    }
}

#[test]
fn who_looks_at_a_route_of_probes_is_sent_to_the_pages() {
    for route in ROUTES {
        let answer = server().get(route);
        assert_eq!((answer.status, answer.header("location")), (302, Some("/telemetryui/")), "{route}");
    }
}

#[test]
fn an_external_record_is_marked() {
    let record = stored(&server().send(&Post::default().header("X-CLR-External", "true").in_headers()));
    assert_eq!(record["external"], true);
}

#[test]
fn an_unknown_content_encoding_is_refused_and_none_is_fine() {
    let encoded = |encoding: &str| server().send(&Post::default().header("Content-Encoding", encoding).in_headers());
    let answer = encoded("br");
    assert_eq!(answer.status, 415);
    assert!(json(&answer)["message"].as_str().is_some_and(|message| message.contains("br")));
    assert_eq!(encoded("identity").status, 201);
}

#[test]
fn a_client_that_waits_for_permission_gets_it_before_it_sends_the_body() {
    let post = Post::default().header("Expect", "100-continue");
    let mut connection = Connection::open(server().address()).expect("a connection");
    let mut head = post.header_head();
    head.extend(b"Content-Length: 5\r\n\r\n");
    connection.send(&head).expect("sent");
    // Nothing of the body is sent before the interim answer is there.
    assert_eq!(connection.receive_interim().expect("permission"), 100);
    connection.send(b"later").expect("sent");
    let answer = connection.receive().expect("an answer");
    assert_eq!((answer.status, answer.interim.as_slice()), (201, [].as_slice()));
    assert_eq!(json(&answer)["payload"], "later");
}

#[test]
fn a_client_that_waits_with_a_body_that_is_too_large_is_told_so_at_once() {
    let mut head = Post::default().header("Expect", "100-continue").header_head();
    head.extend(format!("Content-Length: {}\r\n\r\n", BODY_LIMIT_BYTES + 1).as_bytes());
    let answer = exchange(server().address(), &head).expect("an answer without a body being sent");
    assert_eq!((answer.status, answer.interim.as_slice()), (413, [].as_slice()));
}

#[test]
fn what_is_no_http_harms_nobody() {
    let garbage: [&[u8]; 7] = [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\r\n\r\n",
    ];
    for bytes in garbage {
        // Closing without an answer is one, too.
        if let Ok(answer) = exchange(server().address(), bytes) {
            assert!((400..500).contains(&answer.status), "{bytes:?}: {}", answer.status);
        }
        assert_eq!(server().get("/healthz").status, 200);
    }
}

#[test]
fn an_unknown_address_or_method_is_said_in_json() {
    let answer = server().get("/no/such/thing");
    assert_eq!((answer.status, json(&answer)["message"].is_string()), (404, true));
    let answer = server().send(b"DELETE /api/records HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((answer.status, json(&answer)["message"].is_string()), (405, true));
}

#[test]
fn http2_without_tls_is_spoken() {
    let post = Post::default();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--http2-prior-knowledge", "--write-out"]);
    curl.args(["\n%{http_code} %{http_version}", "--data-binary", "over two"]);
    for (name, value) in post.fields.iter().chain(&post.headers[1..]) {
        curl.arg("--header").arg(format!("{name}: {}", std::str::from_utf8(value).expect("text")));
    }
    let output = curl.arg(server().url("/v2/collector")).output();
    let output = output.unwrap_or_else(|error| panic!("curl is needed (scripts/setup-tests installs it): {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let (body, outcome) = text.rsplit_once('\n').expect("a line behind the body");
    assert_eq!(outcome, "201 2", "{text} {}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_str(body).expect("a record");
    assert_eq!(record["payload"], "over two");
}
