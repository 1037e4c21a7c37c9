//! What all endpoints that count have in common: their parameters and the form of their answers.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::counts::GROUPS_MAX;
use telemetrics_analytics::questions::keys::Key;
use telemetrics_schema::TimestampUs;

use super::filters::FilterReader;
use super::params::{Pairs, limit, no_duplicates};
use crate::error::InvalidParameter;
use crate::formats::csv_cell::{ROW_END, write_text};
use crate::formats::{Choice, Format};

/// Says that an answer lacks its smallest groups, because there are more than it may have.
pub(super) const MORE: &str = "x-telemetrics-more";

/// The formats of an answer.
const FORMATS: [Format; 2] = [Format::Json, Format::Csv];

/// What every endpoint reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// Which records are counted.
    pub(super) filter: RecordFilter,
    /// At most so many rows.
    pub(super) limit: usize,
    /// In which format, when a parameter says so.
    format: Option<Format>,
}

impl Asked {
    /// The format of the answer to a request with these headers.
    pub(super) fn format(&self, headers: &HeaderMap) -> Format {
        Choice::of(self.format, &FORMATS, headers).format
    }
}

/// Takes a parameter that only one endpoint has; `false` when it is none.
pub(super) type Own<'a> = dyn FnMut(&str, &str) -> Result<bool, InvalidParameter> + 'a;

/// Reads the parameters of an endpoint at the instant `now`: its `own` ones, `limit`, `format`, and the filters of records.
///
/// # Errors
/// The first parameter that is unknown, given twice or not as it has to be.
pub(super) fn read(pairs: &Pairs, now: TimestampUs, own: &mut Own<'_>) -> Result<Asked, InvalidParameter> {
    let (mut rows, mut format) = (GROUPS_MAX, None);
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            _ if own(name, value)? => {}
            "format" => format = Some(Format::parse(name, value, &FORMATS)?),
            "limit" => rows = limit(name, value, GROUPS_MAX)?,
            _ => filter.take(name, value)?,
        }
    }
    Ok(Asked { filter: filter.finish(now), limit: rows, format })
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

    /// The answer in one of the formats that there are.
    pub(super) fn into_response(self, format: Format) -> Response {
        let body = match format {
            Format::Csv => self.csv(),
            _ => self.json().into_bytes(),
        };
        let content_type = HeaderValue::from_static(format.content_type());
        let vary = HeaderValue::from_static("Accept");
        let mut response = ([(header::CONTENT_TYPE, content_type), (header::VARY, vary)], body).into_response();
        if self.has_more {
            response.headers_mut().insert(MORE, HeaderValue::from_static("true"));
        }
        response
    }

    /// A row of names, then the rows. What is null is empty.
    fn csv(&self) -> Vec<u8> {
        let mut out = self.columns.join(",").into_bytes();
        out.extend_from_slice(ROW_END);
        for row in &self.rows {
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_cell(value, &mut out);
            }
            out.extend_from_slice(ROW_END);
        }
        out
    }

    /// `{"rows": [{...}, ...]}`, with keys in the order of the columns: people read it, too.
    fn json(&self) -> String {
        let row = |row: &Vec<Value>| {
            let pairs = self.columns.iter().zip(row).map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        format!("{{\"rows\":[{}]}}", rows.join(","))
    }
}

fn write_cell(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::String(text) => write_text(text, out),
        other => out.extend_from_slice(other.to_string().as_bytes()),
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
    fn a_sheet_has_names_and_no_formulas() {
        let mut table = Table::new(["system_name", "build", "records"]);
        table.push(["a,\"b\"".into(), Value::Null, 7.into()]);
        table.push(["=1+1".into(), "-1".into(), 0.into()]);
        let text = String::from_utf8(table.csv()).expect("UTF-8");
        assert_eq!(text, "system_name,build,records\r\n\"a,\"\"b\"\"\",,7\r\n'=1+1,'-1,0\r\n");
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
        for (wrong, name) in [
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("a=b", "a"),
            ("format=parquet", "format"),
            ("limit=1&limit=1", "limit"),
        ] {
            let error = read(&pairs(wrong), TimestampUs(0), &mut |_, _| Ok(false)).expect_err(wrong);
            assert_eq!(error.name, name);
        }
    }
}
