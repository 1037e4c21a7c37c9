//! No text of a user becomes SQL: neither a value nor a name.

use datafusion::prelude::{col, lit};

use super::{Remote, answer, records};

/// Attempts to end the literal and go on with a condition that every row meets.
const SMUGGLED: [&str; 8] = [
    r"\' OR 1=1 --",
    r"' OR 1=1 --",
    r"\\' OR 1=1 --",
    r"x\') OR (1=1) --",
    r"\",
    r"x' OR '1'='1",
    "\u{0}' OR 1=1 --",
    "x' /* ? */ UNION ALL SELECT 1 --",
];

#[tokio::test]
async fn no_value_becomes_a_condition() {
    let rows = records().into_iter().filter(|record| record.report.payload == "plain").collect::<Vec<_>>();
    let remote = Remote::with(&rows).await;
    for text in SMUGGLED {
        let conditions = [
            col("payload").eq(lit(text)),
            col("payload").in_list(vec![lit(text), lit("y")], false),
            col("payload").like(lit(format!("{text}%"))),
            col("payload").ilike(lit(format!("{text}_"))),
            datafusion::functions::expr_fn::starts_with(col("payload"), lit(text)),
            datafusion::functions::expr_fn::regexp_like(
                col("payload"),
                lit(format!("x{}", text.replace(['(', ')', '*', '\\'], "."))),
                None,
            ),
            datafusion::functions::expr_fn::split_part(col("payload"), lit(text), lit(2_i64)).eq(lit("x")),
        ];
        for condition in conditions {
            let frame = remote.session.table("records").await.expect("the table");
            let found = frame.filter(condition.clone()).expect("a plan").count().await;
            assert!(matches!(found, Ok(0)), "{condition} of {text:?}: {found:?}");
        }
    }
}

#[tokio::test]
async fn no_name_becomes_sql() {
    let rows = records();
    let remote = Remote::with(&rows).await;
    for name in [r"x` FROM records -- ", r"x\", r"\` OR 1=1 --", "a\nb", "`"] {
        let quoted = name.replace('"', "\"\"");
        let sql = format!(
            "SELECT \"{quoted}\" FROM (SELECT count(*) AS \"{quoted}\" FROM records WHERE id = 1000) AS \"{quoted}t\""
        );
        let batches = answer(&remote.session, &sql).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let count = datafusion::arrow::array::AsArray::as_primitive::<datafusion::arrow::datatypes::Int64Type>(
            batches[0].column(0),
        )
        .value(0);
        assert_eq!(count, 1, "{name:?}");
    }
}

#[tokio::test]
async fn what_is_sent_can_only_read() {
    let remote = Remote::with(&records()[..1]).await;
    // The settings of the reader, against the server itself.
    let url = telemetrics_testkit::ClickHouse::shared().address();
    let sql = format!("DROP TABLE {}.records", remote.database);
    let request = format!("POST /?readonly=2 HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{sql}", sql.len());
    let answer = telemetrics_testkit::http::exchange(url, request.as_bytes()).expect("an answer");
    assert!(answer.text().contains("READONLY"), "{}", answer.text());
}
