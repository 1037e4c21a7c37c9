//! Random edits of the filters over invented crashes, on both stores: what a preview says is what happens, for every
//! group, and undo restores every answer.

use std::collections::BTreeMap;

use scraper::{ElementRef, Html};
use serde_json::{Value, json};
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::{Report, TimestampUs};
use telemetrics_testkit::chance::Chance;
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Post, Server};

use crate::crash_pages::{EDIT, save};
use crate::html::{page, select, texts};
use crate::servers::{embedded, json as body_of, on_clickhouse};

/// Records, of which four in five are crashes.
const RECORDS: u64 = 1_500;
/// So few that a page has room for all groups that an edit moves.
const STACKS: u32 = 40;
const EDITS: usize = 8;
/// What pages show of the name of a function, in characters.
const FUNCTION_CHARS_SHOWN: usize = 90;
/// What users read of crashes; after an undo all of it is as before.
const ANSWERS: [&str; 4] = [
    "/api/crashes?limit=1000&hidden=show",
    "/api/crashes?limit=1000&format=csv",
    "/api/trends?by=guilty&interval=day",
    "/api/regressions",
];

/// Records and machines of each guilty, which has the name that pages show.
type Groups = BTreeMap<(String, String), (u64, u64)>;

#[test]
fn a_preview_is_what_happens_in_the_embedded_store_and_undo_restores_it() {
    edits_are_as_previewed(&embedded());
}

#[test]
fn a_preview_is_what_happens_in_clickhouse_and_undo_restores_it() {
    edits_are_as_previewed(&on_clickhouse());
}

fn edits_are_as_previewed(server: &Server) {
    let seed = Chance::seed();
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    post_crashes(server, chance.bits());
    let mut answers = vec![answers_of(server)];
    for _ in 0..EDITS {
        let address = random_edit(server, &mut chance);
        let before = groups(server);
        let preview = page(&server.get(&address), 200);
        assert_eq!(groups(server), before, "a preview saves nothing");
        let saved = save(server, &preview);
        assert_eq!(saved.status, 303, "{address}: {}", saved.text());
        assert_eq!(groups(server), as_previewed(&before, &preview), "{address}");
        answers.push(answers_of(server));
    }
    for entry in (1..=EDITS).rev() {
        answers.pop();
        undo(server, entry);
        assert_eq!(Some(&answers_of(server)), answers.last(), "entry {entry} is undone");
    }
}

fn post_crashes(server: &Server, seed: u64) {
    let end = TimestampUs::from_s(1_795_000_000);
    let fleet = Fleet { crash_permille: 800, stacks: STACKS, machines: 30, ..Fleet::demo(seed, RECORDS, end) };
    let lines: String = generate(&fleet).map(|(_, report)| line(&report)).collect();
    let headers = [("X-Telemetry-TID", TELEMETRY_ID), ("Content-Type", "application/x-ndjson")];
    let answer = server.post(&headers, lines.as_bytes());
    assert_eq!((answer.status, &body_of(&answer)["accepted"]), (200, &json!(RECORDS)), "{}", answer.text());
}

fn line(report: &Report) -> String {
    let post = Post::default()
        .with("classification", &report.classification)
        .with("severity", report.severity.to_string())
        .with("machine_id", &report.machine_id)
        .with("build", &report.build)
        .with("system_name", &report.system_name)
        .payload(&report.payload);
    post.object() + "\n"
}

fn answers_of(server: &Server) -> Vec<String> {
    ANSWERS.iter().map(|address| server.get(address).text()).collect()
}

fn rows(server: &Server) -> Vec<Value> {
    server.get_json(ANSWERS[0])["rows"].as_array().expect("rows").clone()
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().expect("a text").to_owned()
}

fn groups(server: &Server) -> Groups {
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
    let name = |row: &Value| (shown(&text(row, "function")), text(row, "module"));
    let group = |row: &Value| (name(row), (number(row, "records"), number(row, "machines")));
    let rows = rows(server);
    let groups: Groups = rows.iter().map(group).collect();
    assert_eq!(groups.len(), rows.len(), "no two groups look alike");
    groups
}

