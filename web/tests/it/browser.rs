//! The pages in a real browser: nothing is refused or fails, nothing is wider than the screen, dark is dark.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use telemetrics_testkit::browser::{Browser, Screen};
use telemetrics_testkit::{Post, Server};

use crate::curation::edit;
use crate::pages::HOSTILE;
use crate::servers::{PROGRAM, accepted, embedded, records};

const RECORDS: &str = "/telemetryui/records";
/// The pages beside those of records.
pub(crate) const OTHERS: [&str; 13] = [
    "overview",
    "builds",
    "stats",
    "crashes",
    "crashes/guilty_edit/",
    "crashes/history",
    "population",
    "mce",
    "thermal",
    "update_matrix",
    "status",
    "quarantine",
    "api",
];
const DEMO_RECORDS: &str = "2000";

fn screens() -> [Screen; 4] {
    let screen = |width, height, dark| Screen { width, height, dark };
    [screen(1280, 900, false), screen(1280, 900, true), screen(390, 844, false), screen(390, 844, true)]
}

/// The page `path` on every screen; pictures of it stay in the folder of the build, for people to look at.
fn inspect(browser: &Browser, server: &Server, path: &str, name: &str) {
    inspect_answer(browser, server, path, name, 200);
}

/// As [`inspect`], of a page that comes with another status.
fn inspect_answer(browser: &Browser, server: &Server, path: &str, name: &str, status: u16) {
    assert_eq!(server.get(path).status, status, "{name}");
    let pictures: Vec<Vec<u8>> =
        screens().into_iter().map(|screen| show(browser, server, path, name, screen)).collect();
    assert_ne!(pictures[0], pictures[1], "{name}: dark looks like light");
    assert_ne!(pictures[2], pictures[3], "{name}: dark looks like light on a phone");
}

fn show(browser: &Browser, server: &Server, path: &str, name: &str, screen: Screen) -> Vec<u8> {
    let what = format!("{name} at {} px{}", screen.width, if screen.dark { ", dark" } else { "" });
    browser.resize(screen);
    browser.open(&server.url(path));
    assert_is_whole(browser, &server.url(""), &what);
    assert_fits(browser, &what);
    assert_colours(browser, screen.dark, &what);
    let violations = browser.axe();
    assert!(violations.is_empty(), "{what}: {violations:#?}");
    let picture = browser.screenshot();
    assert!(picture.starts_with(b"\x89PNG"), "{what}");
    keep(&picture, name, screen);
    picture
}

/// A cause, its backtraces, what it would mean to declare its frame never guilty, and the history with a comment on it.
fn inspect_a_cause(browser: &Browser, server: &Server, cause: &Value, what: &str) {
    let details = format!("/telemetryui/crashes/guilty_details/{}", cause["guilty_id"]);
    let name = |key: &str| cause[key].as_str().expect("a name").to_owned();
    let pairs = [("function", name("function")), ("module", name("module"))];
    let text: String = pairs[0].1.chars().take(80).collect();
    let comment = json!({ "change": "comment_set", "function": pairs[0].1, "module": pairs[1].1, "text": text });
    let based_on = server.get_json("/api/curation")["sequence"].as_u64().expect("a number");
    let answer = edit(server, based_on, &json!([comment]));
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    inspect(browser, server, &details, &format!("guilty-{what}"));
    inspect(browser, server, &format!("{details}/backtraces"), &format!("backtraces-{what}"));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let preview = format!("/telemetryui/crashes/guilty_edit/add?{query}");
    inspect(browser, server, &preview, &format!("preview-{what}"));
    inspect(browser, server, "/telemetryui/crashes/history", &format!("history-{what}"));
}

/// The causes, those with most records first.
fn causes(server: &Server) -> Vec<Value> {
    server.get_json("/api/crashes")["rows"].as_array().expect("a list").clone()
}

fn inspect_others(browser: &Browser, server: &Server, what: &str) {
    for page in OTHERS {
        inspect(browser, server, &format!("/telemetryui/{page}"), &format!("{}-{what}", page.replace('/', "-")));
    }
}

/// The views that are shipped, which the demo has.
fn inspect_views(browser: &Browser, server: &Server) {
    for (file, _) in telemetrics_web::views::shipped::FILES {
        let name = file.trim_end_matches(".toml");
        inspect(browser, server, &format!("/telemetryui/plugins/{name}"), &format!("view-{name}-demo"));
    }
    inspect_answer(browser, server, "/telemetryui/plugins/builds?created_in_days=-1", "view-refused", 400);
}

fn keep(picture: &[u8], name: &str, screen: Screen) {
    let scheme = if screen.dark { "dark" } else { "light" };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    fs::create_dir_all(&folder).expect("a folder for pictures");
    fs::write(folder.join(format!("{name}-{}-{scheme}.png", screen.width)), picture).expect("a picture");
}

