//! `GET /api/trends`: records over time, in all or for the largest groups, empty buckets included.
//!
//! `interval` is `hour`, `day` or `week` (`day` when it is not given), `by` names what `top` groups (10) are told apart.
//! All others are counted together, in rows whose key is null. `guilty_id` asks for one guilty alone. Without a window the
//! first bucket is that of the first record that is retained; the last one is that of now.

use std::collections::HashSet;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use telemetrics_analytics::questions::guilty;
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::trends::{Interval, SeriesOf, TOP_MAX, Trend, TrendRequest, trend};
use telemetrics_schema::TimestampUs;

use super::aggregation::{self, Asked, Table, instant, values};
use super::params::{Pairs, limit, whole_number};
use super::said::Said;
use super::with_pending;
use crate::error::{InvalidParameter, WebError};
use crate::openapi::{answers, parameters};
use crate::state::AppState;

/// How many groups are told apart when nobody says it.
const TOP_DEFAULT: usize = 10;

const INTERVALS: [Interval; 3] = [Interval::Hour, Interval::Day, Interval::Week];

/// What `by` may be.
const DIMENSIONS: [(&str, Dimension); 4] = [
    ("classification", Dimension::Classification),
    ("build", Dimension::Build),
    ("severity", Dimension::Severity),
    ("system_name", Dimension::System),
];

