//! How a ClickHouse server is reached: user, password file, time limit, compression.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Process, Server};

use crate::servers::{PROGRAM, accepted, records};

/// Runs `telemetrics migrate` with a section `[store.clickhouse]` of `url` and `more`.
fn migrate(url: &str, more: &str) -> Ended {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("right"), "\n").expect("written");
    fs::write(dir.path().join("wrong"), "wrong\n").expect("written");
    fs::write(dir.path().join("t.toml"), format!("[store.clickhouse]\nurl = '{url}'\n{more}\n")).expect("written");
    let mut program = Command::new(PROGRAM);
    Process::start(program.args(["migrate", "--config", "t.toml"]).current_dir(dir.path()), dir.path()).wait()
}

#[test]
fn user_and_password_are_those_of_the_configuration() {
    let clickhouse = ClickHouse::shared();
    let database = format!("database = '{}'", clickhouse.create_database());
    let with = |more: &str| migrate(&clickhouse.url(), &format!("{database}\n{more}"));
    // The test's server has one user, without a password.
    assert!(with("user = 'default'\npassword_file = 'right'").status.success());
    for wrong in ["user = 'nobody'", "password_file = 'wrong'"] {
        let ended = with(wrong);
        assert_eq!(ended.status.code(), Some(1), "{wrong}: {ended:?}");
        assert!(ended.stderr.contains("Authentication failed"), "{wrong}: {}", ended.stderr);
    }
}

#[test]
fn a_server_that_is_silent_is_given_up_at_the_time_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let ended = migrate(&url, "request_timeout_ms = 100");
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no answer within 100 ms"), "{}", ended.stderr);
}

#[test]
fn records_arrive_compressed_or_not() {
    let clickhouse = ClickHouse::shared();
    for compression in ["lz4", "none"] {
        let database = clickhouse.create_database();
        let (url, payload) = (clickhouse.url(), "text \u{1f980} ".repeat(1_000));
        let config = format!(
            "read_wait_ms = 30000\n[store.clickhouse]\nurl = '{url}'\ndatabase = '{database}'\n\
             compression = '{compression}'\n"
        );
        let server = Server::start_with_config(PROGRAM, &config, &[]);
        accepted(&server, &Post::default().payload(payload.as_str()));
        assert_eq!(records(&server, "")[0]["payload"], payload, "{compression}");
    }
}
