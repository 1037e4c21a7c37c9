//! The form of filters that pages have: what was asked before stands in it again, and it offers what there is to ask for.

use std::collections::BTreeSet;

use telemetrics_analytics::questions::offered::Offered;

use super::query::{Given, Problem};
use super::text;

/// Longest text that is repeated outside of the form's fields, in characters.
pub(super) const ECHO_CHARS: usize = 300;
/// Most bytes of one list of offered values: there may be thousands of classes, and a page has a limit.
const OFFER_BYTES: usize = 8_000;

/// The parameter behind [`Form::days`].
const DAYS: &str = "days";

/// Severities that one choice covers. Without scripts a form cannot put several choices into one parameter.
const SEVERITIES: [(&str, &str); 7] = [
    ("", "any"),
    ("4", "crit"),
    ("3,4", "high or crit"),
    ("2,3,4", "med or worse"),
    ("3", "high"),
    ("2", "med"),
    ("1", "low"),
];

/// The names of the form's fields, which are parameters of the records API.
const FIELDS: [&str; 6] = ["classification", "severity", "machine_id", "system_name", "build", "created_in_days"];

#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) severities: Vec<Choice>,
    pub(super) classification: Field,
    pub(super) machine_id: Field,
    pub(super) system_name: Field,
    pub(super) build: Field,
    pub(super) created_in_days: Field,
    /// How many days the page looks back, where that is a field of its own.
    pub(super) days: Option<Field>,
    pub(super) severity_is_wrong: bool,
    /// Filters that have no field here, for instance those of a link on another page.
    pub(super) others: Vec<Other>,
    pub(super) is_filtered: bool,
    /// Fields that the page cannot apply.
    not_here: &'static [&'static str],
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) value: String,
    pub(super) is_wrong: bool,
    pub(super) offered: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) shown_name: String,
    pub(super) shown_value: String,
}

impl Form {
    /// Whether the page has that field.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.not_here.contains(&name)
    }

    /// The same without fields that a page cannot apply.
    pub(super) fn without(self, not_here: &'static [&'static str]) -> Self {
        Self { not_here, ..self }
    }

    /// The same with a field for how many days the page looks back, `default` when nobody says it.
    pub(super) fn with_days(mut self, given: &Given, default: i64, problem: Option<&Problem>) -> Self {
        let is_wrong = problem.and_then(|problem| problem.parameter.as_deref()) == Some(DAYS);
        let value = Some(given.value(DAYS)).filter(|value| !value.is_empty()).map(str::to_owned);
        let value = value.unwrap_or_else(|| default.to_string());
        self.days = Some(Field { value, is_wrong, offered: Vec::new() });
        self.others.retain(|other| other.name != DAYS);
        self
    }

    pub(super) fn new(given: &Given, offer: &Offered, problem: Option<&Problem>) -> Self {
        let wrong = problem.and_then(|problem| problem.parameter.as_deref());
        let field = |name: &str, offered: Vec<String>| Field {
            value: given.value(name).to_owned(),
            is_wrong: wrong == Some(name),
            offered,
        };
        Self {
            severities: severities(given.value("severity")),
            classification: field("classification", offered_within(&patterns(&offer.classifications))),
            machine_id: field("machine_id", Vec::new()),
            system_name: field("system_name", offered_within(&offer.systems)),
            build: field("build", offered_within(&offer.builds)),
            created_in_days: field("created_in_days", Vec::new()),
            days: None,
            severity_is_wrong: wrong == Some("severity"),
            others: others(given, wrong),
            is_filtered: given.is_filtered(),
            not_here: &[],
        }
    }
}

fn severities(given: &str) -> Vec<Choice> {
    let choice = |value: &str, label: &str| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        is_chosen: value == given,
    };
    let mut choices: Vec<Choice> = SEVERITIES.iter().map(|(value, label)| choice(value, label)).collect();
    if !choices.iter().any(|choice| choice.is_chosen) {
        choices.push(choice(given, &text::line(given, ECHO_CHARS)));
    }
    choices
}

/// Each class, and the patterns for everything below its first part and below its first two.
fn patterns(classes: &[String]) -> Vec<String> {
    let mut patterns = BTreeSet::new();
    for class in classes {
        let ends = class.strip_suffix("/*").unwrap_or(class).match_indices('/').map(|(at, _)| at).take(2);
        patterns.extend(ends.map(|at| format!("{}/*", &class[..at])));
    }
    patterns.extend(classes.iter().cloned());
    patterns.into_iter().collect()
}

/// As many values as fit. One that holds control characters cannot be typed and is not offered.
pub(super) fn offered_within(values: &[String]) -> Vec<String> {
    let mut left_bytes = OFFER_BYTES;
    let typeable = values.iter().filter(|value| !value.is_empty() && !value.chars().any(char::is_control));
    typeable
        .take_while(|value| {
            let cost_bytes = html_bytes(value);
            let fits = cost_bytes <= left_bytes;
            left_bytes = left_bytes.saturating_sub(cost_bytes);
            fits
        })
        .cloned()
        .collect()
}

/// Length of one offered value in the page, its element included.
fn html_bytes(value: &str) -> usize {
    const ELEMENT_BYTES: usize = "<option value=\"\"></option>\n".len();
    let escapes = value.chars().filter(|c| matches!(c, '<' | '>' | '&' | '"' | '\'')).count();
    ELEMENT_BYTES + value.len() + 4 * escapes
}

/// A parameter that was refused is not repeated: the form could never be sent again without it.
fn others(given: &Given, wrong: Option<&str>) -> Vec<Other> {
    let others = given.filters().filter(|(name, _)| !FIELDS.contains(name) && Some(*name) != wrong);
    others
        .map(|(name, value)| Other {
            name: name.to_owned(),
            value: value.to_owned(),
            shown_name: text::line(name, ECHO_CHARS),
            shown_value: text::line(value, ECHO_CHARS),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn classes_are_offered_whole_and_by_their_first_parts() {
        assert_eq!(
            patterns(&strings(&["a/b/c", "a/b/d", "a/x/", "//", "plain"])),
            ["/*", "//", "//*", "a/*", "a/b/*", "a/b/c", "a/b/d", "a/x/", "a/x/*", "plain"].map(str::to_owned)
        );
    }

    #[test]
    fn a_class_that_is_offered_as_a_pattern_already_stays_one() {
        assert_eq!(patterns(&strings(&["a/b/*"])), ["a/*", "a/b/*"].map(str::to_owned));
        assert_eq!(patterns(&strings(&["a/*"])), ["a/*"].map(str::to_owned));
    }

    #[test]
    fn an_offer_has_a_limit() {
        let many: Vec<String> = (0..10_000).map(|n| format!("<{n:04}>")).collect();
        let given = offered_within(&many);
        let used: usize = given.iter().map(|value| html_bytes(value)).sum();
        assert!(used <= OFFER_BYTES && used + html_bytes(&many[0]) > OFFER_BYTES);
        assert!(offered_within(&strings(&["a\0b", ""])).is_empty());
    }

    #[test]
    fn an_unusual_severity_stays_chosen() {
        let chosen = |given: &str| {
            let chosen: Vec<_> = severities(given).into_iter().filter(|choice| choice.is_chosen).collect();
            assert_eq!(chosen.len(), 1);
            chosen[0].value.clone()
        };
        for given in ["", "4", "3,4", "1,3", "7"] {
            assert_eq!(chosen(given), given);
        }
    }
}
