//! The record object of answers: the same JSON for a 201 and for each row of the records API.

use chrono::{DateTime, Datelike, Timelike};
use serde::Serialize;

use crate::attributes::ATTRIBUTES;
use crate::payload::derive;
use crate::record::Record;
use crate::time::TimestampUs;

/// A key of the record object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Number of the record.
    Id,
    /// Which machine sent it.
    MachineId,
    /// The host type: the original service's name for it.
    MachineType,
    /// Processor architecture.
    Arch,
    /// Version of the operating system.
    Build,
    /// Version of the running kernel.
    KernelVersion,
    /// When the machine says that the event happened, `2015-09-30 00:39:35 UTC`.
    TsCapture,
    /// When the collector accepted it, in the same form.
    TsReception,
    /// 1 to 4.
    Severity,
    /// `vendor/class/detail`.
    Classification,
    /// 1 to 4.
    RecordFormatVersion,
    /// Version of the payload's own grammar.
    PayloadFormatVersion,
    /// Name of the operating system.
    SystemName,
    /// What the probe wrote.
    Payload,
    /// Mainboard.
    BoardName,
    /// Firmware version.
    BiosVersion,
    /// Processor model.
    CpuModel,
    /// What the records of one event share.
    EventId,
    /// Whether the record was marked as external.
    External,
    /// What equal stacks have in common.
    StackId,
    /// Path of the program that crashed.
    Process,
    /// Number of the signal that ended it.
    Signal,
    /// What the kernel gave as its reason.
    Reason,
    /// What parsers made of it, as an object.
    Attributes,
}

/// What is derived from the payload: in an object only when it is asked for, behind all other keys.
pub const DERIVED_KEYS: [Key; 5] = [Key::StackId, Key::Process, Key::Signal, Key::Reason, Key::Attributes];

/// Every key of the record object, in the order in which they stand there.
pub const KEYS: [Key; 19] = [
    Key::Id,
    Key::MachineId,
    Key::MachineType,
    Key::Arch,
    Key::Build,
    Key::KernelVersion,
    Key::TsCapture,
    Key::TsReception,
    Key::Severity,
    Key::Classification,
    Key::RecordFormatVersion,
    Key::PayloadFormatVersion,
    Key::SystemName,
    Key::Payload,
    Key::BoardName,
    Key::BiosVersion,
    Key::CpuModel,
    Key::EventId,
    Key::External,
];

impl Key {
    /// The key as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MachineType => "machine_type",
            other => other.column(),
        }
    }

    /// The column of [`crate::columns::COLUMNS`] that holds the value.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::MachineId => "machine_id",
            Self::MachineType => "host_type",
            Self::Arch => "arch",
            Self::Build => "build",
            Self::KernelVersion => "kernel_version",
            Self::TsCapture => "ts_capture",
            Self::TsReception => "ts_reception",
            Self::Severity => "severity",
            Self::Classification => "classification",
            Self::RecordFormatVersion => "record_format_version",
            Self::PayloadFormatVersion => "payload_format_version",
            Self::SystemName => "system_name",
            Self::Payload => "payload",
            Self::BoardName => "board_name",
            Self::BiosVersion => "bios_version",
            Self::CpuModel => "cpu_model",
            Self::EventId => "event_id",
            Self::External => "external",
            Self::StackId => "stack_id",
            Self::Process => "process",
            Self::Signal => "signal",
            Self::Reason => "reason",
            Self::Attributes => ATTRIBUTES,
        }
    }

    /// Every key, those that have to be asked for included.
    pub fn every() -> impl Iterator<Item = Self> {
        KEYS.into_iter().chain(DERIVED_KEYS)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Which keys an answer has; they stand in the order of [`Key::every`] however they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields(u32);

/// A name that is no key of the record object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no field of a record; there are {}", Key::every().map(Key::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownField {
    /// The name that was asked for.
    pub name: String,
}

impl Fields {
    /// Every key of the record object.
    #[must_use]
    pub const fn all() -> Self {
        Self((1 << KEYS.len()) - 1)
    }

    /// Every key, with those that are derived.
    #[must_use]
    pub const fn with_derived() -> Self {
        Self((1 << (KEYS.len() + DERIVED_KEYS.len())) - 1)
    }

    /// The keys that `list` names, with commas and white space between; `host_type` is another name of `machine_type`.
    ///
    /// # Errors
    /// The first name that is no key; an empty name is none, so that the selection is never empty.
    pub fn parse(list: &str) -> Result<Self, UnknownField> {
        list.split(',').map(str::trim).try_fold(Self(0), |fields, name| {
            let key = Key::every().find(|key| key.name() == name || key.column() == name);
            key.map(|key| Self(fields.0 | key.bit())).ok_or_else(|| UnknownField { name: name.to_owned() })
        })
    }

