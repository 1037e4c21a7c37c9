//! Samples of every page: an ordinary one, an empty one, and one full of data that wants to do harm.

use std::sync::LazyLock;

use askama::Template;
use telemetrics_analytics::judgement::{Cause, Counts, Exposure, Strikes, Tables};
use telemetrics_analytics::questions::offered::Offered;
use telemetrics_analytics::questions::records::{Cursor, Page};
use telemetrics_analytics::questions::trends::{Series as TrendSeries, SeriesOf, Trend};
use telemetrics_analytics::questions::updates::{Step, Steps};
use telemetrics_analytics::sizes::DaySizes;
use telemetrics_collector::CollectorStats;
use telemetrics_collector::quarantine::{
    Entry, Filter, Kind as EntryKind, NotReplayed, QuarantineStats, RawRequest, Replayed, Sum,
};
use telemetrics_schema::attributes::{ATTRIBUTES_MAX, Attributes};
use telemetrics_schema::payload::Filters;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::US_PER_HOUR;
use telemetrics_schema::wire::FieldError;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

use super::api::ApiPage;
use super::judged::Judged;
use super::message::MessagePage;
use super::numbers::{Numbers, NumbersPage, Same, Subject};
use super::overview::{Found as FoundOverview, OverviewPage};
use super::quarantine::{EntryPage, PAGE_ENTRIES, QuarantinePage, ReplayedPage};
use super::query::{Given, PARAMETERS_MAX, Problem, QUERY_LIMIT_BYTES};
use super::record::{Neighbours, RecordPage};
use super::records::{Found, PAGE_ROWS, RecordsPage};
use super::status::{About, Found as FoundStatus, StatusPage};
use super::updates::UpdatesPage;
use super::{BUILDS_TAB, example, tabs, view};
use crate::charts::{CATEGORIES_MAX, Chart, Kind, Series};

/// Text that would be markup, leave an attribute, or rearrange what stands beside it.
pub(super) const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\0&amp;";

pub(super) const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

/// One page as HTML, the template that made it, and what it shows.
pub(super) struct Sample {
    pub(super) template: &'static str,
    pub(super) what: &'static str,
    pub(super) html: String,
}

/// Every page in every state.
pub(super) fn all() -> &'static [Sample] {
    &ALL
}

static ALL: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    tabs::with(view::samples::most_tabs(), || {
        let mut all = general();
        all.extend(super::crashes::samples::all());
        all.extend(view::samples::all());
        all
    })
});

fn general() -> Vec<Sample> {
    vec![
        records("ordinary", &some_records(&crash())),
        records("hostile", &some_records(&hostile())),
        sample("records.html", "no records at all", &empty("", 0)),
        sample("records.html", "none that match", &empty("severity=4", 0)),
        sample("records.html", "a page behind the last one", &empty("cursor=x", 9)),
        sample("records.html", "refused", &refused()),
        sample("record.html", "crash", &record(&crash())),
        sample("record.html", "kernel", &record(&kernel())),
        sample("record.html", "hostile", &record(&hostile())),
        sample("record.html", "hostile crash", &record(&hostile_crash("<"))),
        sample("record.html", "hostile names", &record(&hostile_crash(HOSTILE))),
        sample("record.html", "sparse", &record(&sparse())),
        sample("record.html", "alone", &alone()),
        sample("numbers.html", "ordinary", &numbers("43", "class")),
        sample("numbers.html", "hostile", &numbers(&HOSTILE.repeat(50), HOSTILE)),
        sample(
            "numbers.html",
            "nothing",
            &NumbersPage::found(&SUBJECT, &given("ordinary"), &offer(&crash()), Numbers::default()),
        ),
        sample(
            "numbers.html",
            "refused",
            &NumbersPage::refused(&SUBJECT, &given("hostile"), &offer(&hostile()), &problem()),
        ),
        sample("updates.html", "ordinary", &UpdatesPage::found(&given("ordinary"), &offer(&crash()), &steps("4"), 14)),
        sample(
            "updates.html",
            "hostile",
            &UpdatesPage::found(&given("hostile"), &offer(&hostile()), &steps(HOSTILE), 14),
        ),
        sample(
            "updates.html",
            "nothing",
            &UpdatesPage::found(&given("ordinary"), &offer(&crash()), &Steps::default(), 1),
        ),
        sample("updates.html", "refused", &UpdatesPage::refused(&given("hostile"), &offer(&hostile()), &problem())),
        sample("status.html", "ordinary", &status(Some(&CollectorStats::default()), "records in data", &[])),
        sample("status.html", "hostile", &status(None, &HOSTILE.repeat(100), &vec![HOSTILE.repeat(100); 200])),
        sample("quarantine.html", "ordinary", &quarantine(&[entry("severity", "must be 1 to 4")])),
        sample("quarantine.html", "hostile", &quarantine(&vec![entry(HOSTILE, &HOSTILE.repeat(10)); PAGE_ENTRIES])),
        sample("quarantine.html", "empty", &QuarantinePage::new(&QuarantineStats::default(), Filter::default(), &[])),
        sample("quarantined.html", "ordinary", &EntryPage::new(entry("severity", "must be 1 to 4"))),
        sample("quarantined.html", "hostile", &EntryPage::new(entry(HOSTILE, &HOSTILE.repeat(10)))),
        sample("replayed.html", "ordinary", &ReplayedPage::new(&Replayed::default())),
        sample("replayed.html", "hostile", &ReplayedPage::new(&replayed())),
        sample("api.html", "all", &ApiPage::new()),
        sample("overview.html", "quiet", &overview("clear-linux-os", 0)),
        sample("overview.html", "hostile", &overview(&HOSTILE.repeat(20), 100)),
        sample("message.html", "no such record", &MessagePage::no_such_record(HOSTILE)),
        sample("message.html", "long", &MessagePage::new("Not available", &HOSTILE.repeat(10_000))),
    ]
}

