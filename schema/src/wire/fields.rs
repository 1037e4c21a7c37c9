//! The fields of a record as a request gave them: named, not yet validated.

use std::borrow::Cow;

/// A field that requests carry, in the order of the contract's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    RecordFormatVersion,
    Classification,
    Severity,
    MachineId,
    CreationTimestamp,
    Arch,
    HostType,
    Build,
    KernelVersion,
    PayloadFormatVersion,
    SystemName,
    BoardName,
    CpuModel,
    BiosVersion,
    EventId,
    Payload,
}

const FIELD_COUNT: usize = 16;

impl Field {
    /// The name with underscores, as JSON objects and error answers have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RecordFormatVersion => "record_format_version",
            Self::Classification => "classification",
            Self::Severity => "severity",
            Self::MachineId => "machine_id",
            Self::CreationTimestamp => "creation_timestamp",
            Self::Arch => "arch",
            Self::HostType => "host_type",
            Self::Build => "build",
            Self::KernelVersion => "kernel_version",
            Self::PayloadFormatVersion => "payload_format_version",
            Self::SystemName => "system_name",
            Self::BoardName => "board_name",
            Self::CpuModel => "cpu_model",
            Self::BiosVersion => "bios_version",
            Self::EventId => "event_id",
            Self::Payload => "payload",
        }
    }

    /// The field of this name, which has to be spelled with underscores and in lower case.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"record_format_version" => Self::RecordFormatVersion,
            b"classification" => Self::Classification,
            b"severity" => Self::Severity,
            b"machine_id" => Self::MachineId,
            b"creation_timestamp" => Self::CreationTimestamp,
            b"arch" => Self::Arch,
            b"host_type" => Self::HostType,
            b"build" => Self::Build,
            b"kernel_version" => Self::KernelVersion,
            b"payload_format_version" => Self::PayloadFormatVersion,
            b"system_name" => Self::SystemName,
            b"board_name" => Self::BoardName,
            b"cpu_model" => Self::CpuModel,
            b"bios_version" => Self::BiosVersion,
            b"event_id" => Self::EventId,
            b"payload" => Self::Payload,
            _ => return None,
        })
    }

    /// The record format that brought the field; records of earlier formats may carry it and it is ignored.
    pub(super) const fn since_format(self) -> i8 {
        match self {
            Self::PayloadFormatVersion | Self::SystemName => 2,
            Self::BoardName | Self::CpuModel | Self::BiosVersion => 3,
            Self::EventId => 4,
            _ => 1,
        }
    }
}

/// What a request says about one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Value<'a> {
    /// Nothing, or JSON's `null`.
    #[default]
    Missing,
    /// A text, or the digits of a JSON number as they were sent.
    Text(Cow<'a, str>),
    /// A JSON value that is neither a string nor a number.
    NotText,
    /// Two values that differ: whichever was taken, a proxy in front might have judged the other.
    Conflicting,
}

/// The fields of one request.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    values: [Value<'a>; FIELD_COUNT],
}

impl<'a> Given<'a> {
    /// Adds what the request says; the same value said twice counts once.
    pub(super) fn add(&mut self, field: Field, value: Value<'a>) {
        let slot = &mut self.values[field as usize];
        *slot = match (std::mem::take(slot), value) {
            (Value::Missing, value) | (value, Value::Missing) => value,
            (before, value) if before == value => value,
            _ => Value::Conflicting,
        };
    }

    /// Whether the request says anything about `field`.
    pub(super) fn has(&self, field: Field) -> bool {
        self.values[field as usize] != Value::Missing
    }

    /// The text of `field`, when it is one.
    pub(super) fn text(&self, field: Field) -> Option<&str> {
        match &self.values[field as usize] {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Takes the value of `field` out.
    pub(super) fn take(&mut self, field: Field) -> Value<'a> {
        std::mem::take(&mut self.values[field as usize])
    }

    /// Removes the quotes that clients leave around values they read from shell-style files.
    pub(super) fn strip_quotes(&mut self, field: Field) {
        const QUOTES: [char; 2] = ['"', '\''];
        if let Value::Text(text) = &mut self.values[field as usize]
            && text.contains(QUOTES)
        {
            *text = Cow::Owned(text.replace(QUOTES, ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(value))
    }

    #[test]
    fn every_field_is_found_by_its_name_and_has_its_own_slot() {
        for index in 0..FIELD_COUNT {
            let named: Vec<Field> = ALL.into_iter().filter(|field| *field as usize == index).collect();
            assert_eq!(named.len(), 1, "slot {index}");
            assert_eq!(Field::named(named[0].name().as_bytes()), Some(named[0]));
        }
        assert_eq!(Field::named(b"Build"), None);
    }

    const ALL: [Field; FIELD_COUNT] = [
        Field::RecordFormatVersion,
        Field::Classification,
        Field::Severity,
        Field::MachineId,
        Field::CreationTimestamp,
        Field::Arch,
        Field::HostType,
        Field::Build,
        Field::KernelVersion,
        Field::PayloadFormatVersion,
        Field::SystemName,
        Field::BoardName,
        Field::CpuModel,
        Field::BiosVersion,
        Field::EventId,
        Field::Payload,
    ];

    #[test]
    fn equal_values_count_once_and_different_ones_conflict() {
        let cases = [
            (vec![], Value::Missing),
            (vec![text("1")], text("1")),
            (vec![text("1"), text("1")], text("1")),
            (vec![Value::Missing, text("1"), Value::Missing], text("1")),
            (vec![text("1"), text("2")], Value::Conflicting),
            (vec![text("1"), text("2"), text("1")], Value::Conflicting),
            (vec![text("1"), Value::NotText], Value::Conflicting),
        ];
        for (values, expected) in cases {
            let mut given = Given::default();
            for value in &values {
                given.add(Field::Build, value.clone());
            }
            assert_eq!(given.take(Field::Build), expected, "{values:?}");
        }
    }

    #[test]
    fn quotes_are_stripped_wherever_they_stand() {
        for (quoted, plain) in [("12", "12"), ("\"12\"", "12"), ("'1'2\"", "12"), ("\"\"", ""), ("\"a\"_b", "a_b")] {
            let mut given = Given::default();
            given.add(Field::Build, text(quoted));
            given.strip_quotes(Field::Build);
            assert_eq!(given.text(Field::Build), Some(plain));
        }
    }
}
