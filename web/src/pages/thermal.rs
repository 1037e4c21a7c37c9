//! The page Thermal: thermal events of this year by week.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use futures::FutureExt as _;
use telemetrics_analytics::questions::trends::trend;

use super::THERMAL_TAB;
use super::mce::by_week_chart;
use super::numbers::{self, Numbers, Question, Same, Subject};
use crate::api::hardware::{NOT_HERE, thermal_events, this_year};
use crate::error::WebError;
use crate::state::AppState;

const SUBJECT: Subject = Subject { tab: THERMAL_TAB, of_one_system: false, not_here: &NOT_HERE };

/// Answers with the page.
pub async fn show(State(state): State<AppState>, uri: Uri) -> Response {
    numbers::show(&state, &uri, &SUBJECT, |question| find(question).boxed()).await
}

async fn find(question: Question<'_>) -> Result<Numbers, WebError> {
    let now = question.asked.now;
    let request = thermal_events(&this_year(question.filter.clone(), now));
    let weeks = trend(&question.asked.view, &request, now).await?;
    let same = vec![Same::new("By week", question.given, "/api/thermal", &[])];
    Ok(Numbers { figures: vec![by_week_chart(&weeks).figure()], same, ..Numbers::default() })
}