/// The sample of that name.
pub(super) fn one(template: &str, what: &str) -> &'static str {
    let found = all().iter().find(|sample| sample.template == template && sample.what == what);
    found.map_or_else(|| panic!("no sample {template} {what}"), |sample| &sample.html)
}

pub(super) fn sample(template: &'static str, what: &'static str, page: &impl Template) -> Sample {
    Sample { template, what, html: page.render().expect("a page") }
}

const SUBJECT: Subject = Subject { tab: BUILDS_TAB, of_one_system: true, not_here: &[] };

/// Five pages' worth of figures, each as large as a figure may be.
fn numbers(name: &str, series: &str) -> NumbersPage {
    let given = given(name);
    let chart = |kind, series_count: usize| Chart {
        title: "Records by build".to_owned(),
        kind,
        category: "build".into(),
        names: (0..CATEGORIES_MAX).map(|at| format!("{name}{at}")).collect(),
        series: (0..series_count).map(|at| Series::counts(format!("{at}{series}"), 0..CATEGORIES_MAX as u64)).collect(),
    };
    let figures = [chart(Kind::Columns, 1), chart(Kind::Bars, 1), chart(Kind::Stacked, 2), chart(Kind::Lines, 2)];
    let numbers = Numbers {
        figures: figures.iter().map(Chart::figure).collect(),
        notes: vec!["A note.".to_owned()],
        same: vec![Same::new("By build", &given, "/api/builds", &[])],
        pending: Some("3 records".to_owned()),
        as_of: NOW.to_string(),
    };
    NumbersPage::found(&SUBJECT, &given, &offer(&hostile()), numbers)
}

fn status(collector: Option<&CollectorStats>, store: &str, troubles: &[String]) -> StatusPage {
    let rule = |class: String| RetentionRule { matcher: Matcher::Classification(class), days: 1 };
    let rules = (0..1_000).map(|at| rule(format!("{store}{at}"))).collect();
    let about = About { store: store.to_owned(), retention: RetentionPolicy { default_days: 0, rules }.into() };
    let mut sizes = DaySizes::default();
    for day in 0..100 {
        sizes.add(day, u64::MAX >> 20, u64::MAX >> 20);
    }
    let buckets: Vec<_> = (0..25).map(|hour| TimestampUs(hour * US_PER_HOUR)).collect();
    let hours = Trend { series: vec![TrendSeries { of: SeriesOf::All, records: vec![7; buckets.len()] }], buckets };
    StatusPage::new(&FoundStatus {
        about: &about,
        collector,
        parsers: Some(troubles),
        store_version: Some(store),
        hours: &hours,
        sizes: &sizes,
        now: NOW,
    })
}

fn quarantine(entries: &[Entry]) -> QuarantinePage {
    let owed = Sum { entries: u64::MAX, bytes: u64::MAX };
    let filter = Filter { kind: Some(EntryKind::Owed), before: None };
    QuarantinePage::new(&QuarantineStats { owed, ..QuarantineStats::default() }, filter, entries)
}

fn entry(field: &str, reason: &str) -> Entry {
    let error = FieldError { field: field.to_owned(), reason: reason.to_owned() };
    let header = (field.to_owned(), reason.as_bytes().to_vec());
    let request = RawRequest { headers: vec![header; 200], body: format!("{reason}{}", "<".repeat(100_000)).into() };
    Entry {
        id: RecordId::MAX,
        kind: EntryKind::Owed,
        first_seen: NOW,
        last_seen: NOW,
        count: u64::MAX,
        reasons: vec![error; 20],
        request: Some(request),
        record: None,
    }
}

