//! What may go wrong on the way, by whether trying again helps; and trying again.

use std::time::Duration;

use telemetrics_analytics::Error;
use telemetrics_collector::store::StoreError;
use tracing::warn;

use crate::serve::StartError;

/// First pause after a failed attempt; doubled after each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Attempts before the move ends: with the pauses between them about four minutes.
const ATTEMPTS: u32 = 22;

/// Why a step was not done.
pub(crate) enum Trouble {
    /// The same step may be done later.
    Passing(String),
    /// It never will be.
    Final(StartError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(reason) => Self::Passing(reason),
            other => Self::Final(other.into()),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::Passing(reason),
            StoreError::Refused(_) => Self::Final(error.into()),
        }
    }
}

/// Does a step again, more and more slowly, while trying again may help.
pub(crate) async fn patiently<T>(mut step: impl AsyncFnMut() -> Result<T, Trouble>) -> Result<T, StartError> {
    let mut pause = PAUSE_FIRST;
    let mut attempts = 1;
    loop {
        match step().await {
            Ok(done) => return Ok(done),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(reason)) if attempts == ATTEMPTS => return Err(reason.into()),
            Err(Trouble::Passing(reason)) => warn!(%reason, "this did not work, it is tried again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
        attempts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_but_not_for_ever() {
        let mut attempts = 0;
        let outcome = patiently(async || {
            attempts += 1;
            if attempts < 5 { Err(Trouble::Passing("away".to_owned())) } else { Ok(attempts) }
        });
        assert_eq!(outcome.await.expect("done"), 5);
        let mut attempts = 0;
        let outcome = patiently(async || {
            attempts += 1;
            Err::<(), _>(Trouble::Passing("away".to_owned()))
        });
        assert_eq!(outcome.await.expect_err("given up").to_string(), "away");
        assert_eq!(attempts, ATTEMPTS);
    }

    #[tokio::test]
    async fn what_never_works_is_not_tried_again() {
        let mut attempts = 0;
        let outcome = patiently(async || {
            attempts += 1;
            Err::<(), _>(Trouble::from(StoreError::Refused("no".to_owned())))
        });
        assert!(outcome.await.is_err());
        assert_eq!(attempts, 1);
    }
}
