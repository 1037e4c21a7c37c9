//! Questions that rollups can answer have the answers that they have from records, on both stores.

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::Path;

use telemetrics_analytics::crashes::StackBook;
use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::counts::{GROUPS_MAX, counts};
use telemetrics_analytics::questions::crash_rate::{Scope, tables};
use telemetrics_analytics::questions::crash_totals::crash_totals;
use telemetrics_analytics::questions::crashes::{Causes, GUILTIES_MAX, Wanted, crashes};
use telemetrics_analytics::questions::guilty;
use telemetrics_analytics::questions::guilty_strikes::guilty_strikes;
use telemetrics_analytics::questions::keys::Dimension;
use telemetrics_analytics::questions::offered::offered;
use telemetrics_analytics::questions::population::population;
use telemetrics_analytics::questions::records::count;
use telemetrics_analytics::questions::stacks::{STACKS_MAX, examples, seen};
use telemetrics_analytics::questions::trends::{Interval, TrendRequest, trend};
use telemetrics_analytics::{Analytics, EmbeddedReader, Error, Limits, View, Window};
use telemetrics_schema::payload::Filters;
use telemetrics_schema::recent::Recent;
use telemetrics_schema::retention::{Matcher, RetentionPolicy, RetentionRule};
use telemetrics_schema::rollups::Rollup;
use telemetrics_schema::{CollectorNumber, TimestampUs};

const DIMENSIONS: [Dimension; 5] =
    [Dimension::Build, Dimension::Classification, Dimension::Platform, Dimension::Severity, Dimension::System];
/// The system of invented records, where builds of one have to be told apart from all others.
const SYSTEM: &str = "clear-linux-os";

/// Asks everything with every filter in every window of an embedded table, of rollups and of records.
pub(crate) async fn check(
    table: &Path,
    recent: &Recent,
    policy: &RetentionPolicy,
    now: TimestampUs,
    windows: &[Window],
    what: &str,
) {
    let view = view(table, recent, policy.clone(), now).await;
    for window in windows {
        check_view(&view, &filters(*window), what).await;
    }
}

/// What an embedded table and the memory above it show.
pub(crate) async fn view(table: &Path, recent: &Recent, retention: RetentionPolicy, now: TimestampUs) -> View {
    let reader = EmbeddedReader::open(table, CollectorNumber::default(), recent.clone()).await.expect("a reader");
    let limits = Limits { retention, ..Limits::default() };
    Analytics::embedded(reader, limits).expect("an engine").at(now).await.expect("a view")
}

/// Asks a view everything with each of the filters, of rollups and of records.
pub(crate) async fn check_view(view: &View, filters: &[RecordFilter], what: &str) {
    let both = Both::of(view);
    for filter in filters {
        both.check_counts(filter, what).await;
        both.check_trends(filter, what).await;
        both.check_stacks(filter, what).await;
        both.check_causes(filter, what).await;
        both.check_machines(filter, what).await;
    }
    for system in [None, Some(SYSTEM)] {
        both.equal(&("offered", system, what), async |view| offered(view, system).await).await;
    }
}

/// Asks a view everything in each window, with the filters by turns.
pub(crate) async fn check_by_turns(view: &View, windows: &[Window], turn: usize, what: &str) {
    for (place, window) in windows.iter().enumerate() {
        let filters = filters(*window);
        let at = (turn + place) % filters.len();
        check_view(view, &filters[at..=at], what).await;
    }
}

