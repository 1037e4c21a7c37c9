//! Rows of whatever columns a statement asked for, as JSON, NDJSON and CSV.
//!
//! Instants are written to the microsecond (`2026-11-22T10:08:00.123456Z`), numbers as they are, and what is missing as
//! `null` or as an empty cell.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use chrono::DateTime;
use futures::TryStreamExt;
use telemetrics_analytics::Error;
use telemetrics_analytics::rows::Batches;
use telemetrics_schema::{TimestampUs, answer};

use super::csv_cell::{self, ROW_END};
use super::fault::Fault;
use super::sink::{PIECE_BYTES, Sink};
use super::table::{write_number, write_truth};

/// What stands around and between the objects of rows.
pub(super) struct Frame {
    begin: &'static [u8],
    between: &'static [u8],
    /// Behind each of them.
    after: &'static [u8],
    end: &'static [u8],
}

/// `{"rows":[...]}`.
pub(super) const LIST: Frame = Frame { begin: b"{\"rows\":[", between: b",", after: b"", end: b"]}" };
/// One object a line.
pub(super) const LINES: Frame = Frame { begin: b"", between: b"", after: b"\n", end: b"" };

/// Writes all of `rows` as objects with the names of the columns as keys.
pub(super) async fn write_json(frame: &Frame, mut rows: Batches, sink: &mut Sink) -> Result<(), Fault> {
    let mut out = frame.begin.to_vec();
    let mut is_first = true;
    while let Some(batch) = rows.try_next().await? {
        let (keys, values) = (keys(&batch.schema()), values(&batch)?);
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut is_first) {
                out.extend_from_slice(frame.between);
            }
            for (key, value) in keys.iter().zip(&values) {
                out.extend_from_slice(key);
                value.write_json(row, &mut out);
            }
            out.push(b'}');
            out.extend_from_slice(frame.after);
            if out.len() >= PIECE_BYTES {
                sink.write(std::mem::take(&mut out)).await?;
            }
        }
    }
    out.extend_from_slice(frame.end);
    sink.write(out).await
}

/// Writes a row of names and all of `rows`, whose batches have `schema`.
pub(super) async fn write_csv(schema: &Schema, mut rows: Batches, sink: &mut Sink) -> Result<(), Fault> {
    let mut out = Vec::new();
    for (place, field) in schema.fields().iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        csv_cell::write_text(field.name(), &mut out);
    }
    out.extend_from_slice(ROW_END);
    while let Some(batch) = rows.try_next().await? {
        let values = values(&batch)?;
        for row in 0..batch.num_rows() {
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                value.write_cell(row, &mut out);
            }
            out.extend_from_slice(ROW_END);
            if out.len() >= PIECE_BYTES {
                sink.write(std::mem::take(&mut out)).await?;
            }
        }
    }
    sink.write(out).await
}

/// What stands before each value, from the brace or comma to the colon.
fn keys(schema: &Schema) -> Vec<Vec<u8>> {
    let key = |(place, field): (usize, &arrow::datatypes::FieldRef)| {
        let mut key = vec![if place == 0 { b'{' } else { b',' }];
        answer::write_text(field.name(), &mut key);
        key.push(b':');
        key
    };
    schema.fields().iter().enumerate().map(key).collect()
}

fn values(batch: &RecordBatch) -> Result<Vec<Values>, Fault> {
    batch.columns().iter().map(Values::of).collect()
}

/// The values of a column, by how they are written.
pub(crate) enum Values {
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Real(Float64Array),
    /// Numbers of which every digit counts.
    Digits(StringViewArray),
    Truth(BooleanArray),
    Text(StringViewArray),
    Instant(TimestampMicrosecondArray),
}

impl Values {
    /// The values of a column of an answer.
    ///
    /// # Errors
    /// [`Error::Internal`] when no format has its type.
    pub(crate) fn read(column: &ArrayRef) -> Result<Self, Error> {
        Self::of(column).map_err(|fault| Error::Internal(fault.to_string()))
    }

    /// The value in that row as CSV writes it, without quotes; `None` where there is none.
    pub(crate) fn text(&self, row: usize) -> Option<String> {
        if self.is_null(row) {
            return None;
        }
        let mut out = Vec::new();
        self.write_plain(row, &mut out);
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// The value in that row as a number, where it is one.
    pub(crate) fn number(&self, row: usize) -> Option<f64> {
        match self {
            _ if self.is_null(row) => None,
            Self::Real(values) => Some(values.value(row)),
            Self::Signed(_) | Self::Unsigned(_) | Self::Digits(_) => self.text(row)?.parse().ok(),
            Self::Truth(_) | Self::Text(_) | Self::Instant(_) => None,
        }
    }

    /// The value in that row as an instant, where it is one.
    pub(crate) fn instant(&self, row: usize) -> Option<TimestampUs> {
        match self {
            Self::Instant(values) if !values.is_null(row) => Some(TimestampUs(values.value(row))),
            _ => None,
        }
    }

    fn of(column: &ArrayRef) -> Result<Self, Fault> {
        let as_type = |to: DataType| cast(column, &to);
        Ok(match column.data_type() {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Self::Signed(as_type(DataType::Int64)?.as_primitive().clone())
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                Self::Unsigned(as_type(DataType::UInt64)?.as_primitive().clone())
            }
            DataType::Float32 | DataType::Float64 => Self::Real(as_type(DataType::Float64)?.as_primitive().clone()),
            DataType::Decimal128(..) => Self::Digits(as_type(DataType::Utf8View)?.as_string_view().clone()),
            DataType::Boolean => Self::Truth(column.as_boolean().clone()),
            DataType::Timestamp(..) => {
                let instants = as_type(DataType::Timestamp(TimeUnit::Microsecond, None))?;
                Self::Instant(instants.as_primitive().clone())
            }
            _ => Self::Text(as_type(DataType::Utf8View)?.as_string_view().clone()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Signed(values) => values.is_null(row),
            Self::Unsigned(values) => values.is_null(row),
            Self::Real(values) => values.is_null(row),
            Self::Digits(values) | Self::Text(values) => values.is_null(row),
            Self::Truth(values) => values.is_null(row),
            Self::Instant(values) => values.is_null(row),
        }
    }

    fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => out.extend_from_slice(b"null"),
            Self::Text(values) => answer::write_text(values.value(row), out),
            // JSON has no other numbers.
            Self::Real(values) if !values.value(row).is_finite() => out.extend_from_slice(b"null"),
            Self::Instant(_) => {
                out.push(b'"');
                self.write_plain(row, out);
                out.push(b'"');
            }
            _ => self.write_plain(row, out),
        }
    }

