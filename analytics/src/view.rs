//! What a request sees: one instant, one state of the store, and the table of records in both.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};
use datafusion::prelude::SessionConfig;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::columns::{COLUMNS, RECORDS};
use telemetrics_schema::retention::{Matcher, PolicyInForce, RetentionPolicy, RetentionRule};
use telemetrics_schema::rollups::{Rollup, STACK_ID};
use tokio::sync::{AcquireError, Semaphore};

use crate::clickhouse::{ClickHouseSettings, Reader, records_table, rollup_parts, session_state};
use crate::crashes::Guilty;
use crate::embedded::{EmbeddedReader, Snapshot};
use crate::error::{Error, is_exhausted};
use crate::expiry;
use crate::guilty_of::{guilty_of, guilty_text};
use crate::lately::Lately;
use crate::rollup::{Shown, Window, can_follow, rows};
use crate::sizes::DaySizes;
use crate::sql::{BATCH_ROWS, SqlLimits, guards};

/// Footers of Parquet files that are kept in memory, in bytes: those of rollup files have about 10 KB each, those of
/// records up to some 100 KB.
const FOOTERS_BYTES_MAX: usize = 32 << 20;

/// What operators that lack memory may have on the disk at the same time, in bytes.
const SPILLED_BYTES_MAX: u64 = 8 << 30;

/// Rows of a batch of an answer without a limit.
pub(crate) const BULK_BATCH_ROWS: usize = 2_048;

/// Questions that work at the same time; others wait for their turn: all share the memory, and no processor is idle with
/// these. Answers that go on as long as their reader takes them have no turn: a slow one would hold up all others.
const QUESTIONS_AT_ONCE: u32 = 8;

/// What all questions together may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory of the operators of all queries that run, in bytes; above it they spill to disk or fail.
    pub memory_bytes: usize,
    /// What they may have spilled at the same time, in bytes.
    pub spilled_bytes: u64,
    /// The directory below which they spill; `None` for the system's one for temporary files, which may be memory.
    pub spill_dir: Option<PathBuf>,
    /// How long records are seen.
    pub retention: RetentionPolicy,
}

impl Limits {
    /// The default, but all records are seen for ever: for who looks after the store and not after its policy.
    #[must_use]
    pub fn without_retention() -> Self {
        Self { retention: RetentionPolicy::off(), ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            spilled_bytes: SPILLED_BYTES_MAX,
            spill_dir: None,
            retention: telemetrics_schema::expiry::shipped(),
        }
    }
}

/// Answers questions over one store.
pub struct Analytics {
    store: Store,
    state: SessionState,
    retention: PolicyInForce,
    turns: Arc<Semaphore>,
    lately: Arc<Lately>,
}

enum Store {
    Embedded(EmbeddedReader),
    ClickHouse { reader: Box<Reader>, table: Arc<dyn TableProvider>, bulk_table: Arc<dyn TableProvider> },
}

impl Analytics {
    /// Questions over the embedded store.
    ///
    /// # Errors
    /// [`Error::Internal`] when the query engine does not start.
    pub fn embedded(reader: EmbeddedReader, limits: Limits) -> Result<Self, Error> {
        let state = session(&limits)?.build();
        Ok(Self::over(Store::Embedded(reader), state, limits.retention))
    }

    /// Questions over a ClickHouse server; it need not be reachable yet.
    ///
    /// # Errors
    /// [`Error::Internal`] when the query engine does not start.
    pub fn clickhouse(settings: &ClickHouseSettings, limits: Limits) -> Result<Self, Error> {
        let reader = Box::new(Reader::new(settings));
        let table = records_table(&reader);
        let bulk_table = records_table(&Reader::bulk(settings));
        let state = session_state(session(&limits)?);
        let store = Store::ClickHouse { reader, table, bulk_table };
        Ok(Self::over(store, state, limits.retention))
    }

    fn over(store: Store, state: SessionState, retention: RetentionPolicy) -> Self {
        let turns = Arc::new(Semaphore::new(QUESTIONS_AT_ONCE as usize));
        Self { store, state, retention: retention.into(), turns, lately: Arc::default() }
    }

