//! The thread of a batch: reads the body through its encoding, cuts it, decodes the pieces and hands on whole chunks.

use std::io::{BufRead, Read};
use std::sync::Arc;

use serde::Serialize;
use telemetrics_schema::Report;
use telemetrics_schema::wire::{self, FieldError, Rejection, Rules};
use tokio::sync::mpsc;

use super::super::encoding::Encoding;
use super::super::form::{Form, is_json_space};
use super::super::received::{Limited, Received, Stop};
use super::split::{Cut, Elements, Lines, Piece, Sink};

/// Lines of a chunk, at most. With [`CHUNK_BYTES`] small enough that what waits in the journal is never mostly of
/// batches, large enough that a sync is shared by many records.
const CHUNK_LINES: usize = 1_000;
/// Bytes of lines of a chunk, except for the last line in it.
const CHUNK_BYTES: usize = 1 << 20;
/// A batch may hold a line for so many bytes of its limit; the smallest valid record takes more than twice as many.
/// Without it, a batch of `{}` would be millions of answers to make.
const BYTES_PER_LINE: usize = 64;
/// Name under which an error speaks of a line that cannot be read at all.
const BODY: &str = "body";

/// What the thread is given.
pub(super) struct Job {
    pub(super) form: Form,
    pub(super) encoding: Encoding,
    pub(super) external: bool,
    pub(super) rules: Arc<Rules>,
    pub(super) limits: Limits,
}

/// How much a batch may be, in decoded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// All of it.
    pub(super) batch_bytes: usize,
    /// One record.
    pub(super) record_bytes: usize,
}

/// One field of one line that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LineError {
    /// Line of an NDJSON body or position in an array, counted from 1.
    pub(super) line: u64,
    /// As in the answer to a single record.
    #[serde(flatten)]
    pub(super) error: FieldError,
}

/// A line that is no record.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) line: u64,
    pub(super) errors: Vec<FieldError>,
}

/// Lines that were decoded together.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Valid ones.
    pub(super) reports: Vec<Report>,
    /// The line of each report.
    pub(super) lines: Vec<u64>,
    /// The others.
    pub(super) rejected: Vec<Rejected>,
    /// Bytes of the valid and the wrong ones.
    pub(super) bytes: usize,
}

impl Chunk {
    fn len(&self) -> usize {
        self.lines.len() + self.rejected.len()
    }

    fn is_full(&self) -> bool {
        self.len() >= CHUNK_LINES || self.bytes >= CHUNK_BYTES
    }

    /// The first line behind all those of the chunk.
    pub(super) fn next_line(&self) -> u64 {
        let last_rejected = self.rejected.last().map_or(0, |rejected| rejected.line);
        self.lines.last().copied().unwrap_or(0).max(last_rejected) + 1
    }
}

/// What a body turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A batch; all of it was handed on, unless something stopped it.
    Batch(Result<(), Stop>),
    /// One record, decoded from its content encoding only. One that is larger than the limit is cut off a byte above it.
    Record(Vec<u8>),
}

/// Reads the body to its end. Blocks; for a thread of its own.
pub(super) fn run(job: &Job, received: Received, chunks: mpsc::Sender<Chunk>) -> Done {
    let mut worker = Worker { job, chunks, chunk: Chunk::default(), lines_left: job.limits.lines() };
    match worker.read(received) {
        Ok(Some(record)) => Done::Record(record),
        // What was whole before the batch stopped counts, whatever stopped it.
        outcome => Done::Batch(outcome.map(drop).and(worker.hand_on())),
    }
}

impl Limits {
    /// Lines that a batch may have.
    pub(super) fn lines(self) -> usize {
        self.batch_bytes / BYTES_PER_LINE
    }
}

struct Worker<'a> {
    job: &'a Job,
    chunks: mpsc::Sender<Chunk>,
    chunk: Chunk,
    lines_left: usize,
}

