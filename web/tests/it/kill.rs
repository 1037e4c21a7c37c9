//! The process, the database or both die at random moments under load, again and again: nothing acknowledged is lost,
//! and nothing is stored twice.

use std::fs;
use std::time::Duration;

use telemetrics_testkit::process::Ended;
use telemetrics_testkit::{ClickHouse, Server};

use crate::load::{Faults, Load, Plan, in_clickhouse, in_server, pause};
use crate::servers::PROGRAM;

/// Sets how many kills each of the tests takes.
const KILLS_VARIABLE: &str = "TELEMETRICS_TEST_KILLS";
/// A kill counts when the process was ready, or had read what the one before left. Others come on top.
const EMBEDDED_KILLS: u64 = 50;
const CLICKHOUSE_KILLS: u64 = 50;
/// Records between a start under load and the kill, at most; a part of a second comes on top.
const RECORDS_MAX: u64 = 60;
/// Of so many kills one waits until a segment of the journal was full.
const FULL_SEGMENT_DISTANCE: u64 = 8;
/// Of so many starts one is killed before it is ready.
const KILLED_AGAIN_ODDS: u64 = 5;
/// Longer than a start takes without load.
const START_MS: u64 = 250;
/// Of so many kills one comes after the server was asked to stop.
const ASKED_ODDS: u64 = 6;
/// About as long as it needs to stop.
const STOP_MS: u64 = 150;

const DATABASE: &str = "telemetry";
const DELIVERED: &str = "delivered a batch";
const REPLAYED: &str = "acknowledged records of the last run";
const TORN: &str = "the journal ended in an unfinished write";

#[test]
fn kills_cost_nothing_with_the_embedded_store() {
    let mut siege = Siege::begin(|config| Server::start_with_config(PROGRAM, config, &[]));
    while siege.kills() < kills(EMBEDDED_KILLS) {
        siege.wait_for_a_moment();
        siege.kill_server();
        siege.start_server();
    }
    siege.end(None);
}

#[test]
fn kills_of_server_and_database_cost_nothing_with_clickhouse() {
    let mut clickhouse = ClickHouse::start();
    let url = format!("{}/{DATABASE}", clickhouse.url());
    let mut siege = Siege::begin(|config| Server::start_with_config(PROGRAM, config, &["--clickhouse", &url]));
    for turn in (0..4).cycle() {
        if siege.kills() >= kills(CLICKHOUSE_KILLS) {
            break;
        }
        siege.wait_for_deliveries();
        siege.wait_for_a_moment();
        match turn {
            0 => siege.kill_server(),
            1 => siege.kill_database(&mut clickhouse),
            2 => siege.kill_both(&mut clickhouse),
            _ => siege.kill_server_during_an_insert(&clickhouse),
        }
        siege.start_server();
    }
    siege.end(Some(&clickhouse));
}

fn kills(default: u64) -> u64 {
    std::env::var(KILLS_VARIABLE).map_or(default, |text| text.parse().expect("a number of kills"))
}

/// A server under load and what was seen of it.
struct Siege {
    plan: Plan,
    load: Load,
    server: Server,
    runs: bool,
    /// Of what was ready: the server, or the database.
    kills: u64,
    /// Of servers that were not ready but had recovered records.
    recovered_kills: u64,
    /// Of servers before that.
    early_kills: u64,
    delivered: usize,
    replayed: usize,
    torn: usize,
}

impl Siege {
    fn begin(start: impl FnOnce(&str) -> Server) -> Self {
        let mut plan = Plan::new();
        let server = start(&plan.config());
        let load = Load::start(&mut plan, Faults::Expected);
        load.aim_at(&server);
        Self {
            plan,
            load,
            server,
            runs: true,
            kills: 0,
            recovered_kills: 0,
            early_kills: 0,
            delivered: 0,
            replayed: 0,
            torn: 0,
        }
    }

    fn wait_for_a_moment(&mut self) {
        if self.kills().is_multiple_of(FULL_SEGMENT_DISTANCE) {
            let before = newest_segment(&self.server);
            self.load.wait_until("a full segment", || newest_segment(&self.server) > before);
        }
        self.load.wait_for(self.plan.chance.between(1, RECORDS_MAX));
        pause(&mut self.plan.chance, 0, 300);
    }

