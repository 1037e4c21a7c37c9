//! Batches of records in one request, for gateways and migrations: NDJSON or a JSON array, perhaps compressed.
//!
//! What the contract leaves open is decided so:
//! - A batch is a body of the type `application/x-ndjson`, or a JSON body that begins with `[`, in a request whose
//!   headers do not have the fields of a record. Its telemetry id and `X-CLR-External` hold for all its records.
//! - `line` counts all lines of an NDJSON body from 1, blank ones too; in an array it is the position, from 1. An error
//!   stands for one field of one line; 100 of them are listed, the lines are all counted in `rejected`.
//! - A line is limited as the body of a single record is, the batch in decoded bytes. A batch may have at most a line
//!   for every 64 bytes of its limit.
//! - Rejected lines are told and not kept, whatever `on_invalid` says: unlike a probe, who sends batches reads answers.
//! - An answer other than 200 has the same counts, a `message` and `next_line`: what stands before that line is dealt
//!   with, what was accepted of it is durable; nothing from there on was kept. A batch that is broken off inside of a
//!   line is told so with 400, one that arrives too slowly with 408, a journal that cannot take more with 503, a
//!   telemetry id over its rate limit with 429.
//! - A content encoding is also taken off a body that is no batch.
//!
//! Three stages work at the same time, each with little in its hands: the request's task reads from the network, a
//! thread decodes, and the task hands whole chunks to the journal, one after the other, so that what is durable is
//! always a beginning of the batch.

mod answer;
#[cfg(feature = "fuzzing")]
pub(super) mod fuzzing;
mod split;
mod work;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use telemetrics_schema::{Report, wire};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, timeout};

use super::answer::Refusal;
use super::encoding::Encoding;
use super::form::Form;
use super::ingest::{Ingest, headers_of};
use super::received::{Stop, pipe};
use crate::collector::{Accepted, Collector};
use crate::counters::Reason;
use answer::{End, Tally};
use work::{Chunk, Done, Job, Limits};

/// Batches that are received at the same time; more wait. Each holds a few MiB, and up to 8 MiB more with zstd.
pub const BATCHES_MAX: usize = 16;
/// Chunks of all batches that wait for the journal at the same time. They fill a quarter of its queue of records, so
/// that batches never make single records be refused.
const CHUNKS_IN_JOURNAL_MAX: usize = 4;
/// How long a batch may take to arrive, however fast its sender is. A sender that is slower sends smaller batches.
const BATCH_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a batch waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// What all batches share; clones share it.
#[derive(Clone)]
pub struct Batches {
    limit_bytes: usize,
    received: Arc<Semaphore>,
    in_journal: Arc<Semaphore>,
}

/// What a body was.
pub(super) enum Outcome {
    /// A batch, and its answer.
    Answered(Response),
    /// One record without its content encoding.
    Record(Bytes),
}

impl Batches {
    /// Batches of at most `limit_bytes`, decoded.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let received = Arc::new(Semaphore::new(BATCHES_MAX));
        Self { limit_bytes, received, in_journal: Arc::new(Semaphore::new(CHUNKS_IN_JOURNAL_MAX)) }
    }

    /// Largest batch in decoded bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Lets the journal have the records of a chunk when not too many others wait for it.
    async fn accept(&self, collector: &Collector, reports: Vec<Report>) -> Accepted {
        // An error says that the semaphore is closed, which nobody does.
        let _permit = self.in_journal.acquire().await;
        collector.accept_many(reports).await
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        match timeout(TURN_TIMEOUT, self.received.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable("too many batches arrive at the same time".to_owned())),
        }
    }
}

/// Receives a body that is or may be a batch, of which `first` was read before.
///
/// # Errors
/// See [`Refusal`]: nothing of the batch was accepted.
pub(super) async fn receive(
    ingest: &Ingest,
    headers: &HeaderMap,
    kind: (Form, Encoding),
    first: Bytes,
    body: Body,
) -> Result<Outcome, Refusal> {
    let request = wire::Request { headers: headers_of(headers), body: b"" };
    let rules = Arc::clone(&ingest.admission.now().rules);
    let external = wire::admit(&request, &rules)?;
    let limits = Limits { batch_bytes: ingest.batches.limit_bytes, record_bytes: ingest.body_limit_bytes };
    let (form, encoding) = kind;
    let job = Job { form, encoding, external, rules, limits };
    let _turn = ingest.batches.turn().await?;
    let Stages { tally, refused, done } = stages(ingest, headers, job, first, body).await;
    let end = match (refused, done) {
        (_, Done::Record(body)) => return record(body, limits).map(Outcome::Record),
        (None, Done::Batch(Err(stop))) if form == Form::Record => return Err(refusal(&stop, limits)),
        (Some(end), _) => end,
        (None, Done::Batch(Err(stop))) => End::Stopped(stop),
        (None, Done::Batch(Ok(()))) => End::Whole,
    };
    Ok(Outcome::Answered(answered(&ingest.collector, tally, &end, limits)))
}

/// What the three stages came to.
struct Stages {
    tally: Tally,
    /// Why no more was kept.
    refused: Option<End>,
    done: Done,
}

async fn stages(ingest: &Ingest, headers: &HeaderMap, job: Job, first: Bytes, body: Body) -> Stages {
    let (feeder, received) = pipe();
    let (sender, chunks) = mpsc::channel(1);
    let worker = tokio::task::spawn_blocking(move || work::run(&job, received, sender));
    let fed = feeder.feed(first, body, Instant::now() + BATCH_TIMEOUT);
    let ((), (tally, refused)) = tokio::join!(fed, keep(ingest, headers, chunks));
    let done = worker.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a batch was not decoded");
        Done::Batch(Err(Stop::Abandoned))
    });
    Stages { tally, refused, done }
}

/// Makes chunks durable, one after the other, until they end, or the journal or the rate limit refuses one.
async fn keep(ingest: &Ingest, headers: &HeaderMap, mut chunks: mpsc::Receiver<Chunk>) -> (Tally, Option<End>) {
    let mut tally = Tally::default();
    while let Some(mut chunk) = chunks.recv().await {
        let reports = std::mem::take(&mut chunk.reports);
        if let Err(retry) = ingest.check_rate(headers, u32::try_from(reports.len()).unwrap_or(u32::MAX)) {
            return (tally, Some(End::TooMany(retry)));
        }
        let accepted = ingest.batches.accept(&ingest.collector, reports).await;
        tally.add(chunk, &accepted);
        if let Some(error) = accepted.error {
            return (tally, Some(End::Refused(error)));
        }
    }
    (tally, None)
}

fn record(body: Vec<u8>, limits: Limits) -> Result<Bytes, Refusal> {
    let limit_bytes = limits.record_bytes;
    if body.len() > limit_bytes { Err(Refusal::TooLarge { limit_bytes }) } else { Ok(body.into()) }
}

/// Why a single record in a content encoding was not read.
fn refusal(stop: &Stop, limits: Limits) -> Refusal {
    match stop {
        Stop::TooLarge => Refusal::TooLarge { limit_bytes: limits.batch_bytes },
        Stop::Late => Refusal::Late(stop.to_string()),
        Stop::Broken(_) | Stop::Abandoned => Refusal::Body(stop.to_string()),
    }
}

fn answered(collector: &Collector, tally: Tally, end: &End, limits: Limits) -> Response {
    collector.counters().rejected(Reason::Invalid, tally.rejected());
    if let Some(reason) = end.reason() {
        collector.counters().rejected(reason, 1);
    }
    tally.answer(end, limits)
}
