//! Statements of users at the real server: answers in every format, refusals with their reasons, and probes that are
//! answered as ever whatever a statement tries.

use std::fs;
use std::thread;

use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use telemetrics_testkit::http::{Answer, Connection};
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{ClickHouse, Post, Server};

use crate::servers::{self, PROGRAM, accepted, embedded, on_clickhouse};

/// Limits that a test reaches soon.
const NARROW: &str = "[sql]\nmemory_bytes = 33_554_432\ntime_s = 2\nrows = 100_000\n";
/// Records over which joins of everything with everything take longer than anybody waits.
const RECORDS: u64 = 20_000;
/// By how much greedy statements may raise the resident memory of the server, in KiB: two of them run at the same time,
/// with twice what one may have, and with what reading takes.
const RAISE_MAX_KIB: u64 = 300 << 10;

fn ask_at(server: &Server, path: &str, media_type: &str, body: &str) -> Answer {
    server.send(&request(path, media_type, body))
}

fn request(path: &str, media_type: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn ask(server: &Server, statement: &str) -> Answer {
    ask_at(server, "/api/sql", "text/plain", statement)
}

fn rows(server: &Server, statement: &str) -> Value {
    let answer = ask(server, statement);
    assert_eq!(answer.status, 200, "{statement}: {}", answer.text());
    servers::json(&answer)["rows"].take()
}

/// The reason of a refusal with this status.
fn refusal(server: &Server, status: u16, statement: &str) -> String {
    let answer = ask(server, statement);
    assert_eq!(answer.status, status, "{statement}: {}", answer.text());
    servers::json(&answer)["message"].as_str().expect("a message").to_owned()
}

#[test]
fn both_stores_answer_statements_about_what_was_just_posted() {
    for server in [embedded(), on_clickhouse()] {
        let id = accepted(&server, &Post::default());
        let found = rows(&server, "SELECT id, severity + 1 AS next, payload FROM records");
        assert_eq!((found[0]["id"].as_u64(), found.as_array().map(Vec::len)), (Some(id), Some(1)), "{found}");
        assert_eq!(rows(&server, "SELECT count(*) AS n FROM records"), json!([{"n": 1}]));
        let refused = refusal(&server, 400, "DROP TABLE records");
        assert!(refused.starts_with("DROP is not answered"), "{refused}");
        assert_eq!(rows(&server, "SHOW TABLES")[0]["table_name"], "records");
    }
}

#[test]
fn a_statement_comes_in_every_form_and_its_answer_goes_in_every_format() {
    let server = embedded();
    let statement = "SELECT * FROM (VALUES (2, 'b,c'), (1, 'a')) AS t (n, x) ORDER BY n";
    let expected = json!({"rows": [{"n": 1, "x": "a"}, {"n": 2, "x": "b,c"}]});
    let said = json!({"sql": statement}).to_string();
    let form = url::form_urlencoded::Serializer::new(String::new()).append_pair("sql", statement).finish();
    for (media_type, body) in [
        ("text/plain", statement),
        ("application/json", said.as_str()),
        ("application/x-www-form-urlencoded", form.as_str()),
    ] {
        let answer = ask_at(&server, "/api/sql", media_type, body);
        assert_eq!(servers::json(&answer), expected, "{media_type}");
    }
    let of = |format: &str| {
        let answer = ask_at(&server, &format!("/api/sql?format={format}"), "text/plain", statement);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    assert_eq!(of("csv").text(), "n,x\r\n1,a\r\n2,\"b,c\"\r\n");
    assert_eq!(of("ndjson").text(), "{\"n\":1,\"x\":\"a\"}\n{\"n\":2,\"x\":\"b,c\"}\n");
    let stream = of("arrow").body;
    let batches: Vec<_> = StreamReader::try_new(stream.as_slice(), None).expect("a stream").collect();
    assert_eq!(batches.iter().map(|batch| batch.as_ref().expect("a batch").num_rows()).sum::<usize>(), 2);
    let file = bytes::Bytes::from(of("parquet").body);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a file");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 2);
    let wrong = ask_at(&server, "/api/sql?format=xlsx", "text/plain", statement);
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert_eq!(server.get("/api/sql").status, 405);
}

#[test]
fn bodies_have_a_largest_size() {
    let server = embedded();
    let long = |bytes: usize| format!("SELECT 1 AS one -- {}", "x".repeat(bytes));
    assert_eq!(ask(&server, &long(65_000)).status, 200);
    for bytes in [66_000, 400_000, 4_000_000] {
        assert!(refusal(&server, 422, &long(bytes)).contains("at most 65536 bytes"), "{bytes}");
    }
}

/// Statements that try to take all memory or all time of a server with many records.
const GREEDY: [&str; 12] = [
    "SELECT count(*) FROM records a, records b, records c",
    "SELECT count(*) FROM records a CROSS JOIN records b CROSS JOIN records c WHERE a.id + b.id + c.id = 0",
    "SELECT max(a.payload || b.payload) FROM records a, records b",
    "SELECT a.id AS a, b.id AS b, c.id AS c FROM records a, records b, records c ORDER BY 1, 2, 3",
    "SELECT count(DISTINCT a.machine_id || b.machine_id) FROM records a, records b",
    "SELECT repeat(payload, 1000000) FROM records",
    "SELECT lpad(payload, 2000000000, 'x') FROM records",
    "SELECT repeat('x', 1000000000)",
    "SELECT a.payload AS a, b.payload AS b FROM records a, records b",
    "SELECT *, row_number() OVER (ORDER BY payload) AS n FROM records a JOIN (SELECT severity AS s FROM records) b ON \
     a.severity = b.s",
    "SELECT count(*) FROM records a JOIN records b ON a.arch = b.arch AND a.payload < b.payload JOIN records c ON a.arch = \
     c.arch AND c.payload < b.payload",
    "SELECT count(*) FROM records a JOIN records b ON a.arch = b.arch WHERE a.payload || b.payload ~ '(a|b|c)+d{1,100}'",
];

#[test]
fn greedy_statements_end_while_probes_are_answered() {
    let server = Server::start_with_config(PROGRAM, NARROW, &[]);
    fill(&server);
    let before = peak_kib(&server);
    let address = server.address();
    let ask = |statement: &'static str| {
        thread::spawn(move || {
            loop {
                let mut connection = Connection::open(address).expect("a connection");
                connection.send(&request("/api/sql?format=csv", "text/plain", statement)).expect("sent");
                match connection.receive() {
                    // Others have their turn.
                    Ok(answer) if answer.status == 503 => {}
                    answer => return (statement, answer),
                }
            }
        })
    };
    let asked: Vec<_> = GREEDY.into_iter().map(ask).collect();
    let mut posted: u64 = 0;
    while asked.iter().any(|asked| !asked.is_finished()) {
        accepted(&server, &Post::default().payload(posted.to_string()));
        posted += 1;
    }
    for asked in asked {
        let (statement, answer) = asked.join().expect("a thread");
        // Refused before the first byte, or broken off behind it.
        let Ok(answer) = answer else { continue };
        assert!(answer.status == 422, "{statement}: {} {}", answer.status, shown(&answer));
    }
    let raised = peak_kib(&server) - before;
    assert!(raised < RAISE_MAX_KIB, "{raised} KiB more");
    // Those that were cut off are gone: others have their turn.
    let count = rows(&server, "SELECT count(*) AS n FROM records");
    assert_eq!(count[0]["n"].as_u64(), Some(RECORDS + posted));
}

fn shown(answer: &Answer) -> String {
    answer.text().chars().take(200).collect()
}

/// So many records with payloads of a kilobyte.
fn fill(server: &Server) {
    let filler = "payload abc ".repeat(80);
    let mut body = String::new();
    for number in 0..RECORDS {
        body += &(Post::default().payload(format!("{number} {filler}")).object() + "\n");
    }
    let headers = [("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", "application/x-ndjson")];
    let answer = server.post(&headers, body.as_bytes());
    assert_eq!((answer.status, servers::json(&answer)["accepted"].as_u64()), (200, Some(RECORDS)));
}

/// The most resident memory that a server had, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process().pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// A user of ClickHouse with rights, and one with none; the password of both is `it's`.
const USERS: &str = "<reader><password>it's</password><networks><ip>::/0</ip></networks><profile>default</profile>\
                     <quota>default</quota><grants><query>GRANT SELECT ON telemetry.records</query></grants></reader>\
                     <nobody><password>it's</password><networks><ip>::/0</ip></networks><profile>default</profile>\
                     <quota>default</quota><grants><query>GRANT SELECT ON other.records</query></grants></nobody>";

#[test]
fn in_clickhouse_statements_are_asked_by_a_user_who_may_only_read() {
    let clickhouse = ClickHouse::start_with_users(USERS);
    let password = clickhouse.directory().join("sql-password");
    fs::write(&password, "it's\n").expect("written");
    let config = |user: &str| {
        format!(
            "read_wait_ms = 30000\n[store.clickhouse]\nurl = \"{}\"\ndatabase = \"telemetry\"\nsql_user = \
             \"{user}\"\nsql_password_file = \"{}\"\n",
            clickhouse.url(),
            password.display()
        )
    };
    let server = Server::start_with_config(PROGRAM, &config("reader"), &[]);
    accepted(&server, &Post::default());
    assert_eq!(rows(&server, "SELECT count(*) AS n FROM records"), json!([{"n": 1}]));
    assert_eq!(rows(&server, "SELECT reverse(payload) AS p FROM records").as_array().map(Vec::len), Some(1));
    let other = Server::start_as(PROGRAM, "web", &config("nobody"), &[]);
    let refused = refusal(&other, 500, "SELECT count(*) AS n FROM records");
    assert!(refused.contains("SELECT"), "{refused}");
    assert_eq!(other.get_json("/api/records")["records"].as_array().map(Vec::len), Some(1), "as the other user");
}

#[test]
fn clickhouse_keeps_the_limits_of_statements_itself() {
    let clickhouse = ClickHouse::shared();
    let database = clickhouse.create_database();
    let url = format!("{}/{database}", clickhouse.url());
    let server = Server::start_with_config(PROGRAM, NARROW, &["--clickhouse", &url]);
    accepted(&server, &Post::default());
    let columns = "id, ts_reception, classification, severity, payload";
    clickhouse.query(&format!(
        "INSERT INTO {database}.records ({columns}) SELECT number, now64(6), 'a/b/c', 1, concat(toString(number), \
         repeat('x', 1000)) FROM numbers(100000)"
    ));
    for statement in [
        "SELECT payload, count(*) AS n FROM records GROUP BY payload ORDER BY n, payload LIMIT 1",
        "SELECT count(*) FROM records a, records b, records c WHERE a.id + b.id + c.id = 0",
    ] {
        let reason = refusal(&server, 422, statement);
        assert!(!reason.is_empty(), "{statement}: {reason}");
    }
    assert!(rows(&server, "SELECT count(*) AS n FROM records")[0]["n"].as_u64() > Some(100_000));
}
