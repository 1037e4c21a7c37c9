//! The ClickHouse server of a configuration, for who writes into it and for who asks it.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Compression};
use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget, SetupError};
use telemetrics_schema::CollectorNumber;
use telemetrics_schema::layout::DataDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{ClickHouse, Config};
use crate::serve::StartError;
use crate::transport::transport;

/// How long a start waits for a server to be made ready.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a page waits for the server to say its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two attempts to change how long a server keeps records.
const EXPIRE_PAUSE: Duration = Duration::from_secs(30);
/// The file, in the data directory, that tells this directory from those of other collectors.
const OWNER_FILE: &str = "clickhouse-owner";

/// The writer into `server`, made ready before the first question can be asked.
///
/// A server that is away keeps nobody from posting: the drain goes on trying.
///
/// # Errors
/// What only a person can put right: a database of a newer program, a number that another collector has.
pub async fn open(config: &Config, server: &ClickHouse, data: &DataDir) -> Result<ClickHouseStore, StartError> {
    let store = claiming(config, server, data, config.collector_number)?;
    let outcome = tokio::time::timeout(SET_UP_TIMEOUT, store.set_up()).await;
    match outcome.map(|outcome| ready(outcome, server)) {
        Ok(Ok(migrated)) => {
            for migration in migrated.applied {
                info!(version = migration.version, name = migration.name, "applied a migration");
            }
        }
        Ok(Err(error)) if error.may_pass() => warn!(%error, "starting without the store"),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => warn!(limit_s = SET_UP_TIMEOUT.as_secs(), "starting without the store, it does not answer"),
    }
    Ok(store)
}

/// Has the server delete by the policy that holds, whenever another one does, until it is time to stop.
pub async fn expire(store: ClickHouseStore, changed: Arc<Notify>, stop: CancellationToken) {
    while stop.run_until_cancelled(changed.notified()).await.is_some() {
        while let Err(error) = store.expire().await {
            warn!(%error, "the table keeps the retention policy before, it is tried again");
            if stop.run_until_cancelled(tokio::time::sleep(EXPIRE_PAUSE)).await.is_none() {
                return;
            }
        }
    }
}

/// Looks at the database of who only reads: it is made ready by whoever writes, perhaps later.
///
/// # Errors
/// What only a person can put right: a database of a newer program, or of another one.
pub async fn check(config: &Config, server: &ClickHouse) -> Result<(), StartError> {
    let writer = writer(config, server)?;
    let outcome = tokio::time::timeout(SET_UP_TIMEOUT, writer.check()).await;
    match outcome.map(|outcome| ready(outcome, server)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.may_pass() => warn!(%error, "questions cannot be answered yet"),
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => warn!(limit_s = SET_UP_TIMEOUT.as_secs(), "the store does not answer"),
    }
    Ok(())
}

/// `telemetrics migrate`: applies what is missing and says what it did.
///
/// # Errors
/// When there is no server, it cannot be reached, or a migration failed; as a sentence that says what to do.
pub async fn migrate(config: &Config) -> Result<(), StartError> {
    let Some(server) = config.store.clickhouse() else {
        return Err(
            "only a ClickHouse server has migrations: name one with --clickhouse or in [store.clickhouse]".into()
        );
    };
    let migrated = ready(writer(config, server)?.migrate().await, server)?;
    for migration in &migrated.applied {
        println!("applied {:04} {}", migration.version, migration.name);
    }
    let version = migrated.applied.last().map_or(migrated.from, |last| last.version);
    println!("the database {} at {} has schema version {version}", server.database, server.url);
    Ok(())
}

/// The writer that takes the collector number `number` in the database, in the name of the data directory.
///
/// # Errors
/// As those of [`transport`].
pub fn claiming(
    config: &Config,
    server: &ClickHouse,
    data: &DataDir,
    number: CollectorNumber,
) -> Result<ClickHouseStore, StartError> {
    Ok(writer(config, server)?.claiming(number, data.path().join(OWNER_FILE)))
}

/// The writer, for work that does not deliver records.
///
/// # Errors
/// As those of [`transport`].
pub fn writer(config: &Config, server: &ClickHouse) -> Result<ClickHouseStore, StartError> {
    let target = ClickHouseTarget {
        database: server.database.clone(),
        user: server.user.clone(),
        password: server.password.reveal().to_owned(),
        request_timeout_ms: server.request_timeout_ms,
        is_compressed: server.is_compressed,
        transport: transport(server)?,
        ..ClickHouseTarget::new(server.url.to_string())
    };
    Ok(ClickHouseStore::new(&target, config.retention.clone()))
}

