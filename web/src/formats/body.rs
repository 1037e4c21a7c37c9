//! The response around an answer: the job that writes it, its head, and a body that ends whole or not at all.

use std::time::Duration;

use arrow::datatypes::SchemaRef;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Version, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use telemetrics_analytics::Error;
use telemetrics_analytics::rows::{Batches, Rows};
use telemetrics_schema::answer::Fields;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::choice::{Choice, Format};
use super::counts::{Outcome, Tally};
use super::fault::Fault;
use super::sink::{PIECES_WAITING, Piece, Pieces, Sink};
use super::workers::{Slot, Workers};
use super::{any, arrow_stream, csv, json, parquet_file};
use crate::error::WebError;

/// What an answer looks like.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Format and compression.
    pub choice: Choice,
    /// Which keys of a record; `None` where rows are no records.
    pub fields: Option<Fields>,
    /// What the client speaks: before HTTP/1.1 there are no chunks, and nothing tells an end from a break.
    pub version: Version,
}

/// Answers `rows`; the `slot` of an export is held until its last byte is handed over.
///
/// # Errors
/// What the question fails with before there is anything to send.
pub async fn answer(workers: &Workers, rows: Rows, form: Form, slot: Option<Slot>) -> Result<Response, WebError> {
    answer_within(workers, std::future::ready(Ok(rows)), form, slot, Deadline::none()).await
}

/// As [`answer`], with rows that are asked for on the threads of `workers`, and with an end to the time that all of it
/// takes. That is looked at on the side of the reader, because the threads may be busy.
///
/// # Errors
/// As [`answer`], and [`Error::TooMuch`] at the end of the time.
pub async fn answer_within(
    workers: &Workers,
    rows: impl Future<Output = Result<Rows, Error>> + Send + 'static,
    form: Form,
    slot: Option<Slot>,
    deadline: Deadline,
) -> Result<Response, WebError> {
    let (pieces, received) = mpsc::channel(PIECES_WAITING);
    // The rows of a statement may have an order.
    let encoders = if form.fields.is_some() { workers.threads() } else { 1 };
    let tally = slot.as_ref().map(Slot::tally).unwrap_or_default();
    let writing = Writing { form, encoders, stall_limit: workers.stall_limit(), tally };
    workers.spawn(async move {
        run(rows, &writing, pieces).await;
        drop(slot);
    });
    let body = first_piece(Received { pieces: received, deadline }).await?;
    if form.version < Version::HTTP_11 && body.size_hint().exact().is_none() {
        return Err(WebError::Impossible("An answer of this length needs HTTP/1.1".to_owned()));
    }
    Ok(with_head(body.into_response(), form.choice))
}

fn with_head(mut response: Response, choice: Choice) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(choice.format.content_type()));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
    if let Some(coding) = choice.coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

/// When an answer has to be whole.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    end: Option<Instant>,
    limit: Duration,
}

impl Deadline {
    /// Takes as long as its reader.
    #[must_use]
    pub const fn none() -> Self {
        Self { end: None, limit: Duration::MAX }
    }

    /// `limit` from now on.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Self { end: Instant::now().checked_add(limit), limit }
    }

    /// What `task` gives, unless the time ends before.
    ///
    /// # Errors
    /// [`Error::TooMuch`].
    pub(super) async fn within<T>(&self, task: impl Future<Output = T>) -> Result<T, Error> {
        let Some(end) = self.end else { return Ok(task.await) };
        tokio::time::timeout_at(end, task).await.map_err(|_| self.error())
    }

    fn error(&self) -> Error {
        Error::TooMuch(format!("it took longer than {} s", self.limit.as_secs()))
    }
}

/// What a job sends, as long as there is time.
pub(super) struct Received {
    pieces: Receiver<Result<Piece, Fault>>,
    deadline: Deadline,
}

impl Received {
    async fn recv(&mut self) -> Option<Result<Piece, Fault>> {
        let piece = self.deadline.within(self.pieces.recv()).await;
        piece.unwrap_or_else(|late| Some(Err(Fault::Question(late))))
    }
}

/// The body that begins with the first piece; when that is all, a body with a length.
async fn first_piece(mut pieces: Received) -> Result<Body, WebError> {
    match pieces.recv().await {
        Some(Ok(Piece::Last(bytes))) => Ok(Body::from(bytes)),
        Some(Ok(Piece::More(bytes))) => Ok(Body::from_stream(body(bytes, pieces))),
        Some(Err(fault)) => Err(fault.into()),
        None => Err(WebError::Question(Error::Internal("a job ended without an answer".to_owned()))),
    }
}

