//! Crash rates and the release gate, with the same checks on both stores.

use serde_json::{Value, json};
use telemetrics_analytics::judgement::MACHINE_DAYS_MIN;
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server};

use crate::servers::{accepted, embedded, json as body, on_clickhouse};

const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";
const CRASH: &str = "org.clearlinux/crash/clr";
const SYSTEM: &str = "rated";
/// Machines that run each of the builds that are judged.
const JUDGED_MACHINES: usize = 60;
/// Of those of the newer build, how many crash.
const CRASHING: usize = 25;
/// Failures that are no crashes of programs, each with the severity that its probe gives it.
const FAILURES: [(&str, usize); 4] = [
    ("org.clearlinux/kernel/panic", 4),
    ("org.clearlinux/kernel/warning", 2),
    ("org.clearlinux/mce/SRAO", 3),
    ("org.clearlinux/mce/corrected", 2),
];

/// Requests that cannot be answered, and what the message has to name.
const REFUSED: [(&str, &str); 6] = [
    ("crash-rate?days=0", "days"),
    ("crash-rate?by=build", "by"),
    ("crash-rate?format=parquet", "format"),
    ("gate?build=1", "against"),
    ("gate?build=1&against=1", "against"),
    ("gate?build=1&against=2&severity=3", "severity"),
];

#[test]
fn the_embedded_store_has_rates_and_judges() {
    rates_and_judgement(&embedded());
}

#[test]
fn clickhouse_has_rates_and_judges() {
    rates_and_judgement(&on_clickhouse());
}

