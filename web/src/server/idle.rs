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

use super::reader::Untaken;

/// The requests on one connection whose answers are not all made yet; clones count the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    /// Grows with each that begins or ends.
    moves: AtomicUsize,
}

impl Requests {
    /// Counts a request until what this gives is dropped.
    pub(super) fn begin(&self) -> OpenRequest {
        self.counts.open.fetch_add(1, Relaxed);
        self.counts.moves.fetch_add(1, Relaxed);
        OpenRequest(Arc::clone(&self.counts))
    }

    fn any(&self) -> bool {
        self.counts.open.load(Relaxed) > 0
    }

    fn moves(&self) -> usize {
        self.counts.moves.load(Relaxed)
    }
}

/// A request whose answer is not all made yet; what is made and has not gone is untaken.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<Counts>);

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
    untaken: Untaken,
    limit: Duration,
    stop: CancellationToken,
) -> Result<(), C::Error> {
    let (mut connection, mut is_ending) = (pin!(connection), false);
    loop {
        let moves = (requests.moves(), untaken.moves());
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled(), if !is_ending => {}
            () = sleep(limit) => {
                if requests.any() || untaken.any() || moves != (requests.moves(), untaken.moves()) {
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
