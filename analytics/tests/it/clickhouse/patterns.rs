//! Regular expressions find the same payloads in ClickHouse, in memory, and by the engine that they were written for.

use datafusion::prelude::{DataFrame, SessionContext, col};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use regex::Regex;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::regex::{PATTERN_CHARS_MAX, TextPattern};
use telemetrics_schema::batch::from_batch;
use telemetrics_schema::columns::RECORDS;
use telemetrics_schema::{Record, RecordId};

use super::{Remote, local, plan_of, record};

/// Payloads with everything that one of the engines might treat in its own way.
const PAYLOADS: [&str; 30] = [
    "",
    "a",
    "ab",
    "abc abc",
    "ABC",
    "aé",
    "é",
    "éé x",
    "ÀÉ",
    "a\nb",
    "\n",
    "ab\n",
    "\nab",
    "a\r\nb",
    "nul\0ab",
    "\0",
    "00",
    "back\\slash",
    "a.b",
    "[ab]",
    "{2}",
    "a|b",
    "m: a",
    "s:x",
    "1 2",
    "\u{663} arabic three",
    "\u{1f980}",
    "K\u{212a}k",
    "word_1 word-2",
    "http://www.example",
];

const FRAGMENTS: [&str; 42] = [
    "a",
    "b",
    "ab",
    "abc",
    "é",
    "K",
    "0",
    "m:",
    "s:",
    "www",
    "http://",
    " ",
    "_",
    "-",
    "/",
    r"\.",
    r"\\",
    r"\[",
    r"\]",
    r"\{",
    r"\|",
    r"\n",
    r"\x00",
    r"\r",
    "\u{1f980}",
    ".",
    "(?s:.)",
    "[a-c]",
    "[^a]",
    r"[\[\]\\{}|]",
    r"\w",
    r"\W",
    r"\d",
    r"\s",
    r"\S",
    r"\pL",
    "^",
    "$",
    "(?m:^)",
    "(?m:$)",
    r"(?-u:\b)",
    "(?i:ab)",
];

fn patterns() -> impl Strategy<Value = String> {
    let leaf = proptest::sample::select(&FRAGMENTS[..]).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let times = proptest::sample::select(&["?", "*", "+", "{2}", "{0,3}", "{2,}", "*?", "{0}"][..]);
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}|{b})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}|{b}")),
            1 => (inner, times).prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    })
}

fn payloads() -> Vec<Record> {
    let numbered = PAYLOADS.iter().enumerate();
    numbered
        .map(|(number, payload)| {
            let mut record = record(i64::try_from(number).expect("few"));
            (*payload).clone_into(&mut record.report.payload);
            record
        })
        .collect()
}

async fn found(session: &SessionContext, filter: &RecordFilter) -> Vec<RecordId> {
    let frame = filtered(session, filter).await;
    let batches = frame.collect().await.unwrap_or_else(|error| panic!("{filter:?}: {error}"));
    batches.iter().flat_map(|batch| from_batch(batch).expect("records")).map(|record| record.id).collect()
}

async fn filtered(session: &SessionContext, filter: &RecordFilter) -> DataFrame {
    let table = session.table(RECORDS).await.expect("the table");
    let rows = table.filter(filter.predicate().expect("a condition")).expect("a plan");
    rows.sort(vec![col("id").sort(true, false)]).expect("a plan")
}

fn filter(pattern: &TextPattern, is_found: bool) -> RecordFilter {
    let pattern = Some(pattern.clone());
    if is_found {
        RecordFilter { payload: pattern, ..RecordFilter::default() }
    } else {
        RecordFilter { not_payload: pattern, ..RecordFilter::default() }
    }
}

/// What the engine that the pattern was written for finds.
fn expected(records: &[Record], pattern: &TextPattern, is_found: bool) -> Vec<RecordId> {
    let regex = Regex::new(pattern.as_str()).expect("a pattern that was accepted");
    let found = records.iter().filter(|record| regex.is_match(&record.report.payload) == is_found);
    found.map(|record| record.id).collect()
}

#[test]
fn a_pattern_finds_the_same_everywhere() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let records = payloads();
    let (remote, local) = runtime.block_on(async { (Remote::with(&records).await, local(&records)) });
    let mut runner = TestRunner::new(ProptestConfig { cases: 192, failure_persistence: None, ..Default::default() });
    let tested = runner.run(&(patterns(), any::<bool>()), |(pattern, is_found)| {
        let Ok(pattern) = TextPattern::parse(&pattern) else { return Ok(()) };
        let filter = filter(&pattern, is_found);
        let (theirs, ours) =
            runtime.block_on(async { (found(&remote.session, &filter).await, found(&local, &filter).await) });
        let expected = expected(&records, &pattern, is_found);
        prop_assert_eq!(&theirs, &expected, "ClickHouse, {}", pattern.as_str());
        prop_assert_eq!(&ours, &expected, "in memory, {}", pattern.as_str());
        Ok(())
    });
    tested.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn a_pattern_is_looked_for_there() {
    let remote = Remote::with(&[]).await;
    for (pattern, sql) in [
        ("it's", r"position(`records`.`payload`, 'it\'s') > 0"),
        ("^(?i)A.", r"match(`records`.`payload`, '(?:)^[Aa][^\\x{A}]')"),
    ] {
        let pattern = TextPattern::parse(pattern).expect("a pattern");
        for is_found in [true, false] {
            let (sent, plan) = plan_of(filtered(&remote.session, &filter(&pattern, is_found)).await).await;
            assert!(sent.len() == 1 && sent[0].contains(sql), "{plan}");
            assert_eq!(sent[0].contains("NOT "), !is_found, "{plan}");
        }
    }
}

/// What is accepted must not turn out to be too large where it is sent to.
#[tokio::test]
async fn the_largest_patterns_are_not_too_large_for_the_server() {
    let records = payloads();
    let remote = Remote::with(&records).await;
    for repeated in [r"\w", r"\PL", ".", "[^a]", "é?", r"[\d\s]", "(a|bc|é)", r"(\pL\d)?", "(?i:k)"] {
        let most = largest(1_000, |count| format!("({repeated}){{0,{count}}}x"));
        let found = found(&remote.session, &filter(&most, true)).await;
        assert_eq!(found, expected(&records, &most, true), "{}", most.as_str());
    }
    for unit in [r"\w", r"\W", "[^é]", "a", ".", r"\x00"] {
        let most = largest(PATTERN_CHARS_MAX, |count| unit.repeat(count));
        let both = RecordFilter { payload: Some(most.clone()), not_payload: Some(most), ..RecordFilter::default() };
        assert!(found(&remote.session, &both).await.is_empty());
    }
}

/// The largest accepted pattern of those that grow with a number up to `max`.
fn largest(max: usize, pattern: impl Fn(usize) -> String) -> TextPattern {
    let (mut accepted, mut refused) = (1, max + 1);
    while accepted + 1 < refused {
        let middle = usize::midpoint(accepted, refused);
        if TextPattern::parse(&pattern(middle)).is_ok() { accepted = middle } else { refused = middle }
    }
    TextPattern::parse(&pattern(accepted)).expect("accepted")
}
