//! The retention policy as its users need it: the shipped one, read from settings, as text, in deciding order.

use std::fmt;

use crate::retention::{Matcher, RetentionPolicy, RetentionRule};

/// Days that a record lives from its reception when no policy says otherwise.
pub const DAYS_DEFAULT: u32 = 35;
/// Longest life in days; who wants longer keeps for ever (0).
pub const DAYS_MAX: u32 = 36_500;
/// Most rules: each of them is a part of the condition of every query.
pub const RULES_MAX: usize = 200;
/// Longest text of a rule, in characters.
pub const TEXT_CHARS_MAX: usize = 256;

/// The policy of a server that nobody configured.
#[must_use]
pub fn shipped() -> RetentionPolicy {
    let greetings = Matcher::Classification("org.clearlinux/hello/world".to_owned());
    RetentionPolicy { default_days: DAYS_DEFAULT, rules: vec![RetentionRule { matcher: greetings, days: 1 }] }
}

impl RetentionPolicy {
    /// Nothing is ever deleted.
    #[must_use]
    pub fn off() -> Self {
        Self::days(0)
    }

    /// Whether no record ever expires.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.default_days == 0 && self.rules.iter().all(|rule| rule.days == 0)
    }

    /// The rules in the order in which the first one that matches decides: the smallest number of days first, those
    /// that keep for ever last.
    #[must_use]
    pub fn deciding(&self) -> Vec<&RetentionRule> {
        let mut rules: Vec<&RetentionRule> = self.rules.iter().collect();
        rules.sort_by_key(|rule| rule.days.wrapping_sub(1));
        rules
    }

    /// Days after which no record is left, whatever it is; `None` when one may stay for ever.
    #[must_use]
    pub fn longest_days(&self) -> Option<u32> {
        let all = || self.rules.iter().map(|rule| rule.days).chain([self.default_days]);
        all().max().filter(|_| all().all(|days| days > 0))
    }
}

impl Matcher {
    /// Reads a classification as a rule names it: `a/b/c`, or with a `*` at its end.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn classification(text: &str) -> Result<Self, String> {
        check(text)?;
        match text.split_once('*') {
            None | Some((_, "")) => Ok(Self::Classification(text.to_owned())),
            Some(_) => Err("may have a * only at its end".to_owned()),
        }
    }

    /// Reads the identifier of a machine.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn machine(text: &str) -> Result<Self, String> {
        check(text)?;
        Ok(Self::Machine(text.to_owned()))
    }

    /// Reads a severity.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn severity(number: i128) -> Result<Self, String> {
        match i8::try_from(number) {
            Ok(severity @ 1..=4) => Ok(Self::Severity(severity)),
            _ => Err(format!("must be 1 to 4, not {number}")),
        }
    }
}

fn check(text: &str) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("must not be empty".to_owned()),
        count if count > TEXT_CHARS_MAX => Err(format!("is longer than {TEXT_CHARS_MAX} characters")),
        _ if text.chars().any(char::is_control) => Err("must not hold control characters".to_owned()),
        _ => Ok(()),
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Severity(severity) => write!(f, "severity {severity}"),
            Self::Classification(pattern) => write!(f, "classification {pattern}"),
            Self::Machine(machine) => write!(f, "machine_id {machine}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::retention::Subject;

    fn rule(matcher: Matcher, days: u32) -> RetentionRule {
        RetentionRule { matcher, days }
    }

    fn severity(number: i8, days: u32) -> RetentionRule {
        rule(Matcher::Severity(number), days)
    }

    #[test]
    fn the_longest_life_is_known_where_all_end() {
        let policy = |default_days, rules| RetentionPolicy { default_days, rules };
        assert_eq!(policy(5, vec![severity(1, 9)]).longest_days(), Some(9));
        assert_eq!(policy(5, vec![severity(1, 0)]).longest_days(), None);
        assert_eq!(policy(0, vec![severity(1, 9)]).longest_days(), None);
        assert!(RetentionPolicy::off().is_off() && policy(0, vec![severity(1, 0)]).is_off());
        assert!(!policy(0, vec![severity(1, 1)]).is_off() && !shipped().is_off());
    }

    #[test]
    fn what_a_rule_names_is_limited_at_its_edges() {
        assert_eq!(Matcher::classification("a/*"), Ok(Matcher::Classification("a/*".into())));
        assert!(Matcher::classification("*").is_ok() && Matcher::classification("a/b/c").is_ok());
        for bad in ["", "a/*/c", "**", "a\u{0}", &"ä".repeat(TEXT_CHARS_MAX + 1)] {
            assert!(Matcher::classification(bad).is_err(), "{bad:?}");
        }
        assert!(Matcher::machine(&"ä".repeat(TEXT_CHARS_MAX)).is_ok());
        assert!(Matcher::machine("").is_err());
        assert!((1..=4).all(|number| Matcher::severity(number).is_ok()));
        assert!([0, 5, -1, i128::MAX].into_iter().all(|number| Matcher::severity(number).is_err()));
    }

    proptest! {
        /// Stores are told the rules in this order, as "the first one that matches".
        #[test]
        fn the_first_rule_that_matches_decides(
            days in proptest::collection::vec((1_i8..=4, 0_u32..4), 0..6),
            default_days in 0_u32..4,
            of in 1_i8..=4,
        ) {
            let rules = days.into_iter().map(|(number, days)| severity(number, days)).collect();
            let policy = RetentionPolicy { default_days, rules };
            let subject = Subject { severity: of, ..Subject::default() };
            let decides = policy.deciding().into_iter().find(|rule| rule.matcher.matches(&subject)).map(|rule| rule.days);
            let expected = Some(decides.unwrap_or(default_days)).filter(|days| *days > 0);
            prop_assert_eq!(policy.days_of(&subject), expected);
        }
    }
}
