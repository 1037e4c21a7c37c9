//! The retention policy as predicates: which records a view still shows, and which rule decides over a record.

use std::collections::BTreeMap;

use datafusion::error::Result;
use datafusion::logical_expr::{Expr, case, col, lit};
use telemetrics_schema::TimestampUs;
use telemetrics_schema::retention::{Matcher, RetentionPolicy};
use telemetrics_schema::time::US_PER_DAY;

use crate::filter::{ClassPattern, instant, text};

/// What the records that live at `now` have in common; `None` when all live.
pub(crate) fn living(policy: &RetentionPolicy, now: TimestampUs) -> Option<Expr> {
    living_at(policy, now, &col("ts_reception"))
}

/// As [`living`] with another time of reception.
///
/// A condition for each number of days and not one CASE, so that statistics can leave out files and partitions.
pub(crate) fn living_at(policy: &RetentionPolicy, now: TimestampUs, reception: &Expr) -> Option<Expr> {
    let received_after = |days: u32| reception.clone().gt_eq(instant(begin(now, days)));
    let groups = by_days(policy);
    let mut conditions: Vec<Expr> = policy.longest_days().map(received_after).into_iter().collect();
    for (days, matchers) in groups.iter().filter(|(days, _)| **days > 0) {
        conditions.push((!any_of(matchers)).or(received_after(*days)));
    }
    if policy.default_days > 0 && !groups.is_empty() {
        let ruled: Vec<&Matcher> = policy.rules.iter().map(|rule| &rule.matcher).collect();
        conditions.push(any_of(&ruled).or(received_after(policy.default_days)));
    }
    conditions.into_iter().reduce(Expr::and)
}

/// The place, in [`RetentionPolicy::deciding`], of the rule that decides; behind the last one stands the default.
pub(crate) fn decider(policy: &RetentionPolicy) -> Result<Expr> {
    let place = |place: usize| lit(i64::try_from(place).unwrap_or(i64::MAX));
    let rules = policy.deciding();
    let mut places = rules.iter().enumerate();
    let Some((_, first)) = places.next() else { return Ok(place(0)) };
    let mut decider = case(lit(true)).when(condition(&first.matcher), place(0));
    for (at, rule) in places {
        decider = decider.when(condition(&rule.matcher), place(at));
    }
    decider.otherwise(place(rules.len()))
}

fn begin(now: TimestampUs, days: u32) -> TimestampUs {
    TimestampUs(now.0.saturating_sub(i64::from(days) * US_PER_DAY))
}

fn by_days(policy: &RetentionPolicy) -> BTreeMap<u32, Vec<&Matcher>> {
    let mut groups: BTreeMap<u32, Vec<&Matcher>> = BTreeMap::new();
    for rule in &policy.rules {
        groups.entry(rule.days).or_default().push(&rule.matcher);
    }
    groups
}

/// Whether one of the matchers, of which there is at least one, is about the record.
fn any_of(matchers: &[&Matcher]) -> Expr {
    matchers.iter().map(|matcher| condition(matcher)).reduce(Expr::or).unwrap_or_else(|| lit(false))
}

fn condition(matcher: &Matcher) -> Expr {
    match matcher {
        Matcher::Severity(severity) => col("severity").eq(lit(*severity)),
        Matcher::Machine(machine) => col("machine_id").eq(text(machine)),
        Matcher::Classification(pattern) => {
            let pattern = match pattern.strip_suffix('*') {
                Some(prefix) => ClassPattern::Prefix(prefix.to_owned()),
                None => ClassPattern::Exact(pattern.clone()),
            };
            pattern.predicate().unwrap_or_else(|| lit(true))
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::datasource::MemTable;
    use datafusion::prelude::{DataFrame, SessionContext};
    use proptest::prelude::*;
    use telemetrics_schema::batch::to_batch;
    use telemetrics_schema::columns::record_schema;
    use telemetrics_schema::retention::{RetentionRule, Subject};
    use telemetrics_schema::{Record, RecordId, Report};

    use super::*;

    const NOW: TimestampUs = TimestampUs::from_s(1_795_342_080);

    fn record(id: i64, class: &str, severity: i8, machine: &str, age_us: i64) -> Record {
        let report =
            Report { classification: class.to_owned(), severity, machine_id: machine.to_owned(), ..Report::default() };
        Record { id: RecordId(id), ts_reception: TimestampUs(NOW.0 - age_us), report }
    }

    fn subject(record: &Record) -> Subject<'_> {
        let Report { classification, severity, machine_id, .. } = &record.report;
        Subject { classification, severity: *severity, machine_id }
    }

    fn table(records: &[Record]) -> DataFrame {
        let batch = to_batch(records).expect("a batch");
        let table = MemTable::try_new(record_schema(), vec![vec![batch]]).expect("a table");
        SessionContext::new().read_table(std::sync::Arc::new(table)).expect("a frame")
    }

    fn count(frame: DataFrame) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(frame.count()).expect("a count")
    }

    fn matchers() -> impl Strategy<Value = Matcher> {
        prop_oneof![
            (1_i8..=4).prop_map(Matcher::Severity),
            "[ab]/[ab]\\*?".prop_map(Matcher::Classification),
            Just(Matcher::Classification("*".to_owned())),
            "[mn]".prop_map(Matcher::Machine),
        ]
    }

    fn policies() -> impl Strategy<Value = RetentionPolicy> {
        let rules = proptest::collection::vec((matchers(), 0_u32..4), 0..5);
        (rules, 0_u32..4).prop_map(|(rules, default_days)| RetentionPolicy {
            rules: rules.into_iter().map(|(matcher, days)| RetentionRule { matcher, days }).collect(),
            default_days,
        })
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        // Ages at the edge of a number of days, and one microsecond to both sides.
        let age = (0_i64..5, -1_i64..=1).prop_map(|(days, edge)| days * US_PER_DAY + edge);
        let one = ("[ab]/[ab]", 1_i8..=4, "[mn]", age);
        proptest::collection::vec(one, 1..20).prop_map(|all| {
            let all = all.iter().enumerate();
            all.map(|(id, (class, severity, machine, age))| {
                record(i64::try_from(id).expect("few"), class, *severity, machine, *age)
            })
            .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_lives_is_what_the_policy_says_of_each_record(policy in policies(), records in records()) {
            let expected = records.iter().filter(|record| {
                policy.last_seen(&subject(record), record.ts_reception).is_none_or(|last| last >= NOW)
            }).count();
            let frame = match living(&policy, NOW) {
                Some(living) => table(&records).filter(living).expect("a plan"),
                None => table(&records),
            };
            prop_assert_eq!(count(frame), expected);
        }

        #[test]
        fn the_decider_is_the_first_rule_that_matches(policy in policies(), records in records()) {
            let rules = policy.deciding();
            let place = |record: &Record| {
                let place = rules.iter().position(|rule| rule.matcher.matches(&subject(record)));
                place.unwrap_or(rules.len())
            };
            for at in 0..=rules.len() {
                let of_it = decider(&policy).expect("an expression").eq(lit(i64::try_from(at).expect("few")));
                let expected = records.iter().filter(|record| place(record) == at).count();
                prop_assert_eq!(count(table(&records).filter(of_it).expect("a plan")), expected);
            }
        }
    }
}
