//! What was found, as text for people and as JSON for scripts.

use std::fmt::Write as _;

use serde::Serialize;

/// How it is with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and somebody should know.
    Warning,
    /// It does not work, or will soon not.
    Problem,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, one word.
    check: &'static str,
    state: State,
    /// What was seen.
    text: String,
    /// What to do about it; empty where nothing has to be done.
    advice: String,
}

impl Finding {
    #[cfg(test)]
    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, state: State::Ok, text: text.into(), advice: String::new() }
    }

    pub(super) fn warning(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, text: text.into(), advice: advice.into() }
    }

    pub(super) fn problem(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Problem, text: text.into(), advice: advice.into() }
    }
}

/// All that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The worst of all.
    state: State,
    checks: Vec<Finding>,
}

impl Report {
    pub(super) fn of(checks: Vec<Finding>) -> Self {
        Self { state: checks.iter().map(|finding| finding.state).max().unwrap_or(State::Ok), checks }
    }

    pub(super) fn has_problem(&self) -> bool {
        self.state == State::Problem
    }

    /// A line for each check, and one below it that says what to do.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, state, text: seen, advice } in &self.checks {
            let state = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Problem => "PROBLEM",
            };
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{state:8} {check:10} {seen}");
            if !advice.is_empty() {
                let _ = writeln!(text, "{:20}-> {advice}", "");
            }
        }
        text
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_is_what_counts() {
        let report = Report::of(vec![Finding::ok("disk", "fine"), Finding::warning("clock", "odd", "look at it")]);
        assert!(!report.has_problem());
        assert_eq!(
            report.text(),
            "ok       disk       fine\nwarning  clock      odd\n                    -> look at it\n"
        );
        let worse = Report::of(vec![Finding::problem("store", "gone", "start it"), Finding::ok("disk", "fine")]);
        assert!(worse.has_problem());
        let json: serde_json::Value = serde_json::from_str(&worse.json().expect("JSON")).expect("JSON");
        assert_eq!((&json["state"], &json["checks"][0]["advice"]), (&"problem".into(), &"start it".into()));
    }
}
