//! The pages as they come from the server: what they show is what the API says, whatever the records hold.

use std::process::Command;

use scraper::Html;
use serde_json::{Value, json};
use telemetrics_testkit::{ClickHouse, Post, Server};

use crate::curation;
use crate::html::{attribute, one_text, page, select, texts};
use crate::seeds::{self, FILTERS};
use crate::servers::{accepted, embedded, ids, on_clickhouse, records};

const RECORDS: &str = "/telemetryui/records";
/// Rows of one page.
const PAGE_ROWS: usize = 50;
/// A payload that tries everything that pages have to withstand.
pub(crate) const HOSTILE: &str = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\u{202e}reversed\u{202c} &amp; \"'`\0\n</pre></main>";

fn get(server: &Server, address: &str) -> Html {
    page(&server.get(address), 200)
}

fn record_page(id: u64) -> String {
    format!("{RECORDS}/record_details/{id}")
}

fn row_ids(page: &Html) -> Vec<u64> {
    texts(page, "table.records tbody th a").iter().map(|id| id.parse().expect("an id")).collect()
}

#[test]
fn the_rows_of_the_embedded_store_are_those_of_the_api() {
    rows_are_those_of_the_api(&embedded());
}

#[test]
fn the_rows_of_clickhouse_are_those_of_the_api() {
    rows_are_those_of_the_api(&on_clickhouse());
}

fn rows_are_those_of_the_api(server: &Server) {
    let seeds = seeds::post(server);
    for (query, _) in FILTERS {
        let found = records(server, query);
        let page = get(server, &format!("{RECORDS}?{query}"));
        assert_eq!(row_ids(&page), ids(&found), "{query}");
        let total = one_text(&page, "p.total strong");
        assert_eq!(total.split(' ').next(), Some(found.len().to_string().as_str()), "{query}");
        assert_eq!(select(&page, "p.empty").is_empty(), !found.is_empty(), "{query}");
    }
    every_row_shows_its_record(&get(server, RECORDS), &records(server, ""));
    the_form_repeats_and_offers(server);
    assert_eq!(row_ids(&get(server, "/telemetryui/")).len(), seeds.len(), "the first page is Records");
}