/// Where a body is.
enum Place {
    First(Bytes, Received),
    Between(Received),
    End,
}

/// The bytes of an answer. Only the last piece ends it; a queue that ends without one is an error, which makes the server
/// break the connection off.
fn body(first: Bytes, pieces: Received) -> impl Stream<Item = Result<Bytes, Fault>> {
    stream::try_unfold(Place::First(first, pieces), async |place| {
        let mut pieces = match place {
            Place::First(bytes, pieces) => return Ok(Some((bytes, Place::Between(pieces)))),
            Place::Between(pieces) => pieces,
            Place::End => return Ok(None),
        };
        match pieces.recv().await {
            Some(Ok(Piece::More(bytes))) => Ok(Some((bytes, Place::Between(pieces)))),
            Some(Ok(Piece::Last(bytes))) => Ok(Some((bytes, Place::End))),
            Some(Err(fault)) => Err(fault),
            None => Err(Fault::Format("its job ended".to_owned())),
        }
    })
}

/// What a job needs to know.
struct Writing {
    form: Form,
    encoders: usize,
    stall_limit: Duration,
    /// Nobody reads that of an answer that takes no turn.
    tally: Tally,
}

impl Writing {
    fn sink(&self, pieces: Pieces) -> Result<Sink, Fault> {
        Sink::new(self.form.choice.coding, pieces, self.stall_limit, self.tally.clone())
    }
}

/// Writes an answer until its end, an error, or until nobody wants it.
async fn run(rows: impl Future<Output = Result<Rows, Error>>, writing: &Writing, pieces: Pieces) {
    let written = async {
        let rows = rows.await?;
        let schema = rows.schema();
        let sink = writing.sink(pieces.clone())?;
        write(&schema, rows.open().await?, writing, sink).await
    };
    let outcome = tokio::select! {
        () = pieces.closed() => Err(Fault::Left),
        outcome = written => outcome,
    };
    writing.tally.ended(Outcome::of(&outcome));
    if let Err(fault) = outcome {
        report(&fault, writing.form.choice.format);
        // Whoever takes nothing takes no reason either, and waiting for him would keep the turn. A queue that ends without
        // its last piece breaks the answer off, too.
        if !matches!(fault, Fault::Stalled(_)) {
            let _nobody_wants_it = pieces.send(Err(fault)).await;
        }
    }
}

fn report(fault: &Fault, format: Format) {
    let format = format.name();
    match fault {
        Fault::Left => info!(format, "an answer was not finished: {fault}"),
        Fault::Stalled(_) => warn!(format, "an answer was broken off: {fault}"),
        Fault::Question(Error::TooMuch(_) | Error::Invalid(_)) => debug!(format, "an answer was broken off: {fault}"),
        Fault::Question(_) | Fault::Format(_) => tracing::error!(format, "an answer was broken off: {fault}"),
    }
}

async fn write(schema: &SchemaRef, rows: Batches, writing: &Writing, mut sink: Sink) -> Result<(), Fault> {
    let tally = writing.tally.clone();
    let rows = rows.inspect_ok(move |batch| tally.rows(batch.num_rows())).boxed();
    match (writing.form.choice.format, writing.form.fields) {
        (Format::Json, Some(fields)) => json::write(&json::LIST, fields, rows, &mut sink).await,
        (Format::Ndjson, Some(fields)) => json::write(&json::LINES, fields, rows, &mut sink).await,
        (Format::Csv, Some(fields)) => csv::write(fields, rows, &mut sink).await,
        (Format::Json, None) => any::write_json(&any::LIST, rows, &mut sink).await,
        (Format::Ndjson, None) => any::write_json(&any::LINES, rows, &mut sink).await,
        (Format::Csv, None) => any::write_csv(schema, rows, &mut sink).await,
        (Format::Arrow, _) => arrow_stream::write(schema, rows, &mut sink).await,
        (Format::Parquet, _) => parquet_file::write(schema, rows, writing.encoders, &mut sink).await,
    }?;
    sink.finish().await
}

#[cfg(test)]
pub(super) mod testing {
    //! Answers without a store and without a connection.

