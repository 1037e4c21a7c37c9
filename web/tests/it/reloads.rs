//! What a server takes anew on SIGHUP, and what it keeps when it cannot.

use std::fs;

use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{Post, Server, wait_until};

use crate::access::{Files, ask, basic, bearer};
use crate::servers::PROGRAM;

fn configure(server: &Server, toml: &str) {
    fs::write(server.dir().join("telemetrics.toml"), toml).expect("written");
    server.process().hang_up();
}

fn status(server: &Server, telemetry_id: &str) -> u16 {
    server.send(&Post::default().header("X-Telemetry-TID", telemetry_id).in_headers()).status
}

/// Waits for a line of the log that has all of that in it.
fn wait_for_line(server: &Server, parts: &[&str]) {
    server.process().wait_for_error(|line| parts.iter().all(|part| line.contains(part)).then_some(()));
}

#[test]
fn telemetry_ids_and_limits_change_while_records_arrive() {
    let server = Server::start_with_config(PROGRAM, "telemetry_ids = [\"one\"]\n", &[]);
    assert_eq!((status(&server, "one"), status(&server, "two")), (201, 400));
    configure(&server, "telemetry_ids = [\"two\"]\nread_wait_ms = 7\n");
    wait_for_line(&server, &["the configuration was read anew", "telemetry_ids"]);
    wait_for_line(&server, &["hold from the next start on", "read_wait_ms"]);
    assert_eq!((status(&server, "one"), status(&server, "two")), (400, 201));
    configure(&server, "telemetry_ids = [\"two\"]\n[rate_limit]\nrecords_per_s = 1\nburst_records = 1\n");
    wait_until("the limit", || status(&server, "two") == 429);
    let own = "ids = [{ telemetry_id = \"two\", records_per_s = 0 }]";
    configure(
        &server,
        &format!("telemetry_ids = [\"one\", \"two\"]\n[rate_limit]\nrecords_per_s = 1\nburst_records = 1\n{own}\n"),
    );
    wait_for_line(&server, &["the configuration was read anew", "rate_limit.ids"]);
    wait_until("the limit of one", || status(&server, "one") == 429);
    assert!((0..5).all(|_| status(&server, "two") == 201), "the other has one of its own, which is none");
    configure(&server, "telemetry_ids = [\"two\"]\n");
    wait_until("that one is unknown", || status(&server, "one") == 400);
    configure(&server, "telemetry_ids = [\"two\"\n");
    wait_for_line(&server, &["everything stays as it was", "telemetrics.toml:1"]);
    assert_eq!(status(&server, "one"), 400);
}

#[test]
fn users_and_tokens_come_and_go() {
    let files = Files::new();
    let token = files.token("ci", "read");
    let server = files.server();
    let read = |authorization: &str| ask(&server, "GET", "/api/records", Some(authorization)).status;
    assert_eq!((read(&basic("bob", "bob's password")), read(&bearer(&token))), (401, 200));
    files.user("bob", "read", "bob's password");
    assert_eq!(read(&basic("bob", "bob's password")), 401, "not before the signal");
    let other = files.token("ci", "read");
    server.process().hang_up();
    wait_until("the new token", || read(&bearer(&other)) == 200);
    assert_eq!((read(&basic("bob", "bob's password")), read(&bearer(&token))), (200, 401));
    fs::write(files.path("tokens"), "nonsense\n").expect("written");
    server.process().hang_up();
    wait_for_line(&server, &["users and tokens stay as they were", "tokens:1"]);
    assert_eq!(read(&bearer(&other)), 200);
}

#[test]
fn nothing_becomes_open_to_others_by_a_reload() {
    let files = Files::new();
    let config = files.path("t.toml");
    let toml = |listen: &str, more: &str| format!("listen = \"{listen}\"\n{more}");
    fs::write(&config, toml("0.0.0.0:0", &files.toml())).expect("written");
    let server = Server::start_plain(PROGRAM, &["serve", "--config", config.to_str().expect("text")]);
    let status =
        || exchange(server.address(), b"GET /api/records HTTP/1.1\r\nHost: x\r\n\r\n").expect("an answer").status;
    assert_eq!(status(), 401);
    // Valid by itself, but the server listens where it did.
    fs::write(&config, toml("127.0.0.1:0", "")).expect("written");
    server.process().hang_up();
    wait_for_line(&server, &["everything stays as it was", "allow_anonymous"]);
    assert_eq!(status(), 401);
    fs::write(&config, toml("0.0.0.0:0", "allow_anonymous = true\n")).expect("written");
    server.process().hang_up();
    wait_until("that everybody may", || status() == 200);
}
