//! One record by HTTP: read the body within its limits, decode, make durable, answer with the stored record.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use telemetrics_schema::answer::{Fields, write_json};
use telemetrics_schema::wire::{self, Rules};
use telemetrics_schema::{Record, Report};

use super::answer::Refusal;
use crate::collector::Collector;

/// A body that takes longer than this is given up: a probe's own patience ends at 10 seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What the ingest handler needs.
#[derive(Clone)]
pub struct Ingest {
    /// Where accepted reports go.
    pub collector: Collector,
    /// What is accepted.
    pub rules: Arc<Rules>,
    /// Largest body of one record.
    pub body_limit_bytes: usize,
}

/// `POST /`, `/v2/collector` and `/v3/collector`: each takes both generations.
///
/// # Errors
/// See [`Refusal`]; a record is durable exactly when the answer is 201.
pub async fn post_record(State(ingest): State<Ingest>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    check_encoding(&head.headers)?;
    let body = read(&head.headers, body, ingest.body_limit_bytes).await?;
    let report = decode(&head.headers, &body, &ingest.rules)?;
    let record = ingest.collector.accept(report).await?;
    Ok(created(&record))
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(Refusal::Encoding(String::from_utf8_lossy(encoding.as_bytes()).into_owned()))
        }
        _ => Ok(()),
    }
}

async fn read(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Refusal> {
    // Said before anything is read, a client that waits for `100 Continue` need not send the body at all.
    if announced_length(headers).is_some_and(|length| length > limit_bytes as u64) {
        return Err(Refusal::TooLarge { limit_bytes });
    }
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit_bytes).collect());
    match whole.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge { limit_bytes }),
        Ok(Err(error)) => Err(Refusal::Body(format!("The body did not arrive: {error}."))),
        Err(_) => Err(Refusal::Body(format!("The body took longer than {} seconds.", BODY_TIMEOUT.as_secs()))),
    }
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn decode(headers: &HeaderMap, body: &[u8], rules: &Rules) -> Result<Report, Refusal> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    Ok(wire::decode(&wire::Request { headers, body }, rules)?)
}

fn created(record: &Record) -> Response {
    let mut body = Vec::with_capacity(record.text_bytes() + 512);
    write_json(record, &Fields::all(), &mut body);
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
