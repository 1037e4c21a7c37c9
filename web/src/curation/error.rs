//! Why an edit was not saved or a state not read, by what has to be done.

use telemetrics_schema::curation::Refusal;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurationError {
    /// Ask for something else.
    #[error("{0}")]
    Invalid(String),
    /// Load the state again, and decide again.
    #[error(
        "somebody else made an edit meanwhile (this one is based on entry {based_on}, and the last one is {sequence}): \
         load the state again and decide again"
    )]
    Conflict {
        /// The entry that the edit is based on.
        based_on: u64,
        /// The last entry that there is.
        sequence: u64,
    },
    /// Try again later, and look first whether the edit is in the history.
    #[error("{0}")]
    Unavailable(String),
}

impl CurationError {
    pub(super) fn unavailable(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Refusal> for CurationError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal.to_string())
    }
}
