//! Expressions of payload parsers: whatever is written and whatever it is asked about, there is an answer, and that of a
//! record does not depend on the others that it came with.

use telemetrics_analytics::Error;
use telemetrics_analytics::parsers::{Definition, ParserSet, PayloadParsers};
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

/// What is between an expression and the payloads, and between two of them.
const BETWEEN: char = '\0';
/// Payloads of one input, at most.
const PAYLOADS_MAX: usize = 8;

/// An expression, and payloads that it is asked about.
///
/// # Panics
/// When it cannot be said what is wrong with the expression, or a record has another attribute when it is alone.
pub fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split(BETWEEN);
    let expression = parts.next().unwrap_or_default();
    let definition = Definition {
        name: "fuzzed".to_owned(),
        classifications: vec!["*".to_owned()],
        fields: vec![("value".to_owned(), expression.to_owned())],
    };
    let set = match ParserSet::compile(&[definition]) {
        Ok(set) => set,
        Err(Error::Internal(reason)) => panic!("{reason}: {expression:?}"),
        Err(_) => return,
    };
    let records: Vec<Record> = (1..).zip(parts.take(PAYLOADS_MAX)).map(|(id, payload)| record(id, payload)).collect();
    let parsers = PayloadParsers::new(set);
    let applied = parsers.for_store();
    let together = applied.attributes(&records.iter().collect::<Vec<_>>());
    let failures = failures(&parsers);
    let alone: Vec<String> = records.iter().flat_map(|record| applied.attributes(&[record])).collect();
    assert_eq!(together, alone, "{expression:?} of one record depends on the others");
    assert_eq!(self::failures(&parsers), 2 * failures, "{expression:?} fails for as many records");
}

fn failures(parsers: &PayloadParsers) -> u64 {
    parsers.failures().iter().map(|of| of.failures).sum()
}

fn record(id: i64, payload: &str) -> Record {
    let report = Report {
        classification: "org.example/fuzzed/record".to_owned(),
        severity: i8::try_from(id % 4).unwrap_or_default() + 1,
        machine_id: format!("{id:032x}"),
        payload: payload.to_owned(),
        ..Report::default()
    };
    Record { id: RecordId(id), ts_reception: TimestampUs(id), report }
}
