//! Finished days as files: with the real tools, by every kind of request, equal on both stores, and changed by what
//! changes a day.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, EmbeddedStore, Store};
use telemetrics_schema::layout::{DataDir, date_text};
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{CollectorNumber, Record, RecordId, Report, TimestampUs};
use telemetrics_testkit::document::{Block, blocks};
use telemetrics_testkit::http::{Answer, Connection};
use telemetrics_testkit::{Chance, ClickHouse, Python, Server, wait_until};
use telemetrics_web::api::ranges::RANGES_MAX;

use crate::servers::{PROGRAM, embedded, metric, records};

const GUIDE: &str = "docs/analysts.md";
/// What stands in the headings of other tests' scripts.
const EXPORT: &str = "export";
const PROGRAMS: [&str; 4] = ["DuckDB", "Polars", "pyarrow", "pandas"];
const ALL_DAYS: &str = "All days at once";
const LISTING: &str = "/datasets/records/";
/// Records of each day of the corpus, with payloads that make most of a file.
const DAY_RECORDS: i64 = 3_000;
const PAYLOAD_BYTES: usize = 400;
/// A day whose payloads are several times what its making may take.
const LARGE_DAY_RECORDS: i64 = 60_000;
/// Most of them in one hour, so that a class has several slices there.
const LARGE_DISTANCE_US: i64 = 70_000;
const LARGE_BATCHES: i64 = 8;
const LARGE_MEMORY_BYTES: u64 = 200 << 20;
/// Whether the rows of a file are in its order.
const CHECK_ORDER: &str = "
import fsspec, pyarrow.parquet as pq
with fsspec.open('URL') as file:
    rows = pq.read_table(file, columns=['classification', 'ts_reception', 'id']).to_pylist()
keys = [tuple(row.values()) for row in rows]
print(keys == sorted(set(keys)))
";
/// What expires is swept away soon after the start, which changes the days while a test looks at them.
const ALL_KEPT: &str = "retention = \"off\"\nread_wait_ms = 30000\n";

/// The same for a whole test, also one that midnight comes upon.
static TODAY: LazyLock<i32> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i32::try_from(since.as_secs() / 86_400).expect("before the year 5881580")
});

fn today() -> i32 {
    *TODAY
}

fn at(day: i32, us: i64) -> TimestampUs {
    TimestampUs(i64::from(day) * US_PER_DAY + us)
}

/// A record of `day` whose identifier the collector of that number could have given.
fn record(day: i32, number: i64, collector: i64, chance: &mut Chance) -> Arc<Record> {
    let ts_reception = at(day, number * 1_000_000);
    let id = RecordId(RecordId::first_at(ts_reception).0 + collector * 64);
    let payload: String =
        (0..PAYLOAD_BYTES).map(|_| char::from(u8::try_from(chance.between(32, 126)).expect("small"))).collect();
    let report = Report {
        classification: if chance.one_in(3) { "org.clearlinux/hello/world" } else { "a/b/ü" }.into(),
        severity: i8::try_from(chance.between(1, 4)).expect("small"),
        machine_id: format!("{:032x}", chance.between(1, 50)),
        payload,
        ..Report::default()
    };
    Arc::new(Record { id, ts_reception, report })
}

/// The records of two finished days, the older one first.
fn corpus() -> [Vec<Arc<Record>>; 2] {
    let mut chance = Chance::new(7);
    [3, 2].map(|ago| (0..DAY_RECORDS).map(|number| record(today() - ago, number, 0, &mut chance)).collect())
}

/// Puts each list, of one day, into the store as one batch.
fn insert(store: impl AsyncFnOnce() -> Store, days: impl IntoIterator<Item = Vec<Arc<Record>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut store = store().await;
        store.prepare().await.expect("ready");
        for day in days {
            store.insert(&Batch::of(day).expect("records")).await.expect("inserted");
        }
    });
}

