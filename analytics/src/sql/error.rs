//! Whose fault it is when a statement fails: everything that a statement can cause is for who wrote it.

use datafusion::error::DataFusionError;

use crate::clickhouse::ClickHouseError;
use crate::error::Error;

/// Longest reason, in characters: one that lists all columns has many more.
const REASON_CHARS: usize = 400;

/// What the engine puts before its reasons.
const STEPS: [&str; 5] =
    ["Error during planning: ", "Internal error: ", "Execution error: ", "Optimizer error: ", "Arrow error: "];

/// The kind of an error of the query engine over a statement.
pub(crate) fn explained(error: DataFusionError) -> Error {
    if ClickHouseError::of(&error).is_some() {
        return error.into();
    }
    let reason = || reason(&error);
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::External(_)
        | DataFusionError::IoError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::ParquetError(_) => error.into(),
        // A statement that the engine stumbles over is still a statement that somebody may change.
        _ => Error::Invalid(reason()),
    }
}

/// The first line of what is at the bottom of it, without the name of the step that found it.
fn reason(error: &DataFusionError) -> String {
    let text = error.find_root().strip_backtrace();
    let line = text.lines().next().unwrap_or_default();
    let line = STEPS.iter().fold(line, |line, step| line.strip_prefix(step).unwrap_or(line));
    match line.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}
