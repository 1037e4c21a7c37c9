//! `/metrics` of a server at work.

use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};

use crate::servers::{PROGRAM, accepted, embedded, id_of, records};

/// The value of one series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().expect("a number")
}

fn scrape(server: &Server) -> String {
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")));
    answer.text()
}

fn assert_values(text: &str, expected: &[(&str, f64)]) {
    for (series, expected) in expected {
        assert!((value(text, series) - expected).abs() < f64::EPSILON, "{series} in {text}");
    }
}

/// Records of the batch.
const ROWS: u32 = 3;

#[test]
fn a_batch_its_age_its_insert_and_what_fails_on_the_way_are_counted() {
    let clickhouse = ClickHouse::shared();
    let database = clickhouse.create_database();
    let (url, table) = (format!("{}/{database}", clickhouse.url()), format!("{database}.records"));
    // Only a question delivers.
    let config = "read_wait_ms = 50\n[drain]\nbatch_age_ms = 600000\n";
    let server = Server::start_with_config(PROGRAM, config, &["--clickhouse", &url]);
    wait_until("a table", || server.get("/api/records").status == 200);
    assert_values(
        &scrape(&server),
        &[
            ("telemetrics_store_batch_records_count", 0.0),
            ("telemetrics_store_insert_duration_seconds_count", 0.0),
            ("telemetrics_store_insert_failures_total{reason=\"unavailable\"}", 0.0),
            ("telemetrics_journal_oldest_record_age_seconds", 0.0),
            ("telemetrics_quarantined_records_total", 0.0),
        ],
    );
    clickhouse.query(&format!("RENAME TABLE {table} TO {table}_away"));
    for _ in 0..ROWS {
        accepted(&server, &Post::default());
    }
    id_of(&server.send(&Post::default().with("severity", "9").in_headers()));
    wait_until("a failure", || {
        // A question has it delivered.
        let _ = server.get("/api/records");
        value(&scrape(&server), "telemetrics_store_insert_failures_total{reason=\"unavailable\"}") >= 1.0
    });
    wait_until("a record that waits for a second", || {
        value(&scrape(&server), "telemetrics_journal_oldest_record_age_seconds") >= 1.0
    });
    let text = scrape(&server);
    assert_values(
        &text,
        &[
            ("telemetrics_pending_records", f64::from(ROWS)),
            ("telemetrics_quarantined_records_total", 1.0),
            ("telemetrics_quarantine_entries{kind=\"owed\"}", 1.0),
            ("telemetrics_quarantine_entries{kind=\"refused\"}", 0.0),
            ("telemetrics_store_batch_records_count", 0.0),
        ],
    );
    clickhouse.query(&format!("RENAME TABLE {table}_away TO {table}"));
    wait_until("the delivery", || value(&scrape(&server), "telemetrics_pending_records") < 1.0);
    assert_eq!(records(&server, "").len(), 3);
    let text = scrape(&server);
    assert_values(
        &text,
        &[
            ("telemetrics_store_batch_records_count", 1.0),
            ("telemetrics_store_batch_records_sum", f64::from(ROWS)),
            ("telemetrics_store_insert_duration_seconds_count", 1.0),
            ("telemetrics_store_insert_failures_total{reason=\"refused\"}", 0.0),
            ("telemetrics_journal_oldest_record_age_seconds", 0.0),
        ],
    );
    assert!(value(&text, "telemetrics_store_insert_duration_seconds_sum") > 0.0);
}

#[test]
fn what_a_server_does_is_counted() {
    let server = embedded();
    let before = scrape(&server);
    assert!(value(&before, "telemetrics_accepted_records_total").abs() < f64::EPSILON);
    for n in 0..2 {
        accepted(&server, &Post::default().payload(format!("{n}")));
    }
    let again = Post::default().payload("again");
    assert_eq!(accepted(&server, &again), accepted(&server, &again));
    assert_eq!(
        server.send(&Post::default().with("severity", "9").header("User-Agent", "test").in_headers()).status,
        400
    );
    assert_eq!(server.send(&Post::default().header("X-Telemetry-TID", "wrong").in_headers()).status, 400);
    let text = scrape(&server);
    assert_values(
        &text,
        &[
            ("telemetrics_accepted_records_total", 3.0),
            ("telemetrics_redelivered_records_total", 1.0),
            ("telemetrics_rejected_records_total{reason=\"invalid\"}", 1.0),
            ("telemetrics_rejected_records_total{reason=\"telemetry_id\"}", 1.0),
            ("telemetrics_rejected_records_total{reason=\"unavailable\"}", 0.0),
            ("telemetrics_journal_group_records_sum", 3.0),
            ("telemetrics_journal_writable", 1.0),
        ],
    );
    assert!(value(&text, "telemetrics_journal_bytes") > 0.0);
    assert!(value(&text, "telemetrics_journal_sync_duration_seconds_count") >= 3.0);
    assert!(value(&text, "telemetrics_connections") >= 1.0);
    assert!(value(&text, "telemetrics_connections_total") >= 7.0);
}
