//! Looks at the server again and again while it works: memory, and records that the store does not have yet.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::procfs;
use crate::scrape::Metrics;

/// Between two looks: often enough for a batch, seldom enough to cost nothing.
const DISTANCE: Duration = Duration::from_millis(250);

/// The most that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Peaks {
    /// Resident memory in KiB.
    pub resident_kib: u64,
    /// Records that were acknowledged and not in the store.
    pub pending_records: f64,
    /// Looks that failed.
    pub failures: u64,
}

impl Peaks {
    /// The greater of both, number by number.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib.max(other.resident_kib),
            pending_records: self.pending_records.max(other.pending_records),
            failures: self.failures + other.failures,
        }
    }
}

/// Runs `work`, and looks at the server meanwhile.
pub fn while_watching<T>(pid: u32, address: SocketAddr, work: impl FnOnce() -> T) -> (T, Peaks) {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let mut peaks = look(pid, address);
            while is_done.recv_timeout(DISTANCE) == Err(RecvTimeoutError::Timeout) {
                peaks = peaks.max(look(pid, address));
            }
            peaks
        });
        let outcome = work();
        drop(done);
        (outcome, watcher.join().unwrap_or_default())
    })
}

fn look(pid: u32, address: SocketAddr) -> Peaks {
    match (procfs::memory(pid), Metrics::of(address)) {
        (Ok(memory), Ok(metrics)) => {
            Peaks { resident_kib: memory.resident_kib, pending_records: metrics.get("pending_records"), failures: 0 }
        }
        _ => Peaks { failures: 1, ..Peaks::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_the_greatest_of_each() {
        let one = Peaks { resident_kib: 1, pending_records: 5.0, failures: 1 };
        let other = Peaks { resident_kib: 2, pending_records: 4.0, failures: 1 };
        assert_eq!(one.max(other), Peaks { resident_kib: 2, pending_records: 5.0, failures: 2 });
    }

    #[test]
    fn a_server_that_does_not_answer_is_a_failure() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let (outcome, peaks) = while_watching(std::process::id(), nobody, || 7);
        assert_eq!((outcome, peaks.failures), (7, 1));
    }
}
