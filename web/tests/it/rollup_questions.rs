//! Questions that rollups can answer have the answers that they have from records.

use std::path::Path;

use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::counts::{GROUPS_MAX, counts};
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::population::population;
use telemetrics_analytics::questions::stacks::{STACKS_MAX, examples, seen};
use telemetrics_analytics::questions::trends::{Interval, TrendRequest, trend};
use telemetrics_analytics::{Analytics, EmbeddedReader, Limits, View, Window};
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::rollups::Rollup;
use telemetrics_schema::{CollectorNumber, TimestampUs};

const DIMENSIONS: [Dimension; 5] =
    [Dimension::Build, Dimension::Classification, Dimension::Platform, Dimension::Severity, Dimension::System];

/// Asks everything in every window, of rollups and of records.
pub(crate) async fn check(
    table: &Path,
    recent: &Recent,
    policy: &RetentionPolicy,
    now: TimestampUs,
    windows: &[Window],
) {
    // A rule for a machine that there is not: it shows the same, and rollups cannot follow it.
    let nobody = RetentionRule { matcher: Matcher::Machine("nobody".to_owned()), days: 1 };
    let rules = policy.rules.iter().cloned().chain([nobody]).collect();
    let of_rollups = view(table, recent, policy.clone(), now).await;
    let of_records = view(table, recent, RetentionPolicy { rules, ..policy.clone() }, now).await;
    let is_there = |view: &View| view.rollup(Rollup::Daily, Window::default()).expect("no fault").is_some();
    assert_eq!((is_there(&of_rollups), is_there(&of_records)), (true, false));
    for window in windows {
        for filter in filters(*window) {
            check_counts(&of_rollups, &of_records, &filter).await;
            check_trends(&of_rollups, &of_records, &filter, now).await;
            check_stacks(&of_rollups, &of_records, &filter).await;
            let machines = population(&of_rollups, &filter, GROUPS_MAX).await.expect("a population");
            assert_eq!(
                machines,
                population(&of_records, &filter, GROUPS_MAX).await.expect("a population"),
                "{filter:?}"
            );
        }
    }
}

async fn view(table: &Path, recent: &Recent, retention: RetentionPolicy, now: TimestampUs) -> View {
    let reader = EmbeddedReader::open(table, CollectorNumber::default(), recent.clone()).await.expect("a reader");
    let limits = Limits { retention, ..Limits::default() };
    Analytics::embedded(reader, limits).expect("an engine").at(now).await.expect("a view")
}

/// Those that each rollup can follow, that one can, and that none can.
fn filters(window: Window) -> Vec<RecordFilter> {
    let all = RecordFilter { received_from: window.from, received_before: window.before, ..RecordFilter::default() };
    let crashes = ClassPattern::Prefix("org.clearlinux/crash/".to_owned());
    vec![
        RecordFilter { classification: Some(crashes), severities: vec![3, 4], ..all.clone() },
        RecordFilter { external: Some(true), ..all.clone() },
        RecordFilter { host_type: Some("Norvik|NV-4410|A2".to_owned()), ..all.clone() },
        RecordFilter { arch: Some("x86_64".to_owned()), ..all.clone() },
        all,
    ]
}

async fn check_counts(of_rollups: &View, of_records: &View, filter: &RecordFilter) {
    for by in DIMENSIONS {
        let found = counts(of_rollups, filter, by, GROUPS_MAX).await.expect("counts");
        let expected = counts(of_records, filter, by, GROUPS_MAX).await.expect("counts");
        assert_eq!(found, expected, "{by:?} {filter:?}");
    }
}

async fn check_stacks(of_rollups: &View, of_records: &View, filter: &RecordFilter) {
    let found = seen(of_rollups, filter, STACKS_MAX).await.expect("stacks");
    assert_eq!(found, seen(of_records, filter, STACKS_MAX).await.expect("stacks"), "{filter:?}");
    let ids: Vec<i64> = found.stacks.iter().map(|stack| stack.stack_id).collect();
    let mut of_both = [Vec::new(), Vec::new()];
    for (view, found) in [of_rollups, of_records].into_iter().zip(&mut of_both) {
        examples(view, filter, &ids, |example| found.push(example)).await.expect("examples");
        found.sort_by_key(|example| example.stack_id);
    }
    let [found, expected] = of_both;
    assert_eq!(found, expected, "{filter:?}");
    assert_eq!(found.len(), ids.len());
}

async fn check_trends(of_rollups: &View, of_records: &View, filter: &RecordFilter, now: TimestampUs) {
    for (interval, by) in [
        (Interval::Hour, None),
        (Interval::Hour, Some(Dimension::Platform)),
        (Interval::Day, Some(Dimension::Build)),
        (Interval::Week, Some(Dimension::Classification)),
    ] {
        let request = TrendRequest { filter: filter.clone(), interval, by, top: 3 };
        let found = trend(of_rollups, &request, now).await.expect("a trend");
        assert_eq!(found, trend(of_records, &request, now).await.expect("a trend"), "{request:?}");
    }
}
