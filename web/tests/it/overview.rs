//! The page Overview shows what the API says of the same system and the same windows, and leads to pages that show it.

use scraper::Html;
use serde_json::{Value, json};
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server};

use crate::charts::{same, tables};
use crate::crashes::{CRASH, payload};
use crate::html::{attribute, one_text, page, select, texts};
use crate::servers::embedded;

const OVERVIEW: &str = "/telemetryui/overview";
/// The system that is looked at, which is not the usual one.
const SYSTEM: &str = "judged & found";
/// Machines that run each of its builds: as many as a judgement needs.
const MACHINES: usize = 300;
/// Of those of the newer build, how many crash, twice each.
const CRASHING: usize = 25;

fn post_all(server: &Server, posts: impl Iterator<Item = Post>) {
    let lines: String = posts.map(|post| post.object() + "\n").collect();
    let headers = [("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", "application/x-ndjson")];
    let answer = server.post(&headers, lines.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn post_fleet(server: &Server) {
    let heartbeat = |system: &str, build: &str, machine: usize| {
        let post = Post::default().with("classification", "org.clearlinux/heartbeat/ping");
        post.with("system_name", system).with("build", build).with("machine_id", format!("{build} {machine}"))
    };
    let judged = ["10", "20"].into_iter().flat_map(|build| (0..MACHINES).map(move |machine| (build, machine)));
    post_all(server, judged.map(|(build, machine)| heartbeat(SYSTEM, build, machine)));
    post_all(server, (0..3 * MACHINES).map(|machine| heartbeat("usual", "10", machine)));
    // Each with an event of its own: equal ones would be one that is sent again.
    let crash = |machine: usize| {
        let post = Post::default().with("classification", CRASH).with("severity", "3").with("system_name", SYSTEM);
        post.with("build", "20").with("machine_id", format!("20 {machine}")).payload(payload(&["boom", "main"]))
    };
    post_all(server, (0..2 * CRASHING).map(|at| crash(at % CRASHING)));
}

#[test]
fn the_overview_is_that_of_the_api_and_leads_to_what_it_names() {
    let server = embedded();
    assert_eq!(texts(&page(&server.get(OVERVIEW), 200), "#worse")[0].rsplit(": ").next(), Some("no system yet"));
    post_fleet(&server);
    let usual = page(&server.get(OVERVIEW), 200);
    assert!(one_text(&usual, "#worse").ends_with(": usual"), "{}", one_text(&usual, "#worse"));
    assert_eq!(texts(&usual, "[aria-labelledby=worse] .empty"), ["Nothing that is sure."]);
    assert!(select(&usual, "#systems option").iter().any(|option| option.attr("value") == Some(SYSTEM)));
    let chosen =
        url::form_urlencoded::Serializer::new(format!("{OVERVIEW}?")).append_pair("system_name", SYSTEM).finish();
    let chosen = page(&server.get(&chosen.replace("?&", "?")), 200);
    assert_eq!(attribute(&chosen, "#system_name", "value").as_deref(), Some(SYSTEM));
    let lists = same(&server, &chosen);
    findings_are_those_of_the_api(&chosen, &lists[0]);
    rates_are_those_of_the_api(&chosen, &lists[1]);
    let hours: Vec<String> = tables(&chosen)[1].iter().map(|(_, values)| values[0].replace(',', "")).collect();
    assert_eq!(hours, lists[2].iter().map(|row| row["records"].to_string()).collect::<Vec<_>>());
    what_is_named_is_shown(&server, &chosen);
    assert_eq!(server.get(&format!("{OVERVIEW}?days=7")).status, 400);
    assert_eq!(server.get(&format!("{OVERVIEW}?system_name={}", "x".repeat(141))).status, 400);
}

fn findings_are_those_of_the_api(shown: &Html, list: &[Value]) {
    let name = |row: &Value| match (row["function"].as_str(), row["classification"].as_str()) {
        (Some(function), _) => format!("{function} in {}", row["module"].as_str().expect("a module")),
        (None, Some(class)) => class.to_owned(),
        (None, None) => "Crashes as a whole".to_owned(),
    };
    let found: Vec<String> =
        list.iter().map(|row| format!("{}: new since 20, on 5 to 25 machines.", name(row))).collect();
    assert_eq!(texts(shown, "[aria-labelledby=worse] li"), found);
    assert_eq!(list.iter().filter(|row| row["function"] == "boom()").count(), 1, "{list:?}");
    assert!(
        list.iter().all(|row| row["struck_machines"] == json!(CRASHING) && row["system_name"] == SYSTEM),
        "{list:?}"
    );
}

/// The table has the oldest build first, the API the newest.
fn rates_are_those_of_the_api(shown: &Html, list: &[Value]) {
    let rows = tables(shown).remove(0);
    assert_eq!(rows.iter().map(|(build, _)| build.as_str()).collect::<Vec<_>>(), ["10", "20"]);
    for ((build, values), row) in rows.iter().zip(list.iter().rev()) {
        assert_eq!(row["build"].as_str(), Some(build.as_str()));
        let number = |name: &str| row[name].as_f64().expect("a number");
        let near = |text: &str, name: &str| {
            let shown: f64 = text.replace(',', "").parse().expect("a number");
            assert!((shown - number(name)).abs() <= 0.05, "{build}: {text} for {row}");
        };
        near(&values[0], "crashing_machines_per_1000");
        let (low, high) = values[1].split_once(" to ").expect("an interval");
        near(low, "crashing_machines_per_1000_low");
        near(high, "crashing_machines_per_1000_high");
        for (text, name) in [(&values[2], "machines"), (&values[3], "crashing_machines")] {
            let (least, most) = text.split_once(" to ").unwrap_or((text, text));
            near(least, &format!("{name}_at_least"));
            near(most, name);
        }
    }
}

fn what_is_named_is_shown(server: &Server, shown: &Html) {
    let addresses: Vec<String> = select(shown, "[aria-labelledby=worse] li a")
        .iter()
        .filter_map(|link| link.attr("href"))
        .map(str::to_owned)
        .collect();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for address in &addresses {
        assert_eq!(server.get(address).status, 200, "{address}");
        assert!(address.contains("days=14") && address.contains("system_name=judged+%26+found"), "{address}");
    }
    let guilty = addresses.iter().find(|address| address.contains("guilty_details")).expect("a guilty");
    let details = page(&server.get(guilty), 200);
    assert_eq!(one_text(&details, "h1"), "Guilty: boom()");
    assert_eq!(texts(&details, "table.facts td")[0], (2 * CRASHING).to_string());
    let judged = &texts(&details, "[aria-labelledby=judged] p")[0];
    assert!(judged.contains(": new since 20, on 5 to 25 machines."), "{judged}");
    let rates = tables(&details).pop().expect("a table");
    let struck: Vec<_> =
        rates.iter().map(|(build, values)| (build.as_str(), values[0].as_str(), values[3].as_str())).collect();
    assert_eq!(struck, [("10", "0", "0"), ("20", "83.3", "5 to 25")]);
}
