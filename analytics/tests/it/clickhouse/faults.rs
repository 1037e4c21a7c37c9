//! An answer is whole or an error.

use clickhouse::Client;
use futures::StreamExt;
use telemetrics_analytics::clickhouse::{ClickHouseError, ClickHouseSettings};
use telemetrics_schema::columns::COLUMNS;
use telemetrics_testkit::ClickHouse;

use super::{Remote, answer, lines, records, session, session_with, settings};

/// A database whose table is a view that gives many rows, each after `fault` was computed from its `number`.
fn database_with_fault(fault: &str) -> String {
    database_of(ClickHouse::shared(), &format!("number + {fault}"), "LIMIT 3000000")
}

/// A database whose table is a view of rows with these identifiers.
fn database_of(server: &ClickHouse, id: &str, limit: &str) -> String {
    let database = server.create_database();
    let others = COLUMNS.iter().skip(1).map(|column| {
        let kind = column.kind.clickhouse();
        format!("CAST(defaultValueOfTypeName('{}') AS {kind}) AS {}", kind.replace('\'', "\\'"), column.name)
    });
    let others = others.collect::<Vec<_>>().join(", ");
    server.query(&format!(
        "CREATE VIEW {database}.records AS \
         SELECT toInt64({id}) AS id, {others} FROM system.numbers {limit}"
    ));
    database
}

async fn error_of(database: &str, sql: &str) -> ClickHouseError {
    let outcome = answer(&session(database), sql).await;
    let error = outcome.err().unwrap_or_else(|| panic!("{sql} gave a short answer"));
    ClickHouseError::of(&error).unwrap_or_else(|| panic!("{sql}: {error:?}")).clone()
}

#[tokio::test]
async fn a_failure_after_many_rows_is_an_error() {
    let database = database_with_fault("throwIf(number = 2500000, 'too late')");
    let error = error_of(&database, "SELECT id, payload FROM records").await;
    assert!(matches!(&error, ClickHouseError::Failed(message) if message.contains("too late")), "{error:?}");
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_too_much() {
    let database = database_with_fault("sleepEachRow(0.0001)");
    let settings = ClickHouseSettings { request_timeout_ms: 1_000, ..settings(&database) };
    let outcome = answer(&session_with(&settings), "SELECT id FROM records WHERE id < 0").await;
    let error = outcome.expect_err("too long");
    assert!(
        matches!(ClickHouseError::of(&error), Some(ClickHouseError::TooMuch(_) | ClickHouseError::Unavailable(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_table_that_is_not_made_yet_is_unavailable() {
    let database = ClickHouse::shared().create_database();
    let error = error_of(&database, "SELECT id FROM records").await;
    assert!(matches!(&error, ClickHouseError::Unavailable(message) if message.contains("UNKNOWN_TABLE")), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut server = ClickHouse::start();
    let settings = ClickHouseSettings::new(server.url());
    server.kill();
    let outcome = answer(&session_with(&settings), "SELECT count(*) FROM records").await;
    let error = outcome.expect_err("nobody there");
    assert!(matches!(ClickHouseError::of(&error), Some(ClickHouseError::Unavailable(_))), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_in_the_middle_is_an_error() {
    let mut server = ClickHouse::start();
    // Without an end: the answer cannot have been whole.
    let database = database_of(&server, "number", "");
    let settings = ClickHouseSettings { database, ..ClickHouseSettings::new(server.url()) };
    let question = session_with(&settings).sql("SELECT id, payload FROM records").await.expect("a plan");
    let mut batches = question.execute_stream().await.expect("a stream");
    let first = batches.next().await.expect("a batch").expect("rows");
    assert!(first.num_rows() > 0);
    server.kill();
    let last = loop {
        match batches.next().await {
            Some(Ok(_)) => {}
            last => break last,
        }
    };
    let error = last.expect("a short answer").expect_err("not the end of a loop");
    assert!(matches!(ClickHouseError::of(&error), Some(ClickHouseError::Unavailable(_))), "{error:?}");
}

/// What an operator sets for a user must not make answers short.
#[tokio::test]
async fn limits_of_the_user_are_errors_and_no_short_answers() {
    let remote = Remote::with(&records()).await;
    let session = |limits: &[(&str, &str)]| {
        let client = limits.iter().fold(Client::default(), |client, (name, value)| client.with_setting(*name, *value));
        session_with(&ClickHouseSettings { transport: client, ..settings(&remote.database) })
    };
    let sql = "SELECT id, count(*) FROM records GROUP BY id ORDER BY id";
    let whole = lines(&remote.session, sql).await;
    assert_eq!(lines(&session(&[("limit", "5"), ("offset", "1")]), sql).await, whole);
    for limits in [
        [("max_result_rows", "10"), ("result_overflow_mode", "break")],
        [("max_rows_to_read", "10"), ("read_overflow_mode", "break")],
        [("max_rows_to_group_by", "10"), ("group_by_overflow_mode", "any")],
    ] {
        let error = answer(&session(&limits), sql).await.err().unwrap_or_else(|| panic!("{limits:?}: a short answer"));
        assert!(matches!(ClickHouseError::of(&error), Some(ClickHouseError::TooMuch(_))), "{limits:?}: {error:?}");
    }
}
