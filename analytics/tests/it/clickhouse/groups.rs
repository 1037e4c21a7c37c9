//! Aggregations over the rows of rollups: what is sent, and that the answer is that of the records.

use super::{Remote, lines, local, plan, records};

/// Records by the keys of a rollup, as a view would show them: whole hours from one source, records from another.
const ROWS: &str = "\
    SELECT hour, system_name, build, severity, records FROM (\
        SELECT date_trunc('hour', ts_reception) AS hour, system_name, build, severity, external, count(1) AS records \
        FROM records GROUP BY date_trunc('hour', ts_reception), system_name, build, severity, external) AS hourly \
    WHERE hour >= '2026-11-19 12:00:00' AND hour < '2026-11-24 12:00:00' \
    UNION ALL \
    SELECT date_trunc('hour', ts_reception) AS hour, system_name, build, severity, 1 AS records FROM records \
    WHERE ts_reception >= '2026-11-24 12:00:00' AND ts_reception < '2026-11-24 12:30:00'";

/// Questions over [`ROWS`].
const QUESTIONS: [&str; 12] = [
    "SELECT build, sum(records) AS n FROM rows GROUP BY build ORDER BY n DESC, build LIMIT 3",
    "SELECT system_name, build, count(DISTINCT severity) AS m, sum(records) AS n FROM rows WHERE severity > 1 GROUP BY system_name, build ORDER BY build",
    "SELECT sum(records) AS n FROM rows",
    "SELECT sum(records) AS n, max(build) FROM rows WHERE severity > 9",
    "SELECT build, sum(records) AS n FROM rows WHERE severity > 9 GROUP BY build",
    "SELECT build FROM rows GROUP BY build ORDER BY 1",
    "SELECT DISTINCT build, severity FROM rows ORDER BY 1, 2",
    "SELECT date_trunc('day', hour) AS day, count(build), sum(records) FROM rows GROUP BY date_trunc('day', hour) ORDER BY 1",
    "SELECT build, sum(records), sum(records) AS again, count(DISTINCT build), count(DISTINCT severity) FROM rows GROUP BY build ORDER BY 1",
    "SELECT upper(build) AS b, min(hour), max(severity), sum(records) + 1 FROM rows GROUP BY upper(build) HAVING sum(records) > 1 ORDER BY 1",
    "SELECT records, count(1) FROM rows GROUP BY records ORDER BY 1",
    "SELECT sum(n) FROM (SELECT build, sum(records) AS n FROM rows GROUP BY build) AS per_build",
];

#[tokio::test]
async fn the_rows_of_rollups_give_the_answers_of_the_records() {
    let records = records();
    let (remote, local) = (Remote::with(&records).await, local(&records));
    for question in QUESTIONS {
        let sql = format!("WITH rows AS ({ROWS}) {question}");
        let (sent, text) = plan(&remote.session, &sql).await;
        assert_eq!(sent.len(), 1, "{sql} is sent whole:\n{text}");
        assert_eq!(lines(&remote.session, &sql).await, lines(&local, &sql).await, "{sql}\n{sent:?}");
    }
}