impl Worker<'_> {
    /// Hands on all chunks but the last; or reads what is a single record.
    fn read(&mut self, received: Received) -> Result<Option<Vec<u8>>, Stop> {
        let Job { form, encoding, limits, .. } = *self.job;
        let mut body = Limited::new(encoding.reader(received)?, limits.batch_bytes);
        match form {
            Form::Lines => self.read_lines(&mut body)?,
            Form::Array => self.read_array(&mut body)?,
            Form::Json if begins_an_array(&mut body)? => self.read_array(&mut body)?,
            Form::Json | Form::Record => return read_record(body, limits.record_bytes).map(Some),
        }
        Ok(None)
    }

    fn read_lines(&mut self, body: &mut impl BufRead) -> Result<(), Stop> {
        let mut lines = Lines::new(self.job.limits.record_bytes);
        pump(body, |bytes| lines.push(bytes, self))?;
        lines.finish(self).map_err(Stop::from)
    }

    fn read_array(&mut self, body: &mut impl BufRead) -> Result<(), Stop> {
        let mut elements = Elements::new(self.job.limits.record_bytes);
        pump(body, |bytes| elements.push(bytes, self))?;
        elements.finish(self).map_err(Stop::from)
    }

    fn decode(&mut self, line: u64, piece: Piece<'_>) {
        let outcome = match piece {
            Piece::Whole(bytes) => {
                self.chunk.bytes += bytes.len();
                wire::decode_json_object(bytes, self.job.external, &self.job.rules)
            }
            Piece::TooLong => Err(self.too_long()),
        };
        match outcome {
            Ok(report) => {
                self.chunk.reports.push(report);
                self.chunk.lines.push(line);
            }
            Err(rejection) => self.chunk.rejected.push(Rejected { line, errors: rejection.errors().into_owned() }),
        }
    }

    fn too_long(&self) -> Rejection {
        let reason = format!("is longer than {} bytes", self.job.limits.record_bytes);
        Rejection::Invalid(vec![FieldError { field: BODY.to_owned(), reason }])
    }

    fn hand_on(&mut self) -> Result<(), Stop> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.len() == 0 {
            return Ok(());
        }
        self.chunks.blocking_send(chunk).map_err(|_| Stop::Abandoned)
    }
}

impl Sink for Worker<'_> {
    type Error = Stop;

    fn piece(&mut self, line: u64, piece: Piece<'_>) -> Result<(), Stop> {
        self.lines_left = self.lines_left.checked_sub(1).ok_or(Stop::TooLarge)?;
        self.decode(line, piece);
        if self.chunk.is_full() { self.hand_on() } else { Ok(()) }
    }
}

impl From<Cut<Self>> for Stop {
    fn from(cut: Cut<Self>) -> Self {
        match cut {
            Cut::Sink(stop) => stop,
            Cut::NoArray(reason) => Self::Broken(format!("The body {reason}.")),
        }
    }
}

/// Gives everything in `body` to `take`, as it comes.
fn pump<E>(body: &mut impl BufRead, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), Stop>
where
    Stop: From<E>,
{
    loop {
        let bytes = body.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        take(bytes)?;
        let taken = bytes.len();
        body.consume(taken);
    }
}

/// Passes over white space, and says whether a `[` stands behind it.
fn begins_an_array(body: &mut impl BufRead) -> Result<bool, Stop> {
    loop {
        let bytes = body.fill_buf()?;
        let blank = bytes.iter().take_while(|byte| is_json_space(**byte)).count();
        match bytes.get(blank) {
            Some(byte) => return Ok(*byte == b'['),
            None if bytes.is_empty() => return Ok(false),
            None => body.consume(blank),
        }
    }
}

