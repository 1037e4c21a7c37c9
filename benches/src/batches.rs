//! `batches`: NDJSON batches, beside ClickHouse's own insert of the same rows into a table as ours.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use clap::ValueEnum;
use serde_json::Value;
use telemetrics_schema::ddl::{RETENTION_DAYS_DEFAULT, create_records_table};
use telemetrics_schema::time::{Clock, US_PER_S};
use telemetrics_schema::wire::DEFAULT_TELEMETRY_ID;
use telemetrics_testkit::http::{Answer, Connection, exchange};
use telemetrics_testkit::{ClickHouse, Server};
use telemetrics_web::clock::SystemClock;

use crate::figures::{Figure, between};
use crate::programs::{Ground, Place, start_server};
use crate::report::{Destination, Table, ratio, thousands};
use crate::rows::{Encoding, Rows};
use crate::scrape::Metrics;
use crate::size::Size;
use crate::spread::range;
use crate::{Failure, procfs};

/// Rows that are sent in one turn when nobody says otherwise.
const TURN_ROWS: u64 = 200_000;
/// The statement of ClickHouse's side, as it stands in an address.
const INSERT: &str = "INSERT%20INTO%20records%20FORMAT%20JSONEachRow";

/// What `batches` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rows of a request.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1_000, 20_000])]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=50_000))]
    rows: Vec<u64>,
    /// Requests that are sent at the same time.
    #[arg(long, value_name = "N,N...", value_delimiter = ',', default_values_t = [1, 4])]
    connections: Vec<usize>,
    /// How bodies are sent.
    #[arg(long, value_name = "ENCODING,...", value_delimiter = ',', default_values = ["plain", "zstd"])]
    encodings: Vec<Encoding>,
    /// How often each of both has its turn.
    #[arg(long, value_name = "N", default_value_t = 5)]
    turns: u32,
    /// Rows of a turn.
    #[arg(long, value_name = "N", default_value_t = TURN_ROWS)]
    turn_rows: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Load {
    encoding: Encoding,
    rows: u64,
    connections: usize,
    turn_rows: u64,
}

/// What one of both did.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    /// Rows that were acknowledged.
    rows: u64,
    /// Seconds until the last answer.
    answered_s: f64,
    /// Rows that were in the store afterwards.
    stored: f64,
    /// Seconds until nothing was left to do.
    stored_s: f64,
    cpu_s: f64,
}

struct Both {
    server: Server,
    clickhouse: ClickHouse,
    ours: Rows,
    theirs: Rows,
    /// Number of the next row.
    next: u64,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            rows: size.pick(vec![500], vec![1_000, 20_000], vec![1_000, 20_000]),
            connections: size.pick(vec![2], vec![4], vec![1, 4]),
            encodings: size.pick(vec![Encoding::Zstd], vec![Encoding::Plain], vec![Encoding::Plain, Encoding::Zstd]),
            turns: size.pick(1, 1, 3),
            turn_rows: size.pick(1_000, TURN_ROWS, TURN_ROWS),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures and publishes the table.
    ///
    /// # Errors
    /// When something cannot be measured, or a row is refused.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let mut both = Both::start(start_server(&program, &directory.path().join("data"), &[]))?;
        let mut table = Table::new(&[
            "body",
            ">rows/request",
            ">connections",
            ">rows/s answered",
            ">rows/s in the store",
            ">ClickHouse rows/s",
            ">answered / ClickHouse",
            "its turns",
            ">in the store / ClickHouse",
            ">CPU us/row",
            ">ClickHouse CPU us/row",
        ]);
        let mut figures = Vec::new();
        for load in self.loads() {
            let (ours, theirs, ratios) = both.measure(load, self.turns)?;
            eprintln!("{load:?}: {} and {} rows/s", thousands(ours.answered_rate()), thousands(theirs.answered_rate()));
            table.row(line(load, ours, theirs, &ratios));
            figures.extend(figures_of(load, ours, theirs, &ratios));
        }
        self.destination.publish("batches", &facts, table.text(), &figures)
    }

    fn loads(&self) -> Vec<Load> {
        let mut loads = Vec::new();
        for &encoding in &self.encodings {
            for &rows in &self.rows {
                let load = |&connections| Load { encoding, rows, connections, turn_rows: self.turn_rows };
                loads.extend(self.connections.iter().map(load));
            }
        }
        loads
    }
}

/// At least as many rows a second as ClickHouse's own insert.
fn figures_of(load: Load, ours: Done, theirs: Done, ratios: &[f64]) -> [Figure; 2] {
    let (encoding, rows, n) = (load.encoding_name(), load.rows, load.connections);
    let name = format!("{encoding}-{rows}-{n}");
    let what = format!("NDJSON batches, {encoding}, {rows} rows, {n} connections: rows/s of ClickHouse's own insert");
    let ratio = ours.answered_rate() / theirs.answered_rate();
    [
        Figure::new(format!("ratio-{name}"), what, ratio, "").within(range(ratios)).at_least(1.0),
        Figure::new(format!("cpu-{name}"), "processor time a row", ours.cpu_us(), "us"),
    ]
}

