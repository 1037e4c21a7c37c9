//! What is left of a request's body when its answer is known: it is read on and thrown away, within a time.
//!
//! A connection that is closed with unread bytes is reset, and the reset can overtake the answer: a proxy in between tells
//! its client 502 then, where we said 413. So whoever lets a body go unread leaves the rest to this.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::{Request, Version, header};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

/// How long what is left of a body is read.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that is read on by itself when it is dropped before its end.
pub(super) struct Leftover {
    /// `None` behind its end.
    body: Option<Incoming>,
    reads_on: bool,
}

impl Leftover {
    /// The same request, with such a body.
    ///
    /// Of a client that waits for `100 Continue` nothing is read on: that would ask it to send. HTTP/2 ends one request
    /// without the others, and needs nothing of this.
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let reads_on = request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
        request.map(|body| Self { body: Some(body), reads_on })
    }
}

impl Body for Leftover {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| self.reads_on && !body.is_end_stream()) else { return };
        // Outside of the runtime there is no connection any more either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(discard(body));
        }
    }
}

async fn discard(mut body: Incoming) {
    let until = Instant::now() + DISCARD_TIMEOUT;
    while let Ok(Some(Ok(_))) = timeout_at(until, body.frame()).await {}
}
