//! `GET /api/crash-rate`: crashes and crashing machines per 1,000 machines that sent a heartbeat, by build.
//!
//! It is about one system (`system_name`; else the one with most records lately) and looks back `days` (14) where no other
//! window is given. `by=classification` tells classes apart. Machine ids change every three days: machines are counted by
//! their ids, and `..._at_least` says how many they are at least. `docs/crash-statistics.md` explains the intervals.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::judgement::{BuildRates, Cause, Rate, machine_bounds, rates};
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::systems;
use telemetrics_analytics::{View, build_order};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::time::US_PER_DAY;

use super::aggregation::{self, Asked, Table};
use super::params::{Pairs, whole_number};
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// How far it looks back when nobody says it, in days.
const DAYS_DEFAULT: i64 = 14;
/// Most days that it looks back: as long as retention can be.
pub(super) const DAYS_MAX: i64 = 36_500;

const COLUMNS: [&str; 7] = [
    "machines",
    "machines_at_least",
    "machine_days",
    "crashing_machines",
    "crashing_machines_at_least",
    "crashing_machine_days",
    "records",
];
const RATES: [&str; 6] = [
    "crashing_machines_per_1000",
    "crashing_machines_per_1000_low",
    "crashing_machines_per_1000_high",
    "records_per_1000",
    "records_per_1000_low",
    "records_per_1000_high",
];

