//! What the server is asked: the SQL text of typical questions.

use datafusion::prelude::{col, lit};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::columns::{COLUMNS, RECORDS};

use super::{Remote, database_with_table, plan, plan_of, records, session};

async fn sent(sql: &str) -> Vec<String> {
    plan(&session(&database_with_table()), sql).await.0
}

#[tokio::test]
async fn the_newest_records_of_a_class_are_filtered_sorted_and_limited_there() {
    let sql = "SELECT id, payload FROM records WHERE classification = 'a/b/c' ORDER BY id DESC LIMIT 10";
    assert_eq!(
        sent(sql).await,
        ["SELECT `records`.`id`, `records`.`payload` \
         FROM `records` \
         WHERE (`records`.`classification` = 'a/b/c') \
         ORDER BY `records`.`id` DESC NULLS FIRST LIMIT 10"]
    );
}

#[tokio::test]
async fn groups_are_counted_there() {
    let sql = "SELECT build, count(*) AS n, count(DISTINCT machine_id) AS machines FROM records \
               WHERE ts_reception >= '2026-11-01' GROUP BY build ORDER BY n DESC";
    assert_eq!(
        sent(sql).await,
        ["SELECT `records`.`build`, count(1) AS `n`, count(DISTINCT `records`.`machine_id`) AS `machines` \
         FROM `records` \
         WHERE (`records`.`ts_reception` >= CAST('2026-11-01 00:00:00' AS DateTime64(6, 'UTC'))) \
         GROUP BY `records`.`build` \
         ORDER BY `n` DESC NULLS FIRST"]
    );
}

#[tokio::test]
async fn patterns_lists_and_cases_are_decided_there() {
    let sql = "SELECT CASE WHEN severity > 2 THEN 'high' ELSE 'low' END AS level FROM records \
               WHERE classification LIKE 'org.clearlinux/%' AND build IN ('1', '2')";
    assert_eq!(
        sent(sql).await,
        ["SELECT CASE WHEN (`records`.`severity` > 2) THEN 'high' ELSE 'low' END AS `level` \
         FROM `records` \
         WHERE (`records`.`classification` LIKE 'org.clearlinux/%' AND ((`records`.`build` = '1') OR (`records`.`build` = '2')))"]
    );
}

#[tokio::test]
async fn a_function_that_only_this_side_knows_runs_over_the_groups_made_there() {
    let sql = "SELECT reverse(build), n FROM (SELECT build, count(*) AS n FROM records GROUP BY build) AS per_build";
    assert_eq!(
        sent(sql).await,
        ["SELECT `per_build`.`build`, `per_build`.`n` \
         FROM (SELECT `records`.`build`, CAST(count(1) AS Int64) AS `n` \
         FROM `records` \
         GROUP BY `records`.`build`) AS `per_build`"]
    );
}

#[tokio::test]
async fn a_condition_that_only_this_side_knows_runs_over_what_the_others_left() {
    let sql = "SELECT id FROM records WHERE reverse(build) = '1' AND severity = 4";
    assert_eq!(
        sent(sql).await,
        ["SELECT `records`.`id`, `records`.`severity`, `records`.`build` \
         FROM `records` \
         WHERE (`records`.`severity` = 4)"]
    );
}

#[tokio::test]
async fn whole_records_are_asked_for_by_the_names_of_their_columns() {
    let records = records();
    let remote = Remote::with(&records).await;
    let table = remote.session.table(RECORDS).await.expect("the table");
    let condition = col("severity").eq(lit(4_i8)).and(col("id").lt(lit(1_100_i64)));
    let newest = table.filter(condition).and_then(|frame| frame.sort(vec![col("id").sort(false, false)]));
    let newest = newest.and_then(|frame| frame.limit(0, Some(3))).expect("a plan");
    let names: Vec<_> = COLUMNS.iter().map(|column| format!("`records`.`{}`", column.name)).collect();
    let expected = format!(
        "SELECT {} FROM `records` WHERE ((`records`.`severity` = 4) AND (`records`.`id` < 1100)) \
         ORDER BY `records`.`id` DESC NULLS LAST LIMIT 3",
        names.join(", ")
    );
    assert_eq!(plan_of(newest.clone()).await.0, [expected]);
    let batches = newest.collect().await.expect("rows");
    let found: Vec<_> = batches.iter().flat_map(|batch| from_batch(batch).expect("records")).collect();
    let expected: Vec<_> =
        records.into_iter().filter(|r| r.report.severity == 4 && r.id.0 < 1_100).rev().take(3).collect();
    assert_eq!(found, expected);
}