    use futures::StreamExt;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::columns::{COLUMNS, record_schema};
    use telemetrics_schema::{Record, RecordId, Report, TimestampUs};

    use super::super::choice::Coding;
    use super::*;

    /// Rows of a batch.
    const BATCH_ROWS: usize = 2_048;

    /// Records with texts that every format has to take care of.
    pub(in super::super) fn records() -> Vec<Record> {
        let texts = ["plain", "", "a,b", "\"quoted\"\r\ntwo lines", "=1+1", "-1", "\t", "é \u{1f980}", "nul\0", "\\ '"];
        let record = |(id, text): (i64, &&str)| Record {
            id: RecordId(9_007_199_254_740_000 + id),
            ts_reception: TimestampUs(1_795_342_080_123_456 + id),
            report: Report {
                record_format_version: 4,
                classification: "org.clearlinux/hello/world".to_owned(),
                severity: 1,
                machine_id: format!("{id:032x}"),
                ts_capture_s: 10_413_791_999 - id,
                host_type: format!("vendor|{text}|version"),
                payload_format_version: i32::MAX,
                external: id % 2 == 0,
                payload: (*text).to_owned(),
                ..Report::default()
            },
        };
        (0..).zip(&texts).map(record).collect()
    }

    /// Batches of `records` with the columns of `fields`.
    pub(in super::super) fn batches(fields: Fields, records: &[Record]) -> (SchemaRef, Batches) {
        let is_selected = |name: &str| fields.keys().any(|key| key.column() == name);
        let places: Vec<usize> = (0..COLUMNS.len()).filter(|place| is_selected(COLUMNS[*place].name)).collect();
        let batches: Vec<_> = records
            .chunks(BATCH_ROWS)
            .map(|records| Ok(to_batch(records).expect("a batch").project(&places).expect("columns")))
            .collect();
        let schema = record_schema().project(&places).expect("columns");
        (std::sync::Arc::new(schema), stream::iter(batches).boxed())
    }

    /// The pieces of an answer as they go to the connection.
    pub(in super::super) fn pieces(choice: Choice, fields: Fields, (schema, rows): (SchemaRef, Batches)) -> Received {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let writing = Writing {
            form: Form { choice, fields: Some(fields), version: Version::HTTP_11 },
            encoders: 2,
            stall_limit: Duration::from_mins(1),
            tally: Tally::default(),
        };
        tokio::spawn(async move {
            let sink = writing.sink(sender.clone()).expect("a sink");
            if let Err(fault) = write(&schema, rows, &writing, sink).await {
                let _nobody_wants_it = sender.send(Err(fault)).await;
            }
        });
        Received { pieces, deadline: Deadline::none() }
    }

    /// All bytes of an answer.
    pub(in super::super) async fn written(
        format: Format,
        coding: Coding,
        fields: Fields,
        records: Vec<Record>,
    ) -> Vec<u8> {
        let pieces = pieces(Choice { format, coding }, fields, batches(fields, &records));
        let body = first_piece(pieces).await.expect("a body");
        axum::body::to_bytes(body, usize::MAX).await.expect("a whole body").to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use futures::StreamExt;
    use http_body_util::BodyExt;
    use telemetrics_schema::{Record, RecordId};

    use super::testing::{batches, pieces, records, written};
    use super::*;
    use crate::formats::Coding;

    /// Records of a size that makes many pieces, compressed or not.
    fn many() -> Vec<Record> {
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state
        };
        let one = records().remove(0);
        (0..6_000)
            .map(|id| {
                let mut record = Record { id: RecordId(id), ..one.clone() };
                record.report.payload = [(); 10].map(|()| format!("{:016x}", noise())).concat();
                record
            })
            .collect()
    }

    #[tokio::test]
    async fn compressed_answers_hold_the_same_bytes() {
        for format in [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow] {
            let plain = written(format, Coding::Identity, Fields::all(), many()).await;
            let gzip = written(format, Coding::Gzip, Fields::all(), many()).await;
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(gzip.as_slice()).read_to_end(&mut unpacked).expect("gzip");
            assert_eq!(unpacked, plain, "{format:?}");
            let zstd = written(format, Coding::Zstd, Fields::all(), many()).await;
            assert_eq!(zstd::decode_all(zstd.as_slice()).expect("zstd"), plain, "{format:?}");
            assert!(gzip.len() < plain.len() && zstd.len() < plain.len(), "{format:?}");
        }
    }

