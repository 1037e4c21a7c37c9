//! The pages of crashes: they show what the API says, an edit is shown before it is saved and holds for all crashes at
//! once, on both stores.

use scraper::Html;
use serde_json::Value;
use telemetrics_testkit::Server;
use telemetrics_testkit::http::Answer;

use crate::access::{Files, ask, bearer};
use crate::crashes::{crash, crash_on, post_crashes};
use crate::html::{attribute, one_text, page, select, texts};
use crate::servers::{embedded, json, on_clickhouse, records};

const CRASHES: &str = "/telemetryui/crashes";
pub(crate) const EDIT: &str = "/telemetryui/crashes/guilty_edit/";

fn get(server: &Server, address: &str) -> Html {
    page(&server.get(address), 200)
}

fn post(server: &Server, address: &str, pairs: &[(&str, &str)]) -> Answer {
    post_from(server, address, pairs, &[])
}

fn post_from(server: &Server, address: &str, pairs: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let headers = [&[("Content-Type", "application/x-www-form-urlencoded")], headers].concat();
    server.post_to(address, &headers, form.as_bytes())
}

/// The fields that a browser sends when the last form of the page is sent.
fn fields_of_last_form(page: &Html) -> (String, Vec<(String, String)>) {
    let form = select(page, "main form").pop().expect("a form");
    let selector = scraper::Selector::parse("input").expect("a selector");
    let field = |input: scraper::ElementRef<'_>| {
        let value = input.attr("value").unwrap_or_default().to_owned();
        (input.attr("name").expect("a name").to_owned(), value)
    };
    (form.attr("action").expect("an action").to_owned(), form.select(&selector).map(field).collect())
}

/// Sends the form that saves what a preview shows.
pub(crate) fn save(server: &Server, preview: &Html) -> Answer {
    let (action, fields) = fields_of_last_form(preview);
    let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    post(server, &action, &pairs)
}

/// Function, records and most machines of each cause that the page shows.
fn causes(page: &Html) -> Vec<(String, u64, u64)> {
    let column = |label: &str| texts(page, &format!("table.guilties td[data-label={label}]"));
    let functions = texts(page, "table.guilties tbody th a").into_iter();
    let numbers = column("Records").into_iter().zip(column("Machines"));
    functions
        .zip(numbers)
        .map(|(function, (records, machines))| (function, number(&records), most(&machines)))
        .collect()
}

/// The upper one of the bounds that a number of machines has.
fn most(bounds: &str) -> u64 {
    number(bounds.rsplit(" to ").next().unwrap_or_default())
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().expect("a number")
}

/// The same as the API says it, at the address that the page names.
fn causes_of_api(server: &Server, page: &Html) -> Vec<(String, u64, u64)> {
    let address = texts(page, "#same + ul code").into_iter().next().expect("an address");
    let Value::Array(rows) = server.get_json(&address)["rows"].take() else { panic!("{address}: no rows") };
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
    let function = |row: &Value| row["function"].as_str().expect("a function").to_owned();
    rows.iter().map(|row| (function(row), number(row, "records"), number(row, "machines"))).collect()
}

fn expected(rows: &[(&str, u64, u64)]) -> Vec<(String, u64, u64)> {
    rows.iter().map(|(function, records, machines)| ((*function).to_owned(), *records, *machines)).collect()
}

#[test]
fn pages_of_crashes_in_the_embedded_store_follow_edits() {
    pages_follow_edits(&embedded());
}

#[test]
fn pages_of_crashes_in_clickhouse_follow_edits() {
    pages_follow_edits(&on_clickhouse());
}

fn pages_follow_edits(server: &Server) {
    assert_eq!(causes(&get(server, CRASHES)), []);
    post_crashes(server);
    let before = top_is_that_of_the_api(server);
    one_build_alone(server);
    details_and_backtraces(server);
    let preview = get(server, &format!("{EDIT}add?function=strlen%28%29&module=%2Flib%2Fstrlen.so"));
    preview_tells_the_groups(&preview);
    assert_eq!(causes(&get(server, CRASHES)), before, "a preview saves nothing");
    let saved = save(server, &preview);
    assert_eq!((saved.status, saved.header("location")), (303, Some(EDIT)), "{}", saved.text());
    let after = get(server, CRASHES);
    assert_eq!(
        causes(&after),
        expected(&[("parse()", 3, 2), ("draw()", 1, 1), ("oops_end", 1, 1), ("render()", 1, 1)])
    );
    assert_eq!(causes(&after), causes_of_api(server, &after));
    let again = save(server, &preview);
    let conflict = page(&again, 409);
    assert_eq!(attribute(&conflict, "main a", "href").as_deref(), Some(EDIT));
    undo_restores(server, &before);
    comments_and_hidden(server);
}

