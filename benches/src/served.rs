//! The same records in both stores, each behind a server of its own: what exports and pages are asked of.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telemetrics_schema::TimestampUs;
use telemetrics_schema::generator::{Fleet, WINDOW_DAYS};
use telemetrics_schema::time::{Clock, US_PER_DAY};
use telemetrics_testkit::{ClickHouse, Server};
use telemetrics_web::clock::SystemClock;
use tokio::runtime::Runtime;

use crate::corpus::Stores;
use crate::programs::start_server;
use crate::stores::compact;
use crate::{Failure, procfs};

/// Machines of the fleet, whatever the number of records: what grows are the records alone.
const MACHINES: u32 = 20_000;
/// Longest time that both have to do what they do after they were filled: what is measured next is an idle machine.
const SETTLING_TIMEOUT: Duration = Duration::from_mins(2);
/// The number of the collector that comes to the filled server: another one than that which filled it.
const COLLECTOR: &str = "collector_number = 1\n";

/// Which store a server asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// The embedded store.
    Embedded,
    /// ClickHouse.
    ClickHouse,
}

impl Kept {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Embedded, Self::ClickHouse];

    /// What it is called in tables and in names of figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::ClickHouse => "clickhouse",
        }
    }
}

/// See the module.
pub struct Served {
    /// Records in each of both, at the beginning.
    pub records: u64,
    /// The directory of the server with the embedded store.
    pub data_dir: PathBuf,
    /// What the other one asks.
    pub clickhouse: ClickHouse,
    embedded: Server,
    on_clickhouse: Server,
}

impl Served {
    /// Fills both stores with so many records of five weeks, lets them merge, and starts a server for each, below
    /// `directory` and with the settings of `config`: a file, without those of a section.
    ///
    /// # Errors
    /// When a store cannot be filled.
    ///
    /// # Panics
    /// When a program does not come up.
    pub fn start(program: &str, records: u64, directory: &Path, config: &str) -> Result<Self, Failure> {
        let data_dir = directory.join("embedded");
        let runtime = Runtime::new()?;
        let mut stores = runtime.block_on(Stores::create(&data_dir))?;
        let filled = runtime.block_on(stores.fill(&fleet(records), |_| Ok(())))?;
        let clickhouse = stores.into_clickhouse();
        eprintln!("{} records are in both stores; merging", filled.records);
        compact(program, &data_dir)?;
        clickhouse.query("OPTIMIZE TABLE records FINAL");
        let own = directory.join("embedded.toml");
        fs::write(&own, config)?;
        let embedded = start_server(program, &data_dir, &["--config", &own.display().to_string()]);
        let other = directory.join("clickhouse.toml");
        fs::write(&other, format!("{COLLECTOR}{config}"))?;
        let arguments = ["--config", &other.display().to_string(), "--clickhouse", &clickhouse.url()];
        let on_clickhouse = start_server(program, &directory.join("clickhouse"), &arguments);
        procfs::wait_until_calm(embedded.process().pid(), SETTLING_TIMEOUT)?;
        procfs::wait_until_calm(clickhouse.pid(), SETTLING_TIMEOUT)?;
        Ok(Self { records: filled.records, data_dir, clickhouse, embedded, on_clickhouse })
    }

    /// The server that asks this store.
    #[must_use]
    pub fn server(&self, kept: Kept) -> &Server {
        match kept {
            Kept::Embedded => &self.embedded,
            Kept::ClickHouse => &self.on_clickhouse,
        }
    }
}

/// What the demo's fleet sent in the five weeks that end an hour ago, but always of as many machines.
fn fleet(records: u64) -> Fleet {
    let now = SystemClock.now();
    let fleet = Fleet { machines: MACHINES, ..Fleet::demo(1, records, TimestampUs(now.0 - US_PER_DAY / 24)) };
    Fleet { start: TimestampUs(now.0 - (WINDOW_DAYS - 1) * US_PER_DAY), ..fleet }
}
