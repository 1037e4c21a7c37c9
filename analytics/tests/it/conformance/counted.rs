//! Everything that is counted: groups, trends, machines, machine checks, updates, what is offered, what expires, who
//! delivers. What is counted by cause is in `causes.rs`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::collectors::last_receptions;
use telemetrics_analytics::questions::contents::{checksums, contents, count_of, records_of};
use telemetrics_analytics::questions::counts::{GROUPS_MAX, counts};
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::expired::expired;
use telemetrics_analytics::questions::hardware::{self, statuses};
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::offered::offered;
use telemetrics_analytics::questions::population::population;
use telemetrics_analytics::questions::stacks::{EXAMPLES_AT_ONCE, Example, STACKS_MAX, examples, seen};
use telemetrics_analytics::questions::systems::usual;
use telemetrics_analytics::questions::trends::{Interval, TrendRequest, trend};
use telemetrics_analytics::questions::updates::{UPDATE, updates};
use telemetrics_analytics::sizes::DaySizes;
use telemetrics_analytics::{Error, View};
use telemetrics_schema::payload::derive;
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Report, TimestampUs};

use super::asked::{filters, filters_about, in_window, instants, policies, record_of_all};
use super::corpus::NOW;
use super::stores::Stores;

/// Above it, records are not given at once.
const TEXT_BYTES: usize = 1 << 20;
const DIMENSIONS: [Dimension; 5] =
    [Dimension::Build, Dimension::Classification, Dimension::Platform, Dimension::Severity, Dimension::System];
const INTERVALS: [Interval; 3] = [Interval::Hour, Interval::Day, Interval::Week];

fn with_window() -> impl Strategy<Value = RecordFilter> {
    in_window(filters())
}

async fn sorted_examples(view: &View, filter: &RecordFilter, ids: &[i64]) -> Result<Vec<Example>, Error> {
    let mut found = Vec::new();
    examples(view, filter, ids, |example| found.push(example)).await?;
    found.sort_by_key(|example| example.stack_id);
    Ok(found)
}

proptest! {
    // Each case asks six questions of each store.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_judged_is_equal(filter in with_window(), policy in policies(), now in instants()) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, &policy, now);
        views.answer(&question, async |view| tables(view, &filter, Scope::Failures).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn groups_are_equal(
        filter in with_window(),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 3, 100, GROUPS_MAX][..]),
    ) {
        let views = Stores::shared().views(&policy, now);
        for by in DIMENSIONS {
            views.answer(&(&filter, by, limit, &policy, now), async |view| counts(view, &filter, by, limit).await);
        }
        let question = (&filter, limit, &policy, now);
        views.answer(&question, async |view| population(view, &filter, limit).await);
    }

    #[test]
    fn machine_checks_are_equal(
        filter in in_window(filters_about(|report| report.classification.starts_with("org.clearlinux/mce/"))),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 5, hardware::GROUPS_MAX][..]),
    ) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, limit, &policy, now);
        views.answer(&question, async |view| statuses(view, &filter).await);
        views.answer(&question, async |view| hardware::machines(view, &filter, limit).await);
    }

    #[test]
    fn updates_are_equal(
        filter in in_window(filters_about(|report| report.classification == UPDATE)),
        policy in policies(),
        now in instants(),
    ) {
        let views = Stores::shared().views(&policy, now);
        views.answer(&(&filter, &policy, now), async |view| updates(view, &filter).await);
    }

    #[test]
    fn stacks_and_their_examples_are_equal(
        filter in with_window(),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 20, STACKS_MAX][..]),
    ) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, limit, &policy, now);
        let seen = views.answer(&question, async |view| seen(view, &filter, limit).await);
        let ids: Vec<i64> = seen.stacks.iter().map(|stack| stack.stack_id).collect();
        let examples = views.answer(&question, async |view| sorted_examples(view, &filter, &ids).await);
        prop_assert!(examples.iter().map(|example| example.stack_id).eq(ids.into_iter().collect::<BTreeSet<_>>()));
    }

    #[test]
    fn trends_are_equal(
        filter in with_window(),
        policy in policies(),
        now in instants(),
        interval in select(&INTERVALS[..]),
        by in prop::option::of(select(&DIMENSIONS[..])),
        top in select(&[1_usize, 2, 20][..]),
    ) {
        let views = Stores::shared().views(&policy, now);
        let request = TrendRequest { filter, interval, by, top };
        let _refused_or_equal = views.equal(&(&request, &policy, now), async |view| trend(view, &request, now).await);
    }

    #[test]
    fn what_is_offered_and_who_delivers_is_equal(
        policy in policies(),
        now in instants(),
        of in record_of_all(),
        window_days in select(&[1_i64, 10, 40][..]),
        has_end in any::<bool>(),
    ) {
        let views = Stores::shared().views(&policy, now);
        for system in [None, Some(of.report.system_name.as_str())] {
            views.answer(&(system, &policy, now), async |view| offered(view, system).await);
        }
        views.answer(&("usual", &policy, now), async |view| usual(view, now).await);
        let from = TimestampUs((NOW.0 - window_days * US_PER_DAY).max(0));
        let before = has_end.then_some(of.ts_reception);
        views.answer(&(from, before), async |view| last_receptions(view, from, before).await);
    }

    #[test]
    fn contents_are_equal_to_their_checksums(policy in policies(), now in instants(), of in record_of_all()) {
        let views = Stores::shared().views(&policy, now);
        let day = of.ts_reception.day();
        views.answer(&(day, &policy, now), async |view| contents(view, 0..=day).await);
        views.answer(&(day, of.id, &policy, now), async |view| checksums(view, day, of.id).await);
        let ids = of.id.0 - 1_000_000..=of.id.0;
        views.answer(&(day, &ids, &policy, now), async |view| count_of(view, day, &ids).await);
        views.answer(&(day, &ids, &policy, now), async |view| records_of(view, day, &ids, TEXT_BYTES).await);
    }

    #[test]
    fn what_expires_is_equal(policy in policies(), now in instants()) {
        // What it takes on disk is each store's own.
        let sizes = DaySizes::default();
        Stores::shared().all().answer(&(&policy, now), async |view| expired(view, &policy, now, &sizes).await);
    }
}

