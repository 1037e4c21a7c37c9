//! A ClickHouse that refuses one record of a batch for good: its neighbours are stored once, and it can be replayed.

use serde_json::Value;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::servers::{PROGRAM, accepted, id_of, ids, json, metric, records};

/// Records of the batch.
const ROWS: usize = 8;
/// Which of them is refused.
const REFUSED: usize = 5;
const REFUSED_PAYLOAD: &str = "what-the-store-refuses";
/// Inserts that are refused until the record stands alone: the whole batch, a half, a quarter, the record.
const REFUSALS: u64 = 4;
/// Parts of the batch that are stored: a half, a quarter, one record.
const STORED_PARTS: u64 = 3;
/// Only a question delivers, so that all records are in one batch.
const CONFIG: &str = "read_wait_ms = 30000\n[drain]\nbatch_age_ms = 600000\n";

fn entries(server: &Server) -> Vec<Value> {
    let mut answer = server.get_json("/api/quarantine");
    let Value::Array(entries) = answer["entries"].take() else { panic!("no list of entries") };
    entries
}

fn replay(server: &Server) -> Value {
    let address = server.address();
    let request = format!("POST /api/quarantine/replay HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    json(&server.send(request.as_bytes()))
}

/// How many rows the table has, and how many identifiers.
fn counts(database: &str) -> String {
    let sql = format!("SELECT count(), uniqExact(id) FROM {database}.records");
    ClickHouse::shared().query(&sql).trim_end().to_owned()
}

#[test]
fn one_refused_record_leaves_its_neighbours_stored_once_and_is_replayed_when_the_cause_is_gone() {
    let clickhouse = ClickHouse::shared();
    let database = clickhouse.create_database();
    let url = format!("{}/{database}", clickhouse.url());
    let mut server = Server::start_with_config(PROGRAM, CONFIG, &["--clickhouse", &url]);
    let constraint =
        format!("ALTER TABLE {database}.records ADD CONSTRAINT odd CHECK payload NOT LIKE '{REFUSED_PAYLOAD}%'");
    wait_until("a table", || clickhouse.try_query(&constraint).is_ok());
    let payload = |n| if n == REFUSED { REFUSED_PAYLOAD.to_owned() } else { format!("neighbour {n}") };
    let posted: Vec<u64> = (0..ROWS).map(|n| accepted(&server, &Post::default().payload(payload(n)))).collect();
    let mut expected: Vec<u64> = posted.iter().copied().filter(|id| *id != posted[REFUSED]).collect();
    expected.reverse();

    assert_eq!(ids(&records(&server, "")), expected);
    assert_eq!(counts(&database), format!("{0}\t{0}", ROWS - 1));
    let kept = entries(&server);
    assert_eq!(
        (kept.len(), kept[0]["id"].as_u64(), &kept[0]["kind"]),
        (1, Some(posted[REFUSED]), &Value::from("refused")),
        "{kept:?}"
    );
    let shown = server.get_json(&format!("/api/quarantine/{}", posted[REFUSED]));
    assert!(shown.to_string().contains("469"), "the reason is the store's: {shown}");
    assert_eq!(metric(&server, "telemetrics_store_insert_failures_total{reason=\"refused\"}"), REFUSALS);
    assert_eq!(metric(&server, "telemetrics_store_batch_records_count"), STORED_PARTS);

    let again = replay(&server);
    assert_eq!((&again["replayed"], &again["refused"]), (&Value::from(0), &Value::from(1)), "{again}");
    assert_eq!(entries(&server).len(), 1, "it is refused as before");

    // The batch was confirmed: the next process has nothing to do with it.
    server.kill();
    server.restart();
    assert_eq!(ids(&records(&server, "")), expected);
    assert_eq!(entries(&server).len(), 1);

    clickhouse.query(&format!("ALTER TABLE {database}.records DROP CONSTRAINT odd"));
    let done = replay(&server);
    assert_eq!(done["replayed"], 1, "{done}");
    assert!(entries(&server).is_empty());
    let stored = records(&server, "");
    let mut all = posted.clone();
    all.reverse();
    assert_eq!(ids(&stored), all);
    assert_eq!(stored[ROWS - 1 - REFUSED]["payload"], REFUSED_PAYLOAD);
    assert_eq!(counts(&database), format!("{ROWS}\t{ROWS}"));
    server.kill();
    server.restart();
    assert!(id_of(&server.send(&Post::default().in_headers())) > posted[ROWS - 1]);
    assert_eq!(records(&server, "").len(), ROWS + 1);
    assert_eq!(counts(&database), format!("{0}\t{0}", ROWS + 1));
}
