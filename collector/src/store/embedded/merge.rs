//! The rows of several files of one day in the order of the store, with little of each file in memory at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::compute::interleave_record_batch;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;
use telemetrics_schema::batch::with_defaults;
use telemetrics_schema::columns::{COLUMNS, record_schema};

use super::parquet_file::SORT_COLUMNS;
use crate::store::StoreError;

/// Most rows that are read of one file, or given out, at a time.
const ROWS_MAX: usize = 8_192;

/// Gives all rows of `files` to `each`, smallest first, in batches. Of each file about `input_bytes` of rows are in
/// memory, besides one page of every column.
///
/// Files are sorted already. One that were not would still have all its rows given out, out of order.
pub(super) fn merge(
    files: &[PathBuf],
    input_bytes: usize,
    each: &mut dyn FnMut(RecordBatch) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut merge = Merge { inputs: Vec::new(), picked: Vec::new(), rows_max: ROWS_MAX };
    for path in files {
        let (input, rows) = Input::open(path, input_bytes)?;
        merge.inputs.extend(input);
        merge.rows_max = merge.rows_max.min(rows);
    }
    while let Some(least) = merge.least() {
        merge.pick_run(least);
        if merge.inputs[least].is_exhausted() {
            merge.give(each)?;
            if !merge.inputs[least].advance()? {
                merge.inputs.remove(least);
            }
        } else if merge.picked.len() >= merge.rows_max {
            merge.give(each)?;
        }
    }
    Ok(())
}

struct Merge {
    inputs: Vec<Input>,
    /// Input and row in its batch; the batches stay until these are given out.
    picked: Vec<(usize, usize)>,
    rows_max: usize,
}

/// What rows are sorted by.
type Key<'a> = (&'a str, i64, i64);

impl Merge {
    /// The input whose next row is the smallest; the first of equal ones.
    fn least(&self) -> Option<usize> {
        (0..self.inputs.len()).min_by_key(|index| self.inputs[*index].key())
    }

    /// Picks rows of one input as long as none of another input is smaller.
    fn pick_run(&mut self, least: usize) {
        let others = self.inputs.iter().enumerate().filter(|(index, _)| *index != least);
        let limit = others.map(|(_, input)| input.key()).min();
        let input = &self.inputs[least];
        let room = self.rows_max.saturating_sub(self.picked.len()).max(1);
        let end = input.batch.num_rows().min(input.row + room);
        // The first one is the smallest of all.
        let run =
            1 + (input.row + 1..end).take_while(|row| limit.is_none_or(|limit| input.key_at(*row) <= limit)).count();
        self.picked.extend((input.row..input.row + run).map(|row| (least, row)));
        self.inputs[least].row += run;
    }

    fn give(&mut self, each: &mut dyn FnMut(RecordBatch) -> Result<(), StoreError>) -> Result<(), StoreError> {
        if self.picked.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.inputs.iter().map(|input| &input.batch).collect();
        let batch = interleave_record_batch(&batches, &self.picked).map_err(unavailable)?;
        self.picked.clear();
        each(batch)
    }
}

/// One file, read from its beginning to its end.
struct Input {
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    classification: StringViewArray,
    ts_reception: TimestampMicrosecondArray,
    id: Int64Array,
    row: usize,
}

impl Input {
    /// The file at its first row, `None` when it has none; and how many rows of it are read at a time.
    fn open(path: &Path, input_bytes: usize) -> Result<(Option<Self>, usize), StoreError> {
        let builder = open(path)?;
        let rows = rows_within(builder.metadata(), input_bytes);
        let mut reader = builder.with_batch_size(rows).build().map_err(unavailable)?;
        let input = match next_batch(&mut reader)? {
            Some(batch) => Some(Self::at(reader, batch)?),
            None => None,
        };
        Ok((input, rows))
    }

    fn at(reader: ParquetRecordBatchReader, batch: RecordBatch) -> Result<Self, StoreError> {
        let [classification, ts_reception, id] = SORT_COLUMNS.map(|name| batch.column_by_name(name));
        let columns = classification
            .and_then(|c| c.as_string_view_opt())
            .zip(ts_reception.and_then(|c| c.as_primitive_opt()))
            .zip(id.and_then(|c| c.as_primitive_opt()));
        let ((classification, ts_reception), id) = columns.ok_or_else(|| unavailable("it has other columns"))?;
        let (classification, ts_reception, id) = (classification.clone(), ts_reception.clone(), id.clone());
        Ok(Self { reader, batch, classification, ts_reception, id, row: 0 })
    }

    fn key(&self) -> Key<'_> {
        self.key_at(self.row)
    }

    fn key_at(&self, row: usize) -> Key<'_> {
        (self.classification.value(row), self.ts_reception.value(row), self.id.value(row))
    }

    fn is_exhausted(&self) -> bool {
        self.row >= self.id.len()
    }

    /// Goes to the next batch; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let Some(batch) = next_batch(&mut self.reader)? else { return Ok(false) };
        let column = |name| batch.column_by_name(name).ok_or_else(|| unavailable("it has other columns"));
        self.classification = column(SORT_COLUMNS[0])?.as_string_view().clone();
        self.ts_reception = column(SORT_COLUMNS[1])?.as_primitive().clone();
        self.id = column(SORT_COLUMNS[2])?.as_primitive().clone();
        self.batch = batch;
        self.row = 0;
        Ok(true)
    }
}

/// Begins to read a file of the table, with the types that its columns have in the program. One of an older version lacks
/// derived columns.
pub(super) fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, StoreError> {
    let file = File::open(path).map_err(unavailable)?;
    let found = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(unavailable)?;
    let is_there = |place: &usize| found.schema().index_of(COLUMNS[*place].name).is_ok();
    let columns: Vec<usize> = (0..COLUMNS.len()).filter(is_there).collect();
    let schema = record_schema().project(&columns).map_err(unavailable)?;
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options).map_err(unavailable)?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata))
}

/// The next rows, with all columns.
fn next_batch(reader: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, StoreError> {
    let next = reader.find(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0));
    next.map(|batch| with_defaults(&batch?)).transpose().map_err(unavailable)
}

/// So many rows have about so many bytes.
fn rows_within(metadata: &ParquetMetaData, bytes: usize) -> usize {
    let all_bytes: i64 =
        metadata.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::total_byte_size).sum();
    let all_rows = metadata.file_metadata().num_rows().max(1);
    let row_bytes = usize::try_from(all_bytes / all_rows).unwrap_or(usize::MAX).max(1);
    (bytes / row_bytes).clamp(1, ROWS_MAX)
}

fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("reading a Parquet file: {error}"))
}
