//! What to generate: the settings of a fleet of machines, and ready-made ones.

use super::builds::{Build, systems};
use crate::time::{TimestampUs, US_PER_DAY};

/// Days of records in the ready-made fleets: five weeks.
pub const WINDOW_DAYS: i64 = 35;
/// Records of the demo.
pub const DEMO_RECORDS: u64 = 200_000;
/// Records of the corpus that sizes and rates are measured with.
pub const SIZE_CORPUS_RECORDS: u64 = 1_000_000;

/// Seed of ready-made fleets when nobody says which.
const DEFAULT_SEED: u64 = 1;
/// 2026-11-22 00:00:00 UTC: where ready-made fleets end when nobody says when.
const DEFAULT_END: TimestampUs = TimestampUs::from_s(1_795_305_600);

/// A fleet of machines and the window of time in which a collector hears from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Decides everything that is not set below: equal fleets give equal records.
    pub seed: u64,
    /// How many machines there are, at least 1. Fewer take part when their heartbeats and updates would not leave
    /// enough of `records` for everything else.
    pub machines: u32,
    /// How many records to generate, exactly.
    pub records: u64,
    /// Reception of the first record, at the earliest. Builds have the numbers of their time from 2020 on.
    pub start: TimestampUs,
    /// No record is received at or after this instant; one hour after `start` where it is not later than that.
    pub end: TimestampUs,
    /// Of 1,000 records, how many are crashes with a backtrace; at most 1,000.
    pub crash_permille: u32,
    /// How many distinct crash stacks there are besides those of the regressions; at least 1.
    pub stacks: u32,
    /// What gets worse with a build.
    pub regressions: Vec<Regression>,
}

/// A cause of crashes that becomes more frequent with one build of one system.
///
/// On all other builds and systems it crashes machines at its base rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regression {
    /// Symbol of the guilty frame, as the binary has it (mangled or not), without `()`.
    pub function: String,
    /// Module of the guilty frame, such as `/usr/lib64/libexample.so.1`.
    pub module: String,
    /// The system that gets worse.
    pub system_name: String,
    /// The build from which on it is worse, one of [`Fleet::builds`]; any other name never comes to pass.
    pub since_build: String,
    /// How often it then happens, in percent of before: 300 is three times as often.
    pub factor_percent: u32,
    /// How often it happens before, for each 10,000 crashes of everything else.
    pub base_permyriad: u32,
    /// Whether it never happens anywhere but on the builds that have it.
    pub is_new: bool,
}

impl Fleet {
    /// Five weeks until `end` as the demo shows them, with two regressions planted in builds that `seed` made.
    #[must_use]
    pub fn demo(seed: u64, records: u64, end: TimestampUs) -> Self {
        let quiet = Self {
            seed,
            machines: u32::try_from(records / 65).unwrap_or(u32::MAX).max(1),
            records,
            start: TimestampUs(end.0 - WINDOW_DAYS * US_PER_DAY),
            end,
            crash_permille: 200,
            stacks: 3_000,
            regressions: Vec::new(),
        };
        let regressions = quiet.demo_regressions();
        Self { regressions, ..quiet }
    }

    /// The corpus that sizes are measured with: 1 million records of 20,000 machines with a mean payload of 391 bytes,
    /// a fifth of them crashes of about 1,275 bytes with 2,000 distinct stacks.
    #[must_use]
    pub fn size_corpus() -> Self {
        Self::sized(SIZE_CORPUS_RECORDS)
    }

    /// A corpus of the same make as [`Self::size_corpus`], with machines in proportion to `records`.
    #[must_use]
    pub fn sized(records: u64) -> Self {
        let machines = u32::try_from(records / 50).unwrap_or(u32::MAX).max(1);
        Self { machines, stacks: 2_000, regressions: Vec::new(), ..Self::demo(DEFAULT_SEED, records, DEFAULT_END) }
    }

    /// Builds that machines of `system_name` run in the fleet's window, in order of release; empty for an unknown name.
    #[must_use]
    pub fn builds(&self, system_name: &str) -> Vec<Build> {
        let known = systems(self.seed, self.start.day(), self.last_day());
        known.into_iter().find(|system| system.name == system_name).map_or_else(Vec::new, |system| system.builds)
    }

    /// UTC day of the last instant in the window.
    pub(super) fn last_day(&self) -> i32 {
        TimestampUs(self.end.0 - 1).day().max(self.start.day())
    }

    fn demo_regressions(&self) -> Vec<Regression> {
        let builds = self.builds("clear-linux-os");
        let since =
            |behind: usize| builds.iter().rev().nth(behind).map_or_else(String::new, |build| build.name.clone());
        let worse = Regression {
            function: "_ZN6cobalt6Window13paint_surfaceERKNS_6RegionE".into(),
            module: "/usr/lib64/libcobalt-ui.so.4".into(),
            system_name: "clear-linux-os".into(),
            since_build: since(5),
            factor_percent: 600,
            base_permyriad: 150,
            is_new: false,
        };
        let new = Regression {
            function: "tidepool_session_resume".into(),
            module: "/usr/bin/tidepoold".into(),
            since_build: since(3),
            factor_percent: 100,
            base_permyriad: 400,
            is_new: true,
            ..worse.clone()
        };
        vec![worse, new]
    }
}

/// The demo, with its usual number of records.
impl Default for Fleet {
    fn default() -> Self {
        Self::demo(DEFAULT_SEED, DEMO_RECORDS, DEFAULT_END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_plants_regressions_on_builds_that_machines_run() {
        let fleet = Fleet::default();
        for regression in &fleet.regressions {
            let builds = fleet.builds(&regression.system_name);
            assert!(builds.iter().any(|build| build.name == regression.since_build), "{regression:?}");
        }
    }

    #[test]
    fn an_unknown_system_has_no_builds() {
        assert!(Fleet::default().builds("plan9").is_empty());
    }

    #[test]
    fn the_last_day_does_not_include_the_end() {
        let fleet = Fleet::default();
        assert_eq!(fleet.last_day(), DEFAULT_END.day() - 1);
        assert_eq!(Fleet { end: fleet.start, ..fleet.clone() }.last_day(), fleet.start.day());
    }
}
