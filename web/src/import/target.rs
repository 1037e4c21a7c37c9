//! The store that records are brought into: the embedded one while no server uses it, or ClickHouse beside servers that do.

use std::collections::{BTreeSet, HashMap};

use telemetrics_analytics::questions::held::held;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::drain::Batch;
use telemetrics_collector::journal::{JournalLock, tool};
use telemetrics_collector::store::{EmbeddedStore, Store};
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::{CollectorNumber, Record, RecordId, TimestampUs};

use crate::clickhouse;
use crate::config::{ClickHouse, Config};
use crate::parsers;
use crate::serve::StartError;
use crate::store_move::{lock_journal, patiently};

/// See the module.
pub(super) struct Target {
    store: Store,
    analytics: Analytics,
    /// How long records live there, by the configuration: that of the servers.
    pub(super) policy: RetentionPolicy,
    waiting: Option<Waiting>,
    _journal: Option<JournalLock>,
}

/// Records that the journal of a stopped server holds and its store may lack.
struct Waiting {
    collector: CollectorNumber,
    /// They have greater identifiers than this one.
    above: RecordId,
}

impl Target {
    /// Makes the store of the configuration ready for records.
    pub(super) async fn open(config: &Config) -> Result<Self, StartError> {
        match config.store.clickhouse() {
            Some(server) => Self::in_clickhouse(config, server).await,
            None => Self::in_directory(config).await,
        }
    }

    async fn in_directory(config: &Config) -> Result<Self, StartError> {
        let data = DataDir::new(&config.data_dir);
        let journal = lock_journal(&data)?;
        let found = tool::inspect(&data.journal())?;
        let above = found.confirmed.unwrap_or(RecordId(-1));
        let waiting = (found.pending > 0).then_some(Waiting { collector: config.collector_number, above });
        let table = data.records_table();
        let parsers = parsers::load(config)?.for_store();
        let store = EmbeddedStore::open(&table, config.collector_number).await?.parsed_by(parsers);
        let reader = EmbeddedReader::open(&table, config.collector_number, Recent::default()).await?;
        let analytics = Analytics::embedded(reader, Limits::without_retention())?;
        let policy = config.retention.clone();
        Ok(Self { store: Store::Embedded(store), analytics, policy, waiting, _journal: Some(journal) })
    }

    /// No collector's number is taken: the records have their identifiers.
    async fn in_clickhouse(config: &Config, server: &ClickHouse) -> Result<Self, StartError> {
        let writer = clickhouse::writer(config, server)?;
        clickhouse::ready(writer.migrate().await, server)?;
        let analytics = Analytics::clickhouse(&clickhouse::for_questions(server)?, Limits::without_retention())?;
        let store = Store::ClickHouse(Box::new(writer.parsed_by(parsers::load(config)?.for_store())));
        Ok(Self { store, analytics, policy: config.retention.clone(), waiting: None, _journal: None })
    }

    /// Whether the record may be in the journal, on its way into the store.
    pub(super) fn may_be_waiting(&self, id: RecordId) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| {
            id > waiting.above
                && id.collector() == i64::from(waiting.collector.get())
                && id >= crate::store_move::first_named()
        })
    }

    /// What the store has of these, also what has expired.
    pub(super) async fn held(
        &self,
        ids: &BTreeSet<RecordId>,
        now: TimestampUs,
    ) -> Result<HashMap<RecordId, Vec<Record>>, StartError> {
        patiently(async || Ok(held(&self.analytics.at(now).await?, ids).await?)).await
    }

    /// Inserts a batch of which the store has nothing. What became of an insert without an answer is looked at before it is
    /// tried again.
    pub(super) async fn insert(&mut self, batch: &Batch, now: TimestampUs) -> Result<(), StartError> {
        let ids: BTreeSet<RecordId> = batch.records().iter().map(|record| record.id).collect();
        let (store, analytics) = (&mut self.store, &self.analytics);
        let mut is_unclear = false;
        patiently(async || {
            let there = if is_unclear { held(&analytics.at(now).await?, &ids).await? } else { HashMap::new() };
            is_unclear = true;
            let there: Vec<i64> = there.into_keys().map(|id| id.0).collect();
            match batch.without(&there) {
                Some(_) if there.is_empty() => Ok(store.insert_imported(batch).await?),
                Some(rest) => Ok(store.insert_imported(&rest).await?),
                None => Ok(()),
            }
        })
        .await
    }
}
