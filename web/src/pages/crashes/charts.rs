//! The charts of crashes: by classification, by build with the largest causes, and causes over time.

use std::collections::BTreeMap;

use telemetrics_analytics::questions::crash_totals::CrashTotal;
use telemetrics_analytics::questions::crashes::Group;
use telemetrics_analytics::questions::guilty::Trend;
use telemetrics_analytics::questions::trends::Interval;

use crate::charts::{CATEGORIES_MAX, CELLS_MAX, Chart, Kind, SERIES_MAX, Series};

/// Most classifications that are told apart.
const CLASSES_MAX: usize = 12;
/// Causes that are told apart over time; all others are one series more.
pub(super) const TREND_TOP: usize = 6;
/// Causes that are told apart by build; all others are one series more.
const BUILD_TOP: usize = SERIES_MAX - 1;
/// Up to so many days a trend is by day, and else by week.
const DAILY_DAYS_MAX: i64 = 21;

/// How finely a trend over so many days is drawn.
pub(super) fn interval(days: i64) -> Interval {
    if days <= DAILY_DAYS_MAX { Interval::Day } else { Interval::Week }
}

/// Crashes by classification, hidden ones included.
pub(super) fn by_class(totals: &[CrashTotal]) -> Chart {
    let mut sums = BTreeMap::<&str, u64>::new();
    for total in totals {
        *sums.entry(&total.classification).or_default() += total.records;
    }
    let mut sums: Vec<(&str, u64)> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    sums.truncate(CLASSES_MAX);
    Chart {
        title: "By classification".to_owned(),
        kind: Kind::Bars,
        category: "class".into(),
        names: sums.iter().map(|(class, _)| class.trim_start_matches("org.clearlinux/").to_owned()).collect(),
        series: vec![Series::counts("records", sums.iter().map(|(_, records)| *records))],
    }
}

/// Crashes on each of `builds` (newest first), with the largest of `groups` told apart.
pub(super) fn by_build(builds: &[String], totals: &[CrashTotal], groups: &[Group]) -> Chart {
    let oldest_first = || builds.iter().rev();
    let of = |group: &Group, build: &String| -> u64 {
        group.builds.iter().filter(|of| of.build == *build).map(|of| of.records).sum()
    };
    let told = &groups[..groups.len().min(BUILD_TOP)];
    let mut series: Vec<Series> = told
        .iter()
        .map(|group| Series::counts(name(&group.guilty.function), oldest_first().map(|build| of(group, build))))
        .collect();
    let others = oldest_first().map(|build| {
        let all: u64 = totals.iter().filter(|total| total.build == *build).map(|total| total.records).sum();
        all.saturating_sub(told.iter().map(|group| of(group, build)).sum())
    });
    series.push(Series::counts("others", others));
    Chart {
        title: "By build".to_owned(),
        kind: Kind::Stacked,
        category: "build".into(),
        names: oldest_first().cloned().collect(),
        series,
    }
}

/// Causes over time, the newest buckets that there is room for.
pub(super) fn over_time(trend: &Trend, interval: Interval) -> Chart {
    let mut chart = told_over_time(trend, interval);
    let others = trend.others.iter().skip(trend.buckets.len() - chart.names.len()).copied();
    chart.series.push(Series::counts("others", others));
    chart
}

/// The causes that are told apart over time, without all others.
pub(super) fn told_over_time(trend: &Trend, interval: Interval) -> Chart {
    let (category, format) = if interval == Interval::Week { ("week", "%G-W%V") } else { ("day", "%Y-%m-%d") };
    let room = CATEGORIES_MAX.min(CELLS_MAX / (trend.guilties.len() + 1));
    let before = trend.buckets.len().saturating_sub(room);
    let rest = |records: &[u64]| records.iter().skip(before).copied().collect::<Vec<_>>();
    let series =
        trend.guilties.iter().map(|(guilty, records)| Series::counts(name(&guilty.function), rest(records))).collect();
    let label = |begin: &telemetrics_schema::TimestampUs| begin.date().map(|date| date.format(format).to_string());
    Chart {
        title: "Over time".to_owned(),
        kind: Kind::Lines,
        category: category.into(),
        names: trend.buckets.iter().skip(before).map(|begin| label(begin).unwrap_or_default()).collect(),
        series,
    }
}

