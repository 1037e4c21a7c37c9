//! Crashes by cause: groups, their stacks, machines and trends, what strikes builds, frames, and previews of edits.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use telemetrics_analytics::crashes::StackBook;
use telemetrics_analytics::filter::RecordFilter;
use telemetrics_analytics::questions::crash_totals::crash_totals;
use telemetrics_analytics::questions::crashes::{Causes, Crashes, GUILTIES_MAX, Wanted, crashes};
use telemetrics_analytics::questions::frames::{FRAMES_MAX, frames};
use telemetrics_analytics::questions::guilty::{
    MACHINES_MAX, STACKS_MAX, Trend, TrendRequest, by_machine, by_stack, stacks_of, trend,
};
use telemetrics_analytics::questions::guilty_strikes::guilty_strikes;
use telemetrics_analytics::questions::regrouped::regrouped;
use telemetrics_analytics::questions::trends::Interval;
use telemetrics_analytics::{Error, View};
use telemetrics_schema::payload::{Filters, backtrace};
use telemetrics_schema::retention::RetentionPolicy;
use telemetrics_schema::time::US_PER_DAY;
use telemetrics_schema::{Report, TimestampUs};

use super::asked::{curated, filters_about, in_window, instants, policies};
use super::corpus::NOW;
use super::stores::{Stores, Views};

const INTERVALS: [Interval; 3] = [Interval::Hour, Interval::Day, Interval::Week];

fn has_frames(report: &Report) -> bool {
    backtrace(report).is_some()
}

/// Of crashes there are few: their filters are those of one of them.
fn with_window() -> impl Strategy<Value = RecordFilter> {
    in_window(filters_about(has_frames))
}

/// What each store learns by itself: frames that the other one gave would hide a difference.
fn causes<'a>(book: &'a StackBook, filters: &'a Filters) -> Causes<'a> {
    Causes { book, filters }
}

async fn largest(view: &View, curated: &Filters, filter: &RecordFilter, limit: usize) -> Result<Crashes, Error> {
    let (book, without) = (StackBook::default(), HashSet::new());
    crashes(view, causes(&book, curated), filter, Wanted::Largest(limit, &without)).await
}

async fn trend_of(
    view: &View,
    curated: &Filters,
    request: &TrendRequest<'_>,
    now: TimestampUs,
) -> Result<Trend, Error> {
    let book = StackBook::default();
    trend(view, causes(&book, curated), request, now).await
}

/// Everything that is asked of one guilty.
fn assert_details(views: &Views<'_>, filter: &RecordFilter, curated: &Filters, guilty_id: i64, limit: usize) {
    let question = (filter, curated, guilty_id, limit);
    views.answer(&question, async |view| {
        let book = StackBook::default();
        crashes(view, causes(&book, curated), filter, Wanted::One(guilty_id)).await
    });
    let stacks = views.answer(&question, async |view| {
        let book = StackBook::default();
        stacks_of(view, causes(&book, curated), filter, guilty_id).await
    });
    let stacks = stacks.map(|(_, stacks)| stacks).unwrap_or_default();
    let of_stacks = views.answer(&question, async |view| {
        let book = StackBook::default();
        by_stack(view, causes(&book, curated), filter, &stacks, limit).await
    });
    assert_eq!(of_stacks.len(), stacks.len().min(limit), "{question:?}");
    views.answer(&question, async |view| by_machine(view, filter, &stacks, limit).await);
}

proptest! {
    // Each case asks up to seven questions of each store.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn causes_and_their_details_are_equal(
        filter in with_window(),
        curated in curated(),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 3, GUILTIES_MAX][..]),
        place in any::<Index>(),
    ) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, &curated, limit, &policy, now);
        views.answer(&question, async |view| crash_totals(view, &filter).await);
        let found = views.answer(&question, async |view| largest(view, &curated, &filter, limit).await);
        if !found.groups.is_empty() {
            let guilty_id = place.get(&found.groups).guilty.id;
            assert_details(&views, &filter, &curated, guilty_id, limit);
        }
    }

    #[test]
    fn trends_of_causes_are_equal(
        filter in with_window(),
        curated in curated(),
        policy in policies(),
        now in instants(),
        interval in select(&INTERVALS[..]),
        top in select(&[1_usize, 20][..]),
        hidden in prop::option::of(any::<Index>()),
    ) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, &curated, interval, top, &policy, now);
        let all = views.answer(&question, async |view| largest(view, &curated, &filter, GUILTIES_MAX).await).groups;
        let hidden = hidden.filter(|_| !all.is_empty()).map(|place| place.get(&all).guilty.id);
        let without = hidden.into_iter().collect();
        let request = TrendRequest { filter: &filter, interval, top, without: &without, only: None };
        let _refused_or_equal =
            views.equal(&(question, hidden), async |view| trend_of(view, &curated, &request, now).await);
    }

    #[test]
    fn strikes_frames_and_previews_are_equal(
        filter in with_window(),
        before in curated(),
        after in curated(),
        policy in policies(),
        now in instants(),
        limit in select(&[1_usize, 20, FRAMES_MAX][..]),
    ) {
        let views = Stores::shared().views(&policy, now);
        let question = (&filter, &before, &after, limit, &policy, now);
        views.answer(&question, async |view| {
            let book = StackBook::default();
            guilty_strikes(view, causes(&book, &before), &filter).await
        });
        views.answer(&question, async |view| {
            let book = StackBook::default();
            frames(view, causes(&book, &before), &filter, limit).await
        });
        views.answer(&question, async |view| {
            regrouped(view, &StackBook::default(), &filter, [&before, &after]).await
        });
    }
}

