//! Log lines go to standard error; `TELEMETRICS_LOG` chooses which (`info` by default).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter, in the syntax of `tracing`: `debug`, `telemetrics_collector=debug`.
pub const LOG_VARIABLE: &str = "TELEMETRICS_LOG";
/// Our own lines from `info` on, other crates' from `warn` on.
const DEFAULT_FILTER: &str =
    "warn,telemetrics_web=info,telemetrics_collector=info,telemetrics_analytics=info,audit=info";

/// Begins to log; called once.
pub fn start() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