/// `{"rows": [{"start", ..., "records"}, ...]}`, by time, the largest group first; in between stand the columns of `by`.
///
/// # Errors
/// 400 names the parameter that cannot be used, or says that there would be too many buckets.
#[utoipa::path(
    get,
    path = "/api/trends",
    operation_id = "trends",
    summary = "Records over time",
    tag = "aggregations",
    params(
        parameters::OfTrends,
        parameters::OfClass,
        parameters::OfWindow,
        parameters::OfRecord,
        parameters::OfMachine,
        parameters::FormatOfTable,
    ),
    responses((status = 200, description = "The rows.", content((answers::TrendRows = "application/json"), (String = "text/csv"))), answers::Refused),
)]
pub async fn show(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, WebError> {
    let now = state.clock.now();
    let Read { request, guilties, common } = request(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let table = match guilties {
        Some(guilties) => guilties_over_time(&state, &asked, &request, guilties).await?,
        None => table(&request, trend(&asked.view, &request, now).await?),
    };
    Ok(with_pending(table.into_response(common.format(&headers)), asked.pending))
}

/// The guilties that users do not hide, or the one that is named, which they may.
async fn guilties_over_time(
    state: &AppState,
    asked: &crate::state::Asked,
    request: &TrendRequest,
    guilties: Guilties,
) -> Result<Table, WebError> {
    let said = Said::now(state).await?;
    let (nothing, only) = (HashSet::new(), guilties.only);
    let without = if only.is_some() { &nothing } else { &said.hidden };
    let TrendRequest { filter, interval, top, .. } = request;
    let request = guilty::TrendRequest { filter, interval: *interval, top: *top, without, only };
    let trend = guilty::trend(&asked.view, said.causes(state), &request, asked.now).await?;
    let mut table = Table::new(["start", "guilty_id", "function", "module", "records"]);
    let has_others = trend.others.iter().any(|records| *records > 0);
    for (bucket, begin) in trend.buckets.iter().enumerate() {
        for (guilty, records) in &trend.guilties {
            let key = [guilty.id.into(), guilty.function.clone().into(), guilty.module.clone().into()];
            table.push([instant(*begin)].into_iter().chain(key).chain([records[bucket].into()]));
        }
        if has_others {
            table.push([instant(*begin), Value::Null, Value::Null, Value::Null, trend.others[bucket].into()]);
        }
    }
    Ok(table)
}

/// What the parameters say.
#[derive(Debug)]
struct Read {
    request: TrendRequest,
    /// Where it is about guilties, which are no column of the records.
    guilties: Option<Guilties>,
    common: Asked,
}

/// Which guilties a trend is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guilties {
    only: Option<i64>,
}

/// The value of `by` for guilties.
const GUILTY: &str = "guilty";
/// The parameter that names one guilty.
const GUILTY_ID: &str = "guilty_id";

fn request(pairs: &Pairs, now: TimestampUs) -> Result<Read, InvalidParameter> {
    let (mut interval, mut by, mut by_guilty, mut only, mut top) = (Interval::Day, None, false, None, None);
    let mut own = |name: &str, value: &str| {
        match name {
            "interval" => interval = read_interval(name, value)?,
            "by" if value == GUILTY => by_guilty = true,
            "by" => by = Some(read_dimension(name, value)?),
            GUILTY_ID => only = Some(whole_number(name, value, 0, i64::MAX)?),
            "top" => top = Some(limit(name, value, TOP_MAX)?),
            // The rows are as many as the window has buckets: fewer would be another window.
            "limit" => return Err(InvalidParameter::new(name, "is not a parameter here")),
            _ => return Ok(false),
        }
        Ok(true)
    };
    let asked = aggregation::read(pairs, now, &mut own)?;
    if top.is_some() && by.is_none() && !by_guilty {
        return Err(InvalidParameter::new("top", "needs by, which says of what"));
    }
    if only.is_some() && !by_guilty {
        return Err(InvalidParameter::new(GUILTY_ID, "needs by=guilty"));
    }
    let request = TrendRequest { filter: asked.filter.clone(), interval, by, top: top.unwrap_or(TOP_DEFAULT) };
    Ok(Read { request, guilties: by_guilty.then_some(Guilties { only }), common: asked })
}

fn read_interval(name: &str, value: &str) -> Result<Interval, InvalidParameter> {
    let found = INTERVALS.into_iter().find(|interval| interval.name() == value);
    found.ok_or_else(|| InvalidParameter::new(name, "must be hour, day or week"))
}

fn read_dimension(name: &str, value: &str) -> Result<Dimension, InvalidParameter> {
    let found = DIMENSIONS.into_iter().find(|(name, _)| *name == value).map(|(_, dimension)| dimension);
    found.ok_or_else(|| InvalidParameter::new(name, "must be classification, build, severity, system_name or guilty"))
}

/// The rows of a trend.
pub(super) fn table(request: &TrendRequest, trend: Trend) -> Table {
    let keys = request.by.map_or(&[][..], Dimension::columns);
    let mut table = Table::new(["start"].into_iter().chain(keys.iter().copied()).chain(["records"]));
    let series: Vec<(Vec<Value>, Vec<u64>)> = trend
        .series
        .into_iter()
        .map(|series| match series.of {
            SeriesOf::Key(key) => (values(key), series.records),
            SeriesOf::All | SeriesOf::Rest => (vec![Value::Null; keys.len()], series.records),
        })
        .collect();
    for (bucket, begin) in trend.buckets.iter().enumerate() {
        for (key, records) in &series {
            let number = records.get(bucket).copied().unwrap_or(0);
            table.push([instant(*begin)].into_iter().chain(key.iter().cloned()).chain([number.into()]));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<TrendRequest, InvalidParameter> {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Ok(request(&pairs, TimestampUs::from_s(1_795_342_080))?.request)
    }

    #[test]
    fn parameters_have_defaults_and_edges() {
        let default = read("").expect("valid");
        assert_eq!((default.interval, default.by, default.top), (Interval::Day, None, 10));
        let given = read("interval=week&by=build&top=20&severity=4").expect("valid");
        assert_eq!((given.interval, given.by, given.top), (Interval::Week, Some(Dimension::Build), 20));
        assert_eq!(given.filter.severities, [4]);
        for wrong in [
            "interval=month",
            "by=payload",
            "top=0&by=build",
            "top=21&by=build",
            "top=3",
            "guilty_id=7",
            "guilty_id=7&by=build",
            "guilty_id=-1&by=guilty",
            "limit=3",
            "x=1",
        ] {
            let error = read(wrong).expect_err(wrong);
            assert_eq!(error.name, wrong.split('=').next().expect("a name"));
        }
    }

    #[test]
    fn one_guilty_may_be_named() {
        let guilties = |query: &str| {
            let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            request(&pairs, TimestampUs::from_s(1_795_342_080)).expect("valid").guilties
        };
        assert_eq!((guilties("by=build"), guilties("by=guilty")), (None, Some(Guilties { only: None })));
        let largest = i64::MAX;
        assert_eq!(guilties(&format!("by=guilty&guilty_id={largest}")), Some(Guilties { only: Some(largest) }));
    }
}
