//! One row of a source, and the record that it is: the texts of its columns, whatever the source calls them.

use std::borrow::Cow;

use telemetrics_schema::columns::{REPORTED_COLUMNS, reported};
use telemetrics_schema::time::{US_PER_DAY, US_PER_S};
use telemetrics_schema::wire::{CAPTURE_TIMES_S, check_kept};
use telemetrics_schema::{Record, RecordId, TimestampUs};

/// Names of columns that the original and our own JSON use, and what the table of records calls them.
const OTHER_NAMES: [(&str, &str); 13] = [
    ("machine_type", "host_type"),
    ("machine", "host_type"),
    ("architecture", "arch"),
    ("os_name", "system_name"),
    ("record_version", "record_format_version"),
    ("payload_version", "payload_format_version"),
    ("server_timestamp", "ts_reception"),
    ("timestamp_server", "ts_reception"),
    ("tsp_server", "ts_reception"),
    ("creation_timestamp", "ts_capture"),
    ("timestamp_client", "ts_capture"),
    ("tsp", "ts_capture"),
    ("backtrace", "payload"),
];
/// A server's clock may be so far behind the one that stamped a record.
const AHEAD_MAX_US: i64 = US_PER_DAY;

/// The texts of the columns of `reported()`, in their order; `None` where the source has none.
#[derive(Debug, Default)]
pub(super) struct Row(pub(super) [Option<String>; REPORTED_COLUMNS]);

/// The place in a row of the column that a source calls `name`.
pub(super) fn place_of(name: &str) -> Option<usize> {
    let name = OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, own)| own);
    reported().iter().position(|column| column.name == name)
}

impl Row {
    /// Sets a column by its place.
    pub(super) fn set(&mut self, place: usize, text: String) {
        if let Some(value) = self.0.get_mut(place) {
            *value = Some(text);
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(place_of(name)?)?.as_deref()
    }

    /// The record, or why it is none. `now` is when it is imported.
    ///
    /// The time of reception decides how long a record lives and where it is shown: it is never guessed. That of the event
    /// is only what a machine's clock said; one beyond what we keep becomes the nearest that we do.
    pub(super) fn record(&self, now: TimestampUs) -> Result<Record, String> {
        let id = self.id(now)?;
        let ts_reception = self.reception(now)?;
        let captured = self.get("ts_capture").filter(|text| !text.is_empty());
        let captured = match captured {
            Some(text) => instant(text).ok_or_else(|| format!("ts_capture is no time: {}", cut(text)))?.as_s(),
            None => ts_reception.as_s(),
        };
        let ts_capture_s = captured.clamp(limit(*CAPTURE_TIMES_S.start()), limit(*CAPTURE_TIMES_S.end()));
        let report = check_kept(|name| self.get(name).map(Cow::from), ts_capture_s)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        Ok(Record { id, ts_reception, report })
    }

    fn id(&self, now: TimestampUs) -> Result<RecordId, String> {
        let text = self.get("id").ok_or("id is missing")?;
        let id = text.parse().ok().filter(|id| *id >= 0).ok_or_else(|| format!("id is no number: {}", cut(text)))?;
        if RecordId(id) >= RecordId::first_at(now) {
            return Err(format!("id {id} is one that will be given to a record of the future"));
        }
        Ok(RecordId(id))
    }

    fn reception(&self, now: TimestampUs) -> Result<TimestampUs, String> {
        let text =
            self.get("ts_reception").filter(|text| !text.is_empty()).ok_or("the time of reception is missing")?;
        let received = instant(text).ok_or_else(|| format!("the time of reception is no time: {}", cut(text)))?;
        match received.0 {
            ..0 => Err(format!("the time of reception is before 1970: {}", cut(text))),
            us if us > now.0 + AHEAD_MAX_US => Err(format!("the time of reception is in the future: {}", cut(text))),
            _ => Ok(received),
        }
    }
}

/// An instant as the original writes it (Unix seconds, perhaps with a fraction), as our JSON and CSV do, or as RFC 3339.
fn instant(text: &str) -> Option<TimestampUs> {
    let shown = || TimestampUs::from_rfc3339(&format!("{}Z", text.strip_suffix(" UTC")?.replacen(' ', "T", 1)));
    unix_seconds(text).or_else(shown).or_else(|| TimestampUs::from_rfc3339(text))
}

fn unix_seconds(text: &str) -> Option<TimestampUs> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let whole = seconds.parse::<i64>().ok()?.checked_mul(US_PER_S)?;
    whole.checked_add(if seconds.starts_with('-') { -micros } else { micros }).map(TimestampUs)
}

