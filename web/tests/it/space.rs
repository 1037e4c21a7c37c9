//! No space: on the disk, for a file, or within the journal's quota. Senders are told to come again, what was
//! acknowledged stays, and with space everything goes on by itself.

use telemetrics_testkit::process::IGNORES_XFSZ;
use telemetrics_testkit::{ClickHouse, Server, SmallDisk};

use crate::load::{Faults, Load, Plan, in_clickhouse, in_server};
use crate::servers::PROGRAM;

const MIB: u64 = 1 << 20;
/// Holds the journal's segments and what the load makes of the table.
const DISK_BYTES: u64 = 64 * MIB;
/// Less than a segment of the journal and more than its header.
const FILE_BYTES: u64 = 8 * 1024;
/// Times that the space ends.
const ROUNDS: usize = 3;
/// Refused requests that show that it did.
const REFUSALS: u64 = 50;

#[test]
fn a_full_disk_is_told_and_forgotten_when_there_is_space() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut plan = Plan::new();
    let mut server = Server::start_on_disk(&disk, PROGRAM, &plan.config(), &[]);
    let load = Load::start(&mut plan, Faults::Expected);
    for _ in 0..ROUNDS {
        load.aim_at(&server);
        load.wait_for(100);
        // The server makes room for itself when a batch is delivered.
        wait_for_refusals(&load, || disk.fill());
        server.kill();
        load.hold();
        server.restart();
        assert_eq!(server.get("/healthz").status, 200, "a full disk keeps no server from starting");
        load.aim_at(&server);
        wait_for_refusals(&load, || disk.fill());
        disk.free();
        goes_on(&load, &server);
    }
    settle(load, &server, &plan);
}

#[test]
fn a_disk_that_refuses_writes_is_told_and_forgotten_when_it_takes_them() {
    let mut plan = Plan::new();
    let server = Server::start_behind(&IGNORES_XFSZ, PROGRAM, &plan.config(), &[]);
    let load = Load::start(&mut plan, Faults::Expected);
    load.aim_at(&server);
    for _ in 0..ROUNDS {
        load.wait_for(100);
        server.process().limit_file_bytes(Some(FILE_BYTES));
        wait_for_refusals(&load, || ());
        server.process().limit_file_bytes(None);
        goes_on(&load, &server);
    }
    settle(load, &server, &plan);
}

#[test]
fn a_full_journal_is_told_and_forgotten_when_the_store_is_back() {
    let mut clickhouse = ClickHouse::start();
    let mut plan = Plan::new();
    let url = format!("{}/telemetry", clickhouse.url());
    let config = plan.config().replace("[journal]\n", "[journal]\nquota_bytes = 12_582_912\n");
    let mut server = Server::start_with_config(PROGRAM, &config, &["--clickhouse", &url]);
    let load = Load::start(&mut plan, Faults::Expected);
    load.aim_at(&server);
    load.wait_for(100);
    clickhouse.kill();
    wait_for_refusals(&load, || ());
    server.kill();
    load.hold();
    server.restart();
    load.aim_at(&server);
    wait_for_refusals(&load, || ());
    clickhouse.restart();
    goes_on(&load, &server);
    let stored = settle(load, &server, &plan);
    assert_eq!(in_clickhouse(&clickhouse, "telemetry"), stored, "{}", plan.context);
}

fn wait_for_refusals(load: &Load, meanwhile: impl Fn()) {
    let before = load.unavailable();
    load.wait_until("refusals", || {
        meanwhile();
        load.unavailable() >= before + REFUSALS
    });
}

/// Without a word to the server.
fn goes_on(load: &Load, server: &Server) {
    load.aim_at(server);
    load.wait_for(200);
    load.wait_until("readiness", || server.get("/readyz").status == 200);
}

fn settle(load: Load, server: &Server, plan: &Plan) -> Vec<crate::load::Stored> {
    let ledger = load.finish();
    println!("{}", ledger.summary());
    let stored = in_server(server);
    ledger.check(&stored, &plan.context);
    stored
}
