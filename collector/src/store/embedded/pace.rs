//! How much of a processor work behind the scenes may take.

use std::thread;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Longest pause at once: a stop is noticed after it.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Slows one thread down to a share of one processor.
pub(super) struct Pace {
    share_percent: u32,
    worked_since: Instant,
    stop: CancellationToken,
}

impl Pace {
    /// A share of 100 percent or more never pauses.
    pub(super) fn new(share_percent: u32, stop: CancellationToken) -> Self {
        Self { share_percent, worked_since: Instant::now(), stop }
    }

    /// Called after each piece of work: pauses as it has to. `false` when the process stops.
    pub(super) fn keep(&mut self) -> bool {
        let pause = pause(self.worked_since.elapsed(), self.share_percent);
        if !pause.is_zero() && !self.stop.is_cancelled() {
            thread::sleep(pause);
        }
        self.worked_since = Instant::now();
        !self.stop.is_cancelled()
    }
}

/// The pause after which `worked` is the share of the whole time.
fn pause(worked: Duration, share_percent: u32) -> Duration {
    let share = share_percent.clamp(1, 100);
    (worked * (100 - share) / share).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_makes_work_the_share_that_is_allowed() {
        let worked = Duration::from_millis(30);
        assert_eq!(pause(worked, 50), worked);
        assert_eq!(pause(worked, 75), Duration::from_millis(10));
        assert_eq!(pause(worked, 100), Duration::ZERO);
        assert_eq!(pause(worked, 0), PAUSE_MAX, "one percent is the least");
    }
}
