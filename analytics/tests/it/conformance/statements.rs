//! Statements of users: both stores give one answer to each, and what is refused is refused in the same words.

use std::fmt::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use telemetrics_analytics::sql::{OPERATORS_MAX, SqlLimits, answer};
use telemetrics_analytics::{Error, View};
use telemetrics_schema::retention::RetentionPolicy;

use super::corpus;
use super::stores::Stores;

const LIMITS: SqlLimits = SqlLimits { memory_bytes: 64 << 20, rows: 10_000, threads: 2 };
/// The stack that statements are promised.
const STACK_BYTES: usize = 128 << 20;

/// Statements with an answer that has an order, or one row.
const STATEMENTS: [&str; 48] = [
    "SELECT count(*) FROM records",
    "SELECT count(*) AS n, count(DISTINCT machine_id) AS machines, min(id), max(ts_reception) FROM records",
    "SELECT classification, count(*) AS n FROM records GROUP BY classification ORDER BY n DESC, classification LIMIT 5",
    "SELECT build, severity, count(*) FILTER (WHERE external) AS n FROM records GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT * FROM records ORDER BY id DESC LIMIT 3",
    "SELECT r.id, r.payload FROM records r WHERE r.payload LIKE '%a%' ORDER BY 1 LIMIT 10",
    "SELECT id FROM records WHERE payload ~ '#[0-9]+ .*' ORDER BY id LIMIT 10",
    "SELECT id FROM records WHERE regexp_like(payload, 'oops|panic') ORDER BY id LIMIT 10",
    "SELECT count(*) FROM records WHERE ts_reception >= now() - INTERVAL '7 days'",
    "SELECT current_date() = CAST(now() AS DATE) AS is_today, now() > TIMESTAMP '2020-01-01T00:00:00' AS is_later",
    "SELECT date_trunc('day', ts_reception) AS day, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT date_part('hour', ts_reception) AS h, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT extract(year FROM ts_reception) AS y, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT ts_capture, ts_reception FROM records WHERE ts_capture < ts_reception ORDER BY id LIMIT 3",
    "SELECT id, lower(host_type), upper(build), substring(machine_id FROM 1 FOR 4) AS m FROM records ORDER BY id LIMIT 3",
    "SELECT position('a' IN payload) AS p, strpos(payload, 'b') AS q FROM records ORDER BY id LIMIT 3",
    "SELECT system_name || ' ' || build AS release, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT concat(arch, '-', severity) AS c, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT concat_ws('/', arch, build) AS c, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT replace(machine_id, 'a', 'xx') AS m, lpad(build, 8, '0') AS b FROM records ORDER BY id LIMIT 5",
    "SELECT regexp_replace(classification, '/.*', '') AS top, count(*) FROM records GROUP BY 1 ORDER BY 1",
    "SELECT round(100.0 * sum(CASE WHEN external THEN 1 ELSE 0 END) / count(*), 2) AS share FROM records",
    "SELECT avg(severity) AS a, sum(severity) AS s, stddev(severity) > 0 AS d FROM records",
    "SELECT severity / 2 AS half, severity % 2 AS odd, count(*) FROM records GROUP BY 1, 2 ORDER BY 1, 2",
    "WITH top AS (SELECT build, count(*) AS n FROM records GROUP BY build) SELECT * FROM top ORDER BY n DESC, build LIMIT 3",
    "SELECT a.build, a.n, b.n AS high FROM (SELECT build, count(*) AS n FROM records GROUP BY build) a LEFT JOIN (SELECT \
     build, count(*) AS n FROM records WHERE severity > 2 GROUP BY build) b ON a.build = b.build ORDER BY 1",
    "SELECT count(*) FROM records WHERE build IN (SELECT build FROM records WHERE severity = 4)",
    "SELECT count(*) FROM records r WHERE EXISTS (SELECT 1 FROM records s WHERE s.machine_id = r.machine_id AND s.id <> \
     r.id)",
    "SELECT build, (SELECT count(*) FROM records) AS of FROM records GROUP BY build ORDER BY build LIMIT 2",
    "SELECT build, count(*) AS n, all_of.total FROM records, (SELECT count(*) AS total FROM records) all_of GROUP BY \
     build, all_of.total ORDER BY build LIMIT 2",
    "SELECT build FROM records WHERE severity = 4 UNION SELECT build FROM records WHERE external ORDER BY build",
    "SELECT arch FROM records EXCEPT SELECT arch FROM records WHERE severity = 1 ORDER BY arch",
    "SELECT arch FROM records INTERSECT SELECT arch FROM records WHERE severity = 1 ORDER BY arch",
    "SELECT DISTINCT arch, external FROM records ORDER BY 1, 2",
    "SELECT id, row_number() OVER (PARTITION BY build ORDER BY id) AS n FROM records WHERE severity = 4 ORDER BY id LIMIT 9",
    "SELECT id, lag(id) OVER (ORDER BY id) AS before FROM records WHERE severity = 4 ORDER BY id LIMIT 9",
    "SELECT day, n, sum(n) OVER (ORDER BY day) AS up_to FROM (SELECT date_trunc('day', ts_reception) AS day, count(*) AS n \
     FROM records GROUP BY 1) ORDER BY day",
    "SELECT severity, median(id) > 0 AS m FROM records GROUP BY severity HAVING count(*) > 1 ORDER BY severity",
    "SELECT attribute(attributes, 'machine') AS machine, count(*) AS n FROM records GROUP BY 1 ORDER BY n DESC, 1 LIMIT 50",
    "SELECT id, attribute(attributes, 'build') AS b, machine_id FROM records WHERE attribute(attributes, 'machine') <> '' \
     ORDER BY id LIMIT 500",
    "SELECT count(*) FROM records WHERE attribute(attributes, 'machine') <> machine_id OR attribute(attributes, 'no') <> ''",
    "SELECT count(*) FROM records WHERE attribute(payload, 'a') <> '' OR attribute(machine_id, 'machine') <> ''",
    "SELECT regexp_match(payload, '#[0-9]+ (.*)') AS m, count(*) FROM records GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5",
    "SELECT decode('aGVsbG8=', 'base64') AS d, json_text('{\"a\": [1, \"x\"]}', '/a/1') AS j, count(*) FROM records",
    "SELECT NULL AS nothing, 1.5 AS number, 'it''s' AS text, true AS truth",
    "VALUES (1, 'a'), (2, 'b')",
    "SHOW TABLES",
    "DESCRIBE records",
];

