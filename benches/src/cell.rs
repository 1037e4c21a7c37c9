//! One cell of the table: the server and both limits under the same load, in turns.

use std::time::Duration;

use telemetrics_testkit::Server;

use crate::Failure;
use crate::limits::{Disk, Syncs};
use crate::load::{Load, Mode, Outcome};
use crate::procfs;
use crate::programs::Bare;
use crate::requests::{Generation, Requests};
use crate::sampler::{Peaks, while_watching};
use crate::scrape::Metrics;

/// Longest time that the server is measured without a turn of the limits.
const TURN: Duration = Duration::from_secs(15);
/// The bare handler needs a smaller part of the time: it does the same every moment.
const BARE_PART: u32 = 3;
/// So does the disk.
const DISK_PART: u32 = 15;

/// What is measured, with what.
pub struct Bench<'a> {
    /// The server.
    pub server: &'a Server,
    /// The limit that HTTP sets.
    pub bare: &'a Bare,
    /// The limit that the disk sets.
    pub disk: &'a Disk,
}

/// Which load.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// Form of the requests.
    pub generation: Generation,
    /// How connections are used.
    pub mode: Mode,
    /// Senders.
    pub connections: usize,
}

/// What was measured under one load.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Of the server.
    pub server: Outcome,
    /// Processor seconds of the server, what it still did for these records when nobody sent any included.
    pub server_cpu_s: f64,
    /// Of the bare handler.
    pub bare: Outcome,
    /// Processor seconds of the bare handler.
    pub bare_cpu_s: f64,
    /// Of the disk.
    pub syncs: Syncs,
    /// The most that was seen while records were sent.
    pub peaks: Peaks,
    /// The most memory that was ever resident in this cell, in KiB.
    pub peak_kib: u64,
    /// Records that the server says it accepted.
    pub accepted: f64,
    /// Records that shared a sync, on average.
    pub group_records: f64,
    /// Bytes that shared a sync, on average.
    pub group_bytes: f64,
    /// Mean duration of a sync of the journal, in seconds.
    pub sync_s: f64,
    /// The share of the smaller limit that each turn had.
    pub shares: Vec<f64>,
}

impl Bench<'_> {
    /// Measures one cell: `duration` of the server, in turns with shorter times of the limits.
    ///
    /// # Errors
    /// When something does not answer.
    pub fn measure(&self, cell: Cell, salt: u64, duration: Duration) -> Result<Measured, Failure> {
        let requests = Requests::new(cell.generation, salt);
        let turns = u32::try_from(duration.as_secs().div_ceil(TURN.as_secs())).unwrap_or(1).max(2);
        let turn = duration / turns;
        let mut measured = Measured::default();
        let (cpu, metrics) = (self.server_cpu()?, Metrics::of(self.server.address())?);
        procfs::reset_peak(self.server_pid())?;
        for _ in 0..turns {
            let mut this = Measured::default();
            self.turn_of_server(&mut this, cell, &requests, turn)?;
            procfs::wait_until_calm(self.server_pid(), procfs::CALM_TIMEOUT)?;
            self.note_metrics(&mut measured, &metrics)?;
            this.group_bytes = measured.group_bytes;
            self.turn_of_limits(&mut this, cell, &requests, turn)?;
            measured.add_turn(&this, cell.connections);
        }
        measured.server_cpu_s = self.server_cpu()? - cpu;
        measured.peak_kib = procfs::memory(self.server_pid())?.peak_kib;
        Ok(measured)
    }

    fn turn_of_server(
        &self,
        measured: &mut Measured,
        cell: Cell,
        requests: &Requests,
        turn: Duration,
    ) -> Result<(), Failure> {
        let load = cell.load(self.server.address(), requests);
        let (outcome, peaks) = while_watching(self.server_pid(), self.server.address(), || load.run(turn));
        (measured.server, measured.peaks) = (outcome?, peaks);
        Ok(())
    }

    fn turn_of_limits(
        &self,
        measured: &mut Measured,
        cell: Cell,
        requests: &Requests,
        turn: Duration,
    ) -> Result<(), Failure> {
        let cpu = procfs::cpu_seconds(self.bare.pid())?;
        measured.bare = cell.load(self.bare.address, requests).run(turn / BARE_PART)?;
        measured.bare_cpu_s = procfs::cpu_seconds(self.bare.pid())? - cpu;
        // Below zero it is none: a cell without an accepted record.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let append_bytes = measured.group_bytes as usize;
        measured.syncs = self.disk.measure(append_bytes, turn / DISK_PART)?;
        Ok(())
    }

    fn note_metrics(&self, measured: &mut Measured, before: &Metrics) -> Result<(), Failure> {
        let now = Metrics::of(self.server.address())?;
        measured.accepted = now.since(before, "accepted_records_total");
        measured.group_records = now.mean_since(before, "journal_group_records");
        measured.group_bytes = now.mean_since(before, "journal_group_bytes");
        measured.sync_s = now.mean_since(before, "journal_sync_duration_seconds");
        Ok(())
    }

    fn server_pid(&self) -> u32 {
        self.server.process().pid()
    }

    fn server_cpu(&self) -> Result<f64, Failure> {
        Ok(procfs::cpu_seconds(self.server_pid())?)
    }
}

impl Cell {
    fn load(self, address: std::net::SocketAddr, requests: &Requests) -> Load {
        Load { address, requests: requests.clone(), mode: self.mode, connections: self.connections }
    }
}

impl Measured {
    fn add_turn(&mut self, turn: &Self, connections: usize) {
        self.server.add(&turn.server);
        self.bare.add(&turn.bare);
        self.bare_cpu_s += turn.bare_cpu_s;
        self.syncs.add(&turn.syncs);
        self.peaks = self.peaks.max(turn.peaks);
        self.shares.push(turn.server.rate() / turn.limit(connections).0);
    }

    /// Requests a second that the disk could make durable, if each connection had one in every sync.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a handful of connections")]
    pub fn disk_rate(&self, connections: usize) -> f64 {
        self.syncs.rate() * connections as f64
    }

    /// The smaller of both limits, and the 99th percentile of its latency.
    #[must_use]
    pub fn limit(&self, connections: usize) -> (f64, Duration) {
        let (http, disk) = (self.bare.rate(), self.disk_rate(connections));
        if http <= disk { (http, self.bare.latency.quantile(990)) } else { (disk, self.syncs.latency.quantile(990)) }
    }
}
