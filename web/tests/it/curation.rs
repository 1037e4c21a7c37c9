//! What users curate: edits by several at once, through several servers, and with kills in between.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use telemetrics_testkit::chance::Chance;
use telemetrics_testkit::http::{Answer, exchange};
use telemetrics_testkit::{ClickHouse, Server, wait_until};

use crate::servers::{PROGRAM, embedded, ended, json as body_of, on_clickhouse};

/// Rounds of two edits at once.
const ROUNDS: u64 = 15;
/// Kills in the middle of edits.
const KILLS: u64 = 6;
/// Longest time under edits before a kill.
const KILL_AFTER_MAX_MS: u64 = 120;

pub(crate) fn edit_request(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n", server.address(), body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    format!("{head}\r\n{body}").into_bytes()
}

fn posted(server: &Server, path: &str, body: &Value) -> Answer {
    server.send(&edit_request(server, path, &[("Content-Type", "application/json")], &body.to_string()))
}

/// An edit that is based on an entry.
pub(crate) fn edit(server: &Server, based_on: u64, changes: &Value) -> Answer {
    posted(server, "/api/curation", &json!({ "based_on": based_on, "changes": changes }))
}

fn hide(function: &str) -> Value {
    json!([{ "change": "hidden", "function": function, "module": "m" }])
}

fn state(server: &Server) -> Value {
    server.get_json("/api/curation")
}

fn sequence(server: &Server) -> u64 {
    state(server)["sequence"].as_u64().expect("a number")
}

/// The sequence that an edit that has to be saved led to.
pub(crate) fn saved(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    body_of(answer)["sequence"].as_u64().expect("a number")
}

/// All entries, newest first, read page by page.
fn history(server: &Server, limit: usize) -> Vec<Value> {
    let mut entries = Vec::new();
    let mut path = format!("/api/curation/history?limit={limit}");
    loop {
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let Value::Array(page) = body_of(&answer)["entries"].take() else { panic!("no list") };
        assert!(page.len() <= limit);
        entries.extend(page);
        let Some(link) = answer.header("link") else { return entries };
        let (next, rel) = link.split_once(">; ").expect("a link");
        assert_eq!(rel, "rel=\"next\"");
        next.trim_start_matches('<').clone_into(&mut path);
    }
}