/// The properties would hold of empty answers too.
#[test]
fn the_corpus_has_causes_to_tell_of() {
    let views = Stores::shared().views(&RetentionPolicy::days(35), NOW);
    let (filter, none) = (RecordFilter::default(), Filters::default());
    let totals = views.answer(&"totals", async |view| crash_totals(view, &filter).await);
    assert!(totals.len() > 50, "{totals:?}");
    let found = views.answer(&"causes", async |view| largest(view, &none, &filter, GUILTIES_MAX).await);
    assert!(found.groups.len() > 50 && found.groups[0].machines > 5, "{found:?}");
    assert_eq!(totals.iter().map(|total| total.records).sum::<u64>(), found.records);
    let several = found.groups.iter().find(|group| group.stack_ids.len() > 2).expect("one with several stacks");
    let ids = &several.stack_ids;
    let stacks = views.answer(&"stacks", async |view| {
        let book = StackBook::default();
        by_stack(view, causes(&book, &none), &filter, ids, STACKS_MAX).await
    });
    assert!(stacks.iter().all(|of| !of.stack.frames.is_empty()) && stacks.len() == ids.len(), "{stacks:?}");
    let machines = views.answer(&"machines", async |view| by_machine(view, &filter, ids, MACHINES_MAX).await);
    assert_eq!(machines.iter().map(|of| of.records).sum::<u64>(), several.records);
    assert_eq!(stacks.iter().map(|of| of.records).sum::<u64>(), several.records);
    let strikes = views.answer(&"strikes", async |view| {
        let book = StackBook::default();
        guilty_strikes(view, causes(&book, &none), &filter).await
    });
    assert_eq!(strikes.iter().map(|strike| strike.counts.records).sum::<u64>(), found.records);
}

/// What an edit would change is seen, and trends add up.
#[test]
fn the_corpus_has_causes_to_edit() {
    let views = Stores::shared().views(&RetentionPolicy::days(35), NOW);
    let none = Filters::default();
    let filter = RecordFilter { received_from: Some(TimestampUs(NOW.0 - 7 * US_PER_DAY)), ..RecordFilter::default() };
    let found = views.answer(&"causes", async |view| largest(view, &none, &filter, GUILTIES_MAX).await);
    let guilty = &found.groups[0].guilty;
    let edited = Filters::from_iter([(&guilty.function, &guilty.module)]);
    let (changes, records) =
        views.answer(&"preview", async |view| regrouped(view, &StackBook::default(), &filter, [&none, &edited]).await);
    assert_eq!((changes[0].moved, records), (found.groups[0].records, found.records));
    assert!(changes[0].parts.iter().any(|part| part.machines_after > 0), "{changes:?}");
    let (seen, _) = views.answer(&"frames", async |view| {
        let book = StackBook::default();
        frames(view, causes(&book, &none), &filter, FRAMES_MAX).await
    });
    assert_eq!((&*seen[0].function, seen[0].guilty_of), (guilty.function.as_str(), found.groups[0].records));
    let without = HashSet::new();
    for interval in INTERVALS {
        let request = TrendRequest { filter: &filter, interval, top: 3, without: &without, only: None };
        let trend = views.answer(&interval, async |view| trend_of(view, &none, &request, NOW).await);
        let told: u64 = trend.guilties.iter().flat_map(|(_, records)| records).chain(&trend.others).sum();
        assert_eq!((trend.guilties.len(), told), (3, found.records), "{interval:?}");
    }
}
