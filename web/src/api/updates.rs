//! `GET /api/updates` and `/telemetryui/updates`: how many machines went from which version to which.
//!
//! `days` says how far it looks back, 14 when it is not given.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::updates::updates;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::aggregation::{self, Asked, Table};
use super::params::{Pairs, whole_number};
use super::population::DAYS_MAX;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Where it answers.
pub const ENDPOINT: &str = "/api/updates";
/// How far it looks back when nobody says it.
pub const DAYS_DEFAULT: i64 = 14;
/// Filters of records that this question settles itself.
pub(crate) const NOT_HERE: [&str; 3] = ["classification", "created_in_days", "created_in_sec"];

/// `{"rows": [{"from_version", "to_version", "records"}, ...]}`, the largest first.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/updates",
    operation_id = "updates",
    summary = "Updates between versions",
    tag = "aggregations",
    params(
        parameters::Days,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::UpdateRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = read(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let found = updates(&asked.view, &query.filter).await?;
    let mut table = Table::new(["from_version", "to_version", "records"]);
    table.has_more(found.has_more || found.steps.len() > query.limit);
    for step in found.steps.into_iter().take(query.limit) {
        table.push([step.from.into(), step.to.into(), step.records.into()]);
    }
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

/// `filter` within the last `days` before `now`.
#[must_use]
pub fn within(filter: RecordFilter, days: i64, now: TimestampUs) -> RecordFilter {
    let from = TimestampUs(now.0 - days * US_PER_DAY);
    let received_from = filter.received_from.max(Some(from));
    RecordFilter { received_from, ..filter }
}

/// Reads a number of days.
///
/// # Errors
/// When it is none, or more than retention can have.
pub fn days(name: &str, value: &str) -> Result<i64, InvalidParameter> {
    whole_number(name, value, 1, DAYS_MAX)
}

fn read(pairs: &Pairs, now: TimestampUs) -> Result<Asked, InvalidParameter> {
    let mut looks_back = DAYS_DEFAULT;
    let mut own = |name: &str, value: &str| {
        if NOT_HERE.contains(&name) {
            return Err(InvalidParameter::new(name, "is not a parameter here"));
        }
        if name == "days" {
            looks_back = days(name, value)?;
        }
        Ok(name == "days")
    };
    let mut asked = aggregation::read(pairs, now, &mut own)?;
    asked.filter = within(asked.filter, looks_back, now);
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_back_two_weeks_or_as_far_as_one_says() {
        let now = TimestampUs::from_s(1_795_342_080);
        let from = |query: &str| {
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            read(&pairs, now).map(|asked| asked.filter.received_from).map_err(|error| error.name)
        };
        assert_eq!(from(""), Ok(Some(TimestampUs(now.0 - 14 * US_PER_DAY))));
        assert_eq!(from("days=1"), Ok(Some(TimestampUs(now.0 - US_PER_DAY))));
        for wrong in ["days=0", "days=36501", "classification=a", "created_in_days=1"] {
            assert_eq!(from(wrong).expect_err(wrong), wrong.split('=').next().expect("a name"));
        }
    }
}
