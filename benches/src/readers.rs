//! People and scripts beside the probes: threads that ask for pages and answers of the API, one after the other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use telemetrics_testkit::http::Connection;

use crate::histogram::Histogram;

/// What they look at: the start page, pages of records and crashes, and what scripts poll.
pub const PATHS: &[&str] = &[
    "/telemetryui/overview",
    "/telemetryui/records",
    "/telemetryui/crashes",
    "/telemetryui/builds",
    "/api/records?limit=50",
    "/api/builds",
    "/api/crashes",
    "/api/trends?interval=day",
];
/// Where the server is: another place after each restart.
#[derive(Debug, Clone)]
pub struct Addresses(Arc<RwLock<SocketAddr>>);

impl Addresses {
    /// The first place.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(RwLock::new(address)))
    }

    /// Where it is now.
    #[must_use]
    pub fn now(&self) -> SocketAddr {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has moved.
    pub fn set(&self, address: SocketAddr) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = address;
    }
}

/// What came of reading.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// From the request to the end of an answer with 200.
    pub latency: Histogram,
    /// Other answers.
    pub refused: u64,
    /// The last of them.
    pub complaint: String,
    /// Requests that got no answer: the server was down.
    pub broken: u64,
}

/// Readers that work until they are stopped.
#[derive(Debug)]
pub struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    addresses: Addresses,
    pause: Duration,
    stop: AtomicBool,
    read: Mutex<Read>,
}

impl Readers {
    /// Lets `count` of them begin, each at another of [`PATHS`], with a `pause` after each answer.
    #[must_use]
    pub fn start(addresses: &Addresses, count: usize, pause: Duration) -> Self {
        let stop = AtomicBool::new(false);
        let shared = Arc::new(Shared { addresses: addresses.clone(), pause, stop, read: Mutex::default() });
        let reader = |first: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.read_all(PATHS.iter().cycle().skip(first * 3)))
        };
        Self { threads: (0..count).map(reader).collect(), shared }
    }

    /// What was read since this was asked the last time.
    #[must_use]
    pub fn take(&self) -> Read {
        std::mem::take(&mut *self.shared.read.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stops them; gives what was read since [`Readers::take`].
    #[must_use]
    pub fn stop(self) -> Read {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads {
            // One that panicked has read nothing more.
            let _ = thread.join();
        }
        std::mem::take(&mut *self.shared.read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn read_all<'a>(&self, paths: impl Iterator<Item = &'a &'static str>) {
        let mut connection = None;
        for path in paths {
            if self.stop.load(Relaxed) {
                return;
            }
            self.read_one(&mut connection, path);
            thread::sleep(self.pause);
        }
    }

    fn read_one(&self, connection: &mut Option<Connection>, path: &str) {
        let address = self.addresses.now();
        let begin = Instant::now();
        let mut exchange = || {
            let open = match connection.take() {
                Some(open) => open,
                None => Connection::open(address)?,
            };
            let open = connection.insert(open);
            open.send(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
            open.receive()
        };
        let answer = exchange();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(answer) if answer.status == 200 => read.latency.record(begin.elapsed()),
            Ok(answer) => {
                read.refused += 1;
                read.complaint = format!("{path}: {} {}", answer.status, answer.text().lines().next().unwrap_or(""));
            }
            Err(_) => {
                *connection = None;
                read.broken += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_breaks_and_refuses_nothing() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let readers = Readers::start(&Addresses::new(nobody), 2, Duration::ZERO);
        let mut broken = 0;
        while broken < 3 {
            broken += readers.take().broken;
            thread::yield_now();
        }
        let read = readers.stop();
        assert_eq!((read.refused, read.latency.count()), (0, 0));
    }
}
