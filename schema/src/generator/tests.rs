//! The generator as its users see it: exact, ordered, repeatable, and believable.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::time::{S_PER_DAY, US_PER_DAY};
use crate::wire::ARCHITECTURES;

fn small(records: u64) -> Fleet {
    Fleet::demo(1, records, Fleet::default().end)
}

fn reports(fleet: &Fleet) -> Vec<Report> {
    generate(fleet).map(|(_, report)| report).collect()
}

#[test]
fn equal_fleets_give_equal_records_and_another_seed_gives_others() {
    let fleet = small(3_000);
    let records: Vec<_> = generate(&fleet).collect();
    assert_eq!(records, generate(&fleet).collect::<Vec<_>>());
    let other = Fleet { seed: 2, ..fleet };
    assert_ne!(records, generate(&other).collect::<Vec<_>>());
}

#[test]
fn exactly_as_many_records_as_asked_for() {
    for records in [0, 1, 2, 59, 1_000, 4_321] {
        assert_eq!(generate(&small(records)).count() as u64, records);
    }
    for crash_permille in [0, 1_000, 5_000] {
        assert_eq!(generate(&Fleet { crash_permille, ..small(700) }).count(), 700);
    }
    let crowded = Fleet { machines: 5_000, ..small(2_000) };
    let lonely = Fleet { machines: 0, stacks: 0, ..small(2_000) };
    let instant = Fleet { end: crowded.start, ..small(2_000) };
    for fleet in [crowded, lonely, instant] {
        assert_eq!(generate(&fleet).count(), 2_000);
    }
}

#[test]
fn reception_is_ordered_and_within_the_window() {
    let odd = small(5_000);
    let fleet =
        Fleet { start: TimestampUs(odd.start.0 + 1_234_567_891), end: TimestampUs(odd.end.0 - 987_654_321), ..odd };
    let times: Vec<_> = generate(&fleet).map(|(at, _)| at).collect();
    assert!(times.is_sorted());
    assert!(times.iter().all(|at| (fleet.start..fleet.end).contains(at)));
}

#[test]
fn every_class_and_record_format_appears_with_its_severity() {
    let mut severities: BTreeMap<String, BTreeSet<i8>> = BTreeMap::new();
    let mut formats = BTreeSet::new();
    for report in reports(&small(60_000)) {
        severities.entry(report.classification).or_default().insert(report.severity);
        formats.insert(report.record_format_version);
    }
    assert_eq!(formats, (1..=4).collect());
    assert!(severities.values().all(|of_class| of_class.len() == 1), "{severities:?}");
    let missing: Vec<_> = EXPECTED.iter().filter(|(class, _)| !severities.contains_key(*class)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for (class, severity) in EXPECTED {
        assert!(severities[*class].contains(severity), "{class}");
    }
}

const EXPECTED: &[(&str, i8)] = &[
    ("org.clearlinux/crash/clr", 3),
    ("org.clearlinux/crash/error", 4),
    ("org.clearlinux/crash/unknown", 2),
    ("org.clearlinux/crash/clr-build", 2),
    ("org.clearlinux/kernel/warning", 2),
    ("org.clearlinux/kernel/bug", 4),
    ("org.clearlinux/kernel/stackoverflow", 4),
    ("org.clearlinux/kernel/panic", 4),
    ("crash/kernel/bug", 2),
    ("crash/kernel/warning", 2),
    ("org.clearlinux/hello/world", 1),
    ("org.clearlinux/heartbeat/ping", 1),
    ("org.clearlinux/journal/error", 2),
    ("org.clearlinux/bert/debug", 2),
    ("org.clearlinux/mce/corrected", 2),
    ("org.clearlinux/mce/SRAO", 3),
    ("org.clearlinux/mce/SRAR", 4),
    ("org.clearlinux/mce/UCNA", 3),
    ("org.clearlinux/mce/thermal", 2),
    ("org.clearlinux/swupd-client/update", 1),
    ("org.clearlinux/swupd-client/update-failure", 2),
];

/// The rules of the wire contract for the fields, as far as a decoded report can break them.
fn broken_rules(report: &Report) -> Vec<&'static str> {
    let length = |text: &str| text.chars().count();
    let plain = |text: &str| !text.is_empty() && length(text) < 200 && !text.chars().any(char::is_control);
    let word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let build = !report.build.is_empty() && word(&report.build) && length(&report.build) <= 256;
    let mut kernel = report.kernel_version.split('.');
    let two_numbers = kernel.next().is_some_and(digits) && kernel.next().is_some_and(|n| digits(&n[..1]));
    let event = report.event_id.len() == 32 && report.event_id.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    let format = report.record_format_version;
    let absent = |text: &str| text == "N/A";
    let rules = [
        ("format", (1..=4).contains(&format)),
        ("classification", report.classification.split('/').count() == 3 && length(&report.classification) <= 140),
        ("severity", (1..=4).contains(&report.severity)),
        ("machine_id", length(&report.machine_id) <= 32),
        ("capture", (0..=10_413_791_999).contains(&report.ts_capture_s)),
        ("arch", ARCHITECTURES.contains(&report.arch.as_str())),
        ("host_type", length(&report.host_type) < 250),
        ("build", build && (report.system_name != "clear-linux-os" || digits(&report.build))),
        ("kernel_version", two_numbers && length(&report.kernel_version) <= 200),
        ("payload_format_version", report.payload_format_version >= 0),
        ("system_name", length(&report.system_name) <= 140 && (format >= 2 || absent(&report.system_name))),
        ("board_name", plain(&report.board_name) && (format >= 3 || absent(&report.board_name))),
        ("cpu_model", plain(&report.cpu_model) && (format >= 3 || absent(&report.cpu_model))),
        ("bios_version", plain(&report.bios_version) && (format >= 3 || absent(&report.bios_version))),
        ("event_id", if format >= 4 { event } else { absent(&report.event_id) }),
        ("payload", report.payload.len() < 8_192 && report.payload.ends_with('\n')),
    ];
    rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule).collect()
}

