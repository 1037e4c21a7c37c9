//! `GET /api/regressions`: what is new in a build, or worse since one, and by how much.
//!
//! It is about one system (`system_name`; else the one with most records lately), looks back `days` (35), and takes the
//! filters that say something of machines. It names what is sure, once for each cause, and is empty while numbers are small:
//! `docs/crash-statistics.md` has the test and its threshold.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use telemetrics_analytics::judgement::{Cause, Change, Finding, Tables, findings};
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::guilty_strikes::guilty_strikes;

use super::aggregation::{self, Table};
use super::crash_rate::{begin, of_one_system, rounded};
use super::filters::ATTRIBUTE_PREFIX;
use super::gate::DAYS_DEFAULT;
use super::params::whole_number;
use super::said::Said;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::{AppState, Asked};

/// Filters of records that say nothing about machines.
const NOT_HERE: [&str; 6] = ["classification", "severity", "event_id", "payload", "not_payload", "from_id"];

const COLUMNS: [&str; 14] = [
    "system_name",
    "change",
    "build",
    "lasts",
    "classification",
    "guilty_id",
    "function",
    "module",
    "per_1000_machine_days",
    "per_1000_machine_days_before",
    "ratio",
    "ratio_low",
    "struck_machines",
    "p_corrected",
];

/// What became worse, the surest first.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/regressions",
    operation_id = "regressions",
    summary = "What is new in a build or worse since one",
    tag = "aggregations",
    params(parameters::Days, parameters::OfMachine, parameters::Rows),
    responses((status = 200, description = "The rows.", content((answers::RegressionRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let mut days = None;
    let mut own = |name: &str, value: &str| match name {
        "days" => {
            days = Some(whole_number(name, value, 1, super::crash_rate::DAYS_MAX)?);
            Ok(true)
        }
        name if NOT_HERE.contains(&name) || name.starts_with(ATTRIBUTE_PREFIX) => {
            Err(InvalidParameter::new(name, "is not a parameter here"))
        }
        _ => Ok(false),
    };
    let mut query = aggregation::read(&pairs, now, &mut own)?;
    query.filter.received_from = begin(&query.filter, days, DAYS_DEFAULT, now);
    let asked = state.ask_at(now).await?;
    let mut table = Table::new(COLUMNS);
    if let Some((system_name, filter)) = of_one_system(&asked.view, &query.filter, now).await? {
        let tables = with_guilties(&state, &asked, &filter).await?;
        let found = findings(&tables);
        for finding in found.iter().take(query.limit) {
            table.push(row(&system_name, finding));
        }
        table.has_more(found.len() > query.limit);
    }
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

/// What is judged of one system: failures by class, and crashes by their guilties.
///
/// # Errors
/// As those of questions.
pub async fn with_guilties(
    state: &AppState,
    asked: &Asked,
    filter: &telemetrics_analytics::filter::RecordFilter,
) -> Result<Tables, WebError> {
    let said = Said::now(state).await?;
    let causes = said.causes(state);
    let (mut found, strikes) =
        tokio::try_join!(tables(&asked.view, filter, Scope::Failures), guilty_strikes(&asked.view, causes, filter))?;
    found.strikes.extend(strikes);
    Ok(found)
}

fn row(system_name: &str, finding: &Finding) -> [Value; 14] {
    let (class, guilty) = match &finding.cause {
        Cause::AnyCrash => (Value::Null, None),
        Cause::Class(class) => (class.clone().into(), None),
        Cause::Guilty { guilty_id, function, module } => (Value::Null, Some((*guilty_id, function, module))),
    };
    let comparison = &finding.comparison;
    let change = match finding.change {
        Change::New => "new",
        Change::Worse => "worse",
    };
    [
        system_name.into(),
        change.into(),
        finding.build.clone().into(),
        finding.lasts.into(),
        class,
        guilty.map(|(id, ..)| id).into(),
        guilty.map(|(_, function, _)| function.clone()).into(),
        guilty.map(|(.., module)| module.clone()).into(),
        rounded(comparison.after.rate.per_1000).into(),
        rounded(comparison.before.rate.per_1000).into(),
        comparison.ratio.map(rounded).into(),
        rounded(comparison.ratio_low).into(),
        comparison.after.machines.into(),
        finding.p_corrected.into(),
    ]
}
