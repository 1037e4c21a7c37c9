//! Pages without a mouse: the keyboard alone reaches everything that can be used, shows where it is, and uses it.

use telemetrics_testkit::browser::{Browser, ENTER, Screen, TAB};
use telemetrics_testkit::{Server, wait_until};

use crate::browser::OTHERS;
use crate::servers::{PROGRAM, records};

/// Marks what can be used, as far as it is to be seen, and notes what gets the focus and whether that shows.
const WATCH: &str = r"
    const usable = 'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]';
    const radios = new Set();
    const all = [...document.querySelectorAll(usable)].filter(e => {
        if (e.disabled || e.tabIndex < 0 || !e.checkVisibility()) return false;
        // Of a group of choices one is reached by Tab, the others by the arrows.
        if (e.type == 'radio' && radios.has(e.name)) return false;
        if (e.type == 'radio') radios.add(e.name);
        return true;
    });
    window.reached = new Set();
    window.unseen = [];
    window.usable = all;
    document.addEventListener('focusin', event => {
        const style = getComputedStyle(event.target);
        const shows = style.outlineStyle != 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow != 'none';
        if (!shows) unseen.push(event.target.outerHTML.slice(0, 120));
        reached.add(event.target);
    });
    return all.length";

/// What was not reached, and what was reached and did not show it.
const WALKED: &str = r"
    const said = e => e.type == 'radio' ? e.name : e;
    const names = new Set([...reached].map(said));
    return [usable.filter(e => !names.has(said(e))).map(e => e.outerHTML.slice(0, 120)), unseen]";

fn walk(browser: &Browser, server: &Server, path: &str) {
    browser.open(&server.url(path));
    let usable = browser.run(WATCH).as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number");
    assert!(usable > 5, "{path}: {usable} things to use");
    // Once around, and the way out of the page and back into it.
    browser.press(TAB, usable + 5);
    let [missed, unseen] = [0, 1].map(|place| browser.run(WALKED)[place].clone());
    assert_eq!(missed, serde_json::json!([]), "{path}: the keyboard does not reach it");
    assert_eq!(unseen, serde_json::json!([]), "{path}: nobody sees that it has the focus");
}

#[test]
fn the_keyboard_alone_reaches_everything() {
    let server = Server::start_plain(PROGRAM, &["demo", "--records", "2000", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start();
    let crash = &records(&server, "classification=org.clearlinux/crash/clr&limit=1")[0]["id"];
    let cause = &server.get_json("/api/crashes?limit=1")["rows"][0]["guilty_id"];
    let more = [
        "records".to_owned(),
        format!("records/record_details/{crash}"),
        format!("crashes/guilty_details/{cause}"),
        format!("crashes/guilty_details/{cause}/backtraces"),
        "plugins/builds".to_owned(),
    ];
    for (width, height) in [(1280, 900), (390, 844)] {
        browser.resize(Screen { width, height, dark: false });
        for page in OTHERS.into_iter().map(str::to_owned).chain(more.clone()) {
            walk(&browser, &server, &format!("/telemetryui/{page}"));
        }
    }
}

#[test]
fn a_page_is_filtered_and_a_record_opened_with_the_keyboard_alone() {
    let server = Server::start_plain(PROGRAM, &["demo", "--records", "2000", "--listen", "127.0.0.1:0"]);
    let browser = Browser::start();
    browser.open(&server.url("/telemetryui/records"));
    let to = |selector: &str| {
        for _ in 0..200 {
            if browser.run(&format!("return document.activeElement.matches('{selector}')")) == true {
                return;
            }
            browser.press(TAB, 1);
        }
        panic!("{selector} is not reached");
    };
    to("#severity");
    // In a list of choices a letter leads to the next that begins with it: `crit` is severity 4.
    browser.press('c', 1);
    to("form button");
    browser.press(ENTER, 1);
    wait_until("the filtered page", || browser.run("return location.search.includes('severity=4')") == true);
    to("table.records tbody a");
    browser.press(ENTER, 1);
    wait_until("the record", || browser.run("return location.pathname.includes('record_details')") == true);
}
