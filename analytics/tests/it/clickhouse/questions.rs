//! The questions that count have the answers over ClickHouse that the records have when they are counted here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use telemetrics_analytics::filter::{ClassPattern, RecordFilter};
use telemetrics_analytics::questions::counts::{self, Count, counts};
use telemetrics_analytics::questions::keys::{Dimension, Key};
use telemetrics_analytics::questions::population::{self, Machines, population};
use telemetrics_analytics::questions::trends::{self, Interval, SeriesOf, TrendRequest, trend};
use telemetrics_analytics::{Analytics, Limits, View};
use telemetrics_schema::rollups::HEARTBEAT;
use telemetrics_schema::time::US_PER_S;
use telemetrics_schema::{Record, TimestampUs};

use super::{Remote, plan_of, records, settings};

const DIMENSIONS: [Dimension; 5] =
    [Dimension::Build, Dimension::Classification, Dimension::Platform, Dimension::Severity, Dimension::System];
/// In the hour of the last record: 240 records are 240 hours apart in all.
const NOW: TimestampUs = TimestampUs(1_795_000_000_000_000 + 239 * 3_600_123_457 + 1);

async fn view(remote: &Remote) -> View {
    let limits = Limits::without_retention();
    let analytics = Analytics::clickhouse(&settings(&remote.database), limits).expect("analytics");
    analytics.at(NOW).await.expect("a view")
}

fn key(record: &Record, by: Dimension) -> Key {
    let report = &record.report;
    match by {
        Dimension::Build => Key::Build { system_name: report.system_name.clone(), build: report.build.clone() },
        Dimension::Classification => Key::Classification(report.classification.clone()),
        Dimension::Platform => Key::Platform(report.host_type.clone()),
        Dimension::Severity => Key::Severity(report.severity),
        Dimension::System => Key::System(report.system_name.clone()),
    }
}

fn largest_first(records: &[Record], by: Dimension) -> Vec<Count> {
    let mut counts: BTreeMap<Key, u64> = BTreeMap::new();
    for record in records {
        *counts.entry(key(record, by)).or_default() += 1;
    }
    let mut groups: Vec<Count> = counts.into_iter().map(|(key, records)| Count { key, records }).collect();
    groups.sort_by_key(|group| Reverse(group.records));
    groups
}

#[tokio::test]
async fn groups_are_counted_by_every_dimension() {
    let all = records();
    let remote = Remote::with(&all).await;
    let view = view(&remote).await;
    let strange = RecordFilter { severities: vec![2, 4], external: Some(true), ..RecordFilter::default() };
    let passes = |record: &&Record| record.report.severity % 2 == 0 && record.report.external;
    let strange_ones: Vec<Record> = all.iter().filter(passes).cloned().collect();
    for by in DIMENSIONS {
        for (filter, records) in [(&RecordFilter::default(), &all), (&strange, &strange_ones)] {
            let expected = largest_first(records, by);
            let whole = counts(&view, filter, by, expected.len()).await.expect("counts");
            assert_eq!((whole.groups, whole.has_more), (expected.clone(), false), "{by:?}");
            let first = counts(&view, filter, by, 1).await.expect("counts");
            assert_eq!((&first.groups[..], first.has_more), (&expected[..1], expected.len() > 1), "{by:?}");
        }
    }
}

#[tokio::test]
async fn trends_have_every_record_in_its_bucket() {
    let all = records();
    let remote = Remote::with(&all).await;
    let view = view(&remote).await;
    for interval in [Interval::Hour, Interval::Day, Interval::Week] {
        for by in [None, Some(Dimension::Build), Some(Dimension::Severity)] {
            for (from, top) in [(None, 2), (Some(TimestampUs(all[100].ts_reception.0)), 20)] {
                let filter = RecordFilter { received_from: from, ..RecordFilter::default() };
                let seen: Vec<Record> =
                    all.iter().filter(|record| from.is_none_or(|from| record.ts_reception >= from)).cloned().collect();
                let request = TrendRequest { filter, interval, by, top };
                assert_trend(&view, &request, &seen).await;
            }
        }
    }
}

