//! ClickHouse behind TLS: what is accepted, what is refused, and that nothing is told to a server that is not the one.

use std::fs;

use telemetrics_testkit::{Authority, ClickHouse, Post, Server, TlsFront};

use crate::servers::{PROGRAM, accepted, ended, ids, records};

/// Sent with every request of these tests; the server has a user without a password and would refuse it.
const PASSWORD: &str = "do-not-tell-anybody";

/// A configuration for the port of `front` by the name of `host`, with more lines in the section of the server.
fn configuration(scheme: &str, host: &str, front: &TlsFront, database: &str, more: &str) -> String {
    let port = front.port();
    format!(
        "read_wait_ms = 30000\n[store.clickhouse]\nurl = \"{scheme}://{host}:{port}\"\ndatabase = \"{database}\"\n{more}"
    )
}

fn trusting(authority: &Authority) -> String {
    format!("ca_file = \"{}\"\n", authority.ca_file().display())
}

/// What `telemetrics migrate` says where it has to fail; it sends a password along.
fn refusal(scheme: &str, host: &str, front: &TlsFront, more: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, secret) = (dir.path().join("t.toml"), dir.path().join("secret"));
    fs::write(&secret, PASSWORD).expect("written");
    let more = format!("{more}password_file = \"{}\"\n", secret.display());
    fs::write(&file, configuration(scheme, host, front, "default", &more)).expect("written");
    let ended = ended(&["migrate", "--config", file.to_str().expect("text")]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(!ended.stderr.contains(PASSWORD), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn records_and_questions_go_through_tls() {
    let (authority, clickhouse) = (Authority::new(), ClickHouse::shared());
    let front = TlsFront::start(&authority, "localhost", clickhouse.address());
    let database = clickhouse.create_database();
    let toml = configuration("https", "localhost", &front, &database, &trusting(&authority));
    let server = Server::start_with_config(PROGRAM, &toml, &[]);
    let id = accepted(&server, &Post::default());
    assert_eq!(ids(&records(&server, "")), vec![id]);
    assert_eq!(clickhouse.query(&format!("SELECT id FROM {database}.records")), format!("{id}\n"));
    let heard = front.heard();
    assert!(heard.contains("INSERT INTO") && heard.contains("SELECT"), "writer and reader both go this way");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_told_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let front = TlsFront::start(&authority, "localhost", ClickHouse::shared().address());
    for more in [String::new(), trusting(&other)] {
        let message = refusal("https", "localhost", &front, &more);
        assert!(message.contains("not signed by a CA that is trusted here"), "{message}");
        assert!(message.contains("store.clickhouse.ca_file"), "{message}");
    }
    assert_eq!(front.heard(), "", "it knows neither the password nor anything else");
    refusal("https", "localhost", &front, &trusting(&authority));
    assert!(front.heard().contains(PASSWORD), "this test can tell: a server that is trusted hears it");
}

#[test]
fn a_certificate_for_another_name_is_refused_and_told_nothing() {
    let authority = Authority::new();
    let front = TlsFront::start(&authority, "db.example", ClickHouse::shared().address());
    for host in ["localhost", "127.0.0.1"] {
        let message = refusal("https", host, &front, &trusting(&authority));
        assert!(message.contains(&format!("not made for the name {host}")), "{message}");
    }
    assert_eq!(front.heard(), "");
}

#[test]
fn an_address_with_the_wrong_scheme_is_named() {
    let authority = Authority::new();
    let front = TlsFront::start(&authority, "localhost", ClickHouse::shared().address());
    let message = refusal("http", "localhost", &front, "");
    assert!(message.contains("the address of a port with TLS begins with https://"), "{message}");
    let plain = ClickHouse::shared().url().replace("http://", "https://");
    let message = ended(&["migrate", "--clickhouse", &plain]).stderr;
    assert!(message.contains("does not speak TLS at this port"), "{message}");
}

#[test]
fn a_server_whose_certificate_is_refused_keeps_nobody_from_posting() {
    let (authority, clickhouse) = (Authority::new(), ClickHouse::shared());
    let front = TlsFront::start(&authority, "localhost", clickhouse.address());
    let database = clickhouse.create_database();
    let wrong = configuration("https", "localhost", &front, &database, "");
    let mut server = Server::start_with_config(PROGRAM, &wrong, &[]);
    server.process().wait_for_error(|line| line.contains("not signed by a CA").then_some(()));
    let id = accepted(&server, &Post::default());
    server.kill();
    let right = configuration("https", "localhost", &front, &database, &trusting(&authority));
    fs::write(server.dir().join("telemetrics.toml"), right).expect("written");
    server.restart();
    assert_eq!(ids(&records(&server, "")), vec![id]);
}