/// What is refused, by what it tries.
const REFUSED: &[&str] = &[
    // To write.
    "INSERT INTO records VALUES (1)",
    "UPDATE records SET severity = 1",
    "DELETE FROM records",
    "DROP TABLE records",
    "CREATE TABLE t AS SELECT * FROM records",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE VIEW v AS SELECT 1",
    "CREATE FUNCTION f() RETURNS INT AS 'x'",
    "ALTER TABLE records DROP COLUMN id",
    "TRUNCATE TABLE records",
    "COPY records TO '/tmp/records.csv'",
    "COPY (SELECT 1) TO '/tmp/records.csv' STORED AS CSV",
    "SELECT * INTO t FROM records",
    "WITH x AS (INSERT INTO records VALUES (1)) SELECT 1",
    "WITH x AS (DELETE FROM records RETURNING *) SELECT * FROM x",
    "MERGE INTO records USING records r ON true WHEN MATCHED THEN DELETE",
    "SELECT 1 FOR UPDATE",
    "SET datafusion.execution.batch_size = 1",
    "SET TIME ZONE 'UTC'",
    "RESET ALL",
    "BEGIN",
    "COMMIT",
    "GRANT SELECT ON records TO public",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CALL f()",
    "USE other",
    "KILL 1",
    "VACUUM",
    "ANALYZE TABLE records",
    "LOAD DATA INPATH '/x' INTO TABLE records",
    "EXPLAIN ANALYZE SELECT count(*) FROM records",
    "EXPLAIN VERBOSE SELECT 1",
    "EXPLAIN DELETE FROM records",
    "SELECT 1; DROP TABLE records",
    // To read something else.
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM \"/etc/passwd\"",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('http://example.invalid/x')",
    "SELECT * FROM TABLE(read_csv('/etc/passwd'))",
    "SELECT * FROM url('http://example.invalid/', CSV)",
    "SELECT * FROM file('/etc/passwd')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM s3('http://example.invalid/')",
    "SELECT * FROM UNNEST([1, 2])",
    "SELECT * FROM generate_series(1, 1000000000000)",
    "SELECT * FROM range(1000000000000)",
    "SELECT * FROM records, LATERAL (SELECT 1)",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.df_settings",
    "SELECT * FROM system.tables",
    "SELECT * FROM datafusion.public.records",
    "SELECT * FROM migrations",
    "SELECT * FROM records FORMAT CSV",
    "SELECT * FROM records SETTINGS readonly = 0",
    "TABLE records",
    "SHOW ALL",
    "SHOW VARIABLES",
    "SHOW DATABASES",
    "SHOW CREATE TABLE records",
    "SHOW COLUMNS FROM nothing",
    "DESCRIBE nothing",
    "SELECT @@version",
    "SELECT $1",
    "SELECT ?",
    "SELECT version()",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT getenv('PATH')",
    "SELECT sleep(10)",
    "SELECT pg_sleep(10)",
    "SELECT random()",
    "SELECT uuid()",
    "SELECT public.lower('A')",
    "SELECT load_extension('x')",
    // To take memory or time.
    "SELECT array_agg(payload) FROM records",
    "SELECT string_agg(payload, ',') FROM records",
    "SELECT array_repeat(1, 1000000000)",
    "SELECT make_array(1, 2)",
    "SELECT [1, 2]",
    "SELECT {'a': 1}",
    "SELECT unnest(range(1, 1000000000))",
    "SELECT levenshtein(payload, payload) FROM records",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t",
    "SELECT count(*) FROM records GROUP BY CUBE (id, build, arch, severity)",
    "SELECT count(*) FROM records GROUP BY GROUPING SETS ((id), (build))",
    "SELECT count(*) FROM records WHERE payload ~ payload",
    "SELECT count(*) FROM records WHERE payload LIKE build",
    "SELECT count(*) FROM records WHERE payload SIMILAR TO 'x%'",
    "SELECT count(*) FROM records WHERE payload ~ '(((a{100}){100}){100})'",
    "SELECT count(*) FROM records WHERE payload ~ '('",
    "SELECT count(*) FROM records a JOIN records b ON a.payload < b.payload",
    "SELECT count(*) FROM records a, records b WHERE a.id <> b.id",
    "SELECT repeat('x', 1000000000)",
    "SELECT repeat(build, 100000000) FROM records",
    "SELECT lpad('x', 2000000000)",
    "SELECT rpad(build, 2000000000, 'y') FROM records",
    "SELECT replace(repeat('x', 100000), 'x', repeat('y', 100000))",
    "SELECT regexp_replace(repeat('x', 100000), 'x', repeat('y', 1000), 'g') FROM records",
    // To ask what makes no sense.
    "",
    "SELECT",
    "nonsense",
    "SELECT * FROM",
    "SELECT 'x",
    "SELECT nothing FROM records",
    "SELECT lower(1, 2)",
    "SELECT 'a' + 1",
    "SELECT CAST('x' AS INT)",
    "SELECT 1 / 0",
    "SELECT sum(payload) FROM records",
    "SELECT build FROM records GROUP BY arch",
    "SELECT a.id, b.id FROM records a JOIN records b ON a.id = b.id",
    "SELECT INTERVAL '1 day' AS d",
    "SELECT id FROM records LIMIT -1",
];