fn rates_and_judgement(server: &Server) {
    assert_eq!(server.get("/api/crash-rate").text(), r#"{"rows":[]}"#);
    assert_eq!(gate(server, "build=10&against=9")["system_name"], Value::Null);
    post_few(server);
    rates_are_by_build(server);
    classes_are_told_apart(server);
    post_judged(server);
    a_build_is_held(server);
    a_build_passes(server);
    kernel_faults_and_machine_checks_hold(server);
    for (request, name) in REFUSED {
        let answer = server.get(&format!("/api/{request}"));
        assert_eq!(answer.status, 400, "{request}: {}", answer.text());
        let message = body(&answer)["message"].take();
        assert!(message.as_str().is_some_and(|message| message.contains(name)), "{request}: {message}");
    }
}

fn post(server: &Server, class: &str, severity: usize, build: &str, machine: &str) {
    let post = Post::default().with("system_name", SYSTEM).with("classification", class).with("build", build);
    accepted(server, &post.with("severity", severity.to_string()).with("machine_id", machine));
}

/// Four machines on build 9, of which two crash, one of them twice; two on build 10, of which none does; and on build 8,
/// which no machine is heard of, one that crashes.
fn post_few(server: &Server) {
    for (build, machine) in [("9", "a"), ("9", "b"), ("9", "c"), ("9", "d"), ("9", "a"), ("10", "a"), ("10", "e")] {
        post(server, HEARTBEAT, 1, build, machine);
    }
    for (class, build, machine) in [
        (CRASH, "9", "a"),
        (CRASH, "9", "a"),
        ("org.clearlinux/kernel/panic", "9", "b"),
        (CRASH, "8", "f"),
        ("org.clearlinux/journal/error", "10", "a"),
    ] {
        post(server, class, 3, build, machine);
    }
}

fn rates_are_by_build(server: &Server) {
    let answer = server.get_json(&format!("/api/crash-rate?system_name={SYSTEM}"));
    let rows = answer["rows"].as_array().expect("rows");
    let builds: Vec<&Value> = rows.iter().map(|row| &row["build"]).collect();
    assert_eq!(builds, [&json!("10"), &json!("9")], "numeric order, the newest first");
    assert_eq!(rows[0]["crashing_machines_per_1000"], json!(0.0));
    assert_eq!(rows[0]["crashing_machines_per_1000_low"], json!(0.0));
    let nine = &rows[1];
    let counts = ["machines", "machines_at_least", "crashing_machines", "crashing_machines_at_least", "records"];
    assert_eq!(counts.map(|name| nine[name].as_u64().expect("a count")), [4, 1, 2, 1, 3], "{nine}");
    assert_eq!(nine["crashing_machines_per_1000"], json!(500.0));
    assert_eq!(nine["records_per_1000"], json!(750.0));
    for name in ["crashing_machines_per_1000", "records_per_1000"] {
        let end = |end: &str| nine[format!("{name}_{end}")].as_f64().expect("an end");
        let rate = nine[name].as_f64().expect("a rate");
        assert!(end("low") < rate && rate < end("high"), "{nine}");
    }
    assert_eq!(server.get_json("/api/crash-rate"), answer, "it is the system with most records");
    let other = server.get_json("/api/crash-rate?system_name=other");
    assert_eq!(other, json!({"rows": []}));
    let sheet = server.get("/api/crash-rate?format=csv&limit=1");
    assert!(sheet.text().starts_with("system_name,build,machines,machines_at_least,"), "{}", sheet.text());
    assert_eq!((sheet.text().lines().count(), sheet.header("x-telemetrics-more")), (2, Some("true")));
}

fn classes_are_told_apart(server: &Server) {
    let answer = server.get_json("/api/crash-rate?by=classification&build=9");
    let rows = answer["rows"].as_array().expect("rows").iter();
    let found: Vec<Value> =
        rows.map(|row| json!([row["classification"], row["crashing_machines"], row["records"]])).collect();
    assert_eq!(found, [json!([CRASH, 1, 2]), json!(["org.clearlinux/kernel/panic", 1, 1])]);
    let one = server.get_json("/api/crash-rate?build=9&classification=org.clearlinux/kernel/*");
    assert_eq!(one["rows"][0]["records"], json!(1), "{one}");
    assert_eq!(one["rows"][0]["machines"], json!(4), "a filter of records narrows no heartbeats");
}

fn post_judged(server: &Server) {
    for machine in 0..JUDGED_MACHINES {
        post(server, HEARTBEAT, 1, "20", &format!("old {machine}"));
        post(server, HEARTBEAT, 1, "30", &format!("new {machine}"));
    }
    for machine in 0..CRASHING {
        post(server, "org.clearlinux/swupd-client/update-failure", 2, "30", &format!("new {machine}"));
        post(server, "org.clearlinux/swupd-client/update", 1, "30", &format!("new {machine}"));
    }
    post(server, "org.clearlinux/mce/SRAR", 4, "30", "new 1");
}

fn a_build_is_held(server: &Server) {
    let held = gate(server, "build=30&against=20");
    assert_eq!(held["verdict"], "hold", "{held:#}");
    let reasons = held["reasons"].as_array().expect("reasons");
    let told: Vec<Value> =
        reasons.iter().map(|reason| json!([reason["reason"], reason["classification"], reason["holds"]])).collect();
    let expected = [
        json!(["too_few_machines", null, false]),
        json!(["too_few_machines", null, false]),
        json!(["new", "org.clearlinux/swupd-client/update-failure", true]),
        json!(["new", "org.clearlinux/mce/SRAR", false]),
    ];
    assert_eq!(told, expected, "{held:#}");
    let failure = &reasons[2];
    assert_eq!(failure["build"]["machines"], json!(CRASHING));
    assert_eq!(failure["build"]["machine_days"], json!(JUDGED_MACHINES));
    assert_eq!(failure["against"]["struck_machine_days"], json!(0));
    assert!(failure["p_corrected"].as_f64().expect("a chance") < held["threshold"].as_f64().expect("a threshold"));
    let unknown = gate(server, "build=20&against=30");
    assert_eq!(unknown["verdict"], "unknown", "{unknown:#}");
    let of_nobody = gate(server, &format!("build=40&against=20&system_name={SYSTEM}"));
    assert_eq!((&of_nobody["verdict"], &of_nobody["build"]["machines"]), (&json!("unknown"), &json!(0)));
}

/// Two builds that crash alike: the newer one passes with the last machine that is needed, and not before.
fn a_build_passes(server: &Server) {
    let heard = |machines: std::ops::Range<u64>| {
        let both = machines.flat_map(|machine| [("50", machine), ("60", machine)]);
        let heartbeats: String = both.map(|(build, machine)| heartbeat(build, &format!("{build} {machine}"))).collect();
        post_lines(server, &heartbeats);
    };
    for build in ["50", "60"] {
        post(server, CRASH, 3, build, &format!("{build} 0"));
    }
    heard(0..MACHINE_DAYS_MIN - 1);
    let unknown = gate(server, "build=60&against=50");
    assert_eq!(unknown["verdict"], "unknown", "{unknown:#}");
    heard(MACHINE_DAYS_MIN - 1..MACHINE_DAYS_MIN);
    let passed = gate(server, "build=60&against=50");
    assert_eq!((&passed["verdict"], &passed["reasons"]), (&json!("pass"), &json!([])), "{passed:#}");
}

/// Each failure on a system of its own, where nothing else is wrong: the newer build is held for it, and the older one is
/// not, although machines fail on both when it is the older one that is judged.
fn kernel_faults_and_machine_checks_hold(server: &Server) {
    for (class, severity) in FAILURES {
        let post = Post::default().with("system_name", class).with("severity", severity.to_string());
        let line = |class: &str, build: &str, machine: usize| {
            let post = post.clone().with("classification", class).with("build", build);
            post.with("machine_id", format!("{build} {machine}")).object() + "\n"
        };
        let machines = (0..JUDGED_MACHINES).flat_map(|machine| ["20", "30"].map(|build| (build, machine)));
        let heartbeats: String = machines.map(|(build, machine)| line(HEARTBEAT, build, machine)).collect();
        let failures: String = (0..CRASHING).map(|machine| line(class, "30", machine)).collect();
        post_lines(server, &(heartbeats + &failures));
        let held = gate(server, &format!("build=30&against=20&system_name={class}"));
        assert_eq!(held["verdict"], "hold", "{held:#}");
        let reasons = held["reasons"].as_array().expect("reasons").iter();
        let named = reasons.filter(|reason| reason["classification"] == class).collect::<Vec<_>>();
        assert_eq!(named.len(), 1, "{held:#}");
        assert_eq!((&named[0]["reason"], &named[0]["holds"]), (&json!("new"), &json!(true)), "{held:#}");
        assert_eq!(named[0]["build"]["machines"], json!(CRASHING));
        let other_way = gate(server, &format!("build=20&against=30&system_name={class}"));
        assert_eq!(other_way["verdict"], "unknown", "{other_way:#}");
    }
}

/// Records of a batch, which all have to be accepted.
fn post_lines(server: &Server, lines: &str) {
    let headers = [("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", "application/x-ndjson")];
    let answer = server.post(&headers, lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A line of a batch.
fn heartbeat(build: &str, machine: &str) -> String {
    let post = Post::default().with("system_name", SYSTEM).with("classification", HEARTBEAT).with("build", build);
    post.with("machine_id", machine).object() + "\n"
}

fn gate(server: &Server, query: &str) -> Value {
    server.get_json(&format!("/api/gate?{query}"))
}
