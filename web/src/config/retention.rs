//! The rules of the retention policy, as the file gives them and as it would say them.

use telemetrics_schema::expiry::{DAYS_MAX, RULES_MAX};
use telemetrics_schema::retention::{Matcher, RetentionRule};

use super::load::Value;
use super::values::quoted;

/// What is allowed, as the end of the sentence "`key` must be ...".
pub(super) fn allowed() -> String {
    format!(
        "a list of at most {RULES_MAX} rules as {{ classification = \"a/b/*\", days = 7 }}, each with one of \
         `classification`, `severity` and `machine_id`, and `days` from 0 to {DAYS_MAX}"
    )
}

/// The rules of a list.
///
/// # Errors
/// Which rule is wrong and why, as the end of the sentence "`key` ...".
pub(super) fn rules(items: &[Value]) -> Result<Vec<RetentionRule>, String> {
    if items.len() > RULES_MAX {
        return Err(format!("must be {}, not {}", allowed(), items.len()));
    }
    let mut rules: Vec<RetentionRule> = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let rule = rule(item).map_err(|reason| format!("has a wrong rule {}: {reason}", at + 1))?;
        if rules.iter().any(|other| other.matcher == rule.matcher) {
            return Err(format!("has two rules for {}", rule.matcher));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(item: &Value) -> Result<RetentionRule, String> {
    let Value::Table(entries) = item else {
        return Err(format!("it must be as {{ severity = 1, days = 7 }}, not {}", item.shown()));
    };
    let (mut found, mut days) = (Vec::new(), None);
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("days", Value::Number(number)) => days = u32::try_from(*number).ok().filter(|days| *days <= DAYS_MAX),
            ("severity", Value::Number(number)) => found.push(named(key, Matcher::severity(*number))?),
            ("classification", Value::Text(text)) => found.push(named(key, Matcher::classification(text))?),
            ("machine_id", Value::Text(text)) => found.push(named(key, Matcher::machine(text))?),
            ("days" | "severity" | "classification" | "machine_id", value) => {
                return Err(format!("`{key}` cannot be {}", value.shown()));
            }
            _ => return Err(format!("it has no key `{key}`")),
        }
    }
    let days = days.ok_or_else(|| format!("`days` must be a whole number from 0 to {DAYS_MAX}"))?;
    match (found.pop(), found.pop()) {
        (Some(matcher), None) => Ok(RetentionRule { matcher, days }),
        _ => Err("it must have one of `classification`, `severity` and `machine_id`".to_owned()),
    }
}

fn named(key: &str, read: Result<Matcher, String>) -> Result<Matcher, String> {
    read.map_err(|reason| format!("`{key}` {reason}"))
}

/// The rules as the file would say them.
pub(super) fn shown(rules: &[RetentionRule]) -> String {
    let rules: Vec<String> = rules.iter().map(shown_rule).collect();
    format!("[{}]", rules.join(", "))
}

fn shown_rule(rule: &RetentionRule) -> String {
    let of = match &rule.matcher {
        Matcher::Severity(severity) => format!("severity = {severity}"),
        Matcher::Classification(pattern) => format!("classification = {}", quoted(pattern)),
        Matcher::Machine(machine) => format!("machine_id = {}", quoted(machine)),
    };
    format!("{{ {of}, days = {} }}", rule.days)
}
