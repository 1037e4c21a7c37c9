//! Exports that are too large for memory, clients that read slowly or leave, and stores that fail in the middle.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use parquet::file::reader::{FileReader, SerializedFileReader};
use telemetrics_testkit::{ClickHouse, Server, wait_until};

use crate::servers::PROGRAM;

/// Sets how many records are exported.
const RECORDS_VARIABLE: &str = "TELEMETRICS_TEST_EXPORT_RECORDS";
const RECORDS_DEFAULT: u64 = 150_000;
const DAMAGED_RECORDS: u64 = 20_000;
/// By how much an export may raise the resident memory of the server, in KiB. All of the default export is larger.
const RAISE_MAX_KIB: u64 = 100 << 10;
/// More records than expire while others are read.
const EXPIRED_MAX: usize = 100;
/// Bytes that a slow client takes between two looks at the server.
const STEP_BYTES: usize = 4 << 20;

fn record_count() -> u64 {
    std::env::var(RECORDS_VARIABLE).map_or(RECORDS_DEFAULT, |text| text.parse().expect("a number of records"))
}

/// A server with so many records.
fn with_records(count: u64) -> Server {
    Server::start_plain(PROGRAM, &["demo", "--records", &count.to_string(), "--listen", "127.0.0.1:0"])
}

/// One server for all of it: inventing its records takes longer than the rest.
#[test]
fn a_large_store_is_exported() {
    let server = with_records(record_count());
    an_export_larger_than_its_memory_reaches_a_slow_reader(&server);
    without_chunks_there_are_whole_answers_only(&server);
    a_client_that_leaves_ends_its_export(&server);
}

/// What is resident now and the most that was, in KiB.
fn memory_kib(server: &Server) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process().pid())).expect("a process");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    (of("VmRSS:"), of("VmHWM:"))
}

/// Asks for an export and reads nothing yet.
fn ask(server: &Server, query: &str, coding: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    let request = format!(
        "GET /api/export?{query} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

fn an_export_larger_than_its_memory_reaches_a_slow_reader(server: &Server) {
    let there = rows_of_parquet(server);
    let (before, _) = memory_kib(server);
    let mut chunks = Chunks::begin(ask(server, "format=ndjson", "identity"));
    let (mut lines, mut bytes, mut looked_at) = (0, 0, 0);
    while let Some(chunk) = chunks.next() {
        bytes += chunk.len();
        lines += chunk.split(|byte| *byte == b'\n').count() - 1;
        if bytes > looked_at + STEP_BYTES {
            looked_at = bytes;
            let (_, peak) = memory_kib(server);
            assert!(peak < before + RAISE_MAX_KIB, "{before} KiB before, {peak} KiB after {bytes} bytes");
        }
    }
    // Some records may be as old as records become.
    assert!(lines <= there && there < lines + EXPIRED_MAX, "{lines} lines of {there} records");
    assert!(bytes as u64 > 1_024 * RAISE_MAX_KIB, "the export is larger than what it may take: {bytes}");
}

/// How many records are in an export as Parquet.
fn rows_of_parquet(server: &Server) -> usize {
    let file = server.get("/api/export?format=parquet").body;
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).expect("a file");
    usize::try_from(reader.metadata().file_metadata().num_rows()).expect("a number of rows")
}

/// The chunks of a body, one after the other.
struct Chunks(BufReader<TcpStream>);

impl Chunks {
    fn begin(stream: TcpStream) -> Self {
        let mut chunks = Self(BufReader::new(stream));
        assert_eq!(chunks.line(), "HTTP/1.1 200 OK");
        while !chunks.line().is_empty() {}
        chunks
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line(), 16).expect("the length of a chunk");
        let mut chunk = vec![0; length];
        self.0.read_exact(&mut chunk).expect("a chunk");
        assert_eq!(self.line(), "");
        (length > 0).then_some(chunk)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}

fn without_chunks_there_are_whole_answers_only(server: &Server) {
    let request = |query: &str| format!("GET /api/export?{query} HTTP/1.0\r\nHost: x\r\n\r\n").into_bytes();
    let long = server.send(&request("format=csv"));
    assert_eq!(long.status, 400, "{}", long.text());
    assert!(long.text().contains("HTTP/1.1"), "{}", long.text());
    let short = server.send(&request("format=csv&classification=no/such/class"));
    assert_eq!((short.status, short.text().lines().count()), (200, 1));
}

fn a_client_that_leaves_ends_its_export(server: &Server) {
    for format in ["ndjson", "csv", "arrow", "parquet"] {
        let mut stream = ask(server, &format!("format={format}"), "identity");
        stream.read_exact(&mut [0; 100]).expect("the beginning");
        drop(stream);
        let said = format!("an answer was not finished: the client left format=\"{format}\"");
        server.process().wait_for_error(|line| line.contains(&said).then_some(()));
    }
}

#[test]
fn a_file_that_is_damaged_breaks_the_export_off() {
    let server = with_records(DAMAGED_RECORDS);
    // The demo keeps its records in a directory of its own below that for temporary files.
    let mut files: Vec<_> = walk(server.dir()).into_iter().filter(|path| path.ends_with(".parquet")).collect();
    files.sort();
    let damaged = files.first().expect("a file of records");
    let mut bytes = fs::read(damaged).expect("a file");
    let middle = bytes.len() / 4..bytes.len() / 2;
    bytes[middle].fill(0xff);
    fs::write(damaged, bytes).expect("written");
    for coding in ["identity", "gzip", "zstd"] {
        let answer = rest(ask(&server, "format=csv", coding));
        assert!(!looks_whole(&answer), "{coding}: {} bytes", answer.len());
    }
}

/// All bytes until the end of the connection, however it ends.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A connection that breaks off is what is looked for, not an error of the test.
    let _ended = stream.read_to_end(&mut bytes);
    bytes
}