#[test]
fn every_report_is_valid() {
    for report in reports(&small(20_000)) {
        assert!(broken_rules(&report).is_empty(), "{:?}: {report:?}", broken_rules(&report));
    }
}

#[test]
fn every_report_passes_the_decoder_and_comes_out_as_it_went_in() {
    for report in reports(&small(3_000)) {
        let decoded = decoded(&report);
        assert_eq!(decoded, Ok(report));
    }
}

/// Sends the report through the decoder as a client of the header generation would.
fn decoded(report: &Report) -> Result<Report, crate::wire::Rejection> {
    let numbers = [
        ("record_format_version", report.record_format_version.to_string()),
        ("severity", report.severity.to_string()),
        ("creation_timestamp", report.ts_capture_s.to_string()),
        ("payload_format_version", report.payload_format_version.to_string()),
        ("X-Telemetry-TID", crate::wire::DEFAULT_TELEMETRY_ID.to_owned()),
        ("X-CLR-External", report.external.to_string()),
    ];
    let texts = [
        ("classification", &report.classification),
        ("machine_id", &report.machine_id),
        ("arch", &report.arch),
        ("host_type", &report.host_type),
        ("build", &report.build),
        ("kernel_version", &report.kernel_version),
        ("system_name", &report.system_name),
        ("board_name", &report.board_name),
        ("cpu_model", &report.cpu_model),
        ("bios_version", &report.bios_version),
        ("event_id", &report.event_id),
    ];
    let numbers = numbers.iter().map(|(name, text)| (*name, text.as_bytes()));
    let headers = texts.iter().map(|(name, text)| (*name, text.as_bytes())).chain(numbers).collect();
    let request = crate::wire::Request { headers, body: report.payload.as_bytes() };
    crate::wire::decode(&request, &crate::wire::Rules::default())
}

#[test]
fn payloads_are_as_long_as_real_ones() {
    let fleet = Fleet { machines: 2_000, records: 100_000, ..Fleet::size_corpus() };
    let (mut crashes, mut crash_bytes, mut bytes) = (0, 0, 0);
    let mut stacks = BTreeSet::new();
    let mut pids = BTreeSet::new();
    for report in reports(&fleet) {
        bytes += report.payload.len();
        if matches!(report.classification.as_str(), "org.clearlinux/crash/clr" | "org.clearlinux/crash/error") {
            crashes += 1;
            crash_bytes += report.payload.len();
            stacks.insert(first_thread(&report.payload));
            pids.insert(
                report.payload.split_once("PID: ").and_then(|(_, rest)| rest.split('\n').next().map(str::to_owned)),
            );
        }
    }
    assert_eq!(crashes, 20_000, "a fifth");
    assert!((1_240..1_310).contains(&(crash_bytes / crashes)), "{} bytes a crash", crash_bytes / crashes);
    assert!((383..400).contains(&(bytes / 100_000)), "{} bytes a record", bytes / 100_000);
    assert!((1_600..=2_000).contains(&stacks.len()), "{} stacks", stacks.len());
    assert!(pids.len() > 19_000, "{} process ids", pids.len());
}

fn first_thread(payload: &str) -> String {
    let frames = payload.split("\nBacktrace ").nth(1).and_then(|thread| thread.split_once('\n'));
    frames.map_or_else(String::new, |(_, frames)| frames.trim_end().to_owned())
}

/// Crashes through the regression's guilty and heartbeats, each (on builds that have it, on all others).
fn counts(fleet: &Fleet, regression: &Regression) -> ([u64; 2], [u64; 2]) {
    let builds = fleet.builds(&regression.system_name);
    let since = builds.iter().position(|build| build.name == regression.since_build).expect("a build of the fleet");
    let affected: BTreeSet<_> = builds[since..].iter().map(|build| build.name.as_str()).collect();
    let guilty = format!("#0 {}() - [{}]", regression.function, regression.module);
    let (mut crashes, mut heartbeats) = ([0; 2], [0; 2]);
    for report in reports(fleet) {
        let side =
            usize::from(report.system_name != regression.system_name || !affected.contains(report.build.as_str()));
        crashes[side] += u64::from(report.payload.contains(&guilty));
        heartbeats[side] += u64::from(report.classification == "org.clearlinux/heartbeat/ping");
    }
    (crashes, heartbeats)
}