fn top_is_that_of_the_api(server: &Server) -> Vec<(String, u64, u64)> {
    for address in [CRASHES.to_owned(), format!("{CRASHES}/overall"), format!("{CRASHES}?days=1")] {
        let page = get(server, &address);
        assert_eq!(causes(&page), expected(&[("strlen()", 4, 2), ("draw()", 1, 1), ("oops_end", 1, 1)]), "{address}");
        assert_eq!(causes(&page), causes_of_api(server, &page), "{address}");
        assert_eq!(texts(&page, "table.guilties thead th a"), ["2", "1"], "newest first");
        let marked: Vec<_> = texts(&page, "table.guilties th strong");
        assert_eq!(marked, ["only in 2"], "draw() alone");
        let overview = attribute(&page, "table.guilties + .note a, .scroll + .note a", "href").expect("a link");
        assert!(overview.starts_with("/telemetryui/overview?system_name="), "{overview}");
        assert_eq!(texts(&page, "table.guilties td[data-label=Machines]")[0], "1 to 2", "ids rotate");
        let totals: u64 = texts(&page, "figure:nth-child(2) td").iter().map(|text| number(text)).sum();
        assert_eq!(totals, 6, "by classification");
    }
    for wrong in ["days=0", "hidden=x", "created_in_days=1", "x=1"] {
        assert_eq!(server.get(&format!("{CRASHES}?{wrong}")).status, 400, "{wrong}");
    }
    causes(&get(server, CRASHES))
}

fn one_build_alone(server: &Server) {
    let page = get(server, &format!("{CRASHES}/2"));
    assert_eq!(causes(&page), expected(&[("strlen()", 2, 1), ("draw()", 1, 1)]));
    assert_eq!(causes(&page), causes_of_api(server, &page));
    assert_eq!(texts(&page, "table.guilties th strong"), ["only in 2"]);
    assert_eq!(causes(&get(server, &format!("{CRASHES}/none"))), []);
    assert_eq!(server.get(&format!("{CRASHES}/2?build=1")).status, 400);
}

fn details_and_backtraces(server: &Server) {
    let top = get(server, CRASHES);
    let address = attribute(&top, "table.guilties tbody th a", "href").expect("a link");
    let details = get(server, &address);
    assert_eq!(one_text(&details, "h1"), "Guilty: strlen()");
    let rows =
        |section: &str, label: &str| texts(&details, &format!("[aria-labelledby={section}] [data-label={label}]"));
    assert_eq!((rows("builds", "Version"), rows("builds", "Records")), (strings(&["2", "1"]), strings(&["2", "2"])));
    assert_eq!(rows("machines", "Machine"), ["a", "a", "b"].map(str::to_owned));
    let backtraces = attribute(&details, "main ul.links a", "href").expect("a link");
    let all = get(server, &backtraces);
    assert_eq!(texts(&all, "section.stack h2"), ["3 records", "1 record"]);
    let frames = texts(&all, "section.stack:nth-of-type(1) li code");
    assert_eq!(frames, ["strlen()", "parse()", "main()"]);
    assert_eq!(texts(&all, "li.guilty code"), ["strlen()", "strlen()"]);
    let path = backtraces.split('?').next().expect("a path").to_owned();
    let of_machine = get(server, &format!("{path}?machine_id=b&build=1"));
    assert_eq!(texts(&of_machine, "section.stack h2"), ["1 record"]);
    assert_eq!(server.get(&format!("{path}?machine_id=nobody")).status, 404);
    assert_eq!(server.get(&format!("{CRASHES}/guilty_details/x")).status, 404);
    assert_eq!(server.get(&format!("{CRASHES}/guilty_details/7")).status, 404);
    let id = &records(server, "classification=org.clearlinux/crash/clr&machine_id=c")[0]["id"];
    let record = get(server, &format!("/telemetryui/records/record_details/{id}"));
    assert_eq!(texts(&record, "[aria-labelledby=crash] details ul a")[0], "Filter draw()");
    let add = attribute(&record, "[aria-labelledby=crash] details ul a", "href").expect("a link");
    assert_eq!(one_text(&get(server, &add), "main ul li"), "draw() in /lib/draw.so is never guilty.");
}

