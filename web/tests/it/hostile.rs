//! Clients that want to take the server down, or to see what is none of theirs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use telemetrics_testkit::http::{Connection, exchange};
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server, wait_until};

use crate::access::{Files, ask, basic};
use crate::servers::{PROGRAM, accepted, embedded, metric};

/// Connections that are open at the same time.
const CONNECTIONS: u64 = 10_000;
/// Files that this process and the server may have open meanwhile.
const FILES: u64 = 12_000;
/// How long a test waits for the end of a connection; the server's own limits are half of it.
const SILENCE_LIMIT: Duration = Duration::from_mins(2);

#[test]
fn no_path_leads_out_of_what_is_served() {
    let server = embedded();
    for path in [
        "/static/../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/datasets/records/../../../etc/passwd",
        "/datasets/records/date=..%2f..%2fx/records.parquet",
        "/datasets/records/..%2f..%2fjournal/records.parquet",
        "/datasets/records/date=2026-01-01%00/records.parquet",
        "/telemetryui/records/export/..%2f..%2fetc%2fpasswd",
        "/telemetryui/../../etc/passwd",
        "/api/records/..%2f..%2fcuration",
        "/api/quarantine/..%2fjournal",
        "//etc/passwd",
        "/..",
        "/%00",
        "/etc/passwd",
    ] {
        let answer = server.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {}: {}", answer.status, answer.text());
        assert!(!answer.text().contains("root:"), "{path}");
    }
}

#[test]
fn every_answer_tells_browsers_to_do_nothing_with_it() {
    let files = Files::new();
    let (open, closed) = (embedded(), files.server());
    let answers = [
        open.get("/api/records"),
        open.get("/metrics"),
        open.get("/nothing"),
        open.get("/telemetryui/"),
        open.get("/static/nothing"),
        open.get("/api/records?limit=x"),
        open.send(b"DELETE /api/records HTTP/1.1\r\nHost: x\r\n\r\n"),
        open.send(&Post::default().in_headers()),
        ask(&closed, "GET", "/api/records", None),
        ask(&closed, "GET", "/telemetryui/", None),
    ];
    for answer in answers {
        for (name, part) in [
            ("content-security-policy", "default-src 'none'"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "private"),
        ] {
            let values: Vec<_> = answer.headers.iter().filter(|(known, _)| known == name).collect();
            assert!(values.len() == 1 && values[0].1.contains(part), "{name}: {:?}", answer.headers);
        }
    }
}

#[test]
fn heads_that_are_too_large_are_told_so() {
    let server = embedded();
    let with = |lines: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{lines}\r\n").into_bytes();
    assert_eq!(server.send(&with(&format!("Cookie: a={}\r\n", "x".repeat(60_000)))).status, 200);
    assert_eq!(server.send(&with(&format!("Cookie: a={}\r\n", "x".repeat(2_000_000)))).status, 431);
    assert_eq!(server.send(&with(&"X: y\r\n".repeat(2_000))).status, 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2_000_000));
    assert!([414, 431].contains(&server.send(long.as_bytes()).status));
    let authorization = format!("Authorization: {}\r\n", basic("ann", &"x".repeat(50_000)));
    let closed = Files::new().server();
    let request = format!("GET /api/records HTTP/1.1\r\nHost: x\r\n{authorization}\r\n");
    assert_eq!(closed.send(request.as_bytes()).status, 401);
    assert_eq!(server.get("/healthz").status, 200);
}

