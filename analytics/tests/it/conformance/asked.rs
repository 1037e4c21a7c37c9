//! Parameters of questions as strategies: filters made of the records that there are, windows, policies, instants, and
//! frames that users declare never guilty.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::regex::TextPattern;
use telemetrics_schema::payload::{Filters, backtrace, shown_name};
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

use super::corpus::NOW;
use super::stores::{Stores, odd_attributes};

/// What a filter can be about.
#[derive(Debug, Clone, Copy)]
enum Field {
    Class,
    ClassPrefix,
    Severity,
    Severities,
    Machine,
    Build,
    Builds,
    System,
    Arch,
    Kernel,
    HostType,
    Event,
    External,
    Payload,
    NotPayload,
    Pattern,
    ReceivedFrom,
    ReceivedBefore,
    CapturedAfter,
    CapturedFrom,
    CapturedBefore,
    FromId,
    Attribute,
}

const FIELDS: [Field; 23] = [
    Field::Class,
    Field::ClassPrefix,
    Field::Severity,
    Field::Severities,
    Field::Machine,
    Field::Build,
    Field::Builds,
    Field::System,
    Field::Arch,
    Field::Kernel,
    Field::HostType,
    Field::Event,
    Field::External,
    Field::Payload,
    Field::NotPayload,
    Field::Pattern,
    Field::ReceivedFrom,
    Field::ReceivedBefore,
    Field::CapturedAfter,
    Field::CapturedFrom,
    Field::CapturedBefore,
    Field::FromId,
    Field::Attribute,
];

const PATTERNS: [&str; 8] =
    [r"\d+", "^$", r"[^\x00-\x7f]", "(?i)größe|PLAIN", r"\\|'", r"(?s)a.*b", r"\x00", "#0 .*clone|kernel BUG"];

/// Filters by what one record has: at least that one passes, as long as nothing is denied and no time is moved.
pub(super) fn filters() -> impl Strategy<Value = RecordFilter> {
    filters_by(record_of_all())
}

/// The same by what one of those records has that `is_about` says yes of, so that questions about them find some.
pub(super) fn filters_about(is_about: fn(&Report) -> bool) -> impl Strategy<Value = RecordFilter> {
    filters_by(select(records_about(is_about)))
}

fn records_about(is_about: fn(&Report) -> bool) -> Vec<&'static Record> {
    Stores::shared().records.iter().map(AsRef::as_ref).filter(|record| is_about(&record.report)).collect()
}

/// The filters with a window as the pages have it, of whole days back from now: so trends have few enough buckets.
pub(super) fn in_window(filters: impl Strategy<Value = RecordFilter>) -> impl Strategy<Value = RecordFilter> {
    (filters, select(&[0_i64, 1, 7, 35][..])).prop_map(|(filter, days)| match days {
        0 => filter,
        days => RecordFilter { received_from: Some(TimestampUs(NOW.0 - days * US_PER_DAY)), ..filter },
    })
}

/// Up to five of the frames that crashes have, as those that are never guilty.
pub(super) fn curated() -> impl Strategy<Value = Filters> {
    let mut frames = BTreeSet::new();
    for record in records_about(|report| backtrace(report).is_some()) {
        let Some(backtrace) = backtrace(&record.report) else { continue };
        frames.extend(backtrace.stack().iter().map(|f| (shown_name(f.function).into_owned(), f.module.to_owned())));
    }
    let frames: Vec<_> = frames.into_iter().collect();
    prop::collection::vec(select(frames), 0..=5).prop_map(Filters::from_iter)
}

fn filters_by(of: impl Strategy<Value = &'static Record>) -> impl Strategy<Value = RecordFilter> {
    let fields = prop::collection::vec(select(&FIELDS[..]), 0..4);
    (fields, of, record_of_all(), -1_i64..=1, select(&PATTERNS[..])).prop_map(
        |(fields, record, other, shift, pattern)| {
            let mut filter = RecordFilter::default();
            for field in fields {
                restrict(&mut filter, field, (record, other), shift, pattern);
            }
            filter
        },
    )
}

