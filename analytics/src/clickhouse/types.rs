//! Gives what ClickHouse sends the types that the plan expects.

use datafusion::arrow::array::{ArrayRef, RecordBatchOptions};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::Result;

use super::error::ClickHouseError;

/// A value that does not fit its type is an error: NULL in its place would be a wrong answer.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: datafusion::arrow::util::display::FormatOptions::new() };

/// The columns of `batch`, by position, as `schema` says: names differ (`count()` for `count(*)`), and types do
/// (String and LowCardinality come as Utf8, truth as `UInt8`, counts as `UInt64`, instants with a time zone).
pub(super) fn normalise(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    if schema.fields().is_empty() {
        // SQL has no empty list of columns: a placeholder came, of which only the number of rows counts.
        return Ok(RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options)?);
    }
    if batch.num_columns() != schema.fields().len() {
        let message = format!("{} columns came instead of {}", batch.num_columns(), schema.fields().len());
        return Err(ClickHouseError::Failed(message).into());
    }
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns: Vec<ArrayRef> =
        pairs.map(|(column, field)| cast_with_options(column, field.data_type(), &STRICT)).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{
        AsArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt8Array, UInt64Array,
    };
    use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};

    use super::*;

    fn schema(types: &[DataType]) -> SchemaRef {
        let fields: Vec<Field> = types.iter().map(|t| Field::new("x", t.clone(), false)).collect();
        Arc::new(Schema::new(fields))
    }

    fn one(column: ArrayRef, data_type: DataType) -> Result<RecordBatch> {
        let batch = RecordBatch::try_from_iter([("y", column)])?;
        normalise(&batch, &schema(&[data_type]))
    }

    #[test]
    fn gives_the_types_that_the_plan_expects() {
        let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
        let text = one(Arc::new(StringArray::from(vec!["é"])), DataType::Utf8View).expect("text");
        assert_eq!(text.column(0).as_string_view().value(0), "é");
        let truth = one(Arc::new(UInt8Array::from(vec![0, 1])), DataType::Boolean).expect("truth");
        assert_eq!((truth.column(0).as_boolean().value(0), truth.column(0).as_boolean().value(1)), (false, true));
        let zoned = TimestampMicrosecondArray::from(vec![-1]).with_timezone("UTC");
        let zoned = one(Arc::new(zoned), instant.clone()).expect("an instant");
        assert_eq!(zoned.column(0).as_primitive::<TimestampMicrosecondType>().value(0), -1);
        let day = one(Arc::new(Date32Array::from(vec![1])), instant).expect("a day");
        assert_eq!(day.column(0).as_primitive::<TimestampMicrosecondType>().value(0), 86_400_000_000);
    }

    #[test]
    fn a_value_that_does_not_fit_is_an_error() {
        assert!(one(Arc::new(UInt64Array::from(vec![i64::MAX as u64])), DataType::Int64).is_ok());
        assert!(one(Arc::new(UInt64Array::from(vec![i64::MAX as u64 + 1])), DataType::Int64).is_err());
        assert!(one(Arc::new(Int64Array::from(vec![None])), DataType::Int64).is_err(), "NULL where none may be");
    }

    #[test]
    fn another_number_of_columns_is_an_error_and_no_columns_keep_their_rows() {
        let batch =
            RecordBatch::try_from_iter([("1", Arc::new(UInt8Array::from(vec![1, 1])) as ArrayRef)]).expect("a batch");
        assert_eq!(normalise(&batch, &schema(&[])).expect("rows").num_rows(), 2);
        assert!(normalise(&batch, &schema(&[DataType::Int64, DataType::Int64])).is_err());
    }
}
