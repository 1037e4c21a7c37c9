//! `/healthz` and `/readyz`: for who restarts processes and who sends them traffic.

use axum::extract::State;
use axum::http::StatusCode;

use crate::state::{AppState, CollectorState};

/// The process lives.
pub async fn live() -> &'static str {
    "ok\n"
}

/// Records can be accepted now.
pub async fn accepts(State(state): State<CollectorState>) -> (StatusCode, &'static str) {
    if state.collector.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot take records\n")
    }
}

/// Questions can be answered now.
pub async fn answers(State(state): State<AppState>) -> (StatusCode, &'static str) {
    match state.analytics.check(state.clock.now()).await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "the store cannot be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read\n")
        }
    }
}
