//! What the sender of a batch is told: how far it came, and what was wrong with which line.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::super::answer::RETRY_AFTER_S;
use super::super::received::Stop;
use super::work::{Chunk, Limits, LineError};
use crate::collector::Accepted;
use crate::counters::Reason;
use crate::journal::AppendError;
use crate::rate_limit::RetryAfter;

/// Errors that an answer lists; more are only counted.
pub(super) const ERRORS_MAX: usize = 100;

/// The body of the answer.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tally {
    /// One sentence; only when the batch came to no good end.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Records that are durable.
    accepted: u64,
    /// Lines that are no valid record.
    rejected: u64,
    /// What was wrong, field by field, with the first lines of them.
    errors: Vec<LineError>,
    /// Only when the batch came to no good end: every line before this one is accepted or rejected, no line from here on
    /// is either.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_line: Option<u64>,
    #[serde(skip)]
    reached: u64,
}

/// How a batch ended, by what its sender has to do.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing.
    Whole,
    /// Something is wrong with the body.
    Stopped(Stop),
    /// The journal did not take a record.
    Refused(AppendError),
    /// The telemetry id sends too much.
    TooMany(RetryAfter),
}

impl Tally {
    /// Counts a chunk of which the first `accepted.records` records are durable. What stands behind the first one that is
    /// not is left to the next attempt, valid or not.
    pub(super) fn add(&mut self, chunk: Chunk, accepted: &Accepted) {
        let next = match accepted.error {
            None => chunk.next_line(),
            Some(_) => chunk.lines.get(accepted.records).copied().unwrap_or(chunk.next_line()),
        };
        self.accepted += accepted.records as u64;
        self.reached = next - 1;
        for rejected in chunk.rejected.into_iter().take_while(|rejected| rejected.line < next) {
            self.rejected += 1;
            let line = rejected.line;
            let room = ERRORS_MAX - self.errors.len();
            self.errors.extend(rejected.errors.into_iter().take(room).map(|error| LineError { line, error }));
        }
    }

    /// Lines that were no valid record.
    pub(super) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// The answer to a batch that ended so.
    pub(super) fn answer(mut self, end: &End, limits: Limits) -> Response {
        if let Some(message) = end.message(limits) {
            (self.message, self.next_line) = (Some(message), Some(self.reached + 1));
        }
        let mut response = (end.status(), Json(self)).into_response();
        if let Some(retry_after) = end.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response
    }
}