    /// What the body of an answer whose question fails in the middle gives, and whether it ended as if it were whole.
    async fn broken(choice: Choice) -> (usize, bool) {
        let (schema, rows) = batches(Fields::all(), &many());
        let failure = stream::iter([Err(Error::Unavailable("the disk is gone".to_owned()))]);
        let rows = rows.take(2).chain(failure).boxed();
        let mut body = first_piece(pieces(choice, Fields::all(), (schema, rows))).await.expect("a first piece");
        let mut bytes = 0;
        loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes += frame.into_data().expect("data").len(),
                Some(Err(_)) => return (bytes, false),
                None => return (bytes, true),
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_fails_in_the_middle_never_looks_whole() {
        for format in [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow] {
            for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
                let (bytes, is_whole) = broken(Choice { format, coding }).await;
                assert!(bytes > 0 && !is_whole, "{format:?} {coding:?}: {bytes}");
            }
        }
    }

    #[tokio::test]
    async fn a_job_that_vanishes_does_not_make_an_answer_look_whole() {
        let (sender, pieces) = mpsc::channel(2);
        sender.send(Ok(Piece::More(Bytes::from_static(b"half")))).await.expect("sent");
        drop(sender);
        let body = first_piece(Received { pieces, deadline: Deadline::none() }).await.expect("a body");
        assert!(axum::body::to_bytes(body, 100).await.is_err());
    }

    #[tokio::test]
    async fn an_error_before_the_first_piece_is_an_error_with_a_status() {
        for format in Format::ALL {
            let failure = stream::iter([Err(Error::TooMuch("memory".to_owned()))]).boxed();
            let (schema, _) = batches(Fields::all(), &[]);
            let choice = Choice { format, coding: Coding::Identity };
            let refused = first_piece(pieces(choice, Fields::all(), (schema, failure))).await.expect_err("refused");
            assert_eq!(refused.status(), 422, "{format:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_of_its_time_an_answer_breaks_off() {
        let limit = Duration::from_secs(9);
        let (sender, pieces) = mpsc::channel(2);
        let refused = first_piece(Received { pieces, deadline: Deadline::after(limit) }).await.expect_err("late");
        assert_eq!(refused.status(), 422);
        assert!(refused.to_string().ends_with("it took longer than 9 s"), "{refused}");
        assert!(sender.is_closed(), "the job is told");

        let (sender, pieces) = mpsc::channel(2);
        sender.send(Ok(Piece::More(Bytes::from_static(b"half")))).await.expect("sent");
        let body = first_piece(Received { pieces, deadline: Deadline::after(limit) }).await.expect("a body");
        assert!(axum::body::to_bytes(body, 100).await.is_err());
    }

    #[tokio::test]
    async fn a_short_answer_has_a_length() {
        for (records, has_length) in [(records(), true), (many(), false)] {
            let choice = Choice { format: Format::Csv, coding: Coding::Identity };
            let body = first_piece(pieces(choice, Fields::all(), batches(Fields::all(), &records))).await;
            assert_eq!(body.expect("a body").size_hint().exact().is_some(), has_length);
        }
    }

    /// An endless answer, and how many of its batches were asked for.
    fn endless() -> ((SchemaRef, Batches), Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let (schema, mut rows) = batches(Fields::all(), &many());
        let batch = futures::executor::block_on(rows.next()).expect("a batch").expect("rows");
        let rows = stream::repeat_with(move || {
            counted.fetch_add(1, Relaxed);
            Ok(batch.clone())
        });
        ((schema, rows.boxed()), asked)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_stops_the_question() {
        for format in Format::ALL {
            let (rows, asked) = endless();
            let choice = Choice { format, coding: Coding::Identity };
            let Received { pieces, .. } = pieces(choice, Fields::all(), rows);
            // The job goes on until its queue is full; then nothing is asked for any more.
            let mut before = usize::MAX;
            while before != asked.load(Relaxed) || pieces.is_empty() {
                before = asked.load(Relaxed);
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
            }
            // Encoded row groups wait in the queues, before them and in the encoders; elsewhere it is some pieces.
            let most = if format == Format::Parquet { 7 * 64 } else { 8 };
            assert!(before <= most, "{format:?}: {before}");
            // Without a reader it ends, and drops the question.
            let question = Arc::downgrade(&asked);
            drop((pieces, asked));
            while question.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