fn read_record(body: impl BufRead, limit_bytes: usize) -> Result<Vec<u8>, Stop> {
    let mut record = Vec::new();
    body.take(limit_bytes as u64 + 1).read_to_end(&mut record)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, Bytes};
    use tokio::time::Instant;

    use super::super::super::received::pipe;
    use super::*;

    const RECORD: &str = r#"{"record_format_version":1,"classification":"x/y/z","severity":"4","machine_id":"m",
        "creation_timestamp":"1","arch":"i386","host_type":"h","build":1,"kernel_version":"5.4","payload":"p"}"#;

    fn record() -> String {
        RECORD.replace('\n', "")
    }

    fn job(form: Form) -> Job {
        let limits = Limits { batch_bytes: 1 << 20, record_bytes: 1_000 };
        Job { form, encoding: Encoding::Identity, external: true, rules: Arc::default(), limits }
    }

    /// The chunks that are handed on, and the end.
    async fn work(job: Job, body: impl Into<Bytes>) -> (Vec<Chunk>, Done) {
        let (feeder, received) = pipe();
        let (sender, mut handed_on) = mpsc::channel(1);
        let worker = tokio::task::spawn_blocking(move || run(&job, received, sender));
        let chunks = async {
            let mut chunks = Vec::new();
            while let Some(chunk) = handed_on.recv().await {
                chunks.push(chunk);
            }
            chunks
        };
        let deadline = Instant::now() + Duration::from_mins(1);
        let ((), chunks) = tokio::join!(feeder.feed(body.into(), Body::empty(), deadline), chunks);
        (chunks, worker.await.expect("no panic"))
    }

    fn counts(chunks: &[Chunk]) -> Vec<(usize, usize)> {
        chunks.iter().map(|chunk| (chunk.reports.len(), chunk.rejected.len())).collect()
    }

    #[tokio::test]
    async fn lines_become_reports_or_reasons() {
        let (chunks, done) = work(job(Form::Lines), format!("{0}\n\nnonsense\n{0}", record())).await;
        assert_eq!(done, Done::Batch(Ok(())));
        assert_eq!(counts(&chunks), [(2, 1)]);
        assert_eq!((chunks[0].lines.as_slice(), chunks[0].rejected[0].line), (&[1, 4][..], 3));
        assert_eq!(chunks[0].rejected[0].errors[0].field, "body");
        assert!(chunks[0].reports.iter().all(|report| report.external && report.payload == "p"));
        assert_eq!(chunks[0].next_line(), 5);
    }

    #[tokio::test]
    async fn an_array_is_told_from_an_object() {
        let (chunks, done) = work(job(Form::Json), format!(" \n[{0}, {0}]", record())).await;
        assert_eq!((counts(&chunks), done), (vec![(2, 0)], Done::Batch(Ok(()))));
        let (chunks, done) = work(job(Form::Json), record()).await;
        assert_eq!((counts(&chunks), done), (vec![], Done::Record(record().into_bytes())));
        assert_eq!(work(job(Form::Json), " {}").await.1, Done::Record(b" {}".to_vec()));
        assert_eq!(work(job(Form::Json), "").await.1, Done::Record(Vec::new()));
        assert_eq!(work(job(Form::Record), "[1]").await.1, Done::Record(b"[1]".to_vec()));
    }

    #[tokio::test]
    async fn a_chunk_ends_at_its_limits() {
        let lines = "x\n".repeat(2 * CHUNK_LINES + 1);
        let (chunks, _) = work(job(Form::Lines), lines).await;
        assert_eq!(counts(&chunks), [(0, CHUNK_LINES), (0, CHUNK_LINES), (0, 1)]);
        let mut large = job(Form::Lines);
        large.limits = Limits { batch_bytes: 8 << 20, record_bytes: 8 << 20 };
        let lines = [vec![b'x'; CHUNK_BYTES - 1], b"\nyy\nz\n".to_vec()].concat();
        assert_eq!(counts(&work(large, lines).await.0), [(0, 2), (0, 1)]);
    }

    #[tokio::test]
    async fn what_was_whole_before_the_end_is_handed_on() {
        let (chunks, done) = work(job(Form::Array), format!("[{0},{0},{{", record())).await;
        assert_eq!(counts(&chunks), [(2, 0)]);
        assert_eq!(done, Done::Batch(Err(Stop::Broken("The body ends inside of its array.".to_owned()))));
        let mut small = job(Form::Lines);
        small.limits.batch_bytes = record().len() + 64;
        let (chunks, done) = work(small, format!("{0}\n{0}\n", record())).await;
        assert_eq!((counts(&chunks), done), (vec![(1, 0)], Done::Batch(Err(Stop::TooLarge))));
    }

    #[tokio::test]
    async fn a_line_is_limited_at_its_edge() {
        let mut exact = job(Form::Lines);
        exact.limits.record_bytes = record().len();
        let (chunks, done) = work(exact, format!("{0}\n{0} \n{0}\n", record())).await;
        assert_eq!((counts(&chunks), done), (vec![(2, 1)], Done::Batch(Ok(()))));
        let reason = format!("is longer than {} bytes", record().len());
        assert_eq!((chunks[0].rejected[0].line, &chunks[0].rejected[0].errors[0].reason), (2, &reason));
    }

    #[tokio::test]
    async fn lines_are_limited_at_their_edge() {
        for (lines, done) in [(10, Ok(())), (11, Err(Stop::TooLarge))] {
            let mut few = job(Form::Lines);
            few.limits.batch_bytes = 10 * BYTES_PER_LINE;
            let (chunks, ended) = work(few, "x\n".repeat(lines)).await;
            assert_eq!((counts(&chunks), ended), (vec![(0, 10)], Done::Batch(done)));
        }
    }

    #[tokio::test]
    async fn a_single_record_that_is_too_large_is_read_until_that_is_clear() {
        let single = |limit| {
            let mut job = job(Form::Record);
            job.limits.record_bytes = limit;
            work(job, "12345")
        };
        assert_eq!(single(5).await.1, Done::Record(b"12345".to_vec()));
        assert_eq!(single(4).await.1, Done::Record(b"12345".to_vec()));
        assert_eq!(single(3).await.1, Done::Record(b"1234".to_vec()));
    }
}
