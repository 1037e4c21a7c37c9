//! What parsers make of records, and what they refuse.

use proptest::prelude::*;
use telemetrics_schema::attributes::{Attributes, VALUE_BYTES_MAX};
use telemetrics_schema::{RecordId, Report, TimestampUs};

use super::*;

const CLASS: &str = "org.example/sensor/reading";

fn definition(name: &str, classes: &[&str], fields: &[(&str, &str)]) -> Definition {
    Definition {
        name: name.to_owned(),
        classifications: classes.iter().map(|class| (*class).to_owned()).collect(),
        fields: fields.iter().map(|(name, sql)| ((*name).to_owned(), (*sql).to_owned())).collect(),
    }
}

fn parsers(fields: &[(&str, &str)]) -> PayloadParsers {
    PayloadParsers::new(ParserSet::compile(&[definition("a.toml", &[CLASS], fields)]).expect("parsers"))
}

fn record(classification: &str, payload: &str) -> Record {
    let report = Report { classification: classification.to_owned(), payload: payload.to_owned(), ..Report::default() };
    Record { id: RecordId(1), ts_reception: TimestampUs(0), report }
}

fn made(parsers: &PayloadParsers, records: &[Record]) -> Vec<String> {
    parsers.for_store().attributes(&records.iter().collect::<Vec<_>>())
}

fn refusal(definitions: &[Definition]) -> String {
    ParserSet::compile(definitions).expect_err("refused").to_string()
}

