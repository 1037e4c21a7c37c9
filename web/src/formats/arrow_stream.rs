//! The streaming format of Apache Arrow: one message a batch.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use futures::TryStreamExt;
use telemetrics_analytics::rows::Batches;

use super::fault::Fault;
use super::sink::Sink;

/// Writes all of `rows`, whose batches have `schema`.
pub(super) async fn write(schema: &Schema, mut rows: Batches, sink: &mut Sink) -> Result<(), Fault> {
    let schema = portable(schema);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    while let Some(batch) = rows.try_next().await? {
        writer.write(&convert(&batch, &schema)?)?;
        sink.write(std::mem::take(writer.get_mut())).await?;
    }
    writer.finish()?;
    sink.write(std::mem::take(writer.get_mut())).await
}

/// The schema with texts as every reader of Arrow knows them: views are younger than many libraries in use.
pub(super) fn portable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => Field::new(field.name(), DataType::Utf8, field.is_nullable()),
        other => Field::new(field.name(), other.clone(), field.is_nullable()),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn convert(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Fault> {
    let pairs = batch.columns().iter().zip(schema.fields());
    let columns = pairs.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::ipc::reader::StreamReader;
    use telemetrics_schema::answer::Fields;
    use telemetrics_schema::batch::{from_batch, to_batch};
    use telemetrics_schema::columns::record_schema;

    use super::super::body::testing::{records, written};
    use super::super::choice::{Coding, Format};
    use super::*;

    #[tokio::test]
    async fn a_reader_gets_the_records_with_their_types() {
        let bytes = written(Format::Arrow, Coding::Identity, Fields::with_derived(), records()).await;
        let reader = StreamReader::try_new(bytes.as_slice(), None).expect("a stream");
        assert_eq!(reader.schema(), portable(&record_schema()));
        let expected = convert(&to_batch(&records()).expect("a batch"), &portable(&record_schema())).expect("a batch");
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().expect("batches");
        assert_eq!(batches, [expected]);
        let schema = record_schema();
        let back = batches[0].columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()));
        let back = RecordBatch::try_new(Arc::clone(&schema), back.collect::<Result<_, _>>().expect("columns"));
        assert_eq!(from_batch(&back.expect("a batch")).expect("records"), records());
    }

    #[tokio::test]
    async fn nothing_is_a_stream_with_types() {
        let fields = Fields::parse("id,payload").expect("fields");
        let bytes = written(Format::Arrow, Coding::Identity, fields, Vec::new()).await;
        let reader = StreamReader::try_new(bytes.as_slice(), None).expect("a stream");
        assert_eq!(reader.schema().fields().len(), 2);
        assert_eq!(reader.count(), 0);
    }
}
