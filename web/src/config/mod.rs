//! What an operator can set: one TOML file plus the command line, checked as a whole before anything starts.
//!
//! [`settings::SETTINGS`] is the only list of settings. The file, the command line and the error messages all go
//! through it, so that a setting has one range and one spelling wherever it is given.

mod door;
pub mod environment;
mod error;
pub(crate) mod file;
mod id_limits;
mod limits;
mod load;
mod retention;
mod setting;
pub mod settings;
pub mod store;
mod values;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;
use telemetrics_collector::http::OnInvalid;
use telemetrics_collector::redelivery::WINDOW_RECORDS;
use telemetrics_schema::CollectorNumber;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::wire::DEFAULT_TELEMETRY_ID;

use crate::server::STALL_LIMIT;
pub use error::{ConfigError, Problem};
pub use id_limits::IdLimit;
pub(crate) use load::nearest;
pub use load::{Given, Overrides, Value};
pub use store::{ClickHouse, Password, Store};

/// Default of the setting of that name; without a rate it has no effect.
const BURST_RECORDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

/// Name of the directory of views in the data directory, where nobody names another one.
const VIEWS: &str = "views";

/// One mebibyte in bytes.
const MIB: u64 = 1024 * 1024;
/// One gibibyte in bytes.
const GIB: u64 = 1024 * MIB;

/// Every setting, checked: code that holds a `Config` need not check again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address and port of the HTTP server; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether everybody who reaches the server may do everything, also from other machines.
    pub allow_anonymous: bool,
    /// Who else may do what.
    pub access: Access,
    /// Certificate and key, where TLS is spoken.
    pub tls: Option<Tls>,
    /// Networks of proxies that are believed about where requests come from.
    pub trusted_proxies: Vec<IpNet>,
    /// Directory of the journal and of the embedded store.
    pub data_dir: PathBuf,
    /// Telemetry ids that probes may send; never empty.
    pub telemetry_ids: Vec<String>,
    /// Whether an absent `board_name`, `cpu_model` or `bios_version` is an error.
    pub strict_fields: bool,
    /// What happens to a record that breaks a rule.
    pub on_invalid: OnInvalid,
    /// Largest accepted request body in bytes.
    pub body_limit_bytes: usize,
    /// Largest accepted batch in decoded bytes.
    pub batch_limit_bytes: usize,
    /// How long a client may take nothing of its answers, in seconds.
    pub answer_stall_s: u64,
    /// Number of this collector among those that write into one store.
    pub collector_number: CollectorNumber,
    /// Longest time in milliseconds that a query waits for acknowledged records to reach the store.
    pub read_wait_ms: u64,
    /// Oldest that what pages count may be, in seconds.
    pub pages_age_s: u64,
    /// Where records are kept.
    pub store: Store,
    /// The journal of acknowledged records.
    pub journal: Journal,
    /// What is kept aside.
    pub quarantine: Quarantine,
    /// How redeliveries are told.
    pub redelivery: Redelivery,
    /// What one telemetry id may send.
    pub rate_limit: RateLimit,
    /// How records go from the journal into the store.
    pub drain: Drain,
    /// How the embedded store is kept in order.
    pub maintenance: Maintenance,
    /// Finished days as files.
    pub datasets: Datasets,
    /// What statements of users may take.
    pub sql: Sql,
    /// Payload parsers beside those of the program.
    pub parsers_dir: Option<PathBuf>,
    /// Directory of the files of views; `None` for the usual one.
    pub views_dir: Option<PathBuf>,
    /// What the server says about itself.
    pub log: Log,
    /// How long records live.
    pub retention: RetentionPolicy,
}

/// Files that say who may do what; without any, everybody may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Users with their passwords.
    pub users_file: Option<PathBuf>,
    /// Tokens of programs.
    pub tokens_file: Option<PathBuf>,
}

/// Files of the server's certificate; none of the paths is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// The certificate and what leads to its authority, as PEM.
    pub certificate_file: PathBuf,
    /// Its key, as PEM.
    pub key_file: PathBuf,
}

/// Sizes of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journal {
    /// Size in bytes at which a segment is closed and the next one begins.
    pub segment_bytes: u64,
    /// Disk space in bytes that all segments may take together; above it records are refused with 503.
    pub quota_bytes: u64,
}

/// Limits of the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// Disk space in bytes that all its files may take together.
    pub quota_bytes: u64,
    /// Most entries.
    pub entries: usize,
    /// Days after which an entry goes that did not come again.
    pub age_days: u32,
}

