//! `idle`: memory of a server that has started, and of one that has had one record.

use std::thread;
use std::time::{Duration, Instant};

use telemetrics_testkit::http::exchange;
use telemetrics_testkit::{ClickHouse, Server};

use crate::procfs::Memory;
use crate::programs::{Place, build, start_role};
use crate::report::{Destination, Table};
use crate::requests::{Generation, REQUEST_BYTES, Requests};
use crate::{Failure, machine, procfs};

/// The role that only collects; it needs a ClickHouse server.
const COLLECTOR: &str = "collector";
const SERVE: &str = "serve";
/// Most memory of a collector that has nothing to do, in MB.
const TARGET_MB: f64 = 40.0;
/// Memory is stable when it did not grow for this long; longer than any timer of the server but that of batches.
const STABLE: Duration = Duration::from_secs(5);
const STABLE_TIMEOUT: Duration = Duration::from_mins(2);
const DISTANCE: Duration = Duration::from_millis(100);

/// What `idle` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    destination: Destination,
}

impl Args {
    /// Measures and publishes the table.
    ///
    /// # Errors
    /// When something cannot be measured.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let program = self.place.program()?;
        let directory = self.place.directory()?;
        let facts = machine::facts(directory.path())?;
        let mut table =
            Table::new(&["role", "store", "after", ">resident MB", ">of it allocated MB", ">peak MB", "target"]);
        let server = start_role(&program, SERVE, &directory.path().join("embedded"), &[]);
        measure(&mut table, [SERVE, "embedded"], &server)?;
        drop(server);
        build(&["--package", "telemetrics-testkit"])?;
        let clickhouse = ClickHouse::start();
        let arguments = ["--clickhouse", &clickhouse.url()];
        let server = start_role(&program, COLLECTOR, &directory.path().join("clickhouse"), &arguments);
        measure(&mut table, [COLLECTOR, "ClickHouse"], &server)?;
        self.destination.publish("idle", &facts, table.text())
    }
}

fn measure(table: &mut Table, what: [&str; 2], server: &Server) -> Result<(), Failure> {
    add_row(table, what, "its start", stable(server)?);
    let mut request = [0; REQUEST_BYTES];
    Requests::new(Generation::V2, 1).next(&mut request);
    let answer = exchange(server.address(), &request)?;
    if answer.status != 201 {
        return Err(format!("no record: {}", answer.text()).into());
    }
    add_row(table, what, "one record", stable(server)?);
    Ok(())
}

fn add_row(table: &mut Table, [role, store]: [&str; 2], after: &str, memory: Memory) {
    let target = if role == COLLECTOR { format!("{TARGET_MB} MB") } else { String::new() };
    let numbers =
        [memory.resident_kib, memory.anonymous_kib, memory.peak_kib].map(|kib| format!("{:.1}", procfs::mb(kib)));
    let [resident, allocated, peak] = numbers;
    let [role, store, after] = [role, store, after].map(str::to_owned);
    table.row([role, store, after, resident, allocated, peak, target]);
}

/// The memory, once it has stopped to grow.
fn stable(server: &Server) -> Result<Memory, Failure> {
    let pid = server.process().pid();
    let begin = Instant::now();
    let (mut most, mut since) = (0, Instant::now());
    while since.elapsed() < STABLE && begin.elapsed() < STABLE_TIMEOUT {
        let memory = procfs::memory(pid)?;
        if memory.resident_kib > most {
            (most, since) = (memory.resident_kib, Instant::now());
        }
        thread::sleep(DISTANCE);
    }
    Ok(procfs::memory(pid)?)
}
