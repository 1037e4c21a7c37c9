//! `POST /api/sql`: one statement of a user that only asks, over the tables of `telemetrics_analytics::sql`.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Version, header};
use axum::response::Response;
use serde::Deserialize;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::crashes::guilties_of;
use telemetrics_analytics::sql::{Bound, CRASHES, STATEMENT_BYTES_MAX, SqlLimits};
use telemetrics_analytics::{Analytics, Error, View, sql};
use telemetrics_schema::TimestampUs;

use super::params::{Pairs, no_duplicates};
use super::{said, with_pending};
use crate::config::Sql;
use crate::error::{InvalidParameter, WebError};
use crate::formats::{self, AnswerCounts, Choice, Deadline, Form, Format, Slot, Workers};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Largest body, in bytes: a form may write each byte of a statement with three, JSON with six.
pub const BODY_BYTES_MAX: usize = 6 * STATEMENT_BYTES_MAX + 64;

/// What statements run on, apart from everything else.
#[derive(Clone)]
pub struct Statements {
    /// Who asks: in ClickHouse perhaps another user than that of our own questions.
    pub analytics: Arc<Analytics>,
    /// Its threads.
    workers: Arc<Workers>,
    limits: SqlLimits,
    time_limit: Duration,
}

impl Statements {
    /// Starts threads for statements over `analytics`.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(config: &Sql, analytics: Arc<Analytics>) -> std::io::Result<Self> {
        let time_limit = Duration::from_secs(config.time_s);
        let workers = Arc::new(Workers::for_statements(config.threads, config.statements, time_limit)?);
        let limits = SqlLimits { memory_bytes: config.memory_bytes, rows: config.rows, threads: config.threads };
        Ok(Self { analytics, workers, limits, time_limit })
    }

    /// What is counted of them.
    #[must_use]
    pub fn counts(&self) -> AnswerCounts {
        self.workers.counts()
    }

    /// The columns that the answer to `statement` has; nothing of it is read, and no turn is needed.
    ///
    /// # Errors
    /// [`WebError::Question`] says what is refused, or that it took too long.
    pub async fn columns(&self, statement: Bound, now: TimestampUs) -> Result<SchemaRef, WebError> {
        let (view, limits) = (self.analytics.at(now).await?, self.limits);
        let columns = async move { Ok(sql::answer_bound(&view, &statement, &limits).await?.schema()) };
        self.workers.run(columns, None, Deadline::after(self.time_limit)).await
    }

    /// Waits for a turn, then for what was acknowledged; `text` is the statement.
    ///
    /// # Errors
    /// [`WebError`] when others take too long, or the store cannot be read.
    pub async fn begin(state: &AppState, text: &str) -> Result<Turn, WebError> {
        let Self { analytics, workers, limits, time_limit } = state.statements.clone();
        let slot = workers.slot().await?;
        let deadline = Deadline::after(time_limit);
        let asked = state.ask_of(&analytics, state.clock.now()).await?;
        let view = with_guilties(state, asked.view, text).await?;
        Ok(Turn { view, pending: asked.pending, limits, workers, slot, deadline })
    }
}

/// The turn of one statement.
pub struct Turn {
    /// What it sees.
    pub view: View,
    /// Acknowledged records that it does not see.
    pub pending: usize,
    /// What it may take.
    pub limits: SqlLimits,
    /// What it runs on.
    pub workers: Arc<Workers>,
    /// Its right to run.
    pub slot: Slot,
    /// When its answer has to be whole.
    pub deadline: Deadline,
}

