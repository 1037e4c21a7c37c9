//! Crashes by their cause, on both stores: counts, machines, stacks, trends; and what an edit of the filters does to them.

use serde_json::{Value, json};
use telemetrics_testkit::{Post, Server};

use crate::servers::{accepted, embedded, json as body_of, on_clickhouse};

pub(crate) const CRASH: &str = "org.clearlinux/crash/clr";

/// Functions of a stack, from the crash upwards; each in a module of its name.
pub(crate) fn payload(functions: &[&str]) -> String {
    let frames =
        functions.iter().enumerate().map(|(at, name)| format!("#{at} {name}() - [/lib/{name}.so] - {name}.c:{at}\n"));
    format!("Process: /usr/bin/x\nPID: 7\nSignal: 11\n\nBacktrace (TID 7):\n{}", frames.collect::<String>())
}

pub(crate) fn crash(server: &Server, machine: &str, build: &str, functions: &[&str]) {
    let post = Post::default().with("classification", CRASH).with("severity", "3").with("machine_id", machine);
    accepted(server, &post.with("build", build).payload(payload(functions)));
}

/// The same on a system that is not the usual one.
pub(crate) fn crash_on(server: &Server, system: &str, severity: &str, machine: &str, build: &str, functions: &[&str]) {
    let post = Post::default().with("classification", CRASH).with("severity", severity).with("machine_id", machine);
    accepted(server, &post.with("system_name", system).with("build", build).payload(payload(functions)));
}

pub(crate) fn post_crashes(server: &Server) {
    crash(server, "a", "1", &["strlen", "parse", "main"]);
    crash(server, "b", "1", &["strlen", "parse", "main"]);
    crash(server, "a", "2", &["strlen", "parse", "main"]);
    crash(server, "a", "2", &["strlen", "render", "main"]);
    crash(server, "c", "2", &["draw", "render", "main"]);
    let unknown = Post::default().with("classification", CRASH).with("machine_id", "d").payload("no backtrace\n");
    accepted(server, &unknown);
    let kernel = "Crash Report:\nReason: BUG: x\nBacktrace :\n#1 oops_end - [kernel]\n#2 main - [kernel]\n";
    accepted(
        server,
        &Post::default().with("classification", "org.clearlinux/kernel/bug").with("build", "1").payload(kernel),
    );
}

fn rows(server: &Server, address: &str) -> Vec<Value> {
    server.get_json(address)["rows"].as_array().expect("rows").clone()
}

/// Function, records, machines and stacks of each cause.
fn summary(server: &Server, query: &str) -> Vec<(String, u64, u64, u64)> {
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
    let of = |row: &Value| {
        let function = row["function"].as_str().expect("a function").to_owned();
        (function, number(row, "records"), number(row, "machines"), number(row, "stacks"))
    };
    rows(server, &format!("/api/crashes?{query}")).iter().map(of).collect()
}

fn expected(rows: &[(&str, u64, u64, u64)]) -> Vec<(String, u64, u64, u64)> {
    rows.iter().map(|(name, records, machines, stacks)| ((*name).to_owned(), *records, *machines, *stacks)).collect()
}

