//! The formats of answers, read back by readers of each format, on both stores.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::Command;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use telemetrics_testkit::document::{Block, blocks};
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{Post, Process, Python, Server};

use crate::seeds::{self, FILTERS, SEEDS, Seed, ids_that};
use crate::servers::{PROGRAM, accepted, embedded, ids, json, on_clickhouse, records};

const GUIDE: &str = "docs/analysts.md";
/// Scripts of the guide that read exports.
const PROGRAMS: usize = 5;
/// Headings of the guide with a command that prints numbers.
const NUMBERS: [&str; 3] = ["curl and jq", "curl and SQL", "The program itself"];
/// Parameters of an export that cannot be used, and what the message has to name.
const REFUSED: [(&str, &str); 7] = [
    ("format=json", "format"),
    ("format=xlsx", "format"),
    ("limit=5", "limit"),
    ("cursor=o1", "cursor"),
    ("severity=7", "severity"),
    ("fields=x", "fields"),
    ("no_such=1", "no_such"),
];

#[test]
fn the_embedded_store_is_read_in_every_format() {
    is_read_in_every_format(&embedded());
}

#[test]
fn clickhouse_is_read_in_every_format() {
    is_read_in_every_format(&on_clickhouse());
}

fn is_read_in_every_format(server: &Server) {
    nothing_is_an_answer(server);
    let seeds = seeds::post(server);
    let expected = payloads(&seeds, |_| true);
    for (path, name) in [("/api/records", "records"), ("/api/export", "export")] {
        for format in ["ndjson", "csv", "arrow", "parquet"] {
            let found = read(&server.get(&format!("{path}?format={format}")), format);
            assert_eq!(found, expected, "{name} as {format}");
        }
    }
    exports_are_filtered(server, &seeds);
    the_newest_come_first(server, &seeds);
    the_client_chooses(server);
    compressed_is_the_same(server);
    bad_parameters_are_named(server);
    a_cell_is_no_formula(server);
}

/// The payload of each record by its id.
fn payloads(seeds: &[Seed], passes: fn(&Seed) -> bool) -> BTreeMap<u64, String> {
    seeds.iter().filter(|seed| passes(seed)).map(|seed| (seed.id, seed.payload.clone())).collect()
}

fn read(answer: &Answer, format: &str) -> BTreeMap<u64, String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    match format {
        "ndjson" => answer.text().lines().map(|line| of_object(&serde_json::from_str(line).expect("JSON"))).collect(),
        "csv" => of_cells(&answer.text()),
        "arrow" => {
            of_batches(StreamReader::try_new(answer.body.as_slice(), None).expect("a stream").map(Result::unwrap))
        }
        "parquet" => {
            let file = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(answer.body.clone()));
            of_batches(file.expect("a file").build().expect("a reader").map(Result::unwrap))
        }
        other => panic!("{other}"),
    }
}

fn of_object(record: &Value) -> (u64, String) {
    (record["id"].as_u64().expect("an id"), record["payload"].as_str().expect("a text").to_owned())
}

fn of_cells(text: &str) -> BTreeMap<u64, String> {
    let mut rows = rows(text).into_iter();
    let header = rows.next().expect("a row of names");
    assert_eq!(
        header[..8],
        ["id", "external", "server_timestamp", "severity", "classification", "build", "machine_id", "payload"]
    );
    rows.map(|row| (row[0].parse().expect("an id"), row[7].clone())).collect()
}

/// Rows of cells, read as RFC 4180 says.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'), "rows end with both characters");
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "the last row ends");
    rows
}

fn of_batches(batches: impl Iterator<Item = RecordBatch>) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    for batch in batches {
        let ids = batch.column_by_name("id").expect("ids").as_primitive::<Int64Type>().clone();
        let payloads = cast(batch.column_by_name("payload").expect("payloads"), &DataType::Utf8).expect("texts");
        for (id, payload) in ids.values().iter().zip(payloads.as_string::<i32>()) {
            found.insert(u64::try_from(*id).expect("positive"), payload.expect("a text").to_owned());
        }
    }
    found
}

fn nothing_is_an_answer(server: &Server) {
    for path in ["/api/records", "/api/export"] {
        for format in ["ndjson", "csv", "arrow", "parquet"] {
            assert!(read(&server.get(&format!("{path}?format={format}")), format).is_empty(), "{path} {format}");
        }
    }
}

fn exports_are_filtered(server: &Server, seeds: &[Seed]) {
    for (query, passes) in FILTERS {
        let found = read(&server.get(&format!("/api/export?format=parquet&{query}")), "parquet");
        assert_eq!(found, payloads(seeds, passes), "{query}");
    }
    let selected = server.get("/api/export?format=csv&fields=severity,id").text();
    assert!(selected.starts_with("id,severity\r\n"), "{selected}");
    assert_eq!(selected.lines().count(), SEEDS + 1);
}

fn the_newest_come_first(server: &Server, seeds: &[Seed]) {
    for (format, skipped) in [("ndjson", 0), ("csv", 1)] {
        let text = server.get(&format!("/api/records?limit=7&fields=id&format={format}")).text();
        let ids = text.lines().skip(skipped).map(|line| line.trim_matches(|c: char| !c.is_ascii_digit()));
        let ids: Vec<u64> = ids.map(|id| id.parse().expect("an id")).collect();
        assert_eq!(ids, ids_that(seeds, |_| true)[..7], "{format}");
    }
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    server.send(format!("{request}\r\n").as_bytes())
}

