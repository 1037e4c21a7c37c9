//! When to stop: SIGTERM from a service manager, SIGINT from a person.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first of the two signals cancels. A second signal ends the process at once.
///
/// # Errors
/// When the system does not let the process listen for signals.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        token.cancel();
        next().await;
        // What was acknowledged is in the journal.
        std::process::exit(1);
    });
    Ok(stop)
}
