//! From what a request gave to a valid report, or to the list of everything that failed.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::error::FieldError;
use super::fields::{Field, Given, Value};
use super::rules::{self, Verdict};
use crate::record::{NOT_AVAILABLE, Report};

/// The payload's grammar in records of format 1, which do not say it.
const FIRST_PAYLOAD_FORMAT: i32 = 1;
/// Stands for a number that failed, in a report that nobody will see.
const FAILED: i8 = 0;

/// The report of valid fields.
///
/// # Errors
/// Every field that failed, in the order of the contract's table.
pub(super) fn check(given: Given<'_>, external: bool, strict_fields: bool) -> Result<Report, Vec<FieldError>> {
    let mut check = Check { given, strict_fields, format: None, errors: Vec::new() };
    let report = check.report(external);
    if check.errors.is_empty() { Ok(report) } else { Err(check.errors) }
}

struct Check<'a> {
    given: Given<'a>,
    strict_fields: bool,
    /// The record format; while it is not known, fields that not every format has are judged when they are there.
    format: Option<i8>,
    errors: Vec<FieldError>,
}

impl<'a> Check<'a> {
    /// Judges the fields in the order of the contract, which is the order of errors.
    fn report(&mut self, external: bool) -> Report {
        let record_format_version = self.number(Field::RecordFormatVersion, &rules::RECORD_FORMATS, FAILED);
        self.format = (record_format_version != FAILED).then_some(record_format_version);
        self.given.strip_quotes(Field::Build);
        self.given.strip_quotes(Field::SystemName);
        let build_rule = self.build_rule();
        Report {
            record_format_version,
            classification: self.text(Field::Classification, rules::classification),
            severity: self.number(Field::Severity, &rules::SEVERITIES, FAILED),
            machine_id: self.text(Field::MachineId, rules::machine_id),
            ts_capture_s: self.number(Field::CreationTimestamp, &rules::CAPTURE_TIMES_S, i64::from(FAILED)),
            arch: self.text(Field::Arch, rules::arch),
            host_type: self.text(Field::HostType, rules::host_type),
            build: self.text(Field::Build, build_rule),
            kernel_version: self.text(Field::KernelVersion, rules::kernel_version),
            payload_format_version: self.number(
                Field::PayloadFormatVersion,
                &rules::PAYLOAD_FORMATS,
                FIRST_PAYLOAD_FORMAT,
            ),
            system_name: self.text(Field::SystemName, rules::system_name),
            board_name: self.hardware(Field::BoardName),
            cpu_model: self.hardware(Field::CpuModel),
            bios_version: self.hardware(Field::BiosVersion),
            event_id: self.text(Field::EventId, rules::event_id),
            external,
            payload: self.payload(),
        }
    }

    fn number<T: TryFrom<u64>>(&mut self, field: Field, range: &RangeInclusive<u64>, otherwise: T) -> T {
        self.judged(field, |text| rules::number(&text, range)).unwrap_or(otherwise)
    }

    fn text(&mut self, field: Field, rule: fn(&str) -> Verdict) -> String {
        let judged = self.judged(field, |text| rule(&text).map(|()| text.into_owned()));
        judged.unwrap_or_else(|| NOT_AVAILABLE.to_owned())
    }

    fn hardware(&mut self, field: Field) -> String {
        let empty = !self.given.has(field) || self.given.text(field) == Some("");
        if empty && !self.strict_fields {
            return NOT_AVAILABLE.to_owned();
        }
        self.text(field, rules::hardware)
    }

    /// The contract has no rule for payloads: one that is not there is empty, as in a request without a body.
    fn payload(&mut self) -> String {
        if self.given.has(Field::Payload) { self.text(Field::Payload, |_| Ok(())) } else { String::new() }
    }