    /// The same, by a policy that may change.
    #[must_use]
    pub fn following(self, retention: PolicyInForce) -> Self {
        Self { retention, ..self }
    }

    /// The policy that holds now.
    #[must_use]
    pub fn policy(&self) -> Arc<RetentionPolicy> {
        self.retention.now()
    }

    /// What there is to see at `now`: a request makes one view and asks everything of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store cannot be read.
    pub async fn at(&self, now: TimestampUs) -> Result<View, Error> {
        let content = match &self.store {
            Store::Embedded(reader) => Content::Embedded(reader.snapshot().await?),
            Store::ClickHouse { table, bulk_table, .. } => {
                Content::ClickHouse { table: Arc::clone(table), bulk_table: Arc::clone(bulk_table) }
            }
        };
        let (turns, lately) = (Arc::clone(&self.turns), Arc::clone(&self.lately));
        let (state, policy, guilties) = (self.state.clone(), self.policy(), Arc::default());
        Ok(View { state, content, policy, now, guilties, turns, lately })
    }
}

impl Analytics {
    /// What the store takes on disk, by day of reception, expired records included.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the store cannot be read.
    pub async fn day_sizes(&self) -> Result<DaySizes, Error> {
        match &self.store {
            Store::Embedded(reader) => reader.day_sizes().await,
            Store::ClickHouse { reader, .. } => reader.day_sizes().await,
        }
    }

    /// Reads next to nothing, to see whether the store can be read.
    ///
    /// # Errors
    /// As for any question.
    pub async fn check(&self, now: TimestampUs) -> Result<(), Error> {
        let one = self.at(now).await?.records()?.select_columns(&["id"])?.limit(0, Some(1))?;
        one.collect().await?;
        Ok(())
    }
}

/// See [`Analytics::at`]; copies share what they show.
#[derive(Clone)]
pub struct View {
    state: SessionState,
    content: Content,
    policy: Arc<RetentionPolicy>,
    now: TimestampUs,
    /// The guilty of each stack, for the table of crashes; none is known unless somebody says it.
    guilties: Arc<HashMap<i64, Guilty>>,
    turns: Arc<Semaphore>,
    lately: Arc<Lately>,
}

/// What a store shows. Tables are in no catalog: sessions that are cloned share their catalogs, and each view has others.
#[derive(Clone)]
enum Content {
    Embedded(Snapshot),
    ClickHouse {
        table: Arc<dyn TableProvider>,
        /// The same records, for answers that go on as long as their reader takes them.
        bulk_table: Arc<dyn TableProvider>,
    },
}

impl View {
    /// The same view, whose queries share memory with no others, take at most `memory_bytes` (sorts spill above it, where
    /// that is possible), and work on `batch_rows` at a time.
    ///
    /// # Errors
    /// [`Error::Internal`] when the query engine does not start.
    pub fn apart(&self, memory_bytes: usize, batch_rows: usize) -> Result<Self, Error> {
        let config = self.state.config().clone().with_batch_size(batch_rows);
        // What spills, spills where others do, and within what all may.
        let runtime = RuntimeEnvBuilder::from_runtime_env(self.state.runtime_env())
            .with_memory_pool(Arc::new(FairSpillPool::new(memory_bytes)))
            .build_arc()?;
        let state = SessionStateBuilder::new_from_existing(self.state.clone()).with_config(config);
        let state = state.with_runtime_env(runtime).build();
        Ok(Self {
            state,
            content: self.content.clone(),
            policy: self.policy.clone(),
            guilties: Arc::clone(&self.guilties),
            turns: Arc::clone(&self.turns),
            lately: Arc::clone(&self.lately),
            ..*self
        })
    }

    /// A session for one statement of a user, which shares memory with no other and has no disk to spill to.
    ///
    /// # Errors
    /// [`Error::Internal`] when the query engine does not start.
    pub(crate) fn sql_state(&self, limits: &SqlLimits) -> Result<SessionState, Error> {
        let config = self.state.config().clone().with_batch_size(BATCH_ROWS).with_target_partitions(limits.threads);
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        // Footers of files are kept for all.
        let runtime = RuntimeEnvBuilder::from_runtime_env(self.state.runtime_env())
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let state = SessionStateBuilder::new_from_existing(self.state.clone()).with_config(config);
        Ok(state.with_runtime_env(runtime).with_physical_optimizer_rule(guards()).build())
    }