/// Runs on a stack as large as statements have it in the server.
fn on_a_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread");
    thread.join().expect("an answer")
}

async fn batches(view: &View, statement: &str, limits: &SqlLimits) -> Result<Vec<RecordBatch>, Error> {
    answer(view, statement, limits).await?.open().await?.try_collect().await
}

async fn shown(view: &View, statement: &str) -> Result<String, Error> {
    let batches = batches(view, statement, &LIMITS).await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

/// The answer as text, or the kind of the refusal and its words.
async fn outcome(view: &View, statement: &str) -> Result<String, String> {
    match shown(view, statement).await {
        Ok(text) => Ok(text),
        Err(Error::Invalid(reason)) => Err(format!("invalid: {reason}")),
        Err(Error::TooMuch(reason)) => Err(format!("too much: {reason}")),
        Err(error) => panic!("{statement}: {error}"),
    }
}

#[test]
fn both_stores_give_equal_answers() {
    on_a_large_stack(|| {
        let policies = [RetentionPolicy::off(), RetentionPolicy::days(3)];
        for policy in policies {
            let views = Stores::shared().views(&policy, corpus::NOW);
            for statement in STATEMENTS {
                let (ours, theirs) = views.block_on(async {
                    (shown(&views.embedded, statement).await, shown(&views.remote, statement).await)
                });
                let of = |answer: Result<String, Error>| answer.unwrap_or_else(|error| panic!("{statement}: {error}"));
                let (ours, theirs) = (of(ours), of(theirs));
                assert!(ours == theirs, "{statement}\nembedded:\n{ours}\nClickHouse:\n{theirs}");
            }
        }
    });
}

#[test]
fn retention_holds_for_statements() {
    on_a_large_stack(|| {
        let count = |policy: RetentionPolicy| {
            let views = Stores::shared().views(&policy, corpus::NOW);
            views.block_on(shown(&views.embedded, "SELECT count(*) FROM records")).expect("a count")
        };
        assert_ne!(count(RetentionPolicy::off()), count(RetentionPolicy::days(3)));
    });
}

#[test]
fn what_is_refused_is_refused_for_a_reason() {
    let text = on_a_large_stack(|| {
        let views = Stores::shared().all();
        let mut text = String::new();
        for statement in REFUSED {
            let (ours, theirs) = views.block_on(async {
                (outcome(&views.embedded, statement).await, outcome(&views.remote, statement).await)
            });
            assert_eq!(theirs, ours, "{statement}");
            let refusal = match ours {
                Ok(_) => "ANSWERED".to_owned(),
                Err(refusal) => refusal,
            };
            writeln!(text, "{statement}\n    {refusal}").expect("a string takes everything");
        }
        text
    });
    insta::assert_snapshot!("refused", text);
    assert!(!text.contains("ANSWERED"), "{text}");
}

#[test]
fn an_explained_statement_names_no_file() {
    on_a_large_stack(|| {
        let views = Stores::shared().all();
        for view in [&views.embedded, &views.remote] {
            let plan = views.block_on(shown(view, "EXPLAIN SELECT count(*) FROM records WHERE severity = 4"));
            let plan = plan.expect("a plan");
            assert!(plan.contains("logical_plan") && plan.contains("physical_plan"), "{plan}");
            assert!(!plan.contains(".parquet") && !plan.contains("date="), "{plan}");
        }
    });
}

#[test]
fn limits_hold() {
    on_a_large_stack(|| {
        let views = Stores::shared().all();
        let kind = |statement: &str, limits: &SqlLimits| {
            let answer = |view| views.block_on(async { batches(view, statement, limits).await });
            let (ours, theirs) = (answer(&views.embedded), answer(&views.remote));
            for answer in [&ours, &theirs] {
                assert!(matches!(answer, Ok(_) | Err(Error::TooMuch(_))), "{statement}: {answer:?}");
            }
            (ours.is_ok(), theirs.is_ok())
        };
        let small = SqlLimits { memory_bytes: 256 << 10, ..LIMITS };
        let few = SqlLimits { rows: 10, ..LIMITS };
        assert_eq!(kind("SELECT id FROM records LIMIT 10", &few), (true, true));
        assert_eq!(kind("SELECT id FROM records LIMIT 11", &few), (false, false));
        assert_eq!(kind("SELECT count(*) FROM records", &small), (true, true));
        for statement in [
            "SELECT id, row_number() OVER (ORDER BY payload, id) AS n FROM records",
            "SELECT reverse(payload), count(*) FROM records GROUP BY 1",
        ] {
            assert_eq!(kind(statement, &small), (false, false), "{statement}");
        }
        // In ClickHouse, it is the server that sorts.
        assert!(!kind("SELECT * FROM records ORDER BY payload", &small).0);
    });
}

#[test]
fn short_statements_that_mean_huge_plans_are_refused() {
    let doubled = |levels: usize| {
        let with: Vec<String> = (1..=levels)
            .map(|level| format!("t{level} AS (SELECT id FROM t{0} UNION ALL SELECT id FROM t{0})", level - 1))
            .collect();
        format!("WITH t0 AS (SELECT id FROM records), {} SELECT count(*) FROM t{levels}", with.join(", "))
    };
    let nested = |levels: usize| {
        let inner = (0..levels)
            .fold("records".to_owned(), |inner, _| format!("(SELECT build || build AS build FROM {inner} AS t)"));
        format!("SELECT count(*) FROM {inner} AS t WHERE build = 'x'")
    };
    let long =
        |operators: usize| format!("SELECT count(*) FROM records WHERE {}", vec!["id = 1"; operators].join(" OR "));
    let listed = |numbers: usize| {
        let numbers: Vec<String> = (0..numbers).map(|number| number.to_string()).collect();
        format!("SELECT count(*) FROM records WHERE id IN ({})", numbers.join(","))
    };
    on_a_large_stack(move || {
        let views = Stores::shared().all();
        let ask = |statement: &str| views.block_on(outcome(&views.embedded, statement));
        for fine in [doubled(3), nested(3), long(300), listed(10_000)] {
            ask(&fine).unwrap_or_else(|refusal| panic!("{}: {refusal}", &fine[..100]));
        }
        for huge in [doubled(40), nested(20), long(1_000), listed(100_000)] {
            let refusal = ask(&huge).expect_err(&huge[..100]);
            assert!(refusal.starts_with("too much: "), "{}: {refusal}", &huge[..100]);
        }
        // The deepest ones go all the way through both stores; ClickHouse does not read as deep ones.
        let sum = |operators: usize| format!("SELECT max(id{}) AS n FROM records", " + severity".repeat(operators));
        for deep in [long(300), sum(150)] {
            assert_eq!(views.block_on(outcome(&views.remote, &deep)), Ok(ask(&deep).expect(&deep[..100])));
        }
        ask(&sum(OPERATORS_MAX - 20)).expect("the deepest one");
        let theirs = views.block_on(outcome(&views.remote, &sum(OPERATORS_MAX - 20)));
        assert!(theirs.is_err_and(|refusal| refusal.starts_with("too much: ")));
    });
}