    /// Whether `key` is selected.
    #[must_use]
    pub const fn has(&self, key: Key) -> bool {
        self.0 & key.bit() != 0
    }

    /// The selected keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        let fields = *self;
        Key::every().filter(move |key| fields.has(*key))
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self::all()
    }
}

/// Appends the record object with the selected keys to `out`. A record by itself has no attributes: parsers make them when
/// it is stored.
pub fn write_json(record: &Record, fields: &Fields, out: &mut Vec<u8>) {
    let mut before = b'{';
    for key in fields.keys() {
        out.extend_from_slice(&[before, b'"']);
        out.extend_from_slice(key.name().as_bytes());
        out.extend_from_slice(b"\":");
        write_value(record, key, out);
        before = b',';
    }
    out.push(b'}');
}

fn write_value(record: &Record, key: Key, out: &mut Vec<u8>) {
    let report = &record.report;
    match key {
        Key::Id => write(record.id.0, out),
        Key::MachineId => write(&report.machine_id, out),
        Key::MachineType => write(&report.host_type, out),
        Key::Arch => write(&report.arch, out),
        Key::Build => write(&report.build, out),
        Key::KernelVersion => write(&report.kernel_version, out),
        Key::TsCapture => write_instant(TimestampUs::from_s(report.ts_capture_s), out),
        Key::TsReception => write_instant(record.ts_reception, out),
        Key::Severity => write(report.severity, out),
        Key::Classification => write(&report.classification, out),
        Key::RecordFormatVersion => write(report.record_format_version, out),
        Key::PayloadFormatVersion => write(report.payload_format_version, out),
        Key::SystemName => write(&report.system_name, out),
        Key::Payload => write(&report.payload, out),
        Key::BoardName => write(&report.board_name, out),
        Key::BiosVersion => write(&report.bios_version, out),
        Key::CpuModel => write(&report.cpu_model, out),
        Key::EventId => write(&report.event_id, out),
        Key::External => write(report.external, out),
        Key::StackId => write(derive(report).stack_id, out),
        Key::Process => write(&derive(report).process, out),
        Key::Signal => write(derive(report).signal, out),
        Key::Reason => write(&derive(report).reason, out),
        Key::Attributes => write_object("", out),
    }
}

/// Appends `text` as a JSON string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write(text, out);
}

/// Appends what a column of JSON objects holds; the empty text stands for an empty object.
pub fn write_object(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(if text.is_empty() { b"{}" } else { text.as_bytes() });
}

fn write(value: impl Serialize, out: &mut Vec<u8>) {
    // Numbers, texts and flags are always JSON, and memory takes every byte: there is no error to report.
    let _infallible = serde_json::to_writer(out, &value);
}

fn write_instant(instant: TimestampUs, out: &mut Vec<u8>) {
    out.push(b'"');
    write_instant_text(instant, out);
    out.push(b'"');
}

/// Appends what the `Display` of [`TimestampUs`] writes. That interprets a pattern and costs more than all the rest of an
/// answer.
pub fn write_instant_text(instant: TimestampUs, out: &mut Vec<u8>) {
    match DateTime::from_timestamp_micros(instant.0) {
        Some(at) if (0..=9_999).contains(&at.year()) => {
            write_pair(at.year().unsigned_abs() / 100, out);
            for (value, after) in [
                (at.year().unsigned_abs() % 100, b'-'),
                (at.month(), b'-'),
                (at.day(), b' '),
                (at.hour(), b':'),
                (at.minute(), b':'),
            ] {
                write_pair(value, out);
                out.push(after);
            }
            write_pair(at.second(), out);
            out.extend_from_slice(b" UTC");
        }
        _ => out.extend_from_slice(instant.to_string().as_bytes()),
    }
}

