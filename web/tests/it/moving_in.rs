//! From the original: everything arrives once in both stores, whatever dies on the way and whatever stands in old rows.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Post, Postgres, Process, Server, document};

use crate::curation::{edit, saved};
use crate::seeds;
use crate::servers::{PROGRAM, accepted, embedded, ended, records};

const EARLY: &str = include_str!("../../../testdata/original/early-2018.sql");
const LATE: &str = include_str!("../../../testdata/original/late-2018.sql");
/// Rows of the original that are as they should be: one every ten minutes of the last weeks.
const GOOD: u64 = 4_000;
/// Odd ones that are imported, see [`ODD`].
const ODD_GOOD: u64 = 8;
/// Odd ones that are not.
const ODD_REFUSED: u64 = 9;

/// Good rows of the early schema, from id 1 on, and names beside them.
const GOOD_ROWS: &str = "
INSERT INTO classification (classification) VALUES
    ('org.clearlinux/crash/clr'), ('org.clearlinux/heartbeat/ping'), ('nobody/uses/this'), (NULL), ('two/parts');
INSERT INTO build (build) VALUES ('20010'), ('20020'), ('no-record-has-this'), (NULL);
INSERT INTO records (severity, machine, machine_id, architecture, kernel_version, os_name, record_format_version,
    payload_format_version, payload, backtrace, tsp, tsp_server, classification_id, build_id, external, processed)
SELECT 1 + n % 4, 'vendor|product|1', md5((n % 97)::text), 'x86_64', '4.14.1-1.native', 'clear-linux-os', 2, 1,
    convert_to('payload ' || n, 'UTF8'), 'demangled ' || n, at - 5, at, 1 + n % 2, 1 + n % 2, n % 5 = 0, n % 3 = 0
FROM (SELECT n, extract(epoch FROM now())::int - 600 * (4001 - n) AS at FROM generate_series(1, 4000) AS n) AS numbered;
";

