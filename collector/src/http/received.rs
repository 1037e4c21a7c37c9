//! A request's body on its way from the network to the thread that decodes it: bytes go in, a reader comes out.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Pieces of a body that wait for the decoder; each is at most what a connection reads at once, some 400 KiB.
const WAITING_PIECES: usize = 4;
/// How long a sender may be silent in the middle of a body that was fast enough so far.
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// What a sender has to keep up with, on average over [`PATIENCE_MAX`]: places for batches are few, and nobody shall hold
/// one for a byte now and then.
const RATE_MIN_BYTES_PER_S: u32 = 16 << 10;

/// Why a body cannot be read to its end, by what its sender has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Send less at once.
    TooLarge,
    /// Send faster, or less at once.
    Late,
    /// The sentence says it: the body was broken off or not what its headers say.
    Broken(String),
    /// Nobody wants the rest.
    Abandoned,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is too large"),
            Self::Late => {
                write!(
                    f,
                    "The body took too long to arrive: send {RATE_MIN_BYTES_PER_S} bytes a second at least, or less at once."
                )
            }
            Self::Broken(sentence) => f.write_str(sentence),
            Self::Abandoned => f.write_str("nobody wants the body"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<io::Error> for Stop {
    /// What a reader of the body failed with: one of ours, or that of a decoder that cannot go on.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(stop) => stop.clone(),
            None => Self::Broken(format!("The body cannot be decoded: {error}.")),
        }
    }
}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> Self {
        Self::other(stop)
    }
}

/// The network's end: gives what arrives to the reader.
pub(super) struct Feeder(mpsc::Sender<Result<Bytes, Stop>>);

/// The decoder's end: blocks until something arrives, so it is for threads of its own.
pub(super) struct Received {
    pieces: mpsc::Receiver<Result<Bytes, Stop>>,
    current: Bytes,
    is_over: bool,
}

/// Both ends.
pub(super) fn pipe() -> (Feeder, Received) {
    let (sender, pieces) = mpsc::channel(WAITING_PIECES);
    (Feeder(sender), Received { pieces, current: Bytes::new(), is_over: false })
}

#[cfg(feature = "fuzzing")]
impl Received {
    /// A body that has arrived wholly, in these parts, none of which is empty.
    pub(super) fn whole(parts: &[&[u8]]) -> Self {
        let (sender, pieces) = mpsc::channel(parts.len() + 1);
        for part in parts.iter().copied().chain([&b""[..]]) {
            // There is room for all of them, and the other end is here.
            let _ = sender.try_send(Ok(Bytes::copy_from_slice(part)));
        }
        Self { pieces, current: Bytes::new(), is_over: false }
    }
}

impl Feeder {
    /// Gives `first`, which was read before, and then all of `body` to the reader, until `deadline`.
    ///
    /// When the reader goes away, what is left is the server's: it reads it on for a while.
    pub(super) async fn feed(self, first: Bytes, mut body: Body, deadline: Instant) {
        let mut patience = Patience { left: PATIENCE_MAX, deadline };
        let mut piece = if first.is_empty() { patience.next(&mut body).await } else { Ok(first) };
        loop {
            let is_last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
            if self.0.send(piece).await.is_err() {
                return;
            }
            if is_last {
                return;
            }
            piece = patience.next(&mut body).await;
        }
    }
}

/// How long a sender is waited for: used up while it is, and earned with every byte.
struct Patience {
    left: Duration,
    deadline: Instant,
}

impl Patience {
    /// The next bytes of `body`; none at its end.
    async fn next(&mut self, body: &mut Body) -> Result<Bytes, Stop> {
        let begin = Instant::now();
        let bytes = timeout_at(self.deadline.min(begin + self.left), next(body)).await.map_err(|_| Stop::Late)??;
        let earned = Duration::from_secs(bytes.len() as u64) / RATE_MIN_BYTES_PER_S;
        self.left = (self.left.saturating_sub(begin.elapsed()) + earned).min(PATIENCE_MAX);
        Ok(bytes)
    }
}

async fn next(body: &mut Body) -> Result<Bytes, Stop> {
    loop {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(data),
                // Trailers, and chunks without anything in them.
                _ => {}
            },
            Some(Err(error)) => return Err(Stop::Broken(format!("The body did not arrive whole: {error}."))),
            None => return Ok(Bytes::new()),
        }
    }
}

impl BufRead for Received {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() && !self.is_over {
            self.current = self.pieces.blocking_recv().unwrap_or(Err(Stop::Abandoned))?;
            self.is_over = self.current.is_empty();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.current.split_to(amount));
    }
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

/// Lets so many bytes through; one more is [`Stop::TooLarge`].
pub(super) struct Limited<R> {
    inner: R,
    left_bytes: usize,
}

impl<R: BufRead> Limited<R> {
    /// At most `limit_bytes` of `inner`.
    pub(super) fn new(inner: R, limit_bytes: usize) -> Self {
        Self { inner, left_bytes: limit_bytes }
    }
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.inner.fill_buf()?;
        if self.left_bytes == 0 && !bytes.is_empty() {
            return Err(Stop::TooLarge.into());
        }
        Ok(&bytes[..bytes.len().min(self.left_bytes)])
    }

    fn consume(&mut self, amount: usize) {
        self.left_bytes -= amount;
        self.inner.consume(amount);
    }
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

