//! Settings from the environment: `TELEMETRICS_JOURNAL_QUOTA_BYTES` is `journal.quota_bytes`. They go before the file, and
//! the command line goes before them.

use super::error::Problem;
use super::file;
use super::load::{Given, Value};
use super::setting::Kind;
use super::settings::{SETTINGS, Setting};
use crate::import::PSQL_VARIABLE;
use crate::logging::LOG_VARIABLE;

/// How the variables begin.
pub const PREFIX: &str = "TELEMETRICS_";

/// Variables that begin as settings do and are none: the filter of the log, the program that an import reads with, and what
/// makes the documents.
const OTHERS: [&str; 3] = [LOG_VARIABLE, PSQL_VARIABLE, "TELEMETRICS_UPDATE_DOCS"];
/// How the variables of this project's own tests begin.
const OF_TESTS: &str = "TELEMETRICS_TEST_";

impl Setting {
    /// The variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

/// The variables of this process, as far as they are text: no setting is anything else.
pub fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The settings among `variables`.
///
/// # Errors
/// Those that are no settings, and those whose text is no value.
pub fn settings(variables: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Given>, Vec<Problem>> {
    let (mut given, mut problems) = (Vec::new(), Vec::new());
    for (name, text) in variables {
        if !name.starts_with(PREFIX) || is_other(&name) {
            continue;
        }
        let read = match SETTINGS.iter().find(|setting| setting.variable() == name) {
            Some(setting) => value(setting, &text).map(|value| (setting.key, value)),
            None => Err("there is no such setting; `telemetrics config show` lists them".to_owned()),
        };
        match read {
            Ok((key, value)) => given.push(Given { origin: name, key, value }),
            Err(message) => problems.push(Problem { origin: name, message }),
        }
    }
    if problems.is_empty() { Ok(given) } else { Err(problems) }
}

fn is_other(name: &str) -> bool {
    OTHERS.contains(&name) || name.starts_with(OF_TESTS)
}

/// The text as the value that the setting takes: a list of texts has commas between, rules are a list as in the file.
fn value(setting: &Setting, text: &str) -> Result<Value, String> {
    Ok(match setting.kind {
        Kind::Number { .. } => match text.replace('_', "").parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(text.to_owned()),
        },
        Kind::Flag { .. } => match text {
            "true" => Value::Flag(true),
            "false" => Value::Flag(false),
            other => Value::Text(other.to_owned()),
        },
        Kind::Texts { .. } | Kind::Networks { .. } => {
            Value::List(text.split(',').map(|item| Value::Text(item.to_owned())).collect())
        }
        Kind::Rules { .. } | Kind::IdLimits { .. } => {
            let entries = file::entries(&format!("rules = {text}")).map_err(|(_, message)| message)?;
            let mut values = entries.into_iter().filter(|entry| entry.key == "rules").map(|entry| entry.value);
            values.next().unwrap_or(Value::Other("nothing"))
        }
        Kind::OneOf { .. } | Kind::Text { .. } | Kind::Address { .. } | Kind::Path { .. } | Kind::Url { .. } => {
            Value::Text(text.to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::{Config, LogFormat};

    fn given(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let given = settings(pairs).map_err(|problems| problems[0].to_string())?;
        Config::from_text("file", "read_wait_ms = 7\n", given).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own() {
        let variables: HashSet<String> = SETTINGS.iter().map(Setting::variable).collect();
        assert_eq!(variables.len(), SETTINGS.len());
        assert!(!variables.iter().any(|name| is_other(name)));
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        let config = given(&[
            ("TELEMETRICS_READ_WAIT_MS", "1_500"),
            ("TELEMETRICS_STRICT_FIELDS", "true"),
            ("TELEMETRICS_TELEMETRY_IDS", "a,b"),
            ("TELEMETRICS_STORE_CLICKHOUSE_URL", "http://h:1"),
            ("TELEMETRICS_RETENTION_RULES", "[{ severity = 4, days = 0 }]"),
            ("TELEMETRICS_LOG", "debug"),
            ("TELEMETRICS_PSQL", "/usr/bin/psql"),
            ("TELEMETRICS_LOG_FORMAT", "json"),
            ("PATH", "x"),
        ]);
        let config = config.expect("valid");
        assert_eq!((config.read_wait_ms, config.strict_fields), (1_500, true));
        assert_eq!((config.telemetry_ids, config.retention.rules.len()), (vec!["a".to_owned(), "b".to_owned()], 1));
        assert!(config.store.clickhouse().is_some());
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn what_cannot_be_used_names_its_variable() {
        for (name, text) in [
            ("TELEMETRICS_LISTEM", "127.0.0.1:1"),
            ("TELEMETRICS_READ_WAIT_MS", "soon"),
            ("TELEMETRICS_STRICT_FIELDS", "yes"),
            ("TELEMETRICS_RETENTION_RULES", "[{"),
        ] {
            let message = given(&[(name, text)]).expect_err(name);
            assert!(message.starts_with(name), "{message}");
        }
    }
}
