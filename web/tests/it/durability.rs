//! What was answered 201 is there, once, whatever happens to the process afterwards.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{Post, Server};

use crate::servers::{accepted, embedded, ids, json, on_clickhouse, records};

/// Posters that are cut off by a kill.
const POSTERS: usize = 8;
/// Acknowledged records before the kill.
const ACKNOWLEDGED_MIN: usize = 150;

#[test]
fn a_killed_embedded_server_has_what_it_acknowledged() {
    survives_a_kill(embedded());
}

#[test]
fn a_killed_server_on_clickhouse_has_what_it_acknowledged() {
    survives_a_kill(on_clickhouse());
}

#[test]
fn posters_that_a_kill_cuts_off_find_their_records_once_in_the_embedded_store() {
    survives_a_kill_under_load(embedded());
}

#[test]
fn posters_that_a_kill_cuts_off_find_their_records_once_in_clickhouse() {
    survives_a_kill_under_load(on_clickhouse());
}

#[test]
fn an_embedded_server_that_is_asked_to_stop_does() {
    stops_in_order(embedded());
}

#[test]
fn a_server_on_clickhouse_that_is_asked_to_stop_does() {
    stops_in_order(on_clickhouse());
}

fn survives_a_kill(mut server: Server) {
    let id = accepted(&server, &Post::default().payload("before the kill\n"));
    server.kill();
    server.restart();
    assert_found(&server, id, "before the kill\n");
    let later = accepted(&server, &Post::default());
    assert!(later > id, "identifiers grow over a restart: {id}, then {later}");
    assert_eq!(ids(&records(&server, "")), [later, id]);
}

fn stops_in_order(mut server: Server) {
    let id = accepted(&server, &Post::default().payload("before the stop\n"));
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    server.restart();
    assert_found(&server, id, "before the stop\n");
    assert_eq!(ids(&records(&server, "")), [id]);
}

fn assert_found(server: &Server, id: u64, payload: &str) {
    assert_eq!(server.get_json(&format!("/api/records/{id}"))["payload"], payload);
    let list = server.get("/telemetryui/records");
    assert!(list.status == 200 && list.text().contains(&format!("record_details/{id}\"")), "{}", list.text());
    let page = server.get(&format!("/telemetryui/records/record_details/{id}"));
    assert!(page.status == 200 && page.text().contains(payload), "{}", page.text());
}

/// A record that got 201: its id and its payload, which no other one has.
struct Acknowledged {
    id: u64,
    payload: String,
}

fn survives_a_kill_under_load(mut server: Server) {
    let (sender, receiver) = channel();
    let posters: Vec<JoinHandle<()>> =
        (0..POSTERS).map(|number| start_poster(number, server.address(), sender.clone())).collect();
    drop(sender);
    let mut acknowledged: Vec<Acknowledged> = receiver.iter().take(ACKNOWLEDGED_MIN).collect();
    server.kill();
    for poster in posters {
        poster.join().expect("a poster that found its identifiers growing");
    }
    acknowledged.extend(receiver.try_iter());
    server.restart();
    assert_each_once(&server, &acknowledged);
}

/// Posts one record after the other until the server is gone.
fn start_poster(number: usize, address: SocketAddr, sender: Sender<Acknowledged>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut last = 0;
        for count in 0.. {
            let payload = format!("record {count} of poster {number}");
            let Ok(answer) = exchange(address, &Post::default().payload(&payload).in_headers()) else { return };
            assert_eq!(answer.status, 201, "{}", answer.text());
            let id = json(&answer)["id"].as_u64().expect("an id");
            assert!(id > last, "identifiers grow with reception: {last}, then {id}");
            last = id;
            // The receiver counts what comes after enough have come.
            sender.send(Acknowledged { id, payload }).expect("a receiver");
        }
    })
}

fn assert_each_once(server: &Server, acknowledged: &[Acknowledged]) {
    let kept = records(server, "limit=10000");
    let by_id: BTreeMap<u64, &str> =
        kept.iter().map(|r| (r["id"].as_u64().expect("an id"), r["payload"].as_str().expect("a text"))).collect();
    assert_eq!(by_id.len(), kept.len(), "an identifier is given once");
    let payloads: HashSet<&&str> = by_id.values().collect();
    // Records without an answer may be there too, but none of them twice.
    assert_eq!(payloads.len(), kept.len(), "a request becomes one record");
    for Acknowledged { id, payload } in acknowledged {
        assert_eq!(by_id.get(id).copied(), Some(payload.as_str()), "record {id}");
    }
    let later = accepted(server, &Post::default());
    assert!(by_id.keys().all(|id| *id < later));
}