    /// Waits until the store takes records, which after an outage takes a while.
    fn wait_for_deliveries(&self) {
        let count = || count(&self.server.process().errors(), DELIVERED);
        let before = count();
        self.load.wait_until("a batch that reaches the store", || count() > before);
    }

    fn kill_server(&mut self) {
        let chance = &mut self.plan.chance;
        let ended = if chance.one_in(ASKED_ODDS) {
            let after = Duration::from_millis(chance.between(0, STOP_MS));
            self.server.terminate_and_kill(after)
        } else {
            self.server.kill()
        };
        self.runs = false;
        self.load.hold();
        self.kills += 1;
        self.note(&ended);
    }

    fn start_server(&mut self) {
        if self.runs {
            return;
        }
        while self.plan.chance.one_in(KILLED_AGAIN_ODDS) {
            let after = Duration::from_millis(self.plan.chance.between(1, START_MS));
            let ended = self.server.restart_and_kill(after);
            let has_recovered = count(&ended.stderr, REPLAYED) > 0;
            *if has_recovered { &mut self.recovered_kills } else { &mut self.early_kills } += 1;
            self.note(&ended);
        }
        self.server.restart();
        self.runs = true;
        self.load.aim_at(&self.server);
    }

    fn kill_database(&mut self, clickhouse: &mut ClickHouse) {
        clickhouse.kill();
        self.kills += 1;
        self.wait_for_a_moment();
        clickhouse.restart();
    }

    fn kill_both(&mut self, clickhouse: &mut ClickHouse) {
        if self.plan.chance.one_in(2) {
            clickhouse.kill();
            self.kill_server();
        } else {
            self.kill_server();
            clickhouse.kill();
        }
        if self.plan.chance.one_in(2) {
            self.start_server();
            self.wait_for_a_moment();
        }
        clickhouse.restart();
    }

    /// The database goes on with what it was sent while the next process asks what is there.
    fn kill_server_during_an_insert(&mut self, clickhouse: &ClickHouse) {
        clickhouse.pause();
        self.wait_for_a_moment();
        self.kill_server();
        clickhouse.resume();
    }

    /// Kills that count.
    fn kills(&self) -> u64 {
        self.kills + self.recovered_kills
    }

    fn note(&mut self, ended: &Ended) {
        assert!(!ended.stderr.contains("panicked"), "{}: {}", self.plan.context, ended.stderr);
        self.delivered += count(&ended.stderr, DELIVERED);
        self.replayed += count(&ended.stderr, REPLAYED);
        self.torn += count(&ended.stderr, TORN);
    }

    fn end(mut self, clickhouse: Option<&ClickHouse>) {
        let ledger = self.load.finish();
        println!(
            "{} kills when ready, {} when recovered, {} before; {} batches before them, {} replays with records, \
             {} torn tails; {}",
            self.kills,
            self.recovered_kills,
            self.early_kills,
            self.delivered,
            self.replayed,
            self.torn,
            ledger.summary()
        );
        let context = &self.plan.context;
        let stored = in_server(&self.server);
        ledger.check(&stored, context);
        assert!(self.delivered > 0 && self.replayed > 0 && ledger.repeated() > 0, "{context}: the kills hit nothing");
        let ended = self.server.terminate();
        assert_eq!(ended.status.code(), Some(0), "{context}: {}", ended.stderr);
        self.server.restart();
        assert_eq!(in_server(&self.server), stored, "{context}: what a restart changes");
        if let Some(clickhouse) = clickhouse {
            assert_eq!(in_clickhouse(clickhouse, DATABASE), stored, "{context}: what the table has");
        }
    }
}

fn count(errors: &str, what: &str) -> usize {
    errors.lines().filter(|line| line.contains(what)).count()
}

/// Segments of the journal are numbered.
fn newest_segment(server: &Server) -> u64 {
    let files = fs::read_dir(server.data_dir().join("journal")).expect("a journal");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let numbers = names.filter_map(|name| u64::from_str_radix(name.strip_suffix(".journal")?, 16).ok());
    numbers.max().expect("a segment")
}