    /// What `rule` makes of the field; `None` when the record's format does not have the field, or after an error.
    fn judged<T>(&mut self, field: Field, rule: impl FnOnce(Cow<'a, str>) -> Result<T, String>) -> Option<T> {
        if !self.counts(field) {
            return None;
        }
        let text = match self.given.take(field) {
            Value::Text(text) => Ok(text),
            Value::Missing => Err("is missing".to_owned()),
            Value::NotText => Err("must be a string or a number".to_owned()),
            Value::Conflicting => Err("is given twice with different values".to_owned()),
        };
        text.and_then(rule).map_err(|reason| self.errors.push(FieldError::new(field.name(), reason))).ok()
    }

    fn counts(&self, field: Field) -> bool {
        match self.format {
            Some(format) => field.since_format() <= format,
            None => field.since_format() == 1 || self.given.has(field),
        }
    }

    fn build_rule(&self) -> fn(&str) -> Verdict {
        let numeric = self.counts(Field::SystemName) && self.given.text(Field::SystemName) == Some(rules::CLEAR_LINUX);
        if numeric { rules::numeric_build } else { rules::build }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: [(Field, &str); 15] = [
        (Field::RecordFormatVersion, "4"),
        (Field::Classification, "a/b/c"),
        (Field::Severity, "2"),
        (Field::MachineId, "machine"),
        (Field::CreationTimestamp, "1795341925"),
        (Field::Arch, "x86_64"),
        (Field::HostType, "v|p|r"),
        (Field::Build, "33010"),
        (Field::KernelVersion, "6.18"),
        (Field::PayloadFormatVersion, "7"),
        (Field::SystemName, "clear-linux-os"),
        (Field::BoardName, "board"),
        (Field::CpuModel, "cpu"),
        (Field::BiosVersion, "bios"),
        (Field::EventId, "0123456789abcdef0123456789abcdef"),
    ];

    /// The valid fields with those of `changes` set to another value, or left out.
    fn given<'a>(changes: &[(Field, Option<&'a str>)]) -> Given<'a> {
        let mut given = Given::default();
        for (field, valid) in VALID {
            let change = changes.iter().find(|(changed, _)| *changed == field);
            if let Some(text) = change.map_or(Some(valid), |(_, value)| *value) {
                given.add(field, Value::Text(Cow::Borrowed(text)));
            }
        }
        given
    }

    fn failed(changes: &[(Field, Option<&str>)], strict_fields: bool) -> Vec<String> {
        let errors = check(given(changes), false, strict_fields).err().unwrap_or_default();
        errors.into_iter().map(|error| error.field).collect()
    }

    fn report(changes: &[(Field, Option<&str>)]) -> Report {
        check(given(changes), false, false).expect("a report")
    }

    #[test]
    fn every_field_arrives_where_it_belongs() {
        let expected = Report {
            record_format_version: 4,
            classification: "a/b/c".into(),
            severity: 2,
            machine_id: "machine".into(),
            ts_capture_s: 1_795_341_925,
            arch: "x86_64".into(),
            host_type: "v|p|r".into(),
            build: "33010".into(),
            kernel_version: "6.18".into(),
            payload_format_version: 7,
            system_name: "clear-linux-os".into(),
            board_name: "board".into(),
            cpu_model: "cpu".into(),
            bios_version: "bios".into(),
            event_id: "0123456789abcdef0123456789abcdef".into(),
            external: false,
            payload: String::new(),
        };
        assert_eq!(report(&[]), expected);
    }

    #[test]
    fn a_field_is_required_from_its_format_on_and_ignored_before() {
        for format in ["1", "2", "3", "4"] {
            for (field, _) in VALID.into_iter().skip(1) {
                let required = field.since_format() <= format.parse().expect("a number");
                let lenient = matches!(field, Field::BoardName | Field::CpuModel | Field::BiosVersion);
                let missing = failed(&[(Field::RecordFormatVersion, Some(format)), (field, None)], false);
                assert_eq!(!missing.is_empty(), required && !lenient, "{field:?} missing in format {format}");
                let control = failed(&[(Field::RecordFormatVersion, Some(format)), (field, Some("\u{1}/"))], true);
                let free = matches!(field, Field::MachineId | Field::HostType | Field::SystemName);
                assert_eq!(!control.is_empty(), required && !free, "{field:?} wrong in format {format}");
            }
        }
    }

    #[test]
    fn earlier_formats_have_defaults_whatever_was_sent() {
        let defaults = |format| {
            let r = report(&[(Field::RecordFormatVersion, Some(format))]);
            (r.payload_format_version, r.system_name, r.board_name, r.cpu_model, r.bios_version, r.event_id)
        };
        let na = || NOT_AVAILABLE.to_owned();
        let system = || "clear-linux-os".to_owned();
        assert_eq!(defaults("1"), (1, na(), na(), na(), na(), na()));
        assert_eq!(defaults("2"), (7, system(), na(), na(), na(), na()));
        assert_eq!(defaults("3"), (7, system(), "board".into(), "cpu".into(), "bios".into(), na()));
    }

    #[test]
    fn hardware_texts_may_be_absent_or_empty_unless_fields_are_strict() {
        for field in [Field::BoardName, Field::CpuModel, Field::BiosVersion] {
            for value in [None, Some("")] {
                assert_eq!(failed(&[(field, value)], true), [field.name()]);
                let r = report(&[(field, value)]);
                let texts = [r.board_name, r.cpu_model, r.bios_version];
                assert_eq!(texts.iter().filter(|text| *text == NOT_AVAILABLE).count(), 1);
                let below = [(field, value), (Field::RecordFormatVersion, Some("2"))];
                assert_eq!(failed(&below, true), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn quotes_are_stripped_before_validation() {
        let r = report(&[(Field::Build, Some("\"'33010'\"")), (Field::SystemName, Some("\"clear-linux-os\""))]);
        assert_eq!((r.build.as_str(), r.system_name.as_str()), ("33010", "clear-linux-os"));
        let longest = format!("\"{}\"", "x".repeat(rules::SYSTEM_NAME_LIMIT_CHARS));
        assert_eq!(report(&[(Field::SystemName, Some(&longest))]).system_name.len(), rules::SYSTEM_NAME_LIMIT_CHARS);
        assert_eq!(failed(&[(Field::Build, Some("\"\""))], false), ["build"]);
    }

    #[test]
    fn builds_are_numbers_only_where_the_system_says_so() {
        let text = (Field::Build, Some("12.a"));
        assert_eq!(failed(&[text], false), ["build"]);
        assert_eq!(failed(&[text, (Field::SystemName, Some("'clear-linux-os'"))], false), ["build"]);
        assert_eq!(report(&[text, (Field::SystemName, Some("clear-linux-os_kvm"))]).build, "12.a");
        assert_eq!(report(&[text, (Field::RecordFormatVersion, Some("1"))]).build, "12.a");
    }

    #[test]
    fn all_errors_are_listed_in_the_order_of_the_contract() {
        let all: Vec<_> = VALID.iter().map(|(field, _)| *field).collect();
        assert_eq!(failed(&[], true), Vec::<String>::new());
        let mut wrong: Vec<_> = all.iter().skip(1).map(|field| (*field, None)).collect();
        let names: Vec<_> = all.iter().skip(1).map(|field| field.name()).collect();
        assert_eq!(failed(&wrong, true), names);
        wrong.push((Field::RecordFormatVersion, None));
        assert_eq!(failed(&wrong, true), all[..9].iter().map(|field| field.name()).collect::<Vec<_>>());
    }

    #[test]
    fn without_a_known_format_later_fields_are_judged_when_they_are_there() {
        let unknown = (Field::RecordFormatVersion, Some("5"));
        assert_eq!(failed(&[unknown, (Field::EventId, Some("x"))], false), ["record_format_version", "event_id"]);
        assert_eq!(failed(&[unknown, (Field::EventId, None)], false), ["record_format_version"]);
    }

    #[test]
    fn values_that_are_no_single_text_say_so() {
        for (value, reason) in [
            (Value::NotText, "must be a string or a number"),
            (Value::Conflicting, "is given twice with different values"),
        ] {
            let mut fields = given(&[(Field::Arch, None)]);
            fields.add(Field::Arch, value.clone());
            fields.add(Field::Payload, value);
            let errors = check(fields, false, false).expect_err("errors");
            assert_eq!(errors, [FieldError::new("arch", reason), FieldError::new("payload", reason)]);
        }
    }
}
