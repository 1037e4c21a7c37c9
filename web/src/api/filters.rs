//! The filters of the records API as query parameters: what each of them may be, and what it means.

use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::regex::TextPattern;
use telemetrics_schema::attributes::{VALUE_BYTES_MAX, is_name};
use telemetrics_schema::time::{S_PER_DAY, US_PER_S};
use telemetrics_schema::wire::{
    BUILD_LIMIT_CHARS, EVENT_ID_DIGITS, HOST_TYPE_LIMIT_CHARS, KERNEL_VERSION_LIMIT_CHARS, MACHINE_ID_LIMIT_CHARS,
    SYSTEM_NAME_LIMIT_CHARS,
};
use telemetrics_schema::{RecordId, TimestampUs};

use super::params::whole_number;
use crate::error::InvalidParameter;

/// What parameters for attributes begin with; the attribute's name follows.
pub(super) const ATTRIBUTE_PREFIX: &str = "attribute.";
/// Longest `arch`, in characters.
const ARCH_CHARS_MAX: usize = 32;
/// Longest time that `created_in_sec` may look back, in seconds: some thousand years, so that no sum overflows.
const LOOK_BACK_S_MAX: i64 = 100_000_000_000;
/// Latest instant that can be asked for, in Unix seconds: the end of 2299, as for records. The earliest one is 1970.
const INSTANT_S_MAX: i64 = 10_413_791_999;

/// Collects filters; what several parameters say together is settled at the end.
#[derive(Default)]
pub(super) struct FilterReader {
    filter: RecordFilter,
    within_days_s: Option<i64>,
    within_s: Option<i64>,
}

