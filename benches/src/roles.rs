//! `roles`: memory of each role of the program: after its start, after its first work, and under load.

use std::thread;
use std::time::{Duration, Instant};

use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{ClickHouse, Server};

use crate::figures::Figure;
use crate::load::{Load, Mode};
use crate::programs::{Ground, Place, start_role};
use crate::readers::{Addresses, PATHS, Readers};
use crate::report::{Destination, Table};
use crate::requests::{Generation, REQUEST_BYTES, Requests};
use crate::size::Size;
use crate::{Failure, procfs};

/// Most memory of a collector that has nothing to do, in MB.
const IDLE_TARGET_MB: f64 = 40.0;
/// Most memory of what accepts records, under load, in MB.
const LOADED_TARGET_MB: f64 = 150.0;
const STABLE_TIMEOUT: Duration = Duration::from_mins(2);
const DISTANCE: Duration = Duration::from_millis(100);
/// Senders of the load, and how many read at the same time.
const SENDERS: usize = 64;
const READERS: usize = 4;
/// Between two requests of one reader.
const PAUSE: Duration = Duration::from_millis(50);

/// What `roles` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long each role is under load.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Memory is stable when it did not grow for so many milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 5_000)]
    stable_ms: u64,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

/// What a role does, and with which store.
#[derive(Debug, Clone, Copy)]
struct Role {
    /// Its command.
    name: &'static str,
    store: &'static str,
    /// Whether it accepts records, and whether it answers questions.
    collects: bool,
    answers: bool,
}

const ROLES: [Role; 4] = [
    Role { name: "serve", store: "embedded", collects: true, answers: true },
    Role { name: "serve", store: "ClickHouse", collects: true, answers: true },
    Role { name: "collector", store: "ClickHouse", collects: true, answers: false },
    Role { name: "web", store: "ClickHouse", collects: false, answers: true },
];

/// A role's memory at one moment, in MB.
struct Looked {
    role: Role,
    after: &'static str,
    resident_mb: f64,
    allocated_mb: f64,
    peak_mb: f64,
}

impl Args {
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            seconds: size.pick(1, 3, 20),
            stable_ms: size.pick(200, 1_000, 5_000),
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
        let clickhouse = ClickHouse::start();
        let mut looked = Vec::new();
        for (number, role) in ROLES.into_iter().enumerate() {
            let data_dir = directory.path().join(number.to_string());
            // Who collects for one database has a number of its own.
            let config = directory.path().join(format!("{number}.toml"));
            std::fs::write(&config, format!("collector_number = {number}\n"))?;
            let (url, config) = (clickhouse.url(), config.display().to_string());
            let of_clickhouse = ["--config", &config, "--clickhouse", &url];
            let arguments: &[&str] = if role.store == "embedded" { &[] } else { &of_clickhouse };
            let server = start_role(&program, role.name, &data_dir, arguments);
            looked.extend(self.measure(role, &server)?);
        }
        self.destination.publish("roles", &facts, &table(&looked), &figures(&looked))
    }

    fn measure(&self, role: Role, server: &Server) -> Result<[Looked; 3], Failure> {
        let begin = self.stable(role, "its start", server)?;
        first_work(role, server)?;
        let first = self.stable(role, if role.collects { "one record" } else { "one page" }, server)?;
        procfs::reset_peak(server.process().pid())?;
        self.load(role, server)?;
        Ok([begin, first, look(role, "a load", server)?])
    }

    /// Records and questions at the same time, as far as the role takes them.
    fn load(&self, role: Role, server: &Server) -> Result<(), Failure> {
        let duration = Duration::from_secs(self.seconds);
        let readers = role.answers.then(|| Readers::start(&Addresses::new(server.address()), READERS, PAUSE));
        if role.collects {
            let requests = Requests::new(Generation::V3, 2);
            let load = Load { address: server.address(), requests, mode: Mode::KeepAlive, connections: SENDERS };
            let sent = load.run(duration)?;
            if sent.created == 0 || sent.refused > 0 {
                return Err(format!("{} refuses records", role.name).into());
            }
        } else {
            thread::sleep(duration);
        }
        let read = readers.map(Readers::stop);
        match read.filter(|read| read.refused > 0 || read.latency.count() == 0) {
            Some(read) => Err(format!("{} answers badly: {}", role.name, read.complaint).into()),
            None => Ok(()),
        }
    }

    /// The memory, once it has stopped to grow.
    fn stable(&self, role: Role, after: &'static str, server: &Server) -> Result<Looked, Failure> {
        let stable = Duration::from_millis(self.stable_ms);
        let (begin, mut most, mut since) = (Instant::now(), 0, Instant::now());
        while since.elapsed() < stable && begin.elapsed() < STABLE_TIMEOUT {
            let memory = procfs::memory(server.process().pid())?;
            if memory.resident_kib > most {
                (most, since) = (memory.resident_kib, Instant::now());
            }
            thread::sleep(DISTANCE);
        }
        look(role, after, server)
    }
}

fn look(role: Role, after: &'static str, server: &Server) -> Result<Looked, Failure> {
    let memory = procfs::memory(server.process().pid())?;
    let [resident_mb, allocated_mb, peak_mb] =
        [memory.resident_kib, memory.anonymous_kib, memory.peak_kib].map(procfs::mb);
    Ok(Looked { role, after, resident_mb, allocated_mb, peak_mb })
}

/// One record or one page.
fn first_work(role: Role, server: &Server) -> Result<(), Failure> {
    let mut request = [0; REQUEST_BYTES];
    Requests::new(Generation::V2, 1).next(&mut request);
    let page = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", PATHS[0], server.address());
    let (request, expected): (&[u8], _) = if role.collects { (&request, 201) } else { (page.as_bytes(), 200) };
    let answer = exchange(server.address(), request)?;
    if answer.status == expected { Ok(()) } else { Err(format!("{}: {}", role.name, answer.text()).into()) }
}

fn table(looked: &[Looked]) -> String {
    let mut table = Table::new(&["role", "store", "after", ">resident MB", ">of it allocated MB", ">peak MB"]);
    for line in looked {
        let numbers = [line.resident_mb, line.allocated_mb, line.peak_mb].map(|mb| format!("{mb:.1}"));
        let texts = [line.role.name, line.role.store, line.after].map(str::to_owned);
        table.row(texts.into_iter().chain(numbers));
    }
    table.text().to_owned()
}

fn figures(looked: &[Looked]) -> Vec<Figure> {
    let figure = |line: &Looked| {
        let what = format!("memory of {} ({}) after {}", line.role.name, line.role.store, line.after);
        let name = format!("{} {} {}", line.role.name, line.role.store, line.after);
        let is_loaded = line.after == "a load";
        let figure = Figure::new(name, what, if is_loaded { line.peak_mb } else { line.resident_mb }, "MB");
        match (is_loaded, line.role.name) {
            (false, "collector") => figure.at_most(IDLE_TARGET_MB),
            (true, "collector") => figure.at_most(LOADED_TARGET_MB),
            _ => figure,
        }
    };
    looked.iter().map(figure).collect()
}
