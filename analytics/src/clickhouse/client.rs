//! Connects a DataFusion session with the table `records` of one ClickHouse database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::clickhouse::{Client, Compression};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion_federation::sql::{RemoteTableRef, SQLFederationProvider, SQLTableSource};
use datafusion_federation::{FederatedQueryPlanner, FederatedTableProviderAdaptor, default_optimizer_rules};
use telemetrics_schema::columns::{RECORDS, record_schema};

use super::error::ClickHouseError;
use super::executor::Executor;
use crate::error::Error;
use crate::sizes::DaySizes;

/// What a question may take when no setting says otherwise.
const REQUEST_TIMEOUT_MS_DEFAULT: u64 = 60_000;

/// Settings of every query. They make ClickHouse answer as SQL, and thus DataFusion, does.
const QUERY_SETTINGS: [(&str, &str); 21] = [
    // The table of stacks and their guilties goes along with questions about crashes: 40 bytes for each stack.
    ("max_query_size", "67108864"),
    ("session_timezone", "UTC"),
    // That an aggregate of nothing is NULL is said by its name (`or_null.rs`): with this setting, no projection is used.
    ("aggregate_functions_null_for_empty", "0"),
    // The missing side of a join is NULL.
    ("join_use_nulls", "1"),
    ("cast_keep_nullable", "1"),
    ("count_distinct_implementation", "uniqExact"),
    // Without it, the start of a week or hour beyond the year 2149 or 2106 wraps around.
    ("enable_extended_results_for_datetime_functions", "1"),
    // A query whose reader is gone ends.
    ("cancel_http_readonly_queries_on_client_close", "1"),
    // Everything sent here reads; 2 still allows these settings.
    ("readonly", "2"),
    ("output_format_arrow_string_as_string", "1"),
    // The level of LZ4, too. The server's default, 3, takes three times as much of its processor as all the rest of
    // the query, and saves a fifth of the bytes.
    ("http_zlib_compression_level", "1"),
    // Ten columns have few distinct values: a fifth less to send, and far less to decode.
    ("output_format_arrow_low_cardinality_as_dictionary", "1"),
    // The newest rows are found by their keys and read whole afterwards, as many as a page may have and one that tells
    // whether there are more. At the default, one less, the largest page took ten times as long.
    ("query_plan_max_limit_for_lazy_materialization", "10001"),
    // What an operator may have set for the user: names of columns would change their meaning, ...
    ("prefer_column_name_to_alias", "0"),
    // ... and where a limit is reached, the answer would be short without an error.
    ("limit", "0"),
    ("offset", "0"),
    ("timeout_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("read_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("distinct_overflow_mode", "throw"),
];

/// What differs for answers without a limit.
const BULK_SETTINGS: [(&str, &str); 2] = [
    // While the reader takes nothing, the server waits; that it is silent for too long is noticed here.
    ("max_execution_time", "0"),
    // Several blocks are in memory on both sides; what they cost does not depend on their size from here on.
    ("max_block_size", "4096"),
];

/// The last number in the name of a part that was changed is that of the mutation; merges keep the greatest.
const DAY_SIZES: &str = "SELECT toInt32(toDate32(partition)), assumeNotNull(sum(rows)), assumeNotNull(sum(bytes_on_disk)), \
                         assumeNotNull(max(toUInt64OrZero(arrayElement(splitByChar('_', name), 5)))) FROM system.parts \
                         WHERE database = currentDatabase() AND table = 'records' AND active AND rows > 0 GROUP BY 1";

/// Where the server is, and what a question may take.
#[derive(Clone)]
pub struct ClickHouseSettings {
    /// The HTTP interface, `http://host:8123`.
    pub url: String,
    /// The database that holds the table `records`.
    pub database: String,
    /// Who asks; the right to read is enough.
    pub user: String,
    /// Never printed.
    pub password: String,
    /// Whether answers are compressed on their way, which is slower where the network is fast.
    pub is_compressed: bool,
    /// How long one query may run on the server, and how long the server may be silent, in milliseconds.
    pub request_timeout_ms: u64,
    /// Memory that one query may take on the server, in bytes; `None` for what the server allows its user.
    pub memory_bytes: Option<u64>,
    /// What carries requests; `Client::default()` speaks HTTP without TLS.
    pub transport: Client,
}

impl ClickHouseSettings {
    /// The server's own user and database at `url`, with a timeout of one minute, without TLS.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "default".to_owned(),
            user: "default".to_owned(),
            password: String::new(),
            is_compressed: true,
            request_timeout_ms: REQUEST_TIMEOUT_MS_DEFAULT,
            memory_bytes: None,
            transport: Client::default(),
        }
    }
}

