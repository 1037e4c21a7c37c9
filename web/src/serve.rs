//! Puts a server together: store, collector, questions, routes; and takes it apart in order.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::crashes::StackBook;
use telemetrics_analytics::parsers::PayloadParsers;
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits};
use telemetrics_collector::directory;
use telemetrics_collector::http::{Admission, Batches, Ingest};
use telemetrics_collector::journal::{Ids, JournalSettings, Recovered};
use telemetrics_collector::quarantine::QuarantineSettings;
use telemetrics_collector::rate_limit::{RateLimit, RateLimits};
use telemetrics_collector::redelivery::WindowSettings;
use telemetrics_collector::store::{ClickHouseStore, EmbeddedStore, MaintenanceSettings, Store};
use telemetrics_collector::{Collector, CollectorSettings, DrainSettings, RunningDrain};
use telemetrics_schema::RecordId;
use telemetrics_schema::layout::DataDir;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::PolicyInForce;
use telemetrics_schema::time::Clock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::access::Access;
use crate::api::sql::Statements;
use crate::aside::Aside;
use crate::clickhouse::{self, ServerVersion};
use crate::config::{self, Config};
use crate::curation::{Curation, Nonces};
use crate::datasets::{Datasets, Sources};
use crate::formats::Workers;
use crate::metrics::{Answering, Quotas, Watched};
use crate::pages::kept::Kept;
use crate::pages::status::About;
use crate::parsers::ParserFiles;
use crate::peer::Proxies;
use crate::reload::{self, Retention, admitted};
use crate::request_id::RequestIds;
use crate::role::Role;
use crate::routes::{PAGES, Parts, Routes};
use crate::server::{self, ConnectionLimits, Connections, Front};
use crate::state::{Acknowledged, AppState, CollectorState};
use crate::tls::Certificate;
use crate::views::Views;

/// How long the store may take for what is left when the server stops; the rest stays in the journal.
const LAST_FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Anything that keeps a server from starting, with the sentence to print.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// A server that is ready to accept connections.
pub struct Server {
    listener: TcpListener,
    routes: Routes,
    connections: Connections,
    front: Front,
    reloadable: reload::Parts,
    /// What deletes expired records elsewhere, where the process accepts some.
    expiring: Option<ClickHouseStore>,
    /// What brings records into the store, where the process accepts some.
    drain: Option<RunningDrain>,
}

/// A collector that has begun, with its ways in.
struct Collecting {
    state: CollectorState,
    ingest: Ingest,
    drain: RunningDrain,
}

impl Server {
    /// Binds the address and opens what the role needs: store and journal for records, the store for questions.
    ///
    /// # Errors
    /// The first thing that does not work, as a sentence for the operator.
    pub async fn start(config: &Config, role: Role, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let access = Access::open(&config.access, Arc::clone(&clock))?;
        Self::start_for(access, config, role, clock).await
    }

