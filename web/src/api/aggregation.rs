//! What all endpoints that count have in common: their parameters and the form of their answers.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::counts::GROUPS_MAX;
use telemetrics_analytics::questions::keys::Key;
use telemetrics_schema::TimestampUs;

use super::filters::FilterReader;
use super::params::{Pairs, limit, no_duplicates};
use crate::error::InvalidParameter;

/// Says that an answer lacks its smallest groups, because there are more than it may have.
pub(super) const MORE: &str = "x-telemetrics-more";

/// What every endpoint reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// Which records are counted.
    pub(super) filter: RecordFilter,
    /// At most so many rows.
    pub(super) limit: usize,
}

/// Takes a parameter that only one endpoint has; `false` when it is none.
pub(super) type Own<'a> = dyn FnMut(&str, &str) -> Result<bool, InvalidParameter> + 'a;

/// Reads the parameters of an endpoint at the instant `now`: its `own` ones, `limit`, and the filters of records.
///
/// # Errors
/// The first parameter that is unknown, given twice or not as it has to be.
pub(super) fn read(pairs: &Pairs, now: TimestampUs, own: &mut Own<'_>) -> Result<Asked, InvalidParameter> {
    let mut rows = GROUPS_MAX;
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            _ if own(name, value)? => {}
            "limit" => rows = limit(name, value, GROUPS_MAX)?,
            _ => filter.take(name, value)?,
        }
    }
    Ok(Asked { filter: filter.finish(now), limit: rows })
}

/// The rows of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    /// Names of the columns.
    columns: Vec<&'static str>,
    /// As many values in each as there are columns.
    rows: Vec<Vec<Value>>,
    /// Whether there are more.
    has_more: bool,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = &'static str>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new(), has_more: false }
    }

    /// Adds a row, whose values are in the order of the columns.
    pub(super) fn push(&mut self, values: impl IntoIterator<Item = Value>) {
        self.rows.push(values.into_iter().collect());
    }

    /// Says whether there are more rows than these.
    pub(super) fn has_more(&mut self, has_more: bool) {
        self.has_more = has_more;
    }

    /// The answer: `{"rows": [{...}, ...]}`.
    pub(super) fn into_response(self) -> Response {
        let mut response = ([(header::CONTENT_TYPE, "application/json")], self.json()).into_response();
        if self.has_more {
            response.headers_mut().insert(MORE, HeaderValue::from_static("true"));
        }
        response
    }

    /// Keys in the order of the columns: people read it, too.
    fn json(&self) -> String {
        let row = |row: &Vec<Value>| {
            let pairs = self.columns.iter().zip(row).map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        format!("{{\"rows\":[{}]}}", rows.join(","))
    }
}

/// A key as values, in the order of its dimension's columns.
pub(super) fn values(key: Key) -> Vec<Value> {
    match key {
        Key::Build { system_name, build } => vec![system_name.into(), build.into()],
        Key::Classification(text) | Key::Platform(text) | Key::System(text) => vec![text.into()],
        Key::Severity(severity) => vec![severity.into()],
    }
}

/// An instant as the parameters of windows take it.
pub(super) fn instant(instant: TimestampUs) -> Value {
    instant.rfc3339().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_objects_with_the_columns_in_their_order() {
        let mut table = Table::new(["system_name", "build", "records"]);
        assert_eq!(table.json(), r#"{"rows":[]}"#);
        table.push(["it's \"x\"".into(), Value::Null, 7.into()]);
        table.push(["\0".into(), "".into(), 0.into()]);
        assert_eq!(
            table.json(),
            r#"{"rows":[{"system_name":"it's \"x\"","build":null,"records":7},{"system_name":"\u0000","build":"","records":0}]}"#
        );
    }

    #[test]
    fn an_own_parameter_goes_before_filters() {
        let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
        let mut days = None;
        let mut own = |name: &str, value: &str| {
            let is_mine = name == "days";
            days = is_mine.then(|| value.to_owned()).or(days.take());
            Ok(is_mine)
        };
        let asked = read(&pairs("days=3&severity=2&limit=10000"), TimestampUs(0), &mut own).expect("valid");
        assert_eq!((asked.limit, asked.filter.severities), (10_000, vec![2]));
        assert_eq!(days.as_deref(), Some("3"));
        for (wrong, name) in
            [("limit=0", "limit"), ("limit=10001", "limit"), ("a=b", "a"), ("limit=1&limit=1", "limit")]
        {
            let error = read(&pairs(wrong), TimestampUs(0), &mut |_, _| Ok(false)).expect_err(wrong);
            assert_eq!(error.name, name);
        }
    }
}
