//! Operating systems and the builds that they release one after the other.

use chrono::{Datelike, NaiveDate};

use super::chance::{index_of, mix};
use crate::time::{S_PER_DAY, TimestampUs};

/// A build of an operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// As the field `build` of a record has it, without quotes.
    pub name: String,
    /// Kernel that the build ships, as the field `kernel_version` has it.
    pub kernel_version: String,
    /// UTC day of the release, days since the Unix epoch; machines update from then on.
    pub released_day: i32,
}

/// One operating system.
#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) name: &'static str,
    /// How many of 1,000 machines run it, among those whose hardware it supports.
    pub(super) share: u32,
    /// Whether it runs on anything but 64-bit x86.
    pub(super) portable: bool,
    /// Whether its updater reports each update.
    pub(super) reports_updates: bool,
    /// Days after which the slowest machines have followed a release.
    pub(super) slowest_days: u32,
    /// In order of release; never empty.
    pub(super) builds: Vec<Build>,
}

impl System {
    /// Position of the newest build that a machine which is `lag_days` behind has on `day`.
    pub(super) fn build_on(&self, day: i32, lag_days: i32) -> u16 {
        let released = self.builds.partition_point(|build| build.released_day + lag_days <= day);
        // A release a day would need 179 years to fill 16 bits.
        u16::try_from(released.saturating_sub(1)).unwrap_or(u16::MAX)
    }
}

/// Releases from this long before the first record on are known: slow machines run old builds.
const HISTORY_DAYS: i32 = 50;

/// Every system with its builds for records between the two days.
pub(super) fn systems(seed: u64, first_day: i32, last_day: i32) -> Vec<System> {
    let days = (first_day - HISTORY_DAYS, last_day);
    let clear = calendar(seed, 3, days);
    let rolling = calendar(seed ^ 1, 2, days);
    let cloud = calendar(seed ^ 2, 7, days);
    vec![
        system("clear-linux-os", 560, clear.iter().map(|&day| clear_build(day)).collect()),
        system("clear-linux-os_kvm", 60, clear.iter().map(|&day| clear_build(day)).collect()),
        system("debian", 180, fixed(&DEBIAN)),
        system("debian_cloud", 40, cloud.iter().map(|&day| cloud_build(day)).collect()),
        system("opensuse-leap", 90, fixed(&LEAP)),
        system("opensuse-tumbleweed", 70, rolling.iter().map(|&day| rolling_build(day)).collect()),
    ]
}

fn system(name: &'static str, share: u32, builds: Vec<Build>) -> System {
    let clear = name.starts_with("clear");
    // The distributions with a fixed number live for years, and so do the machines that stay on the old one.
    let slowest_days = if matches!(name, "debian" | "opensuse-leap") { 700 } else { 25 };
    System { name, share, portable: !clear, reports_updates: clear, slowest_days, builds }
}

/// Release days, one in each period of `period_days`; a day is one or is not whatever window is asked for.
fn calendar(seed: u64, period_days: i32, (first, last): (i32, i32)) -> Vec<i32> {
    let release = |period: i32| {
        let choices = usize::try_from(period_days - 1).unwrap_or(1).max(1);
        let offset = index_of(mix(seed, u64::from(period.unsigned_abs())), choices);
        period * period_days + i32::try_from(offset).unwrap_or(0)
    };
    let periods = first.div_euclid(period_days)..=last.div_euclid(period_days);
    periods.map(release).filter(|&day| day <= last).collect()
}

/// Releases on a known date: (build, kernel, year, month, day).
type Dated = (&'static str, &'static str, i32, u32, u32);

const DEBIAN: [Dated; 3] = [
    ("11", "5.10.0-32-amd64", 2021, 8, 14),
    ("12", "6.1.0-40-amd64", 2023, 6, 10),
    ("13", "6.12.48+deb13-amd64", 2025, 8, 9),
];
const LEAP: [Dated; 3] = [
    ("15.5", "5.14.21-150500.55.88-default", 2023, 6, 7),
    ("15.6", "6.4.0-150600.23.73-default", 2024, 6, 12),
    ("16.0", "6.12.0-160000.5-default", 2025, 10, 1),
];

