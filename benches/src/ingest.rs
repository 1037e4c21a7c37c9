//! `ingest`: single records under all loads, beside what HTTP and the disk allow.

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use telemetrics_testkit::http::exchange;
use tempfile::TempDir;

use crate::Failure;
use crate::cell::{Bench, Cell, Measured};
use crate::limits::Disk;
use crate::load::Mode;
use crate::programs::{Bare, Ground, Place, start_server};
use crate::report::{Destination, ratio, thousands};
use crate::requests::{Generation, REQUEST_BYTES, Requests};
use crate::size::Size;
use crate::tables::load_of;
use crate::verdict::{self, Kept};
use crate::{stored, tables};

/// No two loads have a record in common.
const PROBE_SALT: u64 = 1;
const WARM_UP_SALT: u64 = 2;
const FIRST_SALT: u64 = 3;
/// Before the first cell: what is done once only is no part of the numbers.
const WARM_UP: Duration = Duration::from_secs(1);

const FORMS: [Generation; 2] = [Generation::V2, Generation::V3];

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
    /// As a part of `report`.
    #[must_use]
    pub fn sized(size: Size, place: &Place, destination: &Destination) -> Self {
        Self {
            seconds: size.pick(1, 3, 30),
            connections: size.pick(vec![4], vec![1, 64], vec![1, 16, 64, 256]),
            generations: size.pick(vec![Generation::V3], vec![Generation::V3], FORMS.to_vec()),
            modes: Mode::value_variants().to_vec(),
            place: place.clone(),
            destination: destination.clone(),
        }
    }

    /// Measures, checks that nothing was lost, and publishes the tables.
    ///
    /// # Errors
    /// When something cannot be measured, or the store does not have what was acknowledged.
    ///
    /// # Panics
    /// When a program does not come up; the message holds what it said.
    pub fn run(&self) -> Result<(), Failure> {
        let Ground { program, directory, facts } = self.place.ground()?;
        let (cells, acknowledged) = self.measure(&program, &directory)?;
        let kept = Kept { acknowledged, stored: stored::records(&directory.path().join("data"))? };
        let text = format!("{}\n{}", tables::rates(&cells), tables::costs(&cells));
        self.destination.publish("ingest", &facts, &text, &verdict::figures(&cells, kept))?;
        // A request without an answer may be in the store or not.
        let broken: u64 = cells.iter().map(|(_, measured)| measured.server.broken).sum();
        let is_kept = (acknowledged..=acknowledged + broken).contains(&kept.stored);
        if is_kept { Ok(()) } else { Err("the store does not have what was acknowledged".into()) }
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

/// Posts one record and measures the body of the answer.
fn answer_bytes(address: SocketAddr) -> Result<usize, Failure> {
    let mut request = [0; REQUEST_BYTES];
    Requests::new(Generation::V3, PROBE_SALT).next(&mut request);
    let answer = exchange(address, &request)?;
    if answer.status == 201 { Ok(answer.body.len()) } else { Err(format!("no record: {}", answer.text()).into()) }
}

fn progress(cell: Cell, measured: &Measured) -> String {
    let (limit, _) = measured.limit(cell.connections);
    let rate = measured.server.rate();
    format!("{}: {} records/s, {} of the limit", load_of(cell).join(" "), thousands(rate), ratio(rate, limit))
}
