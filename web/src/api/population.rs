//! `GET /api/population`: how many distinct machines sent a heartbeat, by build and origin.
//!
//! `days` says how far it looks back; without it, it is all that is retained. Clients change their machine id every three
//! days, so that longer windows count a machine more than once: `machines_at_least` is how many there are at least, and
//! null where the window has no beginning.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use telemetrics_analytics::judgement::machine_bounds;
use telemetrics_analytics::questions::population::population;
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::aggregation::{self, Table};
use super::crash_rate::window_days;
use super::params::{Pairs, whole_number};
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Most days that it looks back: as long as retention can be.
pub(super) const DAYS_MAX: i64 = 36_500;

/// Filters of records that say nothing about heartbeats.
pub(crate) const NOT_HERE: [&str; 8] = [
    "classification",
    "severity",
    "event_id",
    "payload",
    "not_payload",
    "created_in_days",
    "created_in_sec",
    "from_id",
];

/// `{"rows": [{"system_name", "build", "data_source", "machines", "machines_at_least"}, ...]}`, the largest first.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/population",
    operation_id = "population",
    summary = "Machines by build",
    tag = "aggregations",
    params(
        parameters::Days,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::PopulationRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = read(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let population = population(&asked.view, &query.filter, query.limit).await?;
    let mut table = Table::new(["system_name", "build", "data_source", "machines", "machines_at_least"]);
    let days = query.filter.received_from.map(|_| window_days(&query.filter, now));
    for group in population.groups {
        let source = if group.external { "external" } else { "internal" };
        let at_least = days.map(|days| machine_bounds(group.machines, days).at_least);
        let counts = [group.machines.into(), at_least.map_or(Value::Null, Value::from)];
        table.push([group.system_name.into(), group.build.into(), source.into()].into_iter().chain(counts));
    }
    table.has_more(population.has_more);
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

fn read(pairs: &Pairs, now: TimestampUs) -> Result<aggregation::Asked, InvalidParameter> {
    let mut from = None;
    let mut own = |name: &str, value: &str| {
        if NOT_HERE.contains(&name) {
            return Err(InvalidParameter::new(name, "is not a parameter here"));
        }
        if name == "days" {
            from = Some(TimestampUs(now.0 - whole_number(name, value, 1, DAYS_MAX)? * US_PER_DAY));
        }
        Ok(name == "days")
    };
    let mut asked = aggregation::read(pairs, now, &mut own)?;
    asked.filter.received_from = asked.filter.received_from.max(from);
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn from_s(query: &str) -> Result<Option<i64>, InvalidParameter> {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        read(&pairs, NOW).map(|asked| asked.filter.received_from.map(TimestampUs::as_s))
    }

    #[test]
    fn days_look_back_from_now() {
        assert_eq!(from_s(""), Ok(None));
        assert_eq!(from_s("days=1"), Ok(Some(NOW.as_s() - 86_400)));
        assert_eq!(from_s("days=36500&received_after=2026-11-22T00:00:00Z"), Ok(Some(1_795_305_600)));
        for wrong in ["days=0", "days=36501", "days=x", "classification=a", "created_in_days=1", "payload=x"] {
            let error = from_s(wrong).expect_err(wrong);
            assert_eq!(error.name, wrong.split('=').next().expect("a name"));
        }
    }
}
