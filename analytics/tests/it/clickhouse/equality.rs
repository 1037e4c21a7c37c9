//! Questions have the same answers, types included, over ClickHouse as over the same rows in memory.

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::functions_aggregate::expr_fn::{count, max};
use datafusion::prelude::{SessionContext, col, lit};
use telemetrics_schema::columns::RECORDS;

use super::{Remote, answer, lines, local, records};

/// Whole questions that ClickHouse answers in one go.
const SENT: [&str; 44] = [
    "SELECT * FROM records ORDER BY id",
    "SELECT count(*) FROM records",
    "SELECT id, payload FROM records WHERE severity >= 3 AND external ORDER BY id DESC LIMIT 10",
    "SELECT id FROM records WHERE NOT external AND id % 7 = 3 ORDER BY id LIMIT 5 OFFSET 2",
    "SELECT build, count(*), count(DISTINCT machine_id) FROM records GROUP BY build ORDER BY build",
    "SELECT build, count(*) AS n FROM records GROUP BY build HAVING count(*) > 10 ORDER BY n DESC, build",
    "SELECT classification, min(ts_reception), max(ts_capture), sum(severity), avg(severity) FROM records GROUP BY classification ORDER BY 1",
    "SELECT count(*) FILTER (WHERE external), sum(id) FILTER (WHERE severity = 9) FROM records",
    "SELECT sum(id), min(build), avg(severity), count(DISTINCT build), count(build) FROM records WHERE id < 0",
    "SELECT DISTINCT classification, severity FROM records ORDER BY 1, 2",
    "SELECT id FROM records WHERE classification LIKE 'org.clearlinux/crash/%' ORDER BY id",
    "SELECT id FROM records WHERE payload LIKE '%''%' ORDER BY id",
    r"SELECT id FROM records WHERE payload LIKE '%\%%' ORDER BY id",
    r"SELECT id FROM records WHERE payload LIKE 'under\_score' ORDER BY id",
    "SELECT id FROM records WHERE payload LIKE '_' OR payload LIKE 'two%lines' OR payload LIKE '_ crab' ORDER BY id",
    "SELECT id FROM records WHERE payload NOT LIKE '%a%' ORDER BY id",
    "SELECT id FROM records WHERE payload ILIKE '%GRÖSSE%' OR payload ILIKE 'größe%' OR payload ILIKE 'PLAIN' ORDER BY id",
    "SELECT id FROM records WHERE build IN ('40000', '40020', 'x') AND severity NOT IN (1, 2) ORDER BY id",
    r"SELECT id FROM records WHERE payload IN ('it''s', '', 'back\slash', '\'' OR 1=1 --') ORDER BY id",
    "SELECT id FROM records WHERE ts_reception >= '2026-11-20T00:00:00' AND ts_reception < '2026-11-21 12:30:00.5' ORDER BY id",
    "SELECT id FROM records WHERE ts_reception BETWEEN TIMESTAMP '2026-11-20' AND TIMESTAMP '2026-11-22' ORDER BY id",
    "SELECT id FROM records WHERE ts_capture > '2200-01-01' ORDER BY id",
    "SELECT severity, CASE WHEN severity > 2 THEN 'high' ELSE 'low' END AS level, count(*) FROM records GROUP BY 1, 2 ORDER BY 1",
    "SELECT CASE severity WHEN 1 THEN 'one' WHEN 2 THEN 'two' END AS name, count(*) FROM records GROUP BY 1 ORDER BY 1 NULLS FIRST",
    "SELECT CASE severity WHEN 1 THEN 'one' WHEN 2 THEN 'two' END AS name, count(*) FROM records GROUP BY 1 ORDER BY 1 DESC NULLS LAST",
    "SELECT date_trunc('hour', ts_reception) AS h, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT date_trunc('day', ts_capture), date_trunc('week', ts_capture), date_trunc('month', ts_capture), date_trunc('quarter', ts_capture), date_trunc('year', ts_capture), date_trunc('minute', ts_capture), date_trunc('second', ts_reception) FROM records ORDER BY id",
    "SELECT date_part('year', ts_capture), date_part('quarter', ts_capture), date_part('month', ts_capture), date_part('week', ts_capture), date_part('day', ts_capture), date_part('doy', ts_capture), date_part('dow', ts_capture), EXTRACT(HOUR FROM ts_capture), date_part('minute', ts_reception), date_part('second', ts_reception) FROM records ORDER BY id",
    "SELECT CAST(ts_reception AS DATE) AS day, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT lower(payload), upper(payload), length(payload), octet_length(payload), btrim(payload), left(payload, 3), strpos(payload, 's') FROM records ORDER BY id",
    "SELECT substr(payload, 2), substr(payload, 3, 2), split_part(payload, '/', 2), split_part(payload, '/', 9), replace(payload, 'a', '''') FROM records ORDER BY id",
    "SELECT id FROM records WHERE starts_with(payload, 'it') OR ends_with(payload, 'inside') OR contains(payload, '\\') ORDER BY id",
    "SELECT id FROM records WHERE payload ~ '^(two.lines|a/.*c|pl[a-z]+)$' ORDER BY id",
    "SELECT id FROM records WHERE regexp_like(payload, 'b/c$') ORDER BY id",
    r"SELECT id FROM records WHERE regexp_like(payload, '\d|\w{4}') AND external ORDER BY id",
    "SELECT machine_id || '/' || build AS key, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT id + 1, id - 5, id * -2, -id, severity + 1 FROM records ORDER BY id LIMIT 3",
    "SELECT severity > 2, external, external = (severity > 2) FROM records ORDER BY id",
    "SELECT CAST(severity AS VARCHAR), CAST(id AS DOUBLE) AS id, 'text', 1 FROM records ORDER BY id LIMIT 4",
    "SELECT upper(build) AS build, count(*) FROM records WHERE build > '40000' GROUP BY upper(build) ORDER BY build",
    "SELECT a.machine_id, a.n, b.n FROM (SELECT machine_id, count(*) AS n FROM records GROUP BY 1) AS a JOIN (SELECT machine_id, count(*) AS n FROM records WHERE external GROUP BY 1) AS b ON a.machine_id = b.machine_id ORDER BY 1",
    "SELECT a.build, b.n FROM (SELECT DISTINCT build FROM records) AS a LEFT JOIN (SELECT build, count(*) AS n FROM records WHERE external AND severity = 1 AND build > '40010' GROUP BY 1) AS b ON a.build = b.build ORDER BY 1",
    "SELECT max(n) FROM (SELECT build, count(*) AS n FROM records GROUP BY build) AS per_build",
    "SELECT id FROM records WHERE severity = (SELECT max(severity) FROM records) ORDER BY id",
];

