//! The journal's error kinds, each defined by what the caller must do.

use std::io;

/// Why a directory could not be opened as a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The settings contradict each other or a limit: correct the configuration.
    #[error("journal settings: {0}")]
    Settings(String),
    /// Another process uses the directory: stop it, or use another directory.
    #[error("the journal in {0} is in use by another process")]
    Locked(String),
    /// The directory belongs to another collector or to a newer version of this program: correct the configuration or
    /// start the program that wrote it. Nothing was changed.
    #[error("the journal is not this program's: {0}")]
    Incompatible(String),
    /// Something that was acknowledged cannot be read back: a person decides, the program must not go on. Nothing was
    /// changed.
    #[error(
        "the journal is damaged: segment {segment:016x} at byte {offset}: {reason}; \
         copy the directory, then let the journal be repaired, or restore it from a backup"
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
        /// What the journal was doing.
        action: String,
        /// What the operating system answered.
        source: io::Error,
    },
}

impl JournalError {
    /// Turns an I/O error into this type and says what failed.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// Why records were not acknowledged, or a seal or a confirmation not written.
///
/// After any of these the caller must not tell a sender that its record was accepted. The record may come back after
/// a restart all the same, at most once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A limit is reached, of the queue or of the journal's size on disk: try again later.
    #[error("the journal is full: {0}")]
    Full(&'static str),
    /// The disk failed or has no space: try again later; the journal recovers by itself.
    #[error("the journal cannot write: {0}")]
    Unavailable(String),
    /// What was asked can never be written: do not try again. A record that is too large for a segment, or a seal of
    /// records that are not pending or are in another seal.
    #[error("not for the journal: {0}")]
    Invalid(String),
    /// The journal is shut down: do not try again in this process.
    #[error("the journal is closed")]
    Closed,
}
