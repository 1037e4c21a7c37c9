//! The records that both stores hold: captures, a fleet, odd ones, odd ones that tell of something, and duplicates of
//! everything but the identifier.

use std::sync::Arc;

use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::time::{US_PER_DAY, US_PER_HOUR, US_PER_S};
use telemetrics_schema::wire::{Request, Rules, decode};
use telemetrics_schema::{CollectorNumber, IdSequence, Record, RecordId, Report, TimestampUs};
use telemetrics_testkit::{Capture, captures};

/// The present of all questions, in the middle of an hour: 2026-11-22 10:08:00 UTC.
pub(super) const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

/// Sets how many records the fleet sends.
const RECORDS_VARIABLE: &str = "TELEMETRICS_TEST_RECORDS";
const FLEET_RECORDS: u64 = 20_000;
const FLEET_SEED: u64 = 7;
/// Who received what.
const COLLECTORS: [u8; 3] = [0, 5, 63];
/// Of so many records of the fleet, one is there twice.
const DUPLICATE_EVERY: usize = 50;
const ODD_RECORDS: usize = 600;
/// Crashes, machine checks and updates with odd texts in their payloads.
const TELLING_RECORDS: usize = 480;

/// Texts that one side might read, sort, cut or compare differently from the other.
const TEXTS: [&str; 36] = [
    "",
    " ",
    "plain",
    "Plain",
    "PLAIN",
    "N/A",
    "it's",
    "\"quoted\"",
    "`ticks`",
    "\\",
    r"back\slash",
    r"\' OR 1=1 --",
    r"\n is no line",
    "per%cent",
    "under_score",
    "what?",
    "two\nlines",
    "\r\n",
    "\ttab",
    "trailing ",
    "a/b/c",
    "org.clearlinux/crash/clr",
    "Größe ΑΣ ẞ",
    "e\u{301} is not é",
    "İstanbul ſ",
    "\u{1f980} crab",
    "\u{10ffff}",
    "\u{feff}mark",
    "\u{7f}\u{80}\u{9f}",
    "nul\0 inside",
    "\0",
    "\0\0",
    "NULL",
    "-1",
    "1e3",
    "a text that is longer than what fits into the view of a text, and longer than statistics keep of one",
];

/// From the epoch to the end of 2299, around the ends of 32 bits and of the server's types.
const CAPTURES_S: [i64; 10] = [
    0,
    1,
    86_399,
    951_782_399,
    1_795_342_080,
    2_147_483_648,
    4_294_967_296,
    5_662_310_400,
    10_413_791_998,
    10_413_791_999,
];

/// When odd records were received: at and around the beginnings of hours, days and weeks, and of the ends of lives.
fn odd_receptions() -> Vec<TimestampUs> {
    let monday = TimestampUs::from_s(1_795_305_600 - 6 * 86_400);
    let begins = [0, US_PER_DAY, monday.0, monday.0 + US_PER_HOUR, NOW.0 - 35 * US_PER_DAY, NOW.0 - 5 * US_PER_DAY];
    let around = begins.iter().flat_map(|begin| [begin - 1, *begin, begin + 1]);
    // The last one is the last that identifiers can name.
    let far = [2_147_483_647, 2_147_483_648, 3_776_860_055].map(|s| s * US_PER_S + US_PER_S - 1);
    around.chain(far).filter(|us| *us >= 0).map(TimestampUs).collect()
}

/// All records in the order of their identifiers.
pub(super) fn records() -> Vec<Arc<Record>> {
    let mut records = imported();
    let mut received: Vec<(TimestampUs, Report)> = fleet().collect();
    let recent = captures().into_iter().map(|capture| report(&capture)).chain((0..ODD_RECORDS).map(odd_report));
    let recent = recent.chain((0..TELLING_RECORDS).map(telling_report));
    received
        .extend((0_i64..).zip(recent).map(|(number, report)| (TimestampUs(NOW.0 - 1 - number * 777_777_777), report)));
    let twice: Vec<_> = received.iter().step_by(DUPLICATE_EVERY).cloned().collect();
    received.extend(twice);
    received.sort_by_key(|(at, _)| *at);
    let mut ids = COLLECTORS.map(|number| IdSequence::after(CollectorNumber::new(number).expect("below 64"), None));
    records.extend(received.into_iter().enumerate().map(|(place, (ts_reception, report))| {
        let id = ids[place % COLLECTORS.len()].next(ts_reception);
        Arc::new(Record { id, ts_reception, report })
    }));
    records.sort_by_key(|record| record.id);
    records
}