    /// As [`Server::start`], for others than the configuration lets in.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn start_for(
        access: Access,
        config: &Config,
        role: Role,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let started = clock.now();
        role.check(config)?;
        let listener =
            server::listen(config.listen).map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
        let own_parsers = role.collects().then(|| ParserFiles::open(config.parsers_dir.as_deref())).transpose()?;
        let parsers = own_parsers.as_ref().map(|own| own.parsers().clone()).unwrap_or_default();
        let recent = Recent::with_limit(config.drain.memory_bytes).parsed_by(parsers.for_questions());
        let connections = Connections::default();
        let retention = Retention::of(config);
        let mut collecting = None;
        if let Some(parsers) = &own_parsers {
            collecting = Some(start_collector(config, &recent, parsers, &retention.policy, &clock).await?);
        } else if let Some(server) = config.store.clickhouse() {
            clickhouse::check(config, server).await?;
        }
        let mut questions = None;
        if role.answers() {
            let analytics = Arc::new(open_analytics(config, role, recent).await?.following(retention.policy.clone()));
            let acknowledged = collecting.as_ref().map(|collecting| acknowledged(config, &collecting.state));
            let datasets = datasets(config, &analytics, collecting.as_ref());
            let curation = open_curation(config, &clock)?;
            let workers = Arc::new(Workers::start()?.for_readers(Duration::from_secs(config.answer_stall_s)));
            let statements = statements(config, &analytics)?;
            let collector = collecting.as_ref().map(|collecting| collecting.state.collector.clone());
            let about = Arc::new(About { store: kept(config, role), retention: retention.policy.clone() });
            let stacks = StackBook::default();
            let views = Views::start(config.views(), statements.clone(), Arc::clone(&clock)).await;
            questions = Some(AppState {
                analytics,
                statements,
                acknowledged,
                datasets,
                curation,
                stacks,
                workers,
                collector,
                about,
                parsers: own_parsers.clone(),
                store_version: config.store.clickhouse().map(ServerVersion::of).transpose()?,
                kept: Kept::new(Duration::from_secs(config.pages_age_s)),
                views,
                clock: Arc::clone(&clock),
            });
        }
        let server = config.store.clickhouse().filter(|_| role.collects());
        let expiring = server.map(|server| clickhouse::writer(config, server)).transpose()?;
        let expiring = expiring.map(|store| store.following(retention.policy.clone()));
        let certificate = config.tls.as_ref().map(Certificate::open).transpose()?;
        let admission = collecting.as_ref().map(|collecting| collecting.state.admission.clone());
        let reloadable = reload::Parts {
            access: access.clone(),
            certificate: certificate.clone(),
            admission,
            parsers: own_parsers,
            retention,
            kept: questions.as_ref().map(|state| state.kept.clone()),
        };
        let proxies = Proxies::new(&config.trusted_proxies);
        let stall = Duration::from_secs(config.answer_stall_s);
        let limits = ConnectionLimits { stall, ..ConnectionLimits::default() };
        let front = Front { certificate: certificate.clone(), proxies, ids: RequestIds::default(), limits };
        let watched = Watched {
            connections: connections.clone(),
            certificate,
            collector: collecting.as_ref().map(|collecting| collecting.state.clone()),
            answering: questions.as_ref().map(Answering::of),
            data_dir: config.data_dir.clone(),
            quotas: Quotas::of(config),
            started,
            clock,
        };
        let (collector, drain) = collecting.map(|c| ((c.state, c.ingest), c.drain)).unzip();
        let aside = if role.collects() && role.answers() { Some(Arc::new(Aside::start()?)) } else { None };
        let routes = Routes::new(Parts { questions, aside, collector, access, watched });
        Ok(Self { listener, routes, connections, front, reloadable, expiring, drain })
    }

    /// The address that it listens on, with the port that the system chose where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What can be changed while it runs.
    #[must_use]
    pub fn reloadable(&self) -> reload::Parts {
        self.reloadable.clone()
    }

    /// Serves until `stop` is cancelled, then finishes what has begun and delivers what is left.
    pub async fn run(self, stop: CancellationToken) {
        if let Some(certificate) = &self.front.certificate {
            tokio::spawn(certificate.clone().watch(stop.clone()));
        }
        if let Some(parsers) = self.reloadable.parsers {
            tokio::spawn(parsers.watch(stop.clone()));
        }
        if let Some(store) = self.expiring {
            tokio::spawn(clickhouse::expire(store, self.reloadable.retention.changed, stop.clone()));
        }
        server::run(self.listener, self.front, self.routes, self.connections, stop).await;
        if let Some(drain) = self.drain {
            drain.stop(LAST_FLUSH_TIMEOUT).await;
        }
        info!("stopped");
    }
}

