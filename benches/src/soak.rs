//! `soak`: a server that does everything at the same time for a long while, and dies now and then.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::generator::{Fleet, generate};
use telemetrics_schema::time::{Clock, US_PER_DAY, US_PER_S};
use telemetrics_testkit::{ClickHouse, Server};
use telemetrics_web::clock::SystemClock;

use crate::figures::Figure;
use crate::kept::{self, Kept};
use crate::load::{Load, Mode};
use crate::paced::Paced;
use crate::processors::Processors;
use crate::programs::{Ground, Place, start_server};
use crate::readers::{Addresses, Readers};
use crate::report::Destination;
use crate::requests::{Generation, Requests};
use crate::size::Size;
use crate::timeline::{self, Timeline};
use crate::{Failure, corpus, stored};

/// Records expire after a day, and the store looks for them every minute.
const CONFIG: &str = "[retention]\ndefault_days = 1\nrules = []\n\n[maintenance]\nsweep_interval_s = 60\n\
                      removed_grace_s = 60\n";
const LIFE_US: i64 = US_PER_DAY;
/// Of the measured maximum, what is sent.
const SHARE: f64 = 0.7;
const SENDERS: u32 = 64;
const READERS: usize = 2;
/// Between two requests of one reader: people read what they see.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two kills; a run that is shorter has one in its middle.
const KILL_DISTANCE: Duration = Duration::from_mins(5);
const MAXIMUM_SALT: u64 = 1;
const SALT: u64 = 2;
/// Between two looks at the server.
const LOOK_DISTANCE: Duration = Duration::from_millis(500);

/// Where records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// Files below the server's directory.
    Embedded,
    /// A ClickHouse server.
    Clickhouse,
}

/// What `soak` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long it lasts.
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    minutes: f64,
    /// Where records are kept.
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    store: Store,
    /// Records that are there at the beginning, and expire one by one while it runs.
    #[arg(long, value_name = "N", default_value_t = 300_000)]
    old_records: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// The server and what it works with.
struct Bed {
    server: Server,
    clickhouse: Option<ClickHouse>,
    data_dir: PathBuf,
    /// When each of the old records was received.
    old: Vec<TimestampUs>,
}