/// Limits of the redelivery window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redelivery {
    /// Most records that are remembered.
    pub records: usize,
}

/// The rate limit that each telemetry id has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// Records per second in the long run; 0 for no limit.
    pub records_per_s: u32,
    /// Records that may come at once after a pause.
    pub burst_records: NonZeroU32,
    /// Ids that have another limit.
    pub ids: Vec<IdLimit>,
}

/// A batch is sent to the store as soon as it reaches one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Records in a batch.
    pub batch_rows: usize,
    /// Text of all records of a batch, in bytes.
    pub batch_bytes: usize,
    /// Age of the oldest record of a batch, in milliseconds.
    pub batch_age_ms: u64,
    /// Memory of records that are not in the store, in bytes; what is beyond waits in the journal only.
    pub memory_bytes: usize,
}

/// What is done to the embedded store behind the scenes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintenance {
    /// Size in bytes of the files that small ones become.
    pub file_target_bytes: u64,
    /// Time between two looks for what has to be deleted, in seconds.
    pub sweep_interval_s: u64,
    /// How long a file stays after others replaced it, in seconds.
    pub removed_grace_s: u64,
    /// Share of one processor, in percent.
    pub cpu_share_percent: u32,
}

/// Limits of the files of finished days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datasets {
    /// Disk space in bytes that they may take together, beside the one that is being made.
    pub quota_bytes: u64,
}

/// Limits of statements of users, which share nothing with other questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sql {
    /// Statements that run at the same time.
    pub statements: usize,
    /// Threads of all of them.
    pub threads: usize,
    /// Memory of one, in bytes.
    pub memory_bytes: usize,
    /// Rows of the answer to one.
    pub rows: usize,
    /// How long one may take to its last byte, in seconds.
    pub time_s: u64,
}

/// How the server writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// What a line looks like.
    pub format: LogFormat,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: an object in each line.
    Json,
}

impl Config {
    /// The directory of the files of views.
    #[must_use]
    pub fn views(&self) -> PathBuf {
        self.views_dir.clone().unwrap_or_else(|| self.data_dir.join(VIEWS))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            allow_anonymous: false,
            access: Access::default(),
            tls: None,
            trusted_proxies: Vec::new(),
            data_dir: PathBuf::from("./telemetrics-data"),
            telemetry_ids: vec![DEFAULT_TELEMETRY_ID.to_owned()],
            strict_fields: false,
            on_invalid: OnInvalid::default(),
            body_limit_bytes: 1024 * 1024,
            batch_limit_bytes: 64 * 1024 * 1024,
            answer_stall_s: STALL_LIMIT.as_secs(),
            collector_number: CollectorNumber::default(),
            read_wait_ms: 1_000,
            pages_age_s: 60,
            store: Store::Embedded,
            journal: Journal::default(),
            quarantine: Quarantine::default(),
            redelivery: Redelivery::default(),
            rate_limit: RateLimit::default(),
            drain: Drain::default(),
            maintenance: Maintenance::default(),
            datasets: Datasets::default(),
            sql: Sql::default(),
            parsers_dir: None,
            views_dir: None,
            log: Log::default(),
            retention: telemetrics_schema::expiry::shipped(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { segment_bytes: 64 * MIB, quota_bytes: 4096 * MIB }
    }
}

impl Default for Quarantine {
    fn default() -> Self {
        Self { quota_bytes: 256 * MIB, entries: 10_000, age_days: 35 }
    }
}

impl Default for Redelivery {
    fn default() -> Self {
        Self { records: WINDOW_RECORDS }
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { records_per_s: 0, burst_records: BURST_RECORDS, ids: Vec::new() }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            batch_rows: 131_072,
            batch_bytes: 16 * 1024 * 1024,
            batch_age_ms: 60_000,
            memory_bytes: 32 * 1024 * 1024,
        }
    }
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { file_target_bytes: 256 * MIB, sweep_interval_s: 3_600, removed_grace_s: 3_600, cpu_share_percent: 25 }
    }
}

impl Default for Datasets {
    fn default() -> Self {
        Self { quota_bytes: 16 * 1024 * MIB }
    }
}

impl Default for Sql {
    fn default() -> Self {
        Self { statements: 2, threads: 2, memory_bytes: 128 * 1024 * 1024, rows: 1_000_000, time_s: 60 }
    }
}

#[cfg(test)]
mod tests;
