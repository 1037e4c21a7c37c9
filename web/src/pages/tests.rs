//! What holds for every page, and what each page shows; pages are read as a browser would read them.

use std::collections::HashSet;
use std::path::Path;

use axum::http::{StatusCode, header};
use scraper::{ElementRef, Html, Selector};

use super::message::MessagePage;
use super::samples::{self, HOSTILE, Sample};
use super::{PAGE_LIMIT_BYTES, TABS};

fn page(template: &str, what: &str) -> Html {
    Html::parse_document(samples::one(template, what))
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    select(page, selector).iter().map(|element| element.text().collect::<String>().trim().to_owned()).collect()
}

fn attributes<'a>(page: &'a Html, selector: &str, name: &str) -> Vec<&'a str> {
    select(page, selector).iter().filter_map(|element| element.attr(name)).collect()
}

fn each(check: impl Fn(&Sample, &Html) -> Result<(), String>) {
    for sample in samples::all() {
        let page = Html::parse_document(&sample.html);
        if let Err(reason) = check(sample, &page) {
            panic!("{} ({}): {reason}", sample.template, sample.what);
        }
    }
}

fn must(holds: bool, reason: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.into()) }
}

#[test]
fn every_page_tells_the_browser_what_it_may_load() {
    let answer = super::render(StatusCode::NOT_FOUND, &MessagePage::no_such_record("7"));
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let headers = answer.headers();
    assert_eq!(headers.get_all(header::CONTENT_TYPE).iter().collect::<Vec<_>>(), ["text/html; charset=utf-8"]);
    assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text").starts_with("default-src 'none';"));
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[test]
fn every_template_has_samples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let files: HashSet<String> = std::fs::read_dir(folder)
        .expect("the templates")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| !["base.html", "parts"].contains(&name.as_str()))
        .collect();
    let sampled: HashSet<String> = samples::all().iter().map(|sample| sample.template.to_owned()).collect();
    assert_eq!(files, sampled);
}

#[test]
fn no_page_is_longer_than_its_limit() {
    each(|sample, _| must(sample.html.len() <= PAGE_LIMIT_BYTES, format!("{} bytes", sample.html.len())));
}