impl fmt::Debug for ClickHouseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseSettings")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("is_compressed", &self.is_compressed)
            .field("request_timeout_ms", &self.request_timeout_ms)
            .finish_non_exhaustive()
    }
}

/// Asks one ClickHouse database. Clones share connections; nothing is sent before the first query.
#[derive(Clone, Debug)]
pub struct Reader {
    provider: Arc<SQLFederationProvider>,
    server: Server,
}

/// The server itself, for what is no question about records.
#[derive(Clone)]
struct Server {
    client: Client,
    timeout: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Reader {
    /// A reader of the database that `settings` name.
    #[must_use]
    pub fn new(settings: &ClickHouseSettings) -> Self {
        Self::asking(settings, query_client(settings), "questions")
    }

    /// A reader of the same database for answers without a limit, which take as long as those who read them.
    #[must_use]
    pub fn bulk(settings: &ClickHouseSettings) -> Self {
        let client = BULK_SETTINGS
            .iter()
            .fold(query_client(settings), |client, (name, value)| client.with_setting(*name, *value));
        Self::asking(settings, client, "bulk")
    }

    fn asking(settings: &ClickHouseSettings, client: Client, purpose: &str) -> Self {
        let timeout = Duration::from_millis(settings.request_timeout_ms);
        let context = format!("{} {} {} {purpose}", settings.url, settings.database, settings.user);
        let executor = Executor::new(client.clone(), context, timeout);
        let provider = Arc::new(SQLFederationProvider::new(Arc::new(executor)));
        Self { provider, server: Server { client, timeout } }
    }

    /// What the table takes on disk, by day of reception.
    ///
    /// # Errors
    /// As those of a question.
    pub async fn day_sizes(&self) -> Result<DaySizes, Error> {
        let Server { client, timeout } = &self.server;
        let rows = client.query_raw(DAY_SIZES).fetch_all::<(i32, u64, u64, u64)>();
        let Ok(rows) = tokio::time::timeout(*timeout, rows).await else {
            return Err(Error::Unavailable("no data within the time limit".to_owned()));
        };
        let rows = rows.map_err(ClickHouseError::from)?;
        let mut sizes = DaySizes::default();
        for (day, rows, bytes, changes) in rows {
            sizes.add(day, rows, bytes);
            sizes.changed(day, changes);
        }
        Ok(sizes)
    }
}

fn query_client(settings: &ClickHouseSettings) -> Client {
    let client = settings
        .transport
        .clone()
        .with_url(&settings.url)
        .with_database(&settings.database)
        .with_user(&settings.user)
        .with_password(&settings.password)
        .with_compression(if settings.is_compressed { Compression::Lz4 } else { Compression::None })
        // The server counts whole seconds; a part of one must not become none, which means no limit.
        .with_setting("max_execution_time", settings.request_timeout_ms.div_ceil(1_000).max(1).to_string());
    let client = match settings.memory_bytes {
        Some(bytes) => client.with_setting("max_memory_usage", bytes.to_string()),
        None => client,
    };
    QUERY_SETTINGS.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value))
}

/// The table `records` of the reader's database, for a session made from [`session_state`]; other sessions cannot
/// scan it.
#[must_use]
pub fn records_table(reader: &Reader) -> Arc<dyn TableProvider> {
    let name = RemoteTableRef::from(TableReference::bare(RECORDS));
    let source = SQLTableSource::new_with_schema(Arc::clone(&reader.provider), name, record_schema());
    Arc::new(FederatedTableProviderAdaptor::new(Arc::new(source)))
}

/// Finishes a session whose plans may be sent to ClickHouse: adds the rule that finds what to send, and the planner
/// that knows what was found. Optimizer rules set on `builder` before are replaced.
#[must_use]
pub fn session_state(builder: SessionStateBuilder) -> SessionState {
    builder
        .with_optimizer_rules(default_optimizer_rules())
        .with_query_planner(Arc::new(FederatedQueryPlanner::new()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_do_not_print_the_password() {
        let settings = ClickHouseSettings { password: "secret".to_owned(), ..ClickHouseSettings::new("http://x") };
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn a_timeout_below_a_second_is_not_unlimited() {
        let limit = |request_timeout_ms| {
            let settings = ClickHouseSettings { request_timeout_ms, ..ClickHouseSettings::new("http://x") };
            query_client(&settings).get_setting("max_execution_time").map(str::to_owned)
        };
        assert_eq!(limit(0).as_deref(), Some("1"));
        assert_eq!(limit(1_000).as_deref(), Some("1"));
        assert_eq!(limit(1_001).as_deref(), Some("2"));
    }
}