fn fixed(dated: &[Dated]) -> Vec<Build> {
    dated.iter().map(|&(name, kernel, year, month, day)| build(name, kernel, day_of(year, month, day))).collect()
}

fn build(name: impl Into<String>, kernel_version: impl Into<String>, released_day: i32) -> Build {
    Build { name: name.into(), kernel_version: kernel_version.into(), released_day }
}

fn clear_build(day: i32) -> Build {
    /// 2014-11-26: such that builds of late 2026 have five digits beginning with 43.
    const ORIGIN_DAY: i32 = 16_400;
    let kernel = format!("6.{}.{}-{}.native", kernel_minor(day), day.rem_euclid(60) / 5 + 1, (day - 19_200).max(1));
    build((10 * (day - ORIGIN_DAY).max(1)).to_string(), kernel, day)
}

fn rolling_build(day: i32) -> Build {
    let kernel = format!("6.{}.{}-1-default", kernel_minor(day), day.rem_euclid(60) / 7 + 1);
    build(date_digits(day), kernel, day)
}

fn cloud_build(day: i32) -> Build {
    build(format!("13-{}", date_digits(day)), "6.12.48+deb13-cloud-amd64", day)
}

/// A new kernel series appears every 60 days.
fn kernel_minor(day: i32) -> i32 {
    (day.div_euclid(60) - 326).max(1)
}

fn date_digits(day: i32) -> String {
    let date = TimestampUs::from_s(i64::from(day) * S_PER_DAY).date().unwrap_or_default();
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

fn day_of(year: i32, month: u32, day: u32) -> i32 {
    let epoch = NaiveDate::default();
    let date = NaiveDate::from_ymd_opt(year, month, day).unwrap_or(epoch);
    i32::try_from(date.signed_duration_since(epoch).num_days()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-10-18 and 2026-11-22.
    const WINDOW: (i32, i32) = (20_744, 20_779);

    fn named(name: &str) -> System {
        systems(1, WINDOW.0, WINDOW.1).into_iter().find(|system| system.name == name).expect("a known system")
    }

    #[test]
    fn builds_of_clear_linux_are_growing_numbers_every_few_days() {
        let builds = named("clear-linux-os").builds;
        let numbers: Vec<u32> = builds.iter().map(|build| build.name.parse().expect("digits")).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(builds.windows(2).all(|pair| (2..=4).contains(&(pair[1].released_day - pair[0].released_day))));
        assert_eq!(&builds[builds.len() - 1].name[..2], "43");
    }

    #[test]
    fn a_release_is_the_same_whatever_window_is_asked_for() {
        let wide = systems(1, WINDOW.0 - 90, WINDOW.1 + 90);
        assert!(named("clear-linux-os").builds.iter().all(|build| wide[0].builds.contains(build)));
    }

    #[test]
    fn dated_builds_have_their_dates() {
        assert_eq!(day_of(2026, 11, 22), 20_779);
        assert_eq!(date_digits(20_779), "20261122");
    }

    #[test]
    fn a_machine_that_lags_has_an_older_build_and_never_none() {
        let clear = named("clear-linux-os");
        let newest = clear.build_on(WINDOW.1, 0);
        assert_eq!(usize::from(newest), clear.builds.len() - 1);
        assert!(clear.build_on(WINDOW.1, 10) < newest);
        assert_eq!(clear.build_on(WINDOW.1, 10_000), 0);
    }

    #[test]
    fn kernel_versions_begin_with_two_numbers() {
        for system in systems(1, WINDOW.0, WINDOW.1) {
            for build in system.builds {
                let mut numbers = build.kernel_version.split(['.', '-']);
                assert!(numbers.next().is_some_and(|n| n.parse::<u32>().is_ok()), "{build:?}");
                assert!(numbers.next().is_some_and(|n| n.parse::<u32>().is_ok()), "{build:?}");
            }
        }
    }
}