/// Everything was loaded, from this server alone, and no script of a record ran.
fn assert_is_whole(browser: &Browser, base: &str, what: &str) {
    let mut messages = browser.console();
    // Which status a page has is asked before; of what it loads, each has to be there.
    let own = browser.run("return location.href");
    let own = format!("{} - Failed to load resource: the server responded", own.as_str().unwrap_or_default());
    messages.retain(|message| !message.contains(&own));
    assert!(messages.is_empty(), "{what}: {messages:?}");
    let loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)");
    let loaded = loaded.as_array().expect("a list");
    assert!(loaded.iter().any(|address| address.as_str().is_some_and(|a| a.contains("/static/style."))), "{what}");
    assert!(loaded.iter().all(|address| address.as_str().is_some_and(|a| a.starts_with(base))), "{what}: {loaded:?}");
    let title = browser.run("return document.title");
    assert!(title.as_str().is_some_and(|title| title.ends_with(" - telemetrics")), "{what}: {title}");
}

/// Nothing but the table's own region has to be scrolled sideways.
fn assert_fits(browser: &Browser, what: &str) {
    let page = "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]";
    let widths = browser.run(page);
    assert!(widths[0].as_u64() <= widths[1].as_u64() && widths[1].as_u64() > Some(0), "{what}: {widths}");
}

fn assert_colours(browser: &Browser, dark: bool, what: &str) {
    let script = "return [document.documentElement, document.body].map(e => getComputedStyle(e).backgroundColor)\
                  .filter(c => c != 'rgba(0, 0, 0, 0)').map(c => c.match(/[0-9.]+/g).slice(0, 3).map(Number))";
    let colours = browser.run(script);
    let background =
        colours.as_array().and_then(|colours| colours.last()).unwrap_or_else(|| panic!("{what}: no colour"));
    let sum: f64 = background.as_array().expect("three numbers").iter().filter_map(serde_json::Value::as_f64).sum();
    assert_eq!(sum < 3.0 * 128.0, dark, "{what}: the background is {background}");
}

#[test]
fn pages_with_invented_records_are_whole_on_every_screen() {
    let server = Server::start_plain(PROGRAM, &["demo", "--records", DEMO_RECORDS, "--listen", "127.0.0.1:0"]);
    let browser = Browser::start();
    inspect(&browser, &server, RECORDS, "records-demo");
    let crash = &records(&server, "classification=org.clearlinux/crash/clr&limit=1")[0]["id"];
    inspect(&browser, &server, &format!("{RECORDS}/record_details/{crash}"), "record-demo");
    inspect(&browser, &server, &format!("{RECORDS}?system_name=none"), "records-nothing");
    inspect_a_cause(&browser, &server, &causes(&server)[0], "demo");
    inspect_others(&browser, &server, "demo");
    inspect_views(&browser, &server);
}

#[test]
fn pages_of_a_new_server_are_whole_on_every_screen() {
    let server = embedded();
    let browser = Browser::start();
    inspect(&browser, &server, RECORDS, "records-empty");
    inspect_others(&browser, &server, "empty");
}

#[test]
fn pages_with_hostile_records_are_whole_on_every_screen() {
    let server = embedded();
    let browser = Browser::start();
    let long = |chars: usize| "W".repeat(chars);
    let widest =
        Post::default().with("machine_id", long(32)).with("host_type", long(249)).with("build", "1".repeat(256));
    let widest = widest.with("classification", format!("{}/{}/{}", long(46), long(46), long(46))).payload(long(8_192));
    let wide_id = accepted(&server, &widest.with("board_name", long(199)).with("cpu_model", long(199)));
    let id = accepted(&server, &Post::default().payload(HOSTILE).with("cpu_model", HOSTILE.replace(['\0', '\n'], "")));
    let name = format!("{HOSTILE}{}", long(500)).replace(['\n', '\0'], "");
    let frames = format!("#0 {name} - [{name}] - {name}:1\n#1 ??? - [{name}]\n");
    let crash =
        format!("Process: {name}\nReason: {name}\n\nBacktrace (TID 1):\n{frames}\nBacktrace (TID 2):\n{frames}");
    let crash = Post::default().with("classification", "org.clearlinux/crash/clr").payload(crash);
    let crash_id = accepted(&server, &crash);
    post_hostile_classes(&server);
    inspect(&browser, &server, &format!("{RECORDS}/record_details/{crash_id}"), "record-hostile-crash");
    inspect(&browser, &server, RECORDS, "records-hostile");
    inspect_others(&browser, &server, "hostile");
    for cause in causes(&server) {
        let chars = cause["function"].as_str().expect("a name").chars().count();
        let details = format!("/telemetryui/crashes/guilty_details/{}", cause["guilty_id"]);
        // Nothing can be said about a name that is too long.
        if chars < 1_000 {
            inspect_a_cause(&browser, &server, &cause, "hostile");
        } else {
            inspect(&browser, &server, &details, "guilty-wide");
            inspect(&browser, &server, &format!("{details}/backtraces"), "backtraces-wide");
        }
    }
    inspect_hostile_views(&browser, &server);
    let refused = Post::default().with("severity", "9").header("User-Agent", "curl").payload(HOSTILE);
    assert_eq!(server.send(&refused.in_headers()).status, 400);
    let kept = &server.get_json("/api/quarantine")["entries"][0]["id"];
    inspect(&browser, &server, &format!("/telemetryui/quarantine/{kept}"), "quarantined-hostile");
    inspect(&browser, &server, "/telemetryui/quarantine", "quarantine-hostile");
    inspect(&browser, &server, &format!("{RECORDS}/record_details/{id}"), "record-hostile");
    inspect(&browser, &server, &format!("{RECORDS}/record_details/{wide_id}"), "record-wide");
    inspect(&browser, &server, &format!("{RECORDS}?build={}", "1,".repeat(200) + "1"), "records-wide-filter");
}