fn line(load: Load, ours: Done, theirs: Done, ratios: &[f64]) -> [String; 11] {
    [
        load.encoding_name(),
        load.rows.to_string(),
        load.connections.to_string(),
        thousands(ours.answered_rate()),
        thousands(ours.stored_rate()),
        thousands(theirs.answered_rate()),
        ratio(ours.answered_rate(), theirs.answered_rate()),
        between(range(ratios)),
        ratio(ours.stored_rate(), theirs.answered_rate()),
        format!("{:.1}", ours.cpu_us()),
        format!("{:.1}", theirs.cpu_us()),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
impl Done {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.answered_s += other.answered_s;
        self.stored += other.stored;
        self.stored_s += other.stored_s;
        self.cpu_s += other.cpu_s;
    }

    fn answered_rate(&self) -> f64 {
        self.rows as f64 / self.answered_s
    }

    fn stored_rate(&self) -> f64 {
        self.stored / self.stored_s
    }

    fn cpu_us(&self) -> f64 {
        self.cpu_s * 1e6 / self.rows as f64
    }
}

impl Both {
    fn start(server: Server) -> Result<Self, Failure> {
        let clickhouse = ClickHouse::start();
        let create = create_records_table(RETENTION_DAYS_DEFAULT);
        let request = post(clickhouse.address(), "/", "", create.as_bytes());
        let answer = exchange(clickhouse.address(), &request)?;
        if answer.status != 200 {
            return Err(format!("no table: {}", answer.text()).into());
        }
        let (ours, theirs) = (Rows::ours(), Rows::clickhouse(SystemClock.now().0 / US_PER_S));
        Ok(Self { server, clickhouse, ours, theirs, next: 0 })
    }

    /// Both sums, and of each turn how many times as fast as ClickHouse rows were answered.
    fn measure(&mut self, load: Load, turns: u32) -> Result<(Done, Done, Vec<f64>), Failure> {
        let (mut ours, mut theirs, mut ratios) = (Done::default(), Done::default(), Vec::new());
        for _ in 0..turns {
            let first = self.next;
            self.next += load.turn_rows.next_multiple_of(load.rows);
            let (our_turn, their_turn) = (self.our_turn(load, first)?, self.their_turn(load, first)?);
            ratios.push(our_turn.answered_rate() / their_turn.answered_rate());
            ours.add(&our_turn);
            theirs.add(&their_turn);
        }
        Ok((ours, theirs, ratios))
    }

    fn our_turn(&self, load: Load, first: u64) -> Result<Done, Failure> {
        let headers = format!("X-Telemetry-TID: {DEFAULT_TELEMETRY_ID}\r\nContent-Type: application/x-ndjson\r\n");
        let (address, pid) = (self.server.address(), self.server.process().pid());
        let requests = load.requests(&self.ours, first, |body| {
            post(address, "/v3/collector", &(load.encoding.header().to_owned() + &headers), body)
        })?;
        let (before, cpu) = (Metrics::of(address)?, procfs::cpu_seconds(pid)?);
        let mut done = send(address, requests, load.connections, |answer| accepted(answer, load.rows))?;
        done.stored_s = done.answered_s + procfs::wait_until_calm(pid, procfs::CALM_TIMEOUT)?;
        done.stored = Metrics::of(address)?.since(&before, "store_batch_records_sum");
        done.cpu_s = procfs::cpu_seconds(pid)? - cpu;
        done.rows *= load.rows;
        Ok(done)
    }

    fn their_turn(&self, load: Load, first: u64) -> Result<Done, Failure> {
        let (address, pid) = (self.clickhouse.address(), self.clickhouse.pid());
        let path = format!("/?query={INSERT}");
        let requests = load.requests(&self.theirs, first, |body| post(address, &path, load.encoding.header(), body))?;
        let cpu = procfs::cpu_seconds(pid)?;
        let mut done = send(address, requests, load.connections, |answer| answer.status == 200)?;
        procfs::wait_until_calm(pid, procfs::CALM_TIMEOUT)?;
        done.cpu_s = procfs::cpu_seconds(pid)? - cpu;
        done.rows *= load.rows;
        Ok(done)
    }
}

impl Load {
    fn encoding_name(self) -> String {
        self.encoding.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// All requests of a turn, made before the clock starts.
    fn requests(self, rows: &Rows, first: u64, request: impl Fn(&[u8]) -> Vec<u8>) -> Result<Vec<Vec<u8>>, Failure> {
        let firsts = (0..self.turn_rows.div_ceil(self.rows)).map(|index| first + index * self.rows);
        firsts.map(|first| Ok(request(&rows.body(first, self.rows, self.encoding)?))).collect()
    }
}

impl Encoding {
    fn header(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Zstd => "Content-Encoding: zstd\r\n",
        }
    }
}

fn post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Whether all rows of a batch are durable.
fn accepted(answer: &Answer, rows: u64) -> bool {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    answer.status == 200 && body.is_some_and(|body| body["accepted"] == rows && body["rejected"] == 0)
}

/// Sends all `requests` over so many connections; each has to be answered as `is_good` wants it.
fn send(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    connections: usize,
    is_good: impl Fn(&Answer) -> bool + Sync,
) -> Result<Done, Failure> {
    let rows = requests.len() as u64;
    let waiting = Mutex::new(requests.into_iter());
    let begin = Instant::now();
    thread::scope(|scope| {
        let sender = || scope.spawn(|| send_some(address, &waiting, &is_good));
        let senders: Vec<_> = (0..connections).map(|_| sender()).collect();
        senders.into_iter().try_for_each(|sender| sender.join().unwrap_or_else(|_| Err("a sender panicked".into())))
    })?;
    Ok(Done { rows, answered_s: begin.elapsed().as_secs_f64(), ..Done::default() })
}

fn send_some(
    address: SocketAddr,
    waiting: &Mutex<std::vec::IntoIter<Vec<u8>>>,
    is_good: impl Fn(&Answer) -> bool,
) -> Result<(), Failure> {
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    let mut connection = Connection::open(address)?;
    while let Some(request) = next() {
        connection.send(&request)?;
        let answer = connection.receive()?;
        if !is_good(&answer) {
            return Err(format!("{address} answers {}: {}", answer.status, answer.text()).into());
        }
    }
    Ok(())
}
