//! The ClickHouse server of a configuration, for who writes into it and for who asks it.

use std::time::Duration;

use telemetrics_analytics::clickhouse::ClickHouseSettings;
use telemetrics_collector::store::{ClickHouseStore, ClickHouseTarget};
use telemetrics_schema::layout::DataDir;
use tracing::{info, warn};

use crate::config::{ClickHouse, Config};
use crate::serve::StartError;

/// How long a start waits for a server to be made ready.
const SET_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// The file, in the data directory, that tells this directory from those of other collectors.
const OWNER_FILE: &str = "clickhouse-owner";

/// The writer into `server`, made ready before the first question can be asked.
///
/// A server that is away keeps nobody from posting: the drain goes on trying.
///
/// # Errors
/// What only a person can put right: a database of a newer program, a number that another collector has.
pub async fn open(config: &Config, server: &ClickHouse, data: &DataDir) -> Result<ClickHouseStore, StartError> {
    refuse_tls(server)?;
    let file = data.path().join(OWNER_FILE);
    let store = writer(config, server).claiming(config.collector_number, file);
    match tokio::time::timeout(SET_UP_TIMEOUT, store.set_up()).await {
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

/// Looks at the database of who only reads: it is made ready by whoever writes, perhaps later.
///
/// # Errors
/// What only a person can put right: a database of a newer program, or of another one.
pub async fn check(config: &Config, server: &ClickHouse) -> Result<(), StartError> {
    refuse_tls(server)?;
    match tokio::time::timeout(SET_UP_TIMEOUT, writer(config, server).check()).await {
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
    refuse_tls(server)?;
    let migrated = writer(config, server).migrate().await?;
    for migration in &migrated.applied {
        println!("applied {:04} {}", migration.version, migration.name);
    }
    let version = migrated.applied.last().map_or(migrated.from, |last| last.version);
    println!("the database {} at {} has schema version {version}", server.database, server.url);
    Ok(())
}

/// The writer, for work that does not deliver records.
#[must_use]
pub fn writer(config: &Config, server: &ClickHouse) -> ClickHouseStore {
    let target = ClickHouseTarget {
        database: server.database.clone(),
        user: server.user.clone(),
        password: server.password.reveal().to_owned(),
        request_timeout_ms: server.request_timeout_ms,
        is_compressed: server.is_compressed,
        ..ClickHouseTarget::new(server.url.to_string())
    };
    ClickHouseStore::new(&target, config.retention.clone())
}

/// Where questions go.
#[must_use]
pub fn for_questions(server: &ClickHouse) -> ClickHouseSettings {
    ClickHouseSettings {
        database: server.database.clone(),
        user: server.user.clone(),
        password: server.password.reveal().to_owned(),
        request_timeout_ms: server.request_timeout_ms,
        ..ClickHouseSettings::new(server.url.to_string())
    }
}

/// The client is built without TLS; every request would fail, and records would wait for ever.
fn refuse_tls(server: &ClickHouse) -> Result<(), StartError> {
    if server.url.scheme() == "https" {
        return Err(format!(
            "`store.clickhouse.url` ({}): this build reaches ClickHouse by http:// only; put a proxy that speaks TLS \
             beside it, or a tunnel",
            server.url
        )
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use telemetrics_collector::store::SetupError;

    use super::*;

    #[test]
    fn tls_is_refused_before_anything_is_sent() {
        let url = |text: &str| ClickHouse::at(url::Url::parse(text).expect("an address"));
        let error = refuse_tls(&url("https://h:8443")).expect_err("no TLS").to_string();
        assert!(error.contains("store.clickhouse.url") && error.contains("https://h:8443"), "{error}");
        assert!(refuse_tls(&url("http://h:8123")).is_ok());
    }

    #[test]
    fn only_what_may_pass_lets_a_start_go_on() {
        let newer = SetupError::Newer { database: "d".into(), found: 9, program: "9".into() };
        assert!(!newer.may_pass());
        assert!(SetupError::Unavailable("away".into()).may_pass());
    }
}