/// Those that each rollup can follow, that one can, and that none can.
pub(crate) fn filters(window: Window) -> Vec<RecordFilter> {
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

/// One state of a store, twice.
struct Both {
    of_rollups: View,
    of_records: View,
}

impl Both {
    fn of(view: &View) -> Self {
        // A rule for a machine that there is not: it shows the same, and rollups cannot follow it.
        let nobody = RetentionRule { matcher: Matcher::Machine("nobody".to_owned()), days: 1 };
        let policy = view.policy();
        let rules = policy.rules.iter().cloned().chain([nobody]).collect();
        let of_records = view.clone().under(&RetentionPolicy { rules, ..policy.clone() }, view.now());
        let is_there = |view: &View| view.rollup(Rollup::Daily, Window::default()).expect("no fault").is_some();
        assert_eq!((is_there(view), is_there(&of_records)), (true, false));
        Self { of_rollups: view.clone(), of_records }
    }

    async fn equal<T: PartialEq + Debug>(
        &self,
        question: &impl Debug,
        ask: impl AsyncFn(&View) -> Result<T, Error>,
    ) -> T {
        let found = ask(&self.of_rollups).await.unwrap_or_else(|error| panic!("{question:?}: {error}"));
        let expected = ask(&self.of_records).await.unwrap_or_else(|error| panic!("{question:?}: {error}"));
        assert_eq!(found, expected, "{question:?}");
        found
    }

    async fn check_counts(&self, filter: &RecordFilter, what: &str) {
        self.equal(&(filter, what), async |view| count(view, filter).await).await;
        for by in DIMENSIONS {
            self.equal(&(by, filter, what), async |view| counts(view, filter, by, GROUPS_MAX).await).await;
        }
    }

    async fn check_trends(&self, filter: &RecordFilter, what: &str) {
        for (interval, by) in [
            (Interval::Hour, None),
            (Interval::Hour, Some(Dimension::Platform)),
            (Interval::Day, Some(Dimension::Build)),
            (Interval::Week, Some(Dimension::Classification)),
        ] {
            let request = TrendRequest { filter: filter.clone(), interval, by, top: 3 };
            self.equal(&(&request, what), async |view| trend(view, &request, view.now()).await).await;
        }
    }

    async fn check_stacks(&self, filter: &RecordFilter, what: &str) {
        let stacks = self.equal(&(filter, what), async |view| seen(view, filter, STACKS_MAX).await).await.stacks;
        let ids: Vec<i64> = stacks.iter().map(|stack| stack.stack_id).collect();
        let sorted = async |view: &View| {
            let mut found = Vec::new();
            examples(view, filter, &ids, |example| found.push(example)).await?;
            found.sort_by_key(|example| example.stack_id);
            Ok(found)
        };
        let examples = self.equal(&(filter, what), sorted).await;
        assert_eq!(examples.len(), ids.len(), "{filter:?} {what}");
    }

    async fn check_causes(&self, filter: &RecordFilter, what: &str) {
        let (none, without) = (Filters::default(), HashSet::new());
        let totals = self.equal(&(filter, what), async |view| crash_totals(view, filter).await).await;
        let by_cause = async |view: &View| {
            // Each learns its stacks by itself, from its own examples.
            let book = StackBook::default();
            let causes = Causes { book: &book, filters: &none };
            crashes(view, causes, filter, Wanted::Largest(GUILTIES_MAX, &without)).await
        };
        let found = self.equal(&(filter, what), by_cause).await;
        assert_eq!(found.records, totals.iter().map(|total| total.records).sum::<u64>(), "{filter:?} {what}");
        for interval in [Interval::Day, Interval::Week] {
            let request = guilty::TrendRequest { filter, interval, top: 3, without: &without, only: None };
            self.equal(&(&request, what), async |view| {
                let book = StackBook::default();
                guilty::trend(view, Causes { book: &book, filters: &none }, &request, view.now()).await
            })
            .await;
        }
    }

    async fn check_machines(&self, filter: &RecordFilter, what: &str) {
        self.equal(&(filter, what), async |view| population(view, filter, GROUPS_MAX).await).await;
        let of_system = RecordFilter { system_name: Some(SYSTEM.to_owned()), ..filter.clone() };
        self.equal(&(&of_system, what), async |view| tables(view, &of_system, Scope::Failures).await).await;
        self.equal(&(&of_system, what), async |view| {
            let book = StackBook::default();
            guilty_strikes(view, Causes { book: &book, filters: &Filters::default() }, &of_system).await
        })
        .await;
    }
}