fn shown(function: &str) -> String {
    match function.char_indices().nth(FUNCTION_CHARS_SHOWN) {
        Some((end, _)) => format!("{}…", &function[..end]),
        None => function.to_owned(),
    }
}

/// The address of the preview of an edit: up to three frames of one guilty's stacks, or a filter that holds.
fn random_edit(server: &Server, chance: &mut Chance) -> String {
    let curated = server.get_json("/api/curation");
    let filters = curated["filters"].as_array().expect("filters");
    if !filters.is_empty() && chance.one_in(3) {
        return address("remove", &[pick(filters, chance).clone()]);
    }
    loop {
        let guilty = pick(&rows(server), chance)["guilty_id"].to_string();
        let stacks = server.get_json(&format!("/api/crashes/{guilty}"))["stacks"].as_array().expect("stacks").clone();
        let mut frames = Vec::new();
        for _ in 0..chance.between(1, 3) {
            let frame = pick(pick(&stacks, chance)["frames"].as_array().expect("frames"), chance).clone();
            let frame = json!({"function": frame["function"], "module": frame["module"]});
            if frame["function"] != "" && !frames.contains(&frame) && !filters.contains(&frame) {
                frames.push(frame);
            }
        }
        let address = address("add", &frames);
        // Some frames are never guilty for everybody, so that nobody can say it of them.
        if !frames.is_empty() && server.get(&address).status == 200 {
            return address;
        }
    }
}

fn pick<'a>(of: &'a [Value], chance: &mut Chance) -> &'a Value {
    &of[usize::try_from(chance.between(1, of.len() as u64)).expect("a place") - 1]
}

fn address(action: &str, frames: &[Value]) -> String {
    let frame = |frame: &Value| json!({"function": frame["function"], "module": frame["module"]}).to_string();
    let pairs = frames.iter().map(|value| ("frame", frame(value)));
    url::form_urlencoded::Serializer::new(format!("{EDIT}{action}?")).extend_pairs(pairs).finish().replace("?&", "?")
}

/// What the groups will be, as the page says it.
fn as_previewed(before: &Groups, preview: &Html) -> Groups {
    let summary = texts(preview, "main p.note").join(" ");
    assert!(!summary.contains("more changes"), "the page has room for all: {summary}");
    let mut groups = before.clone();
    for row in select(preview, "table.preview tbody tr") {
        let (name, was, will_be) = read(row);
        assert_eq!(groups.remove(&name).unwrap_or_default(), was, "{name:?} before");
        if will_be.0 > 0 {
            groups.insert(name, will_be);
        }
    }
    groups
}

/// The guilty of a row, then its records and machines before and after.
fn read(row: ElementRef<'_>) -> ((String, String), (u64, u64), (u64, u64)) {
    let selector = |text: &str| scraper::Selector::parse(text).expect("a selector");
    let cell = |text: &str| row.select(&selector(text)).map(|cell| cell.text().collect::<String>()).collect::<Vec<_>>();
    let module = cell("th .meaning").concat();
    let whole = cell("th div").concat();
    let function = whole.strip_suffix(module.as_str()).expect("the module stands last").trim_end().to_owned();
    // Of machines the page has bounds: at most as many as there are ids.
    let number = |text: &String| {
        let most = text.rsplit(' ').next().unwrap_or_default();
        most.replace(',', "").parse::<u64>().expect("a number")
    };
    let (records, machines) = (cell("td[data-label=Records]"), cell("td[data-label=Machines]"));
    let then = cell("td[data-label=Then]");
    ((function, module), (number(&records[0]), number(&machines[0])), (number(&then[0]), number(&then[1])))
}

fn undo(server: &Server, entry: usize) {
    let based_on = server.get_json("/api/curation")["sequence"].clone();
    let body = json!({"based_on": based_on, "entry": entry}).to_string();
    let answer = server.post_to("/api/curation/undo", &[("Content-Type", "application/json")], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}
