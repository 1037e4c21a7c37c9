//! The ClickHouse database that records are moved to.

use std::collections::BTreeSet;

use telemetrics_analytics::{Analytics, Limits, View};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::store::{Holding, Receiving, Store};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, TimestampUs};

use super::trouble::Trouble;
use crate::clickhouse;
use crate::config::{ClickHouse, Config};
use crate::parsers;
use crate::serve::StartError;

/// See the module.
pub(super) struct Target {
    store: Store,
    analytics: Analytics,
    /// The server's name of the table.
    pub(super) table: String,
    /// How long records live there.
    pub(super) policy: RetentionPolicy,
}

impl Target {
    /// Makes the database ready for records that collectors with these numbers have named.
    pub(super) async fn open(
        config: &Config,
        server: &ClickHouse,
        numbers: &BTreeSet<i64>,
    ) -> Result<Self, StartError> {
        let data = DataDir::new(&config.data_dir);
        // What is derived is made anew on the way.
        let store = clickhouse::claiming(config, server, &data, config.collector_number)?;
        let store = store.parsed_by(parsers::load(config)?.for_store());
        // A moved record counts as there when it is: what is compared afterwards is what the table has.
        let store = store.following(RetentionPolicy::off().into());
        let Receiving { table, expires } = clickhouse::ready(store.receive().await, server)?;
        for number in
            numbers.iter().filter_map(|number| collector(*number)).filter(|number| *number != config.collector_number)
        {
            let other = clickhouse::claiming(config, server, &data, number)?;
            clickhouse::ready(other.receive().await, server).map_err(|error| {
                format!(
                    "there are records of the collector number {} here, so this database cannot have them: {error}",
                    number.get()
                )
            })?;
        }
        let policy = if expires { config.retention.clone() } else { RetentionPolicy::off() };
        let limits = Limits { retention: policy.clone(), ..Limits::default() };
        let analytics = Analytics::clickhouse(&clickhouse::for_questions(server)?, limits)?;
        Ok(Self { store: Store::ClickHouse(Box::new(store)), analytics, table, policy })
    }

    /// What the server does not delete before `now`.
    pub(super) async fn kept(&self, now: TimestampUs) -> Result<View, Trouble> {
        Ok(self.analytics.at(now).await?)
    }

    /// Inserts what is missing of the batch.
    pub(super) async fn complete(&mut self, batch: &Batch) -> Result<(), Trouble> {
        match self.store.holding(batch).await? {
            Holding::All => {}
            Holding::Nothing => self.store.insert(batch).await?,
            Holding::Some(held) => {
                if let Some(rest) = batch.without(&held) {
                    self.store.insert(&rest).await?;
                }
            }
        }
        Ok(())
    }
}

/// Identifiers have six bits for it.
fn collector(number: i64) -> Option<CollectorNumber> {
    CollectorNumber::new(u8::try_from(number).ok()?)
}
