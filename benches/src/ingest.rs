//! `ingest`: single records under all loads, beside what HTTP and the disk allow.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use telemetrics_testkit::http::exchange;
use telemetrics_web::config::Config;
use tempfile::TempDir;

use crate::Failure;
use crate::cell::{Bench, Cell, Measured};
use crate::limits::Disk;
use crate::load::Mode;
use crate::machine;
use crate::programs::{Bare, Place, start_server};
use crate::report::{Destination, Table, ratio, thousands};
use crate::requests::{Generation, REQUEST_BYTES, Requests};
use crate::stored;

/// Records a second of the program that this one replaces, measured with its own database.
const ORIGINAL_RATE: f64 = 230.0;
/// Processor time that it takes for a record, in microseconds.
const ORIGINAL_CPU_US: f64 = 7_500.0;
/// How many times better both have to be.
const TIMES: f64 = 100.0;
/// Of the smaller limit.
const RATIO_TARGET: f64 = 0.8;
/// Times the limit's own 99th percentile.
const P99_TARGET: f64 = 3.0;
/// Most memory under load, in MB.
const MEMORY_TARGET_MB: f64 = 150.0;
const P99_CONNECTIONS: usize = 64;
/// Before the first cell: what is done once only is no part of the numbers.
const WARM_UP: Duration = Duration::from_secs(1);

/// What `ingest` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long the server is under each load; the limits take half as long on top.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Numbers of connections.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub connections: Vec<usize>,
    /// Forms of the requests.
    #[arg(long, value_name = "FORM,FORM...", value_delimiter = ',', default_values = ["v2", "v3"])]
    pub generations: Vec<Generation>,
    /// How connections are used.
    #[arg(long, value_name = "MODE,MODE...", value_delimiter = ',', default_values = ["keep-alive", "per-record"])]
    pub modes: Vec<Mode>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

impl Args {
    /// Measures, checks that nothing was lost, and publishes the tables.
    ///
    /// # Errors
    /// When something cannot be measured, or the store does not have exactly what was acknowledged.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let program = self.place.program()?;
        let directory = self.place.directory()?;
        let facts = machine::facts(directory.path())?;
        let (cells, acknowledged) = self.measure(&program, &directory)?;
        let stored = stored::records(&directory.path().join("data"))?;
        let text = format!("{}\n{}\n{}", rates(&cells), costs(&cells), verdict(&cells, acknowledged, stored));
        self.destination.publish("ingest", &facts, &text)?;
        if stored == acknowledged { Ok(()) } else { Err("the store does not have what was acknowledged".into()) }
    }

    fn measure(&self, program: &str, directory: &TempDir) -> Result<(Vec<(Cell, Measured)>, u64), Failure> {
        let mut server = start_server(program, &directory.path().join("data"), &[]);
        let bare = Bare::start(answer_bytes(server.address())?)?;
        let disk = Disk::new(directory.path())?;
        let bench = Bench { server: &server, bare: &bare, disk: &disk };
        let warm_up = Cell { generation: Generation::V3, mode: Mode::KeepAlive, connections: 16 };
        // The record that told the length of an answer counts as well.
        let mut acknowledged = 1 + bench.measure(warm_up, WARM_UP_SALT, WARM_UP)?.server.created;
        let mut cells = Vec::new();
        for (cell, salt) in self.cells().into_iter().zip(FIRST_SALT..) {
            let measured = bench.measure(cell, salt, Duration::from_secs(self.seconds))?;
            acknowledged += measured.server.created;
            eprintln!("{}", progress(cell, &measured));
            cells.push((cell, measured));
        }
        let ended = server.terminate();
        if ended.status.success() { Ok((cells, acknowledged)) } else { Err(ended.stderr.into()) }
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &generation in &self.generations {
            for &mode in &self.modes {
                cells.extend(self.connections.iter().map(|&connections| Cell { generation, mode, connections }));
            }
        }
        cells
    }
}

const PROBE_SALT: u64 = 1;
const WARM_UP_SALT: u64 = 2;
const FIRST_SALT: u64 = 3;

/// Posts one record and measures the body of the answer.
fn answer_bytes(address: SocketAddr) -> Result<usize, Failure> {
    let mut request = [0; REQUEST_BYTES];
    Requests::new(Generation::V3, PROBE_SALT).next(&mut request);
    let answer = exchange(address, &request)?;
    if answer.status == 201 { Ok(answer.body.len()) } else { Err(format!("no record: {}", answer.text()).into()) }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn load_of(cell: Cell) -> [String; 3] {
    [name(&cell.generation), name(&cell.mode), cell.connections.to_string()]
}

fn progress(cell: Cell, measured: &Measured) -> String {
    let (limit, _) = measured.limit(cell.connections);
    let rate = measured.server.rate();
    format!("{}: {} records/s, {} of the limit", load_of(cell).join(" "), thousands(rate), ratio(rate, limit))
}

fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

fn rates(cells: &[(Cell, Measured)]) -> String {
    let mut table = Table::new(&[
        "form",
        "connections",
        ">n",
        ">records/s",
        ">bare handler/s",
        ">n * fdatasyncs/s",
        ">of the smaller",
        ">p50 ms",
        ">p99 ms",
        ">bare p99 ms",
        ">p99 / limit's",
    ]);
    for (cell, measured) in cells {
        let (limit, limit_p99) = measured.limit(cell.connections);
        let (server, p99) = (&measured.server, measured.server.latency.quantile(990));
        table.row(load_of(*cell).into_iter().chain([
            thousands(server.rate()),
            thousands(measured.bare.rate()),
            thousands(measured.disk_rate(cell.connections)),
            ratio(server.rate(), limit),
            ms(server.latency.quantile(500)),
            ms(p99),
            ms(measured.bare.latency.quantile(990)),
            ratio(p99.as_secs_f64(), limit_p99.as_secs_f64()),
        ]));
    }
    table.text().to_owned()
}

/// Microseconds of `seconds` for each of `count`.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn us_each(seconds: f64, count: u64) -> f64 {
    if count > 0 { seconds * 1e6 / count as f64 } else { 0.0 }
}

