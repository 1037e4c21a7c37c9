//! The query parameters of the records API and of the pages: one parser for both.

use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::records::{Cursor, PAGE_RECORDS_MAX};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::answer::Fields;

use super::export::FORMATS;
use super::filters::FilterReader;
use crate::error::InvalidParameter;
use crate::formats::Format;

/// Query parameters in their order, decoded.
pub type Pairs = [(String, String)];

/// What a request for records asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordsQuery {
    /// Which records.
    pub filter: RecordFilter,
    /// At most this many.
    pub limit: usize,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
    /// Which keys of a record, when a parameter says so.
    pub fields: Option<Fields>,
    /// In which format, when a parameter says so.
    pub format: Option<Format>,
}

/// What a request for an export asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportQuery {
    /// Which records.
    pub filter: RecordFilter,
    /// Which keys of a record, when a parameter says so.
    pub fields: Option<Fields>,
    /// In which format, when a parameter says so.
    pub format: Option<Format>,
}

/// Reads all parameters of `/api/records` at the instant `now`.
///
/// # Errors
/// The first parameter that is unknown, given twice or not as it has to be.
pub fn records_query(pairs: &Pairs, now: TimestampUs) -> Result<RecordsQuery, InvalidParameter> {
    let mut query = RecordsQuery {
        filter: RecordFilter::default(),
        limit: PAGE_RECORDS_MAX,
        cursor: None,
        fields: None,
        format: None,
    };
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => query.limit = limit(name, value, PAGE_RECORDS_MAX)?,
            "cursor" => query.cursor = Some(cursor(name, value)?),
            "fields" => query.fields = Some(fields(name, value)?),
            "format" => query.format = Some(Format::parse(name, value, &Format::ALL)?),
            _ => filter.take(name, value)?,
        }
    }
    query.filter = filter.finish(now);
    Ok(query)
}

/// Reads all parameters of `/api/export` at the instant `now`.
///
/// # Errors
/// As [`records_query`].
pub fn export_query(pairs: &Pairs, now: TimestampUs) -> Result<ExportQuery, InvalidParameter> {
    let mut query = ExportQuery { filter: RecordFilter::default(), fields: None, format: None };
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "fields" => query.fields = Some(fields(name, value)?),
            "format" => query.format = Some(Format::parse(name, value, &FORMATS)?),
            _ => filter.take(name, value)?,
        }
    }
    query.filter = filter.finish(now);
    Ok(query)
}

/// Reads filters alone; parameters named in `others` belong to somebody else, empty values count as not given.
///
/// # Errors
/// As [`records_query`].
pub fn form_filter(pairs: &Pairs, others: &[&str], now: TimestampUs) -> Result<RecordFilter, InvalidParameter> {
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        if !others.contains(&name.as_str()) && !value.is_empty() {
            filter.take(name, value)?;
        }
    }
    Ok(filter.finish(now))
}

/// Reads a number of records from 1 to `max`.
///
/// # Errors
/// When it is none.
pub fn limit(name: &str, value: &str, max: usize) -> Result<usize, InvalidParameter> {
    let wanted = i64::try_from(max).unwrap_or(i64::MAX);
    let number = whole_number(name, value, 1, wanted)?;
    Ok(usize::try_from(number).unwrap_or(max))
}

/// Reads a cursor as an earlier answer gave it.
///
/// # Errors
/// When it is none.
pub fn cursor(name: &str, value: &str) -> Result<Cursor, InvalidParameter> {
    Cursor::parse(value).ok_or_else(|| InvalidParameter::new(name, "must be a cursor that an earlier answer gave"))
}

fn fields(name: &str, value: &str) -> Result<Fields, InvalidParameter> {
    Fields::parse(value).map_err(|unknown| InvalidParameter::new(name, unknown.to_string()))
}

/// Refuses a parameter that is given more than once.
///
/// # Errors
/// The first such parameter.
pub(crate) fn no_duplicates(pairs: &Pairs) -> Result<(), InvalidParameter> {
    let twice = pairs.iter().enumerate().find(|(i, (name, _))| pairs[..*i].iter().any(|(other, _)| other == name));
    twice.map_or(Ok(()), |(_, (name, _))| Err(InvalidParameter::new(name, "is given more than once")))
}

/// Reads a whole number from `min` to `max`.
///
/// # Errors
/// When it is none.
pub(crate) fn whole_number(name: &str, value: &str, min: i64, max: i64) -> Result<i64, InvalidParameter> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    number
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| InvalidParameter::new(name, format!("must be a whole number from {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn query(text: &str) -> Result<RecordsQuery, InvalidParameter> {
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        records_query(&pairs, NOW)
    }

    #[test]
    fn limits_hold_at_their_edges() {
        assert_eq!(query("").expect("valid").limit, 10_000);
        for good in ["limit=1", "limit=50", "limit=10000"] {
            assert!(query(good).is_ok(), "{good}");
        }
        for bad in [
            "limit=0",
            "limit=-1",
            "limit=abc",
            "limit=10001",
            "limit=",
            "severity=7",
            "cursor=x",
            "fields=nonsense",
            "format=xlsx",
            "format=",
            "no_such=1",
            "limit=1&limit=2",
        ] {
            let error = query(bad).expect_err(bad);
            assert_eq!(error.name, bad.split('=').next().expect("a name"), "{bad}");
        }
    }

    #[test]
    fn a_form_sends_empty_values_for_what_is_not_set() {
        let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
        let filter = form_filter(&pairs("classification=&severity=&page=2"), &["page"], NOW).expect("valid");
        assert!(filter.is_empty());
        assert!(form_filter(&pairs("page=2"), &[], NOW).is_err());
    }
}
