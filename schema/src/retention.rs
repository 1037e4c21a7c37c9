//! How long records live: the policy, and what it says of one record. Both stores keep to it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::time::{TimestampUs, US_PER_DAY};

/// How long records live from their reception.
///
/// A record that matches rules with days is deleted at the smallest of them; one that matches only rules with 0 is kept
/// for ever; one that matches none follows the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Days of a record that no rule matches; 0 keeps it for ever.
    pub default_days: u32,
    /// In any order: none goes before another.
    pub rules: Vec<RetentionRule>,
}

/// Days of the records that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionRule {
    /// Which records.
    pub matcher: Matcher,
    /// Days that they live; 0 keeps for ever what no other rule gives days to.
    pub days: u32,
}

/// Which records a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// Records of this severity.
    Severity(i8),
    /// Records of this classification; a `*` at its end matches the rest.
    Classification(String),
    /// Records of this machine.
    Machine(String),
}

/// What of a record a policy looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    /// Its classification.
    pub classification: &'a str,
    /// Its severity.
    pub severity: i8,
    /// Its machine.
    pub machine_id: &'a str,
}

impl Matcher {
    /// Whether the rule is about this record.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Severity(severity) => subject.severity == *severity,
            Self::Machine(machine) => subject.machine_id == machine,
            Self::Classification(pattern) => match pattern.strip_suffix('*') {
                Some(prefix) => subject.classification.starts_with(prefix),
                None => subject.classification == pattern,
            },
        }
    }
}

impl RetentionPolicy {
    /// Every record lives so many days; 0 keeps all for ever.
    #[must_use]
    pub fn days(default_days: u32) -> Self {
        Self { default_days, rules: Vec::new() }
    }

    /// Days that a record lives; `None` is for ever.
    #[must_use]
    pub fn days_of(&self, subject: &Subject<'_>) -> Option<u32> {
        let mut matching = self.rules.iter().filter(|rule| rule.matcher.matches(subject)).peekable();
        if matching.peek().is_none() {
            return Some(self.default_days).filter(|days| *days > 0);
        }
        matching.map(|rule| rule.days).filter(|days| *days > 0).min()
    }

    /// The last instant at which a record is seen; `None` when that never comes.
    #[must_use]
    pub fn last_seen(&self, subject: &Subject<'_>, received: TimestampUs) -> Option<TimestampUs> {
        self.days_of(subject).map(|days| after(received, days))
    }

    /// The earliest last instant that any record received at or after `received` can have; `None` when none expires.
    #[must_use]
    pub fn earliest_last_seen(&self, received: TimestampUs) -> Option<TimestampUs> {
        self.all_days().filter(|days| *days > 0).min().map(|days| after(received, days))
    }

    /// The latest last instant that any record received at or before `received` can have; `None` when one may stay for
    /// ever.
    #[must_use]
    pub fn latest_last_seen(&self, received: TimestampUs) -> Option<TimestampUs> {
        if self.all_days().any(|days| days == 0) {
            return None;
        }
        self.all_days().max().map(|days| after(received, days))
    }

    fn all_days(&self) -> impl Iterator<Item = u32> + '_ {
        self.rules.iter().map(|rule| rule.days).chain([self.default_days])
    }
}

/// The policy that holds now. Clones share it, so that all parts of a process have another one at the same time; who does
/// several things by it takes it once.
#[derive(Debug, Clone)]
pub struct PolicyInForce(Arc<RwLock<Arc<RetentionPolicy>>>);

impl From<RetentionPolicy> for PolicyInForce {
    fn from(policy: RetentionPolicy) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(policy))))
    }
}

impl PolicyInForce {
    /// The policy.
    #[must_use]
    pub fn now(&self) -> Arc<RetentionPolicy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on, this one holds.
    pub fn change(&self, policy: RetentionPolicy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

fn after(received: TimestampUs, days: u32) -> TimestampUs {
    TimestampUs(received.0.saturating_add(i64::from(days) * US_PER_DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge_examples() -> RetentionPolicy {
        let rule = |matcher, days| RetentionRule { matcher, days };
        let class = |pattern: &str| Matcher::Classification(pattern.to_owned());
        RetentionPolicy {
            default_days: 5,
            rules: vec![
                rule(Matcher::Severity(1), 1),
                rule(Matcher::Severity(4), 0),
                rule(class("test/keep/one"), 0),
                rule(class("test/discard/*"), 1),
            ],
        }
    }

    fn subject(classification: &str, severity: i8) -> Subject<'_> {
        Subject { classification, severity, machine_id: "" }
    }

    #[test]
    fn days_go_before_for_ever_and_rules_before_the_default() {
        let policy = purge_examples();
        let days = |class, severity| policy.days_of(&subject(class, severity));
        assert_eq!(days("test/discard/two", 4), Some(1), "days go before a rule that keeps");
        assert_eq!(days("test/keep/one", 2), None);
        assert_eq!(days("test/test/one", 2), Some(5));
        assert_eq!(days("test/test/one", 4), None);
        assert_eq!(days("test/discard", 2), Some(5), "the pattern ends with a slash before its star");
    }

    #[test]
    fn a_changed_policy_holds_for_all_who_share_it_and_not_for_who_took_it_before() {
        let policy = PolicyInForce::from(RetentionPolicy::days(5));
        let (shared, taken) = (policy.clone(), policy.now());
        policy.change(RetentionPolicy::days(7));
        assert_eq!((shared.now().default_days, taken.default_days), (7, 5));
    }

    #[test]
    fn a_machine_is_named_whole() {
        let rules = vec![RetentionRule { matcher: Matcher::Machine("ab".into()), days: 2 }];
        let policy = RetentionPolicy { default_days: 0, rules };
        assert_eq!(policy.days_of(&Subject { machine_id: "ab", ..Subject::default() }), Some(2));
        assert_eq!(policy.days_of(&Subject { machine_id: "abc", ..Subject::default() }), None);
    }

    #[test]
    fn the_bounds_hold_for_every_record() {
        let (received, day) = (TimestampUs(7), |days: i64| TimestampUs(7 + days * US_PER_DAY));
        let policy = purge_examples();
        assert_eq!(policy.earliest_last_seen(received), Some(day(1)));
        assert_eq!(policy.latest_last_seen(received), None, "some are kept for ever");
        let simple = RetentionPolicy::days(35);
        assert_eq!(
            (simple.earliest_last_seen(received), simple.latest_last_seen(received)),
            (Some(day(35)), Some(day(35)))
        );
        assert_eq!(RetentionPolicy::days(0).earliest_last_seen(received), None);
        assert_eq!(RetentionPolicy::days(0).last_seen(&Subject::default(), received), None);
    }
}