/// Markup and long words in what each page counts by: machines, hardware, systems, builds, versions, functions.
fn post_hostile_classes(server: &Server) {
    let word = "<img src=x onerror=alert(1)>";
    let long = |chars: usize| "W".repeat(chars);
    let updated = format!("x\ncurrent_version={word}\nserver_version={}\n", long(64));
    let checked = format!("MCE STATUS {word} MCGSTATUS 0\n");
    let crashed = format!("Process: a\n\nBacktrace (TID 1):\n#0 {}() - [/b]\n", long(7_900));
    for (class, payload) in [
        ("org.clearlinux/heartbeat/ping", word),
        ("org.clearlinux/mce/corrected", &checked),
        ("org.clearlinux/mce/thermal", word),
        ("org.clearlinux/swupd-client/update", &updated),
        ("org.clearlinux/crash/clr", &crashed),
        (&format!("org.clearlinux/mce/{word}"), &checked),
    ] {
        let post = Post::default().with("classification", class).payload(payload);
        let post = post.with("machine_id", word).with("host_type", format!("{word}|{word}|{}", long(150)));
        accepted(server, &post.clone().with("event_id", "0".repeat(31) + "a"));
        accepted(server, &post.with("system_name", word).with("build", "a".repeat(256)));
    }
}

/// Views that are made of what was posted, in files whose names and texts want to break the page, too.
fn inspect_hostile_views(browser: &Browser, server: &Server) {
    let directory = server.data_dir().join("views");
    fs::create_dir_all(&directory).expect("a directory");
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let title = text(&HOSTILE.replace('\0', "").chars().take(40).collect::<String>());
    let wide = text(&"W".repeat(1_000));
    let view = |kind: &str, sql: &str, columns: &str| {
        format!(
            "title = {title}\ndescription = {wide}\nkind = \"{kind}\"\nsql = {}\n{columns}\n[[parameters]]\nname = \
             \"least\"\nlabel = {}\ntype = \"integer\"\ndefault = 1\n",
            text(sql),
            text(&"W".repeat(60))
        )
    };
    let columns = "columns.label = \"payload\"\ncolumns.series = \"build\"\ncolumns.values = [\"n\"]";
    let count = "SELECT payload, build, count(*) AS n FROM records WHERE severity >= $least GROUP BY payload, build";
    let share = "columns.label = \"payload\"\ncolumns.values = [\"n\"]";
    for (name, text) in [
        (
            "table",
            view(
                "table",
                "SELECT * EXCEPT (stack_id, process, signal, attributes) FROM records WHERE severity >= $least",
                "",
            ),
        ),
        ("matrix", view("matrix", count, columns)),
        ("stack", view("stacked_column", count, columns)),
        ("share", view("share", count, share)),
        ("<script>alert(1)<\u{202e}", wide.clone()),
    ] {
        fs::write(directory.join(format!("{}.toml", name.replace('/', ""))), text).expect("written");
    }
    let tabs = || browser.run("return document.querySelectorAll('header nav a[href*=\"/plugins/\"]').length");
    telemetrics_testkit::wait_until("the views", || {
        browser.open(&server.url(RECORDS));
        tabs() == 5
    });
    for name in ["table", "matrix", "stack", "share"] {
        inspect(browser, server, &format!("/telemetryui/plugins/{name}"), &format!("view-{name}-hostile"));
    }
    inspect_answer(browser, server, "/telemetryui/plugins/-script-alert-1---", "view-broken-hostile", 503);
}

#[test]
fn the_form_filters_without_scripts() {
    let server = embedded();
    let browser = Browser::start();
    let id = accepted(&server, &Post::default().with("severity", "4"));
    accepted(&server, &Post::default());
    browser.open(&server.url(RECORDS));
    // A click on the button is what a reader does; the page itself may run nothing.
    let _ = browser.run("document.querySelector('#severity').value = '4'; document.querySelector('button').click()");
    let rows = "return [...document.querySelectorAll('table.records tbody th a')].map(a => a.textContent)";
    telemetrics_testkit::wait_until("the filtered page", || browser.run(rows) == serde_json::json!([id.to_string()]));
    assert!(browser.console().is_empty());
}

#[test]
fn what_keeps_people_from_reading_a_page_is_found() {
    let browser = Browser::start();
    browser.open("data:text/html,<title>x</title><p style='color:%23eee'>pale</p><input>");
    let found = browser.axe().join("\n");
    assert!(["html-has-lang", "color-contrast", "label"].iter().all(|rule| found.contains(rule)), "{found}");
}