fn planted(factor_percent: u32, is_new: bool) -> (Fleet, Regression) {
    let fleet = Fleet { machines: 900, crash_permille: 300, ..small(60_000) };
    let builds = fleet.builds("clear-linux-os");
    let regression = Regression {
        function: "larch_lease_renew".into(),
        module: "/usr/bin/larchd".into(),
        system_name: "clear-linux-os".into(),
        since_build: builds[builds.len() - 6].name.clone(),
        factor_percent,
        base_permyriad: 600,
        is_new,
    };
    (Fleet { regressions: vec![regression.clone()], ..fleet }, regression)
}

/// How many times as often a heartbeating machine crashes with the regression as without, in percent.
fn rise_percent(factor_percent: u32) -> u64 {
    let (fleet, regression) = planted(factor_percent, false);
    let (crashes, heartbeats) = counts(&fleet, &regression);
    assert!(crashes[0] > 50 && crashes[1] > 50, "{crashes:?}");
    100 * crashes[0] * heartbeats[1] / (crashes[1] * heartbeats[0])
}

#[test]
fn a_planted_regression_shows_in_the_rates_and_nothing_does_without_it() {
    let (none, threefold) = (rise_percent(100), rise_percent(300));
    assert!((70..140).contains(&none), "{none} percent");
    assert!((220..400).contains(&threefold), "{threefold} percent");
}

#[test]
fn a_new_guilty_appears_nowhere_before_its_build() {
    let (fleet, regression) = planted(100, true);
    let ([since, before], _) = counts(&fleet, &regression);
    assert!(since > 50);
    assert_eq!(before, 0);
}

#[test]
fn crashes_are_overdispersed() {
    let mut crashes: BTreeMap<String, u64> = BTreeMap::new();
    let fleet = small(40_000);
    let until = TimestampUs(fleet.start.0 + 2 * US_PER_DAY);
    let early = generate(&fleet).take_while(|(at, _)| *at < until);
    for (_, report) in early.filter(|(_, report)| report.classification == "org.clearlinux/crash/clr") {
        *crashes.entry(report.machine_id).or_default() += 1;
    }
    let mean = crashes.values().sum::<u64>() / crashes.len() as u64;
    let most = crashes.values().max().copied().unwrap_or(0);
    assert!(most > 8 * mean.max(1), "{most} at most, {mean} in the mean");
}

#[test]
fn some_hardware_fails_more_than_other_hardware() {
    let mut checks: BTreeMap<bool, u64> = BTreeMap::new();
    for report in reports(&small(40_000)).iter().filter(|report| report.classification.contains("/mce/corrected")) {
        *checks.entry(report.host_type.starts_with("Granit")).or_default() += 1;
    }
    assert!(checks[&true] > checks[&false], "{checks:?}");
}

#[test]
fn reports_that_share_an_event_are_of_one_machine_and_not_equal() {
    let mut events: BTreeMap<String, Vec<Report>> = BTreeMap::new();
    for report in reports(&small(30_000)).into_iter().filter(|report| report.record_format_version == 4) {
        events.entry(report.event_id.clone()).or_default().push(report);
    }
    let shared: Vec<_> = events.into_values().filter(|reports| reports.len() > 1).collect();
    assert!(shared.len() > 50, "{} shared events", shared.len());
    for pair in shared.iter().flat_map(|reports| reports.windows(2)) {
        assert_eq!(pair[0].host_type, pair[1].host_type);
        assert_ne!(pair[0], pair[1]);
    }
}

#[test]
fn few_clocks_are_wildly_wrong() {
    let records: Vec<_> = generate(&small(30_000)).collect();
    let wrong = records.iter().filter(|(at, report)| (at.as_s() - report.ts_capture_s).abs() > 30 * S_PER_DAY).count();
    assert!((1..600).contains(&wrong), "{wrong} of 30,000");
}

#[test]
fn memory_is_that_of_an_hour() {
    let fleet = small(50_000);
    let Schedule { mut world, quotas, .. } = Schedule::new(&fleet);
    let mut planner = Planner::new(&fleet, &world);
    for (slice, quota) in Slice::all(&fleet).zip(quotas) {
        let mut routine = Vec::new();
        world.advance(&slice, |done| routine.push(done));
        let mut plans = Vec::new();
        planner.plan(&slice, &world, quota, &routine, &mut plans);
        assert!(plans.len() < 50_000 / 100, "{} of 50,000 in one of 840 hours", plans.len());
    }
}