/// Two systems have a build of one name and crashes of one cause: what a row leads to is about the row alone.
#[test]
fn rows_lead_on_with_the_filters_of_the_page() {
    let server = embedded();
    post_crashes(&server);
    for (severity, machine, build) in [("3", "x", "1"), ("3", "x", "2"), ("3", "y", "2"), ("4", "y", "2")] {
        crash_on(&server, "debian", severity, machine, build, &["strlen", "main"]);
    }
    crash_on(&server, "debian", "3", "y", "2", &["draw", "main"]);
    let top = get(&server, &format!("{CRASHES}?system_name=debian&severity=3&days=3"));
    assert_eq!(causes(&top), expected(&[("strlen()", 3, 2), ("draw()", 1, 1)]));
    assert_eq!(causes(&top), causes_of_api(&server, &top));
    let narrowed = "Only system debian, severity 3: take the filters away";
    details_are_those_of_the_api(&server, &top, 3, narrowed);
    let newest = attribute(&top, "table.guilties thead th a", "href").expect("a link");
    let of_build = get(&server, &newest);
    assert_eq!(causes(&of_build), expected(&[("strlen()", 2, 2), ("draw()", 1, 1)]));
    assert_eq!(causes(&of_build), causes_of_api(&server, &of_build));
    let narrowed = "Only system debian, severity 3, build 2: take the filters away";
    details_are_those_of_the_api(&server, &of_build, 2, narrowed);
    let again = attribute(&of_build, "table.guilties thead th a", "href").expect("a link");
    assert_eq!(causes(&get(&server, &again)), causes(&of_build));
    let usual = get(&server, CRASHES);
    details_are_those_of_the_api(&server, &usual, 4, "Only system clear-linux-os: take the filters away");
    let path = attribute(&usual, "table.guilties tbody th a", "href").expect("a link");
    let path = path.split('?').next().expect("a path").to_owned();
    let nobody = page(&server.get(&format!("{path}?build=7")), 404);
    assert!(texts(&nobody, "main p")[0].contains("(only build 7)"), "{:?}", texts(&nobody, "main p"));
}