/// The functions that the history hides, oldest first.
fn hidden_in_order(server: &Server) -> Vec<String> {
    let functions = history(server, 100).into_iter().rev();
    functions.map(|entry| entry["changes"][0]["function"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn edits_are_shown_undone_exported_and_imported_in_both_stores() {
    for server in [embedded(), on_clickhouse()] {
        curate(&server);
    }
}

fn curate(server: &Server) {
    let empty = state(server);
    let expected = json!({ "sequence": 0, "rules_id": empty["rules_id"], "filters": [], "comments": [], "hidden": [] });
    assert_eq!(empty, expected);
    let frame = json!({ "function": "raise()", "module": "/usr/lib/\"ä\\'b?" });
    let with = |more: Value| {
        let mut change = frame.clone();
        change.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        change
    };
    let first = json!([
        with(json!({ "change": "filter_added" })),
        with(json!({ "change": "comment_set", "text": "fixed in 30 ?" }))
    ]);
    let answer = edit(server, 0, &first);
    assert_eq!(saved(&answer), 1);
    let shown = state(server);
    assert_eq!(shown["rules_id"], body_of(&answer)["rules_id"]);
    assert_ne!(shown["rules_id"], empty["rules_id"]);
    assert_eq!((&shown["filters"], &shown["hidden"]), (&json!([frame]), &json!([])));
    let guilty_id = shown["comments"][0]["guilty_id"].as_i64().expect("a number");
    assert_eq!(shown["comments"], json!([with(json!({ "guilty_id": guilty_id, "text": "fixed in 30 ?" }))]));

    // As a form of a page.
    let form = "based_on=1&who=ann&change=hidden&function=f%28%29&module=m";
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(saved(&server.send(&edit_request(server, "/api/curation", &[kind], form))), 2);
    let exported = server.get("/api/curation/export");
    assert_eq!((exported.header("x-telemetrics-sequence"), exported.text().lines().count()), (Some("2"), 4));

    assert_eq!(saved(&posted(server, "/api/curation/undo", &json!({ "based_on": 2, "entry": 1 }))), 3);
    let undone = state(server);
    assert_eq!((&undone["filters"], &undone["comments"]), (&json!([]), &json!([])));
    assert_eq!(undone["rules_id"], empty["rules_id"]);
    let past = history(server, 1);
    let numbers: Vec<_> = past.iter().map(|entry| entry["sequence"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, [3, 2, 1]);
    assert_eq!((&past[0]["undo"], &past[1]["who"], &past[2]["undone_by"]), (&json!(1), &json!("ann"), &json!(3)));
    assert_eq!((&past[2]["changes"], &past[1]["undone_by"]), (&first, &Value::Null));

    let import = |path: &str, file: &str| server.send(&edit_request(server, path, &[], file));
    let file = exported.text();
    let stale = import("/api/curation/import?based_on=2", &file);
    assert_eq!(stale.status, 409, "{}", stale.text());
    assert_eq!(saved(&import("/api/curation/import?based_on=3", &file)), 4);
    assert_eq!(server.get("/api/curation/export").text(), file);
    assert_eq!(saved(&import("/api/curation/import?based_on=4", &file)), 4, "nothing to do");
    // Larger than what the server's parser of SQL takes.
    let many: Vec<String> = (0..20_000)
        .map(|i| format!(r#"{{"is":"filter","function":"f{i}()","module":"{}"}}"#, "m".repeat(30)))
        .collect();
    let large = format!("{}\n{}\n", file.lines().next().expect("a line"), many.join("\n"));
    assert_eq!(saved(&import("/api/curation/import?based_on=4&mode=add", &large)), 5);
    assert_eq!(state(server)["filters"].as_array().map(Vec::len), Some(20_001));
    assert_eq!(saved(&posted(server, "/api/curation/undo", &json!({ "based_on": 5, "entry": 5 }))), 6);
    assert_eq!(server.get("/api/curation/export").text(), file);
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let server = embedded();
    let other = edit_request(&server, "/api/curation", &[("Sec-Fetch-Site", "cross-site")], "based_on=0");
    assert_eq!(server.send(&other).status, 403);
    let other = edit_request(&server, "/api/curation/undo", &[("Origin", "http://evil.example")], "based_on=0");
    assert_eq!(server.send(&other).status, 403);
    let other = edit_request(&server, "/api/quarantine/replay", &[("Origin", "http://evil.example")], "");
    assert_eq!(server.send(&other).status, 403);
    let own = format!("http://{}", server.address());
    let same = edit_request(&server, "/api/curation", &[("Origin", &own)], r#"{"based_on":0,"changes":[]}"#);
    assert_eq!(server.send(&same).status, 400);
    let always = json!([{ "change": "filter_removed", "function": "_start()", "module": "libc.so.6" }]);
    for (path, body, part) in [
        ("/api/curation", json!({ "based_on": 0, "changes": [] }), "nothing to change"),
        ("/api/curation", json!({ "based_on": 0, "changes": always }), "always a filter"),
        ("/api/curation/undo", json!({ "based_on": 0, "entry": 1 }), "There is no entry 1"),
        ("/api/curation/import", json!(1), "begin as an export"),
    ] {
        let answer = posted(&server, path, &body);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains(part), "{path}: {}", answer.text());
    }
    let conflict = posted(&server, "/api/curation", &json!({ "based_on": 1, "changes": hide("f()") }));
    assert_eq!(conflict.status, 409);
    assert!(conflict.text().contains("decide again"), "{}", conflict.text());
    assert_eq!(sequence(&server), 0);
    assert_eq!(server.get("/api/curation/history?limit=101").status, 400);
}

#[test]
fn a_collector_has_no_curation() {
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    let collector = Server::start_as(PROGRAM, "collector", "", &["--clickhouse", &url]);
    assert_eq!(collector.get("/api/curation").status, 404);
    assert_ne!(edit(&collector, 0, &hide("f()")).status, 200);
}

#[test]
fn of_two_edits_at_once_exactly_one_is_saved_with_the_embedded_store() {
    let server = embedded();
    duel([&server, &server]);
}

#[test]
fn of_two_edits_at_once_through_two_servers_exactly_one_is_saved_with_clickhouse() {
    let (serve, web) = two_servers();
    duel([&serve, &web]);
}

/// Two servers on one database, which each know an edit of the other.
fn two_servers() -> (Server, Server) {
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    let serve = Server::start(PROGRAM, &["--clickhouse", &url]);
    let web = Server::start_as(PROGRAM, "web", "", &["--clickhouse", &url]);
    (serve, web)
}

/// Both edit at the same time, again and again, each based on what both have seen.
fn duel(servers: [&Server; 2]) {
    for round in 0..ROUNDS {
        wait_until("both to know the last edit", || servers.iter().all(|server| sequence(server) == round));
        let ready = Barrier::new(2);
        let statuses = thread::scope(|scope| {
            let tasks = [0, 1].map(|i| {
                let (server, ready) = (servers[i], &ready);
                scope.spawn(move || {
                    ready.wait();
                    edit(server, round, &hide(&format!("f{round}_{i}()"))).status
                })
            });
            tasks.map(|task| task.join().expect("an answer"))
        });
        assert!(statuses == [200, 409] || statuses == [409, 200], "round {round}: {statuses:?}");
    }
    for server in servers {
        assert_eq!((sequence(server), history(server, 7).len() as u64), (ROUNDS, ROUNDS));
        assert_eq!(state(server)["hidden"].as_array().map(Vec::len), Some(usize::try_from(ROUNDS).expect("few")));
        let errors = server.process().errors();
        assert!(!errors.contains("read anew"), "it did not know its own entries again: {errors}");
    }
    assert_eq!(hidden_in_order(servers[0]), hidden_in_order(servers[1]));
}

#[test]
fn a_table_that_was_emptied_is_read_anew() {
    let clickhouse = ClickHouse::shared();
    let database = clickhouse.create_database();
    let server = Server::start(PROGRAM, &["--clickhouse", &format!("{}/{database}", clickhouse.url())]);
    assert_eq!(saved(&edit(&server, 0, &hide("f()"))), 1);
    clickhouse.query(&format!("TRUNCATE TABLE {database}.curation"));
    wait_until("the empty history", || sequence(&server) == 0);
    // A row that no program wrote.
    clickhouse.query(&format!("INSERT INTO {database}.curation (sequence, what) VALUES (1, 'x')"));
    wait_until("the refusal", || {
        let answer = server.get("/api/curation");
        answer.status == 503 && answer.text().contains("Entry 1 of the history of curation")
    });
}

#[test]
fn a_move_takes_the_history_along() {
    let mut server = embedded();
    for based_on in 0..3 {
        assert_eq!(saved(&edit(&server, based_on, &hide(&format!("f{based_on}()")))), based_on + 1);
    }
    let (before, file) = (history(&server, 100), server.get("/api/curation/export").text());
    assert_eq!(server.terminate().status.code(), Some(0));
    let clickhouse = ClickHouse::shared();
    let data = server.data_dir();
    let moved = |url: &str| {
        let ended = ended(&["store", "move", "--data-dir", data.to_str().expect("text"), "--clickhouse", url]);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        ended.stdout
    };
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    assert!(moved(&url).contains("moved 3 entries"));
    assert!(!moved(&url).contains("entries of the history"), "they are there");
    let on_database = Server::start_with_config(PROGRAM, "collector_number = 7", &["--clickhouse", &url]);
    assert_eq!((history(&on_database, 100), on_database.get("/api/curation/export").text()), (before, file));
    assert_eq!(saved(&edit(&on_database, 3, &hide("later()"))), 4);
    assert!(!moved(&url).contains("of its own"), "what was made there later is no difference");
    let other = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    let own = Server::start_with_config(PROGRAM, "collector_number = 7", &["--clickhouse", &other]);
    assert_eq!(saved(&edit(&own, 0, &hide("own()"))), 1);
    assert!(moved(&other).contains("a history of filters and comments of its own"));
    wait_until("what was there", || hidden_in_order(&own) == ["own()"]);
}

#[test]
fn kills_lose_no_edit_with_the_embedded_store() {
    siege(embedded());
}

#[test]
fn kills_lose_no_edit_with_clickhouse() {
    siege(on_clickhouse());
}

/// Kills the server while somebody edits without pause: what was answered is there, in its order, and beside it nothing
/// but an edit whose answer was lost.
fn siege(mut server: Server) {
    let seed = Chance::seed();
    let mut chance = Chance::new(seed);
    let mut acknowledged: Vec<String> = Vec::new();
    for kill in 0..KILLS {
        let mut based_on = sequence(&server);
        let address = server.address();
        let after = Duration::from_millis(chance.between(1, KILL_AFTER_MAX_MS));
        let name = |i: u64| format!("f{kill}_{i}()");
        let bytes = |based_on: u64, i: u64| {
            let body = json!({ "based_on": based_on, "changes": hide(&name(i)) }).to_string();
            edit_request(&server, "/api/curation", &[("Content-Type", "application/json")], &body)
        };
        let requests: Vec<Vec<u8>> = (0..).zip(based_on..based_on + 2_000).map(|(i, on)| bytes(on, i)).collect();
        let began = Barrier::new(2);
        thread::scope(|scope| {
            let editor = scope.spawn(|| {
                let mut saved = Vec::new();
                for (i, request) in (0..).zip(&requests) {
                    let Ok(answer) = exchange(address, request) else { break };
                    assert_eq!(answer.status, 200, "seed {seed}: {}", answer.text());
                    saved.push(name(i));
                    if i == 0 {
                        began.wait();
                    }
                }
                saved
            });
            began.wait();
            thread::sleep(after);
            drop(server.kill());
            acknowledged.extend(editor.join().expect("an editor"));
        });
        server.restart();
        let kept = hidden_in_order(&server);
        let unanswered = kept.len() - acknowledged.len();
        assert!(unanswered <= 1, "seed {seed}: {unanswered} more than were answered");
        assert_eq!(kept[..acknowledged.len()], acknowledged, "seed {seed}");
        acknowledged = kept;
        based_on = sequence(&server);
        assert_eq!(based_on, acknowledged.len() as u64, "seed {seed}");
    }
    assert_eq!(saved(&edit(&server, sequence(&server), &hide("last()"))), acknowledged.len() as u64 + 1);
}
