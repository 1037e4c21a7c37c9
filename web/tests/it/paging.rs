//! Paging while records arrive: a reader gets each record that was there at its first page once, and no other.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use telemetrics_testkit::{ClickHouse, Post, Server};

use crate::servers::{PROGRAM, accepted, embedded, ids, records};

/// Records that are there at the first page.
const RECORDS: usize = 60;
const PAGE: usize = 7;

/// The answer to `address` and the address of the next page.
fn page(server: &Server, address: &str) -> (Vec<u64>, Option<String>) {
    let answer = server.get(address);
    assert_eq!(answer.status, 200, "{address}: {}", answer.text());
    let link = answer.header("link").map(|link| {
        let address = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        address.expect("an address").to_owned()
    });
    let found = crate::servers::json(&answer)["records"].take();
    (ids(found.as_array().expect("a list")), link)
}

/// The pages behind `next`, added to those in `found`.
fn read_on(server: &Server, mut found: Vec<u64>, mut next: Option<String>) -> Vec<u64> {
    while let Some(address) = next {
        let (ids, behind) = page(server, &address);
        found.extend(ids);
        next = behind;
    }
    found
}

fn first_page(server: &Server) -> (Vec<u64>, Option<String>) {
    page(server, &format!("/api/records?limit={PAGE}&fields=id"))
}

fn newest_first(mut ids: Vec<u64>) -> Vec<u64> {
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids
}

#[test]
fn a_reader_of_the_embedded_store_gets_what_was_there_once() {
    let server = embedded();
    reads_while_records_arrive(&server, &[&server]);
}

#[test]
fn a_reader_of_two_collectors_gets_what_was_there_once() {
    let database = ClickHouse::shared().create_database();
    let (first, second) = (start(&database, 3, 50), start(&database, 4, 50));
    reads_while_records_arrive(&first, &[&first, &second]);
}

fn start(database: &str, number: u8, batch_age_ms: u32) -> Server {
    let config = format!("collector_number = {number}\nread_wait_ms = 30000\n[drain]\nbatch_age_ms = {batch_age_ms}\n");
    let url = format!("{}/{database}", ClickHouse::shared().url());
    Server::start_with_config(PROGRAM, &config, &["--clickhouse", &url])
}

/// Reads page by page from `reader` while all collectors get records.
fn reads_while_records_arrive(reader: &Server, collectors: &[&Server]) {
    let posted = (0..RECORDS).map(|n| accepted(collectors[n % collectors.len()], &Post::default())).collect();
    // A question makes its own collector deliver.
    for collector in collectors {
        let _newest = records(collector, "limit=1");
    }
    let is_read = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        let (found, next) = first_page(reader);
        for collector in collectors {
            scope.spawn(|| {
                while !is_read.load(Relaxed) {
                    accepted(collector, &Post::default());
                }
            });
        }
        let found = read_on(reader, found, next);
        is_read.store(true, Relaxed);
        found
    });
    assert_eq!(found, newest_first(posted));
    assert!(records(reader, "fields=id").len() > RECORDS, "records did arrive meanwhile");
}

#[test]
fn what_a_collector_delivers_late_stays_out_of_the_pages_to_come() {
    let database = ClickHouse::shared().create_database();
    let (reader, late) = (start(&database, 1, 50), start(&database, 2, 3_600_000));
    let mut early: Vec<u64> = (0..RECORDS / 2).map(|_| accepted(&reader, &Post::default())).collect();
    let kept_back: Vec<u64> = (0..RECORDS / 2).map(|_| accepted(&late, &Post::default())).collect();
    early.extend((0..RECORDS / 2).map(|_| accepted(&reader, &Post::default())));
    let (found, next) = first_page(&reader);
    let place = found.last().copied().expect("a record");
    assert!(kept_back.iter().all(|id| *id < place), "what comes late has its place behind the first page");
    assert_eq!(records(&late, "fields=id").len(), RECORDS / 2 * 3, "a question makes its own collector deliver");
    assert_eq!(read_on(&reader, found, next), newest_first(early.clone()));
    let (found, next) = first_page(&reader);
    early.extend(kept_back);
    assert_eq!(read_on(&reader, found, next), newest_first(early), "a new reader gets all of them");
}