#[test]
fn no_page_runs_anything_or_loads_from_elsewhere() {
    each(|_, page| {
        must(select(page, "script, style, iframe, object, img, base").is_empty(), "an element that loads or runs")?;
        for element in select(page, "*") {
            for (name, value) in element.value().attrs() {
                must(!name.starts_with("on") && name != "style", format!("an attribute {name}"))?;
                let is_link = matches!(name, "href" | "src" | "action");
                let is_here = value.starts_with('#') || value.starts_with('/') && !value.starts_with("//");
                must(!is_link || is_here, format!("{name} leads to {value}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_page_can_be_read_aloud_and_used_with_keys() {
    each(|_, page| {
        must(attributes(page, "html", "lang") == ["en"], "no language")?;
        must(select(page, "h1").len() == 1 && select(page, "main").len() == 1, "not one h1 in one main")?;
        must(!texts(page, "title")[0].is_empty(), "no title")?;
        let ids = attributes(page, "[id]", "id");
        let different: HashSet<_> = ids.iter().collect();
        must(different.len() == ids.len(), "an id twice")?;
        let labels = attributes(page, "label", "for");
        for field in select(page, "select, input:not([type=hidden])") {
            must(field.attr("id").is_some_and(|id| labels.contains(&id)), "a field without a label")?;
        }
        for name in ["aria-describedby", "aria-labelledby", "list"] {
            for id in attributes(page, &format!("[{name}]"), name) {
                must(different.contains(&id), format!("{name} names {id}, which is not there"))?;
            }
        }
        let unnamed = select(page, "nav:not([aria-label]), [role=region]:not([aria-label])");
        must(unnamed.is_empty(), "a landmark without a name")
    });
}

#[test]
fn every_page_shows_all_tabs() {
    each(|sample, page| {
        let tabs = TABS.map(|tab| tab.label.to_owned()).into_iter();
        let of_views = super::view::samples::most_tabs();
        let tabs: Vec<String> = tabs.chain(of_views.iter().map(|tab| tab.label.clone())).collect();
        must(texts(page, "header nav a") == tabs, "other tabs")?;
        let current = select(page, "header nav a[aria-current=page]").len();
        must(current == usize::from(sample.template != "message.html"), "another number of current tabs")
    });
}

#[test]
fn no_data_is_left_invisible() {
    each(|_, page| {
        let text: String = page.root_element().text().collect();
        let hidden = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t') || *c == '\u{202e}');
        must(hidden.is_none(), format!("{hidden:?}"))
    });
}

#[test]
fn a_row_shows_what_tells_records_apart() {
    let page = page("records.html", "ordinary");
    assert_eq!(select(&page, "tbody tr").len(), super::records::PAGE_ROWS);
    let first: Vec<String> = texts(&page, "tbody tr:first-child > *");
    let expected = [
        "9007199254740991",
        "external",
        "0123456789abcdef0123456789abcdef",
        "2026-11-22 10:08:00",
        "high",
        "org.clearlinux/crash/clr",
        "clear-linux-os",
        "43210",
        "Process: /usr/bin/crasher",
    ];
    assert_eq!(first, expected);
    assert_eq!(attributes(&page, "tbody tr:first-child time", "datetime"), ["2026-11-22T10:08:00Z"]);
    let link = attributes(&page, "tbody tr:first-child a", "href");
    assert_eq!(link, ["/telemetryui/records/record_details/9007199254740991"]);
    assert_eq!(texts(&page, "thead th").len(), expected.len());
    assert_eq!(attributes(&page, "tbody tr:first-child > *", "data-label"), texts(&page, "thead th"));
}

#[test]
fn a_list_says_how_much_there_is_and_leads_on_with_its_filters() {
    let page = page("records.html", "ordinary");
    let total = &texts(&page, ".total")[0];
    assert!(total.starts_with("12,345 records") && total.ends_with("not taken them yet: 3 records."), "{total}");
    let filters = "classification=org.clearlinux%2F*&severity=3&event_id=0123";
    let list = |more: &str| format!("/telemetryui/records?{filters}&{more}");
    assert_eq!(attributes(&page, "a[rel=next]", "href"), [list("cursor=o5")]);
    assert_eq!(attributes(&page, "a[rel=prev]", "href"), [list("cursor=n9")]);
    assert_eq!(texts(&page, "main .note code"), [format!("/api/records?{filters}&limit=50")]);
}

#[test]
fn the_form_repeats_what_was_asked_and_keeps_what_it_has_no_field_for() {
    let page = page("records.html", "ordinary");
    assert_eq!(attributes(&page, "#classification", "value"), ["org.clearlinux/*"]);
    assert_eq!(attributes(&page, "#severity option[selected]", "value"), ["3"]);
    assert_eq!(attributes(&page, "input[type=hidden]", "name"), ["event_id"]);
    assert!(attributes(&page, "#classes option", "value").contains(&"org.clearlinux/crash/*"));
    assert_eq!(attributes(&page, "form", "method"), ["get"]);
    assert!(texts(&page, "form a").contains(&"Clear all filters".to_owned()));
}

#[test]
fn a_refused_filter_is_explained_beside_the_form() {
    let page = page("records.html", "refused");
    assert_eq!(texts(&page, "[role=alert]"), ["severity has to be 1 to 4, not 7"]);
    assert_eq!(attributes(&page, "[aria-invalid]", "id"), ["severity"]);
    assert_eq!(attributes(&page, "#severity option[selected]", "value"), ["7"]);
    assert!(select(&page, "table").is_empty());
}

#[test]
fn an_empty_store_says_how_to_post_the_first_record() {
    let page = page("records.html", "no records at all");
    let command = &texts(&page, "pre")[0];
    assert!(command.starts_with("curl http://127.0.0.1:8080/v3/collector"), "{command}");
    assert!(command.contains("\"creation_timestamp\": 1795342080,"), "{command}");
}

#[test]
fn filters_that_match_nothing_can_be_cleared() {
    for what in ["none that match", "a page behind the last one"] {
        let page = page("records.html", what);
        assert_eq!(attributes(&page, ".empty a", "href"), ["/telemetryui/records"], "{what}");
        assert!(select(&page, "pre").is_empty(), "{what}");
    }
}

#[test]
fn a_record_shows_every_field_with_its_meaning() {
    let page = page("record.html", "crash");
    let rows = texts(&page, ".fields tbody th");
    assert_eq!(rows.len(), telemetrics_schema::columns::REPORTED_COLUMNS - 1);
    assert_eq!(texts(&page, ".fields .value").len(), rows.len());
    assert!(texts(&page, ".fields .meaning").iter().all(|meaning| !meaning.is_empty()));
    assert!(texts(&page, ".fields .value").contains(&"3 (high)".to_owned()));
    assert!(texts(&page, "pre")[0].starts_with("Process: /usr/bin/crasher\nPID: 7\n"));
}

#[test]
fn a_crash_shows_its_frames_with_the_guilty_one_marked() {
    let page = page("record.html", "crash");
    let facts: Vec<_> = texts(&page, "[aria-labelledby=crash] .facts th")
        .into_iter()
        .zip(texts(&page, "[aria-labelledby=crash] .facts td"))
        .collect();
    let expected = [("Process", "/usr/bin/crasher"), ("Process id", "7"), ("Signal", "11 (SIGSEGV)")];
    assert_eq!(facts, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(
        texts(&page, ".verdict"),
        [
            "Guilty is alpha::beta of /usr/lib64/liba.so: it is the first frame with a known function that is not filtered."
        ]
    );
    assert_eq!(texts(&page, "h3"), ["Thread 7"]);
    assert_eq!(texts(&page, "summary"), ["Declare a frame never guilty", "Thread 8, not the one that crashed"]);
    assert_eq!(texts(&page, ".frames tbody th"), ["0", "1 guilty", "2", "0"]);
    assert_eq!(texts(&page, ".frames .guilty > *"), ["1 guilty", "alpha::beta", "/usr/lib64/liba.so", "src/a.rs:7"]);
    assert_eq!(attributes(&page, ".frames [title]", "title"), ["_ZN5alpha4beta17h0123456789abcdefE()"]);
}

#[test]
fn a_kernel_report_shows_its_reason_and_taint() {
    let page = page("record.html", "kernel");
    assert_eq!(
        texts(&page, "[aria-labelledby=crash] .facts th"),
        ["Reason", "Kernel", "Tainted", "Modules", "Registers"]
    );
    assert_eq!(texts(&page, ".frames .guilty .code"), ["__report_bad_irq", "kernel", ""]);
    assert_eq!(texts(&page, "h3"), ["Backtrace"]);
}

#[test]
fn a_payload_that_does_not_fit_stays_text() {
    for what in ["hostile", "sparse"] {
        assert!(select(&page("record.html", what), "#crash, .frames, .verdict").is_empty(), "{what}");
    }
}

#[test]
fn a_hostile_crash_shows_what_there_is_room_for() {
    for what in ["hostile crash", "hostile names"] {
        let page = page("record.html", what);
        let shown = select(&page, ".frames tbody tr").len();
        assert!((1..1_000).contains(&shown), "{what}: {shown}");
        assert_eq!(texts(&page, ".frames .guilty").len(), 1, "{what}");
        assert!(texts(&page, "#crash ~ .note")[0].starts_with("Left out here are "), "{what}");
    }
}

#[test]
fn a_record_lists_others_of_its_event_and_machine() {
    let crash = page("record.html", "crash");
    let titles = ["Other records of the same event", "Other records of the same machine"];
    for (list, title) in select(&crash, ".neighbours").into_iter().zip(titles) {
        assert_eq!(list.select(&Selector::parse("li").expect("a selector")).count(), 20, "{title}");
    }
    assert!(titles.iter().all(|title| texts(&crash, "h2").contains(&(*title).to_owned())));
    assert!(
        texts(&crash, ".neighbours li")[0].starts_with("2026-11-22 10:08:00 high org.clearlinux/crash/clr Process:")
    );
    let alone = page("record.html", "alone");
    assert_eq!(texts(&alone, ".missing"), ["None within 4 days of this one."; 2]);
    assert!(select(&page("record.html", "sparse"), "#event_id, #machine_id").is_empty());
}

#[test]
fn a_record_leads_to_those_of_its_event_and_machine() {
    let crash = page("record.html", "crash");
    let links = attributes(&crash, ".links a", "href");
    assert_eq!(
        links,
        [
            "/telemetryui/records?event_id=00112233445566778899aabbccddeeff",
            "/telemetryui/records?machine_id=0123456789abcdef0123456789abcdef",
            "/telemetryui/records?classification=org.clearlinux%2Fcrash%2Fclr",
        ]
    );
    let sparse = page("record.html", "sparse");
    assert_eq!(attributes(&sparse, ".links a", "href"), ["/telemetryui/records?classification=%2F%2F"]);
}

#[test]
fn a_sparse_record_says_what_it_lacks() {
    let page = page("record.html", "sparse");
    let missing = texts(&page, ".missing");
    assert!(missing.contains(&"N/A".to_owned()) && missing.contains(&"The payload is empty.".to_owned()));
    assert!(attributes(&page, "time", "datetime").len() < select(&page, "time").len());
}

#[test]
fn a_hostile_payload_is_text_with_its_first_line_end() {
    let page = page("record.html", "hostile");
    let payload = select(&page, "pre")[0].text().collect::<String>();
    let visible = HOSTILE.replace('\u{202e}', "[U+202E]").replace('\0', "␀");
    assert!(payload.starts_with(&format!("\n{visible}")), "{}", &payload[..80]);
    assert!(texts(&page, ".note")[0].contains("Only the first part is shown"));
}

#[test]
fn a_view_shows_its_rows_the_form_and_where_they_are_from() {
    let ordinary = page("view.html", "ordinary");
    assert_eq!(texts(&ordinary, "h1"), ["Records"]);
    assert_eq!(texts(&ordinary, ".numbers tbody th"), ["043", "143", "243"]);
    let files = attributes(&ordinary, "#same + ul a", "href");
    assert!(files[0].starts_with("/telemetryui/plugins/view-0/rows.csv?p0_"), "{files:?}");
    assert_eq!(texts(&ordinary, "#same + ul a"), ["CSV", "Parquet", "JSON"]);
    assert!(texts(&ordinary, "pre")[0].starts_with("SELECT '01"), "{:?}", texts(&ordinary, "pre"));
    assert_eq!(texts(&ordinary, "select option[selected]").len(), 1);
    let matrix = page("view.html", "matrix");
    assert_eq!(texts(&matrix, ".matrix tfoot td"), ["21", "21", "21", "63"]);
    assert_eq!(texts(&page("view.html", "table"), ".rows tbody tr:first-child td"), ["043", "043", "7"]);
    for what in ["nothing", "no rows", "no matrix"] {
        assert_eq!(texts(&page("view.html", what), ".empty"), ["Nothing to show."], "{what}");
    }
    let broken = page("view.html", "broken");
    assert!(texts(&broken, "#problem")[0].contains("cannot be shown: ") && select(&broken, "form, figure").is_empty());
    assert!(select(&page("view.html", "refused"), "figure, pre").is_empty());
}

#[test]
fn the_overview_leads_to_its_own_system_and_window() {
    let page = page("overview.html", "hostile");
    let causes = attributes(&page, "[aria-labelledby=worse] li a", "href");
    assert_eq!(causes.len(), 10);
    let all = attributes(&page, "[aria-labelledby=worse] .note a", "href");
    assert!(all[0].starts_with("/api/regressions?") && all[0].ends_with("&format=csv"), "{all:?}");
    for address in causes.into_iter().chain(all) {
        assert!(address.contains("days=14") && address.contains("system_name=%22"), "{address}");
    }
}

#[test]
fn a_guilty_says_what_it_is_narrowed_to_and_what_became_of_it() {
    let ordinary = page("guilty.html", "ordinary");
    let shown = texts(&ordinary, "main p");
    assert!(
        shown.contains(&"Only class org.clearlinux/*, severity 3, event_id 0123: take the filters away".to_owned())
    );
    let all = attributes(&ordinary, "main p a", "href")[0];
    assert!(all.ends_with("?days=7") && !shown.iter().any(|text| text.contains("too long")), "{all}");
    assert!(texts(&ordinary, "[aria-labelledby=judged] p")[0].contains(": new since 24, on 84 to 500 machines."));
    let long = texts(&page("guilty.html", "hostile"), "main p.note");
    assert!(long.iter().any(|note| note.starts_with("The filters are too long")), "{long:?}");
}

#[test]
fn an_address_of_no_record_is_repeated_harmlessly() {
    let page = page("message.html", "no such record");
    assert_eq!(texts(&page, "h1"), ["No such record"]);
    assert!(texts(&page, "main p")[0].contains("<script>"));
}
