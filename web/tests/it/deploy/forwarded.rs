//! Behind nginx with `trusted_proxies`: what is limited and logged is the client, and nobody else says where he comes from.
//!
//! All of 127.0.0.0/8 is this machine, so that clients can have addresses of their own.

use std::process::Command;

use telemetrics_testkit::{Nginx, Server, captures};

use super::nginx::{by_curl, curl};
use crate::access::{Files, bearer};
use crate::servers::PROGRAM;

/// More attempts than there may be, however slow the machine is.
const MANY: usize = 60;

/// A server that believes the address of nginx, and writes a line about each request.
fn server(files: &Files) -> Server {
    let toml = format!("trusted_proxies = [\"127.0.0.1\"]\n{}", files.toml());
    Server::start_behind(&["env", "TELEMETRICS_LOG=info,access=debug"], PROGRAM, &toml, &[])
}

/// The status that a client with that address gets for a token, and what it sends more.
fn status(mut command: Command, from: &str, headers: &[&str]) -> u16 {
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", from]);
    for header in headers {
        command.args(["-H", header]);
    }
    let output = command.output().expect("curl");
    let status = String::from_utf8_lossy(&output.stdout).parse();
    status.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn directly(server: &Server) -> Command {
    let mut command = Command::new("curl");
    command.arg(server.url("/api/records"));
    command
}

#[test]
fn captured_requests_are_those_of_the_client_and_have_the_id_of_the_proxy() {
    let mut server = server(&Files::new());
    let nginx = Nginx::start(server.address());
    let captures = captures();
    let sent: Vec<_> =
        ["v2--", "v3--"].map(|begin| captures.iter().find(|capture| capture.name.starts_with(begin))).into();
    for capture in sent.into_iter().map(|capture| capture.expect("a captured request")) {
        let answer = by_curl(&nginx, capture, &["--interface", "127.0.0.2", "-H", "X-Forwarded-For: 198.51.100.7"]);
        assert_eq!(answer.status, 201, "{}: {}", capture.name, answer.text());
    }
    let log = server.terminate().stderr;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" access: ")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        assert!(line.contains("method=POST") && line.contains("from=127.0.0.2 "), "{line}");
        let (_, id) = line.split_once("request_id=").expect("an id");
        assert!(id.find('}') == Some(32), "nginx makes ids of 32 digits: {line}");
    }
    assert!(!log.contains("198.51.100.7"), "{log}");
}

#[test]
fn wrong_tokens_are_counted_by_the_client_behind_the_proxy() {
    let files = Files::new();
    let token = files.token("robot", "read");
    let mut server = server(&files);
    let nginx = Nginx::start(server.address());
    let asked = |from: &str, token: &str, headers: &[&str]| {
        let token = format!("Authorization: {}", bearer(token));
        status(curl(&nginx, "/api/records"), from, &[&[token.as_str()], headers].concat())
    };
    let lies = |number: usize| format!("X-Forwarded-For: 198.51.100.{number}");
    let statuses: Vec<u16> = (0..MANY).map(|number| asked("127.0.0.2", "wrong", &[&lies(number)])).collect();
    assert!(statuses.starts_with(&[401]) && statuses.contains(&429), "{statuses:?}");
    assert_eq!(asked("127.0.0.4", "wrong", &[]), 401, "another client has attempts of its own");
    assert_eq!((asked("127.0.0.4", &token, &[]), asked("127.0.0.2", &token, &[])), (200, 200));
    let log = server.terminate().stderr;
    assert!(log.contains("a sign-in was refused who=\"unknown\" from=127.0.0.2"), "{log}");
    assert!(!log.contains("198.51.100."), "{log}");
}

#[test]
fn who_is_no_trusted_proxy_cannot_say_where_he_comes_from() {
    let mut server = server(&Files::new());
    let lie = |number: usize| {
        let headers = [format!("X-Forwarded-For: 198.51.100.{number}"), "X-Request-Id: forged".to_owned()];
        let headers = headers.each_ref().map(String::as_str);
        status(directly(&server), "127.0.0.3", &[&headers[..], &["Authorization: Bearer wrong"]].concat())
    };
    let statuses: Vec<u16> = (0..MANY).map(lie).collect();
    assert!(statuses.starts_with(&[401]) && statuses.contains(&429), "{statuses:?}");
    // The same from the address of the proxy is what it says: this test can tell.
    let said = ["X-Forwarded-For: 198.51.100.99", "X-Request-Id: said", "Authorization: Bearer wrong"];
    assert_eq!(status(directly(&server), "127.0.0.1", &said), 401);
    let log = server.terminate().stderr;
    assert!(log.contains("from=127.0.0.3") && !log.contains("forged"), "{log}");
    let believed: Vec<&str> = log.lines().filter(|line| line.contains("198.51.100.")).collect();
    assert!(
        believed.iter().all(|line| line.contains("from=198.51.100.99") && line.contains("request_id=said")),
        "{log}"
    );
    assert_eq!(believed.len(), 2, "one line about the sign-in, one about the request: {log}");
}