/// Answers a statement in the format that was asked for.
///
/// # Errors
/// 400 says what is refused or wrong, 422 which limit was reached, 503 that too many statements run.
#[utoipa::path(
    post,
    path = "/api/sql",
    operation_id = "sql",
    summary = "The answer to a statement in SQL",
    tag = "exports",
    params(parameters::FormatOfRecords),
    request_body(description = "One statement that only asks.", content((String = "text/plain", example = "SELECT build, count(*) AS records FROM records GROUP BY build ORDER BY records DESC LIMIT 10"), (Said = "application/json"), (Said = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "The rows of the answer, broken off visibly where it fails.", content((answers::Rows = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.arrow.stream"), (Vec<u8> = "application/vnd.apache.parquet"))), answers::Refused),
)]
pub async fn answer(
    State(state): State<AppState>,
    version: Version,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, WebError> {
    let format = format(&pairs)?;
    let body = body.map_err(|_| Error::TooMuch(format!("a statement has at most {STATEMENT_BYTES_MAX} bytes")))?;
    let statement = statement(&headers, &body)?;
    let Turn { view, pending, limits, workers, slot, deadline } = Statements::begin(&state, &statement).await?;
    // All of it happens on threads with room on their stacks.
    let rows = async move { sql::answer(&view, &statement, &limits).await };
    let form = Form { choice: Choice::of(format, &Format::ALL, &headers), fields: None, version };
    let response = formats::answer_within(&workers, rows, form, Some(slot), deadline).await?;
    Ok(with_pending(response, pending))
}

/// The view with the causes of crashes, where the statement may ask for them.
async fn with_guilties(state: &AppState, view: View, statement: &str) -> Result<View, WebError> {
    if !statement.to_ascii_lowercase().contains(CRASHES) {
        return Ok(view);
    }
    let said = said::Said::now(state).await?;
    let guilties = guilties_of(&view, said.causes(state), &RecordFilter::default()).await?;
    Ok(view.with_guilties(guilties))
}

fn format(pairs: &Pairs) -> Result<Option<Format>, InvalidParameter> {
    no_duplicates(pairs)?;
    let mut format = None;
    for (name, value) in pairs {
        match name.as_str() {
            "format" => format = Some(Format::parse(name, value, &Format::ALL)?),
            _ => return Err(InvalidParameter::new(name, "is unknown: the statement is the body of the request")),
        }
    }
    Ok(format)
}

/// A statement in a body of JSON or of a form.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The statement.
    #[schema(example = "SELECT count(*) AS records FROM records")]
    sql: String,
}

/// The statement in a body: JSON, a form, or the text itself.
fn statement(headers: &HeaderMap, body: &[u8]) -> Result<String, WebError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => {
            let said = serde_json::from_slice::<Said>(body);
            said.map(|said| said.sql).map_err(|_| impossible("The body has to be {\"sql\": \"...\"}"))
        }
        "application/x-www-form-urlencoded" => {
            let fields: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
            match fields.as_slice() {
                [(name, value)] if name == "sql" => Ok(value.clone()),
                _ => Err(impossible("A form has one field, sql; a statement alone is of the type text/plain")),
            }
        }
        _ => match std::str::from_utf8(body) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(impossible("A statement is UTF-8")),
        },
    }
}

fn impossible(reason: &str) -> WebError {
    WebError::Impossible(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(media_type: Option<&'static str>, body: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        if let Some(media_type) = media_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        }
        statement(&headers, body.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_statement_comes_as_text_as_json_or_as_a_form() {
        for (media_type, body) in [
            (None, "SELECT 'a+b%20'"),
            (Some("text/plain; charset=utf-8"), "SELECT 'a+b%20'"),
            (Some("Application/JSON"), r#"{"sql": "SELECT 'a+b%20'"}"#),
            (Some("application/x-www-form-urlencoded"), "sql=SELECT+'a%2Bb%2520'"),
        ] {
            assert_eq!(read(media_type, body).as_deref(), Ok("SELECT 'a+b%20'"), "{media_type:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for (media_type, body) in [
            ("application/json", "SELECT 1"),
            ("application/json", r#"{"sql": 1}"#),
            ("application/json", r#"{"sql": "SELECT 1", "rows": 1}"#),
            ("application/x-www-form-urlencoded", "SELECT 1"),
            ("application/x-www-form-urlencoded", "sql=SELECT 1&sql=SELECT 2"),
        ] {
            assert!(read(Some(media_type), body).is_err(), "{media_type}: {body}");
        }
    }

    #[test]
    fn the_format_is_the_only_parameter() {
        let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
        assert_eq!(format(&pairs("")), Ok(None));
        assert_eq!(format(&pairs("format=csv")), Ok(Some(Format::Csv)));
        for bad in ["format=xlsx", "sql=SELECT 1", "format=csv&format=csv"] {
            assert!(format(&pairs(bad)).is_err(), "{bad}");
        }
    }
}