impl FilterReader {
    /// Takes one parameter.
    ///
    /// # Errors
    /// When it is no filter, or cannot be used.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<(), InvalidParameter> {
        if self.take_window(name, value)? {
            return Ok(());
        }
        let filter = &mut self.filter;
        match name {
            "classification" => filter.classification = Some(parsed(name, value, ClassPattern::parse)?),
            "severity" => filter.severities = severities(name, value)?,
            "machine_id" => filter.machine_id = Some(text(name, value, MACHINE_ID_LIMIT_CHARS)?),
            "build" => filter.builds = builds(name, value)?,
            "system_name" | "os_name" => filter.system_name = Some(text(name, value, SYSTEM_NAME_LIMIT_CHARS)?),
            "arch" => filter.arch = Some(text(name, value, ARCH_CHARS_MAX)?),
            "kernel_version" => filter.kernel_version = Some(text(name, value, KERNEL_VERSION_LIMIT_CHARS)?),
            "host_type" => filter.host_type = Some(text(name, value, HOST_TYPE_LIMIT_CHARS)?),
            "event_id" => filter.event_id = Some(text(name, value, EVENT_ID_DIGITS)?),
            "data_source" => filter.external = Some(is_external(name, value)?),
            "payload" => filter.payload = Some(parsed(name, value, TextPattern::parse)?),
            "not_payload" => filter.not_payload = Some(parsed(name, value, TextPattern::parse)?),
            "from_id" => filter.from_id = Some(RecordId(whole_number(name, value, 0, RecordId::MAX.0)?)),
            _ => self.take_attribute(name, value)?,
        }
        Ok(())
    }

    fn take_attribute(&mut self, name: &str, value: &str) -> Result<(), InvalidParameter> {
        let Some(attribute) = name.strip_prefix(ATTRIBUTE_PREFIX) else {
            return Err(InvalidParameter::new(name, "is not a parameter here"));
        };
        if !is_name(attribute) {
            let reason = "names no attribute: small letters, digits and _ after the dot, a letter first";
            return Err(InvalidParameter::new(name, reason));
        }
        if value.is_empty() {
            return Err(InvalidParameter::new(name, "must not be empty"));
        }
        // No value has more bytes than this, and so none has more characters.
        self.filter.attributes.insert(attribute.to_owned(), text(name, value, VALUE_BYTES_MAX)?);
        Ok(())
    }

    /// Whether the parameter is one about time; then it is taken.
    fn take_window(&mut self, name: &str, value: &str) -> Result<bool, InvalidParameter> {
        let filter = &mut self.filter;
        match name {
            "created_in_days" => {
                self.within_days_s = Some(whole_number(name, value, 0, LOOK_BACK_S_MAX / S_PER_DAY)? * S_PER_DAY);
            }
            "created_in_sec" => self.within_s = Some(whole_number(name, value, 0, LOOK_BACK_S_MAX)?),
            "received_after" => filter.received_from = Some(instant(name, value)?),
            "received_before" => filter.received_before = Some(instant(name, value)?),
            "ts_capture" => {
                filter.captured_after = Some(TimestampUs::from_s(whole_number(name, value, 0, INSTANT_S_MAX)?));
            }
            "from_date" => filter.captured_from = Some(date(name, value)?),
            "to_date" => filter.captured_before = Some(date(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was taken, at the instant `now`: days win over seconds, and what was received has to be in every window.
    pub(super) fn finish(mut self, now: TimestampUs) -> RecordFilter {
        let window_s = self.within_days_s.or(self.within_s);
        let within = window_s.map(|s| TimestampUs(now.0 - s * US_PER_S));
        self.filter.received_from = self.filter.received_from.max(within);
        self.filter
    }
}

fn parsed<T>(name: &str, value: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, InvalidParameter> {
    parse(value).map_err(|reason| InvalidParameter::new(name, reason))
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
    value.split(',').map(|build| text(name, build, BUILD_LIMIT_CHARS)).collect()
}

fn is_external(name: &str, value: &str) -> Result<bool, InvalidParameter> {
    match value {
        "internal" => Ok(false),
        "external" => Ok(true),
        _ => Err(InvalidParameter::new(name, "must be internal or external")),
    }
}

fn text(name: &str, value: &str, max_chars: usize) -> Result<String, InvalidParameter> {
    if value.chars().count() > max_chars {
        return Err(InvalidParameter::new(name, format!("must have at most {max_chars} characters")));
    }
    Ok(value.to_owned())
}

fn date(name: &str, value: &str) -> Result<TimestampUs, InvalidParameter> {
    let reason = "must be a date from 1970-01-01 to 2299-12-31, written as these";
    in_reach(TimestampUs::from_date(value)).ok_or_else(|| InvalidParameter::new(name, reason))
}

fn instant(name: &str, value: &str) -> Result<TimestampUs, InvalidParameter> {
    let reason = "must be an instant from 1970 to 2299 with its offset, like 2026-11-22T20:15:00Z or, with the + \
                  written as %2B, 2026-11-22T21:15:00%2B01:00";
    in_reach(TimestampUs::from_rfc3339(value)).ok_or_else(|| InvalidParameter::new(name, reason))
}

fn in_reach(instant: Option<TimestampUs>) -> Option<TimestampUs> {
    instant.filter(|instant| (0..=INSTANT_S_MAX).contains(&instant.as_s()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn read(query: &str) -> Result<RecordFilter, InvalidParameter> {
        let mut reader = FilterReader::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            reader.take(&name, &value)?;
        }
        Ok(reader.finish(NOW))
    }

    #[test]
    fn limits_hold_at_their_edges() {
        for good in [
            "severity=1,4",
            "created_in_days=0",
            "created_in_sec=100000000000",
            "from_date=1970-01-01",
            "to_date=2299-12-31",
            "received_after=1970-01-01T00:00:00Z",
            "received_before=2299-12-31T23:59:59.999999Z",
            "payload=",
            "attribute.a=1",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in [
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
            "from_date=1969-12-31",
            "from_date=2026-02-29",
            "from_date=",
            "to_date=2300-01-01",
            "to_date=2026-11-22T00:00:00Z",
            "received_after=1969-12-31T23:59:59Z",
            "received_after=2026-11-22",
            "received_before=2300-01-01T00:00:00Z",
            "received_before=2026-11-22T00:00:00+01:00",
            "data_source=both",
            "data_source=",
            "payload=(",
            "not_payload=%5Cbword",
            "no_such=1",
            "attribute=1",
            "attribute.=1",
            "attribute.A=1",
            "attribute.a.b=1",
            "attribute.a=",
        ] {
            let error = read(bad).expect_err(bad);
            assert_eq!(error.name, bad.split('=').next().expect("a name"), "{bad}");
        }
    }

    #[test]
    fn texts_are_at_most_as_long_as_in_records() {
        for (name, longest) in [
            ("machine_id", 32),
            ("build", 256),
            ("system_name", 140),
            ("arch", 32),
            ("kernel_version", 200),
            ("host_type", 249),
            ("event_id", 32),
            ("payload", 500),
            ("not_payload", 500),
            ("attribute.a", 1_024),
        ] {
            let of_length = |chars: usize| read(&format!("{name}={}", "ä".repeat(chars)));
            assert!(of_length(longest).is_ok(), "{name}");
            assert_eq!(of_length(longest + 1).expect_err(name).name, name);
        }
    }

    #[test]
    fn days_win_over_seconds_and_every_window_counts() {
        let from = |text| read(text).expect("valid").received_from.map(TimestampUs::as_s);
        assert_eq!(from("created_in_sec=5"), Some(NOW.as_s() - 5));
        assert_eq!(from("created_in_days=1&created_in_sec=5"), Some(NOW.as_s() - 86_400));
        assert_eq!(from("created_in_sec=5&created_in_days=1"), Some(NOW.as_s() - 86_400));
        assert_eq!(from("received_after=1970-01-01T00:00:07Z&created_in_sec=5"), Some(NOW.as_s() - 5));
        assert_eq!(from("created_in_days=30000&received_after=1970-01-01T00:00:07Z"), Some(7));
    }

    #[test]
    fn every_filter_arrives() {
        let filter = read(
            "classification=a/*&severity=2,3&machine_id=m&build=1,2&from_id=7&ts_capture=9&os_name=debian&arch=x86_64\
             &kernel_version=6.1&host_type=v%7Cp%7C1&event_id=e&data_source=external&payload=x.z&not_payload=y\
             &from_date=1970-01-02&to_date=1970-01-03&received_after=1970-01-01T00:00:01Z\
             &received_before=1970-01-01T00:00:02Z&attribute.uptime_minutes=7&attribute.a=%3D%22",
        )
        .expect("valid");
        let text = |text: &str| Some(text.to_owned());
        let expected = RecordFilter {
            classification: Some(ClassPattern::Prefix("a/".into())),
            not_classification: None,
            severities: vec![2, 3],
            machine_id: text("m"),
            builds: vec!["1".into(), "2".into()],
            system_name: text("debian"),
            arch: text("x86_64"),
            kernel_version: text("6.1"),
            host_type: text("v|p|1"),
            event_id: text("e"),
            external: Some(true),
            payload: TextPattern::parse("x.z").ok(),
            not_payload: TextPattern::parse("y").ok(),
            received_from: Some(TimestampUs::from_s(1)),
            received_before: Some(TimestampUs::from_s(2)),
            captured_after: Some(TimestampUs::from_s(9)),
            captured_from: Some(TimestampUs::from_s(86_400)),
            captured_before: Some(TimestampUs::from_s(172_800)),
            from_id: Some(RecordId(7)),
            attributes: [("a", "=\""), ("uptime_minutes", "7")].map(|(name, value)| (name.into(), value.into())).into(),
        };
        assert_eq!(filter, expected);
    }
}
