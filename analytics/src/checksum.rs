//! A number made of all that a record says: equal where both stores have equal records. What is derived from them is no
//! part of it: another version of the program may have derived it.
//!
//! The columns of a row become one text, in the order of the list of columns: numbers in decimal digits with a `;`
//! behind them, texts with their length in bytes and a `:` before them, so that no two rows have the same text. The
//! number is its hash (`SipHash` 2-4 with a key of zeros), which ClickHouse knows by itself: only one number for all rows
//! of a day crosses the wire.

use std::hash::Hasher;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int8Type, Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, col,
};
use siphasher::sip::SipHasher24;
use telemetrics_schema::columns::{Kind, reported};

/// Name of the function in plans.
pub(crate) const CHECKSUM: &str = "record_checksum";

/// The checksum of a row of the table of records.
pub(crate) fn record_checksum() -> Expr {
    ScalarUDF::new_from_impl(RecordChecksum::new()).call(reported().iter().map(|column| col(column.name)).collect())
}

/// How ClickHouse writes an argument of the text of a row; `{}` stands for the argument.
pub(crate) const fn in_clickhouse(kind: Kind) -> &'static str {
    match kind {
        Kind::Int64 | Kind::Int32 | Kind::Int8 => "toString({}), ';'",
        Kind::Bool => "toString(toUInt8({})), ';'",
        Kind::Instant => "toString(toUnixTimestamp64Micro({})), ';'",
        Kind::Text | Kind::Category => "toString(length({})), ':', {}",
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct RecordChecksum {
    signature: Signature,
}

impl RecordChecksum {
    fn new() -> Self {
        let types = reported().iter().map(|column| column.kind.arrow()).collect();
        Self { signature: Signature::exact(types, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RecordChecksum {
    fn name(&self) -> &'static str {
        CHECKSUM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns =
            columns(&arrays).ok_or_else(|| DataFusionError::Execution("not the columns of a record".into()))?;
        let mut text = Vec::new();
        let checksums = (0..args.number_rows).map(|row| {
            text.clear();
            for column in &columns {
                column.write(row, &mut text);
            }
            hash(&text)
        });
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from_iter_values(checksums))))
    }
}

fn hash(text: &[u8]) -> i64 {
    let mut hasher = SipHasher24::new();
    hasher.write(text);
    hasher.finish().cast_signed()
}

/// A column by what its values are written as.
enum Column<'a> {
    Number(Box<dyn Fn(usize) -> i64 + 'a>),
    Text(&'a arrow::array::StringViewArray),
}

impl Column<'_> {
    fn write(&self, row: usize, text: &mut Vec<u8>) {
        // Writing into memory cannot fail.
        let _ = match self {
            Self::Number(value) => write!(text, "{};", value(row)),
            Self::Text(values) => {
                let value = values.value(row);
                write!(text, "{}:", value.len()).and_then(|()| text.write_all(value.as_bytes()))
            }
        };
    }
}

fn columns(arrays: &[ArrayRef]) -> Option<Vec<Column<'_>>> {
    arrays.iter().map(column).collect()
}

fn column(array: &ArrayRef) -> Option<Column<'_>> {
    Some(match array.data_type() {
        DataType::Int64 => number(array.as_primitive_opt::<Int64Type>()?.values(), |value| value),
        DataType::Int32 => number(array.as_primitive_opt::<Int32Type>()?.values(), i64::from),
        DataType::Int8 => number(array.as_primitive_opt::<Int8Type>()?.values(), i64::from),
        DataType::Timestamp(..) => number(array.as_primitive_opt::<TimestampMicrosecondType>()?.values(), |us| us),
        DataType::Boolean => {
            let values = array.as_boolean_opt()?;
            Column::Number(Box::new(move |row| i64::from(values.value(row))))
        }
        _ => Column::Text(array.as_string_view_opt()?),
    })
}

fn number<T: Copy>(values: &[T], wide: fn(T) -> i64) -> Column<'_> {
    Column::Number(Box::new(move |row| values.get(row).map_or(0, |value| wide(*value))))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::*;

    async fn checksum(record: &Record) -> i64 {
        let rows = SessionContext::new().read_batch(to_batch([record]).expect("a batch")).expect("a table");
        let answer = rows.select(vec![record_checksum()]).expect("a plan").collect().await.expect("an answer");
        answer[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    #[tokio::test]
    async fn every_column_counts_and_nothing_runs_together() {
        let record = |change: fn(&mut Record)| {
            let report = Report { arch: "ab".into(), host_type: "c".into(), ..Report::default() };
            let mut record = Record { id: RecordId(1), ts_reception: TimestampUs(1), report };
            change(&mut record);
            record
        };
        let changes: [fn(&mut Record); 9] = [
            |_| {},
            |r| r.id = RecordId(2),
            |r| r.ts_reception = TimestampUs(2),
            |r| r.report.severity = 2,
            |r| r.report.external = true,
            |r| r.report.payload_format_version = 2,
            |r| r.report.payload = "x\0".into(),
            |r| (r.report.arch, r.report.host_type) = ("a".into(), "bc".into()),
            |r| r.report.ts_capture_s = -1,
        ];
        let mut seen = std::collections::HashSet::new();
        for change in changes {
            assert!(seen.insert(checksum(&record(change)).await), "two records of one checksum");
        }
        assert_eq!(checksum(&record(|_| {})).await, checksum(&record(|_| {})).await);
    }
}