fn the_client_chooses(server: &Server) {
    let kind = |path: &str, headers: &[(&str, &str)]| {
        let answer = get(server, path, headers);
        assert_eq!(answer.header("vary"), Some("Accept, Accept-Encoding"));
        answer.header("content-type").expect("a type").split(';').next().expect("a type").to_owned()
    };
    let csv = &[("Accept", "text/csv, */*;q=0.1")][..];
    assert_eq!(kind("/api/records", &[]), "application/json");
    assert_eq!(kind("/api/records", &[("Accept", "text/html")]), "application/json");
    assert_eq!(kind("/api/records", csv), "text/csv");
    assert_eq!(kind("/api/records?format=ndjson", csv), "application/x-ndjson");
    assert_eq!(kind("/api/export", csv), "text/csv");
    assert_eq!(kind("/api/export", &[]), "application/vnd.apache.parquet");
    assert_eq!(kind("/api/export?format=arrow", csv), "application/vnd.apache.arrow.stream");
    let name = get(server, "/api/export", csv).header("content-disposition").expect("a name").to_owned();
    assert!(name.starts_with("attachment; filename=\"records-20") && name.ends_with("Z.csv\""), "{name}");
    // What has more behind it says so in every format.
    let page = get(server, "/api/records?limit=3", csv);
    let link = page.header("link").expect("a link").to_owned();
    assert!(link.ends_with("; rel=\"next\""), "{link}");
}

fn compressed_is_the_same(server: &Server) {
    let plain = get(server, "/api/records?format=ndjson", &[]);
    assert_eq!(plain.header("content-encoding"), None);
    let gzip = get(server, "/api/records?format=ndjson", &[("Accept-Encoding", "gzip")]);
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(gzip.body.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.body);
    let zstd = get(server, "/api/records?format=ndjson", &[("Accept-Encoding", "gzip, zstd")]);
    assert_eq!(zstd.header("content-encoding"), Some("zstd"));
    assert_eq!(zstd::decode_all(zstd.body.as_slice()).expect("zstd"), plain.body);
}

fn bad_parameters_are_named(server: &Server) {
    for (query, name) in REFUSED {
        let answer = server.get(&format!("/api/export?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        let message = json(&answer)["message"].take();
        assert!(message.as_str().is_some_and(|message| message.contains(name)), "{query}: {message}");
    }
}

fn a_cell_is_no_formula(server: &Server) {
    let id = accepted(server, &Post::default().payload("=HYPERLINK(\"http://x\",\"y\")"));
    assert_eq!(ids(&records(server, "limit=1")), [id]);
    let found = read(&server.get("/api/export?format=csv"), "csv");
    assert!(found[&id].starts_with("'=HYPERLINK(\"http://x\",\"y\")"), "{}", found[&id]);
}

#[test]
fn programs_of_analysts_read_exports_of_the_embedded_store() {
    programs_count_and_sum_as_the_api_does(&embedded());
}

#[test]
fn programs_of_analysts_read_exports_of_clickhouse() {
    programs_count_and_sum_as_the_api_does(&on_clickhouse());
}

/// Runs the commands of the guide that are about exports.
fn programs_count_and_sum_as_the_api_does(server: &Server) {
    seeds::post(server);
    let of_api = records(server, "severity=1,2");
    let severities: i64 = of_api.iter().map(|record| record["severity"].as_i64().expect("a number")).sum();
    let expected = format!("{} {severities}", of_api.len());
    let python = Python::new();
    let scripts: Vec<Block> = blocks(GUIDE).into_iter().filter(|block| block.heading.contains("export")).collect();
    assert_eq!(scripts.iter().filter(|script| script.language == "python").count(), PROGRAMS);
    for script in &scripts {
        let text = script.text.replace("127.0.0.1:8080", &server.address().to_string());
        if script.language == "python" {
            assert_eq!(python.output(server.dir(), &text).trim_end(), expected, "{}", script.heading);
        } else {
            let mut shell = Command::new("sh");
            let ended = Process::start(shell.args(["-ec", &text]).current_dir(server.dir()), server.dir()).wait();
            assert!(ended.status.success(), "{text}: {ended:?}");
        }
    }
    let lines = std::fs::read_to_string(server.dir().join("records.ndjson")).expect("a file that curl made");
    assert_eq!(lines.lines().count(), of_api.len());
    commands_print(server, &expected);
}

/// Runs the commands of the guide that ask for numbers.
fn commands_print(server: &Server, expected: &str) {
    let commands: Vec<Block> = blocks(GUIDE)
        .into_iter()
        .filter(|block| NUMBERS.contains(&block.heading.as_str()) && block.language == "sh")
        .collect();
    assert_eq!(commands.len(), NUMBERS.len());
    let program = std::path::Path::new(PROGRAM).parent().expect("a directory").to_str().expect("a path");
    let path = format!("{program}:{}", std::env::var("PATH").expect("a path"));
    for command in &commands {
        let text = command.text.replace("127.0.0.1:8080", &server.address().to_string());
        let mut shell = Command::new("sh");
        shell.args(["-ec", &text]).env("PATH", &path).current_dir(server.dir());
        let ended = Process::start(&mut shell, server.dir()).wait();
        assert_eq!(ended.stdout.trim_end(), expected, "{}: {}", command.heading, ended.stderr);
    }
}
