//! The query parameters of the records API and of the pages: one parser for both.

use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::records::{Cursor, PAGE_RECORDS_MAX};
use telemetrics_schema::answer::Fields;
use telemetrics_schema::time::US_PER_S;
use telemetrics_schema::{RecordId, TimestampUs};

use super::export::FORMATS;
use crate::error::InvalidParameter;
use crate::formats::Format;

/// Longest `machine_id`, in characters.
const MACHINE_ID_CHARS_MAX: usize = 32;
/// Longest `build`, in characters.
const BUILD_CHARS_MAX: usize = 256;
/// Longest time that `created_in_sec` may look back, in seconds: some thousand years, so that no sum overflows.
const LOOK_BACK_S_MAX: i64 = 100_000_000_000;
/// Latest `ts_capture`, in Unix seconds: the end of 2299, as for records.
const CAPTURE_S_MAX: i64 = 10_413_791_999;
const S_PER_DAY: i64 = 86_400;

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
    /// Which keys of a record.
    pub fields: Fields,
    /// In which format, when a parameter says so.
    pub format: Option<Format>,
}

/// What a request for an export asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportQuery {
    /// Which records.
    pub filter: RecordFilter,
    /// Which keys of a record.
    pub fields: Fields,
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
        fields: Fields::all(),
        format: None,
    };
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => query.limit = limit(name, value, PAGE_RECORDS_MAX)?,
            "cursor" => query.cursor = Some(cursor(name, value)?),
            "fields" => query.fields = fields(name, value)?,
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
    let mut query = ExportQuery { filter: RecordFilter::default(), fields: Fields::all(), format: None };
    let mut filter = FilterReader::default();
    no_duplicates(pairs)?;
    for (name, value) in pairs {
        match name.as_str() {
            "fields" => query.fields = fields(name, value)?,
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

/// Collects filters; windows relative to now are settled at the end, because days win over seconds.
#[derive(Default)]
struct FilterReader {
    filter: RecordFilter,
    within_days_s: Option<i64>,
    within_s: Option<i64>,
}

impl FilterReader {
    fn take(&mut self, name: &str, value: &str) -> Result<(), InvalidParameter> {
        let filter = &mut self.filter;
        match name {
            "classification" => {
                let pattern = ClassPattern::parse(value).map_err(|reason| InvalidParameter::new(name, reason))?;
                filter.classification = Some(pattern);
            }
            "severity" => filter.severities = severities(name, value)?,
            "machine_id" => filter.machine_id = Some(text(name, value, MACHINE_ID_CHARS_MAX)?),
            "build" => filter.builds = builds(name, value)?,
            "system_name" | "os_name" => filter.system_name = Some(text(name, value, 140)?),
            "event_id" => filter.event_id = Some(text(name, value, 32)?),
            "created_in_days" => {
                self.within_days_s = Some(whole_number(name, value, 0, LOOK_BACK_S_MAX / S_PER_DAY)? * S_PER_DAY);
            }
            "created_in_sec" => self.within_s = Some(whole_number(name, value, 0, LOOK_BACK_S_MAX)?),
            "from_id" => filter.from_id = Some(RecordId(whole_number(name, value, 0, RecordId::MAX.0)?)),
            "ts_capture" => {
                filter.captured_after = Some(TimestampUs::from_s(whole_number(name, value, 0, CAPTURE_S_MAX)?));
            }
            _ => return Err(InvalidParameter::new(name, "is not a parameter here")),
        }
        Ok(())
    }

    fn finish(mut self, now: TimestampUs) -> RecordFilter {
        let window_s = self.within_days_s.or(self.within_s);
        self.filter.received_from = window_s.map(|s| TimestampUs(now.0 - s * US_PER_S));
        self.filter
    }
}

fn severities(name: &str, value: &str) -> Result<Vec<i8>, InvalidParameter> {
    let one = |part: &str| match part {
        "1" => Ok(1),
        "2" => Ok(2),
        "3" => Ok(3),
        "4" => Ok(4),
        _ => Err(InvalidParameter::new(name, "must be a number from 1 to 4, or several with commas between")),
    };
    value.split(',').map(one).collect()
}

fn builds(name: &str, value: &str) -> Result<Vec<String>, InvalidParameter> {
    value.split(',').map(|build| text(name, build, BUILD_CHARS_MAX)).collect()
}

fn text(name: &str, value: &str, max_chars: usize) -> Result<String, InvalidParameter> {
    if value.chars().count() > max_chars {
        return Err(InvalidParameter::new(name, format!("must have at most {max_chars} characters")));
    }
    Ok(value.to_owned())
}

fn whole_number(name: &str, value: &str, min: i64, max: i64) -> Result<i64, InvalidParameter> {
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
        for good in
            ["limit=1", "limit=50", "limit=10000", "severity=1,4", "created_in_days=0", "created_in_sec=100000000000"]
        {
            assert!(query(good).is_ok(), "{good}");
        }
        let id33 = format!("machine_id={}", "a".repeat(33));
        let build257 = format!("build={}", "1".repeat(257));
        for bad in [
            "limit=0",
            "limit=-1",
            "limit=abc",
            "limit=10001",
            "limit=",
            "severity=7",
            "severity=0",
            "severity=1,",
            "severity=",
            "created_in_days=-1",
            "created_in_days=1157408",
            "created_in_sec=100000000001",
            "created_in_sec=1e3",
            "from_id=9007199254740992",
            "from_id=x",
            "ts_capture=10413792000",
            "cursor=x",
            "fields=nonsense",
            "format=xlsx",
            "format=",
            "no_such=1",
            "limit=1&limit=2",
            &id33,
            &build257,
        ] {
            let error = query(bad).expect_err(bad);
            assert_eq!(error.name, bad.split('=').next().expect("a name"), "{bad}");
        }
    }

    #[test]
    fn days_win_over_seconds() {
        let from = |text| query(text).expect("valid").filter.received_from.map(TimestampUs::as_s);
        assert_eq!(from("created_in_sec=5"), Some(NOW.as_s() - 5));
        assert_eq!(from("created_in_days=1&created_in_sec=5"), Some(NOW.as_s() - 86_400));
        assert_eq!(from("created_in_sec=5&created_in_days=1"), Some(NOW.as_s() - 86_400));
    }

    #[test]
    fn every_filter_arrives() {
        let filter =
            query("classification=a/*&severity=2,3&machine_id=m&build=1,2&from_id=7&ts_capture=9&os_name=debian")
                .expect("valid")
                .filter;
        assert_eq!(filter.classification, Some(ClassPattern::Prefix("a/".into())));
        assert_eq!(filter.severities, [2, 3]);
        assert_eq!(filter.machine_id.as_deref(), Some("m"));
        assert_eq!(filter.builds, ["1", "2"]);
        assert_eq!(filter.from_id, Some(RecordId(7)));
        assert_eq!(filter.captured_after, Some(TimestampUs::from_s(9)));
        assert_eq!(filter.system_name.as_deref(), Some("debian"));
    }

    #[test]
    fn a_form_sends_empty_values_for_what_is_not_set() {
        let pairs = |text: &str| url::form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
        let filter = form_filter(&pairs("classification=&severity=&page=2"), &["page"], NOW).expect("valid");
        assert!(filter.is_empty());
        assert!(form_filter(&pairs("page=2"), &[], NOW).is_err());
    }
}
