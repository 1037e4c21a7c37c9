//! Why a question was not answered, by what the one who asked has to do.

use datafusion::error::DataFusionError;

use crate::clickhouse::ClickHouseError;

/// The few kinds of failure of a question; HTTP status codes are chosen elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Ask something else: the sentence says what is wrong with the question.
    #[error("{0}")]
    Invalid(String),
    /// Ask for less: a limit on memory, rows or time was reached.
    #[error("the question needs more than it may have: {0}")]
    TooMuch(String),
    /// Ask again later: the store cannot be reached or read now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some(error) = ClickHouseError::of(&error) {
            return error.clone().into();
        }
        let text = error.strip_backtrace();
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::TooMuch(text),
            DataFusionError::External(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
                Self::Unavailable(text)
            }
            _ => Self::Internal(text),
        }
    }
}

impl From<ClickHouseError> for Error {
    fn from(error: ClickHouseError) -> Self {
        match error {
            ClickHouseError::Unavailable(text) => Self::Unavailable(text),
            ClickHouseError::TooMuch(text) => Self::TooMuch(text),
            ClickHouseError::Failed(text) => Self::Internal(text),
        }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<deltalake::DeltaTableError> for Error {
    fn from(error: deltalake::DeltaTableError) -> Self {
        Self::Unavailable(format!("the embedded table: {error}"))
    }
}