/// Odd rows from id 5001 on, as the comment of each says.
const ODD: &str = r"
CREATE FUNCTION odd(changes text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'INSERT INTO records (id, severity, classification_id, build_id, tsp, tsp_server)
        SELECT coalesce(max(id), 0) + 1 + 5000 * (max(id) < 5000)::int, 1, 1, 1, extract(epoch FROM now())::int - 60,
        extract(epoch FROM now())::int - 60 FROM records';
    EXECUTE 'UPDATE records SET ' || changes || ' WHERE id = (SELECT max(id) FROM records)';
END $$;
INSERT INTO records (id, severity, classification_id, build_id, tsp, tsp_server)
    VALUES (5000, 1, 1, 1, 0, extract(epoch FROM now())::int - 60); -- nothing but what is needed
SELECT odd('payload = ''\xe4''::bytea, machine_id = ''latin1''');
SELECT odd('payload = convert_to(U&''\+01F980'', ''UTF8''), machine_id = ''crab''');
SELECT odd('payload = NULL, backtrace = ''only a text'', machine_id = ''text''');
SELECT odd('payload = convert_to(repeat(''long '', 600000), ''UTF8''), machine_id = ''long''');
SELECT odd('build_id = 4, tsp = -7');          -- a build without a name, an event before 1970
SELECT odd('record_format_version = 0, build_id = NULL, tsp = NULL');
SELECT odd('tsp = 2147483647, os_name = ''other'', machine_id = ''future''');
-- refused:
SELECT odd('tsp_server = NULL');
SELECT odd('tsp_server = -86400');
SELECT odd('tsp_server = 2147483647');
SELECT odd('classification_id = NULL');
SELECT odd('classification_id = 4');
SELECT odd('classification_id = 5');
SELECT odd('severity = NULL');
SELECT odd('severity = 9');
SELECT odd('architecture = ''mips''');
-- older than the policy keeps:
SELECT odd('tsp_server = extract(epoch FROM now())::int - 40 * 86400') FROM generate_series(1, 5);
INSERT INTO guilty (function, module, comment, hide) VALUES
    ('main()', '/usr/bin/x', 'seen often', false), ('_ZN3foo3barEv()', '/usr/lib/y', NULL, true),
    ('never said', 'z', NULL, NULL), (NULL, 'z', 'about nothing', NULL);
INSERT INTO guilty_blacklisted (function, module) VALUES ('raise()', '/usr/lib64/libc.so.6'), ('raise()', '/usr/lib64/libc.so.6'),
    ('only here()', 'm');
";

/// A directory for a store.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn text(&self) -> &str {
        self.0.path().to_str().expect("text")
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn import(store: &[&str], what: &[&str]) -> Ended {
    ended(&[&["import"], store, what].concat())
}

/// The count in front of these words of a summary.
fn count(ended: &Ended, words: &str) -> u64 {
    let line = ended.stdout.lines().find(|line| line.contains(words) && !line.contains('[')).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no {words}: {ended:?}"))
}

fn counts(ended: &Ended) -> [u64; 5] {
    ["rows read", "imported,", "there already", "left out", "refused"].map(|words| count(ended, words))
}

fn filled() -> Postgres {
    let postgres = Postgres::start();
    postgres.create("telemetry", "UTF8", [EARLY, GOOD_ROWS, ODD].concat().as_bytes());
    postgres
}

/// A server on the data directory or database that an import has filled.
fn serving(store: &[&str]) -> Server {
    Server::start_plain(PROGRAM, &[store, &["--listen", "127.0.0.1:0"]].concat())
}

fn database() -> (String, String) {
    let name = ClickHouse::shared().create_database();
    (name.clone(), format!("{}/{name}", ClickHouse::shared().url()))
}

fn arrives_once(store: &[&str]) {
    let postgres = filled();
    let refused = Place::new();
    let file = refused.path().join("refused.ndjson");
    let what = ["--postgres", &postgres.url("telemetry"), "--refused", file.to_str().expect("text")];
    let dry = import(store, &[&what[..], &["--dry-run"]].concat());
    assert_eq!(count(&dry, "would be imported"), GOOD + ODD_GOOD, "{dry:?}");
    let first = import(store, &what);
    let all = GOOD + ODD_GOOD + ODD_REFUSED + 5;
    assert_eq!(counts(&first), [all, GOOD + ODD_GOOD, 0, 5, ODD_REFUSED], "{first:?}");
    assert_eq!(first.status.code(), Some(1), "some rows were refused");
    for (id, reason) in [
        (5_008, "time of reception is missing"),
        (5_009, "before 1970"),
        (5_010, "in the future"),
        (5_011, "classification is missing"),
        (5_012, "classification is missing"),
        (5_013, "three parts"),
        (5_014, "severity is missing"),
        (5_015, "severity must be"),
        (5_016, "arch must be one of"),
    ] {
        let said = first.stderr.lines().find(|line| line.contains(&format!("id {id}: ")));
        assert!(said.is_some_and(|line| line.contains(reason)), "{id}: {}", first.stderr);
    }
    let written = fs::read_to_string(&file).expect("the file of refused rows");
    assert_eq!(written.lines().count() as u64, ODD_REFUSED);
    assert!(written.contains(r#""place":"id 5016""#), "{written}");
    assert_eq!(count(&first, "added to the history"), 4, "{first:?}");
    let second = import(store, &what);
    assert_eq!(counts(&second), [all, 0, GOOD + ODD_GOOD, 5, ODD_REFUSED], "{second:?}");
    assert_eq!(count(&second, "added to the history"), 0);
    looks_right(&serving(store));
}

fn one(server: &Server, query: &str) -> Value {
    let found = records(server, query);
    assert_eq!(found.len(), 1, "{query}");
    found[0].clone()
}

fn looks_right(server: &Server) {
    let severities = server.get_json("/api/severities");
    let severities = severities["rows"].as_array().expect("rows").iter();
    let total: u64 = severities.map(|row| row["records"].as_u64().expect("a number")).sum();
    assert_eq!(total, GOOD + ODD_GOOD);
    let record = server.get_json("/api/records/7");
    assert_eq!(
        [&record["payload"], &record["build"], &record["classification"], &record["machine_type"]],
        ["payload 7", "20020", "org.clearlinux/heartbeat/ping", "vendor|product|1"]
    );
    assert_eq!((record["severity"].as_u64(), record["external"].as_bool()), (Some(4), Some(false)));
    assert_eq!(one(server, "machine_id=latin1")["payload"], "ä");
    assert_eq!(one(server, "machine_id=crab")["payload"], "\u{1f980}");
    assert_eq!(one(server, "machine_id=text")["payload"], "only a text");
    assert_eq!(one(server, "machine_id=long")["payload"].as_str().map(str::len), Some(3_000_000));
    assert_eq!(one(server, "machine_id=future")["ts_capture"], "2038-01-19 03:14:07 UTC");
    let nameless = server.get_json("/api/records/5005");
    assert_eq!((&nameless["build"], &nameless["ts_capture"]), (&"N/A".into(), &"1970-01-01 00:00:00 UTC".into()));
    assert_eq!(server.get_json("/api/records/5006")["record_format_version"], 1);
    let curated = server.get("/api/curation/export").text();
    for part in [
        r#"{"is":"commented","function":"main()","module":"/usr/bin/x","text":"seen often"}"#,
        r#"{"is":"hidden","function":"foo::bar()","module":"/usr/lib/y"}"#,
        r#"{"is":"filter","function":"only here()","module":"m"}"#,
    ] {
        assert!(curated.contains(part), "{curated}");
    }
}

#[test]
fn everything_of_the_original_arrives_once_in_the_embedded_store() {
    let place = Place::new();
    arrives_once(&["--data-dir", place.text()]);
}

#[test]
fn everything_of_the_original_arrives_once_in_clickhouse() {
    let (place, (database, url)) = (Place::new(), database());
    arrives_once(&["--data-dir", place.text(), "--clickhouse", &url]);
    let sql = format!("SELECT count() = uniqExact(id) FROM {database}.records");
    assert_eq!(ClickHouse::shared().query(&sql), "1\n");
}

/// Three pieces, each of several days.
const MANY: u64 = 80_000;

fn many() -> Postgres {
    let postgres = Postgres::start();
    let rows = GOOD_ROWS.replace("4001", "80001").replace("4000", "80000").replace("600 *", "20 *");
    postgres.create("telemetry", "UTF8", [EARLY, &rows].concat().as_bytes());
    postgres
}

fn survives_kills(store: &[&str]) {
    let postgres = many();
    let url = postgres.url("telemetry");
    let args = [&["import", "--postgres", &url], store].concat();
    for pieces in [1, 2] {
        let process = Process::start(Command::new(PROGRAM).args(&args), Path::new("/nonexistent/nothing"));
        let seen = std::cell::Cell::new(0);
        process.wait_for_output(|line| {
            seen.set(seen.get() + u32::from(line.contains(" rows, ")));
            (seen.get() >= pieces).then_some(())
        });
        process.kill_or_ended();
    }
    let last = ended(&args);
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    let [rows, imported, there, expired, refused] = counts(&last);
    assert_eq!((rows, imported + there, expired, refused), (MANY, MANY, 0, 0));
    assert!(there > 0, "what was done before the kills is found");
    let again = ended(&args);
    assert_eq!(counts(&again), [MANY, 0, MANY, 0, 0], "{again:?}");
}

#[test]
fn an_import_that_is_killed_goes_on_in_the_embedded_store() {
    let place = Place::new();
    let store = ["--data-dir", place.text()];
    survives_kills(&store);
    let answer = ended(&[
        "query",
        "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM records",
        "--format",
        "csv",
        "--data-dir",
        place.text(),
    ]);
    assert!(answer.stdout.contains(&format!("{MANY},{MANY}")), "{answer:?}");
}

#[test]
fn an_import_that_is_killed_goes_on_in_clickhouse() {
    let (place, (database, url)) = (Place::new(), database());
    survives_kills(&["--data-dir", place.text(), "--clickhouse", &url]);
    let sql = format!("SELECT count(), uniqExact(id) FROM {database}.records");
    assert_eq!(ClickHouse::shared().query(&sql), format!("{MANY}\t{MANY}\n"));
}

#[test]
fn databases_of_every_generation_and_encoding_are_read() {
    let postgres = Postgres::start();
    let row = |payload: &[u8]| {
        let before = b"INSERT INTO records (severity, classification, build, machine_id, timestamp_client, timestamp_server, \
            record_version, event_id, payload) VALUES (2, 'a/b/c', '7', 'm', 1.5, extract(epoch FROM now())::int - 60.25, \
            4, '0123456789abcdef0123456789abcdef', '";
        [LATE.as_bytes(), before, payload, b"')"].concat()
    };
    postgres.create("latin", "LATIN1", &[b"SET client_encoding = 'LATIN1';\n", &row(b"gr\xf6\xdfer")[..]].concat());
    postgres.create("plain", "SQL_ASCII", &row(b"gr\xf6\xdfer"));
    for database in ["latin", "plain"] {
        let place = Place::new();
        let store = ["--data-dir", place.text()];
        let done = import(&store, &["--postgres", &postgres.url(database)]);
        assert_eq!(counts(&done), [1, 1, 0, 0, 0], "{done:?}");
        let record = serving(&store).get_json("/api/records/1");
        assert_eq!((&record["payload"], &record["record_format_version"]), (&"größer".into(), &4.into()));
        assert_eq!(record["ts_capture"], "1970-01-01 00:00:01 UTC");
    }
    postgres.create("other", "UTF8", b"CREATE TABLE records (id int)");
    let place = Place::new();
    let other = import(&["--data-dir", place.text()], &["--postgres", &postgres.url("other")]);
    assert!(other.stderr.contains("is no database of telemetrics-backend"), "{other:?}");
}

#[test]
fn a_password_is_sent_and_never_shown() {
    let postgres = filled();
    postgres.run(
        "telemetry",
        b"CREATE ROLE reader LOGIN PASSWORD 's3cret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    );
    postgres.ask_password_of("reader");
    let place = Place::new();
    let store = ["--data-dir", place.text()];
    let right = import(&store, &["--postgres", &postgres.url_of("reader:s3cret", "telemetry")]);
    assert_eq!(count(&right, "imported,"), GOOD + ODD_GOOD);
    assert!(!right.stdout.contains("s3cret") && !right.stderr.contains("s3cret"), "{right:?}");
    let wrong = import(&store, &["--postgres", &postgres.url_of("reader:wr0ng", "telemetry")]);
    assert!(wrong.stderr.contains("password") && !wrong.stderr.contains("wr0ng"), "{wrong:?}");
}

#[test]
fn a_server_on_the_embedded_store_has_to_be_stopped_and_one_on_clickhouse_need_not() {
    let postgres = filled();
    let original = ["--postgres", &postgres.url("telemetry")];
    let server = embedded();
    let data_dir = server.data_dir();
    let refused = import(&["--data-dir", data_dir.to_str().expect("text")], &original);
    assert!(refused.stderr.contains("stop it first"), "{refused:?}");
    let (place, (_, url)) = (Place::new(), database());
    let store = ["--data-dir", place.text(), "--clickhouse", &url];
    let running = serving(&store);
    let done = import(&store, &original);
    assert_eq!(count(&done, "imported,"), GOOD + ODD_GOOD, "{done:?}");
    looks_right(&running);
    let state = running.get_json("/api/curation")["sequence"].as_u64().expect("a number");
    let unhide = serde_json::json!([{"change": "unhidden", "function": "foo::bar()", "module": "/usr/lib/y"}]);
    saved(&edit(&running, state, &unhide));
    let again = import(&store, &original);
    assert_eq!(count(&again, "added to the history"), 0, "what somebody took back is not said again: {again:?}");
}

/// What the API says of all records, without fractions of seconds.
fn everything(server: &Server) -> Vec<Value> {
    records(server, "limit=10000")
}

/// Files with all records of a server, by the name of their form.
fn exported(server: &Server, directory: &Path) -> Vec<String> {
    let export = |form: &str| {
        let path = directory.join(format!("records.{form}"));
        fs::write(&path, server.get(&format!("/api/export?format={form}")).body).expect("written");
        path.to_str().expect("text").to_owned()
    };
    ["parquet", "ndjson", "csv"].map(export).to_vec()
}

#[test]
fn files_of_this_program_are_taken_back_whatever_their_form() {
    let server = embedded();
    seeds::post(&server);
    let formula = Post::default().payload("=1+1,\"two\"\nlines");
    accepted(&server, &formula);
    let before = everything(&server);
    let files = Place::new();
    for file in exported(&server, files.path()) {
        let place = Place::new();
        let store = ["--data-dir", place.text()];
        let all = before.len() as u64;
        let done = import(&store, &[&file]);
        assert_eq!(counts(&done), [all, all, 0, 0, 0], "{done:?}");
        let again = import(&store, &[&file, &file]);
        assert_eq!(again.stdout.matches(&format!("{all} there already")).count(), 2, "{again:?}");
        assert_eq!(everything(&serving(&store)), before, "{file}");
    }
}

#[test]
fn what_cannot_be_imported_is_named_with_its_line() {
    let line = |id: u32, payload: &str, more: &str| {
        format!(
            r#"{{"id":{id},"ts_reception":"2026-01-01 00:00:00 UTC","classification":"a/b/c","severity":1,"payload":"{payload}"{more}}}"#
        )
    };
    let lines = [
        line(1, "one", ""),
        line(1, "one", ""),
        line(1, "another", ""),
        line(2, "x", r#","arch":"mips""#),
        "nonsense".to_owned(),
        line(3, "three", r#","stack_id":5,"unknown":[1]"#),
    ];
    let place = Place::new();
    let file = place.path().join("f.ndjson");
    fs::write(&file, lines.join("\n")).expect("written");
    let config = place.path().join("t.toml");
    fs::write(&config, "retention = \"off\"\n").expect("written");
    let data = place.path().join("data");
    let store = ["--data-dir", data.to_str().expect("text"), "--config", config.to_str().expect("text")];
    let done = import(&store, &[file.to_str().expect("text")]);
    assert_eq!(counts(&done), [6, 2, 1, 0, 3], "{done:?}");
    for said in ["line 3: id 1 is that of another record", "line 4: arch must be", "line 5: is no JSON object"] {
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
    }
    fs::write(&file, line(3, "not three", "")).expect("written");
    let other = import(&store, &[file.to_str().expect("text")]);
    assert!(other.stderr.contains("line 1: id 3 is that of another record"), "{other:?}");
    assert!(import(&store, &["/nonexistent/x.csv"]).stderr.contains("/nonexistent/x.csv"));
}

#[test]
fn what_is_in_the_journal_only_is_not_stored_twice() {
    let mut server = Server::start_with_config(PROGRAM, "[drain]\nbatch_age_ms = 3600000\n", &[]);
    let posted = accepted(&server, &Post::default());
    let files = Place::new();
    let file = exported(&server, files.path()).remove(0);
    server.kill();
    let data_dir = server.data_dir();
    let store = ["--data-dir", data_dir.to_str().expect("text")];
    let early = import(&store, &[&file]);
    assert!(early.stderr.contains("may be that of a record in the journal"), "{early:?}");
    fs::write(server.dir().join("telemetrics.toml"), "[drain]\nbatch_age_ms = 100\n").expect("written");
    server.restart();
    telemetrics_testkit::wait_until("the record is delivered", || {
        crate::servers::metric(&server, "telemetrics_pending_records") == 0
    });
    server.terminate();
    let late = import(&store, &[&file]);
    assert_eq!(counts(&late), [1, 0, 1, 0, 0], "{late:?}");
    server.restart();
    assert_eq!(crate::servers::ids(&everything(&server)), [posted]);
}

#[test]
fn the_document_says_what_works() {
    let postgres = filled();
    let dir = Place::new();
    let blocks = document::blocks("docs/moving-in.md");
    for role in blocks.iter().filter(|block| block.language == "sql") {
        postgres.run("telemetry", role.text.as_bytes());
    }
    let url = postgres.url_of("importer", "telemetry");
    let commands: Vec<_> = blocks.iter().filter(|block| block.language == "sh").collect();
    assert!(commands.len() >= 4, "{commands:?}");
    let source = embedded();
    seeds::post(&source);
    exported(&source, dir.path());
    for block in commands {
        let command = block
            .text
            .replace("postgresql://importer@localhost:5432/telemetry", &url)
            .replace("/var/lib/telemetrics", "data")
            .replace("telemetrics import", &format!("{PROGRAM} import"));
        let done = Process::start(Command::new("sh").args(["-c", &command]).current_dir(dir.path()), dir.path()).wait();
        assert!(done.status.success() || done.stderr.contains("rows were refused"), "{command}: {done:?}");
        assert!(done.stdout.contains("rows read"), "{command}: {done:?}");
    }
}
