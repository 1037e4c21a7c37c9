//! `GET /api/crashes` and `/api/crashes/{guilty_id}`: crashes by their cause.
//!
//! The cause of a crash is its guilty frame, by the filters that users curate. A machine changes its id every three days:
//! `machines` counts ids, and `machines_at_least` says how many machines they are at least, by when they crashed first
//! and last.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use telemetrics_analytics::crashes::Frame;
use telemetrics_analytics::judgement::machine_bounds;
use telemetrics_analytics::questions::crashes::{GUILTIES_MAX, Group, OfBuild, Wanted, crashes};
use telemetrics_analytics::questions::guilty::{self, OfMachine, OfStack};
use telemetrics_schema::payload::Filters;
use telemetrics_schema::time::US_PER_DAY;

use super::aggregation::{self, Table, instant};
use super::params::Pairs;
use super::said::Said;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// Most guilties of an answer when nobody says it.
const GUILTIES_DEFAULT: usize = 100;
/// Most stacks and machines of an answer about one guilty when nobody says it.
const PARTS_DEFAULT: usize = 100;

/// Guilties that users hide: shown only when somebody asks for them.
const HIDDEN: &str = "hidden";

/// The causes with most records, the largest first.
///
/// # Errors
/// 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/crashes",
    operation_id = "crashes",
    summary = "Crashes by their cause",
    tag = "aggregations",
    params(
        parameters::OfCrashes,
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Rows,
    ),
    responses((status = 200, description = "The rows.", content((answers::CrashRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn list(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let (query, shows_hidden) = read(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let said = Said::now(&state).await?;
    let nothing = HashSet::new();
    let without = if shows_hidden { &nothing } else { &said.hidden };
    let limit = if pairs.iter().any(|(name, _)| name == "limit") { query.limit } else { GUILTIES_DEFAULT };
    let wanted = Wanted::Largest(limit.min(GUILTIES_MAX), without);
    let found = crashes(&asked.view, said.causes(&state), &query.filter, wanted).await?;
    let mut table = Table::new(COLUMNS);
    for group in &found.groups {
        table.push(row(group, &said));
    }
    table.has_more(found.has_more);
    Ok(with_pending(table.into_response(query.format(&headers)), asked.pending))
}

const COLUMNS: [&str; 13] = [
    "guilty_id",
    "function",
    "module",
    "comment",
    "hidden",
    "records",
    "machines",
    "machines_at_least",
    "stacks",
    "first_seen",
    "last_seen",
    "builds",
    "classifications",
];

fn row(group: &Group, said: &Said) -> [Value; 13] {
    let classifications = group.classifications.iter();
    let classifications =
        classifications.map(|(name, records)| json!({"classification": name, "records": records})).collect::<Vec<_>>();
    [
        group.guilty.id.into(),
        group.guilty.function.clone().into(),
        group.guilty.module.clone().into(),
        said.comment_on(&group.guilty).into(),
        said.hidden.contains(&group.guilty.id).into(),
        group.records.into(),
        group.machines.into(),
        machine_bounds(group.machines, days_seen(group)).at_least.into(),
        group.stack_ids.len().into(),
        instant(group.first_seen),
        instant(group.last_seen),
        group.builds.iter().map(of_build).collect::<Vec<_>>().into(),
        classifications.into(),
    ]
}

/// How long the group was seen, begun days included.
fn days_seen(group: &Group) -> u64 {
    let length_us = group.last_seen.0 - group.first_seen.0;
    u64::try_from(length_us).unwrap_or(0).div_ceil(US_PER_DAY.unsigned_abs())
}

fn of_build(of: &OfBuild) -> Value {
    json!({"system_name": of.system_name, "build": of.build, "records": of.records, "machines": of.machines})
}

fn read(pairs: &Pairs, now: telemetrics_schema::TimestampUs) -> Result<(aggregation::Asked, bool), InvalidParameter> {
    let mut shows_hidden = false;
    let mut own = |name: &str, value: &str| {
        if name == HIDDEN {
            shows_hidden = match value {
                "show" => true,
                "leave_out" => false,
                _ => return Err(InvalidParameter::new(name, "must be show or leave_out")),
            };
        }
        Ok(name == HIDDEN)
    };
    let asked = aggregation::read(pairs, now, &mut own)?;
    Ok((asked, shows_hidden))
}

#[derive(Serialize)]
struct Details {
    guilty: Value,
    builds: Vec<Value>,
    machines: Vec<Value>,
    stacks: Vec<Value>,
}

/// One cause: its builds, the machines and the stacks with most records.
///
/// # Errors
/// 404 when no crash that passes the filters has it, 400 names the parameter that cannot be used.
#[utoipa::path(
    get,
    path = "/api/crashes/{guilty_id}",
    operation_id = "guilty",
    summary = "One cause of crashes",
    tag = "aggregations",
    params(
        ("guilty_id" = i64, Path, description = "Identity of the guilty, as in the list.", minimum = 0),
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::Limit,
    ),
    responses((status = 200, description = "The cause.", body = answers::GuiltyDetails), answers::Missing, answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let missing = || WebError::NotFound(format!("No crash has the guilty {id}."));
    let guilty_id: i64 = id.parse().map_err(|_| missing())?;
    if pairs.iter().any(|(name, _)| name == "format") {
        return Err(InvalidParameter::new("format", "is not a parameter here").into());
    }
    let query = aggregation::read(&pairs, now, &mut |_, _| Ok(false))?;
    let parts = if pairs.iter().any(|(name, _)| name == "limit") { query.limit } else { PARTS_DEFAULT };
    let asked = state.ask_at(now).await?;
    let said = Said::now(&state).await?;
    let (view, filter, causes) = (&asked.view, &query.filter, said.causes(&state));
    let group = crashes(view, causes, filter, Wanted::One(guilty_id)).await?.groups.pop().ok_or_else(missing)?;
    let (by_stack, by_machine) = tokio::try_join!(
        guilty::by_stack(view, causes, filter, &group.stack_ids, parts),
        guilty::by_machine(view, filter, &group.stack_ids, parts),
    )?;
    let mut summary: serde_json::Map<String, Value> =
        COLUMNS.iter().map(|name| (*name).to_owned()).zip(row(&group, &said)).collect();
    summary.remove("builds");
    let details = Details {
        guilty: summary.into(),
        builds: group.builds.iter().map(of_build).collect(),
        machines: by_machine.iter().map(of_machine).collect(),
        stacks: by_stack.iter().map(|of| of_stack(of, &said.filters)).collect(),
    };
    Ok(with_pending(Json(details).into_response(), asked.pending))
}

fn of_machine(of: &OfMachine) -> Value {
    json!({"machine_id": of.machine_id, "system_name": of.system_name, "build": of.build, "records": of.records})
}

fn of_stack(of: &OfStack, filters: &Filters) -> Value {
    let guilty = of.stack.guilty(filters).map(|(place, ..)| place);
    let frame = |(place, frame): (usize, &Frame)| {
        json!({"function": &*frame.function, "module": &*frame.module, "source": &*frame.source,
               "guilty": Some(place) == guilty})
    };
    json!({
        "stack_id": of.stack_id,
        "records": of.records,
        "machines": of.machines,
        "builds": of.builds,
        "first_seen": of.first_seen.rfc3339(),
        "last_seen": of.last_seen.rfc3339(),
        "frames": of.stack.frames.iter().enumerate().map(frame).collect::<Vec<_>>(),
    })
}