/// Where questions go.
///
/// # Errors
/// As those of [`transport`].
pub fn for_questions(server: &ClickHouse) -> Result<ClickHouseSettings, StartError> {
    Ok(ClickHouseSettings {
        database: server.database.clone(),
        user: server.user.clone(),
        password: server.password.reveal().to_owned(),
        is_compressed: server.is_compressed,
        request_timeout_ms: server.request_timeout_ms,
        transport: transport(server)?,
        ..ClickHouseSettings::new(server.url.to_string())
    })
}

/// A client for the tables of the database that are no records.
///
/// # Errors
/// As those of [`transport`].
pub fn client(server: &ClickHouse) -> Result<Client, StartError> {
    let compression = if server.is_compressed { Compression::Lz4 } else { Compression::None };
    Ok(transport(server)?
        .with_url(server.url.to_string())
        .with_user(&server.user)
        .with_password(server.password.reveal())
        .with_database(&server.database)
        .with_compression(compression))
}

/// Asks a server which version it is: it may be upgraded while this process runs.
#[derive(Clone)]
pub struct ServerVersion(Client);

impl ServerVersion {
    /// Asks `server`.
    ///
    /// # Errors
    /// As those of [`transport`].
    pub fn of(server: &ClickHouse) -> Result<Self, StartError> {
        Ok(Self(client(server)?))
    }

    /// The version, or why it is not known, in a few words.
    pub async fn ask(&self) -> String {
        let asked = self.0.query("SELECT version()").fetch_one::<String>();
        match tokio::time::timeout(VERSION_TIMEOUT, asked).await {
            Ok(Ok(version)) => version,
            Ok(Err(error)) => format!("not known: {error}"),
            Err(_) => "not known: it does not answer".to_owned(),
        }
    }
}

/// Where statements of users go: perhaps as another user, and with the limits of statements on the server's side, too.
///
/// # Errors
/// As those of [`transport`].
pub fn for_statements(config: &Config, server: &ClickHouse) -> Result<ClickHouseSettings, StartError> {
    let settings = for_questions(server)?;
    let (user, password) = match &server.sql_user {
        Some(user) => (user.clone(), server.sql_password.reveal().to_owned()),
        None => (settings.user, settings.password),
    };
    let request_timeout_ms = config.sql.time_s.saturating_mul(1_000);
    let memory_bytes = Some(config.sql.memory_bytes as u64);
    Ok(ClickHouseSettings { user, password, request_timeout_ms, memory_bytes, ..settings })
}

/// What a server answered to the one who made it ready, in words that say what to do.
///
/// # Errors
/// As they were, with more words.
pub fn ready<T>(outcome: Result<T, SetupError>, server: &ClickHouse) -> Result<T, SetupError> {
    outcome.map_err(|error| explained(error, server))
}

/// Adds to an answer that is no HTTP what it most likely is: the port of TLS, asked without it.
fn explained(error: SetupError, server: &ClickHouse) -> SetupError {
    match error {
        SetupError::Unavailable(text) if server.url.scheme() == "http" && is_no_http(&text) => {
            SetupError::Unavailable(format!(
                "{text} (what answers at {} does not speak HTTP; the address of a port with TLS begins with https://)",
                server.url
            ))
        }
        error => error,
    }
}

/// What the HTTP client says of bytes that are no answer, and of a connection that ended instead of one.
fn is_no_http(text: &str) -> bool {
    ["invalid HTTP", "connection closed before message completed"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_http_is_taken_for_tls() {
        let server = ClickHouse::at(url::Url::parse("http://h:8443").expect("an address"));
        let words = |text: &str| explained(SetupError::Unavailable(text.to_owned()), &server).to_string();
        assert!(words("ClickHouse: network error: invalid HTTP version parsed").contains("begins with https://"));
        assert_eq!(words("ClickHouse: connection refused"), "ClickHouse: connection refused");
    }

    #[test]
    fn only_what_may_pass_lets_a_start_go_on() {
        let newer = SetupError::Newer { database: "d".into(), found: 9, program: "9".into() };
        assert!(!newer.may_pass());
        assert!(SetupError::Unavailable("away".into()).may_pass());
    }
}