fn insert_embedded(server: &Server, days: impl IntoIterator<Item = Vec<Arc<Record>>>) {
    let table = DataDir::new(server.data_dir()).records_table();
    let open = async || EmbeddedStore::open(&table, CollectorNumber::default()).await.expect("a table");
    insert(async || Store::Embedded(open().await), days);
}

fn insert_clickhouse(database: &str, days: impl IntoIterator<Item = Vec<Arc<Record>>>) {
    let url = ClickHouse::shared().url();
    let target = ClickHouseTarget { database: database.to_owned(), ..ClickHouseTarget::new(url) };
    insert(async || Store::ClickHouse(Box::new(ClickHouseStore::new(&target, RetentionPolicy::off()))), days);
}

/// An embedded server with these records, which keeps all of them, and with these tables of settings.
fn embedded_with(tables: &str, days: impl IntoIterator<Item = Vec<Arc<Record>>>) -> Server {
    let mut server = embedded();
    server.kill();
    insert_embedded(&server, days);
    configure(&server, &format!("{ALL_KEPT}{tables}"));
    server.restart();
    server
}

fn configure(server: &Server, toml: &str) {
    fs::write(server.dir().join("telemetrics.toml"), toml).expect("written");
}

/// The files of the listing by date.
fn listing(server: &Server) -> BTreeMap<String, Value> {
    wait_until("the files", || server.get(LISTING).status != 503);
    let mut answer = server.get_json(LISTING);
    let Value::Array(files) = answer["files"].take() else { panic!("no files: {answer}") };
    files.into_iter().map(|file| (file["date"].as_str().expect("a date").to_owned(), file)).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        write!(text, "{byte:02x}").expect("a text takes everything");
    }
    text
}