    /// The one present instant of the request.
    #[must_use]
    pub fn now(&self) -> TimestampUs {
        self.now
    }

    /// All rows that a plan gives, of which there are few.
    ///
    /// # Errors
    /// As the store's: see [`Error`].
    pub(crate) async fn collect(&self, plan: DataFrame) -> Result<Vec<RecordBatch>, Error> {
        self.in_turn(|| plan.clone().collect().boxed()).await
    }

    /// What `read` gives when it is its turn. Where others left it too little memory, it reads again while no other works:
    /// only what needs more than all of it is refused.
    ///
    /// # Errors
    /// As the store's: see [`Error`].
    pub(crate) async fn in_turn<T>(
        &self,
        read: impl Fn() -> BoxFuture<'static, Result<T, DataFusionError>>,
    ) -> Result<T, Error> {
        let among_others = {
            let _turn = self.turns.acquire().await.map_err(|error| ended(&error))?;
            read().await
        };
        match among_others {
            // Memory of this process: what a server refused, it would refuse again, and everybody would wait for that.
            Err(error) if is_exhausted(&error) => {
                let _all_turns = self.turns.acquire_many(QUESTIONS_AT_ONCE).await.map_err(|error| ended(&error))?;
                Ok(read().await?)
            }
            among_others => Ok(among_others?),
        }
    }

    /// What the last pages showed of the newest records.
    pub(crate) fn lately(&self) -> &Lately {
        &self.lately
    }

    /// What counts the memory of all questions.
    pub(crate) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.state.runtime_env().memory_pool
    }

    /// Whether the store knows how many records there are of a class and a time, or reads next to nothing to know it: a
    /// server sorts by both, and a policy that looks at nothing else leaves it so.
    pub(crate) fn finds_classes_and_times(&self) -> bool {
        let is_of_class = |rule: &RetentionRule| matches!(rule.matcher, Matcher::Classification(_));
        matches!(self.content, Content::ClickHouse { .. }) && self.policy.rules.iter().all(is_of_class)
    }

    /// The policy by which records are seen.
    #[must_use]
    pub fn policy(&self) -> &RetentionPolicy {
        &self.policy
    }

    /// The same state of the store as `policy` lets see it at `now`, whatever the store's own policy is.
    #[must_use]
    pub fn under(self, policy: &RetentionPolicy, now: TimestampUs) -> Self {
        Self { policy: Arc::new(policy.clone()), now, ..self }
    }

    /// The records that retention still lets see; every question begins here.
    ///
    /// # Errors
    /// [`Error::Internal`] when the plan cannot be made.
    pub fn records(&self) -> Result<DataFrame, Error> {
        let table = match &self.content {
            Content::Embedded(snapshot) => snapshot.records(),
            Content::ClickHouse { table, .. } => Arc::clone(table),
        };
        self.living_in(self.state.clone(), table)
    }

    /// The same view with the guilty of each stack, for [`View::crashes`].
    #[must_use]
    pub fn with_guilties(self, guilties: HashMap<i64, Guilty>) -> Self {
        Self { guilties: Arc::new(guilties), ..self }
    }

    /// The records that have a stack, with the cause of each: `guilty_id` (0 where it is not known), `guilty_function` and
    /// `guilty_module` beside their own columns.
    ///
    /// # Errors
    /// [`Error::Internal`] when the plan cannot be made.
    pub fn crashes(&self) -> Result<DataFrame, Error> {
        let table = self.guilties.iter().map(|(stack, guilty)| (*stack, guilty.id)).collect();
        let texts = |of: fn(&Guilty) -> &String| -> HashMap<i64, String> {
            self.guilties.values().map(|guilty| (guilty.id, of(guilty).clone())).collect()
        };
        let crashes = self.records()?.filter(col(STACK_ID).not_eq(lit(0_i64)))?;
        let guilty = || guilty_of(col(STACK_ID), HashMap::clone(&table));
        let names =
            [("guilty_function", texts(|guilty| &guilty.function)), ("guilty_module", texts(|guilty| &guilty.module))];
        let own = COLUMNS.iter().map(|column| col(column.name));
        let names = names.into_iter().map(|(name, texts)| guilty_text(guilty(), texts).alias(name));
        Ok(crashes.select(own.chain([guilty().alias("guilty_id")]).chain(names).collect::<Vec<_>>())?)
    }

    /// As [`View::records`], for answers without a limit: in small batches, because there are several on the way, and
    /// without an end to the time that their reader may take.
    ///
    /// # Errors
    /// As [`View::records`].
    pub(crate) fn bulk_records(&self) -> Result<DataFrame, Error> {
        let table = match &self.content {
            Content::Embedded(snapshot) => snapshot.records(),
            Content::ClickHouse { bulk_table, .. } => Arc::clone(bulk_table),
        };
        let mut state = self.state.clone();
        *state.config_mut() = state.config().clone().with_batch_size(BULK_BATCH_ROWS);
        self.living_in(state, table)
    }

    fn living_in(&self, state: SessionState, table: Arc<dyn TableProvider>) -> Result<DataFrame, Error> {
        let records = scan(state, table)?;
        let living = expiry::living(&self.policy, self.now);
        // A table on its own is not sent to the server by the federation: there has to be something around it, and this
        // holds for every record.
        let whole = || matches!(self.content, Content::ClickHouse { .. }).then(|| col("id").gt_eq(lit(0_i64)));
        Ok(match living.or_else(whole) {
            Some(condition) => records.filter(condition)?,
            None => records,
        })
    }

    /// The rows of a rollup with its columns: of the records that retention lets see, those received in the window. They
    /// are always what the records of [`Self::records`] give; several rows may have equal keys.
    ///
    /// `None` when there is no such rollup, or the policy looks at more than rollups have: then the records are to be
    /// asked.
    ///
    /// # Errors
    /// [`Error::Internal`] when the plan cannot be made.
    pub fn rollup(&self, rollup: Rollup, window: Window) -> Result<Option<DataFrame>, Error> {
        if !can_follow(&self.policy) {
            return Ok(None);
        }
        let parts = match &self.content {
            Content::Embedded(snapshot) => snapshot.rollup(rollup, &self.state)?,
            Content::ClickHouse { table, .. } => rollup_parts(rollup, scan(self.state.clone(), Arc::clone(table))?)?,
        };
        let shown = Shown { policy: &self.policy, now: self.now, window };
        Ok(Some(rows(rollup, parts, &shown)?))
    }
}

