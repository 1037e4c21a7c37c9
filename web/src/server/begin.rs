//! The first bytes of a connection: who connects and says nothing, or too little to be understood, is cut off.
//!
//! Behind them, HTTP/1.1 has a time limit for each head, and HTTP/2 asks whether the client is still there.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How every connection of HTTP/2 begins, and none of HTTP/1.1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of the frame that has to follow the preface.
const FRAME_HEAD_BYTES: usize = 9;

/// A connection that has to begin within a time.
pub(super) struct Begin<S> {
    stream: S,
    /// How many bytes there were, and until when more have to be; `None` when others look after it.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Begin<S> {
    /// `stream`, whose first bytes have to be there after `limit`.
    pub(super) fn within(limit: Duration, stream: S) -> Self {
        Self { stream, waiting: Some((0, Box::pin(sleep(limit)))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Begin<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let Some((seen, limit)) = &mut self.waiting else { return polled };
        if polled.is_pending() {
            return limit.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let new = &buffer.filled()[before..];
        let expected = PREFACE.get(*seen..).unwrap_or_default();
        let is_http2 = new.iter().zip(expected).all(|(byte, expected)| byte == expected);
        *seen += new.len();
        if !is_http2 || *seen >= PREFACE.len() + FRAME_HEAD_BYTES {
            self.waiting = None;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begin<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Whether a connection that begins so and then says nothing is cut off at the limit. The clock is that of the test.
    async fn is_cut_off(begin: &[u8]) -> bool {
        let (mut client, server) = duplex(1024);
        let mut server = Begin::within(LIMIT, server);
        client.write_all(begin).await.expect("room");
        let mut bytes = vec![0; begin.len()];
        server.read_exact(&mut bytes).await.expect("what was sent");
        assert_eq!(bytes, begin);
        let more = tokio::time::timeout(LIMIT * 2, server.read(&mut [0; 1])).await;
        more.is_ok_and(|read| read.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut))
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_too_little_to_be_understood_is_cut_off() {
        let whole = [PREFACE, &[0; FRAME_HEAD_BYTES]].concat();
        for (begin, expected) in [
            (&b""[..], true),
            (b"P", true),
            (PREFACE, true),
            (&whole[..whole.len() - 1], true),
            (&whole, false),
            (b"G", false),
            (b"POST", false),
            (b"GET / HTTP/1.1\r\n\r\n", false),
        ] {
            assert_eq!(is_cut_off(begin).await, expected, "{}", String::from_utf8_lossy(begin));
        }
    }
}
