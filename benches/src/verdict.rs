//! What `ingest` promises, and whether it held.

use clap::ValueEnum;
use telemetrics_web::config::Config;

use crate::cell::{Cell, Measured};
use crate::figures::Figure;
use crate::load::Mode;
use crate::procfs::mb;
use crate::spread::range;
use crate::tables::{load_of, us_each};

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

/// What is promised, and for each load what was measured.
#[must_use]
pub fn figures(cells: &[(Cell, Measured)], kept: Kept) -> Vec<Figure> {
    promises(cells, kept).into_iter().chain(cells.iter().flat_map(of_cell)).collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn promises(cells: &[(Cell, Measured)], kept: Kept) -> Vec<Figure> {
    let most = |of: fn(&(Cell, Measured)) -> f64| cells.iter().map(of).fold(0.0, f64::max);
    let mut figures = Vec::new();
    for mode in Mode::value_variants() {
        let of_mode = cells.iter().filter(|(cell, _)| cell.mode == *mode);
        let Some(worst) = of_mode.min_by(|one, other| share(one).total_cmp(&share(other))) else { continue };
        let name = mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let [form, _, n] = load_of(worst.0);
        let what = format!("{name}: least share of the smaller limit ({form}, {n} connections)");
        figures
            .push(of_turns(Figure::new(format!("share-{name}"), what, share(worst), ""), worst).at_least(RATIO_TARGET));
    }
    let memory = Figure::new("memory", "most memory under load", most(memory_mb), "MB");
    figures.extend([
        Figure::new("p99", "p99 at 64 connections, times the limit's", most(p99_times), "").at_most(P99_TARGET),
        Figure::new("cpu", "most processor time a record", most(cpu_us), "us").at_most(ORIGINAL_CPU_US / TIMES),
        Figure::new("best", "best rate", most(rate), "records/s").at_least(ORIGINAL_RATE * TIMES),
        memory.at_most(MEMORY_TARGET_MB),
        Figure::new("pending", "most records not yet in the store", most(pending), "").at_most(pending_bound()),
        Figure::new("kept", "records in the store, of those answered 201", kept.stored as f64, "")
            .at_least(kept.acknowledged as f64),
    ]);
    figures
}

fn of_turns(figure: Figure, (_, measured): &(Cell, Measured)) -> Figure {
    if measured.shares.len() > 1 { figure.within(range(&measured.shares)) } else { figure }
}

/// Rate, cost and share of one load.
fn of_cell(cell: &(Cell, Measured)) -> [Figure; 3] {
    let load = load_of(cell.0);
    let (name, what) = (load.join("-"), load.join(" "));
    [
        Figure::new(format!("rate-{name}"), format!("{what}: rate"), rate(cell), "records/s"),
        Figure::new(format!("cpu-{name}"), format!("{what}: processor time a record"), cpu_us(cell), "us"),
        of_turns(Figure::new(format!("share-{name}"), format!("{what}: share of the limit"), share(cell), ""), cell),
    ]
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

    fn figure(figures: &[Figure], name: &str) -> Figure {
        figures.iter().find(|figure| figure.name == name).expect("a figure").clone()
    }

    #[test]
    fn the_worst_cell_decides() {
        let kept = Kept { acknowledged: 5, stored: 5 };
        let of = |cells: &[(Cell, Measured)]| {
            let figures = figures(cells, kept);
            let share = figure(&figures, "share-keep-alive");
            (share.cells()[1].clone(), share.holds(), figure(&figures, "p99").holds())
        };
        let good = of(&[cell(64, 900, 20), cell(16, 1_000, 500)]);
        assert_eq!(good, ("0.90".to_owned(), Some(true), Some(true)));
        let bad = of(&[cell(64, 790, 50), cell(16, 1_000, 1)]);
        assert_eq!(bad, ("0.79".to_owned(), Some(false), Some(false)));
    }

    #[test]
    fn a_record_that_is_lost_is_told() {
        let figures = figures(&[cell(1, 1, 1)], Kept { acknowledged: 5, stored: 4 });
        assert_eq!(figure(&figures, "kept").holds(), Some(false));
    }
}