/// Half of the records are plain ones of the fleet, half are odd.
pub(super) fn record_of_all() -> impl Strategy<Value = &'static Record> {
    let of = |place: Index| place.get(&Stores::shared().records).as_ref();
    let odd = |place: Index| Stores::shared().records[place.index(600)].as_ref();
    prop_oneof![any::<Index>().prop_map(of), any::<Index>().prop_map(odd)]
}

fn restrict(filter: &mut RecordFilter, field: Field, of: (&Record, &Record), shift: i64, pattern: &str) {
    let (Record { id, ts_reception, report }, other) = of;
    let captured = || Some(TimestampUs(TimestampUs::from_s(report.ts_capture_s).0 + shift));
    let received = || Some(TimestampUs(ts_reception.0 + shift));
    match field {
        Field::Class => filter.classification = Some(ClassPattern::Exact(report.classification.clone())),
        Field::ClassPrefix => filter.classification = Some(ClassPattern::Prefix(half(&report.classification))),
        Field::Severity => filter.severities = vec![report.severity],
        Field::Severities => filter.severities = vec![report.severity, other.report.severity],
        Field::Machine => filter.machine_id = Some(report.machine_id.clone()),
        Field::Build => filter.builds = vec![report.build.clone()],
        Field::Builds => filter.builds = vec![report.build.clone(), other.report.build.clone(), String::new()],
        Field::System => filter.system_name = Some(report.system_name.clone()),
        Field::Arch => filter.arch = Some(report.arch.clone()),
        Field::Kernel => filter.kernel_version = Some(report.kernel_version.clone()),
        Field::HostType => filter.host_type = Some(report.host_type.clone()),
        Field::Event => filter.event_id = Some(report.event_id.clone()),
        Field::External => filter.external = Some(report.external),
        Field::Payload => filter.payload = Some(escaped(&report.payload)),
        Field::NotPayload => filter.not_payload = Some(escaped(&other.report.payload)),
        Field::Pattern => filter.payload = Some(TextPattern::parse(pattern).expect("a pattern")),
        Field::ReceivedFrom => filter.received_from = received(),
        Field::ReceivedBefore => filter.received_before = received(),
        Field::CapturedAfter => filter.captured_after = captured(),
        Field::CapturedFrom => filter.captured_from = captured(),
        Field::CapturedBefore => filter.captured_before = captured(),
        Field::FromId => filter.from_id = Some(RecordId(id.0 + shift)),
        Field::Attribute => {
            let all = odd_attributes(of.0);
            filter.attributes.extend(all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
}

fn half(text: &str) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}

/// A pattern that finds the beginning of the text.
fn escaped(text: &str) -> TextPattern {
    let beginning: String = text.chars().take(40).collect();
    TextPattern::parse(&regex::escape(&beginning)).expect("a pattern")
}

/// Policies of all kinds; some name what odd records have.
pub(super) fn policies() -> impl Strategy<Value = RetentionPolicy> {
    let rules = vec![
        RetentionRule { matcher: Matcher::Severity(1), days: 1 },
        RetentionRule { matcher: Matcher::Severity(4), days: 0 },
        RetentionRule { matcher: Matcher::Classification("org.clearlinux/heartbeat/*".to_owned()), days: 20 },
        RetentionRule { matcher: Matcher::Classification("\0".to_owned()), days: 0 },
        RetentionRule { matcher: Matcher::Classification(r"\' OR 1=1 --".to_owned()), days: 2 },
    ];
    let mut with_machine = rules.clone();
    with_machine.push(RetentionRule { matcher: Matcher::Machine("it's".to_owned()), days: 3 });
    select(vec![
        RetentionPolicy::off(),
        RetentionPolicy::days(35),
        RetentionPolicy::days(5),
        RetentionPolicy { default_days: 5, rules: rules.clone() },
        RetentionPolicy { default_days: 0, rules },
        RetentionPolicy { default_days: 5, rules: with_machine },
    ])
}

/// The present, or an instant at which records are just about to expire.
pub(super) fn instants() -> impl Strategy<Value = TimestampUs> {
    let expiry = (record_of_all(), select(&[1_i64, 5, 20, 35][..]), -1_i64..=1);
    let expiry = expiry.prop_map(|(record, days, shift)| {
        TimestampUs((record.ts_reception.0 + days * US_PER_DAY + shift).min(NOW.0 + 40 * US_PER_DAY))
    });
    prop_oneof![Just(NOW), expiry]
}