fn limit(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The beginning of a text, for messages.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn row(values: &[(&str, &str)]) -> Row {
        let mut row = Row::default();
        for (name, text) in
            [("id", "7"), ("server_timestamp", "1795000000"), ("classification", "a/b/c"), ("severity", "1")]
                .iter()
                .chain(values)
        {
            row.set(place_of(name).expect("a column"), (*text).to_owned());
        }
        row
    }

    fn refused(values: &[(&str, &str)]) -> String {
        row(values).record(NOW).expect_err("refused")
    }

    #[test]
    fn times_are_read_in_every_form_that_sources_write() {
        for (text, us) in [
            ("1443573575", 1_443_573_575_000_000),
            ("1443573575.25", 1_443_573_575_250_000),
            ("1443573575.1234567", 1_443_573_575_123_456),
            ("-1.5", -1_500_000),
            ("2015-09-30 00:39:35 UTC", 1_443_573_575_000_000),
            ("2015-09-30T00:39:35.5Z", 1_443_573_575_500_000),
        ] {
            assert_eq!(instant(text), Some(TimestampUs(us)), "{text}");
        }
        for wrong in ["", "NaN", "Infinity", "1e20", "1.-5", "yesterday", "2015-09-30", "99999999999999999999", "1.ä"]
        {
            assert_eq!(instant(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_of_reception_is_never_guessed() {
        let received = |text: &str| refused(&[("tsp_server", text)]);
        assert!(received("").contains("is missing"));
        assert!(received("-1").contains("before 1970"));
        assert!(received("1795500000").contains("in the future"));
        assert!(received("NaN").contains("is no time: NaN"));
        let edge = row(&[("tsp_server", &(NOW.as_s() + 86_400).to_string())]).record(NOW).expect("just not");
        assert_eq!(edge.ts_reception, TimestampUs(NOW.0 + AHEAD_MAX_US));
        assert!(refused(&[("tsp_server", &(NOW.as_s() + 86_401).to_string())]).contains("in the future"));
        assert_eq!(row(&[("tsp_server", "0")]).record(NOW).expect("the first").ts_reception, TimestampUs(0));
    }

    #[test]
    fn a_time_of_an_event_is_kept_as_near_as_can_be() {
        let captured = |text: &str| row(&[("tsp", text)]).record(NOW).expect("a record").report.ts_capture_s;
        assert_eq!(captured(""), 1_795_000_000, "that of the reception");
        assert_eq!((captured("-5"), captured("99999999999")), (0, 10_413_791_999));
        assert!(refused(&[("tsp", "x")]).contains("ts_capture is no time"));
    }

    #[test]
    fn an_identifier_is_one_of_the_past() {
        assert!(refused(&[("id", "-1")]).contains("id is no number"));
        assert!(refused(&[("id", "x")]).contains("id is no number"));
        let next = RecordId::first_at(NOW).0;
        assert!(refused(&[("id", &next.to_string())]).contains("of the future"));
        assert_eq!(row(&[("id", &(next - 1).to_string())]).record(NOW).expect("a record").id.0, next - 1);
    }

    #[test]
    fn every_failed_rule_is_named() {
        assert_eq!(
            refused(&[("arch", "mips"), ("severity", "9")]).matches("must be").count(),
            2,
            "{}",
            refused(&[("arch", "mips"), ("severity", "9")])
        );
    }
}
