//! The columns of a batch of records, by name and of known types, for the formats that write row by row.

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Int8Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use telemetrics_schema::TimestampUs;

use super::fault::Fault;

/// One column of a batch.
pub(super) enum Column<'a> {
    Int64(&'a [i64]),
    Int32(&'a [i32]),
    Int8(&'a [i8]),
    Bool(&'a BooleanArray),
    Text(&'a StringViewArray),
    Instant(&'a [i64]),
}

impl<'a> Column<'a> {
    /// The column `name` of `batch`; records have no missing values.
    pub(super) fn of(batch: &'a RecordBatch, name: &str) -> Result<Self, Fault> {
        let column = batch.column_by_name(name).ok_or_else(|| Fault::Format(format!("no column {name}")))?;
        if column.null_count() > 0 {
            return Err(Fault::Format(format!("a missing value in {name}")));
        }
        Ok(match column.data_type() {
            DataType::Int64 => Self::Int64(column.as_primitive::<Int64Type>().values()),
            DataType::Int32 => Self::Int32(column.as_primitive::<Int32Type>().values()),
            DataType::Int8 => Self::Int8(column.as_primitive::<Int8Type>().values()),
            DataType::Boolean => Self::Bool(column.as_boolean()),
            DataType::Utf8View => Self::Text(column.as_string_view()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => {
                Self::Instant(column.as_primitive::<TimestampMicrosecondType>().values())
            }
            other => return Err(Fault::Format(format!("{name} has the type {other}"))),
        })
    }
}

/// Appends a number in decimal digits.
pub(super) fn write_number(number: impl Into<i64>, out: &mut Vec<u8>) {
    let number: i64 = number.into();
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b"0123456789"[usize::try_from(rest % 10).unwrap_or_default()];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a truth as JSON and CSV have it.
pub(super) fn write_truth(truth: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if truth { b"true" } else { b"false" });
}

/// The instant of a value in a column.
pub(super) fn instant(value: i64) -> TimestampUs {
    TimestampUs(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere() {
        for number in [0, 1, -1, 9, 10, 1_234_567_890_123_456, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).expect("digits"), number.to_string());
        }
    }
}
