//! An answer is whole or an error.

use telemetrics_analytics::clickhouse::{ClickHouseError, ClickHouseSettings};
use telemetrics_schema::columns::COLUMNS;
use telemetrics_testkit::ClickHouse;

use super::{answer, session, session_with, settings};

/// A database whose table is a view that gives many rows, each after `fault` was computed from its `number`.
fn database_with_fault(fault: &str) -> String {
    let server = ClickHouse::shared();
    let database = server.create_database();
    let others = COLUMNS.iter().skip(1).map(|column| {
        let kind = column.kind.clickhouse();
        format!("CAST(defaultValueOfTypeName('{}') AS {kind}) AS {}", kind.replace('\'', "\\'"), column.name)
    });
    let others = others.collect::<Vec<_>>().join(", ");
    server.query(&format!(
        "CREATE VIEW {database}.records AS \
         SELECT toInt64(number + {fault}) AS id, {others} FROM system.numbers LIMIT 3000000"
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
