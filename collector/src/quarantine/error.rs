//! The quarantine's error kinds, each defined by what the caller must do.

use std::io;

use crate::journal::JournalError;

/// Why a directory could not be opened as a quarantine.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The settings contradict a limit: correct the configuration.
    #[error("quarantine settings: {0}")]
    Settings(String),
    /// The directory cannot be used: see the text.
    #[error("the quarantine's directory: {0}")]
    Directory(JournalError),
    /// A newer version of this program wrote it: start that one. Nothing was changed.
    #[error("the quarantine is not this program's: {0}")]
    Incompatible(String),
    /// Something that was acknowledged cannot be read back: a person decides, the program must not go on. Nothing was
    /// changed.
    #[error(
        "the quarantine is damaged: segment {segment:016x} at byte {offset}: {reason}; restore the directory from a \
         backup, or move it away to start with an empty one"
    )]
    Damaged {
        /// Sequence number of the segment: its file name in hexadecimal.
        segment: u64,
        /// Where in the file the damage begins, bytes.
        offset: u64,
        /// What was found there.
        reason: String,
    },
    /// The disk did not do what was asked: look at the disk, then start again.
    #[error("{action}: {source}")]
    Io {
        /// What the quarantine was doing.
        action: &'static str,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl QuarantineError {
    /// Turns an I/O error into this type and says what failed.
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// Why something was not done in an open quarantine.
///
/// After any of these a sender must not be told that its request is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuarantineFault {
    /// A limit is reached by entries that are promised to their senders: replay or discard some, or raise the limit;
    /// until then the sender keeps what it has.
    #[error("the quarantine is full: {0}")]
    Full(&'static str),
    /// The disk or the store did not do it: try again later.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such entry.
    #[error("there is no entry {0} in the quarantine")]
    NotFound(telemetrics_schema::RecordId),
    /// It cannot be done with this entry, the text says why: do not try again.
    #[error("{0}")]
    Invalid(String),
    /// The quarantine is shut down: do not try again in this process.
    #[error("the quarantine is closed")]
    Closed,
}
