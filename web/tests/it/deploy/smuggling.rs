//! Requests that two servers may take for different ones: behind the proxy, none of them becomes a second request.

use std::io::{Read, Write};

use telemetrics_testkit::http::Connection;
use telemetrics_testkit::{Nginx, Post, Server, request};

use crate::servers::{embedded, records};

/// The class of records that no server may take.
const SMUGGLED: &str = "org.example/smuggled/record";

/// A whole request that has to stay what it is: a part of a body.
fn smuggled() -> String {
    let post = Post::default().with("classification", SMUGGLED).to("/v2/collector");
    String::from_utf8(post.in_headers()).expect("text")
}

/// Requests that the server answered since its start; asking is one more.
fn answers(server: &Server) -> u64 {
    let text = server.get("/metrics").text();
    let values = text.lines().filter_map(|line| line.strip_prefix("telemetrics_answers_total{")?.split_once("} "));
    values.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
}

/// Sends bytes and reads all answers, until the connection is closed.
fn sent(nginx: &Nginx, bytes: &[u8]) -> Vec<u16> {
    let mut connection = Connection::over(nginx.connect("http/1.1"));
    // Whoever answers early may close before all is sent.
    let _ = connection.send(bytes);
    // A last request that says so closes the connection; it is no attack, and is not counted as one.
    let _ = connection.send(b"GET /healthz HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n");
    std::iter::from_fn(|| connection.receive().ok()).map(|answer| answer.status).collect()
}

/// The head of a post with these lines, without a length.
fn head(lines: &str) -> String {
    format!("POST /v2/collector HTTP/1.1\r\nHost: a\r\nX-Telemetry-TID: {}\r\n{lines}\r\n", request::TELEMETRY_ID)
}

/// Heads whose body some take to end early, and what is in the body.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let inner = smuggled();
    let (length, chunks) = (inner.len() + 5, format!("0\r\n\r\n{inner}"));
    let with = |lines: &str| head(&lines.replace("LENGTH", &length.to_string())) + &chunks;
    let mut attacks: Vec<(&'static str, Vec<u8>)> = [
        ("length, then chunks", with("Content-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n")),
        ("chunks, then length", with("Transfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n")),
        ("two lengths", with("Content-Length: 5\r\nContent-Length: LENGTH\r\n")),
        ("two lengths the other way", with("Content-Length: LENGTH\r\nContent-Length: 5\r\n")),
        ("a list of lengths", with("Content-Length: 5, LENGTH\r\n")),
        ("a length with a sign", with("Content-Length: +LENGTH\r\n")),
        ("a negative length", with("Content-Length: -1\r\n")),
        ("a length in hexadecimal digits", with("Content-Length: 0x5\r\n")),
        ("a length with a blank", with("Content-Length: 5 5\r\n")),
        ("a length of too many digits", with("Content-Length: 18446744073709551621\r\n")),
        ("a length behind a blank", with("Content-Length : LENGTH\r\nTransfer-Encoding: chunked\r\n")),
        ("chunks behind a blank", with("Transfer-Encoding : chunked\r\nContent-Length: LENGTH\r\n")),
        ("chunks in a folded line", with("X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n")),
        ("a folded coding", with("Transfer-Encoding:\r\n chunked\r\nContent-Length: LENGTH\r\n")),
        ("a folded length", with("Content-Length:\r\n LENGTH\r\n")),
        ("an unknown coding", with("Transfer-Encoding: xchunked\r\nContent-Length: LENGTH\r\n")),
        ("two codings", with("Transfer-Encoding: chunked, identity\r\nContent-Length: LENGTH\r\n")),
        (
            "a coding twice",
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n"),
        ),
        ("a coding with a tab", with("Transfer-Encoding:\tchunked\r\nContent-Length: LENGTH\r\n")),
        ("a coding with a control character", with("Transfer-Encoding: \x0bchunked\r\nContent-Length: LENGTH\r\n")),
        ("a coding with underscores", with("Transfer_Encoding: chunked\r\nContent-Length: LENGTH\r\n")),
        ("a length with underscores", with("Content_Length: 5\r\nContent-Length: LENGTH\r\n")),
        ("a bare line feed before the coding", with("X: y\nTransfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n")),
        ("bare line feeds only", with("Content-Length: LENGTH\r\n").replace("\r\n", "\n")),
        ("a bare carriage return", with("X: y\rTransfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n")),
        ("a NUL", with("X: y\0\r\nContent-Length: LENGTH\r\n")),
        ("two hosts", with("Host: b\r\nContent-Length: LENGTH\r\n")),
        (
            "chunks in HTTP/1.0",
            with("Transfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n").replacen("HTTP/1.1", "HTTP/1.0", 1),
        ),
        ("two versions", with("Content-Length: LENGTH\r\n").replacen("HTTP/1.1", "HTTP/1.1 HTTP/1.1", 1)),
    ]
    .into_iter()
    .map(|(name, text)| (name, text.into_bytes()))
    .collect();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (name, size) in [
        ("a chunk size in hexadecimal digits with a mark", "0x0"),
        ("a chunk size with a sign", "-0"),
        ("a chunk size that is no number", "zero"),
        ("a chunk size of too many digits", "ffffffffffffffff0"),
    ] {
        attacks.push((name, format!("{}{size}\r\n\r\n{inner}", head(chunked)).into_bytes()));
    }
    let in_path = format!("GET /healthz?\r\n\r\n{inner} HTTP/1.1\r\nHost: a\r\n\r\n");
    attacks.push((
        "a line feed in a path, in percents",
        in_path.replacen("?\r\n\r\n", "?%0d%0a%0d%0a", 1).replace("\r\nHost", "\nHost").into_bytes(),
    ));
    attacks
}

