//! Records as Arrow batches, and back: the form in which stores take and give them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, BooleanBuilder, Int8Array, Int8Builder, Int32Array, Int32Builder, Int64Array,
    Int64Builder, RecordBatch, StringViewArray, StringViewBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{Int8Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use crate::attributes::{Parsers, derive_all};
use crate::columns::{COLUMNS, Kind, REPORTED_COLUMNS, record_schema};
use crate::id::RecordId;
use crate::payload::{Derived, derive};
use crate::record::{Record, Report};
use crate::time::{TimestampUs, US_PER_S};

/// Collects records into one Arrow batch with the columns of [`crate::columns::COLUMNS`].
#[derive(Default)]
pub struct BatchBuilder {
    id: Int64Builder,
    ts_reception: TimestampMicrosecondBuilder,
    ts_capture: TimestampMicrosecondBuilder,
    classification: StringViewBuilder,
    severity: Int8Builder,
    machine_id: StringViewBuilder,
    system_name: StringViewBuilder,
    build: StringViewBuilder,
    kernel_version: StringViewBuilder,
    arch: StringViewBuilder,
    host_type: StringViewBuilder,
    board_name: StringViewBuilder,
    cpu_model: StringViewBuilder,
    bios_version: StringViewBuilder,
    event_id: StringViewBuilder,
    external: BooleanBuilder,
    record_format_version: Int8Builder,
    payload_format_version: Int32Builder,
    payload: StringViewBuilder,
    stack_id: Int64Builder,
    process: StringViewBuilder,
    signal: Int32Builder,
    reason: StringViewBuilder,
    attributes: StringViewBuilder,
}

impl BatchBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one row, without attributes.
    pub fn append(&mut self, record: &Record) {
        self.append_derived(record, &derive(&record.report));
    }

    /// Adds one row of a record of which is known what is derived from it.
    pub fn append_derived(&mut self, record: &Record, derived: &Derived) {
        self.append_reported(record);
        self.stack_id.append_value(derived.stack_id);
        self.process.append_value(&derived.process);
        self.signal.append_value(derived.signal);
        self.reason.append_value(&derived.reason);
        self.attributes.append_value(&derived.attributes);
    }

    fn append_reported(&mut self, record: &Record) {
        let report = &record.report;
        self.id.append_value(record.id.0);
        self.ts_reception.append_value(record.ts_reception.0);
        self.ts_capture.append_value(report.ts_capture_s * US_PER_S);
        self.classification.append_value(&report.classification);
        self.severity.append_value(report.severity);
        self.machine_id.append_value(&report.machine_id);
        self.system_name.append_value(&report.system_name);
        self.build.append_value(&report.build);
        self.kernel_version.append_value(&report.kernel_version);
        self.arch.append_value(&report.arch);
        self.host_type.append_value(&report.host_type);
        self.board_name.append_value(&report.board_name);
        self.cpu_model.append_value(&report.cpu_model);
        self.bios_version.append_value(&report.bios_version);
        self.event_id.append_value(&report.event_id);
        self.external.append_value(report.external);
        self.record_format_version.append_value(report.record_format_version);
        self.payload_format_version.append_value(report.payload_format_version);
        self.payload.append_value(&report.payload);
    }

    /// The batch of everything appended since the last `finish`.
    ///
    /// # Errors
    /// Never for records of this program: only when the columns disagree with the schema.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.ts_reception.finish()),
            Arc::new(self.ts_capture.finish()),
            Arc::new(self.classification.finish()),
            Arc::new(self.severity.finish()),
            Arc::new(self.machine_id.finish()),
            Arc::new(self.system_name.finish()),
            Arc::new(self.build.finish()),
            Arc::new(self.kernel_version.finish()),
            Arc::new(self.arch.finish()),
            Arc::new(self.host_type.finish()),
            Arc::new(self.board_name.finish()),
            Arc::new(self.cpu_model.finish()),
            Arc::new(self.bios_version.finish()),
            Arc::new(self.event_id.finish()),
            Arc::new(self.external.finish()),
            Arc::new(self.record_format_version.finish()),
            Arc::new(self.payload_format_version.finish()),
            Arc::new(self.payload.finish()),
            Arc::new(self.stack_id.finish()),
            Arc::new(self.process.finish()),
            Arc::new(self.signal.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.attributes.finish()),
        ];
        RecordBatch::try_new(record_schema(), columns)
    }
}

/// One batch of all `records`, without attributes.
///
/// # Errors
/// As [`BatchBuilder::finish`].
pub fn to_batch<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<RecordBatch, ArrowError> {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.append(record);
    }
    builder.finish()
}

