//! A connection to one database of a server: every request has a time limit, and every failure a kind.

use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::query::Query;
use clickhouse::{Client, Compression, RowOwned, RowRead};

/// Time limit of a request when no setting says otherwise.
const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 60_000;

/// A server and what is needed to talk to it.
#[derive(Clone)]
pub struct ClickHouseTarget {
    /// Address of the HTTP interface, `http://host:8123`.
    pub url: String,
    /// Database of the table `records`; created when it is missing and may be.
    pub database: String,
    /// User name.
    pub user: String,
    /// Password, empty for none; never printed.
    pub password: String,
    /// How long one request may take, in milliseconds; the outcome of an insert is unknown then.
    pub request_timeout_ms: u64,
    /// Whether what is sent and received is compressed (LZ4).
    pub is_compressed: bool,
    /// What carries requests; `Client::default()` speaks HTTP without TLS.
    pub transport: Client,
}

impl ClickHouseTarget {
    /// The server's own user and database at `url`, with a time limit of one minute, compressed, without TLS.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "default".to_owned(),
            user: "default".to_owned(),
            password: String::new(),
            request_timeout_ms: REQUEST_TIMEOUT_MS_DEFAULT,
            is_compressed: true,
            transport: Client::default(),
        }
    }
}

impl std::fmt::Debug for ClickHouseTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, database, user, request_timeout_ms, .. } = self;
        let mut shown = f.debug_struct("ClickHouseTarget");
        shown.field("url", url).field("database", database).field("user", user);
        shown.field("request_timeout_ms", request_timeout_ms).finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    database: String,
    timeout: Duration,
}

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(super) enum Failure {
    /// No answer, or none in time: what was asked for may have happened.
    Silent(String),
    /// The server says no; the number is its own, where it gives one.
    Refused {
        /// The server's number of the error.
        code: Option<u32>,
        /// Its words.
        text: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Silent(text) | Self::Refused { text, .. }) = self;
        write!(f, "ClickHouse: {text}")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::BadResponse(answer) => {
                let text = format!("the server answered: {}", answer.trim());
                Self::Refused { code: code(&answer), text }
            }
            other => Self::Silent(with_causes(&other)),
        }
    }
}

/// The words of an error and of its causes: what failed is only in the innermost one.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let words = current.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = current.source();
    }
    text
}

/// The number in an answer like `Code: 60. DB::Exception: ...`.
fn code(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Connection {
    pub(super) fn new(target: &ClickHouseTarget) -> Self {
        let compression = if target.is_compressed { Compression::Lz4 } else { Compression::None };
        let client = target
            .transport
            .clone()
            .with_url(&target.url)
            .with_user(&target.user)
            .with_password(&target.password)
            .with_database(&target.database)
            .with_compression(compression);
        let timeout = Duration::from_millis(target.request_timeout_ms);
        Self { client, database: target.database.clone(), timeout }
    }

    /// The client, for requests that are no plain queries; put them through [`Connection::limited`].
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The database that requests are about.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// The database's name as SQL writes it.
    pub(super) fn quoted_database(&self) -> String {
        format!("`{}`", self.database.replace(['`', '\\'], ""))
    }

    /// The same server without a database, where a missing one cannot be entered to be made.
    pub(super) fn outside(&self) -> Self {
        Self { client: self.client.clone().with_database(""), ..self.clone() }
    }

    /// The same connection with one setting of the server for each request.
    pub(super) fn with_setting(&self, name: &str, value: &str) -> Self {
        Self { client: self.client.clone().with_setting(name, value), ..self.clone() }
    }

    /// Runs a statement without an answer.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.limited(self.query(sql).execute()).await
    }

    /// All rows of an answer, which have to be few.
    pub(super) async fn fetch<T: RowOwned + RowRead>(&self, sql: &str) -> Result<Vec<T>, Failure> {
        self.limited(self.query(sql).fetch_all()).await
    }

    /// A request that is cut off at the time limit.
    pub(super) async fn limited<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, request).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Failure::Silent(format!("no answer within {} ms", self.timeout.as_millis()))),
        }
    }

    /// Raw: a question mark in a text is no placeholder.
    fn query(&self, sql: &str) -> Query {
        self.client.query_raw(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_read() {
        assert_eq!(code("Code: 60. DB::Exception: no such table"), Some(60));
        assert_eq!(code("502 Bad Gateway"), None);
    }

    #[test]
    fn the_password_is_not_printed() {
        let target = ClickHouseTarget { password: "secret".to_owned(), ..ClickHouseTarget::new("http://h") };
        assert!(!format!("{target:?}").contains("secret"));
    }
}
