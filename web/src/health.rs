//! `/healthz` and `/readyz`: for who restarts processes and who sends them traffic.

use axum::extract::State;
use axum::http::StatusCode;

use crate::state::AppState;

/// The process lives.
pub async fn live() -> &'static str {
    "ok\n"
}

/// Records can be accepted now.
pub async fn ready(State(state): State<AppState>) -> (StatusCode, &'static str) {
    if state.collector.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot take records\n")
    }
}
