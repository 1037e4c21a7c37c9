//! `start`: from the start of the process to its first answers, with few and with many records; and the program's size.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use telemetrics_schema::time::Clock;
use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{ClickHouse, Server};
use telemetrics_web::clock::SystemClock;

use crate::figures::Figure;
use crate::programs::{Ground, Place, start_server};
use crate::report::{Destination, Table, thousands};
use crate::size::Size;
use crate::spread::Spread;
use crate::stores::compact;
use crate::{Failure, corpus, questions};

/// What is asked first: whether it accepts records, and then something that the store has to be read for.
const READY: &str = "/readyz";
const QUESTION: &str = "/api/records?limit=1";
/// Between two attempts, shorter than anything that is measured.
const DISTANCE: Duration = Duration::from_millis(2);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// What `start` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Records of the embedded store that is not empty.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    records: u64,
    /// How often each is started; the median counts.
    #[arg(long, value_name = "N", default_value_t = 7)]
    turns: usize,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// One line of the table, times in milliseconds.
struct Started {
    store: &'static str,
    records: u64,
    ready_ms: Spread,
    answered_ms: Spread,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            records: size.pick(1_000, 500_000, 10_000_000),
            turns: size.pick(1, 3, 7),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures and publishes the table.
    ///
    /// # Errors
    /// When something cannot be measured.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground_with_clickhouse()?;
        let (empty, full) = (directory.path().join("empty"), directory.path().join("full"));
        let mut started = vec![self.measure(&program, &empty, &[], ("embedded", 0))?];
        let fleet = questions::fleet(self.records, SystemClock.now());
        tokio::runtime::Runtime::new()?.block_on(corpus::fill_embedded(&full, &fleet))?;
        compact(&program, &full)?;
        started.push(self.measure(&program, &full, &[], ("embedded", self.records))?);
        let (clickhouse, remote) = (ClickHouse::start(), directory.path().join("remote"));
        started.push(self.measure(&program, &remote, &["--clickhouse", &clickhouse.url()], ("ClickHouse", 0))?);
        let bytes = sizes(&program, directory.path())?;
        let text = format!("{}\n{}", table(&started), size_table(bytes));
        self.destination.publish("start", &facts, &text, &figures(&started, bytes))
    }

    fn measure(
        &self,
        program: &str,
        data_dir: &Path,
        arguments: &[&str],
        (store, records): (&'static str, u64),
    ) -> Result<Started, Failure> {
        // The first start makes what is missing, and brings the program into memory.
        start(program, data_dir, arguments)?;
        let (mut ready, mut answered) = (Vec::new(), Vec::new());
        for _ in 0..self.turns {
            let times = start(program, data_dir, arguments)?;
            ready.push(times[0]);
            answered.push(times[1]);
        }
        Ok(Started { store, records, ready_ms: Spread::of(ready), answered_ms: Spread::of(answered) })
    }
}

/// Starts the server and stops it; gives the milliseconds until it was ready, and until it had answered a question.
fn start(program: &str, data_dir: &Path, arguments: &[&str]) -> Result<[f64; 2], Failure> {
    let begin = Instant::now();
    let mut server = start_server(program, data_dir, arguments);
    let mut times = [0.0; 2];
    for (path, time) in [READY, QUESTION].into_iter().zip(&mut times) {
        wait_for(&server, path, begin)?;
        *time = begin.elapsed().as_secs_f64() * 1e3;
    }
    let ended = server.terminate();
    if ended.status.success() { Ok(times) } else { Err(ended.stderr.into()) }
}

fn wait_for(server: &Server, path: &str, begin: Instant) -> Result<(), Failure> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.address());
    while exchange(server.address(), request.as_bytes())?.status != 200 {
        if begin.elapsed() > ANSWER_TIMEOUT {
            return Err(format!("{path} does not answer 200").into());
        }
        thread::sleep(DISTANCE);
    }
    Ok(())
}

/// Bytes of the program as it was built, and without its symbols.
fn sizes(program: &str, directory: &Path) -> Result<[u64; 2], Failure> {
    let stripped = directory.join("stripped");
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(program).output();
    let done = done.map_err(|error| format!("strip (of binutils) cannot be started: {error}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    Ok([fs::metadata(program)?.len(), fs::metadata(stripped)?.len()])
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn table(started: &[Started]) -> String {
    let mut table = Table::new(&["store", ">records", ">ready ms", "quartiles", ">first answer ms", "quartiles"]);
    for line in started {
        let cells =
            |ms: Spread| [format!("{:.0}", ms.median), format!("{:.0}..{:.0}", ms.quartiles[0], ms.quartiles[1])];
        let times = cells(line.ready_ms).into_iter().chain(cells(line.answered_ms));
        table.row([line.store.to_owned(), thousands(line.records as f64)].into_iter().chain(times));
    }
    table.text().to_owned()
}

fn size_table(bytes: [u64; 2]) -> String {
    let mut table = Table::new(&["the program", ">MB"]);
    for (name, mb) in ["as built", "without symbols"].into_iter().zip(bytes.map(megabytes)) {
        table.row([name.to_owned(), format!("{mb:.1}")]);
    }
    table.text().to_owned()
}

#[allow(clippy::cast_precision_loss, reason = "a file is far below 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn figures(started: &[Started], bytes: [u64; 2]) -> Vec<Figure> {
    let of = |line: &Started| {
        let place = if line.records == 0 { format!("{} empty", line.store) } else { format!("{} full", line.store) };
        let figure = |name: &str, ms: Spread| {
            let what = format!("{place} ({} records): milliseconds until {name}", line.records);
            Figure::new(format!("{name} {place}"), what, ms.median, "ms").within(ms.quartiles)
        };
        [figure("ready", line.ready_ms), figure("answered", line.answered_ms)]
    };
    let mut figures: Vec<Figure> = started.iter().flat_map(of).collect();
    let [built, stripped] = bytes.map(megabytes);
    figures.push(Figure::new("program", "the program as built", built, "MB"));
    figures.push(Figure::new("program-stripped", "the program without symbols", stripped, "MB"));
    figures
}
