//! A ClickHouse that is away: records are accepted all the same, questions say so, and nothing is lost or doubled.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::load::{Faults, Load, Plan, SENDERS_PER_STYLE, in_clickhouse, in_server};
use crate::servers::{PROGRAM, accepted, ids, json, metric, records};

/// A question does not wait for a store that is away.
const IMPATIENT: &str = "read_wait_ms = 50\n[drain]\nbatch_age_ms = 50\n";

#[test]
fn a_store_that_is_away_at_the_start_gets_its_records_once() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.kill();
    let mut server = Server::start_with_config(PROGRAM, IMPATIENT, &["--clickhouse", &address(&clickhouse)]);
    let mut posted = post(&server, 5);
    assert_away(&server);
    server.kill();
    server.restart();
    posted.extend(post(&server, 5));
    assert_eq!(server.get("/readyz").status, 200, "records are accepted while the store is away");
    clickhouse.restart();
    assert_delivered_once(&server, &clickhouse, &posted);
}

#[test]
fn a_store_that_goes_away_meanwhile_gets_its_records_once() {
    let mut clickhouse = ClickHouse::start();
    let mut server = Server::start_with_config(PROGRAM, IMPATIENT, &["--clickhouse", &address(&clickhouse)]);
    let mut posted = post(&server, 20);
    wait_until("an answer of the store", || server.get("/api/records").status == 200);
    posted.extend(post(&server, 20));
    clickhouse.kill();
    posted.extend(post(&server, 20));
    assert_away(&server);
    server.kill();
    server.restart();
    clickhouse.restart();
    posted.extend(post(&server, 20));
    assert_delivered_once(&server, &clickhouse, &posted);
}

fn address(clickhouse: &ClickHouse) -> String {
    format!("{}/telemetry", clickhouse.url())
}

fn post(server: &Server, count: usize) -> BTreeSet<u64> {
    (0..count).map(|_| accepted(server, &Post::default())).collect()
}

fn assert_away(server: &Server) {
    let is_away = |answer: &Answer| answer.status == 503 && answer.header("retry-after").is_some();
    for path in ["/api/records", "/api/records/1", "/telemetryui/records", "/telemetryui/records/record_details/1"] {
        let answer = server.get(path);
        assert!(is_away(&answer), "{path}: {} {}", answer.status, answer.text());
    }
    let page = server.get("/telemetryui/").text();
    assert!(page.contains("<h1>The store cannot be read now</h1>"), "{page}");
    assert_eq!(server.get("/healthz").status, 200);
}

fn assert_delivered_once(server: &Server, clickhouse: &ClickHouse, posted: &BTreeSet<u64>) {
    wait_until("the delivery of everything", || {
        let answer = server.get("/api/records");
        answer.status == 200 && answer.header("x-telemetrics-pending").is_none()
    });
    let mut expected: Vec<u64> = posted.iter().copied().collect();
    expected.reverse();
    assert_eq!(ids(&records(server, "")), expected);
    let counts = clickhouse.query("SELECT count(), uniqExact(id) FROM telemetry.records");
    assert_eq!(counts.trim_end(), format!("{0}\t{0}", posted.len()));
}

#[test]
fn an_answer_without_what_the_store_does_not_take_says_so() {
    let clickhouse = ClickHouse::start();
    let server = Server::start_with_config(PROGRAM, IMPATIENT, &["--clickhouse", &address(&clickhouse)]);
    let taken = accepted(&server, &Post::default());
    let pending = |answer: &Answer| answer.header("x-telemetrics-pending").map(str::to_owned);
    wait_until("the delivery of the first", || pending(&server.get("/api/records")).is_none());
    // One part is there: from now on questions are answered, and inserts are not.
    clickhouse.query("ALTER TABLE telemetry.records MODIFY SETTING parts_to_throw_insert = 1");
    let waiting = post(&server, 3);
    for path in
        ["/api/records", "/api/builds", "/api/trends", "/api/population", "/api/export?format=csv", "/api/crashes"]
    {
        let answer = server.get(path);
        assert_eq!((answer.status, pending(&answer).as_deref()), (200, Some("3")), "{path}: {}", answer.text());
    }
    assert_eq!(ids(&records(&server, "")), [taken]);
    let asked = server.post_to("/api/sql", &[("Content-Type", "text/plain")], b"SELECT count(*) AS n FROM records");
    assert_eq!((asked.status, pending(&asked).as_deref()), (200, Some("3")), "{}", asked.text());
    assert_eq!(json(&asked)["rows"][0]["n"], 1);
    let page = server.get("/telemetryui/records").text();
    assert!(page.contains("Not shown, because the store has not taken them yet: 3 records."), "{page}");
    for path in ["builds", "stats", "crashes", "population", "update_matrix"] {
        let page = server.get(&format!("/telemetryui/{path}")).text();
        assert!(page.contains("Not counted, because the store has not taken them yet: 3 records."), "{path}: {page}");
    }
    clickhouse.query("ALTER TABLE telemetry.records RESET SETTING parts_to_throw_insert");
    let mut posted = waiting;
    posted.insert(taken);
    assert_delivered_once(&server, &clickhouse, &posted);
    assert!(!server.get("/telemetryui/records").text().contains("has not taken them"));
}

