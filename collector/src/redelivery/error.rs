//! The window's error kinds, each defined by what the caller must do.

use std::io;

/// Why the window could not be opened, or what was accepted not be noted.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// A setting is out of its range: correct the configuration.
    #[error("redelivery settings: {0}")]
    Settings(String),
    /// The directory was written by a newer version of this program: start that one. Nothing was changed.
    #[error("the memory of redeliveries is not this program's: {0}")]
    Incompatible(String),
    /// The disk did not do what was asked: look at the disk. What was not noted is tried again with the next batch.
    #[error("{action}: {source}")]
    Io {
        /// What was being done.
        action: String,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl WindowError {
    /// Turns an I/O error into this type and says what failed.
    pub(super) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