fn read_buffered(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let available = reader.fill_buf()?;
    let length = available.len().min(buffer.len());
    buffer[..length].copy_from_slice(&available[..length]);
    reader.consume(length);
    Ok(length)
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    fn body(pieces: Vec<Result<&'static [u8], &'static str>>) -> Body {
        let pieces = pieces.into_iter().map(|piece| piece.map(Bytes::from_static).map_err(io::Error::other));
        Body::from_stream(stream::iter(pieces))
    }

    /// What a reader on a thread of its own gets.
    async fn through(first: &'static [u8], body: Body) -> (Vec<u8>, Result<(), Stop>) {
        let (feeder, mut received) = pipe();
        let reader = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            let outcome = received.read_to_end(&mut read).map(drop).map_err(Stop::from);
            (read, outcome)
        });
        feeder.feed(Bytes::from_static(first), body, Instant::now() + PATIENCE_MAX).await;
        reader.await.expect("no panic")
    }

    #[tokio::test]
    async fn everything_arrives_in_its_order() {
        let pieces = vec![Ok(&b"two "[..]), Ok(&b""[..]), Ok(&b"three"[..])];
        assert_eq!(through(b"one ", body(pieces)).await, (b"one two three".to_vec(), Ok(())));
        assert_eq!(through(b"", Body::empty()).await, (Vec::new(), Ok(())));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_end() {
        let (read, outcome) = through(b"", body(vec![Ok(b"whole"), Err("reset")])).await;
        assert_eq!(read, b"whole");
        assert!(matches!(outcome, Err(Stop::Broken(sentence)) if sentence.contains("reset")));
    }

    #[tokio::test]
    async fn a_feeder_that_goes_away_is_no_end() {
        let (feeder, mut received) = pipe();
        feeder.0.send(Ok(Bytes::from_static(b"x"))).await.expect("room");
        drop(feeder);
        let reader = tokio::task::spawn_blocking(move || received.read_to_end(&mut Vec::new()).map_err(Stop::from));
        assert_eq!(reader.await.expect("no panic"), Err(Stop::Abandoned));
    }

    #[tokio::test]
    async fn a_reader_that_goes_away_does_not_stop_the_sender() {
        let (feeder, received) = pipe();
        drop(received);
        feeder.feed(Bytes::new(), body(vec![Ok(b"x"); 100]), Instant::now() + PATIENCE_MAX).await;
    }

    /// What becomes of a body of `pieces` of so many bytes, one after each `pause`: bytes that were read, the end, and
    /// how long it took.
    async fn slowly(pieces: usize, bytes: usize, pause: Duration) -> (usize, Result<(), Stop>, Duration) {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(vec![0; bytes])
        });
        let (feeder, mut received) = pipe();
        let begin = Instant::now();
        let read = async {
            let mut read = 0;
            while let Some(piece) = received.pieces.recv().await {
                match piece {
                    Ok(piece) => read += piece.len(),
                    Err(stop) => return (read, Err(stop)),
                }
            }
            (read, Ok(()))
        };
        let fed = feeder.feed(Bytes::new(), Body::from_stream(pieces), begin + 10 * PATIENCE_MAX);
        let ((), (read, outcome)) = tokio::join!(fed, read);
        (read, outcome, begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_silent_is_given_up() {
        let (read, outcome, took) = slowly(1, 1, 2 * PATIENCE_MAX).await;
        assert_eq!((read, outcome, took), (0, Err(Stop::Late), PATIENCE_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_trickles_is_given_up_as_soon() {
        // Pieces without anything in them earn nothing, and a byte nearly nothing.
        for bytes in [0, 1] {
            let (read, outcome, took) = slowly(1_000, bytes, Duration::from_secs(1)).await;
            assert_eq!(outcome, Err(Stop::Late));
            assert!(read <= 30 && took.as_secs() == PATIENCE_MAX.as_secs(), "{read} bytes in {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_rate_is_enough_at_its_edge() {
        let rate = usize::try_from(RATE_MIN_BYTES_PER_S).expect("small");
        let second = Duration::from_secs(1);
        assert_eq!(slowly(200, rate, second).await, (200 * rate, Ok(()), 200 * second));
        let (_, outcome, took) = slowly(200, rate / 2, second).await;
        // Half a second is missing each second.
        assert_eq!(outcome, Err(Stop::Late), "after {took:?}");
        assert!(took > 3 * PATIENCE_MAX / 2 && took <= 2 * PATIENCE_MAX, "{took:?}");
        assert_eq!(slowly(29, 1, second).await, (29, Ok(()), 29 * second), "what is short need not be fast");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_the_fastest_body() {
        let rate = usize::try_from(RATE_MIN_BYTES_PER_S).expect("small");
        let (_, outcome, took) = slowly(1_000, 2 * rate, Duration::from_secs(1)).await;
        assert_eq!((outcome, took), (Err(Stop::Late), 10 * PATIENCE_MAX));
    }

    #[test]
    fn a_limit_lets_through_what_is_at_its_edge() {
        let read = |limit| {
            let mut read = Vec::new();
            let outcome = Limited::new(&b"12345"[..], limit).read_to_end(&mut read).map(drop).map_err(Stop::from);
            (read.len(), outcome)
        };
        assert_eq!(read(5), (5, Ok(())));
        assert_eq!(read(6), (5, Ok(())));
        assert_eq!(read(4), (4, Err(Stop::TooLarge)));
        assert_eq!(read(0), (0, Err(Stop::TooLarge)));
    }

    #[test]
    fn an_error_of_a_decoder_is_told_as_a_sentence() {
        let error = io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream");
        assert_eq!(Stop::from(error), Stop::Broken("The body cannot be decoded: corrupt deflate stream.".to_owned()));
    }
}
