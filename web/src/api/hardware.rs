//! `GET /api/mce` and `GET /api/thermal`: machine checks and thermal events.
//!
//! `by` says what machine checks are counted by: `week` (when it is not given), `classification`, `build`, `status`,
//! `machine`. Without a window both are about this year.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use telemetrics_analytics::View;
use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::counts::counts;
use telemetrics_analytics::questions::hardware::{self, THERMAL};
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::trends::{Interval, TOP_MAX, TrendRequest, trend};
use telemetrics_schema::TimestampUs;

use super::aggregation::{self, Asked, Table, values};
use super::params::Pairs;
use super::trends::table;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Filters of records that these questions settle themselves.
pub(crate) const NOT_HERE: [&str; 1] = ["classification"];

/// What machine checks are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Week,
    Classification,
    Build,
    Status,
    Machine,
}

const BY: [(&str, By); 5] = [
    ("week", By::Week),
    ("classification", By::Classification),
    ("build", By::Build),
    ("status", By::Status),
    ("machine", By::Machine),
];

/// Machine checks. By week `{"rows": [{"start", "classification", "records"}, ...]}`, empty weeks included; else the
/// largest groups first: `classification`, or `system_name` and `build`, or `status` (null where a payload says none), or
/// `machine_id` with its `builds`; each with `records`.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/mce",
    operation_id = "mce",
    summary = "Machine checks",
    tag = "aggregations",
    params(
        parameters::OfMachineChecks,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::MachineCheckRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn machine_checks(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let mut by = By::Week;
    let query = read(&pairs, now, Some(&mut by))?;
    let asked = state.ask_at(now).await?;
    let table = counted(&asked.view, &query, by, now).await?;
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

/// Thermal events by week: `{"rows": [{"start", "records"}, ...]}`, empty weeks included.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/thermal",
    operation_id = "thermal",
    summary = "Thermal events",
    tag = "aggregations",
    params(
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::ThermalRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn thermal(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let query = read(&pairs, now, None)?;
    let asked = state.ask_at(now).await?;
    let request = thermal_events(&query.filter);
    let table = table(&request, trend(&asked.view, &request, now).await?);
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

/// The filter of machine checks or thermal events for these filters of records: about this year when no window is given.
#[must_use]
pub fn this_year(filter: RecordFilter, now: TimestampUs) -> RecordFilter {
    let received_from = filter.received_from.or(Some(now.begin_of_year()));
    RecordFilter { received_from, ..filter }
}

/// What is asked for machine checks by week.
#[must_use]
pub fn checks_by_week(filter: &RecordFilter) -> TrendRequest {
    let filter = hardware::filter_of(filter);
    TrendRequest { filter, interval: Interval::Week, by: Some(Dimension::Classification), top: TOP_MAX }
}

/// What is asked for thermal events by week.
#[must_use]
pub fn thermal_events(filter: &RecordFilter) -> TrendRequest {
    let classification = Some(ClassPattern::Exact(THERMAL.to_owned()));
    let filter = RecordFilter { classification, ..filter.clone() };
    TrendRequest { filter, interval: Interval::Week, by: None, top: 1 }
}

fn read(pairs: &Pairs, now: TimestampUs, mut by: Option<&mut By>) -> Result<Asked, InvalidParameter> {
    let mut own = |name: &str, value: &str| {
        if NOT_HERE.contains(&name) {
            return Err(InvalidParameter::new(name, "is not a parameter here"));
        }
        match &mut by {
            Some(by) if name == "by" => **by = read_by(name, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    };
    let mut asked = aggregation::read(pairs, now, &mut own)?;
    asked.filter = this_year(asked.filter, now);
    Ok(asked)
}

fn read_by(name: &str, value: &str) -> Result<By, InvalidParameter> {
    let found = BY.into_iter().find(|(by, _)| *by == value).map(|(_, by)| by);
    found.ok_or_else(|| InvalidParameter::new(name, "must be week, classification, build, status or machine"))
}

async fn counted(view: &View, query: &Asked, by: By, now: TimestampUs) -> Result<Table, WebError> {
    match by {
        By::Week => {
            let request = checks_by_week(&query.filter);
            Ok(table(&request, trend(view, &request, now).await?))
        }
        By::Classification => of_dimension(view, query, Dimension::Classification).await,
        By::Build => of_dimension(view, query, Dimension::Build).await,
        By::Status => statuses(view, query).await,
        By::Machine => machines(view, query).await,
    }
}

async fn of_dimension(view: &View, query: &Asked, by: Dimension) -> Result<Table, WebError> {
    let counts = counts(view, &hardware::filter_of(&query.filter), by, query.limit).await?;
    let mut table = Table::new(by.columns().iter().copied().chain(["records"]));
    for group in counts.groups {
        table.push(values(group.key).into_iter().chain([group.records.into()]));
    }
    table.has_more(counts.has_more);
    Ok(table)
}

async fn statuses(view: &View, query: &Asked) -> Result<Table, WebError> {
    let mut table = Table::new(["status", "records"]);
    for kind in hardware::statuses(view, &query.filter).await?.into_iter().take(query.limit) {
        let status = Some(kind.status).filter(|status| !status.is_empty());
        table.push([status.into(), kind.records.into()]);
    }
    Ok(table)
}

async fn machines(view: &View, query: &Asked) -> Result<Table, WebError> {
    let mut table = Table::new(["machine_id", "builds", "records"]);
    for machine in hardware::machines(view, &query.filter, query.limit).await? {
        table.push([machine.machine_id.into(), machine.builds.join(",").into(), machine.records.into()]);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_begins_in_january() {
        let now = TimestampUs::from_s(1_795_342_080);
        let from = this_year(RecordFilter::default(), now).received_from.map(|from| from.to_string());
        assert_eq!(from.as_deref(), Some("2026-01-01 00:00:00 UTC"));
        let given = RecordFilter { received_from: Some(TimestampUs(7)), ..RecordFilter::default() };
        assert_eq!(this_year(given.clone(), now), given);
    }

    #[test]
    fn parameters_have_defaults_and_edges() {
        let read = |query: &str| {
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let mut by = By::Week;
            read(&pairs, TimestampUs(0), Some(&mut by)).map(|_| by).map_err(|error| error.name)
        };
        assert_eq!((read(""), read("by=status&build=1")), (Ok(By::Week), Ok(By::Status)));
        for wrong in ["by=payload", "classification=a", "x=1"] {
            assert_eq!(read(wrong).expect_err(wrong), wrong.split('=').next().expect("a name"));
        }
    }
}
