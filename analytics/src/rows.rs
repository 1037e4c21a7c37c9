//! The rows of an answer as batches, one after the other: what is written into a file or into a stream.

use std::pin::Pin;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use std::sync::Arc;

use crate::error::Error;
use crate::sql::explained;

/// Batches of an answer that has begun; dropping it ends the query.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>;

/// The rows of an answer that has not begun.
pub struct Rows {
    source: Source,
    schema: SchemaRef,
}

enum Source {
    Plan(Box<DataFrame>),
    /// What a user asked, and the most rows that the answer may have.
    Asked(Box<DataFrame>, usize),
    Held(Held),
}

impl Rows {
    /// The rows that a plan gives.
    pub(crate) fn of(plan: DataFrame) -> Self {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Self { source: Source::Plan(Box::new(plan)), schema }
    }

    /// The rows that a statement of a user gives, which are too many above `rows_max`.
    pub(crate) fn asked(plan: DataFrame, rows_max: usize) -> Self {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Self { source: Source::Asked(Box::new(plan), rows_max), schema }
    }

    /// Rows that were read; they are in `held` with their memory.
    pub(crate) fn held(schema: SchemaRef, held: Held) -> Self {
        Self { source: Source::Held(held), schema }
    }

    /// Names and types of the columns of every batch.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Begins. The work is done by the runtime that this is called on, and no faster than batches are taken.
    ///
    /// # Errors
    /// As the store's: see [`Error`]. Every batch may fail, too; after that there are none.
    pub async fn open(self) -> Result<Batches, Error> {
        Ok(match self.source {
            Source::Plan(plan) => plan.execute_stream().await?.map_err(Error::from).boxed(),
            Source::Asked(plan, rows_max) => {
                let batches = plan.execute_stream().await.map_err(explained)?.map_err(explained);
                at_most(rows_max, batches.boxed())
            }
            Source::Held(held) => held.into_stream().boxed(),
        })
    }
}

/// The batches, or an error in the place of the first one with too many rows.
fn at_most(rows_max: usize, batches: Batches) -> Batches {
    let mut rows = 0;
    let counted = batches.map(move |batch| {
        let batch = batch?;
        rows += batch.num_rows();
        if rows > rows_max {
            return Err(Error::TooMuch(format!("its answer has more than {rows_max} rows")));
        }
        Ok(batch)
    });
    counted.boxed()
}

/// Rows in memory that is counted among that of the questions.
pub(crate) struct Held {
    pub(crate) batches: Vec<RecordBatch>,
    memory: MemoryReservation,
}

impl Held {
    /// Reads all rows of `plan`, of which there have to be few.
    ///
    /// # Errors
    /// As the engine's; [`DataFusionError::ResourcesExhausted`] when they do not fit into the memory of the questions.
    pub(crate) async fn read(plan: DataFrame, pool: Arc<dyn MemoryPool>) -> Result<Self, DataFusionError> {
        let memory = MemoryConsumer::new("rows of an answer").register(&pool);
        let mut held = Self { batches: Vec::new(), memory };
        let mut stream = plan.execute_stream().await?;
        while let Some(batch) = stream.try_next().await? {
            let batch = compact(&batch)?;
            held.memory.try_grow(batch.get_array_memory_size())?;
            held.batches.push(batch);
        }
        Ok(held)
    }

    fn into_stream(self) -> impl Stream<Item = Result<RecordBatch, Error>> {
        let memory = self.memory;
        stream::iter(self.batches).map(move |batch| {
            let _until_the_last_one = &memory;
            Ok(batch)
        })
    }
}

/// The batch without the rest of the buffers that its texts were cut out of, where that is most of them.
fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => {
            let texts = column.as_string_view();
            let is_waste = texts.get_buffer_memory_size() > 2 * texts.total_bytes_len().max(texts.len() * 16);
            if is_waste { Arc::new(texts.gc()) as ArrayRef } else { Arc::clone(column) }
        }
        _ => Arc::clone(column),
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use arrow::datatypes::{Field, Schema};
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::prelude::SessionContext;

    use super::*;

    fn texts(rows: usize) -> RecordBatch {
        let long = "a text that does not fit into a view".repeat(100);
        let column: StringViewArray = (0..rows).map(|_| Some(long.as_str())).collect();
        let schema = Schema::new(vec![Field::new("text", DataType::Utf8View, true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).expect("a batch")
    }

    #[test]
    fn a_few_rows_do_not_keep_the_buffers_of_all() {
        let few = texts(1_000).slice(10, 1);
        let compacted = compact(&few).expect("a batch");
        assert_eq!(compacted, few);
        assert!(compacted.get_array_memory_size() < 20_000, "{}", compacted.get_array_memory_size());
    }

    #[tokio::test]
    async fn rows_take_memory_until_they_are_gone() {
        let frame = || SessionContext::new().read_batch(texts(10)).expect("a frame");
        let pool = |limit_bytes| Arc::new(GreedyMemoryPool::new(limit_bytes)) as Arc<dyn MemoryPool>;
        let large = pool(1 << 20);
        let held = Held::read(frame(), Arc::clone(&large)).await.expect("rows");
        let bytes = large.reserved();
        assert!(bytes > 10 * 3_600, "{bytes}");
        let rows = Rows::held(held.batches[0].schema(), held);
        let batches = rows.open().await.expect("a stream");
        assert_eq!(large.reserved(), bytes);
        drop(batches);
        assert_eq!(large.reserved(), 0);
        Held::read(frame(), pool(bytes)).await.expect("at the limit");
        let refused = Held::read(frame(), pool(bytes - 1)).await.err();
        assert!(matches!(refused, Some(DataFusionError::ResourcesExhausted(_))), "{refused:?}");
    }
}