/// Questions of which a part runs here.
const SPLIT: [&str; 10] = [
    "SELECT reverse(build), n FROM (SELECT build, count(*) AS n FROM records GROUP BY build) AS per_build ORDER BY 1",
    "SELECT id, id / 7, severity / 2.0 FROM records WHERE severity > 1 ORDER BY id LIMIT 9",
    "SELECT build, row_number() OVER (ORDER BY n DESC, build) FROM (SELECT build, count(*) AS n FROM records GROUP BY build) AS b ORDER BY 2",
    r"SELECT id FROM records WHERE payload LIKE '%\s%' AND severity > 1 ORDER BY id",
    r"SELECT id FROM records WHERE regexp_like(payload, '\binside\b') AND external ORDER BY id",
    "SELECT id FROM records WHERE ts_reception < arrow_cast('9999-12-31', 'Timestamp(Microsecond, None)') ORDER BY id",
    "SELECT id FROM records WHERE machine_id IN (SELECT machine_id FROM records WHERE external AND severity = 4) ORDER BY id",
    "SELECT id FROM records WHERE reverse(build) = (SELECT reverse(max(build)) FROM records) ORDER BY id",
    "SELECT build FROM records WHERE severity = 1 UNION ALL SELECT machine_id FROM records WHERE severity = 2 ORDER BY 1",
    r#"SELECT count(*) AS "a`b\" FROM records"#,
];

#[tokio::test]
async fn questions_that_are_sent_whole_have_equal_answers() {
    let records = records();
    let (remote, local) = (Remote::with(&records).await, local(&records));
    for sql in SENT {
        let (sent, plan) = super::plan(&remote.session, sql).await;
        assert_eq!(sent.len(), 1, "{sql} is sent whole:\n{plan}");
        assert!(plan.lines().count() <= 3, "{sql} is sent whole:\n{plan}");
        assert_equal(&remote, &local, sql).await;
    }
}

#[tokio::test]
async fn questions_that_are_sent_in_part_have_equal_answers() {
    let records = records();
    let (remote, local) = (Remote::with(&records).await, local(&records));
    for sql in SPLIT {
        let (_, plan) = super::plan(&remote.session, sql).await;
        assert!(plan.lines().count() > 3, "{sql} is not sent whole:\n{plan}");
        assert_equal(&remote, &local, sql).await;
    }
}

async fn assert_equal(remote: &Remote, local: &SessionContext, sql: &str) {
    let (theirs, ours) = (lines(&remote.session, sql).await, lines(local, sql).await);
    assert_eq!(theirs, ours, "{sql}\n{:?}", super::plan(&remote.session, sql).await.0);
    let (theirs, ours) = (answer(&remote.session, sql).await.expect("rows"), answer(local, sql).await.expect("rows"));
    let types = |batches: &[RecordBatch]| {
        batches.first().map(|batch| batch.schema().fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>())
    };
    assert_eq!(types(&theirs), types(&ours), "{sql}");
}

/// A question that is built has no list of columns around its aggregation, as one in SQL has.
#[tokio::test]
async fn columns_of_an_aggregation_come_in_their_order() {
    let records = records();
    let (remote, local) = (Remote::with(&records).await, local(&records));
    let question = |session: SessionContext| async move {
        let groups = vec![col("severity").alias("s"), col("id") % lit(7_i64)];
        let counts = vec![count(lit(1_i64)).alias("n"), max(col("id")).alias("m")];
        let counted = session.table(RECORDS).await.expect("a table").aggregate(groups, counts).expect("a plan");
        let sorted = vec![col("n").sort(false, false), col("s").sort(true, false), col("m").sort(true, false)];
        let sorted = counted.clone().sort(sorted).expect("a plan").limit(0, Some(5)).expect("a plan");
        let counted = counted.collect().await.expect("rows");
        let rows: usize = counted.iter().map(RecordBatch::num_rows).sum();
        (rows, pretty_format_batches(&sorted.collect().await.expect("rows")).expect("text").to_string())
    };
    assert_eq!(question(remote.session).await, question(local).await);
}
