//! Why a question was not answered, by what the one who asked has to do.

use std::io;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

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
        let (is_too_much, text) = (is_exhausted(&error), error.strip_backtrace());
        match error.find_root() {
            _ if is_too_much => Self::TooMuch(text),
            DataFusionError::External(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
                Self::Unavailable(text)
            }
            DataFusionError::ArrowError(error, _) if matches!(**error, ArrowError::IoError(..)) => {
                Self::Unavailable(text)
            }
            // What a file's system says, or that it is not there.
            DataFusionError::ParquetError(error) if matches!(**error, ParquetError::External(_)) => {
                Self::Unavailable(text)
            }
            _ => Self::Internal(text),
        }
    }
}

/// Whether a query lacked memory, or room on the disk within its limit.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => true,
        DataFusionError::ArrowError(error, _) => matches!(&**error, ArrowError::IoError(_, error) if is_limit(error)),
        _ => false,
    }
}

/// What writes rows to the disk says only in words that they are too many. What the system says, it wraps.
fn is_limit(error: &io::Error) -> bool {
    let words = error.get_ref().filter(|words| !words.is::<DataFusionError>() && !words.is::<io::Error>());
    error.kind() == io::ErrorKind::Other && words.is_some()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of_file(error: io::Error) -> DataFusionError {
        ArrowError::IoError("writing".to_owned(), error).into()
    }

    #[test]
    fn room_on_the_disk_is_told_from_a_disk_that_fails() {
        let lacking = DataFusionError::ResourcesExhausted("no room".to_owned()).context("sorting");
        for error in [lacking, of_file(io::Error::other("more than the limit"))] {
            assert!(is_exhausted(&error), "{error:?}");
            assert!(matches!(Error::from(error), Error::TooMuch(_)));
        }
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        for error in [full(), DataFusionError::IoError(full()).into(), io::Error::other(full())] {
            let error = of_file(error);
            assert!(!is_exhausted(&error), "{error:?}");
            assert!(matches!(Error::from(error), Error::Unavailable(_)), "there may be room later");
        }
    }
}