/// Sets how long each outage under load takes, in seconds.
const OUTAGE_VARIABLE: &str = "TELEMETRICS_TEST_OUTAGE_S";
const SHORT: Outage = Outage { seconds: 3, senders_per_style: SENDERS_PER_STYLE };
/// Fewer senders, because what they sent has to be compared afterwards.
const LONG: Outage = Outage { seconds: 60, senders_per_style: 1 };
/// Acknowledged records that wait for the store at the end of an outage.
const PENDING_MIN: u64 = 500;

#[test]
fn senders_do_not_notice_a_clickhouse_that_died() {
    let mut clickhouse = ClickHouse::start();
    outage_under_load(&mut clickhouse, SHORT, ClickHouse::kill, ClickHouse::restart);
}

#[test]
fn senders_do_not_notice_a_clickhouse_that_hangs() {
    let mut clickhouse = ClickHouse::start();
    outage_under_load(&mut clickhouse, SHORT, |clickhouse| clickhouse.pause(), |clickhouse| clickhouse.resume());
}

#[test]
fn senders_do_not_notice_a_clickhouse_whose_table_is_gone() {
    let mut clickhouse = ClickHouse::start();
    let rename = |from: &str, to: &str| format!("RENAME TABLE telemetry.{from} TO telemetry.{to}");
    let (away, back) = (rename("records", "elsewhere"), rename("elsewhere", "records"));
    outage_under_load(&mut clickhouse, SHORT, sql(&away), sql(&back));
}

#[test]
fn senders_do_not_notice_a_clickhouse_that_refuses_for_a_minute() {
    let mut clickhouse = ClickHouse::start();
    let limit = |setting: &str| format!("ALTER TABLE telemetry.records {setting}");
    let (few, usual) =
        (limit("MODIFY SETTING parts_to_throw_insert = 1"), limit("RESET SETTING parts_to_throw_insert"));
    outage_under_load(&mut clickhouse, LONG, sql(&few), sql(&usual));
}

#[derive(Clone, Copy)]
struct Outage {
    seconds: u64,
    senders_per_style: usize,
}

fn sql(query: &str) -> impl FnOnce(&mut ClickHouse) {
    move |clickhouse| drop(clickhouse.query(query))
}

fn outage_under_load(
    clickhouse: &mut ClickHouse,
    Outage { seconds, senders_per_style }: Outage,
    begin: impl FnOnce(&mut ClickHouse),
    end: impl FnOnce(&mut ClickHouse),
) {
    let seconds = std::env::var(OUTAGE_VARIABLE).map_or(seconds, |text| text.parse().expect("a number of seconds"));
    let mut plan = Plan::new();
    let server = Server::start_with_config(PROGRAM, &plan.config(), &["--clickhouse", &address(clickhouse)]);
    let load = Load::start_with(&mut plan, Faults::Wrong, senders_per_style);
    load.aim_at(&server);
    server.process().wait_for_error(|line| line.contains("delivered a batch").then_some(()));
    begin(clickhouse);
    thread::sleep(Duration::from_secs(seconds));
    load.wait_until("records that wait", || metric(&server, "telemetrics_pending_records") >= PENDING_MIN);
    end(clickhouse);
    load.wait_for(100);
    let ledger = load.finish();
    println!("{}", ledger.summary());
    let stored = in_server(&server);
    ledger.check(&stored, &plan.context);
    assert_eq!(in_clickhouse(clickhouse, "telemetry"), stored, "{}", plan.context);
}
