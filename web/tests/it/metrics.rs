//! `/metrics` of a server at work.

use telemetrics_testkit::{Post, Server};

use crate::servers::{accepted, embedded};

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
    for (series, expected) in [
        ("telemetrics_accepted_records_total", 3.0),
        ("telemetrics_redelivered_records_total", 1.0),
        ("telemetrics_rejected_records_total{reason=\"invalid\"}", 1.0),
        ("telemetrics_rejected_records_total{reason=\"telemetry_id\"}", 1.0),
        ("telemetrics_rejected_records_total{reason=\"unavailable\"}", 0.0),
        ("telemetrics_journal_group_records_sum", 3.0),
        ("telemetrics_journal_writable", 1.0),
    ] {
        assert!((value(&text, series) - expected).abs() < f64::EPSILON, "{series} in {text}");
    }
    assert!(value(&text, "telemetrics_journal_bytes") > 0.0);
    assert!(value(&text, "telemetrics_journal_sync_duration_seconds_count") >= 3.0);
    assert!(value(&text, "telemetrics_connections") >= 1.0);
    assert!(value(&text, "telemetrics_connections_total") >= 7.0);
}