/// `{"rows": [{"system_name", "build", "machines", ..., "records_per_1000_high"}, ...]}`, newest build first.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/crash-rate",
    operation_id = "crash_rate",
    summary = "Crash rates by build",
    tag = "aggregations",
    params(
        parameters::OfCrashRates,
        parameters::Days,
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::CrashRateRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let (query, by_class) = read(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let table = answer(&asked.view, &query, by_class, now).await?;
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

fn read(pairs: &Pairs, now: TimestampUs) -> Result<(Asked, bool), InvalidParameter> {
    let (mut days, mut by_class) = (None, false);
    let mut own = |name: &str, value: &str| {
        match (name, value) {
            ("days", _) => days = Some(whole_number(name, value, 1, DAYS_MAX)?),
            ("by", "classification") => by_class = true,
            ("by", _) => return Err(InvalidParameter::new(name, "must be classification")),
            _ => return Ok(false),
        }
        Ok(true)
    };
    let mut asked = aggregation::read(pairs, now, &mut own)?;
    asked.filter.received_from = begin(&asked.filter, days, DAYS_DEFAULT, now);
    Ok((asked, by_class))
}

/// Where the window begins: in every window that is given, else `default_days` before now.
pub(super) fn begin(
    filter: &RecordFilter,
    days: Option<i64>,
    default_days: i64,
    now: TimestampUs,
) -> Option<TimestampUs> {
    let before = |days: i64| TimestampUs(now.0 - days * US_PER_DAY);
    filter.received_from.max(days.map(before)).or(Some(before(default_days)))
}

async fn answer(view: &View, query: &Asked, by_class: bool, now: TimestampUs) -> Result<Table, WebError> {
    let keys = ["system_name", "build"].into_iter().chain(by_class.then_some("classification"));
    let mut table = Table::new(keys.chain(COLUMNS).chain(RATES));
    let Some((system_name, filter)) = of_one_system(view, &query.filter, now).await? else { return Ok(table) };
    let window_days = window_days(&filter, now);
    let rates = rates(&tables(view, &filter, Scope::Crashes).await?);
    let mut rows: Vec<&BuildRates> =
        rates.iter().filter(|rates| (rates.cause != Cause::AnyCrash) == by_class).collect();
    rows.sort_by(|a, b| build_order(&b.exposure.build, &a.exposure.build));
    for rates in rows.iter().take(query.limit) {
        table.push(row(&system_name, rates, window_days));
    }
    table.has_more(rows.len() > query.limit);
    Ok(table)
}

/// The system that the question is about, and the filter with it; `None` when there are no records at all.
pub(super) async fn of_one_system(
    view: &View,
    filter: &RecordFilter,
    now: TimestampUs,
) -> Result<Option<(String, RecordFilter)>, WebError> {
    let system_name = match &filter.system_name {
        Some(system_name) => Some(system_name.clone()),
        None => systems::usual(view, now).await?,
    };
    Ok(system_name.map(|name| (name.clone(), RecordFilter { system_name: Some(name), ..filter.clone() })))
}

/// How long the window is, begun days included.
pub(super) fn window_days(filter: &RecordFilter, now: TimestampUs) -> u64 {
    let end = filter.received_before.map_or(now, |before| before.min(now));
    let length_us = filter.received_from.map_or(0, |from| end.0 - from.0);
    u64::try_from(length_us).unwrap_or(0).div_ceil(US_PER_DAY.unsigned_abs())
}

fn row(system_name: &str, rates: &BuildRates, window_days: u64) -> Vec<Value> {
    let BuildRates { exposure, cause, counts, machines, records } = rates;
    let at_least = |ids: u64| machine_bounds(ids, window_days).at_least;
    let class = if let Cause::Class(class) = cause { Some(class.as_str().into()) } else { None };
    let keys = [system_name.into(), exposure.build.as_str().into()].into_iter().chain(class);
    let counts: [Value; 7] = [
        exposure.machines.into(),
        at_least(exposure.machines).into(),
        exposure.machine_days.into(),
        counts.machines.into(),
        at_least(counts.machines).into(),
        counts.machine_days.into(),
        counts.records.into(),
    ];
    keys.chain(counts).chain(with_ends(machines)).chain(with_ends(records)).collect()
}

/// The rate and the ends of its interval, which are null where it has none.
fn with_ends(rate: &Rate) -> [Value; 3] {
    let end = |end: Option<f64>| end.map_or(Value::Null, |end| rounded(end).into());
    [
        rounded(rate.per_1000).into(),
        end(rate.interval.map(|interval| interval.low)),
        end(rate.interval.map(|interval| interval.high)),
    ]
}

/// As precise as anybody can use it: six decimals.
pub(super) fn rounded(value: f64) -> f64 {
    const STEP: f64 = 1e6;
    (value * STEP).round() / STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn from_days(query: &str) -> Result<(i64, bool), InvalidParameter> {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let (asked, by_class) = read(&pairs, NOW)?;
        Ok(((NOW.0 - asked.filter.received_from.expect("a window").0) / US_PER_DAY, by_class))
    }

    #[test]
    fn the_window_is_what_is_given_or_two_weeks() {
        assert_eq!(from_days(""), Ok((14, false)));
        assert_eq!(from_days("days=1&by=classification"), Ok((1, true)));
        assert_eq!(from_days("days=36500"), Ok((36_500, false)));
        assert_eq!(from_days("created_in_days=30"), Ok((30, false)));
        assert_eq!(from_days("created_in_days=30&days=7"), Ok((7, false)));
        for wrong in ["days=0", "days=36501", "by=build", "no_such=1"] {
            assert_eq!(from_days(wrong).expect_err(wrong).name, wrong.split('=').next().expect("a name"));
        }
    }

    #[test]
    fn a_window_is_as_long_as_the_days_that_it_touches() {
        let window = |from_us: i64, before: Option<i64>| {
            let at = |us: i64| TimestampUs(NOW.0 + us);
            window_days(
                &RecordFilter {
                    received_from: Some(at(from_us)),
                    received_before: before.map(at),
                    ..RecordFilter::default()
                },
                NOW,
            )
        };
        assert_eq!(window(-3 * US_PER_DAY, None), 3);
        assert_eq!(window(-3 * US_PER_DAY - 1, Some(US_PER_DAY)), 4, "the future has no ids");
        assert_eq!(window(-3 * US_PER_DAY, Some(-2 * US_PER_DAY)), 1);
        assert_eq!((window(0, None), window(7, None)), (0, 0));
    }
}
