//! One UTC day of records as a Parquet file for analysts: in the order of the store, and byte for byte the same whenever
//! it is made of the same records by the same program.

mod slices;

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Int8Type, TimestampMicrosecondType};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use ring::digest::{Context, SHA256};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::columns::record_schema;
use telemetrics_schema::retention::{RetentionPolicy, Subject};
use telemetrics_schema::time::US_PER_DAY;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::view::View;
use slices::Slice;

/// Memory of the query behind a file, in bytes.
pub const DATASET_MEMORY_BYTES: usize = 64 << 20;
/// Rows that the query works on at a time: records may be large.
const BATCH_ROWS: usize = 256;
/// Rows that are given to the encoder at a time. Where they are cut decides over pages: it must not depend on the query.
const CHUNK_ROWS: usize = 1_024;
/// Batches that wait for the encoder.
const WAITING_BATCHES: usize = 2;
/// Rows of a row group: what a reader skips or reads as one.
const ROW_GROUP_ROWS: usize = 131_072;
/// Encoded bytes of a row group, which is in memory until it is full.
const ROW_GROUP_BYTES: usize = 16 << 20;
const ZSTD_LEVEL: i32 = 3;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Records in the file.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// Until when all of its records are seen; `None` when none of them ever expires.
    pub first_expiry: Option<TimestampUs>,
}

/// The instants of a UTC day that is counted from 1970-01-01.
#[must_use]
pub fn instants(day: i32) -> Range<TimestampUs> {
    let begin = i64::from(day) * US_PER_DAY;
    TimestampUs(begin)..TimestampUs(begin + US_PER_DAY)
}

/// Writes the records of `day` that `view` sees to `path`, and syncs the file. `policy` is what they expire by.
///
/// # Errors
/// As the store's: see [`Error`]; [`Error::Unavailable`] also when the file cannot be written. Something may be at `path`
/// then.
pub async fn write(view: &View, day: i32, policy: &RetentionPolicy, path: &Path) -> Result<Written, Error> {
    let view = view.apart(DATASET_MEMORY_BYTES, BATCH_ROWS)?;
    let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
    let (path, policy) = (path.to_owned(), policy.clone());
    let writer = tokio::task::spawn_blocking(move || Output::create(&path, policy)?.fill(receiver));
    let fed = feed(&view, day, sender).await;
    let written = writer.await.map_err(|error| Error::Internal(error.to_string()))?;
    fed?;
    written
}

/// Gives the records of the day in their order. A slice that needs too much memory is asked for in parts.
async fn feed(view: &View, day: i32, sender: Sender) -> Result<(), Error> {
    let fed = feed_slices(view, day, &sender).await;
    if fed.is_err() {
        // A file must not look whole when it is not.
        let _ = sender.send(Err(Incomplete)).await;
    }
    fed
}

async fn feed_slices(view: &View, day: i32, sender: &Sender) -> Result<(), Error> {
    let mut slices: Vec<Slice> = slices::of(view, instants(day)).await?;
    slices.reverse();
    while let Some(slice) = slices.pop() {
        let mut stream = slice.records(view)?.execute_stream().await?;
        let mut is_begun = false;
        while let Some(batch) = stream.next().await {
            match batch.map_err(Error::from) {
                Ok(batch) => {
                    is_begun = true;
                    // The writer has an error to tell when it takes nothing any more.
                    if sender.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => {
                    let halves = slice.halves().filter(|_| matches!(error, Error::TooMuch(_)) && !is_begun);
                    let [early, late] = halves.ok_or(error)?;
                    slices.extend([late, early]);
                    break;
                }
            }
        }
    }
    Ok(())
}

/// The records end before their end.
struct Incomplete;

type Sender = mpsc::Sender<Result<RecordBatch, Incomplete>>;

struct Output {
    writer: ArrowWriter<Hashed>,
    chunks: BatchCoalescer,
    policy: RetentionPolicy,
    rows: u64,
    first_expiry: Option<TimestampUs>,
}

impl Output {
    fn create(path: &Path, policy: RetentionPolicy) -> Result<Self, Error> {
        let file = Hashed { file: File::create(path).map_err(unwritten)?, hash: Context::new(&SHA256), bytes: 0 };
        // Without the types of this program: readers take those of Parquet, which all of them know.
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true).with_properties(properties()?);
        let writer = ArrowWriter::try_new_with_options(file, record_schema(), options)?;
        let chunks = BatchCoalescer::new(record_schema(), CHUNK_ROWS);
        Ok(Self { writer, chunks, policy, rows: 0, first_expiry: None })
    }

    fn fill(mut self, mut batches: mpsc::Receiver<Result<RecordBatch, Incomplete>>) -> Result<Written, Error> {
        while let Some(batch) = batches.blocking_recv() {
            let batch =
                batch.map_err(|Incomplete| Error::Unavailable("the records of the day ended early".to_owned()))?;
            self.take(batch)?;
        }
        self.chunks.finish_buffered_batch()?;
        self.write_chunks()?;
        self.finish()
    }

    fn take(&mut self, batch: RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        let expiry = first_expiry(&batch, &self.policy)?;
        self.first_expiry = [self.first_expiry, expiry].into_iter().flatten().min();
        self.chunks.push_batch(batch)?;
        self.write_chunks()
    }

    fn write_chunks(&mut self) -> Result<(), Error> {
        while let Some(chunk) = self.chunks.next_completed_batch() {
            self.writer.write(&chunk)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Written, Error> {
        let Hashed { file, hash, bytes } = self.writer.into_inner()?;
        file.sync_all().map_err(unwritten)?;
        Ok(Written {
            rows: self.rows,
            bytes,
            sha256: hexadecimal(hash.finish().as_ref()),
            first_expiry: self.first_expiry,
        })
    }
}

/// When the first of these records is seen for the last time; `None` when none ever expires.
fn first_expiry(batch: &RecordBatch, policy: &RetentionPolicy) -> Result<Option<TimestampUs>, Error> {
    let missing = |name| Error::Internal(format!("no column {name} of the type that the schema says"));
    let column = |name| batch.column_by_name(name).ok_or_else(|| missing(name));
    let text = |name| column(name)?.as_string_view_opt().ok_or_else(|| missing(name));
    let (classification, machine_id) = (text("classification")?, text("machine_id")?);
    let severity = column("severity")?.as_primitive_opt::<Int8Type>().ok_or_else(|| missing("severity"))?;
    let received = column("ts_reception")?.as_primitive_opt::<TimestampMicrosecondType>();
    let received = received.ok_or_else(|| missing("ts_reception"))?;
    let last_seen = (0..batch.num_rows()).filter_map(|row| {
        let subject = Subject {
            classification: classification.value(row),
            severity: severity.value(row),
            machine_id: machine_id.value(row),
        };
        policy.last_seen(&subject, TimestampUs(received.value(row)))
    });
    Ok(last_seen.min())
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn properties() -> Result<WriterProperties, Error> {
    Ok(WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_column_bloom_filter_enabled(ColumnPath::from("machine_id"), true)
        .build())
}

/// A file, with the hash of what was written to it.
struct Hashed {
    file: File,
    hash: Context,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unwritten(error: impl std::fmt::Display) -> Error {
    Error::Unavailable(format!("writing a file of a day: {error}"))
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(_) => Self::Unavailable(format!("writing a file of a day: {error}")),
            error => Self::Internal(error.to_string()),
        }
    }
}