fn replayed() -> Replayed {
    let error = FieldError { field: HOSTILE.to_owned(), reason: HOSTILE.to_owned() };
    let errors = (0..100).map(|id| NotReplayed { id, reasons: vec![error.clone(); 20] }).collect();
    Replayed { invalid: 100, errors, ..Replayed::default() }
}

/// Two builds of a system that are judged: `number` causes are new on the second one.
pub(super) fn judged(name: &str, number: u64, cause: impl Fn(i64) -> Cause) -> Judged {
    let exposure = |build: u64| Exposure {
        build: format!("{build}{name}"),
        machines: 1_000,
        machine_days: 9_000,
        busiest_day_machines: 1_000,
    };
    let strikes = |build: u64, cause, machine_days| Strikes {
        build: format!("{build}{name}"),
        cause,
        counts: Counts { machines: machine_days, machine_days, records: machine_days },
    };
    let causes = 1..=i64::try_from(number).expect("small");
    let tables = Tables {
        exposures: vec![exposure(1), exposure(2)],
        strikes: causes.map(|id| strikes(2, cause(id), 500)).chain([strikes(1, Cause::AnyCrash, 5)]).collect(),
    };
    Judged::from(&tables)
}

fn overview(name: &str, number: u64) -> OverviewPage {
    let cause = |guilty_id| Cause::Guilty { guilty_id, function: name.to_owned(), module: name.to_owned() };
    let judged = judged(name, number, cause);
    let given = if number > 0 { Given::of([("system_name", name)]) } else { Given::default() };
    let hours = Trend { buckets: vec![NOW], series: vec![TrendSeries { of: SeriesOf::All, records: vec![7] }] };
    OverviewPage::new(FoundOverview {
        given: &given,
        offer: &offer(&hostile()),
        judged: &judged,
        judged_at: NOW,
        hours: &hours,
        troubles: vec!["Records are refused.".to_owned()],
    })
}

/// More versions than the matrix has room for.
fn steps(version: &str) -> Steps {
    let step =
        |at: usize| Step { from: format!("{at}{version}"), to: format!("{at}1{version}"), records: u64::MAX >> 20 };
    Steps { steps: (0..100).map(step).collect(), has_more: true }
}

pub(super) fn offer(record: &Record) -> Offered {
    let offered: Vec<String> = (0..5_000).map(|n| format!("{}{n}", record.report.classification)).collect();
    Offered { classifications: offered.clone(), systems: offered.clone(), builds: offered }
}

pub(super) fn problem() -> Problem {
    Problem { parameter: Some("severity".to_owned()), message: "severity has to be 1 to 4, not 7".to_owned() }
}

fn records(what: &'static str, records: &[Record]) -> Sample {
    let offer = offer(&records[0]);
    let older = Some(Cursor::OlderThan(RecordId(5)));
    let page = Page { records: records.to_vec(), older, newer: Some(Cursor::NewerThan(RecordId(9))) };
    let found = Found { page: &page, total: 12_345, pending_records: 3, new_records: Some(7), first_record: "" };
    sample("records.html", what, &RecordsPage::found(&given(what), &offer, &found))
}

/// Ordinary filters, or the worst that a query string can hold.
pub(super) fn given(what: &str) -> Given {
    if what == "ordinary" {
        return Given::parse("classification=org.clearlinux/*&severity=3&event_id=0123&cursor=here").expect("short");
    }
    let names = ["classification", "severity", "build", "machine_id", "x"];
    let value = "<".repeat((QUERY_LIMIT_BYTES - 100) / names.len());
    let query: Vec<String> = names.iter().map(|name| format!("{name}={value}")).collect();
    Given::parse(&query.join("&")).expect("within the limits")
}

fn empty(query: &str, total: u64) -> RecordsPage {
    let given = Given::parse(query).expect("short");
    let first_record = example::first_record("http://127.0.0.1:8080", NOW);
    let page = Page { records: Vec::new(), older: None, newer: None };
    let found = Found { page: &page, total, pending_records: 0, new_records: None, first_record: &first_record };
    RecordsPage::found(&given, &Offered::default(), &found)
}

fn refused() -> RecordsPage {
    let query = format!("severity=7{}", "&x=<y>".repeat(PARAMETERS_MAX - 1));
    let given = Given::parse(&query).expect("within the limits");
    RecordsPage::refused(&given, &Offered::default(), &problem())
}

