//! What a server looks at again and again while it runs.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Calls `look`, which may block, every `interval` until it is time to stop.
pub async fn every(interval: Duration, stop: CancellationToken, look: impl Fn() + Clone + Send + 'static) {
    while tokio::time::timeout(interval, stop.cancelled()).await.is_err() {
        // A look that panics has said so; another one would do the same.
        if tokio::task::spawn_blocking(look.clone()).await.is_err() {
            return;
        }
    }
}
