//! What `ingest` promises, and whether it held.

use telemetrics_web::config::Config;

use crate::cell::{Cell, Measured};
use crate::procfs::mb;
use crate::report::{Table, thousands};
use crate::tables::us_each;

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

/// What was answered with 201, and what a query found afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Records that were answered with 201.
    pub acknowledged: u64,
    /// Records that a query found.
    pub stored: u64,
}

/// One promise: what, the measured value, the target, whether it holds.
type Promise = (&'static str, String, String, bool);

/// The table of all promises.
#[must_use]
pub fn table(cells: &[(Cell, Measured)], kept: Kept) -> String {
    let mut table = Table::new(&["what", ">measured", ">target", "holds"]);
    for (what, measured, target, holds) in promises(cells, kept) {
        let holds = if holds { "yes" } else { "**no**" };
        table.row([what.to_owned(), measured, target, holds.to_owned()]);
    }
    table.text().to_owned()
}

fn promises(cells: &[(Cell, Measured)], kept: Kept) -> [Promise; 7] {
    let all = |of: fn(&(Cell, Measured)) -> f64| cells.iter().map(of);
    let most = |of| all(of).fold(0.0, f64::max);
    let (share, p99) = (all(share).fold(f64::INFINITY, f64::min), most(p99_times));
    let (cpu, rate, memory, pending) = (most(cpu_us), most(rate), most(memory_mb), most(pending));
    let (cpu_target, rate_target, pending_target) = (ORIGINAL_CPU_US / TIMES, ORIGINAL_RATE * TIMES, pending_bound());
    let kept_text = [kept.stored, kept.acknowledged].map(|count| count.to_string());
    let [stored, acknowledged] = kept_text;
    [
        ("least share of the smaller limit", two(share), two(RATIO_TARGET), share >= RATIO_TARGET),
        ("p99 at 64 connections, times the limit's", two(p99), two(P99_TARGET), p99 <= P99_TARGET),
        ("most CPU us/record", two(cpu), two(cpu_target), cpu <= cpu_target),
        ("best records/s", thousands(rate), thousands(rate_target), rate >= rate_target),
        ("most memory, MB", thousands(memory), thousands(MEMORY_TARGET_MB), memory <= MEMORY_TARGET_MB),
        ("most records not yet in the store", thousands(pending), thousands(pending_target), pending <= pending_target),
        ("records in the store, of those answered 201", stored, acknowledged, kept.stored >= kept.acknowledged),
    ]
}

fn two(number: f64) -> String {
    format!("{number:.2}")
}

fn share((cell, measured): &(Cell, Measured)) -> f64 {
    measured.server.rate() / measured.limit(cell.connections).0
}

fn p99_times((cell, measured): &(Cell, Measured)) -> f64 {
    if cell.connections != P99_CONNECTIONS {
        return 0.0;
    }
    let (_, limit) = measured.limit(cell.connections);
    measured.server.latency.quantile(990).as_secs_f64() / limit.as_secs_f64()
}

fn cpu_us((_, measured): &(Cell, Measured)) -> f64 {
    us_each(measured.server_cpu_s, measured.server.created)
}

fn rate((_, measured): &(Cell, Measured)) -> f64 {
    measured.server.rate()
}

fn memory_mb((_, measured): &(Cell, Measured)) -> f64 {
    mb(measured.peak_kib.max(measured.peaks.resident_kib))
}

fn pending((_, measured): &(Cell, Measured)) -> f64 {
    measured.peaks.pending_records
}

/// One batch is filled while the one before it is on its way to the store.
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn pending_bound() -> f64 {
    2.0 * Config::default().drain.batch_rows as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::Mode;
    use crate::requests::Generation;

    /// A second in which the server did `created` records and each limit allows 1,000.
    fn cell(connections: usize, created: u64, p99_ms: u64) -> (Cell, Measured) {
        let mut measured = Measured { server_cpu_s: 0.01, ..Measured::default() };
        (measured.server.created, measured.server.elapsed_s) = (created, 1.0);
        (measured.bare.created, measured.bare.elapsed_s) = (1_000, 1.0);
        measured.server.latency.record(Duration::from_millis(p99_ms));
        measured.bare.latency.record(Duration::from_millis(10));
        (0..1_000).for_each(|_| measured.syncs.latency.record(Duration::from_millis(1)));
        measured.syncs.elapsed_s = 1.0;
        (Cell { generation: Generation::V2, mode: Mode::KeepAlive, connections }, measured)
    }

    #[test]
    fn the_worst_cell_decides() {
        let kept = Kept { acknowledged: 5, stored: 5 };
        let of = |cells: &[(Cell, Measured)]| promises(cells, kept).map(|(_, measured, _, holds)| (measured, holds));
        let good = of(&[cell(64, 900, 20), cell(16, 1_000, 500)]);
        assert_eq!((good[0].clone(), good[1].1), (("0.90".to_owned(), true), true));
        let bad = of(&[cell(64, 790, 50), cell(16, 1_000, 1)]);
        assert_eq!((bad[0].clone(), bad[1].1), (("0.79".to_owned(), false), false));
    }

    #[test]
    fn a_record_that_is_lost_is_told() {
        let kept = Kept { acknowledged: 5, stored: 4 };
        let promises = promises(&[cell(1, 1, 1)], kept);
        assert!(!promises[6].3 && table(&[cell(1, 1, 1)], kept).contains("| 4 | 5 | **no** |"));
    }
}
