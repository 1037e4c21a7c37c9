//! The tables of `ingest`: one line for each load.

use std::time::Duration;

use clap::ValueEnum;

use crate::cell::{Cell, Measured};
use crate::figures::between;
use crate::procfs::mb;
use crate::report::{Table, ratio, thousands};
use crate::spread::range;

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What a cell is called: form, use of connections, how many.
#[must_use]
pub fn load_of(cell: Cell) -> [String; 3] {
    [name(&cell.generation), name(&cell.mode), cell.connections.to_string()]
}

fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

/// How many records a second, beside both limits.
#[must_use]
pub fn rates(cells: &[(Cell, Measured)]) -> String {
    let mut table = Table::new(&[
        "form",
        "connections",
        ">n",
        ">records/s",
        ">bare handler/s",
        ">n * fdatasyncs/s",
        ">of the smaller",
        "its turns",
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
            between(range(&measured.shares)),
            ms(server.latency.quantile(500)),
            ms(p99),
            ms(measured.bare.latency.quantile(990)),
            ratio(p99.as_secs_f64(), limit_p99.as_secs_f64()),
        ]));
    }
    table.text().to_owned()
}

/// Microseconds of `seconds` for each of `count`; 0 when there are none.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
pub fn us_each(seconds: f64, count: u64) -> f64 {
    if count > 0 { seconds * 1e6 / count as f64 } else { 0.0 }
}

/// What a record costs, and how it got there.
#[must_use]
pub fn costs(cells: &[(Cell, Measured)]) -> String {
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