/// Two decimal digits of a number below 100.
fn write_pair(number: u32, out: &mut Vec<u8>) {
    out.extend([number / 10, number % 10].map(|digit| b"0123456789"[digit as usize % 10]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{COLUMNS, derived_columns};
    use crate::id::RecordId;
    use crate::record::Report;

    fn record() -> Record {
        Record {
            id: RecordId(1_234_567_890_123_456),
            ts_reception: TimestampUs(1_443_574_619_999_999),
            report: Report {
                record_format_version: 4,
                classification: "org.clearlinux/hello/world".into(),
                severity: 1,
                machine_id: "4e6f".into(),
                ts_capture_s: 1_443_573_575,
                arch: "x86_64".into(),
                host_type: "LENOVO|20KH|ThinkPad \u{e9}".into(),
                build: "33010".into(),
                kernel_version: "6.18.44".into(),
                payload_format_version: i32::MAX,
                system_name: "clear-linux-os".into(),
                board_name: "board".into(),
                cpu_model: "Intel(R)".into(),
                bios_version: "N/A".into(),
                event_id: "a290da054998303b573236ad33712c95".into(),
                external: true,
                payload: "a \"quoted\"\\\n\0\u{7f}\u{1f980}".into(),
            },
        }
    }

    fn json(record: &Record, fields: Fields) -> String {
        let mut out = Vec::new();
        write_json(record, &fields, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn the_whole_answer() {
        let expected = concat!(
            r#"{"id":1234567890123456,"machine_id":"4e6f","machine_type":"LENOVO|20KH|ThinkPad é","arch":"x86_64","#,
            r#""build":"33010","kernel_version":"6.18.44","ts_capture":"2015-09-30 00:39:35 UTC","#,
            r#""ts_reception":"2015-09-30 00:56:59 UTC","severity":1,"classification":"org.clearlinux/hello/world","#,
            r#""record_format_version":4,"payload_format_version":2147483647,"system_name":"clear-linux-os","#,
            r#""payload":"a \"quoted\"\\\n\u0000"#,
            "\u{7f}\u{1f980}",
            r#"","board_name":"board","bios_version":"N/A","cpu_model":"Intel(R)","#,
            r#""event_id":"a290da054998303b573236ad33712c95","external":true}"#,
        );
        assert_eq!(json(&record(), Fields::all()), expected);
    }

    #[test]
    fn any_answer_is_json_that_holds_the_text() {
        let answer: serde_json::Value = serde_json::from_str(&json(&record(), Fields::all())).expect("JSON");
        assert_eq!(answer["payload"], record().report.payload);
        assert_eq!(answer.as_object().map(serde_json::Map::len), Some(KEYS.len()));
    }

    #[test]
    fn selected_keys_keep_their_order_and_count_once() {
        for list in ["build,id", "id, build", "id,build,id"] {
            let fields = Fields::parse(list).expect("known");
            assert_eq!(json(&record(), fields), r#"{"id":1234567890123456,"build":"33010"}"#, "{list}");
        }
        assert_eq!(Fields::parse("host_type"), Fields::parse("machine_type"));
        assert_eq!(Fields::parse(&KEYS.map(Key::name).join(",")), Ok(Fields::all()));
        let every: Vec<_> = Key::every().map(Key::name).collect();
        assert_eq!(Fields::parse(&every.join(",")), Ok(Fields::with_derived()));
        let derived = Fields::parse("signal,id,stack_id").expect("known");
        assert_eq!(json(&record(), derived), r#"{"id":1234567890123456,"stack_id":0,"signal":0}"#);
    }

    #[test]
    fn unknown_and_empty_names_are_errors() {
        for (list, name) in [("", ""), ("id,", ""), ("id,Build", "Build"), ("id build", "id build"), ("x,y", "x")] {
            assert_eq!(Fields::parse(list), Err(UnknownField { name: name.into() }), "{list}");
        }
        let message = UnknownField { name: "x".into() }.to_string();
        assert!(
            message.starts_with("\"x\" is no field of a record; there are id, machine_id, machine_type"),
            "{message}"
        );
    }

    #[test]
    fn keys_are_the_columns() {
        let mut keys: Vec<_> = Key::every().map(Key::column).collect();
        let mut columns = COLUMNS.map(|column| column.name);
        keys.sort_unstable();
        columns.sort_unstable();
        assert_eq!(keys, columns);
        for (index, key) in Key::every().enumerate() {
            assert_eq!(key as usize, index, "{key:?}");
        }
        assert!(DERIVED_KEYS.iter().map(|key| key.column()).eq(derived_columns().iter().map(|column| column.name)));
    }

    #[test]
    fn instants_are_written_as_everywhere() {
        let seconds =
            [0, -1, 951_782_400, 10_413_791_999, 253_402_300_799, 253_402_300_800, -62_167_219_200, -62_167_219_201];
        for instant in seconds.map(TimestampUs::from_s).into_iter().chain([TimestampUs(i64::MAX), TimestampUs(-1)]) {
            let mut out = Vec::new();
            write_instant(instant, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("\"{instant}\""));
        }
    }
}
