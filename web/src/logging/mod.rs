//! Log lines go to standard error, as text or as JSON; `TELEMETRICS_LOG` chooses which (`info` by default).
//!
//! What a line may hold: numbers, names of files and settings, identifiers, reasons. No payload of a record, no password,
//! no token, no cookie and no query of an address is ever given to one.

mod json;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt::Display;
use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;

use tracing::error;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Environment variable with the filter, in the syntax of `tracing`: `debug`, `telemetrics_collector=debug`.
pub const LOG_VARIABLE: &str = "TELEMETRICS_LOG";
/// Our own lines from `info` on, other crates' from `warn` on.
const DEFAULT_FILTER: &str =
    "warn,telemetrics_web=info,telemetrics_collector=info,telemetrics_analytics=info,audit=info";

/// What the log looks like since it began.
static BEGUN: OnceLock<LogFormat> = OnceLock::new();

/// Begins to log; called once.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            log.with_ansi(false).event_format(json::Lines).fmt_fields(json::request_id_alone()).init();
            panic::set_hook(Box::new(report));
        }
    }
    BEGUN.get_or_init(|| format);
}

/// Says why the program ends, where its other words stand: in the log where programs read that, else for people.
pub fn say_last(reason: &impl Display) {
    match BEGUN.get() {
        Some(LogFormat::Json) => error!(%reason, "the program ends"),
        _ => eprintln!("telemetrics: {reason}"),
    }
}

/// As the standard library says it, in a line of its own.
fn report(panicked: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let place = panicked.location().map(ToString::to_string);
    let reason = panicked.payload_as_str().unwrap_or_default();
    error!(thread = thread.name(), place, reason, backtrace, "a thread panicked");
}