/// The properties would hold of empty answers too.
#[test]
fn the_corpus_has_something_to_count() {
    let views = Stores::shared().views(&RetentionPolicy::days(35), NOW);
    let filter = RecordFilter::default();
    for (by, least) in DIMENSIONS.into_iter().zip([50, 20, 40, 4, 20]) {
        let groups = views.answer(&by, async |view| counts(view, &filter, by, GROUPS_MAX).await).groups;
        assert!(groups.len() >= least, "{by:?}: {}", groups.len());
    }
    let machines = views.answer(&"population", async |view| population(view, &filter, GROUPS_MAX).await);
    assert!(machines.groups.iter().any(|group| group.machines > 10), "{machines:?}");
    let stacks = views.answer(&"stacks", async |view| seen(view, &filter, STACKS_MAX).await).stacks;
    assert!(stacks.len() > 20 && stacks[0].records > 20, "{stacks:?}");
    let kinds = views.answer(&"statuses", async |view| statuses(view, &filter).await);
    let told = kinds.iter().filter(|kind| !kind.status.is_empty()).count();
    assert!(told > 5 && told < kinds.len(), "some have a status, some have none: {kinds:?}");
    let failing = async |view: &View| hardware::machines(view, &filter, hardware::GROUPS_MAX).await;
    let failing = views.answer(&"machines", failing);
    assert!(failing.len() > 20 && failing.iter().any(|machine| machine.builds.len() > 1), "{failing:?}");
    let steps = views.answer(&"updates", async |view| updates(view, &filter).await).steps;
    assert!(steps.len() > 20 && steps[0].records > 1, "{steps:?}");
    assert_eq!(views.answer(&"usual", async |view| usual(view, NOW).await).as_deref(), Some("clear-linux-os"));
    let from = TimestampUs(NOW.0 - US_PER_DAY);
    let collectors = views.answer(&"collectors", async |view| last_receptions(view, from, None).await);
    assert!(collectors.keys().copied().eq([0, 5, 63]), "{collectors:?}");
}

/// More than one query asks for, with some that nobody has.
#[test]
fn an_example_has_the_stack_that_it_is_of() {
    let views = Stores::shared().views(&RetentionPolicy::days(35), NOW);
    let filter = RecordFilter::default();
    let stacks = views.answer(&"stacks", async |view| seen(view, &filter, STACKS_MAX).await).stacks;
    let unknown =
        (1..=i64::try_from(EXAMPLES_AT_ONCE).expect("few")).filter(|id| stacks.iter().all(|s| s.stack_id != *id));
    let ids: Vec<i64> = unknown.chain(stacks.iter().map(|stack| stack.stack_id)).collect();
    let found = views.answer(&"examples", async |view| sorted_examples(view, &filter, &ids).await);
    assert_eq!(found.len(), stacks.len());
    for Example { stack_id, classification, payload } in found {
        let report = Report { classification, payload, ..Report::default() };
        assert_eq!(derive(&report).stack_id, stack_id, "{report:?}");
    }
}
