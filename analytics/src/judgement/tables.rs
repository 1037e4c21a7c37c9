//! What is judged: counts of one system by build, and by build and cause.

use std::collections::BTreeMap;

use crate::build_order::build_order;

/// What strikes machines. Rates, tests and the gate treat all alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Every crash, whatever its class.
    AnyCrash,
    /// Everything of one classification: kernel faults, machine checks, failed updates, crashes whatever their frames.
    Class(String),
    /// The frame that crashes are put down to.
    Guilty {
        /// The same wherever the frame has the same names.
        guilty_id: i64,
        /// Function of the frame, as it is shown.
        function: String,
        /// Module of the frame.
        module: String,
    },
}

/// How many machines ran a build, and for how long: those whose heartbeats came in the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The build.
    pub build: String,
    /// Distinct machine ids in the whole window.
    pub machines: u64,
    /// Distinct machine ids of each UTC day, summed over the days.
    pub machine_days: u64,
    /// Distinct machine ids of the day that had most of them.
    pub busiest_day_machines: u64,
}

/// What a cause did to machines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct machine ids that it struck in the whole window.
    pub machines: u64,
    /// Distinct machine ids that it struck on each UTC day, summed over the days.
    pub machine_days: u64,
    /// How often it struck: crashes, reports, failures.
    pub records: u64,
}

/// A cause on one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strikes {
    /// The build.
    pub build: String,
    /// The cause.
    pub cause: Cause,
    /// What it did there.
    pub counts: Counts,
}

/// One system in one window, which is the same for both tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// Each build once.
    pub exposures: Vec<Exposure>,
    /// Each build and cause at most once. Those on a build without heartbeats have no rate and are not judged.
    pub strikes: Vec<Strikes>,
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(each: I) -> Self {
        each.fold(Self::default(), |sum, one| Self {
            machines: sum.machines + one.machines,
            machine_days: sum.machine_days + one.machine_days,
            records: sum.records + one.records,
        })
    }
}

/// The tables by cause, with builds in their order.
pub(super) struct History<'a> {
    /// The oldest build first.
    pub(super) builds: Vec<&'a Exposure>,
    /// What each cause did on each of the builds.
    pub(super) causes: BTreeMap<&'a Cause, Vec<Counts>>,
}

impl<'a> History<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        let mut builds: Vec<&Exposure> = tables.exposures.iter().collect();
        builds.sort_by(|a, b| build_order(&a.build, &b.build));
        let mut history = Self { builds, causes: BTreeMap::new() };
        for strikes in &tables.strikes {
            if let Some(place) = history.place(&strikes.build) {
                let nothing = || vec![Counts::default(); history.builds.len()];
                history.causes.entry(&strikes.cause).or_insert_with(nothing)[place] = strikes.counts;
            }
        }
        history
    }

    /// Where a build stands in their order.
    pub(super) fn place(&self, build: &str) -> Option<usize> {
        self.builds.binary_search_by(|exposure| build_order(&exposure.build, build)).ok()
    }

    /// All causes on all builds.
    pub(super) fn total(&self) -> Counts {
        self.causes.values().flatten().copied().sum()
    }
}
