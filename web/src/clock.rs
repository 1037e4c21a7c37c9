//! The machine's clock: the one place where the program asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimestampUs {
        // A clock before 1970 is as wrong as one at 1970; identifiers go on all the same.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampUs(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }
}
