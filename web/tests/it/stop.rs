//! A server that is asked to stop under load: it ends in order and in time, and what it acknowledged is there.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

use telemetrics_testkit::http::Connection;
use telemetrics_testkit::process::signal;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::load::{Faults, Load, Plan, in_clickhouse, in_server};
use crate::servers::{PROGRAM, accepted, id_of, ids, metric, records};

const STOPS: usize = 4;

#[test]
fn stops_under_load_cost_nothing_with_the_embedded_store() {
    let mut plan = Plan::new();
    let server = Server::start_with_config(PROGRAM, &plan.config(), &[]);
    stops_under_load(server, &mut plan);
}

#[test]
fn stops_under_load_cost_nothing_with_clickhouse() {
    let clickhouse = ClickHouse::shared();
    let (mut plan, database) = (Plan::new(), clickhouse.create_database());
    let url = format!("{}/{database}", clickhouse.url());
    let server = Server::start_with_config(PROGRAM, &plan.config(), &["--clickhouse", &url]);
    let stored = stops_under_load(server, &mut plan);
    assert_eq!(in_clickhouse(clickhouse, &database), stored, "{}", plan.context);
}

fn stops_under_load(mut server: Server, plan: &mut Plan) -> Vec<crate::load::Stored> {
    let load = Load::start(plan, Faults::Expected);
    for _ in 0..STOPS {
        load.aim_at(&server);
        load.wait_for(plan.chance.between(100, 400));
        stop(&mut server, &load);
        server.restart();
    }
    load.aim_at(&server);
    let ledger = load.finish();
    let stored = in_server(&server);
    ledger.check(&stored, &plan.context);
    stored
}

fn stop(server: &mut Server, load: &Load) {
    let ended = server.terminate();
    load.hold();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
}

#[test]
fn a_stop_while_the_store_hangs_leaves_the_rest_in_the_journal() {
    let clickhouse = ClickHouse::start();
    let mut plan = Plan::new();
    let url = format!("{}/telemetry", clickhouse.url());
    let mut server = Server::start_with_config(PROGRAM, &plan.config(), &["--clickhouse", &url]);
    let load = Load::start(&mut plan, Faults::Expected);
    load.aim_at(&server);
    load.wait_for(200);
    clickhouse.pause();
    load.wait_for(400);
    stop(&mut server, &load);
    server.restart();
    let pending = metric(&server, "telemetrics_pending_records");
    assert!(pending >= 300, "{pending} records wait for the store");
    clickhouse.resume();
    load.aim_at(&server);
    let ledger = load.finish();
    let stored = in_server(&server);
    ledger.check(&stored, &plan.context);
    assert_eq!(in_clickhouse(&clickhouse, "telemetry"), stored, "{}", plan.context);
}

/// A connection on which a record was begun: the server waits for its body, of which a part is sent.
fn begun(server: &Server, post: &Post) -> (Connection, Vec<u8>) {
    let mut connection = Connection::open(server.address()).expect("a connection");
    let whole = post.clone().header("Expect", "100-continue").in_headers();
    let head = whole.len() - post.payload.len();
    connection.send(&whole[..head]).expect("sent");
    assert_eq!(connection.receive_interim().expect("an interim answer"), 100);
    connection.send(&whole[head..=head]).expect("sent");
    (connection, whole[head + 1..].to_vec())
}

/// Waits until the server takes no new connections any more.
fn wait_until_closed(address: SocketAddr) {
    wait_until("that nobody listens", || {
        TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

#[test]
fn a_record_that_was_begun_before_a_stop_is_taken_and_no_new_one_is() {
    let mut server = Server::start(PROGRAM, &[]);
    let post = Post::default().payload("begun before the stop");
    let (mut connection, rest) = begun(&server, &post);
    let (address, pid) = (server.address(), server.process().pid().to_string());
    assert!(signal("TERM", &pid), "{}", server.process());
    wait_until_closed(address);
    connection.send(&rest).expect("sent");
    let answer = connection.receive().expect("an answer");
    let id = id_of(&answer);
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("cut off"), "{}", ended.stderr);
    server.restart();
    let stored = records(&server, "payload=begun+before");
    assert_eq!(ids(&stored), [id]);
}

#[test]
fn who_never_ends_his_record_does_not_hold_a_stop() {
    let mut server = Server::start(PROGRAM, &[]);
    let (mut connection, _rest) = begun(&server, &Post::default().payload("never sent as a whole"));
    let whole = accepted(&server, &Post::default());
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("connections were cut off before they ended"), "{}", ended.stderr);
    assert!(connection.receive().is_err(), "nobody said that it was taken");
    server.restart();
    assert_eq!(ids(&records(&server, "")), [whole]);
}