/// Odd records at odd times, with the small identifiers of another program.
fn imported() -> Vec<Arc<Record>> {
    let mut receptions: Vec<_> = odd_receptions().into_iter().cycle().take(ODD_RECORDS).collect();
    receptions.sort_unstable();
    let numbered = receptions.into_iter().enumerate();
    let record = |(number, ts_reception)| {
        let id = RecordId(i64::try_from(number).expect("few") + 1);
        Arc::new(Record { id, ts_reception, report: odd_report(number) })
    };
    numbered.map(record).collect()
}

fn fleet() -> impl Iterator<Item = (TimestampUs, Report)> {
    let records = std::env::var(RECORDS_VARIABLE).map(|number| number.parse().expect("a number of records"));
    generate(&Fleet::demo(FLEET_SEED, records.unwrap_or(FLEET_RECORDS), NOW))
}

/// All texts by turns; in the next round, what has another stride is another text.
fn odd_text(number: usize, stride: usize) -> &'static str {
    TEXTS[(number + number / TEXTS.len() * stride) % TEXTS.len()]
}

/// Every text in every column, in combinations that do not repeat.
fn odd_report(number: usize) -> Report {
    let text = |stride: usize| odd_text(number, stride).to_owned();
    let classes =
        ["org.clearlinux/heartbeat/ping", "org.clearlinux/crash/clr", "org.clearlinux/heartbeat/pin", "é/è/\0"];
    let classification = if number.is_multiple_of(3) { text(1) } else { classes[number % classes.len()].to_owned() };
    Report {
        record_format_version: i8::try_from(number % 4 + 1).expect("small"),
        classification,
        severity: i8::try_from(number / 4 % 4 + 1).expect("small"),
        machine_id: text(2),
        ts_capture_s: CAPTURES_S[number % CAPTURES_S.len()],
        arch: text(3),
        host_type: text(4),
        build: text(5),
        kernel_version: text(6),
        payload_format_version: [0, 1, i32::MAX][number % 3],
        system_name: if number.is_multiple_of(2) { "clear-linux-os".to_owned() } else { text(7) },
        board_name: text(8),
        cpu_model: text(9),
        bios_version: text(10),
        event_id: text(11),
        external: number.is_multiple_of(5),
        payload: format!("{}{}", text(12), if number.is_multiple_of(7) { text(13) } else { String::new() }),
    }
}

/// What probes tell, with odd texts where functions, modules, reasons, statuses and versions stand.
fn telling_report(number: usize) -> Report {
    let text = |stride: usize| odd_text(number / 5, stride);
    let (few, end) = (number / 5 % 4, if number.is_multiple_of(3) { "\r\n" } else { "\n" });
    let (classification, payload) = match number % 5 {
        0 => (
            "org.clearlinux/crash/clr",
            format!(
                "Process: /usr/bin/{}\nPID: {number}\nSignal: 11\n\nBacktrace (TID {number}):\n#0 {}() - [/lib/{}.so]\n\
                 #1 f{few}() - [/lib/libf.so] - {}.c:{number}\n#2 main() - [/usr/bin/x]\n",
                text(1),
                text(2),
                text(3),
                text(4)
            ),
        ),
        1 => (
            "org.clearlinux/kernel/warning",
            format!(
                "Crash Report:\nReason: {}\nBacktrace :\n#1 {} - [kernel]\n#2 g{few} - [{}]\n",
                text(1),
                text(2),
                text(3)
            ),
        ),
        2 => {
            let class = ["org.clearlinux/mce/SRAO", "org.clearlinux/mce/", "org.clearlinux/mce/thermal"][number % 3];
            (class, format!("{}STATUS {few}C0FFEE{few}92{} MCGSTATUS {}", text(1), text(2), text(3)))
        }
        3 => {
            let versions = format!("current_version={few}{}{end}server_version=1{end}", text(1));
            ("org.clearlinux/swupd-client/update", format!("{}\n{versions}{}", text(2), text(3)))
        }
        _ => ("org.clearlinux/swupd-client/update", format!("server_version={few}{end}current_version={}", text(1))),
    };
    Report { classification: classification.to_owned(), payload, ..odd_report(number) }
}

fn report(capture: &Capture) -> Report {
    let end = capture.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("an end of headers");
    let head = std::str::from_utf8(&capture.bytes[..end]).expect("text");
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name, value.as_bytes())).collect();
    let request = Request { headers, body: &capture.bytes[end + 4..] };
    decode(&request, &Rules::default()).unwrap_or_else(|error| panic!("{}: {error:?}", capture.name))
}
