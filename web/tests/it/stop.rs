//! A server that is asked to stop under load: it ends in order and in time, and what it acknowledged is there.

use telemetrics_testkit::{ClickHouse, Server};

use crate::load::{Faults, Load, Plan, in_clickhouse, in_server};
use crate::servers::{PROGRAM, metric};

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