    fn write_cell(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            _ if self.is_null(row) => {}
            Self::Text(values) => csv_cell::write_text(values.value(row), out),
            _ => self.write_plain(row, out),
        }
    }

    fn write_plain(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Signed(values) => write_number(values.value(row), out),
            Self::Unsigned(values) => out.extend_from_slice(values.value(row).to_string().as_bytes()),
            Self::Real(values) => out.extend_from_slice(real(values.value(row)).as_bytes()),
            Self::Digits(values) | Self::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Self::Truth(values) => write_truth(values.value(row), out),
            Self::Instant(values) => out.extend_from_slice(instant(values.value(row)).as_bytes()),
        }
    }
}

/// A number with as many digits as tell it from every other one.
fn real(number: f64) -> String {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.to_string(),
        None => number.to_string(),
    }
}

fn instant(us: i64) -> String {
    match DateTime::from_timestamp_micros(us) {
        Some(at) => at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => us.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int8Array, StringArray, UInt64Array};
    use futures::{StreamExt, stream};
    use tokio::sync::mpsc;

    use super::super::choice::Coding;
    use super::super::counts::Tally;
    use super::super::sink::{PIECES_WAITING, Piece};
    use super::*;

    fn batch() -> RecordBatch {
        let column = |name: &str, values: ArrayRef| (name.to_owned(), values, true);
        let decimals = Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(20, 2).expect("fits");
        let columns = [
            column("n", Arc::new(Int8Array::from(vec![Some(-1), None]))),
            column("=u", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            column("r", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            column("d", Arc::new(decimals)),
            column("t", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            column("a \"text\"", Arc::new(StringArray::from(vec![Some("=1,\"2\""), None]))),
            column("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]))),
            column("day", Arc::new(Date32Array::from(vec![Some(1), None]))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
    }

    async fn written(write: impl AsyncFnOnce(Batches, &mut Sink) -> Result<(), Fault>) -> String {
        let (pieces, mut received) = mpsc::channel(PIECES_WAITING);
        let mut sink =
            Sink::new(Coding::Identity, pieces, std::time::Duration::from_mins(1), Tally::default()).expect("a sink");
        write(stream::iter([Ok(batch())]).boxed(), &mut sink).await.expect("written");
        sink.finish().await.expect("finished");
        match received.recv().await {
            Some(Ok(Piece::Last(bytes))) => String::from_utf8(bytes.to_vec()).expect("UTF-8"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_read_one_by_one() {
        let batch = batch();
        let of = |name: &str| Values::read(batch.column_by_name(name).expect("a column")).expect("values");
        assert_eq!((of("n").number(0), of("=u").text(0)), (Some(-1.0), Some(u64::MAX.to_string())));
        assert_eq!((of("d").number(0), of("d").number(1), of("t").number(0)), (Some(123.45), None, None));
        assert_eq!((of("at").instant(0), of("at").instant(1)), (Some(TimestampUs(1)), None));
        assert_eq!((of("day").text(0).as_deref(), of("t").text(1)), (Some("1970-01-02"), None));
    }

    #[tokio::test]
    async fn every_value_is_written_so_that_it_can_be_read() {
        let expected = concat!(
            r#"{"rows":[{"n":-1,"=u":18446744073709551615,"r":0.1,"d":123.45,"t":true,"a \"text\"":"=1,\"2\"","#,
            r#""at":"1970-01-01T00:00:00.000001Z","day":"1970-01-02"},"#,
            r#"{"n":null,"=u":null,"r":null,"d":null,"t":null,"a \"text\"":null,"at":null,"day":null}]}"#
        );
        assert_eq!(written(async |rows, sink| write_json(&LIST, rows, sink).await).await, expected);
        let rows = [
            "n,'=u,r,d,t,\"a \"\"text\"\"\",at,day",
            "-1,18446744073709551615,0.1,123.45,true,\"'=1,\"\"2\"\"\",1970-01-01T00:00:00.000001Z,1970-01-02",
            ",,NaN,,,,,",
            "",
        ];
        let schema = batch().schema();
        assert_eq!(written(async |rows, sink| write_csv(&schema, rows, sink).await).await, rows.join("\r\n"));
    }
}
