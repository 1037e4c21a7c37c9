//! Parquet files with the columns of the table of records, whatever wrote them.

use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use telemetrics_schema::time::US_PER_S;

use crate::import::row::{Row, place_of};
use crate::import::source::{Place, Take};
use crate::serve::StartError;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1_024;

/// How many rows the file has.
pub(super) fn rows(file: &File) -> Result<u64, StartError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.try_clone()?)?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows())?)
}

/// Reads all rows.
pub(super) fn read(file: File, take: Take<'_>) -> Result<(), StartError> {
    let mut number = 0;
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS).build()? {
        for row in rows_of(&batch?)? {
            number += 1;
            if !take(Place::Row(number), Ok(row), number) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, StartError> {
    let mut rows: Vec<Row> = (0..batch.num_rows()).map(|_| Row::default()).collect();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(place) = place_of(field.name()) else { continue };
        let texts = texts(column)?;
        let texts = texts.as_string::<i32>();
        for (row, text) in rows.iter_mut().zip(texts) {
            if let Some(text) = text {
                row.set(place, text.to_owned());
            }
        }
    }
    Ok(rows)
}

/// Every value as text; instants as Unix seconds.
fn texts(column: &ArrayRef) -> Result<ArrayRef, StartError> {
    if !matches!(column.data_type(), DataType::Timestamp(..)) {
        return Ok(cast(column, &DataType::Utf8)?);
    }
    let instants = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let instants = instants.as_primitive::<TimestampMicrosecondType>();
    let seconds = |us: i64| {
        let sign = if us < 0 { "-" } else { "" };
        let us = us.unsigned_abs();
        format!("{sign}{}.{:06}", us / US_PER_S.unsigned_abs(), us % US_PER_S.unsigned_abs())
    };
    Ok(std::sync::Arc::new(instants.iter().map(|us| us.map(seconds)).collect::<arrow::array::StringArray>()))
}
