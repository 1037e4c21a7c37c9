//! A future that is finished whether its owner waits for it or not.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

/// Runs as a part of its owner, and in a task of its own from the moment on that its owner drops it unfinished.
///
/// Spawning every future from its beginning would do as well, and cost each record a task and a change of threads for
/// the sake of the few whose sender hangs up.
pub(super) struct Finishing<T: 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: 'static> Finishing<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<T: 'static> Future for Finishing<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let outcome = future.as_mut().poll(context);
        if outcome.is_ready() {
            self.0 = None;
        }
        outcome
    }
}

impl<T: 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending; then the future is dropped, and what it owned says so itself.
        if let Some(future) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move { drop(future.await) });
        }
    }
}
