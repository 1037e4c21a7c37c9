//! nginx with the site for operators in front of the server: what probes send passes unchanged, what is larger or stranger
//! than that does not.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use telemetrics_testkit::http::{Answer, exchange};
use telemetrics_testkit::{Capture, Nginx, Post, Process, Server, nginx, request};

use super::tools::output;
use crate::captures::come_back;
use crate::servers::{accepted, embedded, metric, records};

#[test]
fn captured_requests_pass_over_http_1() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    come_back(&server, |capture| {
        nginx.send(&capture.bytes).unwrap_or_else(|error| panic!("{}: {error}", capture.name))
    });
    assert_eq!(said_by(&nginx), Vec::<String>::new());
}

#[test]
fn captured_requests_pass_over_http_2() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    come_back(&server, |capture| by_curl(&nginx, capture, &[]));
    assert_eq!(said_by(&nginx), Vec::<String>::new());
}

/// Warnings and errors of the proxy.
fn said_by(nginx: &Nginx) -> Vec<String> {
    let is_trouble =
        |line: &&str| ["[warn]", "[error]", "[crit]", "[alert]", "[emerg]"].iter().any(|level| line.contains(level));
    // A body above its buffer goes through a file, which it remarks upon.
    nginx
        .errors()
        .lines()
        .filter(is_trouble)
        .filter(|line| !line.contains("temporary file"))
        .map(str::to_owned)
        .collect()
}

/// Sends a captured request over HTTP/2, with its headers and no other ones, and with these options of curl.
pub(super) fn by_curl(nginx: &Nginx, capture: &Capture, options: &[&str]) -> Answer {
    let text = String::from_utf8(capture.bytes.clone()).expect("the captured requests are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("an end of headers");
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a path");
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("body"), body).expect("written");
    let mut command = curl(nginx, path);
    command
        .args(options)
        .args(["--http2", "--data-binary", "@body", "-D", "head", "-o", "answer"])
        .current_dir(dir.path());
    // Of itself, curl would send more than a probe does.
    command.args(["-H", "User-Agent:", "-H", "Accept:", "-H", "Expect:", "-H", "Content-Type:"]);
    let ours = ["host", "content-length", "connection", "accept"];
    for line in lines.filter(|line| !ours.contains(&line.split(':').next().unwrap_or_default().to_lowercase().as_str()))
    {
        let (name, value) = line.split_once(':').expect("a header");
        let is_empty = value.trim().is_empty();
        command.args(["-H", &if is_empty { format!("{name};") } else { line.to_owned() }]);
    }
    let ended = Process::start(&mut command, dir.path()).wait();
    assert!(ended.status.success(), "{}: {}", capture.name, ended.stderr);
    let head = fs::read_to_string(dir.path().join("head")).expect("a head");
    let status = head.lines().next().and_then(|line| line.strip_prefix("HTTP/2 ")).expect("HTTP/2");
    let body = fs::read(dir.path().join("answer")).expect("an answer");
    Answer { interim: Vec::new(), status: status.trim().parse().expect("a status"), headers: Vec::new(), body }
}

pub(super) fn curl(nginx: &Nginx, path: &str) -> Command {
    let mut command = Command::new("curl");
    let port = nginx.tls().port();
    command.args(["-sS", "--cacert"]).arg(nginx.ca_file());
    command.args(["--resolve", &format!("{}:{port}:127.0.0.1", nginx::NAME)]);
    command.arg(format!("https://{}:{port}{path}", nginx::NAME));
    command
}

#[test]
fn bytes_of_firmware_pass_in_header_values() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let post = Post::default().with("host_type", b"Vendor \xae|\xe9|1").with("cpu_model", "");
    assert_eq!(nginx.send(&post.in_headers()).expect("an answer").status, 201);
    assert_eq!(records(&server, "")[0]["machine_type"], "Vendor \u{ae}|\u{e9}|1");
}

#[test]
fn a_probe_that_waits_before_its_body_is_told_to_go_on() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let answer = nginx.send(&Post::default().header("Expect", "100-continue").in_headers()).expect("an answer");
    assert_eq!((answer.interim, answer.status), (vec![100], 201));
}