async fn start_collector(
    config: &Config,
    recent: &Recent,
    parsers: &ParserFiles,
    policy: &PolicyInForce,
    clock: &Arc<dyn Clock>,
) -> Result<Collecting, StartError> {
    let data = DataDir::new(&config.data_dir);
    directory::durable(data.path())
        .map_err(|error| format!("the data directory {} cannot be made: {error}", data.path().display()))?;
    let (store, delivered) = open_store(config, &data, parsers.parsers(), policy).await?;
    let settings = collector_settings(config, &data, delivered);
    let (collector, drain, recovered) = Collector::start(settings, store, recent.clone(), Arc::clone(clock))?;
    report(&recovered);
    let admission = Admission::new(admitted(config));
    let ingest = Ingest {
        collector: collector.clone(),
        admission: admission.clone(),
        on_invalid: config.on_invalid,
        body_limit_bytes: config.body_limit_bytes,
        batches: Batches::new(config.batch_limit_bytes),
        clock: Arc::clone(clock),
    };
    let state = CollectorState { collector, admission, parsers: parsers.clone(), clock: Arc::clone(clock) };
    Ok(Collecting { state, ingest, drain })
}

fn datasets(config: &Config, analytics: &Arc<Analytics>, collecting: Option<&Collecting>) -> Datasets {
    let own = collecting.map(|collecting| (config.collector_number, collecting.state.collector.clone()));
    let analytics = Arc::clone(analytics);
    let sources = Sources { analytics, own, is_shared: config.store.clickhouse().is_some() };
    Datasets::new(sources, DataDir::new(&config.data_dir).datasets(), config.datasets.quota_bytes)
}

/// With the embedded store its directory belongs to this process, because the journal beside it is locked.
pub(crate) fn open_curation(config: &Config, clock: &Arc<dyn Clock>) -> Result<Curation, StartError> {
    let clock = Arc::clone(clock);
    // The standard library seeds its hash maps from the system's randomness, which saves a dependency here.
    let nonces: Nonces = Box::new(|| RandomState::new().hash_one("nonce"));
    Ok(match config.store.clickhouse() {
        None => Curation::in_directory(&DataDir::new(&config.data_dir).curation(), clock, nonces)?,
        Some(server) => Curation::in_clickhouse(clickhouse::client(server)?, server.request_timeout_ms, clock, nonces),
    })
}

fn acknowledged(config: &Config, state: &CollectorState) -> Acknowledged {
    Acknowledged {
        pending: state.collector.pending().clone(),
        read_wait: Duration::from_millis(config.read_wait_ms),
        in_memory: config.store.clickhouse().is_none(),
    }
}

/// What a person at the terminal wants to know first.
#[must_use]
pub fn greeting(config: &Config, role: Role, address: SocketAddr) -> String {
    let base = format!("{}://{address}", if config.tls.is_some() { "https" } else { "http" });
    let mut lines = vec![format!("telemetrics {}", env!("CARGO_PKG_VERSION"))];
    if role.answers() {
        lines.push(format!("  pages    {base}{PAGES}"));
        lines.push(format!("  API      {base}/api/records"));
    }
    if role.collects() {
        lines.push(format!("  probes   server={base}/v2/collector"));
    }
    lines.push(format!("  data     {}", kept(config, role)));
    lines.push(String::new());
    lines.join("\n")
}

/// What is stored where.
fn kept(config: &Config, role: Role) -> String {
    let data = config.data_dir.display();
    let Some(server) = config.store.clickhouse() else { return format!("records and journal in {data}") };
    let records = format!("records in ClickHouse at {} (database {})", server.url, server.database);
    if role.collects() { format!("{records}, journal in {data}") } else { records }
}

async fn open_store(
    config: &Config,
    data: &DataDir,
    parsers: &PayloadParsers,
    policy: &PolicyInForce,
) -> Result<(Store, Option<RecordId>), StartError> {
    Ok(match config.store.clickhouse() {
        None => {
            let store = EmbeddedStore::open(&data.records_table(), config.collector_number).await?;
            let store = store.maintained(maintenance_settings(config, policy)).parsed_by(parsers.for_store());
            let delivered = store.delivered();
            (Store::Embedded(store), delivered)
        }
        Some(server) => {
            let store = clickhouse::open(config, server, data).await?.parsed_by(parsers.for_store());
            let store = store.following(policy.clone());
            (Store::ClickHouse(Box::new(store)), None)
        }
    })
}

