//! A file of Apache Parquet, written while it is sent.
//!
//! Encoding costs more than reading, so that several row groups are encoded at the same time: each encoder takes the next
//! batch when it is ready for one. The order of the rows is therefore not that of the question.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use telemetrics_analytics::rows::Batches;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::fault::Fault;
use super::sink::Sink;

/// Rows of a row group.
const ROW_GROUP_ROWS: usize = 131_072;
/// Encoded bytes of a row group, from which on it is closed. It is in memory until then, one for each encoder.
const ROW_GROUP_BYTES: usize = 8 << 20;
/// Row groups that are encoded and wait for the client.
const GROUPS_WAITING: usize = 1;
/// Level of zstd.
const ZSTD_LEVEL: i32 = 1;
/// Columns that have another value in nearly every row: looking for equal ones would cost time for nothing.
const DISTINCT: [&str; 5] = ["id", "ts_reception", "ts_capture", "event_id", "payload"];

type Group = Result<Vec<ArrowColumnChunk>, Fault>;
type Source = Arc<Mutex<Batches>>;

/// Writes all of `rows`, whose batches have `schema`, with `encoders` row groups at a time.
pub(super) async fn write(schema: &SchemaRef, rows: Batches, encoders: usize, sink: &mut Sink) -> Result<(), Fault> {
    let options = ArrowWriterOptions::new().with_properties(properties()?).with_skip_arrow_metadata(true);
    let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
    let (mut file, factory) = writer.into_serialized_writer()?;
    let factory = Arc::new(factory);
    let (sender, mut groups) = mpsc::channel(GROUPS_WAITING);
    let source = Arc::new(Mutex::new(rows));
    let mut tasks = JoinSet::new();
    for _ in 0..encoders {
        tasks.spawn(encode(Arc::clone(&source), Arc::clone(&factory), Arc::clone(schema), sender.clone()));
    }
    drop((sender, source));
    while let Some(group) = groups.recv().await {
        append(&mut file, group?)?;
        sink.write(std::mem::take(file.inner_mut())).await?;
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Fault::Format(error.to_string()))?;
    }
    sink.write(file.into_inner()?).await
}

fn properties() -> Result<WriterProperties, Fault> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    let one_by_one = |properties: parquet::file::properties::WriterPropertiesBuilder, name: &&str| {
        properties.set_column_dictionary_enabled(ColumnPath::from(*name), false)
    };
    Ok(DISTINCT.iter().fold(properties, one_by_one).build())
}

fn append(file: &mut SerializedFileWriter<Vec<u8>>, group: Vec<ArrowColumnChunk>) -> Result<(), Fault> {
    let mut writer = file.next_row_group()?;
    for chunk in group {
        chunk.append_to_row_group(&mut writer)?;
    }
    writer.close()?;
    Ok(())
}

/// Makes row groups of the batches that it gets until there are none, or nobody wants them.
async fn encode(
    source: Source,
    factory: Arc<ArrowRowGroupWriterFactory>,
    schema: SchemaRef,
    groups: mpsc::Sender<Group>,
) {
    loop {
        let group = next_group(&source, &factory, &schema).await;
        let goes_on = matches!(group, Ok(Some(_)));
        let Some(group) = group.transpose() else { return };
        if groups.send(group).await.is_err() || !goes_on {
            return;
        }
    }
}

async fn next_group(
    source: &Source,
    factory: &ArrowRowGroupWriterFactory,
    schema: &Schema,
) -> Result<Option<Vec<ArrowColumnChunk>>, Fault> {
    let mut group: Option<GroupWriter> = None;
    loop {
        // The lock is for taking the next batch; while it is encoded, another encoder takes one.
        let batch = source.lock().await.try_next().await?;
        let Some(batch) = batch else { break };
        let writer = match &mut group {
            Some(writer) => writer,
            None => group.insert(GroupWriter::new(factory)?),
        };
        writer.write(schema, &batch)?;
        if writer.is_full() {
            break;
        }
    }
    group.map(GroupWriter::close).transpose()
}

struct GroupWriter {
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl GroupWriter {
    fn new(factory: &ArrowRowGroupWriterFactory) -> Result<Self, Fault> {
        // The number of the row group is of use for encrypted files only.
        Ok(Self { columns: factory.create_column_writers(0)?, rows: 0 })
    }

    fn write(&mut self, schema: &Schema, batch: &RecordBatch) -> Result<(), Fault> {
        let mut writers = self.columns.iter_mut();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column)? {
                let writer = writers.next().ok_or_else(|| Fault::Format("more columns than expected".to_owned()))?;
                writer.write(&leaf)?;
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn is_full(&self) -> bool {
        let bytes: usize = self.columns.iter().map(ArrowColumnWriter::memory_size).sum();
        self.rows >= ROW_GROUP_ROWS || bytes >= ROW_GROUP_BYTES
    }

    fn close(self) -> Result<Vec<ArrowColumnChunk>, Fault> {
        Ok(self.columns.into_iter().map(ArrowColumnWriter::close).collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
    use arrow::datatypes::Int64Type;
    use bytes::Bytes;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use telemetrics_schema::Record;
    use telemetrics_schema::answer::Fields;
    use telemetrics_schema::batch::from_batch;
    use telemetrics_schema::columns::record_schema;

    use super::super::body::testing::{records, written};
    use super::super::choice::{Coding, Format};
    use super::*;

    /// The records of a file in the order of their identifiers, and its number of row groups.
    fn read(bytes: Vec<u8>) -> (Vec<Record>, usize) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
        let groups = builder.metadata().num_row_groups();
        let schema = Arc::clone(builder.schema());
        let batches: Vec<RecordBatch> = builder.build().expect("a reader").collect::<Result<_, _>>().expect("batches");
        let all = concat_batches(&schema, &batches).expect("one batch");
        let records = record_schema();
        let columns = all.columns().iter().zip(records.fields()).map(|(c, f)| cast(c, f.data_type()));
        let all = RecordBatch::try_new(Arc::clone(&records), columns.collect::<Result<_, _>>().expect("columns"));
        let all = all.expect("a batch");
        let order = sort_to_indices(all.column(0), None, None).expect("numbers");
        (from_batch(&take_record_batch(&all, &order).expect("rows")).expect("records"), groups)
    }

    #[tokio::test]
    async fn a_reader_gets_the_records() {
        let bytes = written(Format::Parquet, Coding::Identity, Fields::with_derived(), records()).await;
        assert_eq!(read(bytes).0, records());
    }

    #[tokio::test]
    async fn nothing_is_a_file_with_columns() {
        let bytes = written(Format::Parquet, Coding::Identity, Fields::with_derived(), Vec::new()).await;
        assert_eq!(read(bytes), (Vec::new(), 0));
    }

    #[tokio::test]
    async fn many_rows_make_several_groups() {
        let one = records().remove(0);
        let last = i64::try_from(2 * ROW_GROUP_ROWS).expect("a number of rows");
        let many: Vec<Record> =
            (0..=last).map(|id| Record { id: telemetrics_schema::RecordId(id), ..one.clone() }).collect();
        let bytes = written(Format::Parquet, Coding::Identity, Fields::parse("id").expect("fields"), many).await;
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
        assert!(builder.metadata().num_row_groups() >= 2);
        let mut ids: Vec<i64> = Vec::new();
        for batch in builder.build().expect("a reader") {
            ids.extend(batch.expect("a batch").column(0).as_primitive::<Int64Type>().values());
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..=last).collect::<Vec<_>>());
    }
}