/// A post with a body of `bytes`, as an old probe writes its beginning.
fn large(bytes: usize, headers: &str) -> Vec<u8> {
    let tid = request::TELEMETRY_ID;
    let head = format!(
        "POST /v3/collector HTTP/1.1\r\nHost: a\r\nX-Telemetry-TID: {tid}\r\n{headers}Content-Length: {bytes}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + bytes, b' ');
    request
}

#[test]
fn a_body_is_too_large_for_the_proxy_where_it_is_for_every_request_of_the_server() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let answered = |bytes: usize, headers: &str| nginx.send(&large(bytes, headers)).expect("an answer");
    // The server's own limits: one record, and a batch of them. It answers in JSON.
    let one = answered((1 << 20) + 1, "");
    assert_eq!((one.status, one.header("content-type")), (413, Some("application/json")));
    let batch = answered(64 << 20, "Content-Type: application/x-ndjson\r\n");
    assert_ne!(
        batch.header("content-type"),
        Some("text/html"),
        "the proxy lets the largest batch pass: {}",
        batch.text()
    );
    // Only the length is sent: the proxy answers before the body.
    let head = "POST /v3/collector HTTP/1.1\r\nHost: a\r\nContent-Length: 67108865\r\n\r\n";
    let beyond = nginx.send(head.as_bytes()).expect("an answer");
    assert_eq!((beyond.status, beyond.header("content-type")), (413, Some("text/html")));
}

#[test]
fn exports_pass_whole_and_compressed_answers_as_they_are() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    for _ in 0..50 {
        accepted(&server, &Post::default().payload("x".repeat(8_000)));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = curl(&nginx, "/api/export?format=ndjson");
    let ended = Process::start(command.args(["--compressed", "--http2"]), dir.path()).wait();
    assert_eq!((ended.status.success(), ended.stdout.lines().count()), (true, 50), "{}", ended.stderr);
    assert_eq!(metric(&server, "telemetrics_export_records_total"), 50);
}

#[test]
fn people_who_come_without_tls_are_led_to_it() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let request = format!("GET /telemetryui/?a=b HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", nginx::NAME);
    let answer = exchange(nginx.plain(), request.as_bytes()).expect("an answer");
    let location = format!("https://{}/telemetryui/?a=b", nginx::NAME);
    assert_eq!((answer.status, answer.header("location")), (301, Some(location.as_str())));
}

#[test]
fn the_numbers_of_the_server_are_not_for_the_world() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    for path in ["/metrics", "/%6detrics", "//metrics", "/x/../metrics", "/metrics?a"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = nginx.send(request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    assert!(server.get("/metrics").text().contains("telemetrics_build_info"));
}

/// The head that the server behind the proxy is sent for a request.
fn forwarded(lines: &str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nginx = Nginx::start(listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a byte");
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("sent");
        String::from_utf8(head).expect("text")
    });
    let request = format!("GET /a HTTP/1.1\r\nHost: {}:8443\r\n{lines}\r\n", nginx::NAME);
    assert_eq!(nginx.send(request.as_bytes()).expect("an answer").status, 200);
    server.join().expect("a server")
}

#[test]
fn what_a_client_says_about_itself_is_replaced() {
    let lies = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n\
                X-Forwarded-Host: evil.example\r\nx_forwarded_for: 192.0.2.2\r\nX-Request-Id: evil.example\r\n";
    let head = forwarded(lies).to_lowercase();
    for line in ["host: telemetry.example.org:8443", "x-forwarded-for: 127.0.0.1", "x-forwarded-proto: https"] {
        assert_eq!(head.lines().filter(|other| *other == line).count(), 1, "{line} in {head}");
    }
    assert!(
        !head.contains("192.0.2.1") && !head.contains("evil.example") && !head.contains("forwarded: for"),
        "{head}"
    );
}

#[test]
fn nginx_finds_nothing_to_warn_of_in_the_site() {
    let server: Server = embedded();
    let nginx = Nginx::start(server.address());
    assert_eq!(said_by(&nginx), Vec::<String>::new());
    let version = output(std::path::Path::new("/"), "sh", &["-c", "nginx -v 2>&1"]);
    assert!(version.contains("nginx/1."), "{version}");
}
