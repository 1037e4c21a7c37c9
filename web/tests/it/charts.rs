//! Pages of numbers show those that the API gives at the addresses that they name, for the same filters.

use std::collections::BTreeMap;

use scraper::Html;
use serde_json::{Value, json};
use telemetrics_testkit::{Post, Server};

use crate::html::{attribute, page, select, texts};
use crate::seeds;
use crate::servers::{PROGRAM, accepted, embedded, on_clickhouse};

const HEARTBEAT: &str = "org.clearlinux/heartbeat/ping";

#[test]
fn charts_of_invented_records_are_those_of_the_api() {
    let server = Server::start_plain(PROGRAM, &["demo", "--records", "3000", "--listen", "127.0.0.1:0"]);
    numbers_are_those_of_the_api(&server, "created_in_days=3");
    assert!(tables(&get(&server, "builds", ""))[0].len() > 3, "the demo has builds");
}

#[test]
fn charts_of_the_embedded_store_are_those_of_the_api() {
    charts_of_few_records(&embedded());
}

#[test]
fn charts_of_clickhouse_are_those_of_the_api() {
    charts_of_few_records(&on_clickhouse());
}

fn charts_of_few_records(server: &Server) {
    seeds::post(server);
    post_about_everything(server);
    numbers_are_those_of_the_api(server, "severity=1");
    machine_checks_are_told_apart(server);
    updates_are_a_matrix(server);
    let builds = get(server, "builds", &format!("system_name=charted&classification={HEARTBEAT}"));
    assert_eq!(tables(&builds)[0], [row("20", &["1"]), row("100", &["2"])]);
    let population = get(server, "population", "system_name=charted");
    assert_eq!(tables(&population)[0], [row("9.1", &["1", "0"]), row("20", &["1", "0"]), row("100", &["1 to 2", "0"])]);
    assert_eq!(server.get("/telemetryui/population?severity=1").status, 400);
}

/// Records of one system that every page of numbers is about.
pub(crate) fn post_about_everything(server: &Server) {
    let heartbeat = Post::default().with("classification", HEARTBEAT).with("system_name", "charted");
    for (machine, build) in [("a", "100"), ("b", "100"), ("b", "20"), ("c", "9.1")] {
        accepted(server, &heartbeat.clone().with("machine_id", machine).with("build", build));
    }
    post_machine_checks(server);
    post_updates(server);
}

fn post_machine_checks(server: &Server) {
    let check = Post::default().with("system_name", "charted").with("build", "20");
    let status = |status: &str| format!("HARDWARE ERROR\nSTATUS {status} MCGSTATUS 0\n");
    for (class, machine, payload) in [
        ("corrected", "m1", status("8c00004000010092")),
        ("corrected", "m2", status("FF00004000010092")),
        ("SRAO", "m1", status("8c000040000100aa")),
        ("UCNA", "m1", "MCGSTATUS 0 but STATUS 8c00004000010092".to_owned()),
        ("thermal", "m3", "Processor 0 heated above trip temperature".to_owned()),
    ] {
        let class = format!("org.clearlinux/mce/{class}");
        accepted(server, &check.clone().with("classification", class).with("machine_id", machine).payload(payload));
    }
}

fn post_updates(server: &Server) {
    let update =
        Post::default().with("system_name", "charted").with("classification", "org.clearlinux/swupd-client/update");
    for (machine, from, to) in
        [("a", "9", "10"), ("b", "9", "10"), ("c", "10", "20"), ("d", "20", "20"), ("e", "", "20")]
    {
        let payload =
            format!("op=update\nlast_current_version=1\ncurrent_version={from}\nserver_version={to}\nresult=0\n");
        accepted(server, &update.clone().with("machine_id", machine).payload(payload));
    }
    accepted(server, &update.payload("nothing of the kind"));
}

fn machine_checks_are_told_apart(server: &Server) {
    let rows = |query: &str| server.get_json(&format!("/api/mce?system_name=charted&{query}"))["rows"].take();
    assert_eq!(
        rows("by=status"),
        json!([
            {"status": "00010092", "records": 2},
            {"status": null, "records": 1},
            {"status": "000100aa", "records": 1},
        ])
    );
    assert_eq!(
        rows("by=machine"),
        json!([{"machine_id": "m1", "builds": "20", "records": 3}, {"machine_id": "m2", "builds": "20", "records": 1}])
    );
    assert_eq!(rows("by=build"), json!([{"system_name": "charted", "build": "20", "records": 4}]));
    let classes = rows("by=classification");
    assert_eq!(classes[0], json!({"classification": "org.clearlinux/mce/corrected", "records": 2}));
    assert_eq!(classes.as_array().map(Vec::len), Some(3), "thermal events are no machine checks");
    let sum =
        |rows: Value| rows.as_array().expect("rows").iter().filter_map(|row| row["records"].as_u64()).sum::<u64>();
    assert_eq!((sum(rows("")), sum(server.get_json("/api/thermal?system_name=charted")["rows"].take())), (4, 1));
    let page = get(server, "mce", "system_name=charted");
    let shares =
        [row("00010092", &["2", "50.0 %"]), row("no status", &["1", "25.0 %"]), row("000100aa", &["1", "25.0 %"])];
    assert_eq!(tables(&page)[3], shares);
    assert_eq!(tables(&page)[2], [row("20", &["4", "100.0 %"])]);
    assert_eq!(tables(&page)[4], [row("m1 on 20", &["3"]), row("m2 on 20", &["1"])]);
    let of_machine = attribute(&page, "table.numbers th a", "href").expect("a link");
    let shown = texts(&crate::html::page(&server.get(&of_machine), 200), "td[data-label=Machine]");
    assert!(!shown.is_empty() && shown.iter().all(|machine| machine == "m1"), "{of_machine}: {shown:?}");
    let thermal = tables(&get(server, "thermal", "system_name=charted")).concat();
    assert_eq!(thermal.iter().map(|(_, values)| number(&values[0])).sum::<u64>(), 1);
}