fn collector_settings(config: &Config, data: &DataDir, delivered: Option<RecordId>) -> CollectorSettings {
    CollectorSettings {
        ids: Ids { collector: config.collector_number, above: delivered },
        journal: journal_settings(config, data),
        quarantine: QuarantineSettings {
            quota_bytes: config.quarantine.quota_bytes,
            entries: config.quarantine.entries,
            age_days: config.quarantine.age_days,
            ..QuarantineSettings::new(data.quarantine())
        },
        redelivery: WindowSettings { records_max: config.redelivery.records, ..WindowSettings::new(data.redelivery()) },
        drain: DrainSettings {
            batch_rows: config.drain.batch_rows,
            batch_bytes: config.drain.batch_bytes,
            batch_age: Duration::from_millis(config.drain.batch_age_ms),
            ..DrainSettings::default()
        },
    }
}

fn maintenance_settings(config: &Config, policy: &PolicyInForce) -> MaintenanceSettings {
    let config::Maintenance { file_target_bytes, sweep_interval_s, removed_grace_s, cpu_share_percent } =
        config.maintenance;
    let settings = MaintenanceSettings::new(config.retention.clone());
    let policy = policy.clone();
    let settings = MaintenanceSettings { policy, file_target_bytes, cpu_share_percent, ..settings };
    settings.with_times(Duration::from_secs(sweep_interval_s), Duration::from_secs(removed_grace_s))
}

/// Small segments are for small groups: the smallest ones that are allowed hold no group of the default size.
fn journal_settings(config: &Config, data: &DataDir) -> JournalSettings {
    let config::Journal { segment_bytes, quota_bytes } = config.journal;
    let defaults = JournalSettings::new(data.journal());
    let group_bytes =
        usize::try_from(segment_bytes / 2).map_or(defaults.group_bytes, |half| half.min(defaults.group_bytes));
    JournalSettings { segment_bytes, quota_bytes, group_bytes, ..defaults }
}

/// Each telemetry id has the limit for itself, or one of its own.
pub(crate) fn rate_limits(config: &Config) -> RateLimits {
    let config::RateLimit { records_per_s, burst_records, ids } = &config.rate_limit;
    RateLimits::new(config.telemetry_ids.iter().filter_map(|id| {
        let own = ids.iter().find(|own| own.telemetry_id == *id);
        let records_per_s = NonZeroU32::new(own.map_or(*records_per_s, |own| own.records_per_s))?;
        let burst_records = own.and_then(|own| own.burst_records).unwrap_or(*burst_records);
        Some((id.clone(), RateLimit { records_per_s, burst_records }))
    }))
}

async fn open_analytics(config: &Config, role: Role, recent: Recent) -> Result<Analytics, StartError> {
    // Who does not collect has no directory of its own.
    let spill_dir = role.collects().then(|| empty_spill_dir(&DataDir::new(&config.data_dir))).transpose()?;
    let limits = Limits { retention: config.retention.clone(), spill_dir, ..Limits::default() };
    Ok(match config.store.clickhouse() {
        None => {
            let table = DataDir::new(&config.data_dir).records_table();
            let reader = EmbeddedReader::open(&table, config.collector_number, recent).await?;
            Analytics::embedded(reader, limits)?
        }
        Some(server) => Analytics::clickhouse(&clickhouse::for_questions(server)?, limits)?,
    })
}

/// The directory for what questions put aside, without what a process left there that was killed. It may lead to another
/// disk.
fn empty_spill_dir(data: &DataDir) -> Result<PathBuf, StartError> {
    let directory = data.spill();
    let empty = || {
        fs::create_dir_all(&directory)?;
        fs::read_dir(&directory)?.try_for_each(|left| fs::remove_dir_all(left?.path()))
    };
    empty().map_err(|error: io::Error| format!("the directory {} cannot be emptied: {error}", directory.display()))?;
    Ok(directory)
}

/// Statements see the same embedded store; in ClickHouse they are asked by whoever the configuration names.
fn statements(config: &Config, analytics: &Arc<Analytics>) -> Result<Statements, StartError> {
    let analytics = match config.store.clickhouse() {
        None => Arc::clone(analytics),
        Some(server) => {
            let limits = Limits { retention: config.retention.clone(), ..Limits::default() };
            Arc::new(Analytics::clickhouse(&clickhouse::for_statements(config, server)?, limits)?)
        }
    };
    Ok(Statements::start(&config.sql, analytics)?)
}

