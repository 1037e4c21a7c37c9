//! Senders that behave like probes: so many requests a second, and what got no 201 is sent again, byte for byte.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use crate::Failure;
use crate::histogram::Histogram;
use crate::load::{ANSWER_LIMIT_BYTES, connect, exchange};
use crate::readers::Addresses;
use crate::requests::{REQUEST_BYTES, Requests};

/// Before what got no 201 is sent again.
const AGAIN: Duration = Duration::from_millis(50);
/// A sender that was held up sends what it owes of this time, and no more.
const OWED_MAX: Duration = Duration::from_secs(1);
/// How long the last answers may take after the time is up: longer than a restart.
const LAST_ANSWERS: Duration = Duration::from_mins(1);

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Requests that were answered 201, each counted once.
    pub created: u64,
    /// Of these, how many were sent more than once.
    pub again: u64,
    /// Other answers.
    pub refused: u64,
    /// Attempts that got no answer: the server was down.
    pub broken: u64,
    /// Requests that never got a 201 until the end.
    pub unanswered: u64,
    /// From the first attempt to the end of the answer with 201, of requests that were sent once.
    pub latency: Histogram,
}

/// Senders that work until they are stopped.
#[derive(Debug)]
pub struct Paced {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), Failure>>,
}

#[derive(Debug)]
struct Shared {
    addresses: Addresses,
    requests: Requests,
    /// Between two requests of one sender.
    interval: Duration,
    stop: AtomicBool,
    sent: Mutex<Sent>,
}

impl Paced {
    /// Lets `senders` begin, which send `rate` of `requests` a second together.
    #[must_use]
    pub fn start(addresses: &Addresses, requests: &Requests, senders: u32, rate: f64) -> Self {
        let interval = Duration::from_secs_f64(f64::from(senders) / rate.max(1.0));
        let (addresses, requests) = (addresses.clone(), requests.clone());
        let (stop, sent) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { addresses, requests, interval, stop, sent });
        let all = Arc::clone(&shared);
        Self { shared, thread: thread::spawn(move || all.send_all(senders)) }
    }

    /// What came of it since this was asked the last time.
    #[must_use]
    pub fn take(&self) -> Sent {
        self.shared.take()
    }

    /// Stops, once everything that was begun is answered; gives what came of it since [`Paced::take`].
    ///
    /// # Errors
    /// When the senders could not work at all.
    pub fn stop(self) -> Result<Sent, Failure> {
        self.shared.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| "the senders panicked")??;
        Ok(self.shared.take())
    }
}

impl Shared {
    fn take(&self) -> Sent {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, change: impl FnOnce(&mut Sent)) {
        change(&mut self.sent.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn send_all(self: &Arc<Self>, senders: u32) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (local, begin) = (LocalSet::new(), Instant::now());
        runtime.block_on(local.run_until(async {
            let mut all = JoinSet::new();
            for number in 0..senders {
                // They do not all send at the same moment.
                let due = begin + self.interval * number / senders;
                let sender =
                    Sender { shared: Arc::clone(self), due, stream: None, answer: vec![0; ANSWER_LIMIT_BYTES] };
                all.spawn_local(sender.run());
            }
            all.join_all().await;
        }));
        Ok(())
    }
}

struct Sender {
    shared: Arc<Shared>,
    due: Instant,
    stream: Option<TcpStream>,
    answer: Vec<u8>,
}

impl Sender {
    async fn run(mut self) {
        let mut request = [0; REQUEST_BYTES];
        loop {
            sleep(self.due.saturating_duration_since(Instant::now())).await;
            if self.shared.stop.load(Relaxed) {
                return;
            }
            self.shared.requests.next(&mut request);
            self.deliver(&request).await;
            let owed = Instant::now().checked_sub(OWED_MAX).unwrap_or(self.due);
            self.due = (self.due + self.shared.interval).max(owed);
        }
    }

    /// Sends until it is answered 201.
    async fn deliver(&mut self, request: &[u8; REQUEST_BYTES]) {
        let (begin, mut attempts, mut stopped) = (Instant::now(), 0_u32, None);
        loop {
            attempts += 1;
            match self.attempt(request).await {
                Ok(201) => break,
                Ok(_) => self.shared.note(|sent| sent.refused += 1),
                Err(_) => {
                    self.stream = None;
                    self.shared.note(|sent| sent.broken += 1);
                }
            }
            if self.shared.stop.load(Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() > LAST_ANSWERS {
                self.shared.note(|sent| sent.unanswered += 1);
                return;
            }
            sleep(AGAIN).await;
        }
        self.shared.note(|sent| {
            sent.created += 1;
            if attempts == 1 { sent.latency.record(begin.elapsed()) } else { sent.again += 1 }
        });
    }

    async fn attempt(&mut self, request: &[u8; REQUEST_BYTES]) -> io::Result<u16> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.shared.addresses.now()).await?,
        };
        let status = exchange(&mut stream, request, &mut self.answer).await?;
        self.stream = Some(stream);
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare;
    use crate::requests::Generation;

    #[test]
    fn what_got_no_answer_is_sent_again_until_it_gets_one() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let (addresses, requests) = (Addresses::new(nobody), Requests::new(Generation::V3, 1));
        let senders = Paced::start(&addresses, &requests, 3, 300.0);
        let mut all = Sent::default();
        let mut wait_until = |enough: fn(&Sent) -> bool| {
            while !enough(&all) {
                let sent = senders.take();
                (all.broken, all.created, all.again) =
                    (all.broken + sent.broken, all.created + sent.created, all.again + sent.again);
                thread::yield_now();
            }
        };
        wait_until(|sent| sent.broken >= 3);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(async { bare::listen() }).expect("a port");
        addresses.set(listener.local_addr().expect("an address"));
        runtime.spawn(bare::serve(listener, 1_000));
        wait_until(|sent| sent.again >= 3 && sent.created >= 10);
        let last = senders.stop().expect("what came of it");
        assert_eq!((all.created + last.created, last.unanswered), (requests.issued(), 0));
        runtime.shutdown_background();
    }
}
