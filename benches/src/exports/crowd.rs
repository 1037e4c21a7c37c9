//! Clients that make it hard: one that reads slowly, and many at once while records come in.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::ways::{Format, Way};
use crate::client::Client;
use crate::figures::Figure;
use crate::load::{Load, Mode, Outcome};
use crate::procfs::mb;
use crate::report::{Table, ratio, thousands};
use crate::requests::{Generation, Requests};
use crate::served::{Kept, Served};
use crate::{Failure, procfs};

/// Bytes that a slow client takes, and how long it then does nothing: 6 MB a second.
const SIP_BYTES: u64 = 64 << 10;
const SIP_DISTANCE: Duration = Duration::from_millis(10);
/// Clients that export at once.
const CLIENTS: usize = 20;
/// Connections over which records come in meanwhile.
const CONNECTIONS: usize = 16;
/// Salts that no other command uses: no record is a redelivery.
const FIRST_SALT: u64 = 7_000;

/// What a slow client met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slow {
    pub(super) kept: Kept,
    format: Format,
    /// Bytes that it took slowly.
    sipped: u64,
    bytes: u64,
    pub(super) peak_kib: u64,
}

impl Slow {
    /// Reads slowly for `duration`, and then the rest.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub(super) fn measure(both: &Served, kept: Kept, format: Format, duration: Duration) -> Result<Self, Failure> {
        let server = both.server(kept);
        procfs::reset_peak(server.process().pid())?;
        let (begin, mut sipped, mut since) = (Instant::now(), 0, 0);
        let received = Client::open(server.address())?.get(&format.path(), |bytes| {
            since += bytes.len() as u64;
            if begin.elapsed() < duration {
                sipped += bytes.len() as u64;
                while since >= SIP_BYTES {
                    since -= SIP_BYTES;
                    thread::sleep(SIP_DISTANCE);
                }
            }
            Ok(())
        })?;
        let peak_kib = procfs::memory(server.process().pid())?.peak_kib;
        Ok(Self { kept, format, sipped, bytes: received.bytes, peak_kib })
    }
}

/// What many clients did, and what became of the records that came in meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    pub(super) kept: Kept,
    /// Nobody exports.
    before: Outcome,
    meanwhile: Outcome,
    /// Exports that came to their end.
    whole: u64,
    /// Bytes of all exports.
    bytes: u64,
    pub(super) peak_kib: u64,
}

impl Crowd {
    /// Posts records for `duration`, first alone and then beside the crowd.
    ///
    /// # Errors
    /// When an export fails or the last answers do not come.
    pub(super) fn measure(both: &Served, kept: Kept, duration: Duration) -> Result<Self, Failure> {
        let server = both.server(kept);
        let (address, pid) = (server.address(), server.process().pid());
        let load = |salt| Load {
            address,
            requests: Requests::new(Generation::V3, salt),
            mode: Mode::KeepAlive,
            connections: CONNECTIONS,
        };
        let before = load(FIRST_SALT).run(duration)?;
        procfs::wait_until_calm(pid, procfs::CALM_TIMEOUT)?;
        procfs::reset_peak(pid)?;
        let exported = Exported { until: Instant::now() + duration, ..Exported::new() };
        let exports = &exported;
        let (meanwhile, ended) = thread::scope(|scope| {
            let client = |index| scope.spawn(move || exports.again_and_again(address, index));
            let clients: Vec<_> = (0..CLIENTS).map(client).collect();
            let meanwhile = load(FIRST_SALT + 1).run(duration);
            (meanwhile, clients.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>())
        });
        for client in ended {
            client.map_err(|_| "a client panicked")??;
        }
        let peak_kib = procfs::memory(pid)?.peak_kib;
        let (whole, bytes) = (exported.whole.load(Relaxed), exported.bytes.load(Relaxed));
        Ok(Self { kept, before, meanwhile: meanwhile?, whole, bytes, peak_kib })
    }

    fn share(&self) -> f64 {
        self.meanwhile.rate() / self.before.rate()
    }

    #[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
    pub(super) fn figures(&self) -> [Figure; 3] {
        let (kept, shown) = (self.kept.name(), Way::Ours(self.kept).shown());
        let lost = self.meanwhile.refused + self.meanwhile.broken;
        let figure = |name: &str, what: &str, value, unit| {
            Figure::new(
                format!("crowd-{name}-{kept}"),
                format!("{what} while {CLIENTS} clients export, {shown}"),
                value,
                unit,
            )
        };
        [
            figure("rate", "records accepted", self.meanwhile.rate(), "records/s"),
            figure("share", "records accepted, of those without", self.share(), ""),
            figure("lost", "records refused or without an answer", lost as f64, "").at_most(0.0),
        ]
    }
}

/// What all clients of a crowd share.
struct Exported {
    until: Instant,
    whole: AtomicU64,
    bytes: AtomicU64,
}

impl Exported {
    fn new() -> Self {
        Self { until: Instant::now(), whole: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Exports until the time is up, and then leaves in the middle.
    fn again_and_again(&self, address: SocketAddr, index: usize) -> Result<(), Failure> {
        let format = Format::ALL[index % Format::ALL.len()];
        while Instant::now() < self.until {
            let received = Client::open(address)?.get(&format.path(), |bytes| {
                self.bytes.fetch_add(bytes.len() as u64, Relaxed);
                if Instant::now() < self.until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
            });
            match received {
                Ok(_) => self.whole.fetch_add(1, Relaxed),
                Err(_) if Instant::now() >= self.until => return Ok(()),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// What slow clients met.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
pub(super) fn slow_table(all: &[Slow]) -> String {
    let mut table = Table::new(&["reads slowly", "store", ">MB slowly", ">MB in all", ">peak MB"]);
    for slow in all {
        table.row([
            slow.format.name().to_owned(),
            Way::Ours(slow.kept).shown().to_owned(),
            thousands(slow.sipped as f64 / 1e6),
            thousands(slow.bytes as f64 / 1e6),
            format!("{:.0}", mb(slow.peak_kib)),
        ]);
    }
    table.text().to_owned()
}

/// What the crowds did.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
pub(super) fn table(all: &[Crowd]) -> String {
    let mut table = Table::new(&[
        "20 clients at once",
        ">records/s before",
        ">meanwhile",
        ">of before",
        ">p99 ms before",
        ">meanwhile",
        ">refused, broken",
        ">whole exports",
        ">exported MB",
        ">peak MB",
    ]);
    for crowd in all {
        let p99 = |outcome: &Outcome| format!("{:.1}", outcome.latency.quantile(990).as_secs_f64() * 1e3);
        table.row([
            Way::Ours(crowd.kept).shown().to_owned(),
            thousands(crowd.before.rate()),
            thousands(crowd.meanwhile.rate()),
            ratio(crowd.meanwhile.rate(), crowd.before.rate()),
            p99(&crowd.before),
            p99(&crowd.meanwhile),
            format!("{}, {}", crowd.meanwhile.refused, crowd.meanwhile.broken),
            crowd.whole.to_string(),
            thousands(crowd.bytes as f64 / 1e6),
            format!("{:.0}", mb(crowd.peak_kib)),
        ]);
    }
    table.text().to_owned()
}