fn name(function: &str) -> String {
    if function.is_empty() { "(stack not known)".to_owned() } else { function.to_owned() }
}

#[cfg(test)]
mod tests {
    use telemetrics_analytics::crashes::Guilty;
    use telemetrics_analytics::questions::crashes::OfBuild;
    use telemetrics_schema::TimestampUs;

    use super::*;

    fn total(build: &str, class: &str, records: u64) -> CrashTotal {
        CrashTotal { system_name: "s".into(), build: build.into(), classification: class.into(), records }
    }

    fn guilty(id: i64) -> Guilty {
        Guilty { id, function: format!("f{id}()"), module: "m".to_owned() }
    }

    fn group(id: i64, builds: &[(&str, u64)]) -> Group {
        let of_build = |(build, records): &(&str, u64)| OfBuild {
            system_name: "s".into(),
            build: (*build).to_owned(),
            records: *records,
            machines: 1,
        };
        Group {
            guilty: guilty(id),
            records: builds.iter().map(|(_, records)| records).sum(),
            machines: 1,
            first_seen: TimestampUs(0),
            last_seen: TimestampUs(0),
            builds: builds.iter().map(of_build).collect(),
            classifications: Vec::new(),
            stack_ids: vec![1],
        }
    }

    #[test]
    fn classes_are_summed_over_builds() {
        let chart = by_class(&[total("1", "a/b", 2), total("1", "org.clearlinux/kernel/bug", 4), total("2", "a/b", 3)]);
        assert_eq!(chart.names, ["a/b", "kernel/bug"]);
        assert_eq!(chart.series[0].values, [Some(5.0), Some(4.0)]);
    }

    #[test]
    fn what_is_not_told_apart_on_a_build_is_others() {
        let builds = ["10".to_owned(), "9".to_owned()];
        let totals = [total("9", "a", 5), total("9", "b", 1), total("10", "a", 3)];
        let chart = by_build(&builds, &totals, &[group(1, &[("9", 4), ("10", 3)])]);
        assert_eq!(chart.names, ["9", "10"]);
        let values: Vec<_> = chart.series.iter().map(|series| (series.name.as_str(), series.values.clone())).collect();
        assert_eq!(values, [("f1()", vec![Some(4.0), Some(3.0)]), ("others", vec![Some(2.0), Some(0.0)])]);
        let many: Vec<Group> = (0..20).map(|id| group(id, &[("9", 1)])).collect();
        let chart = by_build(&builds, &[total("9", "a", 20)], &many);
        assert_eq!((chart.series.len(), chart.series[BUILD_TOP].values[0]), (SERIES_MAX, Some(13.0)));
    }

    #[test]
    fn a_trend_shows_its_newest_buckets() {
        let day = |day: i64| TimestampUs::from_s(1_795_305_600 + day * 86_400);
        let trend = Trend {
            buckets: (0..200).map(day).collect(),
            guilties: vec![(guilty(1), (0..200).collect())],
            others: vec![7; 200],
        };
        let chart = over_time(&trend, interval(7));
        assert_eq!((chart.names.len(), chart.names[0].as_str()), (CATEGORIES_MAX, "2027-05-01"));
        assert_eq!((chart.series[0].values[0], chart.series[1].name.as_str()), (Some(160.0), "others"));
        assert_eq!(chart.figure().rows.last().map(|row| row.values[0].as_str()), Some("199"), "the newest is shown");
        assert_eq!(chart.series[1].values.len(), chart.names.len());
        assert_eq!(told_over_time(&trend, interval(7)).series.len(), 1);
        assert_eq!((interval(21), interval(22)), (Interval::Day, Interval::Week));
    }
}