fn report(recovered: &Recovered) {
    if let Some(torn) = &recovered.torn {
        warn!(?torn, "the journal ended in an unfinished write; none of it had been acknowledged");
    }
    if recovered.pending > 0 {
        info!(records = recovered.pending, "acknowledged records of the last run are on their way to the store");
    }
}

#[cfg(test)]
mod tests {
    use telemetrics_schema::TimestampUs;

    use super::*;
    use crate::config::{Value, settings::Setting};

    fn with(settings: &[(&str, i128)]) -> Config {
        let mut config = Config::default();
        for (key, number) in settings {
            let setting = Setting::named(key).expect("a setting");
            setting.apply(&mut config, &Value::Number(*number)).expect("allowed");
        }
        config
    }

    #[test]
    fn the_journal_takes_the_smallest_and_the_largest_settings() {
        for (segment_bytes, quota_bytes) in [(4 << 20, 8 << 20), (1 << 30, 1 << 40)] {
            let config = with(&[("journal.segment_bytes", segment_bytes), ("journal.quota_bytes", quota_bytes)]);
            journal_settings(&config, &DataDir::new("x")).validate().expect("valid");
        }
    }

    #[test]
    fn what_a_killed_process_put_aside_is_gone() {
        let root = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(root.path().join("data"));
        let left = empty_spill_dir(&data).expect("made").join("datafusion-x");
        fs::create_dir(&left).expect("made");
        fs::write(left.join("rows"), "x").expect("written");
        let directory = empty_spill_dir(&data).expect("emptied");
        assert!(directory.is_dir() && !left.exists());
        fs::remove_dir(&directory).expect("empty");
        fs::write(&directory, "no directory").expect("written");
        assert!(empty_spill_dir(&data).is_err());
    }

    #[test]
    fn an_id_has_its_own_limit_or_that_of_all() {
        let config = |text: &str| {
            let text = format!("telemetry_ids = [\"a\", \"b\", \"c\"]\n[rate_limit]\n{text}");
            rate_limits(&Config::from_text("t.toml", &text, Vec::new()).expect("valid"))
        };
        let passing = |limits: &RateLimits, id: &str| {
            (0..100).take_while(|_| limits.check(id, 1, TimestampUs(0)).is_ok()).count()
        };
        let own = "ids = [{ telemetry_id = \"a\", records_per_s = 1, burst_records = 7 }, { telemetry_id = \"b\", \
                   records_per_s = 0 }]\n";
        let limits = config(&format!("records_per_s = 5\nburst_records = 9\n{own}"));
        assert_eq!(["a", "b", "c"].map(|id| passing(&limits, id)), [7, 100, 9]);
        let limits = config(own);
        assert_eq!(["a", "b", "c"].map(|id| passing(&limits, id)), [7, 100, 100]);
        assert!(config("records_per_s = 0\n").is_off());
    }

    fn settings(config: &Config) -> MaintenanceSettings {
        maintenance_settings(config, &config.retention.clone().into())
    }

    #[test]
    fn the_defaults_of_the_maintenance_are_those_of_the_collector() {
        let policy = Config::default().retention;
        let (ours, theirs) = (settings(&Config::default()), MaintenanceSettings::new(policy));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn expired_records_are_off_the_disk_within_a_day_whatever_is_set() {
        for (interval_s, grace_s) in [(60, 60), (14_400, 43_200)] {
            let config =
                with(&[("maintenance.sweep_interval_s", interval_s), ("maintenance.removed_grace_s", grace_s)]);
            let settings = settings(&config);
            let longest = settings.expired_slack + settings.sweep_interval * 2 + settings.removed_grace;
            assert!(settings.expired_slack >= Duration::from_hours(1), "{:?}", settings.expired_slack);
            assert!(longest <= Duration::from_hours(24), "{longest:?}");
        }
    }
}