/// All records of a table, whatever retention says.
fn scan(state: SessionState, table: Arc<dyn TableProvider>) -> Result<DataFrame, Error> {
    let plan = LogicalPlanBuilder::scan(RECORDS, provider_as_source(table), None)?.build()?;
    Ok(DataFrame::new(state, plan))
}

fn ended(error: &AcquireError) -> Error {
    Error::Internal(format!("no question has a turn any more: {error}"))
}

fn config() -> SessionConfig {
    let mut config = SessionConfig::new().with_information_schema(false);
    // The table of files spreads them over the threads itself, and knows which order is best.
    config.options_mut().optimizer.repartition_file_scans = false;
    let parquet = &mut config.options_mut().execution.parquet;
    // Selective look-ups are 5 to 14 times faster when rows are filtered while they are decoded.
    parquet.pushdown_filters = true;
    parquet.reorder_filters = true;
    config
}

fn session(limits: &Limits) -> Result<SessionStateBuilder, Error> {
    // Not in equal shares: a question has some sixty operators of which most need next to nothing, so that a
    // share of all would be too small for those that count machines.
    let pool = Arc::new(GreedyMemoryPool::new(limits.memory_bytes));
    let mode = limits
        .spill_dir
        .clone()
        .map_or(DiskManagerMode::OsTmpDirectory, |directory| DiskManagerMode::Directories(vec![directory]));
    let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(limits.spilled_bytes);
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_disk_manager_builder(disk);
    let runtime = runtime.with_metadata_cache_limit(FOOTERS_BYTES_MAX).build_arc()?;
    Ok(SessionStateBuilder::new().with_config(config()).with_runtime_env(runtime).with_default_features())
}
