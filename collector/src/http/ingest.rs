//! One request by HTTP: tell a batch from a record, read within limits, decode, make durable, answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use telemetrics_schema::answer::{Fields, write_json};
use telemetrics_schema::time::Clock;
use telemetrics_schema::wire::{self, Rejection, Rules};
use telemetrics_schema::{Record, Report};

use super::admission::Admission;
use super::answer::Refusal;
use super::aside::{OnInvalid, set_aside};
use super::batch::{self, Batches, Outcome};
use super::encoding::Encoding;
use super::form::{Form, is_json_space};
use crate::collector::Collector;
use crate::rate_limit::RetryAfter;

/// A body that takes longer than this is given up: a probe's own patience ends at 10 seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the ingest handler needs.
#[derive(Clone)]
pub struct Ingest {
    /// Where accepted reports go.
    pub collector: Collector,
    /// What is accepted, and how much of it.
    pub admission: Admission,
    /// What happens to a record that is not; lines of batches are refused always.
    pub on_invalid: OnInvalid,
    /// Largest body of one record.
    pub body_limit_bytes: usize,
    /// How batches are received.
    pub batches: Batches,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Ingest {
    /// Counts `records` of the telemetry id in `headers`; which ids are accepted is judged elsewhere.
    pub(super) fn check_rate(&self, headers: &HeaderMap, records: u32) -> Result<(), RetryAfter> {
        let admitted = self.admission.now();
        if admitted.rate_limits.is_off() {
            return Ok(());
        }
        let request = wire::Request { headers: headers_of(headers), body: b"" };
        let Some(telemetry_id) = wire::telemetry_id(&request) else { return Ok(()) };
        admitted.rate_limits.check(&telemetry_id, records, self.clock.now())
    }
}

/// `POST /`, `/v2/collector` and `/v3/collector`: each takes both generations and batches.
///
/// # Errors
/// See [`Refusal`]; a record is durable exactly when the answer is 201, those of a batch as its answer counts them.
pub async fn post_record(State(ingest): State<Arc<Ingest>>, request: Request) -> Result<Response, Refusal> {
    let outcome = handle(&ingest, request).await;
    if let Err(refusal) = &outcome {
        ingest.collector.counters().rejected(refusal.reason(), 1);
    }
    outcome
}

async fn handle(ingest: &Ingest, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    match sort_out(ingest, &head.headers, body).await? {
        Outcome::Answered(response) => Ok(response),
        Outcome::Record(body) => {
            ingest.check_rate(&head.headers, 1)?;
            match decode(&head.headers, &body, &ingest.admission.now().rules) {
                Ok(report) => Ok(created(&*ingest.collector.accept(report).await?)),
                Err(rejection) => {
                    let quarantine = ingest.collector.quarantine();
                    let aside = Box::pin(set_aside(quarantine, ingest.on_invalid, &head.headers, body, rejection));
                    let answer = aside.await?;
                    ingest.collector.counters().quarantined(1);
                    Ok(answer)
                }
            }
        }
    }
}

/// Reads a body that is one record, and handles one that is a batch.
async fn sort_out(ingest: &Ingest, headers: &HeaderMap, body: Body) -> Result<Outcome, Refusal> {
    let kind = (Form::of(headers), Encoding::of(headers)?);
    match kind {
        (Form::Record, Encoding::Identity) => {
            read(headers, Bytes::new(), body, ingest.body_limit_bytes).await.map(Outcome::Record)
        }
        (Form::Json, Encoding::Identity) => sort_json_out(ingest, headers, body).await,
        // In a box, as all that few requests need: otherwise each record pays for the room of it.
        _ => Box::pin(batch::receive(ingest, headers, kind, Bytes::new(), body)).await,
    }
}

/// JSON is what its first byte says: the body of a probe is here whole with it, and is never copied.
async fn sort_json_out(ingest: &Ingest, headers: &HeaderMap, mut body: Body) -> Result<Outcome, Refusal> {
    refuse_above(headers, ingest.batches.limit_bytes().max(ingest.body_limit_bytes))?;
    let first = within_time(peek(&mut body, ingest.body_limit_bytes)).await?;
    if first.first() == Some(&b'[') {
        let kind = (Form::Array, Encoding::Identity);
        return Box::pin(batch::receive(ingest, headers, kind, first, body)).await;
    }
    read(headers, first, body, ingest.body_limit_bytes).await.map(Outcome::Record)
}

/// The first piece of a body without the white space before it; empty when there is nothing else.
async fn peek(body: &mut Body, limit_bytes: usize) -> Result<Bytes, Refusal> {
    let mut blank_bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(mut data) = frame.into_data() else { continue };
        let blank = data.iter().take_while(|byte| is_json_space(**byte)).count();
        if blank < data.len() {
            return Ok(data.split_off(blank));
        }
        blank_bytes += blank;
        if blank_bytes > limit_bytes {
            return Err(Refusal::TooLarge { limit_bytes });
        }
    }
    Ok(Bytes::new())
}

/// The whole body, of which `first` was read before.
async fn read(headers: &HeaderMap, first: Bytes, body: Body, limit_bytes: usize) -> Result<Bytes, Refusal> {
    refuse_above(headers, limit_bytes)?;
    let Some(left_bytes) = limit_bytes.checked_sub(first.len()) else {
        return Err(Refusal::TooLarge { limit_bytes });
    };
    let rest = async {
        match Limited::new(body, left_bytes).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge { limit_bytes }),
            Err(error) => Err(broken(&error)),
        }
    };
    let rest = within_time(rest).await?;
    Ok(if first.is_empty() {
        rest
    } else if rest.is_empty() {
        first
    } else {
        [first, rest].concat().into()
    })
}

/// Said before anything is read, a client that waits for `100 Continue` need not send the body at all.
fn refuse_above(headers: &HeaderMap, limit_bytes: usize) -> Result<(), Refusal> {
    match announced_length(headers) {
        Some(length) if length > limit_bytes as u64 => Err(Refusal::TooLarge { limit_bytes }),
        _ => Ok(()),
    }
}

async fn within_time<T>(reading: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = |_| Refusal::Late(format!("The body took longer than {} seconds.", BODY_TIMEOUT.as_secs()));
    tokio::time::timeout(BODY_TIMEOUT, reading).await.map_err(late)?
}

fn broken(error: &impl std::fmt::Display) -> Refusal {
    Refusal::Body(format!("The body did not arrive: {error}."))
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn decode(headers: &HeaderMap, body: &[u8], rules: &Rules) -> Result<Report, Rejection> {
    wire::decode(&wire::Request { headers: headers_of(headers), body }, rules)
}

/// Names and raw values of all headers.
pub(super) fn headers_of(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

fn created(record: &Record) -> Response {
    let mut body = Vec::with_capacity(record.text_bytes() + 512);
    write_json(record, &Fields::all(), &mut body);
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
