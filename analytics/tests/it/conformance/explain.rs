//! How every question is answered: the SQL that ClickHouse is sent, and the plan over the embedded store.
//!
//! `INSTA_UPDATE=always` writes the snapshots anew; what changed in them is to be read.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::dataframe::DataFrame;
use datafusion::physical_plan::displayable;
use regex::Regex;
use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::crash_rate::{self, Scope};
use telemetrics_analytics::questions::keys::{Dimension, Key};
use telemetrics_analytics::questions::records::{self, Cursor, PageRequest, Seen};
use telemetrics_analytics::questions::trends::{self, Interval, SeriesOf, TrendRequest};
use telemetrics_analytics::questions::{
    attributes, collectors, contents, counts, crash_totals, crashes, derived, expired, guilty, guilty_strikes,
    hardware, held, newest, offered, population, stacks, updates,
};
use telemetrics_analytics::regex::TextPattern;
use telemetrics_analytics::{Error, View};
use telemetrics_schema::answer::Fields;
use telemetrics_schema::attributes::NoParsers;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{RecordId, TimestampUs};

use super::stores::Stores;
use crate::clickhouse::{plan_of, record};

/// In the last hour of [`record`]s.
const NOW: TimestampUs = TimestampUs(1_795_000_000_000_000 + 239 * 3_600_123_457 + 1);
const RECORDS: i64 = 240;
const RECENT: usize = 40;
/// Plans depend on how many threads there are.
const THREADS: usize = 2;

