//! Why a configuration is refused: every problem at once, each with the place where it can be mended.

use std::fmt;
use std::path::PathBuf;

/// The configuration cannot be used; the operator mends it and starts again.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that was named cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Settings that are not as they have to be, in the order in which they are given.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

/// One thing that is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is given: `telemetrics.toml:3`, or the option of the command line.
    pub origin: String,
    /// A sentence that names the key and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin.as_str() {
            // Two settings that contradict each other, without a file.
            "" => f.write_str(&self.message),
            origin => write!(f, "{origin}: {}", self.message),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