fn every_row_shows_its_record(page: &Html, records: &[Value]) {
    let column = |label: &str| texts(page, &format!("table.records td[data-label={label}]"));
    let values =
        |key: &str| -> Vec<String> { records.iter().map(|r| r[key].as_str().expect("text").to_owned()).collect() };
    assert_eq!(column("Class"), values("classification"));
    assert_eq!(column("System"), values("system_name"));
    assert_eq!(column("Version"), values("build"));
    assert_eq!(column("Machine"), values("machine_id"));
    let words = ["", "low", "med", "high", "crit"];
    let severity = |record: &Value| record["severity"].as_u64().and_then(|level| usize::try_from(level).ok());
    let labels: Vec<&str> = records.iter().map(|record| words[severity(record).expect("a severity")]).collect();
    assert_eq!(column("Severity"), labels);
    let first_lines: Vec<String> =
        values("payload").iter().map(|payload| payload.lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(column("Payload"), first_lines);
    let received: Vec<String> =
        values("ts_reception").iter().map(|time| time.trim_end_matches(" UTC").into()).collect();
    assert_eq!(column("When"), received);
}

fn the_form_repeats_and_offers(server: &Server) {
    let page = get(server, &format!("{RECORDS}?system_name=debian&severity=3,4&machine_id=per%25cent_%C3%A9"));
    assert_eq!(attribute(&page, "#system_name", "value").as_deref(), Some("debian"));
    assert_eq!(attribute(&page, "#machine_id", "value").as_deref(), Some("per%cent_é"));
    assert_eq!(attribute(&page, "#severity option[selected]", "value").as_deref(), Some("3,4"));
    let offered = |list: &str| -> Vec<String> {
        let options = select(&page, &format!("#{list} option"));
        options.iter().filter_map(|option| option.attr("value")).map(str::to_owned).collect()
    };
    assert_eq!(offered("systems"), ["arch", "clear-linux-os", "debian"]);
    assert_eq!(offered("builds"), ["12.10", "12"], "the builds of the chosen system, newest first");
    let classes = offered("classes");
    assert!(
        ["org.clearlinux/*", "org.clearlinux/crash/*", "org.clearlinux/crash/clr"]
            .iter()
            .all(|class| { classes.iter().any(|offered| offered == class) })
    );
}

#[test]
fn a_parameter_that_cannot_be_used_is_explained_beside_the_form() {
    let server = embedded();
    for (query, name) in [("severity=7", "severity"), ("no_such=1", "no_such"), ("cursor=x", "cursor")] {
        let page = page(&server.get(&format!("{RECORDS}?{query}")), 400);
        assert!(one_text(&page, "[role=alert]").contains(name), "{query}");
        assert_eq!(select(&page, "form").len(), 1, "{query}");
    }
    let page = page(&server.get(&format!("{RECORDS}?severity=7")), 400);
    assert_eq!(attribute(&page, "#severity", "aria-invalid").as_deref(), Some("true"));
}

#[test]
fn the_command_of_an_empty_store_posts_the_first_record() {
    let server = embedded();
    let command = one_text(&get(&server, RECORDS), "pre");
    assert!(command.contains(&server.url("/v3/collector")), "{command}");
    let output = Command::new("sh").args(["-c", &command]).env("no_proxy", "*").output().expect("a shell");
    let answer = String::from_utf8_lossy(&output.stdout);
    let record: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let id = record["id"].as_u64().expect("an id");
    assert_eq!(row_ids(&get(&server, RECORDS)), [id]);
    assert_eq!(one_text(&get(&server, &record_page(id)), "pre"), "hello");
}

#[test]
fn older_and_newer_pages_show_each_record_once() {
    let server = embedded();
    let mut posted: Vec<u64> = (0..2 * PAGE_ROWS + 20).map(|_| accepted(&server, &Post::default())).collect();
    posted.reverse();
    let (mut forth, mut address) = (Vec::new(), Some(RECORDS.to_owned()));
    let mut last = String::new();
    while let Some(current) = address {
        let page = get(&server, &current);
        assert_eq!(one_text(&page, "p.total strong"), "120 records");
        forth.push(row_ids(&page));
        address = attribute(&page, "a[rel=next]", "href");
        last = current;
    }
    assert_eq!(forth.concat(), posted);
    assert_eq!(forth.iter().map(Vec::len).collect::<Vec<_>>(), [PAGE_ROWS, PAGE_ROWS, 20]);
    let (mut back, mut address) = (Vec::new(), Some(last));
    while let Some(current) = address {
        let page = get(&server, &current);
        back.push(row_ids(&page));
        address = attribute(&page, "a[rel=prev]", "href");
    }
    back.reverse();
    assert_eq!(back, forth);
}

#[test]
fn links_of_a_page_keep_its_filters() {
    let server = embedded();
    for number in 0..PAGE_ROWS * 2 + 2 {
        let severity = (number % 2 + 1).to_string();
        accepted(&server, &Post::default().with("severity", severity));
    }
    let first = get(&server, &format!("{RECORDS}?severity=2&machine_id="));
    let older = attribute(&first, "a[rel=next]", "href").expect("a second page");
    let second = get(&server, &older);
    assert_eq!((row_ids(&first).len(), row_ids(&second).len()), (PAGE_ROWS, 1));
    assert_eq!(texts(&second, "td[data-label=Severity]"), ["med"]);
}

#[test]
fn the_page_of_a_record_shows_every_field_and_the_payload() {
    let server = embedded();
    let id = accepted(&server, &Post::default().payload("first\n\n  second <line>\n").header("X-CLR-External", "true"));
    let record = server.get_json(&format!("/api/records/{id}"));
    let page = get(&server, &record_page(id));
    let names = texts(&page, "table.fields tbody th");
    let values = texts(&page, "table.fields td.value");
    let mut shown: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
    shown.sort_unstable();
    let mut expected: Vec<(String, String)> = record
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(key, _)| *key != "payload")
        .map(|(key, value)| (field_name(key).to_owned(), shown_value(key, value)))
        .collect();
    expected.sort_unstable();
    let expected: Vec<(&str, &str)> = expected.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(shown, expected);
    assert_eq!(one_text(&page, "pre"), "first\n\n  second <line>\n");
    let same_machine = attribute(&page, "ul.links a[href*=machine_id]", "href").expect("a link");
    assert_eq!(row_ids(&get(&server, &same_machine)), [id]);
}