/// Whether the server ends a connection that begins so, before it would be asked for.
fn is_ended(address: SocketAddr, begin: &[u8]) -> bool {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a time limit");
    stream.write_all(begin).expect("sent");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn who_is_too_slow_is_cut_off_and_keeps_nobody_waiting() {
    let server = embedded();
    let address = server.address();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let kept = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let begins: [&[u8]; 7] = [b"", b"P", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", &preface[..10], preface, kept];
    thread::scope(|scope| {
        let slow = begins.map(|begin| scope.spawn(move || is_ended(address, begin)));
        accepted(&server, &Post::default());
        for (task, begin) in slow.into_iter().zip(begins) {
            assert!(task.join().expect("an end"), "{}", String::from_utf8_lossy(begin));
        }
    });
    let mut body = Connection::open(address).expect("a connection");
    let head = Post::default().header_head();
    body.send(&[&head, b"Content-Length: 100\r\n\r\nx".as_slice()].concat()).expect("sent");
    let answer = body.receive().expect("an answer");
    assert_eq!(answer.status, 408, "{}", answer.text());
}

#[test]
fn who_takes_nothing_of_an_answer_is_cut_off_and_keeps_no_turn() {
    let server = Server::start_with_config(PROGRAM, "answer_stall_s = 1\n", &[]);
    // More than systems hold between two programs, several times over.
    let line = |_| Post::default().payload(vec![b'x'; 60_000]).object() + "\n";
    let headers = [("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", "application/x-ndjson")];
    for _ in 0..4 {
        let batch: String = (0..200).map(line).collect();
        assert_eq!(server.post(&headers, batch.as_bytes()).status, 200);
    }
    let idle: Vec<TcpStream> = (0..6)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address()).expect("a connection");
            stream.write_all(b"GET /api/export?format=ndjson HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
            stream
        })
        .collect();
    wait_until("the end of all of them", || {
        // This connection is one, too.
        let ended = ["left", "stalled"].map(|outcome| outcomes(&server, outcome)).iter().sum::<u64>();
        ended == 6 && metric(&server, "telemetrics_connections") == 1
    });
    assert_eq!(metric(&server, "telemetrics_running_exports"), 0);
    for mut stream in idle {
        let mut answer = Vec::new();
        // Reset or ended, but never whole.
        let _ended = stream.read_to_end(&mut answer);
        assert!(!answer.ends_with(b"0\r\n\r\n"), "{} bytes", answer.len());
    }
    let whole = server.get("/api/export?format=csv&fields=id");
    assert_eq!((whole.status, whole.text().lines().count()), (200, 801));
}

/// Exports that ended so.
fn outcomes(server: &Server, outcome: &str) -> u64 {
    let text = server.get("/metrics").text();
    let name = format!("telemetrics_exports_total{{outcome=\"{outcome}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

#[test]
fn ten_thousand_connections_are_held_and_records_still_taken() {
    rlimit::increase_nofile_limit(FILES).expect("a limit of open files");
    let (soft, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).expect("the limit");
    assert!(soft >= FILES, "this test needs {FILES} open files; the hard limit is {hard}");
    let server = embedded();
    let address = server.address();
    let open = |count: u64| -> Vec<TcpStream> {
        (0..count).map(|_| TcpStream::connect(address).expect("a connection")).collect()
    };
    let held: Vec<Vec<TcpStream>> = thread::scope(|scope| {
        let tasks: Vec<_> = (0..8).map(|_| scope.spawn(|| open(CONNECTIONS / 8))).collect();
        tasks.into_iter().map(|task| task.join().expect("connections")).collect()
    });
    wait_until("that all are accepted", || metric(&server, "telemetrics_connections_total") >= CONNECTIONS);
    accepted(&server, &Post::default());
    assert_eq!(exchange(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").expect("an answer").status, 200);
    drop(held);
    wait_until("that all are closed", || metric(&server, "telemetrics_connections") < 10);
    assert!(!server.process().errors().contains("a connection was not accepted"), "{}", server.process());
}

#[test]
fn what_a_client_says_about_a_proxy_is_not_believed() {
    let files = Files::new();
    let toml = |more: &str| format!("{more}{}", files.toml());
    let wrong = |server: &Server, from: &str| {
        let authorization = basic("ann", "wrong password");
        let lines = format!("Authorization: {authorization}\r\nX-Forwarded-For: {from}\r\n");
        server.send(format!("GET /api/records HTTP/1.1\r\nHost: x\r\n{lines}\r\n").as_bytes()).status
    };
    let statuses = |server: &Server| (0..12).map(|n| wrong(server, &format!("192.0.2.{n}"))).collect::<Vec<_>>();
    let plain = Server::start_with_config(PROGRAM, &toml(""), &[]);
    assert!(statuses(&plain).contains(&429), "another address each time helps nobody");
    let behind = Server::start_with_config(PROGRAM, &toml("trusted_proxies = [\"127.0.0.1\"]\n"), &[]);
    assert!(statuses(&behind).iter().all(|status| *status == 401), "a trusted proxy has many clients");
    behind.process().wait_for_error(|line| (line.contains("from=192.0.2.11")).then_some(()));

    let edit = |server: &Server, origin: &str, proto: &str| {
        let authorization = basic("ann", "ann's own password");
        let head = format!("POST /api/curation HTTP/1.1\r\nHost: t.example\r\nAuthorization: {authorization}\r\n");
        let lines = format!("Origin: {origin}\r\nX-Forwarded-Proto: {proto}\r\nContent-Length: 0\r\n\r\n");
        server.send(format!("{head}X-Forwarded-For: 192.0.2.200\r\n{lines}").as_bytes()).status
    };
    assert_eq!(edit(&behind, "https://t.example", "https"), 400, "its own page, with nothing in its form");
    assert_eq!(edit(&behind, "http://t.example", "https"), 403);
}