fn some_records(record: &Record) -> Vec<Record> {
    // One more than a page takes.
    (0..=i64::try_from(PAGE_ROWS).expect("small"))
        .map(|n| Record { id: RecordId(RecordId::MAX.0 - n), ..record.clone() })
        .collect()
}

/// A record as the crash probe sends it.
pub(super) fn crash() -> Record {
    let report = Report {
        record_format_version: 4,
        classification: "org.clearlinux/crash/clr".into(),
        severity: 3,
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        ts_capture_s: 1_795_342_000,
        arch: "x86_64".into(),
        host_type: "LENOVO|20XW|ThinkPad".into(),
        build: "43210".into(),
        kernel_version: "6.12.1-1.native".into(),
        payload_format_version: 1,
        system_name: "clear-linux-os".into(),
        board_name: "20XW|LENOVO".into(),
        cpu_model: "Sample CPU".into(),
        bios_version: "N32ET86W".into(),
        event_id: "00112233445566778899aabbccddeeff".into(),
        external: true,
        payload: "Process: /usr/bin/crasher\nPID: 7\nSignal: 11\n\nBacktrace (TID 7):\n\
            #0 filtered() - [/usr/bin/crasher] - a.c:6\n\
            #1 _ZN5alpha4beta17h0123456789abcdefE() - [/usr/lib64/liba.so] - src/a.rs:7\n\
            #2 (no symbols)\n\nBacktrace (TID 8):\n#0 ??? - [libc.so.6]\n"
            .into(),
    };
    Record { id: RecordId(891_234_567_890_123), ts_reception: NOW, report }
}

/// A record with many others around it, one of whose frames is filtered.
fn record(record: &Record) -> RecordPage {
    let others = some_records(record);
    let filters = Filters::from_iter([("filtered()", "/usr/bin/crasher")]);
    let mut attributes = Attributes::default();
    for number in 0..ATTRIBUTES_MAX {
        attributes.insert(&format!("a{number:0>63}"), &record.report.machine_id);
    }
    RecordPage::new(record, &attributes, &Neighbours { event: others.clone(), machine: others }, &filters)
}

/// A record without any others, and of which no parser made anything.
fn alone() -> RecordPage {
    RecordPage::new(&crash(), &Attributes::default(), &Neighbours::default(), &Filters::default())
}

/// A record as a kernel probe sends it.
fn kernel() -> Record {
    let mut record = crash();
    record.report.classification = "org.clearlinux/kernel/warning".into();
    record.report.payload = "Crash Report:\nReason: irq 11: nobody cared\nKernel Version : 6.12.1 #1\n\
        Tainted : G        W\nModules : ext4 btrfs\nBacktrace :\nRegister RIP: Non-zero\n\
        #1 ? dump_stack - [kernel]\n#2 __report_bad_irq - [kernel]\n"
        .into();
    record
}

/// A crash whose every text wants to break the page, and that has more frames and threads than there is room for.
fn hostile_crash(text: &str) -> Record {
    let mut record = hostile();
    let line = text.replace('\n', "").repeat(1_000);
    let frame = format!("#4294967295 {line} - [{line}] - {line}:4294967295\n");
    let head = ["Process", "Signal", "Error", "Reason", "Kernel Version", "Tainted", "Modules", "Register RIP"];
    let head = head.map(|key| format!("{key}: {line}\n")).concat();
    let thread = format!("Backtrace (TID 4294967295):\n{}", "#0 a() - [/a]\n".repeat(3));
    record.report.classification = "org.clearlinux/crash/clr".into();
    record.report.payload = format!("{head}{}{}", frame.repeat(70), thread.repeat(300));
    record
}

/// A record of the oldest format from a machine that says as little as it may.
fn sparse() -> Record {
    let missing = || "N/A".to_owned();
    let report = Report {
        record_format_version: 1,
        classification: "//".into(),
        severity: 1,
        system_name: missing(),
        board_name: missing(),
        cpu_model: missing(),
        bios_version: missing(),
        event_id: missing(),
        ..Report::default()
    };
    Record { id: RecordId(1), ts_reception: TimestampUs(i64::MAX), report }
}

/// A record whose every text wants to break the page and is longer than any valid one.
pub(super) fn hostile() -> Record {
    let text = || format!("{HOSTILE}{}", "<".repeat(8_192));
    let report = Report {
        severity: 4,
        classification: text(),
        machine_id: text(),
        arch: text(),
        host_type: text(),
        build: text(),
        kernel_version: text(),
        system_name: text(),
        board_name: text(),
        cpu_model: text(),
        bios_version: text(),
        event_id: text(),
        payload: format!("\n{HOSTILE}{}", "<".repeat(100_000)),
        ..Report::default()
    };
    Record { id: RecordId::MAX, ts_reception: NOW, report }
}