/// A crash of two threads whose guilty function is mangled.
pub(crate) const CRASH: &str = "Process: /usr/bin/crasher\nPID: 7\nSignal: 6\n\nBacktrace (TID 7):\n#0 ??? - [libc.so.6]\n\
    #1 _ZN5alpha4beta5gammaEi() - [/usr/lib64/liba.so] - src/a.cpp:7\n#2 _start() - [/usr/bin/crasher]\n\n\
    Backtrace (TID 8):\n#0 sleep() - [libc.so.6]\n";

#[test]
fn a_crash_in_the_embedded_store_is_shown_with_its_neighbours() {
    a_crash_is_shown_with_its_neighbours(&embedded());
}

#[test]
fn a_crash_in_clickhouse_is_shown_with_its_neighbours() {
    a_crash_is_shown_with_its_neighbours(&on_clickhouse());
}

fn a_crash_is_shown_with_its_neighbours(server: &Server) {
    let event =
        |event: &str, machine: &str| Post::default().with("event_id", event.repeat(32)).with("machine_id", machine);
    let crash = event("1", "one").with("classification", "org.clearlinux/crash/clr").payload(CRASH);
    let same_event = accepted(server, &event("1", "two"));
    let id = accepted(server, &crash);
    let same_machine: Vec<u64> =
        (0..22).map(|n| accepted(server, &event("2", "one").payload(format!("hello {n}")))).collect();
    accepted(server, &event("3", "three"));
    let page = get(server, &record_page(id));
    let guilty = ["1 guilty", "alpha::beta::gamma(int)", "/usr/lib64/liba.so", "src/a.cpp:7"];
    assert_eq!(texts(&page, ".frames .guilty > *"), guilty);
    assert_eq!(texts(&page, ".facts td"), ["/usr/bin/crasher", "7", "6 (SIGABRT)"]);
    assert_eq!(one_text(&page, "pre"), CRASH);
    let near = |section: &str| -> Vec<String> {
        let links = select(&page, &format!("section[aria-labelledby={section}] li a"));
        links.iter().filter_map(|link| link.attr("href")).map(str::to_owned).collect()
    };
    assert_eq!(near("event_id"), [record_page(same_event)]);
    let newest: Vec<String> = same_machine.into_iter().rev().take(20).map(record_page).collect();
    assert_eq!(near("machine_id"), newest);
}

#[test]
fn an_edit_of_the_filters_is_seen_on_the_page_of_a_record() {
    let server = embedded();
    let id = accepted(&server, &Post::default().with("classification", "org.clearlinux/crash/clr").payload(CRASH));
    let change =
        json!([{ "change": "filter_added", "function": "alpha::beta::gamma(int)", "module": "/usr/lib64/liba.so" }]);
    assert_eq!(curation::saved(&curation::edit(&server, 0, &change)), 1);
    let page = get(&server, &record_page(id));
    assert_eq!(texts(&page, ".frames .guilty > *"), ["0 guilty", "???", "libc.so.6", ""]);
    assert!(one_text(&page, ".verdict").contains("because all known ones are filtered"));
}

#[test]
fn only_crashes_are_read_as_crashes() {
    let server = embedded();
    for (class, payload) in [("org.clearlinux/hello/world", CRASH), ("org.clearlinux/crash/clr", "Crash from afar\n")] {
        let id = accepted(&server, &Post::default().with("classification", class).payload(payload));
        let page = get(&server, &record_page(id));
        assert!(select(&page, ".frames, .verdict, .facts").is_empty(), "{class}");
        assert_eq!(one_text(&page, "pre"), payload);
    }
}

