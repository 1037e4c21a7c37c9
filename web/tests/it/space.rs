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
const FILE_BYTES: u64 = 16 * 1024;
/// Times that the space ends.
const ROUNDS: usize = 3;
/// Refused requests that show that it did.
const REFUSALS: u64 = 20;

#[test]
fn a_full_disk_is_told_and_forgotten_when_there_is_space() {
    let disk = SmallDisk::mount(DISK_BYTES);
    let mut plan = Plan::new();
    let mut server = Server::start_on_disk(&disk, PROGRAM, &plan.config(), &[]);
    let load = Load::start(&mut plan, Faults::Expected);
    for _ in 0..ROUNDS {
        load.aim_at(&server);
        load.wait_for(100);
        let before = load.unavailable();
        load.wait_until("refusals", || {
            // The server makes room for itself when a batch is delivered.
            disk.fill();
            load.unavailable() >= before + REFUSALS
        });
        server.kill();
        load.hold();
        server.restart();
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
        let before = load.unavailable();
        server.process().limit_file_bytes(Some(FILE_BYTES));
        load.wait_until("refusals", || load.unavailable() >= before + REFUSALS);
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
    load.wait_until("refusals", || load.unavailable() >= REFUSALS);
    server.kill();
    load.hold();
    server.restart();
    load.aim_at(&server);
    let before = load.unavailable();
    load.wait_until("refusals after a restart", || load.unavailable() >= before + REFUSALS);
    clickhouse.restart();
    goes_on(&load, &server);
    let stored = settle(load, &server, &plan);
    assert_eq!(in_clickhouse(&clickhouse, "telemetry"), stored, "{}", plan.context);
}

/// Without a word to the server, and for every sender.
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