#[test]
fn only_records_of_its_classes_are_parsed() {
    let parsers = parsers(&[("value", "regexp_match(payload, 'value=(\\S+)')"), ("other", "nullif(payload, payload)")]);
    let records = [record(CLASS, "value=7"), record("org.example/sensor/other", "value=8"), record(CLASS, "nothing")];
    assert_eq!(made(&parsers, &records), [r#"{"value":"7"}"#, "", ""]);
    assert_eq!(parsers.failures(), [Failures { parser: "a.toml".into(), failures: 0 }]);
}

#[test]
fn a_record_that_an_expression_fails_for_lacks_that_attribute_alone() {
    let parsers = parsers(&[("number", "CAST(payload AS INT) + 1"), ("text", "payload")]);
    let mut records: Vec<Record> = (0..ROWS_MAX + 10).map(|number| record(CLASS, &number.to_string())).collect();
    records[500].report.payload = "no number".to_owned();
    let questions = parsers.for_questions().attributes(&records.iter().collect::<Vec<_>>());
    assert_eq!(parsers.failures()[0].failures, 0, "who asks counts nothing");
    let stored = made(&parsers, &records);
    assert_eq!(stored, questions);
    assert_eq!(parsers.failures()[0].failures, 1);
    for (number, text) in stored.iter().enumerate() {
        let expected = match number {
            500 => r#"{"text":"no number"}"#.to_owned(),
            _ => format!(r#"{{"number":"{}","text":"{number}"}}"#, number + 1),
        };
        assert_eq!(*text, expected);
    }
}

#[test]
fn long_values_are_cut() {
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    let text = made(&parsers(&[("text", "payload")]), &[record(CLASS, &long)]).remove(0);
    assert_eq!(Attributes::of_text(&text).iter().next(), Some(("text", &long[1..])));
}

#[test]
fn little_is_worked_on_at_a_time() {
    let large = record(CLASS, &"x".repeat(ROWS_BYTES_MAX));
    let small = record(CLASS, "x");
    let places: Vec<usize> = (0..=ROWS_MAX).collect();
    let of =
        |records: Vec<&Record>| pieces(&places[..records.len()], &records).iter().map(|p| p.len()).collect::<Vec<_>>();
    assert_eq!(of(vec![&small; ROWS_MAX]), [ROWS_MAX]);
    assert_eq!(of(vec![&small; ROWS_MAX + 1]), [ROWS_MAX, 1]);
    assert_eq!(of(vec![&large, &large, &small, &small]), [1, 1, 2]);
    assert!(of(Vec::new()).is_empty());
}

#[test]
fn one_classification_has_one_parser() {
    for (first, second, shared) in [
        ("a/b/c", "a/b/c", "a/b/c"),
        ("a/b/*", "a/b/c", "a/b/c"),
        ("a/b/c", "*", "a/b/c"),
        ("a/*", "a/b/*", "a/b/*"),
        ("a/b/*", "a/*", "a/b/*"),
    ] {
        let both = [definition("one.toml", &[first, "x/y/z"], &[]), definition("two.toml", &[second], &[])];
        let expected = format!("one.toml and two.toml both parse {shared}: a classification has one parser");
        assert!(refusal(&both).contains(&expected), "{}", refusal(&both));
    }
    let apart = [definition("one.toml", &["a/b/c", "a/b/*"], &[]), definition("two.toml", &["a/c/*"], &[])];
    assert!(ParserSet::compile(&apart).is_ok(), "one parser may name a class twice");
}

#[test]
fn what_is_wrong_is_said_with_the_name_of_the_parser() {
    for (classes, fields, expected) in [
        (vec!["a/*/c"], vec![], "a.toml: the classification \"a/*/c\" may have a * only at its end"),
        (vec![], vec![("A", "payload")], "a.toml: \"A\" is no name of a field"),
        (vec![], vec![("a", "no_such")], "a.toml: the field a: "),
        (vec![], vec![("a", "count(*)")], "a.toml: the field a: "),
    ] {
        let said = refusal(&[definition("a.toml", &classes, &fields)]);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn limits_hold_at_their_edges() {
    let names: Vec<String> = (0..=FIELDS_MAX).map(|number| format!("f{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "payload")).collect();
    assert!(ParserSet::compile(&[definition("a", &[], &fields[..FIELDS_MAX])]).is_ok());
    assert!(refusal(&[definition("a", &[], &fields)]).contains("at most 32 fields"));
    let classes = vec!["a/b/c"; CLASSIFICATIONS_MAX + 1];
    assert!(ParserSet::compile(&[definition("a", &classes[1..], &[])]).is_ok());
    assert!(refusal(&[definition("a", &classes, &[])]).contains("at most 100 classifications"));
    let many = vec![definition("a", &[], &[]); PARSERS_MAX + 1];
    assert!(ParserSet::compile(&many[1..]).is_ok());
    assert!(refusal(&many).contains("at most 100 parsers"));
}

#[test]
fn what_replaces_them_holds_for_all_and_goes_on_counting() {
    let parsers = parsers(&[("n", "CAST(payload AS INT)")]);
    let (store, bad) = (parsers.for_store(), record(CLASS, "x"));
    assert_eq!(store.attributes(&[&bad]), [""]);
    let other = [definition("a.toml", &[CLASS], &[("text", "payload")]), definition("b.toml", &["a/b/c"], &[])];
    parsers.replace(ParserSet::compile(&other).expect("parsers"));
    assert_eq!(store.attributes(&[&bad]), [r#"{"text":"x"}"#]);
    let failures: Vec<_> = parsers.failures().into_iter().map(|of| (of.parser, of.failures)).collect();
    assert_eq!(failures, [("a.toml".to_owned(), 1), ("b.toml".to_owned(), 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_payload_makes_it_panic(payloads in prop::collection::vec("(?s).{0,200}", 1..8)) {
        let parsers = parsers(&[
            ("a", "regexp_match(payload, '(\\d+)')"),
            ("b", "decode(regexp_match(payload, '\\S+'), 'base64')"),
            ("c", "decode(payload, 'hex')"),
            ("d", "json_text(payload, '/a')"),
            ("e", "CAST(payload AS INT) / 0"),
            ("f", "substr(payload, CAST(character_length(payload) AS BIGINT) - 1)"),
            ("g", "repeat(payload, 100000)"),
            ("h", "split_part(payload, ' ', 2) || upper(payload)"),
            ("i", "to_timestamp(payload)"),
            ("j", "attribute(payload, 'a')"),
        ]);
        let records: Vec<Record> = payloads.iter().map(|payload| record(CLASS, payload)).collect();
        let together = made(&parsers, &records);
        prop_assert_eq!(together.len(), records.len());
        for (record, text) in records.iter().zip(&together) {
            prop_assert_eq!(&made(&parsers, std::slice::from_ref(record))[0], text, "alone as among others");
            prop_assert_eq!(&Attributes::of_text(text).to_text(), text);
        }
    }
}