/// One batch of all `records`, with the attributes that `parsers` make of them.
///
/// # Errors
/// As [`BatchBuilder::finish`].
pub fn parsed_batch(records: &[&Record], parsers: &dyn Parsers) -> Result<RecordBatch, ArrowError> {
    let mut builder = BatchBuilder::new();
    for (record, derived) in records.iter().zip(derive_all(records, parsers)) {
        builder.append_derived(record, &derived);
    }
    builder.finish()
}

/// The batch, which may lack derived columns, as one with the schema of [`record_schema`]; what it lacks has the default of
/// its kind.
///
/// # Errors
/// When another column is missing or one is of another type.
pub fn with_defaults(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = COLUMNS.iter().map(|column| match batch.column_by_name(column.name) {
        Some(values) => Ok(Arc::clone(values)),
        None if column.is_derived => Ok(defaults(column.kind, batch.num_rows())),
        None => Err(ArrowError::SchemaError(format!("no column {}", column.name))),
    });
    RecordBatch::try_new(record_schema(), columns.collect::<Result<_, _>>()?)
}

/// The batch, which has the schema of [`record_schema`], with its derived columns as they are made now, and the rows in which
/// one of them was another.
///
/// # Errors
/// As [`from_batch`].
pub fn derived_anew(batch: &RecordBatch, parsers: &dyn Parsers) -> Result<(RecordBatch, Vec<usize>), ArrowError> {
    let records = from_batch(batch)?;
    let anew = parsed_batch(&records.iter().collect::<Vec<_>>(), parsers)?;
    let columns = batch.columns().iter().take(REPORTED_COLUMNS).chain(anew.columns().iter().skip(REPORTED_COLUMNS));
    let anew = RecordBatch::try_new(record_schema(), columns.cloned().collect())?;
    let pairs = || batch.columns().iter().zip(anew.columns()).skip(REPORTED_COLUMNS);
    let differs = |row: usize| pairs().any(|(old, new)| old.slice(row, 1) != new.slice(row, 1));
    let changed = if pairs().all(|(old, new)| old == new) {
        Vec::new()
    } else {
        (0..batch.num_rows()).filter(|row| differs(*row)).collect()
    };
    Ok((anew, changed))
}

/// So many defaults of a kind.
#[must_use]
pub fn defaults(kind: Kind, rows: usize) -> ArrayRef {
    match kind {
        Kind::Int64 => Arc::new(Int64Array::from(vec![0; rows])),
        Kind::Int32 => Arc::new(Int32Array::from(vec![0; rows])),
        Kind::Int8 => Arc::new(Int8Array::from(vec![0; rows])),
        Kind::Bool => Arc::new(BooleanArray::from(vec![false; rows])),
        Kind::Text | Kind::Category => Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", rows))),
        Kind::Instant => Arc::new(TimestampMicrosecondArray::from(vec![0; rows])),
    }
}

/// The records of a batch that has the columns of [`crate::columns::reported`].
///
/// # Errors
/// When a column is missing or of another type.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Record>, ArrowError> {
    let rows = Rows { batch };
    (0..batch.num_rows()).map(|row| rows.record(row)).collect()
}

struct Rows<'a> {
    batch: &'a RecordBatch,
}

impl Rows<'_> {
    fn column(&self, name: &str) -> Result<&ArrayRef, ArrowError> {
        self.batch.column_by_name(name).ok_or_else(|| ArrowError::SchemaError(format!("no column {name}")))
    }

    fn text(&self, name: &str, row: usize) -> Result<String, ArrowError> {
        let column = self.column(name)?.as_string_view_opt().ok_or_else(|| wrong_type(name))?;
        Ok(column.value(row).to_owned())
    }

    fn instant(&self, name: &str, row: usize) -> Result<i64, ArrowError> {
        let column =
            self.column(name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong_type(name))?;
        Ok(column.value(row))
    }

    fn int8(&self, name: &str, row: usize) -> Result<i8, ArrowError> {
        let column = self.column(name)?.as_primitive_opt::<Int8Type>().ok_or_else(|| wrong_type(name))?;
        Ok(column.value(row))
    }

    fn record(&self, row: usize) -> Result<Record, ArrowError> {
        let id = self.column("id")?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong_type("id"))?;
        let external = self.column("external")?.as_boolean_opt().ok_or_else(|| wrong_type("external"))?;
        let payload_format = self
            .column("payload_format_version")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong_type("payload_format_version"))?;
        Ok(Record {
            id: RecordId(id.value(row)),
            ts_reception: TimestampUs(self.instant("ts_reception", row)?),
            report: Report {
                record_format_version: self.int8("record_format_version", row)?,
                classification: self.text("classification", row)?,
                severity: self.int8("severity", row)?,
                machine_id: self.text("machine_id", row)?,
                ts_capture_s: TimestampUs(self.instant("ts_capture", row)?).as_s(),
                arch: self.text("arch", row)?,
                host_type: self.text("host_type", row)?,
                build: self.text("build", row)?,
                kernel_version: self.text("kernel_version", row)?,
                payload_format_version: payload_format.value(row),
                system_name: self.text("system_name", row)?,
                board_name: self.text("board_name", row)?,
                cpu_model: self.text("cpu_model", row)?,
                bios_version: self.text("bios_version", row)?,
                event_id: self.text("event_id", row)?,
                external: external.value(row),
                payload: self.text("payload", row)?,
            },
        })
    }
}