/// The page calls fields as SQL does; one has another name in the API.
fn field_name(key: &str) -> &str {
    if key == "machine_type" { "host_type" } else { key }
}

fn shown_value(key: &str, value: &Value) -> String {
    let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match key {
        "severity" => format!("{plain} (low)"),
        "external" => format!("{plain} (external)"),
        "ts_capture" | "ts_reception" => plain.trim_end_matches(" UTC").to_owned(),
        _ => plain,
    }
}

#[test]
fn an_address_without_a_page_says_so_to_people() {
    let page = page(&embedded().get("/telemetryui/no/such/page"), 404);
    assert_eq!(one_text(&page, "h1"), "Not found");
}

#[test]
fn a_record_that_is_not_there_has_a_page_that_says_so() {
    let server = embedded();
    for id in ["1", "abc", "-1", "99999999999999999999", "%3Cscript%3E"] {
        let page = page(&server.get(&format!("{RECORDS}/record_details/{id}")), 404);
        assert_eq!(one_text(&page, "h1"), "No such record", "{id}");
        assert!(select(&page, "script").is_empty(), "{id}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let server = embedded();
    let long = "x".repeat(8_192);
    let hostile = Post::default().payload(HOSTILE).with("host_type", "<b>\"'&lt;").with("machine_id", "<i>'\"");
    let id = accepted(&server, &hostile.with("cpu_model", "</td><script>alert(1)</script>"));
    let long_id = accepted(&server, &Post::default().payload(&long));
    for address in [RECORDS.to_owned(), record_page(id), format!("{RECORDS}?machine_id=%3Ci%3E%27%22")] {
        let page = get(&server, &address);
        let foreign = "script, img, main b, main i, [onerror], [style]";
        assert!(select(&page, foreign).is_empty(), "{address}");
        assert!(!server.get(&address).text().contains('\u{202e}'), "{address}: text runs in its own direction");
    }
    let payload = one_text(&get(&server, &record_page(id)), "pre");
    assert!(payload.starts_with("<script>document.title='taken'</script>"), "{payload}");
    assert!(payload.ends_with("</pre></main>") && payload.contains('\u{2400}'), "{payload}");
    assert_eq!(one_text(&get(&server, &record_page(long_id)), "pre"), long);
}

#[test]
fn what_pages_load_is_on_this_server() {
    let server = embedded();
    let page = get(&server, RECORDS);
    for (selector, content_type) in [("link[rel=stylesheet]", "text/css"), ("link[rel=icon]", "image/svg+xml")] {
        let address = attribute(&page, selector, "href").expect("a link");
        let answer = server.get(&address);
        assert_eq!(answer.status, 200, "{address}");
        assert!(answer.header("content-type").is_some_and(|value| value.starts_with(content_type)), "{address}");
    }
}

#[test]
fn a_page_says_how_many_records_are_new_when_one_asks_again() {
    let server = embedded();
    let old = accepted(&server, &Post::default().with("build", "1"));
    let page = get(&server, RECORDS);
    assert!(select(&page, "[role=status]").is_empty());
    let later =
        select(&page, "ul.links a").into_iter().find(|link| link.text().any(|text| text.contains("new records")));
    let later = later.and_then(|link| link.attr("href").map(str::to_owned)).expect("a link");
    assert_eq!(later, format!("{RECORDS}?seen={old}"));
    for build in ["2", "3"] {
        accepted(&server, &Post::default().with("build", build));
    }
    assert_eq!(one_text(&get(&server, &later), "[role=status]"), "New since you looked: 2 records.");
    assert_eq!(row_ids(&get(&server, &later)).len(), 3);
    assert_eq!(server.get(&format!("{RECORDS}?seen=x")).status, 400);
}

#[test]
fn pages_have_numbers_and_other_sizes_as_they_had() {
    let server = embedded();
    let mut ids: Vec<u64> =
        (0..120).map(|build| accepted(&server, &Post::default().with("build", build.to_string()))).collect();
    ids.reverse();
    for (query, shown) in [
        ("page=1", &ids[..50]),
        ("page=3", &ids[100..]),
        ("page=2&page_size=7", &ids[7..14]),
        ("page_size=1000", &ids[..]),
        ("page=&page_size=", &ids[..50]),
        ("page=4&severity=1,2,3,4", &ids[..50]),
    ] {
        let mut answer = server.get(&format!("{RECORDS}?{query}"));
        if let Some(place) = answer.header("location").map(str::to_owned) {
            assert!(answer.status == 302 && query.contains("page=") && !place.contains("page="), "{query}: {place}");
            answer = server.get(&place);
        }
        assert_eq!(row_ids(&page(&answer, 200)), shown, "{query}");
    }
    let first = get(&server, &format!("{RECORDS}?page_size=100"));
    let older = attribute(&first, "a[rel=next]", "href").expect("a link");
    assert_eq!(row_ids(&get(&server, &older)), ids[100..], "who pages on keeps the size");
    let bookmarked = server.get(&format!("{RECORDS}/2?page_size=100"));
    assert_eq!(row_ids(&get(&server, bookmarked.header("location").expect("a place"))), ids[100..]);
    for (query, name) in [("page=0", "page"), ("page_size=0", "page_size"), ("page_size=1001", "page_size")] {
        let refused = page(&server.get(&format!("{RECORDS}?{query}")), 400);
        assert!(one_text(&refused, "#problem").contains(&format!("{name} ")), "{query}");
    }
    assert_eq!(server.get("/telemetryui/crashes?page=2&page_size=10").status, 200, "there are no pages of it");
}

#[test]
fn bookmarks_of_the_original_lead_to_the_same_records() {
    let server = embedded();
    let mut ids: Vec<u64> =
        (0..120).map(|build| accepted(&server, &Post::default().with("build", build.to_string()))).collect();
    ids.reverse();
    for (page, first) in [("1", 0), ("2", 50), ("3", 100), ("4", 0), ("0", 0)] {
        let answer = server.get(&format!("{RECORDS}/{page}?severity=1,2,3,4"));
        assert_eq!(answer.status, 302);
        let place = answer.header("location").expect("a place");
        assert!(place.contains("severity=1%2C2%2C3%2C4"), "{place}");
        assert_eq!(row_ids(&get(&server, place))[0], ids[first], "page {page}");
    }
    assert_eq!(server.get(&format!("{RECORDS}/x")).status, 404);
    let csv = |query: &str| server.get(&format!("{RECORDS}/export/records-20261122.csv?{query}"));
    let shown = csv("format_type=inline&build=7&classification=");
    assert_eq!((shown.status, shown.header("content-disposition")), (200, Some("inline")));
    assert_eq!(shown.text().matches("\r\n").count(), 2, "{}", shown.text());
    assert!(shown.text().starts_with("id,external,server_timestamp,severity,classification,build,machine_id,payload"));
    let saved = csv("format_type=attach&os_name=nothing");
    assert!(saved.header("content-disposition").is_some_and(|name| name.starts_with("attachment")));
    assert_eq!((csv("format_type=x").status, server.get(&format!("{RECORDS}/export/x.csv")).status), (400, 404));
}

#[test]
fn the_status_names_the_versions_of_all_that_runs() {
    let versions = |server: &Server| {
        let page = get(server, "/telemetryui/status");
        let facts: Vec<(String, String)> =
            texts(&page, ".facts th").into_iter().zip(texts(&page, ".facts td")).collect();
        let of = |name: &str| facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.clone());
        (of("telemetrics"), of("ClickHouse"))
    };
    let own = Some(env!("CARGO_PKG_VERSION").to_owned());
    assert_eq!(versions(&embedded()), (own.clone(), None));
    let of_server = ClickHouse::shared().query("SELECT version()").trim().to_owned();
    assert_eq!(versions(&on_clickhouse()), (own, Some(of_server)));
}
