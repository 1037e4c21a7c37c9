//! What can go wrong with a query to ClickHouse, by what the caller must do.

use ::clickhouse::error::Error;
use datafusion::error::DataFusionError;

/// Server errors of a query that takes more than it may: time, memory, rows, bytes, concurrent queries, depth.
const TOO_MUCH_CODES: [&str; 10] = ["158", "159", "160", "167", "168", "202", "241", "306", "307", "396"];

/// Server errors of a database that is not made yet: table, database. The collector makes both.
const NOT_READY_CODES: [&str; 2] = ["60", "81"];

/// An error of a query; found with [`ClickHouseError::of`] in what DataFusion returns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClickHouseError {
    /// The server cannot be reached, stopped in the middle, or is silent: the same question may work later.
    #[error("ClickHouse is not available: {0}")]
    Unavailable(String),
    /// The question takes more time or memory than it may: ask for less.
    #[error("ClickHouse stopped the query: {0}")]
    TooMuch(String),
    /// The server refused the query or answered what it should not: an error of configuration or of this program.
    #[error("ClickHouse failed: {0}")]
    Failed(String),
}

impl ClickHouseError {
    /// The error of ClickHouse behind an error of DataFusion, if there is one.
    #[must_use]
    pub fn of(error: &DataFusionError) -> Option<&Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(current) = cause {
            if let Some(found) = current.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = current.source();
        }
        None
    }
}

impl From<Error> for ClickHouseError {
    fn from(error: Error) -> Self {
        match error {
            Error::Network(_) | Error::TimedOut => Self::Unavailable(chain(&error)),
            Error::BadResponse(message) if has_code(&message, &TOO_MUCH_CODES) => Self::TooMuch(message),
            Error::BadResponse(message) if has_code(&message, &NOT_READY_CODES) => Self::Unavailable(message),
            Error::BadResponse(message) => Self::Failed(message),
            other => Self::Failed(chain(&other)),
        }
    }
}

impl From<ClickHouseError> for DataFusionError {
    fn from(error: ClickHouseError) -> Self {
        Self::External(Box::new(error))
    }
}

/// Messages begin with `Code: 159. DB::Exception: ...`.
fn has_code(message: &str, codes: &[&str]) -> bool {
    let code = message.split_once("Code: ").and_then(|(_, rest)| rest.split_once('.')).map(|(code, _)| code);
    code.is_some_and(|code| codes.contains(&code))
}

/// The message with those of its causes, which say what the network said.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let message = current.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = current.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_servers_codes() {
        let kind = |message: &str| ClickHouseError::from(Error::BadResponse(message.to_owned()));
        assert!(matches!(kind("Code: 159. DB::Exception: Timeout exceeded"), ClickHouseError::TooMuch(_)));
        assert!(matches!(kind("Code: 60. DB::Exception: Unknown table"), ClickHouseError::Unavailable(_)));
        assert!(matches!(kind("Code: 15. DB::Exception: x"), ClickHouseError::Failed(_)));
        assert!(matches!(kind("502 Bad Gateway"), ClickHouseError::Failed(_)));
        assert!(matches!(ClickHouseError::from(Error::TimedOut), ClickHouseError::Unavailable(_)));
    }

    #[test]
    fn it_is_found_below_context() {
        let error = DataFusionError::from(ClickHouseError::Unavailable("x".to_owned())).context("while asking");
        assert_eq!(ClickHouseError::of(&error), Some(&ClickHouseError::Unavailable("x".to_owned())));
        assert_eq!(ClickHouseError::of(&DataFusionError::Internal("x".to_owned())), None);
    }
}
