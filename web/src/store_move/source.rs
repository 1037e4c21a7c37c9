//! The embedded store that is moved or worked on, locked as long as that takes.

use telemetrics_analytics::parsers::PayloadParsers;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View};
use telemetrics_collector::journal::{JournalError, JournalLock};
use telemetrics_collector::store::EmbeddedStore;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;

use super::target::Target;
use crate::config::Config;
use crate::serve::StartError;

/// See the module.
pub(crate) struct Source {
    analytics: Analytics,
    /// Version of the table.
    pub(super) version: u64,
    /// The writer, which nobody else has meanwhile.
    pub(crate) table: EmbeddedStore,
    _journal: JournalLock,
}

impl Source {
    /// Locks the data directory as a server does, so that none runs meanwhile, and opens the table.
    pub(crate) async fn lock(config: &Config) -> Result<Self, StartError> {
        let data = DataDir::new(&config.data_dir);
        let directory = data.records_table();
        if !directory.join("_delta_log").is_dir() {
            return Err(format!("there is no embedded store in {}", data.path().display()).into());
        }
        let journal = lock_journal(&data)?;
        let table = EmbeddedStore::open(&directory, config.collector_number).await?;
        let version = table.version().await?;
        let reader = EmbeddedReader::open(&directory, config.collector_number, Recent::default()).await?;
        let limits = Limits::without_retention();
        let analytics = Analytics::embedded(reader, limits)?;
        Ok(Self { analytics, version, table, _journal: journal })
    }

    /// The same, for who writes with the attributes that these parsers make.
    pub(crate) fn parsed_by(self, parsers: &PayloadParsers) -> Self {
        Self { table: self.table.parsed_by(parsers.for_store()), ..self }
    }

    /// All that is in the table, also what has expired.
    pub(crate) async fn all(&self, now: TimestampUs) -> Result<View, StartError> {
        Ok(self.analytics.at(now).await?)
    }

    /// What the target does not delete before `now`.
    pub(super) async fn kept(&self, now: TimestampUs, target: &Target) -> Result<View, StartError> {
        Ok(self.analytics.at(now).await?.under(&target.policy, now))
    }
}

/// Locks the journal as a server does, so that none uses the data directory meanwhile.
pub(crate) fn lock_journal(data: &DataDir) -> Result<JournalLock, StartError> {
    JournalLock::take(&data.journal()).map_err(|error| match error {
        JournalError::Locked(_) => in_use(data),
        other => other.into(),
    })
}

fn in_use(data: &DataDir) -> StartError {
    format!(
        "a server uses the data directory {}: stop it first, and start it again when this is done",
        data.path().display()
    )
    .into()
}
