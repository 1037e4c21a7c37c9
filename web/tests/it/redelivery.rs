//! Records that come again: stored once, whatever happened to the server between; and telemetry ids that send too much.

use std::thread;

use serde_json::Value;
use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{ClickHouse, Post, Server};

use crate::servers::{PROGRAM, accepted, embedded, id_of, ids, json, metric, on_clickhouse, records};

/// Senders of the same record at the same time.
const SENDERS: usize = 16;
/// A store gets what is accepted within the test.
const EAGER: &str = "[drain]\nbatch_age_ms = 10\n";

#[test]
fn a_record_that_comes_again_is_answered_as_the_first_time() {
    let server = embedded();
    let post = Post::default();
    let first = server.send(&post.in_headers());
    let again = server.send(&post.in_headers());
    assert_eq!((again.status, json(&again)), (201, json(&first)));
    let in_json = server.send(&post.to("/v3/collector").in_json());
    assert_eq!(json(&in_json), json(&first), "the generation of the request is no field of the record");
    assert_eq!(ids(&records(&server, "")), [id_of(&first)]);
    assert_eq!(metric(&server, "telemetrics_redelivered_records_total"), 2);
    assert_eq!(metric(&server, "telemetrics_accepted_records_total"), 1);
}

#[test]
fn a_record_that_differs_in_one_field_is_another_one() {
    let server = embedded();
    let post = Post::default();
    accepted(&server, &post);
    accepted(&server, &post.clone().payload("hello!\n"));
    accepted(&server, &post.clone().with("severity", "2"));
    accepted(&server, &post.clone().header("X-CLR-External", "true"));
    assert_eq!(records(&server, "").len(), 4);
}

#[test]
fn records_below_format_4_are_stored_as_often_as_they_come() {
    let server = embedded();
    let post = Post::default().with("record_format_version", "3");
    let (first, second) = (accepted(&server, &post), accepted(&server, &post));
    assert_eq!(ids(&records(&server, "")), [second, first]);
}

#[test]
fn equal_records_at_the_same_time_are_stored_once() {
    let server = embedded();
    let request = Post::default().in_headers();
    let answers: Vec<Value> = thread::scope(|scope| {
        let send = || json(&exchange(server.address(), &request).expect("an answer"));
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        senders.into_iter().map(|sender| sender.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|answer| answer == &answers[0] && answer["id"].is_u64()), "{answers:?}");
    assert_eq!(records(&server, "").len(), 1);
}

#[test]
fn records_of_the_embedded_journal_are_known_after_a_kill() {
    knows_after_a_kill(embedded());
}

#[test]
fn records_of_a_journal_before_clickhouse_are_known_after_a_kill() {
    knows_after_a_kill(on_clickhouse());
}

#[test]
fn records_in_the_embedded_store_are_known_after_a_kill() {
    let server = Server::start_with_config(PROGRAM, EAGER, &[]);
    knows_delivered_after_a_kill(server);
}

#[test]
fn records_in_clickhouse_are_known_after_a_kill() {
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    knows_delivered_after_a_kill(Server::start_with_config(PROGRAM, EAGER, &["--clickhouse", &url]));
}

fn knows_after_a_kill(mut server: Server) {
    let post = Post::default();
    let first = accepted(&server, &post);
    server.kill();
    server.restart();
    assert_eq!(accepted(&server, &post), first);
    assert_eq!(ids(&records(&server, "")), [first]);
}

fn knows_delivered_after_a_kill(mut server: Server) {
    let post = Post::default();
    let first = accepted(&server, &post);
    server.process().wait_for_error(|line| line.contains("delivered a batch").then_some(()));
    server.kill();
    server.restart();
    assert_eq!(accepted(&server, &post), first);
    assert_eq!(ids(&records(&server, "")), [first]);
}

#[test]
fn a_telemetry_id_over_its_limit_is_told_when_to_come_again() {
    let config = "[rate_limit]\nrecords_per_s = 1\nburst_records = 1\n";
    let server = Server::start_with_config(PROGRAM, config, &[]);
    accepted(&server, &Post::default());
    let posts = 0..100;
    let mut answers = posts.map(|_| server.send(&Post::default().in_headers()));
    let refused = answers.find(|answer| answer.status != 201).expect("more than one record a second is refused");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert!(json(&refused)["message"].as_str().is_some_and(|message| message.contains("rate limit")));
    let unknown = server.send(&Post::default().header("X-Telemetry-TID", "unknown").in_headers());
    assert_eq!(unknown.status, 400, "an id that is not accepted has no limit");
}
