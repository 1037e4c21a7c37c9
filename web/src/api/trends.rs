//! `GET /api/trends`: records over time, in all or for the largest groups, empty buckets included.
//!
//! `interval` is `hour`, `day` or `week` (`day` when it is not given), `by` names what `top` groups (10) are told apart.
//! All others are counted together, in rows whose key is null. Without a window the first bucket is that of the first
//! record that is retained; the last one is that of now.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::Value;
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::trends::{Interval, SeriesOf, TOP_MAX, Trend, TrendRequest, trend};
use telemetrics_schema::TimestampUs;

use super::aggregation::{self, Asked, Table, instant, values};
use super::params::{Pairs, limit};
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
    let (request, common) = request(&pairs, now)?;
    let asked = state.ask_at(now).await?;
    let trend = trend(&asked.view, &request, now).await?;
    let response = table(&request, trend).into_response(common.format(&headers));
    Ok(with_pending(response, asked.pending))
}

fn request(pairs: &Pairs, now: TimestampUs) -> Result<(TrendRequest, Asked), InvalidParameter> {
    let (mut interval, mut by, mut top) = (Interval::Day, None, None);
    let mut own = |name: &str, value: &str| {
        match name {
            "interval" => interval = read_interval(name, value)?,
            "by" => by = Some(read_dimension(name, value)?),
            "top" => top = Some(limit(name, value, TOP_MAX)?),
            // The rows are as many as the window has buckets: fewer would be another window.
            "limit" => return Err(InvalidParameter::new(name, "is not a parameter here")),
            _ => return Ok(false),
        }
        Ok(true)
    };
    let asked = aggregation::read(pairs, now, &mut own)?;
    if top.is_some() && by.is_none() {
        return Err(InvalidParameter::new("top", "needs by, which says of what"));
    }
    let request = TrendRequest { filter: asked.filter.clone(), interval, by, top: top.unwrap_or(TOP_DEFAULT) };
    Ok((request, asked))
}

fn read_interval(name: &str, value: &str) -> Result<Interval, InvalidParameter> {
    let found = INTERVALS.into_iter().find(|interval| interval.name() == value);
    found.ok_or_else(|| InvalidParameter::new(name, "must be hour, day or week"))
}

fn read_dimension(name: &str, value: &str) -> Result<Dimension, InvalidParameter> {
    let found = DIMENSIONS.into_iter().find(|(name, _)| *name == value).map(|(_, dimension)| dimension);
    found.ok_or_else(|| InvalidParameter::new(name, "must be classification, build, severity or system_name"))
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
        Ok(request(&pairs, TimestampUs::from_s(1_795_342_080))?.0)
    }

    #[test]
    fn parameters_have_defaults_and_edges() {
        let default = read("").expect("valid");
        assert_eq!((default.interval, default.by, default.top), (Interval::Day, None, 10));
        let given = read("interval=week&by=build&top=20&severity=4").expect("valid");
        assert_eq!((given.interval, given.by, given.top), (Interval::Week, Some(Dimension::Build), 20));
        assert_eq!(given.filter.severities, [4]);
        for wrong in ["interval=month", "by=payload", "top=0&by=build", "top=21&by=build", "top=3", "limit=3", "x=1"] {
            let error = read(wrong).expect_err(wrong);
            assert_eq!(error.name, wrong.split('=').next().expect("a name"));
        }
    }
}
