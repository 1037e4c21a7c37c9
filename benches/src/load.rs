//! The load generator: connections that send one request after the other and look at nothing but status and length.
//!
//! It shares the processors with what it measures. So it is one thread, and per request it writes once, reads once, and
//! allocates nothing.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::Failure;
use crate::answer::read_head;
use crate::histogram::Histogram;
use crate::procfs;
use crate::requests::{REQUEST_BYTES, Requests};

/// Longest answer that is understood.
pub(crate) const ANSWER_LIMIT_BYTES: usize = 16 << 10;
/// How long the last answers may take after the time is up.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Broken connections in a row after which a sender gives up.
const BROKEN_MAX: u32 = 100;

/// How connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// All requests of a sender go over one connection.
    KeepAlive,
    /// Each request has a connection of its own, as those of probes have.
    PerRecord,
}

/// Who is sent what, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// What is sent.
    pub requests: Requests,
    /// How connections are used.
    pub mode: Mode,
    /// Senders; each waits for the answer before it sends again.
    pub connections: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Answers with 201.
    pub created: u64,
    /// Other answers.
    pub refused: u64,
    /// Requests that got no answer.
    pub broken: u64,
    /// Seconds until the last answer.
    pub elapsed_s: f64,
    /// Processor seconds of the generator itself.
    pub own_cpu_s: f64,
    /// From before the request (with [`Mode::PerRecord`]: before the connection) to the end of the answer.
    pub latency: Histogram,
}

impl Outcome {
    /// Adds another slice of the same load.
    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.refused += other.refused;
        self.broken += other.broken;
        self.elapsed_s += other.elapsed_s;
        self.own_cpu_s += other.own_cpu_s;
        self.latency.add(&other.latency);
    }

    /// Answers with 201 a second; 0 when nothing was measured.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
    pub fn rate(&self) -> f64 {
        if self.elapsed_s > 0.0 { self.created as f64 / self.elapsed_s } else { 0.0 }
    }
}

impl Load {
    /// Sends for `duration`, then waits for the last answers.
    ///
    /// # Errors
    /// When the last answers do not come.
    pub fn run(&self, duration: Duration) -> Result<Outcome, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let cpu_before = procfs::cpu_seconds(std::process::id())?;
        let begin = Instant::now();
        let tally = Rc::new(RefCell::new(Outcome::default()));
        let local = LocalSet::new();
        let all = local.run_until(self.send_until(begin + duration, Rc::clone(&tally)));
        runtime.block_on(async { tokio::time::timeout(duration + LAST_ANSWERS_TIMEOUT, all).await })?;
        let mut outcome = tally.take();
        outcome.elapsed_s = begin.elapsed().as_secs_f64();
        outcome.own_cpu_s = procfs::cpu_seconds(std::process::id())? - cpu_before;
        Ok(outcome)
    }

    async fn send_until(&self, deadline: Instant, tally: Rc<RefCell<Outcome>>) {
        let mut senders = JoinSet::new();
        for _ in 0..self.connections {
            senders.spawn_local(Sender::new(self, deadline, Rc::clone(&tally)).run());
        }
        senders.join_all().await;
    }
}

struct Sender {
    load: Load,
    deadline: Instant,
    tally: Rc<RefCell<Outcome>>,
    request: [u8; REQUEST_BYTES],
    answer: Vec<u8>,
}

impl Sender {
    fn new(load: &Load, deadline: Instant, tally: Rc<RefCell<Outcome>>) -> Self {
        Self { load: load.clone(), deadline, tally, request: [0; REQUEST_BYTES], answer: vec![0; ANSWER_LIMIT_BYTES] }
    }

    async fn run(mut self) {
        let mut broken = 0;
        while broken < BROKEN_MAX && Instant::now() < self.deadline {
            let ended = match self.load.mode {
                Mode::KeepAlive => self.over_one_connection().await,
                Mode::PerRecord => self.over_many_connections().await,
            };
            if ended.is_err() {
                self.tally.borrow_mut().broken += 1;
                broken += 1;
            }
        }
    }

    async fn over_one_connection(&mut self) -> io::Result<()> {
        let mut stream = connect(self.load.address).await?;
        loop {
            let begin = Instant::now();
            if begin >= self.deadline {
                return Ok(());
            }
            self.exchange(&mut stream, begin).await?;
        }
    }

    async fn over_many_connections(&mut self) -> io::Result<()> {
        loop {
            let begin = Instant::now();
            if begin >= self.deadline {
                return Ok(());
            }
            let mut stream = connect(self.load.address).await?;
            self.exchange(&mut stream, begin).await?;
        }
    }

    async fn exchange(&mut self, stream: &mut TcpStream, begin: Instant) -> io::Result<()> {
        self.load.requests.next(&mut self.request);
        let status = exchange(stream, &self.request, &mut self.answer).await?;
        let mut tally = self.tally.borrow_mut();
        if status == 201 {
            tally.created += 1;
            tally.latency.record(begin.elapsed());
        } else {
            tally.refused += 1;
        }
        Ok(())
    }
}

pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends one request, reads its answer into `buffer`, and gives the status.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> io::Result<u16> {
    stream.write_all(request).await?;
    read_answer(stream, buffer).await
}

/// Reads one answer into `buffer`, and gives its status.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<u16> {
    let (mut filled, mut head) = (0, None);
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if head.is_none() {
            head = read_head(&buffer[..filled]).map_err(io::Error::other)?;
        }
        if let Some(answer) = head.filter(|answer| filled >= answer.bytes) {
            return Ok(answer.status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bare;
    use crate::requests::Generation;

    /// Runs `load` against the bare handler in this process.
    fn against_bare(mode: Mode, connections: usize) -> Outcome {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(async { bare::listen() }).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(bare::serve(listener, 1_000));
        let load = Load { address, requests: Requests::new(Generation::V3, 1), mode, connections };
        let outcome = load.run(Duration::from_millis(50)).expect("an outcome");
        runtime.shutdown_background();
        outcome
    }

    #[test]
    fn every_answer_is_counted_and_timed() {
        for mode in [Mode::KeepAlive, Mode::PerRecord] {
            let outcome = against_bare(mode, 3);
            assert!(outcome.created > 0 && outcome.rate() > 0.0, "{outcome:?}");
            assert_eq!((outcome.refused, outcome.broken), (0, 0));
            assert_eq!(outcome.latency.count(), outcome.created);
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_no_answer() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let load = Load { address, requests: Requests::new(Generation::V2, 1), mode: Mode::KeepAlive, connections: 1 };
        let outcome = load.run(Duration::from_secs(30)).expect("an outcome");
        assert_eq!((outcome.created, outcome.broken), (0, u64::from(BROKEN_MAX)));
    }

    #[test]
    fn slices_add_up() {
        let slice = Outcome { created: 10, elapsed_s: 2.0, ..Outcome::default() };
        let mut sum = slice.clone();
        sum.add(&slice);
        assert!((sum.rate() - 5.0).abs() < 1e-9 && sum.created == 20);
        assert!(Outcome::default().rate() < 1e-9);
    }
}
