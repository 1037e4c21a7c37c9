//! `/metrics`: the numbers of the server for Prometheus. `docs/metrics.md` is made of them.

mod answers;
mod collector;
mod host;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use answers::Files;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use telemetrics_collector::CollectorStats;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::Clock;

use crate::api::sql::Statements;
use crate::config::Config;
use crate::datasets::Datasets;
use crate::disk::Room;
use crate::exposition::{CONTENT_TYPE, Exposition};
use crate::formats::Workers;
use crate::server::{CONNECTIONS_MAX, Connections};
use crate::state::{AppState, CollectorState};
use crate::tls::Certificate;

/// What there are numbers of, by the parts that a process has.
#[derive(Clone)]
pub struct Watched {
    /// Those of the server.
    pub connections: Connections,
    /// The certificate, where TLS is spoken.
    pub certificate: Option<Certificate>,
    /// What accepts records.
    pub collector: Option<CollectorState>,
    /// What answers questions.
    pub answering: Option<Answering>,
    /// Where the process keeps its files.
    pub data_dir: PathBuf,
    /// What these files may take.
    pub quotas: Quotas,
    /// When the process started.
    pub started: TimestampUs,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

/// What there are numbers of where questions are answered.
#[derive(Clone)]
pub struct Answering {
    /// Write exports.
    pub exports: Arc<Workers>,
    /// Answer statements of users.
    pub statements: Statements,
    /// Finished days as files.
    pub datasets: Datasets,
}

impl Answering {
    /// The parts of `state` that do so.
    #[must_use]
    pub fn of(state: &AppState) -> Self {
        Self {
            exports: Arc::clone(&state.workers),
            statements: state.statements.clone(),
            datasets: state.datasets.clone(),
        }
    }
}

/// Limits that are shown beside what is used of them, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    journal: u64,
    quarantine: u64,
    datasets: u64,
}

impl Quotas {
    /// Those of a configuration.
    #[must_use]
    pub const fn of(config: &Config) -> Self {
        Self {
            journal: config.journal.quota_bytes,
            quarantine: config.quarantine.quota_bytes,
            datasets: config.datasets.quota_bytes,
        }
    }
}

/// Answers with all of them.
pub async fn show(State(watched): State<Watched>) -> Response {
    let mut out = Exposition::default();
    server(&mut out, &watched.connections);
    if let Some(Ok(leaf)) = watched.certificate.as_ref().map(Certificate::leaf) {
        tls(&mut out, leaf.end);
    }
    host::process(&mut out, watched.started);
    // None before there is such a directory, or where the system does not tell.
    if let Ok(room) = Room::at(&watched.data_dir) {
        host::disk(&mut out, &room);
    }
    if let Some(CollectorState { collector, parsers, .. }) = &watched.collector {
        collecting(&mut out, &collector.stats(), watched.quotas, watched.clock.now());
        let (failures, broken) = (parsers.parsers().failures(), parsers.troubles().len());
        collector::parsers(&mut out, broken, failures.iter().map(|of| (of.parser.as_str(), of.failures)));
    }
    if let Some(Answering { exports, statements, datasets }) = &watched.answering {
        answers::exports(&mut out, &exports.counts());
        answers::statements(&mut out, &statements.counts());
        let (made, bytes, quota_bytes) = (datasets.made(), datasets.bytes(), watched.quotas.datasets);
        answers::datasets(&mut out, &Files { served: datasets.served(), made, bytes, quota_bytes });
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], out.into_text()).into_response()
}

fn server(out: &mut Exposition, connections: &Connections) {
    out.info("telemetrics_build_info", "The version that runs.", "version", env!("CARGO_PKG_VERSION"));
    out.gauge("telemetrics_connections", "Connections that are open.", connections.open());
    out.gauge("telemetrics_max_connections", "Most of them; others wait until one ends.", CONNECTIONS_MAX);
    out.counter("telemetrics_connections_total", "Connections that were accepted.", connections.accepted());
    out.counters("telemetrics_answers_total", "Answers of all kinds, by status.", "status", connections.answers());
}

fn tls(out: &mut Exposition, end: TimestampUs) {
    let help = "When the certificate that is shown ends, in Unix seconds. Only where the server itself speaks TLS.";
    out.gauge("telemetrics_tls_certificate_expiry_timestamp_seconds", help, end.as_s());
}

/// What a collector has to tell at `now`.
fn collecting(out: &mut Exposition, stats: &CollectorStats, quotas: Quotas, now: TimestampUs) {
    collector::records(out, &stats.counts, stats.pending_records);
    collector::redelivery(out, &stats.redelivery, now);
    collector::quarantine(out, &stats.quarantine, quotas.quarantine);
    collector::journal(out, &stats.journal, quotas.journal, now);
    collector::store(out, &stats.counts);
    if let Some(stats) = &stats.maintenance {
        collector::maintenance(out, stats, now);
    }
}