fn updates_are_a_matrix(server: &Server) {
    let step = |from: &str, to: &str, records: u64| json!({"from_version": from, "to_version": to, "records": records});
    for address in ["/api/updates", "/telemetryui/updates"] {
        let found = server.get_json(&format!("{address}?system_name=charted&days=1"));
        assert_eq!(found, json!({"rows": [step("9", "10", 2), step("10", "20", 1)]}), "{address}");
    }
    let page = get(server, "update_matrix", "system_name=charted");
    assert_eq!(tables(&page)[0], [row("9", &["2", "", "2"]), row("10", &["", "1", "1"])]);
    assert_eq!(texts(&page, "tfoot td"), ["2", "1", "3"]);
    assert_eq!(server.get("/telemetryui/update_matrix?days=0").status, 400);
}

fn row(name: &str, values: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
}

fn numbers_are_those_of_the_api(server: &Server, filter: &str) {
    for query in ["", filter] {
        builds_are_those_of_the_api(server, query);
        shares_are_those_of_the_api(server, query);
    }
    machines_are_those_of_the_api(server);
}

fn get(server: &Server, name: &str, query: &str) -> Html {
    page(&server.get(&format!("/telemetryui/{name}?{query}")), 200)
}

/// The rows of every table of numbers: a name and the values beside it.
pub(crate) fn tables(page: &Html) -> Vec<Vec<(String, Vec<String>)>> {
    let cells = |row: scraper::ElementRef<'_>| {
        let mut texts = row.child_elements().map(|cell| cell.text().collect::<String>());
        (texts.next().expect("a name"), texts.collect())
    };
    let selector = scraper::Selector::parse("tbody tr").expect("a selector");
    select(page, "table.numbers").iter().map(|table| table.select(&selector).map(cells).collect()).collect()
}

/// What the addresses answer that a page gives for its numbers, in their order.
pub(crate) fn same(server: &Server, page: &Html) -> Vec<Vec<Value>> {
    let rows = |address: &String| match server.get_json(address)["rows"].take() {
        Value::Array(rows) => rows,
        other => panic!("{address}: {other}"),
    };
    texts(page, "#same + ul code").iter().map(rows).collect()
}

fn builds_are_those_of_the_api(server: &Server, query: &str) {
    let page = get(server, "builds", query);
    let builds = &same(server, &page)[0];
    let mut numeric: Vec<(u64, String)> = builds.iter().filter_map(numeric_build).collect();
    numeric.sort_unstable();
    let shown: Vec<(u64, String)> = tables(&page)
        .concat()
        .into_iter()
        .map(|(build, values)| (build.parse().expect("a number"), values[0].replace(',', "")))
        .collect();
    assert_eq!(shown, numeric[numeric.len() - shown.len()..], "{query}");
    assert_eq!(shown.is_empty(), numeric.is_empty());
}

fn numeric_build(row: &Value) -> Option<(u64, String)> {
    let build = row["build"].as_str().expect("a build");
    build.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    Some((build.parse().ok()?, row["records"].to_string()))
}

fn shares_are_those_of_the_api(server: &Server, query: &str) {
    let page = get(server, "stats", query);
    let lists = same(server, &page);
    assert_eq!(tables(&page).len(), lists.len());
    for (table, list) in tables(&page).iter().zip(&lists) {
        let told = table.iter().filter(|(name, _)| !name.ends_with(" all others"));
        for (row, expected) in told.zip(list) {
            assert_eq!(row.1[0].replace(',', ""), expected["records"].to_string(), "{query}: {row:?}");
        }
        let sum: u64 = table.iter().map(|(_, values)| number(&values[0])).sum();
        assert_eq!(sum, list.iter().filter_map(|row| row["records"].as_u64()).sum::<u64>(), "{query}");
    }
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().expect("a number")
}

fn machines_are_those_of_the_api(server: &Server) {
    let page = get(server, "population", "");
    for (table, list) in tables(&page).iter().zip(same(server, &page)) {
        let mut expected = BTreeMap::<(String, &str), u64>::new();
        for row in &list {
            let build = row["build"].as_str().expect("a build").to_owned();
            let source = row["data_source"].as_str().expect("a source");
            *expected.entry((build, source)).or_default() += row["machines"].as_u64().expect("a number");
        }
        for (build, values) in table {
            for (source, value) in ["internal", "external"].into_iter().zip(values) {
                let counted = expected.get(&(build.clone(), source)).copied().unwrap_or_default();
                let most = value.trim_start_matches("at most ").rsplit(" to ").next().expect("a number");
                assert_eq!(number(most), counted, "{build} {source}");
            }
        }
    }
}