/// Whether a client would take it for a whole answer with records.
fn looks_whole(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"0\r\n\r\n")
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path.to_string_lossy().into_owned()) }
    }
    found
}

#[test]
fn a_clickhouse_that_dies_breaks_the_export_off() {
    let mut clickhouse = ClickHouse::start();
    let server = Server::start_with_config(PROGRAM, "", &["--clickhouse", &format!("{}/telemetry", clickhouse.url())]);
    let columns = "id, ts_reception, classification, severity, payload";
    clickhouse.query(&format!(
        "INSERT INTO telemetry.records ({columns}) SELECT number, now64(6), 'a/b/c', 1, repeat('x', 1000) \
         FROM numbers(200000)"
    ));
    let mut stream = ask(&server, "format=ndjson", "identity");
    stream.read_exact(&mut [0; 100]).expect("the beginning of an answer");
    // Nearly all of it is still there: it is larger than all that is between server and client.
    clickhouse.kill();
    assert!(!looks_whole(&rest(stream)), "an answer that looks whole");
    clickhouse.restart();
    assert!(looks_whole(&rest(ask(&server, "format=ndjson", "identity"))), "an export that nothing happens to");
}

/// Whether the server works on something about records that takes its time.
fn is_busy(clickhouse: &ClickHouse) -> bool {
    let of_records = "elapsed > 0.2 AND query LIKE '%records%'";
    clickhouse.query(&format!("SELECT count() FROM system.processes WHERE {of_records}")).trim_end() != "0"
}

#[test]
fn a_client_that_leaves_ends_its_query_in_clickhouse() {
    let clickhouse = ClickHouse::start();
    let url = format!("{}/telemetry", clickhouse.url());
    let server = Server::start_with_config(PROGRAM, "", &["--clickhouse", &url]);
    let columns = "id, ts_reception, classification, severity, payload";
    clickhouse.query(&format!(
        "INSERT INTO telemetry.records ({columns}) SELECT number, now64(6), 'a/b/c', 1, randomPrintableASCII(1000) \
         FROM numbers(200000)"
    ));
    let mut stream = ask(&server, "format=ndjson", "identity");
    stream.read_exact(&mut [0; 100]).expect("the beginning of an answer");
    // Nearly all of it is still there.
    wait_until("the query of an export", || is_busy(&clickhouse));
    drop(stream);
    wait_until("the end of the query of an export", || !is_busy(&clickhouse));
}
