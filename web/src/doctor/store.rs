//! The store: whether it can be read and written, is of this program's version, and keeps to the retention policy.

use std::time::Duration;

use telemetrics_analytics::questions::expired::expired;
use telemetrics_analytics::questions::newest::newest;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::store::SetupError;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::ddl::quoted;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;

use super::report::Finding;
use crate::clickhouse;
use crate::config::{ClickHouse, Config};
use crate::pages::text::thousands;
use crate::serve::StartError;

/// How long a server may take for the answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// What the user of the configuration has to be allowed.
const RIGHTS: &str = "SELECT, INSERT, ALTER, CREATE TABLE";

/// What was found.
#[derive(Default)]
pub(super) struct Store {
    pub(super) findings: Vec<Finding>,
    /// When its newest record was received.
    pub(super) newest: Option<TimestampUs>,
}

/// Looks at the store of the configuration.
pub(super) async fn check(config: &Config, now: TimestampUs) -> Store {
    let checked = async {
        match config.store.clickhouse() {
            Some(server) => in_clickhouse(config, server, now).await,
            None => in_directory(config, now).await,
        }
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(checked)).await {
        Ok(store) => store,
        Err(_) => unreadable(&format!("no answer in {} s", ANSWER_TIMEOUT.as_secs())),
    }
}

async fn in_directory(config: &Config, now: TimestampUs) -> Store {
    let table = DataDir::new(&config.data_dir).records_table();
    if !table.join("_delta_log").is_dir() {
        return Store { findings: vec![Finding::ok("store", "embedded, and nothing is in it yet")], newest: None };
    }
    let opened = EmbeddedReader::open(&table, config.collector_number, Recent::default()).await;
    match opened.and_then(|reader| Analytics::embedded(reader, Limits::without_retention())) {
        Ok(analytics) => read(config, &analytics, now, "embedded").await,
        Err(error) => unreadable(&error.to_string()),
    }
}

async fn in_clickhouse(config: &Config, server: &ClickHouse, now: TimestampUs) -> Store {
    let checked = async {
        clickhouse::ready(clickhouse::writer(config, server)?.check().await, server)?;
        let words = words(server).await?;
        let analytics = Analytics::clickhouse(&clickhouse::for_questions(server)?, Limits::without_retention())?;
        Ok::<_, StartError>((words, analytics))
    };
    match checked.await {
        Ok((words, analytics)) => {
            let mut store = read(config, &analytics, now, &words).await;
            store.findings.insert(1, rights(server).await);
            store
        }
        Err(error) => Store { findings: vec![refused(&error)], newest: None },
    }
}

async fn words(server: &ClickHouse) -> Result<String, StartError> {
    let version: String = clickhouse::client(server)?.query("SELECT version()").fetch_one().await?;
    Ok(format!("ClickHouse {version} at {}, database {}", server.url, server.database))
}

fn refused(error: &StartError) -> Finding {
    let advice = match error.downcast_ref::<SetupError>() {
        Some(SetupError::Older { .. }) => "telemetrics migrate, or start the server, which does it",
        Some(SetupError::Newer { .. }) => "start the newer program; see docs/upgrade.md",
        Some(SetupError::Unavailable(_)) => {
            "start ClickHouse; look at [store.clickhouse]: url, user, password, database"
        }
        _ => "see docs/clickhouse.md",
    };
    Finding::problem("store", error.to_string(), advice)
}

/// Whether the user may do what a server does.
async fn rights(server: &ClickHouse) -> Finding {
    let database = quoted(&server.database).replace('\'', "`");
    let asked = async {
        let sql = format!("CHECK GRANT {RIGHTS} ON {database}.*");
        Ok::<u8, StartError>(clickhouse::client(server)?.query(&sql).fetch_one::<u8>().await?)
    };
    let advice = format!("GRANT {RIGHTS} ON {database}.* TO the user of the configuration; see docs/clickhouse.md");
    match asked.await {
        Ok(0) => Finding::problem("rights", format!("the user {} may not do all of {RIGHTS}", server.user), advice),
        Ok(_) => Finding::ok("rights", format!("the user {} may do {RIGHTS}", server.user)),
        Err(error) => {
            Finding::warning("rights", format!("the server does not say what {} may: {error}", server.user), advice)
        }
    }
}

async fn read(config: &Config, analytics: &Analytics, now: TimestampUs, words: &str) -> Store {
    let looked = async {
        let view = analytics.at(now).await?;
        let sizes = analytics.day_sizes().await?;
        // What expired within the last day may be there: deletion follows within a day.
        let overdue = expired(&view, &config.retention, TimestampUs(now.0 - US_PER_DAY), &sizes).await?;
        let overdue: u64 = overdue.iter().map(|line| line.rows).sum();
        Ok::<_, telemetrics_analytics::Error>((newest(&view).await?, sizes.total(), overdue))
    };
    match looked.await {
        Ok((newest, total, overdue)) => {
            let text = format!("{words}: {} records, {} bytes", thousands(total.rows), thousands(total.bytes));
            Store { findings: vec![Finding::ok("store", text), retention(&config.retention, overdue)], newest }
        }
        Err(error) => unreadable(&error.to_string()),
    }
}

fn retention(policy: &RetentionPolicy, overdue: u64) -> Finding {
    match overdue {
        0 if policy.is_off() => Finding::ok("retention", "off: nothing is ever deleted"),
        0 => Finding::ok("retention", "what expired more than a day ago is deleted"),
        _ => Finding::warning(
            "retention",
            format!("{} records expired more than a day ago and are on disk", thousands(overdue)),
            "start the server with this configuration: it applies the policy, and deletes within a day",
        ),
    }
}

fn unreadable(reason: &str) -> Store {
    let finding = Finding::problem("store", reason, "look at the store's directory or server, and at the log");
    Store { findings: vec![finding], newest: None }
}