#[test]
fn no_attack_becomes_a_second_request() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    for (name, bytes) in attacks() {
        let before = answers(&server);
        let answered = sent(&nginx, &bytes);
        // Of the asking itself, of the last request, and of the attack where it passes as one request.
        let own = if answered.len() > 1 { 2 } else { 1 };
        let requests = (answers(&server) - before).saturating_sub(own);
        assert!(requests <= 1, "{name}: {requests} requests, answered {answered:?}");
        assert_nothing_arrived(&server, name);
    }
    // The connections between proxy and server are as they should be: whoever comes next gets his own answer.
    for _ in 0..20 {
        let answer = nginx.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    }
}

#[test]
fn what_the_proxy_takes_for_two_requests_is_answered_as_two() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    // The proxy ends the line at the line feed, and with it the chunks: what follows is a request of its own to it.
    let request = format!("{}0;a=\"\n\"\r\n\r\n{}", head("Transfer-Encoding: chunked\r\n"), smuggled());
    let before = answers(&server);
    let answered = sent(&nginx, request.as_bytes());
    let requests = (answers(&server) - before).saturating_sub(1);
    assert_eq!(requests, answered.len() as u64, "the server saw what the proxy saw: {answered:?}");
}

/// Neither among the records nor in the quarantine.
fn assert_nothing_arrived(server: &Server, name: &str) {
    let found = records(server, "").into_iter().filter(|record| record["classification"] == SMUGGLED).count();
    assert_eq!(found, 0, "{name}");
    let kept = server.get("/api/quarantine").text();
    // What was refused as a whole may be kept with the attack in its payload, which is where it belongs.
    assert!(!kept.contains(&format!("\"classification\":\"{SMUGGLED}\"")), "{name}: {kept}");
}

#[test]
fn the_smuggled_request_would_be_noticed() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let before = answers(&server);
    let answered = sent(&nginx, [smuggled(), smuggled()].concat().as_bytes());
    assert_eq!(answered, [201, 201, 200]);
    assert_eq!(answers(&server) - before - 2, 2, "two requests that follow each other are two requests");
    assert_eq!(records(&server, "").iter().filter(|record| record["classification"] == SMUGGLED).count(), 2);
}

/// Frames of HTTP/2, as an attacker writes them.
mod frames {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;

    pub(super) fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("a frame").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], content].concat()
    }

    /// A literal without indexing; lengths below 127 are one byte.
    fn literal((name, value): &(&str, &str)) -> Vec<u8> {
        let text = |text: &str| {
            let length = u8::try_from(text.len()).expect("a short text");
            assert!(length < 127, "{text}");
            [&[length], text.as_bytes()].concat()
        };
        [vec![0], text(name), text(value)].concat()
    }

    /// A whole connection with one request.
    pub(super) fn request(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let block: Vec<u8> = headers.iter().flat_map(literal).collect();
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, b""),
            frame(HEADERS, END_HEADERS, 1, &block),
            frame(DATA, END_STREAM, 1, body),
        ]
        .concat()
    }
}

/// Sends a request over HTTP/2 and waits until it was answered or refused: the kind of frame that says so.
fn sent_over_http_2(nginx: &Nginx, headers: &[(&str, &str)], body: &[u8]) -> Option<u8> {
    let mut stream = nginx.connect("h2");
    let _ = stream.write_all(&frames::request(headers, body));
    let _ = stream.flush();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, ..] = head;
        let mut content = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut content).ok()?;
        if [frames::HEADERS, frames::RST_STREAM, frames::GOAWAY].contains(&kind) {
            return Some(kind);
        }
    }
}

#[test]
fn no_attack_over_http_2_becomes_a_second_request() {
    let server = embedded();
    let nginx = Nginx::start(server.address());
    let body = format!("0\r\n\r\n{}", smuggled());
    let length = body.len().to_string();
    let attacks: [&[(&str, &str)]; 9] = [
        &[("transfer-encoding", "chunked")],
        &[("content-length", "5")],
        &[("content-length", "5"), ("content-length", &length)],
        &[("content-length", "0"), ("transfer-encoding", "chunked")],
        &[("x", "y\r\ntransfer-encoding: chunked")],
        &[("x", "y\ntransfer-encoding: chunked")],
        &[("x\r\ntransfer-encoding", "chunked")],
        &[("x: y\r\ntransfer-encoding: chunked\r\nz", "1")],
        &[("host", "b"), ("connection", "transfer-encoding")],
    ];
    for attack in attacks {
        let before = answers(&server);
        let base = [(":method", "POST"), (":scheme", "https"), (":path", "/v2/collector"), (":authority", "a")];
        sent_over_http_2(&nginx, &[&base, attack].concat(), body.as_bytes());
        let paths = [(":method", "POST"), (":scheme", "https"), (":path", "/v2 HTTP/1.1\r\nA: b"), (":authority", "a")];
        sent_over_http_2(&nginx, &paths, body.as_bytes());
        let healthy = nginx.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("an answer");
        assert_eq!(healthy.text(), "ok\n", "{attack:?}");
        let requests = (answers(&server) - before).saturating_sub(2);
        assert!(requests <= 2, "{attack:?}: {requests} requests of two");
        assert_nothing_arrived(&server, &format!("{attack:?}"));
    }
}