async fn assert_trend(view: &View, request: &TrendRequest, seen: &[Record]) {
    let trend = trend(view, request, NOW).await.expect("a trend");
    let TrendRequest { interval, by, top, .. } = request;
    let ends = [seen[0].ts_reception, NOW].map(|instant| interval.begin(instant));
    assert_eq!([trend.buckets[0], trend.buckets[trend.buckets.len() - 1]], ends, "{request:?}");
    let steps = trend.buckets.windows(2).map(|pair| pair[1].0 - pair[0].0).collect::<BTreeSet<_>>();
    let length_s = match interval {
        Interval::Hour => 3_600,
        Interval::Day => 86_400,
        Interval::Week => 604_800,
    };
    assert!(steps.iter().all(|step| *step == length_s * US_PER_S), "{request:?}: {steps:?}");
    let of = match by {
        None => vec![SeriesOf::All],
        Some(by) => {
            let groups = largest_first(seen, *by);
            let rest = (groups.len() > *top).then_some(SeriesOf::Rest);
            groups.into_iter().take(*top).map(|group| SeriesOf::Key(group.key)).chain(rest).collect()
        }
    };
    let found: Vec<_> = trend.series.iter().map(|series| series.of.clone()).collect();
    assert_eq!(found, of, "{request:?}");
    for (bucket, begin) in trend.buckets.iter().enumerate() {
        let here: Vec<&Record> = seen.iter().filter(|r| interval.begin(r.ts_reception) == *begin).collect();
        for series in &trend.series {
            let is_of = |record: &&&Record| match (&series.of, by) {
                (SeriesOf::Key(of), Some(by)) => key(record, *by) == *of,
                (SeriesOf::Rest, Some(by)) => !of.contains(&SeriesOf::Key(key(record, *by))),
                _ => true,
            };
            let expected = here.iter().filter(is_of).count() as u64;
            assert_eq!(series.records[bucket], expected, "{request:?} {begin} {:?}", series.of);
        }
    }
}

#[tokio::test]
async fn machines_that_sent_heartbeats_are_counted_once() {
    let all = records();
    let remote = Remote::with(&all).await;
    let view = view(&remote).await;
    let mut machines: BTreeMap<(String, String, bool), BTreeSet<String>> = BTreeMap::new();
    for Record { report, .. } in all.iter().filter(|record| record.report.classification == HEARTBEAT) {
        let key = (report.system_name.clone(), report.build.clone(), report.external);
        machines.entry(key).or_default().insert(report.machine_id.clone());
    }
    let groups = machines.into_iter().map(|((system_name, build, external), machines)| Machines {
        system_name,
        build,
        external,
        machines: machines.len() as u64,
    });
    let mut expected: Vec<Machines> = groups.collect();
    expected.sort_by_key(|group| Reverse(group.machines));
    // Whatever the filter says of classes is put aside.
    let other = Some(ClassPattern::Exact("org.clearlinux/crash/clr".to_owned()));
    let filter = RecordFilter { classification: other, ..RecordFilter::default() };
    let whole = population(&view, &filter, expected.len()).await.expect("a population");
    assert_eq!((whole.groups, whole.has_more), (expected.clone(), false));
    let first = population(&view, &filter, 2).await.expect("a population");
    assert_eq!((&first.groups[..], first.has_more), (&expected[..2], true));
}

/// An aggregation never pulls records out of the server.
#[tokio::test]
async fn every_count_is_made_there() {
    let remote = Remote::with(&[]).await;
    let view = view(&remote).await;
    let filter = RecordFilter { received_from: Some(NOW), ..RecordFilter::default() };
    let mut plans = vec![population::plan(&view, &filter, 10).expect("a plan")];
    for by in DIMENSIONS {
        plans.push(counts::plan(&view, &filter, by, 10).expect("a plan"));
    }
    let build = Key::Build { system_name: "it's".to_owned(), build: "1".to_owned() };
    for interval in [Interval::Hour, Interval::Day, Interval::Week] {
        for (by, groups) in [
            (None, vec![SeriesOf::All]),
            (Some(Dimension::Build), vec![SeriesOf::Key(build.clone()), SeriesOf::Rest]),
            (Some(Dimension::Severity), vec![SeriesOf::Key(Key::Severity(1)), SeriesOf::Key(Key::Severity(2))]),
        ] {
            let request = TrendRequest { filter: filter.clone(), interval, by, top: 1 };
            plans.push(trends::plan(&view, &request, &groups).expect("a plan"));
        }
    }
    for frame in plans {
        let (sent, plan) = plan_of(frame).await;
        assert!(sent.len() == 1 && plan.lines().count() <= 3, "it is sent whole:\n{plan}");
        assert!(sent[0].contains("GROUP BY") && sent[0].contains("LIMIT"), "{}", sent[0]);
    }
}
