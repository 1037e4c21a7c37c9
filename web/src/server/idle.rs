//! Connections that nobody uses: after a while they are asked to end, and so are all when the server stops.
//!
//! Over HTTP/1.1 the time for the next head does that. A client of HTTP/2 that says that it is there could stay for ever.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The requests on one connection that are not answered whole yet; clones count the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Requests, and pieces of answers that have not gone yet.
    open: AtomicUsize,
    /// Grows with each of them that begins or ends.
    moves: AtomicUsize,
}

impl Requests {
    /// Counts a request until what this gives is dropped.
    pub(super) fn begin(&self) -> OpenRequest {
        OpenRequest::of(&self.counts)
    }

    fn moves(&self) -> usize {
        self.counts.moves.load(Relaxed)
    }

    /// Whether there was none at all since `moves` was read.
    fn none_since(&self, moves: usize) -> bool {
        self.counts.open.load(Relaxed) == 0 && self.moves() == moves
    }
}

/// A request that is not answered whole yet.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<Counts>);

impl OpenRequest {
    fn of(counts: &Arc<Counts>) -> Self {
        counts.open.fetch_add(1, Relaxed);
        counts.moves.fetch_add(1, Relaxed);
        Self(Arc::clone(counts))
    }

    /// The request is open as long as this is there, too.
    pub(super) fn as_long(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.moves.fetch_add(1, Relaxed);
    }
}

/// Works on `connection` until it ends. It is asked to when `stop` is cancelled, or when there was no request for `limit`
/// (for twice as long at most: one look at the clock is for all of that time), and cut off when that does not help.
///
/// # Errors
/// As the connection's.
pub(super) async fn drive<C: GracefulConnection>(
    connection: C,
    requests: Requests,
    limit: Duration,
    stop: CancellationToken,
) -> Result<(), C::Error> {
    let (mut connection, mut is_ending) = (pin!(connection), false);
    loop {
        let moves = requests.moves();
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled(), if !is_ending => {}
            () = sleep(limit) => {
                if !requests.none_since(moves) {
                    continue;
                }
                if is_ending {
                    return Ok(());
                }
            }
        }
        is_ending = true;
        connection.as_mut().graceful_shutdown();
    }
}
