//! The one list of columns; the Arrow schema, the ClickHouse table and the reference page come from it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::attributes::ATTRIBUTES;

/// What kind of value a column holds; each kind has one form in each store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Signed 64-bit number.
    Int64,
    /// Signed 32-bit number.
    Int32,
    /// Signed 8-bit number.
    Int8,
    /// Yes or no.
    Bool,
    /// UTF-8 text with many distinct values.
    Text,
    /// UTF-8 text with few distinct values, dictionary-encoded where the store can.
    Category,
    /// Instant in UTC, microseconds. No time zone is attached: with one, truncation to hours costs nine times as much.
    Instant,
}

impl Kind {
    /// The Arrow type inside the program and in Parquet files.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Int32 => DataType::Int32,
            Self::Int8 => DataType::Int8,
            Self::Bool => DataType::Boolean,
            Self::Text | Self::Category => DataType::Utf8View,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// The column type in ClickHouse.
    #[must_use]
    pub fn clickhouse(self) -> &'static str {
        match self {
            Self::Int64 => "Int64",
            Self::Int32 => "Int32",
            Self::Int8 => "Int8",
            Self::Bool => "Bool",
            Self::Text => "String",
            Self::Category => "LowCardinality(String)",
            Self::Instant => "DateTime64(6, 'UTC')",
        }
    }
}

/// One column of a record.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name in SQL, in Parquet and in ClickHouse.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Unit of the value, empty when it has none.
    pub unit: &'static str,
    /// What it means, one sentence.
    pub description: &'static str,
    /// Record format that brought the field; 0 when the collector adds it.
    pub since_format: u8,
    /// Whether it is made of the record's other columns, see [`crate::payload`] and [`crate::attributes`], and may be made
    /// anew.
    pub is_derived: bool,
}

pub(crate) const fn column(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    since_format: u8,
    description: &'static str,
) -> Column {
    Column { name, kind, unit, description, since_format, is_derived: false }
}

const fn derived(name: &'static str, kind: Kind, description: &'static str) -> Column {
    Column { name, kind, unit: "", description, since_format: 0, is_derived: true }
}

/// Name of the table of records in every store.
pub const RECORDS: &str = "records";

/// Columns that hold what was reported and received. Behind them stand those that are derived from them: what was stored
/// by a version of this program that did not have one holds the default of its kind (0, empty) until it is made anew.
pub const REPORTED_COLUMNS: usize = 19;

/// Every column of the table `records`, in its order.
pub const COLUMNS: [Column; 24] = [
    column("id", Kind::Int64, "", 0, "Identifier: unique, below 2^53, grows with reception on one collector."),
    column("ts_reception", Kind::Instant, "microseconds, UTC", 0, "When the collector accepted the record."),
    column("ts_capture", Kind::Instant, "microseconds, UTC", 1, "When the machine says that the event happened."),
    column("classification", Kind::Category, "", 1, "What the record is about, as vendor/class/detail."),
    column("severity", Kind::Int8, "1 to 4", 1, "1 low, 2 medium, 3 high, 4 critical."),
    column("machine_id", Kind::Text, "", 1, "Which machine sent it; clients change it every three days."),
    column("system_name", Kind::Category, "", 2, "Name of the operating system."),
    column("build", Kind::Category, "", 1, "Version of the operating system, comparable within one system_name."),
    column("kernel_version", Kind::Category, "", 1, "Version of the running kernel."),
    column("arch", Kind::Category, "", 1, "Processor architecture."),
    column("host_type", Kind::Category, "", 1, "Hardware, as vendor|product|version."),
    column("board_name", Kind::Category, "", 3, "Mainboard, as name|vendor."),
    column("cpu_model", Kind::Category, "", 3, "Processor model."),
    column("bios_version", Kind::Category, "", 3, "Firmware version."),
    column("event_id", Kind::Text, "", 4, "32 hexadecimal digits shared by the records of one event."),
    column("external", Kind::Bool, "", 0, "Whether the request was marked with X-CLR-External: true."),
    column("record_format_version", Kind::Int8, "", 1, "Generation of the record format, 1 to 4."),
    column("payload_format_version", Kind::Int32, "", 2, "Version of the payload's own grammar."),
    column("payload", Kind::Text, "", 1, "What the probe wrote, as text."),
    derived(
        "stack_id",
        Kind::Int64,
        "Equal where the frames in the payload are: a hash of the first stack; 0 without.",
    ),
    derived("process", Kind::Category, "Path of the program that crashed, by the payload; empty without."),
    derived("signal", Kind::Int32, "Number of the signal that ended it, by the payload; 0 without."),
    derived("reason", Kind::Text, "What the kernel gave as its reason, by the payload; empty without."),
    derived(
        ATTRIBUTES,
        Kind::Text,
        "What parsers made of it: a JSON object of texts with sorted names; empty without.",
    ),
];

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let fields: Vec<Field> = COLUMNS.iter().map(|c| Field::new(c.name, c.kind.arrow(), false)).collect();
    Arc::new(Schema::new(fields))
});

/// The Arrow schema of the table `records`.
#[must_use]
pub fn record_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The columns that hold what was reported and received.
#[must_use]
pub fn reported() -> &'static [Column] {
    &COLUMNS[..REPORTED_COLUMNS]
}

/// The columns that are derived from the others.
#[must_use]
pub fn derived_columns() -> &'static [Column] {
    &COLUMNS[REPORTED_COLUMNS..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_columns_stand_behind_all_others() {
        assert!(reported().iter().all(|column| !column.is_derived));
        assert!(derived_columns().iter().all(|column| column.is_derived));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = COLUMNS.iter().map(|c| c.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COLUMNS.len());
    }
}