fn edit(server: &Server, changes: &Value) -> u64 {
    let based_on = server.get_json("/api/curation")["sequence"].clone();
    let body = json!({"based_on": based_on, "changes": changes}).to_string();
    let answer = server.post_to("/api/curation", &[("Content-Type", "application/json")], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    body_of(&answer)["sequence"].as_u64().expect("a number")
}

#[test]
fn causes_in_the_embedded_store_follow_the_filters() {
    causes_follow_the_filters(&embedded());
}

#[test]
fn causes_in_clickhouse_follow_the_filters() {
    causes_follow_the_filters(&on_clickhouse());
}

fn causes_follow_the_filters(server: &Server) {
    assert_eq!(summary(server, ""), []);
    post_crashes(server);
    let before = expected(&[("strlen()", 4, 2, 2), ("draw()", 1, 1, 1), ("oops_end", 1, 1, 1)]);
    assert_eq!(summary(server, ""), before);
    assert_eq!(summary(server, "build=2"), expected(&[("strlen()", 2, 1, 2), ("draw()", 1, 1, 1)]));
    assert_eq!(summary(server, "machine_id=b"), expected(&[("strlen()", 1, 1, 1)]));
    assert_eq!(summary(server, "limit=1"), expected(&[("strlen()", 4, 2, 2)]));
    builds_and_details(server);
    trend_of_causes(server);
    statements_see_causes(server);
    let filter = json!([{"change": "filter_added", "function": "strlen()", "module": "/lib/strlen.so"}]);
    let sequence = edit(server, &filter);
    let after = expected(&[("parse()", 3, 2, 1), ("draw()", 1, 1, 1), ("oops_end", 1, 1, 1), ("render()", 1, 1, 1)]);
    assert_eq!(summary(server, ""), after, "for all crashes at once");
    edit(server, &json!([{"change": "hidden", "function": "parse()", "module": "/lib/parse.so"}]));
    assert_eq!(summary(server, "limit=1"), expected(&[("draw()", 1, 1, 1)]));
    assert_eq!(summary(server, "limit=1&hidden=show"), expected(&[("parse()", 3, 2, 1)]));
    let undo = json!({"based_on": sequence + 1, "entry": sequence}).to_string();
    let answer = server.post_to("/api/curation/undo", &[("Content-Type", "application/json")], undo.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(summary(server, ""), before, "undo restores every answer");
}

#[test]
fn a_cause_that_is_new_holds_a_build_in_the_embedded_store() {
    a_new_cause_holds_a_build(&embedded());
}

#[test]
fn a_cause_that_is_new_holds_a_build_in_clickhouse() {
    a_new_cause_holds_a_build(&on_clickhouse());
}

fn a_new_cause_holds_a_build(server: &Server) {
    let heartbeat = Post::default().with("classification", "org.clearlinux/heartbeat/ping");
    for machine in 0..60 {
        for build in ["20", "30"] {
            let post = heartbeat.clone().with("build", build).with("machine_id", format!("{build} {machine}"));
            accepted(server, &post);
        }
    }
    for machine in 0..25 {
        crash(server, &format!("30 {machine}"), "30", &["boom", "main"]);
        crash(server, &format!("20 {machine}"), "20", &["ever", "main"]);
        crash(server, &format!("30 {machine}"), "30", &["ever", "main"]);
    }
    let gate = server.get_json("/api/gate?build=30&against=20");
    assert_eq!(gate["verdict"], "hold", "{gate:#}");
    let reasons = gate["reasons"].as_array().expect("reasons");
    let guilties: Vec<_> = reasons.iter().filter(|reason| reason["guilty_id"].is_i64()).collect();
    assert_eq!(guilties.len(), 1, "{gate:#}");
    assert_eq!((&guilties[0]["function"], &guilties[0]["holds"]), (&json!("boom()"), &json!(true)));
    assert_eq!((&guilties[0]["build"]["machines"], &guilties[0]["reason"]), (&json!(25), &json!("new")));
    assert_eq!(rows(server, "/api/regressions"), [] as [Value; 0], "quiet when numbers are small");
    assert_eq!(server.get("/api/regressions?severity=1").status, 400);
}

fn builds_and_details(server: &Server) {
    let row = rows(server, "/api/crashes?limit=1")[0].clone();
    let system = row["builds"][0]["system_name"].clone();
    let of_build = |build: &str, records: u64, machines: u64| json!({"system_name": system, "build": build, "records": records, "machines": machines});
    assert_eq!(row["builds"], json!([of_build("1", 2, 2), of_build("2", 2, 1)]));
    let details = server.get_json(&format!("/api/crashes/{}", row["guilty_id"]));
    assert_eq!((&details["builds"], &details["guilty"]["function"]), (&row["builds"], &json!("strlen()")));
    assert_eq!(details["machines"][0]["machine_id"], "a");
    let stacks = details["stacks"].as_array().expect("stacks");
    assert_eq!((stacks.len(), &stacks[0]["records"], &stacks[0]["machines"]), (2, &json!(3), &json!(2)));
    let frame = json!({"function": "strlen()", "module": "/lib/strlen.so", "source": "strlen.c:0", "guilty": true});
    assert_eq!((&stacks[0]["frames"][0], &stacks[0]["frames"][1]["guilty"]), (&frame, &json!(false)));
    for missing in ["0", "x"] {
        assert_eq!(server.get(&format!("/api/crashes/{missing}")).status, 404);
    }
    assert_eq!(server.get("/api/crashes?hidden=x").status, 400);
}

fn statements_see_causes(server: &Server) {
    let statement = "SELECT guilty_function, guilty_module, count(*) AS records, count(DISTINCT machine_id) AS machines \
                     FROM crashes WHERE guilty_id <> 0 GROUP BY 1, 2 ORDER BY records DESC, guilty_function LIMIT 2";
    let answer = server.post_to("/api/sql", &[("Content-Type", "text/plain")], statement.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = |function: &str, module: &str, records: u64, machines: u64| json!({"guilty_function": function, "guilty_module": module, "records": records, "machines": machines});
    let expected = [row("strlen()", "/lib/strlen.so", 4, 2), row("draw()", "/lib/draw.so", 1, 1)];
    assert_eq!(body_of(&answer)["rows"], json!(expected));
}

fn trend_of_causes(server: &Server) {
    for interval in ["hour", "day", "week"] {
        let rows = rows(server, &format!("/api/trends?by=guilty&top=1&interval={interval}&created_in_days=1"));
        let sum = |told: bool| {
            let of = rows.iter().filter(|row| row["guilty_id"].is_null() != told);
            of.filter_map(|row| row["records"].as_u64()).sum::<u64>()
        };
        assert_eq!((sum(true), sum(false)), (4, 2), "{interval}");
    }
    one_cause_over_time(server);
}

fn one_cause_over_time(server: &Server) {
    for cause in rows(server, "/api/crashes?hidden=show") {
        let of = |query: &str| rows(server, &format!("/api/trends?by=guilty&created_in_days=1&{query}"));
        let alone = of(&format!("guilty_id={}", cause["guilty_id"]));
        let records: u64 = alone.iter().filter_map(|row| row["records"].as_u64()).sum();
        assert_eq!(cause["records"], records, "{cause}");
        assert!(alone.iter().all(|row| row["guilty_id"] == cause["guilty_id"]), "{alone:?}");
        assert_eq!(of("guilty_id=7"), [] as [Value; 0]);
    }
    assert_eq!(server.get("/api/trends?guilty_id=7").status, 400);
}