#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 KiB")]
fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

fn costs(cells: &[(Cell, Measured)]) -> String {
    let mut table = Table::new(&[
        "form",
        "connections",
        ">n",
        ">CPU us/record",
        ">bare CPU us",
        ">generator CPU us",
        ">generator, processors",
        ">records/sync",
        ">syncs/s",
        ">sync us",
        ">peak MB",
        ">most pending",
        ">refused",
        ">broken",
    ]);
    for (cell, measured) in cells {
        let server = &measured.server;
        let syncs_per_s = if measured.group_records > 0.0 { server.rate() / measured.group_records } else { 0.0 };
        table.row(load_of(*cell).into_iter().chain([
            format!("{:.1}", us_each(measured.server_cpu_s, server.created)),
            format!("{:.1}", us_each(measured.bare_cpu_s, measured.bare.created)),
            format!("{:.1}", us_each(server.own_cpu_s, server.created)),
            ratio(server.own_cpu_s, server.elapsed_s),
            format!("{:.1}", measured.group_records),
            thousands(syncs_per_s),
            thousands(measured.sync_s * 1e6),
            format!("{:.0}", mb(measured.peak_kib.max(measured.peaks.resident_kib))),
            thousands(measured.peaks.pending_records),
            server.refused.to_string(),
            server.broken.to_string(),
        ]));
    }
    table.text().to_owned()
}

fn verdict(cells: &[(Cell, Measured)], acknowledged: u64, stored: u64) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String, target: String, holds: bool| {
        let holds = if holds { "yes" } else { "**no**" };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "| {what} | {value} | {target} | {holds} |");
    };
    let least = |of: &dyn Fn(&(Cell, Measured)) -> f64| cells.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: &dyn Fn(&(Cell, Measured)) -> f64| cells.iter().map(of).fold(0.0, f64::max);

    let share = least(&|(cell, measured)| measured.server.rate() / measured.limit(cell.connections).0);
    line("least share of the smaller limit", format!("{share:.2}"), format!("{RATIO_TARGET}"), share >= RATIO_TARGET);
    let p99 = most(&|(cell, measured)| match cell.connections {
        P99_CONNECTIONS => {
            measured.server.latency.quantile(990).as_secs_f64() / measured.limit(cell.connections).1.as_secs_f64()
        }
        _ => 0.0,
    });
    line("p99 at 64 connections, times the limit's", format!("{p99:.2}"), format!("{P99_TARGET}"), p99 <= P99_TARGET);
    let cpu = most(&|(_, measured)| us_each(measured.server_cpu_s, measured.server.created));
    line(
        "most CPU us/record",
        format!("{cpu:.1}"),
        format!("{}", ORIGINAL_CPU_US / TIMES),
        cpu <= ORIGINAL_CPU_US / TIMES,
    );
    let rate = most(&|(_, measured)| measured.server.rate());
    line("best records/s", thousands(rate), thousands(ORIGINAL_RATE * TIMES), rate >= ORIGINAL_RATE * TIMES);
    let memory = most(&|(_, measured)| mb(measured.peak_kib.max(measured.peaks.resident_kib)));
    line("most memory, MB", format!("{memory:.0}"), format!("{MEMORY_TARGET_MB}"), memory <= MEMORY_TARGET_MB);
    pending_and_stored(&mut line, cells, acknowledged, stored);
    format!("| what | measured | target | holds |\n| --- | --: | --: | --- |\n{text}")
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn pending_and_stored(
    line: &mut impl FnMut(&str, String, String, bool),
    cells: &[(Cell, Measured)],
    acknowledged: u64,
    stored: u64,
) {
    // One batch is filled while the one before it is on its way to the store.
    let bound = 2.0 * Config::default().drain.batch_rows as f64;
    let pending = cells.iter().map(|(_, measured)| measured.peaks.pending_records).fold(0.0, f64::max);
    line("most records that the store did not have yet", thousands(pending), thousands(bound), pending <= bound);
    let (stored_text, acknowledged_text) = (thousands(stored as f64), thousands(acknowledged as f64));
    line("records that a query finds, of those answered 201", stored_text, acknowledged_text, stored == acknowledged);
}
