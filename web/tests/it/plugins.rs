//! Views in files at the real server: they appear, change and go while it runs, a broken one tells why in its own page, and
//! those that are shipped show the numbers of the pages that they are like.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use telemetrics_testkit::document::blocks;
use telemetrics_testkit::{ClickHouse, Post, Server, wait_until};
use telemetrics_web::views::{CHART_ROWS_MAX, TABLE_ROWS_MAX};

use crate::charts;
use crate::html::{attribute, one_text, page, select, texts};
use crate::seeds;
use crate::servers::{self, PROGRAM, accepted, embedded, ended};

const VIEW: &str = r#"
title = "By severity"
kind = "column"
sql = "SELECT severity, count(*) AS n FROM records WHERE machine_id = $machine OR $machine = '' GROUP BY severity ORDER BY severity"
[columns]
label = "severity"
values = ["n"]
[[parameters]]
name = "machine"
type = "text"
default = ""
"#;

/// Where a server looks when nobody says otherwise.
fn directory(server: &Server) -> PathBuf {
    let directory = server.data_dir().join("views");
    fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn put(server: &Server, name: &str, text: &str) {
    fs::write(directory(server).join(name), text).expect("written");
}

/// The tabs of views, on a page that has nothing to do with them.
fn tabs(server: &Server) -> Vec<String> {
    let page = page(&server.get("/telemetryui/records"), 200);
    let tabs = select(&page, "header nav a").into_iter();
    let of_views = tabs.filter(|tab| tab.attr("href").is_some_and(|href| href.contains("/plugins/")));
    of_views.map(|tab| tab.text().collect()).collect()
}

fn wait_for_tabs(server: &Server, expected: &[&str]) {
    wait_until("the tabs of the views", || tabs(server) == expected);
}

fn rows(server: &Server, address: &str) -> Value {
    server.get_json(&format!("/telemetryui/plugins/{address}"))["rows"].take()
}

/// What a broken view says.
fn problem(server: &Server, name: &str) -> String {
    one_text(&page(&server.get(&format!("/telemetryui/plugins/{name}")), 503), "#problem")
}

#[test]
fn views_appear_change_and_go_while_the_server_runs() {
    let server = embedded();
    accepted(&server, &Post::default().with("severity", "2"));
    assert_eq!(tabs(&server), Vec::<String>::new(), "a missing directory is no error");
    put(&server, "by_severity.toml", VIEW);
    wait_for_tabs(&server, &["By severity"]);
    let shown = page(&server.get("/telemetryui/plugins/by_severity"), 200);
    assert_eq!(
        (texts(&shown, ".numbers tbody th"), texts(&shown, ".numbers tbody td")),
        (vec!["2".into()], vec!["1".into()])
    );
    assert_eq!(
        attribute(&shown, "header nav a[aria-current=page]", "href").as_deref(),
        Some("/telemetryui/plugins/by_severity")
    );
    put(&server, "other.toml", "title = \"One\"\nkind = \"table\"\nsql = \"SELECT 1 AS one\"\n");
    wait_for_tabs(&server, &["By severity", "One"]);
    assert_eq!(rows(&server, "other/rows.json"), json!([{"one": 1}]));
    put(&server, "other.toml", "title = \"Two\"\nkind = \"table\"\nsql = \"SELECT 2 AS one\"\n");
    wait_for_tabs(&server, &["By severity", "Two"]);
    assert_eq!(rows(&server, "other/rows.json"), json!([{"one": 2}]));
    fs::remove_file(directory(&server).join("by_severity.toml")).expect("removed");
    wait_for_tabs(&server, &["Two"]);
    assert_eq!(server.get("/telemetryui/plugins/by_severity").status, 404);
    fs::remove_dir_all(directory(&server)).expect("removed");
    wait_for_tabs(&server, &[]);
}

#[test]
fn a_broken_view_says_why_in_its_own_page() {
    let server = embedded();
    accepted(&server, &Post::default());
    let broken = [
        ("a-toml", "title = ", "line 1: "),
        ("b-key", "titel = \"x\"\n", "unknown key `titel`; the nearest known key is `title`"),
        ("c-writes", "title = \"x\"\nkind = \"table\"\nsql = \"DROP TABLE records\"\n", "DROP is not answered"),
        (
            "d-table",
            "title = \"x\"\nkind = \"table\"\nsql = \"SELECT * FROM passwords\"\n",
            "there is no table passwords",
        ),
        (
            "e-column",
            "title = \"x\"\nkind = \"share\"\nsql = \"SELECT build, count(*) AS n FROM records GROUP BY build\"\n\
             columns.label = \"builds\"\ncolumns.values = [\"n\"]\n",
            "`columns.label` names `builds`, which the statement does not have; the nearest is `build`",
        ),
        (
            "f-number",
            "title = \"x\"\nkind = \"line\"\nsql = \"SELECT build, arch FROM records\"\n\
             columns.label = \"build\"\ncolumns.values = [\"arch\"]\n",
            "`columns.values` needs numbers",
        ),
    ];
    for (name, text, _) in broken {
        put(&server, &format!("{name}.toml"), text);
    }
    put(&server, "z.toml", VIEW);
    let files: Vec<String> = broken.iter().map(|(name, ..)| format!("{name}.toml")).collect();
    let expected: Vec<&str> = files.iter().map(String::as_str).chain(["By severity"]).collect();
    wait_for_tabs(&server, &expected);
    for (name, _, reason) in broken {
        let said = problem(&server, name);
        assert!(said.starts_with(&format!("{name}.toml cannot be shown: ")) && said.contains(reason), "{said}");
        assert_eq!(server.get(&format!("/telemetryui/plugins/{name}/rows.csv")).status, 503, "{name}");
    }
    assert_eq!(rows(&server, "z/rows.json").as_array().map(Vec::len), Some(1), "all else goes on");
    put(&server, "a-toml.toml", "title = \"Mended\"\nkind = \"table\"\nsql = \"SELECT 1 AS one\"\n");
    wait_until("the mended view", || tabs(&server).first().is_some_and(|label| label == "Mended"));
}

/// Values that would be something else than a value, were they a part of the text of a statement.
const INJECTIONS: [&str; 8] = [
    "' OR 1=1 --",
    r"\' OR 1=1 --",
    "''",
    r"\",
    "'; DROP TABLE records; --",
    "$machine",
    "' UNION SELECT 1, 2 --",
    "\u{2019} OR 1=1 /*",
];

#[test]
fn a_value_is_never_a_part_of_the_statement_in_the_embedded_store() {
    values_are_values(&embedded());
}

#[test]
fn a_value_is_never_a_part_of_the_statement_in_clickhouse() {
    values_are_values(&servers::on_clickhouse());
}

fn values_are_values(server: &Server) {
    put(server, "v.toml", VIEW);
    wait_for_tabs(server, &["By severity"]);
    for (at, machine) in INJECTIONS.iter().enumerate() {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("machine", machine).finish();
        let address = format!("v/rows.json?{query}");
        assert_eq!(rows(server, &address), json!([]), "{machine}");
        accepted(server, &Post::default().with("severity", (at % 4 + 1).to_string()).with("machine_id", *machine));
        assert_eq!(rows(server, &address), json!([{"severity": at % 4 + 1, "n": 1}]), "{machine}");
        let shown = page(&server.get(&format!("/telemetryui/plugins/v?{query}")), 200);
        assert_eq!(texts(&shown, ".numbers tbody td"), ["1"], "{machine}");
        assert_eq!(attribute(&shown, "#p-machine", "value").as_deref(), Some(*machine));
        // What the page says is sent to the API is the same question.
        let statement = one_text(&shown, "details pre");
        let answer = server.post_to("/api/sql", &[("Content-Type", "text/plain")], statement.as_bytes());
        assert_eq!(servers::json(&answer)["rows"], rows(server, &address), "{machine}: {statement}");
    }
    let all: u64 =
        rows(server, "v/rows.json").as_array().expect("rows").iter().filter_map(|row| row["n"].as_u64()).sum();
    assert_eq!(all, INJECTIONS.len() as u64);
}

#[test]
fn files_have_the_rows_of_the_page() {
    let server = embedded();
    seeds::post(&server);
    put(&server, "v.toml", VIEW);
    wait_for_tabs(&server, &["By severity"]);
    let shown = page(&server.get("/telemetryui/plugins/v?machine="), 200);
    let links: Vec<String> =
        select(&shown, "#same + ul a").iter().filter_map(|link| link.attr("href")).map(str::to_owned).collect();
    let [csv, parquet, in_json] = links.as_slice() else { panic!("{links:?}") };
    let shown_count = select(&shown, ".numbers tbody tr").len();
    let answer = server.get(csv);
    assert_eq!(answer.header("content-disposition"), Some("attachment; filename=\"v.csv\""));
    let shown_rows: Vec<String> = texts(&shown, ".numbers tbody th")
        .into_iter()
        .zip(texts(&shown, ".numbers tbody td"))
        .map(|(name, value)| format!("{name},{value}\r\n"))
        .collect();
    assert_eq!(answer.text(), format!("severity,n\r\n{}", shown_rows.concat()));
    let file = bytes::Bytes::from(server.get(parquet).body);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a file");
    assert_eq!(usize::try_from(reader.metadata().file_metadata().num_rows()), Ok(shown_count));
    assert_eq!(server.get_json(in_json)["rows"].as_array().map(Vec::len), Some(shown_count));
    for missing in ["rows.xlsx", "rows", "csv"] {
        assert_eq!(server.get(&format!("/telemetryui/plugins/v/{missing}")).status, 404, "{missing}");
    }
    for wrong in ["x=1", "machine=a&machine=b", "machine=%00"] {
        assert_eq!(server.get(&format!("/telemetryui/plugins/v/rows.csv?{wrong}")).status, 400, "{wrong}");
        let refused = page(&server.get(&format!("/telemetryui/plugins/v?{wrong}")), 400);
        assert!(!one_text(&refused, "#problem").is_empty() && select(&refused, "form").len() == 1, "{wrong}");
    }
}

#[test]
fn a_view_has_the_limits_of_statements() {
    let server = Server::start_with_config(PROGRAM, "[sql]\ntime_s = 2\nmemory_bytes = 33_554_432\nrows = 100\n", &[]);
    for number in 0..120 {
        accepted(&server, &Post::default().with("machine_id", number.to_string()));
    }
    let view = |sql: &str| format!("title = \"t\"\nkind = \"table\"\nsql = \"{sql}\"\n");
    put(&server, "a-rows.toml", &view("SELECT id FROM records"));
    put(&server, "b-memory.toml", &view("SELECT repeat(machine_id || 'x', 1000000000) AS x FROM records"));
    let endless = "SELECT count(*) AS n FROM records a, records b, records c, records d, records e, records f";
    put(&server, "c-time.toml", &view(endless));
    let chart = "title = \"t\"\nkind = \"line\"\nsql = \"SELECT a.id + b.id AS x, 1 AS n FROM records a, records b\"\n\
                 columns.label = \"x\"\ncolumns.values = [\"n\"]\n";
    put(&server, "d-chart.toml", chart);
    wait_for_tabs(&server, &["t"; 4]);
    assert_eq!(server.get("/telemetryui/plugins/a-rows/rows.csv").status, 422);
    for name in ["b-memory", "c-time", "d-chart"] {
        let shown = page(&server.get(&format!("/telemetryui/plugins/{name}")), 422);
        assert!(!one_text(&shown, "#problem").is_empty(), "{name}");
    }
    put(&server, "e.toml", &view("SELECT count(*) AS n FROM records"));
    wait_for_tabs(&server, &["t"; 5]);
    assert_eq!(rows(&server, "e/rows.json"), json!([{"n": 120}]), "others have their turn");
}

#[test]
fn what_a_page_shows_has_an_end() {
    let server = embedded();
    for number in 0..101 {
        accepted(&server, &Post::default().with("machine_id", number.to_string()));
    }
    let view = |kind: &str, columns: &str| {
        format!(
            "title = \"{kind}\"\nkind = \"{kind}\"\nsql = \"SELECT 'x' AS x, 1 AS n FROM records a, records b LIMIT \
             $n\"\n{columns}\n[[parameters]]\nname = \"n\"\ntype = \"integer\"\ndefault = 1\n"
        )
    };
    put(&server, "a.toml", &view("line", "columns.label = \"x\"\ncolumns.values = [\"n\"]"));
    put(&server, "b.toml", &view("table", ""));
    wait_for_tabs(&server, &["line", "table"]);
    let chart = page(&server.get(&format!("/telemetryui/plugins/a?n={CHART_ROWS_MAX}")), 200);
    assert_eq!(texts(&chart, ".numbers tbody td"), ["10,000"]);
    let refused = page(&server.get(&format!("/telemetryui/plugins/a?n={}", CHART_ROWS_MAX + 1)), 422);
    assert!(one_text(&refused, "#problem").contains("at most 10000 rows"));
    for (rows, notes) in [(TABLE_ROWS_MAX, 0), (TABLE_ROWS_MAX + 1, 1)] {
        let table = page(&server.get(&format!("/telemetryui/plugins/b?n={rows}")), 200);
        assert_eq!(select(&table, ".rows tbody tr").len(), TABLE_ROWS_MAX);
        let said = texts(&table, "main > p").into_iter().filter(|text| text.contains("the files have all of them"));
        assert_eq!(said.count(), notes, "{rows}");
    }
}

/// A server with the views that are shipped, and records that all of them are about.
fn with_shipped(clickhouse: bool) -> Server {
    let views = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/views");
    let config = format!("read_wait_ms = 30000\nviews_dir = \"{}\"\n", views.display());
    let server = if clickhouse {
        let shared = ClickHouse::shared();
        let url = format!("{}/{}", shared.url(), shared.create_database());
        Server::start_with_config(PROGRAM, &config, &["--clickhouse", &url])
    } else {
        Server::start_with_config(PROGRAM, &config, &[])
    };
    seeds::post(&server);
    charts::post_about_everything(&server);
    server
}

#[test]
fn shipped_views_of_the_embedded_store_show_the_numbers_of_the_api() {
    shipped_views_show_the_numbers_of_the_api(&with_shipped(false));
}

#[test]
fn shipped_views_of_clickhouse_show_the_numbers_of_the_api() {
    shipped_views_show_the_numbers_of_the_api(&with_shipped(true));
}

fn shipped_views_show_the_numbers_of_the_api(server: &Server) {
    let system = "system_name=charted";
    for system in [system, "system_name=clear-linux-os"] {
        let query = format!("{system}&created_in_days=7");
        let numeric =
            |row: &Value| row["build"].as_str().is_some_and(|build| build.bytes().all(|b| b.is_ascii_digit()));
        let found = counted(&rows(server, &format!("builds/rows.json?{query}")), &["build"], "records");
        let builds: Vec<Value> =
            server.get_json(&format!("/api/builds?{query}"))["rows"].as_array().expect("rows").clone();
        assert_eq!(found, counted(&builds.into_iter().filter(numeric).collect(), &["build"], "records"));
        assert!(!found.is_empty(), "{system}");
    }
    for (by, endpoint, key) in [
        ("classification", "classifications", "classification"),
        ("platform", "platforms", "host_type"),
        ("severity", "severities", "severity"),
    ] {
        let found = counted(&rows(server, &format!("stats/rows.json?by={by}&created_in_days=7")), &["part"], "records");
        let expected = server.get_json(&format!("/api/{endpoint}?created_in_days=7"))["rows"].take();
        assert_eq!(found, counted(&expected, &[key], "records"), "{by}");
    }
    for (by, key) in
        [("status", "status"), ("classification", "classification"), ("build", "build"), ("machine", "machine_id")]
    {
        let found = counted(&rows(server, &format!("machine-checks/rows.json?by={by}&{system}")), &["part"], "records");
        let expected = counted(&server.get_json(&format!("/api/mce?by={by}&{system}"))["rows"], &[key], "records");
        let named = |(key, records): (Vec<String>, u64)| {
            (key.iter().map(|k| k.replace("null", "no status")).collect(), records)
        };
        assert_eq!(found, expected.into_iter().map(named).collect(), "{by}");
    }
    by_week(server, system);
    others(server);
    let found = counted(&rows(server, &format!("updates/rows.json?{system}&days=1")), &["before", "after"], "updates");
    let updates = server.get_json(&format!("/api/updates?{system}&days=1"))["rows"].take();
    assert_eq!(found, counted(&updates, &["from_version", "to_version"], "records"));
    population(server, system);
    pages_show_them(server, system);
}

/// The views that are like no page: the API has their records one by one.
fn others(server: &Server) {
    let crashes = rows(server, "crash-days/rows.json?days=7");
    let crashes: u64 =
        crashes.as_array().expect("rows").iter().map(|row| row["crashes"].as_u64().expect("a number")).sum();
    let filter = "classification=org.clearlinux/crash/*&created_in_days=7&limit=10000";
    assert_eq!(crashes, servers::records(server, filter).len() as u64);
    assert!(crashes > 0);
    let newest = rows(server, "newest/rows.json?severity_at_least=4");
    let ids: Vec<u64> = newest.as_array().expect("rows").iter().map(|row| row["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids, servers::ids(&servers::records(server, "severity=4&limit=100")));
    assert!(!ids.is_empty());
}

/// Weeks are told by their first days; the API has those without records, too.
fn by_week(server: &Server, system: &str) {
    let day = |rows: Value, key: &str| {
        let mut rows = rows.as_array().expect("rows").clone();
        for row in &mut rows {
            let day: String = row[key].as_str().expect("an instant").chars().take(10).collect();
            row["week"] = json!(day);
            if let Some(class) =
                row["classification"].as_str().and_then(|class| class.rsplit('/').next()).map(str::to_owned)
            {
                row["class"] = json!(class);
            }
        }
        Value::Array(rows)
    };
    let mut expected = counted(
        &day(server.get_json(&format!("/api/mce?{system}"))["rows"].take(), "start"),
        &["week", "class"],
        "records",
    );
    expected.retain(|_, records| *records > 0);
    let found = day(rows(server, &format!("mce/rows.json?{system}")), "week");
    assert_eq!(counted(&found, &["week", "class"], "events"), expected);
    let mut expected =
        counted(&day(server.get_json(&format!("/api/thermal?{system}"))["rows"].take(), "start"), &["week"], "records");
    expected.retain(|_, records| *records > 0);
    assert_eq!(
        counted(&day(rows(server, &format!("thermal/rows.json?{system}")), "week"), &["week"], "events"),
        expected
    );
}

fn population(server: &Server, system: &str) {
    let found = rows(server, &format!("population/rows.json?{system}&days=3"));
    let mut expected = server.get_json(&format!("/api/population?{system}&days=3"))["rows"].take();
    for source in ["internal", "external"] {
        let mut of_source = counted(&found, &["build"], source);
        of_source.retain(|_, machines| *machines > 0);
        let rows = expected.as_array_mut().expect("rows").iter().filter(|row| row["data_source"] == source).cloned();
        assert_eq!(of_source, counted(&rows.collect(), &["build"], "machines"), "{source}");
    }
}

/// The pages of the views show what their files have, as the native pages do.
fn pages_show_them(server: &Server, system: &str) {
    let view = |name: &str| page(&server.get(&format!("/telemetryui/plugins/{name}?{system}")), 200);
    let native = |name: &str| page(&server.get(&format!("/telemetryui/{name}?{system}")), 200);
    assert_eq!(texts(&view("builds"), ".numbers tbody"), texts(&native("builds"), ".numbers tbody"));
    assert_eq!(texts(&view("updates"), ".matrix tbody"), texts(&native("update_matrix"), ".matrix tbody"));
    assert_eq!(texts(&view("updates"), ".matrix tfoot"), texts(&native("update_matrix"), ".matrix tfoot"));
    assert_eq!(most(&view("population"), 0), most(&native("population"), 1), "the page has bounds, the file numbers");
    let status = &texts(&native("mce"), ".numbers tbody td")[..];
    assert!(texts(&view("machine-checks"), ".numbers tbody td").iter().all(|number| status.contains(number)));
    let shares = page(&server.get("/telemetryui/plugins/stats"), 200);
    let all = page(&server.get("/telemetryui/stats"), 200);
    assert_eq!(texts(&shares, ".numbers tbody")[0], texts(&all, ".numbers tbody")[0]);
}

/// The cells of a table of numbers; of bounds the upper one.
fn most(page: &scraper::Html, table: usize) -> Vec<String> {
    let cells = scraper::Selector::parse("th, td").expect("a selector");
    let table = select(page, ".numbers tbody")[table];
    let text = |cell: scraper::ElementRef<'_>| cell.text().collect::<String>();
    table.select(&cells).map(text).map(|text| text.rsplit(" to ").next().unwrap_or_default().to_owned()).collect()
}

/// A number for each key; values that are no texts are written as JSON.
fn counted(rows: &Value, keys: &[&str], number: &str) -> BTreeMap<Vec<String>, u64> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |row: &Value| {
        let count = row[number].as_u64().unwrap_or_else(|| panic!("no {number} in {row}"));
        (keys.iter().map(|key| text(&row[key])).collect(), count)
    };
    rows.as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn the_examples_of_the_document_are_views() {
    let server = embedded();
    accepted(&server, &Post::default());
    let views: Vec<String> =
        blocks("docs/views.md").into_iter().filter(|block| block.language == "toml").map(|block| block.text).collect();
    assert!(views.len() >= 4, "{}", views.len());
    for (number, text) in views.iter().enumerate() {
        put(&server, &format!("{number}.toml"), text);
    }
    wait_until("the views of the document", || tabs(&server).len() == views.len());
    for (number, text) in views.iter().enumerate() {
        let answer = server.get(&format!("/telemetryui/plugins/{number}"));
        assert_eq!(answer.status, 200, "{text}: {}", answer.text());
        assert_eq!(server.get(&format!("/telemetryui/plugins/{number}/rows.csv")).status, 200, "{text}");
    }
    let checked = ended(&["views", "check", directory(&server).to_str().expect("a path")]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn files_are_checked_without_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("a path");
    fs::write(dir.path().join("good.toml"), VIEW).expect("written");
    let good = ended(&["views", "check", path]);
    assert!(good.status.success() && good.stdout.contains("good.toml: By severity"), "{good:?}");
    fs::write(dir.path().join("bad.toml"), VIEW.replace("count(*)", "uuid()")).expect("written");
    let bad = ended(&["views", "check", path]);
    assert!(!bad.status.success() && bad.stdout.contains("bad.toml: broken: `sql`: "), "{bad:?}");
    let missing = ended(&["views", "check", "nowhere"]);
    assert!(!missing.status.success(), "{missing:?}");
}