/// The bytes of a file of the listing, which has to describe them.
fn fetched(server: &Server, file: &Value) -> Vec<u8> {
    let answer = server.get(file["url"].as_str().expect("an address"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((answer.body.len() as u64, sha256(&answer.body).as_str()), described(file));
    answer.body
}

fn described(file: &Value) -> (u64, &str) {
    (file["bytes"].as_u64().expect("a size"), file["sha256"].as_str().expect("a hash"))
}

fn request(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let mut connection = Connection::open(server.address()).expect("a connection");
    connection.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}\r\n").as_bytes()).expect("sent");
    let answer = if method == "HEAD" { connection.receive_head() } else { connection.receive() };
    answer.expect("an answer")
}

/// Records and the sum of their severities, of all or of one day, as the API tells them.
fn told_by_api(server: &Server, date: &str) -> (usize, i64) {
    let all = records(server, "limit=10000&fields=ts_reception,severity");
    let of_day = all.iter().filter(|record| record["ts_reception"].as_str().expect("a time").starts_with(date));
    let severities: Vec<i64> = of_day.map(|record| record["severity"].as_i64().expect("a number")).collect();
    (severities.len(), severities.iter().sum())
}

fn answer(python: &Python, server: &Server, script: &Block, date: &str) -> (usize, i64) {
    let text = script.text.replace("127.0.0.1:8080", &server.address().to_string()).replace("DATE", date);
    assert_ne!(text, script.text);
    let output = python.output(server.dir(), &text);
    let numbers = output.trim_end().split_once(' ').map(|(rows, sum)| (rows.parse().ok(), sum.parse().ok()));
    let Some((Some(rows), Some(sum))) = numbers else { panic!("{}: {output}", script.heading) };
    (rows, sum)
}

#[test]
fn the_commands_of_the_guide_read_parts_and_count_and_sum_as_the_api_does() {
    let server = embedded_with("", corpus());
    let python = Python::new();
    let is_script = |block: &Block| block.language == "python" && !block.heading.contains(EXPORT);
    let scripts: Vec<Block> = blocks(GUIDE).into_iter().filter(is_script).collect();
    let headings: Vec<&str> = scripts.iter().map(|script| script.heading.as_str()).collect();
    assert_eq!(headings, [&PROGRAMS[..], &[ALL_DAYS]].concat());
    let date = date_text(today() - 2);
    let bytes = described(&listing(&server)[&date]).0;
    for script in &scripts {
        let sent_before = metric(&server, "telemetrics_dataset_sent_bytes_total");
        let parts_before = metric(&server, "telemetrics_dataset_answers_total{kind=\"part\"}");
        let (day, files) = if script.heading == ALL_DAYS { ("", 2) } else { (date.as_str(), 1) };
        assert_eq!(answer(&python, &server, script, &date), told_by_api(&server, day), "{}", script.heading);
        let sent = metric(&server, "telemetrics_dataset_sent_bytes_total") - sent_before;
        assert!(
            metric(&server, "telemetrics_dataset_answers_total{kind=\"part\"}") > parts_before,
            "{}",
            script.heading
        );
        assert!(sent < files * bytes / 2, "{}: {sent} of {bytes}", script.heading);
    }
    assert_eq!(metric(&server, "telemetrics_dataset_answers_total{kind=\"whole\"}"), 0);
    assert_eq!(metric(&server, "telemetrics_dataset_files_made_total"), 2);
}

#[test]
fn a_file_answers_every_kind_of_request() {
    let server = embedded_with("", corpus());
    let files = listing(&server);
    let file = &files[&date_text(today() - 2)];
    let (length, hash) = described(file);
    let whole = fetched(&server, file);
    let path = file["url"].as_str().expect("an address");
    let tag = format!("\"{hash}\"");

    let head = request(&server, "HEAD", path, "Range: bytes=0-1\r\n");
    let header = |answer: &Answer, name: &str| answer.header(name).map(str::to_owned);
    assert_eq!(head.status, 200);
    assert_eq!(header(&head, "content-length"), Some(length.to_string()));
    assert_eq!((header(&head, "etag"), header(&head, "accept-ranges")), (Some(tag.clone()), Some("bytes".to_owned())));

    let end = usize::try_from(length).expect("small");
    for (range, part) in [("0-3", 0..4), ("-8", end - 8..end), ("5-", 5..end), ("4-99999999999", 4..end)] {
        let answer = request(&server, "GET", path, &format!("Range: bytes={range}\r\nIf-Range: {tag}\r\n"));
        assert_eq!((answer.status, &answer.body[..]), (206, &whole[part.clone()]), "{range}");
        let place = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!(header(&answer, "content-range"), Some(place));
    }
    let several = request(&server, "GET", path, "Range: bytes=0-3, 9-9,-4\r\n");
    assert_eq!(header(&several, "content-type"), Some(format!("multipart/byteranges; boundary={hash}")));
    assert_eq!((several.status, several.body), (206, multipart(hash, &[0..4, 9..10, end - 4..end], &whole)));
    let too_many = format!("Range: bytes={}0-0\r\n", "0-0,".repeat(RANGES_MAX));
    for headers in [&*too_many, "Range: bytes=9-3\r\n", "If-Range: \"old\"\r\nRange: bytes=0-1\r\n"] {
        let answer = request(&server, "GET", path, headers);
        assert_eq!((answer.status, answer.body.len()), (200, end), "{headers}");
    }
    let behind = request(&server, "GET", path, &format!("Range: bytes={length}-\r\n"));
    assert_eq!((behind.status, header(&behind, "content-range")), (416, Some(format!("bytes */{length}"))));
    let known = request(&server, "GET", path, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((known.status, header(&known, "etag"), known.body.len()), (304, Some(tag), 0));
    assert_eq!(request(&server, "GET", path, "If-Match: \"old\"\r\n").status, 412);
    assert_eq!(request(&server, "POST", path, "Content-Length: 0\r\n").status, 405);
}

/// The body of an answer with several parts of a file.
fn multipart(hash: &str, parts: &[Range<usize>], whole: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in parts {
        let place = format!("bytes {}-{}/{}", part.start, part.end - 1, whole.len());
        let head =
            format!("\r\n--{hash}\r\nContent-Type: application/vnd.apache.parquet\r\nContent-Range: {place}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&whole[part.clone()]);
    }
    body.extend_from_slice(format!("\r\n--{hash}--\r\n").as_bytes());
    body
}

#[test]
fn what_is_no_finished_day_is_not_there() {
    let mut chance = Chance::new(1);
    let days = [today() - 2, today()].map(|day| vec![record(day, 0, 0, &mut chance)]);
    let server = embedded_with("", days);
    assert_eq!(listing(&server).into_keys().collect::<Vec<_>>(), [date_text(today() - 2)]);
    let status = |partition: &str| server.get(&format!("{LISTING}{partition}/records.parquet")).status;
    assert_eq!(status(&format!("date={}", date_text(today() - 2))), 200);
    assert_eq!(status(&format!("date%3D{}", date_text(today() - 2))), 200);
    for wrong in [date_text(today()), date_text(today() - 3), "2026-2-1".to_owned(), "..".to_owned(), String::new()] {
        assert_eq!(status(&format!("date={wrong}")), 404, "{wrong}");
    }
    assert_eq!(status(&date_text(today() - 2)), 404);
}

#[test]
fn both_stores_give_the_same_bytes_which_outlive_a_restart_and_the_loss_of_the_files() {
    let database = ClickHouse::shared().create_database();
    let url = format!("{}/{database}", ClickHouse::shared().url());
    let clickhouse = Server::start_with_config(PROGRAM, ALL_KEPT, &["--clickhouse", &url]);
    insert_clickhouse(&database, corpus());
    // In other batches, so that the files of the table have other edges.
    let halves = corpus().into_iter().flat_map(|mut day| {
        let rest = day.split_off(day.len() / 3);
        [day, rest]
    });
    let mut server = embedded_with("", halves);
    let files = listing(&server);
    let bytes: Vec<Vec<u8>> = files.values().map(|file| fetched(&server, file)).collect();
    assert_eq!(
        (bytes.len(), files.values().map(|file| file["rows"].as_i64().expect("rows")).sum()),
        (2, 2 * DAY_RECORDS)
    );
    assert_eq!(listing(&clickhouse), files);

    server.kill();
    server.restart();
    assert_eq!((listing(&server), metric(&server, "telemetrics_dataset_files_made_total")), (files.clone(), 0));
    server.kill();
    fs::remove_dir_all(DataDir::new(server.data_dir()).datasets()).expect("removed");
    server.restart();
    assert_eq!(files.values().map(|file| fetched(&server, file)).collect::<Vec<_>>(), bytes);
}

#[test]
fn a_day_that_changed_has_another_version() {
    let mut server = embedded_with("", corpus());
    let date = date_text(today() - 2);
    let off = listing(&server);
    assert_eq!(off[&date]["rows"], DAY_RECORDS);

    // A record that the quarantine replays belongs to the day on which it came.
    let _ = server.terminate();
    insert_embedded(&server, [vec![record(today() - 2, DAY_RECORDS, 0, &mut Chance::new(9))]]);
    server.restart();
    let replayed = listing(&server);
    assert_eq!(replayed[&date]["rows"], DAY_RECORDS + 1);
    let other = date_text(today() - 3);
    assert_eq!(replayed[&other], off[&other], "nothing happened to the other day");
    fetched(&server, &replayed[&date]);

    // What retention takes out.
    let _ = server.terminate();
    configure(&server, "[retention]\ndefault_days = 35\nrules = [{ severity = 4, days = 1 }]\n");
    server.restart();
    let rule = listing(&server);
    let (rows, sum) = told_by_api(&server, &date);
    assert_eq!(rule[&date]["rows"], rows);
    assert!(sum > 0 && i64::try_from(rows).expect("few") < DAY_RECORDS);
    assert_ne!(rule[&date]["sha256"], replayed[&date]["sha256"]);
    fetched(&server, &rule[&date]);

    // All of it expires.
    let _ = server.terminate();
    configure(&server, "[retention]\ndefault_days = 1\nrules = []\n");
    server.restart();
    assert_eq!(listing(&server), BTreeMap::new());
    assert_eq!(server.get(replayed[&date]["url"].as_str().expect("an address")).status, 404);
}

#[test]
fn a_day_is_finished_when_all_its_collectors_have_delivered_past_it() {
    let database = ClickHouse::shared().create_database();
    let url = format!("{}/{database}", ClickHouse::shared().url());
    let server = Server::start_with_config(PROGRAM, ALL_KEPT, &["--clickhouse", &url]);
    let mut chance = Chance::new(3);
    let mut deliver = |collector: i64, ago: i32| {
        insert_clickhouse(&database, [vec![record(today() - ago, collector, collector, &mut chance)]]);
    };
    let days = |ago: &[i32]| ago.iter().map(|ago| date_text(today() - ago)).collect::<Vec<_>>();
    let finished = || listing(&server).into_keys().collect::<Vec<_>>();
    deliver(1, 4);
    deliver(2, 4);
    deliver(2, 3);
    assert_eq!(finished(), days(&[]), "collector 1 may still have records of the day, and 2 of the next one");
    deliver(1, 2);
    assert_eq!(finished(), days(&[4]));
    // Collector 0 is that of the server, which knows that nothing of it is on its way.
    deliver(0, 2);
    deliver(2, 2);
    assert_eq!(finished(), days(&[4, 3]));
    deliver(1, 1);
    deliver(2, 0);
    assert_eq!(finished(), days(&[4, 3, 2]), "of yesterday collector 1 may still have records");
}

#[test]
fn files_stay_within_their_quota() {
    let server = embedded_with("[datasets]\nquota_bytes = 1_200_000\n", corpus());
    let files = listing(&server);
    assert_eq!(files.len(), 2, "also those that had to make room");
    let sizes: Vec<u64> = files.values().map(|file| described(file).0).collect();
    assert!(sizes.iter().sum::<u64>() > 1_200_000, "{sizes:?}");
    for _ in 0..2 {
        for file in files.values() {
            fetched(&server, file);
            assert!(metric(&server, "telemetrics_dataset_disk_bytes") <= 1_200_000);
        }
    }
}

/// Peak of the memory that the process had, in bytes.
fn peak_memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process().id())).expect("a process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    1_024 * peak.expect("a peak").parse::<u64>().expect("a number")
}

#[test]
fn a_day_that_is_larger_than_the_memory_for_it_is_written_in_its_order() {
    // Batches that lie across each other.
    let batches = (0..LARGE_BATCHES).map(|batch| {
        let records = (0..LARGE_DAY_RECORDS / LARGE_BATCHES).map(|place| {
            let number = place * LARGE_BATCHES + batch;
            let ts_reception = at(today() - 2, number * LARGE_DISTANCE_US);
            let classification = format!("a/b/{}", number % 7);
            let payload = format!("{number} ").repeat(700);
            let report = Report { classification, payload, ..Report::default() };
            Arc::new(Record { id: RecordId(RecordId::first_at(ts_reception).0), ts_reception, report })
        });
        records.collect()
    });
    let server = embedded_with("", batches.collect::<Vec<Vec<_>>>());
    let before = peak_memory(&server);
    let files = listing(&server);
    let file = &files[&date_text(today() - 2)];
    assert_eq!(file["rows"], LARGE_DAY_RECORDS);
    let grown = peak_memory(&server) - before;
    assert!(grown < LARGE_MEMORY_BYTES, "{before} + {grown}");
    let path = file["url"].as_str().expect("an address");
    let text = CHECK_ORDER.replace("URL", &server.url(path));
    assert_eq!(Python::new().output(server.dir(), &text).trim_end(), "True");
}