impl Args {
    /// As a part of `report`: short ones only, long ones are commands of their own.
    #[must_use]
    pub fn sized(size: Size, store: Store, place: &Place, destination: &Destination) -> Self {
        Self {
            minutes: size.pick(0.1, 0.5, 5.0),
            store,
            old_records: size.pick(2_000, 50_000, 300_000),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Runs it, and publishes what was seen over time.
    ///
    /// # Errors
    /// When something cannot be measured.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let mut bed = self.prepare(&program, directory.path())?;
        let rate = SHARE * self.maximum(&bed)?;
        eprintln!("soak: {rate:.0} records/s");
        let (timeline, figures) = self.soak(&mut bed, rate)?;
        let name = format!("soak-{}", self.store_name());
        self.destination.publish(&name, &facts, &timeline.table(), &figures)
    }

    fn store_name(&self) -> String {
        self.store.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// A store with old records, and the server over it.
    fn prepare(&self, program: &str, directory: &Path) -> Result<Bed, Failure> {
        let (data_dir, config) = (directory.join("data"), directory.join("soak.toml"));
        std::fs::write(&config, CONFIG)?;
        let (fleet, config) = (self.old_fleet(), config.display().to_string());
        let old = generate(&fleet).map(|(received, _)| received).collect();
        let runtime = tokio::runtime::Runtime::new()?;
        let mut arguments = vec!["--config".to_owned(), config];
        let clickhouse = match self.store {
            Store::Embedded => {
                runtime.block_on(corpus::fill_embedded(&data_dir, &fleet))?;
                None
            }
            Store::Clickhouse => {
                let clickhouse = ClickHouse::start();
                runtime.block_on(corpus::fill_clickhouse(&clickhouse, &fleet))?;
                arguments.extend(["--clickhouse".to_owned(), clickhouse.url()]);
                Some(clickhouse)
            }
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let server = start_server(program, &data_dir, &arguments);
        Ok(Bed { server, clickhouse, data_dir, old })
    }

    /// Records that expire from now until about the end.
    #[allow(clippy::cast_possible_truncation, reason = "minutes of a run")]
    fn old_fleet(&self) -> Fleet {
        let start = TimestampUs(SystemClock.now().0 - LIFE_US);
        let end = TimestampUs(start.0 + self.duration().as_micros() as i64);
        Fleet { start, ..Fleet::demo(1, self.old_records, end) }
    }

    /// The rate that the server has when senders never wait, beside the same readers.
    fn maximum(&self, bed: &Bed) -> Result<f64, Failure> {
        let requests = Requests::new(Generation::V3, MAXIMUM_SALT);
        let load =
            Load { address: bed.server.address(), requests, mode: Mode::KeepAlive, connections: SENDERS as usize };
        let readers = Readers::start(&Addresses::new(bed.server.address()), READERS, PAUSE);
        let outcome = load.run((self.duration() / 20).min(Duration::from_secs(20)))?;
        let _ = readers.stop();
        Ok(outcome.rate())
    }

    fn soak(&self, bed: &mut Bed, rate: f64) -> Result<(Timeline, Vec<Figure>), Failure> {
        let requests = Requests::new(Generation::V3, SALT);
        let addresses = Addresses::new(bed.server.address());
        let senders = Paced::start(&addresses, &requests, SENDERS, rate);
        let readers = Readers::start(&addresses, READERS, PAUSE);
        let processors = Processors::start(bed.server.process().pid(), bed.clickhouse.as_ref().map(ClickHouse::pid))?;
        let mut timeline = Timeline::new(self.duration(), processors);
        let distance = KILL_DISTANCE.min(self.duration().mul_f64(0.6));
        let (begin, mut next_kill) = (Instant::now(), distance);
        while begin.elapsed() < self.duration() {
            if begin.elapsed() >= next_kill {
                timeline.killed(bed.kill(&addresses));
                next_kill += distance;
            }
            timeline.look(&bed.server, &bed.data_dir, &senders, &readers)?;
            std::thread::sleep(LOOK_DISTANCE);
        }
        let old = bed.old_records()?;
        let read = readers.stop();
        timeline.end(&senders.stop()?, read);
        let issued = requests.issued();
        let ended = bed.server.terminate();
        if !ended.status.success() {
            return Err(ended.stderr.into());
        }
        let kept = bed.kept(issued)?;
        let figures = timeline::figures(&timeline, rate).into_iter().chain(stored_figures(kept, old)).collect();
        Ok((timeline, figures))
    }
}

impl Bed {
    /// Kills the server and starts it again; gives how long that took until it answered.
    fn kill(&mut self, addresses: &Addresses) -> Duration {
        self.server.kill();
        let begin = Instant::now();
        self.server.restart();
        addresses.set(self.server.address());
        while self.server.get("/readyz").status != 200 {
            std::thread::sleep(Duration::from_millis(5));
        }
        begin.elapsed()
    }

    /// How many old records the server shows that should be gone, and how many it does not that should be there.
    fn old_records(&self) -> Result<u64, Failure> {
        let living = |now: TimestampUs| self.old.iter().filter(|received| received.0 >= now.0 - LIFE_US).count() as u64;
        let until = self.old.iter().map(|received| received.0).max().unwrap_or(0) + US_PER_S;
        let statement = format!("SELECT count(*) AS n FROM records WHERE ts_reception < to_timestamp_micros({until})");
        let before = living(SystemClock.now());
        let answer = self.server.post_to("/api/sql", &[("Content-Type", "text/plain")], statement.as_bytes());
        let after = living(SystemClock.now());
        let shown = first_number(&answer.text()).filter(|_| answer.status == 200);
        let shown = shown.ok_or_else(|| format!("old records: {} {}", answer.status, answer.text()))?;
        Ok(shown.saturating_sub(before) + after.saturating_sub(shown))
    }

    /// What became of the requests, in the store that the server left behind.
    fn kept(&self, issued: u64) -> Result<Kept, Failure> {
        let runtime = tokio::runtime::Runtime::new()?;
        let analytics = match &self.clickhouse {
            None => runtime.block_on(stored::open(&self.data_dir))?,
            Some(clickhouse) => corpus::questions_to(clickhouse)?,
        };
        runtime.block_on(kept::look(&analytics, SALT, issued))
    }
}

/// The number in the only line of an answer.
fn first_number(answer: &str) -> Option<u64> {
    let mut digits = answer.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    digits.next_back()?.parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn stored_figures(kept: Kept, old: u64) -> [Figure; 4] {
    let none = |name: &str, what: &str, count: u64| Figure::new(name, what, count as f64, "").at_most(0.0);
    [
        Figure::new("stored", "records answered 201 that are in the store", kept.stored as f64, ""),
        none("lost", "records answered 201 that are not in the store", kept.missing),
        none("doubled", "records that are in the store more than once", kept.doubled),
        none("expired", "old records that are shown and expired, or not shown and alive", old),
    ]
}