fn wrong_type(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column {name} has another type than the schema says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::NoParsers;

    #[test]
    fn records_survive_the_way_into_a_batch_and_back() {
        let record = Record {
            id: RecordId(42),
            ts_reception: TimestampUs(1_795_342_080_123_000),
            report: Report {
                record_format_version: 4,
                classification: "org.clearlinux/hello/world".into(),
                severity: 1,
                ts_capture_s: 10_413_791_999,
                payload_format_version: i32::MAX,
                external: true,
                payload: "a\0b\u{1f980}".into(),
                ..Report::default()
            },
        };
        let records = vec![record.clone(), Record { id: RecordId(43), ..record }];
        let batch = to_batch(&records).expect("a batch");
        assert_eq!(from_batch(&batch).expect("records"), records);
    }

    #[test]
    fn derived_columns_hold_what_is_derived_or_known_to_be() {
        let report = Report { payload: "no crash".into(), ..Report::default() };
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report };
        let known = Derived {
            stack_id: 7,
            process: "/usr/bin/x".into(),
            signal: 11,
            reason: "a reason".into(),
            attributes: "{}".into(),
        };
        let mut builder = BatchBuilder::new();
        builder.append(&record);
        builder.append_derived(&record, &known);
        let batch = builder.finish().expect("a batch");
        let text = |name: &str| batch[name].as_string_view().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(batch["stack_id"].as_primitive::<Int64Type>().values(), &[0, 7]);
        assert_eq!(batch["signal"].as_primitive::<Int32Type>().values(), &[0, 11]);
        assert_eq!(
            (text("process"), text("reason")),
            (vec![String::new(), known.process], vec![String::new(), known.reason])
        );
    }

    #[test]
    fn rows_that_hold_something_else_are_found_and_put_right() {
        let record = |id| Record { id: RecordId(id), ts_reception: TimestampUs(0), report: Report::default() };
        let reason = |reason: &str| Derived { reason: reason.into(), ..Derived::default() };
        let mut builder = BatchBuilder::new();
        for (id, derived) in [(1, Derived { stack_id: 7, ..Derived::default() }), (2, reason("")), (3, reason("x"))] {
            builder.append_derived(&record(id), &derived);
        }
        let right = to_batch(&[record(1), record(2), record(3)]).expect("a batch");
        let (anew, changed) = derived_anew(&builder.finish().expect("a batch"), &NoParsers).expect("a batch");
        assert_eq!((anew, changed), (right.clone(), vec![0, 2]));
        assert_eq!(derived_anew(&right, &NoParsers).expect("a batch"), (right, Vec::new()));
    }

    #[test]
    fn what_an_older_batch_lacks_has_its_default() {
        let record = Record { id: RecordId(1), ts_reception: TimestampUs(0), report: Report::default() };
        let whole = to_batch([&record]).expect("a batch");
        let places: Vec<usize> = (0..crate::columns::REPORTED_COLUMNS).collect();
        assert_eq!(with_defaults(&whole.project(&places).expect("columns")).expect("a batch"), whole);
        assert!(
            with_defaults(&whole.project(&places[1..]).expect("columns")).is_err(),
            "only derived ones may be missing"
        );
        for kind in [Kind::Int64, Kind::Int32, Kind::Int8, Kind::Bool, Kind::Text, Kind::Category, Kind::Instant] {
            let defaults = defaults(kind, 2);
            assert_eq!((defaults.len(), defaults.data_type(), defaults.null_count()), (2, &kind.arrow(), 0));
        }
    }
}
