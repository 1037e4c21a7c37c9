//! Records that another system kept: judged by the same rules, but what it did not keep is not available.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::error::FieldError;
use super::rules::{self, Verdict};
use crate::record::{NOT_AVAILABLE, Report};

/// The oldest record format and the oldest grammar of payloads: of who does not say it.
const FIRST: &str = "1";

/// The report of a kept record. `value` gives what is kept of a column of the table `records`, by its name.
///
/// What is missing, empty where that is no valid value, or `N/A` becomes [`NOT_AVAILABLE`]; classification and severity have
/// to be there. Times and the identifier are the caller's: `ts_capture_s` is taken as it is.
///
/// # Errors
/// Every column that failed.
pub fn check_kept<'a>(
    value: impl Fn(&str) -> Option<Cow<'a, str>>,
    ts_capture_s: i64,
) -> Result<Report, Vec<FieldError>> {
    let mut check = Check { value, errors: Vec::new() };
    let system_name = check.text("system_name", rules::system_name);
    let build_rule = if system_name == rules::CLEAR_LINUX { rules::numeric_build } else { rules::build };
    let report = Report {
        record_format_version: check.number("record_format_version", &rules::RECORD_FORMATS, Some(FIRST)),
        classification: check.required("classification", rules::classification),
        severity: check.number("severity", &rules::SEVERITIES, None),
        machine_id: check.machine_id(),
        ts_capture_s,
        arch: check.text("arch", rules::arch),
        host_type: check.text("host_type", rules::host_type),
        build: check.text("build", build_rule),
        kernel_version: check.text("kernel_version", rules::kernel_version),
        payload_format_version: check.number("payload_format_version", &rules::PAYLOAD_FORMATS, Some(FIRST)),
        system_name,
        board_name: check.text("board_name", rules::hardware),
        cpu_model: check.text("cpu_model", rules::hardware),
        bios_version: check.text("bios_version", rules::hardware),
        event_id: check.text("event_id", rules::event_id),
        external: check.truth("external"),
        payload: check.kept("payload").map(Cow::into_owned).unwrap_or_default(),
    };
    if check.errors.is_empty() { Ok(report) } else { Err(check.errors) }
}

struct Check<F> {
    value: F,
    errors: Vec<FieldError>,
}

impl<'a, F: Fn(&str) -> Option<Cow<'a, str>>> Check<F> {
    fn kept(&self, column: &str) -> Option<Cow<'a, str>> {
        (self.value)(column)
    }

    fn text(&mut self, column: &str, rule: fn(&str) -> Verdict) -> String {
        let text = self.kept(column).map(Cow::into_owned).unwrap_or_default();
        // Once it was written with the quotes of the file that it was read from.
        let text = if matches!(column, "build" | "system_name") { text.replace(['"', '\''], "") } else { text };
        if text.is_empty() || text == NOT_AVAILABLE {
            return NOT_AVAILABLE.to_owned();
        }
        self.judge(column, &text, rule);
        text
    }

    fn required(&mut self, column: &str, rule: fn(&str) -> Verdict) -> String {
        let text = self.kept(column).map(Cow::into_owned);
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                self.judge(column, &text, rule);
                text
            }
            None => self.missing(column),
        }
    }

    /// Empty is a machine's identifier, too.
    fn machine_id(&mut self) -> String {
        let text = self.kept("machine_id").map(Cow::into_owned).unwrap_or_default();
        self.judge("machine_id", &text, rules::machine_id);
        text
    }

    /// Zero stands for a version that nobody said.
    fn number<T: TryFrom<u64> + Default>(
        &mut self,
        column: &str,
        range: &RangeInclusive<u64>,
        otherwise: Option<&str>,
    ) -> T {
        let text = self.kept(column).filter(|text| !text.is_empty());
        let is_unsaid = text.as_deref().is_none_or(|text| text == "0" && !range.contains(&0));
        let number = match (text, otherwise) {
            (_, Some(otherwise)) if is_unsaid => rules::number(otherwise, range),
            (Some(text), _) => rules::number(&text, range),
            (None, _) => Err("is missing".to_owned()),
        };
        number.unwrap_or_else(|reason| {
            self.errors.push(FieldError::new(column, reason));
            T::default()
        })
    }

    /// As PostgreSQL, Python and JSON write it; what is not said is no.
    fn truth(&mut self, column: &str) -> bool {
        match self.kept(column).as_deref() {
            None | Some("" | "f" | "false" | "False" | "0") => false,
            Some("t" | "true" | "True" | "1") => true,
            Some(_) => {
                self.errors.push(FieldError::new(column, "must be true or false"));
                false
            }
        }
    }

    fn judge(&mut self, column: &str, text: &str, rule: fn(&str) -> Verdict) {
        if let Err(reason) = rule(text) {
            self.errors.push(FieldError::new(column, reason));
        }
    }

    fn missing(&mut self, column: &str) -> String {
        self.errors.push(FieldError::new(column, "is missing"));
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kept: &[(&str, &'static str)]) -> Result<Report, String> {
        let value = |column: &str| kept.iter().find(|(name, _)| *name == column).map(|(_, text)| Cow::from(*text));
        check_kept(value, -5).map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn what_was_not_kept_is_not_available() {
        let na = || NOT_AVAILABLE.to_owned();
        let bare = Report {
            record_format_version: 1,
            classification: "a/b/c".into(),
            severity: 4,
            ts_capture_s: -5,
            arch: na(),
            host_type: na(),
            build: na(),
            kernel_version: na(),
            payload_format_version: 1,
            system_name: na(),
            board_name: na(),
            cpu_model: na(),
            bios_version: na(),
            event_id: na(),
            ..Report::default()
        };
        let least = [("classification", "a/b/c"), ("severity", "4")];
        assert_eq!(check(&least), Ok(bare.clone()));
        let empty =
            ["arch", "host_type", "build", "kernel_version", "event_id", "board_name", "external"].map(|n| (n, ""));
        assert_eq!(check(&[&least[..], &empty, &[("record_format_version", "0")]].concat()), Ok(bare));
    }

    #[test]
    fn what_was_kept_obeys_the_rules_of_the_wire() {
        let whole = [
            ("classification", "a/b/c"),
            ("severity", "1"),
            ("machine_id", "m"),
            ("arch", "x86_64"),
            ("build", "\"33010\""),
            ("system_name", "'clear-linux-os'"),
            ("external", "t"),
            ("payload_format_version", "0"),
            ("payload", "p\0"),
        ];
        let report = check(&whole).expect("valid");
        assert_eq!((report.build.as_str(), report.external, report.payload.as_str()), ("33010", true, "p\0"));
        assert_eq!(report.payload_format_version, 0, "a version that there is");
        for (column, text, reason) in [
            ("classification", "", "is missing"),
            ("classification", "a/b", "three parts"),
            ("severity", "", "is missing"),
            ("severity", "0", "from 1 to 4"),
            ("severity", "5", "from 1 to 4"),
            ("machine_id", "123456789012345678901234567890123", "at most 32"),
            ("arch", "mips", "must be one of"),
            ("build", "12-a", "digits only"),
            ("kernel_version", "x", "two numbers"),
            ("record_format_version", "5", "from 1 to 4"),
            ("event_id", "x", "32 lower-case"),
            ("external", "yes", "true or false"),
        ] {
            let mut changed: Vec<_> = whole.iter().copied().filter(|(name, _)| *name != column).collect();
            changed.push((column, text));
            let said = check(&changed).expect_err(column);
            assert!(said.starts_with(column) && said.contains(reason) && !said.contains(';'), "{said}");
        }
    }
}
