//! The history in a table of ClickHouse that several web servers write.
//!
//! An insert carries the number of its entry as its deduplication token: of two inserts with one number the server drops
//! the second one without a word. So whoever inserted reads the number back, and the nonce tells whose entry it is. A
//! server that lost its memory of tokens in a power cut may keep both; then every reader takes the older one.

use std::time::Duration;

use clickhouse::Client;
use clickhouse::error::Error;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::curation::Entry;
use telemetrics_schema::ddl::quoted;
use telemetrics_schema::migrations::CURATION;
use tracing::warn;

use super::CurationError;

/// Most entries that are read at once.
const ROWS_MAX: usize = 1_000;

/// See the module.
pub(super) struct Table {
    client: Client,
    timeout: Duration,
}

/// Whose entry has the number.
pub(super) enum Winner {
    /// The one that was appended.
    Ours,
    /// This one, of somebody else.
    Another(Entry),
}

/// Entries in their order.
pub(super) struct Rows {
    pub(super) entries: Vec<Entry>,
    /// Whether there may be more.
    pub(super) is_full: bool,
}

impl Table {
    pub(super) fn new(client: Client, timeout_ms: u64) -> Self {
        Self { client, timeout: Duration::from_millis(timeout_ms) }
    }

    /// The entries from this number on.
    pub(super) async fn from(&self, sequence: u64) -> Result<Rows, CurationError> {
        let sql = format!(
            "SELECT sequence, toUnixTimestamp64Micro(time), who, nonce, what FROM `{CURATION}` \
             WHERE sequence >= {sequence} ORDER BY sequence, time, nonce LIMIT 1 BY sequence LIMIT {ROWS_MAX}"
        );
        let rows: Vec<(i64, i64, String, String, String)> =
            self.limited(self.client.query_raw(&sql).fetch_all()).await?;
        let is_full = rows.len() == ROWS_MAX;
        let entries = rows.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Rows { entries, is_full })
    }

    /// Writes an entry and finds out whether its number is its own.
    pub(super) async fn append(&self, entry: &Entry) -> Result<Winner, CurationError> {
        let outcome = self.insert(entry).await;
        if let Err(error) = &outcome {
            warn!(%error, "it is not clear whether an edit was saved");
        }
        let found = self.from(entry.sequence).await?.entries.into_iter().next();
        match found {
            Some(found) if found.nonce == entry.nonce => Ok(Winner::Ours),
            Some(found) => Ok(Winner::Another(found)),
            None => Err(outcome.err().unwrap_or_else(|| {
                CurationError::Unavailable("ClickHouse took an edit and does not have it".to_owned())
            })),
        }
    }

    async fn insert(&self, entry: &Entry) -> Result<(), CurationError> {
        let what = entry.what.json().map_err(CurationError::unavailable)?;
        let sql = format!(
            "INSERT INTO `{CURATION}` (sequence, time, who, nonce, what) VALUES ({}, {}, {}, {}, {})",
            entry.sequence,
            quoted(&instant(entry.time)),
            quoted(entry.who.as_deref().unwrap_or_default()),
            quoted(&entry.nonce_text()),
            quoted(&what),
        );
        let query = self
            .client
            .query_raw(&sql)
            // The default collects inserts in the server's memory and answers before they are anywhere else.
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            .with_setting("insert_deduplication_token", format!("{CURATION}-{}", entry.sequence));
        self.limited(query.execute()).await
    }

    async fn limited<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, CurationError> {
        let unavailable = |reason: String| CurationError::Unavailable(format!("ClickHouse: {reason}"));
        let in_time = tokio::time::timeout(self.timeout, request).await;
        let outcome = in_time.map_err(|_| unavailable(format!("no answer within {} ms", self.timeout.as_millis())))?;
        outcome.map_err(|error| unavailable(error.to_string()))
    }
}

/// Microseconds since the epoch as the server reads them: seconds with six decimals.
fn instant(time: TimestampUs) -> String {
    let micros = time.0.rem_euclid(telemetrics_schema::time::US_PER_S);
    format!("{}.{micros:06}", time.as_s())
}

fn entry((sequence, time_us, who, nonce, what): (i64, i64, String, String, String)) -> Result<Entry, CurationError> {
    let number = u64::try_from(sequence).map_err(CurationError::unavailable)?;
    Entry::from_columns(number, TimestampUs(time_us), who, &nonce, &what)
        .map_err(|error| CurationError::Unavailable(format!("entry {sequence} of the history of curation: {error}")))
}
