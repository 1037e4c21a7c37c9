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
/// How long a sender may be silent in the middle of a body.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long what is left of a body is still read after the answer is known. A connection that is closed with unread
/// bytes is reset, and the reset can overtake the answer.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a body cannot be read to its end, by what its sender has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Send less at once.
    TooLarge,
    /// The sentence says it: the body was broken off, late or not what its headers say.
    Broken(String),
    /// Nobody wants the rest.
    Abandoned,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the body is too large"),
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

impl Feeder {
    /// Gives `first`, which was read before, and then all of `body` to the reader, until `deadline`.
    ///
    /// When the reader goes away, what is left is thrown away within limits.
    pub(super) async fn feed(self, first: Bytes, mut body: Body, deadline: Instant) {
        let mut piece = if first.is_empty() { next(&mut body, deadline).await } else { Ok(first) };
        loop {
            let is_last = !matches!(&piece, Ok(bytes) if !bytes.is_empty());
            if self.0.send(piece).await.is_err() {
                return discard(body).await;
            }
            if is_last {
                return;
            }
            piece = next(&mut body, deadline).await;
        }
    }
}

/// The next bytes of `body`; none at its end.
async fn next(body: &mut Body, deadline: Instant) -> Result<Bytes, Stop> {
    loop {
        let until = deadline.min(Instant::now() + SILENCE_TIMEOUT);
        let frame = timeout_at(until, body.frame()).await;
        match frame.map_err(|_| Stop::Broken("The body took too long to arrive.".to_owned()))? {
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

async fn discard(mut body: Body) {
    let until = Instant::now() + DISCARD_TIMEOUT;
    while let Ok(Some(Ok(_))) = timeout_at(until, body.frame()).await {}
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
    use futures::stream;

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
        feeder.feed(Bytes::from_static(first), body, Instant::now() + SILENCE_TIMEOUT).await;
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
        feeder.feed(Bytes::new(), body(vec![Ok(b"x"); 100]), Instant::now() + SILENCE_TIMEOUT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_silent_is_given_up() {
        let silent = Body::from_stream(stream::pending::<io::Result<Bytes>>());
        let (feeder, mut received) = pipe();
        feeder.feed(Bytes::new(), silent, Instant::now() + 10 * SILENCE_TIMEOUT).await;
        assert!(matches!(received.pieces.recv().await, Some(Err(Stop::Broken(_)))));
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
