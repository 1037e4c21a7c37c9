//! The reader of answers: a client that takes nothing of what is here for it is cut off after a time.
//!
//! Over HTTP/1.1 its socket takes no more bytes. Over HTTP/2 its windows are closed, while its socket takes whatever is
//! said about the connection: so each piece of a body is counted until it has gone. Who is slow and goes on is never cut
//! off: whatever moves begins the time anew.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::idle::OpenRequest;

/// What of the answers on one connection has not been taken yet; clones count the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Untaken {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Pieces that are held here.
    pieces: AtomicUsize,
    /// Grows whenever the client takes something.
    moves: AtomicUsize,
}

impl Untaken {
    /// `body`, whose bytes are counted here until they have gone; its request is open as long as it is there.
    pub(super) const fn of(self, body: Body, open: OpenRequest) -> Answer {
        Answer { body, untaken: self, _open: open }
    }

    fn piece(&self, bytes: Bytes) -> Piece {
        self.counts.pieces.fetch_add(1, Relaxed);
        Piece { bytes, untaken: self.clone() }
    }

    pub(super) fn any(&self) -> bool {
        self.counts.pieces.load(Relaxed) > 0
    }

    pub(super) fn moves(&self) -> usize {
        self.counts.moves.load(Relaxed)
    }

    fn moved(&self) {
        self.counts.moves.fetch_add(1, Relaxed);
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Body,
    untaken: Untaken,
    _open: OpenRequest,
}

impl HttpBody for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(|bytes| self.untaken.piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer, which are dropped when they have been handed to the connection.
pub(super) struct Piece {
    bytes: Bytes,
    untaken: Untaken,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.untaken.moved();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.untaken.counts.pieces.fetch_sub(1, Relaxed);
        self.untaken.moved();
    }
}

/// A connection whose client has to take something within a time, as long as there is something for it.
pub(super) struct Reader<S> {
    stream: S,
    limit: Duration,
    untaken: Untaken,
    /// Whether the stream takes no bytes.
    is_blocked: bool,
    /// How much had moved when the time began, and its end; `None` while there is nothing to take.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Reader<S> {
    /// `stream`, whose client is cut off when nothing of what is untaken moves for `limit`, and at the latest when
    /// nothing has for twice as long: a look at the clock for each piece would cost more. Over HTTP/2 the time may begin
    /// when the client is next asked whether it is still there.
    pub(super) const fn within(limit: Duration, untaken: Untaken, stream: S) -> Self {
        Self { stream, limit, untaken, is_blocked: false, waiting: None }
    }

    /// Begins, goes on with or ends the time of the client.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.is_blocked && !self.untaken.any() {
            self.waiting = None;
            return Ok(());
        }
        loop {
            let moves = self.untaken.moves();
            let (before, end) = self.waiting.get_or_insert_with(|| (moves, Box::pin(sleep(self.limit))));
            if end.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            if *before == moves {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer"));
            }
            self.waiting = None;
        }
    }

    /// Notes whether the stream takes bytes.
    fn note(&mut self, is_blocked: bool) {
        if self.is_blocked && !is_blocked {
            self.untaken.moved();
        }
        self.is_blocked = is_blocked;
    }

    /// What a write gave, unless the client has had its time.
    fn written<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.note(polled.is_pending());
        // What could be written is no reason to look: most answers have gone with their first write.
        if polled.is_pending() {
            self.look(cx)?;
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Reader<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if polled.is_pending() {
            self.look(cx)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Reader<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(polled.is_pending());
        // Behind closed windows of HTTP/2 nothing is written, but all of it is flushed.
        self.look(cx)?;
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.written(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
