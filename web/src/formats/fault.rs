//! Why an answer ended before its end.

use telemetrics_analytics::Error;

use crate::error::WebError;

/// What ended a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The client is gone: there is nobody to tell.
    #[error("the client left")]
    Left,
    /// The client took nothing for too long.
    #[error("the client took nothing for {0} s")]
    Stalled(u64),
    /// The question failed.
    #[error(transparent)]
    Question(#[from] Error),
    /// The rows cannot be written in this format: a fault of this program.
    #[error("the answer cannot be written: {0}")]
    Format(String),
}

impl From<Fault> for WebError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Question(error) => Self::Question(error),
            other => Self::Question(Error::Internal(other.to_string())),
        }
    }
}

impl From<arrow::error::ArrowError> for Fault {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Format(error.to_string())
    }
}

impl From<parquet::errors::ParquetError> for Fault {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Format(error.to_string())
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Format(error.to_string())
    }
}