/// What is asked, and the plan of it.
type Question = (&'static str, Result<DataFrame, Error>);

fn policy() -> RetentionPolicy {
    let rule = |matcher, days| RetentionRule { matcher, days };
    let class = |class: &str| Matcher::Classification(class.to_owned());
    let rules = vec![rule(class("org.clearlinux/heartbeat/*"), 5), rule(Matcher::Severity(4), 0)];
    RetentionPolicy { default_days: 35, rules }
}

fn window() -> RecordFilter {
    RecordFilter { received_from: Some(TimestampUs(NOW.0 - 7 * US_PER_DAY)), ..RecordFilter::default() }
}

fn of_system() -> RecordFilter {
    RecordFilter { system_name: Some("clear-linux-os".to_owned()), ..window() }
}

/// Every filter at once.
fn everything() -> RecordFilter {
    let pattern = |pattern: &str| Some(TextPattern::parse(pattern).expect("a pattern"));
    RecordFilter {
        classification: Some(ClassPattern::Prefix("org.clearlinux/crash/".to_owned())),
        not_classification: Some("org.clearlinux/crash/test".to_owned()),
        severities: vec![3, 4],
        machine_id: Some("it's".to_owned()),
        builds: vec!["40000".to_owned(), "40010".to_owned()],
        system_name: Some("clear-linux-os".to_owned()),
        arch: Some("x86_64".to_owned()),
        kernel_version: Some("6.18".to_owned()),
        host_type: Some("vendor|product|1".to_owned()),
        event_id: Some("0123".to_owned()),
        external: Some(false),
        payload: pattern(r"#\d+ .*main"),
        not_payload: pattern("plain text"),
        received_from: Some(TimestampUs(NOW.0 - US_PER_DAY)),
        received_before: Some(NOW),
        captured_after: Some(TimestampUs(0)),
        captured_from: Some(TimestampUs(1)),
        captured_before: Some(TimestampUs::from_s(10_413_791_999)),
        from_id: Some(RecordId(1_000)),
        attributes: [("machine".to_owned(), "it's \"quoted\"".to_owned())].into(),
    }
}

fn questions(view: &View) -> Vec<Question> {
    let mut questions = listed(view);
    questions.extend(counted(view));
    questions.extend(by_cause(view));
    questions.extend(looked_up(view));
    questions
}

fn listed(view: &View) -> Vec<Question> {
    let all = RecordFilter::default();
    let page = |cursor| {
        let request = PageRequest { limit: 100, cursor };
        records::page_plan(view, &RecordFilter::default(), &request, Fields::all())
    };
    let seen = Seen::new(RecordId(1_000), vec![RecordId(1_100), RecordId(1_239)]);
    let remaining = Cursor::Remaining { older_than: RecordId(1_200), seen };
    let some = Fields::parse("ts_reception,payload").expect("fields");
    let newest = PageRequest { limit: 10, cursor: None };
    let near = |filter: &RecordFilter, cursor| {
        records::near_page_plan(view, filter, &PageRequest { limit: 100, cursor }, Fields::all())
    };
    let until = RecordFilter { received_before: Some(TimestampUs(NOW.0 - US_PER_DAY)), ..RecordFilter::default() };
    vec![
        ("the newest page, first among the newest records", near(&all, None)),
        ("a page of older records, first among those below", near(&all, Some(Cursor::OlderThan(RecordId(1_200))))),
        ("a page of what was received before, first among those below", near(&until, None)),
        ("the newest page", page(None)),
        ("a page of older records", page(Some(Cursor::OlderThan(RecordId(1_200))))),
        ("a page of newer records", page(Some(Cursor::NewerThan(RecordId(1_200))))),
        ("a page of what there was", page(Some(remaining))),
        ("a page with every filter", records::page_plan(view, &everything(), &newest, some)),
        ("what there is now", records::seen_plan(view)),
        ("all records", records::all_plan(view, &window(), some)),
        ("one record", records::one_plan(view, RecordId(1_100))),
        ("how many records", records::count_plan(view, &all)),
        ("how many with every filter", records::count_plan(view, &everything())),
    ]
}

fn counted(view: &View) -> Vec<Question> {
    let counts = |filter: &RecordFilter, by| counts::plan(view, filter, by, 10);
    let trend = |interval, by, groups: &[SeriesOf]| {
        trends::plan(view, &TrendRequest { filter: window(), interval, by, top: 2 }, groups)
    };
    let build =
        |build: &str| SeriesOf::Key(Key::Build { system_name: "clear-linux-os".to_owned(), build: build.to_owned() });
    let builds = [build("40000"), build("40010"), SeriesOf::Rest];
    let expired = expired::plan(view, &policy(), NOW).transpose().expect("something expires");
    vec![
        ("records by build", counts(&window(), Dimension::Build)),
        ("records by build with every filter", counts(&everything(), Dimension::Build)),
        ("records by class", counts(&window(), Dimension::Classification)),
        ("records by platform", counts(&window(), Dimension::Platform)),
        ("records by severity", counts(&window(), Dimension::Severity)),
        ("records by system", counts(&window(), Dimension::System)),
        ("records by hour", trend(Interval::Hour, None, &[SeriesOf::All])),
        ("records by day and build", trend(Interval::Day, Some(Dimension::Build), &builds)),
        ("records by week", trend(Interval::Week, None, &[SeriesOf::All])),
        ("machines by build", population::plan(view, &window(), 10)),
        ("stacks", stacks::seen_plan(view, &window(), 10)),
        ("stacks with every filter", stacks::seen_plan(view, &everything(), 10)),
        ("examples of stacks", stacks::examples_plan(view, &window(), &[1, 2, 3, 4])),
        ("machines by build, for rates", crash_rate::exposure_plan(view, &of_system(), false)),
        ("machines by build and day", crash_rate::exposure_plan(view, &of_system(), true)),
        ("crashes by build", crash_rate::strikes_plan(view, &of_system(), Scope::Crashes, false)),
        ("failures by build and class", crash_rate::strikes_plan(view, &of_system(), Scope::Failures, true)),
        ("builds that are offered", offered::builds_plan(view, Some("clear-linux-os"))),
        ("machine checks by build", counts(&hardware::filter_of(&window()), Dimension::Build)),
        ("machine checks by status", hardware::statuses_plan(view, &window())),
        ("machine checks by machine", hardware::machines_plan(view, &window(), 10)),
        ("machine checks of machines by build", hardware::builds_of_plan(view, &window(), &["a", "it's"])),
        ("updates", updates::plan(view, &window())),
        ("what expires", expired),
        ("last receptions", collectors::plan(view, TimestampUs(NOW.0 - US_PER_DAY), None)),
    ]
}

/// Crashes, with the stacks and guilties as they are known by then.
fn by_cause(view: &View) -> Vec<Question> {
    let guilties = HashMap::from([(1, 10), (2, 10), (3, 11)]);
    vec![
        ("crashes by build and class", crash_totals::plan(view, &window())),
        ("crashes by build and class with every filter", crash_totals::plan(view, &everything())),
        ("crashes by build, class and stack", crashes::cells_plan(view, &window())),
        ("machines and receptions of guilties", crashes::seen_plan(view, &window(), &guilties)),
        ("machines of guilties by build", crashes::machines_plan(view, &window(), &guilties)),
        ("strikes of guilties", guilty_strikes::plan(view, &of_system(), &guilties)),
        ("a guilty by stack", guilty::by_stack_plan(view, &window(), &[1, 2], 10)),
        ("a guilty by machine", guilty::by_machine_plan(view, &window(), &[1, 2], 10)),
        ("guilties by hour", guilty::trend_plan(view, &window(), Interval::Hour)),
        ("guilties by day", guilty::trend_plan(view, &window(), Interval::Day)),
        ("guilties by week with every filter", guilty::trend_plan(view, &everything(), Interval::Week)),
    ]
}

/// Single records, and what a store is asked before it is written.
fn looked_up(view: &View) -> Vec<Question> {
    let (day, ids) = (NOW.day(), 1_100..=1_239);
    let classes = [ClassPattern::Prefix("org.clearlinux/heartbeat/".to_owned())];
    let derivation = derived::Derivation { parsers: &NoParsers, classes: &classes };
    vec![
        ("the attributes of a record", attributes::of_record_plan(view, &record(1))),
        ("the newest record", newest::plan(view)),
        ("what is held of some identifiers", held::plan(view, RecordId(1_100), RecordId(1_110))),
        ("contents of days", contents::contents_plan(view, &(day - 3..=day))),
        ("checksums of a day", contents::checksums_plan(view, day, RecordId(1_239))),
        ("records of a day", contents::range_plan(view, day, &ids)),
        ("what may be derived no more", derived::plan(view, day, &ids, &derivation)),
    ]
}

fn stores() -> Stores {
    Stores::with("explained", (0..RECORDS).map(|number| Arc::new(record(number))).collect(), RECENT)
}

fn text(answers: impl IntoIterator<Item = (&'static str, String)>) -> String {
    answers.into_iter().fold(String::new(), |mut text, (question, answer)| {
        writeln!(text, "-- {question}\n{}\n", answer.trim_end()).expect("a string takes everything");
        text
    })
}

#[test]
fn clickhouse_is_sent_whole_questions() {
    let stores = stores();
    let views = stores.views(&policy(), NOW);
    let answers = questions(&views.remote).into_iter().map(|(question, frame)| {
        let (sent, plan) = views.block_on(plan_of(frame.unwrap_or_else(|error| panic!("{question}: {error}"))));
        assert!(sent.len() == 1 && plan.matches("Exec").count() <= 3, "{question} is sent whole:\n{plan}");
        (question, sent.concat())
    });
    insta::assert_snapshot!("clickhouse", text(answers));
}

#[test]
fn the_embedded_store_reads_what_it_has_to() {
    let stores = stores();
    let views = stores.views(&policy(), NOW);
    let answers = questions(&views.embedded).into_iter().map(|(question, frame)| {
        let frame = frame.unwrap_or_else(|error| panic!("{question}: {error}"));
        (question, views.block_on(embedded_plan(frame)))
    });
    insta::assert_snapshot!("embedded", text(answers));
}

/// The plan without what differs from machine to machine, and from version to version of the files.
async fn embedded_plan(frame: DataFrame) -> String {
    let (mut state, plan) = frame.into_parts();
    state.config_mut().options_mut().execution.target_partitions = THREADS;
    let plan = DataFrame::new(state, plan).create_physical_plan().await.expect("a plan");
    let text = displayable(plan.as_ref()).indent(false).to_string();
    let files = Regex::new(r"file_groups=\{.*?\]\}").expect("a pattern");
    let sizes = Regex::new(r"partition_sizes=\[[\d, ]*\]").expect("a pattern");
    // It follows from the predicate.
    let pruning = Regex::new(r", pruning_predicate=.*").expect("a pattern");
    let text = files.replace_all(&text, "file_groups=…");
    pruning.replace_all(&sizes.replace_all(&text, "partition_sizes=…"), "").into_owned()
}