/// Follows the first row of `top` to its details, and from there to all that they lead to.
fn details_are_those_of_the_api(server: &Server, top: &Html, records: u64, narrowed: &str) {
    let address = attribute(top, "table.guilties tbody th a", "href").expect("a link");
    let details = get(server, &address);
    assert_eq!(number(&texts(&details, "table.facts td")[0]), records, "{address}");
    assert!(texts(&details, "main p").contains(&narrowed.to_owned()), "{:?}", texts(&details, "main p"));
    let api = texts(&details, "main p.note code");
    let answer = server.get_json(&api[0]);
    assert_eq!(answer["guilty"]["records"], records, "{}", api[0]);
    let of_api = |list: &str, key: &str| -> Vec<String> {
        let rows = answer[list].as_array().expect("rows").iter();
        rows.map(|row| row[key].as_str().map_or_else(|| row[key].to_string(), str::to_owned)).collect()
    };
    for (section, list, label, key) in [
        ("machines", "machines", "Machine", "machine_id"),
        ("machines", "machines", "Records", "records"),
        ("builds", "builds", "System", "system_name"),
    ] {
        let shown = texts(&details, &format!("[aria-labelledby={section}] [data-label={label}]"));
        assert_eq!(shown, of_api(list, key), "{section} {label}");
    }
    let over_time = server.get_json(&api[1])["rows"].take();
    let by_bucket: Vec<u64> =
        over_time.as_array().expect("rows").iter().filter_map(|row| row["records"].as_u64()).collect();
    let shown: Vec<u64> = texts(&details, "figure:nth-child(2) td").iter().map(|text| number(text)).collect();
    assert_eq!((by_bucket.iter().sum::<u64>(), &by_bucket), (records, &shown), "{}", api[1]);
    let counted = |page: &Html| -> u64 {
        let words = texts(page, "section.stack h2");
        words.iter().map(|text| number(text.split(' ').next().unwrap_or_default())).sum()
    };
    let backtraces = attribute(&details, "main ul.links a", "href").expect("a link");
    assert_eq!(counted(&get(server, &backtraces)), records, "{backtraces}");
    let rows = "[aria-labelledby=builds] tbody tr, [aria-labelledby=machines] tbody tr";
    let [link, cell] = ["th a", "td[data-label=Records]"].map(|it| scraper::Selector::parse(it).expect("a selector"));
    for row in select(&details, rows) {
        let address = row.select(&link).next().and_then(|link| link.attr("href")).expect("a link");
        let told: String = row.select(&cell).next().expect("a number").text().collect();
        assert_eq!(counted(&get(server, address)), number(&told), "{address}");
    }
    let all = attribute(&details, "main p a[href$='?days=3'], main p a[href$='?days=7']", "href").expect("a link");
    let all = get(server, &all);
    assert_eq!(number(&texts(&all, "table.facts td")[0]), 8, "both systems");
    assert!(texts(&all, "main p").iter().all(|text| !text.starts_with("Only ")));
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn preview_tells_the_groups(preview: &Html) {
    let cells = |label: &str| texts(preview, &format!("table.preview [data-label={label}]"));
    assert_eq!(one_text(preview, "main ul li"), "strlen() in /lib/strlen.so is never guilty.");
    assert_eq!(texts(preview, "main h2"), ["A group splits: 4 records leave it"]);
    let names: Vec<String> =
        cells("Guilty").iter().map(|text| text.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, ["strlen()", "parse()", "render()"]);
    assert_eq!(cells("It"), ["vanishes", "appears", "appears"]);
    assert_eq!((cells("Records"), cells("Machines")), (strings(&["4", "0", "0"]), strings(&["1 to 2", "0", "0"])));
    assert_eq!(cells("Then"), ["0", "0", "3", "1 to 2", "1", "1"]);
}

fn undo_restores(server: &Server, before: &[(String, u64, u64)]) {
    let history = get(server, &format!("{CRASHES}/history"));
    assert_eq!(texts(&history, "td[data-label=What]"), ["strlen() in /lib/strlen.so is never guilty."]);
    let (undo, fields) = fields_of_last_form(&history);
    let undo = url::form_urlencoded::Serializer::new(format!("{undo}?")).extend_pairs(fields).finish();
    let saved = save(server, &get(server, &undo.replace("?&", "?")));
    assert_eq!((saved.status, saved.header("location")), (303, Some("/telemetryui/crashes/history")));
    assert_eq!(causes(&get(server, CRASHES)), before);
    let history = get(server, &format!("{CRASHES}/history"));
    assert_eq!(texts(&history, "td[data-label=Back]")[1], "Undone by entry 2.");
}

fn comments_and_hidden(server: &Server) {
    let based_on = || server.get_json("/api/curation")["sequence"].to_string();
    let draw = [("function", "draw()"), ("module", "/lib/draw.so")];
    let last = based_on();
    let comment = [&draw[..], &[("text", "known <b>"), ("who", "ann"), ("based_on", &last)]].concat();
    let saved = post(server, &format!("{EDIT}comment"), &comment);
    assert_eq!(saved.status, 303, "{}", saved.text());
    let details = get(server, saved.header("location").expect("an address"));
    assert_eq!(one_text(&details, "main em"), "known <b>");
    assert_eq!(texts(&get(server, CRASHES), "td[data-label=Comment]"), ["", "known <b>", ""]);
    let last = based_on();
    let hide = [&draw[..], &[("hidden", "yes"), ("based_on", &last)]].concat();
    assert_eq!(post(server, &format!("{EDIT}hidden"), &hide).status, 303);
    let without = get(server, CRASHES);
    assert_eq!(causes(&without), expected(&[("strlen()", 4, 2), ("oops_end", 1, 1)]));
    assert_eq!(causes(&without), causes_of_api(server, &without));
    let shown = get(server, &format!("{CRASHES}?hidden=show"));
    assert_eq!((causes(&shown).len(), causes(&shown)), (3, causes_of_api(server, &shown)));
}

#[test]
fn what_cannot_be_edited_is_said_on_a_page() {
    let server = embedded();
    let add = format!("{EDIT}add");
    let frame = [("function", "f()"), ("module", "m")];
    for (pairs, part) in [
        (vec![("function", "_start()"), ("module", "libc.so.6")], "always a filter"),
        (vec![("frame", "x")], "frame is not one"),
        ([&frame[..], &[("save", "yes")]].concat(), "based_on is missing"),
        (vec![], "frame is missing"),
    ] {
        let refused = page(&post(&server, &add, &pairs), 400);
        assert!(texts(&refused, "main p")[0].contains(part), "{part}: {}", texts(&refused, "main p")[0]);
    }
    let from_elsewhere = [("Origin", "http://evil.example")];
    let saved = [&frame[..], &[("save", "yes"), ("based_on", "0")]].concat();
    assert_eq!(post_from(&server, &add, &saved, &from_elsewhere).status, 403);
    assert_eq!(post_from(&server, "/telemetryui/quarantine/replay", &[], &from_elsewhere).status, 403);
    assert_eq!(post_from(&server, "/telemetryui/quarantine/1/discard", &[], &from_elsewhere).status, 403);
    assert_eq!(server.get(&format!("{EDIT}hidden?function=f()")).status, 400, "only a form may change something");
    assert_eq!(server.get(&format!("{add}?function=f()&save=yes&based_on=0")).status, 200, "a link shows a preview");
    assert_eq!(server.get_json("/api/curation")["sequence"], 0);
    let reset = get(&server, &format!("{EDIT}reset"));
    assert!(texts(&reset, "main p")[0].contains("nothing left to recalculate"));
    assert_eq!(server.get(&format!("{EDIT}nothing")).status, 404);
}

#[test]
fn who_signed_in_is_told_whose_name_the_history_gets_and_is_not_asked_for_one() {
    let (files, open) = (Files::new(), embedded());
    let robot = bearer(&files.token("robot", "read,curate"));
    let closed = files.server();
    for (server, authorization, told) in [(&open, None, None), (&closed, Some(robot.as_str()), Some("robot"))] {
        crash(server, "a", "1", &["draw", "main"]);
        let id = json(&ask(server, "GET", "/api/crashes", authorization))["rows"][0]["guilty_id"].to_string();
        let preview = format!("{EDIT}add?function=draw%28%29&module=%2Flib%2Fdraw.so");
        for address in [format!("{CRASHES}/guilty_details/{id}"), preview] {
            let shown = page(&ask(server, "GET", &address, authorization), 200);
            assert_eq!(select(&shown, "input[name=who]").len(), usize::from(told.is_none()), "{address}");
            assert_eq!(texts(&shown, "form .note strong"), Vec::from_iter(told), "{address}");
        }
    }
}

/// The page of filters offers the frames of crashes, and a browser's form of chosen ones leads to a preview.
#[test]
fn several_frames_are_chosen_at_once() {
    let server = embedded();
    crash(&server, "a", "1", &["strlen", "parse", "main"]);
    let offered = get(&server, EDIT);
    assert_eq!(texts(&offered, ".choose label").len(), 3);
    let boxes: Vec<String> =
        select(&offered, ".choose input").iter().filter_map(|input| input.attr("value")).map(str::to_owned).collect();
    let chosen = [("frame", boxes[0].as_str()), ("frame", boxes[2].as_str()), ("based_on", "0")];
    let preview = page(&post(&server, &format!("{EDIT}add"), &chosen), 200);
    assert_eq!(texts(&preview, "main h2"), ["A group gets another name: 1 record"]);
    assert_eq!(save(&server, &preview).status, 303);
    assert_eq!(causes(&get(&server, CRASHES)).len(), 1);
    let filters = get(&server, EDIT);
    assert_eq!(select(&filters, "[aria-labelledby=now] input[type=checkbox]").len(), 2);
}