impl End {
    /// What to count the end as; `None` when there is nothing wrong with it.
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Whole => None,
            Self::Stopped(Stop::TooLarge) => Some(Reason::TooLarge),
            Self::Stopped(Stop::Late | Stop::Broken(_) | Stop::Abandoned) => Some(Reason::Body),
            Self::Refused(AppendError::Invalid(_)) => Some(Reason::Invalid),
            Self::Refused(_) => Some(Reason::Unavailable),
            Self::TooMany(_) => Some(Reason::RateLimit),
        }
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        match (self.reason(), self) {
            (_, Self::TooMany(RetryAfter { seconds })) => Some(HeaderValue::from(*seconds)),
            (Some(Reason::Unavailable), _) => Some(RETRY_AFTER_S),
            _ => None,
        }
    }

    fn status(&self) -> StatusCode {
        match (self.reason(), self) {
            (None, _) => StatusCode::OK,
            (_, Self::Stopped(Stop::Late)) => StatusCode::REQUEST_TIMEOUT,
            (Some(Reason::TooLarge), _) => StatusCode::PAYLOAD_TOO_LARGE,
            (Some(Reason::Unavailable), _) => StatusCode::SERVICE_UNAVAILABLE,
            (Some(Reason::RateLimit), _) => StatusCode::TOO_MANY_REQUESTS,
            (Some(_), _) => StatusCode::BAD_REQUEST,
        }
    }

    fn message(&self, limits: Limits) -> Option<String> {
        Some(match self {
            Self::Whole => return None,
            Self::Stopped(Stop::TooLarge) => format!(
                "The batch is larger than {} bytes, or has more than {} lines.",
                limits.batch_bytes,
                limits.lines()
            ),
            Self::Stopped(stop @ (Stop::Late | Stop::Broken(_))) => stop.to_string(),
            Self::Stopped(Stop::Abandoned) => "The body was not read to its end.".to_owned(),
            Self::Refused(AppendError::Invalid(reason)) => format!("A record cannot be kept: {reason}."),
            Self::TooMany(retry) => format!("Too many records: {retry}."),
            Self::Refused(error) => format!("The next record could not be made durable: {error}."),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};
    use telemetrics_schema::Report;
    use telemetrics_schema::wire::FieldError;

    use super::super::work::Rejected;
    use super::*;

    const LIMITS: Limits = Limits { batch_bytes: 6_400, record_bytes: 100 };

    fn rejected(line: u64, errors: usize) -> Rejected {
        let error = |n| FieldError { field: format!("field{n}"), reason: "is missing".to_owned() };
        Rejected { line, errors: (0..errors).map(error).collect() }
    }

    fn chunk(valid: &[u64], invalid: &[u64]) -> Chunk {
        let rejected = invalid.iter().map(|line| rejected(*line, 1)).collect();
        Chunk { reports: vec![Report::default(); valid.len()], lines: valid.to_vec(), rejected, ..Chunk::default() }
    }

    async fn answered(tally: Tally, end: End) -> (u16, bool, Value) {
        let response = tally.answer(&end, LIMITS);
        let status = response.status().as_u16();
        let retry = response.headers().contains_key(header::RETRY_AFTER);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, retry, serde_json::from_slice(&body).expect("JSON"))
    }

    fn all(records: usize) -> Accepted {
        Accepted { records, error: None }
    }

    #[tokio::test]
    async fn a_good_end_has_counts_and_errors_and_nothing_else() {
        let mut tally = Tally::default();
        tally.add(chunk(&[1, 3], &[2]), &all(2));
        let body =
            json!({"accepted": 2, "rejected": 1, "errors": [{"line": 2, "field": "field0", "reason": "is missing"}]});
        assert_eq!(answered(tally, End::Whole).await, (200, false, body));
        let nothing = json!({"accepted": 0, "rejected": 0, "errors": []});
        assert_eq!(answered(Tally::default(), End::Whole).await, (200, false, nothing));
    }

    #[tokio::test]
    async fn a_bad_end_says_where_to_go_on() {
        for (end, status, retry, message) in [
            (
                End::Stopped(Stop::TooLarge),
                413,
                false,
                "The batch is larger than 6400 bytes, or has more than 100 lines.",
            ),
            (End::Stopped(Stop::Broken("It broke.".to_owned())), 400, false, "It broke."),
            (
                End::Stopped(Stop::Late),
                408,
                false,
                "The body took too long to arrive: send 16384 bytes a second at least, or less at once.",
            ),
            (
                End::Refused(AppendError::Full("quota_bytes are used")),
                503,
                true,
                "The next record could not be made durable: the journal is full: quota_bytes are used.",
            ),
            (
                End::TooMany(RetryAfter { seconds: 3 }),
                429,
                true,
                "Too many records: the telemetry id is over its rate limit, try again in 3 s.",
            ),
            (
                End::Refused(AppendError::Invalid("too large".to_owned())),
                400,
                false,
                "A record cannot be kept: too large.",
            ),
        ] {
            let mut tally = Tally::default();
            tally.add(chunk(&[1, 2], &[5]), &all(2));
            let (got, has_retry, body) = answered(tally, end).await;
            assert_eq!((got, has_retry, body["message"].as_str()), (status, retry, Some(message)));
            assert_eq!((&body["next_line"], &body["accepted"], &body["rejected"]), (&json!(6), &json!(2), &json!(1)));
        }
        let (_, _, body) = answered(Tally::default(), End::Stopped(Stop::TooLarge)).await;
        assert_eq!(body["next_line"], 1);
    }

    #[test]
    fn what_stands_behind_the_first_record_that_was_not_kept_does_not_count() {
        let mut tally = Tally::default();
        let error = Some(AppendError::Full("queue_records wait already"));
        tally.add(chunk(&[1, 3, 6], &[2, 4, 7]), &Accepted { records: 2, error });
        assert_eq!((tally.accepted, tally.rejected, tally.reached), (2, 2, 5));
        assert_eq!(tally.errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn errors_are_listed_up_to_their_limit() {
        let mut tally = Tally::default();
        let mut chunk = chunk(&[], &[]);
        chunk.rejected = (1..=40).map(|line| rejected(line, 3)).collect();
        tally.add(chunk, &all(0));
        assert_eq!((tally.rejected, tally.errors.len()), (40, ERRORS_MAX));
        assert_eq!(tally.errors.last().map(|error| error.line), Some(34));
    }
}
